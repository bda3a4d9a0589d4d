"""Training what a recipe says, into a folder that holds all that came of it."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import unifront as uf
from unifront.backends import default_name, placement
from unifront.errors import ArgumentError, FileFormatError, FileWriteError
from unifront.files import write_beside
from unifront.recipes import building, schema, text
from unifront.recipes.data import Prepared
from unifront.recipes.schema import Recipe
from unifront.recipes.shipped import FOLDER, NAMES
from unifront.recipes.text import Text
from unifront.recipes.things import Maker
from unifront.train.callbacks import Callback

MODEL, RECIPE, HISTORY, TABLE, CHECKPOINTS = (
    "model.uf", "recipe.yaml", "history.json", "history.csv", "checkpoints",
)  # fmt: skip
_MAY_DIFFER = ("epochs", "backend", "out", "about")
"""What may change from a training to its resumption."""
_PATHS = ("filepath", "filename", "log_dir")
"""Arguments of callbacks that say where they write."""
_LOSSES = {
    "classes": "SparseCategoricalCrossentropy",
    "characters": "SparseCategoricalCrossentropy",
    "numbers": "mse",
}
_METRICS = {"classes": ["accuracy"], "characters": ["accuracy"], "numbers": ["mae"]}


@dataclass(frozen=True)
class Result:
    """What a training gave.

    Args:
        folder: where everything is.
        model: the trained model.
        history: each number, an epoch after the other.
        backend: where it ran.
        files: what is in the folder.
    """

    folder: Path
    model: uf.Model
    history: dict[str, list[float]]
    backend: str
    files: list[str]


def shipped() -> dict[str, Path]:
    """The recipes that come along, by name."""
    return {name: FOLDER / f"{name}.yaml" for name in NAMES}


def load(
    name: str, overrides: list[str] | tuple[str, ...] = (), in_folder: bool = False
) -> tuple[Text, Recipe]:
    """The recipe in a file, of those that come along, or in a folder of results; with values that replace its own.

    Args:
        name: of it.
        overrides: ``model.classes=5`` and the like.
        in_folder: whether it is that in a folder, whatever else is called so.

    Raises `FileFormatError` for what is no YAML, `ArgumentError` with file, line and key for what is no recipe.
    """
    known = shipped()
    if name in known and not in_folder:
        found = text.read(known[name])
        found.places = {
            key: place.replace(str(known[name]), known[name].name) for key, place in found.places.items()
        }
        found.name = known[name].name
    elif Path(name).is_dir():
        if not (Path(name) / RECIPE).is_file():
            raise FileFormatError(f"{name} is a folder without a {RECIPE}.")
        found = text.read(Path(name) / RECIPE)
    elif Path(name).suffix not in (".yaml", ".yml") and not Path(name).is_file():
        raise ArgumentError(str(uf.errors.UnknownName("recipe", name, known)))
    else:
        found = text.read(name)
    for one in overrides:
        found.override(one)
    return found, schema.checked(found)


def model_of(name: str) -> uf.Model:
    """The model of a recipe, with fresh weights."""
    found, recipe = load(name)
    with _settings(recipe):
        return building.model_of(found, recipe, building.prepared(found, recipe), _called(found))


def train(
    name: str, overrides: list[str] | tuple[str, ...] = (), *, backend: str | None = None, out: str | None = None,
    resume: bool = False, overwrite: bool = False, verbose: int = 1,
) -> Result:  # fmt: skip
    """Train what a recipe says.

    Args:
        name: a file, a folder of results, or a recipe that comes along.
        overrides: ``model.classes=5`` and the like.
        backend, out: instead of the recipe's.
        resume: go on where an interrupted training of the folder was, or train longer: see `Model.fit`.
        overwrite: train anew into a folder that holds results.
        verbose: as for `Model.fit`.

    Raises `ArgumentError` with file, line and key for what is wrong with the recipe, `DataError` for its data.
    """
    begun = resume and name in NAMES and (Path(out or name) / RECIPE).is_file()
    name = (out or name) if begun else name  # the recipe as it was run
    found, recipe = load(name, overrides, in_folder=begun)
    chosen = backend or recipe.backend or default_name()
    placement(chosen)
    folder = Path(out or recipe.out or (name if Path(name).is_dir() else _called(found)))
    _check_folder(found, folder, resume, overwrite)
    with _settings(recipe):
        data = building.prepared(found, recipe)
        model = building.model_of(found, recipe, data, _called(found))
        fit = _compile(found, recipe, data, model, chosen)
    model.metadata = {
        **data.notes,
        "task": data.task,
        "logits": _gives_logits(model),
        "recipe": _called(found),
    }
    _begin(found, folder, overwrite)
    log = _Log(folder)
    options: dict[str, Any] = {
        "batch_size": recipe.data.batch_size if isinstance(data.train, tuple) else None,
        "validation_data": data.validation, "backend": chosen, "verbose": verbose,
        "callbacks": [*_callbacks(found, recipe, folder), log],
        "resume": str(folder / CHECKPOINTS),
    }  # fmt: skip
    x, y = data.train if isinstance(data.train, tuple) else (data.train, None)
    fit(x, y, options)
    model.save(folder / MODEL)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Result(
        folder, model, log.history(), chosen, [one for one in files if not one.startswith(CHECKPOINTS)]
    )


# ---------------------------------------------------------------- how it is trained


@contextmanager
def _settings(recipe: Recipe) -> Iterator[None]:
    """The seed, and a block in which layers compute in the dtype of the recipe."""
    uf.set_seed(recipe.seed)
    before = uf.mixed_precision.global_policy()
    if recipe.mixed_precision is not None:
        uf.mixed_precision.set_global_policy(f"mixed_{recipe.mixed_precision}")
    try:
        yield
    finally:
        uf.mixed_precision.set_global_policy(before)


def _called(found: Text) -> str:
    path = Path(found.name)
    name = path.parent.resolve().name if path.name == RECIPE else path.stem
    return name or "model"


def _compile(found: Text, recipe: Recipe, data: Prepared, model: uf.Model, backend: str) -> Any:
    """Compile the model; what trains it then, called with ``x, y, options``."""
    steps = -(-data.count // recipe.data.batch_size)
    maker = Maker(found, {"outputs": data.outputs}, steps)
    optimizer = maker.made("optimizer", ("optimizer",), recipe.optimizer)
    if recipe.schedule is not None:
        rate = float(optimizer.learning_rate)
        total = steps * recipe.epochs
        optimizer.learning_rate = maker.made(
            "schedule", ("schedule",), recipe.schedule,
            initial_learning_rate=rate, maximal_learning_rate=rate, decay_steps=total, total_steps=total,
        )  # fmt: skip
    loss: Any = recipe.loss if recipe.loss is not None else {"name": _LOSSES[data.task]}
    crossed = data.task in ("classes", "characters")
    defaults = {"from_logits": _gives_logits(model)} if crossed else {}
    loss = maker.made("loss", ("loss",), _as_class(loss) if crossed else loss, **defaults)
    metrics: list[Any] = _METRICS[data.task] if recipe.metrics is None else recipe.metrics
    model.compile(optimizer, loss=loss, metrics=maker.metrics(metrics), backend=backend)
    tuned = recipe.fine_tune
    if tuned is None:
        return lambda x, y, options: model.fit(x, y, epochs=recipe.epochs, **options)
    if recipe.schedule is not None:
        raise found.error(("schedule",), "fine_tune has a schedule of its own, one cycle for each part.")
    known = [layer.name for layer in model.layers if layer.weights]
    head = [tuned.head] if isinstance(tuned.head, str) else tuned.head
    for one in head if isinstance(head, list) else ():
        if one not in known:
            raise found.error(
                ("fine_tune", "head"), str(uf.errors.UnknownName("layer with weights", one, known))
            )
    return lambda x, y, options: model.fine_tune(
        x, y, epochs=recipe.epochs, freeze_epochs=tuned.freeze_epochs, head=head, **options
    )


def _as_class(loss: Any) -> Any:
    """A loss named by its function as its class, which can be told whether it gets logits."""
    if isinstance(loss, str) and loss in uf.losses.FUNCTIONS:
        return uf.losses.FUNCTIONS[loss].__name__
    return loss


def _gives_logits(model: uf.Model) -> bool:
    """Whether scores are what comes before the softmax: whether the graph does not end in one."""
    graph = model.trace(False).graph
    makers = {value: node for node in graph.nodes for value in node.outputs}
    node = makers.get(graph.outputs[0])
    while node is not None and node.op.name in ("cast", "reshape", "identity"):
        node = makers.get(node.operands[0])  # type: ignore[arg-type]  # of these it is a value
    return node is None or node.op.name != "softmax"


def _callbacks(found: Text, recipe: Recipe, folder: Path) -> list[Any]:
    """The callbacks of a recipe; the files that they write are in the folder of the results."""
    maker = Maker(found)
    return [
        maker.made("callback", ("callbacks", i), _placed(one, folder))
        for i, one in enumerate(recipe.callbacks)
    ]


def _placed(given: Any, folder: Path) -> Any:
    """A callback's description with the paths in it below ``folder``."""
    if not isinstance(given, dict):
        return given
    return {
        name: str(folder / one) if name in _PATHS and isinstance(one, str) else _placed(one, folder)
        for name, one in given.items()
    }


