"""The conformance suite, which any backend can run on itself, and the one `assert_close`.

    from unifront import testing

    test_forward = testing.forward_tests("my_backend")
    test_dtypes = testing.dtype_tests("my_backend")
    test_gradient = testing.gradient_tests("my_backend")

is the whole of a test file outside this repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from zlib import crc32

import ml_dtypes
import numpy as np

from unifront import ops
from unifront.backends import Backend, HostKey, placement
from unifront.dtypes import DType, dtype_of, float64
from unifront.errors import ArgumentError, DTypeError
from unifront.ir.graph import Graph, Value
from unifront.opset import activation, bitwise, casting, comparison, elementwise, special, trigonometry
from unifront.opset.spec import OPS, OpSpec, Sample
from unifront.opset.tensor import Builder, Traced, bind, type_of
from unifront.reference import FORWARD as FORWARD
from unifront.reference import difference as difference
from unifront.reference import row_of

GRADIENT = {"float64": 1e-8, "float32": 1e-4, "bfloat16": 2e-2, "float16": 2e-2}
"""The bounds of every comparison, relative to the largest magnitude compared."""


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
    if not (dtype_of(name).is_float or dtype_of(name).is_complex):
        assert np.array_equal(a, b), (
            f"{what}: {np.sum(a != b)} of {a.size} elements differ:\n{a}\nexpected\n{b}"
        )
        return
    found = difference(a, b)
    assert found <= bounds[name], (
        f"{what}: off by {found:.3g} (bound {bounds[name]:.3g}, {name}):\n{a}\nexpected\n{b}"
    )


EACH = {"float64": 1e-13, "float32": 4e-6, "bfloat16": 2e-2, "float16": 4e-3}
"""The bounds of single elements, relative to the element itself."""
ELEMENTWISE = frozenset(
    spec
    for family in (activation, bitwise, casting, comparison, elementwise, special, trigonometry)
    for spec in vars(family).values()
    if isinstance(spec, OpSpec)
)
"""The operations on single elements."""


def assert_each_close(actual: np.ndarray, expected: Any, *, what: str = "result") -> None:
    """Assert that every finite element agrees within the bound of its dtype relative to itself (`EACH`).

    A number too small for all digits of the dtype (a subnormal one) may be zero.
    """
    name = dtype_of(actual.dtype).name
    if name not in EACH or actual.size == 0:
        return
    a, e = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    least = float(ml_dtypes.finfo(actual.dtype).tiny)
    with np.errstate(invalid="ignore"):
        off = (np.abs(a - e) > EACH[name] * np.abs(e) + least) & np.isfinite(e)
    assert not off.any(), (
        f"{what}: {off.sum()} of {off.size} elements are off, the first at {tuple(map(int, np.argwhere(off)[0]))}: "
        f"{a[off][0]}, expected {e[off][0]}"
    )


@dataclass(frozen=True)
class Case:
    """One sample of one operation."""

    spec: OpSpec
    index: int

    @property
    def sample(self) -> Sample:
        """The operands, the same in every process."""
        return samples_of(self.spec)[self.index]

    def __str__(self) -> str:
        return f"{self.spec.name}-{self.index}"


def samples_of(spec: OpSpec) -> list[Sample]:
    """The samples of an operation, the same in every process."""
    return list(spec.samples(np.random.default_rng([crc32(spec.name.encode()), 1])))


def operations(*, gradient: bool = False) -> list[OpSpec]:
    """Every operation; with ``gradient`` the differentiable ones."""
    return [spec for spec in OPS.values() if not gradient or (spec.differentiable and not spec.random)]


def cases() -> list[Case]:
    """Every sample of every operation."""
    return [Case(spec, i) for spec in OPS.values() for i in range(len(samples_of(spec)))]


def _as(operand: Any, dtype: str) -> Any:
    kind = operand.dtype.kind if isinstance(operand, np.ndarray | np.generic) else None
    if kind == "c":
        return np.asarray(operand, "complex128" if dtype == "float64" else "complex64")
    return np.asarray(operand, dtype_of(dtype).numpy) if kind == "f" else operand


def _apply(
    builder: Builder, prefix: str, spec: OpSpec, sample: Sample, operands: Sequence[Any]
) -> list[Traced]:
    """The results of one sample in a graph, on inputs of its own."""
    inputs = [
        None if o is None else builder.input(f"{prefix}x{i}", type_of(o)) for i, o in enumerate(operands)
    ]
    dtype = next((type_of(o).dtype for o in operands if o is not None and type_of(o).dtype.is_float), float64)
    extra = {"regions": tuple(_region(region, dtype) for region in sample.regions)} if sample.regions else {}
    if any(i is not None for i in inputs):
        return _results(spec, bind(spec, *inputs, **extra, **sample.attributes))
    return list(builder.add(spec, [None] * len(inputs), dict(sample.attributes)))


def _results(spec: OpSpec, result: Any) -> list[Any]:
    """What of the results of ``spec`` is compared."""
    results = result if isinstance(result, tuple) else (result,)
    return list(results if spec.judged is None else spec.judged(*results))


def _region(region: Graph, dtype: DType) -> Graph:
    """The body of a sample, written in float64, in the dtype of the operands."""
    return region.with_values(
        lambda value: Value(value.id, value.type.with_dtype(dtype)) if value.type.dtype == float64 else value
    )


def check_forward(
    backend: str, spec: OpSpec, samples: Sequence[Sample], dtype: str, device: str | None = None
) -> None:
    """Run samples of an operation, all in one program; assert dtypes, shapes and values against the NumPy
    reference in float64. Of operations of single elements each element is judged by itself too."""
    operands = [[_as(operand, dtype) for operand in sample.operands] for sample in samples]
    _check(backend, spec, samples, operands, device)


def _check(
    backend: str,
    spec: OpSpec,
    samples: Sequence[Sample],
    operands: Sequence[Sequence[Any]],
    device: str | None,
) -> None:
    place = placement(f"{backend}:{device}" if device else backend)
    builder, results = Builder(spec.name), []
    for n, (sample, own) in enumerate(zip(samples, operands, strict=True)):
        results.append(_apply(builder, f"s{n}_", spec, sample, own))
    graph = builder.graph([output for outputs in results for output in outputs])
    found = iter(
        _call(place.backend, graph, [o for own in operands for o in own if o is not None], place.device)
    )
    for sample, own, outputs in zip(samples, operands, results, strict=True):
        expected = _reference(spec, sample, [_wide(o) for o in own])
        for i, (output, e) in enumerate(zip(outputs, expected, strict=True)):
            given = next((f" of {o.dtype}" for o in own if isinstance(o, np.ndarray | np.generic)), "")
            what = f"{spec.name} result {i}{given} on {backend} {dict(sample.attributes)}"
            a = next(found)
            if output.dtype.kind == "k":
                continue
            assert a.dtype == output.dtype.numpy, f"{what}: dtype {a.dtype}, the type rule says {output.type}"
            if spec.random:
                assert a.shape == np.shape(e), f"{what}: shape {a.shape}, expected {np.shape(e)}"
                continue
            assert_close(a, e, bounds={**FORWARD, **sample.bound}, what=what)
            if spec in ELEMENTWISE and a.dtype.itemsize > 2:  # a half near zero may have lost all its digits
                assert_each_close(a, e, what=what)


OTHER_DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "float16", "bfloat16",
)  # fmt: skip
"""What operations take beside float32 and float64, where their type rules let them."""


def check_dtypes(
    backend: str, spec: OpSpec, samples: Sequence[Sample], dtype: str = "", device: str | None = None
) -> None:
    """As `check_forward`, of float operands cast to each of `OTHER_DTYPES` that the type rule admits.

    All of it is one program. The reference judges halves in float64, and integers as they are.
    """
    kept: list[Sample] = []
    operands: list[list[Any]] = []
    for sample in samples:
        if spec.random or sample.regions or not any(map(_is_float, sample.operands)):
            continue
        for name in (dtype,) if dtype else OTHER_DTYPES:
            own = [_recast(o, name, spec) if _is_float(o) else o for o in sample.operands]
            if _admits(spec, own, sample):
                kept.append(sample)
                operands.append(own)
    if kept:
        _check(backend, spec, kept, operands, device)


def _admits(spec: OpSpec, operands: Sequence[Any], sample: Sample) -> bool:
    try:
        spec.infer(*(None if o is None else type_of(o) for o in operands), **sample.attributes)
    except (DTypeError, ArgumentError):
        return False
    return True


def _recast(operand: np.ndarray, dtype: str, spec: OpSpec) -> np.ndarray:
    """Floats about one as other numbers: booleans by their sign, integers from three times them."""
    kind = dtype_of(dtype)
    if kind.is_float:
        return np.asarray(operand, kind.numpy)
    if kind.kind == "b":
        return np.asarray(operand > 0)
    whole = np.rint(3 * np.nan_to_num(operand, posinf=0, neginf=0))
    not_negative = kind.kind == "u" or spec is elementwise.POWER  # NumPy takes no negative power of integers
    return np.asarray(np.abs(whole) if not_negative else whole, kind.numpy)


def _wide(operand: Any) -> Any:
    """A float operand in float64."""
    return np.asarray(operand, np.float64) if _is_float(operand) else _as(operand, "float64")


def check_gradient(
    backend: str, spec: OpSpec, samples: Sequence[Sample], dtype: str, device: str | None = None
) -> None:
    """Assert a backend's gradients, all in one program, against finite differences of the reference in float64."""
    place = placement(f"{backend}:{device}" if device else backend)
    slopes = [slope for sample in samples if (slope := _Slopes(spec, sample, dtype)).is_needed]
    if not slopes:
        return
    builder = Builder(spec.name)
    total: Any = None
    for n, slope in enumerate(slopes):
        term = slope.term(builder, f"s{n}_")
        total = term if total is None else ops.add(total, term)
    wrt = [f"s{n}_x{i}" for n, slope in enumerate(slopes) for i in slope.wrt]
    graph = builder.graph([total])
    program = place.backend.value_and_grad(graph, wrt, place.device)
    given = {name: array for n, slope in enumerate(slopes) for name, array in slope.inputs(f"s{n}_").items()}
    natives = [_put(place.backend, given[name], place.device) for name in graph.input_names]
    gradients = iter(program(natives, [])[1:])
    for slope in slopes:
        slope.check([place.backend.numpy(next(gradients)) for _ in slope.wrt], backend)


