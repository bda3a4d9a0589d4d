"""Keras's files, read here and written here: every kind of layer, compiled models, broken and hostile files."""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from tests.train.keras_judge import keras
from unifront import errors
from unifront.saving.keras_operations import CLASSES
from unifront.testing import assert_close

BACKEND = TRAINABLE[-1]
SEQUENCE, IMAGE = (5, 4), (8, 8, 2)
LAYERS: dict[str, tuple[Callable[[Any], Any], tuple[int, ...]]] = {
    "dense": (lambda L: L.Dense(3), SEQUENCE),
    "frozen": (lambda L: L.BatchNormalization(trainable=False), SEQUENCE),
    "convolution": (lambda L: L.Conv2D(4, 3, groups=2), IMAGE),
    "separable": (lambda L: L.SeparableConv2D(3, 3), IMAGE),
    "depthwise": (lambda L: L.DepthwiseConv2D(3, depth_multiplier=2), IMAGE),
    "transposed": (lambda L: L.Conv2DTranspose(3, 3), IMAGE),
    "gru": (lambda L: L.GRU(3, dropout=0.2), SEQUENCE),
    "bidirectional": (lambda L: L.Bidirectional(L.LSTM(3, return_sequences=True)), SEQUENCE),
    "cells": (lambda L: L.RNN([L.LSTMCell(3), L.GRUCell(2), L.LSTMCell(2)]), SEQUENCE),
    "conv_lstm": (lambda L: L.ConvLSTM2D(2, 3), (3, *IMAGE)),
    "wrapped": (lambda L: L.TimeDistributed(L.Dense(3)), SEQUENCE),
    "spectral": (lambda L: L.SpectralNormalization(L.Dense(3)), SEQUENCE),
    "einsum": (lambda L: L.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d"), SEQUENCE),
    "norms": (lambda L: L.LayerNormalization(), SEQUENCE),
    "groups": (lambda L: L.GroupNormalization(2), IMAGE),
    "prelu": (lambda L: L.PReLU(), SEQUENCE),
    "normalization": (lambda L: L.Normalization(mean=[1.0] * 4, variance=[2.0] * 4), SEQUENCE),
    "dropout": (lambda L: L.Dropout(0.5), SEQUENCE),
}  # fmt: skip
ATTENTION = {
    "attention": lambda L: L.MultiHeadAttention(2, 3, dropout=0.1),
    "grouped": lambda L: L.GroupQueryAttention(3, 2, 1),
}


def of(home: Any, name: str) -> Any:
    """A model with two layers of a kind, in Keras or here."""
    if name in ATTENTION:
        x = home.Input(SEQUENCE)
        y = ATTENTION[name](home.layers)(x, x)
        return home.Model(x, ATTENTION[name](home.layers)(y, x))
    make, shape = LAYERS[name]
    x = home.Input(shape)
    return home.Model(x, [make(home.layers)(x), make(home.layers)(x)])


def deep(home: Any) -> Any:
    """Models in a model, a layer that is called twice, two inputs."""
    layers = home.layers
    a, b = home.Input((6, 6, 3), name="a"), home.Input((4,), name="b")
    shared = layers.Dense(4, activation="relu")
    inside = home.Sequential(
        [layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(), layers.ReLU()], name="inside"
    )
    x = layers.GlobalAveragePooling2D()(inside(a))
    x = layers.Concatenate()([shared(shared(b)), x])
    head = home.Input((8,))
    x = home.Model(head, layers.Dense(3, activation="softmax")(head), name="head")(x)
    return home.Model([a, b], x, name="deep")


MAKERS: dict[str, Callable[[Any], Any]] = {
    **{name: (lambda home, name=name: of(home, name)) for name in (*LAYERS, *ATTENTION)},
    "deep": deep,
}


def stirred(judge: Any) -> Any:
    rng = np.random.default_rng(0)
    judge.set_weights(
        [(w + 0.3 * rng.random(w.shape)).astype(w.dtype) if w.ndim else w for w in judge.get_weights()]
    )
    return judge


def arrays(model: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = model.input_shape if isinstance(model.input_shape, list) else [model.input_shape]
    return [rng.normal(size=(4, *shape[1:])).astype("float32") for shape in shapes]


def outputs(model: Any, x: list[np.ndarray], **options: Any) -> list[np.ndarray]:
    found = model.predict(x if len(x) > 1 else x[0], verbose=0, **options)
    return [np.asarray(one) for one in (found if isinstance(found, list) else [found])]


def same(ours: Any, judge: Any) -> None:
    x = arrays(judge)
    pairs = zip(outputs(ours, x, backend=BACKEND), outputs(judge, x), strict=True)
    for a, b in pairs:
        assert_close(a, b)


@pytest.mark.parametrize("name", MAKERS)
def test_what_keras_saves_is_read_and_what_is_written_keras_loads(name: str, tmp_path: Path) -> None:
    judge = stirred(MAKERS[name](keras))
    judge.save_weights(tmp_path / "k.weights.h5")
    judge.save(tmp_path / "k.keras")
    loaded = uf.load(tmp_path / "k.keras")
    same(loaded, judge)
    model = MAKERS[name](uf)
    model.load_weights(tmp_path / "k.weights.h5")
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert (a == b).all()
    model.save_weights(tmp_path / "u.weights.h5")
    model.save(tmp_path / "u.keras")
    again = MAKERS[name](keras)
    again.load_weights(tmp_path / "u.weights.h5")
    same(model, again)
    same(model, keras.models.load_model(tmp_path / "u.keras"))


@pytest.mark.parametrize("name", ["dense", "convolution", "gru", "deep"])
def test_the_format_of_keras_2_is_read(name: str, tmp_path: Path) -> None:
    judge = stirred(MAKERS[name](keras))
    judge.save(tmp_path / "k.h5")
    same(uf.load(tmp_path / "k.h5"), judge)
    model = MAKERS[name](uf)
    model.load_weights(tmp_path / "k.h5")
    same(model, judge)


def small(home: Any, **options: Any) -> Any:
    layers = home.layers
    model = home.Sequential([home.Input((4,)), layers.Dense(5, activation="tanh"), layers.Dense(2)])
    model.compile(home.optimizers.Adam(0.01, **options), "mse", metrics=["mae"])
    return model


X = np.random.default_rng(2).normal(size=(16, 4)).astype("float32")
Y = np.random.default_rng(3).normal(size=(16, 2)).astype("float32")


@pytest.mark.parametrize("options", [{}, {"amsgrad": True}])
def test_training_goes_on_from_keras_and_in_keras(options: dict[str, Any], tmp_path: Path) -> None:
    judge = small(keras, **options)
    judge.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    judge.save(tmp_path / "k.keras")
    model = uf.load(tmp_path / "k.keras")
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0, backend=BACKEND)
    model.save(tmp_path / "u.keras")
    back = keras.models.load_model(tmp_path / "u.keras")
    assert int(back.optimizer.iterations) == model.optimizer.iterations == 8
    for one in (judge, back):
        one.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    judge.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for a, b in zip(back.get_weights(), judge.get_weights(), strict=True):
        assert_close(a, b)
    plain = uf.models.load_model(tmp_path / "k.keras", compile=False)
    assert not plain.compiled


def test_checkpoints_have_the_format_of_their_name(tmp_path: Path) -> None:
    model = small(uf)
    whole = uf.callbacks.ModelCheckpoint(tmp_path / "a.keras")
    weights = uf.callbacks.ModelCheckpoint(tmp_path / "a.weights.h5", save_weights_only=True)
    model.fit(X, Y, verbose=0, backend=BACKEND, callbacks=[whole, weights])
    same(model, keras.models.load_model(tmp_path / "a.keras"))
    again = small(keras)
    again.optimizer.build(again.trainable_variables)
    again.load_weights(tmp_path / "a.weights.h5")
    same(model, again)
    assert int(again.optimizer.iterations) == 1


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    judge = stirred(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="bfloat16")]))
    judge.save_weights(tmp_path / "k.weights.h5")
    model = uf.Sequential([uf.Input((4,)), uf.layers.Dense(3, dtype="bfloat16")])
    model.load_weights(tmp_path / "k.weights.h5")
    expected = [np.asarray(w, "float32") for w in judge.get_weights()]
    assert all((a.astype("float32") == b).all() for a, b in zip(model.get_weights(), expected, strict=True))
    model.save_weights(tmp_path / "u.weights.h5")
    stirred(judge).load_weights(tmp_path / "u.weights.h5")
    assert all(
        (np.asarray(a, "float32") == b).all() for a, b in zip(judge.get_weights(), expected, strict=True)
    )


