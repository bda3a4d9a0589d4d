"""The rows' models written with layers. `api` is `keras` or `unifront`: one text makes the model of both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convnets import NETWORKS, Conv, Dense, Inception, Pool
from rows import (
    BATCH_NORM_EPSILON,
    BATCH_NORM_MOMENTUM,
    BETA_1,
    BETA_2,
    CHAIN,
    EPSILON,
    FILTERS,
    HEADS,
    INNER,
    LAYER_NORM_EPSILON,
    LEARNING_RATE,
    SGD_RATE,
    TRANSFORMER_BLOCKS,
    WIDTH,
    Row,
    mobilenet_v2_blocks,
)


def assign(model: Any, row: Row) -> None:
    """Give the model the row's weights; those within a layer are named by their path in it, or by variable alone."""
    values = row.layer_values()
    for layer in model.layers:
        for weight in layer.weights:
            within = weight.path.rpartition(f"{layer.name}/")[2]
            own = values[layer.name]
            weight.assign(own[within] if within in own else own[weight.name])


def optimizer(api: Any, row: Row) -> Any:
    """The row's optimizer."""
    if row.optimizer == "sgd":
        return api.optimizers.SGD(SGD_RATE)
    return api.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)


def mlp(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.Dense(128, activation="relu", name="dense_1"),
            layers.Dense(128, activation="relu", name="dense_2"),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def chain(api: Any, row: Row) -> Any:
    hidden = [api.layers.Dense(8, name=f"hidden_{number}") for number in range(CHAIN)]
    return api.Sequential([api.Input(row.input_shape), *hidden, api.layers.Dense(row.classes, name="logits")])


def cifar(api: Any, row: Row) -> Any:
    layers = api.layers
    first, second, third = row.dropout
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.Conv2D(50, 3, padding="same", activation="relu", name="conv_1"),
            layers.Conv2D(50, 3, padding="same", activation="relu", name="conv_2"),
            layers.MaxPooling2D(2),
            layers.Dropout(first),
            layers.Conv2D(100, 3, padding="same", activation="relu", name="conv_3"),
            layers.Conv2D(100, 3, padding="same", activation="relu", name="conv_4"),
            layers.MaxPooling2D(2),
            layers.Dropout(second),
            layers.Flatten(),
            layers.Dense(512, activation="relu", name="dense"),
            layers.Dropout(third),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def gru(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape, dtype="int32"),
            layers.Embedding(row.vocabulary, 125, name="embedding"),
            layers.GRU(100, name="gru"),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def lstm(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.LSTM(256, return_sequences=True, name="lstm_1"),
            layers.LSTM(256, name="lstm_2"),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def transformer(api: Any, row: Row) -> Any:
    layers = api.layers
    start = x = api.Input(row.input_shape)

    def norm(x: Any, name: str) -> Any:
        return layers.LayerNormalization(epsilon=LAYER_NORM_EPSILON, name=name)(x)

    for number in range(TRANSFORMER_BLOCKS):
        name = f"body_{number}"
        y = norm(x, f"{name}_norm_1")
        x = layers.Add()(
            [x, layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name=f"{name}_attention")(y, y)]
        )
        y = layers.Dense(INNER, activation="gelu", name=f"{name}_expand")(norm(x, f"{name}_norm_2"))
        x = layers.Add()([x, layers.Dense(WIDTH, name=f"{name}_project")(y)])
    x = layers.GlobalAveragePooling1D()(x)
    return api.Model(start, layers.Dense(row.classes, name="logits")(x))


def mobilenet_v2(api: Any, row: Row) -> Any:
    layers = api.layers

    def normalized(x: Any, conv: Any, name: str, relu: bool = True) -> Any:
        if conv.strides[0] == 2:
            x = layers.ZeroPadding2D(1)(x)
        x = layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn"
        )(conv(x))
        return layers.ReLU(6.0)(x) if relu else x

    def pointwise(x: Any, filters: int, name: str, relu: bool = True) -> Any:
        return normalized(x, layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_conv"), name, relu)

    start = api.Input(row.input_shape)
    x = normalized(start, layers.Conv2D(32, 3, 2, use_bias=False, name="stem_conv"), "stem")
    for number, (channels, inner, filters, stride) in enumerate(mobilenet_v2_blocks()):
        name = f"body_{number}"
        y = x if inner == channels else pointwise(x, inner, f"{name}_expand")
        padding = "same" if stride == 1 else "valid"
        depthwise = layers.DepthwiseConv2D(3, stride, padding, use_bias=False, name=f"{name}_depthwise_conv")
        y = pointwise(normalized(y, depthwise, f"{name}_depthwise"), filters, f"{name}_project", relu=False)
        x = layers.Add()([x, y]) if stride == 1 and channels == filters else y
    x = layers.GlobalAveragePooling2D()(pointwise(x, 1280, "head"))
    return api.Model(start, layers.Dense(row.classes, name="logits")(x))


def convlstm(api: Any, row: Row) -> Any:
    layers = api.layers
    return api.Sequential(
        [
            api.Input(row.input_shape),
            layers.ConvLSTM2D(FILTERS, 3, padding="same", return_sequences=True, name="convlstm_1"),
            layers.ConvLSTM2D(FILTERS, 3, padding="same", name="convlstm_2"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(row.classes, name="logits"),
        ]
    )


def _inception(layers: Any, x: Any, part: Inception, name: str) -> Any:
    shapes = part.convolutions(x.shape[-1])

    def conv(x: Any, branch: str) -> Any:
        size, _, _, filters = shapes[branch]
        return layers.Conv2D(filters, size, padding="same", activation="relu", name=f"{name}_{branch}")(x)

    pooled = layers.MaxPooling2D(3, 1, padding="same")(x)
    return layers.Concatenate()(
        [
            conv(x, "one"),
            conv(conv(x, "reduce_3"), "three"),
            conv(conv(x, "reduce_5"), "five"),
            conv(pooled, "project"),
        ]
    )


def convnet(api: Any, row: Row) -> Any:
    layers = api.layers
    start = x = api.Input(row.input_shape)
    for place, part in enumerate(NETWORKS[row.name]):
        name = f"body_{place}"
        match part:
            case Conv():
                same = part.stride == 1 and 2 * part.padding == part.size - 1
                if part.padding and not same:
                    x = layers.ZeroPadding2D(part.padding)(x)
                padding = "same" if same else "valid"
                conv = layers.Conv2D(
                    part.filters, part.size, part.stride, padding, activation="relu", name=name
                )
                x = conv(x)
            case Pool():
                x = layers.MaxPooling2D(part.size, 2, padding="same" if part.over else "valid")(x)
            case Inception():
                x = _inception(layers, x, part, name)
            case Dense():
                x = layers.Flatten()(x) if len(x.shape) == 4 else x
                x = layers.Dense(part.units, activation="relu", name=name)(x)
    x = layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
    return api.Model(start, layers.Dense(row.classes, name="logits")(x))


MODELS: dict[str, Callable[[Any, Row], Any]] = {
    "mlp": mlp,
    "chain": chain,
    "cifar": cifar,
    "gru": gru,
    "lstm": lstm,
    "transformer": transformer,
    "mobilenet_v2": mobilenet_v2,
    "convlstm": convlstm,
    **dict.fromkeys(NETWORKS, convnet),
}
