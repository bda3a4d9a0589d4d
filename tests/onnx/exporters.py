"""Models that other projects' exporters write, with random weights: bytes of ONNX, and inputs for them."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
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


def bert(optimized: bool = False) -> Made:
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=16,
    )  # fmt: skip
    words = RNG.integers(0, 50, (2, 7))
    mask = np.ones((2, 7), "int64")
    mask[1, 5:] = 0
    return _from_transformers(
        BertModel(config),
        {"input_ids": words, "attention_mask": mask},
        ["last_hidden_state"],
        "bert",
        optimized,
    )


def gpt2(optimized: bool = False) -> Made:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4, use_cache=False)
    words = RNG.integers(0, 50, (2, 7))
    return _from_transformers(
        GPT2LMHeadModel._from_config(config, attn_implementation="eager"),
        {"input_ids": words, "attention_mask": np.array([[1] * 7, [1] * 5 + [0, 0]])},
        ["logits"],
        "gpt2",
        optimized,
    )


def classic() -> Made:
    """An encoder as BERT's was written at first, all of which ONNX Runtime's optimizer fuses."""
    import torch
    from torch import nn

    class Layer(nn.Module):
        def __init__(self, size: int, heads: int) -> None:
            super().__init__()
            self.query, self.key, self.value, self.out = (nn.Linear(size, size) for _ in range(4))
            self.up, self.down = nn.Linear(size, 2 * size), nn.Linear(2 * size, size)
            self.norm1, self.norm2 = nn.LayerNorm(size), nn.LayerNorm(size)
            self.heads = heads

        def forward(self, x: Any, mask: Any) -> Any:
            def apart(y: Any) -> Any:
                return y.view(*y.size()[:-1], self.heads, -1).permute(0, 2, 1, 3)

            query, key, value = apart(self.query(x)), apart(self.key(x)), apart(self.value(x))
            scores = torch.matmul(query, key.transpose(-1, -2)) / 8**0.5 + mask
            y = torch.matmul(torch.softmax(scores, -1), value).permute(0, 2, 1, 3).contiguous()
            x = self.norm1(self.out(y.view(*y.size()[:-2], -1)) + x)
            return self.norm2(self.down(nn.functional.gelu(self.up(x))) + x)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.places, self.kinds = (
                nn.Embedding(50, 32),
                nn.Embedding(16, 32),
                nn.Embedding(2, 32),
            )
            self.norm = nn.LayerNorm(32)
            self.layers = nn.ModuleList([Layer(32, 4), Layer(32, 4)])
            self.register_buffer("position_ids", torch.arange(16).expand((1, -1)))

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            places = self.position_ids[:, : input_ids.size(1)]
            x = self.words(input_ids) + self.kinds(token_type_ids)
            x = self.norm(x + self.places(places))
            mask = (1.0 - attention_mask[:, None, None, :].float()) * -10000.0
            for layer in self.layers:
                x = layer(x, mask)
            return x

    torch.manual_seed(0)
    inputs = {
        "input_ids": RNG.integers(0, 50, (2, 7)), "attention_mask": np.array([[1] * 7, [1] * 4 + [0] * 3]),
        "token_type_ids": RNG.integers(0, 2, (2, 7)),
    }  # fmt: skip
    content, _ = from_torch(
        Encoder(), inputs, dynamo=False, free={name: {0: "batch", 1: "time"} for name in inputs}
    )
    return _optimized(content, "bert"), inputs


def _from_transformers(
    module: Any, inputs: dict[str, np.ndarray], outputs: list[str], kind: str, optimized: bool
) -> Made:
    """A model of Hugging Face by torch.onnx; ``optimized``: with what ONNX Runtime fuses for transformers."""
    import torch

    class First(torch.nn.Module):
        """The module with its arguments by their places, and one result."""

        def __init__(self) -> None:
            super().__init__()
            self.net = module

        def forward(self, *given: Any) -> Any:
            return self.net(**dict(zip(inputs, given, strict=True)))[0]

    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 0.0, 0.2) if parameter.ndim > 1 else None
    content, _ = from_torch(First(), inputs, dynamo=False, free={name: {0: "batch"} for name in inputs})
    return _optimized(content, kind) if optimized else content, inputs


def _optimized(content: bytes, kind: str) -> bytes:
    """What ONNX Runtime's optimizer for transformers makes of a model of four heads and 32 features."""
    from onnxruntime.transformers.optimizer import optimize_model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(content)
        found = optimize_model(str(path), kind, num_heads=4, hidden_size=32, opt_level=0)
        made: bytes = found.model.SerializeToString()
        return made


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


def machine(classes: int, probability: bool, kernel: str) -> Made:
    """Support vectors."""
    from sklearn.svm import SVC

    def fit(x: np.ndarray, y: np.ndarray) -> Any:
        return SVC(kernel=kernel, probability=probability, random_state=0).fit(x, y)

    return _from_sklearn(fit, classes)


def boosted() -> Made:
    from sklearn.ensemble import GradientBoostingClassifier

    return _from_sklearn(lambda x, y: GradientBoostingClassifier(n_estimators=5, random_state=0).fit(x, y), 3)


def perceptron() -> Made:
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return _from_sklearn(
        lambda x, y: make_pipeline(StandardScaler(), MLPClassifier((6,), max_iter=30, random_state=0)).fit(
            x, y
        ),
        3,
    )


def _from_sklearn(fit: Callable[[np.ndarray, np.ndarray], Any], classes: int) -> Made:
    import skl2onnx

    x = floats(90, 4)
    y = (np.abs(x[:, 0] + x[:, 1]) * 1.5).astype(int) % classes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a perceptron that has not converged
        fitted = fit(x, y)
        proto = skl2onnx.to_onnx(fitted, x[:1], options={"zipmap": False}, target_opset=17)
    return proto.SerializeToString(), {"X": x[:20]}


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
    "torch classic, optimized": classic,
    "torch bert": bert,
    "torch bert, optimized": lambda: bert(True),
    "torch gpt2": gpt2,
    "torch gpt2, optimized": lambda: gpt2(True),
    "keras cnn": keras_cnn,
    "keras gru": keras_gru,
    "sklearn pipeline": pipeline,
    "sklearn forest": forest,
    "sklearn boosted": boosted,
    "sklearn perceptron": perceptron,
    "sklearn machine": lambda: machine(3, False, "rbf"),
    "sklearn machine of two": lambda: machine(2, False, "poly"),
    "sklearn machine, linear": lambda: machine(3, False, "linear"),
    "sklearn machine, shares": lambda: machine(4, True, "rbf"),
    "sklearn machine of two, shares": lambda: machine(2, True, "sigmoid"),
}
