"""Models put together: names, sharing, nesting, Sequential, summaries, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers, ops

RNG = np.random.default_rng(4)
X = RNG.normal(size=(6, 5)).astype(np.float32)


def test_layers_are_numbered_as_in_keras() -> None:
    x = uf.Input((5,))
    y = layers.Dense(3)(layers.Dense(3, name="mine")(layers.Dense(3)(x)))
    model = uf.Model(x, layers.BatchNormalization()(y))
    names = [layer.name for layer in model.layers]
    assert names == ["input", "dense", "mine", "dense_1", "batch_normalization"]
    assert [weight.path for weight in model.weights][::2] == [
        "dense/kernel",
        "mine/kernel",
        "dense_1/kernel",
        "batch_normalization/gamma",
        "batch_normalization/moving_mean",
    ]
    assert model.get_layer("mine") is model.layers[2]
    with pytest.raises(errors.UnknownName, match=r"layer of .* 'mien'\. Did you mean 'mine'"):
        model.get_layer("mien")


def test_a_layer_named_in_another_model_keeps_its_name() -> None:
    shared = layers.Dense(3)
    uf.Sequential([uf.Input((5,)), shared])
    x = uf.Input((5,))
    model = uf.Model(x, shared(layers.Dense(5)(x)))
    assert [layer.name for layer in model.layers] == ["input", "dense_1", "dense"]
    with pytest.raises(errors.ArgumentError, match="are called 'dense'; give one another name="):
        uf.Sequential([uf.Input((5,)), layers.Dense(5), shared])


def test_a_shared_layer_has_its_weights_once() -> None:
    a, b = uf.Input((5,), name="a"), uf.Input((5,), name="b")
    shared = layers.Dense(2)
    model = uf.Model([a, b], layers.Subtract()([shared(a), shared(b)]))
    assert len(model.weights) == 2
    kernel = model.get_weights()[0]
    np.testing.assert_allclose(
        model.predict([X, X[::-1]], backend="numpy"), X @ kernel - X[::-1] @ kernel, atol=1e-6
    )
    assert len(model.graph().variables) == 2


def test_models_nest_and_their_paths_nest() -> None:
    inner = uf.Sequential([uf.Input((5,)), layers.Dense(4, "relu"), layers.Dense(3)], name="encoder")
    x = uf.Input((5,))
    model = uf.Model(x, layers.Dense(1)(inner(x)), name="whole")
    assert [v.name for v in model.graph().variables] == [
        "encoder/dense/kernel",
        "encoder/dense/bias",
        "encoder/dense_1/kernel",
        "encoder/dense_1/bias",
        "dense/kernel",
        "dense/bias",
    ]
    assert inner.graph().variables[0].name == "dense/kernel"
    part = inner.predict(X, backend="numpy")
    whole = model.predict(X, backend="numpy")
    np.testing.assert_allclose(whole, part @ model.get_weights()[4], atol=1e-6)


def test_a_model_calls_on_arrays_and_on_new_inputs() -> None:
    x = uf.Input((None, 3))
    model = uf.Model(x, layers.LSTM(2)(x))
    sequence = RNG.normal(size=(2, 4, 3)).astype(np.float32)
    direct = model(sequence)
    np.testing.assert_allclose(model.predict(sequence, backend="numpy"), direct, atol=1e-6)
    again = uf.Input((7, 3))
    assert model(again).shape[1:] == (2,)


def test_inputs_and_outputs_may_be_dicts() -> None:
    a, b = uf.Input((5,)), uf.Input((5,))
    model = uf.Model({"left": a, "right": b}, {"sum": layers.Add()([a, b]), "twice": ops.multiply(a, 2.0)})
    out = model.predict({"right": X, "left": X}, backend="numpy")
    np.testing.assert_allclose(out["sum"], 2 * X)
    assert set(out) == {"sum", "twice"}
    assert list(model.input_types) == ["left", "right"]


def test_sequential_grows_and_shrinks() -> None:
    model = uf.Sequential(name="stack")
    model.add(uf.Input((5,)))
    model.add(layers.Dense(4))
    model.add(layers.Dense(3))
    assert model.predict(X, backend="numpy").shape == (6, 3)
    top = model.pop()
    assert top.name == "dense_1"
    assert model.predict(X, backend="numpy").shape == (6, 4)
    model.add(layers.Dense(2))
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert len(model.weights) == 4
    with pytest.raises(errors.ArgumentError, match="has no layers to pop"):
        uf.Sequential().pop()
    with pytest.raises(errors.ArgumentError, match=r"Sequential takes layers .*, not 'dense'"):
        model.add("dense")
    with pytest.raises(errors.ArgumentError, match="is in 'stack' already"):
        model.add(model.layers[0])


def test_a_layer_that_does_not_fit_is_not_added() -> None:
    model = uf.Sequential([uf.Input((5,)), layers.Dense(4)])
    with pytest.raises(errors.ShapeError, match="^conv2d: "):
        model.add(layers.Conv2D(2, 3))
    model.add(layers.Dense(3))
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.predict(X, backend="numpy").shape == (6, 3)


def test_a_layer_is_traced_once_however_many_are_added_later() -> None:
    class Counting(uf.Layer):
        calls = 0

        def call(self, x: Any) -> Any:
            Counting.calls += 1
            return x

    uf.Sequential([uf.Input((5,)), Counting(), layers.Dense(2), layers.Dense(2), layers.Dense(2)])
    assert Counting.calls == 1


@pytest.mark.parametrize(
    ("shape", "types"),
    [
        ((None, 5), {"input": "float32[batch, 5]"}),
        ([(None, 5), (None, 5)], {"input": "float32[batch, 5]", "input_1": "float32[batch, 5]"}),
        ({"a": (7, 5), "b": (7, 5)}, {"a": "float32[batch, 5]", "b": "float32[batch, 5]"}),
    ],
    ids=["one", "list", "dict"],
)
def test_build_makes_the_weights_of_a_model_that_has_seen_no_data(shape: Any, types: Any) -> None:
    class Sum(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x: Any) -> Any:
            parts = list(x.values()) if isinstance(x, dict) else x
            return self.dense(ops.add(*parts) if isinstance(parts, list) else parts)

    model = Sum()
    with pytest.raises(errors.NotBuiltError, match=r"^sum is not built"):
        model.count_params()
    model.build(shape)
    assert model.count_params() == 12
    assert {name: str(type_) for name, type_ in model.input_types.items()} == types


def test_a_model_may_have_weights_of_its_own() -> None:
    class Scaled(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = layers.Dense(2)

        def build(self, shape: Any) -> None:
            self.factor = self.add_weight((shape[-1],), "ones", name="factor")

        def call(self, x: Any) -> Any:
            return self.dense(ops.multiply(x, self.factor))

    model = Scaled()
    assert model.predict(X, backend="numpy").shape == (6, 2)
    assert [weight.path for weight in model.weights] == ["factor", "dense/kernel", "dense/bias"]


def test_layers_are_found_by_name_or_place() -> None:
    model = uf.Sequential([uf.Input((5,)), layers.Dense(4), layers.Dense(3, name="top")], name="stack")
    assert model.get_layer("top") is model.get_layer(index=-1) is model.layers[1]
    with pytest.raises(errors.UnknownName, match=r"layer index of stack 2\. .*Known: 0, 1"):
        model.get_layer(index=2)


def test_a_sequential_without_input_waits_for_data() -> None:
    model = uf.Sequential([layers.Dense(4), layers.Dense(3)])
    assert model.weights == []
    with pytest.raises(errors.NotBuiltError, match="has not seen its input yet"):
        model.graph()
    assert model.predict(X, backend="numpy").shape == (6, 3)
    assert [weight.path for weight in model.weights][::2] == ["dense/kernel", "dense_1/kernel"]


def test_a_subclass_with_call_is_a_model() -> None:
    class Net(uf.Model):
        def __init__(self) -> None:
            super().__init__(name="net")
            self.first, self.rest = layers.Dense(4, "relu"), [layers.Dense(4), layers.Dense(1)]

        def call(self, x: Any) -> Any:
            x = self.first(x)
            for layer in self.rest:
                x = layer(x)
            return x

    model = Net()
    model.compile("sgd", loss="mse")
    model.fit(X, X[:, :1], epochs=1, verbose=0)
    assert [weight.path for weight in model.weights][::2] == [
        "first/kernel",
        "rest_0/kernel",
        "rest_1/kernel",
    ]
    np.testing.assert_allclose(model.predict(X, backend="numpy"), model(X), atol=1e-6)


def test_the_summary_names_layers_types_and_sizes() -> None:
    x = uf.Input((8, 8, 1), name="image")
    y = layers.BatchNormalization()(layers.Conv2D(4, 3, name="first")(x))
    model = uf.Model(x, layers.Dense(2)(layers.Flatten()(y)), name="small")
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    total = 4 * 9 + 4 + 16 + 144 * 2 + 2
    for part in (
        "small: Model",
        "image (Input)",
        "first (Conv2D)",
        "float32[batch, 6, 6, 4]",
        "batch_normalization",
        f"{total} weights",
        f"{total - 8} trainable, 8 not",
    ):
        assert part in text, text


def test_the_summary_shows_layers_inside_layers_when_asked() -> None:
    inner = uf.Sequential([uf.Input((5,)), layers.Dense(4), layers.Dense(3)], name="encoder")
    model = uf.Sequential([uf.Input((5,)), inner, layers.Dense(1)])
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    assert "encoder/dense" not in lines[0]
    model.summary(print_fn=lines.append, expand_nested=True, line_length=60)
    shown = [line.split()[1] for line in lines[1].splitlines() if line.startswith("│")]
    assert shown == ["input", "encoder", "encoder/dense", "encoder/dense_1", "dense"]
    assert max(map(len, lines[1].splitlines())) <= 60


def test_freezing_changes_what_is_trained_next() -> None:
    uf.set_seed(1)
    x = uf.Input((5,))
    y = layers.BatchNormalization(name="norm")(layers.Dense(3, name="frozen")(x))
    model = uf.Model(x, layers.Dense(1)(y))
    model.compile("sgd", loss="mse")
    model.fit(X, X[:, :1], epochs=1, verbose=0)
    model.get_layer("frozen").trainable = model.get_layer("norm").trainable = False
    before = model.get_weights()
    model.fit(X, X[:, :1], epochs=1, verbose=0)
    after = model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before[:6], after[:6], strict=True))
    assert not np.array_equal(before[6], after[6])


@pytest.mark.parametrize("backend", TRAINABLE)
def test_freezing_a_nested_model_freezes_its_layers_and_their_statistics(backend: str) -> None:
    inner = uf.Sequential([uf.Input((5,)), layers.Dense(3), layers.BatchNormalization()], name="encoder")
    x = uf.Input((5,))
    model = uf.Model(x, layers.Dense(1)(inner(x)))
    inner.trainable = False
    assert [weight.path for weight in model.trainable_weights] == ["dense/kernel", "dense/bias"]
    model.compile("sgd", loss="mse")
    before = model.get_weights()
    model.fit(X, X[:, :1], epochs=1, verbose=0, backend=backend)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 6 + [True] * 2
    inner.trainable = True
    model.fit(X, X[:, :1], epochs=1, verbose=0, backend=backend)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(changed)


def free_variable() -> None:
    x, other = uf.Input((5,)), uf.Input((5,), name="other")
    uf.Model(x, layers.Add()([x, other]))


def two_names() -> None:
    x = uf.Input((5,))
    uf.Model(x, layers.Dense(2, name="same")(layers.Dense(3, name="same")(x)))


def two_inputs() -> None:
    a, b = uf.Input((5,), name="same"), uf.Input((5,), name="same")
    uf.Model([a, b], layers.Add()([a, b]))


def wrong_count(*given: Any) -> Any:
    a, b = uf.Input((5,), name="a"), uf.Input((5,), name="b")
    return uf.Model([a, b], layers.Add()([a, b]), name="pair")(*given)


REFUSED = {
    "an input twice": (
        lambda: uf.Model([x := uf.Input((5,)), x], layers.Dense(2)(x), name="twin"),
        errors.ArgumentError,
        "An Input is twice among the inputs of the model 'twin'",
    ),
    "several tensors in a row": (
        lambda: uf.Sequential([uf.Input((5, 3)), layers.LSTM(2, return_state=True), layers.Dense(2)]),
        errors.ArgumentError,
        "lstm: a layer of Sequential gives one tensor",
    ),
    "a disconnected input": (
        free_variable,
        errors.ArgumentError,
        "depends on the Input 'other', which is not among",
    ),
    "duplicate layer names": (
        two_names,
        errors.ArgumentError,
        "Two layers of the model 'model' are called 'same'",
    ),
    "duplicate inputs": (two_inputs, errors.ArgumentError, "Two inputs are called 'same'"),
    "an input and a layer of one name": (
        lambda: uf.Model(x := uf.Input((5,), name="same"), layers.Dense(2, name="same")(x)),
        errors.ArgumentError,
        "An input and a layer are called 'same'; give one another name=",
    ),
    "too few inputs": (
        lambda: wrong_count([X]),
        errors.ArgumentError,
        "pair: The model takes 2 inputs; 1 were given",
    ),
    "too many inputs": (
        lambda: wrong_count([X, X, X]),
        errors.ArgumentError,
        "pair: The model takes 2 inputs; 3 were given",
    ),
    "an input of another shape": (
        lambda: wrong_count([X, X[:, :3]]),
        errors.ShapeError,
        r"^pair: The input 'b' is float32\[batch, 5\]; float32\[6, 3\] was given",
    ),
    "an array of another size": (
        lambda: uf.Model(x := uf.Input((5,)), ops.multiply(x, 2.0), name="twice")(X[:, :3]),
        errors.ShapeError,
        r"^twice: The input 'input' is float32\[batch, 5\]; float32\[6, 3\] was given",
    ),
    "an array of another rank": (
        lambda: uf.Model(x := uf.Input((5,)), ops.multiply(x, 2.0), name="twice")(X[0]),
        errors.ShapeError,
        r"^twice: The input 'input' is float32\[batch, 5\]; float32\[5\] was given",
    ),
    "an array as output": (
        lambda: uf.Model(uf.Input((5,)), X),
        errors.ArgumentError,
        "computed from its inputs",
    ),
    "a layer's result that does not lead there": (
        lambda: uf.Model(layers.Dense(2)(uf.Input((5,))), layers.Dense(2)(uf.Input((5,)))),
        errors.ArgumentError,
        "which is not among the model's inputs",
    ),
    "no call": (
        lambda: uf.Model()(X),
        errors.ArgumentError,
        r"Model does not define call\(\) and was not given inputs",
    ),
    "negative size": (
        lambda: uf.Input((3, -1)),
        errors.ShapeError,
        r"Input: -1 in \(None, 3, -1\) .* is not an int >= 0",
    ),
    "truth of a symbol": (
        lambda: bool(uf.Input((3,))),
        errors.ArgumentError,
        "has no truth value while a graph is traced",
    ),
    "iterating a symbol": (lambda: list(uf.Input((3,))), errors.ArgumentError, "cannot be iterated"),
    "an unknown argument of compile": (
        lambda: uf.Model().compile("adam", metric=["accuracy"]),
        errors.UnknownName,
        r"argument of Model\.compile 'metric'\. Did you mean 'metrics'",
    ),
    "not compiled": (
        lambda: uf.Sequential([layers.Dense(1)]).fit(X, X),
        errors.ArgumentError,
        "not compiled",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    run, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        run()


def test_set_weights_of_a_model_says_which() -> None:
    model = uf.Sequential([uf.Input((5,)), layers.Dense(2), layers.Dense(3)])
    weights = model.get_weights()
    with pytest.raises(errors.ArgumentError, match="has 4 weights; 3 values were given"):
        model.set_weights(weights[:3])
    with pytest.raises(errors.ShapeError, match=r"dense_1/bias .*\(3,\).*\(2,\)"):
        model.set_weights([*weights[:3], np.zeros(2)])
