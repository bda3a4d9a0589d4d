"""Recurrent layers: `RNN` over one cell of ours, whose arguments they take too."""

from __future__ import annotations

from typing import Any, Unpack

from unifront.arguments import Size, in_order
from unifront.layers.activations import ActivationAttribute, ActivationLike
from unifront.layers.recurrent_arguments import (
    CONSTRAINTS,
    DROPOUT,
    INITIALIZERS,
    READING,
    REGULARIZERS,
    GRUOptions,
    LSTMOptions,
    SimpleRNNOptions,
    of_layer_and_cell,
)
from unifront.layers.rnn import RNN
from unifront.layers.rnn_cells import GRUCell, LSTMCell, SimpleRNNCell


class OfCell:
    """An attribute that is the cell's."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else getattr(layer.cell, self.name)

    def __set__(self, layer: Any, value: Any) -> None:
        setattr(layer.cell, self.name, value)


class OverCell(RNN):
    """What layers over one cell of ours share: the cell's arguments are theirs."""

    activation, use_bias = OfCell(), OfCell()
    kernel_initializer, recurrent_initializer, bias_initializer = OfCell(), OfCell(), OfCell()
    kernel_regularizer, recurrent_regularizer, bias_regularizer = OfCell(), OfCell(), OfCell()
    kernel_constraint, recurrent_constraint, bias_constraint = OfCell(), OfCell(), OfCell()
    dropout, recurrent_dropout, seed = OfCell(), OfCell(), OfCell()

    def told_argument(self, name: str, given: Any) -> Any:
        held = isinstance(getattr(type(self.cell), name, None), ActivationAttribute)
        return getattr(self.cell, name) if held else super().told_argument(name, given)


class SimpleRNN(OverCell):
    """``h = activation(x @ kernel + h @ recurrent_kernel + bias)`` at each step of time (Elman 1990).

    ``[batch, time, features]`` → ``[batch, units]``.

    Args:
        units: size of the state and of the output.
        return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask: how the sequence is gone
            through, and what is given of it; as for `RNN`.

    The other arguments are those of `SimpleRNNCell`. Call with ``initial_state`` (``[batch, units]``) to begin from it.
    Steps outside the input's mask are passed over. With another activation than "tanh" and "relu", and while training
    with ``recurrent_dropout``, the layer is a scan of its cell, otherwise one fused operation.

    Example::

        x = layers.SimpleRNN(8, return_sequences=True)(uf.Input((None, 4)))
    """

    input_rank = 3
    units = OfCell()

    @in_order(
        *INITIALIZERS,
        *REGULARIZERS,
        "activity_regularizer",
        *CONSTRAINTS,
        *DROPOUT,
        *READING,
        "unroll",
        "seed",
    )
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        use_bias: bool = True,
        **options: Unpack[SimpleRNNOptions],
    ) -> None:
        own, given = of_layer_and_cell(options)
        super().__init__(SimpleRNNCell(units, activation, use_bias, name="simple_rnn_cell", **given), **own)


class LSTM(OverCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997); gates in the order i, f, c, o.

    Args:
        units: size of the states ``h`` and ``c`` and of the output.
        activation: of the cell and its output.
        recurrent_activation: of the gates. With other functions than the defaults the layer is not fused.
        unit_forget_bias: start the forget gate's bias at one.
        use_cudnn: taken as Keras takes it; a backend's own kernel is used wherever it has one.

    The other arguments are those of `LSTMCell` and `SimpleRNN`; ``initial_state`` is ``[h, c]``.

    Example::

        x, h, c = layers.LSTM(8, return_sequences=True, return_state=True)(uf.Input((None, 4)))
    """

    input_rank = 3
    units, recurrent_activation, unit_forget_bias, implementation = OfCell(), OfCell(), OfCell(), OfCell()

    @in_order(
        *INITIALIZERS, "unit_forget_bias", *REGULARIZERS, "activity_regularizer", *CONSTRAINTS, *DROPOUT, "seed",
        *READING, "unroll", "use_cudnn",
    )  # fmt: skip
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        **options: Unpack[LSTMOptions],
    ) -> None:
        use_cudnn = options.pop("use_cudnn")
        own, given = of_layer_and_cell(options)
        cell = LSTMCell(units, activation, recurrent_activation, use_bias, name="lstm_cell", **given)
        super().__init__(cell, **own)
        self.use_cudnn = use_cudnn


class GRU(OverCell):
    """Gated recurrent unit (Cho et al. 2014); gates in the order z, r, h.

    Args:
        units: size of the state and of the output.
        recurrent_activation, use_cudnn: as for `LSTM`.
        reset_after: apply the reset gate after the matrix product, as cuDNN does (default).

    The other arguments are those of `GRUCell` and `SimpleRNN`.

    Example::

        x = layers.GRU(8)(uf.Input((None, 4)))  # float32[batch, 8]
    """

    input_rank = 3
    units, recurrent_activation, reset_after, implementation = OfCell(), OfCell(), OfCell(), OfCell()

    @in_order(
        *INITIALIZERS, *REGULARIZERS, "activity_regularizer", *CONSTRAINTS, *DROPOUT, "seed",
        *READING, "unroll", "reset_after", "use_cudnn",
    )  # fmt: skip
    def __init__(
        self,
        units: Size,
        activation: ActivationLike = "tanh",
        recurrent_activation: ActivationLike = "sigmoid",
        use_bias: bool = True,
        **options: Unpack[GRUOptions],
    ) -> None:
        use_cudnn = options.pop("use_cudnn")
        own, given = of_layer_and_cell(options)
        cell = GRUCell(units, activation, recurrent_activation, use_bias, name="gru_cell", **given)
        super().__init__(cell, **own)
        self.use_cudnn = use_cudnn
