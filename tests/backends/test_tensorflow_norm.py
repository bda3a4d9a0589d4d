"""Batch normalization in TensorFlow's programs: the fused kernel forward, all gradients where they are asked for."""

from __future__ import annotations

import numpy as np
import pytest

import unifront as uf
from unifront.backends import placement
from unifront.ir.graph import Graph


def traced(shape: tuple[int | None, ...]) -> Graph:
    x = uf.Input(shape[1:])
    return uf.Model(x, uf.layers.BatchNormalization(center=False)(x)).trace(False).graph


def operations(graph: Graph, inputs: list[np.ndarray], values: list[np.ndarray]) -> list[str]:
    place = placement("tensorflow")
    program = place.backend.compile(graph, place.device)
    arrays = [place.backend.array(one) for one in (*inputs, *values)]
    (got,) = program(arrays[: len(inputs)], arrays[len(inputs) :])
    named = {
        variable.name.rpartition("/")[2]: value
        for variable, value in zip(graph.variables, values, strict=True)
    }
    centred = inputs[0].astype("float64") - named["moving_mean"]
    wanted = centred / np.sqrt(named["moving_variance"] + 1e-3) * named["gamma"]
    np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-5, atol=1e-6)
    return [operation.type for operation in program._trace(handles=False).graph.get_operations()]


@pytest.mark.parametrize(
    ("shape", "fused"), [((2, 5, 1, 3), True), ((0, 4, 4, 3), True), ((2, 7, 3), False), ((4, 3), False)]
)
def test_images_are_normalized_by_the_fused_kernel(shape: tuple[int, ...], fused: bool) -> None:
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.5, 2, 3).astype("float32") for _ in range(3)]
    found = operations(traced(shape), [(rng.normal(size=shape) * 30).astype("float32")], values)
    assert ("FusedBatchNormV3" in found) == fused


class Slope(uf.layers.Layer):
    """The gradient of a normalized image's square by the mean, asked for in inference."""

    def call(self, x):
        def loss(mean):
            return uf.ops.sum(uf.ops.batch_normalization(x, mean, uf.ops.ones((4,)), -1) ** 2)

        _, gradient = uf.value_and_grad(loss)(uf.ops.ones((4,)))
        return x + gradient


def test_a_gradient_within_inference_is_whole() -> None:
    x = uf.Input((3, 3, 4))
    model = uf.Model(x, Slope()(x))
    given = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype("float32")
    wanted = given - 2 * (given - 1).sum((0, 1, 2)) / 1.001
    np.testing.assert_allclose(model.predict(given, backend="tensorflow"), wanted, rtol=1e-4, atol=1e-4)


def test_a_tape_has_the_gradients_of_the_statistics() -> None:
    tf = pytest.importorskip("tensorflow")
    x, mean, variance = (tf.random.stateless_uniform(s, (1, 2)) for s in ((2, 3, 3, 4), (4,), (4,)))
    with tf.GradientTape() as tape:
        tape.watch((mean, variance))
        loss = tf.reduce_sum(uf.ops.batch_normalization(x, mean, variance, -1) ** 2)
    assert all(
        one is not None and np.abs(one.numpy()).min() > 0 for one in tape.gradient(loss, (mean, variance))
    )
