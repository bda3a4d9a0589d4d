"""Recurrent layers. With the usual activations each is one fused operation; otherwise a scan of its cell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, Unpack

import numpy as np

from unifront import activations, ops, tree
from unifront.arguments import Default, Share, Size, checked
from unifront.dtypes import DType
from unifront.errors import ArgumentError, ShapeError
from unifront.layers.activations import ActivationLike
from unifront.layers.arguments import Constraint, Options, Seed, check_mask
from unifront.layers.initializers import InitializerLike, drawn
from unifront.layers.layer import Layer, feature_size
from unifront.layers.regularizers import RegularizerLike
from unifront.opset.tensor import type_of

States = tuple[Any, ...]


class RecurrentOptions(Options, total=False):
    """The keywords of recurrent layers that Keras does not name in their signatures."""

    zero_output_for_mask: Annotated[bool, Default(False)]


class Recurrent(Layer):
    """What the recurrent layers share. A subclass has ``gates``, ``state_names``, `fused` and `step`."""

    gates: int
    bias_initializer: Any
    state_names: tuple[str, ...] = ("h",)
    supports_masking = True
    fused_activations: tuple[tuple[str | None, ...], ...]

    def __init__(
        self, units: int, activation: Any, recurrent_activation: Any, use_bias: bool, *, dropout: float,
        recurrent_dropout: float, seed: int | None, return_sequences: bool, return_state: bool,
        go_backwards: bool, stateful: bool, unroll: bool, zero_output_for_mask: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**options)
        inner = None if recurrent_activation is None else activations.name_of(recurrent_activation)
        named = (activations.name_of(activation), inner)
        self.is_fused = named in self.fused_activations and not recurrent_dropout
        self.activation_name: Any = named[0] if self.is_fused else None
        self.units, self.use_bias, self.seed = units, use_bias, seed
        self.activation, self.recurrent_activation = activation, recurrent_activation
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        self.return_sequences, self.return_state = return_sequences, return_state
        self.go_backwards, self.zero_output_for_mask = go_backwards, zero_output_for_mask
        self.keeps_positions = False
        if stateful:
            raise ArgumentError(
                f"{type(self).__name__}: stateful=True is not supported; pass initial_state and use "
                "return_state=True."
            )

    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias."""
        return (self.gates * self.units,)

    def build(self, shape: Any) -> None:
        if len(shape) != 3:
            raise ShapeError(
                f"{type(self).__name__} takes [batch, time, features]; the input has the shape {shape}."
            )
        size = feature_size(shape)
        width = self.gates * self.units
        self.kernel = self.add_declared("kernel", (size, width))
        self.recurrent_kernel = self.add_declared("recurrent", (self.units, width), called="recurrent_kernel")
        self.bias: Any = None
        if self.use_bias:
            self.bias = self.add_declared("bias", self.bias_shape(), initializer=self.initial_bias())

    def initial_bias(self) -> Any:
        """The initializer of the bias."""
        return self.bias_initializer

    def fused(self, x: Any, states: States, lengths: Any, reverse: bool) -> tuple[Any, ...]:
        """``(sequence, *states)`` by the fused operation. Overridden."""
        raise ArgumentError(f"{type(self).__name__} does not define fused().")

    def step(self, x: Any, states: States, h: Any) -> States:
        """The new states from one step's input ``x[batch, features]``. Overridden.

        ``h`` is the first state as the gates see it, after recurrent dropout.
        """
        raise ArgumentError(f"{type(self).__name__} does not define step().")

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        x = sequences
        given = None if initial_state is None else tuple(tree.leaves(initial_state))
        if given is not None and len(given) != len(self.state_names):
            raise ArgumentError(
                f"initial_state has {len(given)} tensors; {type(self).__name__} has the states "
                f"{', '.join(self.state_names)}."
            )
        mask = next((one for one in tree.leaves(mask) if one is not None), None)
        if mask is not None:
            check_mask(mask, x)
        if training and self.dropout:
            batch, _, size = type_of(x).shape
            x = ops.dropout(x, self.random_key(self.seed), rate=self.dropout, noise_shape=(batch, 1, size))
        run = self._fused if self.is_fused else partial(self._stepwise, training=training)
        sequence, *states = run(x, given, mask)
        if self.return_sequences and self.go_backwards and not self.keeps_positions:
            sequence = ops.flip(sequence, axis=1)  # Keras gives the outputs in the order they were made
        if self.return_sequences:
            output = sequence
        elif mask is not None and (given is not None or self.zero_output_for_mask):
            output = sequence[:, 0 if self.go_backwards else -1]  # a masked last step shows no state
        else:
            output = states[0]
        return (output, *states) if self.return_state else output

    def _fused(self, x: Any, states: States | None, mask: Any) -> tuple[Any, ...]:
        given: States = states or (None,) * len(self.state_names)
        if mask is None:
            return self.fused(x, given, None, self.go_backwards)

        def run(compact: Any, lengths: Any) -> tuple[Any, ...]:
            return self.fused(compact, given, lengths, self.go_backwards)

        return ops.with_mask(run, x, mask, reverse=self.go_backwards, zero_output=self.zero_output_for_mask)

    def _stepwise(self, x: Any, states: States | None, mask: Any, training: bool) -> tuple[Any, ...]:
        """The cell scanned over the steps: for activations without a fused operation, and recurrent dropout."""
        zeros = ops.zeros((type_of(x).shape[0], self.units), type_of(x).dtype, like=x)
        first = states or (zeros,) * len(self.state_names)
        noise = None
        if training and self.recurrent_dropout:
            noise = ops.dropout(ops.ones_like(zeros), self.random_key(self.seed), rate=self.recurrent_dropout)
        if mask is not None:  # a masked NaN would show in the gradient, though not in the state
            x = ops.where(ops.expand_dims(ops.cast(mask, "bool"), -1), x, 0.0)
        steps = [ops.transpose(x, (1, 0, 2))]
        if mask is not None:
            steps.append(ops.transpose(ops.cast(mask, "bool"), (1, 0)))

        def body(carry: States, step: States) -> tuple[States, Any]:
            old, shown = carry[:-1], carry[-1]
            new = self.step(step[0], old, old[0] if noise is None else ops.multiply(old[0], noise))
            if mask is None:
                return (*new, new[0]), new[0]
            keep = ops.expand_dims(step[1], -1)
            new = tuple(ops.where(keep, a, b) for a, b in zip(new, old, strict=True))
            output = ops.where(keep, new[0], 0.0 if self.zero_output_for_mask else shown)
            return (*new, output), output

        carry, outputs = ops.scan(body, (*first, zeros), tuple(steps), reverse=self.go_backwards)
        return (ops.transpose(outputs, (1, 0, 2)), *carry[:-1])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        return super().compute_mask(inputs, mask) if self.return_sequences else None


