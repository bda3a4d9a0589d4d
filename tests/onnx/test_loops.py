"""Loops whose length, and whose steps, are known only when the model runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

import unifront as uf
from tests.onnx.runtimes import runtime
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError
from unifront.testing import assert_close

SIZED = [name for name in ("numpy", "torch", "tensorflow") if name == "numpy" or name in installed()]
"""Those that make arrays of sizes that come from values; XLA does not."""


def looped(body: str, limit: str, condition: str, x: Any, outputs: int) -> Any:
    """A model of a loop over ``h``, which begins as the input x, and may read it and the weight w."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["columns"], axis=0),
        helper.make_node("Greater", ["columns", "zero"], ["any"]),
        helper.make_node("Loop", [limit, condition, "first"], ["h", "all"][:outputs], "loop", body=parser.parse_graph(body)),
    ]  # fmt: skip
    values = {
        "w": np.array([0.5, 1, 2], "f4"),
        "first": np.zeros(3, "f4"),
        "one": np.array(1),
        "zero": np.array(0),
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("n", TensorProto.INT64, ()), helper.make_tensor_value_info("x", TensorProto.FLOAT, x)],
        [helper.make_empty_tensor_value_info(name) for name in ("h", "all")[:outputs]],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8)


COLLECTS = """b (int64 i, bool c, float[3] h) => (bool again, float[3] next, float[3] each) {
    again = Identity(c)  moved = Mul(h, w)  place = Cast<to = 1>(i)  next = Add(moved, place)  each = Tanh(next) }"""


@pytest.mark.parametrize("name", SIZED)
def test_a_number_of_steps_that_is_an_input(name: str) -> None:
    proto = looped(COLLECTS, "n", "", (1, 3), 2)
    model, backend = uf.from_onnx(proto), get_backend(name)
    x = np.ones((1, 3), "float32")
    for steps in (4, 1, 0, -2):
        n = np.array(steps)
        found = model({"n": backend.array(n), "x": backend.array(x)})
        for one, wanted in zip(found, runtime(proto, [n, x]), strict=True):
            assert_close(backend.numpy(one), wanted)


GROWS = """b (int64 i, bool c, float[n] h) => (bool again, float[m] next) {
    size = Shape(x)  wide = Gather<axis = 0>(size, one)  count = Add(i, one)  again = Less(count, wide)
    next = Concat<axis = 0>(h, h) }"""


def test_a_loop_that_sizes_end_asks_for_the_sizes() -> None:
    """The state grows, so the loop is written out, as often as the input has columns."""
    proto = looped(GROWS, "", "any", ("rows", "columns"), 1)
    with pytest.raises(
        ArgumentError, match=r"'loop' \('Loop'\): .*has to be known at import, but it comes from 'x'"
    ):
        uf.from_onnx(proto)
    x = np.ones((2, 3), "float32")
    model = uf.from_onnx(proto, inputs={"x": x.shape, "n": np.array(0)})
    assert_close(model.predict(x, backend="numpy"), runtime(proto, [np.array(0), x])[0])
