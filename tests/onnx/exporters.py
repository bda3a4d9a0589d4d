"""Models that other projects' exporters write, with random weights: bytes of ONNX, and inputs for them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

Made = tuple[bytes, dict[str, np.ndarray]]
RNG = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype("float32")


def from_torch(
    module: Any, inputs: dict[str, np.ndarray], *, dynamo: bool, free: dict[str, dict[int, str]]
) -> Made:
    """What ``torch.onnx.export`` writes; ``free`` says which axes have no fixed size (in the older exporter)."""
    import torch

    module.eval()
    buffer = io.BytesIO()
    arguments = tuple(torch.from_numpy(array) for array in inputs.values())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            program = torch.onnx.export(
                module, arguments, dynamo=True, verbose=False, input_names=list(inputs)
            )
            return program.model_proto.SerializeToString(), inputs
        torch.onnx.export(
            module,
            arguments,
            buffer,
            dynamo=False,
            input_names=list(inputs),
            opset_version=17,
            dynamic_axes=free,
        )
    return buffer.getvalue(), inputs


def residual(dynamo: bool) -> Made:
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(width)

        def forward(self, x: Any) -> Any:
            y = torch.relu(self.bn1(self.conv1(x)))
            return torch.relu(x + self.bn2(self.conv2(y)))

    torch.manual_seed(0)
    stem = nn.Sequential(
        nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    )
    net = nn.Sequential(stem, Block(8), Block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return from_torch(net, {"image": floats(2, 3, 32, 32)}, dynamo=dynamo, free={"image": {0: "batch"}})


def bilstm(dynamo: bool) -> Made:
    import torch
    from torch import nn

    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(13, 6)
            self.lstm = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(10, 4)

        def forward(self, words: Any) -> Any:
            return self.head(self.lstm(self.embedding(words))[0])

    torch.manual_seed(0)
    words = RNG.integers(0, 13, (3, 7))
    return from_torch(Tagger(), {"words": words}, dynamo=dynamo, free={"words": {0: "batch", 1: "time"}})


def packed(dynamo: bool) -> Made:
    """A recurrent network over packed sequences, which become lengths."""
    import torch
    from torch import nn
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(4, 5, batch_first=True)

        def forward(self, x: Any, lengths: Any) -> Any:
            out, _ = self.gru(pack_padded_sequence(x, lengths, batch_first=True))
            return pad_packed_sequence(out, batch_first=True)[0]

    torch.manual_seed(0)
    return from_torch(
        Reader(), {"x": floats(3, 6, 4), "lengths": np.array([6, 4, 2])}, dynamo=dynamo, free={}
    )


def encoder(dynamo: bool) -> Made:
    import torch
    from torch import nn

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, activation="gelu", norm_first=True)
    net = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    return from_torch(net, {"x": floats(2, 7, 16)}, dynamo=dynamo, free={"x": {0: "batch"}})


def keras_cnn() -> Made:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
            keras.layers.DepthwiseConv2D(3, padding="same"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    return _from_keras(model, floats(2, 16, 16, 3))


def keras_gru() -> Made:
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((7, 4)),
            keras.layers.GRU(5, return_sequences=True),
            keras.layers.GRU(3),
            keras.layers.Dense(2),
        ]
    )
    return _from_keras(model, floats(2, 7, 4))


def _from_keras(model: Any, x: np.ndarray) -> Made:
    import tensorflow as tf
    import tf2onnx

    function = tf.function(lambda x: model(x, training=False), autograph=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto, _ = tf2onnx.convert.from_function(
            function, [tf.TensorSpec((None, *x.shape[1:]), tf.float32, name="x")], opset=17
        )
    return proto.SerializeToString(), {"x": x}


def pipeline() -> Made:
    import skl2onnx
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = floats(40, 4), RNG.integers(0, 3, 40)
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y)
    proto = skl2onnx.to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=17)
    return proto.SerializeToString(), {"X": x[:5]}


def forest() -> Made:
    import skl2onnx
    from sklearn.ensemble import RandomForestClassifier

    x, y = floats(60, 4), RNG.integers(0, 3, 60)
    fitted = RandomForestClassifier(5, max_depth=4, random_state=0).fit(x, y)
    proto = skl2onnx.to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=17)
    return proto.SerializeToString(), {"X": x[:9]}


MODELS: dict[str, Callable[[], Made]] = {
    "torch residual": lambda: residual(False),
    "torch residual, dynamo": lambda: residual(True),
    "torch bilstm": lambda: bilstm(False),
    "torch packed": lambda: packed(False),
    "torch encoder": lambda: encoder(False),
    "keras cnn": keras_cnn,
    "keras gru": keras_gru,
    "sklearn pipeline": pipeline,
    "sklearn forest": forest,
}
