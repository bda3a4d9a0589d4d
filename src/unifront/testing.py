"""The conformance suite, which any backend can run on itself, and the one `assert_close`.

    from unifront import testing

    test_forward = testing.forward_tests("my_backend")
    test_gradient = testing.gradient_tests("my_backend")

is the whole of a test file outside this repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np

from unifront import ops
from unifront.backends import Backend, HostKey, placement
from unifront.dtypes import DType, dtype_of, float64
from unifront.ir.graph import Graph, Value
from unifront.opset.spec import OPS, OpSpec, Sample
from unifront.opset.tensor import Builder, Traced, bind, type_of
from unifront.reference import row_of

FORWARD = {"float64": 1e-12, "float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-2}
GRADIENT = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 2e-2, "float16": 2e-2}
"""The bounds of every comparison, relative to the largest magnitude compared."""


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest finite magnitude; infinite where NaN differs."""
    a, b = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    if a.size == 0:
        return 0.0
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(
        a[~finite], b[~finite], equal_nan=True
    ):
        return float("inf")
    scale = max(np.abs(b[finite]).max(initial=0.0), np.abs(a[finite]).max(initial=0.0))
    return float(np.abs(a[finite] - b[finite]).max(initial=0.0) / scale) if scale else 0.0


def assert_close(
    actual: Any,
    expected: Any,
    *,
    dtype: str | None = None,
    bounds: Mapping[str, float] = FORWARD,
    what: str = "result",
) -> None:
    """Assert that two arrays have one shape and agree within the bound of their dtype.

    Args:
        actual: the array to judge; its dtype chooses the bound. Integers and booleans must be equal.
        expected: the judge, of the same shape, in any float dtype when ``actual`` is a float.
        bounds: dtype name → relative bound, `FORWARD` or `GRADIENT`.
        what: the subject of the error.
    """
    a, b = np.asarray(actual), np.asarray(expected)
    name = dtype or dtype_of(a.dtype).name
    assert dtype_of(a.dtype).name == name, f"{what}: dtype {a.dtype}, expected {name}"
    assert a.shape == b.shape, f"{what}: shape {a.shape}, expected {b.shape}"
    if not dtype_of(name).is_float:
        assert np.array_equal(a, b), (
            f"{what}: {np.sum(a != b)} of {a.size} elements differ:\n{a}\nexpected\n{b}"
        )
        return
    found = difference(a, b)
    assert found <= bounds[name], (
        f"{what}: off by {found:.3g} (bound {bounds[name]:.3g}, {name}):\n{a}\nexpected\n{b}"
    )


@dataclass(frozen=True)
class Case:
    """One sample of one operation."""

    spec: OpSpec
    index: int

    @property
    def sample(self) -> Sample:
        """The operands, the same in every process."""
        rng = np.random.default_rng([crc32(self.spec.name.encode()), 1])
        return list(self.spec.samples(rng))[self.index]

    def __str__(self) -> str:
        return f"{self.spec.name}-{self.index}"


def cases(*, gradient: bool = False) -> list[Case]:
    """Every sample of every operation; with ``gradient`` only of the differentiable ones."""
    found = []
    for spec in OPS.values():
        count = len(list(spec.samples(np.random.default_rng(1))))
        found += [
            Case(spec, i) for i in range(count) if not gradient or (spec.differentiable and not spec.random)
        ]
    return found


def _as(operand: Any, dtype: str) -> Any:
    floating = isinstance(operand, np.ndarray | np.generic) and operand.dtype.kind == "f"
    return np.asarray(operand, dtype_of(dtype).numpy) if floating else operand


