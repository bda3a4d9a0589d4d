"""Quantization of a model that is written: weights, and what goes into products, as integers (Jacob et al. 2018).

Done to the file's nodes, after all passes. Products (``Conv``, ``Gemm``, ``MatMul``) whose second operand is a weight
take part:

``"weight_int8"``   weights of 8 bits with a scale for each output, made floats again where they are read
``"weight_int4"``   likewise of 4 bits, with a scale for each block of inputs of each output
``"dynamic"``       besides weights of 8 bits, what comes in is made integers by its own range in each run
``"static"``        besides, what comes in has a range that was seen with calibration data (QDQ)
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from unifront.errors import ArgumentError, BackendMissing, ExportError
from unifront.onnx.data import write_inside
from unifront.onnx.model import reads
from unifront.onnx.naming import Names

Arrays = dict[str, np.ndarray]
MODES = ("static", "dynamic", "weight_int8", "weight_int4")
OPSETS = {"weight_int4": 21}
"""The first operator set in which a mode can be written, if not the first of all."""
AXES = {"Conv": 0, "Gemm": 1, "MatMul": 1}
"""The axis of a weight along which the outputs of the product lie."""
BLOCK = 32
"""Inputs that share a scale, of 4 bits."""
BATCH = 32
"""Examples of calibration data that are run at once."""


@dataclass
class _Writer:
    """A model that is being changed."""

    model: Any
    arrays: Arrays
    names: Names

    def initializer(self, name: str, array: np.ndarray, kind: int | None = None, dims: Any = None) -> str:
        """A new tensor in the file; ``kind`` and ``dims``: where several numbers are in a byte."""
        name = self.names.new(name)
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype) if kind is None else kind
        shape = array.shape if dims is None else dims
        self.model.graph.initializer.append(onnx.TensorProto(name=name, data_type=kind, dims=shape))
        self.arrays[name] = array
        return name

    def node(self, like: Any, kind: str, inputs: Sequence[str], count: int = 1, **attributes: Any) -> Any:
        """A node beside ``like``, of its layer."""
        name = self.names.new(f"{like.name.rpartition('/')[0]}/{kind}".lstrip("/"))
        outputs = [name] if count == 1 else [self.names.new(f"{name}:{i}") for i in range(count)]
        node = onnx.helper.make_node(kind, [*inputs], outputs, name, **attributes)
        node.metadata_props.extend(like.metadata_props)
        return node


def quantized(
    model: Any, arrays: Mapping[str, np.ndarray], mode: str, calibration: Mapping[str, np.ndarray] | None
) -> tuple[Any, Arrays]:
    """``model``, changed, and the data of its initializers.

    Args:
        mode: one of ``MODES``.
        calibration: of ``"static"``: examples for each input of the model, by its name.

    Raises `ArgumentError` for another mode, or calibration data that is not there or too much.
    """
    own = Names()
    for proto in model.graph.node:
        for name in (proto.name, *proto.output):
            own.taken.add(name)
    own.taken.update(arrays, (value.name for value in model.graph.input))
    writer = _Writer(model, dict(arrays), own)
    products = [node for node in model.graph.node if _takes_part(node, arrays)]
    if not products:
        raise ArgumentError(
            "export: the model has no product with a weight in float32, so nothing to quantize."
        )
    ranges = _ranges(model, arrays, products, calibration) if mode == "static" and calibration else {}
    changes: Mapping[str, Callable[[Any], list[Any]]] = {
        "weight_int8": _Weights(writer).eight,
        "weight_int4": _Weights(writer).four,
        "dynamic": _Weights(writer).dynamic,
        "static": _Static(writer, ranges).of,
    }
    _replaced(model, products, changes[mode])
    read = {name for node in model.graph.node for name in reads(node)}
    kept = [proto for proto in model.graph.initializer if proto.name in read]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    return model, {proto.name: writer.arrays[proto.name] for proto in kept}


def check_arguments(mode: str | None, calibration: Any, opset: int | None) -> None:
    """Raise `ArgumentError` for what does not go together."""
    if mode is None:
        if calibration is not None:
            raise ArgumentError("export: calibration data is for quantize='static'.")
        return
    if mode not in MODES:
        raise ArgumentError(f"export: quantize is one of {', '.join(map(repr, MODES))}, not {mode!r}.")
    if mode == "static" and calibration is None:
        raise ArgumentError(
            "export: quantize='static' takes the ranges of what goes into each product from data: give calibration=x, "
            "some hundred examples as for predict."
        )
    if mode != "static" and calibration is not None:
        raise ArgumentError(f"export: calibration data is for quantize='static', not {mode!r}.")
    if opset is not None and opset < OPSETS.get(mode, 0):
        raise ArgumentError(
            f"export: quantize={mode!r} can be written from opset {OPSETS[mode]} on, not {opset}."
        )


def examples(calibration: Any, inputs: Mapping[str, Any]) -> Arrays:
    """Calibration data as one array for each input: it is one, a list in their order, or a dict by their names."""
    if isinstance(calibration, Mapping):
        given = dict(calibration)
    else:
        parts = list(calibration) if isinstance(calibration, list | tuple) else [calibration]
        if len(parts) != len(inputs):
            raise ArgumentError(f"export: {len(parts)} arrays of calibration data for {len(inputs)} inputs.")
        given = dict(zip(inputs, parts, strict=True))
    if set(given) != set(inputs):
        raise ArgumentError(f"export: calibration data for {sorted(given)}; the inputs are {sorted(inputs)}.")
    found = {name: np.asarray(given[name]).astype(type_.dtype.numpy) for name, type_ in inputs.items()}
    counts = {len(array) if array.ndim else 0 for array in found.values()}
    if len(counts) != 1 or 0 in counts:
        raise ArgumentError("export: calibration data are arrays of as many examples, at least one.")
    for name, type_ in inputs.items():
        if found[name].ndim != type_.rank:
            raise ArgumentError(
                f"export: calibration data of {name!r} is {found[name].shape}; it takes {type_}."
            )
    return found


def _takes_part(node: Any, arrays: Mapping[str, np.ndarray]) -> bool:
    if node.op_type not in AXES or node.input[1] not in arrays:
        return False
    weight = arrays[node.input[1]]
    plain = node.op_type != "MatMul" or weight.ndim == 2
    return bool(plain and weight.dtype == np.float32 and weight.size and np.isfinite(weight).all())


def _replaced(model: Any, products: Sequence[Any], change: Callable[[Any], list[Any]]) -> None:
    """Let each product be what ``change`` makes of it."""
    those = {id(node) for node in products}
    nodes = [
        new for node in list(model.graph.node) for new in (change(node) if id(node) in those else [node])
    ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


# ---------------------------------------------------------------- weights


def per_output(weight: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """A weight as int8 from -127 to 127 and the scale of each position of ``axis``."""
    others = tuple(i for i in range(weight.ndim) if i != axis)
    scale = np.abs(weight).max(axis=others) / np.float32(127)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
    return np.clip(np.rint(weight / scale.reshape(shape)), -127, 127).astype(np.int8), scale


def in_blocks(weight: np.ndarray, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """A matrix ``[in, out]`` as numbers from -7 to 7, and the scales ``[in / block, out]`` of blocks of inputs."""
    rows, columns = weight.shape
    count = -(-rows // block)
    padded = np.zeros((count * block, columns), np.float32)
    padded[:rows] = weight
    parts = padded.reshape(count, block, columns)
    scale = np.abs(parts).max(1) / np.float32(7)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    whole = np.clip(np.rint(parts / scale[:, None]), -7, 7).astype(np.int8)
    return whole.reshape(count * block, columns)[:rows], scale


def packed(whole: np.ndarray) -> np.ndarray:
    """Numbers of 4 bits, two in a byte, the first in the lower half."""
    flat = whole.reshape(-1).view(np.uint8) & 15
    flat = np.append(flat, np.zeros(flat.size % 2, np.uint8))
    found: np.ndarray = flat[::2] | flat[1::2] << 4
    return found


class _Weights:
    """Products of which the weights are integers; a weight that several read is written once."""

    def __init__(self, writer: _Writer) -> None:
        self._writer = writer
        self._made: dict[Any, Any] = {}

    def integers(self, node: Any) -> tuple[str, str, np.ndarray]:
        """The names of an int8 weight and of its scales, and these."""
        name, axis = node.input[1], AXES[node.op_type]
        if (name, axis) not in self._made:
            whole, scale = per_output(self._writer.arrays[name], axis)
            self._made[name, axis] = (
                self._writer.initializer(f"{name}_int8", whole),
                self._writer.initializer(f"{name}_scale", scale),
                scale,
            )
        found: tuple[str, str, np.ndarray] = self._made[name, axis]
        return found

    def eight(self, node: Any) -> list[Any]:
        whole, scale, _ = self.integers(node)
        back = self._writer.node(node, "DequantizeLinear", [whole, scale], axis=AXES[node.op_type])
        node.input[1] = back.output[0]
        return [back, node]

    def four(self, node: Any) -> list[Any]:
        name = node.input[1]
        weight = self._writer.arrays[name]
        if weight.ndim != 2:  # kernels of convolutions have no blocks
            return self.eight(node)
        if (name, 4) not in self._made:
            whole, scale = in_blocks(weight)
            self._made[name, 4] = (
                self._writer.initializer(f"{name}_int4", packed(whole), onnx.TensorProto.INT4, whole.shape),
                self._writer.initializer(f"{name}_scale", scale),
            )
        back = self._writer.node(node, "DequantizeLinear", self._made[name, 4], axis=0, block_size=BLOCK)
        node.input[1] = back.output[0]
        return [back, node]

    def dynamic(self, node: Any) -> list[Any]:
        """A product of integers, scaled back; convolutions keep floats, for which there is no quick kernel."""
        plain = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        if node.op_type == "Conv" or any(plain.get(name) for name in ("transA", "transB")):
            return self.eight(node)
        writer = self._writer
        whole, scale, _ = self.integers(node)
        zero = self._zero()
        x = writer.node(node, "DynamicQuantizeLinear", [node.input[0]], 3)
        product = writer.node(node, "MatMulInteger", [x.output[0], whole, x.output[2], zero])
        number = writer.node(node, "Cast", [product.output[0]], to=onnx.TensorProto.FLOAT)
        scales = writer.node(node, "Mul", [x.output[1], scale])
        y = writer.node(node, "Mul", [number.output[0], scales.output[0]])
        made = [x, product, number, scales, y]
        if len(node.input) > 2 and node.input[2]:
            made.append(writer.node(node, "Add", [y.output[0], node.input[2]]))
        made[-1].output[0] = node.output[0]
        return made

    def _zero(self) -> str:
        if "zero" not in self._made:
            self._made["zero"] = self._writer.initializer("zero_int8", np.zeros((), np.int8))
        found: str = self._made["zero"]
        return found


# ---------------------------------------------------------------- static


class _Static:
    """Products between what comes in as int8, by ranges that were seen, and weights of int8."""

    def __init__(self, writer: _Writer, ranges: Mapping[str, tuple[float, float]]) -> None:
        self._writer, self._ranges, self._weights = writer, ranges, _Weights(writer)
        self._inputs: dict[str, tuple[str, np.float32]] = {}

    def of(self, node: Any) -> list[Any]:
        writer, made = self._writer, list[Any]()
        whole, scale_name, scale = self._weights.integers(node)
        x_name, x_scale = self._input(node, made)
        made.append(writer.node(node, "DequantizeLinear", [whole, scale_name], axis=AXES[node.op_type]))
        node.input[0], node.input[1] = x_name, made[-1].output[0]
        if node.op_type != "MatMul" and len(node.input) > 2 and node.input[2] in writer.arrays:
            made.append(self._bias(node, (x_scale * scale).astype(np.float32)))
            node.input[2] = made[-1].output[0]
        return [*made, node]

    def _input(self, node: Any, made: list[Any]) -> tuple[str, np.float32]:
        """What a product reads, quantized and made floats again; once for all that read it."""
        name, writer = node.input[0], self._writer
        if name not in self._inputs:
            low, high = self._ranges[name]
            scale = np.float32(max(high - low, 1e-8) / 255)
            zero = np.int8(np.clip(np.rint(-128 - low / scale), -128, 127))
            given = [
                writer.initializer(f"{name}_scale", np.asarray(scale)),
                writer.initializer(f"{name}_zero_point", np.asarray(zero)),
            ]
            made.append(writer.node(node, "QuantizeLinear", [name, *given]))
            made.append(writer.node(node, "DequantizeLinear", [made[-1].output[0], *given]))
            self._inputs[name] = made[-1].output[0], scale
        return self._inputs[name]

    def _bias(self, node: Any, scale: np.ndarray) -> Any:
        """A bias as int32, of the scale of the products."""
        name, writer = node.input[2], self._writer
        bias = writer.arrays[name].reshape(-1)
        ends = np.iinfo(np.int32)
        whole = np.clip(np.rint(bias.astype(np.float64) / scale), ends.min, ends.max).astype(np.int32)
        given = [writer.initializer(f"{name}_int32", whole), writer.initializer(f"{name}_scale", scale)]
        return writer.node(node, "DequantizeLinear", given, axis=0)


def _ranges(
    model: Any,
    arrays: Mapping[str, np.ndarray],
    products: Sequence[Any],
    calibration: Mapping[str, np.ndarray],
) -> dict[str, tuple[float, float]]:
    """The least and the greatest number, with 0 between, of what each product reads, as ONNX Runtime runs the model."""
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissing(
            "export: quantize='static' runs the model on the calibration data with the package 'onnxruntime', which is "
            'not installed. Try: pip install "unifront[onnx]"'
        ) from error
    wanted = [*dict.fromkeys(node.input[0] for node in products)]
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    there = {value.name for value in shown.graph.output}
    shown.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        for name in wanted
        if name not in there and name not in calibration
    )
    content = io.BytesIO()
    write_inside(shown, arrays, content)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(content.getvalue(), options, providers=["CPUExecutionProvider"])
    found = dict.fromkeys(wanted, (0.0, 0.0))
    asked = [name for name in wanted if name not in calibration]
    count = len(next(iter(calibration.values())))
    for first in range(0, count, BATCH):
        batch = {name: array[first : first + BATCH] for name, array in calibration.items()}
        seen = {**dict(zip(asked, session.run(asked, batch) if asked else (), strict=True)), **batch}
        for name in wanted:
            low, high = found[name]
            found[name] = (
                min(low, float(seen[name].min(initial=0))),
                max(high, float(seen[name].max(initial=0))),
            )
    for name, (low, high) in found.items():
        if not math.isfinite(high - low):
            raise ExportError(f"export: with the calibration data {name!r} is not finite.")
    return found
