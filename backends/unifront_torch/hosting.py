"""Modules of the user's own inside a layer."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as pytree

from unifront.errors import ArgumentError
from unifront_torch.dtypes import TORCH


class Hosted:
    """A module, called with the values that it is given.

    Args:
        given: the module; it is not changed before `take`.
    """

    def __init__(self, given: Any) -> None:
        if not isinstance(given, torch.nn.Module):
            raise ArgumentError(f"TorchModuleWrapper holds a torch.nn.Module, not {given!r}.")
        if any(isinstance(one, torch.nn.parameter.UninitializedParameter) for one in given.parameters()):
            raise ArgumentError(
                "LazyModules are not supported unless they are already initialized: call the module once."
            )
        self.given, self._module = given, copy.deepcopy(given).cpu()
        named = sorted(self._module.named_parameters(), key=lambda pair: not pair[1].requires_grad)
        buffers = list(self._module.named_buffers())
        self._names = [name for name, _ in (*named, *buffers)]
        self.states, self._structure = len(buffers), pytree.tree_structure(0)

    def weights(self, inputs: Any, training: bool) -> list[tuple[str, np.ndarray, bool]]:
        """Name, value and whether it trains, of parameters and buffers."""
        values = self._module.state_dict(keep_vars=True)
        values |= dict(self._module.named_buffers())  # those that are not saved, too
        return [
            (name, values[name].detach().numpy().copy(), values[name].requires_grad) for name in self._names
        ]

    def run(self, inputs: Sequence[Any], weights: Sequence[Any], key: Any, training: bool) -> Any:
        """The results, and the buffers after the call."""
        values = dict(zip(self._names, weights, strict=True))
        buffers = self._names[len(self._names) - self.states :]
        if training:
            values |= {name: values[name].clone() for name in buffers}  # which the module writes into
        self._module.train(training)
        made = torch.func.functional_call(self._module, values, tuple(inputs))
        return pytree.tree_flatten(made)[0], [values[name] for name in buffers]

    def results(
        self, types: Sequence[tuple[tuple[int, ...], str]], training: bool
    ) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of each result for inputs of these; by a call on zeros."""
        module = copy.deepcopy(self._module).eval()
        with torch.no_grad():
            made = module(*(torch.zeros(shape, dtype=TORCH[dtype]) for shape, dtype in types))
        leaves, self._structure = pytree.tree_flatten(made)
        return [(tuple(leaf.shape), str(leaf.dtype).removeprefix("torch.")) for leaf in leaves]

    def arranged(self, results: Sequence[Any]) -> Any:
        """Results in the structure in which the module gives them."""
        return pytree.tree_unflatten(list(results), self._structure)

    def take(self, values: Sequence[np.ndarray]) -> None:
        """Put values into the module that was given."""
        homes = {**dict(self.given.named_parameters()), **dict(self.given.named_buffers())}
        with torch.no_grad():
            for name, value in zip(self._names, values, strict=True):
                homes[name].copy_(torch.as_tensor(value))
