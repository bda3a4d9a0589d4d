"""Convolutions. ONNX has kernels ``[out, in / groups, *window]``."""

from __future__ import annotations

from typing import Any

from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset.conv import CONV, DEPTHWISE_CONV
from unifront.opset.spec import OpSpec
from unifront.opset.windows import Padding


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


TABLE: dict[OpSpec, Row] = {CONV: _conv, DEPTHWISE_CONV: _depthwise}
