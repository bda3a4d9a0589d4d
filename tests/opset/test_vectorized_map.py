"""`vectorized_map`: every operation by its rule against itself row by row, and whole functions against Keras and JAX."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import unifront as uf
from unifront import ops
from unifront.backends import HostKey, get_backend, installed
from unifront.errors import ArgumentError, ShapeError
from unifront.ir.graph import Graph
from unifront.opset import OPS, OpSpec, Sample
from unifront.opset.batching import Rows, over_rows, rule_of
from unifront.opset.tensor import Builder, to_numpy
from unifront.reference import array_type
from unifront.testing import assert_close

RNG = np.random.default_rng(3)
COUNT = 3
LOOPED = {
    "bitcast", "cond", "custom_gradient", "fill", "gradient", "gru", "iota", "lstm", "scan", "scatter", "segment", "simple_rnn",
    "while_loop",
}  # fmt: skip
"""What has neither a rule nor a decomposition: it is gone through row by row, but for `fill` and `iota`, which only look
where their operand is."""
LONG = {"attention", "ctc_loss", "dynamic_slice", "slice_update"}
"""Written out they are long programs."""
KEYS = {"bind_size", "constant", "fold_in", "key_words", "random_bits", "random_key"}
"""Of keys, or without operands, or what sends the whole function through `map`."""


def deterministic() -> list[OpSpec]:
    return [spec for spec in OPS.values() if not spec.random and spec.name not in KEYS]


def several(operand: np.ndarray) -> np.ndarray:
    """``COUNT`` rows like ``operand``: other numbers of its kind, such as indices of the same table."""
    if operand.dtype.kind in "fc":
        return np.stack([operand, operand * 0.5, operand * 0.75]).astype(operand.dtype)
    return np.stack([operand, operand[::-1] if operand.ndim else operand, operand])  # a place stays a place


def which(operands: tuple[Any, ...]) -> Iterator[tuple[bool, ...]]:
    """Which operands have rows: each by itself, and all."""
    here = [i for i, one in enumerate(operands) if one is not None]
    alone = [tuple(i == place for i in range(len(operands))) for place in here]
    yield from dict.fromkeys([*alone, tuple(one is not None for one in operands)]) if here else ()


def graph_of(spec: OpSpec, sample: Sample) -> Graph:
    builder = Builder("row")
    inputs = [
        None if one is None else builder.input(f"x{i}", array_type(one)).value
        for i, one in enumerate(sample.operands)
    ]
    return builder.graph(builder.add(spec, inputs, sample.attributes, sample.regions))


def compare(spec: OpSpec, first: int, last: int | None) -> None:
    """The samples from ``first`` to before ``last``, all rows at once and by themselves."""
    for sample in itertools.islice(spec.samples(RNG), first, last):
        if any(isinstance(one, HostKey) for one in sample.operands):
            continue
        graph = graph_of(spec, sample)
        for mapped in which(sample.operands):
            rows = [
                Rows(several(np.asarray(one)) if has else np.asarray(one), array_type(one), has)
                for one, has in zip(sample.operands, mapped, strict=True)
                if one is not None
            ]
            with np.errstate(all="ignore"):
                found = over_rows(graph, rows, COUNT, None)
                alone = [
                    over_rows(
                        graph,
                        [Rows(r.value[i] if r.mapped else r.value, r.type, False) for r in rows],
                        1,
                        None,
                    )
                    for i in range(COUNT)
                ]
            for place, result in enumerate(found):
                wanted = np.concatenate([row[place] for row in alone])
                assert_close(to_numpy(result), wanted, what=f"{spec.name} {dict(sample.attributes)} {mapped}")


def quick(spec: OpSpec) -> int:
    """How many samples of an operation are gone through by default: of one written out, its parts are tested too."""
    return 2 if spec.decomposition is None or rule_of(spec) is not None else 1


@pytest.mark.parametrize(
    "spec", [one for one in deterministic() if one.name not in LONG], ids=lambda spec: spec.name
)
def test_a_rule_gives_what_rows_give_by_themselves(spec: OpSpec) -> None:
    compare(spec, 0, quick(spec))


@pytest.mark.slow
@pytest.mark.parametrize("spec", deterministic(), ids=lambda spec: spec.name)
def test_a_rule_gives_what_rows_give_by_themselves_in_all_shapes(spec: OpSpec) -> None:
    compare(spec, 0 if spec.name in LONG else quick(spec), 6)


def test_few_operations_are_gone_through_row_by_row() -> None:
    bare = {spec.name for spec in deterministic() if rule_of(spec) is None and spec.decomposition is None}
    assert bare == LOOPED


# ---------------------------------------------------------------- whole functions

X = RNG.normal(size=(5, 4)).astype("float32")
W = RNG.normal(size=(3, 4)).astype("float32")
FUNCTIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "matrix and vector": lambda k, x, w: k.matmul(w, x),
    "normalized": lambda k, x, w: x / k.sqrt(k.sum(k.square(x)) + 1.0),
    "attention": lambda k, x, w: k.matmul(k.softmax(k.matmul(w, x)), w),
    "shapes": lambda k, x, w: k.concatenate([k.reshape(x, (2, 2)), k.transpose(k.reshape(x, (2, 2)))], axis=1)[0],
    "outer": lambda k, x, w: k.sum(k.einsum("i,kj->ikj", x, w), axis=1),
    "places": lambda k, x, w: k.take(x, k.argmax(k.abs(x))) * x,
    "the same for all": lambda k, x, w: k.sum(w, axis=0),
    "several": lambda k, x, w: k.max(x) - k.cumsum(x),
    "inverse": lambda k, x, w: k.matmul(k.inv(k.einsum("i,j->ij", x, x) + np.eye(4, dtype="float32")), x),
    "of one more axis": lambda k, x, w: k.mean(k.expand_dims(x, 0) * k.expand_dims(x, 1), axis=0),
}  # fmt: skip


class JaxWords:
    """JAX's functions by the names of Keras's."""

    softmax, einsum, inv = (
        staticmethod(jax.nn.softmax),
        staticmethod(jnp.einsum),
        staticmethod(jnp.linalg.inv),
    )

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)


def mapped(k: Any, function: Callable[..., Any], x: Any, w: Any) -> Any:
    return k.vectorized_map(lambda row: function(k, row, w), x)


@pytest.mark.parametrize("name", ["attention", "places", "the same for all", "inverse"])
def test_as_keras_and_jax_give_it(name: str) -> None:
    function = FUNCTIONS[name]
    wanted = jax.vmap(lambda row: function(JaxWords(), row, W))(X)
    assert_close(
        np.asarray(mapped(keras.ops, function, tf.constant(X), W)), np.asarray(wanted), what="the judges"
    )
    for backend in installed():
        array = get_backend(backend).array
        found = mapped(ops, function, array(X), array(W))
        assert get_backend(backend).type_of(found).shape == wanted.shape
        assert_close(to_numpy(found), np.asarray(wanted), what=backend)


def test_in_a_model_with_a_free_number_of_rows_too() -> None:
    x = uf.Input((4,))
    model = uf.Model(x, [mapped(ops, function, x, W) for function in FUNCTIONS.values()])
    for backend in installed():
        results = model(get_backend(backend).array(X))
        for name, found in zip(FUNCTIONS, results, strict=True):
            wanted = jax.vmap(lambda row, name=name: FUNCTIONS[name](JaxWords(), row, W))(X)
            assert_close(to_numpy(found), np.asarray(wanted), what=f"{backend} {name}")


def loss(k: Any, x: Any, w: Any) -> Any:
    def row_of(row: Any) -> Any:
        return k.tanh(k.matmul(w, row)) * k.max(row)

    return k.sum(k.square(k.vectorized_map(row_of, x) if k is ops else jax.vmap(row_of)(x)))


def test_gradients_reach_the_rows_and_what_is_used_from_outside() -> None:
    wanted = jax.grad(lambda x, w: loss(JaxWords(), x, w), (0, 1))(X, W)
    x, w = torch.tensor(X, requires_grad=True), torch.tensor(W, requires_grad=True)
    loss(ops, x, w).backward()
    a, b = tf.Variable(X), tf.Variable(W)
    with tf.GradientTape() as tape:
        value = loss(ops, tf.convert_to_tensor(a), tf.convert_to_tensor(b))
    found = {
        "torch": (x.grad, w.grad),
        "tensorflow": tape.gradient(value, [a, b]),
        "jax": jax.grad(lambda x, w: loss(ops, x, w), (0, 1))(X, W),
    }
    for backend, pair in found.items():
        for one, other in zip(pair, wanted, strict=True):
            assert_close(np.asarray(one), np.asarray(other), what=backend)


# ---------------------------------------------------------------- what becomes of it


def nodes_of(function: Callable[[Any], Any]) -> list[str]:
    x = uf.Input((4,))
    return [node.op.name for node in uf.Model(x, ops.vectorized_map(function, x)).graph().nodes]


def test_a_function_becomes_operations_on_all_rows() -> None:
    found = nodes_of(lambda row: ops.matmul(W, ops.tanh(row)))
    assert found.count("matmul") == 1
    assert not {"scan", "broadcast_to"} & set(found)


def test_a_branch_is_gone_through_alone() -> None:
    def function(row: Any) -> Any:
        doubled = ops.exp(row) * 2
        return ops.tanh(ops.cond(ops.sum(row) > 0, lambda: doubled, lambda: -row))

    graph_nodes = uf.Model(x := uf.Input((4,)), ops.vectorized_map(function, x)).graph().nodes
    (loop,) = [node for node in graph_nodes if node.op.name == "scan"]
    assert [node.op.name for node in loop.regions[0].nodes] == ["cond"]
    wanted = np.tanh(np.where(X.sum(1, keepdims=True) > 0, np.exp(X) * 2, -X))
    for backend in installed():
        assert_close(
            to_numpy(ops.vectorized_map(function, get_backend(backend).array(X))), wanted, what=backend
        )


def test_a_structure_of_elements_and_of_results() -> None:
    def function(part: Any) -> Any:
        return {"sum": part["a"] + part["b"][0], "none": None, "pair": (part["a"] * 2, part["b"][1])}

    found = ops.vectorized_map(function, {"a": X, "b": [X[:, :1], np.arange(5)]})
    assert found["none"] is None
    assert_close(found["sum"], X + X[:, :1])
    assert_close(found["pair"][0], X * 2)
    assert_close(found["pair"][1], np.arange(5))


def test_one_inside_another() -> None:
    both = ops.vectorized_map(lambda a: ops.vectorized_map(lambda b: ops.sum(a * b), W), torch.tensor(X))
    assert_close(both.numpy(), X @ W.T)


@pytest.mark.parametrize("count", [0, 1])
def test_no_rows_and_one(count: int) -> None:
    assert_close(ops.vectorized_map(lambda row: ops.matmul(W, row), X[:count]), X[:count] @ W.T)


def test_layers_in_the_function_keep_their_weights_and_gradients() -> None:
    layer = uf.layers.Dense(2)
    layer.build((4,))
    found = ops.vectorized_map(lambda row: layer(row), torch.tensor(X))
    assert_close(found.detach().numpy(), X @ layer.kernel.numpy() + layer.bias.numpy())
    value, gradients = uf.value_and_grad(
        lambda x: ops.sum(ops.vectorized_map(lambda row: ops.square(layer(row)), x)), layer
    )(torch.tensor(X))
    wanted = 2 * X.T @ (X @ layer.kernel.numpy() + layer.bias.numpy())
    assert np.isfinite(float(value))
    assert_close(to_numpy(gradients["kernel"] if isinstance(gradients, dict) else gradients[0]), wanted)


@pytest.mark.parametrize("rng", ["native", "portable"])
def test_each_row_draws_its_own_numbers(rng: str) -> None:
    uf.set_rng(rng)
    try:
        found = to_numpy(
            ops.vectorized_map(lambda row: row + uf.random.normal((4,)), np.zeros((2, 4), "float32"))
        )
        seeds = uf.random.SeedGenerator(7)
        ops.vectorized_map(lambda row: row + uf.random.uniform((4,), seed=seeds), X[:2])
    finally:
        uf.set_rng("native")
    assert len(np.unique(found)) == found.size
    assert seeds.state.numpy()[1] == 2


class Draws(uf.Layer):
    """Random numbers drawn in every kind of loop, one inside another too; ``[3, 4]`` → ``[20, 4]``."""

    def call(self, x: Any) -> Any:
        def row(part: Any) -> Any:
            return part + uf.random.normal((4,))

        def turn(i: Any, a: Any, b: Any) -> Any:
            return i + 1, b, row(b * 0)

        _, a, b = ops.while_loop(lambda i, a, b: i < 3, turn, (ops.cast(ops.sum(x), "int32"), x[0], x[0]))
        found = [
            ops.vectorized_map(row, x),
            ops.map(row, x),
            ops.scan(lambda carry, part: (carry, row(part)), (), x)[1],
            ops.scan(lambda carry, part: (carry + 1, row(part)), ops.sum(x), x, reverse=True)[1],
            ops.stack([a, b]),
            ops.reshape(ops.map(lambda part: ops.map(row, part), ops.stack([x, x])), (6, 4)),
        ]
        return ops.concatenate(found, 0)


@pytest.mark.parametrize("rng", ["native", "portable"])
def test_each_turn_of_a_loop_in_a_graph_draws_its_own_numbers(rng: str) -> None:
    """As where Python loops, and as Keras does in TensorFlow's loops; the portable ones are the same everywhere."""
    uf.set_rng(rng)
    drawn = []
    try:
        for name in installed():
            if name == "onnxruntime" or (name == "tensorflow" and rng == "portable"):  # 5 s to compile
                continue
            x = uf.Input(batch_shape=(3, 4))
            model = uf.Model(x, Draws()(x))
            uf.set_seed(4)
            drawn.append(model.predict(np.zeros((3, 4), "float32"), verbose=0, backend=name))
            assert len(np.unique(drawn[-1])) == 80, name
    finally:
        uf.set_rng("native")
    if rng == "portable":
        for other in drawn[1:]:
            assert_close(other, drawn[0])


