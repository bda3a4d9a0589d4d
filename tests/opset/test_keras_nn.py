"""The functions of `keras.ops.nn` that are compositions or attention, against Keras's own on the same values."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import unifront as uf
from unifront import ops
from unifront.backends import get_backend, installed
from unifront.errors import ArgumentError, ShapeError
from unifront.testing import assert_close

keras = pytest.importorskip("keras")
RNG = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def shares(*shape: int) -> np.ndarray:
    return RNG.random(shape).astype("float32")


X, PIXELS, VECTOR, LABELS = floats(2, 5, 7, 3), floats(2, 4, 6, 8), shares(3), RNG.integers(0, 5, (4, 1))
TARGETS, OUTPUTS = shares(4, 5), shares(4, 5)
SPANS = (
    {"kernel_size": 2},
    {"kernel_size": (3, 2), "padding": (1, 0), "stride": (2, 1)},
    {"kernel_size": 2, "dilation": 2, "stride": 3, "padding": 1},
)
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("batch_normalization", (X, VECTOR, VECTOR, -1), {}),
    ("batch_normalization", (X, shares(5), shares(5), 1, shares(5), shares(5), 0.1), {}),
    ("layer_normalization", (X, VECTOR, VECTOR), {}),
    ("layer_normalization", (X,), {"axis": (1, 3), "epsilon": 0.1}),
    ("layer_normalization", (X, floats(1, 5, 1, 1), floats(1, 5, 1, 1), 1), {}),
    ("rms_normalization", (X, VECTOR), {}),
    ("rms_normalization", (X, floats(2, 5, 7, 3), (1, 2)), {}),
    ("moments", (X, (0, 2)), {}),
    ("moments", (X, [1]), {"keepdims": True}),
    *(("normalize", (X, axis, order), {}) for axis in (-1, (1, 2)) for order in (1, 2)),
    ("normalize", (X * 0, 1, 3), {}),
    ("normalize", (X, -1, 4, 2.0), {}),
    ("psnr", (X, X + 0.1, 2.0), {}),
    *((name, (X, axis), {}) for name in ("softmax", "log_softmax") for axis in (None, (0, 2), (1,), 2)),
    *(
        (name, (target, OUTPUTS, logits), {})
        for name, target in (
            ("binary_crossentropy", TARGETS),
            ("categorical_crossentropy", TARGETS),
            ("sparse_categorical_crossentropy", LABELS),
            ("sparse_categorical_crossentropy", LABELS[:, 0]),
        )
        for logits in (False, True)
    ),
    ("categorical_crossentropy", (TARGETS, OUTPUTS, False, 0), {}),
    ("binary_crossentropy", (TARGETS, np.round(OUTPUTS)), {}),
    ("space_to_depth", (PIXELS, 2), {}),
    ("depth_to_space", (PIXELS, 2), {}),
    *(("unfold", (PIXELS,), span) for span in SPANS),
    *(("fold", (ops.unfold(PIXELS, **span), (6, 8)), span) for span in SPANS),
    *(("adaptive_average_pool", (X, size), {}) for size in (1, (2, 3), (5, 7))),
]  # fmt: skip


@pytest.mark.parametrize(("name", "operands", "options"), CALLS)
def test_it_is_keras(name: str, operands: tuple[Any, ...], options: dict[str, Any]) -> None:
    first, *rest = operands
    theirs = getattr(keras.ops, name)(keras.ops.convert_to_tensor(first), *rest, **options)
    ours = getattr(ops, name)(*operands, **options)
    pairs = zip(ours, theirs, strict=True) if isinstance(ours, tuple) else [(ours, theirs)]
    for found, expected in pairs:
        assert_close(found, keras.ops.convert_to_numpy(expected), what=name)


@pytest.mark.parametrize("size", [1, 2, 4, (3, 9), (5, 7)])
@pytest.mark.parametrize("kind", ["max", "average"])
def test_adaptive_pooling_is_pytorchs(kind: str, size: Any) -> None:
    """Keras on TensorFlow ends the whole process for some of these sizes."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(X.transpose(0, 3, 1, 2), requires_grad=True)
    own = getattr(torch.nn.functional, f"adaptive_{'avg' if kind == 'average' else kind}_pool2d")
    expected = own(x, size)
    weights = torch.tensor(floats(*expected.shape))
    (slope,) = torch.autograd.grad((expected * weights).sum(), x)
    found = getattr(ops, f"adaptive_{kind}_pool")(x, size, "channels_first")
    assert_close(found.detach().numpy(), expected.detach().numpy())
    (ours,) = torch.autograd.grad((found * weights).sum(), x)
    assert_close(ours.numpy(), slope.numpy())


