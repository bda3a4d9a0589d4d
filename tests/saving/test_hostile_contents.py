"""Whole zip files with wrong contents: each is refused with its reason."""

from __future__ import annotations

import json
import pickle
import resource
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

import unifront as uf
from tests.saving.files import Entries, entries_of, refuse, zipped
from unifront.ir.text import print_graph
from unifront.saving.constraints import graph_of


def manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Entries], Entries]:
    def changed(entries: Entries) -> Entries:
        read = json.loads(entries["manifest.json"])
        result = change(read)
        return {**entries, "manifest.json": json.dumps(read if result is None else result).encode()}

    return changed


def graph(old: str, new: str, name: str = "inference.graph") -> Callable[[Entries], Entries]:
    def changed(entries: Entries) -> Entries:
        assert old.encode() in entries[name], entries[name].decode()
        return {**entries, name: entries[name].replace(old.encode(), new.encode(), 1)}

    return changed


def entry(name: str, content: bytes) -> Callable[[Entries], Entries]:
    return lambda entries: {**entries, name: content}


def text(name: str, old: bytes, new: bytes) -> Callable[[Entries], Entries]:
    return lambda entries: {**entries, name: entries[name].replace(old, new)}


def weights(change: Callable[[dict[str, np.ndarray]], Any], name: str = "weights.safetensors") -> Any:
    def changed(entries: Entries) -> Entries:
        read = load(entries[name])
        change(read)
        return {**entries, name: save(read)}

    return changed


def header(text: str, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(text)) + text.encode() + data


def one_array(shape: str, end: int, dtype: str = "F32", data: bytes = b"") -> bytes:
    return header(f'{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}', data)


def two_arrays(first: list[int], other: list[int], second: str = "b") -> bytes:
    said = (
        f'"{name}":{{"dtype":"F32","shape":[1],"data_offsets":{ends}}}'
        for name, ends in (("a", first), (second, other))
    )
    return header("{" + ",".join(said) + "}", bytes(other[1]))


