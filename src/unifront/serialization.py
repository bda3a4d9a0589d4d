"""Objects as plain data and back, in Keras 3's format. It holds no code, and reading it runs none.

An object is described by ``{"module", "class_name", "config", "registered_name"}``, where ``config`` is what its
``get_config`` gives. Reading finds classes in our own namespaces (`HOMES`), among those that were registered
and among ``custom_objects``; what a description names is never imported.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from functools import cache
from types import BuiltinFunctionType, EllipsisType, FunctionType
from typing import Any, Self, TypeVar

import numpy as np

from unifront.arguments import shown
from unifront.backends import backend_of
from unifront.dtypes import DType, dtype_of
from unifront.errors import ArgumentError, UnifrontError, UnknownName
from unifront.ir.dims import DimExpr, parse_dim

T = TypeVar("T")

HOMES: dict[str, str] = {
    "keras.layers": "unifront.layers",
    "keras.initializers": "unifront.layers.initializers",
    "keras.regularizers": "unifront.layers.regularizers",
    "keras.constraints": "unifront.layers.constraints",
    "keras.activations": "unifront.activations",
    "keras.losses": "unifront.train.losses",
    "keras.metrics": "unifront.train.metrics",
    "keras.optimizers": "unifront.train.optimizers",
    "keras.optimizers.schedules": "unifront.train.schedules",
    "keras.dtype_policies": "unifront.dtype_policies",
    "keras.quantizers": "unifront.quantizers",
    "keras.random": "unifront.random",
    "keras.ops": "unifront.ops",
    "keras.utils": "unifront.utils.feature_space",
    "keras.src.layers.preprocessing.feature_space": "unifront.utils.feature_space",
    "keras": "unifront",
}
"""Keras's public namespaces, by which descriptions name ours."""

_CALLED = {"Functional": "Model"}
"""Classes of Keras's that are called otherwise here."""

_TOLD_OF = {
    "DTypePolicy": "keras",
    "FloatDTypePolicy": "keras",
    **dict.fromkeys(("Cross", "Feature", "TFDIdentity"), "keras.src.layers.preprocessing.feature_space"),
}
"""Classes that descriptions name in another of the namespaces that have them."""

_REGISTERED: dict[str, Any] = {}
_NAMES: dict[Any, str] = {}
_scopes: ContextVar[Mapping[str, Any]] = ContextVar("unifront_custom_objects", default={})  # noqa: B039  # never changed


class Configured:
    """What can be told by the arguments of its constructor, which are attributes under their names."""

    def get_config(self) -> dict[str, Any]:
        """The arguments to make it again with."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The object that gave ``config`` by `get_config`."""
        return cls(**config)


# ---------------------------------------------------------------- names of one's own


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """A decorator: a class or function found again by its name when a description of it is read.

    Args:
        package, name: it is called ``package>name``; by default after itself.

    Raises `ArgumentError` for a class without ``get_config``. Source: ``keras.saving``.

    Example::

        @uf.saving.register_keras_serializable("mine")
        class Twice(uf.Layer):
            def call(self, x):
                return 2.0 * x
    """

    def register(thing: T) -> T:
        if isinstance(thing, type) and not hasattr(thing, "get_config"):
            raise ArgumentError(
                "Cannot register a class that does not have a get_config() method; "
                f"{thing.__name__} has none, so nothing tells how to make it again."
            )
        called = f"{package}>{name if name is not None else getattr(thing, '__name__', '')}"
        _REGISTERED[called] = thing
        _NAMES[thing] = called
        return thing

    return register


