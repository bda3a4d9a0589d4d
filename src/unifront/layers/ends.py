"""The ends of a layer: the symbolic tensors that its first call took and gave."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from unifront import tree
from unifront.errors import NotBuiltYet
from unifront.ir.dims import DimExpr
from unifront.opset.tensor import Symbolic, record, type_of


class end_of:
    """A property that an attribute of the same name hides: a layer may have an ``output`` of its own."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function, self.__doc__ = function, function.__doc__

    def __get__(self, layer: Any, owner: Any = None) -> Any:
        return self if layer is None else self.function(layer)


class Ended:
    """What a layer tells of its first call on symbolic tensors."""

    _first: list[Symbolic]

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

    def compute_output_shape(self, input_shape: Any, *more: Any) -> Any:
        """The shape of what `call` gives for inputs of such shapes, None for free sizes; no weights are made.

        Args:
            input_shape: a shape, or a list or dict of shapes; ``more`` for further arguments of `call`, None for
                one that is left out.

        Example::

            layers.Dense(8).compute_output_shape((None, 4))  # (None, 8)
        """
        from unifront.layers.input import Input

        def like(shape: Any) -> Any:
            if shape is None:  # an argument that is left out
                return None
            if isinstance(shape, dict):
                return {name: like(one) for name, one in shape.items()}
            if any(isinstance(one, list | tuple | dict) for one in shape):
                return [like(one) for one in shape]
            return Input(batch_shape=tuple(None if isinstance(n, DimExpr) else n for n in shape))

        layer: Any = self if vars(self)["built"] else copy.deepcopy(self)
        result = record(layer, *map(like, (input_shape, *more)))
        return tree.map_leaves(
            lambda one: tuple(size if isinstance(size, int) else None for size in type_of(one).shape), result
        )

    def _noted(self, result: Any) -> Any:
        self._first = self._first or tree.leaves(result)
        return result

    @end_of
    def input(self) -> Any:
        """What the first call on symbolic tensors took: one, or a list; `NotBuiltError` without such a call."""
        call = self._first_results()[0].call
        given = tree.leaves([call.args, dict(call.kwargs)]) if call else []
        tensors = [leaf for leaf in given if isinstance(leaf, Symbolic)]
        return tensors[0] if len(tensors) == 1 else tensors

    @end_of
    def output(self) -> Any:
        """What the first call on symbolic tensors gave: one, or a list; `NotBuiltError` without such a call.

        Example::

            features = uf.Model(model.inputs, model.get_layer("dense").output)
        """
        results = self._first_results()
        return results[0] if len(results) == 1 else list(results)

    def _first_results(self) -> list[Symbolic]:
        if not self._first:
            raise NotBuiltYet(
                f"The layer {self.name!r} was never called on symbolic tensors, so it has no input and output. "
                "Call it on uf.Input(...) or another layer's output."
            )
        return self._first
