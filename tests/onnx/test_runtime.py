"""ONNX Runtime as a backend: inference as NumPy's and as its own sessions', and a clear no to the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import backends, layers, ops
from unifront.errors import ArgumentError, UnsupportedOp
from unifront.testing import assert_close

onnxruntime = pytest.importorskip("onnxruntime")
NAME = "onnxruntime"


def images() -> tuple[uf.Model, Any]:
    image = uf.Input((None, None, 2), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, activation="relu")(image))
    outputs = [layers.GlobalAveragePooling2D()(x), layers.UpSampling2D()(x)]
    return uf.Model(image, outputs, name="images"), np.random.default_rng(0).normal(size=(5, 7, 9, 2))


def mixed() -> tuple[uf.Model, Any]:
    words = uf.Input((None,), dtype="int32", name="words")
    extra = uf.Input((3,), name="extra")
    x = layers.Bidirectional(layers.LSTM(4))(layers.Embedding(9, 3)(words))
    model = uf.Model(
        {"words": words, "extra": extra}, {"y": layers.Dense(2)(layers.Concatenate()([x, extra]))}
    )
    rng = np.random.default_rng(0)
    return model, {"words": rng.integers(0, 9, (5, 6)), "extra": rng.normal(size=(5, 3))}


def halves() -> tuple[uf.Model, Any]:
    x = uf.Input((4,), dtype="float16", name="x")
    return uf.Model(x, layers.Dense(3, dtype="float16")(x), name="halves"), np.linspace(-1, 1, 20).reshape(
        5, 4
    )


def wide() -> tuple[uf.Model, Any]:
    x = uf.Input((4,), dtype="float64", name="x")
    model = uf.Model(x, layers.Dense(3, dtype="float64", activation="tanh")(x), name="wide")
    return model, np.linspace(-1, 1, 20).reshape(5, 4)


def narrow() -> tuple[uf.Model, Any]:
    """bfloat16, of which sessions take no arrays, in and out."""
    x = uf.Input((4,), dtype="bfloat16", name="x")
    return uf.Model(x, layers.Reshape((2, 2))(x), name="narrow"), np.linspace(-1, 1, 20).reshape(5, 4)


MODELS: dict[str, Callable[[], tuple[uf.Model, Any]]] = {
    "images": images, "mixed": mixed, "halves": halves, "wide": wide, "narrow": narrow,
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch_size", [2, 32])
def test_it_predicts_as_numpy_does(name: str, batch_size: int) -> None:
    model, x = MODELS[name]()
    found = model.predict(x, batch_size=batch_size, backend=NAME)
    expected = model.predict(x, batch_size=batch_size, backend="numpy")
    for one, wanted in zip(uf.tree.leaves(found), uf.tree.leaves(expected), strict=True):
        assert_close(one, wanted)


def test_new_values_of_weights_are_seen() -> None:
    model, x = images()
    model.predict(x, backend=NAME)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, 0.3, np.float32))
    for one, wanted in zip(model.predict(x, backend=NAME), model.predict(x, backend="numpy"), strict=True):
        assert_close(one, wanted)


def test_one_session_serves_all_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront.onnx import runtime

    made = []
    own = runtime._session
    monkeypatch.setattr(runtime, "_session", lambda *args: made.append(1) or own(*args))
    model, x = images()
    for size in (7, 9, 5):
        model.predict(x[:, :size], backend=NAME)
        model.predict(x[:3, :, :size], batch_size=2, backend=NAME)
    assert len(made) == 1


def test_parity_takes_it() -> None:
    model, x = mixed()
    found = uf.parity(model, {name: array[:3] for name, array in x.items()}, backends=[NAME])
    assert found.backends == (NAME,)
    assert 0 < found.worst_forward < 1e-5


def test_it_lowers_to_a_function() -> None:
    model, x = wide()
    assert_close(model.lower(NAME)(x), model.predict(x, backend="numpy"))


def test_it_is_found_but_trains_nothing() -> None:
    assert NAME in backends.names()
    assert NAME in backends.installed(inference=True)
    assert NAME not in backends.installed()
    assert backends.get_backend(NAME).version() == onnxruntime.__version__


@pytest.mark.parametrize("act", ["fit", "evaluate", "gradients"])
def test_it_does_inference_only(act: str) -> None:
    model, x = wide()
    model.compile("sgd", "mse")
    calls = {
        "fit": lambda: model.fit(x, np.zeros((5, 3)), backend=NAME),
        "evaluate": lambda: model.evaluate(x, np.zeros((5, 3)), backend=NAME),
        "gradients": lambda: uf.parity(model, x, backends=[NAME], gradients=True),
    }
    with pytest.raises(UnsupportedOp, match=r"'onnxruntime' does inference only \(predict\).* Say backend='"):
        calls[act]()


def test_random_numbers_are_refused() -> None:
    x = uf.Input((3,), name="x")
    noisy = layers.Lambda(lambda t: ops.add(t, uf.random.normal((3,))))
    with pytest.raises(UnsupportedOp, match="'noisy', which draws random numbers in inference"):
        uf.Model(x, noisy(x), name="noisy").predict(np.ones((2, 3)), backend=NAME)


def test_what_onnx_has_not_is_refused() -> None:
    x = uf.Input((3, 3), name="x")
    model = uf.Model(x, layers.Lambda(lambda t: ops.qr(t)[1], name="factors")(x), name="triangular")
    with pytest.raises(
        UnsupportedOp, match="'onnxruntime' cannot run 'triangular': .*factors.* cannot be written as ONNX"
    ):
        model.predict(np.ones((2, 3, 3)), backend=NAME)


def test_what_the_runtime_has_no_kernel_for_is_refused() -> None:
    x = uf.Input((3,), dtype="bfloat16", name="x")
    model = uf.Model(x, layers.Dense(2, dtype="bfloat16")(x), name="brain")
    with pytest.raises(
        UnsupportedOp, match="'onnxruntime' cannot run 'brain': ONNX Runtime .* NOT_IMPLEMENTED"
    ):
        model.predict(np.ones((2, 3)), backend=NAME)


def test_indices_outside_are_named() -> None:
    model, x = mixed()
    with pytest.raises(ArgumentError, match="index 9 at .* of the input 'words' is outside 0 … 8"):
        model.predict({**x, "words": x["words"] + 9 - x["words"]}, backend=NAME)
