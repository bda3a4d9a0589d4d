"""Models of other formats as models of unifront."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from unifront.arguments import Name, anything, checked
from unifront.errors import ArgumentError
from unifront.graph_model import GraphModel
from unifront.ir import passes
from unifront.onnx.load import load
from unifront.onnx.patterns import find_patterns
from unifront.opset.spec import OPS
from unifront.reference import evaluate


@checked
def from_onnx(
    model: Annotated[Any, anything],
    *,
    inputs: Annotated[Mapping[str, Any] | None, anything] = None,
    name: Name | None = None,
) -> GraphModel:
    """An ONNX model as a model that runs, trains, exports and saves on every backend.

    Floating-point initializers become weights, by their names; what a batch normalization's running statistics are
    does not train. The layers are those that the names of the nodes speak of (``encoder/0/attention``). Data keeps
    the layout of the file, channels first. In training, dropout and batch normalization do what they do in the file,
    which for most is what they do in inference.

    Args:
        model: the path of a ``.onnx`` file, its content as bytes, or an ``onnx.ModelProto``.
        inputs: what is known of inputs beyond what the file says, by their names: a shape (None or a name for a free
            size); an array that the input is to be for good, where its values decide what the graph is; a tuple of
            these for a sequence.
        name: the model's; the graph's in the file unless given.

    Raises `FileFormatError` for a broken file, naming the node and what is wrong; `UnsupportedOp` for an operator
    that unifront does not have; `ArgumentError` where it has to be told more of an input; `BackendMissing` where the
    package ``onnx`` is not installed.

        model = uf.from_onnx("resnet.onnx", inputs={"image": (None, 3, 224, 224)})
        model.fit(x_train, y_train, backend="jax")
    """
    imported = load(model, inputs, name=name or "")
    if any(not isinstance(result.value, int) for result in imported.results):
        odd = next(result.name for result in imported.results if not isinstance(result.value, int))
        raise ArgumentError(
            f"The output {odd!r} is a sequence, an optional or strings; a model's outputs are tensors. "
            "unifront.onnx.backend runs such models."
        )
    table = passes.registry(OPS, evaluate)
    patterns = passes.Pass("find_patterns", find_patterns)
    order = (*passes.standard(OPS, evaluate), patterns, table["unused_variables"])
    graph, values, _ = passes.run(imported.graph, imported.values, order)
    return GraphModel.of(graph, {seen.name: values[seen.name] for seen in graph.variables}, name=graph.name)
