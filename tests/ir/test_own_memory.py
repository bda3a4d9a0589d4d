"""Which values of a graph are no views: steps copy of the others what shares memory with what they overwrite."""

from __future__ import annotations

from typing import Any

import unifront as uf
from unifront import ops
from unifront.ir.graph import Graph
from unifront.ir.in_place import has_own_memory


def traced(function: Any) -> Graph:
    class Traced(uf.Layer):
        def call(self, x: Any) -> Any:
            return function(x)

    x = uf.Input((4,))
    return uf.Model(x, Traced()(x)).trace(training=False).graph


def test_views_have_none() -> None:
    graph = traced(lambda x: [x, ops.reshape(x, (-1, 2, 2)), x[:, 1:], ops.add(x, x), ops.sum(x, ())])
    assert [has_own_memory(graph, value) for value in graph.outputs] == [False, False, False, True, False]


def test_results_of_a_body_have_what_they_have_there_and_gradients_may_be_anything() -> None:
    def function(x: Any) -> Any:
        def loss(x: Any) -> Any:
            return ops.sum(x * x) * 2, (ops.reshape(x, (-1,)), ops.exp(x))

        (value, aux), gradient = uf.value_and_grad(loss, has_aux=True)(x)
        return [value * x, *aux, gradient]

    graph = traced(function)
    (node,) = (node for node in graph.nodes if node.op.name == "gradient")
    assert [has_own_memory(graph, value) for value in node.outputs] == [True, False, True, False]