class SimpleRNN(Recurrent):
    """``h = activation(x @ kernel + h @ recurrent_kernel + bias)`` at each step of time (Elman 1990).

    ``[batch, time, features]`` → ``[batch, units]``.

    Args:
        units: size of the state and of the output.
        activation: of the state; a name or callable.
        use_bias: whether there is a bias.
        dropout: share of the input's features dropped while training, the same for all steps.
        recurrent_dropout: the same for the state (then the layer is not fused).
        return_sequences: give every step's output, ``[batch, time, units]``, not only the last one.
        return_state: also give the final state.
        go_backwards: read from the end; outputs come in the order they are made.
        zero_output_for_mask: masked steps give zeros instead of the previous output.
        kernel_initializer, recurrent_initializer, bias_initializer: see `unifront.layers.initializers`.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: see `unifront.layers.regularizers`.

    Call with ``initial_state`` (``[batch, units]``) to begin from it. Steps outside the input's mask are
    passed over. Raises `ArgumentError` for ``stateful=True``.

    Example::

        x = layers.SimpleRNN(8, return_sequences=True)(uf.Input((None, 4)))
    """

    gates = 1
    fused_activations = (("tanh", None), ("relu", None))

    @checked
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        recurrent_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        dropout: Share = 0.0,
        recurrent_dropout: Share = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: Seed = None,
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(
            units, activation, None, use_bias, dropout=dropout,
            recurrent_dropout=recurrent_dropout, seed=seed, return_sequences=return_sequences,
            return_state=return_state, go_backwards=go_backwards, stateful=stateful, unroll=unroll,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)

    def fused(self, x: Any, states: States, lengths: Any, reverse: bool) -> tuple[Any, ...]:
        found: tuple[Any, ...] = ops.simple_rnn(
            x, self.kernel, self.recurrent_kernel, self.bias, states[0], lengths,
            reverse=reverse, activation=self.activation_name,
        )  # fmt: skip
        return found

    def step(self, x: Any, states: States, h: Any) -> States:
        inner = ops.dense(x, self.kernel, self.bias)
        return (self.activation(ops.add(inner, ops.matmul(h, self.recurrent_kernel))),)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); gates in the order i, f, c, o.

    Args:
        units: size of the states ``h`` and ``c`` and of the output.
        activation: of the cell and its output.
        recurrent_activation: of the gates. With other functions than the defaults the layer is not fused.
        unit_forget_bias: start the forget gate's bias at one.

    The other arguments are those of `SimpleRNN`; ``initial_state`` is ``[h, c]``.

    Example::

        x, h, c = layers.LSTM(8, return_sequences=True, return_state=True)(uf.Input((None, 4)))
    """

    gates = 4
    state_names = ("h", "c")
    fused_activations = (("tanh", "sigmoid"),)

    @checked
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        recurrent_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        dropout: Share = 0.0,
        recurrent_dropout: Share = 0.0,
        seed: Seed = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: bool | Literal["auto"] = "auto",
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(
            units, activation, recurrent_activation, use_bias, dropout=dropout,
            recurrent_dropout=recurrent_dropout, seed=seed, return_sequences=return_sequences,
            return_state=return_state, go_backwards=go_backwards, stateful=stateful, unroll=unroll,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.unit_forget_bias = unit_forget_bias
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)

    def initial_bias(self) -> Any:
        return _ForgetBias(self.bias_initializer) if self.unit_forget_bias else self.bias_initializer

    def fused(self, x: Any, states: States, lengths: Any, reverse: bool) -> tuple[Any, ...]:
        h, c = states
        found: tuple[Any, ...] = ops.lstm(
            x, self.kernel, self.recurrent_kernel, self.bias, h, c, lengths, reverse=reverse
        )
        return found

    def step(self, x: Any, states: States, h: Any) -> States:
        c = states[1]
        sums = ops.add(ops.dense(x, self.kernel, self.bias), ops.matmul(h, self.recurrent_kernel))
        i, f, g, o = ops.split(sums, 4, axis=-1)
        inside = self.recurrent_activation
        c = ops.add(ops.multiply(inside(f), c), ops.multiply(inside(i), self.activation(g)))
        return ops.multiply(inside(o), self.activation(c)), c


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014); gates in the order z, r, h.

    Args:
        units: size of the state and of the output.
        reset_after: apply the reset gate after the matrix product, as cuDNN does (default).

    The other arguments are those of `SimpleRNN`, and ``recurrent_activation`` as in `LSTM`.

    Example::

        x = layers.GRU(8)(uf.Input((None, 4)))  # float32[batch, 8]
    """

    gates = 3
    fused_activations = (("tanh", "sigmoid"),)

    @checked
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        recurrent_initializer: InitializerLike = "orthogonal",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        kernel_constraint: Constraint = None,
        recurrent_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        dropout: Share = 0.0,
        recurrent_dropout: Share = 0.0,
        seed: Seed = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: bool | Literal["auto"] = "auto",
        **options: Unpack[RecurrentOptions],
    ) -> None:
        super().__init__(
            units, activation, recurrent_activation, use_bias, dropout=dropout,
            recurrent_dropout=recurrent_dropout, seed=seed, return_sequences=return_sequences,
            return_state=return_state, go_backwards=go_backwards, stateful=stateful, unroll=unroll,
            activity_regularizer=activity_regularizer, **options,
        )  # fmt: skip
        self.declare("kernel", kernel_initializer, kernel_regularizer, kernel_constraint)
        self.declare("recurrent", recurrent_initializer, recurrent_regularizer, recurrent_constraint)
        self.declare("bias", bias_initializer, bias_regularizer, bias_constraint)
        self.reset_after = reset_after

    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def fused(self, x: Any, states: States, lengths: Any, reverse: bool) -> tuple[Any, ...]:
        found: tuple[Any, ...] = ops.gru(
            x, self.kernel, self.recurrent_kernel, self.bias, states[0], lengths,
            reverse=reverse, reset_after=self.reset_after,
        )  # fmt: skip
        return found

    def step(self, x: Any, states: States, h: Any) -> States:
        input_bias = recurrent_bias = None
        if self.bias is not None:
            input_bias, recurrent_bias = ops.unstack(self.bias) if self.reset_after else (self.bias, None)
        xz, xr, xh = ops.split(ops.dense(x, self.kernel, input_bias), 3, axis=-1)
        inside, u = self.recurrent_activation, self.units
        if self.reset_after:
            hz, hr, hh = ops.split(ops.dense(h, self.recurrent_kernel, recurrent_bias), 3, axis=-1)
            z, r = inside(ops.add(xz, hz)), inside(ops.add(xr, hr))
            new = self.activation(ops.add(xh, ops.multiply(r, hh)))
        else:
            gates, last = ops.split(self.recurrent_kernel, [2 * u], axis=-1)
            hz, hr = ops.split(ops.matmul(h, gates), 2, axis=-1)
            z, r = inside(ops.add(xz, hz)), inside(ops.add(xr, hr))
            new = self.activation(ops.add(xh, ops.matmul(ops.multiply(r, h), last)))
        return (ops.add(ops.multiply(z, states[0]), ops.multiply(ops.subtract(1.0, z), new)),)


@dataclass(frozen=True)
class _ForgetBias:
    """Ones for the forget gate, the rest as ``draw`` says."""

    draw: Callable[..., np.ndarray]

    def __call__(self, shape: tuple[int, ...], dtype: DType, rng: np.random.Generator) -> np.ndarray:
        units = shape[0] // 4
        first, last = (drawn(self.draw, (size,), dtype, rng) for size in (units, 2 * units))
        parts = [first, np.ones(units, dtype.numpy), last]
        return np.concatenate(parts)
