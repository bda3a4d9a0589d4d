"""The NumPy interpreter: the backend ``numpy``, and the judge between the others.

Every operation runs its `OpSpec.reference`. float16 and bfloat16 are computed in float32 and rounded at
the end of each operation, so that the judge is better than what it judges.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from unifront.backends import Array, Backend, HostKey, Step, StepPlan, StepState, installed
from unifront.dtypes import dtype_of, key
from unifront.errors import ArgumentError, UnsupportedOp
from unifront.ir import passes
from unifront.ir.emit import Program, Rows, emit
from unifront.ir.graph import Graph, Node, Op
from unifront.ir.types import TensorType
from unifront.opset.bounds import check_indices, index_bounds
from unifront.opset.spec import OPS, OpSpec

_HALF = frozenset({"float16", "bfloat16"})
FORWARD = {
    "float64": 1e-12, "float32": 1e-5, "bfloat16": 2e-2, "float16": 2e-2, "complex128": 1e-12, "complex64": 1e-5,
}  # fmt: skip
"""How far from each other two computations of the same may be, relative to the largest magnitude compared."""


def difference(actual: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest finite magnitude; infinite where NaN differs."""
    if np.iscomplexobj(actual) or np.iscomplexobj(expected):
        actual, expected = (np.stack([np.real(x), np.imag(x)]) for x in (actual, expected))
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


def array_type(array: Any) -> TensorType:
    """The type of a NumPy array or host key."""
    if isinstance(array, HostKey):
        return TensorType(key)
    return TensorType(dtype_of(np.asarray(array).dtype), np.shape(array))


def row_of(spec: OpSpec) -> Callable[..., Any]:
    """A callable that runs the reference and gives exactly the dtypes that the type rule says."""

    def row(*operands: Any, **attributes: Any) -> Any:
        if "regions" in attributes:  # bodies round what they compute; the operation itself only passes it on
            return spec.reference(*operands, **attributes)
        result = spec.reference(*(_widen(operand) for operand in operands), **attributes)
        several = isinstance(result, tuple)
        types = spec.infer(*(None if o is None else array_type(o) for o in operands), **attributes)
        results = tuple(
            r if isinstance(r, HostKey) else np.asarray(r, t.dtype.numpy)
            for r, t in zip(result if several else (result,), types, strict=True)
        )
        return results if several else results[0]

    return row


def _typed_row(
    op: Op, types: Sequence[TensorType | None], attributes: Mapping[str, Any]
) -> Callable[..., Any]:
    """`row_of` for operands of ``types`` alone, whose dtypes are known."""
    assert isinstance(op, OpSpec)
    results = op.infer(*types, **attributes)
    if len(results) > 1 or any(t.dtype.kind == "k" or t.dtype.name in _HALF for t in (*types, *results) if t):
        return row_of(op)
    reference, dtype = op.reference, results[0].dtype.numpy
    return lambda *operands, **given: np.asarray(reference(*operands, **given), dtype)


