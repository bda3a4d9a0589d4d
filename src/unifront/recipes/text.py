"""Recipes as text: YAML that is plain data, of which every value knows its line.

The core schema of YAML 1.2 is read: ``yes`` and ``1:30`` are texts, ``1e-3`` is a number. Tags, anchors and aliases are
refused, as are keys that stand twice; size and depth have bounds, so that a small file cannot cost much.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from unifront.errors import ArgumentError, FileFormatError
from unifront.files import existing

Key = tuple[str | int, ...]
"""The way to a value: ``("layers", 0, "Conv2D", "filters")``."""

MOST_BYTES = 256 * 1024
DEEPEST = 40
SHORT = {"model": "zoo", "optimizer": "name", "loss": "name", "schedule": "name"}
"""Sections that a text alone may stand for, and what it is then."""
_SCALARS: tuple[tuple[str, Callable[[str], Any]], ...] = (
    (r"~|null|Null|NULL|", lambda text: None),
    (r"true|True|TRUE", lambda text: True),
    (r"false|False|FALSE", lambda text: False),
    (r"[-+]?[0-9]+", int),
    (r"0x[0-9a-fA-F]+", lambda text: int(text, 16)),
    (r"0o[0-7]+", lambda text: int(text[2:], 8)),
    (r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", float),
    (r"[-+]?\.(inf|Inf|INF)", lambda text: float(text.replace(".", ""))),
    (r"\.(nan|NaN|NAN)", lambda text: float("nan")),
)
"""What plain scalars mean (YAML 1.2, 10.3.2)."""


def dotted(key: Iterable[str | int]) -> str:
    """``layers.0.Conv2D.filters``."""
    return ".".join(map(str, key))


@dataclass
class Text:
    """A recipe as plain data, and where in the file each value is.

    Args:
        name: of the file, as errors say it.
        data: what is in it.
        places: the line of each key and value; of one that was given beside the file, what was given.
    """

    name: str
    data: dict[str, Any]
    places: dict[Key, str] = field(default_factory=dict)

    def error(self, key: Iterable[str | int], message: str) -> ArgumentError:
        """The error that ``message`` says of the value at ``key``, with file, line and key."""
        key = tuple(key)
        known = next((key[:n] for n in range(len(key), 0, -1) if key[:n] in self.places), ())
        place = self.places.get(known, self.name)
        return ArgumentError(f"{place}: {dotted(key)}: {message}" if key else f"{place}: {message}")

    def unknown(self, key: Iterable[str | int], known: Iterable[str]) -> ArgumentError:
        """The error for a key that is none of those ``known``."""
        *_, last = key = tuple(key)
        names = list(dict.fromkeys(known))
        close = get_close_matches(str(last), names, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names)}."
        return self.error(key, f"unknown key. {hint}")

    def override(self, given: str) -> None:
        """Take over ``model.classes=5``, whose value is YAML too.

        Raises `ArgumentError` for what has no such form, or leads through a value that has no keys.
        """
        left, equals, right = given.partition("=")
        keys = [int(part) if part.isdigit() else part for part in left.strip().split(".")]
        if not equals or not all(str(part) for part in keys):
            raise ArgumentError(f"{given!r} is no override; one looks like model.classes=5.")
        if len(keys) == 1 and isinstance(self.data.get(str(keys[0])), dict) and keys[0] in SHORT:
            value = _value(right, given)
            if isinstance(value, str):  # another optimizer, with options of its own
                self._set(self.data, (keys[0],), value, given)
                return
        self._set(self.data, tuple(keys), _value(right, given), given)

    def _set(self, data: Any, keys: Key, value: Any, given: str) -> None:
        place: Any = data
        for depth, key in enumerate(keys):
            path = keys[: depth + 1]
            last = depth + 1 == len(keys)
            if isinstance(place, list):
                if not isinstance(key, int) or key >= len(place):
                    raise ArgumentError(f"override {given!r}: {dotted(keys[:depth])} has {len(place)} items.")
            elif not isinstance(place, dict):
                raise ArgumentError(f"override {given!r}: {dotted(keys[:depth])} is {place!r}, without keys.")
            else:
                key = str(key)
            if last:
                self.places = {
                    one: at for one, at in self.places.items() if one[: len(path)] != path
                } | dict.fromkeys(_keys_of(value, path), f"override {given!r}")
                place[key] = value
                return
            if isinstance(place, dict):
                inner = place.get(key)
                if depth == 0 and key in SHORT and isinstance(inner, str):
                    place[key] = {SHORT[key]: inner}
                elif inner is None:
                    place[key] = {}
                self.places.setdefault(path, f"override {given!r}")
            place = place[key]


def _keys_of(value: Any, key: Key) -> Iterable[Key]:
    yield key
    inner: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, one in inner:
        yield from _keys_of(one, (*key, name))


def _value(text: str, given: str) -> Any:
    try:
        return _read(f"value: {text}" if text.strip() else "value: ''", f"override {given!r}").data["value"]
    except FileFormatError as error:
        raise ArgumentError(str(error)) from None


# ---------------------------------------------------------------- reading


def read(path: str | Path) -> Text:
    """The recipe in a file. Raises `FileFormatError` for one that is no YAML, or more than plain data."""
    path = existing(path)
    if path.stat().st_size > MOST_BYTES:
        raise FileFormatError(
            f"{path} has {path.stat().st_size:,} bytes; a recipe has {MOST_BYTES:,} at most."
        )
    try:
        return _read(path.read_bytes().decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path} is no text in UTF-8: {error.reason} at byte {error.start}.") from None


def of_text(text: str, name: str = "recipe") -> Text:
    """The recipe that a text is."""
    return _read(text, name)


def written(data: Mapping[str, Any]) -> str:
    """Plain data as YAML."""
    yaml = _yaml()

    base: type = yaml.SafeDumper
    dumper: Any = type("Dumper", (base,), {})  # of its own: what is added to it is added nowhere else

    def text(writer: Any, value: str) -> Any:  # what would be read as something else is quoted
        style = None if isinstance(_scalar(value), str) else "'"
        return writer.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    dumper.add_representer(str, text)
    return str(yaml.dump(dict(data), Dumper=dumper, sort_keys=False, allow_unicode=True, width=100))


def _yaml() -> Any:
    try:
        return importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise ArgumentError(
            'Recipes are read by PyYAML, which is not installed: pip install "unifront[recipes]"'
        ) from None


def _read(text: str, name: str) -> Text:
    yaml = _yaml()
    try:
        _check_events(yaml, text, name)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}" if mark else name
        what = ": ".join(part for part in (error.context, error.problem) if part)
        raise FileFormatError(f"{place}: this is no YAML: {what}.") from None
    except yaml.YAMLError as error:
        raise FileFormatError(f"{name}: this is no YAML: {error}.") from None
    found = Text(name, {})
    if root is None:
        raise FileFormatError(f"{name} is empty.")
    data = _plain(yaml, root, (), found)
    if not isinstance(data, dict):
        raise FileFormatError(f"{name}: a recipe is made of keys and values (epochs: 5), not {data!r}.")
    found.data = data
    return found


def _check_events(yaml: Any, text: str, name: str) -> None:
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        place = f"{name}:{event.start_mark.line + 1}"
        if getattr(event, "anchor", None) is not None:
            raise FileFormatError(f"{place}: anchors and aliases (& and *) are not taken in a recipe.")
        if getattr(event, "tag", None) is not None:
            raise FileFormatError(
                f"{place}: tags ({event.tag}) are not taken in a recipe, which is plain data."
            )
        documents += isinstance(event, yaml.DocumentStartEvent)
        if documents > 1:
            raise FileFormatError(f"{place}: a second document begins; a recipe is one.")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise FileFormatError(f"{place}: values lie more than {DEEPEST} deep in each other.")


def _plain(yaml: Any, node: Any, key: Key, found: Text) -> Any:
    found.places.setdefault(key, f"{found.name}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node.value) if node.style is None else node.value
    if isinstance(node, yaml.SequenceNode):
        return [_plain(yaml, one, (*key, i), found) for i, one in enumerate(node.value)]
    data: dict[str, Any] = {}
    for name_node, inner in node.value:
        place = f"{found.name}:{name_node.start_mark.line + 1}"
        if not isinstance(name_node, yaml.ScalarNode):
            raise FileFormatError(f"{place}: a key is a text.")
        name = name_node.value
        if name in data:
            raise FileFormatError(f"{place}: {dotted((*key, name))}: this key stands twice.")
        found.places[*key, name] = place
        data[name] = _plain(yaml, inner, (*key, name), found)
    return data


def _scalar(text: str) -> Any:
    for pattern, make in _SCALARS:
        if re.fullmatch(pattern, text):
            return make(text)
    return text
