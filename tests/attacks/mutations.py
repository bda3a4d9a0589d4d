"""Broken ``.uf`` files, each made from a good one by a number: bytes, zip records, graph text, headers and JSON."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import unifront as uf
from unifront import layers, ops
from unifront.opset.spec import OPS
from unifront.saving.compiled import KNOWN, OPTIMIZERS

Entries = dict[str, bytes]
Random = np.random.Generator
GRAPHS = ("training.graph", "inference.graph")
ARRAYS = ("weights.safetensors", "optimizer.safetensors")
EDGES = (
    0,
    1,
    -1,
    2,
    3,
    7,
    64,
    65,
    255,
    256,
    2**15,
    2**31 - 1,
    2**31,
    2**32,
    2**53,
    2**62,
    2**63,
    2**64 - 1,
    2**64,
    10**30,
)
TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|\s+|.", re.S)
STRANGE = (
    "none", "None", "True", "nan", "inf", "1e999", "-0.0", "1e-999", "()", "((", "))", "(,)", "{}", "}", "{", '"', "'", "\\",
    "\\x00", "\\ud800", "\x00", "\ud800", "é", "中", "\n", "\r", "\u2028", "float32[]", "key[]", "bool[batch]", "dim(batch)",
    "dim(2*batch)", "batch//2", "batch*time", "batch*batch*batch", "(batch+1)*(time+2)*(width+3)", "batch-1", "-batch", "a//0",
    "array('float32', (2,), 'AAAAAAAAAAA=')", "number('nan')", "__import__('os')", "trainable", "fixed", "variable", "return",
    "graph", "%0", "%1", "%999999999", "([", "])", "//", "**", "[", "]",
)  # fmt: skip

SYMBOLIC = (
    "batch",
    "time",
    "batch+1",
    "2*batch",
    "batch*time",
    "batch//2",
    "(batch+time)//3",
    "batch-1",
    "(batch-1)*(time+2)",
)


class Own(uf.Layer):
    """Bodies of every kind."""

    def call(self, x: Any) -> Any:
        total = ops.scan(
            lambda state, step: (ops.add(state, step), step),
            ops.zeros_like(x[:, 0]),
            ops.transpose(x, (1, 0, 2)),
        )[0]
        grown = ops.while_loop(
            lambda i, y: ops.less(i, 3),
            lambda i, y: (i + 1, ops.multiply(y, 2.0)),
            (np.zeros((), "int32"), total),
        )[1]
        return ops.cond(ops.greater(ops.sum(grown), 0.0), lambda: grown, lambda: ops.negative(grown))


def models() -> list[uf.Model]:
    """Small models with all that a file may hold."""
    x = uf.Input((4,), name="x")
    y = layers.BatchNormalization()(layers.Dense(3, activation="relu", kernel_regularizer="l2")(x))
    plain = uf.Model(x, layers.Dense(2)(layers.Dropout(0.5)(y)), name="plain")
    plain.compile(uf.optimizers.Adam(0.01), "mse", metrics=["mae"])

    image = uf.Input((None, None, 2), name="image")
    z = layers.MaxPooling2D()(layers.Conv2D(3, 3, padding="same", activation="gelu")(image))
    z = layers.Conv2D(2, 3, strides=2, data_format="channels_last")(layers.ZeroPadding2D(1)(z))
    images = uf.Model(image, [layers.GlobalAveragePooling2D()(z), layers.UpSampling2D()(z)], name="images")
    schedule = uf.schedules.PiecewiseConstantDecay([3, 5], [0.1, 0.2, 0.3])
    images.compile(uf.optimizers.SGD(schedule, momentum=0.9), ["mse", None])

    words = uf.Input(("time",), name="words", dtype="int32")
    steps = layers.GRU(3, return_sequences=True)(layers.Embedding(9, 4, mask_zero=True)(words))
    sentence = layers.LSTM(2)(steps)
    texts = uf.Model({"words": words}, {"last": layers.Dense(2)(sentence), "own": Own()(steps)}, name="texts")
    for model in (plain, images):
        for weight in model.trainable_weights:
            model.optimizer.slots(weight)
    return [plain, images, texts]


class Mutations:
    """Broken files of the good ones in ``files``; ``mutations(7)`` is always the same one."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self.files = list(files)
        self.entries = [entries_of(file) for file in files]
        self.lines = [
            line for entries in self.entries for name in GRAPHS for line in entries[name].decode().split("\n")
        ]
        self.tokens = sorted({token for line in self.lines for token in TOKEN.findall(line)})
        self.ways: list[tuple[float, Callable[[Random, int], bytes]]] = [
            (0.10, self.whole), (0.12, self.zip), (0.48, self.graph), (0.13, self.arrays), (0.17, self.manifest),
        ]  # fmt: skip

    def __call__(self, number: int) -> bytes:
        random = np.random.default_rng([number, 7])
        way = random.choice(len(self.ways), p=[share for share, _ in self.ways])
        return self.ways[way][1](random, int(random.integers(len(self.files))))

    def whole(self, random: Random, file: int) -> bytes:
        """Damage anywhere."""
        return times(random, damaged, self.files[file])

    def zip(self, random: Random, file: int) -> bytes:
        """A record of the zip says something else, or entries are others."""
        kind = random.integers(3)
        if kind == 0:
            return times(random, record_changed, self.files[file])
        entries = dict(self.entries[file])
        names = list(entries)
        a, b = (names[i] for i in random.integers(len(names), size=2))
        match random.integers(5):
            case 0:
                entries[a], entries[b] = entries[b], entries[a]
            case 1:
                entries[a] = self.entries[random.integers(len(self.entries))][b]
            case 2:
                del entries[a]
            case 3:
                entries[a + text_of(random, STRANGE).replace("\ud800", "")] = entries.pop(a)
            case 4:
                entries[a] = entries[a][: random.integers(len(entries[a]) + 1)]
        compression = [zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][random.integers(3)]
        return zipped(entries, compression)

    def graph(self, random: Random, file: int) -> bytes:
        """Tokens and lines of the graphs, often of both alike."""
        entries = dict(self.entries[file])
        names = GRAPHS if random.random() < 0.6 else (GRAPHS[random.integers(2)],)
        for _ in range(random.integers(1, 4)):
            state = random.bit_generator.state
            for name in names:
                random.bit_generator.state = state  # so that they stay alike where they are alike
                entries[name] = self.text_changed(
                    random, entries[name].decode("utf-8", "surrogatepass")
                ).encode("utf-8", "surrogatepass")
        return zipped(entries)

    def text_changed(self, random: Random, text: str) -> str:
        lines = text.split("\n")
        at = int(random.integers(len(lines)))
        match random.integers(16):
            case 0:
                del lines[at]
            case 1:
                lines.insert(at, self.lines[random.integers(len(self.lines))])
            case 2:
                other = int(random.integers(len(lines)))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at:at] = [lines[at]] * many(random)
            case 4:  # another operation, or the same one with other operands
                lines[at] = re.sub(r"= [a-z_0-9]+\(", lambda _: f"= {text_of(random, list(OPS))}(", lines[at])
            case 5 | 7 | 8 | 9:  # one type everywhere
                types = re.findall(r"[a-z0-9]+\[[^\]]*\]", text)
                old = text_of(random, types) if types else ""
                new = TOKEN.sub(
                    lambda token: self.token(random, token[0]) if random.random() < 0.3 else token[0], old
                )
                return text.replace(old, new) if old else text
            case 6 | 10:  # one number everywhere
                numbers = re.findall(r"\b[0-9]+\b", text)
                return (
                    re.sub(rf"\b{text_of(random, numbers)}\b", str(text_of(random, EDGES)), text)
                    if numbers
                    else text
                )
            case _:
                tokens = TOKEN.findall(lines[at]) or [""]
                place = int(random.integers(len(tokens)))
                match max(0, int(random.integers(12)) - 8):
                    case 0:
                        tokens[place] = self.token(random, tokens[place])
                    case 1:
                        del tokens[place]
                    case 2:
                        tokens[place] *= many(random)
                    case 3:
                        end = place + int(random.integers(1, 8))
                        tokens[place:place] = tokens[place:end] * many(random)
                lines[at] = "".join(tokens)
        return "\n".join(lines)

    def token(self, random: Random, old: str) -> str:
        """Another token, mostly of the same kind."""
        if random.random() < 0.7 and not old.isdigit():
            return text_of(
                random, [token for token in self.tokens if kind(token) == kind(old)] or self.tokens
            )
        if random.random() < 0.1:
            return text_of(random, SYMBOLIC)
        if old.isdigit() and random.random() < 0.9:
            return str(
                text_of(random, EDGES)
                if random.random() < 0.5
                else int(old[:9]) + int(random.integers(-2, 3))
            )
        return text_of(random, STRANGE if random.random() < 0.4 else self.tokens)

    def arrays(self, random: Random, file: int) -> bytes:
        """The header of an entry with arrays."""
        name = ARRAYS[random.integers(2)]
        content = self.entries[file][name]
        length = struct.unpack("<Q", content[:8])[0]
        text, data = content[8 : 8 + length], content[8 + length :]
        if random.random() < 0.5:
            header = json.loads(text)
            self.value_changed(random, header)
            text = json.dumps(header).encode("utf-8", "surrogatepass")
        else:
            text = times(random, damaged, text)
        if random.random() < 0.2:
            data = times(random, damaged, data)
        said = len(text) if random.random() < 0.9 else abs(int(text_of(random, EDGES))) % 2**64
        return zipped({**self.entries[file], name: struct.pack("<Q", said) + text + data})

    def manifest(self, random: Random, file: int) -> bytes:
        """The JSON of the manifest."""
        entries = dict(self.entries[file])
        if random.random() < 0.2:
            entries["manifest.json"] = times(random, damaged, entries["manifest.json"])
        else:
            manifest = json.loads(entries["manifest.json"])
            for _ in range(random.integers(1, 4)):
                self.value_changed(random, manifest)
            entries["manifest.json"] = json.dumps(manifest).encode("utf-8", "surrogatepass")
        return zipped(entries)

    def value_changed(self, random: Random, tree: Any) -> None:
        """Change something somewhere in ``tree``, in place."""
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        if not keys:
            return
        key = keys[random.integers(len(keys))]
        if isinstance(tree[key], dict | list) and tree[key] and random.random() < 0.8:
            self.value_changed(random, tree[key])
            return
        match random.integers(4):
            case 0:
                del tree[key]
            case 1 if isinstance(tree, dict):
                tree[text_of(random, [*keys, *STRANGE, "$class", "$lost"])] = tree.pop(key)
            case _:
                tree[key] = self.value(random)

    def value(self, random: Random) -> Any:
        match random.integers(8):
            case 0:
                return text_of(random, EDGES)
            case 1:
                return text_of(random, (None, True, False, 0.5, -1.5, float("nan"), float("inf"), 1e308))
            case 2:
                return text_of(random, (*STRANGE, *self.tokens)) * many(random)
            case 3:
                return [self.value(random) for _ in range(random.integers(4))]
            case 4:
                classes = [*KNOWN, *OPTIMIZERS, "os.system"]
                return {
                    "$class": text_of(random, classes),
                    text_of(random, ("name", "delta", "axis", "num_classes")): self.value(random),
                }
            case 5:
                nested: Any = self.value(random)
                for _ in range(min(many(random), 400)):
                    nested = [nested]
                return nested
            case 6:
                return [0] * many(random)
        return text_of(random, ("adam", "mse", "accuracy", "", "a/b", "$class"))


