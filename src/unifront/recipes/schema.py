"""What a recipe may hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal

from unifront.errors import ArgumentError
from unifront.recipes.text import Key, Text

try:
    from pydantic import BaseModel, ConfigDict, Field, ValidationError
except ModuleNotFoundError:
    raise ArgumentError(
        'Recipes are checked by pydantic, which is not installed: pip install "unifront[recipes]"'
    ) from None

Count = Annotated[int, Field(ge=1, le=2**31 - 1, strict=True)]
Pixels = Annotated[int, Field(ge=1, le=2**14, strict=True)]
Share = Annotated[float, Field(ge=0, lt=1, strict=True)]
Named = str | dict[str, Any]
"""An optimizer, loss …: a name, ``{name: adam, learning_rate: 0.01}``, or ``{adam: {learning_rate: 0.01}}``."""


class Section(BaseModel):
    """Keys and values of which all are known."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class OfZoo(BaseModel):
    """A model of the zoo; other keys are options of its builder."""

    model_config = ConfigDict(extra="allow", frozen=True)

    zoo: str
    weights: str | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the builder is given."""
        return dict(self.model_extra or {})


class Images(Section):
    """Images, each in the folder of its class; or a bundled set.

    Args:
        images: a folder, or ``digits``.
        validation: the share that is held out, or a folder of its own.
        batch_size: images a step.
        image_size: ``[height, width]`` or one number, to which they are resized.
        color: how they are read.
        resize: what becomes of other proportions.
        normalize: ``unit``: 0 … 1; ``tf``: -1 … 1; ``torch``: by the means and deviations of ImageNet; ``caffe``: BGR
            less the means (the modes of ``keras.applications``); ``none``: 0 … 255.
        augment: layers that change training images, such as ``RandomFlip: horizontal``.
        skip_broken: leave out files that are no images, instead of ending with an error.
    """

    images: str
    validation: Share | str = 0.2
    batch_size: Count = 32
    image_size: Pixels | tuple[Pixels, Pixels] | None = None
    color: Literal["rgb", "grayscale", "rgba"] = "rgb"
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    normalize: Literal["unit", "tf", "torch", "caffe", "none"] = "unit"
    augment: list[Any] = []
    skip_broken: bool = False


class Table(Section):
    """Rows of a CSV or Parquet file, or of a bundled table.

    Args:
        table: a file, ``titanic`` or ``iris``.
        target: the column to predict.
        columns: those to predict it from; all others unless given.
        categorical: those that hold kinds, not amounts; the columns of texts unless given.
        task: ``classes`` or ``numbers``; unless given the first for texts, whole numbers and truth values.
        missing: what becomes of a gap: an error, or the column's mean (for kinds: a kind of its own).
        validation: the share that is held out, or a file of its own.
        batch_size: rows a step.
    """

    table: str
    target: str
    columns: list[str] | None = None
    categorical: list[str] | None = None
    task: Literal["classes", "numbers"] | None = None
    missing: Literal["error", "mean"] = "error"
    validation: Share | str = 0.2
    batch_size: Count = 32


class Series(Section):
    """A time series: the columns of a CSV or Parquet file, one row a time step; or a bundled one.

    Args:
        series: a file, or ``airline``.
        length: time steps that are seen.
        horizon: time steps after those that are forecast.
        columns: what is seen; all columns of numbers unless given.
        target: what is forecast, one column or several; all that is seen unless given.
        stride: time steps from one window to the next.
        validation: the last share of the series, held out.
        batch_size: windows a step.
    """

    series: str
    length: Count
    horizon: Count = 1
    columns: list[str] | None = None
    target: str | list[str] | None = None
    stride: Count = 1
    validation: Share = 0.2
    batch_size: Count = 32


class Characters(Section):
    """A text, of which the next character is predicted.

    Args:
        text: a file in UTF-8, or ``sonnets``.
        length: characters of an example.
        stride: characters from one example to the next; ``length`` unless given.
        validation: the last share of the text, held out.
        batch_size: examples a step.
    """

    text: str
    length: Count = 64
    stride: Count | None = None
    validation: Share = 0.1
    batch_size: Count = 32


class FineTune(Section):
    """Train the head first, then all, the earlier layers the more slowly: `Model.fine_tune`.

    Args:
        freeze_epochs: of the head alone.
        head: names of its layers, or how many of the last ones; the last one unless given.
    """

    freeze_epochs: Annotated[int, Field(ge=0, strict=True)] = 1
    head: str | list[str] | Count | None = None


KINDS: dict[str, type[Images] | type[Table] | type[Series] | type[Characters]] = {
    "images": Images,
    "table": Table,
    "series": Series,
    "text": Characters,
}
"""What the data are, by the key that says so."""


class Recipe(Section):
    """A training.

    Args:
        about: what it is, in a line.
        model: a model of the zoo; or
        layers: a list of layers.
        data: one of `KINDS`.
        optimizer, loss, metrics, callbacks: as for `Model.compile` and `Model.fit`.
        schedule: of the learning rate; a number of steps may be given as ``3 epochs``.
        epochs: passes over the data.
        seed: of initial weights, order and dropout.
        backend: where it runs; the default one unless given.
        batch_norm_momentum: of all batch normalization, in place of its own (0.99): where there are few steps, 0.9 lets
            the statistics used for inference keep up.
        mixed_precision: the dtype to compute in, with weights in float32.
        fine_tune: train the head first.
        out: the folder of the results; named after the recipe unless given.
    """

    about: str | None = None
    model: OfZoo | None = None
    layers: list[Any] | None = None
    data: Images | Table | Series | Characters
    optimizer: Named = "adam"
    schedule: Named | None = None
    loss: Named | None = None
    metrics: list[Named] | None = None
    callbacks: list[Named] = []
    epochs: Count = 1
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    backend: str | None = None
    batch_norm_momentum: Share | None = None
    mixed_precision: Literal["bfloat16", "float16"] | None = None
    fine_tune: FineTune | None = None
    out: str | None = None


def checked(text: Text) -> Recipe:
    """The recipe that ``text`` is. Raises `ArgumentError` naming file, line and key of the first thing wrong."""
    data = dict(text.data)
    for key in data:
        if key not in Recipe.model_fields:
            raise text.unknown((key,), Recipe.model_fields)
    if isinstance(data.get("model"), str):
        data["model"] = {"zoo": data["model"]}
    if (data.get("model") is None) == (data.get("layers") is None):
        raise text.error((), "a recipe has a model (of the zoo), or layers: one of both.")
    data["data"] = _data(text, data.get("data"))
    try:
        return Recipe(**data)
    except ValidationError as error:
        raise _first(text, error.errors()) from None


def _data(text: Text, given: Any) -> Any:
    kinds = ", ".join(KINDS)
    if not isinstance(given, dict):
        raise text.error(("data",), f"what to train on is missing: data has one of {kinds}.")
    named = [kind for kind in KINDS if kind in given]
    if len(named) != 1:
        fields = {name for one in KINDS.values() for name in one.model_fields}
        for key in given:
            if key not in fields:
                raise text.unknown(("data", key), [*KINDS, *sorted(fields)])
        raise text.error(("data",), f"it has one of {kinds}; this has {' and '.join(named) or 'none'}.")
    section = KINDS[named[0]]
    for key in given:
        if key not in section.model_fields:
            raise text.unknown(("data", key), section.model_fields)
    try:
        return section(**given)
    except ValidationError as error:
        raise _first(text, error.errors(), ("data",)) from None


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "missing": lambda one: "it is missing.",
    "greater_than_equal": lambda one: f"it is {one['ctx']['ge']} or more, not {one['input']!r}.",
    "less_than_equal": lambda one: f"it is {one['ctx']['le']} at most, not {one['input']!r}.",
    "less_than": lambda one: f"it is less than {one['ctx']['lt']}, not {one['input']!r}.",
    "int_type": lambda one: f"it is a whole number, not {one['input']!r}.",
    "float_type": lambda one: f"it is a number, not {one['input']!r}.",
    "bool_type": lambda one: f"it is true or false, not {one['input']!r}.",
    "bool_parsing": lambda one: f"it is true or false, not {one['input']!r}.",
    "string_type": lambda one: f"it is a text, not {one['input']!r}.",
    "list_type": lambda one: f"it is a list, not {one['input']!r}.",
    "dict_type": lambda one: f"it has keys and values, and is not {one['input']!r}.",
    "literal_error": lambda one: (
        f"it is {one['ctx']['expected'].replace(chr(39), '')}, not {one['input']!r}."
    ),
}
"""Pydantic's kinds of errors in the words of the other errors; those that are not here say themselves what they are."""


def _first(text: Text, errors: Iterable[Mapping[str, Any]], before: Key = ()) -> ArgumentError:
    one = next(iter(errors))
    location: list[str | int] = list(before)
    for part in one["loc"]:  # names of alternatives stand among the keys
        if (*location, part) in text.places or one["type"] in ("missing", "extra_forbidden"):
            location.append(part)
    if one["type"] == "extra_forbidden":
        known = {"fine_tune": FineTune}.get(str(location[0]))
        return text.unknown(location, sorted(known.model_fields) if known else ())
    say = _WORDS.get(one["type"])
    return text.error(location, f"{one['msg']}, not {one['input']!r}." if say is None else say(one))
