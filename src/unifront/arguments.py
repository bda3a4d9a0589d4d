"""The annotation of a parameter is its check: `checked` functions and classes refuse what does not fit it.

``bool``, ``int``, ``float``, ``str``, ``Literal`` names, classes, unions and sequences of these mean what they
say; ``Annotated[type, Check]`` says more. Values come out converted: NumPy's numbers as Python's, lists of
sizes as tuples. What editors and `inspect.signature` show is what is checked.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cache, partial, wraps
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

from unifront.dtypes import DTypeLike, dtype_of
from unifront.errors import ArgumentError, UnifrontError, UnknownName
from unifront.paths import path_of

T = TypeVar("T", bound=Callable[..., Any])
Mixin = TypeVar("Mixin", bound=type)


class Wrong(Exception):  # never leaves this module: it becomes an `ArgumentError`
    """A value is not what a `Check` wants, which is said in words that follow "is"."""


@dataclass(frozen=True)
class Check:
    """Gives the value as it is used, or raises `Wrong` or one of `unifront.errors`.

    ``convert`` gets the value and whose argument it is: the class made, or the function called.
    """

    convert: Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Default:
    """The default of a keyword that a ``TypedDict`` of options names; None unless given."""

    value: Any = None


# ---------------------------------------------------------------- checks


def foreseen(value: Any) -> Any:
    """What is known of a scalar that has no value yet; ``value`` itself where that is nothing."""
    return value  # `unifront.backends` asks the backend whose it is


def number(value: Any) -> Any:
    """Scalars of NumPy and of frameworks as Python's; what is no number as it is."""
    if getattr(value, "shape", None) != ():
        return value
    if not hasattr(value, "item"):  # TensorFlow's
        value = value.numpy() if hasattr(value, "numpy") else foreseen(value)
    item = getattr(value, "item", None)
    return item() if callable(item) else value


def within(interval: str) -> Check:
    """Numbers in ``interval``, written as in ``"[0, 1)"``."""
    low, high = map(float, interval[1:-1].split(","))

    def convert(value: Any, owner: Any) -> float:
        value = number(value)
        if (
            not isinstance(value, int | float)
            or isinstance(value, bool)
            or not (low <= value if interval[0] == "[" else low < value)
            or not (value <= high if interval[-1] == "]" else value < high)
        ):
            raise Wrong("a number" if interval == "[-inf, inf]" else f"a number in {interval}")
        return float(value)

    return Check(convert)


LARGEST = 2**31 - 1
"""No axis is longer: the frameworks count in 32 bits."""


def whole(least: float = -math.inf, most: float = math.inf) -> Check:
    """Ints from ``least`` to ``most``."""
    what = {-math.inf: "an int", 1: "a positive int"}.get(least, f"an int >= {least}")

    def convert(value: Any, owner: Any) -> int:
        value = number(value)
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise Wrong(what)
        if value > most:
            raise Wrong(f"{what} up to {most}")
        return value

    return Check(convert)


def one_of(names: Collection[Any] | Callable[[Any], Collection[Any]]) -> Check:
    """One of ``names``, which may depend on whose argument it is; strings in any case, as Keras takes them."""

    def convert(value: Any, owner: Any) -> Any:
        known = names(owner) if callable(names) else names
        if isinstance(value, str | int | NoneType):
            wanted = _folded(value)
            for name in known:
                if _folded(name) == wanted and type(name) is not bool:
                    return name
        raise UnknownName("value", value, known)

    return Check(convert)


def _folded(name: Any) -> Any:
    return name.lower() if isinstance(name, str) else name


def only(default: Any) -> Check:
    """An argument of Keras's that is taken at its default only."""

    def convert(value: Any, owner: Any) -> Any:
        if value is not None and not (type(value) is type(default) and value == default):
            raise ArgumentError(f"{shown(value)} is not supported; leave it at {default!r}.")
        return default

    return Check(convert)


anything = Check(lambda value, owner: value)
"""For what is checked where it is used, with more to say about it."""


def meant(get: Callable[[Any], Any]) -> Check:
    """What ``get`` makes of the value, such as the function meant by a name; its errors are told."""
    return Check(lambda value, owner: get(value))


def entries(value: Any) -> Any:
    """An array of one axis as a list; what is none as it is."""
    if getattr(value, "ndim", 0) != 1:
        return value
    # TensorFlow's tensors are told by NumPy's only.
    return value.tolist() if hasattr(value, "tolist") else value.numpy().tolist()


def sequence(each: Check, form: Callable[[Iterable[Any]], Any] = tuple) -> Check:
    """A list or tuple, each entry of which passes ``each``."""

    def convert(value: Any, owner: Any) -> Any:
        value = entries(value)
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise Wrong("a list")
        try:
            return form(each.convert(one, owner) for one in value)
        except Wrong as wrong:
            raise Wrong(f"a list, each entry {wrong}") from None

    return Check(convert)


