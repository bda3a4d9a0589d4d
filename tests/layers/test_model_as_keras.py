"""Models: what Keras's do beside the common way, and people rely on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, ops
from unifront.backends import installed
from unifront.testing import assert_close

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


class Twice(uf.Layer):
    def call(self, x: Any) -> Any:
        return x * 2.0


@pytest.mark.parametrize("kind", [uf.Sequential, uf.Model])
def test_classes_of_ones_own_are_given_to_from_config(kind: Any) -> None:
    x = uf.Input((3,))
    model = kind([x, Twice()]) if kind is uf.Sequential else kind(x, Twice()(x))
    with pytest.raises(errors.UnknownName, match="'Twice'"):
        kind.from_config(model.get_config())
    again = kind.from_config(model.get_config(), custom_objects={"Twice": Twice})
    assert_close(again(X), 2 * X)


def test_a_sequential_that_begins_with_a_model_has_its_input() -> None:
    x = uf.Input((3,))
    for first in (uf.Model(x, layers.Dense(5)(x)), uf.Sequential([uf.Input((3,)), layers.Dense(5)])):
        model = uf.Sequential([first, layers.Dense(2)])
        assert model.built
        assert model.input_shape == (None, 3)
        assert model.output_shape == (None, 2)
        assert_close(model(X), model.layers[1](first(X)))


def test_a_sequential_has_one_input() -> None:
    model = uf.Sequential([uf.Input((2,))])
    for second in (uf.Input((2,)), layers.InputLayer((2,))):
        with pytest.raises(errors.ArgumentError, match="has already been configured to use the input"):
            model.add(second)


def test_inputs_of_a_clone_have_the_structure_of_the_models() -> None:
    a, b = uf.Input((3,), name="a"), uf.Input((3,), name="b")
    model = uf.Model({"a": a, "b": b}, a - b)
    with pytest.raises(
        errors.ArgumentError, match="`input_tensors` must have the same structure as model.input"
    ):
        uf.models.clone_model(model, input_tensors=[a, b])
    assert_close(uf.models.clone_model(model, input_tensors={"a": a, "b": b})({"a": X, "b": 2 * X}), -X)


def test_inputs_and_outputs_may_be_dicts_in_dicts(tmp_path: Any) -> None:
    a, b, c = (uf.Input((size,)) for size in (1, 2, 3))
    outputs = {"1": layers.Dense(1)(a), "others": {"2": layers.Dense(2)(b), "3": layers.Dense(3)(c)}}
    model = uf.Model({"1": a, "others": {"2": b, "3": c}}, outputs)
    given = {"1": X[:, :1], "others": {"2": X[:, :2], "3": X}}
    found = model(given)
    assert found["others"]["3"].shape == (4, 3)
    assert_close(model.predict(given, verbose=0)["others"]["3"], found["others"]["3"])
    for name in ("model.keras", "model.uf"):
        model.save(tmp_path / name)
        again = uf.saving.load_model(tmp_path / name)
        assert_close(again(given)["others"]["2"], found["others"]["2"])


def test_a_list_for_a_dict_of_inputs_is_told() -> None:
    a, b = uf.Input((3,)), uf.Input((3,))
    model = uf.Model({"a": a, "b": b}, a - b)
    for call in (model, lambda x: model.predict(x, verbose=0)):
        with pytest.warns(
            UserWarning, match="doesn't match the expected structure: a dict with 'a', 'b'; given was a list"
        ):
            assert_close(call([X, 2 * X]), -X)
    turned = uf.Model({"b": b, "a": a}, a - b)
    for call in (turned, lambda x: turned.predict(x, verbose=0)):
        with pytest.raises(errors.DataError, match="Give a dict: the keys are not in their order"):
            call([X, 2 * X])


def test_a_call_on_data_says_what_the_input_is() -> None:
    model = uf.Sequential([layers.Dense(2)])
    with pytest.raises(errors.NotBuiltError, match="has not seen its input yet"):
        _ = model.inputs
    y = model(X)
    assert model.input_shape == (None, 3)
    assert_close(model.predict(X, verbose=0), y)


def test_fans_of_an_einsum_are_those_of_its_equation() -> None:
    for equation, size, shape, fan_in in (
        ("abc,cde->abde", (None, 8, 64), (None, 10, 32), 32),
        ("abde,dec->abc", (None, 64), (None, 10, 8, 64), 512),
    ):
        layer = layers.EinsumDense(equation, size, kernel_initializer="lecun_normal")
        layer.build(shape)
        assert abs(layer.kernel.numpy().std() * fan_in**0.5 - 1) < 0.05
    told = uf.initializers.VarianceScaling(input_axes=[0], output_axes=[1])
    layer = layers.EinsumDense("ab,bc->ac", 64, kernel_initializer=told)
    layer.build((None, 32))
    assert abs(layer.kernel.numpy().std() * 32**0.5 - 1) < 0.1
    assert list(layer.get_config()["kernel_initializer"]["config"]["input_axes"]) == [0]


class Own(uf.Model):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.dense = layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_class_of_ones_own_takes_a_dtype_and_is_cloned() -> None:
    model = Own(dtype="float64")
    assert model.compute_dtype == "float64"
    again = uf.models.clone_model(model)
    assert again.dtype_policy.name == "float64"


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
def test_the_optimizer_is_set_and_changed(backend: str) -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(1, kernel_initializer="zeros", use_bias=False)])
    model.optimizer = uf.optimizers.SGD(0.0)
    assert model.optimizer.learning_rate == 0
    model.compile(model.optimizer, "mse", backend=backend)
    model.fit(X, X[:, :1], verbose=0)
    assert_close(model.layers[0].kernel.numpy(), np.zeros((3, 1)))
    model.optimizer = "sgd"
    model.fit(X, X[:, :1], verbose=0, batch_size=4)
    assert_close(model.layers[0].kernel.numpy(), 0.01 * 2 * X.T @ X[:, :1] / 4)


def test_a_loss_of_no_output_is_a_key_error_too() -> None:
    a = uf.Input((3,))
    model = uf.Model(a, {"p": layers.Dense(1, name="p")(a), "q": layers.Dense(1, name="q")(a)})
    model.compile("sgd", {"p": "mse", "r": "mse"})
    for kind in (KeyError, ValueError):
        with pytest.raises(kind, match=r"^Unknown output in loss 'r'\. .*Known: p, q\.$"):
            model.fit(X, {"p": X[:, :1], "q": X[:, :1]}, verbose=0)


@pytest.mark.parametrize(("monitor", "best"), [("val_loss", "less"), ("accuracy", "greater")])
def test_monitors_tell_how_they_compare(monitor: str, best: str) -> None:
    assert uf.callbacks.EarlyStopping(monitor).monitor_op is getattr(uf.ops, best)


def test_a_loss_of_one_number_goes_with_a_mask() -> None:
    model = uf.Sequential([uf.Input((2,), dtype="int32"), layers.Embedding(4, 3, mask_zero=True)])
    model.compile("sgd", lambda y_true, y_pred: uf.ops.sum(y_pred))
    words = np.array([[1, 0], [2, 3]])
    wanted = np.sum(model.predict(words, verbose=0))
    assert_close(np.float32(model.evaluate(words, np.zeros((2, 2, 3)), verbose=0)), np.float32(wanted))


def test_a_sequential_without_layers_is_not_called() -> None:
    with pytest.raises(errors.ArgumentError, match="Sequential model 'empty' has no layers"):
        uf.Sequential(name="empty")(X)


def test_a_checkpoint_of_the_best_without_its_log_warns(tmp_path: Any) -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse", backend="torch")
    keeper = uf.callbacks.ModelCheckpoint(
        tmp_path / "m.uf", monitor="unknown", save_best_only=True, mode="min"
    )
    with pytest.warns(UserWarning, match="there is no log 'unknown' among loss. Each is saved"):
        model.fit(X, X[:, :1], verbose=0, callbacks=[keeper])
    assert (tmp_path / "m.uf").exists()


def test_outputs_have_the_names_of_their_layers() -> None:
    for library in (uf, keras):
        x = library.Input((3,))
        first = library.layers.Dense(2, name="first")(x)
        second = library.layers.Dense(1, name="second")(first)
        model = library.Model(x, [first, second])
        assert model.output_names == ["first", "second"]
        assert [one.name for one in model.operations][1:] == ["first", "second"]


class Perceiving(uf.Model):
    """A model whose `build` makes a weight and calls Model's, as examples of Keras do."""

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(shape=(3, 2), initializer="ones")
        self.head = layers.Dense(2)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        return self.head(x @ self.table)