def evaluate(node: Node, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The results of one node without bodies on arrays: what `unifront.ir.passes.fold_constants` asks for."""
    assert isinstance(node.op, OpSpec)
    with np.errstate(all="ignore"):
        result = row_of(node.op)(*operands, **node.attributes)
    return result if isinstance(result, tuple) else (result,)


@cache
def _standard() -> tuple[passes.Pass, ...]:
    return passes.standard(OPS, evaluate)


def simplified(graph: Graph) -> Graph:
    """``graph`` after the passes that do any graph good (`unifront.ir.passes.standard`)."""
    return passes.run(graph, {}, _standard())[0]


def _widen(operand: Any) -> Any:
    if isinstance(operand, np.ndarray | np.generic) and operand.dtype.name in _HALF:
        return operand.astype(np.float32)
    return operand


class _References(Mapping[Op, Callable[..., Any]]):
    """The table in which every operation has a row, those to come too."""

    def __init__(self) -> None:
        self._made: dict[OpSpec, Callable[..., Any]] = {}

    def __getitem__(self, op: Op) -> Callable[..., Any]:
        if not isinstance(op, OpSpec):
            raise KeyError(op)
        if op not in self._made:
            self._made[op] = row_of(op)
        return self._made[op]

    def __contains__(self, op: object) -> bool:
        return isinstance(op, OpSpec)

    def __iter__(self) -> Iterator[Op]:
        return iter(OPS.values())

    def __len__(self) -> int:
        return len(OPS)


class NumPyBackend(Backend):
    """Runs graphs on the host, one operation at a time. It does not differentiate, so it does not train."""

    name = "numpy"

    def __init__(self) -> None:
        self._table = _References()

    def rows(self, device: str | None = None) -> Rows:
        return Rows(
            self.name,
            self._table,
            np.asarray,
            lambda array, axis: array.shape[axis],
            {},
            {},
            typed=_typed_row,
        )

    def signature(self, kind: type) -> Callable[[Array], Hashable] | None:
        return (lambda array: (kind, array.dtype, array.shape)) if kind is np.ndarray else None

    def devices(self) -> tuple[str, ...]:
        return ("cpu",)

    def version(self) -> str:
        return np.__version__

    def array(self, value: np.ndarray, device: str | None = None) -> Array:
        return np.array(value)

    def numpy(self, array: Array) -> np.ndarray:
        return np.asarray(array)

    def type_of(self, array: Array) -> TensorType:
        return array_type(array)

    def key(self, seed: int, device: str | None = None) -> HostKey:
        return HostKey(seed)

    def synchronize(self, device: str | None = None) -> None:
        """Nothing to wait for."""

    def compile(self, graph: Graph, device: str | None = None) -> _Compiled:
        return _Compiled(emit(graph, self.rows(device)), graph)

    def recordable(self, graph: Graph, device: str | None = None) -> _Compiled:
        if any(node.op.name == "gradient" for node in graph.nodes):
            raise _no_gradient()  # what judges other backends, by differences, is no way to compute
        return self.compile(graph, device)

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> _Compiled:
        raise _no_gradient()

    def step(self, plan: StepPlan, state: StepState, device: str | None = None) -> Step:
        if any(node.op.name == "gradient" for node in plan.graph.nodes):
            raise _no_gradient()
        return _Step(plan, state, emit(plan.graph, self.rows(device)))

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        """A function of the inputs, running ``inference`` with copies of ``values``; one output is bare.

        Where the model draws random numbers in inference, the function takes ``key=uf.random_key(seed)`` too.
        """
        compiled = self.compile(inference)
        variables = tuple(np.array(values[variable.name]) for variable in inference.variables)
        single = len(inference.outputs) == 1

        def run(*inputs: Array, key: HostKey | None = None) -> Any:
            if key is None and inference.takes_key:
                raise ArgumentError(
                    "The model draws random numbers in inference. Try: net(..., key=uf.random_key(0))"
                )
            outputs = compiled((*inputs, key) if inference.takes_key else inputs, variables)
            return outputs[0] if single else outputs

        return run


def _no_gradient() -> UnsupportedOp:
    trains = [name for name in installed() if name != "numpy"]
    advice = f"Say backend={trains[0]!r}" if trains else 'Install one that has: pip install "unifront[torch]"'
    return UnsupportedOp(
        f"The backend 'numpy' runs models but does not train them: it has no gradients. {advice}."
    )


class _Compiled:
    def __init__(self, program: Program, graph: Graph) -> None:
        self._graph, self._bounds = graph, index_bounds(graph)
        self.storage, self.source, self._function = program.storage, program.source, program.function

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        check_indices(self._graph, self._bounds, inputs)
        with np.errstate(all="ignore"):
            return self._function(tuple(inputs), tuple(variables))


class _Step:
    """A plan run by the interpreter; see `unifront.backends.Step`."""

    def __init__(self, plan: StepPlan, state: StepState, program: Program) -> None:
        self.plan, self.state, self.storage, self._function = plan, state, program.storage, program.function
        inputs = plan.graph.inputs
        self._types = [value.type.dtype.numpy for value in inputs[len(inputs) - plan.counters :]]

    def __call__(self, batch: Sequence[Array], counters: Sequence[float]) -> None:
        state = self.state
        numbers = [np.asarray(n, dtype) for n, dtype in zip(counters, self._types, strict=True)]
        key = (state.key,) if self.plan.has_key else ()
        with np.errstate(all="ignore"):
            outputs = self._function((*batch, *key, *numbers), tuple(state.variables))
        state.results = outputs[: self.plan.results]
        for position, value in zip(self.plan.carry, outputs[self.plan.results :], strict=True):
            state.variables[position] = np.array(value)

    def run(self, arrays: Sequence[Array], indices: np.ndarray, counters: Sequence[Sequence[float]]) -> None:
        """Runs on batches of ``arrays``."""
        for rows, own in zip(indices, counters, strict=True):
            self([array[rows] for array in arrays], own)


BACKEND = NumPyBackend()
