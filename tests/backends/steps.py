"""What the tests of compiled steps share: a step run by a backend, the rules, and an MLP trained by hand in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.backends import StepState, placement
from unifront.dtypes import float64, int64
from unifront.gradients import value_and_grad
from unifront.ir.dims import symbol
from unifront.ir.layouts import storage_of
from unifront.ir.types import TensorType
from unifront.opset import optimize
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import update
from unifront.reference import row_of
from unifront.trace import current_context
from unifront.train.optimizers import Optimizer
from unifront.train.step import TracedStep, trace_step
from unifront.weights import Variable

SIZE, HIDDEN, CLASSES = 6, 5, 3
BATCH = symbol("batch")
TYPES = {"x": TensorType(float64, (BATCH, SIZE)), "y": TensorType(int64, (BATCH,))}


class Running:
    """A traced step run by a backend, from the values that its variables have."""

    def __init__(self, backend: str, traced: TracedStep, seed: int = 0) -> None:
        self.place = placement(backend)
        self.backend, self.traced, self.plan, self.seed = self.place.backend, traced, traced.plan, seed
        self.layouts = storage_of(self.plan.graph, self.backend.rows(self.place.device).storage)
        self.step: Any = self.backend.step(self.plan, self.start(), self.place.device)
        self.done = 0
        self.calls = [optimizer.calls for optimizer, _ in traced.optimizers]

    def start(self) -> StepState:
        """The state to start from."""
        pairs = zip(self.traced.variables, self.layouts, strict=True)
        values = [self.native(variable.numpy(), layout) for variable, layout in pairs]
        key = self.backend.key(self.seed, self.place.device) if self.plan.has_key else None
        return StepState(values, key)

    def native(self, value: Any, layout: Any = None) -> Any:
        """``value`` on the device."""
        array = self.backend.array(np.asarray(value), self.place.device)
        return array if layout is None else layout.to_native(array)

    def counters(self, ahead: int) -> list[float]:
        for (optimizer, per_run), calls in zip(self.traced.optimizers, self.calls, strict=True):
            optimizer.calls = calls + self.done * per_run  # each run of a test counts on its own
        return [counter.value(ahead, self.done) for counter in self.traced.counters]

    def __call__(self, *batch: Any) -> None:
        self.step([self.native(array) for array in batch], self.counters(0))
        self.done += 1

    def run(self, arrays: Sequence[Any], indices: np.ndarray) -> None:
        counters = [self.counters(ahead) for ahead in range(len(indices))]
        self.step.run([self.native(array) for array in arrays], indices, counters)
        self.done += len(indices)

    def results(self) -> list[np.ndarray]:
        """The results of the last run."""
        return [np.array(self.backend.numpy(result)) for result in self.step.state.results]

    def values(self) -> dict[str, np.ndarray]:
        """The value of every variable by its path, as Keras lays it out."""
        triples = zip(self.plan.graph.variables, self.step.state.variables, self.layouts, strict=True)
        return {
            variable.name: np.array(
                self.backend.numpy(value if layout is None else layout.from_native(value))
            )
            for variable, value, layout in triples
        }


def traced(function: Callable[..., Any], **types: TensorType) -> TracedStep:
    """The step ``function(*inputs)``."""
    names = list(range(len(types)))
    return trace_step("step", lambda data: function(*data), names, types, training=True)


def variable(path: str, value: Any, **options: Any) -> Variable:
    """A float64 variable."""
    array = np.asarray(value, np.float64)
    return Variable.at(path, array.shape, "float64", initial=array, **options)


class Rule(Optimizer):
    """An optimizer by any rule."""

    def __init__(
        self, spec: OpSpec, attributes: Mapping[str, Any] | None = None, slots: int = 0,
        learning_rate: Any = 0.01, **options: Any,
    ) -> None:  # fmt: skip
        own = dict(attributes or {})
        super().__init__(learning_rate, **{"weight_decay": own.pop("weight_decay", 0.0), **options})
        self.spec, self.attributes = spec, own
        self.slot_names = tuple(f"slot_{i}" for i in range(slots))

    def rule(self) -> tuple[OpSpec, Mapping[str, Any]]:
        return self.spec, self.attributes


RULES: dict[str, tuple[OpSpec, dict[str, Any], int]] = {
    "sgd": (optimize.SGD_UPDATE, {"weight_decay": 0.0}, 0),
    "sgd decayed": (optimize.SGD_UPDATE, {"weight_decay": 0.1}, 0),
    "momentum": (optimize.MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0}, 1),
    "nesterov": (optimize.MOMENTUM_UPDATE, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, 1),
    "adam": (optimize.ADAM_UPDATE, {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0}, 2),
    "adam without beta": (
        optimize.ADAM_UPDATE, {"beta_1": 0.0, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.0}, 2,
    ),
    "adamw": (optimize.ADAM_UPDATE, {"beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3, "weight_decay": 0.1}, 2),
    "rmsprop": (optimize.RMSPROP_UPDATE, {"rho": 0.9, "epsilon": 1e-7, "weight_decay": 0.01}, 1),
    "adagrad": (optimize.ADAGRAD_UPDATE, {"epsilon": 1e-7, "weight_decay": 0.01}, 1),
    "lion": (optimize.LION_UPDATE, {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.01}, 1),
}  # fmt: skip
SGD = RULES["sgd"][0]


def random_key() -> Any:
    """A key as a layer draws it."""
    context = current_context()
    assert context is not None
    return context.random_key()


def decreasing(step: int) -> float:
    """A learning rate for each step."""
    return 0.01 / (1 + 0.1 * step)


class MLP:
    """``relu(x @ k1 + b1) @ k2 + b2``, its cross entropy, an average of its input, totals, and a weight unused."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        shapes = {"k1": (SIZE, HIDDEN), "b1": (HIDDEN,), "k2": (HIDDEN, CLASSES), "b2": (CLASSES,)}
        self.weights = [variable(path, rng.normal(size=shape)) for path, shape in shapes.items()]
        self.unused = variable("unused", rng.normal(size=2))
        self.mean = variable("mean", rng.normal(size=SIZE), trainable=False)
        self.totals = variable("totals", np.zeros(2), trainable=False)
        self.x, self.y = rng.normal(size=(40, SIZE)), rng.integers(CLASSES, size=40)
        self.indices = rng.integers(40, size=(12, 8))

    def step(self, *optimizers: tuple[Optimizer, Sequence[int]], dropout: float = 0.0) -> TracedStep:
        """A step that gives the loss, in which each optimizer updates its weights."""
        trained = [*self.weights, self.unused]

        def function(x: Any, y: Any) -> Any:
            def loss_of() -> Any:
                k1, b1, k2, b2 = self.weights
                hidden = ops.relu(ops.dense(x, k1, b1))
                if dropout:
                    hidden = ops.dropout(hidden, random_key(), rate=dropout)
                loss = ops.mean(ops.sparse_softmax_cross_entropy(ops.dense(hidden, k2, b2), y))
                average = ops.add(ops.multiply(self.mean, 0.9), ops.multiply(ops.mean(x, 0), 0.1))
                update(self.mean, average)
                update(self.totals, ops.add(self.totals, ops.stack([loss, 1.0])))
                return loss

            loss, gradients = value_and_grad(loss_of, wrt=trained)()
            assert gradients[-1] is None
            for optimizer, chosen in optimizers:
                given = [i for i in chosen if gradients[i] is not None]
                optimizer.apply([gradients[i] for i in given], [trained[i] for i in given])
            return loss

        return traced(function, **TYPES)

    def by_hand(
        self, rule: tuple[OpSpec, Mapping[str, Any], int], indices: Any, rate: Callable[[int], float],
        change: Callable[[list[np.ndarray]], list[np.ndarray]] = list, only: Sequence[int] = range(4),
    ) -> tuple[dict[str, np.ndarray], list[float]]:  # fmt: skip
        """The values after training, and the losses: the gradient by hand, the update by the rule's reference."""
        spec, attributes, slots = rule
        values = [weight.numpy().copy() for weight in self.weights]
        mean, losses = self.mean.numpy(), []
        state = [[np.zeros(value.shape) for _ in range(slots)] for value in values]
        for iteration, rows in enumerate(indices):
            x, y = self.x[rows], self.y[rows]
            loss, gradients = gradients_of(values, x, y)
            losses.append(loss)
            for i, gradient in enumerate(change(gradients)):
                if i in only:
                    counters = (np.int64(iteration), np.float64(rate(iteration)))
                    new = row_of(spec)(values[i], gradient, *state[i], *counters, **attributes)
                    values[i], *state[i] = new if isinstance(new, tuple) else (new,)
            mean = mean * 0.9 + x.mean(0) * 0.1
        found = dict(zip(("k1", "b1", "k2", "b2"), values, strict=True))
        return {
            **found,
            "unused": self.unused.numpy(),
            "mean": mean,
            "totals": np.array([sum(losses), len(losses)]),
        }, losses


def gradients_of(values: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """The loss of the MLP and its gradients, by the chain rule."""
    k1, b1, k2, b2 = values
    before = x @ k1 + b1
    hidden = np.maximum(before, 0)
    logits = hidden @ k2 + b2
    odds = np.exp(logits - logits.max(1, keepdims=True))
    shares = odds / odds.sum(1, keepdims=True)
    loss = float(-np.log(shares[np.arange(len(y)), y]).mean())
    by_logits = (shares - np.eye(CLASSES)[y]) / len(y)
    by_before = by_logits @ k2.T * (before > 0)
    return loss, [x.T @ by_before, by_before.sum(0), hidden.T @ by_logits, by_logits.sum(0)]


def assert_values(running: Running, expected: Mapping[str, np.ndarray]) -> None:
    """Assert that the variables have these values."""
    found = running.values()
    for path, value in expected.items():
        np.testing.assert_allclose(found[path], value, rtol=1e-11, atol=1e-12, err_msg=path)