@pytest.mark.parametrize("way", ["called", "built", "fitted", "symbolic"])
def test_a_build_of_ones_own_may_call_the_models(way: str) -> None:
    model = Perceiving()
    if way == "called":
        model(X)
    elif way == "built":
        model.build((None, 3))
    elif way == "fitted":
        model.compile("sgd", "mse")
        model.fit(X, np.ones((4, 2)), verbose=0)
    else:
        model(uf.Input((3,)))
    assert model.predict(X, verbose=0).shape == (4, 2)
    assert [weight.shape for weight in model.weights] == [(3, 2), (2, 2), (2,)]


@pytest.mark.parametrize("of_ones_own", [False, True])
def test_the_batch_that_a_model_was_built_for_is_not_its_only_one(of_ones_own: bool) -> None:
    class Own(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.head(x)

    model = Own() if of_ones_own else uf.Sequential([layers.Dense(2)])
    model.build((20, 3))
    model.compile("sgd", "mse")
    model.fit(np.ones((16, 3)), np.ones((16, 2)), batch_size=5, verbose=0)
    assert model.predict(X, verbose=0).shape == (4, 2)


def test_a_stateful_model_is_built_for_its_batch() -> None:
    model = uf.Sequential([layers.GRU(2, stateful=True)])
    model.build((4, 5, 3))
    assert model.input_shape == (4, 5, 3)


def test_a_layer_builds_one_inside_for_a_list_of_sizes() -> None:
    class Outer(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = layers.Dense(4)

        def build(self, input_shape: Any) -> None:
            self.inner.build(list(input_shape))

        def call(self, x: Any) -> Any:
            return self.inner(x)

    assert Outer()(uf.Input((5, 6))).shape[1:] == (5, 4)


def test_variables_stand_for_their_values_in_stateless_calls() -> None:
    ours, theirs = layers.BatchNormalization(), keras.layers.BatchNormalization()
    found = []
    for layer in (ours, theirs):
        layer.build((None, 3))
        parts = layer.trainable_variables, layer.non_trainable_variables
        found.append(layer.stateless_call(*parts, X, training=True))
    (mine, state), (wanted, expected) = found
    np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
    for one, other in zip(state, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("backend", [name for name in installed() if name != "numpy"])
def test_a_state_tree_is_taken_back(backend: str) -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    model.compile("adam", "mse", backend=backend)
    model.fit(X, np.ones((4, 2)), verbose=0)
    before, state = model.get_weights(), model.get_state_tree()
    model.set_weights([0 * one for one in before])
    for _ in range(2):  # what was given is not what is trained then
        model.set_state_tree(state)
        for one, other in zip(model.get_weights(), before, strict=True):
            assert_close(one, other)
        model.fit(X, np.ones((4, 2)), verbose=0)


def test_layers_and_weights_of_dicts_come_in_the_order_of_keys() -> None:
    def made(keras: Any, layers: Any) -> Any:
        class Joined(layers.Layer):
            def call(self, parts: Any) -> Any:
                return keras.ops.concatenate([parts[key] for key in parts], axis=-1)

        ins = {name: keras.Input((size,), name=name) for name, size in (("age", 1), ("wage", 2), ("job", 3))}
        return keras.Model(ins, Joined()({key: layers.Dense(4)(one) for key, one in ins.items()}))

    ours, theirs = made(uf, layers), made(keras, keras.layers)
    assert [one.shape for one in ours.get_weights()] == [one.shape for one in theirs.get_weights()]
    assert [one.kernel.shape for one in ours.layers[3:6]] == [one.kernel.shape for one in theirs.layers[3:6]]
    assert [one.name for one in ours.layers[:3]] == [one.name for one in theirs.layers[:3]]


@pytest.mark.parametrize("name", ["w.weights.h5", "w.safetensors", "model.keras", "model.uf"])
def test_weights_of_layers_that_do_not_fit_are_passed_over(name: str, tmp_path: Any) -> None:
    def made(classes: int) -> Any:
        return uf.Sequential(
            [uf.Input((3,)), layers.Dense(4, name="body"), layers.Dense(classes, name="head")]
        )

    model, other = made(2), made(5)
    (model.save_weights if name.startswith("w") else model.save)(filepath=tmp_path / name, overwrite=True)
    head = other.get_weights()[2]
    with pytest.raises(errors.FileFormatError, match="head/kernel"):
        other.load_weights(tmp_path / name)
    other.load_weights(filepath=tmp_path / name, skip_mismatch=True)
    assert_close(other.get_weights()[0], model.get_weights()[0])
    assert_close(other.get_weights()[2], head)


def test_what_is_there_is_not_overwritten_unless_it_may_be(tmp_path: Any) -> None:
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2)])
    for write, name in ((model.save, "a.uf"), (model.save, "a.keras"), (model.save_weights, "a.weights.h5")):
        write(tmp_path / name)
        before = (tmp_path / name).read_bytes()
        with pytest.raises(errors.ArgumentError, match="is there already; overwrite=True replaces it"):
            write(tmp_path / name, overwrite=False)
        assert (tmp_path / name).read_bytes() == before
        write(tmp_path / name, overwrite=True)