class CustomObjectScope:
    """A block in which ``custom_objects``, by name, are found when descriptions are read.

    Example::

        with uf.saving.custom_object_scope({"Twice": Twice}):
            layer = uf.saving.deserialize_keras_object(description)
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None) -> None:
        self.custom_objects = dict(custom_objects or {})
        self._tokens: list[Token[Mapping[str, Any]]] = []

    def __enter__(self) -> Self:
        self._tokens.append(_scopes.set({**_scopes.get(), **self.custom_objects}))
        return self

    def __exit__(self, *_: object) -> None:
        _scopes.reset(self._tokens.pop())


custom_object_scope = CustomObjectScope


def get_custom_objects() -> dict[str, Any]:
    """The table of `register_keras_serializable`, which may be changed."""
    return _REGISTERED


def get_registered_name(obj: Any) -> str:
    """What ``obj``, a class or function, is registered as; else its own name."""
    return _NAMES.get(obj, getattr(obj, "__name__", str(obj)))


def get_registered_object(
    name: str,
    custom_objects: Mapping[str, Any] | None = None,
    module_objects: Mapping[str, Any] | None = None,
) -> Any:
    """The class or function called ``name`` in a scope, among those registered, or in one of the tables; else None."""
    for known in (_scopes.get(), _REGISTERED, custom_objects or {}, module_objects or {}):
        if name in known:
            return known[name]
    return None


# ---------------------------------------------------------------- describing


def _named(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def serialize_keras_object(obj: Any) -> Any:
    """``obj`` as plain data: None, numbers, strings, lists and dicts of these.

    Args:
        obj: an object with ``get_config``, a function that has a name, an array, or a structure of such.

    Raises `ArgumentError` for what has neither config nor name, such as a lambda: plain data holds no code.
    Source: ``keras.saving.serialize_keras_object``.
    """
    match obj:
        case None | bool() | int() | float() | str():
            return obj
        case list() | tuple():
            return (
                type(obj)(serialize_keras_object(one) for one in obj)
                if type(obj) in (list, tuple)
                else [serialize_keras_object(one) for one in obj]
            )
        case dict():
            return {key: serialize_keras_object(value) for key, value in obj.items()}
        case bytes():
            return _named("__bytes__", value=obj.decode("utf-8"))
        case slice():
            ends = {"start": obj.start, "stop": obj.stop, "step": obj.step}
            return _named("__slice__", **{name: serialize_keras_object(end) for name, end in ends.items()})
        case EllipsisType():
            return _named("__ellipsis__")
        case DType():
            return obj.name
        case DimExpr():
            return _named("__dimension__", value=str(obj))
        case np.generic():
            return obj.item()
        case np.ndarray():
            return obj.item() if obj.ndim == 0 else array_config(obj)
    backend = backend_of(obj)
    if backend is not None:
        return array_config(backend.numpy(obj), "__tensor__")
    if isinstance(obj, FunctionType | BuiltinFunctionType) or (
        callable(obj) and not hasattr(obj, "get_config")
    ):
        return _function(obj)
    if isinstance(obj, type) or not hasattr(obj, "get_config"):
        raise ArgumentError(f"{obj!r} cannot be told as plain data: its class has no get_config().")
    config = obj.get_config()
    if not isinstance(config, dict):
        raise ArgumentError(f"get_config() of {type(obj).__name__} gives a dict, not {config!r}.")
    found = {**_class_of(type(obj)), "config": serialize_keras_object(config)}
    found = {key: found[key] for key in ("module", "class_name", "config", "registered_name")}
    for what in ("build", "compile"):
        more = getattr(obj, f"get_{what}_config", lambda: None)()
        if more is not None and more != {}:
            found[f"{what}_config"] = serialize_keras_object(more)
    return found


def array_config(array: np.ndarray, kind: str = "__numpy__") -> dict[str, Any]:
    """The description of an array, in which its numbers stand."""
    wide = array.astype(np.float64) if array.dtype.kind == "V" else array
    return _named(kind, value=wide.tolist(), dtype=dtype_of(array.dtype).name)


def _function(function: Any) -> dict[str, Any]:
    name = getattr(function, "__name__", "")
    if not name or name == "<lambda>":
        raise ArgumentError(
            f"{function!r} cannot be told as plain data, which holds no code. Give a named function, and register "
            "it (uf.saving.register_keras_serializable), or write a layer."
        )
    home = _public_name(function)
    module, called = home or (getattr(function, "__module__", None), get_registered_name(function))
    return {"module": module, "class_name": "function", "config": called, "registered_name": called}


def _class_of(cls: type) -> dict[str, Any]:
    home = None if cls in _NAMES else _public_name(cls)
    if home is not None:
        home = (_TOLD_OF.get(cls.__name__, home[0]), home[1])
        return {"module": home[0], "class_name": home[1], "registered_name": None}
    return {"module": cls.__module__, "class_name": cls.__name__, "registered_name": get_registered_name(cls)}


@cache
def _public_name(thing: Any) -> tuple[str, str] | None:
    """Keras's namespace in which ``thing`` of ours is public, and its name there."""
    name = getattr(thing, "__name__", "")
    if not str(getattr(thing, "__module__", "")).startswith("unifront"):
        return None
    for home in HOMES:
        if getattr(_home(home), name, None) is thing:
            return home, name
    return None


