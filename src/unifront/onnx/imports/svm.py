"""Support vector machines of ``ai.onnx.ml``: one machine for each pair of classes, votes, and Platt's probabilities."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.ml import labelled, post_transformed
from unifront.onnx.imports.node import Node, Row
from unifront.opset.tensor import type_of

CLASSES = 64
"""Classes of which the probabilities are worked out: the work grows by their square."""
ROUNDS, PRECISION, LEAST = 100, 0.005, 1e-7
"""Of Wu et al. 2004: the most rounds, how near the end is (divided by the classes), and the least share of a pair."""


def _kernel(node: Node, x: Any, support: np.ndarray) -> Any:
    """``[n, vectors]``: how near each row of ``x`` is to each support vector."""
    gamma, offset, degree = tuple(node["kernel_params"] or (0.0, 0.0, 0.0))
    kind = node["kernel_type"]
    if kind == "RBF":
        far = ops.sum(ops.square(ops.subtract(ops.expand_dims(x, 1), support)), -1)
        return ops.exp(ops.multiply(far, -gamma))
    product = ops.matmul(x, support.T)
    if kind == "LINEAR":
        return product
    inner = ops.add(ops.multiply(product, gamma), offset)
    return ops.power(inner, float(degree)) if kind == "POLY" else ops.tanh(inner)


def _floats(node: Node, name: str) -> np.ndarray:
    return np.asarray(node[name] or (), np.float32)


def _regressor(node: Node, x: Any) -> Any:
    coefficients, rho = _floats(node, "coefficients"), _floats(node, "rho")
    x = ops.cast(x, "float32")
    if node["n_supports"]:
        support = _floats(node, "support_vectors").reshape(node["n_supports"], -1)
        y = ops.add(ops.matmul(_kernel(node, x, support), coefficients[:, None]), rho[:1])
    else:
        y = ops.add(ops.matmul(x, coefficients[:, None]), rho[:1])
    if node["one_class"]:
        return ops.where(ops.greater(y, 0.0), np.float32(1), np.float32(-1))
    return post_transformed(node, y, node["post_transform"])


def _classifier(node: Node, x: Any) -> Any:
    names = node["classlabels_strings"] or node["classlabels_ints"] or ()
    count, x = len(names), ops.cast(x, "float32")
    coefficients, rho = _floats(node, "coefficients"), _floats(node, "rho")
    counts = np.asarray(node["vectors_per_class"] or (), np.int64)
    if count < 2 or not len(rho):
        node.fail(f"{count} classes and {len(rho)} offsets")
    if not counts.sum():  # one linear function for each class
        scores = ops.add(ops.matmul(x, coefficients.reshape(count, -1).T), rho[:1])
        return labelled(node, scores)
    pairs = list(combinations(range(count), 2))
    if len(counts) != count or min(counts) < 0 or len(rho) < len(pairs):
        node.fail(f"{len(counts)} numbers of vectors and {len(rho)} offsets for {count} classes")
    near = _kernel(node, x, _floats(node, "support_vectors").reshape(int(counts.sum()), -1))
    table = coefficients[: (count - 1) * int(counts.sum())].reshape(count - 1, -1)
    scores = ops.add(ops.matmul(near, _pairwise(table, counts, pairs)), rho[: len(pairs)])
    label = ops.take(_labels(node, count), ops.argmax(_votes(scores, pairs, count), -1), 0)
    return (None if node["classlabels_strings"] else label), _shares(node, scores, pairs, count)


def _labels(node: Node, count: int) -> np.ndarray:
    numbers = node["classlabels_ints"]
    return np.arange(count, dtype=np.int64) if numbers is None else np.asarray(numbers, np.int64)


def _pairwise(table: np.ndarray, counts: np.ndarray, pairs: list[tuple[int, int]]) -> np.ndarray:
    """``[vectors, pairs]``: the weight of each support vector in the machine of each pair of classes."""
    owner = np.repeat(np.arange(len(counts)), counts)
    weights = np.zeros((len(owner), len(pairs)), np.float32)
    for place, (i, j) in enumerate(pairs):
        weights[owner == i, place] = table[j - 1, owner == i]
        weights[owner == j, place] = table[i, owner == j]
    return weights


def _votes(scores: Any, pairs: list[tuple[int, int]], count: int) -> Any:
    """``[n, classes]``: how many pairs each class wins."""
    first, second = (
        np.eye(count, dtype=np.int32)[[pair[side] for pair in pairs]] for side in (0, 1)
    )  # [pairs, classes]
    won = ops.expand_dims(ops.greater(scores, 0.0), -1)
    return ops.sum(ops.where(won, first, second), 1)


def _shares(node: Node, scores: Any, pairs: list[tuple[int, int]], count: int) -> Any:
    """What is given beside the labels: probabilities, or the pairs' scores."""
    kind = node["post_transform"]
    if node["prob_a"]:
        return post_transformed(node, _probabilities(node, scores, pairs, count), kind)
    if count > 2:
        return post_transformed(node, scores, kind)
    if kind == "NONE":
        return ops.concatenate([ops.negative(scores), scores], -1)
    return post_transformed(node, ops.concatenate([ops.subtract(1.0, scores), scores], -1), kind)