# ---------------------------------------------------------------- what cannot be written


def own_classes(library: Any) -> tuple[type, type]:
    """A layer and a model of the user's own, as anyone writes them in Keras."""

    class Scaled(library.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self, factor: float, **options: Any) -> None:
            super().__init__(**options)
            self.factor, self.inner = factor, library.layers.Dense(3)
            self.many = [library.layers.Dense(3), library.layers.Dense(3)]

        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(shape[-1],), name="scale", initializer="uniform")
            self.inner.build(shape)
            for layer in self.many:
                layer.build((None, 3))
            super().build(shape)

        def call(self, x: Any) -> Any:
            x = self.inner(x * self.factor * self.scale)
            for layer in self.many:
                x = layer(x)
            return x

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "factor": self.factor}

    class Chain(library.Model):  # type: ignore[misc, name-defined]
        def __init__(self, sizes: Sequence[int], **options: Any) -> None:
            super().__init__(**options)
            self.sizes = sizes
            self.steps = [Scaled(0.5), *(library.layers.Dense(size) for size in sizes)]

        def call(self, x: Any) -> Any:
            for step in self.steps:
                x = step(x)
            return x

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "sizes": self.sizes}

    return Scaled, Chain


def own_models(library: Any) -> tuple[dict[str, Any], dict[str, type]]:
    scaled, chain = own_classes(library)
    x = library.Input((4,))
    models = {
        "functional": library.Model(x, library.layers.Dense(2)(scaled(0.5)(x))),
        "sequential": library.Sequential([library.Input((4,)), scaled(2.0)]),
        "own": chain([3, 2]),
    }
    return models, {"Scaled": scaled, "Chain": chain}


