"""Convolutions: types, errors, and the reference against Keras."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import ops, testing
from unifront.backends import get_backend, installed
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.dims import symbol
from unifront.ir.types import TensorType
from unifront.opset import OPS
from unifront.opset.tensor import Builder, Tensor
from unifront.reference import row_of

BATCH, TIME = symbol("batch"), symbol("time")


def tensor(*shape: Any, dtype: str = "float32") -> Tensor:
    return Builder().input("x", TensorType(dtype_of(dtype), shape))


def conv(x: Tensor, *kernel: int, **arguments: Any) -> Any:
    return ops.conv(x, np.zeros(kernel, x.dtype.name), **arguments)


@pytest.mark.parametrize(
    ("arguments", "length"),
    [
        ({}, "time-2"),
        ({"padding": "same"}, "time"),
        ({"padding": "same", "strides": 2}, "(time+1)//2"),
        ({"padding": "causal", "dilation_rate": 4}, "time"),
        ({"strides": 2}, "(time+-3)//2+1"),
        ({"padding": [(1, 2)]}, "time+1"),
    ],
)
def test_a_free_length(arguments: dict[str, Any], length: str) -> None:
    from unifront.ir.dims import parse_dim

    result = conv(tensor(BATCH, TIME, 4), 3, 4, 8, **arguments)
    assert result.shape == (BATCH, parse_dim(length), 8)


def test_same_becomes_pairs_where_the_size_is_known() -> None:
    def padding(x: Tensor, **arguments: Any) -> Any:
        return conv(x, 3, 3, 4, 8, padding="same", **arguments).builder.nodes[-1].attributes["padding"]

    assert padding(tensor(BATCH, 6, 7, 4), strides=2) == ((0, 1), (1, 1))
    assert padding(tensor(BATCH, TIME, 7, 4)) == ((1, 1), (1, 1))
    assert padding(tensor(BATCH, TIME, 7, 4), strides=2) == "same"


def test_channels_first_and_a_depthwise_multiplier() -> None:
    x = tensor(BATCH, 4, 6, 5)
    assert conv(x, 3, 3, 4, 8, data_format="channels_first").shape == (BATCH, 8, 4, 3)
    kernel = np.zeros((3, 3, 4, 2), "float32")
    assert ops.depthwise_conv(x, kernel, data_format="channels_first").shape == (BATCH, 8, 4, 3)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: conv(tensor(2, 8, 5), 3, 4, 8),
            ShapeError,
            r"\(2, 8, 5\) \(channels_last\) has 5 channels; .* takes 4\.",
        ),
        (lambda: conv(tensor(2, 8, 6), 3, 2, 8, groups=4), ShapeError, "takes 2 in each of 4 groups"),
        (
            lambda: conv(tensor(2, 8, 6), 3, 2, 8, groups=3),
            ShapeError,
            "8 output channels cannot be shared by 3 groups",
        ),
        (
            lambda: conv(tensor(2, 2, 5), 3, 5, 8),
            ShapeError,
            r"window of 3 does not fit into an axis of 2 padded by \(0, 0\)",
        ),
        (lambda: conv(tensor(2, 5), 3, 5, 8), ShapeError, r"1 to 3 spatial axes; \(2, 5\) was given"),
        (lambda: conv(tensor(2, 8, 8, 5), 3, 5, 8), ShapeError, "the kernel has the shape .* 4 dimensions"),
        (
            lambda: conv(tensor(2, 8, 5), 3, 5, 8, padding="full"),
            ArgumentError,
            "'same', 'causal' or 1 pairs .* not 'full'",
        ),
        (
            lambda: conv(tensor(2, 8, 8, 5), 3, 3, 5, 8, padding="causal"),
            ArgumentError,
            "one spatial axis; there are 2",
        ),
        (
            lambda: conv(tensor(2, 8, 5), 3, 5, 8, strides=0),
            ArgumentError,
            "strides is a positive int or 1 of them, not 0",
        ),
        (lambda: conv(tensor(2, 8, 5), 3, 5, 8, data_format="NHWC"), ArgumentError, "not 'NHWC'"),
        (
            lambda: ops.conv(tensor(2, 8, 5), np.zeros((3, 5, 8)), bias=np.zeros(7)),
            ShapeError,
            r"bias has the shape \(7,\); .* 8 output",
        ),
        (
            lambda: ops.depthwise_conv(tensor(2, 8, 5), np.zeros((3, 4, 1))),
            ShapeError,
            "has 5 channels; the depthwise .* takes 4",
        ),
        (
            lambda: OPS["conv"].infer(*(tensor(2, 8, 5, dtype="int32").type,) * 2, None, **_PLAIN),
            DTypeError,
            "a float is needed",
        ),
    ],
)
def test_errors(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()


_PLAIN = {
    "strides": (1,),
    "padding": ((0, 0),),
    "dilation": (1,),
    "groups": 1,
    "data_format": "channels_last",
}


@pytest.mark.parametrize(
    ("x", "kernel", "arguments"),
    [
        ((2, 7, 6, 4), (3, 2, 4, 5), {"padding": "same"}),
        ((2, 8, 8, 4), (3, 3, 4, 5), {"padding": "same", "strides": 2}),
        ((2, 9, 8, 4), (3, 2, 2, 6), {"groups": 2}),
        ((2, 9, 9, 3), (2, 3, 3, 4), {"dilation_rate": (2, 1), "padding": "valid"}),
        ((2, 11, 3), (4, 3, 5), {"padding": "same", "strides": 3}),
        ((1, 5, 6, 4, 2), (2, 3, 2, 2, 3), {"padding": "same", "strides": 2}),
    ],
)
def test_reference_is_keras(x: Any, kernel: Any, arguments: dict[str, Any]) -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=x), rng.normal(size=kernel)
    renamed = {k: v for k, v in arguments.items() if k != "groups"}
    expected = keras.ops.convert_to_numpy(keras.ops.conv(a, b, data_format="channels_last", **renamed))
    testing.assert_close(
        ops.conv(a, b, **arguments), expected, bounds={"float64": 1e-6}
    )  # Keras may use float32


def test_depthwise_reference_is_keras() -> None:
    keras = pytest.importorskip("keras")
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, 8, 7, 3)), rng.normal(size=(3, 2, 3, 2))
    expected = keras.ops.depthwise_conv(a, b, strides=2, padding="same", data_format="channels_last")
    found = ops.depthwise_conv(a, b, strides=2, padding="same")
    testing.assert_close(found, keras.ops.convert_to_numpy(expected), bounds={"float64": 1e-6})


def test_depthwise_decomposition() -> None:
    for case in testing.cases():
        if case.spec.name == "depthwise_conv":
            sample = case.sample
            found = case.spec.decomposition(*sample.operands, **sample.attributes)  # type: ignore[misc]
            testing.assert_close(found, row_of(case.spec)(*sample.operands, **sample.attributes))


@pytest.mark.parametrize("name", [n for n in installed() if n != "tensorflow"])
def test_an_empty_batch(name: str) -> None:
    """TensorFlow's oneDNN kernels give a wrong shape here."""
    native = get_backend(name)
    found = ops.conv(
        native.array(np.zeros((0, 5, 5, 2), "float32")), np.zeros((3, 3, 2, 4), "float32"), padding="same"
    )
    assert native.numpy(found).shape == (0, 5, 5, 4)


