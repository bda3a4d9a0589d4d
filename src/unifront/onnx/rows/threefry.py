"""Keys made of seeds. The portable generator has no rows: ONNX has no shifts of tensors that runtimes agree on."""

from __future__ import annotations

from typing import Any

from unifront.backends import HostKey
from unifront.dtypes import key as key_dtype
from unifront.errors import UnsupportedOp
from unifront.ir.types import TensorType
from unifront.onnx.writer import Ref, Row, Writer
from unifront.opset import threefry as t
from unifront.opset.spec import OpSpec


def _random_key(w: Writer, data: Ref | None, seed: int | None) -> Any:
    if seed is None:
        raise UnsupportedOp("random_key: ONNX seeds its draws when a model is written, not with a tensor.")
    return Ref("", TensorType(key_dtype), key=HostKey(seed))


_REASON = "ONNX draws random numbers by the runtime's own generator; export the model without rng='portable'"
TABLE: dict[OpSpec, Row] = {t.RANDOM_KEY: _random_key}
UNSUPPORTED: dict[OpSpec, str] = {t.KEY_WORDS: _REASON, t.RANDOM_BITS: _REASON}
