"""Layers as plain data: the arguments of their constructors, noted when they are made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Self

from unifront import tree
from unifront.activations import name_of
from unifront.arguments import arguments_of, shown
from unifront.dtype_policies import DTypePolicy
from unifront.errors import ArgumentError
from unifront.ir.dims import DimExpr
from unifront.serialization import deserialize_keras_object, making, serialize_keras_object


class Noted:
    """What each class's constructor was given. No dict, so that layers in it are not taken for children."""

    def __init__(self) -> None:
        self.calls: dict[type, tuple[tuple[Any, ...], dict[str, Any]]] = {}


def noting(cls: type, constructor: Callable[..., None]) -> Callable[..., None]:
    """``constructor`` of ``cls``, noting what it is given."""

    @wraps(constructor)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        noted = vars(self).setdefault("_given_arguments", Noted())
        noted.calls.setdefault(cls, (args, dict(kwargs)))
        constructor(self, *args, **kwargs)

    return wrapped


class Described:
    """What a layer tells of itself as plain data, and how it is made from that."""

    if TYPE_CHECKING:
        trainable: bool
        built: bool
        activity_regularizer: Any
        _policy: DTypePolicy | None

        @property
        def name(self) -> str: ...

        def build(self, *shapes: Any) -> None: ...

    def get_config(self) -> dict[str, Any]:
        """The layer without its weights, as plain data: name, dtype, and the arguments it was made with.

        A class that overrides this adds its own to ``super().get_config()``, as in Keras; one that does not is told by
        the arguments of its constructor.

        Example::

            layer = layers.Dense(3, activation="relu")
            again = layers.Dense.from_config(layer.get_config())
        """
        base = self._base_config()
        cls = self._told_class()
        if cls is None:
            return base
        noted: Noted = vars(self)["_given_arguments"]
        args, kwargs = noted.calls[cls]
        arguments, takes_more = arguments_of(vars(cls)["__init__"], (self, *args), kwargs)
        own = cls.__module__.startswith("unifront.")
        told = {
            name: plain(self.told_argument(name, value) if own else value)
            for name, value in arguments.items()
            if name not in {*base, "activity_regularizer"}
        }
        if told.get("lora_rank", 0) is None:  # as in Keras, told only where there is one
            told = {name: value for name, value in told.items() if name not in ("lora_rank", "lora_alpha")}
        kept = {name: value for name, value in base.items() if takes_more or name in arguments}
        return {**kept, **told}

    def told_argument(self, name: str, given: Any) -> Any:
        """What `get_config` tells of an argument of our layers: the attribute called so, else what was given."""
        return vars(self).get(name, given)

    def _base_config(self) -> dict[str, Any]:
        config = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": serialize_keras_object(self._policy),
        }
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = plain(self.activity_regularizer)
        return config

    def _told_class(self) -> type | None:
        """The class whose constructor's arguments `get_config` gives: the first behind those that override it."""
        classes = [cls for cls in type(self).__mro__ if issubclass(cls, Described)]
        overriding = [
            i for i, cls in enumerate(classes) if "get_config" in vars(cls) and cls is not Described
        ]
        noted = vars(self).get("_given_arguments", Noted())
        after = classes[overriding[-1] + 1 if overriding else 0 :]
        return next((cls for cls in after if cls in noted.calls), None)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new layer from what `get_config` gave, here or in Keras; its weights are fresh.

        Raises `UnknownName` for a class in it that is not known (see `uf.saving.register_keras_serializable`).
        """
        with making(cls, config):
            return cls(**{name: revived(value) for name, value in config.items()})

    def get_build_config(self) -> dict[str, Any] | None:
        """The shapes that `build` was given, free sizes as None; None before that."""
        shapes = vars(self).get("_built_for")
        if shapes is None:
            return None
        fixed = tree.map_leaves(lambda dim: None if isinstance(dim, DimExpr) else dim, shapes)
        return {"input_shape": fixed[0]} if len(fixed) == 1 else {"shapes": list(fixed)}

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Make the weights for the shapes that `get_build_config` gave, here or in Keras."""
        shapes = [config["input_shape"]] if "input_shape" in config else config.get("shapes", ())
        if not self.built and shapes:
            self.build(*map(_shape, shapes))


def _shape(given: Any) -> Any:
    """JSON has lists where shapes are tuples."""
    if isinstance(given, list | tuple):
        nested = any(isinstance(one, list | tuple) for one in given)
        return [_shape(one) for one in given] if nested else tuple(given)
    return given


def plain(value: Any) -> Any:
    """``value`` of an argument as plain data; an activation by its name alone, as in Keras.

    A layer is told without what it was built for, see `inner`.
    """
    name = name_of(value) if callable(value) else None
    if name is not None:
        return name
    if isinstance(value, list | tuple) and any(isinstance(one, Described) for one in value):
        return [plain(one) for one in value]
    return inner(value) if isinstance(value, Described) else serialize_keras_object(value)


def inner(layer: Described) -> dict[str, Any]:
    """The description of a layer in another, whose calls build it: without what it was built for, unless its class
    tells or takes that in a way of its own."""
    told: dict[str, Any] = serialize_keras_object(layer)
    return told if _builds_itself(type(layer)) else {key: told[key] for key in told if key != "build_config"}


def inner_from(told: Mapping[str, Any]) -> Any:
    """What `inner`, or Keras, described; of ``build_config`` as there."""
    made = deserialize_keras_object({key: told[key] for key in told if key != "build_config"})
    more = told.get("build_config")
    if more is not None and _builds_itself(type(made)):
        with making(type(made), more):
            made.build_from_config(more)
    return made


def _builds_itself(cls: type) -> bool:
    return any(
        name in vars(one)
        for one in cls.__mro__
        if issubclass(one, Described) and not one.__module__.startswith("unifront.")
        for name in ("get_build_config", "build_from_config")
    )


def revived(value: Any) -> Any:
    """``value`` of a config with the objects described in it made; other dicts are kept."""
    if isinstance(value, list) and any(_is_described(one) for one in value):
        return [revived(one) for one in value]
    if not _is_described(value):
        return value
    return inner_from(value)


def _is_described(value: Any) -> bool:
    return isinstance(value, dict) and "class_name" in value and "config" in value


def layer_from(config: Any, read: Callable[[Any], Any] = deserialize_keras_object) -> Any:
    """The layer that a description means; `ArgumentError` if it is something else."""
    from unifront.layers.layer import Layer

    made = read(config)
    if not isinstance(made, Layer):
        raise ArgumentError(f"A layer is described by a class and its config; {shown(made)} came of it.")
    return made


def serialize(layer: Any) -> Any:
    """A layer as plain data, which `deserialize` reads; see `uf.saving.serialize_keras_object`."""
    return serialize_keras_object(layer)


def deserialize(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The layer that `serialize` described, here or in Keras; `ArgumentError` for what is none."""
    return layer_from(config, partial(deserialize_keras_object, custom_objects=custom_objects))
