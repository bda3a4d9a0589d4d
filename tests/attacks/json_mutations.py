"""Broken descriptions, each made from a good one by a number: models, layers, losses and the like as JSON, ``.keras``
files, and vocabularies.

A file begins with a line that says what reads it; an archive is a zip as it is.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from tests.attacks.mutations import EDGES, STRANGE, damaged, entries_of, many, text_of, times, zipped
from tests.layers import cases
from unifront import layers
from unifront.model_config import model_from_json
from unifront.saving import deserialize_keras_object, serialize_keras_object

Random = np.random.Generator
KINDS = (
    "initializers", "regularizers", "constraints", "activations", "losses", "metrics", "optimizers", "schedules",
    "dtype_policies", "quantizers",
)  # fmt: skip
"""Namespaces that have a ``deserialize``."""
BAIT = Path(__file__).parents[2] / "LICENSE"
"""A file that is there, that descriptions name, and that nobody is to open."""
CODE = "tests.attacks.bait"
"""A module that descriptions name, and that nobody is to import."""
PATHS = (str(BAIT), BAIT.as_uri(), "/etc/passwd", "../LICENSE", "/dev/zero", "~/x", "")
NAMES = (
    "os.system", "builtins.eval", "__lambda__", "__numpy__", "__tensor__", "__bytes__", "__slice__", "__tuple__", "__ellipsis__",
    "__keras_tensor__", "function", "Functional", "Model", "Sequential", "Layer", "load", "deserialize", "get", "Variable", "Input",
    "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer", "Lambda", "StringLookup", "TextVectorization",
)  # fmt: skip
LONGEST = 2**20
"""The most characters that are added at once."""
MODULES = (
    "builtins", "os", "keras", "keras.layers", "keras.ops", "keras.src.ops.numpy", "keras.losses", "unifront.ops", "unifront.opset",
    "unifront.paths", CODE, None,
)  # fmt: skip
FUNCTIONS = (
    "zeros", "arange", "eye", "reshape", "concatenate", "repeat", "tile", "while_loop", "cond", "pad", "linspace", "einsum",
    "convert_to_tensor", "relu", "load", "set_floatx", "get_item", "conv", "lstm", "scan", "one_hot", "expand_dims",
)  # fmt: skip


def models() -> Iterator[uf.Model]:
    """With all that a description of a model may hold."""
    x = uf.Input((8, 8, 2), name="image")
    y = layers.MaxPooling2D()(layers.Conv2D(3, 3, padding="same", activation="gelu")(x))
    y = layers.BatchNormalization()(layers.ZeroPadding2D(1)(y)) * 2.0 + 1.0
    inner = uf.Sequential([uf.Input((6,)), layers.Dense(2, kernel_regularizer="l2")], name="inner")
    z = inner(uf.ops.concatenate([layers.GlobalAveragePooling2D()(y), layers.Flatten()(y)[:, 1:4]], axis=-1))
    image = uf.Model(x, [layers.Dropout(0.5)(z), layers.Softmax()(z)], name="images")
    rate = uf.optimizers.schedules.PiecewiseConstantDecay([3, 5], [0.1, 0.2, 0.3])
    image.compile(
        uf.optimizers.Adam(rate, clipnorm=1.0), [uf.losses.MeanSquaredError(), "mse"], metrics=["mae", None]
    )
    yield image
    words = uf.Input((None,), name="words", dtype="int32")
    e = layers.Embedding(9, 4, mask_zero=True)(words)
    e = layers.Bidirectional(layers.GRU(2, return_sequences=True))(e)
    e = layers.MultiHeadAttention(2, 3)(e, e, use_causal_mask=True)
    e = layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(layers.TimeDistributed(layers.Dense(4))(e))
    texts = uf.Model({"words": words}, {"last": layers.Dense(2)(e)}, name="texts")
    texts.compile("sgd", {"last": "mse"})
    yield texts
    yield uf.Sequential([layers.Dense(3, activation="relu"), layers.Dense(1)], name="free")
    plain = uf.Sequential(
        [uf.Input((4, 4, 1)), layers.Conv2D(2, 3), layers.BatchNormalization(), layers.Flatten()]
    )
    plain.compile(uf.optimizers.Adam(0.1), uf.losses.Huber(0.5), metrics=["mae"])
    yield plain


IN_ARCHIVES = (1, 3)
"""Those of `models` that Keras's own format can hold."""


def objects() -> Iterator[tuple[str, Any]]:
    """One of every layer and some of all else, with what reads its description."""
    names = {**{name: getattr(layers, name) for name in dir(layers)}, "Sequential": uf.Sequential, "Model": uf.Model, "Input": uf.Input,
             "regularizers": uf.regularizers}  # fmt: skip
    for case in cases.FIRST:
        if not case.text.startswith("(lambda"):
            yield "layers", eval(case.text, names)
    yield "layers", layers.StringLookup(vocabulary=["a", "b"])
    yield "layers", layers.IntegerLookup(vocabulary=[3, 5], output_mode="multi_hot")
    yield "layers", layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3)
    yield "layers", layers.Lambda(uf.ops.relu)
    for name in KINDS:
        home = uf.optimizers.schedules if name == "schedules" else getattr(uf, name)
        for one in MADE.get(name, ()):
            yield name, eval(one, vars(home))


