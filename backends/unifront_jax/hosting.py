"""Functions of the user's own inside a layer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from unifront.errors import ArgumentError


class Hosted:
    """A function of parameters and state, and what these are."""

    def __init__(
        self,
        call: Callable[..., Any],
        init: Callable[..., Any] | None,
        params: Any,
        state: Any,
        seed: int | None,
    ) -> None:
        self._call, self._init, self._seed = call, init, seed or 0
        self._takes = set(inspect.signature(call).parameters)
        self._trees = (params, state)
        self._has = (params is not None, state is not None)
        self._structure: Any = None
        self._inputs: Any = None
        self.states = len(jax.tree.leaves(state))

    def weights(self, inputs: Any, training: bool) -> list[tuple[str, np.ndarray, bool]]:
        """Name, value and whether it trains, of parameters and state; made by ``init_fn`` where they were not given."""
        self._inputs = inputs[0] if len(inputs) == 1 else inputs
        if self._init is not None and not any(self._has):
            given = {
                "rng": jax.random.key(self._seed), "inputs": jax.tree.map(jax.numpy.asarray, self._inputs),
                "training": training,
            }  # fmt: skip
            made = self._init(**{name: given[name] for name in inspect.signature(self._init).parameters})
            if "state" in self._takes and "params" in self._takes:
                if not isinstance(made, tuple) or len(made) != 2:
                    raise ArgumentError(
                        "JaxLayer: init_fn gives params and state, as call_fn takes both; it gave "
                        f"{type(made).__name__}."
                    )
                self._trees = made
            else:
                self._trees = (made, None) if "params" in self._takes else (None, made)
        self.states = len(jax.tree.leaves(self._trees[1]))
        found = []
        for what, tree, trainable in (("params", self._trees[0], True), ("state", self._trees[1], False)):
            for path, leaf in jax.tree.leaves_with_path(tree):
                array = np.asarray(leaf)
                name = ".".join(
                    (what, *(str(getattr(k, "key", getattr(k, "idx", getattr(k, "name", k)))) for k in path))
                )
                found.append((name, array, trainable and np.issubdtype(array.dtype, np.floating)))
        return found

    def trees(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """Parameters and state of these values, in their structure."""
        leaves, structure = jax.tree.flatten(self._trees)
        if len(leaves) != len(values):
            return self._trees
        found: tuple[Any, Any] = jax.tree.unflatten(structure, values)
        return found

    def run(self, inputs: Sequence[Any], weights: Sequence[Any], key: Any, training: bool) -> Any:
        """The results, and the state after the call."""
        params, state = self.trees(list(weights))
        structure = jax.tree.structure(self._inputs)
        given = {
            "params": params, "state": state, "rng": key, "inputs": jax.tree.unflatten(structure, list(inputs)),
            "training": training,
        }  # fmt: skip
        made = self._call(**{name: given[name] for name in self._takes})
        after: Any = state
        if "state" in self._takes:
            made, after = made
            if jax.tree.structure(after) != jax.tree.structure(state):
                raise ArgumentError(
                    "JaxLayer: the new state of call_fn has another structure than the old one."
                )
        leaves, self._structure = jax.tree.flatten(made)
        return leaves, jax.tree.leaves(after)

    def results(
        self, types: Sequence[tuple[tuple[int, ...], str]], training: bool
    ) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of each result for inputs of these, by an abstract call."""
        inputs = [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in types]
        weights = [
            jax.ShapeDtypeStruct(leaf.shape, leaf.dtype)
            for leaf in map(np.asarray, jax.tree.leaves(self._trees))
        ]

        def call(inputs: Any, weights: Any) -> Any:
            return self.run(inputs, weights, jax.random.key(0), training)[0]

        return [(tuple(one.shape), one.dtype.name) for one in jax.eval_shape(call, inputs, weights)]

    def arranged(self, results: Sequence[Any]) -> Any:
        """Results in the structure in which the function gives them."""
        return jax.tree.unflatten(self._structure, list(results))