@pytest.mark.parametrize("kind", ["functional", "sequential", "own"])
@pytest.mark.parametrize(("writer", "reader"), [(uf, uf), (uf, keras), (keras, uf)])
def test_classes_of_the_users_are_written_and_read(
    kind: str, writer: Any, reader: Any, tmp_path: Path
) -> None:
    """Whoever reads gives them as ``custom_objects``: ours here, Keras's there."""
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    model = own_models(writer)[0][kind]
    model.compile("adam", "mse")
    model.fit(x, np.ones((8, int(model(x).shape[-1])), "float32"), verbose=0)
    model.save(tmp_path / "m.keras")
    again = reader.models.load_model(tmp_path / "m.keras", custom_objects=own_models(reader)[1])
    assert_close(again.predict(x, verbose=0), model.predict(x, verbose=0), bounds={"float32": 1e-5})
    assert int(again.optimizer.iterations) == 1
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
    again.fit(x, again.predict(x, verbose=0), verbose=0)
    if reader is uf:
        with pytest.raises(errors.FileFormatError, match="Scaled|Chain"):
            reader.models.load_model(tmp_path / "m.keras")


def seeing(library: Any) -> type:
    class Seeing(library.layers.Layer):  # type: ignore[misc, name-defined]
        """Knows after it is built what its constructor does not: a statistic that goes with its shapes."""

        offset = 0.0

        def build(self, shape: Any) -> None:
            self.shape, self.scale = tuple(shape), self.add_weight(shape=(shape[-1],), initializer="uniform")

        def call(self, x: Any) -> Any:
            return x * self.scale + self.offset

        def compute_output_shape(self, shape: Any) -> Any:
            return shape

        def get_build_config(self) -> dict[str, Any]:
            return {"shape": self.shape, "offset": self.offset}

        def build_from_config(self, config: dict[str, Any]) -> None:
            self.offset = config["offset"]
            self.build(config["shape"])

    return Seeing


@pytest.mark.parametrize("kind", ["functional", "sequential", "wrapped"])
@pytest.mark.parametrize(("writer", "reader"), [(uf, uf), (uf, keras), (keras, uf)])
def test_a_layer_of_the_users_is_built_in_its_own_way(
    kind: str, writer: Any, reader: Any, tmp_path: Path
) -> None:
    layer = seeing(writer)(name="seeing")
    x, library = writer.Input((5, 4)), writer.layers
    around = library.TimeDistributed(layer, name="around") if kind == "wrapped" else layer
    stack = [library.Dense(4), around, library.Dense(2)]
    if kind == "sequential":
        model = writer.Sequential([x, *stack])
    else:
        model = writer.Model(x, stack[2](stack[1](stack[0](x))))
    layer.offset = 3.0
    data = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    model.save(tmp_path / "m.keras")
    again = reader.models.load_model(tmp_path / "m.keras", custom_objects={"Seeing": seeing(reader)})
    found = again.get_layer("around").layer if kind == "wrapped" else again.get_layer("seeing")
    assert found.offset == 3.0
    assert_close(again.predict(data, verbose=0), model.predict(data, verbose=0), bounds={"float32": 1e-5})


