"""A loaded model has its layers again: found by path, frozen, taken apart, put into other models."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE
from unifront import errors, layers, ops
from unifront.graph_model import GraphModel
from unifront.ir.text import parse_graph
from unifront.opset.spec import OPS

ANY = TRAINABLE[-1]
EACH = [ANY, *(pytest.param(name, marks=pytest.mark.slow) for name in TRAINABLE if name != ANY)]
RNG = np.random.default_rng(0)


def block(name: str) -> uf.Model:
    x = uf.Input((6, 6, 3))
    y = layers.Conv2D(3, 3, padding="same", name="conv")(x)
    y = layers.BatchNormalization(momentum=0.5, name="norm")(y)
    return uf.Model(x, layers.Dropout(0.5, name="drop")(layers.ReLU(name="relu")(y)), name=name)


def network() -> uf.Model:
    """A nested encoder of two blocks, a layer called twice, an operation between layers, a skip, two outputs."""
    x = uf.Input((6, 6, 3), name="x")
    encoder = uf.Model(x, block("block2")(block("block1")(x)), name="encoder")
    image = uf.Input((6, 6, 3), name="image")
    seen = layers.GlobalAveragePooling2D(name="pool")(encoder(image))
    shared = layers.Dense(3, activation="tanh", name="shared", kernel_regularizer="l2")
    y = shared(ops.multiply(shared(seen), 2.0))
    y = layers.Add(name="add")([y, seen])
    return uf.Model(
        image, [layers.Dense(2, name="label")(y), layers.Dense(1, name="size")(y)], name="network"
    )


X = RNG.normal(size=(8, 6, 6, 3)).astype(np.float32)
Y = [RNG.normal(size=(8, 2)).astype(np.float32), RNG.normal(size=(8, 1)).astype(np.float32)]


def saved(model: uf.Model, path: Path) -> GraphModel:
    model.save(path / "model.uf")
    loaded = uf.load(path / "model.uf")
    assert isinstance(loaded, GraphModel)
    return loaded


@pytest.fixture
def pair(tmp_path: Path) -> tuple[uf.Model, GraphModel]:
    uf.set_seed(1)
    model = network()
    for weight in model.weights:
        weight.assign(np.abs(RNG.normal(size=weight.shape)) / 2 + 0.1)
    return model, saved(model, tmp_path)


def paths(model: uf.Model, weights: Any = None) -> list[str]:
    """Of weights, inside ``model``: the weights themselves keep the path of the first model they were in."""
    known = model.variable_paths()
    return [known[id(weight)] for weight in (model.weights if weights is None else weights)]


def steady(model: uf.Model) -> None:
    """Take the randomness out, so that two models train alike."""
    for _, layer in model.walk():
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0


def test_layers_and_weights_are_those_of_the_model(pair: Any) -> None:
    model, loaded = pair
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    assert [path for path, _ in loaded.walk()] == [path for path, _ in model.walk()]
    assert paths(loaded) == paths(model)
    kinds = {path: type(layer).__name__ for path, layer in model.walk() if path}
    assert {path: layer.kind for path, layer in loaded.walk() if path} == kinds
    conv = loaded.get_layer("encoder/block1/conv")
    assert conv is loaded.get_layer("encoder").get_layer("block1").get_layer("conv")
    assert [weight.path for weight in conv.weights] == [
        "encoder/block1/conv/kernel", "encoder/block1/conv/bias",
    ]  # fmt: skip
    assert loaded.get_layer(index=1) is loaded.get_layer("encoder")
    assert loaded.get_layer("image").batch_shape == (None, 6, 6, 3)
    assert (loaded.input_shape, loaded.output_shape) == (model.input_shape, model.output_shape)
    with pytest.raises(
        errors.UnknownName, match=r"'encoder/block1/cnov'\. Did you mean 'encoder/block1/conv'"
    ):
        loaded.get_layer("encoder/block1/cnov")


def test_a_loaded_sequential_lists_its_layers_as_the_model_did(tmp_path: Path) -> None:
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3), layers.Dense(2)], name="stack")
    assert [layer.name for layer in saved(model, tmp_path).layers] == ["dense", "dense_1"]


@pytest.mark.parametrize(
    "name", ["encoder", "pool", "shared", "add", "encoder/block1/norm", "encoder/block2"]
)
@pytest.mark.parametrize("training", [False, True])
def test_features_of_every_layer(pair: Any, tmp_path: Path, name: str, training: bool) -> None:
    model, _ = pair
    steady(model)
    loaded = saved(model, tmp_path)
    features = uf.Model(loaded.inputs, loaded.get_layer(name).output)
    found = features(X, training=training)
    np.testing.assert_allclose(found, features_by_hand(model, name, training), rtol=1e-5, atol=1e-5)


def features_by_hand(model: uf.Model, name: str, training: bool) -> Any:
    encoder = model.get_layer("encoder")
    one, two = encoder.get_layer("block1"), encoder.get_layer("block2")
    frozen = [weight.numpy() for weight in model.weights]
    try:
        if name == "encoder/block1/norm":
            return one.get_layer("norm")(one.get_layer("conv")(X), training=training)
        coded = two(one(X, training=training), training=training)
        if name in ("encoder", "encoder/block2"):
            return coded
        seen = model.get_layer("pool")(coded)
        if name == "pool":
            return seen
        shared = model.get_layer("shared")
        if name == "shared":
            return shared(seen)
        return shared(shared(seen) * 2) + seen
    finally:
        model.set_weights(frozen)


@pytest.mark.parametrize("backend", EACH)
def test_a_new_head_on_a_frozen_body(pair: Any, tmp_path: Path, backend: str) -> None:
    """Judged by the model itself, put together in the same way."""
    model, _ = pair
    steady(model)
    loaded = saved(model, tmp_path)
    results = []
    for source in (model, loaded):
        source.freeze("encoder")
        body = source.get_layer("pool").output
        head = layers.Dense(1, kernel_initializer="ones", name="head")(body)
        new = uf.Model(source.inputs, head, name="new")
        new.compile(uf.optimizers.SGD(0.01), "mse")
        before = new.get_weights()
        losses = new.fit(X, Y[1], batch_size=4, epochs=2, verbose=0, shuffle=False, backend=backend).history
        changed = [not np.array_equal(a, b) for a, b in zip(before, new.get_weights(), strict=True)]
        moved = [path for path, change in zip(paths(new), changed, strict=True) if change]
        assert moved == ["head/kernel", "head/bias"]  # the statistics of a frozen batch norm stand still too
        assert [layer.name for layer in new.layers] == ["image", "encoder", "pool", "head"]
        results.append((losses["loss"], new.predict(X, backend=backend)))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", EACH)
def test_it_trains_on_as_the_model_does_when_parts_are_frozen(
    pair: Any, tmp_path: Path, backend: str
) -> None:
    model, _ = pair
    steady(model)
    loaded = saved(model, tmp_path)
    for one in (model, loaded):
        one.compile(uf.optimizers.SGD(0.01, momentum=0.9), "mse")
        one.get_layer("encoder/block1").trainable = False  # its batch norm runs as at inference
        one.get_layer("shared").trainable = False  # so its regularizer adds nothing
        one.get_layer("label").weights[1].trainable = False
    assert paths(loaded, loaded.trainable_weights) == paths(model, model.trainable_weights)
    options = {"batch_size": 4, "epochs": 2, "verbose": 0, "shuffle": False, "backend": backend}
    losses = [one.fit(X, Y, **options).history["loss"] for one in (model, loaded)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    before = {weight.path: weight.numpy() for weight in pair[1].weights}
    for mine, theirs in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_allclose(mine.numpy(), theirs.numpy(), atol=1e-5, err_msg=mine.path)
        still = "encoder/block2/conv/bias"  # which batch norm takes out again
        frozen = mine.path.startswith(("encoder/block1/", "shared/")) or mine.path == "label/bias"
        assert np.array_equal(mine.numpy(), before[mine.path]) == frozen or mine.path == still, mine.path
    for one in (model, loaded):
        one.unfreeze("*")
        one.get_layer("label").weights[1].trainable = True
    losses = [one.fit(X, Y, **options).history["loss"] for one in (model, loaded)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)


def test_what_was_frozen_when_it_was_saved_can_be_set_free(pair: Any, tmp_path: Path) -> None:
    model, _ = pair
    model.freeze("encoder/block2", "shared")
    loaded = saved(model, tmp_path)
    assert paths(loaded, loaded.trainable_weights) == paths(model, model.trainable_weights)
    for one in (model, loaded):
        one.unfreeze("encoder", "shared")
    assert paths(loaded, loaded.trainable_weights) == paths(model, model.trainable_weights)
    assert "encoder/block2/norm/moving_mean" not in [w.path for w in loaded.trainable_weights]
    steady(model)
    again = saved(model, tmp_path)
    for one in (model, again):
        one.compile("sgd", "mse")
    scores = [one.evaluate(X, Y, backend="numpy", return_dict=True) for one in (model, again)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-5)  # with the penalty of the layer set free


def test_patterns_freeze_layers() -> None:
    model = network()
    model.freeze("encoder/*/norm", "s?ared")
    frozen = [path for path, layer in model.walk() if not layer.trainable]
    assert frozen == ["encoder/block1/norm", "encoder/block2/norm", "shared"]
    model.freeze()
    assert model.trainable_weights == []
    model.unfreeze("encoder/block1/conv")
    assert paths(model, model.trainable_weights) == ["encoder/block1/conv/kernel", "encoder/block1/conv/bias"]
    with pytest.raises(errors.UnknownName, match=r"layers of network 'encodre'\. Did you mean 'encoder'"):
        model.freeze("encodre")


def test_a_layer_runs_on_arrays_and_in_other_models(pair: Any) -> None:
    model, loaded = pair
    data = RNG.normal(size=(5, 3)).astype(np.float32)
    expected = model.get_layer("shared")(data)
    shared = loaded.get_layer("shared")
    np.testing.assert_allclose(shared(data), expected, rtol=1e-6)
    np.testing.assert_allclose(shared(data, node=1), expected, rtol=1e-6)
    with pytest.raises(
        errors.ArgumentError, match="'shared' is called 2 times in the inference graph of 'network'"
    ):
        shared(data, node=2)
    x = uf.Input((3,), name="other")
    new = uf.Model(x, shared(shared(x)), name="twice")
    np.testing.assert_allclose(new.predict(data, backend=ANY), model.get_layer("shared")(expected), rtol=1e-5)
    assert [layer.name for layer in new.layers] == ["other", "shared"]
    assert len(new.weights) == 2
    with pytest.raises(
        errors.ShapeError, match=r"the layer 'shared' is float32\[batch, 3\]; float32\[5, 2\] was"
    ):
        shared(data[:, :2])
    image = uf.Input((6, 6, 3), name="image")
    coded = loaded.get_layer("encoder")(image)
    small = uf.Model(image, coded)
    np.testing.assert_allclose(
        small.predict(X, backend=ANY),
        model.get_layer("encoder").predict(X, backend="numpy"),
        rtol=1e-5,
        atol=1e-5,
    )
    assert {node.name for node in small.graph().nodes} >= {"encoder/block1/conv", "encoder/block2/norm"}


def test_a_loaded_model_in_another_keeps_its_paths(pair: Any) -> None:
    _, loaded = pair
    image = uf.Input((6, 6, 3), name="i")
    outer = uf.Model(image, layers.Dense(1)(loaded(image)[0]), name="outer")
    paths = {node.name for node in outer.graph().nodes if node.name}
    assert "network/encoder/block1/conv" in paths
    assert all(path.startswith("network") or path == "dense" for path in paths)


def test_saved_again_taken_apart_again(pair: Any, tmp_path: Path) -> None:
    model, loaded = pair
    again = saved(saved(loaded, tmp_path), tmp_path)
    assert [path for path, _ in again.walk()] == [path for path, _ in model.walk()]
    features = uf.Model(again.inputs, again.get_layer("encoder/block1/relu").output, name="features")
    head = uf.Model(again.inputs, layers.Dense(1, name="head")(again.get_layer("pool").output), name="headed")
    for one in (features, head):
        found = saved(one, tmp_path)
        assert [path for path, _ in found.walk()] == [path for path, _ in one.walk()]
        expected = one.predict(X, backend="numpy")
        np.testing.assert_allclose(found.predict(X, backend="numpy"), expected, atol=1e-6)
        inner = [path for path, _ in found.walk() if "/" in path]
        for path in inner:
            part = uf.Model(found.inputs, found.get_layer(path).output)
            twin = uf.Model(one.inputs, again.get_layer(path).output)
            np.testing.assert_allclose(
                part.predict(X, backend="numpy"), twin.predict(X, backend="numpy"), atol=1e-6, err_msg=path
            )
    assert "encoder/block2/norm" in [path for path, _ in saved(head, tmp_path).walk()]


@pytest.mark.parametrize("backend", EACH)
def test_a_copy_is_a_model_of_its_own(pair: Any, backend: str) -> None:
    for model in pair:
        model.compile(uf.optimizers.Adam(0.01), "mse")
        model.predict(X, backend=backend)
        start = model.get_weights()
        other = copy.deepcopy(model)
        other.fit(X, Y, verbose=0, backend=backend)
        assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), start, strict=True))
        assert not np.array_equal(other.get_weights()[0], start[0])
        other.freeze("encoder")
        assert model.get_layer("encoder").trainable
        assert (len(model.trace(True).updates), other.trace(True).updates) == (4, ())
        other.set_weights(start)
        for a, b in zip(other.predict(X, backend=backend), model.predict(X, backend=backend), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
        features = uf.Model(other.inputs, other.get_layer("pool").output)
        assert features.weights[0] is other.weights[0]


def test_long_models_are_copied_too() -> None:
    x = y = uf.Input((2,))
    for _ in range(300):
        y = layers.Dense(2)(y)
    model = uf.Model(x, y)
    data = np.ones((1, 2), np.float32)
    other = copy.deepcopy(model)
    np.testing.assert_array_equal(other.predict(data, backend="numpy"), model.predict(data, backend="numpy"))


def test_summary_and_parity_speak_of_the_layers(pair: Any) -> None:
    model, loaded = pair
    texts: list[str] = []
    for one in (model, loaded):
        one.summary(print_fn=texts.append, expand_nested=True, line_length=100)
    rows = [[line for line in text.splitlines() if line.startswith("│")] for text in texts]
    assert rows[0] == rows[1]
    found = [uf.parity(one, X, backends=[ANY], gradients=True) for one in (model, loaded)]
    assert [row.path for row in found[0].forward] == [row.path for row in found[1].forward]
    assert [row.path for row in found[0].gradients] == [row.path for row in found[1].gradients]


def test_masks_travel_between_the_layers_taken_apart(tmp_path: Path) -> None:
    model, (words, _) = MODELS["masked"]("float64")
    loaded = saved(model, tmp_path)
    for name in ("gru", "lstm"):
        expected = uf.Model(model.inputs, model.get_layer(name).output).predict(words, backend="numpy")
        found = uf.Model(loaded.inputs, loaded.get_layer(name).output).predict(words, backend="numpy")
        np.testing.assert_allclose(found, expected, atol=1e-12)
    steps = RNG.normal(size=(2, 6, 4))
    bare = loaded.get_layer("gru")(steps)  # without a mask every step counts
    np.testing.assert_allclose(bare, model.get_layer("gru")(steps), atol=1e-12)


def test_layers_inside_a_loop_have_weights_but_no_ends(tmp_path: Path) -> None:
    class Steps(uf.Layer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.cell = layers.Dense(3)

        def build(self, shape: Any) -> None:
            self.cell.build((None, 3))

        def call(self, x: Any) -> Any:
            return ops.scan(
                lambda h, step: (self.cell(ops.add(h, step)), step), x[:, 0], ops.transpose(x, (1, 0, 2))
            )[0]

    x = uf.Input((4, 3), name="x")
    loaded = saved(uf.Model(x, Steps(name="steps")(x), name="looped"), tmp_path)
    cell = loaded.get_layer("steps/cell")
    assert [weight.path for weight in cell.weights] == ["steps/cell/kernel", "steps/cell/bias"]
    with pytest.raises(
        errors.ArgumentError, match="'steps/cell' of 'looped' has no symbolic input and output"
    ):
        _ = cell.output
    with pytest.raises(errors.ArgumentError, match="'steps/cell' runs inside a loop or branch"):
        cell(np.ones((2, 3), np.float32))


def test_one_tensor_as_two_inputs(tmp_path: Path) -> None:
    """At inference dropout gives what it gets, so the graph knows one tensor where training knows two."""
    x = uf.Input((3,), name="x")
    dropped = layers.Dropout(0.5, name="dropped")(x)
    loaded = saved(uf.Model(x, layers.Add(name="sum")([x, dropped]), name="both"), tmp_path)
    data = np.ones((200, 3), np.float32)
    again = uf.Model(loaded.inputs, loaded.get_layer("sum").output)
    np.testing.assert_array_equal(again(data), 2 * data)
    assert set(np.unique(again(data, training=True))) == {1, 3}
    np.testing.assert_array_equal(loaded.get_layer("sum")(data, data), 2 * data)
    with pytest.raises(errors.ArgumentError, match="'sum' was called with one tensor as its inputs 0 and 1"):
        loaded.get_layer("sum")(data, data + 1)


PLAIN = """
graph plain(%0 "image": float32[batch, 3]) {
  variable %1 "body/first/kernel": float32[3, 4] trainable
  variable %2 "shared/kernel": float32[4, 4] trainable
  variable %3 "scale": float32[] trainable
  %4: float32[batch, 4] = dense(%0, %1, none) {} "body/first"
  %5: float32[batch, 4] = tanh(%4) {} "body/squash"
  %6: float32[batch, 4] = dense(%5, %2, none) {} "shared"
  %7: float32[batch, 4] = dense(%4, %2, none) {} "shared"
  %8: float32[batch, 4] = add(%6, %7) {} "join"
  %9: float32[batch, 4] = multiply(%8, %3) {} ""
  return %9 "out"
}
"""


@pytest.mark.parametrize("backend", EACH)
def test_a_plain_graph_becomes_a_model_with_layers(backend: str) -> None:
    graph = parse_graph(PLAIN.replace("graph plain", 'graph "plain"').strip(), OPS)
    values = {
        seen.name: RNG.normal(size=seen.value.type.shape).astype(np.float32) for seen in graph.variables
    }
    model = GraphModel.of(graph, values)
    assert [path for path, _ in model.walk()] == ["", "body", "body/first", "body/squash", "shared", "join"]
    assert [layer.name for layer in model.layers] == ["image", "body", "shared", "join"]
    data = RNG.normal(size=(5, 3)).astype(np.float32)
    first = data @ values["body/first/kernel"]
    np.testing.assert_allclose(
        model.get_layer("shared")(first), first @ values["shared/kernel"], rtol=1e-4, atol=1e-5
    )
    one = uf.Model(model.inputs, model.get_layer("body/squash").output).predict(data, backend=backend)
    np.testing.assert_allclose(one, np.tanh(first), rtol=1e-4, atol=1e-5)
    whole = uf.Model(model.inputs, model.output)
    np.testing.assert_allclose(
        whole.predict(data, backend=backend), model.predict(data, backend="numpy"), rtol=1e-4, atol=1e-5
    )
    model.freeze("body")
    model.compile("sgd", "mse")
    model.fit(data, np.ones((5, 4), np.float32), verbose=0, backend=backend)
    moved = [weight.path for weight in model.weights if (weight.numpy() != values[weight.path]).any()]
    assert moved == ["scale", "shared/kernel"]
    with pytest.raises(errors.GraphError, match=r"value of 'scale', float32\[\], is missing"):
        GraphModel.of(graph, {name: value for name, value in values.items() if name != "scale"})
