"""Models read from ONNX: what they compute, their weights and layers, what they say of broken files."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import unifront as uf
from tests import onnx_score
from tests.onnx.runtimes import runtime
from unifront import layers
from unifront.backends import installed
from unifront.errors import ArgumentError, FileFormatError, ShapeError, UnsupportedOp
from unifront.onnx import backend as backends
from unifront.testing import assert_close

FRAMEWORKS = [name for name in ("torch", "jax", "tensorflow") if name in installed()]


def model_of(
    nodes: list[Any],
    inputs: dict[str, Any],
    outputs: tuple[str, ...] = ("y",),
    weights: Any = None,
    opset: int = 21,
) -> Any:
    """A model of float inputs of these shapes."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def classifier() -> uf.Model:
    image = uf.Input((8, 8, 1), name="image")
    x = layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    return uf.Model(image, layers.Dense(3, name="head")(layers.Flatten(name="flat")(x)), name="digits")


def recurrent() -> uf.Model:
    words = uf.Input((None,), dtype="int32", name="words")
    x = layers.Embedding(11, 6)(words)
    x = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    return uf.Model(words, layers.Dense(2)(layers.GRU(4)(x)), name="words")


CASES = {
    "classifier": (classifier, lambda rng: rng.normal(size=(5, 8, 8, 1)).astype("float32")),
    "recurrent": (recurrent, lambda rng: rng.integers(0, 11, (3, 7)).astype("int32")),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_exported_comes_back(case: str, tmp_path: Path) -> None:
    make, draw = CASES[case]
    model, x = make(), draw(np.random.default_rng(0))
    model.export(tmp_path / "first.onnx")
    loaded = uf.from_onnx(tmp_path / "first.onnx")
    for name in ("numpy", *FRAMEWORKS):
        assert_close(loaded.predict(x, backend=name), model.predict(x, backend="numpy"))


@pytest.mark.parametrize("case", CASES)
def test_what_comes_back_is_exported_and_comes_back_equal(case: str, tmp_path: Path) -> None:
    CASES[case][0]().export(tmp_path / "first.onnx")
    loaded = uf.from_onnx(tmp_path / "first.onnx")
    loaded.export(tmp_path / "second.onnx")
    again = uf.from_onnx(tmp_path / "second.onnx")
    assert str(again.trace(False).graph) == str(loaded.trace(False).graph)


def test_layers_and_weights_keep_their_names(tmp_path: Path) -> None:
    model = classifier()
    model.export(tmp_path / "m.onnx")
    loaded = uf.from_onnx(tmp_path / "m.onnx")
    assert [layer.name for layer in loaded.layers] == ["image", "conv", "norm", "pool", "flat", "head"]
    assert_close(loaded.variables_by_path["conv/kernel"].numpy(), model.get_layer("conv").kernel.numpy())
    trainable = {path for path, weight in loaded.variables_by_path.items() if weight.trainable}
    assert trainable == {
        "conv/kernel", "conv/bias", "norm/gamma", "norm/beta", "head/kernel", "head/bias",
    }  # fmt: skip
    assert not any(path.startswith("norm/moving") for path in trainable)


def test_an_imported_model_trains_alike_on_every_backend(tmp_path: Path) -> None:
    classifier().export(tmp_path / "m.onnx")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 8, 8, 1)).astype("float32"), np.array([0, 1, 2, 0, 1, 2])
    losses = {}
    for name in FRAMEWORKS:
        loaded = uf.from_onnx(tmp_path / "m.onnx")
        loaded.compile("sgd", loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = loaded.fit(x, y, batch_size=6, epochs=2, verbose=0, backend=name).history["loss"]
        losses[name] = np.asarray(history, "float32")
    first = losses[FRAMEWORKS[0]]
    assert first[1] < first[0]
    for found in losses.values():
        assert_close(found, first)


def test_masks_and_numbers_in_formulas_are_no_weights() -> None:
    arrays = {
        "mask": np.where(np.tri(3), 0, np.finfo("float32").min), "infinite": np.full((3, 3), -np.inf),
        "epsilon": np.array([1e-5]), "table": np.ones((3, 3)),
    }  # fmt: skip
    weights = {name: array.astype("float32") for name, array in arrays.items()}
    steps = ["x", *weights]
    nodes = [
        helper.make_node("Add", [before if before == "x" else f"{before}_added", name], [f"{name}_added"])
        for before, name in pairwise(steps)
    ]
    loaded = uf.from_onnx(model_of(nodes, {"x": ["n", 3, 3]}, outputs=("table_added",), weights=weights))
    assert [path.rpartition("/")[2] for path in loaded.variables_by_path] == ["table"]


def test_shape_arithmetic_is_folded_with_free_sizes() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["batch"], axis=0),
        helper.make_node("Gather", ["s", "one"], ["time"], axis=0),
        helper.make_node("Mul", ["time", "six"], ["flat"]),
        helper.make_node("Unsqueeze", ["batch", "front"], ["b1"]),
        helper.make_node("Unsqueeze", ["flat", "front"], ["f1"]),
        helper.make_node("Concat", ["b1", "f1"], ["shape"], axis=0),
        helper.make_node("Reshape", ["x", "shape"], ["y"]),
    ]
    numbers = {"zero": 0, "one": 1, "six": 6, "front": [0]}
    weights = {name: np.asarray(value, np.int64) for name, value in numbers.items()}
    loaded = uf.from_onnx(model_of(nodes, {"x": ["batch", "time", 2, 3]}, weights=weights))
    assert [node.op.name for node in loaded.trace(False).graph.nodes] == ["reshape"]
    x = np.random.default_rng(0).normal(size=(2, 5, 2, 3)).astype("float32")
    for name in ("numpy", *FRAMEWORKS):
        assert_close(loaded.predict(x, backend=name), x.reshape(2, 30))


