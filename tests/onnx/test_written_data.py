"""Data written array by array make the file that ONNX's own writer makes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
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


LARGE = """
    import re
    from pathlib import Path
    import numpy as np, onnx, onnxruntime
    import unifront as uf
    from unifront import layers

    def memory(what):  # in copies of the large weight
        return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024 / size

    def watched(work):
        Path("/proc/self/clear_refs").write_text("5")
        start = memory("VmRSS")
        found = work()
        print(memory("VmHWM") - start)
        return found

    def model_of():
        x = uf.Input((1024,), name="x")
        return uf.Model(x, layers.Dense(1)(layers.Dense(2**19 + 2**14, use_bias=False)(x)))

    model = model_of()
    large, head, bias = model.weights
    size = 4 * large.shape[0] * large.shape[1]
    assert size > 2**31
    pattern = np.random.default_rng(0).normal(size=1009).astype("float32")
    large.assign(np.resize(pattern, large.shape), copy=False)
    uf.Model(model.inputs, layers.Dense(1)(model.inputs[0])).export("small.onnx")  # what is loaded for it
    watched(lambda: model.export("m.onnx"))

    graph = onnx.load("m.onnx", load_external_data=False).graph
    assert [one.name for one in graph.initializer if one.external_data] == [large.path, head.path]
    x = np.random.default_rng(1).normal(size=(2, 1024)).astype("float32")
    wanted = (x @ large.numpy()) @ head.numpy() + bias.numpy()
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
    del session
    again = watched(lambda: uf.from_onnx("m.onnx"))
    found, wanted = again.weights[0].numpy(), large.numpy()
    for row in range(len(wanted)):  # the comparison takes copies of what it is given
        np.testing.assert_array_equal(found[row], wanted[row])
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is asked of Linux")
def test_more_than_protocol_buffers_hold(tmp_path: Path) -> None:
    """2.06 GiB of weights go to a second file, which ONNX Runtime and import read, without many copies of them."""
    pytest.importorskip("onnxruntime")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LARGE)], cwd=tmp_path, env=dict(os.environ),
        capture_output=True, text=True, check=False, timeout=1700,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    written, read = map(float, done.stdout.split())
    assert written < 1.25  # one copy, of the values as they are now; the file is streamed
    assert read < 3.25  # the model among them