def graph_of(spec: OpSpec, sample: Sample, operands: Sequence[Any], *, scalar: bool = False) -> Graph:
    """A graph of one operation; ``scalar``: its output is the sum of float results times further inputs."""
    builder = Builder(spec.name)
    inputs = [None if o is None else builder.input(f"x{i}", type_of(o)) for i, o in enumerate(operands)]
    dtype = next((type_of(o).dtype for o in operands if o is not None and type_of(o).dtype.is_float), float64)
    extra = {"regions": tuple(_region(region, dtype) for region in sample.regions)} if sample.regions else {}
    if inputs and any(i is not None for i in inputs):
        result = bind(spec, *inputs, **extra, **sample.attributes)
    else:
        result = builder.add(spec, [None] * len(inputs), dict(sample.attributes))
    outputs: list[Traced] = list(result) if isinstance(result, tuple) else [result]
    if scalar:
        total: Any = None
        for i, output in enumerate(outputs):
            if output.dtype.is_float and i not in spec.constant_results:
                term = ops.sum(ops.multiply(output, builder.input(f"weight{i}", output.type)))
                total = term if total is None else ops.add(total, term)
        outputs = [total]
    return builder.graph(outputs)


def _region(region: Graph, dtype: DType) -> Graph:
    """The body of a sample, written in float64, in the dtype of the operands."""
    return region.with_values(
        lambda value: Value(value.id, value.type.with_dtype(dtype)) if value.type.dtype == float64 else value
    )


def check_forward(backend: str, spec: OpSpec, sample: Sample, dtype: str, device: str | None = None) -> None:
    """Run one sample on a backend; assert dtype, shape and values against the NumPy reference in float64."""
    place = placement(f"{backend}:{device}" if device else backend)
    operands = [_as(operand, dtype) for operand in sample.operands]
    graph = graph_of(spec, sample, operands)
    actual = _call(place.backend, graph, [o for o in operands if o is not None], place.device)
    expected = _reference(spec, sample, [_as(o, "float64") for o in operands])
    for i, (a, e, value) in enumerate(zip(actual, expected, graph.outputs, strict=True)):
        what = f"{spec.name} result {i} on {backend} {dict(sample.attributes)}"
        if value.type.dtype.kind == "k":
            continue
        assert a.dtype == value.type.dtype.numpy, f"{what}: dtype {a.dtype}, the type rule says {value.type}"
        if spec.random:
            assert a.shape == np.shape(e), f"{what}: shape {a.shape}, expected {np.shape(e)}"
        else:
            assert_close(a, e, bounds={**FORWARD, **sample.bound}, what=what)


def check_gradient(backend: str, spec: OpSpec, sample: Sample, dtype: str, device: str | None = None) -> None:
    """Assert a backend's gradients against finite differences of the reference in float64."""
    place = placement(f"{backend}:{device}" if device else backend)
    operands = [_as(operand, dtype) for operand in sample.operands]
    wrt = [
        i for i, o in enumerate(operands)
        if isinstance(o, np.ndarray) and _is_float(o) and (sample.wrt is None or i in sample.wrt)
    ]  # fmt: skip
    wide = [_as(o, "float64") for o in operands]
    results = _reference(spec, sample, wide)
    rng = np.random.default_rng(7)
    moving = [i for i, r in enumerate(results) if _is_float(r) and i not in spec.constant_results]
    weights = {i: _as(rng.normal(size=np.shape(results[i])), dtype) for i in moving}
    if not wrt or not weights:
        return
    graph = graph_of(spec, sample, operands, scalar=True)
    program = place.backend.value_and_grad(graph, [f"x{i}" for i in wrt], place.device)
    inputs = [o for o in operands if o is not None] + list(weights.values())
    types = [value.type.dtype.name for value in graph.inputs]  # a result may have another dtype than operands
    inputs = [_as(o, name) if _is_float(o) else o for o, name in zip(inputs, types, strict=True)]
    outputs = program([_put(place.backend, o, place.device) for o in inputs], [])
    gradients = [place.backend.numpy(g) for g in outputs[1:]]

    def loss(position: int, value: np.ndarray) -> float:
        changed = [value if i == position else o for i, o in enumerate(wide)]
        found = _reference(spec, sample, changed)
        return float(sum(np.sum(found[i] * _as(w, "float64")) for i, w in weights.items()))

    for position, gradient in zip(wrt, gradients, strict=True):
        what = f"{spec.name} gradient of operand {position} on {backend} {dict(sample.attributes)}"
        assert gradient.shape == operands[position].shape, f"{what}: shape {gradient.shape}"
        directions = _directions(wide[position], rng)
        expected = np.array([_slope(partial(loss, position), wide[position], d) for d in directions])
        actual = np.array([np.sum(_as(gradient, "float64") * d) for d in directions])
        assert_close(actual.astype(gradient.dtype), expected, bounds={**GRADIENT, **sample.bound}, what=what)


