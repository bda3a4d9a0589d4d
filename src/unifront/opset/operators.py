"""Python's operators on tensors, variables and sizes: one table.

``==`` and ``!=`` are elementwise, as on the arrays of every framework, but of two tensors of the functional API and of
two variables, where ``==`` is identity: lists of them are searched (Keras does so with its symbolic tensors).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from unifront.errors import ArgumentError
from unifront.ir.dims import DimExpr
from unifront.opset import bitwise, comparison, elementwise, linalg, slicing
from unifront.opset.builder import Symbolic, active_builder, lift
from unifront.opset.tensor import Tensor, is_tensor, update, updated_in_graph
from unifront.weights import Variable

Function = Callable[..., Any]

UNARY: dict[str, Function] = {
    "neg": elementwise.negative,
    "abs": elementwise.abs,
    "invert": bitwise.bitwise_invert,
    "round": elementwise.round,
    "getitem": slicing.get_item,
}
COMPARISONS: dict[str, Function] = {
    "lt": comparison.less,
    "le": comparison.less_equal,
    "gt": comparison.greater,
    "ge": comparison.greater_equal,
}
EQUALITIES: dict[str, Function] = {"eq": comparison.equal, "ne": comparison.not_equal}
BINARY: dict[str, Function] = {
    "add": elementwise.add,
    "sub": elementwise.subtract,
    "mul": elementwise.multiply,
    "truediv": elementwise.divide,
    "floordiv": elementwise.floor_divide,
    "mod": elementwise.remainder,
    "pow": elementwise.power,
    "matmul": linalg.matmul,
    "and": bitwise.bitwise_and,
    "or": bitwise.bitwise_or,
    "xor": bitwise.bitwise_xor,
    "lshift": bitwise.bitwise_left_shift,
    "rshift": bitwise.bitwise_right_shift,
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


UFUNCS: dict[str, Function] = {
    "add": elementwise.add,
    "subtract": elementwise.subtract,
    "multiply": elementwise.multiply,
    "divide": elementwise.divide,
    "floor_divide": elementwise.floor_divide,
    "remainder": elementwise.remainder,
    "power": elementwise.power,
    "matmul": linalg.matmul,
    "less": comparison.less,
    "less_equal": comparison.less_equal,
    "greater": comparison.greater,
    "greater_equal": comparison.greater_equal,
    "equal": comparison.equal,
    "not_equal": comparison.not_equal,
    "bitwise_and": bitwise.bitwise_and,
    "bitwise_or": bitwise.bitwise_or,
    "bitwise_xor": bitwise.bitwise_xor,
    "left_shift": bitwise.bitwise_left_shift,
    "right_shift": bitwise.bitwise_right_shift,
}
"""What NumPy's own operators become, as in ``array + tensor``."""


SIZES: dict[str, Function] = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
}
"""Those of them that give sizes of sizes."""


TORCH_OPERATORS: dict[str, Function] = {
    **COMPARISONS,
    **EQUALITIES,
    **BINARY,
    "div": elementwise.divide,
    "true_divide": elementwise.divide,
    "floor_divide": elementwise.floor_divide,
    "remainder": elementwise.remainder,
    **{f"__{name}__": function for name, function in BINARY.items()},
}
"""What PyTorch calls the functions of its own operators, as in ``array + tensor``."""

NUMBERS = (bool, int, float, complex, np.generic, DimExpr)


def _of_size(own: Function | None, function: Function) -> Function:
    """An operator of sizes, which gives a size where there is one, else a tensor."""

    def method(size: DimExpr, other: Any) -> Any:
        found = NotImplemented if own is None else own(size, other)
        return function(size, other) if found is NotImplemented else found

    return method


for _name, _function in {
    **COMPARISONS, **BINARY, **{f"r{name}": _reflected(function) for name, function in BINARY.items()}
}.items():  # fmt: skip
    setattr(DimExpr, f"__{_name}__", _of_size(vars(DimExpr).get(f"__{_name}__"), _function))


def _no_number(size: DimExpr) -> Any:
    raise ArgumentError(
        f"The size {size} is not known while a graph is traced. As a tensor it is uf.ops.cast({size}, 'float32')."
    )


for _name in ("float", "int", "index"):
    setattr(DimExpr, f"__{_name}__", _no_number)


def _equality(name: str, function: Function) -> Function:
    """``function`` of what has values; what is no tensor and no number, such as None or a name, is not equal."""

    def method(x: Any, other: Any) -> Any:
        searched = name == "eq" and any(
            isinstance(x, kind) and isinstance(other, kind) for kind in (Symbolic, Variable)
        )
        if searched or not (is_tensor(other) or isinstance(other, NUMBERS)):
            return NotImplemented
        return function(x, other)

    return method


for _class in (Tensor, Variable):
    for _name, _function in EQUALITIES.items():
        setattr(_class, f"__{_name}__", _equality(_name, _function))
    for _name, _function in {**UNARY, **COMPARISONS, **BINARY}.items():
        setattr(_class, f"__{_name}__", _forward(_function))
    for _name, _function in BINARY.items():
        setattr(_class, f"__r{_name}__", _reflected(_function))


def _number(kind: type) -> Function:
    """The value of a variable as Python's number; refused while a graph is traced, as for any tensor."""

    def convert(variable: Variable) -> Any:
        builder = active_builder()
        return kind(variable.numpy() if builder is None else lift(variable, builder))

    return convert


for _kind in (int, float):
    setattr(Variable, f"__{_kind.__name__}__", _number(_kind))


def _assign_add(variable: Variable, value: Any) -> None:
    """Add ``value``."""
    update(variable, elementwise.add(variable, value))


def _assign_sub(variable: Variable, value: Any) -> None:
    """Take ``value`` off."""
    update(variable, elementwise.subtract(variable, value))


setattr(Variable, "assign_add", _assign_add)  # noqa: B010  # declared there, so that a checker knows it
setattr(Variable, "assign_sub", _assign_sub)  # noqa: B010
Variable.recorded = staticmethod(updated_in_graph)
