"""What a file tells of its layers is checked against its graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.saving.files import entries_of, refuse, zipped

Change = Callable[[dict[str, Any]], Any]


def put(*path: Any) -> Change:
    """Set what stands at the path (all but the last) to the last."""
    *keys, last, value = path

    def change(told: Any) -> None:
        for key in keys:
            told = told[key]
        told[last] = value

    return change


HUGE = 2**62
# The calls of the file: dense (node 0 …), batch_normalization, dropout, dense_1; each
# [layer, depth, start, stop, inputs, input masks, outputs, output masks, losses].
CHANGES: dict[str, tuple[Change, str]] = {
    "no_dict": (lambda told: [told], "does not tell of layers"),
    "a_part_missing": (lambda told: told.pop("order"), "does not tell of layers"),
    "a_part_more": (put("code", "import os"), "does not tell of layers"),
    "layers_no_list": (put("layers", {}), r"\{\} is no list"),
    "layer_no_row": (put("layers", 0, "dense"), "'?dense'? is no layer"),
    "layer_of_other_types": (put("layers", 0, ["dense", "Dense", 1]), "is no layer"),
    "layer_twice": (put("layers", 1, ["dense", "Dense", True]), "'dense' is in no layer, or there twice"),
    "layer_without_name": (put("layers", 0, ["", "Dense", True]), "'' is in no layer"),
    "layer_in_none": (put("layers", 0, ["a/dense", "Dense", True]), "'a/dense' is in no layer"),
    "layer_at_a_root": (put("layers", 0, ["/dense", "Dense", True]), "'/dense' is in no layer"),
    "weight_missing": (lambda told: told["weights"].pop(), "weights are not those of the graphs"),
    "weight_twice": (lambda told: told["weights"].append(told["weights"][0]), "weights are not those"),
    "weight_unknown": (put("weights", 0, ["dense/other", True]), "weights are not those"),
    "weight_in_no_layer": (lambda told: told["layers"].pop(0), "'dense/.*' is in no layer"),
    "order_of_none": (put("order", 0, 99), "the order holds 99"),
    "order_of_no_input": (put("order", 0, -2), "the order holds -2"),
    "order_of_bools": (put("order", 0, True), "the order holds True"),
    "order_twice": (put("order", 0, 0), "the order holds a layer twice"),
    "call_no_row": (put("training", 0, [0, 0, 0, 1]), "is no call"),
    "call_of_no_layer": (put("training", 0, 0, HUGE), "is no call of a layer"),
    "call_of_a_negative_layer": (put("training", 0, 0, -1), "is no call of a layer"),
    "call_too_deep": (put("training", 0, 1, 1), "is no call of a layer"),
    "call_above": (put("training", 0, 1, -1), "is no call of a layer"),
    "call_before_all": (put("inference", 0, 2, -1), "is no call of a layer"),
    "call_behind_all": (put("inference", 0, 3, HUGE), "is no call of a layer"),
    "call_backwards": (put("inference", 0, 2, 3), "is no call of a layer"),
    "calls_overlap": (put("inference", 0, 3, 3), "calls of 'dense' and 'batch_normalization' overlap"),
    "calls_out_of_order": (lambda told: told["inference"].reverse(), "is no call of a layer"),
    "value_of_none": (put("training", 0, 4, [HUGE]), "a call has the value"),
    "value_null": (put("training", 0, 4, [None]), "a call has the value None"),
    "value_true": (put("training", 0, 4, [True]), "a call has the value True"),
    "input_from_later": (put("inference", 0, 4, [10]), "a call of 'dense' does not fit its graph"),
    "output_from_later": (put("inference", 0, 6, [13]), "a call of 'dense' does not fit its graph"),
    "no_output": (
        lambda told: put("inference", 0, 6, [])(told) or put("inference", 0, 7, [])(told),
        "does not fit",
    ),
    "masks_of_another_number": (put("inference", 0, 5, [None, None]), "does not fit its graph"),
    "mask_no_bool": (put("inference", 0, 5, [0]), "does not fit its graph"),
    "loss_no_scalar": (put("inference", 0, 8, [0]), "does not fit its graph"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_wrong_layers(name: str, good: bytes, tmp_path: Path) -> None:
    change, match = CHANGES[name]
    entries = entries_of(good)
    told = json.loads(entries["layers.json"])
    result = change(told)
    made = result if isinstance(result, list) and name == "no_dict" else told
    refuse(tmp_path / "bad.uf", zipped({**entries, "layers.json": json.dumps(made).encode()}), match)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "layers.json cannot be read"),
        (b"[" * 100_000, "layers.json cannot be read"),
        (b"\xff\xfe", "layers.json cannot be read"),
        (b"[" + b"1," * 1_000_001 + b"1]", "more than 1000000 values"),
        (b" " * (16 * 2**20 + 1), "layers.json has 16777217 bytes; at most 16777216 are read"),
    ],
    ids=["empty", "nested", "no_text", "values", "long"],
)
def test_no_layers(content: bytes, match: str, good: bytes, tmp_path: Path) -> None:
    refuse(tmp_path / "bad.uf", zipped({**entries_of(good), "layers.json": content}), match)


@pytest.mark.parametrize(
    "penalties", [None, 1, ["dense/kernel"] * 2, ["dense/other"], ["dense/kernel", "dense/bias"], [[]]]
)
def test_wrong_penalties(penalties: Any, good: bytes, tmp_path: Path) -> None:
    entries = entries_of(good)
    manifest = json.loads(entries["manifest.json"])
    assert manifest["training"]["penalties"] == ["dense/kernel"]
    manifest["training"]["penalties"] = penalties
    content = zipped({**entries, "manifest.json": json.dumps(manifest).encode()})
    refuse(tmp_path / "bad.uf", content, "the manifest does not fit the losses of 'small'")


def test_a_penalty_of_another_weight(good: bytes, tmp_path: Path) -> None:
    entries = entries_of(good)
    manifest = json.loads(entries["manifest.json"])
    manifest["training"]["penalties"] = ["dense/bias"]
    content = zipped({**entries, "manifest.json": json.dumps(manifest).encode()})
    refuse(tmp_path / "bad.uf", content, "regularizer of 'dense/bias' depends on more than it")
