"""Broken ONNX files: bytes of good ones with some changed, and good ones with fields of their messages changed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor

from tests import onnx_score

GOOD = (
    "test_basic_conv_with_padding", "test_gemm_all_attributes", "test_lstm_with_initial_bias", "test_loop11",
    "test_scan9_sum", "test_if", "test_reshape_allowzero_reordered", "test_slice_neg_steps", "test_maxpool_2d_ceil",
    "test_resize_upsample_sizes_nearest", "test_quantizelinear_axis", "test_ai_onnx_ml_tree_ensemble_set_membership",
    "test_attention_4d", "test_sequence_map_add_2_sequences", "test_expand_dim_changed", "test_tile", "test_range_int32_type_negative_delta_expanded",
    "test_col2im_5d", "test_einsum_batch_matmul", "test_nonmaxsuppression_two_classes",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2, 7, 255, 2**31 - 1, -(2**31), 2**40, 2**62, -(2**63))
FLOATS = (0.0, -1.0, 1e30, float("nan"), float("inf"))


@cache
def good() -> tuple[Any, ...]:
    """Small models of many kinds, the values of whose inputs are initializers: so that all is computed at import."""
    models = []
    for case in onnx_score.cases("node", f"^({'|'.join(GOOD)})$"):
        model = onnx.ModelProto.FromString(case.model.SerializeToString())
        models.append(model)
        inputs = onnx.ModelProto.FromString(case.model.SerializeToString())
        for value, (given, _) in zip(
            inputs.graph.input, [(x, None) for x in case.data_sets[0][0]], strict=False
        ):
            if hasattr(given, "dtype"):
                inputs.graph.initializer.append(onnx.numpy_helper.from_array(given, value.name))
        models.append(inputs)
    return tuple(models)


def mutated(rng: random.Random) -> bytes:
    """A broken file, or one that is good by luck."""
    model = rng.choice(good())
    return rng.choice((_bytes, _fields, _fields))(rng, model)


def _bytes(rng: random.Random, model: Any) -> bytes:
    content = bytearray(model.SerializeToString())
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(content) + 1)
        match rng.randrange(4):
            case 0:
                del content[place:]
            case 1:
                del content[place : place + rng.choice((1, 4, 50))]
            case 2:
                content[place:place] = content[rng.randrange(len(content) + 1) :][: rng.choice((1, 4, 50))]
            case _:
                content[place : place + 1] = bytes([rng.randrange(256)])
        if not content:
            break
    return bytes(content)


def _fields(rng: random.Random, model: Any) -> bytes:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for _ in range(rng.choice((1, 1, 2, 4))):
        message, field = rng.choice(list(_places(changed)))
        _change(rng, message, field)
    return changed.SerializeToString()


def _places(message: Any) -> Iterator[tuple[Any, Any]]:
    for field, value in message.ListFields():
        yield message, field
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for one in value if _is_repeated(value) else [value]:
                yield from _places(one)


def _is_repeated(value: Any) -> bool:
    return hasattr(value, "append") or hasattr(value, "extend")


def _change(rng: random.Random, message: Any, field: Any) -> None:
    value = getattr(message, field.name)
    values: dict[int, Callable[[], Any]] = {
        FieldDescriptor.TYPE_INT64: lambda: rng.choice(NUMBERS),
        FieldDescriptor.TYPE_INT32: lambda: rng.choice([n for n in NUMBERS if -(2**31) <= n < 2**31]),
        FieldDescriptor.TYPE_FLOAT: lambda: rng.choice(FLOATS),
        FieldDescriptor.TYPE_STRING: lambda: rng.choice(
            ("", "x", "y", "Relu", "Add", "Reshape", "Loop", "a/b", "é" * 9)
        ),
        FieldDescriptor.TYPE_BYTES: lambda: rng.choice((b"", b"\0", b"SAME_UPPER", bytes(rng.randrange(64)))),
    }
    make = values.get(field.type)
    if make is None or rng.random() < 0.2:
        if _is_repeated(value) and len(value) and rng.random() < 0.7:
            del value[rng.randrange(len(value))]
        else:
            message.ClearField(field.name)
    elif _is_repeated(value):
        if len(value) and rng.random() < 0.7:
            value[rng.randrange(len(value))] = make()
        else:
            value.append(make())
    else:
        setattr(message, field.name, make())
