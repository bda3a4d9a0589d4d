"""Quantized layers against Keras's on the same weights: integers, scales, outputs, gradients; files and ONNX."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
import torch

import unifront as uf
from tests.layers.judge import OURS
from unifront import errors, layers
from unifront.backends import installed, placement
from unifront.testing import assert_close

RNG = np.random.default_rng(0)
X = {
    shape: RNG.normal(size=shape).astype("float32")
    for shape in ((3, 7), (2, 3, 7), (2, 3, 2, 4), (2, 4), (2, 4, 5))
}
WORDS = RNG.integers(0, 9, (2, 3)).astype("int32")
CASES = [
    ("Dense(5, activation='tanh')", X[3, 7]),
    ("Dense(4, use_bias=False)", X[2, 3, 7]),
    ("EinsumDense('abc,cd->abd', (None, 6), bias_axes='d')", X[2, 3, 7]),
    ("EinsumDense('abc,cde->abde', (None, 2, 3), bias_axes='de')", X[2, 3, 7]),
    ("EinsumDense('abde,dec->abc', (None, 5), bias_axes='c')", X[2, 3, 2, 4]),
    ("EinsumDense('ab,bc->ac', 6)", X[2, 4]),
    ("EinsumDense('abc,bd->adc', (3, None))", X[2, 4, 5]),
    ("Embedding(9, 5)", WORDS),
    ("ReversibleEmbedding(9, 5)", WORDS),
]
MODES = [("int8", None), ("int4", None), ("int4", 2)]


def config_of(module: Any, mode: str, block_size: int | None) -> Any:
    return None if mode == "int8" else module.quantizers.Int4QuantizationConfig(block_size=block_size)


def pair(text: str, x: np.ndarray, mode: str, block_size: int | None) -> tuple[Any, Any]:
    """Keras's layer and ours, quantized, from the same weights."""
    theirs, ours = (
        eval(text, vars(keras.layers)),
        eval(text, OURS),
    )
    theirs(x), ours(x)
    weights = [RNG.normal(size=weight.shape).astype("float32") for weight in theirs.weights]
    for layer, module in ((theirs, keras), (ours, uf)):
        layer.set_weights(weights)
        layer.quantize(mode, config=config_of(module, mode, block_size))
    return theirs, ours


@pytest.mark.parametrize(("mode", "block_size"), MODES)
@pytest.mark.parametrize(("text", "x"), CASES, ids=[text for text, _ in CASES])
def test_layers_are_keras(text: str, x: np.ndarray, mode: str, block_size: int | None) -> None:
    theirs, ours = pair(text, x, mode, block_size)
    assert ours.dtype_policy.name == theirs.dtype_policy.name
    found = [(weight.name, weight.shape, str(weight.dtype)) for weight in ours.weights]
    assert found == [(weight.name, tuple(weight.shape), str(weight.dtype)) for weight in theirs.weights]
    for own, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_close(own, other)
    expected = np.asarray(theirs(x))
    for backend in installed():
        if backend != "jax":  # XLA compiles every operation of an eager call: below
            arrays = placement(backend).backend
            assert_close(arrays.numpy(ours(arrays.array(x))), expected, what=backend)
    config = ours.get_config()
    assert type(ours).from_config(config).dtype_policy == ours.dtype_policy


@pytest.mark.parametrize(("mode", "block_size"), MODES)
def test_layers_in_one_program_are_keras(mode: str, block_size: int | None) -> None:
    """Of XLA."""
    pytest.importorskip("jax")
    pairs = [pair(text, x, mode, block_size) for text, x in CASES]
    together = uf.jit(lambda *given: [ours(x) for (_, ours), x in zip(pairs, given, strict=True)])
    arrays = placement("jax").backend
    found = together(*(arrays.array(x) for _, x in CASES))
    for (theirs, _), (text, x), one in zip(pairs, CASES, found, strict=True):
        assert_close(arrays.numpy(one), np.asarray(theirs(x)), what=text)


@pytest.mark.parametrize("tie", [True, False])
def test_the_way_back_of_an_embedding_is_keras(tie: bool) -> None:
    for mode, block_size in MODES:
        theirs, ours = pair(f"ReversibleEmbedding(9, 4, tie_weights={tie})", WORDS, mode, block_size)
        found = [(weight.name, weight.shape, str(weight.dtype)) for weight in ours.weights]
        assert found == [(weight.name, tuple(weight.shape), str(weight.dtype)) for weight in theirs.weights]
        x = RNG.normal(size=(2, 3, 4)).astype("float32")
        assert_close(ours(x, reverse=True), np.asarray(theirs(x, reverse=True)))