def _is_float(array: Any) -> bool:
    return isinstance(array, np.ndarray | np.generic) and dtype_of(array.dtype).is_float


def _directions(x: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Every unit vector of a small operand; random unit directions of a large one."""
    if x.size <= 24:
        return [np.eye(x.size)[i].reshape(x.shape) for i in range(x.size)]
    vectors = rng.normal(size=(12, x.size))
    return [(v / np.linalg.norm(v)).reshape(x.shape) for v in vectors]


def _slope(
    function: Callable[[np.ndarray], float], x: np.ndarray, direction: np.ndarray, h: float = 5e-4
) -> float:
    """The directional derivative by the five-point central difference (error of order h**4)."""
    near = function(x + h * direction) - function(x - h * direction)
    far = function(x + 2 * h * direction) - function(x - 2 * h * direction)
    return (8 * near - far) / (12 * h)


def _reference(spec: OpSpec, sample: Sample, operands: Sequence[Any]) -> tuple[Any, ...]:
    extra: dict[str, Any] = {}
    if sample.regions:
        from unifront.ir.emit import emit
        from unifront.reference import BACKEND

        extra["regions"] = tuple(emit(region, BACKEND.rows()).function for region in sample.regions)
    with np.errstate(all="ignore"):
        result = row_of(spec)(*operands, **extra, **sample.attributes)
    return result if isinstance(result, tuple) else (result,)


def _put(backend: Backend, operand: Any, device: str) -> Any:
    return (
        backend.key(operand, device)
        if isinstance(operand, HostKey)
        else backend.array(np.asarray(operand), device)
    )


def _call(backend: Backend, graph: Graph, operands: Sequence[Any], device: str) -> list[Any]:
    natives = [_put(backend, operand, device) for operand in operands]
    outputs = backend.compile(graph, device)(natives, [])
    return [
        None if value.type.dtype.kind == "k" else backend.numpy(output)
        for output, value in zip(outputs, graph.outputs, strict=True)
    ]


def forward_tests(
    backend: str, *, dtypes: Sequence[str] = ("float64", "float32"), device: str | None = None
) -> Any:
    """A pytest function over every sample of every operation: forward."""
    import pytest

    @pytest.mark.parametrize("dtype", dtypes)
    @pytest.mark.parametrize("case", _runnable(backend, cases()), ids=str)
    def test(case: Case, dtype: str) -> None:
        check_forward(backend, case.spec, case.sample, dtype, device)

    return test


def gradient_tests(
    backend: str, *, dtypes: Sequence[str] = ("float64", "float32"), device: str | None = None
) -> Any:
    """A pytest function over every sample of every differentiable operation: gradients."""
    import pytest

    @pytest.mark.parametrize("dtype", dtypes)
    @pytest.mark.parametrize("case", _runnable(backend, cases(gradient=True)), ids=str)
    def test(case: Case, dtype: str) -> None:
        check_gradient(backend, case.spec, case.sample, dtype, device)

    return test


def row_or_reason(backend: str) -> None:
    """Assert that every operation has a row, or a reason why not."""
    rows = placement(backend).backend.rows()
    without = [
        s.name for s in OPS.values() if s not in rows.table and s not in rows.reasons and not s.decomposition
    ]
    assert not without, f"{backend} has neither a row nor a reason for: {', '.join(without)}"


def _runnable(backend: str, found: list[Case]) -> list[Case]:
    rows = placement(backend).backend.rows()
    # What has a reason beside its row runs outside of compiled programs alone.
    runs = [case for case in found if case.spec in rows.table and case.spec not in rows.reasons]
    return [case for case in runs if case.spec.name != "constant"]
