"""The arguments of recurrent layers and of their cells: each with its check and default, said once.

A constructor takes them as ``**options`` and names in `in_order` those that may be given by position, in Keras's order.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from unifront.arguments import Default, Share
from unifront.layers.arguments import Constraint, Options, Seed
from unifront.layers.initializers import InitializerLike
from unifront.layers.regularizers import RegularizerLike

WEIGHTS = ("kernel", "recurrent", "bias")
"""What arguments of weights begin with. The weights themselves are ``kernel``, ``recurrent_kernel`` and ``bias``."""
INITIALIZERS, REGULARIZERS, CONSTRAINTS = (
    tuple(f"{weight}_{what}" for weight in WEIGHTS) for what in ("initializer", "regularizer", "constraint")
)
DROPOUT = ("dropout", "recurrent_dropout")
READING = ("return_sequences", "return_state", "go_backwards", "stateful")
"""How a sequence is gone through, and what is given of it."""


class CellOptions(Options, total=False):
    """The keywords of all cells."""

    kernel_initializer: Annotated[InitializerLike, Default("glorot_uniform")]
    recurrent_initializer: Annotated[InitializerLike, Default("orthogonal")]
    bias_initializer: Annotated[InitializerLike, Default("zeros")]
    kernel_regularizer: RegularizerLike
    recurrent_regularizer: RegularizerLike
    bias_regularizer: RegularizerLike
    activity_regularizer: RegularizerLike
    kernel_constraint: Constraint
    recurrent_constraint: Constraint
    bias_constraint: Constraint
    dropout: Annotated[Share, Default(0.0)]
    recurrent_dropout: Annotated[Share, Default(0.0)]
    seed: Seed


class GatedOptions(CellOptions, total=False):
    """Those of cells with several gates."""

    implementation: Annotated[Literal[0, 1, 2], Default(2)]


class LSTMCellOptions(GatedOptions, total=False):
    """Those of `LSTMCell`."""

    unit_forget_bias: Annotated[bool, Default(True)]


class GRUCellOptions(GatedOptions, total=False):
    """Those of `GRUCell`."""

    reset_after: Annotated[bool, Default(True)]


class ReadingOptions(Options, total=False):
    """The keywords of layers that go through sequences."""

    return_sequences: Annotated[bool, Default(False)]
    return_state: Annotated[bool, Default(False)]
    go_backwards: Annotated[bool, Default(False)]
    stateful: Annotated[bool, Default(False)]
    unroll: Annotated[bool, Default(False)]
    zero_output_for_mask: Annotated[bool, Default(False)]


class SimpleRNNOptions(CellOptions, ReadingOptions, total=False):
    """The keywords of `SimpleRNN`."""


class LSTMOptions(LSTMCellOptions, ReadingOptions, total=False):
    """Those of `LSTM`."""

    use_cudnn: Annotated[bool | Literal["auto"], Default("auto")]


class GRUOptions(GRUCellOptions, ReadingOptions, total=False):
    """Those of `GRU`."""

    use_cudnn: Annotated[bool | Literal["auto"], Default("auto")]


class ConvLSTMOptions(CellOptions, ReadingOptions, total=False):
    """Those of `ConvLSTM1D`, `ConvLSTM2D` and `ConvLSTM3D`."""

    unit_forget_bias: Annotated[bool, Default(True)]


def of_layer_and_cell(options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """``options`` of a recurrent layer: its own, and its cell's. Both have a dtype and may be frozen."""
    read = (*ReadingOptions.__annotations__, "activity_regularizer")
    own = {name: value for name, value in options.items() if name in read}
    cell = {
        name: value for name, value in options.items()
        if name not in own or name in ("dtype", "trainable")
    }  # fmt: skip
    return own, cell
