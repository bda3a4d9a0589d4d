"""The operations: each one `OpSpec` (in capitals) with its public function beside it, one file per family.

Users find the functions in `unifront.ops`, which `python -m unifront.opset` writes.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Callable
from typing import Any

from unifront import tree
from unifront.arguments import Check, Wrong, check_of, misfit, sequence, shown
from unifront.backends import backend_of
from unifront.errors import ArgumentError, DTypeError, UnifrontError
from unifront.ir.dims import DimExpr
from unifront.ir.facts import Facts
from unifront.opset.quick import remembering
from unifront.opset.spec import OPS, OpSpec, Sample
from unifront.opset.tensor import Tensor, weights_read

FAMILIES = (
    "activation",
    "arithmetic",
    "arranging",
    "attention",
    "bitwise",
    "casting",
    "comparison",
    "complex_numbers",
    "control",
    "conv",
    "conversion",
    "conv_transpose",
    "creation",
    "custom",
    "cumulative",
    "ctc",
    "ctc_decoding",
    "define",
    "einops",
    "elementwise",
    "factorizations",
    "fft",
    "forward",
    "gradient",
    "image_color",
    "image_filters",
    "image_geometry",
    "image_patches",
    "image_resize",
    "index",
    "linalg",
    "loops",
    "losses",
    "matrices",
    "nans",
    "nn",
    "norm",
    "normalize",
    "norms",
    "optimize",
    "padding",
    "patches",
    "picking",
    "pool",
    "predicates",
    "random",
    "ranges",
    "reduce",
    "remat",
    "rnn",
    "scatter",
    "searching",
    "segments",
    "shape",
    "sizes",
    "slicing",
    "solving",
    "special",
    "statistics",
    "threefry",
    "trigonometry",
    "uniques",
    "variates",
    "vectorizing",
)

__all__ = ["FAMILIES", "OPS", "Facts", "OpSpec", "Sample", "public_functions"]


BODIES = (
    "associative_scan",
    "cond",
    "fori_loop",
    "jvp",
    "map",
    "remat",
    "scan",
    "switch",
    "vectorized_map",
    "while_loop",
    "with_mask",
)
"""Operations that run functions of the user's, in which other operations may fail."""


NO_OPERATIONS = (
    "attention_weights",
    "blocks",
    "blurred",
    "columns",
    "eager_gradient",
    "folded_words",
    "generator",
    "halves",
    "homography",
    "host_key",
    "in_float",
    "is_number",
    "is_portable",
    "masked_out",
    "need_dense",
    "need_matrices",
    "need_words",
    "neutral",
    "single",
    "single_or_double",
    "threefry2x32",
    "traced_gradient",
    "traced_remat",
    "transposed",
    "whole_numbers",
)
"""Functions of the families that are for other modules of ours, not for users."""


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A public function whose arguments are checked by their annotations, and whose errors name it.

    Unlike `unifront.arguments.checked` it looks only at what is given, and lets it as it is but for lists of
    tensors, and sizes that are a framework's: operations are called often.
    """
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

    @functools.cache
    def asked() -> tuple[inspect.Signature, dict[int, str], dict[str, Check]]:
        """The signature, what may come by place, and how each argument is checked: asked at the first call only."""
        signature = inspect.signature(function)
        places = {i: one.name for i, one in enumerate(signature.parameters.values()) if one.kind in by_place}
        hints = typing.get_type_hints(function, include_extras=True)
        found = {one: _check(hint) for one, hint in hints.items() if one != "return"}
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        checks = {
            one: check
            for one, check in found.items()
            if check is not None and signature.parameters[one].kind not in variadic
        }
        return signature, places, checks

    @functools.wraps(function)
    @functools.partial(remembering, read=weights_read)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _, places, known = asked()
        given = {places[i]: value for i, value in enumerate(args) if i in places}
        packed: dict[str, Any] = {}
        for one, value in (*given.items(), *kwargs.items()):
            if one in known:
                try:
                    found = known[one].convert(value, function)
                    if found is not value and (
                        isinstance(found, Tensor)
                        or _is_native(found)
                        or any(map(_is_native, tree.leaves(value)))
                    ):
                        packed[one] = found
                except Wrong as wrong:
                    raise ArgumentError(f"{name}: {one} is {wrong}, not {shown(value)}.") from None
                except UnifrontError as error:
                    error.of(name)
                    raise
        if packed:
            args = tuple(packed.get(places.get(i, ""), value) for i, value in enumerate(args))
            kwargs = {one: packed.get(one, value) for one, value in kwargs.items()}
        try:
            return function(*args, **kwargs)
        except UnifrontError as error:
            error.of(name, again=name not in BODIES)
            raise
        except TypeError as error:
            try:
                asked()[0].bind(*args, **kwargs)
            except TypeError as unfit:  # the call did not fit
                raise misfit(name, asked()[0], kwargs, unfit) from None
            raise error

    return wrapped


def _is_native(value: Any) -> bool:
    """Whether it is an array of a framework, which may have a gradient, or be one that a function is traced with."""
    backend = backend_of(value) if hasattr(value, "dtype") else None
    return backend is not None and backend.name != "numpy"


def _tensor(value: Any, owner: Any) -> Any:
    """``value``; a list that holds sizes, or tensors of a graph or a framework, is made one of those."""
    if isinstance(value, list | tuple) and any(
        isinstance(leaf, DimExpr | Tensor) or _is_native(leaf) for leaf in tree.leaves(value)
    ):
        from unifront.opset.conversion import convert_to_tensor

        return convert_to_tensor(value)
    known = hasattr(value, "dtype") or isinstance(value, int | float | complex | list | tuple | DimExpr)
    if not known and backend_of(value) is None:  # keys have no dtype
        raise DTypeError(f"Operations take tensors, arrays and numbers, not {shown(value)}.")
    return value


def _tensors(value: Any, owner: Any) -> Any:
    if not hasattr(value, "dtype"):  # an array is unpacked
        sequence(Check(_tensor)).convert(value, owner)
    return value


def _check(hint: Any) -> Check | None:
    from unifront.opset.casting import TensorLike

    if hint == TensorLike:
        return Check(_tensor)
    if hint == TensorLike | None:
        return Check(lambda value, owner: value if value is None else _tensor(value, owner))
    if typing.get_args(hint)[:1] == (TensorLike,):
        return Check(_tensors)
    return check_of(hint)


def public_functions(family: str) -> dict[str, Callable[..., Any]]:
    """The functions that ``unifront/opset/FAMILY.py`` defines for users, by name."""
    module = importlib.import_module(f"unifront.opset.{family}")
    return {
        name: value
        for name, value in sorted(vars(module).items())
        if callable(value)
        and getattr(value, "__module__", None) == module.__name__
        and not isinstance(value, type)
        and not name.startswith("_")
        and name not in NO_OPERATIONS
    }


for _family in FAMILIES:
    importlib.import_module(f"unifront.opset.{_family}")
for _family in FAMILIES:
    for _name, _function in public_functions(_family).items():
        setattr(importlib.import_module(f"unifront.opset.{_family}"), _name, _guarded(_name, _function))
importlib.import_module("unifront.opset.protocols")  # and with it the operators