OPERATIONS: list[Callable[[Any, Any], Any]] = [
    lambda o, x: x + 1, lambda o, x: 1 - x, lambda o, x: x * x / 2, lambda o, x: x // 2, lambda o, x: x % 2 + x**2,
    lambda o, x: -abs(x), lambda o, x: x[:, 0], lambda o, x: x[:, 1:3, None], lambda o, x: x @ o.transpose(x, (0, 2, 1)),
    lambda o, x: o.mean(x, axis=1), lambda o, x: o.sum(x, -1, keepdims=True), lambda o, x: o.max(x, axis=(1, 2)),
    lambda o, x: o.reshape(x, (-1, 12)), lambda o, x: o.squeeze(o.expand_dims(x, -1), -1), lambda o, x: o.min(x, 1),
    lambda o, x: o.concatenate([x, x], -1), lambda o, x: o.stack([x, x], 1), lambda o, x: o.cast(x * 3, "int32"),
    lambda o, x: o.softmax(x, axis=1), lambda o, x: o.gelu(x), lambda o, x: o.where(x > 0.5, x, 0.0),
    lambda o, x: o.clip(x, 0.2, 0.6), lambda o, x: o.argmax(x, -1), lambda o, x: o.one_hot(o.cast(x * 3, "int32"), 3),
    lambda o, x: o.split(x, 2, axis=-1)[1], lambda o, x: o.tile(x, (1, 2, 1)), lambda o, x: o.repeat(x, 2, axis=1),
    lambda o, x: o.einsum("bij,bkj->bik", x, x), lambda o, x: o.normalize(x, axis=-1), lambda o, x: o.swapaxes(x, 1, 2),
    lambda o, x: o.pad(x, ((0, 0), (1, 1), (0, 0))), lambda o, x: o.var(x, 1), lambda o, x: o.cumsum(x, 1),
    lambda o, x: o.image.resize(o.expand_dims(x, -1), (6, 2)), lambda o, x: o.take(x, [0, 2], axis=1),
    lambda o, x: o.flip(x, 1), lambda o, x: o.logsumexp(x, 1), lambda o, x: o.sqrt(o.exp(o.log1p(x))),
    lambda o, x: o.leaky_relu(x - 0.5, 0.1), lambda o, x: o.logical_and(x > 0.2, o.less_equal(x, 0.9)),
]  # fmt: skip


@pytest.mark.parametrize(("writer", "reader"), [(uf, uf), (uf, keras), (keras, uf)])
def test_operations_between_layers_are_written_and_read(writer: Any, reader: Any, tmp_path: Path) -> None:
    x = writer.Input((3, 4), name="x")
    model = writer.Model(x, [operation(writer.ops, x) for operation in OPERATIONS])
    model.save(tmp_path / "m.keras")
    again = reader.models.load_model(tmp_path / "m.keras")
    given = np.random.default_rng(0).random((2, 3, 4)).astype("float32")
    found, wanted = again.predict(given, verbose=0), model.predict(given, verbose=0)
    for i, (one, other) in enumerate(zip(found, wanted, strict=True)):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6, err_msg=str(i))


def test_the_words_for_operations_are_keras() -> None:
    for module, name in CLASSES.values():
        assert hasattr(importlib.import_module(module), name), name


