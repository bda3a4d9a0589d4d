"""What ``unifront inspect`` and ``unifront convert`` do with files."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from unifront import safetensors
from unifront.cli.opened import KERAS
from unifront.cli.shown import plain
from unifront.errors import ArgumentError, FileFormatError, UnsupportedOp
from unifront.files import existing, reason
from unifront.importing import SAVED_MODEL
from unifront.ir.graph import Graph, Node
from unifront.support import unsupported

Found = dict[str, Any]
Open = Callable[[str], Any]
RECIPES = (".yaml", ".yml")
OPTIONS = {".onnx": ("opset", "dtype")}
"""The options that a format takes."""


# ---------------------------------------------------------------- convert


def converted(
    source: str, target: Path, open_: Open, weights: Path | None, options: Mapping[str, Any]
) -> Found:
    """Write the model in ``source`` as ``target``; what was done."""
    ending = target.suffix.lower()
    given = {name: value for name, value in options.items() if value is not None}
    odd = [name for name in given if name not in OPTIONS.get(ending, ())]
    if odd:
        raise ArgumentError(f"--{odd[0]} is for .onnx files, not for {target.name}.")
    if target.resolve() == Path(source).resolve():
        raise ArgumentError(f"{target} would be written over itself. Give OUT another name.")
    keras_weights = target.name.lower().endswith(".weights.h5")
    write, what = _WRITERS.get(".weights.h5" if keras_weights else ending, (None, ""))
    if write is None and (ending or target.is_file()):
        raise ArgumentError(
            f"{target} is of no format that models are written in: .onnx, .uf, .keras, .safetensors, .weights.h5, or a "
            "folder for a SavedModel."
        )
    if Path(source).suffix.lower() == ".safetensors":
        raise ArgumentError(
            f"{source} holds weights alone, and no model that they belong to. Name the model as IN, and the file as "
            f"its weights: unifront convert MODEL {target} --weights {source}"
        )
    model = open_(source)
    if weights is not None:
        model.load_weights(weights)
    if write is None:
        write, what = _saved_model
    write(model, target, given)
    return {
        "from": source,
        "to": str(target),
        "format": what,
        "parameters": model.count_params(),
        "bytes": sum(path.stat().st_size for path in written(target)),
    }


def written(target: Path) -> Iterator[Path]:
    """The files of the model at ``target``."""
    if target.is_dir():
        yield from (path for path in target.rglob("*") if path.is_file())
    else:
        yield target
        data = target.with_name(target.name + ".data")
        if target.suffix.lower() == ".onnx" and data.is_file():
            yield data


_Write = Callable[[Any, Path, Mapping[str, Any]], object]
_WRITERS: dict[str, tuple[_Write | None, str]] = {
    ".onnx": (lambda model, target, options: model.export(target, **options), "ONNX"),
    ".uf": (lambda model, target, options: model.save(target), "unifront"),
    ".keras": (lambda model, target, options: model.save(target), "Keras"),
    ".safetensors": (lambda model, target, options: model.save_weights(target), "safetensors"),
    ".weights.h5": (lambda model, target, options: model.save_weights(target), "weights of Keras"),
}


_saved_model: tuple[_Write, str] = (
    lambda model, target, options: model.export(target, format="tf_saved_model"),
    "SavedModel",
)


# ---------------------------------------------------------------- inspect


def inspected(name: str, open_: Open, backends: Sequence[str]) -> Found:
    """What is in a file or model; plain values, as JSON has them."""
    ending = Path(name).suffix.lower()
    if ending == ".safetensors":
        return _tensors(Path(name))
    found: Found = {
        "name": name,
        "format": _format(name, ending),
    }
    if Path(name).exists():
        found["bytes"] = sum(path.stat().st_size for path in written(Path(name)))
    if ending == ".onnx":
        found |= _proto(name)
    try:
        model = open_(name)
    except UnsupportedOp as error:
        return {**found, "refused": str(error)}
    except ArgumentError as error:
        if ending != ".onnx":
            raise
        return {**found, "refused": str(error)}
    traced = model.trace(False)
    graph: Graph = traced.graph
    outputs = list(zip(graph.output_names, graph.outputs, strict=True))[: traced.output_count]
    operations = Counter(node.op.name for node in _nodes(graph))
    del operations["constant"]
    weights = model.weights
    return {
        **found,
        "model": model.name,
        "inputs": {name: str(value.type) for name, value in graph.data_inputs.items()},
        "outputs": {name: str(value.type) for name, value in outputs},
        "parameters": model.count_params(),
        "trainable": sum(_numbers(weight) for weight in weights if weight.trains),
        "weight_bytes": sum(_numbers(weight) * weight.dtype.bits // 8 for weight in weights),
        "operations": dict(sorted(operations.items())),
        "not_run": {place: _not_run(place, operations) for place in (*backends, "onnx")},
    }


def _format(name: str, ending: str) -> str:
    """What ``name`` is."""
    known = {".onnx": "ONNX", ".uf": "unifront", **dict.fromkeys(KERAS, "Keras")}
    if ending in known:
        return known[ending]
    if Path(name).is_dir():
        return "SavedModel" if (Path(name) / SAVED_MODEL).is_file() else "unifront"
    return "recipe" if ending in RECIPES else "model of the zoo"


def _numbers(weight: Any) -> int:
    return math.prod(weight.shape)


def _not_run(place: str, operations: Mapping[str, int]) -> dict[str, str]:
    """The operations of a model that a backend, or ONNX, does not run, with the reason of each."""
    return {op: why for op, why in unsupported(place).items() if op in operations}


def _nodes(graph: Graph) -> Iterator[Node]:
    for node in graph.nodes:
        yield node
        for region in node.regions:
            yield from _nodes(region)


def _proto(name: str) -> Found:
    """What the file says of itself, whether it can be imported or not."""
    from unifront.onnx.load import proto_of

    proto = proto_of(name)
    from unifront.onnx.imports import reasons, rows  # wants the package onnx, which proto_of asks for
    from unifront.onnx.imports.schemas import schema_of

    versions = {"" if one.domain == "ai.onnx" else one.domain: one.version for one in proto.opset_import}
    own = {(one.domain, one.name) for one in proto.functions}
    counts: Counter[tuple[str, str]] = Counter()
    graphs = [proto.graph, *proto.functions]
    while graphs:
        for node in graphs.pop().node:
            counts["" if node.domain == "ai.onnx" else node.domain, node.op_type] += 1
            graphs += [one.g for one in node.attribute if one.HasField("g")]
    missing = {}
    for domain, kind in counts:
        schema = schema_of(kind, versions.get(domain, 1), domain)
        has_body = schema is not None and (schema.has_function or schema.has_context_dependent_function)
        if (domain, kind) not in rows() and (domain, kind) not in own and not has_body:
            missing[_called(domain, kind)] = reasons().get((domain, kind), "unifront does not import it")
    return {
        "producer": f"{proto.producer_name} {proto.producer_version}".strip(),
        "ir_version": proto.ir_version,
        "opset": {domain or "ai.onnx": version for domain, version in versions.items()},
        "functions": len(proto.functions),
        "operators": {_called(*key): count for key, count in sorted(counts.items())},
        "not_imported": missing,
    }


def _called(domain: str, kind: str) -> str:
    return f"{domain}::{kind}" if domain else kind


def _tensors(path: Path) -> Found:
    path = existing(path)
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            places = safetensors.places(file, size)
    except (ValueError, OSError) as error:
        raise FileFormatError(f"{path} cannot be read as safetensors: {reason(error)}.") from error
    return {
        "name": str(path),
        "format": "safetensors",
        "bytes": size,
        "tensors": {name: str(place) for name, place in places.items()},
    }


# ---------------------------------------------------------------- what is printed


def show(found: Found, console: Console, table_of: Callable[..., Any]) -> None:
    """Print what `inspected` found."""
    table = table_of("what", "value")
    for key, value in found.items():
        if isinstance(value, dict):
            continue
        text = f"{value:,}" if isinstance(value, int) and key != "ir_version" else str(value)
        table.add_row(key.replace("_", " "), escape(plain(text)))
    console.print(table)
    for key, value in found.items():
        if not isinstance(value, dict) or key == "not_run" or not value:
            continue
        table = table_of(key.replace("_", " "), "")
        for name, one in value.items():
            table.add_row(escape(plain(name)), escape(plain(str(one))))
        console.print(table)
    for place, reasons in found.get("not_run", {}).items():
        if not reasons:
            console.print(f"{escape(place)}: runs all of it")
        for op, why in reasons.items():
            console.print(f"{escape(place)} does not run {escape(op)}: {escape(why)}", soft_wrap=True)
