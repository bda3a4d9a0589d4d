"""Every sample of every operation, written as a model of one operation and run by those who read ONNX."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.onnx.runtimes import RUNTIME_OPSETS, check, reference, runtime
from unifront.errors import UnsupportedOp
from unifront.onnx.export import DEFAULT_OPSET, OPSETS, convert
from unifront.onnx.recurrent import TIME_MAJOR
from unifront.onnx.rows import target
from unifront.opset.spec import OPS, Sample
from unifront.opset.tensor import Builder, lift
from unifront.testing import FORWARD, Case, _apply, _as, _reference, assert_close, cases
from unifront.trace import Tracing

TARGET = target(DEFAULT_OPSET)
CASES = [
    case
    for case in cases()
    if not case.spec.random and case.spec.name != "constant" and case.spec not in TARGET.reasons
]

Excuse = Callable[[Sample, str], bool]


def _double(sample: Sample, dtype: str) -> bool:
    return dtype == "float64"


def _exact_double(sample: Sample, dtype: str) -> bool:
    return dtype == "float64" and not sample.attributes.get("approximate", False)


def _lengths(sample: Sample, dtype: str) -> bool:
    return sample.operands[-1] is not None


# ONNX's reference evaluator, 1.23: what it cannot judge.
EXCUSED_FROM_REFERENCE: dict[str, Excuse] = {
    "erf": _double,  # computes it in float32
    "erfc": _double,
    "gelu": _exact_double,
    "softsign": lambda sample, dtype: sample.operands[0].ndim == 0,  # gives no array for a scalar
    "lstm": _lengths,  # it takes no notice of sequence_lens
    "gru": _lengths,
    "simple_rnn": lambda sample, dtype: (
        _lengths(sample, dtype) or sample.attributes["activation"] == "relu"  # it knows no Relu
    ),
    "scan": lambda sample, dtype: sample.attributes["reverse"],  # not implemented there
}
_NO_DOUBLES = """
    erf erfc arcsin arccos arctan arctan2 sinh cosh arcsinh arccosh lstm gru simple_rnn
    conv depthwise_conv conv_transpose average_pool
"""
# ONNX Runtime, 1.31, on a CPU: what it has no kernel for.
EXCUSED_FROM_RUNTIME: dict[str, Excuse] = {
    **dict.fromkeys(_NO_DOUBLES.split(), _double),
    "gelu": _exact_double,
    "det": _double,
    "fft": _double,  # its twiddle factors are of float32
}
# Operators that came later than the oldest opset, and the first that has them.
NEWER = dict.fromkeys(("bitwise_and", "bitwise_or", "bitwise_xor"), 18)
JUDGES = ((reference, EXCUSED_FROM_REFERENCE), (runtime, EXCUSED_FROM_RUNTIME))


def test_every_operation_has_a_row_a_decomposition_or_a_reason() -> None:
    written = {*TARGET.table, *TIME_MAJOR, *TARGET.reasons}
    without = [spec.name for spec in OPS.values() if spec not in written and spec.decomposition is None]
    assert without == ["constant"]  # written as an initializer where it is read


def _judge(case: Case, dtype: str, opset: int = DEFAULT_OPSET, *, optimize: bool = True) -> int:
    """Assert that each judge that can agrees; how many could."""
    spec, sample = case.spec, case.sample
    operands = [_as(operand, dtype) for operand in sample.operands]
    builder = Builder(spec.name)
    graph = builder.graph([lift(one, builder) for one in _apply(builder, "", spec, sample, operands)])
    model, _ = convert(Tracing(graph, (), (), None), opset=opset, optimize=optimize)
    check(model)
    expected = _reference(spec, sample, [_as(operand, "float64") for operand in operands])
    inputs = [np.asarray(operand) for operand in operands if operand is not None]
    judges = [
        judge
        for judge, excused in JUDGES
        if not excused.get(spec.name, lambda *_: False)(sample, dtype)
        and (judge is reference or opset in RUNTIME_OPSETS)
    ]
    for judge in judges:
        for result, wanted, value in zip(judge(model, inputs), expected, graph.outputs, strict=True):
            what = f"{spec.name} by {judge.__name__}"
            assert result.dtype == value.type.dtype.numpy, what
            assert_close(result, wanted, bounds={**FORWARD, **sample.bound}, what=what)
    return len(judges)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_operation(case: Case, dtype: str) -> None:
    assert _judge(case, dtype) or dtype == "float64"


@pytest.mark.parametrize("opset", [OPSETS[0], RUNTIME_OPSETS[-1], OPSETS[-1]])
@pytest.mark.parametrize("case", [case for case in CASES if case.index == 0], ids=str)
def test_oldest_and_newest_opset(case: Case, opset: int) -> None:
    if opset < NEWER.get(case.spec.name, 0):
        with pytest.raises(UnsupportedOp, match=rf"Try opset={NEWER[case.spec.name]}\."):
            _judge(case, "float32", opset, optimize=False)
    else:
        judged = _judge(case, "float32", opset, optimize=False)
        assert judged or opset not in RUNTIME_OPSETS  # of those there is one judge, which may be excused


@pytest.mark.parametrize(("mode", "least"), [("set", 13), ("add", 16), ("mul", 16), ("max", 18), ("min", 18)])
def test_scatter_is_written_from_the_opset_that_has_its_mode(mode: str, least: int) -> None:
    case = next(c for c in CASES if c.spec.name == "scatter" and c.sample.attributes["mode"] == mode)
    assert _judge(case, "float32", least, optimize=False)
    if least > OPSETS[0]:
        with pytest.raises(UnsupportedOp, match=f"of mode {mode!r} cannot be written .* Try opset={least}"):
            _judge(case, "float32", least - 1, optimize=False)


@pytest.mark.parametrize("case", [case for case in CASES if case.spec.name in ("fft", "segment")], ids=str)
def test_forms_for_the_oldest_opset(case: Case) -> None:
    assert _judge(case, "float32", OPSETS[0], optimize=False)


@pytest.mark.parametrize("opset", [23, 24, RUNTIME_OPSETS[-1]])
@pytest.mark.parametrize("case", [case for case in CASES if case.spec.name == "attention"], ids=str)
def test_attention_is_an_operator_where_there_is_one(case: Case, opset: int) -> None:
    assert _judge(case, "float32", opset)
    assert case.spec in target(opset).table
    assert case.spec not in TARGET.table  # it is written out
