"""The variables of an optimizer: slots beside each weight, numbers of its own, in the order of Keras's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import DTypeLike, dtype_of
from unifront.errors import ArgumentError, ShapeError
from unifront.layers import initializers
from unifront.train.optimizers.numbers import HostNumber
from unifront.weights import Variable

Plan = dict[str, tuple[tuple[int, ...], Any]]
"""For each slot its shape, and its first value: a number, or `COPY`."""
AVERAGE, ACCUMULATOR = "average", "gradient_accumulator"
COPY = None
"""The first value of a slot that begins as a copy of its weight."""


class State:
    """Slots, which live beside the weights and move with them, and the numbers that the host keeps.

    ``variables`` has them in Keras's order: the number of calls, the learning rate where it is a number, averages,
    accumulators, then the slots of `slot_rounds`.
    """

    slot_names: tuple[str, ...] = ()
    """The slots of each weight, in the order in which `Optimizer.formula` and `Optimizer.rule` take them."""

    use_ema: bool
    gradient_accumulation_steps: int | None
    accumulate_examples: bool
    learning_rate: Any
    schedule: Any
    _learning_rate: Any

    def __init__(self, name: str) -> None:
        self.name = name
        self.built = False
        self._calls = 0
        self._counter: Variable | None = None
        self._rate: Variable | None = None
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._start()

    def _start(self) -> None:
        self._index = {id(variable): i for i, variable in enumerate(self._trainable_variables)}
        self._slots: dict[int, dict[str, Variable]] = {}
        self._leaves: dict[int, tuple[Any, Variable]] = {}
        self._numbers = {
            "iteration": HostNumber(f"{self.name}/iteration", "int32", self, "calls"),
            "learning_rate": HostNumber(f"{self.name}/learning_rate", "float32", self, "learning_rate"),
        }

    # ------------------------------------------------------------ numbers

    @property
    def calls(self) -> int:
        """How often gradients were applied, or gathered."""
        self._numbers["iteration"].settle()
        return self._calls if self._counter is None else int(self._counter.numpy())

    @calls.setter
    def calls(self, value: int) -> None:
        self._numbers["iteration"].settle()
        if self._counter is None:
            self._calls = int(value)
        else:
            self._counter.assign(np.asarray(value, np.int32))

    def count_on_device(self) -> None:
        """Count the calls in the graph of the step, where it depends on values whether there is one."""
        if self._counter is None:
            self._counter = Variable.at(
                f"{self.name}/iteration",
                (),
                "int32",
                initial=np.asarray(self._calls, np.int32),
                trainable=False,
                scoped=False,
            )

    def count_for_others(self) -> None:
        """Keep the calls and the learning rate in variables, for programs that ask the host for nothing: those of a
        framework's own, such as a ``tf.function``."""
        self.count_on_device()
        if self._rate is None and self.schedule is None:
            self._rate = Variable.at(
                f"{self.name}/learning_rate", (), "float32", trainable=False, scoped=False,
                initial=np.asarray(self.learning_rate, np.float32),
            )  # fmt: skip

    @property
    def _iterations(self) -> Variable:
        return self._numbers["iteration"] if self._counter is None else self._counter

    # ------------------------------------------------------------ variables

    @property
    def variables(self) -> list[Variable]:
        """The number of calls, the learning rate where it is a number, and every slot made so far."""
        return [*self._own_variables(), *self._variables]

    def _own_variables(self) -> list[Variable]:
        rate = [] if self.schedule is not None else [self._numbers["learning_rate"]]
        return [self._iterations, *rate]

    def build(self, variables: Sequence[Variable]) -> None:
        """Make the slots of ``variables`` now. Overridden as in Keras, it makes them itself."""
        new = [variable for variable in variables if id(variable) not in self._index]
        for variable in new:
            self._index[id(variable)] = len(self._trainable_variables)
            self._trainable_variables.append(variable)
        if self.use_ema:
            self.add_optimizer_variables(new, AVERAGE)
        if self.gradient_accumulation_steps:
            for variable in new:
                self.add_variable_from_reference(variable, ACCUMULATOR)
            if self.accumulate_examples and not self.built:
                self._examples = self.add_variable((), name="accumulated_examples")
        updated = [variable for variable in new if not overwritten(variable)]
        for names in self.slot_rounds():
            for variable in updated:
                plan = self.slot_plan(variable)
                for name in names:
                    if name in plan:
                        self._add_slot(variable, name, *plan[name])
        self.built = True

    def slot_rounds(self) -> Sequence[Sequence[str]]:
        """The slots that are made together for each weight, then the others: Keras's order in ``variables``."""
        return (self.slot_names,)

    def slot_plan(self, variable: Variable) -> Plan:
        """Shape and first value of each slot of ``variable``, in the order of ``slot_names``."""
        return {name: (variable.shape, self.initial(name)) for name in self.slot_names}

    def initial(self, slot: str) -> float:
        """The value that a slot starts with."""
        return 0.0

    def slot_types(self, variable: Variable) -> dict[str, tuple[int, ...]]:
        """The shapes of all slots that ``variable`` has or would have, by name."""
        found = {name: shape for name, (shape, _) in self.slot_plan(variable).items()}
        if self.use_ema:
            found[AVERAGE] = variable.shape
        if self.gradient_accumulation_steps:
            found[ACCUMULATOR] = variable.shape
        return found

    def _add_slot(self, variable: Variable, name: str, shape: tuple[int, ...], first: Any) -> Variable:
        first = variable.numpy() if first is COPY else first

        def initial() -> np.ndarray:
            value = first() if callable(first) else first
            return np.broadcast_to(np.asarray(value, variable.dtype.numpy), shape)

        slot = Variable.at(
            f"{variable.path}/{name}", shape, variable.dtype, initial=initial, trainable=False, scoped=False
        )
        self._slots.setdefault(id(variable), {})[name] = slot
        self._variables.append(slot)
        return slot

    def add_variable(
        self, shape: Sequence[int], initializer: Any = "zeros", dtype: DTypeLike | None = None,
        aggregation: str = "none", layout: Any = None, name: str | None = None,
    ) -> Variable:  # fmt: skip
        """A variable of the optimizer's own.

        Args:
            initializer: as for `uf.Layer.add_weight`.
            dtype: float32 unless given.
            aggregation, layout: taken as Keras takes them; the graph says how steps on many devices join.
            name: beside the optimizer's own.
        """
        kind = dtype_of(dtype or "float32")
        size = tuple(int(n) for n in shape)
        draws = initializers.get(initializer)
        called = name or f"variable_{len(self._variables)}"
        variable = Variable.at(
            f"{self.name}/{called}", size, kind, trainable=False, scoped=False,
            initial=lambda: initializers.drawn(draws, size, kind, np.random.default_rng(0)),
        )  # fmt: skip
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """A slot of ``reference_variable``, of its shape and dtype, called ``PATH/name``."""
        draws = initializers.get(initializer)
        shape, dtype = reference_variable.shape, reference_variable.dtype

        def first() -> np.ndarray:
            return initializers.drawn(draws, shape, dtype, np.random.default_rng(0))

        return self._add_slot(reference_variable, name or "var", shape, first)

    def add_optimizer_variables(
        self, trainable_variables: Sequence[Variable], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """A slot called ``name`` for each variable; for several names a tuple of such lists.

        A variable with ``overwrite_with_gradient`` gets None.
        """
        names = [name] if isinstance(name, str) else list(name)
        chosen = list(initializer) if isinstance(initializer, list | tuple) else [initializer] * len(names)
        if len(chosen) != len(names):
            raise ArgumentError(
                f"The number of provided names must match the number of provided initializers: {len(names)} names "
                f"and {len(chosen)} initializers were given."
            )
        found: tuple[list[Variable | None], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            for own, one, draws in zip(found, names, chosen, strict=True):
                none = overwritten(variable)
                own.append(None if none else self.add_variable_from_reference(variable, one, draws))
        return found[0] if isinstance(name, str) else found

    def ready_for(self, variables: Sequence[Variable]) -> None:
        """Build what is new among ``variables``."""
        new = [variable for variable in variables if id(variable) not in self._index]
        if not new:
            return
        if self.built and type(self).build is not State.build and not self.grows:
            raise ArgumentError(
                f"Unknown variable: {new[0].path}. {type(self).__name__} can only be called for the variables it was "
                "built with, as it defines build() itself. Make another one for other variables."
            )
        self.build(variables if not self.built else new)
        self.built = True

    grows = False
    """Whether `build` may be called again with further variables."""

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index[id(variable)]

    # ------------------------------------------------------------ slots

    def slots(self, variable: Variable) -> tuple[Variable, ...]:
        """The slots of ``variable``, made at the first call; they are called ``PATH/SLOT``."""
        self.ready_for([variable])
        return tuple(self._slots.get(id(variable), {}).values())

    def slot(self, variable: Variable, name: str) -> Variable:
        """The slot of ``variable`` called ``name``."""
        self.ready_for([variable])
        return self._slots[id(variable)][name]

    def has_slots(self, variable: Variable) -> bool:
        """Whether the slots of ``variable`` have been made."""
        return id(variable) in self._index

    def adopt(self, variables: Iterable[Variable], values: Mapping[str, np.ndarray]) -> None:
        """Set the slots of ``variables`` from ``values``, keyed ``PATH/SLOT`` (when a model is loaded)."""
        for variable in variables:
            for slot in self.slots(variable):
                if slot.path in values:
                    slot.assign(values[slot.path])

    # ------------------------------------------------------------ values

    def numbers(self) -> dict[str, Variable]:
        """The variables that belong to no weight, by a name of their own."""
        slots = {id(slot) for own in self._slots.values() for slot in own.values()}
        return {variable.name: variable for variable in self._variables if id(variable) not in slots}

    def resume(self, calls: int) -> None:
        """Go on as after so many calls."""
        self.calls = calls

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Give ``variables`` these values, in their order."""
        if not self.built:
            raise ArgumentError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. Call "
                "optimizer.build(trainable_variables) first, which makes its variables."
            )
        for variable, weight in zip(self.variables, weights, strict=False):
            value = getattr(weight, "numpy", lambda weight=weight: weight)()
            if tuple(np.shape(value)) != variable.shape:
                raise ShapeError(
                    f"The optimizer's variable {variable.path} has the shape {variable.shape}; a value of shape "
                    f"{tuple(np.shape(value))} was given."
                )
            variable.assign(value)

    def save_own_variables(self, store: Any) -> None:
        """Put the values of ``variables`` into ``store``, under ``"0"``, ``"1"`` …, as Keras's files have them."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Take the values that `save_own_variables` put; a warning, and nothing taken, if there are others."""
        if len(store.keys()) != len(self.variables):
            built = (
                "" if self.built else " This is likely because the optimizer has not been called/built yet."
            )
            warnings.warn(
                f"Skipping variable loading for optimizer '{self.name}', because it has {len(self.variables)} "
                f"variables whereas the saved optimizer has {len(store.keys())} variables.{built}",
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self.variables):
            variable.assign(np.asarray(store[str(i)]))

    # ------------------------------------------------------------ copies

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: variables are known by their identity, which is another in a copy."""
        by_id = {id(variable): variable for variable in self._trainable_variables}
        pairs = [(by_id[one], own) for one, own in self._slots.items() if one in by_id]
        kept = {
            key: value for key, value in vars(self).items() if key not in ("_index", "_numbers", "_leaves")
        }
        return {**kept, "_slots": pairs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        pairs = state.pop("_slots")
        vars(self).update(state)
        self._start()
        self._slots = {id(variable): own for variable, own in pairs}


def overwritten(variable: Variable) -> bool:
    """Whether the variable becomes its gradient, as the scales of Keras's float8 layers do."""
    return bool(getattr(variable, "overwrite_with_gradient", False))
