"""How often groups of tokens stand in a row (ONNX TfIdfVectorizer)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.node import Node, Row, rank
from unifront.onnx.imports.values import Value, is_strings
from unifront.opset.tensor import type_of


def _pools(node: Node) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """For each length the groups ``[groups, length]``, and the column of each."""
    tokens = node["pool_int64s"] if node["pool_strings"] is None else node["pool_strings"]
    starts = [*node["ngram_counts"], len(tokens)]
    columns = list(node["ngram_indexes"])
    pools, place = [], 0
    for length, (begin, end) in enumerate(pairwise(starts), 1):
        flat = tokens[begin:end]
        if len(flat) % length:
            node.fail(f"{len(flat)} tokens in groups of {length}")
        count = len(flat) // length
        table = np.array(flat, object if node["pool_strings"] else np.int64).reshape(count, length)
        pools.append((length, table, np.array(columns[place : place + count], np.int64)))
        place += count
    return pools


def _tf_idf(node: Node, x: Value) -> Any:
    least, most, skips = node["min_gram_length"], node["max_gram_length"], node["max_skip_count"]
    size = max(node["ngram_indexes"], default=-1) + 1
    rows = node.number(x) if not is_strings(x) else x
    rows = ops.cast(node.traced(rows), "int64") if not isinstance(rows, np.ndarray) else rows
    single = rank(rows) == 1
    rows = (
        rows.reshape(1, -1)
        if isinstance(rows, np.ndarray) and single
        else ops.expand_dims(rows, 0)
        if single
        else rows
    )
    length = type_of(rows).shape[1] if not isinstance(rows, np.ndarray) else rows.shape[1]
    if not isinstance(length, int):
        node.fail("rows of free length")
    node.room(size)
    counts: Any = np.zeros((1, size), np.float32)
    for n, table, columns in _pools(node):
        if not least <= n <= most or not len(table):
            continue
        node.room(len(table) * size)
        hot = np.zeros((len(table), size), np.float32)
        hot[np.arange(len(table)), columns] = 1
        for skip in range(1 if n == 1 else min(skips, length) + 1):
            starts = np.arange(max(length - (n - 1) * (skip + 1), 0))
            if not len(starts):
                continue
            node.room(len(starts) * n)
            places = starts[:, None] + np.arange(n) * (skip + 1)
            found = _matches(rows, places, table)  # [rows, groups]
            counts = ops.add(counts, ops.matmul(ops.cast(found, "float32"), hot))
    counts = _weighted(node, counts, size)
    shape = type_of(rows).shape[:1] if not isinstance(rows, np.ndarray) else rows.shape[:1]
    counts = ops.broadcast_to(counts, (*shape, size))
    return ops.squeeze(counts, 0) if single else counts


def _matches(rows: Any, places: np.ndarray, table: np.ndarray) -> Any:
    """How many of the groups at ``places`` are each of the table's."""
    if isinstance(rows, np.ndarray):
        windows = rows[:, places][:, :, None, :]
        return (windows == table).all(-1).sum(1)
    windows = ops.expand_dims(ops.take(rows, places, 1), 2)
    return ops.sum(ops.cast(ops.all(ops.equal(windows, table), -1), "int32"), 1)


def _weighted(node: Node, counts: Any, size: int) -> Any:
    mode, given = node["mode"], node["weights"]
    if mode == "TF":
        return counts
    weights = np.ones(size, np.float32)
    if given:
        weights[list(node["ngram_indexes"])] = given
    base = counts if mode == "TFIDF" else ops.cast(ops.greater(counts, 0.0), "float32")
    return ops.multiply(base, weights)


TABLE = {"TfIdfVectorizer": Row(_tf_idf, raw=True)}
