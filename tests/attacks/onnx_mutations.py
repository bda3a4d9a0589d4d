"""Broken ONNX models, each made from a good one by a number: fields of its messages, operators, names, bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import parser

import unifront as uf
from tests.attacks.mutations import damaged, times
from unifront import layers, ops
from unifront.onnx.imports import rows

Random = np.random.Generator
INTEGERS = (
    0, 1, -1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 16, 17, 21, 22, 26, 27, 64, 255, 256, 2**16, 2**24, 2**31 - 1, -(2**31), 2**31,
    2**32, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63),
)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "", "x", "y", "/", "//", ".", "..", "../../etc/passwd", "/etc/passwd", "a" * 5000, "\0", "é", "中", "\n", "[red]", "ai.onnx",
    "ai.onnx.ml", "com.microsoft", "SAME_UPPER", "VALID", "NOTSET", "linear", "cubic", "nearest", "reflect", "edge", "sum", "mean",
    "ij,jk->ik", "...", "i->ii", "axis", "axes", "to", "value", "body", "pads", "strides", "group", "perm", "mode", "batch",
)  # fmt: skip
CONTRIB = "com.microsoft"
OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas()}) + sorted(
    f"{CONTRIB}.{name}" for domain, name in rows() if domain == CONTRIB
)

TEXT_MODELS = (
    """<ir_version: 10, opset_import: ["" : 21]>
    shapes (float[batch, 3, time] x) => (float[a, b] y, float[c, d, e] z)
    <int64[1] minus = {-1}, int64[1] zero = {0}, int64[1] one = {1}, int64[2] axes = {1, 2}>
    { sizes = Shape (x)  first = Gather (sizes, zero)  whole = Concat <axis = 0> (first, minus)  y0 = Reshape (x, whole)
      y = Slice (y0, zero, minus, one)  filled = ConstantOfShape (sizes)  sum = Add (x, filled)
      s = ReduceMean (sum, axes)  t = Transpose <perm = [2, 1, 0]> (sum)  u = Pad <mode = "reflect"> (t, p)
      z = Expand (s, sizes)
      p = Constant <value_ints = [0, 0, 1, 0, 0, 1]> () }""",
    """<ir_version: 10, opset_import: ["" : 21, "own" : 1]>
    control (float[4, 3] x, bool flag) => (float[n, m] y, float[k, l, o] z)
    <int64 steps = {3}, bool going = {1}>
    { y0 = If (flag) <then_branch = one () => (float[4, 3] a) { a = own.twice (x) },
                      else_branch = two () => (float[4, 3] b) { b = Relu (x) }>
      y, z = Loop (steps, going, y0) <body = step (int64 i, bool c, float[4, 3] state) => (bool again, float[4, 3] next, float[4, 3] out)
          { again = Identity (c)  next = Sin (state)  out = own.twice (next) }> }
    <domain: "own", opset_import: ["" : 21]> twice (a) => (b) { b = Add (a, a) }""",
    """<ir_version: 10, opset_import: ["" : 21]>
    mixed (float[2, 3, 8, 8] x) => (float[n, m] y, float[2, 3, 16, 16] r, float[2, 5, 8] s)
    <float[4, 3, 3, 3] w = {WEIGHTS}, float[4] b = {1, 2, 3, 4}, float scale = {0.1}, int8 point = {0}, float[4] scales = {1, 1, 2, 2}>
    { q = QuantizeLinear (x, scale, point)  d = DequantizeLinear (q, scale, point)
      c = Conv <pads = [1, 1, 1, 1], strides = [2, 2], group = 1> (d, w, b)  h = HardSwish (c)
      m = MaxPool <kernel_shape = [2, 2], ceil_mode = 1> (h)  f = Flatten <axis = 1> (m)  y = Softmax <axis = -1> (f)
      r = Resize <mode = "linear"> (x, , scales)
      e = ReduceMax <keepdims = 0> (x, last)  last = Constant <value_ints = [3]> ()
      t, v = TopK <axis = 1, largest = 1> (e, k)  k = Constant <value_ints = [2]> ()
      p, o = Split <axis = 1, num_outputs = 2> (e)  s = Concat <axis = 1> (t, e) }""",
    """<ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 3]>
    others (float[3, 4] x, int64[3] labels) => (float[n, m] y, float[k] z, float[q, r] w, float[s, t] u)
    { e = Einsum <equation = "ij,kj->ik"> (x, x)  y = Gemm <alpha = 0.5, transB = 1> (e, e)
      n = ReduceSumSquare <axes = [1], keepdims = 0> (x)  z = Clip (n)
      h = OneHot <axis = -1> (labels, depth, values)  depth = Constant <value_int = 5> ()
      values = Constant <value_floats = [0.0, 1.0]> ()  w0 = CumSum (h, zero)  zero = Constant <value_int = 0> ()
      w = ScatterElements <axis = 0> (w0, places, updates)  places = Constant <value = int64[1, 2] {0, 1}> ()
      updates = Constant <value = float[1, 2] {3, 4}> ()
      parts = SplitToSequence <axis = 0> (x)  u = ConcatFromSequence <axis = 1> (parts)  g = GatherND (x, places)  i = NonZero (x) }""",
)


def exported(folder: Path) -> Iterator[bytes]:
    """What unifront writes: convolutions, recurrent layers, loops and branches."""
    image = uf.Input((6, 6, 1), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(3, 3, activation="relu")(image))
    images = uf.Model(image, layers.Dense(2)(layers.Flatten()(layers.MaxPooling2D()(x))), name="images")
    words = uf.Input((None,), name="words", dtype="int32")
    steps = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(layers.Embedding(9, 3)(words))
    texts = uf.Model(words, layers.Dense(2)(layers.GRU(2)(steps)), name="texts")
    vector = uf.Input((4,), name="vector")
    own = uf.Model(vector, Own()(vector), name="own")
    for model in (images, texts, own):
        model.export(folder / "good.onnx", verify=False)
        yield (folder / "good.onnx").read_bytes()


class Own(uf.Layer):
    """A loop and a branch."""

    def call(self, x: Any) -> Any:
        grown = ops.while_loop(
            lambda i, y: ops.less(i, 3),
            lambda i, y: (i + 1, ops.multiply(y, 2.0)),
            (np.zeros((), "int32"), x),
        )[1]
        return ops.cond(ops.greater(ops.sum(grown), 0.0), lambda: grown, lambda: ops.negative(grown))


def parsed(text: str) -> bytes:
    """A model written as text, its nodes in an order in which they run."""
    numbers = ", ".join(f"{np.sin(i):.3f}" for i in range(108))
    model = parser.parse_model(text.replace("WEIGHTS", numbers))
    known = {one.name for one in (*model.graph.input, *model.graph.initializer)} | {""}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    while nodes:
        ready = next(node for node in nodes if known.issuperset(node.input))
        nodes.remove(ready)
        known.update(ready.output)
        model.graph.node.append(ready)
    content: bytes = model.SerializeToString()
    return content


def fused() -> Iterator[bytes]:
    """What ONNX Runtime's optimizers write: fused operators, a cache of keys, integers of few bits, trees' neighbours."""
    f = np.random.default_rng(3).normal
    i32, i64 = np.int32, np.int64
    yield of_nodes(
        [
            ("EmbedLayerNormalization", "words,,table,places,,g,b,mask", "e,ends", {"mask_index_type": 1}),
            ("Attention", "e,w,c,ends", "a", {"num_heads": 2, "unidirectional": 1}),
            ("SkipLayerNormalization", "e,a,g,b", "s,,,t", {"epsilon": 1e-5}),
            ("FusedMatMul", "s,m", "n", {"transB": 1, "alpha": 0.5}),
            ("BiasGelu", "n,b", "o", {}),
            ("MultiHeadAttention", "o,s,t,,mask", "h", {"num_heads": 4}),
            ("MatMulNBits", "h,few,scales", "y", {"K": 16, "N": 5, "bits": 4, "block_size": 16}),
            ("DynamicQuantizeMatMul", "h,eight,scale", "z", {}),
        ],
        {"words": (6, ("batch", 4)), "mask": (6, ("batch", 4))},
        {
            "table": f(size=(9, 16)), "places": f(size=(8, 16)), "g": f(size=16), "b": f(size=16), "w": f(size=(16, 48)),
            "c": f(size=48), "m": f(size=(16, 16)), "few": np.arange(40, dtype=np.uint8).reshape(5, 1, 8),
            "scales": f(size=5), "eight": np.arange(32, dtype=np.int8).reshape(16, 2), "scale": f(size=2),
        },
    )  # fmt: skip
    yield of_nodes(
        [
            ("GroupQueryAttention", "x,,,key,value,ends,total,cos,sin", "a,k,v",
             {"num_heads": 2, "kv_num_heads": 1, "do_rotary": 1, "local_window_size": 3}),
            ("RotaryEmbedding", "a,at,cos,sin", "r", {"interleaved": 1}),
            ("QuantizeLinear", "r,scale,zero", "q", {}),
            ("QLinearAdd", "q,scale,zero,q,scale,zero,scale,zero", "p", {}),
            ("QGemm", "rows,scale,zero,rows,scale,zero", "y", {"transB": 1}),
            ("QLinearSoftmax", "p,scale,zero,scale,zero", "z", {"axis": -1, "opset": 13}),
            ("FusedConv", "image,kernel", "f", {"activation": "Clip", "activation_params": [0.0, 1.0], "pads": [1] * 4}),
        ],
        {"x": (1, (1, 2, 64)), "key": (1, (1, 1, 3, 16)), "value": (1, (1, 1, 3, 16)), "image": (1, (1, 2, 4, 4))},
        {
            "ends": np.array([4], i32), "total": np.array(5, i32), "cos": f(size=(8, 8)), "sin": f(size=(8, 8)), "at": np.array([1], i64),
            "scale": np.float32(0.1), "zero": np.int8(3), "rows": np.arange(6, dtype=np.int8).reshape(2, 3), "kernel": f(size=(3, 2, 3, 3)),
        },
    )  # fmt: skip
    yield of_nodes(
        [("SVMClassifier", "x", "label,y", {
            "classlabels_ints": [0, 1, 2], "vectors_per_class": [1, 1, 1], "support_vectors": [*np.arange(6.0)],
            "coefficients": [*np.arange(6.0)], "rho": [0.0, 1.0, 2.0], "prob_a": [-1.0] * 3, "prob_b": [0.1] * 3,
            "kernel_type": "RBF", "kernel_params": [0.5, 0.0, 3.0],
        }),
         ("Gradient", "x", "dx", {"xs": ["x"], "y": "y"})],
        {"x": (1, ("n", 2))},
        {},
        {"SVMClassifier": "ai.onnx.ml", "Gradient": "ai.onnx.preview.training"},
    )  # fmt: skip


def of_nodes(nodes: Any, inputs: Any, weights: Any, domains: Any = None) -> bytes:
    """A model of nodes ``(operator, operands, results, attributes)``, which are ONNX Runtime's unless ``domains`` says."""
    made = [
        onnx.helper.make_node(
            kind, given.split(","), results.split(","), f"layer{i}", domain=(domains or {}).get(kind, CONTRIB), **attributes
        )
        for i, (kind, given, results, attributes) in enumerate(nodes)
    ]  # fmt: skip
    graph = onnx.helper.make_graph(
        made,
        "fused",
        [onnx.helper.make_tensor_value_info(name, *one) for name, one in inputs.items()],
        [
            onnx.helper.make_empty_tensor_value_info(name)
            for name in dict.fromkeys(name for node in made for name in node.output)
            if name in ("y", "z", "k", "dx", "f")
        ],
        [
            onnx.numpy_helper.from_array(np.asarray(a, "float32" if a.dtype == "float64" else a.dtype), name)
            for name, a in weights.items()
        ],
    )
    used = {"": 17, "ai.onnx.ml": 3, "ai.onnx.preview.training": 1, CONTRIB: 1}
    imports = [onnx.helper.make_opsetid(*one) for one in used.items()]
    content: bytes = onnx.helper.make_model(graph, opset_imports=imports, ir_version=9).SerializeToString()
    return content


