"""Broken ``.uf`` files of up to 64 MB, each of which would like to take for ever or all the memory."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable

from tests.attacks.mutations import Entries, entries_of, zipped

MANY = 60 * 2**20
SCALE = "float32[batch, 4]"


def directory(good: Entries) -> bytes:
    """A zip of a million empty entries."""
    buffer = io.BytesIO(zipped(good))
    record = (
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 0, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    )
    start = buffer.seek(0, 2)
    count = 30 * 2**20 // len(record)
    buffer.write(record * count)
    buffer.write(
        struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, record.__len__() * count, start, 0)
    )
    return buffer.getvalue()


def comment(good: Entries) -> bytes:
    """A zip whose end is a comment of ends."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = b"PK\x05\x06" * 16000
    return buffer.getvalue()


def graph_of(
    *lines: str, inputs: str = f'%0 "x": {SCALE}', last: int = 0, name: str = "g"
) -> Callable[[Entries], bytes]:
    """Both graphs are these lines."""

    def made(good: Entries) -> bytes:
        text = f'graph "{name}"({inputs}) {{\n' + "\n".join(lines) + f'\n  return %{last} "y"\n}}'
        content = text.encode("utf-8", "surrogatepass")
        return zipped({**good, "inference.graph": content[: MANY // 2], "training.graph": content})

    return made


def nodes(line: str, count: int, name: str = '"x"', wrong: str = "%999999") -> list[str]:
    """``line`` over and over, with new numbers, and a wrong one at the end."""
    made = [line.replace("NEW", str(i)).replace("OLD", str(i - 1)) for i in range(1, count)]
    return [*made, f"  {wrong}: {SCALE} = relu(%0) {{}} {name}x"]


def header(
    good: Entries, entry: Callable[[int], str], count: int, name: str = "weights.safetensors"
) -> bytes:
    text = ("{" + ",".join(entry(i) for i in range(count)) + "}").encode()
    return zipped({**good, name: struct.pack("<Q", len(text)) + text})


def manifest(good: Entries, key: str, value: object) -> bytes:
    said = json.loads(good["manifest.json"])
    *keys, last = key.split(".")
    place = said
    for part in keys:
        place = place[part]
    place[last] = "MARK"  # its place is taken below, by what may be no JSON
    text = json.dumps(said).replace(
        '"MARK"', value if isinstance(value, str) and value.startswith("[") else json.dumps(value)
    )
    return zipped({**good, "manifest.json": text.encode()})


def wide(text: str, size: int = MANY // 2) -> str:
    return text * (size // len(text))


def expression(length: int, i: int) -> str:
    return "*".join(f"(a{i}+{j})" for j in range(2)) + "*b" * (length // 2)


def slots(good: Entries) -> bytes:
    """The weights are those of a good file, and the slots many that belong to none."""
    size = 40 * 2**20
    text = json.dumps({"a/momentum": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return zipped({**good, "optimizer.safetensors": struct.pack("<Q", len(text)) + text + bytes(size)})


CONV = '  %NEW: float32[batch, h, w, 4] = conv(%OLD, %v, none) {dilation = (1, 1), groups = 1, padding = ((1, 1), (1, 1)), strides = (1, 1)} "c"'
ENTRY = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
GIANTS: dict[str, Callable[[Entries], bytes]] = {
    "directory": directory,
    "comment": comment,
    "lines": graph_of(*["" for _ in range(MANY // 4)]),
    "relu": graph_of(*nodes(f'  %NEW: {SCALE} = relu(%OLD) {{}} "x"', 400_000)),
    "relu_of_many_sizes": lambda good: graph_of(
        *(f'  %{i}: float32[{i}, 4] = zeros() {{dtype = "float32", shape = ({i}, 4)}} "x"' for i in range(1, 200_000))
    )(good),
    "add": graph_of(*nodes(f'  %NEW: {SCALE} = add(%OLD, %0) {{}} ""', 400_000)),
    "reshape": graph_of(*nodes(f'  %NEW: {SCALE} = reshape(%OLD) {{shape = (dim(batch), 4)}} ""', 400_000)),
    "transpose_of_rank_64": graph_of(
        *nodes(f'  %NEW: float32[{", ".join(["1"] * 64)}] = transpose(%OLD) {{axes = {tuple(range(64))}}} ""', 60_000),
        inputs=f'%0 "x": float32[{", ".join(["1"] * 64)}]',
    ),
    "reduce_rank_64": graph_of(
        *(f'  %{i}: float32[] = sum(%0) {{axes = {tuple(range(64))}, keepdims = False}} ""' for i in range(1, 100_000)),
        inputs=f'%0 "x": float32[{", ".join(["a"] * 64)}]',
    ),
    "variables": graph_of(*(f'  variable %{i} "{i}": float32[1] fixed' for i in range(1, 500_000))),
    "variables_of_many_sizes": graph_of(*(f'  variable %{i} "{i}": float32[{i}] fixed' for i in range(1, 500_000))),
    "inputs": graph_of(inputs=", ".join(f'%{i} "{i}": float32[1]' for i in range(1_000_000)), last=999_999_999),
    "inputs_of_many_names": graph_of(inputs=", ".join(f'%{i} "{i}": float32[a{i}]' for i in range(1_000_000)), last=999_999_999),
    "outputs": graph_of(", ".join(f"%{i}: float32[]" for i in range(1, 1_000_000)) + ' = split(%0) {} ""'),
    "returned": graph_of(f'  return {", ".join(["%0 " + chr(34) * 2] * 3_000_000)}'),
    "operands": graph_of(f'  %1: {SCALE} = concatenate({", ".join(["%0"] * 8_000_000)}) {{axis = 0}} ""'),
    "operands_of_many_nodes": graph_of(
        *nodes(f'  %NEW: float32[{50 * 4}] = concatenate({", ".join(["%0"] * 50)}) {{axis = 0}} ""', 100_000),
        inputs='%0 "x": float32[4]',
    ),
    "dims": graph_of(inputs=f'%0 "x": float32[{", ".join(["1"] * 10_000_000)}]'),
    "dim_of_many_factors": graph_of(*(f'  %{i}: float32[{expression(900, i)}] = relu(%0) {{}} ""' for i in range(1, 30_000))),
    "dim_of_many_terms": graph_of(
        *(f'  %{i}: float32[{"+".join(f"a{i}_{j}" for j in range(100))}] = relu(%0) {{}} ""' for i in range(1, 30_000))
    ),
    "inputs_of_many_terms": graph_of(
        inputs=", ".join(f'%{i} "{i}": float32[{"+".join(f"a{i}_{j}" for j in range(20))}]' for i in range(150_000))
    ),
    "size_of_many_terms": graph_of(
        '  %1: float32[1] = reshape(%0) {shape = (1,)} ""',
        inputs=f'%0 "x": float32[{", ".join("+".join(f"{c}{j}" for j in range(90)) for c in "abcdefgh")}]',
    ),
    "sizes_of_some_terms": graph_of(
        *nodes('  %NEW: TYPE = reshape(%OLD) {shape = (DIMS)} ""'
               .replace("TYPE", "float32[" + ", ".join(f"{c}0+{c}1" for c in "abcdef") + "]")
               .replace("DIMS", ", ".join(f"dim({c}0+{c}1)" for c in "abcdef")), 30_000),
        inputs='%0 "x": float32[' + ", ".join(f"{c}0+{c}1" for c in "abcdef") + "]",
    ),
    "tuple": graph_of(f'  %1: {SCALE} = transpose(%0) {{axes = ({wide("1, ")}1)}} ""'),
    "tuple_of_texts": graph_of(f"  %1: {SCALE} = transpose(%0) {{axes = ({wide(chr(39) + 'ab' + chr(39) + ', ')}1)}} \"\""),
    "tuple_of_tuples": graph_of(f'  %1: {SCALE} = transpose(%0) {{axes = ({wide("(), ")}1)}} ""'),
    "tuples": graph_of(*(f'  %{i}: {SCALE} = transpose(%0) {{axes = ({"1000, " * 15_000}1)}} ""' for i in range(1, 340))),
    "attributes": graph_of(f'  %1: {SCALE} = relu(%0) {{{", ".join(f"a{i} = 1" for i in range(3_000_000))}}} ""'),
    "text": graph_of(f"  %1: {SCALE} = einsum(%0) {{equation = '{wide('a')}'}} \"\""),
    "text_of_escapes": graph_of(f"  %1: {SCALE} = einsum(%0) {{equation = '{wide(chr(92) + 'n')}'}} \"\""),
    "equation": graph_of(*(f"  %{i}: {SCALE} = einsum(%0) {{equation = '{','.join(['ab'] * 300)}->ab'}} \"\"" for i in range(1, 30_000))),
    "name": graph_of(name=wide("a")),
    "name_of_escapes": graph_of(name=wide("\\n")),
    "name_of_wide_characters": graph_of(name=wide("\U0001f600", MANY // 3)),
    "spaces": graph_of(" " * (MANY - 1000)),
    "operation": graph_of(f'  %1: {SCALE} = {wide("a", MANY)}(%0) {{}} ""'),
    "array": graph_of(f"  %1: float32[1] = constant() {{value = array('float32', ({2**23},), '{'A' * (4 * (2**25 // 3 + 1) - 2)}==')}} \"\""),
    "array_too_short": graph_of(f"  %1: float32[1] = constant() {{value = array('float32', (9,), '{wide('A')}')}} \"\""),
    "array_not_closed": graph_of(f"  %1: float32[1] = constant() {{value = array('float32', (9,), '{wide('A')}"),
    "regions": graph_of(
        *(f'  %{i}: bool[] = cond(%0, %0) {{}} "" ([\ngraph "a"(%0 "x": bool[]) {{\nreturn %0 "y"\n}}\ngraph "b"(%0 "x": bool[]) {{\nreturn %0 "y"\n}}\n])'
          for i in range(1, 200_000)),
        inputs='%0 "x": bool[]',
    ),
    "deep_regions": graph_of(*['%1: bool[] = cond(%0, %0) {} "" ([', 'graph "a"(%0 "x": bool[]) {'] * 500_000, inputs='%0 "x": bool[]'),
    "convolutions": graph_of(
        '  variable %999998 "k": float32[3, 3, 4, 4] fixed', *nodes(CONV.replace("%v", "%999998"), 200_000),
        inputs='%0 "x": float32[batch, h, w, 4]',
    ),
    "header": lambda good: header(good, lambda i: ENTRY % i, 155_000),
    "header_of_slots": lambda good: header(good, lambda i: ENTRY % i, 155_000, "optimizer.safetensors"),
    "header_of_dims": lambda good: header(good, lambda i: f'"{i}":{{"dtype":"F32","shape":[{",".join("0" * 400)}],"data_offsets":[0,0]}}', 9000),
    "header_of_objects": lambda good: header(good, lambda i: f'"{i}":{{}}', 700_000),
    "header_of_metadata": lambda good: header(good, lambda i: f'"__metadata__":{{"a":"{"{}" * 4_000_000}"}}', 1),
    "slots": slots,
    "manifest_of_lists": lambda good: manifest(good, "inputs", "[" + "[]," * 1_390_000 + "0]"),
    "manifest_of_objects": lambda good: manifest(good, "inputs", "[" + "{}," * 1_390_000 + "0]"),
    "manifest_of_values": lambda good: manifest(good, "compiled.metrics", "[" + '{"":0},' * 60_000 + "0]"),
    "manifest_of_updates": lambda good: manifest(good, "training.updates", [str(i) for i in range(190_000)]),
    "manifest_of_text": lambda good: manifest(good, "compiled.loss", "a" * 4_000_000),
    "manifest_of_class": lambda good: manifest(good, "compiled.loss", {"$class": "b" * 4_000_000}),
    "manifest_of_argument": lambda good: manifest(good, "compiled.optimizer", {"$class": "Adam", "c" * 4_000_000: 1}),
    "manifest_of_rate": lambda good: manifest(good, "compiled.optimizer.learning_rate", [0.5] * 180_000),
}  # fmt: skip


def giants(good: bytes) -> dict[str, Callable[[], bytes]]:
    entries = entries_of(good)
    return {name: (lambda make=make: make(entries)) for name, make in GIANTS.items()}
