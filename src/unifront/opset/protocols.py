"""What NumPy and the frameworks ask of symbolic tensors, variables and sizes that meet their functions.

A symbolic tensor has no value: operators with an array on the left are its own, functions are refused. A variable has
one: each framework's functions take it for its array there, the leaf at which the framework's own autograd finds
gradients. While a graph is traced a variable is as a symbolic tensor is; its value would be a constant of the graph.
"""

from __future__ import annotations

import sys
from typing import Any

from unifront import tree
from unifront.backends import placement_on
from unifront.errors import ForeignCall
from unifront.ir.dims import DimExpr, is_dim
from unifront.opset.builder import active_builder
from unifront.opset.lines import users_line
from unifront.opset.operators import SIZES, TORCH_OPERATORS, UFUNCS, Function
from unifront.opset.tensor import Tensor
from unifront.weights import Variable, current_overlay


def _refusal(function: Any, framework: str) -> ForeignCall:
    """The error of a framework's function that is called with a symbolic tensor."""
    from unifront.opset import FAMILIES, public_functions

    name = getattr(function, "__name__", "")
    use = (
        f"uf.ops.{name}"
        if any(name in public_functions(one) for one in FAMILIES)
        else "its like in uf.ops, such as uf.ops.exp"
    )
    called = f"{framework}.{name}" if name else f"A function of {framework}"
    line = users_line()
    place = f" (at {line})" if line else ""
    return ForeignCall(
        f"{called} does not take symbolic tensors, which have no values yet; use {use}{place}.",
        "jax" if framework == "jax.numpy" else framework,
    )


PACKAGES = {"torch": "torch", "tensorflow": "tensorflow", "jax": "jax", "jaxlib": "jax"}
"""Whose each package is."""


def framework_called(error: BaseException) -> str | None:
    """The framework that was called in its own terms, by a traced function that raised ``error``; None for none."""
    if isinstance(error, ForeignCall):
        return error.framework
    told = type(error.__cause__).__module__.partition(".")[
        0
    ]  # JAX cuts its frames out, and keeps them as the cause
    if told in PACKAGES:
        return PACKAGES[told]
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return None
    return PACKAGES.get(str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0])