def test_depth_with_channels_first_is_pytorchs() -> None:
    """And Keras's on JAX: on TensorFlow Keras has the channels in another order."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(PIXELS)
    apart = ops.space_to_depth(x.permute(0, 3, 1, 2), 2, "channels_first")
    assert torch.equal(apart, torch.nn.functional.pixel_unshuffle(x.permute(0, 3, 1, 2), 2))
    assert torch.equal(ops.depth_to_space(apart, 2, "channels_first"), x.permute(0, 3, 1, 2))


def test_infinities_stay_in_their_bins() -> None:
    x = np.array([1.0, np.inf, 2.0, 3.0, 4.0]).reshape(1, 5, 1)
    assert ops.adaptive_average_pool(x, 3).ravel().tolist() == [np.inf, np.inf, 3.5]
    assert np.isfinite(ops.unfold(x.reshape(1, 1, 5, 1), (2, 1))[0, :, 2:]).all()


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_keras(backend: str, causal: bool, masked: bool) -> None:
    query, key, value, bias = floats(2, 3, 4, 5), floats(2, 6, 4, 5), floats(2, 6, 4, 2), floats(1, 4, 1, 6)
    mask = RNG.random((2, 1, 3, 6)) > 0.5
    mask[0, 0, 1] = False
    given = (query, key, value, bias, mask if masked else None)
    native = get_backend(backend)
    ours = ops.dot_product_attention(*(a if a is None else native.array(a) for a in given), is_causal=causal)
    tensors = [a if a is None else keras.ops.convert_to_tensor(a) for a in given]
    theirs = keras.ops.dot_product_attention(*tensors, is_causal=causal)
    assert_close(native.numpy(ours), keras.ops.convert_to_numpy(theirs))


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_attention_in_halves(backend: str, dtype: str) -> None:
    """Large products do not overflow, also where all of a row is masked."""
    native, half = get_backend(backend), np.dtype(getattr(ml_dtypes, dtype, dtype))
    rng = np.random.default_rng(0)  # its own: what is rounded by 400 / 256 may be another row's maximum
    query, key, value = (rng.normal(size=shape) for shape in ((2, 3, 2, 4), (2, 5, 1, 4), (2, 5, 1, 3)))
    query, key = query * 20, key * 20
    mask = np.array([[True] * 5, [False] * 5, [True, False, True, False, False]])
    exact = ops.dot_product_attention(
        *(a.astype(half).astype("float64") for a in (query, key, value)), mask=mask
    )
    found = ops.dot_product_attention(
        *(native.array(a.astype(half)) for a in (query, key, value)), mask=native.array(mask)
    )
    assert_close(native.numpy(found), exact, dtype=dtype, bounds={dtype: 5e-2})


@pytest.mark.parametrize("backend", installed())
def test_ctc_loss_is_keras(backend: str) -> None:
    native, logits = get_backend(backend), floats(3, 6, 5)
    integers = ([[1, 2, 2], [3, 4, 0], [2, 0, 0]], [3, 2, 1], [6, 4, 2])
    target, labels, steps = (np.array(one, np.int32) for one in integers)
    theirs = keras.ops.ctc_loss(target, logits, labels, steps)
    ours = uf.jit(ops.ctc_loss)(*(native.array(one) for one in (target, logits, labels, steps)))
    assert_close(native.numpy(ours), keras.ops.convert_to_numpy(theirs))


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize("merge", [True, False])
def test_greedy_decoding(backend: str, merge: bool) -> None:
    """Of classes 0 (blank), 1, 1, 0, 2, 2, 1, the last of which does not count."""
    classes = np.array([[0, 1, 1, 0, 2, 2, 1], [1, 0, 1, 1, 2, 0, 0]])
    logits, native = np.eye(3, dtype="float32")[classes] * 2, get_backend(backend)
    labels, scores = ops.ctc_decode(
        native.array(logits), native.array(np.array([6, 5])), merge_repeated=merge
    )
    merged = [[1, 2, -1, -1, -1, -1, -1], [1, 1, 2, -1, -1, -1, -1]]
    plain = [[1, 1, 2, 2, -1, -1, -1], [1, 1, 1, 2, -1, -1, -1]]
    assert native.numpy(labels).tolist() == [merged if merge else plain]
    assert native.numpy(scores).tolist() == [[-12.0], [-10.0]]


@pytest.mark.parametrize("backend", installed())
def test_labels_that_do_not_fit_have_an_infinite_loss(backend: str) -> None:
    native = get_backend(backend)
    target, lengths, steps = (native.array(np.array(one, np.int32)) for one in ([[1, 1]], [2], [2]))
    loss = uf.jit(ops.ctc_loss)(target, native.array(floats(1, 2, 3)), lengths, steps)
    assert np.isinf(native.numpy(loss)).all()


def test_a_scale_of_its_own() -> None:
    query = floats(1, 3, 2, 4)
    expected = ops.dot_product_attention(query * 2, query, query, scale=0.25)
    assert_close(ops.dot_product_attention(query, query, query, scale=0.5), expected)


def test_free_sizes() -> None:
    x, heads = uf.Input((None, None, 4)), uf.Input((None, 4, 8))
    batch, height, width = x.shape[:3]
    assert ops.conv_transpose(x, np.zeros((3, 3, 2, 4)), 2, "same").shape == (batch, 2 * height, 2 * width, 2)
    assert ops.depth_to_space(x, 2).shape == (batch, 2 * height, 2 * width, 1)
    assert ops.softmax(x, (1, 2)).shape == x.shape
    assert [one.shape for one in ops.moments(x, (0, 1, 2))] == [(4,), (4,)]
    assert ops.dot_product_attention(heads, heads, heads, is_causal=True).shape == heads.shape


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: ops.space_to_depth(floats(1, 3, 4, 1), 2), ShapeError, "must be known, and multiples of the block_size 2"),
        (lambda: ops.depth_to_space(floats(1, 3, 4, 1), 2), ShapeError, "The 1 channels .* no multiple of the square"),
        (lambda: ops.depth_to_space(floats(1, 3, 4, 1), 1), ArgumentError, "must be at least 2"),
        (lambda: ops.unfold(floats(1, 3, 4), 2), ShapeError, "Input must be a 4D tensor"),
        (lambda: ops.unfold(floats(1, 1, 3, 4), 5), ShapeError, r"No window of \(5, 5\) fits into \(3, 4\)"),
        (lambda: ops.fold(floats(1, 4, 3), (3, 3), 2), ShapeError, r"is not \(batch, channels \* 4, 4\) for images of"),
        (lambda: ops.adaptive_max_pool(uf.Input((None, 3)), 2), ShapeError, "spatial sizes .* must be known"),
        (lambda: ops.adaptive_max_pool(floats(1, 4, 3), 0), ArgumentError, "output_size is a positive int or 1 of them"),
        (lambda: ops.normalize(X, order=0), ArgumentError, "`order` must be an int >= 1"),
        (lambda: ops.psnr(X, X[:1], 1), ShapeError, r"\(2, 5, 7, 3\) and \(1, 5, 7, 3\) must match"),
        (lambda: ops.batch_normalization(X, VECTOR, VECTOR[:2], -1), ShapeError, "`variance` must be a vector of length 3"),
        (lambda: ops.categorical_crossentropy(TARGETS, OUTPUTS[:2]), ShapeError, "must have the same shape"),
        (lambda: ops.sparse_categorical_crossentropy(LABELS, OUTPUTS[0]), ShapeError, "must have rank"),
        (lambda: ops.dot_product_attention(X, X, X[:, :3]), ShapeError, "are \\(batch, target, heads, size\\)"),
        (lambda: ops.dot_product_attention(X, X[:, :, :4], X[:, :, :4]), ShapeError, "7 heads .* do not share 4 heads"),
        (lambda: ops.dot_product_attention(X, X, X, floats(4)), ShapeError, r"The bias \(4,\) does not broadcast"),
        (lambda: ops.dot_product_attention(X[0], X, X), ShapeError, "only supports 4D inputs"),
        (lambda: ops.ctc_decode(X[0], LABELS[:2, 0], "beam"), ArgumentError, "strategy is 'greedy' or"),
        (lambda: ops.conv_transpose(X, floats(2, 2, 3, 4)), ShapeError, "has 3 channels; .* takes 4"),
        (lambda: ops.conv_transpose(X, floats(2, 2, 4, 3), padding="causal"), ArgumentError, "'valid' or 'same'"),
        (lambda: ops.conv_transpose(X, floats(2, 2, 4, 3), output_padding=-1), ArgumentError, "output_padding is an int"),
        (lambda: ops.conv_transpose(X, floats(2, 2, 4, 3), bias=VECTOR), ShapeError, "there are|has 4 output channels"),
    ],
)  # fmt: skip
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


@pytest.mark.parametrize("backend", installed())
def test_a_row_that_is_masked_whole_has_the_gradient_of_a_mean(backend: str) -> None:
    """PyTorch's kernel gave the values of such rows as many times the gradient as there are steps."""
    rng, native = np.random.default_rng(0), get_backend(backend)
    query, key, value, weights = (native.array(rng.normal(size=(1, 3, 2, 4))) for _ in range(4))
    mask = native.array(np.array([[True, False, True], [False] * 3, [True] * 3])[None, None])

    def loss(query: Any, key: Any, value: Any, only: Any) -> Any:
        found = ops.dot_product_attention(query, key, value, mask=mask)
        return ops.sum(found * weights * only)

    only = native.array(np.array([0.0, 1.0, 0.0]).reshape(1, 3, 1, 1))
    _, gradients = uf.value_and_grad(loss, wrt=(0, 1, 2))(query, key, value, only)
    found = [native.numpy(one) for one in gradients]
    assert not found[0].any()
    assert not found[1].any()
    expected = np.broadcast_to(native.numpy(weights)[:, 1:2] / 3, (1, 3, 2, 4))
    np.testing.assert_allclose(found[2], expected, rtol=1e-12)


@pytest.mark.parametrize("backend", installed())
@pytest.mark.parametrize("dtype", ["float16", ml_dtypes.bfloat16, "float32"])
def test_short_vectors_are_normalized_in_every_dtype(backend: str, dtype: Any) -> None:
    """The squares of the second are zeros in float16."""
    native = get_backend(backend)
    for function in (ops.normalize, lambda x: uf.layers.UnitNormalization(dtype=np.dtype(dtype).name)(x)):
        found = native.numpy(function(native.array(np.array([[0, 0], [3e-5, 4e-5], [3, 4]], dtype))))
        assert found.dtype == dtype
        np.testing.assert_allclose(found.astype("float32"), [[0, 0], [0.6, 0.8], [0.6, 0.8]], atol=5e-3)
