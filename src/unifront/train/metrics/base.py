"""What all metrics share: what they keep adding up are variables, of any shape, which a graph updates.

Within a step the state stays on the device; it is read a few times a second, and `Metric.result` is then computed on
the host, by the same ops.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Self
from weakref import ref

import numpy as np

from unifront import ops, tree
from unifront.arguments import Name, checked
from unifront.backends import use_backend
from unifront.dtypes import DType, DTypeLike, floatx
from unifront.errors import ArgumentError
from unifront.layers import initializers
from unifront.layers.arguments import DTypeName
from unifront.layers.nesting import snake_case
from unifront.opset.tensor import Builder, active_builder, backend_of_arrays, is_building, lift, update
from unifront.train.metrics.inputs import tensors
from unifront.weights import MOVING, Overlay, Variable, overlaid


class MetricVariable(Variable):
    """A variable that a metric keeps; `Metric.reset_state` and each epoch start it again."""

    def __init__(
        self, path: str, shape: Sequence[int], dtype: DTypeLike, initializer: Callable[..., Any]
    ) -> None:
        self._set(path, shape, dtype, initial=self.start, trainable=False, scoped=False)
        self.initializer = initializer
        self.follows = False
        self._claimed: ref[object] | None = None
        self._first: np.ndarray | None = None

    def claim(self, session: object) -> bool:
        """Keep the state for ``session`` alone; False if another one has it that still lives."""
        with MOVING:
            holder = None if self._claimed is None else self._claimed()
            if holder is None:
                self._claimed = ref(session)
            return holder is None or holder is session

    def release(self, session: object) -> None:
        """End a `claim`; those of others stay."""
        with MOVING:
            if self._claimed is not None and self._claimed() in (session, None):
                self._claimed = None

    def start(self) -> np.ndarray:
        """The value before the first batch."""
        if self._first is None or self._first.dtype != self.dtype.numpy:
            drawn = self.initializer(self.shape, self.dtype, np.random.default_rng(0))
            self._first = np.asarray(drawn, self.dtype.numpy)
        return self._first.copy()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "initializer": self.initializer, "follows": self.follows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._claimed = self._first = None


class Metric:
    """What all metrics share. A metric of your own makes its state in ``__init__`` and defines two methods, in ops:

        class Positives(uf.metrics.Metric):
            def __init__(self, name="positives"):
                super().__init__(name=name)
                self.count = self.add_weight(shape=(), name="count")

            def update_state(self, y_true, y_pred, sample_weight=None):
                self.count.assign_add(uf.ops.sum(uf.ops.cast(uf.ops.greater(y_pred, 0), self.dtype)))

            def result(self):
                return self.count

    Args:
        dtype: of its state; that of the model's computation, at least float32, unless given.
        name: how logs call it.

    ``goal`` says to callbacks whether less (``"min"``) or more (``"max"``) is better; None: not known. Metrics and
    variables that are attributes, or lie in lists and dicts that are, belong to its state.
    """

    goal: str | None = None

    @checked
    def __init__(self, dtype: DTypeName = None, name: Name | None = None) -> None:
        self.name = name or snake_case(type(self).__name__)
        self._dtype: DType | None = dtype  # type: ignore[assignment]  # converted by its check
        self._variables: list[MetricVariable] = []

    @property
    def dtype(self) -> DType:
        """The dtype of the state."""
        self._check_made()
        return self._dtype or floatx()

    @property
    def variables(self) -> list[Variable]:
        """What the metric keeps: its own variables, then those of metrics that it has."""
        self._check_made()
        found: dict[int, Variable] = {id(variable): variable for variable in self._variables}
        for part in self._parts():
            inner = [part] if isinstance(part, Variable) else part.variables
            found.update((id(variable), variable) for variable in inner)
        return list(found.values())

    def _parts(self) -> Iterator[Variable | Metric]:
        """The variables and metrics among the attributes, first all variables."""
        leaves = [leaf for value in vars(self).values() for leaf in tree.leaves(value)]
        for kind in (Variable, Metric):
            yield from (leaf for leaf in leaves if isinstance(leaf, kind))

    def _check_made(self) -> None:
        if "_variables" not in vars(self):
            name = type(self).__name__
            raise ArgumentError(
                f"{name} has no state yet: call super().__init__() first in {name}.__init__()."
            )

    def add_variable(
        self, shape: Sequence[int] = (), initializer: Any = "zeros", dtype: DTypeLike | None = None,
        aggregation: str | None = "sum", name: str | None = None,
    ) -> MetricVariable:  # fmt: skip
        """A variable of the metric's state.

        Args:
            shape: static sizes.
            initializer: a name, or a callable ``(shape, dtype, numpy Generator) -> array``; zeros unless given.
            dtype: the metric's unless given.
            aggregation: taken as Keras takes it; a step's graph adds up the state of the whole batch.
        """
        self._check_made()
        sizes = tuple(int(size) for size in ([shape] if isinstance(shape, int) else shape))
        path = f"{self.name}/{name or f'variable_{len(self._variables)}'}"
        start = initializers.get("zeros" if initializer is None else initializer)
        variable = MetricVariable(path, sizes, dtype or self.dtype, start)
        variable.follows = dtype is None
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: DTypeLike | None = None,
        name: str | None = None,
    ) -> MetricVariable:  # fmt: skip
        """`add_variable`, as Keras also calls it."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def computed_in(self, dtype: DType) -> None:
        """Keep the state in ``dtype`` from now on, unless one was asked for."""
        if self._dtype is None:
            for variable in self._variables:
                if variable.follows and variable.dtype != dtype:
                    variable.retype(dtype)
            self._dtype = dtype
        for part in self._parts():
            if isinstance(part, Metric):
                part.computed_in(dtype)

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Take in one batch. Overridden by every metric."""
        raise ArgumentError(f"{type(self).__name__} does not define update_state().")

    @property
    def takes_weights(self) -> bool:
        """Whether `update_state` has a third argument, for sample weights and masks."""
        parameters = inspect.signature(self.update_state).parameters.values()
        counted = [one for one in parameters if one.kind not in (one.KEYWORD_ONLY, one.VAR_KEYWORD)]
        return len(counted) > 2 or any(one.kind is one.VAR_POSITIONAL for one in counted)

    def result(self) -> Any:
        """The metric of all batches since the last reset: a tensor, or a dict of them. Overridden by every metric."""
        raise ArgumentError(f"{type(self).__name__} does not define result().")

    def reset_state(self) -> None:
        """Forget all batches."""
        for variable in self.variables:
            start = (
                variable.start()
                if isinstance(variable, MetricVariable)
                else np.zeros(variable.shape, variable.dtype.numpy)
            )
            if is_building():
                update(variable, start)
            else:
                variable.assign(start)

    def stateless_update_state(self, metric_variables: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """What `update_state` makes of a state that is given, which may be traced by ``jax.jit`` and its like.

        Args:
            metric_variables: a value for each of `variables`, which keep theirs.
            args, kwargs: those of `update_state`.

        Returns:
            The new values, in the same order. Raises `ArgumentError` for another number of values.
        """
        with self._given(metric_variables, (args, kwargs)) as state:
            self.update_state(*args, **kwargs)
            return state()

    def stateless_result(self, metric_variables: Sequence[Any]) -> Any:
        """`result` of a state that is given; see `stateless_update_state`."""
        with self._given(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list[Any]:
        """The state before the first batch: a value for each of `variables`, which keep theirs."""
        with self._given(self.variables) as state:
            self.reset_state()
            return state()

    @contextmanager
    def _given(self, values: Sequence[Any], others: Any = ()) -> Iterator[Callable[[], list[Any]]]:
        """A block in which ``values`` stand for the variables; gives a function that reads them."""
        variables = self.variables
        if len(values) != len(variables):
            raise ArgumentError(
                f"{type(self).__name__} keeps {len(variables)} variables; values for {len(values)} were given."
            )
        builder = active_builder()
        with backend_of_arrays([*tree.leaves(values), *tree.leaves(others)]):
            given = [
                ops.cast(_of_its_own(value), variable.dtype)
                for variable, value in zip(variables, values, strict=True)
            ]
            with _in_graph(builder, variables, given) if builder is not None else _eager(variables, given):
                yield lambda: [ops.cast(_of_its_own(variable), variable.dtype) for variable in variables]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """`update_state`, then `result`."""
        self._check_made()
        with backend_of_arrays([args, kwargs]):
            self.update_state(*args, **kwargs)
            return self.result()

    def result_of(self, values: Mapping[int, np.ndarray]) -> Any:
        """`result` on the host, for the values that variables (by their ids) have."""
        with overlaid(Overlay(dict(values), is_told=False)), use_backend("numpy"), np.errstate(all="ignore"):
            return tree.map_leaves(_computed, self.result())

    def get_config(self) -> dict[str, Any]:
        """The arguments that make a metric like this one."""
        return {"name": self.name, "dtype": None if self._dtype is None else self._dtype.name}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """A new metric from what `get_config` gave, here or in Keras."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = {k: v for k, v in self.get_config().items() if v is not None}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"