class Parts(uf.Model):
    """Takes a dict, whose keys are not in the order of the alphabet; so are those of the result."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = layers.Dense(2, kernel_initializer="ones"), layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        inner = inputs["rest"]
        x = ops.concatenate([inputs["title"], inputs["tags"] * 2.0, inner["z"] * 3.0, inner["b"] * 4.0], -1)
        return {"wide": self.wide(x), "narrow": self.narrow(inner["b"])}


def parts(rows: int = 4) -> dict[str, Any]:
    sizes: dict[str, Any] = {"title": 5, "tags": 3, "rest": {"z": 2, "b": 1}}
    rng = np.random.default_rng(2)
    return uf.tree.map_structure(lambda n: rng.normal(size=(rows, n)).astype("float32"), sizes)


@pytest.mark.parametrize("begin", ["fit", "predict", "call", "build", "train_on_batch"])
def test_a_dict_of_inputs_is_taken_by_keys_in_any_order(begin: str, tmp_path: Path) -> None:
    model, data = Parts(), parts()
    columns = [data["title"], 2 * data["tags"], 3 * data["rest"]["z"], 4 * data["rest"]["b"]]
    expected = np.repeat(np.concatenate(columns, 1).sum(1, keepdims=True), 2, 1)
    model.compile(
        uf.optimizers.SGD(0.0), {"narrow": "mse", "wide": "mae"}, loss_weights={"wide": 2.0, "narrow": 0.0}
    )
    targets = {"wide": expected + 1, "narrow": np.zeros((4, 3), "float32")}
    match begin:
        case "call":
            model(data)
        case "build":
            model.build(uf.tree.map_structure(lambda one: (None, one.shape[1]), data))
        case "predict":
            model.predict(data, verbose=0)
        case "train_on_batch":
            model.train_on_batch(data, targets)
    history = model.fit(data, targets, verbose=0, backend="torch").history
    np.testing.assert_allclose([history["loss"][0], history["wide_loss"][0]], [2, 1], rtol=1e-5)
    turned = {
        "rest": {"b": data["rest"]["b"], "z": data["rest"]["z"]},
        "tags": data["tags"],
        "title": data["title"],
    }
    model.save(tmp_path / "m.uf")
    for one in (model, uf.load(tmp_path / "m.uf")):
        for given in (data, turned):
            assert_close(one.predict(given, verbose=0)["wide"], expected)
            assert_close(one(given)["wide"], expected)
    if begin == "fit":
        model.export(tmp_path / "m.onnx", verify=True)


class Pair(uf.Model):
    def call(self, inputs: Any) -> Any:
        first, inner = inputs
        return first + 2.0 * inner["z"] + 3.0 * inner["b"]


def pair(kind: str, outer: type) -> tuple[uf.Model, list[Any]]:
    """A model whose input is a list of a tensor and a dict (or a list) of two that have one shape; data for it."""
    data = [np.random.default_rng(i).normal(size=(4, 3)).astype("float32") for i in range(3)]
    x = outer([data[0], {"z": data[1], "b": data[2]}])
    if kind == "own":
        return Pair(), x
    first, z, b = (uf.Input((3,), name=name) for name in ("first", "z", "b"))
    if kind == "lists":
        return uf.Model([first, [z, b]], first + 2.0 * z + 3.0 * b), outer([data[0], [data[1], data[2]]])
    model = uf.Model([first, {"z": z, "b": b}], first + 2.0 * z + 3.0 * b)
    if kind == "loaded":
        model.save("m.uf")
        model = uf.load("m.uf")
    return model, x


@pytest.mark.parametrize("outer", [list, tuple])
@pytest.mark.parametrize("kind", ["functional", "lists", "own", "loaded"])
def test_structures_nest_in_the_inputs(
    kind: str, outer: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dicts inside of lists are matched by key too: both have one shape, so that nothing else would tell them apart."""
    monkeypatch.chdir(tmp_path)
    model, x = pair(kind, outer)
    z, b = x[1] if kind == "lists" else (x[1]["z"], x[1]["b"])
    expected = x[0] + 2 * z + 3 * b
    forms = [x] if kind == "lists" else [x, outer([x[0], {"b": b, "z": z}])]
    model.compile("sgd", "mse")
    for given in forms:
        assert_close(model.predict(given, verbose=0), expected)
        assert_close(model(given), expected)
        assert model.evaluate(given, expected, verbose=0) < 1e-9
        batches = iter([(given, expected + 1)] * 2)
        np.testing.assert_allclose(model.evaluate(batches, verbose=0), 1, rtol=1e-5)
        assert_close(model.predict_on_batch(given), expected)
    assert_close(model.predict(forms[-1], batch_size=3, verbose=0), expected)