@cache
def _home(name: str) -> Any:
    """Our namespace of Keras's ``name``; an empty one if there is none yet."""
    try:
        return importlib.import_module(HOMES[name])
    except ModuleNotFoundError:
        return None


# ---------------------------------------------------------------- reading

_trusts: ContextVar[bool | None] = ContextVar("unifront_trusted_descriptions", default=None)
"""Whether the description that is read is trusted; None while none is."""


@contextmanager
def trusting(trusted: bool) -> Iterator[None]:
    """A block in which descriptions are read; what is read inside of another is trusted as that is."""
    outer = _trusts.get()
    token = _trusts.set(trusted if outer is None else outer)
    try:
        yield
    finally:
        _trusts.reset(token)


def check_trusted(what: str) -> None:
    """Raise `ArgumentError` if it is a description that nobody trusts that asks for ``what``."""
    if _trusts.get() is False:
        raise ArgumentError(
            f"The description names {what}, and whoever wrote it may not say what is read or run here. If you trust "
            "it, give safe_mode=False to uf.saving.load_model or deserialize_keras_object."
        )


@contextmanager
def making(cls: Any, config: Any) -> Iterator[None]:
    """A block that makes a ``cls`` of a description, whose faults become an `ArgumentError`; those of a user's own
    class do if they are such as wrong arguments give."""
    from unifront.files import BROKEN  # with what reads archives: a layer needs none

    ours = str(getattr(cls, "__module__", "")).startswith("unifront.")
    faults: tuple[type[BaseException], ...] = BROKEN if ours else (TypeError, KeyError, ValueError)
    try:
        yield
    except UnifrontError:
        raise
    except RecursionError:
        raise ArgumentError(
            f"The description of a {cls.__name__} nests deeper than any that is made."
        ) from None
    except faults as error:
        raise ArgumentError(
            f"{cls.__name__} cannot be made from the config {shown(config)}: {error}. Its from_config() makes "
            "objects of the parts that get_config() described."
        ) from error


_DATA: dict[str, Callable[[Any], Any]] = {
    "__numpy__": lambda c: np.array(c["value"], dtype_of(c["dtype"]).numpy),
    "__tensor__": lambda c: np.array(c["value"], dtype_of(c["dtype"]).numpy),
    "__bytes__": lambda c: c["value"].encode("utf-8"),
    "__ellipsis__": lambda c: ...,
    "__dimension__": lambda c: parse_dim(c["value"]),
    "__slice__": lambda c: slice(*(deserialize_keras_object(c[end]) for end in ("start", "stop", "step"))),
    "__tuple__": lambda c: tuple(deserialize_keras_object(one) for one in c["value"]),
}
"""Descriptions that are no classes of ours, and what they stand for."""


def deserialize_keras_object(
    config: Any, custom_objects: Mapping[str, Any] | None = None, safe_mode: bool = True, **options: Any
) -> Any:
    """What `serialize_keras_object`, or Keras's own function of this name, described.

    Args:
        config: the description, or a structure of descriptions and plain data.
        custom_objects: classes and functions by name, beside those registered.
        safe_mode: whether to refuse a description that names files to read, as a vocabulary may be; code in it is
            refused either way.
        options: ``module_objects``, a further table of names.

    Raises `UnknownName` for a class that is not known, `ArgumentError` for a description that is none, or that
    holds code (``__lambda__``). Source: ``keras.saving.deserialize_keras_object``.
    """
    module_objects = options.pop("module_objects", None)
    if options:
        raise UnknownName("argument of deserialize_keras_object", next(iter(options)), ["module_objects"])
    known = CustomObjectScope({**(module_objects or {}), **(custom_objects or {})})
    with known, trusting(not safe_mode):
        if isinstance(config, str) and module_objects and config in module_objects:
            return _made(module_objects[config], {})
        try:
            return _read(config)
        except RecursionError:
            raise ArgumentError("The description nests deeper than any that is made.") from None


def _read(config: Any) -> Any:
    match config:
        case None | bool() | int() | float() | str():
            return get_registered_object(config) or config if isinstance(config, str) else config
        case list() | tuple():
            return [_read(one) for one in config]
        case {"class_name": str(name), "config": inner}:
            return _object(name, inner, config)
        case dict():
            return {key: _read(value) for key, value in config.items()}
    raise ArgumentError(f"A description is plain data, not {shown(config)}.")