def kind(token: str) -> str:
    return (
        "space"
        if token.isspace()
        else "word"
        if token.isidentifier()
        else "number"
        if token.isdigit()
        else "sign"
    )


def text_of(random: Random, choices: Sequence[Any]) -> Any:
    return choices[int(random.integers(len(choices)))]


def many(random: Random) -> int:
    """Mostly few, seldom very many."""
    return int(10 ** random.uniform(0, 1.2 if random.random() < 0.95 else 4.5))


def times(random: Random, change: Callable[[Random, bytes], bytes], content: bytes) -> bytes:
    for _ in range(random.integers(1, 5)):
        content = change(random, content)
    return content


def damaged(random: Random, content: bytes) -> bytes:
    if not content:
        return random.bytes(8)
    result = bytearray(content)
    start, other = (int(place) for place in random.integers(len(result), size=2))
    match random.integers(6):
        case 0:
            result[start] ^= 1 << int(random.integers(8))
        case 1:
            del result[start : start + int(random.integers(1, 40))]
        case 2:
            result[start:start] = result[other : other + int(random.integers(1, 40))]
        case 3:
            result[start : start + 8] = random.bytes(8)
        case 4:
            result[start:start] = result[other : other + int(random.integers(1, 40))] * many(random)
        case 5:
            del result[start:]
    return bytes(result)