def _row(each: Sequence[Check]) -> Check:
    """A list or tuple of so many entries, each of which passes its own check."""

    def convert(value: Any, owner: Any) -> tuple[Any, ...]:
        found = sequence(anything).convert(value, owner)
        if len(found) != len(each):
            raise Wrong(f"a list of {len(each)} entries")
        try:
            return tuple(check.convert(one, owner) for check, one in zip(each, found, strict=True))
        except Wrong as wrong:
            raise Wrong(f"a list of {len(each)} entries, one of them {wrong}") from None

    return Check(convert)


def _flag(value: Any, owner: Any) -> bool:
    value = number(value)
    if not isinstance(value, int) or value not in (0, 1):
        raise Wrong("True or False")
    return bool(value)


def _text(value: Any, owner: Any) -> str:
    if not isinstance(value, str):
        raise Wrong("a string")
    return value


def _function(value: Any, owner: Any) -> Any:
    if not callable(value) or isinstance(value, type):
        raise Wrong("a function")
    return value


def _nothing(value: Any, owner: Any) -> None:
    if value is not None:
        raise Wrong("None")


def _instance(kind: type) -> Check:
    def convert(value: Any, owner: Any) -> Any:
        if not isinstance(value, kind):
            raise Wrong(f"a {kind.__name__}")
        return value

    return Check(convert)


class _FrameworkDType:
    """Stands for the dtypes of frameworks where a `DTypeLike` is taken: ``torch.float32``, ``tf.float32``."""


def _framework_dtype(value: Any, owner: Any) -> Any:
    try:
        return dtype_of(value).name
    except UnknownName:
        raise Wrong("None") from None  # what else is taken says what is wrong


def _mapping(value: Any, owner: Any) -> Any:
    if not isinstance(value, Mapping):
        raise Wrong("a dict")
    return value


def _numbers(value: Any, owner: Any) -> Any:
    try:
        kind = np.asarray(value).dtype.kind
    except (TypeError, ValueError):  # lists of unequal lengths
        kind = "O"
    if kind not in "biuf":
        raise Wrong("a number or an array of numbers")
    return value


def _either(checks: Sequence[Check]) -> Check:
    def convert(value: Any, owner: Any) -> Any:
        wrong: dict[str, None] = {}  # in words; that None is right too goes without saying
        unknown: UnknownName | None = None
        for check in checks:
            try:
                return check.convert(value, owner)
            except Wrong as error:
                if str(error) != "None":
                    wrong[str(error)] = None
            except UnknownName as error:
                unknown = error
        if unknown is not None:
            raise unknown
        raise Wrong((", or " if any("," in text for text in wrong) else " or ").join(wrong))

    return Check(convert)


SIMPLE: dict[Any, Check] = {
    bool: Check(_flag),
    int: whole(),
    float: within("[-inf, inf]"),
    str: Check(_text),
    _FrameworkDType: Check(_framework_dtype),
    NoneType: Check(_nothing),
    Callable: Check(_function),
    Mapping: Check(_mapping),
    dict: Check(_mapping),
}
"""What a plain annotation means."""


def _name(value: Any, owner: Any) -> str:
    if not isinstance(value, str) or not value:
        raise Wrong("a name")
    return value


Name = Annotated[str, Check(_name)]
"""A string that is not empty."""
Size = Annotated[int, whole(1, LARGEST)]
"""How many of something there are, or how long an axis is."""
Count = Annotated[int, whole(0)]
"""A number that may be 0."""
Share = Annotated[float, within("[0, 1)")]
"""A part of the whole, which is never all of it."""
Fraction = Annotated[float, within("[0, 1]")]
"""A part of the whole."""
Amount = Annotated[float, within("[0, inf)")]
"""A finite number that is not negative."""
Positive = Annotated[float, within("(0, inf)")]
"""A finite number above 0."""
Real = Annotated[float, within("(-inf, inf)")]
"""A finite number."""

Numbers = Annotated[Any, Check(_numbers)]
"""A number, or a list or array of numbers."""

Location = Annotated[str | Path, meant(path_of)]
"""Where a file is: a string or any ``os.PathLike``, which become a `Path`."""


