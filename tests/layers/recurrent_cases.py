"""The tables of recurrent layers, their cells, and wrappers; see `tests.layers.cases`."""

from __future__ import annotations

import numpy as np

from tests.layers.case import L1, L2, Case, Padded, case

RNNS = {
    "SimpleRNN": ("", "activation='relu'", "activation='sigmoid'"),
    "LSTM": ("", "unit_forget_bias=False, activation='relu', recurrent_activation='hard_sigmoid'"),
    "GRU": (
        "",
        "reset_after=False",
        "activation='softsign', recurrent_activation='tanh'",
        "reset_after=False, activation='linear'",
    ),
}
COUNTS = np.array([[True] * 3, [False] * 3, [True, False, False]])
STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}


def recurrent() -> list[Case]:
    found = []
    for name, variants in RNNS.items():
        states = ((3, 4),) * STATES[name]
        initial = "layer(x[0], initial_state=x[1:])"
        for variant in variants:
            first = f"4, {variant}" if variant else "4"
            found += [
                case(f"{name}({first})", (3, 5, 2)),
                case(
                    f"{name}({first}, return_sequences=True, return_state=True)",
                    (3, 5, 2),
                    *states,
                    call=initial,
                ),
                case(f"{name}({first}, go_backwards=True, return_sequences=True, use_bias=False)", (3, 5, 2)),
                case(f"Sequential([Masking(), {name}({first}, return_sequences=True)])", Padded((4, 6, 2))),
            ]
        found += [
            case(f"{name}(4, go_backwards=True, return_state=True)", (3, 1, 2), *states, call=initial),
            case(
                f"{name}(3, kernel_regularizer={L2}, recurrent_regularizer={L1}, bias_regularizer={L2})",
                (2, 3, 2),
            ),
            case(f"Sequential([Masking(), {name}(4)])", Padded((4, 6, 2))),
            case(f"Sequential([Masking(), {name}(4, zero_output_for_mask=True)])", Padded((4, 6, 2))),
            case(
                f"Sequential([Masking(), {name}(4, go_backwards=True, return_sequences=True, "
                "zero_output_for_mask=True)])",
                Padded((4, 6, 2)),
            ),
            case(
                f"{name}(4, return_state=True)",
                np.where(COUNTS[..., None], np.linspace(-1, 1, 18).reshape(3, 3, 2), 1e6),
                COUNTS,
                *states,
                call="layer(x[0], mask=x[1], initial_state=x[2:])",
            ),
        ]
    found += [
        case(f"{name}(2, activity_regularizer={L2}, return_state=True)", (2, 3, 2))
        for name in ("LSTM", "GRU")
    ]  # Keras's SimpleRNN forgets its activity_regularizer
    return found


CELLS = [
    case("SimpleRNNCell(3)", (2, 4), (2, 3), call="layer(x[0], [x[1]])"),
    case("SimpleRNNCell(3, activation='relu', use_bias=False)", (2, 4), (2, 3), call="layer(x[0], x[1])"),
    case(f"SimpleRNNCell(2, kernel_regularizer={L2})", (1, 1), (1, 2), call="layer(x[0], [x[1]])"),
    case("LSTMCell(3)", (2, 4), (2, 3), (2, 3), call="layer(x[0], x[1:])"),
    case("LSTMCell(3, unit_forget_bias=False, activation='relu')", (2, 4), (2, 3), (2, 3), call="layer(x[0], x[1:])"),
    case("LSTMCell(1, use_bias=False, implementation=1)", (1, 4), (1, 1), (1, 1), call="layer(x[0], x[1:])"),
    case("GRUCell(3)", (2, 4), (2, 3), call="layer(x[0], [x[1]])"),
    case("GRUCell(3, reset_after=False, recurrent_activation='tanh')", (2, 4), (2, 3), call="layer(x[0], x[1])"),
    case("GRUCell(2, use_bias=False)", (3, 1), (3, 2), call="layer(x[0], [x[1]])"),
    case("StackedRNNCells([LSTMCell(3), GRUCell(2)])", (2, 4), (2, 3), (2, 3), (2, 2),
         call="layer(x[0], [[x[1], x[2]], x[3]])"),
    case("StackedRNNCells([SimpleRNNCell(3), SimpleRNNCell(2, activation='relu')])", (2, 4), (2, 3), (2, 2),
         call="layer(x[0], [x[1], x[2]])"),
    case("RNN(LSTMCell(3), return_sequences=True, return_state=True)", (2, 4, 3)),
    case("RNN(GRUCell(3, activation='softsign'), go_backwards=True, return_sequences=True)", (2, 4, 3)),
    case("RNN([LSTMCell(3), GRUCell(2)], return_state=True)", (2, 4, 3)),
    case("RNN([GRUCell(3, activation='relu'), SimpleRNNCell(2)], return_sequences=True)", (2, 4, 3)),
    case("RNN(StackedRNNCells([LSTMCell(2), LSTMCell(3)]), unroll=True)", (2, 3, 2), (2, 2), (2, 2), (2, 3), (2, 3),
         call="layer(x[0], initial_state=[[x[1], x[2]], [x[3], x[4]]])"),
    case("Sequential([Masking(), RNN([LSTMCell(3), GRUCell(2)], return_sequences=True)])", Padded((4, 6, 2))),
    case("Sequential([Masking(), RNN([LSTMCell(3, activation='relu'), SimpleRNNCell(2)])])", Padded((4, 6, 2))),
    case("Sequential([Masking(), RNN([LSTMCell(3, activation='relu'), LSTMCell(2)], return_sequences=True, "
         "go_backwards=True, zero_output_for_mask=True)])", Padded((4, 6, 2))),
]  # fmt: skip
"""Cells by themselves, and `RNN` over them: fused, scanned, one on the other, masked."""

