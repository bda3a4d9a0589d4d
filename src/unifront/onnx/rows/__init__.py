"""The rows: how each operation is written in ONNX, one file for each family of operations.

A row is called ``row(writer, *operands, **attributes)`` and gives its result, or a tuple of them. Data with
channels is channels first by then, and recurrent operations have the time first (`unifront.onnx.lowering`).
"""

from __future__ import annotations

import importlib
from collections import ChainMap
from functools import cache

from unifront.backends import added_rows
from unifront.onnx.writer import Row, Target
from unifront.opset.spec import OpSpec

FAMILIES = (
    "elementwise",
    "trigonometry",
    "special",
    "searching",
    "bitwise",
    "activations",
    "reduce",
    "shape",
    "conversion",
    "scatter",
    "slicing",
    "creation",
    "index",
    "linalg",
    "attention",
    "complex_numbers",
    "factorizations",
    "solving",
    "segments",
    "fft",
    "nn",
    "conv",
    "pool",
    "norm",
    "rnn",
    "control",
    "random",
    "threefry",
    "variates",
)


@cache
def target(opset: int) -> Target:
    """Every row and every reason, for a version of the operator set."""
    table: dict[OpSpec, Row] = {}
    reasons: dict[OpSpec, str] = {}
    for family in FAMILIES:
        module = importlib.import_module(f"unifront.onnx.rows.{family}")
        since = getattr(module, "SINCE", {})
        table.update(
            {op: row for op, row in getattr(module, "TABLE", {}).items() if since.get(op, 0) <= opset}
        )
        reasons.update(getattr(module, "UNSUPPORTED", {}))
    return Target(opset, ChainMap(added_rows("onnx"), table), reasons)  # type: ignore[arg-type]  # of specs alone