@pytest.mark.parametrize(("mode", "block_size"), MODES)
def test_inputs_still_get_the_gradient_of_the_float_weight(mode: str, block_size: int | None) -> None:
    _, layer = pair("Dense(3, use_bias=False)", X[3, 7], mode, block_size)
    x = torch.tensor(X[3, 7], requires_grad=True)
    layer(x).sum().backward()
    kernel = layer.float_weight()
    wide = placement("numpy").backend.numpy(kernel) if isinstance(kernel, np.ndarray) else np.asarray(kernel)
    assert_close(x.grad.numpy(), np.broadcast_to(wide.sum(1), (3, 7)), bounds={"float32": 1e-5})


def model() -> uf.Model:
    uf.set_seed(0)
    words = uf.Input((6,), dtype="int32")
    x = layers.Embedding(20, 8, name="embed")(words)
    x = layers.LSTM(8)(x)
    x = layers.Dense(12, activation="relu", name="first")(x)
    return uf.Model(words, layers.Dense(3, name="last")(x))


def far_from_a_step(net: uf.Model) -> np.ndarray:
    """Words for which no input of a Dense layer lies where float32's rounding decides which int8 it becomes."""
    seen = uf.Model(net.input, [net.get_layer(name).input for name in ("first", "last")])
    for seed in range(100):
        words = np.random.default_rng(seed).integers(0, 20, (5, 6)).astype("int32")
        steps = [127 * x / np.abs(x).max(axis=-1, keepdims=True) for x in seen.predict(words, verbose=0)]
        if all((np.abs(np.abs(step % 1) - 0.5) > 1e-3).all() for step in steps):
            return words
    raise AssertionError("No words found.")


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_model_is_saved_exported_and_close_to_what_it_was(mode: str, tmp_path: Any) -> None:
    net = model()
    words = far_from_a_step(net)
    before = net.predict(words, verbose=0)
    net.quantize(mode)
    after = net.predict(words, verbose=0)
    scale = np.abs(before).max()
    assert 0 < np.abs(after - before).max() < (0.05 if mode == "int8" else 0.3) * scale
    for backend in installed():
        assert_close(net.predict(words, verbose=0, backend=backend), after, what=backend)
    net.save(tmp_path / "model.uf")
    loaded = uf.load(tmp_path / "model.uf")
    assert {weight.dtype.name for weight in loaded.weights} == {"int8", "float32"}
    np.testing.assert_array_equal(loaded.predict(words, verbose=0), after)
    net.export(tmp_path / "model.onnx", verify=True)
    copy = uf.models.clone_model(net)
    copy.set_weights(net.get_weights())
    np.testing.assert_array_equal(copy.predict(words, verbose=0), after)


def test_filters_and_what_has_no_integers() -> None:
    net = model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # layers without such a form are passed over in silence, as in Keras
        net.quantize("int8", filters="^(first|embed)$")
    modes = {layer.name: layer.quantization_mode for layer in net.layers}
    assert modes["first"] == modes["embed"] == "int8"
    assert modes["last"] is None
    net.quantize("int4", filters=lambda layer: layer.name == "last")
    assert net.get_layer("last").quantization_mode == "int4"


def test_a_policy_quantizes_when_the_layer_is_built() -> None:
    layer = layers.Dense(4, dtype="int8_from_mixed_bfloat16")
    y = layer(np.ones((2, 3), "float32"))
    assert layer.kernel.dtype == "int8"
    assert y.dtype.name == "bfloat16"
    grouped = layers.Dense(4, dtype="int4/2_from_float32")
    grouped.build((None, 3))
    assert grouped.kernel_zero.shape == (2, 4)
    plain = layers.Dense(4)
    plain.build((None, 3))
    plain.dtype_policy = "int8_from_float32"
    assert plain.kernel.dtype == "int8"


