"""Ensembles of decision trees: all trees walk down at once, level by level, on any backend."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from unifront import ops
from unifront.onnx.imports.ml import labelled, post_transformed
from unifront.onnx.imports.node import Node, Row
from unifront.opset.tensor import type_of

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
POST = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
DEEPEST, MOST = 1000, 2**22


@dataclass(frozen=True)
class _Forest:
    """Nodes of all trees; a leaf is followed by itself.

    Args:
        weights: ``[nodes, targets]`` what a leaf adds, and ``gives`` whether it does.
        members: for each node the set that its feature is to be in, filled up with NaN.
    """

    roots: np.ndarray
    features: np.ndarray
    splits: np.ndarray
    modes: np.ndarray
    yes: np.ndarray
    no: np.ndarray
    missing: np.ndarray
    weights: np.ndarray
    gives: np.ndarray
    members: np.ndarray | None = None

    def depth(self, node: Node) -> int:
        """The longest way down."""
        level, count, leaves = np.unique(self.roots), 0, self.yes == np.arange(len(self.yes))
        while True:
            level = np.unique(np.concatenate([self.yes[level], self.no[level]])[~np.tile(leaves[level], 2)])
            if not len(level):
                return count
            count += 1
            if count > DEEPEST:
                node.fail("its trees have a cycle, or are too deep")


def _walk(node: Node, x: Any, forest: _Forest) -> Any:
    """The leaf ``[n, trees]`` of each tree that a row of ``x`` comes to."""
    n = type_of(x).shape[0]
    at = ops.broadcast_to(node.traced(forest.roots.astype(np.int32)), (n, len(forest.roots)))
    used = sorted(
        {MODES[int(mode)] for mode in np.unique(forest.modes[forest.yes != np.arange(len(forest.yes))])}
    )
    for _ in range(forest.depth(node)):
        value = ops.take_along_axis(x, ops.take(forest.features.astype(np.int32), at, 0), 1)
        split = ops.take(forest.splits.astype(type_of(x).dtype.numpy), at, 0)
        mode = ops.take(forest.modes.astype(np.int32), at, 0)
        goes: Any = None
        for name in used:
            own = _compared(name, value, split, at, forest)
            goes = own if goes is None else ops.where(ops.equal(mode, MODES.index(name)), own, goes)
        if goes is None:
            break
        if forest.missing.any():
            goes = ops.logical_or(goes, ops.logical_and(ops.isnan(value), ops.take(forest.missing, at, 0)))
        at = ops.where(
            goes, ops.take(forest.yes.astype(np.int32), at, 0), ops.take(forest.no.astype(np.int32), at, 0)
        )
    return at


def _compared(name: str, value: Any, split: Any, at: Any, forest: _Forest) -> Any:
    if name == "BRANCH_MEMBER":
        assert forest.members is not None
        rows = ops.take(forest.members.astype(type_of(value).dtype.numpy), at, 0)
        return ops.any(ops.equal(ops.expand_dims(value, -1), rows), -1)
    functions = {
        "BRANCH_LEQ": ops.less_equal, "BRANCH_LT": ops.less, "BRANCH_GTE": ops.greater_equal,
        "BRANCH_GT": ops.greater, "BRANCH_EQ": ops.equal, "BRANCH_NEQ": ops.not_equal,
    }  # fmt: skip
    return functions[name](value, split)


def _joined(node: Node, leaves: Any, forest: _Forest, how: str, dtype: Any) -> Any:
    """``[n, targets]``: what the leaves add up to."""
    given = ops.take(forest.weights.astype(dtype.numpy), leaves, 0)  # [n, trees, targets]
    if how in ("SUM", "AVERAGE"):
        total = ops.sum(given, 1)
        return ops.divide(total, len(forest.roots)) if how == "AVERAGE" else total
    there = ops.take(forest.gives, leaves, 0)
    edge = np.asarray(np.inf if how == "MIN" else -np.inf, dtype.numpy)
    best = (ops.min if how == "MIN" else ops.max)(ops.where(there, given, edge), 1)
    return ops.where(ops.any(there, 1), best, ops.zeros_like(best))


def _keyed(node: Node, targets: str, weights: str, count: int) -> _Forest:
    """The forest of the older operators, whose nodes are called by tree and number."""
    trees, numbers = node["nodes_treeids"], node["nodes_nodeids"]
    place = {key: i for i, key in enumerate(zip(trees, numbers, strict=True))}
    size = len(place)
    modes = [MODES.index(mode) if mode in MODES else -1 for mode in node["nodes_modes"]]
    leaf = np.array([mode == "LEAF" for mode in node["nodes_modes"]], bool)
    if (
        size != len(trees)
        or size * count > MOST
        or any(m < 0 and not at for m, at in zip(modes, leaf, strict=True))
    ):
        node.fail("its trees have nodes that are there twice, too many, or of a mode that is not known")
    own = np.arange(size)
    yes, no = (
        np.where(leaf, own, [place.get((t, n), -1) for t, n in zip(trees, node[name], strict=True)])
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    )
    if min(yes.min(initial=0), no.min(initial=0)) < 0:
        node.fail("its trees have nodes that are followed by none")
    followed = {*yes[~leaf].tolist(), *no[~leaf].tolist()}
    roots = np.array([i for i in own if i not in followed])
    table, gives = np.zeros((size, count)), np.zeros((size, count), bool)
    prefix = targets.partition("_")[0]
    for tree, number, target, weight in zip(
        node[f"{prefix}_treeids"],
        node[f"{prefix}_nodeids"],
        node[targets],
        _numbers(node, weights),
        strict=True,
    ):
        table[place[tree, number], target] += weight
        gives[place[tree, number], target] = True
    missing = np.asarray(node["nodes_missing_value_tracks_true"] or [0] * size, bool)
    return _Forest(
        roots, np.asarray(node["nodes_featureids"]), np.asarray(_numbers(node, "nodes_values")),
        np.maximum(modes, 0), yes, no, missing, table, gives,
    )  # fmt: skip


def _numbers(node: Node, name: str) -> np.ndarray:
    tensor = node[f"{name}_as_tensor"]
    if tensor is not None:
        return np.asarray(node.importer.tensors.array(tensor)).reshape(-1)
    return np.asarray(node[name] or (), np.float32)


def _working(x: Any) -> Any:
    return x if type_of(x).dtype == "float64" else ops.cast(x, "float32")


def _regressor(node: Node, x: Any) -> Any:
    count = node["n_targets"]
    forest = _keyed(node, "target_ids", "target_weights", count)
    x = _working(x)
    y = _joined(node, _walk(node, x, forest), forest, node["aggregate_function"], type_of(x).dtype)
    base = _numbers(node, "base_values")
    y = ops.add(y, base.astype(type_of(y).dtype.numpy)) if base.size else y
    return ops.cast(post_transformed(node, y, node["post_transform"]), "float32")


def _classifier(node: Node, x: Any) -> Any:
    labels = node["classlabels_strings"] or node["classlabels_int64s"] or ()
    ids = sorted(set(node["class_ids"]))
    binary = len(labels) == 2 and len(ids) == 1
    forest = _keyed(node, "class_ids", "class_weights", max(len(labels), 1 + max(ids, default=0)))
    x = _working(x)
    scores = _joined(node, _walk(node, x, forest), forest, "SUM", type_of(x).dtype)
    base = _numbers(node, "base_values")
    if binary:
        scores = ops.strided_slice(scores, (0, ids[0]), (None, ids[0] + 1))
        scores = ops.add(scores, base[-1:].astype(type_of(scores).dtype.numpy)) if base.size else scores
    elif base.size:
        scores = ops.add(scores, base.astype(type_of(scores).dtype.numpy))
    positive = bool((forest.weights >= 0).all()) and node["post_transform"] == "NONE"
    label, shares = labelled(node, scores, positive)
    return label, ops.cast(shares, "float32")


def _ensemble(node: Node, x: Any) -> Any:
    """The operator of version 5, with nodes and leaves by their places."""
    features, count = np.asarray(node["nodes_featureids"]), node["n_targets"]
    inner, leaves = len(features), len(node["leaf_targetids"])
    size = inner + leaves
    if size * count > MOST:
        node.fail(f"{size} nodes with {count} targets")
    yes, no = (
        _followers(node, f"nodes_{side}nodeids", f"nodes_{side}leafs", inner, size)
        for side in ("true", "false")
    )
    weights, gives = np.zeros((size, count)), np.zeros((size, count), bool)
    weights[inner + np.arange(leaves), list(node["leaf_targetids"])] = _array(node, "leaf_weights")
    gives[inner + np.arange(leaves), list(node["leaf_targetids"])] = True
    fill = np.zeros(leaves, int)
    modes = np.concatenate([np.asarray(_array(node, "nodes_modes"), int), fill])
    missing = np.asarray(node["nodes_missing_value_tracks_true"] or [0] * inner, bool)
    forest = _Forest(
        np.asarray(node["tree_roots"]), np.concatenate([features, fill]),
        np.concatenate([np.asarray(_array(node, "nodes_splits"), np.float64), fill]), modes, yes, no,
        np.concatenate([missing, fill.astype(bool)]), weights, gives,
        _members(modes, _array(node, "membership_values")),
    )  # fmt: skip
    y = _joined(
        node, _walk(node, x, forest), forest, AGGREGATES[node["aggregate_function"]], type_of(x).dtype
    )
    return post_transformed(node, y, POST[node["post_transform"]])


def _array(node: Node, name: str) -> np.ndarray | None:
    """The numbers of an attribute that is a tensor."""
    return None if node[name] is None else node.importer.tensors.array(node[name]).reshape(-1)


def _followers(node: Node, ids: str, leafs: str, inner: int, size: int) -> np.ndarray:
    given = np.asarray(node[ids]) + inner * np.asarray(node[leafs], bool)
    if len(given) != inner or (inner and not (given.min() >= 0 and given.max() < size)):
        node.fail("its trees have nodes that are followed by none")
    return np.concatenate([given, np.arange(inner, size)])


def _members(modes: np.ndarray, values: np.ndarray | None) -> np.ndarray | None:
    """The sets, which stand one after the other with NaN between them."""
    places = np.flatnonzero(modes == MODES.index("BRANCH_MEMBER"))
    if values is None or not len(places):
        return None
    sets: list[np.ndarray] = []
    begin = 0
    for end in [*np.flatnonzero(np.isnan(values)), len(values)]:
        sets.append(values[begin:end])
        begin = end + 1
    width = max(map(len, sets), default=1)
    table = np.full((len(modes), max(width, 1)), np.nan)
    for place, members in zip(places, sets, strict=False):
        table[place, : len(members)] = members
    return table


TABLE_OF = {
    "ai.onnx.ml": {
        "TreeEnsemble": Row(_ensemble),
        "TreeEnsembleRegressor": Row(_regressor),
        "TreeEnsembleClassifier": Row(_classifier),
    }
}