@pytest.mark.parametrize("shape", [(3, 4, 5), (3, 2, 4, 5), (1, 1, 4, 5), (2, 3, 2, 4, 5)])
@pytest.mark.parametrize("op", ["conv", "depthwise_conv"])
def test_storage_is_reversible(op: str, shape: tuple[int, ...]) -> None:
    kernel = np.random.default_rng(0).normal(size=shape)
    for name in installed():
        native = get_backend(name)
        storage = native.rows().storage.get((OPS[op], 1))
        if storage is not None:
            back = storage.from_native(storage.to_native(native.array(kernel)))
            assert np.array_equal(native.numpy(back), kernel)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_torch_copies_no_activation(rank: int) -> None:
    """A channels-last network runs forward and backward; the layout of nothing but kernels changes."""
    torch = pytest.importorskip("torch")
    from torch.profiler import ProfilerActivity, profile

    native = get_backend("torch")
    builder = Builder()
    x = builder.input("x", TensorType(dtype_of("float32"), (4, *(8,) * rank, 8)))
    kernels = [
        builder.input(f"k{i}", TensorType(dtype_of("float32"), (*(3,) * rank, 8, 8))) for i in range(2)
    ]
    hidden = ops.max_pool(ops.relu(ops.conv(x, kernels[0], padding="same")), 2)
    hidden, _, _ = ops.batch_norm_training(hidden)
    result = ops.relu(ops.conv(hidden, kernels[1], padding="same"))
    program = native.value_and_grad(builder.graph([ops.sum(ops.multiply(result, result))]), ["x", "k0", "k1"])
    arrays = [native.array(np.random.default_rng(0).normal(size=v.type.shape).astype("float32"), "cpu")
              for v in (x, *kernels)]  # fmt: skip
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as found:
        program(arrays, [])
    activation = 4 * 4**rank * 8  # the smallest one
    copied = [e for e in found.events() if e.name in ("aten::copy_", "aten::clone", "aten::contiguous")]
    large = [e for e in copied if e.input_shapes and e.input_shapes[0] and e.input_shapes[0][0] == 4
             and np.prod(e.input_shapes[0]) >= activation]  # fmt: skip
    assert torch.is_tensor(arrays[0])
    assert not large, [(e.name, e.input_shapes[0]) for e in large]
