"""What scripts call on a layer as on a ``torch.nn.Module``: its parameters, and their gradients set back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unifront.backends import placement

if TYPE_CHECKING:
    from unifront.weights import Variable


class AsModule:
    """For loops by hand in PyTorch's own terms. ``lower("torch")`` gives a whole ``torch.nn.Module``."""

    if TYPE_CHECKING:

        @property
        def trainable_weights(self) -> list[Variable]: ...

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """The path of each trainable weight, and the ``torch.nn.Parameter`` that is its value (`Variable.value`).

        Weights that are elsewhere move to PyTorch. An optimizer of PyTorch's trains them where they are.
        """
        default = placement()
        place = default if default.backend.name == "torch" else placement("torch")
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