class Untold(uf.Model):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.dense = uf.layers.Dense(size)

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_what_keras_would_not_find_is_not_written(tmp_path: Path) -> None:
    x = uf.Input((4,))
    untold = Untold(3)
    untold(np.ones((1, 4), "float32"))
    with pytest.raises(errors.ArgumentError, match=r"needs its get_config\(\), with the arguments"):
        untold.save(tmp_path / "m.keras")
    untold.save_weights(tmp_path / "w.weights.h5")  # weights have no classes
    summed = uf.Model(x, uf.ops.logaddexp(uf.ops.top_k(uf.layers.Dense(3)(x), 2)[0], 1.0), name="summed")
    with pytest.raises(
        errors.ArgumentError, match="'summed' has top_k of unifront.opset, which a .keras file cannot tell"
    ):
        summed.save(tmp_path / "m.keras")
    summed.save(tmp_path / "m.uf")
    with pytest.raises(errors.ArgumentError, match="is told by its graph or its code"):
        uf.load(tmp_path / "m.uf").save(tmp_path / "m.keras")
    summed.compile(uf.optimizers.Adafactor(), "mse")
    model = uf.Sequential([x, uf.layers.Dense(3)])
    model.compile(uf.optimizers.Adafactor(), "mse")
    with pytest.raises(errors.ArgumentError, match="Adafactor keeps other slots than Keras's"):
        model.save(tmp_path / "m.keras")
    assert not (tmp_path / "m.keras").exists()


# ---------------------------------------------------------------- broken and hostile files


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("files")
    judge = small(keras)
    judge.fit(X, Y, verbose=0)
    judge.save(folder / "m.keras")
    judge.save_weights(folder / "m.weights.h5")
    judge.save(folder / "m.h5")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5"])
def test_a_file_cut_off_anywhere_is_refused(name: str, files: dict[str, bytes], tmp_path: Path) -> None:
    model = small(uf)
    before = model.get_weights()
    for part in (0.02, 0.3, 0.6, 0.9, 0.999):
        path = tmp_path / name
        path.write_bytes(files[name][: int(part * len(files[name]))])
        with pytest.raises(errors.FileFormatError, match=name):
            model.load_weights(path)
        with pytest.raises(errors.FileFormatError, match=name):
            uf.load(path)
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True))


def rewritten(files: dict[str, bytes], change: Callable[[dict[str, bytes]], None], **options: Any) -> bytes:
    """The ``.keras`` file with its entries changed."""
    with zipfile.ZipFile(io.BytesIO(files["m.keras"])) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def config(change: Callable[[Any], Any]) -> Callable[[dict[str, bytes]], None]:
    def apply(entries: dict[str, bytes]) -> None:
        told = json.loads(entries["config.json"])
        entries["config.json"] = json.dumps(change(told) or told).encode()

    return apply


def layer(told: Any, **changes: Any) -> None:
    told["config"]["layers"][1].update(changes)