MADE = {
    "initializers": ("VarianceScaling(2.0, 'fan_out')", "Constant(3.0)", "Orthogonal()"),
    "regularizers": ("L1L2(0.1, 0.2)", "OrthogonalRegularizer()"),
    "constraints": ("MaxNorm(2.0)", "MinMaxNorm(0.1, 2.0)"),
    "losses": ("Huber(0.5)", "CategoricalCrossentropy(label_smoothing=0.1)", "Tversky()"),
    "metrics": ("AUC(num_thresholds=5)", "MeanIoU(3)", "TopKCategoricalAccuracy(2)"),
    "optimizers": ("AdamW(0.1)", "SGD(0.1, momentum=0.9)", "LossScaleOptimizer(SGD(0.1))"),
    "schedules": ("CosineDecay(0.1, 10)", "PiecewiseConstantDecay([1, 2], [0.1, 0.2, 0.3])"),
    "dtype_policies": ("DTypePolicy('mixed_bfloat16')",),
    "quantizers": ("AbsMaxQuantizer(axis=-1)",),
}


HOSTILE = (
    ("TFSMLayer", {"filepath": str(BAIT.parent), "call_endpoint": "serve"}),
    ("StringLookup", {"vocabulary": str(BAIT)}),
    ("IntegerLookup", {"vocabulary": str(BAIT), "output_mode": "int"}),
    ("TextVectorization", {"vocabulary": str(BAIT), "encoding": "utf-8"}),
    ("TorchModuleWrapper", {"module": "gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOUjAR0cnVllIWUUpQu"}),
    ("Lambda", {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}}),
    ("JaxLayer", {"call_fn": {"class_name": "function", "config": "load", "module": "keras", "registered_name": "load"}}),
)  # fmt: skip
"""Layers that in careless hands read files or run code."""


def good_descriptions(folder: Path) -> list[tuple[str, Any]]:
    """What is broken: what reads it, and plain data, an archive's entries or bytes."""
    found: list[tuple[str, Any]] = []
    for number, model in enumerate(models()):
        found.append(("model", json.loads(model.to_json())))
        found.append(("from_config", json.loads(json.dumps(serialize_keras_object(model)))))
        if number in IN_ARCHIVES:
            model.save(folder / "good.keras")
            found.append(("keras", entries_of((folder / "good.keras").read_bytes())))
    for kind, one in objects():
        told = json.loads(json.dumps(serialize_keras_object(one)))
        found.append((kind, told))
        if kind == "layers":
            found.append(("from_config", told))
    for name, config in HOSTILE:
        told = {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}
        found.append(("layers", told))
        model = {"name": "m", "layers": [told]}
        found.append(("model", {"module": "keras", "class_name": "Sequential", "config": model}))
    found += [("strings", "a\nb\nä\n\n".encode()), ("integers", b"3\n5\n-7\n"), ("text", b"[UNK]\na\nb\n")]
    return found


VOCABULARIES: dict[str, Callable[[Path], object]] = {
    "strings": lambda path: layers.StringLookup(vocabulary=str(path)),
    "integers": lambda path: layers.IntegerLookup(vocabulary=path),
    "text": lambda path: layers.TextVectorization(vocabulary=str(path)),
}


def read(path: Path) -> None:
    """Read a broken description; what comes of it is of no interest."""
    kind, _, text = path.read_bytes().partition(b"\n")
    how = kind.decode("utf-8", "replace")
    if how == "model":
        model_from_json(text.decode("utf-8", "replace"))
    elif how in READERS:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise uf.errors.ArgumentError("It is no JSON.") from None
        READERS[how](data)
    else:
        try:
            VOCABULARIES.get(how, uf.load)(path)
        except uf.errors.UnifrontError as error:
            told = str(path) in str(error) or isinstance(error, uf.errors.ArgumentError)
            assert told, "it does not name the file"
            raise


def _from_config(data: Any) -> Any:
    """By the class's own method."""
    name = data.get("class_name") if isinstance(data, dict) else None
    cls = uf.Model if name == "Functional" else getattr(layers, name, None) if isinstance(name, str) else None
    if not isinstance(cls, type) or not isinstance(data.get("config"), dict):
        return deserialize_keras_object(data)
    return cls.from_config(data["config"])  # type: ignore[attr-defined]


READERS: dict[str, Callable[[Any], object]] = {
    "layers": layers.deserialize,
    "from_config": _from_config,
    "schedules": uf.optimizers.schedules.deserialize,
    **{kind: getattr(uf, kind).deserialize for kind in KINDS if kind != "schedules"},
}


