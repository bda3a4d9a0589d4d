"""Tree-LSTMs batched by structure: the plain recursion over each tree judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors
from unifront.testing import assert_close
from unifront_zoo import tree_lstm

NAMES = ("tree_lstm_binary", "tree_lstm_child_sum")
SIZE: dict[str, Any] = {"words": 12, "embedding": 4, "units": 3, "classes": 2, "dropout": 0.0}
BINARY = [
    (0, (0, (3,), (5,)), (0, (0, (1,), (2,)), (7,))),
    (4,),
    (0, (2,), (3,)),
]
ANY = [
    (3, (5, (1,), (2,), (6,)), (4,)),
    (8,),
    (2, (1, (9, (10, (11,))))),
    (1, (2,), (3,), (4,), (5, (6,), (7,))),
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def recursive(w: dict[str, np.ndarray], tree: Any) -> Any:
    """``(h, c)`` of one tree, by the equations of Tai et al. 2015 and NumPy."""

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        return x @ w[f"tree_lstm/{name}/kernel"] + w[f"tree_lstm/{name}/bias"]

    word, *children = tree
    states = [recursive(w, child) for child in children]
    x = w["embedding/embeddings"][word]
    if "tree_lstm/leaf/kernel" in w:
        if not children:
            c, o = np.split(dense("leaf", x), 2)
            return sigmoid(o) * np.tanh(c), c
        (hl, cl), (hr, cr) = states
        i, left, right, o, u = np.split(dense("left", hl) + dense("right", hr), 5)
        c = sigmoid(i) * np.tanh(u) + sigmoid(left) * cl + sigmoid(right) * cr
        return sigmoid(o) * np.tanh(c), c
    i, o, u, f = np.split(dense("entering", x), 4)
    total = np.sum([h for h, _ in states], axis=0) if states else np.zeros(3)
    di, do, du = np.split(dense("summed", total), 3)
    c = sigmoid(i + di) * np.tanh(u + du)
    for h, own in states:
        c = c + sigmoid(f + dense("forget", h)) * own
    return sigmoid(o + do) * np.tanh(c), c


def lively(name: str, **options: Any) -> uf.Model:
    model = uf.zoo.create(name, **SIZE, **options)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


@pytest.mark.parametrize(("name", "trees"), list(zip(NAMES, (BINARY, ANY), strict=True)))
@pytest.mark.parametrize("sizes", [{}, {"levels": 7, "width": 9}])
def test_batched_by_depth_is_what_recursion_gives(name: str, trees: Any, sizes: Any) -> None:
    model = lively(name)
    w = {weight.path: np.asarray(weight.numpy(), np.float64) for weight in model.weights}
    given = tree_lstm.batched(trees, **sizes, arity=2 if name == NAMES[0] else None)
    found = model.predict(given, backend="torch")
    expected = [recursive(w, tree)[0] @ w["predictions/kernel"] + w["predictions/bias"] for tree in trees]
    assert_close(found, np.array(expected, np.float32))


def test_each_node_has_its_own_output() -> None:
    model = lively("tree_lstm_binary", every_node=True)
    w = {weight.path: np.asarray(weight.numpy(), np.float64) for weight in model.weights}
    tree = BINARY[0]
    found = model.predict(tree_lstm.batched([tree]), backend="torch")[0]
    for place, node in (((-1, 0), tree), ((-2, 0), tree[1]), ((-2, 1), tree[2]), ((-3, 3), tree[2][2])):
        expected = recursive(w, node)[0] @ w["predictions/kernel"] + w["predictions/bias"]
        assert_close(found[place], expected.astype("float32"))


def test_trees_as_arrays() -> None:
    found = tree_lstm.batched([(0, (3,), (0, (5,), (6,))), (9,)])
    assert found["words"].tolist() == [[[5, 6], [3, 0], [0, 0]], [[0, 0], [0, 0], [9, 0]]]
    assert found["children"][0].tolist() == [[[0, 0], [0, 0]], [[0, 0], [1, 2]], [[1, 2], [0, 0]]]
    assert found["children"][1].max() == 0
    with pytest.raises(errors.ArgumentError, match="batched: levels=2, but the trees need 4"):
        tree_lstm.batched(BINARY[:1], levels=2, arity=2)
    with pytest.raises(errors.ShapeError, match="A binary tree has two children; those given are 3"):
        tree_lstm.BinaryTreeLSTM(3).build((None, 2, 2, 4), (None, 2, 2, 3))


def test_one_product_a_level_whatever_the_number_of_nodes() -> None:
    """The graph holds one scan; its body has as many products for a thousand nodes as for three."""
    graph = uf.zoo.create("tree_lstm_binary").graph()
    assert sum(node.op.name == "scan" for node in graph.nodes) == 1
    (scan,) = (node for node in graph.nodes if node.op.name == "scan")
    assert sum(node.op.name in ("dense", "matmul") for node in scan.regions[0].nodes) == 2


@pytest.mark.parametrize(("kind", "units", "count"), [("Binary", 150, 316_800), ("ChildSum", 168, 315_840)])
def test_the_papers_counts_of_parameters(kind: str, units: int, count: int) -> None:
    """Table 1: the composition function for sentiment, on 300 features of a word."""
    layer = getattr(tree_lstm, f"{kind}TreeLSTM")(units)
    layer.build((None, 3, 3, 300), (None, 3, 3, 2))
    assert layer.count_params() == count


def expression(rng: np.random.Generator, depth: int) -> tuple[Any, bool]:
    """A tree of ands (1), ors (2) and nots (3) over false (4) and true (5), and its value."""
    kind = rng.integers(1, 4) if depth else rng.integers(4, 6)
    if kind > 3:
        return (int(kind),), kind == 5
    children, values = zip(*(expression(rng, depth - 1 - int(rng.integers(0, depth))) for _ in range(1 + (kind < 3))),
                           strict=True)  # fmt: skip
    return (int(kind), *children), {1: all(values), 2: any(values), 3: not values[0]}[int(kind)]


@pytest.mark.slow
def test_logic_is_learnt_with_equal_losses() -> None:
    rng = np.random.default_rng(0)
    trees, values = zip(*(expression(rng, int(rng.integers(1, 5))) for _ in range(1200)), strict=True)
    given = tree_lstm.batched(trees)
    labels = np.array(values, np.int32)
    size = {"words": 6, "embedding": 8, "units": 16, "classes": 2, "dropout": 0.0}
    uf.set_seed(0)
    start, losses = uf.zoo.create("tree_lstm_child_sum", **size), {}
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    few = {name: array[:64] for name, array in given.items()}
    for name in TRAINABLE:
        model = uf.zoo.create("tree_lstm_child_sum", **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.01), loss)
        losses[name] = model.fit(
            few, labels[:64], batch_size=32, epochs=2, shuffle=False, verbose=0, backend=name
        ).history["loss"]
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=2e-5, err_msg=name)
    start.compile(uf.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    train, test = (
        {name: array[part] for name, array in given.items()} for part in (slice(1000), slice(1000, None))
    )
    start.fit(train, labels[:1000], batch_size=50, epochs=15, verbose=0, backend="torch")
    result = start.evaluate(test, labels[1000:], verbose=0, backend="torch", return_dict=True)
    assert result["accuracy"] > 0.9