class _Slopes:
    """One sample, and the sum of its results times ``weights``, whose gradient is checked."""

    def __init__(self, spec: OpSpec, sample: Sample, dtype: str) -> None:
        self.spec, self.sample = spec, sample
        self.operands = [_as(operand, dtype) for operand in sample.operands]
        self.wrt = [
            i for i, o in enumerate(self.operands)
            if isinstance(o, np.ndarray) and _is_float(o) and (sample.wrt is None or i in sample.wrt)
        ]  # fmt: skip
        self.wide = [_as(o, "float64") for o in self.operands]
        results = _reference(spec, sample, self.wide)
        self.rng = np.random.default_rng(7)
        moving = [i for i, r in enumerate(results) if _is_float(r) and i not in spec.constant_results]
        self.weights = {i: _as(self.rng.normal(size=np.shape(results[i])), dtype) for i in moving}
        self.is_needed = bool(self.wrt and self.weights)

    def term(self, builder: Builder, prefix: str) -> Any:
        """The sum, in a graph."""
        total: Any = None
        for i, output in enumerate(_apply(builder, prefix, self.spec, self.sample, self.operands)):
            if i in self.weights:  # a result may have another dtype than the operands
                self.weights[i] = _as(self.weights[i], output.dtype.name)
                weight = builder.input(f"{prefix}weight{i}", output.type)
                term = ops.cast(ops.sum(ops.multiply(output, weight)), self._dtype)
                total = term if total is None else ops.add(total, term)
        return total

    @property
    def _dtype(self) -> DType:
        return dtype_of(self.operands[self.wrt[0]].dtype)

    def inputs(self, prefix: str) -> dict[str, Any]:
        """The arrays for the inputs of `term`."""
        found = {f"{prefix}x{i}": o for i, o in enumerate(self.operands) if o is not None}
        return {**found, **{f"{prefix}weight{i}": weight for i, weight in self.weights.items()}}

    def _sum(self, position: int, value: np.ndarray) -> float:
        changed = [value if i == position else o for i, o in enumerate(self.wide)]
        found = _reference(self.spec, self.sample, changed)
        return float(sum(np.sum(found[i] * _as(w, "float64")) for i, w in self.weights.items()))

    def check(self, gradients: Sequence[np.ndarray], backend: str) -> None:
        bounds = {**GRADIENT, **self.sample.bound}
        for position, gradient in zip(self.wrt, gradients, strict=True):
            what = (
                f"{self.spec.name} gradient of operand {position} on {backend} {dict(self.sample.attributes)}"
            )
            assert gradient.shape == self.operands[position].shape, f"{what}: shape {gradient.shape}"
            directions = _directions(self.wide[position], self.rng)
            loss = partial(self._sum, position)
            expected = np.array([_slope(loss, self.wide[position], d) for d in directions])
            actual = np.array([np.sum(_as(gradient, "float64") * d) for d in directions])
            assert_close(actual.astype(gradient.dtype), expected, bounds=bounds, what=what)


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
        return tuple(_results(spec, row_of(spec)(*operands, **extra, **sample.attributes)))


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
    """A pytest function over every operation, with all its samples: forward."""
    return _tests(backend, check_forward, operations(), dtypes, device)


