"""Rows that a decomposition would hide if they went: the kernels that each backend has of its own."""

import pytest

from unifront.backends import installed, placement
from unifront.opset.spec import OPS

COMPOSITE = {spec.name for spec in OPS.values() if spec.decomposition}
PINNED = {
    "jax": {
        "all_reduce",
        "dense",
        "depthwise_conv",
        "dynamic_slice",
        "log_softmax",
        "remat",
        "sigmoid_cross_entropy",
        "slice_update",
        "softmax",
        "softmax_cross_entropy",
        "var",
    },
    "tensorflow": {
        "all_reduce",
        "batch_norm",
        "batch_norm_training",
        "dense",
        "depthwise_conv",
        "dynamic_slice",
        "log_softmax",
        "remat",
        "sigmoid_cross_entropy",
        "slice_update",
        "softmax",
        "softmax_cross_entropy",
    },
    "torch": {
        "all_reduce",
        "attention",
        "batch_norm",
        "batch_norm_training",
        "ctc_loss",
        "dense",
        "depthwise_conv",
        "dynamic_slice",
        "group_norm",
        "layer_norm",
        "log_softmax",
        "remat",
        "rms_norm",
        "sigmoid_cross_entropy",
        "slice_update",
        "softmax",
        "softmax_cross_entropy",
        "var",
    },
}
"""The operations that have a decomposition, and a row nevertheless, because that is quicker or more exact."""


@pytest.mark.parametrize("name", sorted(PINNED.keys() & set(installed())))
def test_composite_operations_have_their_rows(name: str) -> None:
    assert COMPOSITE & {op.name for op in placement(name).backend.rows().table} == PINNED[name]


@pytest.mark.parametrize("name", installed())
def test_operations_without_a_decomposition_have_rows(name: str) -> None:
    rows = placement(name).backend.rows()
    missing = OPS.keys() - COMPOSITE - {op.name for op in rows.table} - {"constant"}
    assert missing == {op.name for op in rows.reasons if op not in rows.table}


IN_PLACE = {
    "jax": set(),
    "tensorflow": {"adam_updates", "momentum_updates", "sgd_updates"},
    "torch": {
        "adagrad_updates",
        "adam_updates",
        "lion_updates",
        "momentum_updates",
        "rmsprop_updates",
        "sgd_updates",
    },
}
"""The updates of many variables that a backend has kernels for, which write in place."""


@pytest.mark.parametrize("name", sorted(IN_PLACE.keys() & set(installed())))
def test_grouped_updates_have_their_kernels(name: str) -> None:
    assert {op.name for op in placement(name).backend.rows().in_place} == IN_PLACE[name]