def check_of(annotation: Any) -> Check | None:
    """The check that an annotation means; None for one that means none, such as ``Any``."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        given = [extra for extra in parts[1:] if isinstance(extra, Check)]
        return given[0] if given else check_of(parts[0])
    if origin is Literal:
        return one_of(parts)
    if origin in (Union, UnionType):
        if set(get_args(DTypeLike)) <= set(parts):
            parts = (*parts, _FrameworkDType)
        checks = [check_of(part) for part in parts]
        known = [check for check in checks if check is not None]
        return _either(known) if len(known) == len(checks) else None
    if origin is Sequence or (origin is tuple and parts[-1] is ...):
        each = check_of(parts[0])
        return sequence(each) if each else None
    if origin is tuple:
        row = [check_of(part) for part in parts]
        return _row([check or anything for check in row])
    found = SIMPLE.get(origin or annotation)
    if found is None and isinstance(annotation, type) and annotation not in (Any, object):
        return _instance(annotation)
    return found


# ---------------------------------------------------------------- calls


def in_order(*positional: str) -> Callable[[T], T]:
    """`checked`, for a method whose ``**options: Unpack[TypedDict]`` may be given by position too, in this order."""
    return lambda function: checked(function, positional)


def checked(function: T, positional: Sequence[str] = ()) -> T:
    """``function``, or a class, whose arguments are checked by their annotations.

    What does not fit raises `ArgumentError`, an argument that there is none `UnknownName`. Keywords that
    ``**options: Unpack[TypedDict]`` takes are checked too, and shown in the signature; for ``positional``
    see `in_order`.
    """
    if isinstance(function, type):
        constructor = vars(function)["__init__"]
        if is_dataclass(function):
            constructor.__dataclass__ = function
        function.__init__ = checked(constructor)  # type: ignore[misc]
        return function
    signature = _written_out(function, positional)
    known = signature.parameters
    open_ended = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        is_method = bool(args) and next(iter(signature.parameters), "") == "self"
        owner: Any = function if not is_method or function.__name__ != "__init__" else type(args[0])
        kind = owner.__name__ if isinstance(owner, type) else _called(function)
        take = getattr(args[0], "take_options", None) if is_method else None
        if take is not None and isinstance(owner, type):
            take({name: kwargs.pop(name) for name in [*kwargs] if name not in known and not open_ended})
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise misfit(kind, signature, kwargs, error) from None
        bound.apply_defaults()  # they too are converted, but for a dataclass's mark of a default factory
        for name, check in _checks(function).items():
            value = bound.arguments.get(name, inspect.Parameter.empty)
            if type(value).__module__ != "dataclasses" and value is not inspect.Parameter.empty:
                bound.arguments[name] = convert(kind, name, value, check, owner)
        if positional:  # the function itself takes them by name
            return function(args[0], **dict(list(bound.arguments.items())[1:]))
        return function(*bound.args, **bound.kwargs)

    wrapped.__signature__ = signature  # type: ignore[attr-defined]
    wrapped.__checked__ = function  # type: ignore[attr-defined]  # for `arguments_of`
    return wrapped  # type: ignore[return-value]


def with_defaults(**defaults: Any) -> Callable[[Mixin], Mixin]:
    """A class decorator: the constructor that the class inherits takes, and shows, other ``defaults``.

    For classes that share a constructor and differ in how many sizes they have, as ``Conv1D`` and ``Conv2D``.
    """

    def rewrite(cls: Mixin) -> Mixin:
        inherited: Callable[..., None] = cls.__init__  # type: ignore[misc]  # the one that is called
        parameters = inspect.signature(inherited).parameters.values()
        order = [one.name for one in parameters]

        @wraps(inherited)
        def constructor(*args: Any, **kwargs: Any) -> None:
            left = {name: value for name, value in defaults.items() if name not in order[: len(args)]}
            inherited(*args, **{**left, **kwargs})

        shown_ones = [one.replace(default=defaults.get(one.name, one.default)) for one in parameters]
        constructor.__signature__ = inspect.Signature(shown_ones)  # type: ignore[attr-defined]
        cls.__init__ = constructor  # type: ignore[misc]
        return cls

    return rewrite


def part_of(name: str) -> Callable[[Mixin], Mixin]:
    """A class decorator: methods are called ``NAME.method`` in errors and documentation, for a mixin that users meet
    as a part of the class ``name`` only."""

    def rename(mixin: Mixin) -> Mixin:
        for method in vars(mixin).values():
            while inspect.isfunction(method):
                method.__qualname__ = f"{name}.{method.__name__}"
                method = getattr(method, "__wrapped__", None)
        return mixin

    return rename


def arguments_of(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], bool]:
    """What a call of a constructor gives each parameter, defaults too, converted if it is `checked`.

    Also whether it takes further keywords. Keywords that the signature does not show are left out.
    """
    signature = inspect.signature(function)
    kinds = {one.name: one.kind for one in signature.parameters.values()}
    more = next((name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_KEYWORD), None)
    shown_ones = {name: value for name, value in kwargs.items() if more is not None or name in kinds}
    bound = signature.bind(*args, **shown_ones)
    bound.apply_defaults()
    found = dict(bound.arguments)
    found.pop(next(iter(kinds)))
    found.update(found.pop(more) if more is not None else {})
    inner = getattr(function, "__checked__", None)
    if inner is not None:
        owner, checks = type(args[0]), _checks(inner)
        found = {
            name: convert(owner.__name__, name, value, checks[name], owner) if name in checks else value
            for name, value in found.items()
        }
    return found, more is not None


def convert(kind: str, name: str, value: Any, check: Check, owner: Any = None) -> Any:
    """``value`` of the argument ``name`` of ``kind`` as ``check`` gives it; its errors name both."""
    try:
        return check.convert(value, owner)
    except Wrong as wrong:
        raise ArgumentError(f"{kind}: {name} is {wrong}, not {shown(value)}.") from None
    except UnknownName as error:
        if error.kind == "value":
            raise UnknownName(f"{name} of {kind}", value, error.known) from None
        error.at(f"{kind}: {name}")
        raise
    except UnifrontError as error:
        error.at(f"{kind}: {name}")
        raise


def shown(value: Any) -> str:
    """``value`` as errors print it: on one line, and not at length."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}…"


