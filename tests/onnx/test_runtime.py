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
    monkeypatch.setattr(runtime, "_session", lambda *args, **options: made.append(1) or own(*args, **options))
    model, x = images()
    for size in (7, 9, 5):
        model.predict(x[:, :size], backend=NAME)
        model.predict(x[:3, :, :size], batch_size=2, backend=NAME)
    assert len(made) == 1


def test_small_calls_take_one_thread_and_others_as_many_as_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront.onnx import runtime

    made = []
    own = runtime._session

    def session(*args: Any, **options: Any) -> Any:
        made.append(own(*args, **options))
        return made[-1]

    monkeypatch.setattr(runtime, "_session", session)
    x = uf.Input((512,))
    dense = layers.Dense(64)
    model = uf.Model(x, dense(x))
    rows = np.random.default_rng(0).normal(size=(400, 512)).astype(np.float32)

    def threads(batch_size: int) -> list[int]:
        before = len(made)
        found = model.predict(rows, batch_size=batch_size, backend=NAME)
        assert_close(found, rows @ dense.kernel.numpy())
        return [one.get_session_options().intra_op_num_threads for one in made[before:]]

    assert threads(4) == [1]
    assert threads(400) == [0]  # 26 million operations
    assert threads(8) == threads(400) == []
    dense.kernel.assign(np.ones((512, 64), np.float32))
    assert threads(400) == [0]  # and both have the new weights
    assert threads(4) == [1]


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


# ---------------------------------------------------------------- backend="auto"


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backends that graphs are compiled for."""
    from unifront.train import predicting

    seen: list[str] = []
    make = predicting.program_of

    def watched(model: Any, key: Any, graph: Any, place: Any) -> Any:
        seen.append(place.name)
        return make(model, key, graph, place)

    monkeypatch.setattr(predicting, "program_of", watched)
    return seen


def test_auto_is_onnx_runtime_where_that_runs_the_model(runs: list[str]) -> None:
    model, x = images()
    for found, wanted in zip(
        model.predict(x, backend="auto"), model.predict(x, backend="numpy"), strict=True
    ):
        assert_close(found, wanted)
    assert runs[0] == NAME


def test_auto_is_the_usual_backend_for_what_onnx_has_not(runs: list[str]) -> None:
    x = uf.Input((3, 3), name="x")
    model = uf.Model(x, layers.Lambda(lambda t: ops.qr(t)[1])(x))
    data = np.random.default_rng(0).normal(size=(2, 3, 3)).astype("float32")
    with uf.backend("numpy"):
        found = model.predict(data, backend="auto")
        assert_close(found, model.predict(data))
        assert runs == [NAME, "numpy", "numpy"]
        model.predict(data, backend="auto")
    assert runs[3:] == ["numpy"]  # it is not tried again


def test_auto_is_the_usual_backend_for_random_numbers_and_own_steps(runs: list[str]) -> None:
    class Own(uf.Model):
        def predict_step(self, data: Any) -> Any:
            return self(data, training=False)

    x = uf.Input((3,), name="x")
    noisy = uf.Model(x, layers.Lambda(lambda t: ops.add(t, uf.random.normal((3,))))(x))
    with uf.backend("numpy"):
        noisy.predict(np.ones((2, 3), "float32"), backend="auto")
        Own(x, layers.Dense(2)(x)).predict(np.ones((2, 3), "float32"), backend="auto")
    assert NAME not in runs


def test_auto_goes_where_the_new_weights_are() -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, layers.Dense(2, name="out")(x))
    data = np.ones((2, 3), "float32")
    model.predict(data, backend="auto")
    model.get_layer("out").kernel.assign(np.full((3, 2), 2.0, "float32"))
    assert_close(model.predict(data, backend="auto"), np.full((2, 2), 6.0, "float32"))


def test_auto_is_for_predict_alone() -> None:
    x = uf.Input((3,), name="x")
    model = uf.Model(x, layers.Dense(2)(x))
    model.compile("sgd", loss="mse")
    with pytest.raises(uf.errors.UnknownName, match="Unknown backend 'auto'"):
        model.fit(np.ones((2, 3)), np.ones((2, 2)), backend="auto", verbose=0)
