"""Operations of the user's own: defined once, run by every backend, found by the conformance suite."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from unifront.backends import added_rows, names
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.spec import DEFINED, OPS, OpSpec, register
from unifront.opset.tensor import bind

_NAME = re.compile(r"[a-z_][a-z0-9_]*\Z")
_places: dict[str, tuple[str, ...]] = {}


def define(spec: OpSpec, rows: Mapping[str, Callable[..., Any]] | None = None) -> Callable[..., Any]:
    """Add an operation of your own, and give the function that applies it.

    It runs on the backend ``"numpy"`` by its reference, elsewhere by its row, or else written out by its
    decomposition. ``unifront.testing`` runs its samples like those of any other, forward and backward, and says
    where a row is off from the reference and by how much. A ``.uf`` file has it written out in known operations;
    if it has no decomposition, the file says that it needs the operation, and loads where it is defined.

    Args:
        spec: the operation, all of it: type rule, NumPy reference, samples, facts; see `unifront.opset.OpSpec`.
        rows: native callables by backend (``"torch"``), kind of device (``"torch:cuda"``), or ``"onnx"``. A row of
            a kind of device stands before that of the backend. It takes the operands as native arrays and the
            attributes by keyword.

    Returns:
        ``function(*tensors, **attributes)``, which works like any of ``uf.ops``; it is ``uf.ops.NAME`` too.

    Raises `ArgumentError` for a name that is taken or is none, or a row that cannot be called, `UnknownName` for
    rows of an unknown backend.

    Example::

        from unifront.ir import facts
        from unifront.opset import OpSpec, Sample

        cube = uf.ops.define(
            OpSpec(
                "cube",
                rule=lambda x: x,
                reference=lambda x: x**3,
                samples=lambda rng: [Sample((rng.normal(size=(2, 3)),))],
                source="x * x * x",
                decomposition=lambda x: x * x * x,
                facts=facts.elementwise("float32", keeps_zeros=True, sign="kept", commutes=False),
            ),
            rows={"torch": lambda x: x**3},
        )
        cube(np.float32(2))  # 8.0
    """
    given = dict(rows or {})
    if not isinstance(spec, OpSpec):
        raise ArgumentError(f"define takes an OpSpec, not {spec!r}.")
    if not _NAME.match(spec.name):
        raise ArgumentError(f"An operation's name is of small letters, digits and _, unlike {spec.name!r}.")
    if spec.name in OPS:
        whose = "it was defined before; undefine it first" if spec.name in DEFINED else "it is unifront's own"
        raise ArgumentError(f"There is an operation {spec.name!r} already: {whose}.")
    for place, row in given.items():
        known = [*(name for name in names() if name != "numpy"), "onnx"]
        if place.partition(":")[0] not in known:
            raise UnknownName("backend with rows", place, known)
        if not callable(row):
            raise ArgumentError(f"define: the row of {spec.name!r} for {place!r} is a callable, not {row!r}.")
    register(spec)
    for place, row in given.items():
        added_rows(place)[spec] = row
    _places[spec.name] = tuple(given)
    function = DEFINED[spec.name] = _function(spec)
    return function


def undefine(name: str) -> None:
    """Take an operation of your own away again, with its rows, so that it can be defined anew.

    Raises `UnknownName` if there is none of that name.
    """
    if name not in DEFINED:
        raise UnknownName("operation that was defined", name, DEFINED)
    del DEFINED[name]
    spec = OPS.pop(name)
    for place in _places.pop(name):
        del added_rows(place)[spec]


def _function(spec: OpSpec) -> Callable[..., Any]:
    def function(*operands: Any, **attributes: Any) -> Any:
        return bind(spec, *operands, **attributes)

    function.__name__ = function.__qualname__ = spec.name
    function.__doc__ = f"The operation {spec.name} ({spec.source})."
    return function