def as_logs(name: str, result: Any) -> dict[str, Any]:
    """What logs say of a ``result`` computed on the host: floats, arrays where there are several numbers.

    A dict gives each entry under its own name, as in Keras.
    """
    entries = result if isinstance(result, Mapping) else {name: result}
    return {one: float(value) if np.ndim(value) == 0 else np.asarray(value) for one, value in entries.items()}


def _computed(leaf: Any) -> Any:
    return ops.convert_to_tensor(leaf) if isinstance(leaf, Variable) else leaf


def _of_its_own(value: Any) -> Any:
    """``value`` as a tensor; of a variable a copy, which does not change with it."""
    return ops.copy(value) if isinstance(value, Variable) else tensors(value)[0]


def _eager(variables: Sequence[Variable], values: Sequence[Any]) -> AbstractContextManager[Any]:
    return overlaid(Overlay({id(v): value for v, value in zip(variables, values, strict=True)}))


@contextmanager
def _in_graph(builder: Builder, variables: Sequence[Variable], values: Sequence[Any]) -> Iterator[None]:
    """A block in which the graph being traced has ``values`` for ``variables``, and takes no updates of them."""
    before = dict(builder.updates)
    for variable, value in zip(variables, values, strict=True):
        builder.updates[id(variable)] = (variable, lift(value, builder))
    try:
        yield
    finally:
        builder.updates.clear()
        builder.updates.update(before)