def test_an_output_that_has_no_row_for_each_example_takes_one_batch() -> None:
    """A vector's features are a matrix of one row, in ONNX's reference and in ONNX Runtime."""
    classes = numpy_helper.from_array(np.array([10, 20, 30]), "classes")
    nodes = [
        helper.make_node("ArgMax", ["x"], ["place"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "place"], ["label"], domain="ai.onnx.ml"),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3))],
        [helper.make_tensor_value_info("label", TensorProto.INT64, (1, "n"))], [classes],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    proto = helper.make_model(graph, opset_imports=imports, ir_version=8)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    model = uf.from_onnx(proto)
    np.testing.assert_array_equal(model.predict(x, batch_size=5, backend="numpy"), runtime(proto, [x])[0])
    with pytest.raises(
        ShapeError, match=r"predict: an output has the shape \(1, 4\) for one batch and \(1, 1\)"
    ):
        model.predict(x, batch_size=4, backend="numpy")


@pytest.mark.parametrize("scale", [1.8, 0.6, 2.2])
def test_sizes_are_scaled_in_float32_as_by_runtimes(scale: float) -> None:
    """5 times the float32 next to 1.8 is less than 9, and 9 when it is rounded to float32."""
    scales = np.array([1, 1, scale, scale], "float32")
    nodes = [helper.make_node("Resize", ["x", "", "scales"], ["y"], mode="linear")]
    proto = model_of(nodes, {"x": ["n", 1, 5, 10]}, weights={"scales": scales})
    x = np.random.default_rng(0).normal(size=(1, 1, 5, 10)).astype("float32")
    assert_close(uf.from_onnx(proto).predict(x, backend="numpy"), runtime(proto, [x])[0])


def test_an_input_that_decides_the_graph_is_asked_for() -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)]
    graph = model_of(nodes, {"x": [2, 3], "axes": [1]})
    graph.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    with pytest.raises(
        ArgumentError, match=r"'y' \('ReduceSum'\): the operand 1 decides .* comes from 'axes'.*inputs="
    ):
        uf.from_onnx(graph)
    loaded = uf.from_onnx(graph, inputs={"axes": np.array([1])})
    assert_close(loaded.predict(np.ones((2, 3), "float32"), backend="numpy"), np.full(2, 3, "float32"))


