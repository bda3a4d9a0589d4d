"""Data written array by array make the file that ONNX's own writer makes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.models import MODELS
from unifront.onnx.data import _GRAPH, _INITIALIZER, _RAW_DATA, _varint
from unifront.onnx.export import convert


def test_the_numbers_of_fields_are_onnx_own() -> None:
    fields = (
        (onnx.ModelProto, "graph", _GRAPH),
        (onnx.GraphProto, "initializer", _INITIALIZER),
        (onnx.TensorProto, "raw_data", _RAW_DATA),
    )
    for message, name, number in fields:
        assert message.DESCRIPTOR.fields_by_name[name].number == number
    assert [_varint(n) for n in (0, 127, 128, 300, 2**31)] == [
        b"\x00",
        b"\x7f",
        b"\x80\x01",
        b"\xac\x02",
        b"\x80\x80\x80\x80\x08",
    ]


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("name", ["cnn", "masked"])
def test_the_file_read_by_onnx_is_the_model(name: str, external: bool, tmp_path: Path) -> None:
    model, _ = MODELS[name]("float32")
    expected, _ = convert(model.trace(False))
    model.export(tmp_path / "m.onnx", external_data=external)
    read = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(str(tmp_path / "m.onnx"), full_check=True)
    for proto, own in zip(read.graph.initializer, expected.graph.initializer, strict=True):
        assert proto.name == own.name
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(proto), onnx.numpy_helper.to_array(own))
    if not external:
        assert read == expected
