"""In which layout values are kept: it spreads from the rows that ask for one, and nothing is turned within a step."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.ir.graphs import rows
from unifront import layers, ops
from unifront.backends import get_backend
from unifront.dtypes import float32, float64
from unifront.ir.dims import symbol
from unifront.ir.emit import Rows, emit
from unifront.ir.graph import Graph, Variable
from unifront.ir.layouts import Storage, spread, storage_of
from unifront.ir.types import TensorType
from unifront.opset.replay import StepProgram, step_program
from unifront.opset.spec import OPS
from unifront.opset.tensor import Builder, Traced
from unifront.train.step import build_step

SQUARE = TensorType(float64, (3, 4))
TURNED = Storage("turned", np.transpose, np.transpose)
OTHER = Storage("other", np.negative, np.negative)


def graph_of(function: Any, *names: str, shape: tuple[int, ...] = (3, 4)) -> Graph:
    """The graph of ``function(x, *variables)``, the variables being of one shape."""
    builder = Builder("graph")
    x = builder.input("x", TensorType(float64, (2, 3)))
    variables = [Variable(name, builder.new(TensorType(float64, shape))) for name in names]
    result = function(x, *(Traced(one.value, builder) for one in variables))
    return builder.graph(list(result) if isinstance(result, tuple) else [result], variables=variables)


def turned_matmul(x: Any, w: Any) -> Any:
    return np.matmul(x, np.transpose(w))


def rows_with_layout() -> Rows:
    """NumPy's, where `matmul` wants its second operand turned."""
    base = rows()
    matmul = OPS["matmul"]
    return Rows(
        "numpy", {**base.table, matmul: turned_matmul}, base.constant, base.size, {(matmul, 1): TURNED}, {}
    )


WANTED = rows_with_layout().storage


def test_a_layout_spreads_element_by_element() -> None:
    graph = graph_of(
        lambda x, w, a, b: (ops.matmul(x, w), ops.add(ops.multiply(w, a), 2.0), ops.sum(ops.square(b))),
        "w", "a", "b",
    )  # fmt: skip
    storage = storage_of(graph, WANTED)
    assert storage == (TURNED, TURNED, None)
    known = {variable.value: layout for variable, layout in zip(graph.variables, storage, strict=True)}
    assert spread(graph, known)[graph.outputs[1]] is TURNED
    assert graph.outputs[0] not in spread(graph, known)


def test_what_broadcasts_stays_as_it_is() -> None:
    """A row added to a kernel would have to be turned too: both stay apart."""
    graph = graph_of(lambda x, w, a: (ops.matmul(x, w), ops.add(w, ops.sum(a, 0))), "w", "a")
    assert storage_of(graph, WANTED) == (TURNED, None)
    program = emit(graph, rows_with_layout())
    w, a, x = np.arange(12.0).reshape(3, 4), np.ones((3, 4)), np.arange(6.0).reshape(2, 3)
    product, total = program.function((x,), (w.T, a))
    np.testing.assert_array_equal(product, x @ w)
    np.testing.assert_array_equal(total, w + a.sum(0))


def test_the_first_that_asks_decides() -> None:
    graph = graph_of(lambda x, w: (ops.tanh(ops.matmul(x, w)), ops.transpose(w)), "w")
    wanted = {(OPS["matmul"], 1): TURNED, (OPS["transpose"], 0): OTHER}
    assert storage_of(graph, wanted) == (TURNED,)
    assert storage_of(graph, {}) == (None,)


def test_numbers_are_those_of_keras_layout() -> None:
    def function(x: Any, w: Any, a: Any) -> Any:
        moved = ops.subtract(w, ops.multiply(a, 0.5))
        return ops.matmul(x, w), ops.sum(moved, 0), moved, ops.matmul(x, moved)

    graph = graph_of(function, "w", "a")
    own, plain = emit(graph, rows_with_layout()), emit(graph, rows())
    rng = np.random.default_rng(0)
    x, w, a = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    assert own.storage == (TURNED, TURNED)
    for found, expected in zip(own.function((x,), (w.T, a.T)), plain.function((x,), (w, a)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-14)
    carried = emit(
        graph_of(lambda x, w: (ops.matmul(x, w), ops.tanh(w)), "w"), rows_with_layout(), carry=(0,)
    )
    assert "turned" not in carried.source
    np.testing.assert_allclose(carried.function((x,), (w.T,))[1], np.tanh(w).T, rtol=1e-14)


OPTIMIZERS = {
    "adam": (lambda: uf.optimizers.Adam(), 0),
    "value": (lambda: uf.optimizers.SGD(momentum=0.9, clipvalue=1.0), 0),
    # the norm of each of the two kernels is a sum over all axes, which is taken of a view
    "norm": (lambda: uf.optimizers.Adam(clipnorm=1.0), 2),
    "average": (lambda: uf.optimizers.AdamW(clipnorm=1.0, use_ema=True), 2),
    "overwrite": (lambda: uf.optimizers.RMSprop(use_ema=True, ema_overwrite_frequency=2), 0),
}  # fmt: skip


def conv_step(optimizer: Any) -> StepProgram:
    """The step of a CNN on PyTorch, where kernels stand with their output channels first."""
    model = uf.Sequential([
        uf.Input((8, 8, 3)), layers.Conv2D(4, 3, name="one"), layers.BatchNormalization(), layers.ReLU(),
        layers.Conv2D(5, 3, name="two"), layers.Flatten(), layers.Dense(3, name="head"),
    ])  # fmt: skip
    model.compile(optimizer, "mse", metrics=["mae"])
    batch = symbol("batch")
    types = {"x": TensorType(float32, (batch, 8, 8, 3)), "y": TensorType(float32, (batch, 3))}
    step = build_step(model, (0, 1), types, train=True)
    return step_program(step.plan, get_backend("torch").rows("cpu"))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_of_a_cnn_turns_nothing(name: str) -> None:
    pytest.importorskip("torch")
    optimizer, sums = OPTIMIZERS[name]
    made = conv_step(optimizer())
    storage = {v.name: s for v, s in zip(made.graph.variables, made.program.storage, strict=True)}
    for variable, layout in storage.items():
        assert (layout is not None) == variable.startswith(("one/kernel", "two/kernel")), variable
    updates = [node.op.name for node in made.graph.nodes if "_update" in node.op.name]
    assert (
        len(updates) == 1 or name == "overwrite"
    )  # all weights at once, unless averages may take their place
    conversions = [line for line in made.program.source.splitlines() if re.search(r"\b(from|to)_\w+\(", line)]
    assert len(conversions) == sums
    assert all(re.search(r"= sum_\d+\(from_oihw_0\(v\d+\)\)", line) for line in conversions)


def test_a_gradients_body_is_run_in_the_layout_outside() -> None:
    pytest.importorskip("torch")
    made = conv_step(uf.optimizers.SGD())
    names = made.program.function.__globals__
    (gradient,) = (row for name, row in names.items() if name.startswith("gradient_"))
    (region,) = gradient.keywords["regions"]
    called = region.__code__.co_names
    assert sum(name.startswith("conv_") for name in called) == 2
    assert not [name for name in called if name.startswith(("to_", "from_"))]
