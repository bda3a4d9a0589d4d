"""Models written with integers: how near they are, how small, and what is refused."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import unifront as uf
from tests.onnx.runtimes import runtime
from unifront import layers
from unifront.errors import ArgumentError
from unifront.onnx.quantize import MODES, in_blocks, packed, per_output
from unifront.testing import assert_close

CPU = Path("/proc/cpuinfo")
EXACT = not CPU.exists() or "vnni" in CPU.read_text(encoding="utf-8")
IN_RUNTIME = [
    pytest.param(
        mode,
        marks=pytest.mark.skipif(
            mode in ("static", "dynamic") and not EXACT,
            reason="without VNNI sums of products of 8 bits saturate in ONNX Runtime (onnxruntime.ai, reduce_range)",
        ),
    )
    for mode in MODES
]


@cache
def digits() -> tuple[uf.Model, np.ndarray, np.ndarray, np.ndarray]:
    """A trained classifier of scikit-learn's digits, the images it was trained on, and others with their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = (data.images[..., None] / 16).astype("float32")
    y = data.target
    uf.set_seed(0)
    image = uf.Input((8, 8, 1), name="image")
    z = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv")(image)
    z = layers.Conv2D(16, 3, activation="relu", name="conv2")(layers.MaxPooling2D()(z))
    z = layers.Dense(64, activation="relu", name="hidden")(layers.Flatten()(z))
    model = uf.Model(image, layers.Dense(10, name="head")(z), name="digits")
    model.compile("adam", loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x[:1400], y[:1400], epochs=6, verbose=0, backend="torch")
    return model, x[:1400], x[1400:], y[1400:]


def written(folder: Path, mode: str, **options: Any) -> Any:
    model, train, _, _ = digits()
    calibration = {"calibration": train[:200]} if mode == "static" else {}
    model.export(folder / f"{mode}.onnx", quantize=mode, **calibration, **options)
    return onnx.load(folder / f"{mode}.onnx")


@pytest.mark.parametrize("mode", IN_RUNTIME)
def test_digits_are_known_as_well_as_with_floats(mode: str, tmp_path: Path) -> None:
    model, _, x, y = digits()
    exact = model.predict(x, backend="numpy")
    proto = written(tmp_path, mode)
    onnx.checker.check_model(proto, full_check=True)
    (found,) = runtime(proto, [x])
    accuracy, least = np.mean(found.argmax(1) == y), np.mean(exact.argmax(1) == y)
    assert accuracy > least - (0.03 if mode == "weight_int4" else 0.01)
    far = np.abs(found - exact).max() / np.abs(exact).max()
    assert 0 < far < (0.3 if mode == "weight_int4" else 0.06)  # 0: nothing would be quantized


@pytest.mark.parametrize("mode", IN_RUNTIME)
def test_quantized_models_come_back(mode: str, tmp_path: Path) -> None:
    """They compute what ONNX Runtime does of the file as it is, without what it fuses (and then rounds otherwise)."""
    _, _, x, _ = digits()
    proto = written(tmp_path, mode)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (theirs,) = session.run(None, {"image": x[:20]})
    ours = uf.from_onnx(proto).predict(x[:20], backend="numpy")
    off = np.abs(ours - theirs) / np.abs(theirs).max()
    if mode.startswith("weight"):
        assert off.max() < 1e-5
    else:  # one number that rounds the other way moves a logit by a step of its product
        assert off.max() < 0.02
        assert np.mean(off < 1e-4) > 0.7


def test_the_forms_are_those_that_onnx_runtime_knows(tmp_path: Path) -> None:
    kinds = {mode: [node.op_type for node in written(tmp_path, mode).graph.node] for mode in MODES}
    assert kinds["static"].count("QuantizeLinear") == 4
    assert kinds["static"].count("DequantizeLinear") == 4 + 4 + 4  # inputs, weights, biases
    assert kinds["dynamic"].count("MatMulInteger") == 2
    assert kinds["weight_int8"].count("DequantizeLinear") == 4
    assert kinds["weight_int4"].count("DequantizeLinear") == 4


