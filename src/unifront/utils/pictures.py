"""Pictures of models: boxes and arrows, by Graphviz."""

from __future__ import annotations

import importlib
import subprocess
from collections.abc import Iterator
from html import escape
from typing import Any, Literal

from unifront import tree
from unifront.activations import name_of
from unifront.arguments import Size, checked
from unifront.errors import ArgumentError, BackendMissing, NotBuiltError
from unifront.files import write_beside
from unifront.functional import static_shapes
from unifront.layers.input import InputLayer
from unifront.layers.layer import Layer
from unifront.model import Model
from unifront.opset.tensor import Symbolic, bind
from unifront.paths import path_of

FORMATS = ("png", "svg", "pdf", "jpg", "jpeg", "gif", "dot")


def _graphviz() -> Any:
    try:
        return importlib.import_module("graphviz")
    except ModuleNotFoundError:
        raise ArgumentError("Pictures of models are drawn by Graphviz: pip install graphviz") from None


class _Drawing:
    def __init__(self, model: Model, show: dict[str, bool], expand_nested: bool) -> None:
        self.show, self.expand = show, expand_nested
        self.lines: list[str] = []
        self.nodes: set[str] = set()
        self.shown: dict[int, str] = {}
        self.body(model, "", "  ")

    def body(self, model: Model, path: str, indent: str) -> None:
        """The boxes of a model's layers and calls, and the arrows between them."""
        calls = list(model._calls)
        for leaf in model.inputs:
            node = self.box(leaf.layer, f"{path}{model._input_layer(leaf).name}", indent, None, leaf)
            self.shown[id(leaf)] = node
        for number, call in enumerate(calls):
            function = call.function
            name = function.name if isinstance(function, Layer) else f"{_called(call)}_{number}"
            given = [
                leaf for leaf in tree.leaves([call.args, dict(call.kwargs)]) if isinstance(leaf, Symbolic)
            ]
            sources = [self.source(leaf) for leaf in given]
            if self.expand and isinstance(function, Model) and function._calls:
                self.lines.append(
                    f"{indent}subgraph {_quoted(f'cluster_{path}{name}')} {{ label={_quoted(name)}; style=dashed;"
                )
                self.body(function, f"{path}{name}/", indent + "  ")
                self.lines.append(f"{indent}}}")
                entries = [self.shown[id(leaf)] for leaf in function.inputs]
                self.lines += [
                    f"{indent}{_quoted(a)} -> {_quoted(b)};" for a, b in zip(sources, entries, strict=True)
                ]
                self.shown[id(call)] = self.source(function.outputs[0])
                continue
            node = self.box(function, f"{path}{name}", indent, call, given)
            self.shown[id(call)] = node
            self.lines += [f"{indent}{_quoted(source)} -> {_quoted(node)};" for source in sources]

    def source(self, tensor: Symbolic) -> str:
        return self.shown[id(tensor) if tensor.call is None else id(tensor.call)]

    def box(self, function: Any, name: str, indent: str, call: Any, given: Any) -> str:
        """A box; gives its name in the picture, which no other has."""
        node, number = name, 0
        while node in self.nodes:
            number += 1
            node = f"{name}:{number}"
        self.nodes.add(node)
        rows = "".join(f"<tr><td>{escape(row)}</td></tr>" for row in self.rows(function, name, call, given))
        self.lines.append(
            f'{indent}{_quoted(node)} [label=<<table border="0" cellborder="1" cellspacing="0" cellpadding="6">{rows}'
            "</table>>];"
        )
        return node

    def rows(self, function: Any, name: str, call: Any, given: Any) -> Iterator[str]:
        kind = type(function).__name__ if isinstance(function, Layer) else _called(call)
        yield f"{name.rpartition('/')[2]} ({kind})" if self.show["layer_names"] else kind
        activation = getattr(function, "activation", None)
        if self.show["layer_activations"] and activation is not None:
            yield f"Activation: {name_of(activation) or getattr(activation, '__name__', activation)}"
        taken = list(given) if isinstance(given, list) else []
        made = [given] if isinstance(function, InputLayer) else list(getattr(function, "_first", []))
        if self.show["shapes"]:
            yield f"Input: {static_shapes(taken) if taken else '-'}   Output: {static_shapes(made) if made else '-'}"
        if self.show["dtype"] and made:
            yield f"dtype: {', '.join(one.dtype.name for one in made)}"
        if self.show["trainable"] and isinstance(function, Layer) and function.weights:
            yield f"Trainable: {function.trainable}"


