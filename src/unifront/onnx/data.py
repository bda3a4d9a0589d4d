"""The data of initializers, written array by array: nothing but the arrays themselves is in memory.

A message of Protocol Buffers is its fields one after the other, each with its number and length
(https://protobuf.dev/programming-guides/encoding/), so that a long one can be written behind the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from unifront.files import parts_of

_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
"""Numbers of fields: ``ModelProto.graph``, ``GraphProto.initializer``, ``TensorProto.raw_data``."""
SMALL = 1024
"""Fewer bytes than these stay inside in any case: axes and shapes are looked for there, and nowhere else."""


def write_inside(model: Any, arrays: Mapping[str, np.ndarray], file: BinaryIO) -> None:
    """Write ``model``, whose initializers have no data, with the data that ``arrays`` has for them."""
    heads = []
    for proto in model.graph.initializer:
        array = arrays[proto.name]
        head = proto.SerializeToString() + _begins(_RAW_DATA, array.nbytes)
        heads.append((_begins(_INITIALIZER, len(head) + array.nbytes) + head, array))
    graph, rest = type(model.graph)(), type(model)()
    graph.CopyFrom(model.graph)
    graph.ClearField("initializer")
    rest.CopyFrom(model)
    rest.ClearField("graph")
    content = graph.SerializeToString()
    length = len(content) + sum(len(head) + array.nbytes for head, array in heads)
    file.write(rest.SerializeToString() + _begins(_GRAPH, length) + content)
    for head, array in heads:
        file.write(head)
        for part in parts_of(array):
            file.write(part)


def _begins(number: int, length: int) -> bytes:
    """The beginning of a field of ``length`` bytes."""
    return _varint(number << 3 | 2) + _varint(length)


def _varint(number: int) -> bytes:
    parts = []
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def write_outside(model: Any, arrays: Mapping[str, np.ndarray], name: str, file: BinaryIO) -> None:
    """Write what is not small to ``file``, page-aligned, and leave in ``model`` where it is: in the file ``name``."""
    for proto in model.graph.initializer:
        array = arrays[proto.name]
        if array.nbytes < SMALL:
            proto.raw_data = b"".join(parts_of(array))
            continue
        file.write(bytes(-file.tell() % 4096))
        places = {"location": name, "offset": file.tell(), "length": array.nbytes}
        for part in parts_of(array):
            file.write(part)
        proto.data_location = type(proto).EXTERNAL
        for key, value in places.items():
            proto.external_data.add(key=key, value=str(value))