def test_files_are_smaller(tmp_path: Path) -> None:
    digits()[0].export(tmp_path / "floats.onnx")
    floats = (tmp_path / "floats.onnx").stat().st_size
    for mode, share in (("static", 0.45), ("dynamic", 0.45), ("weight_int8", 0.4), ("weight_int4", 0.35)):
        written(tmp_path, mode)
        assert (tmp_path / f"{mode}.onnx").stat().st_size < share * floats


@pytest.mark.parametrize("shape", [(3, 5), (4, 3, 2, 2), (1, 1)])
def test_weights_are_nearest_numbers_for_each_output(shape: tuple[int, ...]) -> None:
    weight = np.random.default_rng(0).normal(size=shape).astype("float32")
    weight[0] = 0
    whole, scale = per_output(weight, 0)
    back = whole * scale.reshape(-1, *(1,) * (len(shape) - 1))
    assert np.abs(back - weight).max() <= scale.max() / 2 * 1.001
    assert np.abs(whole).max() == (127 if shape[0] > 1 else 0)


def test_blocks_of_four_bits_are_those_of_onnx(tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(size=(70, 3)).astype("float32")
    whole, scale = in_blocks(weight)
    assert scale.shape == (3, 3)
    assert np.abs(np.repeat(scale, 32, 0)[:70] * whole - weight).max() <= scale.max() / 2 * 1.001
    import ml_dtypes

    theirs = onnx.numpy_helper.from_array(whole.astype(ml_dtypes.int4)).raw_data
    assert packed(whole).tobytes() == theirs


def test_a_weight_that_two_layers_read_is_written_once(tmp_path: Path) -> None:
    a, b = uf.Input((4,), name="a"), uf.Input((4,), name="b")
    shared = layers.Dense(3, name="shared")
    model = uf.Model([a, b], [shared(a), shared(b)], name="twins")
    x = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")
    model.export(tmp_path / "twins.onnx", quantize="static", calibration={"b": x, "a": 3 * x})
    names = [one.name for one in onnx.load(tmp_path / "twins.onnx").graph.initializer]
    assert len([name for name in names if name.startswith("shared/kernel_int8")]) == 1
    assert "shared/kernel" not in names


def test_functions_and_quantization_go_together(tmp_path: Path) -> None:
    _, _, x, _ = digits()
    plain, both = written(tmp_path, "weight_int8"), written(tmp_path, "weight_int8", functions=True)
    assert both.functions
    assert_close(runtime(both, [x[:4]])[0], runtime(plain, [x[:4]])[0])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"quantize": "int9"}, "quantize is one of 'static', 'dynamic', .* not 'int9'"),
        ({"quantize": "static"}, "give calibration=x"),
        ({"calibration": np.ones((2, 4))}, "calibration data is for quantize='static'"),
        ({"quantize": "dynamic", "calibration": np.ones((2, 4))}, "is for quantize='static', not 'dynamic'"),
        ({"quantize": "weight_int4", "opset": 20}, "from opset 21 on, not 20"),
        ({"quantize": "static", "calibration": np.ones((2, 4, 1))}, r"is \(2, 4, 1\)"),
        ({"quantize": "static", "calibration": np.ones((0, 4))}, "at least one"),
        ({"quantize": "static", "calibration": {"y": np.ones((2, 4))}}, r"\['y'\]; the inputs are \['x'\]"),
        ({"quantize": "dynamic", "dtype": "float16"}, "no product with a weight in float32"),
    ],
)
def test_what_does_not_go_together_is_refused(options: Any, match: str, tmp_path: Path) -> None:
    x = uf.Input((4,), name="x")
    model = uf.Model(x, layers.Dense(2)(x))
    with pytest.raises(ArgumentError, match=match):
        model.export(tmp_path / "small.onnx", **options)
    assert not list(tmp_path.iterdir())
