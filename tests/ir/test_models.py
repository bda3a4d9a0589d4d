"""Every model of the zoo as a graph: its rules, its text, and what passes leave of it."""

from functools import cache

import pytest

import unifront as uf
from tests.ir.graphs import ALL_OPS
from tests.zoo.sizes import DEEP
from unifront.ir import passes
from unifront.ir.text import parse_graph, print_graph
from unifront.ir.verify import verify
from unifront.reference import evaluate, simplified

MODELS = [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in sorted(uf.zoo.list())]
PASSES = passes.registry(ALL_OPS, evaluate)


@cache
def graph_of(name, training):
    return uf.zoo.create(name).graph(training=training)


@pytest.mark.parametrize("training", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("name", MODELS)
def test_graphs_are_right_and_read_back(name, training):
    graph = verify(graph_of(name, training))
    assert parse_graph(print_graph(graph), ALL_OPS) == graph.renumbered()


@pytest.mark.parametrize("name", MODELS)
def test_passes_add_nothing(name):
    graph = graph_of(name, False)
    assert len(simplified(graph).nodes) <= len(graph.nodes)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in uf.zoo.list("resnet*")]
)
def test_a_resnet_has_one_transpose_in_channels_first(name):
    order = [PASSES["channels_first"], PASSES["simplify_layout"]]
    graph, _, _ = passes.run(graph_of(name, False), {}, order)
    transposes = [node for node in graph.nodes if node.op.name == "transpose"]
    assert len(transposes) == 1
    assert graph.nodes.index(transposes[0]) <= 1  # at the input, or after its padding
