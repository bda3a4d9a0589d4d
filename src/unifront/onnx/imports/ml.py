"""Preprocessing and linear models of ``ai.onnx.ml``. Labels that are strings stay numbers: they are the host's."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, rank
from unifront.onnx.imports.values import Value, is_strings
from unifront.opset.tensor import type_of

MANY = 2**14
"""Entries of a table that is compared with everything at once."""


def post_transformed(node: Node, scores: Any, kind: str) -> Any:
    """What comes behind the scores ``[n, classes]`` of a model."""
    if kind in ("NONE", ""):
        return scores
    if kind == "LOGISTIC":
        return ops.sigmoid(scores)
    if kind == "SOFTMAX":
        return ops.softmax(scores, -1)
    if kind == "SOFTMAX_ZERO":
        zero = ops.equal(scores, 0)
        low = np.asarray(-np.inf, type_of(scores).dtype.numpy)
        share = ops.softmax(ops.where(zero, low, scores), -1)
        return ops.where(zero, scores, share)
    if kind == "PROBIT":
        return ops.multiply(ops.erfinv(ops.subtract(ops.multiply(scores, 2.0), 1.0)), math.sqrt(2))
    return node.fail(f"the post_transform {kind!r}")


def _table_of(node: Node, side: str) -> Any:
    """The keys or values of a label encoder."""
    given = node[f"{side}_tensor"]
    if given is not None:
        return node.importer.tensors.array(given)
    for kind, dtype in (("int64s", np.int64), ("floats", np.float32), ("strings", object)):
        if node[f"{side}_{kind}"] is not None:
            return np.asarray(node[f"{side}_{kind}"], dtype)
    return None


def _default(node: Node, values: np.ndarray) -> Any:
    given = node["default_tensor"]
    if given is not None:
        return node.importer.tensors.array(given).reshape(-1)[0]
    if values.dtype == object:
        return node["default_string"] or "_Unused"
    if values.dtype.kind == "f":
        return node["default_float"] if node["default_float"] is not None else -0.0
    return node["default_int64"] if node["default_int64"] is not None else -1


def _label_encoder(node: Node, x: Value) -> Any:
    keys, values = _table_of(node, "keys"), _table_of(node, "values")
    if node.version < 2:
        return _classes(node, x, node["classes_strings"])
    if keys is None or values is None or len(keys) != len(values):
        node.fail("its keys and values do not go together")
    default = _default(node, values)
    if is_strings(x) or keys.dtype == object or values.dtype == object:
        return _on_host(node.known(x, "labels"), keys, values, default)
    return looked_up(node, node.traced(node.number(x)), keys, values, default)


def _on_host(x: np.ndarray, keys: np.ndarray, values: np.ndarray, default: Any) -> np.ndarray:
    table = {
        key if key == key else "nan": value for key, value in zip(keys.tolist(), values.tolist(), strict=True)
    }
    found = [table.get(key if key == key else "nan", default) for key in x.reshape(-1).tolist()]
    result = np.empty(len(found), values.dtype)
    result[:] = found
    return result.reshape(x.shape)


def looked_up(node: Node, x: Any, keys: np.ndarray, values: np.ndarray, default: Any) -> Any:
    """The value beside the key that each element is, or the default."""
    if len(keys) > MANY:
        node.fail(f"a table of {len(keys)} keys")
    whole = ops.expand_dims(x, -1)
    same = ops.equal(whole, keys.astype(type_of(x).dtype.numpy))
    if keys.dtype.kind == "f":
        same = ops.logical_or(same, ops.logical_and(ops.isnan(whole), np.isnan(keys)))
    place = ops.argmax(ops.cast(same, "int32"), -1)
    found = ops.take(values, place, 0)
    return ops.where(ops.any(same, -1), found, np.asarray(default, values.dtype))


def _classes(node: Node, x: Value, classes: Sequence[str]) -> Any:
    """Version 1: strings as their places, and places as strings."""
    names = np.asarray(classes, object)
    array = node.known(x, "labels")
    if is_strings(array):
        return _on_host(array, names, np.arange(len(names)), node["default_int64"])
    return _on_host(array, np.arange(len(names)), names, node["default_string"])


def _category_mapper(node: Node, x: Value) -> Any:
    names, numbers = np.asarray(node["cats_strings"], object), np.asarray(node["cats_int64s"], np.int64)
    array = node.known(x, "categories")
    if is_strings(array):
        return _on_host(array, names, numbers, node["default_int64"])
    return _on_host(array, numbers, names, node["default_string"])


def _float(x: Any) -> Any:
    return ops.cast(x, "float32")


def _scaler(node: Node, x: Any) -> Any:
    offset, scale = (
        np.asarray(node[name] or [0.0 if name == "offset" else 1.0], np.float32)
        for name in ("offset", "scale")
    )
    return ops.multiply(ops.subtract(_float(x), offset), scale)


def _normalizer(node: Node, x: Any) -> Any:
    x = _float(x)
    axis = -1
    kind = node["norm"]
    size = {
        "MAX": lambda: ops.max(x, axis, True),
        "L1": lambda: ops.sum(ops.abs(x), axis, True),
        "L2": lambda: ops.sqrt(ops.sum(ops.square(x), axis, True)),
    }[kind]()
    return ops.where(ops.equal(size, 0.0), x, ops.divide(x, size))


def _binarizer(node: Node, x: Any) -> Any:
    return ops.cast(ops.greater(x, node["threshold"]), type_of(x).dtype)


def _imputer(node: Node, x: Any) -> Any:
    if type_of(x).dtype.is_float:
        new, old = node["imputed_value_floats"], node["replaced_value_float"]
        missing = ops.isnan(x) if old is None or math.isnan(old) else ops.equal(x, old)
    else:
        new, old = node["imputed_value_int64s"], node["replaced_value_int64"] or 0
        missing = ops.equal(x, old)
    if not new:
        node.fail("there is nothing to put in the place of what is missing")
    return ops.where(missing, np.asarray(new, type_of(x).dtype.numpy), x)


def _one_hot(node: Node, x: Value) -> Any:
    if node["cats_strings"] is not None:
        array = node.known(x, "categories")
        return (array[..., None] == np.asarray(node["cats_strings"], object)).astype(np.float32)
    x = node.traced(node.number(x))
    return _float(
        ops.equal(ops.expand_dims(ops.cast(x, "int64"), -1), np.asarray(node["cats_int64s"], np.int64))
    )


def _feature_vectorizer(node: Node, *xs: Any) -> Any:
    return ops.concatenate([_float(x) if rank(x) > 1 else ops.expand_dims(_float(x), 0) for x in xs], 1)


def _coefficients(node: Node, x: Any, rows: int) -> tuple[Any, Any]:
    flat = np.asarray(node["coefficients"], np.float32)
    if rows < 1 or flat.size % rows:
        node.fail(f"{flat.size} coefficients for {rows} results")
    weights = node.importer.lifting.weight("coefficients", flat.reshape(rows, -1).T.copy())
    given = node["intercepts"]
    return weights, None if given is None else node.importer.lifting.weight(
        "intercepts", np.asarray(given, np.float32)
    )


def _linear_regressor(node: Node, x: Any) -> Any:
    weights, bias = _coefficients(node, x, node["targets"])
    y = ops.matmul(_float(x), weights)
    return post_transformed(node, y if bias is None else ops.add(y, bias), node["post_transform"])


def labelled(node: Node, scores: Any, positive: bool | None = None) -> tuple[Any, Any]:
    """The label and the scores of each class, from the scores before the post_transform.

    Args:
        positive: of two classes with one score: whether that is a share, of which a half decides, and no logit.
    """
    names = node["classlabels_strings"]
    numbers = node["classlabels_ints"] if node["classlabels_ints"] is not None else node["classlabels_int64s"]
    labels = (
        np.arange(len(names), dtype=np.int64) if names else np.asarray(numbers if numbers else (), np.int64)
    )
    kind = node["post_transform"]
    columns = type_of(scores).shape[-1]
    if columns == 1 and len(labels) == 2:
        share = bool(positive)
        ahead = ops.greater(ops.squeeze(scores, -1), 0.5 if share else 0.0)
        chosen = ops.take(labels, ops.cast(ahead, "int32"), 0)
        if kind == "LOGISTIC":
            one = ops.sigmoid(scores)
            return _label(node, names, chosen), ops.concatenate([ops.subtract(1.0, one), one], -1)
        other = ops.subtract(1.0, scores) if share else ops.negative(scores)
        return _label(node, names, chosen), post_transformed(node, ops.concatenate([other, scores], -1), kind)
    place = ops.argmax(scores, -1)
    return _label(node, names, ops.take(labels, place, 0)), post_transformed(node, scores, kind)


def _label(node: Node, names: Any, chosen: Any) -> Any:
    """Labels, if they are numbers."""
    return None if names else chosen


def _linear_classifier(node: Node, x: Any) -> Any:
    names = node["classlabels_strings"] or node["classlabels_ints"] or ()
    count = len(node["intercepts"] or ()) or len(names)
    weights, bias = _coefficients(node, x, count)
    scores = ops.matmul(_float(x), weights)
    return labelled(node, scores if bias is None else ops.add(scores, bias))


_ROWS: dict[str, Callable[..., Any]] = {
    "Scaler": _scaler,
    "Normalizer": _normalizer,
    "Binarizer": _binarizer,
    "Imputer": _imputer,
    "FeatureVectorizer": _feature_vectorizer,
    "LinearRegressor": _linear_regressor,
    "LinearClassifier": _linear_classifier,
}
TABLE_OF = {
    "ai.onnx.ml": {
        **{name: Row(function) for name, function in _ROWS.items()},
        "LabelEncoder": Row(_label_encoder, raw=True),
        "CategoryMapper": Row(_category_mapper, raw=True),
        "OneHotEncoder": Row(_one_hot, raw=True),
    }
}
UNSUPPORTED = {
    ("ai.onnx.ml", name): "there are no maps here; with skl2onnx, say options={'zipmap': False}"
    for name in ("ZipMap", "DictVectorizer", "CastMap")
}
