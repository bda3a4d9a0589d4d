"""Steps by XLA on TensorFlow (``compile(jit_compile=)``): when, and with which numbers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import testing

L = uf.layers


def transformer(width: int = 8, tokens: int = 6, drop: float = 0.0) -> uf.Model:
    # What is dropped is not compared: XLA draws other random numbers than the graph's kernels do.
    uf.set_seed(3)
    words = uf.Input((tokens,), dtype="int32")
    x = L.Embedding(20, width, mask_zero=True)(words) + L.Embedding(tokens, width)(uf.ops.arange(tokens))
    y = L.MultiHeadAttention(2, width // 2, dropout=drop)(L.LayerNormalization()(x), x, use_causal_mask=True)
    y = L.Dense(width, "gelu")(L.BatchNormalization()(L.Add()([x, y])))
    return uf.Model(words, L.Dense(4, "softmax")(L.GlobalAveragePooling1D()(L.Dropout(drop)(y))))


def data(tokens: int = 6, rows: int = 20) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 20, (rows, tokens)), rng.integers(0, 4, rows)


def trained(jit: bool, optimizer: Any) -> tuple[dict[str, list[float]], list[float]]:
    model = transformer()
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=jit, backend="tensorflow")
    x, y = data()
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False)
    return history.history, [model.evaluate(x, y, batch_size=8, verbose=0)]


def test_xla_gives_the_numbers_of_the_graph() -> None:
    def optimizer() -> Any:
        return uf.optimizers.SGD(
            0.1, momentum=0.9, global_clipnorm=1.0, use_ema=True, ema_overwrite_frequency=2
        )

    (graph, judged), (xla, judged_too) = (trained(jit, optimizer()) for jit in (False, True))
    for name, values in graph.items():
        np.testing.assert_allclose(xla[name], values, rtol=5e-5, err_msg=name)
    np.testing.assert_allclose(judged_too, judged, rtol=5e-5)


def test_a_step_on_one_batch_is_by_xla_too() -> None:
    losses = []
    for jit in (False, True):
        model = transformer()
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit, backend="tensorflow")
        x, y = data()
        losses.append([model.train_on_batch(x[:n], y[:n]) for n in (8, 3)])
    np.testing.assert_allclose(losses[1], losses[0], rtol=5e-5)


def chosen(model: Any, x: Any, y: Any, jit: Any = "auto") -> bool:
    """Whether the training step of ``model`` is compiled by XLA, judged by what TensorFlow was given."""
    from unifront.backends import placement
    from unifront.train.making import step_for
    from unifront.train.sources import checked
    from unifront_tensorflow.step import _Functions

    model.compile(
        "adam", "mse" if y.dtype.kind == "f" else "sparse_categorical_crossentropy", jit_compile=jit
    )
    training = model._compiled()
    step = step_for(model, training, checked(model, training, x, y, None, None), train=True)
    function = _Functions(step.plan, placement("tensorflow:cpu").backend.rows("cpu"), "cpu")
    return bool(function._jit)


def test_only_what_is_quicker_by_xla_is_given_to_it() -> None:
    image, flat = np.zeros((2, 64, 64, 3), "float32"), np.zeros((2, 1), "float32")
    x, y = data(128)
    large = transformer(512, 128, drop=0.1)
    assert chosen(large, x, y)
    assert not chosen(large, x, y, jit=False)
    assert not chosen(transformer(), *data())  # too small to be worth compiling
    assert chosen(transformer(), *data(), jit=True)
    convolutions = uf.Sequential([L.Conv2D(64, 5), L.Conv2D(64, 5), L.Flatten(), L.Dense(1)])
    assert not chosen(convolutions, image, flat)
    recurrent = uf.Sequential([L.Reshape((64, 192)), L.LSTM(512), L.Dense(1)])
    assert not chosen(recurrent, image, flat)
    free = uf.Sequential(
        [uf.Input((None, 512)), L.Dense(4096), L.Dense(4096), L.GlobalAveragePooling1D(), L.Dense(1)]
    )
    assert not chosen(free, np.zeros((2, 64, 512), "float32"), flat)  # each length would be compiled
    with pytest.raises(uf.errors.ArgumentError, match="jit_compile is 'auto', True or False; not 'yes'"):
        large.jit_compile = "yes"


@pytest.mark.slow
def test_xla_knows_what_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront_tensorflow.policy import POLICY

    tf = pytest.importorskip("tensorflow")
    specs = [spec for spec in testing.operations() if POLICY.knows(spec)]
    assert len(specs) > 120

    monkeypatch.setattr(tf, "function", partial(tf.function, jit_compile=True))
    differentiable = testing.operations(gradient=True)
    for spec in specs:
        testing.check_all(testing.check_forward, "tensorflow", spec, "float32")
        if spec in differentiable:
            testing.check_all(testing.check_gradient, "tensorflow", spec, "float32")
