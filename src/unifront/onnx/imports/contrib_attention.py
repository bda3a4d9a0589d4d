"""Attention as ONNX Runtime has it (``com.microsoft``), rotary positions, caches of keys and values.

Masks of ONNX Runtime add a number (``mask_filter_value``) to the products; so they are biases here, and a row of which
nothing counts is what it is there. Source: ONNX Runtime, docs/ContribOperators.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unifront import ops
from unifront.ir.dims import Dim, maximum
from unifront.onnx.imports.node import NEEDED, Node, Row, rank, whole
from unifront.opset.tensor import type_of

# ---------------------------------------------------------------- heads


def heads_apart(node: Node, x: Any, count: int) -> Any:
    """``(batch, time, heads * size)`` as ``(batch, time, heads, size)``."""
    batch, length, width = type_of(x).shape
    if not isinstance(width, int) or count < 1 or width % count:
        node.fail(f"{width} features for {count} heads")
    return ops.reshape(x, (batch, length, count, width // count))


def heads_joined(y: Any) -> Any:
    """The other way."""
    batch, length, heads, size = type_of(y).shape
    return ops.reshape(y, (batch, length, heads * size))


def exchanged(x: Any) -> Any:
    """The axes of time and of heads in each other's place."""
    return ops.transpose(x, (0, 2, 1, 3))


def _factor(node: Node, query: Any) -> float:
    size = whole(node, type_of(query).shape[-1], "the size of a head")
    return float(node["scale"]) or 1 / math.sqrt(size)  # 0: it is not given


# ---------------------------------------------------------------- masks


def _mask_bias(node: Node, mask: Any, batch: Dim, sources: Dim) -> Any:
    """What a mask adds to the products ``(batch, heads, target, source)``; of any of the forms that it may have."""
    count, shape = rank(mask), type_of(mask).shape
    if count == 1:  # where the padding begins, and where what is before it ends
        place = ops.iota((1, sources), 1, "int32", like=mask)
        if shape[0] == batch:
            counts = ops.less(place, ops.expand_dims(mask, 1))
        elif shape[0] == 2 * batch:
            ends, starts = ops.split(mask, 2, 0)
            counts = ops.logical_and(
                ops.less(place, ops.expand_dims(ends, 1)),
                ops.greater_equal(place, ops.expand_dims(starts, 1)),
            )
        else:
            node.fail(f"a mask {shape} for a batch of {batch}: neither ends nor ends and starts")
    elif count in (2, 3):
        counts = ops.greater(mask, 0)
    else:
        node.fail("a mask of 4 axes, which the kernels of ONNX Runtime for CPUs do not take either")
    counts = ops.expand_dims(counts, (1, 2) if count < 3 else 1)
    return ops.where(counts, np.float32(0), np.float32(node["mask_filter_value"]))


def _earlier(like: Any, targets: Dim, sources: Dim, before: Any) -> Any:
    """Whether a source is none after the target, which stands ``before`` places further on."""
    place = ops.add(ops.iota((targets, 1), 0, "int32", like=like), before)
    return ops.less_equal(ops.iota((1, sources), 1, "int32", like=like), place)


def _biased(query: Any, *biases: Any) -> Any:
    """The sum of what is there of biases."""
    total: Any = None
    for bias in biases:
        if bias is not None:
            bias = ops.cast(bias, type_of(query).dtype)
            total = bias if total is None else ops.add(total, bias)
    return total


def _attended(node: Node, query: Any, key: Any, value: Any, bias: Any, before: Dim | None) -> Any:
    """Attention over ``(batch, time, heads, size)``; ``before``: how many sources precede the first target."""
    causal = node["unidirectional"] == 1
    targets, sources = type_of(query).shape[1], type_of(key).shape[1]
    mask = None
    if causal and before is not None:
        shift = ops.full((), before, "int32", like=query)
        mask, causal = _earlier(query, targets, sources, shift), False
    return ops.dot_product_attention(
        query, key, value, bias, mask, scale=_factor(node, query), is_causal=causal
    )


# ---------------------------------------------------------------- Attention, MultiHeadAttention


