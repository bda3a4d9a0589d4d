"""Strings, which only the host works with: what they come to is known when the model is imported."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np

from unifront.onnx.imports.node import Node, Row
from unifront.onnx.imports.values import Value, is_strings


def _text(node: Node, value: Value) -> np.ndarray:
    if not is_strings(value):
        node.fail("strings are needed")
    return np.asarray(value, object)


def _strings(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), object)
    array[:] = values
    return array.reshape(shape)


def _concat(node: Node, x: Value, y: Value) -> Value:
    a, b = _text(node, x), _text(node, y)
    node.room(math.prod(np.broadcast_shapes(a.shape, b.shape)))
    a, b = np.broadcast_arrays(a, b)
    node.room(sum(map(len, a.flat)) + sum(map(len, b.flat)))
    return _strings([one + other for one, other in zip(a.flat, b.flat, strict=True)], a.shape)


def _split(node: Node, x: Value) -> Value:
    """Each string's parts, along a new axis, and how many there are."""
    texts = _text(node, x)
    limit = -1 if node["maxsplit"] is None else node["maxsplit"]
    parts = [text.split(node["delimiter"] or None, limit) for text in texts.flat]
    longest = max(map(len, parts), default=0)
    node.room(len(parts) * longest)
    rows = _strings(
        [one for row in parts for one in (*row, *[""] * (longest - len(row)))], (*texts.shape, longest)
    )
    return rows, np.asarray([len(row) for row in parts], np.int64).reshape(texts.shape)


CLOSE = 32
"""Repetitions, of which so many may be counted as one step."""


def _endless(pattern: Any, inside: bool = False) -> int | None:
    """How many repetitions without a close end a pattern has, by which matching goes back and forth; None for one
    inside of another, which may take for ever. (ONNX means RE2, which never goes back.)"""
    count = 0
    for kind, what in pattern:
        name = str(kind)
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            low, high, body = what
            inner = _endless(body, inside or high > 1)
            if inner is None or (high > low and inside):
                return None
            count += inner + (high - low > CLOSE)
        elif name == "BRANCH":
            inners = [_endless(one, inside) for one in what[1]]
            if inside or None in inners:
                return None
            count += sum(one for one in inners if one is not None)
        elif name == "SUBPATTERN":
            inner = _endless(what[-1], inside)
            if inner is None:
                return None
            count += inner
        elif name.startswith(("GROUPREF", "ASSERT", "ATOMIC")):
            return None
    return count


def _full_match(node: Node, x: Value) -> Value:
    texts = _text(node, x)
    try:
        pattern = re.compile(node["pattern"])
    except re.error as error:
        node.fail(f"the pattern {node['pattern'][:80]!r} is none: {error}")
    repeats = _endless(re._parser.parse(node["pattern"]))  # type: ignore[attr-defined]  # stubs hide it
    if repeats is None:
        node.fail(f"the pattern {node['pattern'][:80]!r} repeats what repeats, or what may match in two ways")
    for text in texts.flat:
        node.room(max(len(text), 1) ** repeats)
    return np.asarray([pattern.fullmatch(text) is not None for text in texts.flat], bool).reshape(texts.shape)


def _plain(text: str) -> str:
    """Without accents."""
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


def _normalize(node: Node, x: Value) -> Value:
    """A vector of strings (or one row of them) without stop words, in one case."""
    texts = _text(node, x)
    cases: dict[str, Callable[[str], str]] = {"LOWER": str.lower, "UPPER": str.upper, "NONE": str}
    change = cases[node["case_change_action"]]
    stops = set(node["stopwords"] or ())
    if node["is_case_sensitive"]:
        kept = [text for text in texts.flat if text not in stops]
    else:
        low = {one.lower() for one in stops}
        kept = [text for text in texts.flat if text.lower() not in low]
    found = [change(_plain(text)) for text in kept if text] or [""]
    return _strings(found, (len(found),) if texts.ndim == 1 else (1, len(found)))


TABLE = {
    "StringConcat": Row(_concat, raw=True),
    "StringSplit": Row(_split, raw=True),
    "RegexFullMatch": Row(_full_match, raw=True),
    "StringNormalizer": Row(_normalize, raw=True),
}
