"""The NumPy interpreter: the backend ``numpy``, and the judge between the others.

Every operation runs its `OpSpec.reference`. float16 and bfloat16 are computed in float32 and rounded at
the end of each operation, so that the judge is better than what it judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unifront.backends import Array, HostKey, TrainPlan, TrainState, TrainStep, installed
from unifront.dtypes import dtype_of, key
from unifront.errors import UnsupportedOp
from unifront.ir import passes
from unifront.ir.emit import Program, Rows, emit
from unifront.ir.graph import Graph, Node
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS, OpSpec

_HALF = frozenset({"float16", "bfloat16"})


def array_type(array: Any) -> TensorType:
    """The type of a NumPy array or host key."""
    if isinstance(array, HostKey):
        return TensorType(key)
    return TensorType(dtype_of(np.asarray(array).dtype), np.shape(array))


def row_of(spec: OpSpec) -> Callable[..., Any]:
    """A callable that runs the reference and gives exactly the dtypes that the type rule says."""

    def row(*operands: Any, **attributes: Any) -> Any:
        regions = attributes.pop("regions", None)
        extra = {"regions": regions} if regions else {}
        wide = [_widen(operand) for operand in operands]
        result = spec.reference(*wide, **extra, **attributes)
        several = isinstance(result, tuple)
        results = result if several else (result,)
        # The rule of an operation with bodies needs their graphs, not at hand here: results stay as they are.
        if regions is None:
            types = spec.infer(*(None if o is None else array_type(o) for o in operands), **attributes)
            results = tuple(
                r if isinstance(r, HostKey) else np.asarray(r, t.dtype.numpy)
                for r, t in zip(results, types, strict=True)
            )
        return tuple(results) if several else results[0]

    return row


def evaluate(node: Node, operands: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """The results of one node without bodies on arrays: what `unifront.ir.passes.fold_constants` asks for."""
    assert isinstance(node.op, OpSpec)
    with np.errstate(all="ignore"):
        result = row_of(node.op)(*operands, **node.attributes)
    return result if isinstance(result, tuple) else (result,)


def simplified(graph: Graph) -> Graph:
    """``graph`` after the passes that do any graph good (`unifront.ir.passes.standard`)."""
    return passes.run(graph, passes.standard(OPS, evaluate))


def _widen(operand: Any) -> Any:
    if isinstance(operand, np.ndarray) and operand.dtype.name in _HALF:
        return operand.astype(np.float32)
    return operand


class NumPyBackend:
    """Runs graphs on the host, one operation at a time. It does not differentiate, so it does not train."""

    name = "numpy"

    def __init__(self) -> None:
        self._table: Mapping[Any, Callable[..., Any]] = {}

    def rows(self, device: str | None = None) -> Rows:
        if len(self._table) != len(OPS):
            self._table = {spec: row_of(spec) for spec in OPS.values()}
        return Rows(self.name, self._table, np.asarray, lambda array, axis: array.shape[axis], {}, {})

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
        return _Compiled(emit(graph, self.rows(device)))

    def value_and_grad(self, graph: Graph, wrt: Sequence[str], device: str | None = None) -> _Compiled:
        raise _no_gradient()

    def train_step(self, plan: TrainPlan, state: TrainState, device: str | None = None) -> TrainStep:
        raise _no_gradient()

    def module(
        self, training: Graph, inference: Graph, values: Mapping[str, np.ndarray], updates: Sequence[str],
        device: str | None = None,
    ) -> Any:  # fmt: skip
        """A function of the inputs, running ``inference`` with copies of ``values``; one output is bare."""
        compiled = self.compile(inference)
        variables = tuple(np.array(values[variable.name]) for variable in inference.variables)
        single = len(inference.outputs) == 1

        def run(*inputs: Array) -> Any:
            outputs = compiled(inputs, variables)
            return outputs[0] if single else outputs

        return run


def _no_gradient() -> UnsupportedOp:
    trains = [name for name in installed() if name != "numpy"]
    advice = f"Say backend={trains[0]!r}" if trains else 'Install one that has: pip install "unifront[torch]"'
    return UnsupportedOp(
        f"The backend 'numpy' runs models but does not train them: it has no gradients. {advice}."
    )


class _Compiled:
    def __init__(self, program: Program) -> None:
        self.storage, self.source, self._function = program.storage, program.source, program.function

    def __call__(self, inputs: Sequence[Array], variables: Sequence[Array]) -> tuple[Array, ...]:
        with np.errstate(all="ignore"):
            return self._function(tuple(inputs), tuple(variables))


BACKEND = NumPyBackend()