def _attention(
    node: Node, x: Any, weights: Any, bias: Any = None, mask: Any = None, past: Any = None, extra: Any = None,
    length: Any = None,
) -> Any:  # fmt: skip
    kernel = node.weight(weights)
    return projected_attention(
        node, ops.dense(x, kernel, None if bias is None else node.weight(bias)), mask, past, extra, length
    )


def projected_attention(node: Node, qkv: Any, mask: Any, past: Any, extra: Any, length: Any) -> Any:
    """Attention from queries, keys and values side by side ``(batch, time, features)``."""
    for name in ("do_rotary", "past_present_share_buffer"):
        if node.get(name, 0):
            node.fail(f"{name}, which the kernels of ONNX Runtime for CPUs do not have either")
    if length is not None:
        node.fail("the operand past_sequence_length is for buffers that are shared, and there are none here")
    width = type_of(qkv).shape[-1]
    sizes = tuple(node.get("qkv_hidden_sizes", None) or (width // 3,) * 3)
    if len(sizes) != 3 or sum(sizes) != width:
        node.fail(f"{width} features are not {sizes} ones of queries, keys and values")
    query, key, value = (
        heads_apart(node, part, node["num_heads"])
        for part in ops.split(qkv, (sizes[0], sizes[0] + sizes[1]), -1)
    )
    before = None
    if past is not None:
        old_key, old_value = (exchanged(ops.get_item(past, i)) for i in range(2))
        before = type_of(old_key).shape[1]
        key, value = ops.concatenate([old_key, key], 1), ops.concatenate([old_value, value], 1)
    batch, sources = type_of(query).shape[0], type_of(key).shape[1]
    own = None if mask is None else _mask_bias(node, mask, batch, sources)
    y = heads_joined(_attended(node, query, key, value, _biased(query, own, extra), before))
    if not node.wants(1):
        return y
    return y, ops.stack([exchanged(key), exchanged(value)], 0)


def _multi_head(
    node: Node, query: Any, key: Any = None, value: Any = None, bias: Any = None, padding: Any = None,
    extra: Any = None, past_key: Any = None, past_value: Any = None, length: Any = None, indirection: Any = None,
) -> Any:  # fmt: skip
    if length is not None or indirection is not None:
        node.fail("buffers that are shared, and beams that are taken from them: there are none here")
    if node.wants(3):
        node.fail("its fourth result, the products of queries and keys, is not given")
    query, key, value = _parts(node, query, key, value, bias)
    before = None
    if past_key is not None and past_value is not None:
        before = type_of(past_key).shape[2]
        key = ops.concatenate([exchanged(past_key), key], 1)
        value = ops.concatenate([exchanged(past_value), value], 1)
    batch, sources = type_of(query).shape[0], type_of(key).shape[1]
    own = None if padding is None else _mask_bias(node, padding, batch, sources)
    y = heads_joined(_attended(node, query, key, value, _biased(query, own, extra), before))
    return (y, exchanged(key), exchanged(value)) if node.wants(1) or node.wants(2) else y


def _parts(node: Node, query: Any, key: Any, value: Any, bias: Any) -> tuple[Any, Any, Any]:
    """Queries, keys and values ``(batch, time, heads, size)``, from the forms in which they may come."""
    count = node["num_heads"]
    if rank(query) == 5:  # (batch, time, heads, 3, size)
        parts = [ops.get_item(query, (slice(None), slice(None), slice(None), i)) for i in range(3)]
    elif key is None:
        return node.fail("queries without keys")
    elif rank(key) == 5:  # (batch, time, heads, 2, size)
        both = [ops.get_item(key, (slice(None), slice(None), slice(None), i)) for i in range(2)]
        parts = [heads_apart(node, query, count), *both]
    elif rank(key) == 4:  # (batch, heads, time, size)
        if bias is not None:
            node.fail("a bias of keys that are projected already")
        parts = [heads_apart(node, query, count), exchanged(key), exchanged(value)]
    else:
        parts = [heads_apart(node, one, count) for one in (query, key, value)]
    if bias is not None:
        sizes = [math.prod(type_of(part).shape[2:]) for part in parts]
        own = ops.split(node.weight(bias), (sizes[0], sizes[0] + sizes[1]), 0)
        parts = [
            ops.add(part, ops.reshape(one, type_of(part).shape[2:]))
            for part, one in zip(parts, own, strict=True)
        ]
    return parts[0], parts[1], parts[2]


# ---------------------------------------------------------------- rotary positions


def rotated(x: Any, cosine: Any, sine: Any, *, interleaved: bool) -> Any:
    """The first features of ``x[batch, time, heads, size]``, turned by angles ``[batch, time, pairs]``.

    Source: Su et al. 2021.
    """
    pairs, size = type_of(cosine).shape[-1], type_of(x).shape[-1]
    turned, rest = ops.split(x, (2 * pairs,), -1) if size != 2 * pairs else (x, None)
    cosine, sine = (ops.expand_dims(one, 2) for one in (cosine, sine))
    if interleaved:
        halves = ops.reshape(turned, (*type_of(turned).shape[:-1], pairs, 2))
        real, imaginary = (ops.get_item(halves, (..., i)) for i in range(2))
    else:
        real, imaginary = ops.split(turned, 2, -1)
    new = (
        ops.subtract(ops.multiply(real, cosine), ops.multiply(imaginary, sine)),
        ops.add(ops.multiply(real, sine), ops.multiply(imaginary, cosine)),
    )
    joined = (
        ops.reshape(ops.stack(new, -1), type_of(turned).shape) if interleaved else ops.concatenate(new, -1)
    )
    return joined if rest is None else ops.concatenate([joined, rest], -1)


def _rotary(node: Node, x: Any, places: Any, cosine: Any, sine: Any) -> Any:
    if node["is_packed_batching"]:
        node.fail("batches that are packed")
    pairs = whole(node, type_of(cosine).shape[-1], "the number of angles")
    shape = type_of(x).shape
    if rank(x) == 4:
        heads = exchanged(x)
    else:
        width = whole(node, shape[-1], "the number of features")
        count = node["num_heads"] if node["rotary_embedding_dim"] else width // (2 * pairs)
        heads = heads_apart(node, x, count)
    if type_of(places).shape == (1,):
        places = ops.add(
            ops.cast(places, "int32"), ops.iota((1, type_of(heads).shape[1]), 1, "int32", like=heads)
        )
    angles = (ops.take(table, places, 0) for table in (cosine, sine))
    y = rotated(heads, *angles, interleaved=bool(node["interleaved"]))
    if node["scale"] != 1:
        y = ops.multiply(y, node["scale"])
    return exchanged(y) if rank(x) == 4 else ops.reshape(y, shape)


# ---------------------------------------------------------------- GroupQueryAttention

_NOT_THERE = ("head_sink", "k_scale", "v_scale", "q_norm_weight", "k_norm_weight")
"""The operands behind attention_bias; of these the first is taken."""


def _grouped(
    node: Node, query: Any, key: Any, value: Any, past_key: Any, past_value: Any, ends: Any, total: tuple[Dim, ...],
    cosine: Any = None, sine: Any = None, places: Any = None, extra: Any = None, sink: Any = None, *others: Any,
) -> Any:  # fmt: skip
    _refused(node, others)
    query, key, value = _grouped_parts(node, query, key, value)
    targets, before = type_of(query).shape[1], None
    if past_key is not None:  # how many sources each sequence has before what is new: none in the first call
        whole, new = (ops.full((), dim, "int32", like=query) for dim in (total[0], targets))
        before = ops.where(ops.equal(whole, new), np.int32(0), ops.subtract(ops.add(ends, np.int32(1)), new))
    if node["do_rotary"]:
        query, key = _placed(node, query, key, before, cosine, sine, places)
    if past_key is not None:
        sources = maximum(type_of(past_key).shape[2], total[0])
        key, value = (
            _cached(exchanged(past), new, before, sources)
            for past, new in ((past_key, key), (past_value, value))
        )
    y = heads_joined(_grouped_attended(node, query, key, value, before, ends, extra, sink))
    return (y, exchanged(key), exchanged(value)) if node.wants(1) or node.wants(2) else y


def _refused(node: Node, others: tuple[Any, ...]) -> None:
    for name, operand in zip(_NOT_THERE[1:], others, strict=False):
        if operand is not None:
            node.fail(
                f"the operand {name}, which the kernels of ONNX Runtime for CPUs do not take in every form"
            )
    for name in ("qk_output", "sliding_window_cache"):
        if node[name]:
            node.fail(f"{name} is not there")
    if node["k_quant_type"] != "NONE" or node["v_quant_type"] != "NONE":
        node.fail("a cache that is quantized")
    if node.wants(3):
        node.fail("its fourth result, the products of queries and keys, is not given")


def _grouped_parts(node: Node, query: Any, key: Any, value: Any) -> tuple[Any, Any, Any]:
    many, few = node["num_heads"], node["kv_num_heads"]
    if min(many, few) < 1:
        node.fail(f"{many} heads of queries and {few} of keys")
    if key is None:  # side by side
        size = type_of(query).shape[-1] // (many + 2 * few)
        query, key, value = ops.split(query, (many * size, (many + few) * size), -1)
    return heads_apart(node, query, many), heads_apart(node, key, few), heads_apart(node, value, few)


def _placed(
    node: Node, query: Any, key: Any, before: Any, cosine: Any, sine: Any, places: Any
) -> tuple[Any, Any]:
    """Queries and keys turned as their places say."""
    if cosine is None or sine is None:
        node.fail("do_rotary without the tables of cosines and sines")
    if places is None:
        places = ops.iota((1, type_of(query).shape[1]), 1, "int32", like=query)
        if before is not None:
            places = ops.add(places, ops.expand_dims(before, 1))
    angles = [ops.take(table, places, 0) for table in (cosine, sine)]
    interleaved = bool(node["rotary_interleaved"])
    return (
        rotated(query, *angles, interleaved=interleaved),
        rotated(key, *angles, interleaved=interleaved),
    )


def _cached(old: Any, new: Any, before: Any, sources: Dim) -> Any:
    """``sources`` places: of each sequence the first ``before`` old ones, and then the new ones."""
    room, more = type_of(old).shape[1], type_of(new).shape[1]
    place = ops.iota((1, sources), 1, "int32", like=new)
    own = ops.expand_dims(before, 1)
    behind = ops.add(ops.subtract(place, own), ops.full((), room, "int32", like=new))
    last = ops.full((), room + more - 1, "int32", like=new)
    at = ops.minimum(ops.where(ops.less(place, own), place, behind), last)
    both = ops.concatenate([old, new], 1)
    found = ops.take_along_axis(both, ops.expand_dims(at, (2, 3)), 1)
    filled = ops.less(ops.subtract(place, own), ops.full((), more, "int32", like=new))
    return ops.where(ops.expand_dims(filled, (2, 3)), found, ops.zeros_like(found))


def _grouped_attended(
    node: Node, query: Any, key: Any, value: Any, before: Any, ends: Any, extra: Any, sink: Any
) -> Any:
    targets, sources = type_of(query).shape[1], type_of(key).shape[1]
    window, cap = node["local_window_size"], node["softcap"]
    bias = _biased(query, extra)
    causal = bool(node["causal"])
    plain = not cap and sink is None and node["smooth_softmax"] != 1
    if plain and before is None and causal and window < 0:
        return ops.dot_product_attention(query, key, value, bias, scale=_factor(node, query), is_causal=True)
    shift = np.zeros(1, np.int32) if before is None else before
    shift = ops.reshape(shift, (-1, 1, 1))
    counts = _earlier(query, targets, sources, shift)
    if not causal:
        place = ops.iota((1, 1, sources), 2, "int32", like=query)
        counts = ops.less_equal(place, ops.reshape(ends, (-1, 1, 1)))
    elif window > 0:
        counts = ops.logical_and(
            counts, ops.logical_not(_earlier(query, targets, sources, ops.subtract(shift, window)))
        )
    counts = ops.expand_dims(counts, 1)
    if plain:
        return ops.dot_product_attention(query, key, value, bias, counts, scale=_factor(node, query))
    if sink is None and node["smooth_softmax"] == 1:
        sink = np.zeros(node["num_heads"], np.float32)
    group = node["num_heads"] // node["kv_num_heads"]
    key, value = (ops.repeat(one, group, 2) if group > 1 else one for one in (key, value))
    return _written_out(query, key, value, bias, counts, _factor(node, query), cap, sink)


def _written_out(
    query: Any, key: Any, value: Any, bias: Any, counts: Any, scale: float, cap: float, sink: Any
) -> Any:
    """Attention of which the products are bounded, or which may go to nothing (``sink``: a logit for each head)."""
    dtype = type_of(query).dtype
    logits = ops.multiply(ops.einsum("btnh,bsnh->bnts", query, key), scale)
    if cap:
        logits = ops.multiply(ops.tanh(ops.divide(logits, cap)), cap)
    if bias is not None:
        logits = ops.add(logits, bias)
    logits = ops.where(counts, logits, np.asarray(-np.inf, dtype.numpy))
    if sink is None:
        weights = ops.softmax(logits, -1)
    else:
        own = ops.reshape(ops.cast(sink, dtype), (1, -1, 1, 1))
        most = ops.maximum(ops.max(logits, -1, True), own)
        powers = ops.exp(ops.subtract(logits, most))
        total = ops.add(ops.sum(powers, -1, True), ops.exp(ops.subtract(own, most)))
        weights = ops.divide(powers, total)
    return ops.einsum("bnts,bsnh->btnh", weights, value)


ATTENTION = {
    "do_rotary": 0, "mask_filter_value": -10000.0, "num_heads": NEEDED, "past_present_share_buffer": 0, "scale": 0.0,
    "unidirectional": 0,
}  # fmt: skip
"""The attributes that all forms of Attention have."""
_GROUPED = {
    "causal": 1, "do_rotary": 0, "k_quant_type": "NONE", "kv_cache_bit_width": 0, "kv_num_heads": NEEDED,
    "local_window_size": -1, "num_heads": NEEDED, "qk_norm_epsilon": 1e-6, "qk_output": 0, "rotary_interleaved": 0,
    "scale": 0.0, "sliding_window_cache": 0, "smooth_softmax": -1, "softcap": 0.0, "v_quant_type": "NONE",
}  # fmt: skip
TABLE_OF = {
    "com.microsoft": {
        "Attention": Row(
            _attention,
            weights=(1, 2),
            attributes={**ATTENTION, "qkv_hidden_sizes": None, "rotary_embedding_dim": 0},
        ),
        "MultiHeadAttention": Row(
            _multi_head,
            weights=(3,),
            attributes={
                "mask_filter_value": -10000.0, "num_heads": NEEDED, "scale": 0.0, "unidirectional": 0,
            },
        ),
        "GroupQueryAttention": Row(_grouped, sizes=(6,), state=(7, 8), attributes=_GROUPED),
        "RotaryEmbedding": Row(
            _rotary,
            state=(2, 3),
            attributes={
                "interleaved": 0, "is_packed_batching": 0, "num_heads": 0, "rotary_embedding_dim": 0, "scale": 1.0,
            },
        ),
    }
}  # fmt: skip
UNSUPPORTED = {
    ("com.microsoft", name): why
    for names, why in (
        (
            ("BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"),
            "it generates texts in a loop of its own, around a decoder that is a graph inside it",
        ),
        (
            (
                "PackedAttention",
                "PackedMultiHeadAttention",
                "RemovePadding",
                "RestorePadding",
                "PagedAttention",
            ),
            "it works on sequences without padding, one behind the other, and runs on CUDA only",
        ),
        (
            ("DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention", "DecoderAttention"),
            "it writes into a cache that it shares with the model's output",
        ),
        (("MoE", "QMoE"), "its experts are chosen and run by kernels of ONNX Runtime alone"),
        (("SparseAttention", "LongformerAttention"), "its blocks are laid out for a kernel of CUDA"),
    )
    for name in names
}