# ---------------------------------------------------------------- the folder


class _Log(Callback):
    """Writes the history after each epoch, that of a resumed training from its beginning."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.rows: list[dict[str, float]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.rows.append({name: float(value) for name, value in (logs or {}).items()})
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["epoch", *names])
        for number, row in enumerate(self.rows, 1):
            rows.writerow([number, *(row.get(name, "") for name in names)])
        _write(self.folder / TABLE, table.getvalue())
        _write(self.folder / HISTORY, json.dumps(self.history(), indent=1) + "\n")

    def history(self) -> dict[str, list[float]]:
        """Each number, an epoch after the other."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {name: [row[name] for row in self.rows if name in row] for name in names}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rows = list(state["rows"])


def _write(path: Path, what: str) -> None:
    write_beside(path, lambda file: file.write(what.encode("utf-8")))


def _check_folder(found: Text, folder: Path, resume: bool, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ArgumentError(f"{folder} is a file; the results go into a folder: --out FOLDER.")
    begun = (folder / RECIPE).is_file()
    if not resume:
        if begun and not overwrite:
            raise ArgumentError(
                f"The folder {folder} holds a training already. --resume goes on with it, --overwrite replaces it, and "
                "--out names another folder."
            )
        return
    if not begun:
        raise ArgumentError(f"There is nothing to resume in {folder}: no {RECIPE} is there.")
    before = text.read(folder / RECIPE).data
    now = found.data
    for key in sorted({*before, *now} - set(_MAY_DIFFER)):
        if before.get(key) != now.get(key):
            raise found.error(
                (key,),
                f"it differs from that of the training in {folder}, which cannot be resumed so. Train into another "
                "folder: --out FOLDER.",
            )


def _begin(found: Text, folder: Path, overwrite: bool) -> None:
    if overwrite:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        (folder / MODEL).unlink(missing_ok=True)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise FileWriteError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error
    about = f"# What this folder was trained by. unifront train {folder} --resume\n"
    _write(folder / RECIPE, about + text.written(found.data))
