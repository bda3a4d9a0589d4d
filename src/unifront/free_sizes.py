"""Data of other sizes than the first make the sizes of a model free."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unifront import tree
from unifront.ir.dims import Dim, symbol
from unifront.ir.types import Shape, TensorType
from unifront.layers.input import BATCH, InputTensor
from unifront.layers.layer import Layer
from unifront.restoring import State
from unifront.trace import MAKING


class FreeSizes:
    """What a model does whose inputs were told by data, when other data come."""

    _seen: tuple[tuple[Shape, ...], ...] = ()
    """The shapes of the data that said what the inputs are, and of those that differed; none where the user said it."""

    if TYPE_CHECKING:
        input_structure: Any

        @property
        def input_types(self) -> Mapping[str, TensorType]: ...

        def layers_below(self) -> Iterator[Layer]: ...

        def trace(self, training: bool = False) -> Any: ...

        def _take(self, inputs: Any, taken: Container[str] = ()) -> None: ...

    @property
    def sizes_became_free(self) -> bool:
        """Whether data had other sizes than those that said what the inputs are."""
        return len(self._seen) > 1

    def let_differ(self, shapes: Sequence[Shape]) -> None:
        """Make the sizes free in which inputs of these ``shapes`` differ from the data that came before, if it was data
        that said what the inputs are. Raises what layers raise that must know such a size; nothing is changed then.
        """
        with MAKING:
            known = list(self.input_types.items())
            if not self._seen or [len(shape) for shape in shapes] != [type_.rank for _, type_ in known]:
                return
            seen = (*self._seen, tuple(shapes))
            before = State(self.layers_below())
            sizes: dict[tuple[Dim, ...], Dim] = {}  # those that were equal all along are one
            tensors = []
            for number, (name, type_) in enumerate(known):
                columns = zip(*(one[number][1:] for one in seen), strict=True)
                shape = [
                    column[0] if len(set(column)) == 1 else sizes.setdefault(column, symbol(f"{name}_{axis}"))
                    for axis, column in enumerate(columns, 1)
                ]
                tensors.append(InputTensor(type_.with_shape((BATCH, *shape)), name))
            try:
                self._take_anew(tree.map_leaves(tensors.__getitem__, self.input_structure))
                self.trace()
            except BaseException:
                before.restore()
                raise
            self._seen = seen

    def _take_anew(self, inputs: Any) -> None:
        self._take(inputs)