BROKEN: dict[str, tuple[Any, type[Exception], str]] = {
    "unknown operator": (
        lambda: model_of([helper.make_node("Frobnicate", ["x"], ["y"], name="a/b")], {"x": [2]}),
        UnsupportedOp, r"'a/b' \('Frobnicate'\): unifront does not import the operator 'ai\.onnx::Frobnicate'",
    ),
    "unknown domain": (
        lambda: model_of([helper.make_node("Relu", ["x"], ["y"], domain="acme")], {"x": [2]}),
        FileFormatError, "no version of the operator set 'acme' is imported",
    ),
    "cycle": (
        lambda: model_of([helper.make_node("Add", ["x", "z"], ["y"]), helper.make_node("Relu", ["y"], ["z"])], {"x": [2]}),
        FileFormatError, r"'y' \('Add'\): it reads 'z', which is no input",
    ),
    "made twice": (
        lambda: model_of([helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])], {"x": [2]}),
        FileFormatError, "the name 'y' is made a second time",
    ),
    "no output": (lambda: model_of([], {"x": [2]}), FileFormatError, "the output 'y' is made by no node"),
    "attribute": (
        lambda: model_of([helper.make_node("Relu", ["x"], ["y"], beta=1.0)], {"x": [2]}),
        FileFormatError, "attribute 'beta', which the operator has not",
    ),
    "operands": (
        lambda: model_of([helper.make_node("Add", ["x"], ["y"])], {"x": [2]}),
        FileFormatError, "it has 1 operands; the operator takes 2 to 2",
    ),
    "shapes": (
        lambda: model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3]}, weights={"w": np.ones((2, 4), "float32")}),
        ValueError, "MatMul",
    ),
    "newer": (
        lambda: model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": [2]}, opset=999),
        FileFormatError, "written for version 999 of the operator set 'ai.onnx'",
    ),
    "absurd": (
        lambda: model_of([helper.make_node("Expand", ["x", "s"], ["y"])], {"x": [1]}, weights={"s": np.array([2**50])}),
        ValueError, "no axis is longer than",
    ),
    "large": (
        lambda: model_of([helper.make_node("Expand", ["x", "s"], ["y"])], {"x": [1]}, weights={"s": np.array([2**20] * 3)}),
        FileFormatError, "too large to be meant",
    ),
    "text": (lambda: b"not a model at all", FileFormatError, "is no ONNX model, or a broken one"),
    "empty": (lambda: b"", FileFormatError, "it has no graph"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_broken_models_say_what_is_wrong(case: str) -> None:
    make, error, text = BROKEN[case]
    with pytest.raises(error, match=text):
        uf.from_onnx(make())


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    classifier().export(tmp_path / "m.onnx")
    content = (tmp_path / "m.onnx").read_bytes()
    for length in range(1, len(content), len(content) // 40):
        with pytest.raises((FileFormatError, UnsupportedOp)):
            uf.from_onnx(content[:length])


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("../secret", "leaves the model's folder"), ("/etc/passwd", "is no file beside the model"),
        ("link", "is a link"), ("short", "has no 16 bytes"), ("missing", "cannot be read"), ("", "is no file beside"),
    ],
)  # fmt: skip
def test_external_data_stays_in_the_folder(location: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "short").write_bytes(bytes(8))
    (folder / "link").symlink_to(tmp_path / "secret")
    model = model_of(
        [helper.make_node("Add", ["x", "w"], ["y"])], {"x": [4]}, weights={"w": np.ones(4, "float32")}
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match=text):
        uf.from_onnx(folder / "m.onnx")


def test_functions_that_call_each_other_many_times_are_refused() -> None:
    """A bomb: each function calls the next one twice, forty deep."""
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    functions = [
        helper.make_function(
            "own", f"f{i}", ["a"], ["c"],
            [helper.make_node(f"f{i + 1}", ["a"], ["b"], domain="own"), helper.make_node(f"f{i + 1}", ["b"], ["c"], domain="own")],
            imports,
        )
        for i in range(30)
    ]  # fmt: skip
    functions.append(
        helper.make_function("own", "f30", ["a"], ["c"], [helper.make_node("Relu", ["a"], ["c"])], imports)
    )
    model = model_of([helper.make_node("f0", ["x"], ["y"], domain="own")], {"x": [2]})
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.extend(functions)
    with pytest.raises(FileFormatError, match="come to more than 10000 nodes"):
        uf.from_onnx(model)


# ---------------------------------------------------------------- ONNX's own tests


@pytest.mark.parametrize("kind", onnx_score.KINDS)
@pytest.mark.parametrize(
    "name",
    [
        "numpy",
        *(pytest.param(name, marks=[pytest.mark.slow, pytest.mark.timeout(3600)]) for name in FRAMEWORKS),
    ],
)
def test_onnx_own_tests_fail_only_where_a_reason_is_given(name: str, kind: str) -> None:
    known = onnx_score.reasons()[name]
    failing = {case.name for case in onnx_score.cases(kind) if onnx_score.failure(case, name) is not None}
    assert failing == {case.name for case in onnx_score.cases(kind) if case.name in known}


SAMPLE = "^test_(conv_with_strides_padding|basic_conv_with_padding|gemm_all_attributes|lstm_with_initial_bias|softmax_axis_1|reduce_l2_keep_dims_random|slice_neg_steps|gather_elements_1|batchnorm_epsilon|layer_normalization_4d_axis2|maxpool_2d_ceil|cast_FLOAT_to_FLOAT8E4M3FN|scan9_sum|loop11|if)$"


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_a_sample_of_them_passes_on(name: str) -> None:
    chosen = onnx_score.cases("node", SAMPLE)
    assert len(chosen) >= 12
    failing = {case.name: why for case in chosen if (why := onnx_score.failure(case, name)) is not None}
    assert not failing


def test_the_backend_interface_of_onnx() -> None:
    found = backends.get("numpy")
    assert found.supports_device("CPU")
    assert not found.supports_device("CUDA:7")
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": ["n"]})
    for size in (3, 0, 1):
        x = np.linspace(-1, 1, size, dtype="float32")
        (y,) = found.run_model(model, [x])
        assert_close(y, np.maximum(x, 0))
    (y,) = found.run_node(onnx.helper.make_node("Neg", ["x"], ["y"]), [np.ones(2, "float32")])
    assert_close(y, -np.ones(2, "float32"))