def test_sizes_that_hang_on_values_are_as_by_map() -> None:
    rows = np.array([[1, 0, 2], [0, 3, 4]], "float32")
    found = ops.vectorized_map(lambda row: ops.sum(row[row > 0]), rows)
    assert_close(to_numpy(found), np.array([3, 7], "float32"))


def test_a_new_value_of_a_variable_is_that_after_the_last_row() -> None:
    layer = uf.layers.BatchNormalization()
    layer.build((None, 2))
    data = RNG.normal(size=(3, 6, 2)).astype("float32")
    ops.vectorized_map(lambda part: layer(part, training=True), data)
    mean = np.zeros(2)
    for part in data:
        mean = 0.99 * mean + 0.01 * part.mean(0)
    assert_close(layer.moving_mean.numpy(), mean.astype("float32"))


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.vectorized_map(3, X), ArgumentError, "vectorized_map: function is a function, not 3"),
        (lambda: ops.vectorized_map(ops.sum, [X, X[1:]]), ShapeError, r"one length; the shapes are \(5, 4\), \(4, 4\)"),
        (lambda: ops.vectorized_map(ops.sum, np.float32(1)), ShapeError, r"an axis 0 .* shapes are \(\)"),
        (lambda: ops.vectorized_map(ops.sum, []), ShapeError, "shapes are none"),
        (lambda: ops.vectorized_map(lambda row: bool(row), X), ArgumentError, "has no truth value"),
        (lambda: ops.vectorized_map(lambda row: ops.matmul(row, row[:2]), X), ShapeError, "matmul: the last axis of"),
    ],
)  # fmt: skip
def test_errors_say_what_does_not_fit(call: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