def _quoted(name: str) -> str:
    """``name`` in quotes, out of which it cannot come: names may be a file's."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _called(call: Any) -> str:
    return call.args[0].name if call.function is bind else getattr(call.function, "__name__", "function")


@checked
def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: Literal["TB", "LR"] = "TB",
    expand_nested: bool = False,
    dpi: Size = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: Literal["ortho", "curved", "polyline", "spline", "line", "none"] = "ortho",
) -> Any:
    """The model as a ``graphviz.Source``; arguments as of `plot_model`."""
    if not model._calls:
        raise NotBuiltError(
            f"The model {model.name!r} is not built yet or has no layers between inputs and outputs to draw. Begin it "
            "with uf.Input(...)."
        )
    show = {
        "shapes": show_shapes, "dtype": show_dtype, "layer_names": show_layer_names,
        "layer_activations": show_layer_activations, "trainable": show_trainable,
    }  # fmt: skip
    lines = _Drawing(model, show, expand_nested).lines
    form = f"rankdir={rankdir}; splines={splines}; dpi={dpi}; node [shape=plain];"
    head = f"digraph {_quoted(model.name)} {{\n  {form}\n"
    return _graphviz().Source(head + "\n".join(lines) + "\n}\n")


@checked
def plot_model(
    model: Model,
    to_file: Any = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: Literal["TB", "LR"] = "TB",
    expand_nested: bool = False,
    dpi: Size = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: Literal["ortho", "curved", "polyline", "spline", "line", "none"] = "ortho",
) -> Any:
    """Draw a model's layers and write the picture.

    Args:
        model: a functional model or a `Sequential` whose input is known.
        to_file: the picture; the suffix says the format (``.png``, ``.svg``, ``.pdf``; ``.dot`` needs no program).
        show_shapes, show_dtype, show_layer_names, show_layer_activations, show_trainable: what boxes say.
        splines: how arrows are drawn.
        rankdir: "TB" from top to bottom, "LR" from left to right.
        expand_nested: whether models inside are drawn with their layers.
        dpi: dots an inch of a PNG.

    Returns the ``graphviz.Source``, which a notebook shows. Raises `NotBuiltError` before the input is known,
    `ArgumentError` for another format, `BackendMissing` (an ImportError, as in Keras) without Graphviz. Source:
    ``keras.utils.plot_model``.
    """
    path = path_of(to_file)
    kind = path.suffix[1:].lower()
    if kind not in FORMATS:
        raise ArgumentError(f"plot_model writes {', '.join(FORMATS)}; not {str(to_file)!r}.")
    dot = model_to_dot(
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi,
        show_layer_activations=show_layer_activations, show_trainable=show_trainable,
        splines=splines,
    )  # fmt: skip
    try:
        drawn = dot.source.encode() if kind == "dot" else dot.pipe(format=kind)
    except _graphviz().ExecutableNotFound:
        raise BackendMissing(
            "Graphviz's program `dot` draws the picture, and is not installed (apt install graphviz, brew install "
            "graphviz). A .dot file is written without it."
        ) from None
    write_beside(path, lambda file: file.write(drawn))
    return dot


def svg_of(model: Model) -> str:
    """The picture of a model for a page of HTML; nothing where it cannot be drawn."""
    if not model._calls:
        return ""
    try:
        drawn: str = model_to_dot(model, show_shapes=True, show_layer_names=True, dpi=72).pipe(
            format="svg", encoding="utf-8"
        )
    except (ArgumentError, OSError, RuntimeError, subprocess.CalledProcessError):  # Graphviz misses or fails
        return ""
    return drawn[drawn.index("<svg") :]