def set_in(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Set what stands at the path (all but the last) to the last."""
    *keys, last, value = path

    def change(manifest: Any) -> None:
        for key in keys:
            manifest = manifest[key]
        manifest[last] = value

    return change


HUGE = 2**62


def constrained(path: str, shape: tuple[int, ...] = (3,)) -> bytes:
    """The graph of a constraint of the weight called ``path``."""
    weight = uf.Variable.at(path, shape, initial=np.zeros(shape), constraint=lambda w: w * 0.5)
    return print_graph(graph_of([weight], {id(weight): path})).encode()


CASES: dict[str, tuple[Callable[[Entries], Entries], str]] = {
    "constraints_garbage": (entry("constraints.graph", b"x"), "constraints.graph cannot be read"),
    "constraint_of_no_weight": (
        entry("constraints.graph", constrained("nobody")),
        "'nobody' has a constraint, but is no weight of its type",
    ),
    "constraint_of_another_type": (
        entry("constraints.graph", constrained("dense/kernel", (7, 7))),
        "'dense/kernel' has a constraint, but is no weight of its type",
    ),
    "manifest_not_json": (
        entry("manifest.json", b"{'format':"),
        "manifest.json cannot be read: Expecting property name",
    ),
    "manifest_not_utf8": (
        entry("manifest.json", b"\xff\xfe\x00"),
        "manifest.json cannot be read: 'utf-8' codec",
    ),
    "manifest_a_list": (manifest(lambda m: [m]), "not that of a unifront model"),
    "manifest_empty": (manifest(lambda m: {}), "not that of a unifront model"),
    "manifest_deep": (
        entry("manifest.json", b"[" * 100_000 + b"]" * 100_000),
        "manifest.json cannot be read: .*recursion",
    ),
    "manifest_deep_inputs": (
        text("manifest.json", b'"inputs": 0', b'"inputs": ' + b"[" * 900 + b"0" + b"]" * 900),
        "manifest.json cannot be read: .*recursion|the structure of the inputs",
    ),
    "manifest_huge_number": (
        text("manifest.json", b'"iterations": 0', b'"iterations": ' + b"9" * 9999),
        "manifest.json cannot be read: .*integer string",
    ),
    "other_format": (manifest(set_in("format", "pickle")), "not that of a unifront model"),
    "newer_version": (
        manifest(set_in("version", 4)),
        r"it has version 4; this unifront reads version 3\. Update",
    ),
    "version_true": (manifest(set_in("version", True)), "it has version True"),
    "version_text": (manifest(set_in("version", "1")), "it has version 1"),
    "name_number": (manifest(set_in("name", 3)), "the model's name is '3'"),
    "name_slash": (manifest(set_in("name", "../evil")), "the model's name is '../evil'"),
    "inputs_missing": (manifest(set_in("inputs", None)), "structure of the inputs is None"),
    "inputs_text": (manifest(set_in("inputs", "x")), "structure of the inputs is x"),
    "inputs_wrong": (manifest(set_in("inputs", [0, 1])), r"structure of the inputs is \[0, 1\], for 1"),
    "inputs_true": (manifest(set_in("inputs", False)), "structure of the inputs is False"),
    "outputs_wrong": (manifest(set_in("outputs", 1)), "structure of the outputs is 1"),
    "layout_missing": (manifest(set_in("training", None)), "does not say what the outputs of 'small' are"),
    "layout_losses": (manifest(set_in("training", "losses", HUGE)), "does not fit the outputs of 'small'"),
    "layout_losses_negative": (manifest(set_in("training", "losses", -1)), "does not fit the outputs"),
    "layout_masks": (manifest(set_in("inference", "masks", [0])), "does not fit the outputs"),
    "layout_masks_text": (manifest(set_in("inference", "masks", "00")), "does not say what the outputs"),
    "layout_updates": (
        manifest(set_in("training", "updates", ["dense/kernel", "dense/bias"])),
        "updates 'dense/kernel'",
    ),
    "layout_updates_types": (manifest(set_in("training", "updates", [0, None])), "does not fit the outputs"),
    "layout_updates_unknown": (
        manifest(set_in("training", "updates", ["a", "b"])),
        "updates 'a', which is no variable",
    ),
    "layout_updates_less": (
        manifest(set_in("training", "updates", [])),
        "different outputs|a loss of 'small'",
    ),
    "compiled_text": (manifest(set_in("compiled", "adam")), "compiled with is not readable"),
    "compiled_gone": (manifest(set_in("compiled", None)), "optimizer's slots, but no optimizer"),
    "optimizer_unknown": (
        manifest(set_in("compiled", "optimizer", "$class", "Popen")),
        "compiled with 'Popen', which is not known",
    ),
    "optimizer_base": (
        manifest(set_in("compiled", "optimizer", "$class", "Optimizer")),
        "compiled with 'Optimizer'",
    ),
    "optimizer_module": (manifest(set_in("compiled", "optimizer", "$class", "np")), "compiled with 'np'"),
    "optimizer_list": (manifest(set_in("compiled", "optimizer", ["adam"])), "the optimizer is"),
    "optimizer_rate": (
        manifest(set_in("compiled", "optimizer", "learning_rate", "fast")),
        "Adam: learning.rate is a number",
    ),
    "optimizer_rate_class": (
        manifest(set_in("compiled", "optimizer", "learning_rate", {"$class": "losses.Loss"})),
        "compiled with 'losses.Loss'",
    ),
    "optimizer_argument": (
        manifest(set_in("compiled", "optimizer", "evil", 1)),
        "argument of Adam 'evil'|the arguments of Adam do not fit: .*'evil'",
    ),
    "optimizer_epsilon": (
        manifest(set_in("compiled", "optimizer", "epsilon", [1])),
        "manifest.json cannot be read: .*Adam",
    ),
    "iterations_negative": (manifest(set_in("compiled", "iterations", -1)), "number of steps done is -1"),
    "iterations_true": (manifest(set_in("compiled", "iterations", True)), "number of steps done is True"),
    "loss_unknown": (manifest(set_in("compiled", "loss", "evil")), "Unknown loss 'evil'"),
    "loss_number": (manifest(set_in("compiled", "loss", 3)), "A loss is a name"),
    "loss_class": (
        manifest(set_in("compiled", "loss", {"$class": "__import__"})),
        "compiled with '__import__'",
    ),
    "loss_arguments": (
        manifest(set_in("compiled", "loss", {"$class": "losses.Huber", "delta": 1, "evil": 2})),
        "Unknown argument of Huber 'evil'",
    ),
    "loss_class_number": (manifest(set_in("compiled", "loss", {"$class": 7})), "compiled with '7'"),
    "metric_function": (
        manifest(
            set_in("compiled", "metrics", [{"$class": "metrics.FunctionMetric", "function": "os.system"}])
        ),
        "compiled with 'metrics.FunctionMetric', which is not known",
    ),
    "graph_empty": (entry("training.graph", b""), "ends inside a graph"),
    "graph_code": (graph("relu(", '__import__("os").system('), "Unknown op '__import__'"),
    "graph_unknown_op": (graph("relu(", "exec("), "Unknown op 'exec'"),
    "graph_code_attribute": (graph("axis = 1", 'axis = __import__("os")'), "not a literal|not a node"),
    "graph_type": (
        graph("float32[batch, 3] = dense", "float32[batch, 4] = dense"),
        "inference.graph cannot be read: dense: ",
    ),
    "graph_huge": (
        graph('dense/kernel": float32[4, 3]', f'dense/kernel": float32[{HUGE}, {HUGE}]'),
        "inference.graph cannot be read: dense: ",
    ),
    "graph_wide": (
        graph('"x": float32[batch, 4]', f'"x": float32[{", ".join("1" * 9999)}]'),
        "inference.graph cannot be read: Line 1: .* is not a tensor type .* of at most 64 dimensions",
    ),
    "graph_regions": (
        entry("inference.graph", b'graph "g"(%0 "x": bool[]) {\n%1: float32[] = cond(%0) {} "c" ([\n' * 200),
        "inference.graph cannot be read: Line 66: graphs are nested more than 32 deep",
    ),
    "graph_other_inputs": (graph('"x": float32[batch, 4]', '"y": float32[batch, 4]'), "different inputs"),
    "graph_trailing": (
        lambda e: entry("training.graph", e["training.graph"] + b"\ngraph")(e),
        "text follows the end",
    ),
    "graph_lines": (entry("training.graph", b"\n" * 2_000_000), "Line 1: expected 'graph"),
    "graphs_swapped": (
        lambda e: {**e, "training.graph": e["inference.graph"], "inference.graph": e["training.graph"]},
        "does not fit|different|no variable",
    ),
    "weights_missing": (
        weights(lambda w: w.pop("dense/kernel")),
        "'dense/kernel' is in the graphs, but has no value",
    ),
    "weights_extra": (
        weights(lambda w: w.update(evil=np.zeros(1, "f4"))),
        "'evil' is in the weights, but no graph uses it",
    ),
    "weights_shape": (
        weights(lambda w: w.update({"dense/bias": np.zeros((4,), "f4")})),
        r"'dense/bias' is float32\[4\]; the graph says float32\[3\]",
    ),
    "weights_dtype": (
        weights(lambda w: w.update({"dense/bias": np.zeros((3,), "f8")})),
        "'dense/bias' is float64",
    ),
    "weights_declared_huge": (
        entry("weights.safetensors", one_array(f"[{HUGE}]", 4 * HUGE)),
        "weights.safetensors cannot be read",
    ),
    "weights_shape_overflow": (
        entry("weights.safetensors", one_array(f"[{HUGE},{HUGE}]", 4, data=bytes(4))),
        "weights.safetensors cannot be read: .*too many dimensions or too large ones",
    ),
    "weights_header_huge": (
        entry("weights.safetensors", struct.pack("<Q", HUGE) + b"{}"),
        f"weights.safetensors cannot be read: it has a header of {HUGE} bytes; at most",
    ),
    **{
        f"weights_{name}": (
            entry("weights.safetensors", content),
            "weights.safetensors cannot be read: .*" + why,
        )
        for name, content, why in (
            ("shape_negative", one_array("[-1]", 4, data=bytes(4)), "has not dtype, shape and data_offsets"),
            ("shape_nan", one_array("[NaN]", 4, data=bytes(4)), "has not dtype, shape and data_offsets"),
            ("shape_float", one_array("[1.0]", 4, data=bytes(4)), "has not dtype, shape and data_offsets"),
            (
                "shape_infinite",
                one_array("[1e999]", 4, data=bytes(4)),
                "has not dtype, shape and data_offsets",
            ),
            ("key_more", one_array('[1],"a":1', 4, data=bytes(4)), "has not dtype, shape and data_offsets"),
            ("gap", two_arrays([0, 4], [8, 12]), "'b' does not begin where the array before it ends"),
            ("overlap", two_arrays([0, 4], [0, 4]), "'b' does not begin where the array before it ends"),
            ("twice", two_arrays([0, 4], [4, 8], second="a"), "'a' is in it twice"),
            ("no_json", header("{'a': 1}"), "its header is not that of safetensors, at byte 1"),
            ("more_text", header("{} {}"), "its header is not that of safetensors"),
            ("header_cut", struct.pack("<Q", 100) + b"{}", "it ends before its header"),
            ("shape_of_nothing", one_array(f"[0,{HUGE},{HUGE}]", 0), "too many dimensions or too large ones"),
            (
                "shape_of_many",
                one_array(f"[{','.join('1' * 9999)}]", 4, data=bytes(4)),
                "what is said of 'a' is too long",
            ),
            ("offset_negative", one_array("[1]", -4), "has not dtype, shape and data_offsets"),
            ("longer", one_array("[1]", 4, data=bytes(5)), "its arrays have 4 bytes; there are 5"),
            ("shorter", one_array("[1]", 4, data=bytes(3)), "its arrays have 4 bytes; there are 3"),
        )
    },
    "weights_of_many_names": (
        entry("weights.safetensors", header("{" + " " * (9 * 2**20) + "}")),
        r"it has a header of \d+ bytes; at most 8388608 are read",
    ),
    "weights_header_deep": (
        entry("weights.safetensors", header("[" * 50_000)),
        "weights.safetensors cannot be read: ",
    ),
    "weights_dtype_unknown": (
        entry("weights.safetensors", one_array("[1]", 1, "F6_E2M3", b"0")),
        "'a' has the dtype F6_E2M3",
    ),
    "weights_pickled": (
        entry("weights.safetensors", pickle.dumps({"a": 1})),
        "weights.safetensors cannot be read: ",
    ),
    "slot_unknown": (
        weights(lambda w: w.update({"dense/kernel/evil": np.zeros((4, 3), "f4")}), "optimizer.safetensors"),
        "optimizer's slot 'dense/kernel/evil' belongs to no weight",
    ),
    "slot_shape": (
        weights(
            lambda w: w.update({"dense/kernel/momentum": np.zeros((3, 4), "f4")}), "optimizer.safetensors"
        ),
        r"optimizer's slot 'dense/kernel/momentum' is float32\[3, 4\]",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_contents(good: bytes, case: str, tmp_path: Path) -> None:
    change, match = CASES[case]
    refuse(tmp_path / "bad.uf", zipped(change(entries_of(good)), zipfile.ZIP_STORED), match)


def test_a_line_of_a_graph_that_would_fill_the_memory(good: bytes, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for text in (b"1, " * 5_000_000, b"1+" * 8_000_000, b"[1]" * 5_000_000, b"(" * 10_000_000):
        change = graph("axis = 1", "axis = MARK")
        entries = change(entries_of(good))
        entries["inference.graph"] = entries["inference.graph"].replace(b"MARK", b"(" + text + b"1)")
        refuse(tmp_path / "wide.uf", zipped(entries, zipfile.ZIP_STORED))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