RECORDS = {b"PK\x03\x04": 30, b"PK\x01\x02": 46, b"PK\x05\x06": 22}


def record_changed(random: Random, content: bytes) -> bytes:
    """A field of a record in the zip's headers has another value."""
    places = [found.start() for signature in RECORDS for found in re.finditer(re.escape(signature), content)]
    if not places:
        return content
    start = text_of(random, places)
    offset = 4 + int(random.integers(RECORDS[content[start : start + 4]] - 4))
    size = int(text_of(random, (1, 2, 4)))
    value = int(text_of(random, EDGES)) if random.random() < 0.5 else int(random.integers(2**32))
    result = bytearray(content)
    result[start + offset : start + offset + size] = (value % 256**size).to_bytes(size, "little")
    if random.random() < 0.1:  # as of a zip of more than 4 GiB
        result[-22:-22] = b"PK\x06\x06" + random.bytes(52) + b"PK\x06\x07" + random.bytes(16)
    return bytes(result)


def entries_of(content: bytes) -> Entries:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(entries: Entries, kind: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", kind) as archive:
        warnings.simplefilter("ignore")  # two entries of one name
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, kind)
    return buffer.getvalue()


def good_files(folder: Path) -> list[bytes]:
    """The files that are broken."""
    found = []
    for model in models():
        model.save(folder / "good.uf")
        found.append((folder / "good.uf").read_bytes())
    return found