ONE = np.where(COUNTS[..., None, None], np.linspace(-1, 1, 90).reshape(3, 3, 5, 2), 1e6)
CONV_LSTM = [
    case("ConvLSTM1D(2, 3, padding='same')", (2, 3, 5, 2)),
    case("ConvLSTM1D(3, 2, strides=2, return_sequences=True, go_backwards=True, use_bias=False)", (2, 3, 6, 2)),
    case("ConvLSTM1D(2, 2, dilation_rate=2, recurrent_activation='hard_sigmoid', return_state=True)", (2, 3, 6, 1)),
    case("ConvLSTM1D(2, 3, padding='same', return_sequences=True)", ONE, COUNTS, call="layer(x[0], mask=x[1])"),
    case("ConvLSTM1D(2, 3, padding='same')", ONE, COUNTS, (3, 5, 2), (3, 5, 2),
         call="layer(x[0], mask=x[1], initial_state=x[2:])"),
    case("ConvLSTM2D(2, (2, 3), padding='same', return_sequences=True)", (2, 2, 4, 3, 2)),
    case("ConvLSTM2D(2, 2, unit_forget_bias=False, activation='relu', return_state=True)", (2, 2, 3, 4, 1)),
    case(f"ConvLSTM2D(1, 3, strides=(2, 1), kernel_regularizer={L2}, recurrent_regularizer={L1})", (1, 2, 5, 4, 2)),
    case("ConvLSTM3D(2, 2)", (1, 2, 3, 3, 3, 1)),
    case("ConvLSTM3D(1, (1, 2, 2), padding='same', return_sequences=True)", (2, 2, 2, 3, 2, 2)),
    case("ConvLSTM3D(1, 2, strides=2, return_state=True, use_bias=False)", (1, 1, 4, 4, 4, 1)),
    case("Bidirectional(ConvLSTM1D(2, 3, padding='same', return_sequences=True))", (2, 3, 4, 2)),
    case("Bidirectional(RNN([LSTMCell(3), GRUCell(2)], return_state=True), merge_mode='sum')", (2, 4, 3)),
    case("TimeDistributed(LSTM(2))", (2, 3, 4, 2)),
]  # fmt: skip
"""Channels last: Keras on TensorFlow has no others on a CPU."""

WRAPPERS = [
    *(
        case(f"Bidirectional({name}(3, return_sequences={several}), merge_mode={mode!r})", (2, 4, 3))
        for name, several, mode in (
            ("LSTM", True, "concat"),
            ("LSTM", False, "sum"),
            ("GRU", True, "mul"),
            ("GRU", False, "ave"),
            ("SimpleRNN", True, None),
            ("SimpleRNN", False, "concat"),
        )
    ),
    case("Bidirectional(LSTM(3, return_sequences=True, return_state=True))", (2, 4, 3)),
    case(
        "Bidirectional(GRU(3, return_state=True))",
        (2, 4, 3),
        (2, 3),
        (2, 3),
        call="layer(x[0], initial_state=x[1:])",
    ),
    case("Bidirectional(LSTM(3), backward_layer=LSTM(3, activation='relu', go_backwards=True))", (2, 4, 3)),
    case("Sequential([Masking(), Bidirectional(LSTM(3, return_sequences=True))])", Padded((4, 5, 2))),
    case("Sequential([Masking(), Bidirectional(GRU(3))])", Padded((4, 5, 2))),
    case("TimeDistributed(Dense(3))", (2, 4, 5)),
    case("TimeDistributed(Conv2D(2, 2))", (2, 3, 4, 4, 2)),
    case("TimeDistributed(Flatten())", (2, 3, 2, 2)),
    case("TimeDistributed(BatchNormalization())", (2, 3, 2)),
    case("Sequential([Masking(), TimeDistributed(Dense(3))])", Padded((4, 5, 2))),
]
