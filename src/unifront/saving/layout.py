"""What a ``.uf`` file tells of a model's layers: which nodes of the graphs their calls are. Data only, as JSON.

layers     [path, class, trainable] of each, outer ones before those inside
weights    [path, trainable by itself] of each
order      what `Model.layers` lists: numbers of layers, or -1, -2 … for the inputs
training   the calls in each graph, in the order in which they begin: [layer, depth, first node, node behind
inference  the last, inputs, their masks, outputs, their masks, losses]; values by their numbers, or null
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unifront.errors import FileFormatError
from unifront.graph_model import LayerInfo, Layout
from unifront.graph_parts import LayerCall
from unifront.ir.graph import Graph, Value
from unifront.layers.input import InputLayer
from unifront.opset.tensor import CONSTANT
from unifront.recording import Recorder, value_number

if TYPE_CHECKING:
    from unifront.model import Model


def dump(model: Model, recorders: Mapping[bool, Recorder], used: Mapping[str, Any]) -> bytes:
    """The layers of ``model`` and their recorded calls, and its weights, which are ``used`` by path."""
    below = list(model.walk())[1:]
    numbers = {id(layer): number for number, (_, layer) in enumerate(below)}
    inputs = {id(tensor.layer): number for number, tensor in enumerate(model.inputs)}
    order = [
        -1 - inputs[id(layer)] if isinstance(layer, InputLayer) else numbers[id(layer)]
        for layer in model.layers
    ]
    paths = model.variable_paths()
    weights = [(paths[id(weight)], weight) for weight in model.weights if paths[id(weight)] in used]
    own = {path for path, _ in weights}
    weights += [(path, used[path]) for path in used if path not in own]  # states that layers keep
    parts: dict[str, Sequence[Any]] = {
        "layers": [
            [path, getattr(layer, "kind", type(layer).__name__), bool(layer.trainable)]
            for path, layer in below
        ],
        "weights": [[path, bool(weight.trainable)] for path, weight in weights],
        "order": order,
        "training": _calls(recorders[True], numbers),
        "inference": _calls(recorders[False], numbers),
    }
    lines = (f"{json.dumps(key)}: [\n{_rows(rows)}\n]" for key, rows in parts.items())
    return ("{\n" + ",\n".join(lines) + "\n}").encode()


def _rows(rows: Sequence[Any]) -> str:
    return ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)


def _calls(recorder: Recorder, layers: Mapping[int, int]) -> list[Any]:
    numbers, before = recorder.numbers()
    rows: list[Any] = []
    around: list[int] = []
    for call in recorder.calls:
        if id(call.layer) not in layers:  # the model itself, or a layer that no attribute holds
            continue
        while around and around[-1] >= call.depth:
            around.pop()
        values = (call.inputs, call.input_masks, call.outputs, call.output_masks, call.losses)
        rows.append(
            [
                layers[id(call.layer)], len(around), before[call.start], before[call.stop],
                *([value_number(numbers, tensor) for tensor in tensors] for tensors in values),
            ]
        )  # fmt: skip
        around.append(call.depth)
    return rows


def parse(text: str, graphs: Mapping[bool, Graph]) -> tuple[Layout, dict[bool, tuple[LayerCall, ...]]]:
    """The layers that ``text`` tells of, and their calls; all of it is checked against the graphs.

    Raises `FileFormatError` for what does not fit, errors of `json` for what is no JSON.
    """
    given = json.loads(text)
    if not isinstance(given, dict) or sorted(given) != [
        "inference",
        "layers",
        "order",
        "training",
        "weights",
    ]:
        raise FileFormatError("it does not tell of layers, weights, order and calls")
    layers = tuple(LayerInfo(*_row(row, (str, str, bool), "layer")) for row in _list(given["layers"]))
    _check_paths(layers)
    weights = dict(_row(row, (str, bool), "weight") for row in _list(given["weights"]))
    known = {seen.name for graph in graphs.values() for seen in graph.variables}
    if weights.keys() != known or len(weights) != len(given["weights"]):
        raise FileFormatError("its weights are not those of the graphs")
    owners = {"", *(info.path for info in layers)}
    for path in weights:
        if path.rpartition("/")[0] not in owners or path.startswith("/") or not path.rpartition("/")[2]:
            raise FileFormatError(f"the weight {path[:80]!r} is in no layer")
    inputs = len(graphs[False].inputs)
    order = _list(given["order"])
    for number in order:
        if type(number) is not int or not -inputs <= number < len(layers):
            raise FileFormatError(f"the order holds {str(number)[:80]}")
        if number >= 0 and "/" in layers[number].path:
            raise FileFormatError(f"{layers[number].path[:80]!r} is not directly in the model")
    if len(set(order)) != len(order):
        raise FileFormatError("the order holds a layer twice")
    calls = {
        training: _parse_calls(_list(given[name]), graphs[training], layers)
        for training, name in ((True, "training"), (False, "inference"))
    }
    return Layout(layers, weights, tuple(order)), calls


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise FileFormatError(f"{str(given)[:80]} is no list")
    return given


def _row(row: Any, types: Sequence[type], what: str) -> tuple[Any, ...]:
    if not isinstance(row, list) or [type(item) for item in row] != list(types):
        raise FileFormatError(f"{str(row)[:80]} is no {what}")
    return tuple(row)


def _check_paths(layers: Sequence[LayerInfo]) -> None:
    """Each layer comes once, has a name, and stands behind the one around it."""
    seen = {""}
    for info in layers:
        around, _, name = info.path.rpartition("/")
        if not name or around not in seen or info.path in seen or info.path.startswith("/"):
            raise FileFormatError(f"the layer {info.path[:80]!r} is in no layer, or there twice")
        seen.add(info.path)


def _parse_calls(rows: Sequence[Any], graph: Graph, layers: Sequence[LayerInfo]) -> tuple[LayerCall, ...]:
    values: dict[Any, Value] = {value.id: value for value in graph.values()}
    work = [node for node in graph.nodes if node.op is not CONSTANT]
    made = {value: number for number, node in enumerate(work) for value in node.outputs}
    found: list[LayerCall] = []
    around: list[LayerCall] = []
    for row in rows:
        number, depth, start, stop, *lists = _row(row, (int, int, int, int, *(list,) * 5), "call")
        del around[depth if depth >= 0 else 0 :]
        outer, last = (0, len(work)) if not around else (around[-1].start, around[-1].stop)
        begun = found[-1].start if found else 0
        if (
            not 0 <= number < len(layers)
            or depth != len(around)
            or not max(outer, begun) <= start <= stop <= last
        ):
            raise FileFormatError(f"{str(row)[:80]} is no call of a layer")
        tensors = [_values(one, values, masks=i in (1, 3)) for i, one in enumerate(lists)]
        call = LayerCall(layers[number].path, depth, start, stop, *tensors)
        _check_call(call, made)
        found.append(call)
        around.append(call)
    for one, other in itertools.pairwise(found):
        if other.depth <= one.depth and other.start < one.stop:
            raise FileFormatError(f"the calls of {one.layer[:80]!r} and {other.layer[:80]!r} overlap")
    return tuple(found)


def _values(numbers: Sequence[Any], values: Mapping[Any, Value], masks: bool) -> Any:
    found: list[Value | None] = []
    for number in numbers:
        if number is None and masks:
            found.append(None)
        elif type(number) is not int or number not in values:
            raise FileFormatError(f"a call has the value {str(number)[:80]}, which its graph has not")
        else:
            found.append(values[number])
    return tuple(found)


def _check_call(call: LayerCall, made: Mapping[Value, int]) -> None:
    """What goes in is there before, what comes out is there behind; masks are masks, losses are scalars."""
    ins, outs = (*call.inputs, *call.input_masks), (*call.outputs, *call.output_masks, *call.losses)
    fits = len(call.inputs) == len(call.input_masks) and len(call.outputs) == len(call.output_masks)
    fits &= all(value is None or made.get(value, -1) < call.start for value in ins)
    fits &= all(value is None or made.get(value, -1) < call.stop for value in outs)
    fits &= all(
        mask is None or mask.type.dtype.name == "bool" for mask in (*call.input_masks, *call.output_masks)
    )
    fits &= all(not loss.type.rank and loss.type.dtype.is_float for loss in call.losses) and bool(
        call.outputs
    )
    if not fits:
        raise FileFormatError(f"a call of {call.layer[:80]!r} does not fit its graph")
