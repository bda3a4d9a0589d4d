"""What scripts call on a layer as on a ``torch.nn.Module``: its parameters, their gradients, and its values by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self

from unifront.backends import backend_of, placement_on
from unifront.errors import ArgumentError

if TYPE_CHECKING:
    from unifront.weights import Variable


class AsModule:
    """For loops by hand in PyTorch's own terms. ``lower("torch")`` gives a whole ``torch.nn.Module``."""

    if TYPE_CHECKING:

        @property
        def weights(self) -> list[Variable]: ...

        @property
        def trainable_weights(self) -> list[Variable]: ...

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """The path of each trainable weight, and the ``torch.nn.Parameter`` that is its value (`Variable.value`).

        Weights that are elsewhere move to PyTorch. An optimizer of PyTorch's trains them where they are.
        """
        place = placement_on("torch")
        for weight in self.trainable_weights:
            yield weight.path, weight.native(place, at_home=True)

    def parameters(self) -> Iterator[Any]:
        """The second of each pair of `named_parameters`."""
        return (parameter for _, parameter in self.named_parameters())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients that ``loss.backward()`` left at the parameters, or make them zero."""
        for weight in self.trainable_weights:
            leaf = weight.value if weight.home.startswith("torch") else None
            if leaf is None or leaf.grad is None:
                continue
            if set_to_none:
                leaf.grad = None
            else:
                leaf.grad.detach_().zero_()

    def state_dict(self) -> dict[str, Any]:
        """The value of every weight as a tensor of PyTorch's, by its path: what ``torch.save`` takes."""
        place = placement_on("torch")
        return {weight.path: weight.native(place, at_home=True).detach() for weight in self.weights}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Give the weights the values that `state_dict` gave; `ArgumentError`, and nothing changed, if paths differ."""
        known = {weight.path: weight for weight in self.weights}
        if known.keys() != state_dict.keys():
            lacks, more = sorted(known.keys() - state_dict.keys()), sorted(state_dict.keys() - known.keys())
            raise ArgumentError(f"load_state_dict: the values lack {lacks}, and have {more} too many.")
        values = {}
        for path, weight in known.items():
            backend = backend_of(state_dict[path])
            value = state_dict[path] if backend is None else backend.numpy(state_dict[path])
            values[path] = weight.checked(value)
        for path, weight in known.items():
            weight.assign(values[path])

    def train(self, mode: bool = True) -> Self:
        """Nothing: as with Keras the call says whether it trains, ``layer(x, training=True)``. Gives the layer back."""
        return self

    def eval(self) -> Self:
        """Nothing, as `train`."""
        return self
