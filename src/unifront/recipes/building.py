"""The model that a recipe describes: from the data as they come to what they mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
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
_SIZES = ("input_shape", "features")
"""Options of the zoo's builders that the data decide unless they are given."""


def prepared(text: Text, recipe: Recipe) -> Prepared:
    """The data of a recipe."""
    given = recipe.data
    if isinstance(given, Images) and given.image_size is None and recipe.model is not None:
        own = recipe.model.options.get("input_shape") or _parameters(text, recipe.model.zoo).get(
            "input_shape"
        )
        size = own[:2] if isinstance(own, list | tuple) else own
        if size and all(isinstance(one, int) for one in size) and given.images not in images.BUNDLED:
            given = given.model_copy(update={"image_size": tuple(size)})
    return _PREPARE[type(given).__name__](text, given, recipe.seed)


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
        body = _of_zoo(text, recipe.model, x, data)
        try:
            y = body.call(x)  # its layers stand beside those of the data, to be frozen and fine-tuned
        except UnifrontError as error:
            raise text.error(("model",), f"the data do not fit the model {body.name!r}: {error}") from error
    key = ("layers", len(recipe.layers) - 1) if recipe.layers else ("model",)
    _check_output(text, key, y, data)
    try:
        return uf.Model(data.inputs, data.back(y), name=name)
    except UnifrontError as error:
        raise text.error(key, str(error)) from error


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


def _of_zoo(text: Text, given: OfZoo, x: Any, data: Prepared) -> Any:
    takes = _parameters(text, given.zoo)
    options = given.options
    for name in options:
        if name not in takes:
            raise text.unknown(("model", name), ["zoo", "weights", *takes])
    shape = tuple(dim if isinstance(dim, int) else None for dim in x.shape[1:])
    sizes: Mapping[str, Any] = {"input_shape": shape, "features": shape[-1] if shape else None}
    for name in _SIZES:
        if name in takes and name not in options:
            options[name] = sizes[name]
    options = {name: tuple(one) if isinstance(one, list) else one for name, one in options.items()}
    if "classes" in takes and given.weights is None:
        options.setdefault("classes", data.outputs)
    try:
        if given.weights is None:
            return uf.zoo.create(given.zoo, **options)
        return _with_head(uf.zoo.create(given.zoo, weights=given.weights, **options), data.outputs)
    except UnifrontError as error:
        key = ("model",) if given.weights is None else ("model", "weights")
        raise text.error(key, str(error)) from error


def _with_head(body: Any, outputs: int) -> Any:
    """A trained model, with a new last layer where it tells other classes apart than the data have."""
    last = [layer for layer in body.layers if layer.weights][-1]
    if not isinstance(last, layers.Dense) or last.units == outputs:
        return body
    head: Layer = layers.Dense(outputs, name=last.name)
    return uf.Model(body.inputs, head(last.input), name=body.name)