class JsonMutations:
    """Broken descriptions of the good ones; ``mutations(7)`` is always the same one."""

    def __init__(self, good: Sequence[tuple[str, Any]]) -> None:
        self.good = list(good)
        self.plain = [(kind, one) for kind, one in good if isinstance(one, dict) and kind != "keras"]
        self.parts = [part for _, one in self.plain for part in _parts(one)]
        self.described = [part for part in self.parts if isinstance(part, dict) and "class_name" in part]
        self.keys = sorted({key for part in self.parts if isinstance(part, dict) for key in part})
        self.words = sorted({part for part in self.parts if isinstance(part, str)})
        weights = [3.0 if kind == "model" and len(_keys(one["config"])) > 2 else 2.0 if kind == "keras" else 0.25
                   for kind, one in good]  # fmt: skip
        self.shares = np.array(weights) / sum(weights)
        self.classes = sorted({part["class_name"] for part in self.described})

    def __call__(self, number: int) -> bytes:
        random = np.random.default_rng([number, 13])
        kind, one = self.good[random.choice(len(self.good), p=self.shares)]
        if isinstance(one, bytes):
            return kind.encode() + b"\n" + times(random, damaged, one)
        if kind == "keras":
            return self.archive(random, one)
        return kind.encode() + b"\n" + self.changed(random, json.dumps(one).encode())

    def archive(self, random: Random, entries: dict[str, bytes]) -> bytes:
        if random.random() < 0.1:
            return times(random, damaged, zipped(entries))
        names = list(entries)
        name = text_of(random, names) if random.random() < 0.2 else "config.json"
        content = entries[name]
        changed = self.changed(random, content) if name.endswith(".json") else times(random, damaged, content)
        return zipped({**entries, name: changed})

    def changed(self, random: Random, text: bytes) -> bytes:
        if random.random() < 0.06:
            return times(random, damaged, text)
        data = json.loads(text)
        for _ in range(random.integers(1, 4)):
            self.change(random, data)
        return json.dumps(data).encode("utf-8", "surrogatepass")

    def change(self, random: Random, data: Any) -> None:
        """Change something somewhere in ``data``, in place."""
        places = [(part, key) for part in [data, *_parts(data)] for key in _keys(part)]
        if not places:
            return
        part, key = places[random.integers(len(places))]
        match random.integers(6):
            case 0:
                del part[key]
            case 1 if isinstance(part, dict):
                part[text_of(random, (*self.keys, *STRANGE))] = part.pop(key)
            case 2 if isinstance(part, list):
                size = len(json.dumps(part[key]))
                part[key:key] = [copy.deepcopy(part[key])] * min(many(random), LONGEST // size)
            case 2 | 3:
                part[key] = self.other(random, key, part[key])
            case _:
                part[key] = self.value(random)

    def other(self, random: Random, key: Any, old: Any) -> Any:
        """Something of the same kind."""
        if key == "class_name":
            return text_of(random, (*self.classes, *NAMES))
        if key in ("module", "registered_name"):
            return text_of(random, (*MODULES, *self.classes))
        if isinstance(old, dict) and "class_name" in old:
            return copy.deepcopy(text_of(random, self.described))
        if isinstance(old, bool) or old is None:
            return text_of(random, (True, False, None, 0, 1))
        if isinstance(old, int):
            return text_of(random, EDGES)
        if isinstance(old, float):
            return text_of(random, (0.0, -1.0, 0.5, 1.0, 1e308, -1e-300, float("nan"), float("inf")))
        if isinstance(old, str):
            return text_of(random, (*self.words, *FUNCTIONS, *PATHS))
        return copy.deepcopy(text_of(random, self.parts))

    def value(self, random: Random) -> Any:
        match random.integers(9):
            case 0:
                return text_of(random, EDGES)
            case 1:
                return text_of(random, (None, True, False, 0.5, -1.5, float("nan"), float("inf"), 1e308))
            case 2:
                return text_of(random, (*STRANGE, *self.words)) * many(random)
            case 3:
                return [self.value(random) for _ in range(random.integers(4))]
            case 4:
                config = (
                    self.value(random)
                    if random.random() < 0.3
                    else {text_of(random, self.keys): self.value(random)}
                )
                return {"class_name": text_of(random, (*self.classes, *NAMES)), "config": config,
                        "module": text_of(random, MODULES), "registered_name": None}  # fmt: skip
            case 5:
                nested: Any = self.value(random)
                for _ in range(min(many(random), 400)):
                    nested = (
                        [nested]
                        if random.random() < 0.5
                        else {"class_name": "Bidirectional", "config": {"layer": nested}}
                    )
                return nested
            case 6:
                return {"class_name": "function", "config": text_of(random, (*FUNCTIONS, *self.words)),
                        "module": text_of(random, MODULES), "registered_name": "function"}  # fmt: skip
            case 7:
                return text_of(random, PATHS)
        return copy.deepcopy(text_of(random, self.parts))


def _keys(part: Any) -> list[Any]:
    return list(part) if isinstance(part, dict) else list(range(len(part))) if isinstance(part, list) else []


def _parts(data: Any) -> Iterator[Any]:
    """All that lies in ``data``."""
    for key in _keys(data):
        yield data[key]
        yield from _parts(data[key])
