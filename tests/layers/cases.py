"""The tables: layers as text that both Keras and unifront understand, and their inputs."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

import numpy as np

from tests.layers.case import L1, L2, Case, Ints, Padded, case
from tests.layers.recurrent_cases import CELLS, CONV_LSTM, WRAPPERS, recurrent

SINGLE = {"float64": 1e-7}
"""Keras on TensorFlow keeps constants of these functions in float32, or has no float64 for them on CPU."""

CORE = [
    case("Dense(4)", (3, 5)),
    case("Dense(4, activation='relu', use_bias=False)", (2, 3, 5)),
    case("Dense(1, activation='sigmoid')", (2, 1)),
    case(f"Dense(3, kernel_regularizer={L2}, bias_regularizer={L1})", (2, 4)),
    case(f"Dense(3, activity_regularizer={L1})", (4, 2)),
    case(f"Dense(3, activity_regularizer={L2}, activation='tanh')", (4, 2, 2)),
    case("Embedding(7, 3)", Ints((2, 5), 7)),
    case(f"Embedding(7, 3, embeddings_regularizer={L2}, activity_regularizer={L1})", Ints((2, 2, 2), 7)),
    case("Embedding(7, 3)", np.array([[0.0, 1.9, 6.2]])),
    case("Flatten()", (2, 3, 4)),
    case("Flatten()", (3,)),
    case("Flatten(data_format='channels_first')", (2, 3, 4, 5)),
    case("Reshape((6, 2))", (2, 3, 4)),
    case("Reshape((-1, 3))", (2, 3, 4)),
    case("Permute((2, 1))", (2, 3, 4)),
    case("Permute((3, 1, 2))", (2, 3, 4, 5)),
    case("RepeatVector(3)", (2, 4)),
    case("Masking()", Padded((3, 4, 2))),
    case("Masking(mask_value=1.5)", np.array([[[1.5, 1.5], [1.5, 2.0]], [[0.0, 0.0], [1.5, 1.5]]])),
]

ACTIVATIONS = [
    *(
        case(f"Activation('{name}')", (3, 4))
        for name in (
            "linear",
            "relu",
            "relu6",
            "sigmoid",
            "tanh",
            "softmax",
            "log_softmax",
            "softplus",
            "softsign",
            "silu",
            "swish",
            "elu",
            "selu",
            "hard_sigmoid",
            "exponential",
        )
    ),
    case("Activation('gelu')", (3, 4), bounds=SINGLE),
    case("Activation('leaky_relu')", (3, 4), bounds=SINGLE),
    case("ReLU()", (3, 4)),
    case("ReLU(max_value=0.5)", (3, 4)),
    case("ReLU(max_value=0.9, negative_slope=0.2, threshold=0.3)", (3, 4), bounds=SINGLE),
    case("ReLU(threshold=0.4)", (3, 4)),
    case("LeakyReLU()", (3, 4), bounds=SINGLE),
    case("LeakyReLU(negative_slope=0.05)", (3, 4), bounds=SINGLE),
    case("ELU(alpha=0.7)", (3, 4)),
    case("PReLU(alpha_initializer='Ones')", (3, 4)),
    case(f"PReLU(shared_axes=[1, 2], alpha_regularizer={L2})", (2, 3, 4, 2)),
    case("Softmax()", (3, 4)),
    case("Softmax(axis=1)", (3, 4, 2)),
    case("Softmax(axis=(1,))", (3, 4, 2)),
    case(
        "Softmax(axis=(1, 2))",
        (2, 2, 2),
        np.array([[[1.0, 0.0], [1.0, 0.4]], [[0.0, 0.0], [0.0, 0.0]]]),
        call="layer(x[0], mask=x[1])",
    ),
    case("ReLU(threshold=0.5)", np.array([[0.5, 0.25, 0.75, -1.0]])),
    case("ReLU(threshold=0.5, negative_slope=0.25)", np.array([[0.6, 0.25, 0.75, -1.0]])),
    case("Softmax(axis=(1, 2))", (3, 4, 2)),
    case(
        "Softmax()",
        (2, 3),
        np.array([[True, False, True], [False, True, True]]),
        call="layer(x[0], mask=x[1])",
    ),
]

CONVOLUTIONS = [
    case("Conv1D(4, 3)", (2, 7, 3)),
    case("Conv1D(4, 3, padding='same', strides=2)", (2, 8, 3)),
    case("Conv1D(4, 2, padding='causal', activation='relu')", (2, 6, 3)),
    case("Conv1D(4, 3, padding='causal', dilation_rate=2, use_bias=False)", (2, 6, 3)),
    case("Conv1D(1, 2, strides=2)", (2, 7, 2)),
    case("Conv1D(4, 3, padding='causal', strides=2)", (2, 7, 3)),
    case("Conv1D(4, 3, groups=2)", (2, 6, 6)),
    case(
        "Conv1D(4, 2, data_format='channels_first')",
        (2, 3, 6),
        judge="Sequential([Permute((2, 1)), Conv1D(4, 2), Permute((2, 1))])",
    ),
    case("Conv2D(4, 3)", (2, 5, 6, 3)),
    case("Conv2D(4, (2, 3), padding='same', activation='relu')", (2, 5, 6, 3)),
    case("Conv2D(4, 3, strides=2, padding='same')", (2, 6, 7, 2)),
    case("Conv2D(4, 3, strides=(2, 1), use_bias=False)", (1, 5, 6, 2)),
    case("Conv2D(4, 2, dilation_rate=2, padding='same')", (1, 5, 6, 2)),
    case("Conv2D(4, 3, groups=2, padding='same')", (1, 4, 4, 4)),
    case(
        "Conv2D(4, 3, data_format='channels_first', padding='same', strides=2)",
        (1, 3, 5, 6),
        judge="Sequential([Permute((2, 3, 1)), Conv2D(4, 3, padding='same', strides=2), Permute((3, 1, 2))])",
    ),
    case(
        f"Conv2D(2, 3, kernel_regularizer={L2}, bias_regularizer={L1}, activity_regularizer={L2})",
        (2, 4, 4, 2),
    ),
    case("Conv2D(2, 1)", (1, 1, 1, 1)),
    case("Conv3D(3, 2)", (1, 3, 4, 3, 2)),
    case("Conv3D(3, 2, padding='same', strides=2, data_format='channels_first')", (1, 2, 3, 4, 3)),
    case("DepthwiseConv1D(3)", (2, 6, 3)),
    case("DepthwiseConv1D(2, depth_multiplier=2, padding='same', strides=2)", (2, 6, 3)),
    case("DepthwiseConv2D(3)", (1, 5, 6, 3)),
    case("DepthwiseConv2D(3, depth_multiplier=2, padding='same', activation='relu')", (1, 5, 6, 3)),
    case("DepthwiseConv2D(3, strides=2, padding='same', use_bias=False)", (1, 5, 6, 2)),
    case("DepthwiseConv2D(2, dilation_rate=2, data_format='channels_first')", (1, 3, 5, 6)),
    case(f"DepthwiseConv2D(2, depthwise_regularizer={L2})", (1, 3, 3, 2)),
    case("SeparableConv2D(4, 3)", (1, 5, 6, 3)),
    case(
        f"SeparableConv2D(4, 3, padding='same', strides=2, depth_multiplier=2, use_bias=False, "
        f"pointwise_regularizer={L2}, depthwise_regularizer={L1})",
        (1, 5, 6, 2),
    ),
    case(
        "SeparableConv2D(3, (2, 3), dilation_rate=2, data_format='channels_first')",
        (1, 2, 6, 7),
        judge="Sequential([Permute((2, 3, 1)), SeparableConv2D(3, (2, 3), dilation_rate=2), Permute((3, 1, 2))])",
    ),
    case("SeparableConv1D(4, 3)", (2, 6, 3)),
    case("SeparableConv1D(4, 2, padding='same', strides=2, depth_multiplier=2, use_bias=False)", (2, 5, 2)),
    case("SeparableConv1D(3, 3, dilation_rate=2, activation='relu')", (1, 7, 2)),
    case("Conv1DTranspose(4, 3)", (2, 5, 3)),
    case("Conv1DTranspose(4, 3, strides=2, padding='same', activation='relu')", (2, 5, 3)),
    case("Conv1DTranspose(3, 2, strides=3, use_bias=False)", (2, 4, 2)),
    case("Conv1DTranspose(2, 3, strides=2, output_padding=1, padding='same')", (1, 4, 2)),
    case("Conv2DTranspose(4, 3)", (2, 3, 4, 3)),
    case("Conv2DTranspose(4, 3, strides=2, padding='same')", (1, 4, 3, 2)),
    case("Conv2DTranspose(3, (4, 2), strides=(2, 3), padding='same', output_padding=(1, 2))", (1, 3, 3, 2)),
    case("Conv2DTranspose(3, (2, 3), strides=3, output_padding=1, use_bias=False)", (1, 3, 2, 2)),
    case("Conv1DTranspose(2, 2)", (2, 4, 1)),
    case("Conv2DTranspose(2, 1)", (1, 1, 1, 1)),
    case(
        "Conv2DTranspose(4, 3, data_format='channels_first', padding='same', strides=2)",
        (1, 3, 4, 5),
        judge="Sequential([Permute((2, 3, 1)), Conv2DTranspose(4, 3, padding='same', strides=2), Permute((3, 1, 2))])",
    ),
    case(
        f"Conv2DTranspose(2, 3, kernel_regularizer={L2}, bias_regularizer={L1}, activity_regularizer={L2})",
        (2, 3, 3, 2),
    ),
    case("Conv3DTranspose(3, 2)", (1, 3, 2, 3, 2)),
    case("Conv3DTranspose(3, 3, padding='same', strides=2)", (1, 2, 3, 2, 2)),
    case("Conv3DTranspose(2, 2, strides=(1, 2, 3), activation='relu', use_bias=False)", (1, 2, 2, 2, 2)),
    case("ZeroPadding1D()", (2, 3, 2)),
    case("ZeroPadding1D((0, 2))", (2, 3, 2)),
    case("ZeroPadding2D(1)", (1, 2, 3, 2)),
    case("ZeroPadding2D((1, 2))", (1, 2, 3, 2)),
    case("ZeroPadding2D(((0, 1), (2, 0)), data_format='channels_first')", (1, 2, 3, 2)),
    case("ZeroPadding3D((1, 0, 2))", (1, 2, 3, 2, 1)),
    case("Cropping1D()", (2, 5, 2)),
    case("Cropping1D((0, 2))", (2, 5, 2)),
    case("Cropping2D((1, 2))", (1, 4, 6, 2)),
    case("Cropping2D(((0, 1), (2, 0)), data_format='channels_first')", (1, 2, 3, 4)),
    case("UpSampling1D(3)", (2, 3, 2)),
    case("UpSampling2D()", (1, 2, 3, 2)),
    case("UpSampling2D((1, 3), data_format='channels_first')", (1, 2, 3, 2)),
]

POOLING = [
    *(
        case(f"{kind}Pooling{rank}D({arguments})", (2, *(5, 6, 4)[:rank], 3))
        for kind in ("Max", "Average")
        for rank in (1, 2)
        for arguments in ("2", "3, strides=2, padding='same'", "2, strides=1")
    ),
    case("MaxPooling1D(2, data_format='channels_first')", (2, 3, 5)),
    case("AveragePooling1D(2, padding='same', data_format='channels_first')", (2, 3, 5)),
    case("MaxPooling2D((2, 3), data_format='channels_first', padding='same')", (1, 3, 5, 6)),
    case("AveragePooling2D((2, 1), strides=(1, 2), data_format='channels_first')", (1, 3, 5, 6)),
    *(
        case(
            f"AdaptiveAveragePooling{rank}D({size})",
            (2, *(5, 6, 4)[:rank], 3),
            **({"judge_dtype": "float32", "bounds": {"float64": 1e-6}} if rank == 3 else {}),
        )
        for rank in (1, 2, 3)
        for size in (1, 2, (2, 3, 4)[:rank])
    ),
    *(
        case(
            f"AdaptiveMaxPooling{rank}D({size}, data_format='channels_first')",
            (2, 3, *(6, 4, 8)[:rank]),
            judge=f"MaxPooling{rank}D({pool}, data_format='channels_first')",
            judge_dtype="float32",
            bounds=SINGLE,
        )
        for rank in (1, 2)
        for size, pool in ((2, (3, 2, 4)[:rank]), (1, (6, 4, 8)[:rank]))
    ),
    case("MaxPooling3D(2)", (1, 4, 3, 4, 2), judge_dtype="float32", bounds=SINGLE),
    case("AveragePooling3D(2, padding='same')", (1, 3, 3, 4, 2), judge_dtype="float32", bounds=SINGLE),
    *(
        case(f"Global{kind}Pooling{rank}D({arguments})", (2, *(4, 3, 2)[:rank], 3))
        for kind in ("Max", "Average")
        for rank in (1, 2, 3)
        for arguments in ("", "data_format='channels_first', keepdims=True")
    ),
]

MERGES = [
    *(
        case(f"{name}()", (2, 3), (2, 3), (2, 3), call="layer(x)")
        for name in ("Add", "Multiply", "Average", "Maximum", "Minimum")
    ),
    case("Subtract()", (2, 3), (2, 3), call="layer(x)"),
    case("Add()", (2, 3, 4), (2, 1, 4), call="layer(x)"),
    case("Multiply()", (2, 3, 4), (2, 4), call="layer(x)"),
    case("Concatenate()", (2, 3), (2, 4), call="layer(x)"),
    case("Dot(axes=1)", (2, 3), (2, 3), call="layer(x)"),
    case("Dot(axes=(2, 1), normalize=True)", (2, 3, 4), (2, 4, 5), call="layer(x)"),
    case("Dot(axes=-1)", (2, 3, 4), (2, 4), call="layer(x)"),
    case("Concatenate(axis=1)", (2, 3, 2), (2, 1, 2), (2, 2, 2), call="layer(x)"),
]

NORMALIZATION = [
    *(
        case(f"BatchNormalization({arguments})", shape, training=training)
        for arguments, shape in (
            ("", (4, 3)),
            ("", (3, 2, 2, 3)),
            ("axis=1, momentum=0.8, epsilon=0.01", (3, 2, 4, 3)),
            ("center=False, scale=False", (4, 3)),
            ("scale=False", (4, 2, 3)),
            (f"gamma_regularizer={L2}, beta_regularizer={L1}", (4, 3)),
            ("trainable=False", (4, 3)),
            ("renorm=True, epsilon=0.0009765625", (4, 3)),
            (
                "renorm=True, epsilon=0.0009765625, renorm_clipping={'rmax': 1.5, 'rmin': 0.5, 'dmax': 0.25}, axis=1",
                (3, 2, 4),
            ),
            ("renorm=True, epsilon=0.0009765625, center=False, scale=False, renorm_momentum=0.5", (4, 2, 3)),
        )
        for training in (False, True)
    ),
    case("Sequential([Masking(), BatchNormalization(momentum=0.7)])", Padded((4, 5, 2)), training=True),
    case("GroupNormalization(groups=2)", (2, 3, 3, 4)),
    case("GroupNormalization(groups=-1, axis=1, scale=False)", (2, 3, 4)),
    case("RMSNormalization()", (2, 3, 4)),
    case("SpectralNormalization(Dense(3))", (2, 4)),
    *(
        case(f"SpectralNormalization({layer}, power_iterations={number})", shape, training=True)
        for layer, shape in (("Dense(3)", (2, 4)), ("Conv2D(3, 2)", (1, 3, 3, 2)))
        for number in (1, 2)
    ),
    case("UnitNormalization()", (2, 3, 4)),
    case("UnitNormalization(axis=1)", (2, 3, 4)),
    case("UnitNormalization(axis=(1, 2))", (2, 3, 4)),
    case("RMSNormalization(axis=(1, 2), epsilon=0.1)", (2, 3, 4)),
    case("LayerNormalization()", (3, 4)),
    case("LayerNormalization(axis=(1, 2), epsilon=0.1)", (3, 4, 2)),
    case("LayerNormalization(axis=1, center=False)", (3, 4, 2)),
    case(f"LayerNormalization(scale=False, beta_regularizer={L2})", (3, 4, 2)),
]

TWO = (
    "(lambda a, b: Model([a, b], {}([Embedding(9, 2, mask_zero=True)(a), Embedding(7, 2, mask_zero=True)(b)])))"
    "(Input((5,), dtype='int32'), Input((5,), dtype='int32'))"
)
JOINED = [
    case(
        TWO.format(f"(lambda both: {rest}({join}(both)))"),
        Padded((4, 5), high=9),
        Ints((4, 5), 7),
        call="layer(x)",
    )
    for join, rest in (
        ("Add()", "LSTM(3)"),
        ("Multiply()", "GRU(3, return_sequences=True)"),
        ("Concatenate()", "SimpleRNN(3)"),
        ("Concatenate(axis=1)", "LSTM(3)"),
        ("Average()", "LSTM(3, return_sequences=True, zero_output_for_mask=True)"),
    )
]

DROPOUT = [
    case(f"{name}(0.5)", shape)
    for name, shape in (
        ("Dropout", (3, 4)),
        ("SpatialDropout1D", (2, 3, 4)),
        ("SpatialDropout2D", (2, 3, 2, 4)),
    )
] + [case("Dropout(0.0)", (3, 4), training=True)]

WORDS = Padded((4, 6), high=9)
MASKED = [
    case(f"Sequential([Embedding(9, 3, mask_zero=True), {rest}])", WORDS)
    for rest in (
        "LSTM(4), Dense(2)",
        "GRU(4, return_sequences=True), SimpleRNN(3), Dense(2)",
        "Bidirectional(LSTM(3, return_sequences=True)), GRU(2)",
        "LSTM(3, return_sequences=True), TimeDistributed(Dense(2)), LSTM(2)",
        "Dropout(0.5), LayerNormalization(), Activation('tanh'), LSTM(2)",
        "SimpleRNN(3, return_sequences=True), Dense(2)",
        "Conv1D(2, 2), LSTM(2)",
        "GRU(3, return_sequences=True, go_backwards=True), GRU(2)",
        "Bidirectional(GRU(3, return_sequences=True), merge_mode='sum'), Bidirectional(GRU(2)), Dense(2)",
    )
] + [
    case(
        "Sequential([Embedding(9, 3, mask_zero=True), GlobalAveragePooling1D()])",
        np.array([[1, 2, 0, 4], [5, 0, 0, 0]], np.int32),
    ),
    case(
        "Sequential([Embedding(9, 3, mask_zero=True), LSTM(3, return_sequences=True), GlobalAveragePooling1D()])",
        np.array([[1, 2, 0, 4], [0, 7, 7, 0]], np.int32),
    ),
    case("Sequential([Masking(), BatchNormalization(), SimpleRNN(3)])", Padded((4, 5, 2)), training=True),
]

QUERY, VALUE = (2, 3, 4), (2, 5, 4)
OF_TWO, OF_THREE = "layer([x[0], x[1]])", "layer([x[0], x[1], x[2]])"
ROWS, COLUMNS = (
    np.array([[True, True, False], [False, True, True]]),
    np.array([[True, False, True, True, False]] * 2),
)
PAIRS = np.array([[[1, 0, 1, 1, 0], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]]] * 2, bool)
BOTH = "layer([x[0], x[1]], mask=[x[2], x[3]]{})"
EMBEDDED = (
    "(lambda a: Model(a, (lambda e: {})(Embedding(9, 4, mask_zero=True)(a))))(Input((6,), dtype='int32'))"
)
SELF = "layer(x[0], x[0]{})"

HEADS = [  # Keras keeps the scale in float32
    replace(one, bounds=SINGLE)
    for one in [
        case("MultiHeadAttention(2, 3)", QUERY, VALUE),
        case("MultiHeadAttention(2, 3)", QUERY, call=SELF.format(", use_causal_mask=True")),
        case(
            "MultiHeadAttention(3, 2, value_dim=4, output_shape=5, use_bias=False)", QUERY, VALUE, (2, 5, 3)
        ),
        case(
            "MultiHeadAttention(2, 3, use_gate=True)",
            QUERY,
            VALUE,
            PAIRS,
            call="layer(x[0], x[1], attention_mask=x[2])",
        ),
        case(
            "MultiHeadAttention(2, 3)",
            QUERY,
            VALUE,
            PAIRS,
            call="layer(x[0], x[1], attention_mask=x[2], use_causal_mask=True, return_attention_scores=True)",
        ),
        case("MultiHeadAttention(2, 3, sliding_window=2)", VALUE, call=SELF.format(", use_causal_mask=True")),
        case("MultiHeadAttention(2, 3, dropout=0.5)", QUERY, VALUE),
        case("MultiHeadAttention(2, 3)", (2, 3, 2, 4), (2, 5, 2, 4)),
        case("MultiHeadAttention(2, 3, attention_axes=1, output_shape=(2, 3))", (2, 3, 2, 4), (2, 5, 2, 4)),
        case(
            f"MultiHeadAttention(1, 2, kernel_regularizer={L2}, bias_regularizer={L1})", (2, 1, 3), (2, 1, 3)
        ),
        case("GroupQueryAttention(3, 4, 2)", QUERY, VALUE),
        case(
            "GroupQueryAttention(2, 3, 1, use_bias=False)", QUERY, call=SELF.format(", use_causal_mask=True")
        ),
        case(
            "GroupQueryAttention(2, 2, 2, use_gate=True)",
            QUERY,
            VALUE,
            PAIRS,
            call="layer(x[0], x[1], attention_mask=x[2])",
        ),
        case(
            "GroupQueryAttention(2, 4, 2, sliding_window=2)",
            VALUE,
            call=SELF.format(", return_attention_scores=True"),
        ),
        *(
            case(EMBEDDED.format(rest), Padded((4, 6), high=9))
            for rest in (
                "SimpleRNN(2)(MultiHeadAttention(2, 3)(e, e))",
                "LSTM(2)(MultiHeadAttention(2, 3)(e, e, use_causal_mask=True))",
                "LSTM(2)(Attention(use_scale=True)([e, e]))",
                "AdditiveAttention()([e, e])",
            )
        ),
    ]
]
ATTENTION = [
    case("Attention()", QUERY, VALUE, call=OF_TWO),
    case("Attention(use_scale=True)", QUERY, VALUE, (2, 5, 4), call=OF_THREE),
    case("Attention(score_mode='concat', use_scale=True)", QUERY, VALUE, call=OF_TWO),
    case("Attention(score_mode='concat')", QUERY, VALUE, call=OF_TWO),
    case(
        "Attention()",
        QUERY,
        VALUE,
        call="layer([x[0], x[1]], use_causal_mask=True, return_attention_scores=True)",
    ),
    case("Attention(use_scale=True)", QUERY, VALUE, ROWS, COLUMNS, call=BOTH.format("")),
    case("Attention()", QUERY, VALUE, ROWS, COLUMNS, call=BOTH.format(", use_causal_mask=True")),
    case("AdditiveAttention()", QUERY, VALUE, call=OF_TWO),
    case("AdditiveAttention(use_scale=False)", QUERY, VALUE, (2, 5, 4), call=OF_THREE),
    case(
        "AdditiveAttention()", QUERY, VALUE, ROWS, COLUMNS, call=BOTH.format(", return_attention_scores=True")
    ),
    case("EinsumDense('ab,bc->ac', 3)", (2, 4)),
    case("EinsumDense('abc,cde->abde', (None, 2, 3), bias_axes='de', activation='relu')", (2, 5, 4)),
    case("EinsumDense('abcd,cde->abe', (None, 3), bias_axes='e')", (2, 3, 4, 2)),
    case("EinsumDense('...x,xy->...y', 3, bias_axes='y')", (2, 5, 2, 4)),
    case("EinsumDense('ab...,bc->ac...', 3, bias_axes='c')", (2, 4, 5)),
    case("EinsumDense('abc,bde->acde', (5, 2, 3), bias_axes='ce')", (2, 4, 5)),
    case(f"EinsumDense('abc,cd->abd', (2, 2), bias_axes='bd', kernel_regularizer={L2})", (3, 2, 4)),
]

PLAIN = [
    case("Identity()", (2, 3)),
    case("AlphaDropout(0.5)", (2, 3)),
    case("GaussianDropout(0.5)", (2, 3)),
    case("SpatialDropout3D(0.5)", (2, 2, 2, 2, 3)),
    case("Pipeline([Dense(3), Dense(2)])", (2, 4)),
    case("ReversibleEmbedding(7, 3, tie_weights=False)", Ints((2, 5), 7)),
    case("ReversibleEmbedding(7, 3)", (2, 5, 3), call="layer(x[0], reverse=True)"),
    case("ReversibleEmbedding(7, 3, False, logit_soft_cap=2.0)", (2, 3), call="layer(x[0], reverse=True)"),
    case("Normalization(mean=[1.0, -2.0, 0.5], variance=[4.0, 0.25, 0.0])", (4, 3)),
    case("Normalization(axis=None, mean=1.0, variance=4.0)", (4, 3)),
    case("Normalization(axis=(1, 2), mean=[[1.0, 2.0]], variance=[[0.5, 4.0]], invert=True)", (4, 1, 2, 3)),
    case("Discretization([-0.5, 0.0, 0.5])", (4, 3)),
    case("Discretization([-0.5, 0.0, 0.5], output_mode='one_hot')", (4, 1)),
    case("Discretization([-0.5, 0.0, 0.5], output_mode='multi_hot')", (4, 3)),
    *(
        case(f"STFTSpectrogram('{mode}', frame_length=8)", (2, 40, 2))
        for mode in ("log", "magnitude", "psd", "real", "imag", "angle", "stft")
    ),
    case("STFTSpectrogram('magnitude', 6, 2, 8, padding='same', expand_dims=True, scaling=None)", (2, 40, 2)),
    case("STFTSpectrogram('real', 8, window='hamming', periodic=True, scaling='spectrum')", (2, 40, 2)),
    case("CategoryEncoding(6)", Ints((4, 3), 6)),
    case("CategoryEncoding(6, 'one_hot')", Ints((4, 3), 6)),
    case("CategoryEncoding(6, 'count')", Ints((4, 3), 6)),
]

ALL = list(
    chain(
        PLAIN,
        ATTENTION,
        HEADS,
        CORE,
        ACTIVATIONS,
        CONVOLUTIONS,
        POOLING,
        MERGES,
        NORMALIZATION,
        DROPOUT,
        recurrent(),
        CELLS,
        CONV_LSTM,
        WRAPPERS,
        MASKED,
        JOINED,
    )
)


def layer_of(case: Case) -> str:
    """The name of the layer that a case is about."""
    return case.text.removeprefix("Sequential([Masking(), ").partition("(")[0]


FIRST = [case for i, case in enumerate(ALL) if all(layer_of(case) != layer_of(other) for other in ALL[:i])]
"""One case of every layer."""
