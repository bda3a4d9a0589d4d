"""The REST of TensorFlow Serving: its JSON ↔ arrays.

Source: https://www.tensorflow.org/tfx/serving/api_rest. One difference: NaN and Infinity are neither taken nor given,
because JSON has no such numbers. A model that was trained on a folder of images takes files of images too, encoded as
``{"b64": "…"}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront.dtypes import DType
from unifront.errors import UnknownName
from unifront.ir.types import TensorType
from unifront.serving.errors import Refused
from unifront.serving.images import MAX_BYTES, decoded, is_encoded
from unifront.serving.numbers import array_of, listed, parsed
from unifront.serving.served import Served

SIGNATURE = "serving_default"
VERSION = "1"
_CALLED = {"float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF"}
_NOT_ONE = 'A request is an object with "instances" (a list of examples) or "inputs" (a batch of each input).'


def status() -> dict[str, Any]:
    """The state of a model that is served."""
    fine = {"error_code": "OK", "error_message": ""}
    return {"model_version_status": [{"version": VERSION, "state": "AVAILABLE", "status": fine}]}


def described(served: Served) -> dict[str, Any]:
    """The metadata of a model: its signature."""
    definition = {
        "inputs": {name: _described(name, type_) for name, type_ in served.inputs.items()},
        "outputs": {name: _described(name, type_) for name, type_ in served.outputs.items()},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": served.name, "signature_name": "", "version": VERSION},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: definition}}},
    }


def _described(name: str, type_: TensorType) -> dict[str, Any]:
    dims = [{"size": str(dim) if isinstance(dim, int) else "-1", "name": ""} for dim in type_.shape]
    return {"dtype": _named(type_.dtype), "tensor_shape": {"dim": dims, "unknown_rank": False}, "name": name}


def _named(dtype: DType) -> str:
    return _CALLED.get(dtype.name, f"DT_{dtype.name.upper()}")


@dataclass(frozen=True)
class Request:
    """What was asked.

    Args:
        arrays: by the inputs' names.
        rows: whether the answer is a list of examples.
    """

    arrays: dict[str, np.ndarray]
    rows: bool


def read(served: Served, body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in ``body``. Raises `Refused`."""
    given = parsed(body)
    if not isinstance(given, dict) or ("instances" in given) == ("inputs" in given):
        raise Refused(400, _NOT_ONE)
    signature = given.get("signature_name", SIGNATURE)
    if signature not in (SIGNATURE, ""):
        raise Refused(
            400, f"The model {served.name!r} has the signature {SIGNATURE!r}, not {str(signature)[:80]!r}."
        )
    rows = "instances" in given
    columns = _columns(served, given["instances"]) if rows else given["inputs"]
    if not isinstance(columns, dict):
        if len(served.inputs) != 1:
            raise Refused(
                400, f"The model {served.name!r} takes an object of the inputs {', '.join(served.inputs)}."
            )
        columns = {next(iter(served.inputs)): columns}
    for name in columns:
        if name not in served.inputs:
            raise Refused(400, str(UnknownName(f"input of the model {served.name!r}:", name, served.inputs)))
    missing = [name for name in served.inputs if name not in columns]
    if missing:
        raise Refused(400, f"The input {missing[0]!r} of the model {served.name!r} is missing.")
    return Request({name: _array(served, columns[name], name) for name in served.inputs}, rows)


def _array(served: Served, column: Any, name: str) -> np.ndarray:
    """The array of one input: numbers, or encoded images."""
    what, dtype = f"The input {name!r}", served.inputs[name].dtype
    if served.pixels is None or not isinstance(column, list) or not any(map(is_encoded, column)):
        return array_of(column, dtype, what)
    if not all(map(is_encoded, column)):
        raise Refused(400, f"{what} has encoded images beside numbers.")
    found, size = list[np.ndarray](), 0
    for one in column:
        found.append(served.pixels(decoded(one)))
        size += found[-1].size * dtype.bits // 8
        if size > MAX_BYTES:
            raise Refused(
                413, f"{what} has {len(column):,} images; {len(found) - 1:,} of this size are allowed."
            )
    return np.stack(found).astype(dtype.numpy)


def _columns(served: Served, instances: Any) -> Any:
    """Examples as one list for each input, or as they are."""
    if not isinstance(instances, list) or not instances:
        raise Refused(400, "The instances of a request are a list of one example or more.")
    if not any(isinstance(one, dict) and not is_encoded(one) for one in instances):
        return instances
    for number, one in enumerate(instances):
        if not isinstance(one, dict) or one.keys() != served.inputs.keys():
            names = ", ".join(served.inputs)
            raise Refused(400, f"Instance {number} is not an object of the inputs {names}, as others are.")
    return {name: [one[name] for one in instances] for name in served.inputs}


def written(served: Served, asked: Request, outputs: Sequence[np.ndarray]) -> tuple[bytes, dict[str, str]]:
    """The body of the answer, and its headers."""
    columns = {
        name: listed(array, f"The output {name!r} of the model {served.name!r}")
        for name, array in zip(served.outputs, outputs, strict=True)
    }
    alone = next(iter(columns.values())) if len(columns) == 1 else None
    if not asked.rows:
        answer = {"outputs": columns if alone is None else alone}
    elif alone is not None:
        answer = {"predictions": alone}
    else:
        rows = zip(*columns.values(), strict=True)
        answer = {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}
    return json.dumps(answer).encode(), {"content-type": "application/json"}