def _object(name: str, inner: Any, config: Mapping[str, Any]) -> Any:
    if name == "__lambda__":
        raise ArgumentError(
            "The description holds a Python lambda, that is code, and none is run from a file. Give the function "
            "by name in custom_objects and describe it so, or write a layer."
        )
    if name in _DATA:
        try:
            return _DATA[name](inner)
        except UnifrontError:
            raise
        except (AttributeError, LookupError, MemoryError, OverflowError, TypeError, ValueError) as error:
            raise ArgumentError(f"The description of a {name} is broken: {error}.") from error
    module, called = config.get("module"), config.get("registered_name")
    if name == "function":
        if not isinstance(inner, str):
            raise ArgumentError(f"A function is described by its name, not by {shown(inner)}.")
        return _found(inner, called, module, "function")
    cls = _found(name, called, module, "class")
    if not isinstance(cls, type) and not hasattr(cls, "from_config"):
        return cls
    if not isinstance(inner, dict | None):
        raise ArgumentError(f"The config of a {name} is a dict, not {shown(inner)}.")
    made = _made(cls, inner or {})
    for what in ("build", "compile"):
        more, take = config.get(f"{what}_config"), getattr(made, f"{what}_from_config", None)
        if more is not None and take is not None:
            with making(cls, more):
                take(more)
    return made


def _made(cls: Any, config: Mapping[str, Any]) -> Any:
    if not hasattr(cls, "from_config"):
        if isinstance(cls, type):
            raise ArgumentError(
                f"The class {cls.__name__} has no from_config(), so it cannot be made from data."
            )
        return cls
    with making(cls, config):
        return cls.from_config(dict(config))


def _found(name: str, registered: Any, module: Any, what: str) -> Any:
    for key in (registered, name):
        found = get_registered_object(key) if isinstance(key, str) else None
        if found is not None:
            return found
    if isinstance(module, str | None):
        for home in (
            _homes_of(module) if module else ("keras.layers", "keras")
        ):  # older descriptions name no module
            space, public = _home(home), _CALLED.get(name, name)
            if home == "keras" and public not in space.__all__:
                continue  # it would look for a module of this name
            found = getattr(space, public, None)
            if found is not None and _is_public(found) and (home != "keras" or isinstance(found, type)):
                return found  # what unifront itself does (load, set_floatx …) is no part of a model
    known = sorted({**_REGISTERED, **_scopes.get()})
    raise UnknownName(
        f"{what} (it is not registered by uf.saving.register_keras_serializable, nor in custom_objects)",
        name,
        known,
    )


def _is_public(found: Any) -> bool:
    """Whether it is one of our classes or functions, not a module or a helper that a namespace imports."""
    own = str(getattr(found, "__module__", "")).startswith("unifront")
    return own and callable(found) and not str(getattr(found, "__name__", "_")).startswith("_")


def _homes_of(module: str) -> Iterator[str]:
    """Where the things of Keras's ``module`` are, also of one inside Keras (``keras.src.models.functional``)."""
    if module in HOMES:
        yield module
    elif module.startswith("keras.src.") or module == "builtins":
        part = f"keras.{module.removeprefix('keras.src.').partition('.')[0]}"
        yield from (home for home in (part, "keras", "keras.ops", "keras.activations") if home in HOMES)


def identified(
    kind: str,
    identifier: Any,
    known: Mapping[str, Any],
    *,
    makes: bool = True,
    what: str = "a name or a callable",
) -> Any:
    """The object meant by a name, a class, a description, or by itself; None stays None.

    Args:
        kind: what is sought, as errors call it.
        known: names, and the classes (or functions) that they mean.
        makes: whether a class is made into an object with its defaults.
        what: what is taken, as errors say it.

    Raises `UnknownName` for another name, `ArgumentError` for what is none of these.
    """
    if isinstance(identifier, dict):
        identifier = deserialize_keras_object(identifier, module_objects=known)
    elif isinstance(identifier, str):
        found = get_registered_object(identifier, module_objects=known)
        if found is None:
            raise UnknownName(kind, identifier, known)
        identifier = found
    if isinstance(identifier, type) and makes:
        identifier = identifier()
    if identifier is not None and (not callable(identifier) or isinstance(identifier, type)):
        article = "An" if kind[0] in "aeiou" else "A"
        raise ArgumentError(f"{article} {kind} is {what}, not {shown(identifier)}.")
    return identifier
