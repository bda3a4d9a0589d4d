"""A call that fails leaves the layers as they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any

from unifront.layers.layer import Layer
from unifront.trace import MAKING


class State:
    """What building changes in layers, to be put back if it fails."""

    def __init__(self, layers: Iterable[Layer]) -> None:
        below = {id(layer): layer for layer in layers}
        self.attributes = [(layer, _copied(vars(layer))) for layer in below.values()]
        self.paths = [(weight, weight.path) for layer in below.values() for weight in layer._weights]

    def restore(self) -> None:
        """Put everything back."""
        for layer, attributes in self.attributes:
            for key in [key for key in vars(layer) if key not in attributes]:
                del vars(layer)[key]
            vars(layer).update(attributes)
        for weight, path in self.paths:
            weight.path = path


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes, their lists, dicts and sets as copies: they are changed in place."""
    kinds = (list, dict, set)
    return {key: value.copy() if type(value) in kinds else value for key, value in list(attributes.items())}


class Restoring:
    """What a model does so that a first call that fails changes nothing."""

    _settled: int | None = None  # the thread that made the weights; a failed call changes them no more
    _steps = 0  # of training, since the object was made

    if TYPE_CHECKING:

        @property
        def has_free_inputs(self) -> bool: ...

        def layers_below(self) -> Iterator[Layer]: ...

    @contextmanager
    def _tried(self) -> Iterator[None]:
        """A block that fixes the inputs and makes weights; if it fails before a step of training, nothing is
        changed in the model and its layers. What another thread has settled meanwhile stays."""
        if self._settled is not None and not self.has_free_inputs:
            yield
            return
        with MAKING:
            before, steps, settled = State(self.layers_below()), self._steps, self._settled
        try:
            yield
        except BaseException:
            with MAKING:
                if self._steps == steps and self._settled in (settled, get_ident()):
                    before.restore()
            raise
        if self._settled is None and not self.has_free_inputs:
            self._settled = get_ident()
