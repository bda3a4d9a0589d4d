"""Convolutions. ONNX has kernels ``[out, in / groups, *window]``."""

from __future__ import annotations

from typing import Any

import numpy as np

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset.conv import CONV, DEPTHWISE_CONV
from unifront.opset.conv_transpose import CONV_TRANSPOSE
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding, Pairs


def padding_attributes(padding: Padding) -> dict[str, Any]:
    """The padding as ONNX has it: all that stand before, then all after; or by name for sizes not known."""
    if isinstance(padding, str):
        return {"auto_pad": "SAME_UPPER"}
    return {"pads": [before for before, _ in padding] + [after for _, after in padding]}


def _conv(
    w: Writer, x: Ref, kernel: Ref, bias: Ref | None,
    strides: tuple[int, ...], padding: Padding, dilation: tuple[int, ...], groups: int, data_format: str,
) -> Any:  # fmt: skip
    rank = kernel.type.rank - 2
    return w.op(
        "Conv", x, w.transpose(kernel, (rank + 1, rank, *range(rank))), bias,
        kernel_shape=list(kernel.type.shape[:rank]), strides=list(strides), dilations=list(dilation),
        group=groups, **padding_attributes(padding),
    )  # fmt: skip


def _depthwise(w: Writer, x: Ref, kernel: Ref, bias: Ref | None, **attributes: Any) -> Any:
    shape = kernel.type.shape
    groups, multiplier = shape[-2:]
    assert isinstance(groups, int)
    flat = w.reshape(kernel, (*shape[:-2], 1, groups * multiplier))
    return _conv(w, x, flat, bias, groups=groups, **attributes)


def _transpose(
    w: Writer, x: Ref, kernel: Ref, bias: Ref | None,
    strides: tuple[int, ...], crops: Pairs, dilation: tuple[int, ...], data_format: str,
) -> Any:  # fmt: skip
    rank = len(strides)
    longer = [max(-after, 0) for _, after in crops]
    spare = [min(n, s - 1) for n, s in zip(longer, strides, strict=True)]  # more than that ONNX does not add
    rest = [n - s for n, s in zip(longer, spare, strict=True)]
    y = w.op(
        "ConvTranspose", x, w.transpose(kernel, (rank + 1, rank, *range(rank))), None if any(rest) else bias,
        kernel_shape=list(kernel.type.shape[:rank]), strides=list(strides), dilations=list(dilation),
        output_padding=spare, pads=[before for before, _ in crops] + [max(after, 0) for _, after in crops],
    )  # fmt: skip
    if not any(rest):
        return y
    y = w.op("Pad", y, np.array([0] * (rank + 4) + rest))
    return y if bias is None else w.op("Add", y, w.reshape(bias, (-1, *(1,) * rank)))


TABLE: dict[OpSpec, Row] = {CONV: _conv, DEPTHWISE_CONV: _depthwise, CONV_TRANSPOSE: _transpose}
