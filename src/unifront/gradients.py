"""`value_and_grad`, where it has always been found; see `unifront.opset.differentiation`."""

from unifront.opset.differentiation import value_and_grad as value_and_grad

__all__ = ["value_and_grad"]