def good_models(folder: Path) -> list[bytes]:
    """The models that are broken."""
    return [*exported(folder), *map(parsed, TEXT_MODELS), *fused()]


class OnnxMutations:
    """Broken models of the good ones in ``files``; ``mutations(7)`` is always the same one."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self.files = list(files)
        protos = [onnx.ModelProto.FromString(file) for file in files]
        self.pool: dict[str, list[bytes]] = {}  # messages by their type, of all files
        self.names: list[list[str]] = []
        for proto in protos:
            found = list(messages(proto))
            for message in found:
                self.pool.setdefault(message.DESCRIPTOR.full_name, []).append(message.SerializeToString())
            self.names.append(sorted({name for one in found for name in _names(one)}))
        self.ways: list[tuple[float, Callable[[Random, Any, int], None]]] = [
            (0.30, self.field), (0.15, self.renamed), (0.10, self.operator), (0.15, self.transplanted),
            (0.12, self.less_or_more), (0.18, self.number),
        ]  # fmt: skip

    def __call__(self, number: int) -> bytes:
        random = np.random.default_rng([number, 11])
        file = int(random.integers(len(self.files)))
        if random.random() < 0.08:
            return times(random, damaged, self.files[file])
        proto = onnx.ModelProto.FromString(self.files[file])
        for _ in range(1 + random.geometric(0.6)):
            way = random.choice(len(self.ways), p=[share for share, _ in self.ways])
            self.ways[way][1](random, proto, file)
        content: bytes = proto.SerializeToString()
        return content

    def field(self, random: Random, proto: Any, file: int) -> None:
        """Any field of any message has another value, or is not there."""
        message = _one_of(random, list(messages(proto)))
        field = _one_of(random, message.DESCRIPTOR.fields)
        if random.random() < 0.2 or field.message_type is not None:
            message.ClearField(field.name)
        elif field.is_repeated:
            values = getattr(message, field.name)
            if len(values) and random.random() < 0.7:
                values[int(random.integers(len(values)))] = self.value(random, field, file)
            else:
                values.append(self.value(random, field, file))
        else:
            setattr(message, field.name, self.value(random, field, file))

    def value(self, random: Random, field: Any, file: int) -> Any:
        """A value of a field's type."""
        match field.cpp_type:
            case field.CPPTYPE_INT32:
                return int(np.clip(_one_of(random, INTEGERS), -(2**31), 2**31 - 1))
            case field.CPPTYPE_UINT64:
                return _one_of(random, INTEGERS) % 2**64
            case field.CPPTYPE_INT64:
                return int(np.clip(_one_of(random, INTEGERS), -(2**63), 2**63 - 1))
            case field.CPPTYPE_FLOAT | field.CPPTYPE_DOUBLE:
                return _one_of(random, FLOATS)
            case field.CPPTYPE_ENUM:
                return _one_of(random, field.enum_type.values).number
        text = _one_of(random, TEXTS if random.random() < 0.6 else self.names[file])
        is_bytes = field.type == field.TYPE_BYTES
        return (
            (random.bytes(int(random.integers(20))) if random.random() < 0.3 else text.encode())
            if is_bytes
            else text
        )

    def renamed(self, random: Random, proto: Any, file: int) -> None:
        """A node reads or makes something else."""
        node = _one_of(random, [one for one in messages(proto) if isinstance(one, onnx.NodeProto)] or [None])
        if node is None:
            return
        names = _one_of(random, (node.input, node.input, node.output))
        new = _one_of(random, self.names[file])
        if len(names) and random.random() < 0.8:
            names[int(random.integers(len(names)))] = new
        else:
            names.append(new)

    def operator(self, random: Random, proto: Any, file: int) -> None:
        """A node is another operator, or there is one more."""
        graphs = [one for one in messages(proto) if isinstance(one, onnx.GraphProto)]
        if not graphs:
            return
        graph = _one_of(random, graphs)
        kind = _one_of(random, OPERATORS)
        if len(graph.node) and random.random() < 0.5:
            node = _one_of(random, graph.node)
            node.domain, _, node.op_type = kind.rpartition(".")
            if random.random() < 0.7:
                del node.attribute[:]
            return
        given = [_one_of(random, self.names[file]) for _ in range(int(random.integers(4)))]
        place = int(random.integers(len(graph.node) + 1))
        graph.node.insert(
            place,
            onnx.helper.make_node(
                kind.rpartition(".")[2],
                given,
                [f"new{place}", f"other{place}"][: int(random.integers(1, 3))],
                domain=kind.rpartition(".")[0],
            ),
        )

    def transplanted(self, random: Random, proto: Any, file: int) -> None:
        """A message is what another of its type is."""
        message = _one_of(random, list(messages(proto))[1:] or [proto])
        message.CopyFrom(type(message).FromString(_one_of(random, self.pool[message.DESCRIPTOR.full_name])))

    def less_or_more(self, random: Random, proto: Any, file: int) -> None:
        """Something in a list is taken out, said twice, or in another place."""
        fields = [
            getattr(message, field.name)
            for message in messages(proto)
            for field in message.DESCRIPTOR.fields
            if field.is_repeated and len(getattr(message, field.name))
        ]
        if not fields:
            return
        values = _one_of(random, fields)
        a, b = (int(i) for i in random.integers(len(values), size=2))
        kind = random.integers(3)
        if kind == 0:
            del values[a]
        elif kind == 1:
            values.extend([values[a]])
        else:
            kept = list(values)
            kept.insert(b, kept.pop(a))
            copies = [
                type(one).FromString(one.SerializeToString()) if hasattr(one, "DESCRIPTOR") else one
                for one in kept
            ]
            del values[:]
            values.extend(copies)

    def number(self, random: Random, proto: Any, file: int) -> None:
        """The data of a tensor, or the numbers of an attribute, are others."""
        found = [
            one
            for one in messages(proto)
            if isinstance(one, onnx.TensorProto)
            or (isinstance(one, onnx.AttributeProto) and one.type in (2, 7))
        ]
        if not found:
            return
        one = _one_of(random, found)
        if isinstance(one, onnx.AttributeProto):
            if one.type == onnx.AttributeProto.INT:
                one.i = _one_of(random, INTEGERS)
            elif len(one.ints):
                one.ints[int(random.integers(len(one.ints)))] = _one_of(random, INTEGERS)
        elif one.data_type == onnx.TensorProto.INT64:
            values = [_one_of(random, INTEGERS) for _ in range(min(int(np.prod(one.dims)), 8))]
            one.ClearField("int64_data")
            one.raw_data = np.asarray(values, np.int64).tobytes()
        else:
            one.raw_data = one.raw_data[: int(random.integers(len(one.raw_data) + 1))]


def messages(message: Any) -> Iterator[Any]:
    """``message``, and all in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for one in value if field.is_repeated else (value,):
                yield from messages(one)


def _names(message: Any) -> Iterator[str]:
    if isinstance(message, onnx.NodeProto):
        yield from (*message.input, *message.output)
    elif isinstance(message, onnx.TensorProto | onnx.ValueInfoProto):
        yield message.name


def _one_of(random: Random, options: Sequence[Any]) -> Any:
    return options[int(random.integers(len(options)))]
