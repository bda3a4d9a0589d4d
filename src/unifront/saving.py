"""The ``.uf`` file: a model's graphs, weights and training state in one zip.

    manifest.json            what the file is, the inputs' structure, how the model was compiled
    training.graph           the graphs as text (`unifront.ir.text`)
    inference.graph
    weights.safetensors      the weights by path, in Keras's layout
    optimizer.safetensors    the optimizer's slots, ``PATH/SLOT``

The graphs are complete, so that loading needs no class and runs no code: a model with custom layers loads,
trains and exports without their source. Everything read is taken as hostile: sizes are checked before anything
is allocated, entries are read in memory and never unpacked to a folder, and all that is wrong with a file
becomes a `FileFormatError` that names file and reason.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from unifront import tree
from unifront.errors import ArgumentError, FileFormatError, UnifrontError
from unifront.files import write_beside
from unifront.ir.dims import Dim, solve, symbol
from unifront.ir.graph import Graph, concrete_attributes
from unifront.ir.text import parse_graph, print_graph
from unifront.ir.verify import verify
from unifront.model import Model
from unifront.ops.replay import inline
from unifront.ops.spec import OPS
from unifront.ops.tensor import bind, builder_of, lift, type_of
from unifront.trace import Tracing, current_context
from unifront.train import configure, losses, metrics, optimizers, schedules
from unifront.weights import Variable

FORMAT, VERSION = "unifront model", 1
TEXT_LIMIT = 256 * 2**20
"""The most bytes that a text entry may unpack to."""
_ENTRIES = (
    "manifest.json",
    "training.graph",
    "inference.graph",
    "weights.safetensors",
    "optimizer.safetensors",
)


class LoadedModel(Model):
    """A model that is its two graphs: what `load` gives. It does all that the model which was saved did."""

    def __init__(
        self,
        name: str,
        graphs: Mapping[bool, Graph],
        values: Mapping[str, np.ndarray],
        structures: tuple[Any, Any],
    ) -> None:
        super().__init__(name=name)
        self.input_structure, self._output_structure = structures
        inference = graphs[False]
        self._input_types = {n: v.type for n, v in zip(inference.input_names, inference.inputs, strict=True)}
        self._by_path: dict[str, Variable] = {}
        for graph in graphs.values():
            for seen in graph.variables:
                if seen.name not in self._by_path:
                    shape = [int(size) for size in seen.value.type.shape]  # type: ignore[arg-type]  # verified: static
                    self._by_path[seen.name] = variable = Variable(
                        seen.name,
                        shape,
                        seen.value.type.dtype,
                        initial=values[seen.name],
                        trainable=seen.trainable,
                    )
                    variable.owners = (self,)
        self._weights = list(self._by_path.values())
        self._graphs = {training: self._tracing(graph, training) for training, graph in graphs.items()}
        self.built = self.placed = True

    def _tracing(self, graph: Graph, training: bool) -> Tracing:
        count = len(graph.outputs)
        news = [name.removeprefix("new ") for name in graph.output_names if name.startswith("new ")]
        if news and list(graph.output_names[count - len(news) :]) != [f"new {name}" for name in news]:
            raise FileFormatError("the outputs of the training graph are not in order")
        missing = [name for name in news if name not in self._by_path]
        if missing:
            raise FileFormatError(f"the training graph updates {missing[0]!r}, which is no variable")
        variables = tuple(self._by_path[seen.name] for seen in graph.variables)
        return Tracing(graph, variables, tuple(self._by_path[name] for name in news), self._output_structure)

    def variable_paths(self) -> dict[int, str]:
        """The path of each variable."""
        return {id(variable): path for path, variable in self._by_path.items()}

    def _traced(self, training: bool) -> Tracing:
        found = self._graphs[training]
        if self.trainable:
            return found
        frozen = tuple(dataclasses.replace(seen, trainable=False) for seen in found.graph.variables)
        return dataclasses.replace(found, graph=dataclasses.replace(found.graph, variables=frozen))

    def call(self, *args: Any) -> Any:
        """Run the graph for training or inference, by the call around."""
        context = current_context()
        assert context is not None
        traced = self._graphs[context.training]
        inputs = tree.leaves(args[0] if len(args) == 1 else list(args))
        operands = [*inputs, context.random_key()] if context.training else inputs
        if len(operands) != len(traced.graph.inputs):
            raise ArgumentError(
                f"{self.name} takes {len(self.input_types)} inputs; {len(inputs)} were given."
            )
        outputs = _replay(traced, operands)
        for variable, value in zip(traced.updates, outputs[traced.output_count :], strict=True):
            self.update(variable, value)
        return tree.map_leaves(lambda number: outputs[number], traced.structure)


def _replay(traced: Tracing, operands: list[Any]) -> list[Any]:
    """The graph on traced tensors (inlined) or native arrays (run node by node)."""
    graph = traced.graph
    types = [type_of(operand) for operand in operands]
    builder = builder_of(operands)
    if builder is not None:
        renamed: dict[str, Dim] = {}
        for value, type_ in zip(graph.inputs, types, strict=True):
            for own, given in zip(value.type.shape, type_.shape, strict=True):
                if not isinstance(own, int) and own == symbol_named(own):
                    renamed.setdefault(str(own), given)
        bound = graph.bind_symbols(renamed)
        variables = [builder.variable(variable) for variable in traced.variables]
        return list(inline(bound, builder, [lift(operand, builder) for operand in operands], variables))
    sizes: dict[str, int] = {}
    for value, type_ in zip(graph.inputs, types, strict=True):
        fits = len(value.type.shape) == len(type_.shape)
        if not fits or not all(
            solve(d, int(n), sizes) for d, n in zip(value.type.shape, type_.shape, strict=True)
        ):  # type: ignore[arg-type]  # native shapes are ints
            raise ArgumentError(f"An input has the type {type_}; the model takes {value.type}.")
    known: dict[Any, Any] = dict(zip(graph.inputs, operands, strict=True))
    known.update({seen.value: v for seen, v in zip(graph.variables, traced.variables, strict=True)})
    for node in graph.nodes:
        given = [None if value is None else known[value] for value in node.operands]
        extra = {"regions": node.regions} if node.regions else {}
        result = bind(OPS[node.op.name], *given, **extra, **concrete_attributes(node.attributes, sizes))
        known.update(zip(node.outputs, result if isinstance(result, tuple) else (result,), strict=True))
    return [known[value] for value in graph.outputs]


def symbol_named(dim: Dim) -> Dim | None:
    """``dim`` itself if it is one plain symbol, else None."""
    name = str(dim)
    return symbol(name) if name.isidentifier() else None


# ---------------------------------------------------------------- writing


def save(model: Model, path: str | Path) -> None:
    """Write ``model`` to ``path`` (``.uf``), beside it first and then renamed, so that no half file is left.

    Weights, the optimizer's slots and its step count are kept; a loss or metric that is a function of the user's
    is not (its name is), and must be given to ``compile`` again after loading.
    """
    training, inference = model.trace(True), model.trace(False)
    paths = model.variable_paths()
    live = {paths[id(v)]: v for traced in (training, inference) for v in traced.variables}
    manifest = {
        "format": FORMAT, "version": VERSION, "name": model.name,
        "inputs": model.input_structure, "outputs": inference.structure,
        "compiled": _compiled(model),
    }  # fmt: skip
    slots = _slots(model, paths)
    entries: dict[str, bytes] = {
        "manifest.json": json.dumps(manifest, indent=1).encode(),
        "training.graph": print_graph(training.graph).encode(),
        "inference.graph": print_graph(inference.graph).encode(),
        "weights.safetensors": safetensors.numpy.save({name: v.numpy() for name, v in live.items()}),
        "optimizer.safetensors": safetensors.numpy.save(slots),
    }
    write_beside(Path(path), lambda file: _write_zip(file, entries))


def _write_zip(file: Any, entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            kind = zipfile.ZIP_STORED if name.endswith(".safetensors") else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, kind)


def _slots(model: Model, paths: Mapping[int, str]) -> dict[str, np.ndarray]:
    if model._training is None:
        return {}
    optimizer = model.optimizer
    made = [v for v in model.weights if optimizer.has_slots(v)]
    return {f"{paths[id(v)]}/{slot.name}": slot.numpy() for v in made for slot in optimizer.slots(v)}


def _compiled(model: Model) -> dict[str, Any] | None:
    training = model._training
    if training is None:
        return None
    optimizer = training.optimizer
    return {
        "optimizer": {"class": type(optimizer).__name__, **optimizer.config()},
        "iterations": optimizer.iterations,
        **{
            part: tree.map_leaves(_described, getattr(training, part))
            for part in ("loss", "metrics", "weighted_metrics", "loss_weights")
        },
    }


def _described(one: Any) -> Any:
    """A loss, metric or number as JSON: names as they are, our classes with their arguments, functions by name."""
    if one is None or isinstance(one, str | int | float):
        return one
    known = type(one).__name__ in vars(losses) or type(one).__name__ in vars(metrics)
    if dataclasses.is_dataclass(one) and known and not any(callable(v) for v in vars(one).values()):
        return f"{_CALL}{json.dumps({'class': type(one).__name__, **vars(one)})}"
    return f"{_LOST}{getattr(one, '__name__', type(one).__name__)}"


_CALL, _LOST = "call ", "function "

# ---------------------------------------------------------------- reading


def load(path: str | Path) -> LoadedModel:
    """The model in the ``.uf`` file at ``path``, ready to run, to train on and to export.

    No code in it is run and nothing is written. A loss or metric that was a function of the user's is not in
    the file: give it to ``compile`` again.

    Raises `FileFormatError` naming file and reason for one that is broken, hostile or from a newer version.

    Example::

        model.save("digits.uf")
        again = uf.load("digits.uf")
    """
    path = Path(path)
    if not path.is_file():
        raise FileFormatError(f"{path}: there is no such file.")
    try:
        return _load(path)
    except FileFormatError as error:
        raise FileFormatError(f"{path}: {error}.") from None
    except (UnifrontError, zipfile.BadZipFile, zlib.error, EOFError, KeyError, SafetensorError) as error:
        raise FileFormatError(f"{path} cannot be read: {error}") from error
    except (
        ValueError,
        TypeError,
        RecursionError,
        OverflowError,
        NotImplementedError,
        AttributeError,
    ) as error:
        raise FileFormatError(f"{path} is not a valid .uf file: {type(error).__name__}: {error}") from error


def _load(path: Path) -> LoadedModel:
    with zipfile.ZipFile(path) as archive:
        entries = _checked_entries(archive)
        manifest = json.loads(_text(archive, entries, "manifest.json"))
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise FileFormatError("the manifest is not that of a unifront model")
        if manifest.get("version") != VERSION:
            raise FileFormatError(
                f"it has version {manifest.get('version')!r}; this unifront reads version {VERSION}. Update unifront"
            )
        graphs = {
            True: verify(parse_graph(_text(archive, entries, "training.graph"), OPS)),
            False: verify(parse_graph(_text(archive, entries, "inference.graph"), OPS)),
        }
        weights = _arrays(archive, "weights.safetensors")
        slots = _arrays(archive, "optimizer.safetensors")
    _check_weights(graphs, weights)
    name = manifest.get("name")
    if not isinstance(name, str) or not name or "/" in name:
        raise FileFormatError(f"the model's name is {name!r}")
    inference = graphs[False]
    inputs = _structure(manifest.get("inputs"), len(inference.inputs), "inputs")
    outputs = _structure(manifest.get("outputs"), len(inference.outputs), "outputs")
    _check_interfaces(graphs)
    model = LoadedModel(name, graphs, weights, (inputs, outputs))
    if manifest.get("compiled") is not None:
        _compile(model, manifest["compiled"], slots)
    return model


def _checked_entries(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if sorted(names) != sorted(_ENTRIES):
        raise FileFormatError(
            f"it holds {', '.join(map(repr, names[:8])) or 'nothing'}; expected {', '.join(_ENTRIES)}"
        )
    for info in infos:
        stored = info.filename.endswith(".safetensors")
        if stored and (info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size):
            raise FileFormatError(f"{info.filename} is compressed; weights are stored as they are")
        if not stored and info.file_size > TEXT_LIMIT:
            raise FileFormatError(
                f"{info.filename} would unpack to {info.file_size} bytes, more than {TEXT_LIMIT}"
            )
    return {info.filename: info for info in infos}


def _text(archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo], name: str) -> str:
    with archive.open(entries[name]) as file:
        content = file.read(TEXT_LIMIT + 1)
    if len(content) > TEXT_LIMIT:
        raise FileFormatError(f"{name} unpacks to more than {TEXT_LIMIT} bytes")
    return content.decode("utf-8")


def _arrays(archive: zipfile.ZipFile, name: str) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = safetensors.numpy.load(archive.read(name))
    return found


def _check_weights(graphs: Mapping[bool, Graph], weights: Mapping[str, np.ndarray]) -> None:
    wanted = {seen.name: seen.value.type for graph in graphs.values() for seen in graph.variables}
    for graph in graphs.values():
        for seen in graph.variables:
            if wanted[seen.name] != seen.value.type:
                raise FileFormatError(f"the graphs disagree on the type of {seen.name!r}")
    if set(wanted) != set(weights):
        odd = sorted(set(wanted) ^ set(weights))[0]
        where = "weights, but no graph uses it" if odd in weights else "graphs, but has no value"
        raise FileFormatError(f"{odd!r} is in the {where}")
    for path, type_ in wanted.items():
        if weights[path].shape != type_.shape or weights[path].dtype != type_.dtype.numpy:
            raise FileFormatError(
                f"{path!r} is {weights[path].dtype}{list(weights[path].shape)}; the graph says {type_}"
            )


def _check_interfaces(graphs: Mapping[bool, Graph]) -> None:
    training, inference = graphs[True], graphs[False]
    names, types = inference.input_names, [value.type for value in inference.inputs]
    if training.input_names[:-1] != names or [value.type for value in training.inputs[:-1]] != types:
        raise FileFormatError("the training and the inference graph have different inputs")
    if training.inputs[-1].type.dtype.name != "key":
        raise FileFormatError("the training graph does not take a random key last")


def _structure(given: Any, count: int, what: str) -> Any:
    numbers = tree.leaves(given)
    if numbers != list(range(count)) or any(isinstance(n, bool) for n in numbers):
        raise FileFormatError(f"the structure of the {what} is {str(given)[:80]}, for {count} {what}")
    return given


def _compile(model: LoadedModel, given: Any, slots: Mapping[str, np.ndarray]) -> None:
    if not isinstance(given, dict):
        raise FileFormatError("what the model was compiled with is not readable")
    parts = {
        name: tree.map_leaves(_made, given.get(name)) for name in ("loss", "metrics", "weighted_metrics")
    }
    lost = [leaf for part in parts.values() for leaf in tree.leaves(part) if isinstance(leaf, _Lost)]
    if lost:  # a function of the user's: only its name was kept, so the model has to be compiled again
        return
    optimizer = _optimizer(given.get("optimizer"))
    iterations = given.get("iterations")
    if not isinstance(iterations, int) or iterations < 0:
        raise FileFormatError(f"the number of steps done is {iterations!r}")
    optimizer.iterations = iterations
    trained = [variable for variable in model.weights if variable.trainable]
    known = {f"{v.path}/{slot}" for v in trained for slot in optimizer.slot_names}
    extra = sorted(set(slots) - known)
    if extra:
        raise FileFormatError(f"the optimizer's slot {extra[0]!r} belongs to no weight")
    optimizer.adopt(trained, slots)
    model._training = configure(
        model,
        optimizer,
        parts["loss"],
        parts["metrics"],
        given.get("loss_weights"),
        parts["weighted_metrics"],
        None,
    )


@dataclasses.dataclass(frozen=True)
class _Lost:
    name: str


def _made(described: Any) -> Any:
    if isinstance(described, str) and described.startswith(_LOST):
        return _Lost(described.removeprefix(_LOST))
    if not isinstance(described, str) or not described.startswith(_CALL):
        return described
    arguments = json.loads(described.removeprefix(_CALL))
    name = arguments.pop("class", None)
    for module, base in ((losses, losses.Loss), (metrics, metrics.Metric)):
        made = vars(module).get(name) if isinstance(name, str) else None
        if isinstance(made, type) and issubclass(made, base):
            return made(**arguments)
    raise FileFormatError(f"it is compiled with {name!r}, which is neither a loss nor a metric")


def _optimizer(given: Any) -> optimizers.Optimizer:
    if not isinstance(given, dict):
        raise FileFormatError("the optimizer is not readable")
    arguments = dict(given)
    name = arguments.pop("class", None)
    made = vars(optimizers).get(name) if isinstance(name, str) else None
    if not (isinstance(made, type) and issubclass(made, optimizers.Optimizer)):
        raise FileFormatError(f"the optimizer {name!r} is not known")
    rate = arguments.get("learning_rate")
    if isinstance(rate, dict):
        rate = dict(rate)
        schedule = vars(schedules).get(rate.pop("schedule", None))
        if not (isinstance(schedule, type) and issubclass(schedule, schedules.Schedule)):
            raise FileFormatError("the learning-rate schedule is not known")
        arguments["learning_rate"] = schedule(**rate)
    return made(**arguments)
