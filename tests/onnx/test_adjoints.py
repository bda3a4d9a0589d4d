"""The rules by which gradients are written out, each against finite differences of the operation's reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import pytest

from unifront import testing
from unifront.errors import ExportError
from unifront.ir.graph import Graph
from unifront.onnx.adjoints import forms, rules, written_gradients
from unifront.opset.gradient import GRADIENT
from unifront.opset.spec import OpSpec, Sample
from unifront.opset.tensor import Builder
from unifront.reference import BACKEND

RULED = sorted(
    (spec for spec in {*rules(), *forms()} if spec.differentiable and not spec.random),
    key=lambda spec: spec.name,
)
REFUSED: dict[str, tuple[Callable[[Sample], bool], str]] = {
    "pad": (lambda sample: sample.attributes["mode"] != "constant", "padding of the mode"),
    "scatter": (lambda sample: sample.attributes["mode"] not in ("set", "add"), "scattering by"),
    "segment": (lambda sample: sample.attributes["kind"] != "sum" and sample.wrt is None, "of segments"),
}
"""The samples that have no gradient which is written out, and what is said of them."""


def written(graph: Graph, wrt: Sequence[str], device: str | None = None) -> Callable[..., Any]:
    """``value_and_grad`` of the backend of NumPy, by gradients written out."""
    order = [*(graph.input_names.index(name) for name in wrt)]
    order += [i for i in range(len(graph.inputs)) if i not in order]
    builder = Builder("step")
    inputs = [
        builder.input(name, value.type) for name, value in zip(graph.input_names, graph.inputs, strict=True)
    ]
    region = Graph(
        "loss", tuple(graph.inputs[i] for i in order), (), graph.nodes, graph.outputs,
        tuple(graph.input_names[i] for i in order), ("loss",),
    ).renumbered()  # fmt: skip
    results = builder.add(GRADIENT, [inputs[i].value for i in order], {"wrt": len(wrt)}, (region,))
    program = BACKEND.compile(written_gradients(builder.graph(results)))
    return lambda operands, variables: program(operands, variables)


@pytest.mark.parametrize("spec", RULED, ids=lambda spec: spec.name)
def test_gradients_written_out_are_those_of_the_operation(
    spec: OpSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(BACKEND), "value_and_grad", lambda self, *given: written(*given), raising=False)
    for sample in testing.samples_of(spec):
        refused = spec.name in REFUSED and REFUSED[spec.name][0](sample)
        with pytest.raises(ExportError, match=REFUSED[spec.name][1]) if refused else nullcontext():
            testing.check_gradient("numpy", spec, [sample], "float64")
