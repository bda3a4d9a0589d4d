"""Optimizer rules: one step of one variable.

Each is ``(param, grad, *slots, iteration, learning_rate) -> (param, *slots)``. ``iteration`` counts the
steps done before this one (0 at the first), an integer scalar; ``learning_rate`` is a float scalar. Slots have
the type of ``param`` and start at zero (Adagrad's at Keras's initial value).
Weight decay is decoupled (Loshchilov and Hutter 2019): ``param -= param * weight_decay * learning_rate``
comes first. The formulas are those of Keras 3's optimizers. Of 16 bits they compute in 32: squared gradients
would be zero in float16.

Beside each rule stands one of many variables at once, `GROUPED`, into which `unifront.ir.passes.group_updates`
joins equal ones: ``(*params, *grads, *first slots, …, iteration, learning_rate) -> (*params, *first slots, …)``.
Its rows may overwrite the params and slots that they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unifront.dtypes import float32, promote
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.opset.elementwise import (
    TensorLike,
    add,
    cast,
    divide,
    multiply,
    sign,
    sqrt,
    square,
    subtract,
)  # fmt: skip
from unifront.opset.powers import one_minus_power
from unifront.opset.rules import need_float, same_dtype, show
from unifront.opset.spec import OpSpec, Sample, register
from unifront.opset.tensor import bind, type_of

_SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 0), (2, 1, 3))
_ITERATIONS = (0, 1, 7, 1000)


def _rule(*types: TensorType, slots: int, **attributes: Any) -> tuple[TensorType, ...]:
    """The type rule of every optimizer rule with ``slots`` slots."""
    if len(types) != slots + 4:
        raise ArgumentError(
            f"The rule takes param, grad, {slots} slots, iteration, learning_rate; given were {len(types)}."
        )
    param, *others, iteration, learning_rate = types
    need_float(param, "param")
    same_dtype(param, *others)
    need_float(learning_rate, "learning_rate")
    for other in others:
        if other.shape != param.shape:
            raise ShapeError(
                f"param is {show(param.shape)}, but its gradient or slot is {show(other.shape)}."
            )
    if not iteration.dtype.is_integer:
        raise DTypeError(f"iteration is {iteration.dtype}; an integer is needed.")
    if iteration.shape or learning_rate.shape:
        raise ShapeError("iteration and learning_rate are scalars.")
    return (param, *others[1:])


def _samples(
    slots: int, choices: Sequence[Mapping[str, Any]], *, positive: tuple[int, ...] = ()
) -> Callable[[np.random.Generator], Iterator[Sample]]:
    """Samples over shapes, iterations and ``choices`` of attributes; the slots ``positive`` hold squares."""

    def samples(rng: np.random.Generator) -> Iterator[Sample]:
        for i, shape in enumerate(_SHAPES):
            values = [rng.normal(size=shape) for _ in range(2 + slots)]
            for slot in positive:
                values[2 + slot] = rng.uniform(0.5, 2.0, shape)
            counters = (np.asarray(_ITERATIONS[i], np.int32), np.asarray(rng.uniform(0.01, 0.1)))
            yield Sample((*values, *counters), choices[i % len(choices)])

    return samples


GROUPED: dict[OpSpec, OpSpec] = {}
"""For each rule the operation of many variables."""
SLOTS: dict[OpSpec, int] = {}
"""How many slots each rule has."""


def columns(count: int, slots: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """For each of ``count`` variables the positions of its operands (param, grad, slots) and of its results."""
    for i in range(count):
        yield (
            tuple(i + count * k for k in range(2 + slots)), tuple(i + count * k for k in range(1 + slots))
        )  # fmt: skip


def _each(count: int, slots: int, operands: Sequence[Any], one: Callable[..., Any]) -> tuple[Any, ...]:
    """``one`` on the operands of each variable; the results in the order of a grouped operation."""
    *arrays, iteration, learning_rate = operands
    found: dict[int, Any] = {}
    for places, results in columns(count, slots):
        new = one(*(arrays[place] for place in places), iteration, learning_rate)
        found.update(zip(results, new if isinstance(new, tuple) else (new,), strict=True))
    return tuple(found[i] for i in range(count * (1 + slots)))


def _in_32_bits(rule: Callable[..., Any]) -> Callable[..., Any]:
    """``rule`` computed in float32 where its operands have 16 bits."""

    def computed(param: Any, *others: Any, **attributes: Any) -> Any:
        dtype = type_of(param).dtype
        wide = promote(float32, dtype)
        if wide == dtype:
            return rule(param, *others, **attributes)
        *arrays, iteration, rate = (param, *others)
        results = rule(*(cast(array, wide) for array in arrays), iteration, cast(rate, wide), **attributes)
        new = tuple(cast(one, dtype) for one in (results if isinstance(results, tuple) else (results,)))
        return new if len(new) > 1 else new[0]

    return computed


def _define(
    name: str, slots: int, reference: Callable[..., Any], decomposition: Callable[..., Any], source: str,
    choices: Sequence[Mapping[str, Any]], positive: tuple[int, ...] = (),
) -> OpSpec:  # fmt: skip
    kinds = {key: bool if isinstance(value, bool) else float for key, value in choices[0].items()}
    one = register(
        OpSpec(
            name,
            rule=lambda *types, **attributes: _rule(*types, slots=slots, **attributes),
            reference=reference,
            samples=_samples(slots, choices, positive=positive),
            source=source,
            attributes=kinds,
            decomposition=_in_32_bits(decomposition),
            differentiable=False,
            lanes=lambda node: tuple(columns(1, slots)),
            facts=facts.opaque("float32"),
        )
    )

    def many(function: Callable[..., Any]) -> Callable[..., Any]:
        def grouped(*operands: Any, count: int, **attributes: Any) -> Any:
            def single(*own: Any) -> Any:
                return function(*own, **attributes)

            results = _each(count, slots, operands, single)
            return results if len(results) > 1 else results[0]

        return grouped

    def rule_of_many(*types: TensorType, count: int, **attributes: Any) -> tuple[TensorType, ...]:
        if count < 1 or len(types) != count * (2 + slots) + 2:
            raise ArgumentError(f"{name}s: {len(types)} operands do not fit {count} variables.")
        return _each(count, slots, types, lambda *own: _rule(*own, slots=slots))

    def samples_of_many(rng: np.random.Generator) -> Iterator[Sample]:
        for attributes in choices:
            own = [[rng.uniform(0.5, 2.0, shape) for shape in _SHAPES] for _ in range(2 + slots)]
            operands = [array for column in own for array in column]
            counters = (np.asarray(3, np.int32), np.asarray(rng.uniform(0.01, 0.1)))
            yield Sample((*operands, *counters), {**attributes, "count": len(_SHAPES)})

    GROUPED[one] = register(
        OpSpec(
            f"{name}s",
            rule=rule_of_many,
            reference=many(reference),
            samples=samples_of_many,
            source=source,
            attributes={**kinds, "count": int},
            decomposition=many(lambda *own, **attributes: bind(one, *own, **attributes)),
            differentiable=False,
            variadic=True,
            lanes=lambda node: tuple(columns(node.attributes["count"], slots)),
            facts=facts.opaque("float32"),
        )
    )
    SLOTS[one] = SLOTS[GROUPED[one]] = slots
    return one


def _apply(spec: OpSpec, param: Any, *operands: Any, learning_rate: Any, **attributes: Any) -> Any:
    dtype = promote(float32, type_of(param).dtype)
    number = isinstance(learning_rate, int | float)
    rate = np.asarray(learning_rate, dtype.numpy) if number else cast(learning_rate, dtype)
    return bind(spec, param, *operands, rate, **attributes)


def _decayed(param: Any, learning_rate: Any, weight_decay: float) -> Any:
    if not weight_decay:
        return param
    return subtract(param, multiply(multiply(param, weight_decay), learning_rate))


def _sgd_reference(param: Any, grad: Any, iteration: Any, learning_rate: Any, weight_decay: float) -> Any:
    return param - param * weight_decay * learning_rate - learning_rate * grad


def _sgd(param: Any, grad: Any, iteration: Any, learning_rate: Any, weight_decay: float) -> Any:
    return subtract(_decayed(param, learning_rate, weight_decay), multiply(grad, learning_rate))


SGD_UPDATE = _define(
    "sgd_update", 0, _sgd_reference, _sgd, "Robbins and Monro 1951; Keras SGD",
    [{"weight_decay": 0.0}, {"weight_decay": 0.1}],
)  # fmt: skip


def sgd_update(
    param: TensorLike,
    grad: TensorLike,
    iteration: TensorLike,
    learning_rate: TensorLike,
    *,
    weight_decay: float = 0.0,
) -> Any:
    """A step of gradient descent: the new ``param`` (Robbins and Monro 1951; Keras SGD)."""
    return _apply(
        SGD_UPDATE, param, grad, iteration, learning_rate=learning_rate, weight_decay=float(weight_decay)
    )


def _momentum_reference(
    param: Any, grad: Any, velocity: Any, iteration: Any, learning_rate: Any,
    momentum: float, nesterov: bool, weight_decay: float,
) -> Any:  # fmt: skip
    param = param - param * weight_decay * learning_rate
    velocity = velocity * momentum - grad * learning_rate
    return param + (velocity * momentum - grad * learning_rate if nesterov else velocity), velocity


def _momentum(
    param: Any, grad: Any, velocity: Any, iteration: Any, learning_rate: Any,
    momentum: float, nesterov: bool, weight_decay: float,
) -> Any:  # fmt: skip
    step = multiply(grad, learning_rate)
    velocity = subtract(multiply(velocity, momentum), step)
    change = subtract(multiply(velocity, momentum), step) if nesterov else velocity
    return add(_decayed(param, learning_rate, weight_decay), change), velocity


MOMENTUM_UPDATE = _define(
    "momentum_update", 1, _momentum_reference, _momentum,
    "Sutskever et al. 2013 (momentum and Nesterov's form); Keras SGD",
    [
        {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0},
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1},
    ],
)  # fmt: skip


def momentum_update(
    param: TensorLike, grad: TensorLike, velocity: TensorLike, iteration: TensorLike,
    learning_rate: TensorLike, *, momentum: float = 0.9, nesterov: bool = False, weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    """A step of gradient descent with momentum: new ``param`` and ``velocity`` (Sutskever et al. 2013; Keras SGD)."""
    return _apply(
        MOMENTUM_UPDATE, param, grad, velocity, iteration, learning_rate=learning_rate,
        momentum=float(momentum), nesterov=bool(nesterov), weight_decay=float(weight_decay),
    )  # fmt: skip


def _adam_reference(
    param: Any, grad: Any, m: Any, v: Any, iteration: Any, learning_rate: Any,
    beta_1: float, beta_2: float, epsilon: float, weight_decay: float,
) -> Any:  # fmt: skip
    step = float(iteration) + 1
    param = param - param * weight_decay * learning_rate
    m = m + (grad - m) * (1 - beta_1)
    v = v + (np.square(grad) - v) * (1 - beta_2)
    alpha = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
    return param - alpha * m / (np.sqrt(v) + epsilon), m, v


def _adam(
    param: Any, grad: Any, m: Any, v: Any, iteration: Any, learning_rate: Any,
    beta_1: float, beta_2: float, epsilon: float, weight_decay: float,
) -> Any:  # fmt: skip
    m = add(m, multiply(subtract(grad, m), 1 - beta_1))
    v = add(v, multiply(subtract(square(grad), v), 1 - beta_2))
    step = add(cast(iteration, type_of(param).dtype), 1.0)
    root = sqrt(one_minus_power(beta_2, step)) if beta_2 else 1.0
    alpha = divide(multiply(learning_rate, root), one_minus_power(beta_1, step))
    change = divide(multiply(m, alpha), add(sqrt(v), epsilon))
    return subtract(_decayed(param, learning_rate, weight_decay), change), m, v


ADAM_UPDATE = _define(
    "adam_update", 2, _adam_reference, _adam,
    "Kingma and Ba 2015, section 2 (epsilon outside the bias correction); Keras Adam, AdamW",
    [
        {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": 0.0},
        {"beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-3, "weight_decay": 0.1},
    ],
    positive=(1,),
)  # fmt: skip


def adam_update(
    param: TensorLike, grad: TensorLike, m: TensorLike, v: TensorLike, iteration: TensorLike,
    learning_rate: TensorLike, *, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    """A step of Adam, or of AdamW with ``weight_decay``: new ``param``, ``m``, ``v`` (Kingma and Ba 2015; Keras)."""
    return _apply(
        ADAM_UPDATE, param, grad, m, v, iteration, learning_rate=learning_rate, beta_1=float(beta_1),
        beta_2=float(beta_2), epsilon=float(epsilon), weight_decay=float(weight_decay),
    )  # fmt: skip


def _rmsprop_reference(
    param: Any, grad: Any, velocity: Any, iteration: Any, learning_rate: Any,
    rho: float, epsilon: float, weight_decay: float,
) -> Any:  # fmt: skip
    velocity = rho * velocity + (1 - rho) * np.square(grad)
    param = param - param * weight_decay * learning_rate
    return param - learning_rate * grad / np.sqrt(velocity + epsilon), velocity


def _rmsprop(
    param: Any, grad: Any, velocity: Any, iteration: Any, learning_rate: Any,
    rho: float, epsilon: float, weight_decay: float,
) -> Any:  # fmt: skip
    velocity = add(multiply(velocity, rho), multiply(square(grad), 1 - rho))
    change = divide(multiply(grad, learning_rate), sqrt(add(velocity, epsilon)))
    return subtract(_decayed(param, learning_rate, weight_decay), change), velocity


RMSPROP_UPDATE = _define(
    "rmsprop_update", 1, _rmsprop_reference, _rmsprop, "Tieleman and Hinton 2012; Keras RMSprop, plain",
    [{"rho": 0.9, "epsilon": 1e-7, "weight_decay": 0.0}, {"rho": 0.8, "epsilon": 1e-3, "weight_decay": 0.1}],
    positive=(0,),
)  # fmt: skip


def rmsprop_update(
    param: TensorLike, grad: TensorLike, velocity: TensorLike, iteration: TensorLike,
    learning_rate: TensorLike, *, rho: float = 0.9, epsilon: float = 1e-7, weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    """A step of RMSprop: new ``param``, and ``velocity``, the mean square (Tieleman and Hinton 2012; Keras)."""
    return _apply(
        RMSPROP_UPDATE, param, grad, velocity, iteration, learning_rate=learning_rate,
        rho=float(rho), epsilon=float(epsilon), weight_decay=float(weight_decay),
    )  # fmt: skip


def _adagrad_reference(
    param: Any,
    grad: Any,
    accumulator: Any,
    iteration: Any,
    learning_rate: Any,
    epsilon: float,
    weight_decay: float,
) -> Any:
    accumulator = accumulator + np.square(grad)
    param = param - param * weight_decay * learning_rate
    return param - learning_rate * grad / np.sqrt(accumulator + epsilon), accumulator


def _adagrad(
    param: Any,
    grad: Any,
    accumulator: Any,
    iteration: Any,
    learning_rate: Any,
    epsilon: float,
    weight_decay: float,
) -> Any:
    accumulator = add(accumulator, square(grad))
    change = divide(multiply(grad, learning_rate), sqrt(add(accumulator, epsilon)))
    return subtract(_decayed(param, learning_rate, weight_decay), change), accumulator


ADAGRAD_UPDATE = _define(
    "adagrad_update", 1, _adagrad_reference, _adagrad, "Duchi et al. 2011; Keras Adagrad",
    [{"epsilon": 1e-7, "weight_decay": 0.0}, {"epsilon": 1e-3, "weight_decay": 0.1}],
    positive=(0,),
)  # fmt: skip


def adagrad_update(
    param: TensorLike, grad: TensorLike, accumulator: TensorLike, iteration: TensorLike,
    learning_rate: TensorLike, *, epsilon: float = 1e-7, weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    """A step of Adagrad: new ``param``, and ``accumulator``, the sum of squares (Duchi et al. 2011; Keras)."""
    return _apply(
        ADAGRAD_UPDATE, param, grad, accumulator, iteration, learning_rate=learning_rate,
        epsilon=float(epsilon), weight_decay=float(weight_decay),
    )  # fmt: skip


def _lion_reference(
    param: Any,
    grad: Any,
    m: Any,
    iteration: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    weight_decay: float,
) -> Any:
    param = param - param * weight_decay * learning_rate
    return param - learning_rate * np.sign(m * beta_1 + grad * (1 - beta_1)), m * beta_2 + grad * (1 - beta_2)


def _lion(
    param: Any,
    grad: Any,
    m: Any,
    iteration: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    weight_decay: float,
) -> Any:
    direction = sign(add(multiply(m, beta_1), multiply(grad, 1 - beta_1)))
    param = subtract(_decayed(param, learning_rate, weight_decay), multiply(direction, learning_rate))
    return param, add(multiply(m, beta_2), multiply(grad, 1 - beta_2))


LION_UPDATE = _define(
    "lion_update", 1, _lion_reference, _lion, "Chen et al. 2023; Keras Lion",
    [{"beta_1": 0.9, "beta_2": 0.99, "weight_decay": 0.0},
     {"beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.1}],
)  # fmt: skip


def lion_update(
    param: TensorLike, grad: TensorLike, m: TensorLike, iteration: TensorLike,
    learning_rate: TensorLike, *, beta_1: float = 0.9, beta_2: float = 0.99, weight_decay: float = 0.0,
) -> Any:  # fmt: skip
    """A step of Lion: the new ``param`` and momentum ``m`` (Chen et al. 2023; Keras Lion)."""
    return _apply(
        LION_UPDATE, param, grad, m, iteration, learning_rate=learning_rate,
        beta_1=float(beta_1), beta_2=float(beta_2), weight_decay=float(weight_decay),
    )  # fmt: skip