def _array_ufunc(self: Any, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
    """NumPy's protocol: ``array + tensor`` is the tensor's, and other functions are refused."""
    if method == "__call__" and not options and ufunc.__name__ in UFUNCS:
        return UFUNCS[ufunc.__name__](*operands)
    raise _refusal(ufunc, "numpy")


def _array_function(self: Tensor, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    raise _refusal(function, "numpy")


def _torch_function(cls: type, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """PyTorch's protocol: an operator with an array on its left is the tensor's, and functions are refused."""
    ours = TORCH_OPERATORS.get(getattr(function, "__name__", ""))
    if ours is not None and not kwargs:
        return ours(*args)
    raise _refusal(function, "torch")


def _jax_array(self: Tensor) -> Any:
    """JAX's protocol: its operators ask whether there is this, and leave what has not to the tensor on their right."""
    if sys._getframe(1).f_code.co_name.startswith("_operator_"):
        raise AttributeError
    raise _refusal(None, "jax.numpy")


def _converter(framework: str) -> Function:
    def convert(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        raise _refusal(None, framework)

    return convert


def _backward(self: Tensor, *args: Any, **kwargs: Any) -> Any:
    """PyTorch's way to gradients: refused, of what has no values."""
    line = users_line()
    raise ForeignCall(
        "backward() is of PyTorch's tensors, not of symbolic ones, which have no values yet; use uf.value_and_grad"
        f"{f' (at {line})' if line else ''}.",
        "torch",
    )


for _attribute, _protocol in {
    "backward": _backward,
    "__array_ufunc__": _array_ufunc,
    "__array_function__": _array_function,
    "__torch_function__": classmethod(_torch_function),
    "__array__": _converter("numpy"),
    "__jax_array__": property(_jax_array),  # JAX asks for it before it complains of the type
    "__tf_tensor__": _converter("tensorflow"),
}.items():
    setattr(Tensor, _attribute, _protocol)


def _size_ufunc(self: DimExpr, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
    """NumPy's protocol: with whole numbers a size is calculated, with other arrays a tensor."""
    if method == "__call__" and ufunc.__name__ in SIZES and all(map(is_dim, operands)):
        return SIZES[ufunc.__name__](*(one if isinstance(one, DimExpr) else int(one) for one in operands))
    return _array_ufunc(self, ufunc, method, *operands, **options)


setattr(DimExpr, "__array_ufunc__", _size_ufunc)  # noqa: B010  # it is of another module


# ---------------------------------------------------------------- variables


def _array_of(variable: Variable, framework: str) -> Any:
    """The value as an array of ``framework``, on the device of it where it is, else on the default one."""
    return variable.native(placement_on(framework), at_home=True)


def _stands_alone(operands: Any) -> bool:
    """Whether variables among ``operands`` are their values: no graph is traced, and nothing stands for them."""
    leaves, overlay = tree.leaves(operands), current_overlay()
    return active_builder() is None and not any(
        isinstance(one, Tensor)
        or (overlay is not None and isinstance(one, Variable) and overlay.read(one) is not None)
        for one in leaves
    )


def _variable_ufunc(self: Variable, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
    """NumPy's protocol: ``array + variable`` is of the value; where it is not known yet, the variable's."""
    if not _stands_alone(operands):
        return _array_ufunc(self, ufunc, method, *operands, **options)
    values = [one.numpy() if isinstance(one, Variable) else one for one in operands]
    return getattr(ufunc, method)(*values, **options)


def _variable_function(self: Variable, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
    if not _stands_alone([args, kwargs]):
        raise _refusal(function, "numpy")

    def value(leaf: Any) -> Any:
        return leaf.numpy() if isinstance(leaf, Variable) else leaf

    return function(*tree.map_structure(value, list(args)), **tree.map_structure(value, dict(kwargs)))


def _variable_in_torch(cls: type, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """PyTorch's protocol: its functions and operators are called with the leaves."""
    if active_builder() is not None or any(isinstance(one, Tensor) for one in tree.leaves([args, kwargs])):
        return _torch_function(cls, function, types, args, kwargs)

    def leaf(one: Any) -> Any:
        return _array_of(one, "torch") if isinstance(one, Variable) else one

    return function(*tree.map_structure(leaf, list(args)), **tree.map_structure(leaf, dict(kwargs or {})))


def _variable_in_jax(self: Variable) -> Any:
    if active_builder() is not None:
        return _jax_array(self)  # type: ignore[arg-type]  # it says what it is called by
    return lambda: _array_of(self, "jax")


def _variable_in_tensorflow(self: Variable, dtype: Any = None, name: str | None = None) -> Any:
    if active_builder() is not None:
        raise _refusal(None, "tensorflow")
    tensor = sys.modules["tensorflow"].convert_to_tensor
    return tensor(_array_of(self, "tensorflow"), dtype=dtype, name=name)


def _resource(self: Variable) -> Any:
    """What a ``tf.GradientTape`` knows the leaf by; it asks whatever says that it acts as a resource variable."""
    return _is_resource(self) and _array_of(self, "tensorflow").handle


def _is_resource(self: Variable) -> bool:
    if "tensorflow" not in sys.modules:
        raise AttributeError  # nobody who asks is TensorFlow, which would be loaded
    return True


def dense(gradient: Any) -> Any:
    """``gradient`` as one array: a ``tf.GradientTape`` gives that of a gather as ``tf.IndexedSlices``."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and isinstance(gradient, tensorflow.IndexedSlices):
        return tensorflow.convert_to_tensor(gradient)
    return gradient


for _attribute, _protocol in {
    "__array_ufunc__": _variable_ufunc,
    "__array_function__": _variable_function,
    "__torch_function__": classmethod(_variable_in_torch),
    "__jax_array__": property(_variable_in_jax),
    "__tf_tensor__": _variable_in_tensorflow,
    "_should_act_as_resource_variable": property(_is_resource),
    "handle": property(_resource),
}.items():
    setattr(Variable, _attribute, _protocol)
