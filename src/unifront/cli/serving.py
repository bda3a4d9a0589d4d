"""The commands that hand a model to others: ``serve`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from unifront.backends import placement
from unifront.cli.opened import Backend, complete_model, model_of
from unifront.cli.shown import Json, line, load_quietly, show_json
from unifront.errors import ArgumentError

commands = typer.Typer()


@commands.command(epilog="Example: unifront serve digits.uf words=lstm.onnx --port 8080 --max-batch 64")
def serve(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="[NAME=]MODEL...",
            help="What to serve: .uf and .onnx files, folders of trained models, models of the zoo. A model is called "
            "as its file is, unless a NAME is given.",
            autocompletion=complete_model,
        ),
    ],
    backend: Backend = None,
    host: Annotated[str, typer.Option(help="The address to listen at; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for a free one.")] = 8080,
    max_batch: Annotated[
        int, typer.Option(min=1, help="Examples that requests are joined to; 1: they are not.")
    ] = 32,
    max_wait_ms: Annotated[
        float, typer.Option(min=0, help="How long a request waits for others while the model is idle.")
    ] = 0.0,
    max_bytes: Annotated[int, typer.Option(min=1, help="The largest request, and the largest answer.")] = 32
    * 2**20,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Requests that may wait for a model; others are refused (503).")
    ] = 1024,
    as_json: Json = False,
) -> None:
    """Answer requests over HTTP with a model's predictions, until told to stop (Ctrl-C, SIGTERM).

    At /v2 it speaks the Open Inference Protocol (KServe, Triton), at /v1 the REST of TensorFlow Serving.
    What Prometheus counts is at /metrics.
    """
    from unifront.serving import Limits
    from unifront.serving import serve as answer

    limits = Limits(max_batch, max_wait_ms / 1000, max_bytes, max_waiting)
    given = _named(models)
    load_quietly([placement(backend).name])
    opened = {name: model_of(path) for name, path in given.items()}
    where = str(placement(backend))

    def tell(url: str) -> None:
        if as_json:
            show_json({"url": url, "backend": where, "models": given})
            return
        for name, path in given.items():
            line(f"{path} on {where}: {url}/v2/models/{name}/infer and {url}/v1/models/{name}:predict")

    answer(opened, backend, limits, host=host, port=port, when_ready=tell)


def _named(models: list[str]) -> dict[str, str]:
    """What to open, by the names that requests use."""
    found: dict[str, str] = {}
    for given in models:
        name, equals, path = given.partition("=")
        if not equals or "/" in name:
            path, name = given, Path(given).resolve().name
            name = name.removesuffix(".uf").removesuffix(".onnx")
        if name in found:
            raise ArgumentError(
                f"Two models are called {name!r}: {found[name]} and {path}. Write NAME={path}."
            )
        found[name] = path
    return found


@commands.command(epilog="Example: unifront export digits.uf digits.onnx --opset 17")
def export(
    model: Annotated[
        str,
        typer.Argument(
            help="A .uf or .onnx file, a folder of a trained model, a model of the zoo.",
            autocompletion=complete_model,
        ),
    ],
    target: Annotated[
        Path, typer.Argument(metavar="OUT", help="A .onnx file; any other name: a folder, of a SavedModel.")
    ],
    form: Annotated[
        str | None, typer.Option("--format", help="onnx, tf_saved_model, or web: a page that runs the model.")
    ] = None,
    opset: Annotated[int | None, typer.Option(help="The version of the operator set, of ONNX.")] = None,
    dtype: Annotated[str | None, typer.Option(help="A dtype in place of float32, in ONNX.")] = None,
    runtime: Annotated[
        Path | None, typer.Option(help="The npm package onnxruntime-web, of web; else it is in node_modules.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option(help="What classes are called on the page, of web, with commas between.")
    ] = None,
    quantize: Annotated[
        str | None, typer.Option(help="dynamic, weight_int8 or weight_int4: integers of few bits, in ONNX.")
    ] = None,
    functions: Annotated[
        bool, typer.Option("--functions", help="Layers as functions, which viewers show, in ONNX.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a model for inference elsewhere: ONNX, a SavedModel for TensorFlow Serving, or a page for browsers."""
    from unifront.cli.files import written

    if form == "tf_saved_model" or (form is None and target.suffix.lower() != ".onnx"):
        load_quietly(["tensorflow"])
    called = None if labels is None else labels.split(",")
    options: dict[str, Any] = {
        "opset": opset, "dtype": dtype, "runtime": runtime, "labels": called, "quantize": quantize,
        "functions": functions or None,
    }  # fmt: skip
    opened = model_of(model)
    opened.export(target, form, **{name: value for name, value in options.items() if value is not None})
    size = sum(path.stat().st_size for path in written(target))
    if as_json:
        inputs, outputs = (
            {name: str(type_) for name, type_ in found.items()}
            for found in (opened.input_types, _output_types(opened))
        )
        show_json({"from": model, "to": str(target), "bytes": size, "inputs": inputs, "outputs": outputs})
        return
    line(f"{model} → {target}: {size:,} bytes")


def _output_types(model: Any) -> dict[str, Any]:
    graph = model.trace(False).graph
    types = (value.type for value in graph.outputs)
    return dict(zip(graph.output_names, types, strict=True))