def test_a_dict_is_taken_by_the_keys_else_by_the_names_of_the_inputs(tmp_path: Path) -> None:
    """A dict of the model's own keys first, as in Keras; the names are what files and ``.npz`` archives have."""
    foo, bar = uf.Input((3,), name="foo"), uf.Input((3,), name="bar")
    model = uf.Model({"z": foo, "inner": {"bar": bar}}, foo + 2.0 * bar)
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.uf")
    x, y = X, 3 * X
    for one in (model, uf.load(tmp_path / "m.uf")):
        for given in ({"z": x, "inner": {"bar": y}}, {"inner": {"bar": y}, "z": x}, {"bar": y, "foo": x}):
            assert_close(one.predict(given, verbose=0), x + 2 * y)
            assert_close(one(given), x + 2 * y)
    assert model.evaluate({"foo": x, "bar": y}, x + 2 * y, verbose=0) < 1e-9
    flat = uf.Model({"bar": foo, "foo": bar}, foo + 2.0 * bar)  # each key is the other's name
    assert_close(flat.predict({"foo": x, "bar": y}, verbose=0), y + 2 * x)
    for wrong in ({"z": x}, {"foo": x}, {"foo": x, "inner": {"bar": y}}):
        with pytest.raises(errors.DataError, match=r"a dict with the keys \['inner', 'z'\]; given were"):
            model.predict(wrong, verbose=0)