def _probabilities(node: Node, scores: Any, pairs: list[tuple[int, int]], count: int) -> Any:
    """The shares of classes of which the pairs' shares are nearest to those found (Platt 2000; Wu et al. 2004)."""
    slope, offset = _floats(node, "prob_a"), _floats(node, "prob_b")
    if min(len(slope), len(offset)) < len(pairs) or count > CLASSES:
        node.fail(f"probabilities of {count} classes from {len(slope)} slopes and {len(offset)} offsets")
    logits = ops.add(ops.multiply(scores, slope[: len(pairs)]), offset[: len(pairs)])
    share = ops.clip(ops.sigmoid(ops.negative(logits)), LEAST, np.float32(1 - LEAST))
    places = np.full((count, count), 2 * len(pairs))  # of the share of i beside j; of none on the diagonal
    for place, (i, j) in enumerate(pairs):
        places[i, j], places[j, i] = place, place + len(pairs)
    none = ops.zeros((type_of(scores).shape[0], 1), "float32", like=scores)
    both = ops.concatenate([share, ops.subtract(1.0, share), none], -1)
    of_pairs = ops.take(both, places, 1)  # [n, i, j]
    other = ops.transpose(of_pairs, (0, 2, 1))
    diagonal = ops.multiply(
        np.eye(count, dtype=np.float32), ops.expand_dims(ops.sum(ops.square(other), -1), -1)
    )
    matrix = ops.subtract(diagonal, ops.multiply(of_pairs, other))
    return _nearest(matrix, scores, count)


def _nearest(matrix: Any, scores: Any, count: int) -> Any:
    """Shares ``p`` of which ``pᵀ matrix p`` is the least, found as libsvm does; each row stops by itself."""
    n = type_of(scores).shape[0]
    own = [[ops.get_item(matrix, (slice(None), t, j)) for j in range(count)] for t in range(count)]
    columns = [ops.get_item(matrix, (slice(None), slice(None), t)) for t in range(count)]

    def step(number: Any, p: Any, going: Any) -> tuple[Any, Any, Any]:
        product = ops.squeeze(ops.matmul(matrix, ops.expand_dims(p, -1)), -1)
        whole = ops.sum(ops.multiply(p, product), -1, True)
        far = ops.max(ops.abs(ops.subtract(product, whole)), -1, True)
        going = ops.logical_and(going, ops.greater_equal(far, np.float32(PRECISION / count)))
        new = p
        for t in range(count):
            at = ops.get_item(product, (slice(None), slice(t, t + 1)))
            square = ops.expand_dims(own[t][t], -1)
            more = ops.divide(ops.subtract(whole, at), square)
            rest = ops.add(more, 1.0)
            unit = np.eye(count, dtype=np.float32)[t]
            new = ops.divide(ops.add(new, ops.multiply(more, unit)), rest)
            grown = ops.multiply(more, ops.add(ops.multiply(more, square), ops.multiply(at, 2.0)))
            whole = ops.divide(ops.divide(ops.add(whole, grown), rest), rest)
            product = ops.divide(ops.add(product, ops.multiply(more, columns[t])), rest)
        return ops.add(number, 1), ops.where(going, new, p), going

    first = (
        ops.zeros((), "int32", like=scores),
        ops.full((n, count), 1 / count, "float32", like=scores),
        ops.full((n, 1), True, "bool", like=scores),
    )
    return ops.while_loop(
        lambda number, p, going: ops.logical_and(ops.less(number, ROUNDS), ops.any(going)), step, first
    )[1]


TABLE_OF = {
    "ai.onnx.ml": {"SVMRegressor": Row(_regressor), "SVMClassifier": Row(_classifier)},
}