def dtype_tests(backend: str, *, device: str | None = None) -> Any:
    """A pytest function over every operation: forward, in all the other dtypes that it takes (`OTHER_DTYPES`)."""
    return _tests(backend, check_dtypes, operations(), ("",), device)


def gradient_tests(
    backend: str, *, dtypes: Sequence[str] = ("float64", "float32"), device: str | None = None
) -> Any:
    """A pytest function over every differentiable operation, with all its samples: gradients."""
    return _tests(backend, check_gradient, operations(gradient=True), dtypes, device)


def _tests(
    backend: str, check: Callable[..., None], specs: list[OpSpec], dtypes: Sequence[str], device: str | None
) -> Any:
    import pytest

    reasons = placement(backend).backend.rows().reasons

    @pytest.mark.parametrize("dtype", dtypes)
    @pytest.mark.parametrize("spec", [spec for spec in specs if spec not in reasons], ids=lambda s: s.name)
    def test(spec: OpSpec, dtype: str) -> None:
        check_all(check, backend, spec, dtype, device)

    return test


def check_all(
    check: Callable[..., None], backend: str, spec: OpSpec, dtype: str, device: str | None = None
) -> None:
    """`check_forward` or `check_gradient` of all samples in one program; if that fails, of each by itself, so
    that the error is that of one sample where one is at fault."""
    samples = samples_of(spec)
    try:
        check(backend, spec, samples, dtype, device)
    except Exception:
        for sample in samples:
            check(backend, spec, [sample], dtype, device)
        raise


def row_or_reason(backend: str) -> None:
    """Assert that every operation has a row, or a reason why not."""
    rows = placement(backend).backend.rows()
    without = [
        s.name for s in OPS.values() if s not in rows.table and s not in rows.reasons and not s.decomposition
    ]
    assert not without, f"{backend} has neither a row nor a reason for: {', '.join(without)}"