@pytest.mark.parametrize("suffix", ["keras", "uf", "onnx"])
def test_a_layer_may_be_called_as_inputs_are_by_default(suffix: str, tmp_path: Path) -> None:
    """Or as a key of the inputs; in files each has a name of its own."""
    a, b = uf.Input((3,)), uf.Input((3,))
    x = layers.Dense(2, name="input")(a) + layers.Dense(2, name="part")(b)
    for model, data in (
        (uf.Model([a, b], x), [X, 2 * X]),
        (uf.Model({"part": b, "a": a}, x), {"a": X, "part": 2 * X}),
    ):
        expected = model.predict(data, verbose=0)
        path = tmp_path / f"m.{suffix}"
        if suffix == "onnx":
            model.export(path, verify=True)
        else:
            model.save(path)
            again = uf.load(path) if suffix == "uf" else uf.models.load_model(path)
            assert_close(again.predict(data, verbose=0), expected)


def _with_attributes(library: Any) -> dict[str, Any]:
    """Models whose layers are attributes too, one of them with a name."""

    def layers_() -> tuple[Any, Any]:
        return library.layers.Dense(3, name="named"), library.layers.Dense(2)

    class Functional(library.Model):
        def __init__(self) -> None:
            self.first, self.second = layers_()
            x = library.Input((3,))
            super().__init__(x, self.second(self.first(x)))

    class Added(library.Sequential):
        def __init__(self) -> None:
            super().__init__()
            self.second, self.first = reversed(layers_())
            self.add(self.first)
            self.add(self.second)

    class Given(library.Sequential):
        def __init__(self) -> None:
            self.first, self.second = layers_()
            super().__init__([library.Input((3,)), self.first, self.second])

    beside = library.Sequential([library.Input((3,)), *layers_()])
    beside.beside = library.layers.Dense(7, name="beside")
    return {"functional": Functional(), "added": Added(), "given": Given(), "beside": beside}


@pytest.mark.parametrize("kind", ["functional", "added", "given", "beside"])
def test_layers_that_are_attributes_keep_their_names_and_places(kind: str) -> None:
    ours, theirs = _with_attributes(uf)[kind], _with_attributes(keras)[kind]
    x = np.ones((2, 3), np.float32)
    for model in (ours, theirs):
        assert np.asarray(model(x)).shape == (2, 2)
    dense = [[one for one in model.layers if "input" not in one.name] for model in (ours, theirs)]
    assert [type(one).__name__ for one in dense[0]] == [type(one).__name__ for one in dense[1]]
    assert dense[0][0].name == dense[1][0].name == "named"
    assert dense[0][1].name == "dense"  # Keras numbers it through the process
    assert ours.get_layer("named") is dense[0][0]
    assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    assert [w.path for w in ours.weights][:2] == ["named/kernel", "named/bias"]


def test_a_name_that_is_there_twice_is_refused_among_attributes_too() -> None:
    model = uf.Sequential()
    model.a, model.b = layers.Dense(2, name="same"), layers.Dense(2, name="same")
    with pytest.raises(errors.ArgumentError, match="Two layers of the model 'sequential' are called 'same'"):
        model.add(model.a)
    assert model.layers == []
