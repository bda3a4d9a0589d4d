"""The Open Inference Protocol, also called KServe v2: its JSON ↔ arrays.

Tensors may also come and go as bytes behind the JSON, which is the extension "binary_tensor_data": the header
``Inference-Header-Content-Length`` says where the JSON ends, ``parameters.binary_data_size`` how many bytes are a
tensor's. So images cost no text, and NaN has a form.

Sources: https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront import __version__
from unifront.dtypes import DType
from unifront.errors import UnknownName
from unifront.ir.types import TensorType
from unifront.serving.errors import Refused
from unifront.serving.numbers import array_of, listed, parsed
from unifront.serving.served import Served

HEADER = "Inference-Header-Content-Length"
SERVER = {"name": "unifront", "version": __version__, "extensions": ["binary_tensor_data"]}
VERSION = "1"
_PREFIX = {"f": "FP", "i": "INT", "u": "UINT"}


def datatype(dtype: DType) -> str:
    """What the protocol calls a dtype."""
    return {"bool": "BOOL", "bfloat16": "BF16"}.get(dtype.name) or f"{_PREFIX[dtype.kind]}{dtype.bits}"


def described(served: Served) -> dict[str, Any]:
    """The metadata of a model; what its classes are called, if its training noted that."""
    named = {} if served.classes is None else {"parameters": {"classes": served.classes}}
    return {
        "name": served.name,
        "versions": [VERSION],
        "platform": f"unifront_{served.place.name}",
        "inputs": [_described(*item) for item in served.inputs.items()],
        "outputs": [_described(*item) for item in served.outputs.items()],
        **named,
    }


def _described(name: str, type_: TensorType) -> dict[str, Any]:
    shape = [dim if isinstance(dim, int) else -1 for dim in type_.shape]
    return {"name": name, "datatype": datatype(type_.dtype), "shape": shape}


@dataclass(frozen=True)
class Request:
    """What was asked.

    Args:
        arrays: by the inputs' names.
        binary: wanted outputs, and whether each is to come as bytes.
        id: goes back as it came.
    """

    arrays: dict[str, np.ndarray]
    binary: dict[str, bool]
    id: str | None


def read(served: Served, body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in ``body``. Raises `Refused`."""
    end = _end_of_json(body, headers.get(HEADER.lower()))
    given = parsed(body[:end])
    if not isinstance(given, dict) or not isinstance(given.get("inputs"), list):
        raise Refused(400, 'A request is an object {"inputs": [{"name", "datatype", "shape", "data"}, …]}.')
    rest, arrays = memoryview(body)[end:], dict[str, np.ndarray]()
    for tensor in given["inputs"]:
        name = _known(tensor, "input", served.inputs, served)
        if name in arrays:
            raise Refused(400, f"The input {name!r} is given twice.")
        arrays[name], rest = _array(tensor, name, served.inputs[name], rest)
    if len(rest):
        raise Refused(400, f"There are {len(rest)} bytes behind the request that no input has.")
    missing = [name for name in served.inputs if name not in arrays]
    if missing:
        raise Refused(400, f"The input {missing[0]!r} of the model {served.name!r} is missing.")
    id_ = given.get("id")
    if id_ is not None and not isinstance(id_, str):
        raise Refused(400, "The id of a request is text.")
    return Request(arrays, _wanted(served, given), id_)


def _end_of_json(body: bytes, header: str | None) -> int:
    if header is None:
        return len(body)
    if not header.isdecimal() or not 0 <= int(header) <= len(body):
        raise Refused(400, f"{HEADER} is the number of bytes of JSON, of {len(body)}; not {header[:40]!r}.")
    return int(header)


def _known(tensor: Any, what: str, types: Mapping[str, TensorType], served: Served) -> str:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise Refused(400, f'An {what} is an object with a "name".')
    if name not in types:
        raise Refused(400, str(UnknownName(f"{what} of the model {served.name!r}:", name, types)))
    return name


