"""Layers whose classes say themselves what is kept of them, by methods that Keras's files call."""

from __future__ import annotations

from unifront.errors import ArgumentError
from unifront.layers.layer import Layer


def has_own(layer: Layer, method: str) -> bool:
    """Whether ``method`` is one of the layer's class, not `Layer`'s."""
    found = getattr(type(layer), method, None)
    return found is not None and found is not getattr(Layer, method, None)


def refuse(model: Layer, what: str) -> None:
    """Raise `ArgumentError` where a layer has things of its own to keep, which ``what`` does not hold."""
    for layer in model.layers_below():
        for method in ("save_own_variables", "save_assets"):
            if has_own(layer, method):
                raise ArgumentError(
                    f"{type(layer).__name__} {layer.name!r} says by {method} what is kept of it, and {what} holds the "
                    "weights that add_weight() makes. Try: model.save('….keras')"
                )
