"""Python's operators on tensors and variables: one table. ``==`` stays identity; use ``uf.ops.equal``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from unifront.opset import elementwise, linalg, slicing
from unifront.opset.tensor import Tensor, update, updated_in_graph
from unifront.weights import Variable

Function = Callable[..., Any]

UNARY: dict[str, Function] = {
    "neg": elementwise.negative,
    "abs": elementwise.abs,
    "getitem": slicing.get_item,
}
COMPARISONS: dict[str, Function] = {
    "lt": elementwise.less,
    "le": elementwise.less_equal,
    "gt": elementwise.greater,
    "ge": elementwise.greater_equal,
}
BINARY: dict[str, Function] = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.power,
    "matmul": linalg.matmul,
}


def _reflected(function: Function) -> Function:
    def method(x: Any, other: Any) -> Any:
        return function(other, x)

    return method


def _forward(function: Function) -> Function:
    """A plain function, so that Python binds it as a method whatever ``function`` is."""

    def method(*operands: Any) -> Any:
        return function(*operands)

    return method


for _class in (Tensor, Variable):
    for _name, _function in {**UNARY, **COMPARISONS, **BINARY}.items():
        setattr(_class, f"__{_name}__", _forward(_function))
    for _name, _function in BINARY.items():
        setattr(_class, f"__r{_name}__", _reflected(_function))


def _assign_add(variable: Variable, value: Any) -> None:
    """Add ``value``."""
    update(variable, elementwise.add(variable, value))


def _assign_sub(variable: Variable, value: Any) -> None:
    """Take ``value`` off."""
    update(variable, elementwise.subtract(variable, value))


setattr(Variable, "assign_add", _assign_add)  # noqa: B010  # declared there, so that a checker knows it
setattr(Variable, "assign_sub", _assign_sub)  # noqa: B010
Variable.recorded = staticmethod(updated_in_graph)