def test_low_rank_learns_beside_integers() -> None:
    x = X[3, 7]
    theirs, ours = pair("Dense(4)", x, "int8", None)
    for layer in (theirs, ours):
        layer.enable_lora(2)
    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, tuple(w.shape)) for w in theirs.weights]
    factors = [RNG.normal(size=shape).astype("float32") for shape in ((7, 2), (2, 4))]
    for layer in (theirs, ours):
        layer.lora_kernel_a.assign(factors[0])
        layer.lora_kernel_b.assign(factors[1])
    assert_close(ours(x), np.asarray(theirs(x)))


class Twice(layers.Dense):
    pass


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: layers.Dense(3).quantize("int8"), errors.NotBuiltError, "isn't yet built"),
        (lambda: built(layers.Dense(3)).quantize("int3"), errors.ArgumentError, "Invalid quantization mode"),
        (lambda: built(layers.Dense(3)).quantize("float8"), errors.NotQuantizable, "quantized for inference"),
        (lambda: built(layers.Dense(3)).quantize("gptq"), errors.ArgumentError, "a config object is needed"),
        (lambda: built(layers.Dense(3)).quantize(), errors.ArgumentError, "`mode` or `config`"),
        (lambda: built(layers.Dense(3, dtype="mixed_float16")).quantize("int8"), ValueError, "doesn't work well"),
        (lambda: built(Twice(3)).quantize("int8"), NotImplementedError, "is a subclass"),
        (lambda: built(layers.LayerNormalization()).quantize("int8"), NotImplementedError, "does not have a `quantize"),
        (lambda: quantized().quantize("int8"), errors.ArgumentError, "already quantized"),
        (lambda: model().quantize("int8", filters=3), errors.ArgumentError, "`filters` argument"),
        (lambda: layers.Dense(3, dtype="float8_from_float32").build((None, 2)), errors.NotQuantizable, "float8"),
    ],
)  # fmt: skip
def test_refused(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


def built(layer: Any) -> Any:
    layer.build((None, 2))
    return layer


def quantized() -> Any:
    layer = built(layers.Dense(3))
    layer.quantize("int8")
    return layer


# ---------------------------------------------------------------- quantizers


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("length", [1, 4, 5])
def test_packed_numbers_are_keras_and_come_back(axis: int, length: int) -> None:
    shape = (length, 3) if axis == 0 else (3, length)
    array = RNG.integers(-8, 8, shape).astype("int8")
    packed, size, count = uf.quantizers.pack_int4(array, axis)
    theirs = keras.quantizers.pack_int4(keras.ops.convert_to_tensor(array), axis)
    np.testing.assert_array_equal(packed, np.asarray(theirs[0]))
    assert (tuple(size), count) == (tuple(theirs[1]), theirs[2])
    for backend in installed():
        arrays = placement(backend).backend
        found = uf.quantizers.unpack_int4(arrays.array(packed), count, axis)
        np.testing.assert_array_equal(arrays.numpy(found), array)


@pytest.mark.parametrize("narrow", [True, False])
@pytest.mark.parametrize("axis", [None, 1])
def test_fake_quantization_is_keras(axis: int | None, narrow: bool) -> None:
    import tensorflow as tf

    x = RNG.uniform(-3, 3, (4, 3)).astype("float32")
    low, high = (
        (np.float32([-2, -1, -0.5]), np.float32([1, 2, 1.5])) if axis else (np.float32(-1), np.float32(2))
    )
    options = {"num_bits": 4, "narrow_range": narrow, "axis": axis}
    given = [tf.Variable(one) for one in (x, low, high)]
    found = []
    for module in (keras, uf):
        with tf.GradientTape() as tape:
            y = module.quantizers.fake_quant_with_min_max_vars(
                *[tf.convert_to_tensor(g) for g in given], **options
            )
            loss = tf.reduce_sum(y * np.arange(12, dtype="float32").reshape(4, 3))
        found.append([y, *tape.gradient(loss, given)])
    for theirs, ours in zip(*found, strict=True):
        assert_close(np.asarray(ours), np.asarray(theirs), bounds={"float32": 1e-5})


def test_quantizers_are_told_and_made_again() -> None:
    one = uf.quantizers.AbsMaxQuantizer(axis=0, value_range=(-8, 7))
    again = uf.quantizers.deserialize(uf.quantizers.serialize(one))
    assert again.get_config() == one.get_config()
    assert uf.quantizers.get("abs_max_quantizer").output_dtype == "int8"
    config = uf.quantizers.Int4QuantizationConfig(block_size=4)
    assert uf.quantizers.deserialize(uf.quantizers.serialize(config)).block_size == 4
