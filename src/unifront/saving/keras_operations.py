"""Operations between the layers of a model in Keras's words: of which class each is, and what its config has.

Source: ``keras.src.ops`` (Keras 3.15), whose operations are objects made with all arguments but the tensors.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from unifront import ops
from unifront.model_config import FUNCTION, OPERATION

_ELEMENTWISE = {
    "numpy": (
        "add subtract multiply divide=TrueDivide floor_divide remainder=Mod power maximum minimum negative "
        "abs=Absolute sign square exp expm1 log log1p sqrt reciprocal sin cos tan arcsin arccos arctan sinh cosh tanh "
        "arctan2 floor "
        "ceil equal not_equal less less_equal greater greater_equal logical_and logical_or logical_not where matmul"
    ),
    "math": "rsqrt erf",
    "nn": "relu relu6 sigmoid silu softplus softsign selu hard_sigmoid gelu leaky_relu elu",
}
_OTHERS = {
    "core": "cast",
    "numpy": (
        "sum mean max min prod all any var std argmax argmin expand_dims squeeze transpose concatenate stack tile flip "
        "clip cumsum take reshape split pad repeat einsum get_item"
    ),
    "math": "logsumexp",
    "image": "image.resize=Resize",
    "nn": "softmax log_softmax one_hot",
}


def _table() -> dict[str, tuple[str, str]]:
    found = {}
    for names in (_ELEMENTWISE, _OTHERS):
        for module, text in names.items():
            for one in text.split():
                name, _, cls = one.partition("=")
                found[name] = (
                    f"keras.src.ops.{module}",
                    cls or "".join(map(str.capitalize, name.split("_"))),
                )
    return found


CLASSES = _table()
"""The module and class of each operation of ours that Keras has."""
_RENAMED = {"axes": "axis", "minimum": "x_min", "maximum": "x_max"}
"""Attributes that Keras calls otherwise, but for the ``axes`` of a transposition."""
_LISTED = ("concatenate", "stack")
"""Operations whose operands are one list."""
_DEFAULTS = {"reverse": False, "exclusive": False}
"""Attributes that Keras has not, and what it does."""


def in_keras_words(told: Any) -> Any:
    """A description in which calls of operations are Keras's, where Keras has them; others are left as they are."""
    if isinstance(told, list):
        return [in_keras_words(one) for one in told]
    if not isinstance(told, dict):
        return told
    if told.get("module") in (OPERATION, FUNCTION) and told.get("class_name") == "function":
        return _operation(told) or told
    return {key: in_keras_words(one) for key, one in told.items()}


def _operation(entry: Mapping[str, Any]) -> dict[str, Any] | None:
    name, nodes = entry["config"], entry["inbound_nodes"]
    if name not in CLASSES or len(nodes) != 1:
        return None
    args, kwargs = nodes[0]["args"], dict(nodes[0]["kwargs"])
    if entry["module"] == OPERATION:
        config = _attributes(name, kwargs)
        if name == "one_hot" and kwargs["axis"] == len(args[0]["config"]["shape"]):
            config = {**kwargs, "axis": -1}  # the last of the result's, as Keras wants it
        args = [args] if name in _LISTED else args
    else:
        args, config = _arguments(name, args, kwargs)
    if config is None:
        return None
    module, cls = CLASSES[name]
    called = {"module": module, "class_name": cls, "registered_name": cls, "name": entry["name"]}
    return {
        **called,
        "config": {"name": entry["name"], **config},
        "inbound_nodes": [{"args": args, "kwargs": {}}],
    }


def _attributes(name: str, given: dict[str, Any]) -> dict[str, Any] | None:
    """The config of the operation ``name`` with these attributes; None where Keras's cannot do that."""
    if any(given.pop(key, usual) != usual for key, usual in _DEFAULTS.items()):
        return None
    if name == "transpose":
        return given
    return {_RENAMED.get(key, key): _alone(one) if key == "axes" else one for key, one in given.items()}


def _alone(axes: Any) -> Any:
    return axes[0] if isinstance(axes, list | tuple) and len(axes) == 1 else axes


def _arguments(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any] | None]:
    """The tensors, and the rest as a config, of a call of a function."""
    if name == "get_item":
        return args, {}
    if name == "einsum":
        return args[1:], {"subscripts": args[0], **kwargs}
    names = list(inspect.signature(attrgetter(name)(ops)).parameters)
    config = {**dict(zip(names[1:], args[1:], strict=False)), **kwargs}
    return args[:1], None if _holds_tensor(config) else config


def _holds_tensor(told: Any) -> bool:
    if isinstance(told, dict):
        return told.get("class_name") == "__keras_tensor__" or any(map(_holds_tensor, told.values()))
    return isinstance(told, list) and any(map(_holds_tensor, told))