def _parameters(given: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise Refused(400, f"The parameters of {what} are an object.")
    return parameters


def _array(
    tensor: Mapping[str, Any], name: str, type_: TensorType, rest: memoryview
) -> tuple[np.ndarray, memoryview]:
    """The array of one input, and the bytes behind it."""
    what, shape, wanted = f"The input {name!r}", tensor.get("shape"), datatype(type_.dtype)
    if tensor.get("datatype") != wanted:
        raise Refused(
            400, f"{what} has the datatype {wanted}; {str(tensor.get('datatype'))[:40]!r} was given."
        )
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise Refused(400, f"{what} wants its shape as a list of sizes.")
    size = _parameters(tensor, what).get("binary_data_size")
    if size is not None:
        return _from_bytes(what, shape, type_, size, rest)
    if "data" not in tensor:
        raise Refused(400, f"{what} has no data.")
    array = array_of(tensor["data"], type_.dtype, what)
    if array.shape != tuple(shape):
        if array.ndim != 1 or array.size != math.prod(shape):
            raise Refused(400, f"{what} says the shape {shape}, and its data has {list(array.shape)}.")
        array = _reshaped(array, shape, what)
    return array, rest


def _reshaped(array: np.ndarray, shape: Sequence[int], what: str) -> np.ndarray:
    try:
        return array.reshape(shape)
    except ValueError as error:  # too many sizes, or, where one is 0, others beyond all memory
        raise Refused(400, f"{what} cannot have its shape of {len(shape)} sizes: {error}.") from None


def _from_bytes(
    what: str, shape: Sequence[int], type_: TensorType, size: Any, rest: memoryview
) -> tuple[np.ndarray, memoryview]:
    needed = math.prod(shape) * type_.dtype.bits // 8
    if type(size) is not int or size != needed or size > len(rest):
        raise Refused(
            400,
            f"{what} of the shape {list(shape)} is {needed} bytes, not {str(size)[:40]} of {len(rest)}.",
        )
    if type_.dtype.kind == "b" and np.frombuffer(rest[:size], np.uint8).max(initial=0) > 1:
        raise Refused(400, f"{what} holds bytes that are neither 0 nor 1.")
    array = _reshaped(np.frombuffer(rest[:size], type_.dtype.numpy.newbyteorder("<")), shape, what)
    return array.astype(type_.dtype.numpy, copy=False), rest[size:]


def _wanted(served: Served, given: Mapping[str, Any]) -> dict[str, bool]:
    """The outputs that are to be answered, all unless some are named, and whether as bytes."""
    every = _parameters(given, "a request").get("binary_data_output") is True
    outputs = given.get("outputs")
    if outputs is None:
        return dict.fromkeys(served.outputs, every)
    if not isinstance(outputs, list) or not outputs:
        raise Refused(400, 'The outputs of a request are a list of objects with a "name".')
    found = {}
    for output in outputs:
        name = _known(output, "output", served.outputs, served)
        found[name] = _parameters(output, f"the output {name!r}").get("binary_data", every) is True
    return found


def written(served: Served, asked: Request, outputs: Sequence[np.ndarray]) -> tuple[bytes, dict[str, str]]:
    """The body of the answer, and its headers."""
    found, parts = dict(zip(served.outputs, outputs, strict=True)), list[bytes]()
    tensors = []
    for name, binary in asked.binary.items():
        array, dtype = found[name], served.outputs[name].dtype
        tensor: dict[str, Any] = {"name": name, "datatype": datatype(dtype), "shape": list(array.shape)}
        if binary:
            parts.append(np.ascontiguousarray(array, dtype.numpy.newbyteorder("<")).tobytes())
            tensor["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            tensor["data"] = listed(array.reshape(-1), f"The output {name!r} of the model {served.name!r}")
        tensors.append(tensor)
    answer = {"model_name": served.name, "model_version": VERSION, "outputs": tensors}
    if asked.id is not None:
        answer["id"] = asked.id
    text = json.dumps(answer).encode()
    if not parts:
        return text, {"content-type": "application/json"}
    return b"".join([text, *parts]), {"content-type": "application/octet-stream", HEADER: str(len(text))}
