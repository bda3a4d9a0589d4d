"""Broken and hostile ONNX models: one clear error each, which names file, node and reason, in little time and memory.

Every case runs under the watch of ``tests.attacks.watched_loads``: a foreign error, 2 s of processor time or 200 MB
are a fault. `tests.attacks.onnx_mutations` has the cases that nobody thought of.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import unifront as uf
from unifront.errors import FileFormatError

ROOT = Path(__file__).parents[2]
node = helper.make_node
SYMBOLS = (("x", ("a", "b")),)


def ints(name: str, values: Any, shape: Any = None) -> Any:
    values = list(values)
    return helper.make_tensor(name, TensorProto.INT64, [len(values)] if shape is None else shape, values)


def truth(name: str, value: bool) -> Any:
    return helper.make_tensor(name, TensorProto.BOOL, [], [value])


def model_of(
    nodes: list[Any],
    weights: Any = (),
    inputs: Any = (("x", (2, 3)),),
    outputs: Any = ("y",),
    functions: Any = (),
    opset: int = 21,
) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        list(weights),
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)


def body(nodes: list[Any], outputs: list[str], state: str = "s") -> Any:
    """The body of a loop."""
    inputs = [
        helper.make_tensor_value_info("i", TensorProto.INT64, ()),
        helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
        helper.make_empty_tensor_value_info(state),
    ]
    return helper.make_graph(nodes, "body", inputs, [helper.make_empty_tensor_value_info(o) for o in outputs])


def loop(given: str, inner: Any, *, limit: str = "n") -> Any:
    return node("Loop", [limit, "go", given], ["y"], name="loop", body=inner)


def function(name: str, calls: int, target: str) -> Any:
    own = "" if target == "Neg" else "own"
    nodes = [node(target, [f"v{i}"], [f"v{i + 1}"], domain=own) for i in range(calls)]
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["v0"], [f"v{calls}"], nodes, imports)


def chain(kind: str, count: int, operands: Callable[[int], list[str]], **attributes: Any) -> list[Any]:
    return [
        node(kind, operands(i), [f"v{i + 1}"], name=f"{kind.lower()}_{i}", **attributes) for i in range(count)
    ]


def initializer_of_shape(shape: list[int]) -> Any:
    weight = numpy_helper.from_array(np.ones(4, np.float32), "w")
    weight.dims[:] = shape
    return model_of([node("Add", ["x", "w"], ["y"])], [weight])


def external(**told: str) -> Any:
    weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weight.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        weight.external_data.add(key=key, value=value)
    return model_of([node("Add", ["x", "w"], ["y"])], [weight])


def changed(change: Callable[[Any], object]) -> Any:
    model = model_of([node("Neg", ["x"], ["y"], name="minus")])
    change(model)
    return model


def nested(depth: int) -> bytes:
    """A graph in a branch of a graph in a branch …, as bytes: no library writes so deep."""

    def varint(number: int) -> bytes:
        parts = []
        while number > 127:
            parts.append(number & 127 | 128)
            number >>= 7
        return bytes([*parts, number])

    def begins(field: int, length: int) -> bytes:
        return varint(field << 3 | 2) + varint(length)

    heads, total = [], 0
    for _ in range(depth):
        attribute = b"\x0a\x0bthen_branch\xa0\x01\x05" + begins(6, total)
        inner = b"\x0a\x01c\x12\x01o\x22\x02If" + begins(5, len(attribute) + total)
        heads.append(begins(1, len(inner) + len(attribute) + total) + inner + attribute)
        total += len(heads[-1])
    return b"\x08\x0a\x42\x02\x10\x15" + begins(7, total) + b"".join(reversed(heads))


def deep_dims() -> list[Any]:
    return [node("Pad", ["x", "p"], ["padded"]), node("Flatten", ["padded"], ["y"], name="flat", axis=30)]


NOT = body([node("Not", ["f"], ["c2"]), node("Neg", ["s"], ["t"])], ["c2", "t"])
GROWS = body([node("Identity", ["c"], ["c2"]), node("Concat", ["s", "s"], ["t"], axis=0)], ["c2", "t"])
SAME = body([], ["c", "s"])
GOOD = model_of([node("Neg", ["x"], ["y"])]).SerializeToString()
LONG = [ints("n", [2**62], []), truth("go", True)]
RESHAPED = node("Reshape", ["x", "sizes"], ["y"], name="reshaped")

CASES: dict[str, tuple[Any, str]] = {
    # ------------------------------------------------------------ files
    "empty": (b"", "is no ONNX model, or a broken one: it has no graph"),
    "text": (b"hello world", "is no ONNX model, or a broken one"),
    "truncated": (GOOD[:-5], "is no ONNX model, or a broken one"),
    "10,000 branches deep": (nested(10_000), "is no ONNX model, or a broken one"),
    "no UTF-8": (GOOD.replace(b"Neg", b"N\xff\xfe"), "a name in it is no UTF-8"),
    # ------------------------------------------------------------ names
    "cyclic": (
        model_of([node("Add", ["x", "b"], ["a"], name="sum"), node("Neg", ["a"], ["b"]), node("Neg", ["b"], ["y"])]),
        r"'sum' \('Add'\): it reads 'b', which is no input, no initializer, and made by no node before it",
    ),
    "made twice": (
        model_of([node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"], name="again")]),
        r"'again' \('Abs'\): the name 'y' is made a second time",
    ),
    "missing output": (model_of([node("Neg", ["x"], ["z"])]), "the output 'y' is made by no node"),
    "output twice": (model_of([node("Neg", ["x"], ["y"])], outputs=("y", "y")), "two outputs called 'y'"),
    "input twice": (
        model_of([node("Neg", ["x"], ["y"])], inputs=(("x", (2,)), ("x", (3,)))), "two inputs are called 'x'",
    ),
    "missing operand": (model_of([node("Add", ["x"], ["y"], name="sum")]), r"'sum' \('Add'\): it has 1 operands"),
    # ------------------------------------------------------------ operators
    "unknown operator": (
        model_of([node("Frob", ["x"], ["y"], name="odd")]), "'odd' .*unifront does not import the operator 'ai.onnx::Frob'",
    ),
    "unknown domain": (
        model_of([node("Neg", ["x"], ["y"], name="odd", domain="nowhere")]),
        "'odd' .*no version of the operator set 'nowhere' is imported",
    ),
    "unknown version": (model_of([node("Neg", ["x"], ["y"])], opset=999), "written for version 999 of the operator set"),
    "unknown attribute": (
        model_of([node("Neg", ["x"], ["y"], name="odd", alpha=1.0)]),
        "'odd' .*it has the attribute 'alpha', which the operator has not",
    ),
    "attribute of another type": (
        model_of([node("Softmax", ["x"], ["y"], name="odd", axis=1.5)]),
        "'odd' .*its attribute 'axis' is of another type",
    ),
    "shapes that do not fit": (
        model_of([node("MatMul", ["x", "x"], ["y"], name="product")]), r"'product' \('MatMul'\): .*matmul",
    ),
    "dtypes that do not fit": (
        model_of([node("BitwiseAnd", ["x", "x"], ["y"], name="both")]), r"'both' \('BitwiseAnd'\): .*float32",
    ),
    # ------------------------------------------------------------ tensors
    "huge dims": (initializer_of_shape([2**62, 2**62]), r"the tensor 'w' has the shape \[4611686018427387904, 46"),
    "negative dims": (initializer_of_shape([-1]), r"the tensor 'w' has the shape \[-1\]"),
    "data too short": (initializer_of_shape([5]), r"the tensor 'w' does not hold what its shape \[5\] says"),
    "data too long": (initializer_of_shape([3]), r"the tensor 'w' does not hold what its shape \[3\] says"),
    "100,000 axes": (initializer_of_shape([1] * 100_000), r"1, … \(100000 axes\)\] says"),
    "unknown type": (
        changed(lambda model: model.graph.initializer.add(name="w", data_type=99, dims=[1])),
        "the tensor 'w' has elements of the type 99",
    ),
    "huge input": (
        model_of([node("Neg", ["x"], ["y"], name="minus")], inputs=(("x", (2**62, 2**62)),)),
        "'minus' .*a result would be .* too large to be meant",
    ),
    "huge sparse": (
        changed(
            lambda model: model.graph.sparse_initializer.append(
                onnx.SparseTensorProto(
                    values=helper.make_tensor("w", 1, [1], [1.0]), indices=ints("i", [0]), dims=[2**28]
                )
            )
        ),
        r"the sparse tensor 'w' has the shape \[268435456\]",
    ),
    # ------------------------------------------------------------ external data
    "external, above": (external(location="../secret"), "'../secret' leaves the model's folder, or is a link"),
    "external, absolute": (external(location="/etc/passwd"), "'/etc/passwd' is no file beside the model"),
    "external, link": (external(location="link"), "'link' leaves the model's folder, or is a link"),
    "external, linked folder": (external(location="linked/secret"), "'linked/secret' leaves the model's folder"),
    "external, folder": (external(location="linked/.."), "leaves the model's folder"),
    "external, nowhere": (external(location="nothing"), "'nothing' cannot be read: No such file"),
    "external, empty": (external(), "'' is no file beside the model"),
    "external, a pipe": (external(location="pipe"), "'pipe' (cannot be read|has no 16 bytes)"),
    "external, too short": (external(location="short"), "'short' has no 16 bytes from 0 on"),
    "external, behind the end": (
        external(location="data", offset=str(2**62), length="16"), "'data' has no 16 bytes from 4611686018427387904 on",
    ),
    "external, another length": (external(location="data", length="8"), "has 16 bytes; 8 from 0 on are given"),
    "external, negative": (external(location="data", offset="-4"), "has 16 bytes; 16 from -4 on are given"),
    "external, no number": (external(location="data", offset="many"), "offset and length of its data are no numbers"),
    # ------------------------------------------------------------ bombs
    "ConstantOfShape": (
        model_of([node("ConstantOfShape", ["k"], ["y"], name="bomb")], [ints("k", [2**20, 2**20, 2**10])]),
        "'bomb' .*too large to be meant",
    ),
    "a shape of ConstantOfShape": (
        model_of(
            [node("ConstantOfShape", ["k"], ["sizes"], value=ints("v", [3])), RESHAPED], [ints("k", [2**28])]
        ),
        "'reshaped' .*has to be known at import, but computing it takes 268435457 numbers",
    ),
    "Range": (
        model_of(
            [node("Range", ["a", "b", "d"], ["sizes"]), RESHAPED],
            [ints("a", [0], []), ints("b", [2**30], []), ints("d", [1], [])],
        ),
        "'reshaped' .*computing it takes",
    ),
    "Expand": (
        model_of([node("Expand", ["k", "s"], ["sizes"]), RESHAPED], [ints("k", [1]), ints("s", [2**29])]),
        "'reshaped' .*computing it takes",
    ),
    "Tile": (
        model_of([*chain("Tile", 9, lambda i: [f"v{i}", "s"])], [ints("v0", [1] * 900), ints("s", [900])], outputs=["v9"]),
        "'tile_2' .*too large to be meant",
    ),
    "Pad": (
        model_of([node("Pad", ["k", "p"], ["sizes"], name="bomb"), RESHAPED], [ints("k", [1]), ints("p", [2**29, 0])]),
        r"'bomb' \('Pad'\): .*has 536870913 elements; at most 4194304 are computed here",
    ),
    "OneHot": (
        model_of(
            [node("OneHot", ["k", "d", "v"], ["y"], name="bomb")],
            [ints("k", [1] * 900), ints("d", [2**30], []), ints("v", [0, 1])],
        ),
        "'bomb' .*at most 4194304 are computed here",
    ),
    "Einsum": (
        model_of([node("Einsum", ["k"] * 4, ["y"], name="bomb", equation="a,b,c,d->abcd")], [ints("k", [1] * 250)]),
        "'bomb' .*at most 4194304 are computed here",
    ),
    "Max": (
        model_of(
            [node("Max", ["k0", "k1", "k2", "k3"], ["y"], name="bomb")],
            [ints(f"k{i}", [1] * 250, [250, *[1] * i]) for i in range(4)],
        ),
        "'bomb' .*at most 4194304 are computed here",
    ),
    "SplitToSequence": (
        model_of([node("SplitToSequence", ["x"], ["y"], name="bomb")], inputs=(("x", (2**30,)),)),
        "'bomb' .*a sequence of more than 4096 parts",
    ),
    "Conv": (
        model_of(
            [node("Conv", ["x", "w"], ["y"], name="bomb", pads=[2**30] * 4)],
            [numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "w")], (("x", (1, 1, 4, 4)),),
        ),
        "'bomb' .*too large to be meant",
    ),
    "a window of 131,072 places": (
        model_of(
            [node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[65536, 2], pads=[0, 0, 65536, 0])],
            inputs=[("x", (1, 1, 6, 6))],
        ),
        "'pool' .*a window of 131072 places; at most 5000 are written out",
    ),
    "doubled": (
        model_of(chain("Concat", 40, lambda i: [f"v{i}"] * 2, axis=0), [ints("v0", [1])], outputs=["v40"]),
        "'concat_37' .*too large to be meant",
    ),
    "doubled sizes": (
        model_of([node("Shape", ["x"], ["v0"]), *chain("Concat", 40, lambda i: [f"v{i}"] * 2, axis=0)], inputs=SYMBOLS),
        "'concat_11' .*it computes with more than 4096 sizes",
    ),
    "squared sizes": (
        model_of(
            [node("Shape", ["x"], ["v0"]), *chain("Mul", 40, lambda i: [f"v{i}"] * 2), node("Reshape", ["x", "v40"], ["y"], name="reshaped")],
            inputs=SYMBOLS,
        ),
        "'reshaped' .*has to be known at import, but it comes from 'x'",
    ),
    "a size of 2**30 terms": (
        model_of(deep_dims(), [ints("p", [1] * 60)], (("x", tuple(f"d{i}" for i in range(30))),)),
        "'flat' .*a sum of more than 1000 products of sizes",
    ),
    "Resize": (
        model_of(
            [node("Resize", ["x", "", "", "k"], ["y"], name="bomb", mode="linear")], [ints("k", [1, 1, 2**31 - 1, 1])],
            (("x", (1, 1, 4, 4)),),
        ),
        "'bomb' .*it takes a table of 2147483647 elements; at most 4194304 are made",
    ),
    "STFT": (
        model_of(
            [node("STFT", ["x", "k", "", "n"], ["y"], name="bomb")], [ints("k", [1], []), ints("n", [2**20], [])],
            (("x", (1, 2**21, 1)),),
        ),
        "'bomb' .*it takes a table of .* elements",
    ),
    "strings doubled": (
        model_of(
            chain("StringConcat", 40, lambda i: [f"v{i}"] * 2), [helper.make_tensor("v0", TensorProto.STRING, [1], [b"abc"])],
            outputs=["v40"],
        ),
        "'stringconcat_20' .*it takes a table of 6291456 elements",
    ),
    **{
        f"the pattern {pattern}": (
            model_of(
                [node("RegexFullMatch", ["k"], ["y"], name="bomb", pattern=pattern)],
                [helper.make_tensor("k", TensorProto.STRING, [1], [b"a" * 60 + b"c"])],
            ),
            "'bomb' .*(repeats what repeats, or what may match in two ways|it takes a table of)",
        )
        for pattern in ("(a*)*b", "(a|aa)+$", "(a?a?)*b", "a*a*a*a*b", r"(a)\1*b")
    },
    "scanned operands": (
        model_of([node("Scan", ["x"], ["y"], name="bomb", num_scan_inputs=2**40, body=SAME)]),
        "'bomb' .*it scans 1099511627776 of 1 operands",
    ),
    # ------------------------------------------------------------ loops and functions
    "functions of functions": (
        model_of(
            [node("f30", ["x"], ["y"], domain="own")],
            functions=[function(f"f{i}", 10, f"f{i - 1}" if i else "Neg") for i in range(31)],
        ),
        "its functions and loops come to more than 10000 nodes when they are written out",
    ),
    "a function of itself": (
        model_of([node("f", ["x"], ["y"], domain="own")], functions=[function("f", 1, "f")]),
        "graphs and functions lie more than 40 deep in one another",
    ),
    "a loop that grows": (model_of([loop("x", GROWS)], LONG), "'t' .*too large to be meant"),
    "a loop of nothing": (
        model_of(
            [node("SequenceConstruct", ["x"], ["q"]), node("Loop", ["n", "go", "q"], ["y"], name="loop", body=SAME)], LONG
        ),
        "'loop' .*a loop of more than 1000 steps would have to be written out",
    ),
    "a loop without end makes a shape": (
        model_of(
            [node("Loop", ["", "go", "k"], ["sizes"], name="loop", body=NOT), RESHAPED],
            [ints("k", [6]), truth("go", True), truth("f", False)],
        ),
        "'reshaped' .*computing it takes a loop of unknown length",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each case, each loaded in a process of its own."""
    folder = tmp_path_factory.mktemp("secrets")
    inner = folder / "models"
    inner.mkdir()
    (folder / "secret").write_bytes(bytes(16))
    (inner / "link").symlink_to(folder / "secret")
    (inner / "linked").symlink_to(folder)
    (inner / "data").write_bytes(bytes(16))
    (inner / "short").write_bytes(bytes(15))
    os.mkfifo(inner / "pipe")
    for number, (model, _) in enumerate(CASES.values()):
        content = model if isinstance(model, bytes) else model.SerializeToString()
        (inner / f"{number}.onnx").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.watched_loads", "files", str(inner), str(len(CASES))],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_hostile_models_are_refused(case: str, outcomes: dict[str, dict[str, Any]]) -> None:
    found = outcomes[case]
    assert "fault" not in found, found
    asks = case == "squared sizes"  # of a shape they are numbers, and too large
    assert found["outcome"] in (("NeedsValue",) if asks else ("FileFormatError", "UnsupportedOp")), found
    with pytest.raises(FileFormatError, match=CASES[case][1]):
        raise FileFormatError(found["text"])


def test_what_is_told_in_memory_reads_no_files() -> None:
    with pytest.raises(FileFormatError, match="'data', but the model is in no folder"):
        uf.from_onnx(external(location="data"))


def test_external_data_beside_the_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    path = tmp_path / "good.onnx"
    path.write_bytes(external(location="data", offset="8", length="16").SerializeToString())
    loaded = uf.from_onnx(path, inputs={"x": (None, 4)})
    np.testing.assert_array_equal(loaded.predict(np.zeros((1, 4)), backend="numpy"), [[2, 3, 4, 5]])