def _called(function: Callable[..., Any]) -> str:
    return function.__qualname__.rpartition("<locals>.")[2]


@cache
def _checks(function: Callable[..., Any]) -> dict[str, Check]:
    """The check of each parameter that has one; made at the first call, when all names are defined."""
    hints = _hints(_undecorated(function))
    options = {
        name: hint for one in hints.values() for name, hint in _options(one).items() if name not in hints
    }
    found = {name: check_of(hint) for name, hint in {**hints, **options}.items() if name != "return"}
    return {name: check for name, check in found.items() if check is not None}


def _hints(function: Any) -> dict[str, Any]:
    """The annotations of the parameters of a function, or of the fields of a class; what it gives may have a name that
    type checkers alone know."""
    if isinstance(function, type):
        return typing.get_type_hints(function, include_extras=True)
    written = inspect.unwrap(function)
    if isinstance(written, partial):  # what it has fixed is no parameter any more, and never asked for
        written = written.func
    parameters = {name: hint for name, hint in written.__annotations__.items() if name != "return"}
    stub = SimpleNamespace(__annotations__=parameters)
    return typing.get_type_hints(stub, written.__globals__, include_extras=True)


def _undecorated(function: Callable[..., Any]) -> Any:
    """What holds the annotations of ``function``: of a dataclass's constructor, the class."""
    owner = getattr(function, "__dataclass__", None)
    return owner or function


def _options(hint: Any) -> dict[str, Any]:
    """The keywords that ``**options: Unpack[TypedDict]`` stands for."""
    if get_origin(hint) is typing.Unpack:
        return typing.get_type_hints(get_args(hint)[0], include_extras=True)
    return {}


def _written_out(function: Callable[..., Any], positional: Sequence[str]) -> inspect.Signature:
    """The signature, with the keywords of ``**options: Unpack[…]`` in their place, those ``positional`` first."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    last = parameters[-1] if parameters else None
    if (
        last is None
        or last.kind is not inspect.Parameter.VAR_KEYWORD
        or "Unpack[" not in str(last.annotation)
    ):
        return signature
    stub = SimpleNamespace(__annotations__={"options": last.annotation})
    hints = typing.get_type_hints(stub, function.__globals__, include_extras=True)
    keywords = (
        one for one in _keywords(hints["options"], tuple(positional)) if one.name not in signature.parameters
    )
    return signature.replace(parameters=[*parameters[:-1], *keywords])


@cache  # many layers take the same options
def _keywords(hint: Any, positional: tuple[str, ...]) -> tuple[inspect.Parameter, ...]:
    """The parameters that ``**options: Unpack[…]`` stands for, those ``positional`` first."""
    options = _options(hint)
    kinds = dict.fromkeys(positional, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(
        inspect.Parameter(
            name, kinds.get(name, inspect.Parameter.KEYWORD_ONLY),
            default=_default(options[name]), annotation=_plain(options[name]),
        )
        for name in (*positional, *(name for name in options if name not in kinds))
    )  # fmt: skip


def _default(hint: Any) -> Any:
    given = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Default)]
    return given[0].value if given else None


def _plain(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def misfit(
    kind: str, signature: inspect.Signature, kwargs: Mapping[str, Any], error: TypeError
) -> UnifrontError:
    """The error of a call that does not fit the signature."""
    known = [name for name in signature.parameters if name != "self"]
    for name in kwargs:
        if name not in known:
            return UnknownName(f"argument of {kind}", name, known)
    return ArgumentError(f"{kind}: {error}; it takes {', '.join(known)}.")
