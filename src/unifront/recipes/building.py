"""The model that a recipe describes: from the data as they come to what they mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import unifront as uf
from unifront import layers
from unifront.errors import UnifrontError, UnknownName
from unifront.layers.layer import Layer
from unifront.recipes import images, series, tables, texts
from unifront.recipes.data import Prepared
from unifront.recipes.schema import Images, OfZoo, Recipe
from unifront.recipes.text import Text
from unifront.recipes.things import Maker, built

_PREPARE: dict[str, Callable[..., Prepared]] = {
    "Images": images.prepare,
    "Table": tables.prepare,
    "Series": series.prepare,
    "Characters": texts.prepare,
}


def prepared(text: Text, recipe: Recipe) -> Prepared:
    """The data of a recipe."""
    given = recipe.data
    if isinstance(given, Images) and recipe.model is not None:
        given = _images_for(text, given, recipe.model)
    return _PREPARE[type(given).__name__](text, given, recipe.seed)


def _images_for(text: Text, given: Images, model: OfZoo) -> Images:
    """The images in the size, and with the pixels, that a model of the zoo takes unless the recipe says otherwise."""
    options = {**_parameters(text, model.zoo), **model.options}
    own = options.get("input_shape")
    if given.image_size is None and given.images not in images.BUNDLED and isinstance(own, list | tuple):
        size = tuple(one for one in own[:2] if type(one) is int)
        given = given.model_copy(update={"image_size": size}) if len(size) == 2 else given
    if options.get("include_preprocessing") is True:
        if "normalize" in given.model_fields_set and given.normalize != "none":
            raise text.error(
                ("data", "normalize"),
                f"{model.zoo} brings pixels to a scale of its own: say none, or model.include_preprocessing=false.",
            )
        given = given.model_copy(update={"normalize": "none"})
    return given


def model_of(text: Text, recipe: Recipe, data: Prepared, name: str) -> uf.Model:
    """The model: inputs, what is done to them first, the layers or the model of the zoo, and what is done last."""
    numbers = {**data.numbers, "outputs": data.outputs}
    if data.task == "classes":
        numbers["classes"] = data.outputs
    x = data.front(data.inputs)
    if recipe.layers is not None:
        y = built(Maker(text, numbers), recipe.layers, x)
    else:
        assert recipe.model is not None
        body = _of_zoo(Maker(text, numbers), recipe.model, x, data)
        _check_scale(text, recipe, body)
        try:
            y = body.call(x)  # its layers stand beside those of the data, to be frozen and fine-tuned
        except UnifrontError as error:
            raise text.error(("model",), f"the data do not fit the model {body.name!r}: {error}") from error
    key = ("layers", len(recipe.layers) - 1) if recipe.layers else ("model",)
    _check_output(text, key, y, data)
    try:
        model = uf.Model(data.inputs, data.back(y), name=name)
    except UnifrontError as error:
        raise text.error(key, str(error)) from error
    momentum = recipe.batch_norm_momentum
    for layer in model.layers_below():
        if momentum is not None and isinstance(layer, layers.BatchNormalization):
            layer.momentum = momentum
    return model


def _check_scale(text: Text, recipe: Recipe, body: Any) -> None:
    """See to it that pixels are not brought to another scale twice."""
    if not isinstance(recipe.data, Images) or not isinstance(recipe.model, OfZoo):
        return
    own = any(isinstance(layer, layers.Rescaling | layers.Normalization) for layer in body.layers)
    asked = _images_for(text, recipe.data, recipe.model).normalize
    if own and asked != "none":
        raise text.error(
            ("data", "normalize"),
            f"{recipe.model.zoo} brings pixels to a scale of its own: say none, not {asked}.",
        )


def _check_output(text: Text, key: Any, y: Any, data: Prepared) -> None:
    if not hasattr(y, "shape"):
        raise text.error(key, "the model gives several outputs; a recipe trains one.")
    last = y.shape[-1] if len(y.shape) > 1 else None
    rank = 3 if data.task == "characters" else 2
    if data.task == "numbers":
        given = 1
        for dim in y.shape[1:]:
            given = given * dim if isinstance(dim, int) else -1
        if given != data.outputs:
            raise text.error(
                key,
                f"the model gives {list(y.shape)}; {data.outputs} numbers are to be predicted ($outputs).",
            )
    elif last != data.outputs or len(y.shape) != rank:
        what = "classes" if data.task == "classes" else "characters, at each place"
        shape = f"[batch, {'length, ' * (rank - 2)}{data.outputs}]"
        raise text.error(
            key, f"the model gives {list(y.shape)}; there are {data.outputs} {what}: {shape} ($outputs)."
        )


# ---------------------------------------------------------------- the zoo


def _entry(text: Text, name: str) -> Any:
    found = [entry for entry in uf.zoo.entries() if entry.name == name]
    if not found:
        message = str(UnknownName("model of the zoo", name, uf.zoo.list()))
        if "Did you mean" in message:
            message = message.partition(" Known:")[0]
        raise text.error(("model", "zoo") if ("model", "zoo") in text.places else ("model",), message)
    return found[0]


def _parameters(text: Text, name: str) -> dict[str, Any]:
    """The options of a model of the zoo, with their defaults."""
    takes = inspect.signature(_entry(text, name).builder).parameters
    return {one: parameter.default for one, parameter in takes.items()}


def _of_zoo(maker: Maker, given: OfZoo, x: Any, data: Prepared) -> Any:
    text = maker.text
    takes = _parameters(text, given.zoo)
    options = {name: maker.value(name, ("model", name), one) for name, one in given.options.items()}
    for name in options:
        if name not in takes:
            raise text.unknown(("model", name), ["zoo", "weights", *takes])
    shape = tuple(dim if isinstance(dim, int) else None for dim in x.shape[1:])
    decided: dict[str, Any] = {"input_shape": shape, "features": shape[-1] if shape else None}
    if data.task == "characters":
        decided = {"characters": data.outputs, "vocabulary": data.outputs}
    for name, value in decided.items():
        if name in takes:
            options.setdefault(name, value)
    options = {name: tuple(one) if isinstance(one, list) else one for name, one in options.items()}
    if "classes" in takes and given.weights is None:
        options.setdefault("classes", data.outputs)
    try:
        if given.weights is None:
            return uf.zoo.create(given.zoo, **options)
        return _trained(given, options, data.outputs)
    except UnifrontError as error:
        key = ("model",) if given.weights is None else ("model", "weights")
        raise text.error(key, str(error)) from error


def _trained(given: OfZoo, options: dict[str, Any], outputs: int) -> Any:
    """The model with the weights of a file, and a new last layer where it tells other classes apart than the data have.

    Where that is no dense layer, the head is the mean of the features and a dense layer.
    """
    body = uf.zoo.create(given.zoo, weights=given.weights, **options)
    last = [layer for layer in body.layers if layer.weights][-1]
    if tuple(body.output_shape)[-1] == outputs:
        return body
    if isinstance(last, layers.Dense):
        features, name = last.input, last.name
    else:
        body = uf.zoo.create(given.zoo, weights=given.weights, **{**options, "classes": None})
        features, name = layers.GlobalAveragePooling2D(name="mean")(body.output), "predictions"
    head: Layer = layers.Dense(outputs, name=name)
    return uf.Model(body.inputs, head(features), name=body.name)
