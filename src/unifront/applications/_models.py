"""The functions of ``keras.applications``, made from the zoo's entries that carry their names."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from typing import Any

from unifront import layers, zoo
from unifront.errors import ArgumentError, ShapeError, UnknownName
from unifront.model import Model
from unifront.opset.data_format import image_data_format
from unifront.opset.tensor import Symbolic
from unifront.saving.foreign import refuse_names
from unifront.utils import get_source_inputs

Shape = tuple[int | None, int | None, int]
STANDARD = "include_top weights input_tensor input_shape pooling classes classifier_activation name"
"""The arguments of most of the functions, in their order."""
_DEFAULTS: dict[str, Any] = {
    "include_top": True, "weights": "imagenet", "input_tensor": None, "input_shape": None, "pooling": None,
    "classes": 1000, "classifier_activation": "softmax", "include_preprocessing": True, "alpha": 1.0,
    "depth_multiplier": 1, "dropout": 0.001, "dropout_rate": 0.2, "minimalistic": False,
}  # fmt: skip
_COMMON = {*STANDARD.split()}
_POOLING: dict[str, Any] = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
_DOC = """{name} as ``keras.applications`` has it: {summary}

    Args:
        include_top: whether it classifies; else it gives the feature map, or that pooled.
        weights: a file (see `unifront.zoo.create`), or None for fresh weights. ``"imagenet"``, which Keras downloads,
            is refused.
        input_tensor: a tensor of `uf.Input`, or computed from one, that the model is to take.
        input_shape: ``(height, width, channels)``, at least {least} × {least}; {size} × {size} × 3 unless given.
        pooling: ``"avg"``, ``"max"`` or None, of the feature map where there is no top.
        classes: how many the top tells apart.
        classifier_activation: of the top; None for logits.
        name: the model's.

    Raises `ArgumentError` for other arguments, `ShapeError` for a shape that does not fit; ValueErrors both.
    """


def application(
    keras_name: str, size: int, least: int = 32, *, name: str | None = None, named: str = "",
    arguments: str = STANDARD, fixed_top: bool = True, fixed_body: bool = False,
) -> Callable[..., Model]:  # fmt: skip
    """The function ``keras.applications.KERAS_NAME``.

    Args:
        keras_name: the function's name, by which the zoo's entry is found.
        size: the usual height and width of images.
        least: the smallest.
        name: the default of the argument ``name``.
        named: what a model without a name is called, of ``alpha`` and ``rows``.
        arguments: its arguments in order.
        fixed_top: whether images are of ``size`` where a top is asked for and no shape given; else they are of any.
        fixed_body: likewise without a top.
    """
    names = arguments.split()
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    defaults = {**_DEFAULTS, "name": name}
    signature = inspect.Signature([inspect.Parameter(one, keyword, default=defaults[one]) for one in names])

    def function(*args: Any, **kwargs: Any) -> Model:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise ArgumentError(f"{keras_name} takes {', '.join(names)}: {error}.") from None
        asked = {**{one: defaults[one] for one in names}, **given}
        own = {one: value for one, value in asked.items() if one not in _COMMON and value != defaults[one]}
        shape = _input_shape(keras_name, asked, size, least, (fixed_body, fixed_top))
        asked["name"] = asked["name"] or named.format(alpha=asked.get("alpha"), rows=shape[0])
        return _made(_entry(keras_name), asked, shape, own)

    function.__name__ = function.__qualname__ = keras_name
    function.__signature__ = signature  # type: ignore[attr-defined]  # what inspect and editors show
    function.__doc__ = _DOC.format(
        name=keras_name, least=least, size=size, summary="a model of the zoo, layer by layer."
    )
    return function


def _entry(keras_name: str) -> zoo.Entry:
    found = {entry.keras: entry for entry in zoo.entries() if entry.keras is not None}
    if keras_name not in found:
        raise UnknownName("application among the models of the zoo", keras_name, found)
    return found[keras_name]


def _made(entry: zoo.Entry, asked: dict[str, Any], shape: Shape, own: dict[str, Any]) -> Model:
    weights, top, pooling, tensor = (
        asked[one] for one in ("weights", "include_top", "pooling", "input_tensor")
    )
    if weights is not None and not isinstance(weights, str | os.PathLike):
        raise ArgumentError(f"weights is a path or None, not {weights!r}.")
    refuse_names(weights)
    if pooling is not None and pooling not in _POOLING:
        raise ArgumentError(f"pooling is 'avg', 'max' or None, not {pooling!r}.")
    head = {"classifier_activation": asked["classifier_activation"]} if top else {}
    model = zoo.create(
        entry.name, weights, input_shape=shape, classes=asked["classes"] if top else None, **head, **own
    )
    inputs, output = model.inputs, model.outputs[0]
    if tensor is not None:
        inputs, output = get_source_inputs(tensor), model.call(tensor)
    if not top and pooling is not None:
        output = _POOLING[pooling]()(output)
    name = asked["name"] or model.name
    if tensor is None and output is model.outputs[0] and name == model.name:
        return model
    return Model(inputs[0] if len(inputs) == 1 else inputs, output, name=name)


def _input_shape(
    keras_name: str, asked: dict[str, Any], size: int, least: int, fixed: tuple[bool, bool]
) -> tuple[Any, ...]:
    """The shape of an image: what is asked for, checked; else ``size`` if that is ``fixed``, without and with a top."""
    if image_data_format() != "channels_last":
        raise ArgumentError(
            f"{keras_name} is made with the channels last. Make it so (uf.config.set_image_data_format), and then "
            'uf.models.with_data_format(model, "channels_first").'
        )
    tensor, shape, top = asked["input_tensor"], asked["input_shape"], asked["include_top"]
    if tensor is not None:
        if not isinstance(tensor, Symbolic):
            raise ArgumentError(f"input_tensor is a tensor of uf.Input, not {tensor!r}.")
        of_tensor = tuple(one if isinstance(one, int) else None for one in tensor.shape[1:])
        if shape is not None and not _agree(tuple(shape), of_tensor):
            raise ShapeError(f"input_shape is {tuple(shape)}, and input_tensor has {of_tensor}.")
        shape = shape or of_tensor
    if not shape:
        return (size, size, 3) if fixed[bool(top)] else (None, None, 3)
    if not isinstance(shape, Sequence) or len(shape) != 3:
        raise ShapeError(
            f"`input_shape` must be a tuple of three integers, (height, width, channels), not {shape!r}."
        )
    if any(one is not None and one < least for one in shape[:2]):
        raise ShapeError(
            f"Input size must be at least {least}x{least}; Received: input_shape={tuple(shape)}."
        )
    if top and fixed[True] and None in shape:
        raise ShapeError(
            f"If `include_top` is True, you should specify a static `input_shape`; not {tuple(shape)}."
        )
    return tuple(shape)


def _agree(shape: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return len(shape) == len(other) and all(
        a == b or a is None or b is None for a, b in zip(shape, other, strict=True)
    )