CHANGES: list[tuple[Callable[[dict[str, bytes]], None], str]] = [
    (lambda entries: entries.update({"config.json": b"{"}), "m.keras"),
    (lambda entries: entries.update({"config.json": b"[" * 100_000}), "m.keras"),
    (lambda entries: entries.update({"config.json": b"[1]"}), "its description is no model"),
    (lambda entries: entries.update({"config.json": b"[" + b"0," * 1_000_001 + b"0]"}), "more than 1000000 values"),
    (lambda entries: entries.pop("model.weights.h5"), "m.keras"),
    (lambda entries: entries.update({"model.weights.h5": b"no"}), "m.keras"),
    (lambda entries: entries.update({"assets/words.txt": b"a"}), "holds assets/words.txt"),
    (config(lambda told: layer(told, class_name="Strange", module="keras.layers")), "Unknown class .*'Strange'"),
    (config(lambda told: layer(told, class_name="Popen", module="subprocess")), "Unknown class .*'Popen'"),
    (config(lambda told: layer(told, class_name="Lambda", config={"function": {"class_name": "__lambda__", "config": {"code": "eA=="}}})), "m.keras"),
    (config(lambda told: told["config"]["layers"][1]["config"].update(units=10**9)), r"the model in it cannot be made: .*\(batch, 1000000000\)"),
    (config(lambda told: told["config"]["layers"][1]["config"].update(units="many")), "m.keras"),
    (config(lambda told: told["config"].update(layers=3)), "m.keras"),
    (config(lambda told: told["config"].update(layers=told["config"]["layers"][:2])), "does not fit the model"),
    (config(lambda told: told["compile_config"]["optimizer"].update(class_name="SGD", config={"momentum": 0.9})), "does not fit the model"),
    (config(lambda told: {"module": "keras.layers", "class_name": "Dense", "config": {"units": 3}}), "does not fit the model 'dense'"),
    (config(lambda told: {"module": "keras.optimizers", "class_name": "SGD", "config": {}}), "it describes a SGD, no model"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_a_changed_file_is_refused(
    change: Callable[[dict[str, bytes]], None], message: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(rewritten(files, change))
    with pytest.raises(errors.FileFormatError, match=message):
        uf.load(path)


def test_what_is_compressed_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    path.write_bytes(rewritten(files, lambda entries: None, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(
        errors.FileFormatError, match="is compressed; what a .keras file holds is stored as it is"
    ):
        uf.load(path)


def external_link(file: Any, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = h5py.ExternalLink(str(secret), "x")


def soft_link(file: Any, secret: Path) -> None:
    file["layers/other"] = h5py.SoftLink("/layers/dense")


def external_storage(file: Any, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset("0", (4, 5), "float32", external=[(str(secret), 0, 80)])


def virtual(file: Any, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    layout = h5py.VirtualLayout((4, 5), "float32")
    layout[:] = h5py.VirtualSource(str(secret), "x", (4, 5))
    file["layers/dense/vars"].create_virtual_dataset("0", layout)


def huge(file: Any, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars"].create_dataset(
        "0", (2**20, 2**20), "float32", chunks=(1024, 1024), compression="gzip"
    )


def texts(file: Any, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = "text"


def circle(file: Any, secret: Path) -> None:
    file["layers/dense/around"] = file["layers"]


def deeper(file: Any, secret: Path) -> None:
    file.create_group("/".join("a" * 100))


def whole_numbers(file: Any, secret: Path) -> None:
    del file["layers/dense/vars/0"]
    file["layers/dense/vars/0"] = np.ones((4, 5), "int32")


HOSTILE: list[tuple[Callable[[Any, Path], None], str]] = [
    (external_link, "layers/dense/vars/0 is a link, which may lead outside of the file"),
    (soft_link, "layers/other is a link"),
    (external_storage, "layers/dense/vars/0 keeps its numbers in another file"),
    (virtual, "layers/dense/vars/0 keeps its numbers in another file"),
    (huge, r"dense/kernel is float32\[1048576, 1048576\] there and float32\[4, 5\] in the model"),
    (texts, "layers/dense/vars/0 is no array of numbers"),
    (circle, "its groups lie more than 64 deep"),
    (deeper, "its groups lie more than 64 deep"),
    (whole_numbers, r"dense/kernel is int32\[4, 5\] there and float32\[4, 5\] in the model"),
]


@pytest.mark.parametrize(("change", "message"), HOSTILE, ids=lambda one: getattr(one, "__name__", ""))
def test_hostile_hdf5_is_refused(
    change: Callable[[Any, Path], None], message: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    secret, path = tmp_path / "secret.h5", tmp_path / "m.weights.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.ones((4, 5), "float32")
    path.write_bytes(files["m.weights.h5"])
    with h5py.File(path, "r+") as file:
        change(file, secret)
    model = small(uf)
    with pytest.raises(errors.FileFormatError, match=message):
        model.load_weights(path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["dense", "../../dense_1"], "it speaks of a group"),
        (["dense", "nowhere"], "it speaks of 'nowhere', which is not in it"),
        (["dense"], "it lacks 2 of 4 weights: dense_1/kernel, dense_1/bias"),
        (["dense", "dense_1", "dense_1"], ""),
    ],
)
def test_names_in_an_old_file_are_not_trusted(
    names: list[str], message: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(files["m.h5"])
    with h5py.File(path, "r+") as file:
        theirs = [one for one in file["model_weights"].attrs["layer_names"] if "dense" in str(one)]
        renamed = {"dense": theirs[0], "dense_1": theirs[1]}
        file["model_weights"].attrs["layer_names"] = [renamed.get(name, name) for name in names]
    x = uf.Input((4,))
    hidden = uf.layers.Dense(5, name="dense")(x)
    model = uf.Model(x, uf.layers.Dense(2, name="dense_1")(hidden))
    if not message:
        model.load_weights(path)
        return
    with pytest.raises(errors.FileFormatError, match=message):
        model.load_weights(path)


def test_without_h5py_it_is_said_what_to_install(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "h5py", None)
    (tmp_path / "m.h5").write_bytes(files["m.h5"])
    for call in (small(uf).load_weights, small(uf).save):
        path = tmp_path / ("m.h5" if call.__name__ == "load_weights" else "m.keras")
        with pytest.raises(errors.BackendMissing, match=r"pip install 'unifront\[keras-files\]'"):
            call(path)
