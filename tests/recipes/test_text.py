"""Recipes as text: plain data with lines, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from unifront.errors import ArgumentError, FileFormatError
from unifront.recipes.text import MOST_BYTES, Text, of_text, read, written


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("1", 1), ("-7", -7), ("0x10", 16), ("0o17", 15), ("1e-3", 0.001), ("1.5", 1.5), (".5", 0.5), ("2.", 2.0),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("-.inf", float("-inf")),
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("1:30", "1:30"), ("2020-01-01", "2020-01-01"), ("'1'", "1"),
        ('"true"', "true"), ("1_000", "1_000"), ("a b", "a b"), ("[1, a]", [1, "a"]), ("{a: 1e3}", {"a": 1000.0}),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: Any) -> None:
    found = of_text(f"key: {scalar}").data["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_knows_its_line() -> None:
    text = of_text("model:\n  zoo: mlp\nlayers:\n  - Dense: 3\n  - Dense:\n      units: 4\n")
    for key, line in (
        (("model",), 1), (("model", "zoo"), 2), (("layers",), 3), (("layers", 0), 4), (("layers", 0, "Dense"), 4),
        (("layers", 1, "Dense", "units"), 6),
    ):  # fmt: skip
        assert str(text.error(key, "no.")) == f"recipe:{line}: {'.'.join(map(str, key))}: no."
    assert str(text.error(("model", "zoo", "more"), "no.")).startswith("recipe:2: model.zoo.more")
    assert str(text.error((), "no.")) == "recipe:1: no."


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("a: &x 1\nb: *x", r"r:1: anchors and aliases"),
        ("a: 1\nb: *x", r"r:2: anchors and aliases"),
        ("a: !!python/object:os.system ls", r"r:1: tags \(tag:yaml.org,2002:python/object:os.system\)"),
        ("a: 1\n\na: 2", r"r:3: a: this key stands twice"),
        ("a: {b: 1, b: 2}", r"r:1: a.b: this key stands twice"),
        ("a: 1\n---\nb: 2", r"r:2: a second document"),
        ("a: [1, 2", r"r:1: this is no YAML: .*expected ',' or '\]'"),
        ("a:\n\t- b", r"r:2: this is no YAML"),
        ("a: \x00", r"r: this is no YAML"),
        ("[" * 60 + "]" * 60, r"r:1: values lie more than 40 deep"),
        ("? [a]\n: 1", r"r:1: a key is a text"),
        ("- a", r"r: a recipe is made of keys and values"),
        ("", r"r is empty"),
        ("# only this", r"r is empty"),
    ],
)
def test_what_is_more_than_plain_data_is_refused(text: str, match: str) -> None:
    with pytest.raises(FileFormatError, match=match):
        of_text(text, "r")


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_bytes(b"a: \xff")
    with pytest.raises(FileFormatError, match=r"r\.yaml is no text in UTF-8: .* at byte 3"):
        read(file)
    file.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(FileFormatError, match=r"bytes; a recipe has 262,144 at most"):
        read(file)
    with pytest.raises(FileFormatError, match="there is no such file"):
        read(tmp_path / "none.yaml")
    file.write_text("a: 1", encoding="utf-8")
    assert read(file).data == {"a": 1}


def override(text: str, *given: str) -> Text:
    found = of_text(text)
    for one in given:
        found.override(one)
    return found


@pytest.mark.parametrize(
    ("text", "given", "data"),
    [
        ("a: 1", "a=2", {"a": 2}),
        ("a: 1", "b.c=[1, 2]", {"a": 1, "b": {"c": [1, 2]}}),
        ("model: mlp", "model.classes=5", {"model": {"zoo": "mlp", "classes": 5}}),
        (
            "optimizer: sgd",
            "optimizer.learning_rate=1e-2",
            {"optimizer": {"name": "sgd", "learning_rate": 0.01}},
        ),
        ("optimizer: {name: sgd, momentum: 0.9}", "optimizer=adam", {"optimizer": "adam"}),
        ("layers: [{Dense: 3}]", "layers.0.Dense=4", {"layers": [{"Dense": 4}]}),
        ("a: null", "a.b=x=y", {"a": {"b": "x=y"}}),
        ("a: 1", "a=", {"a": ""}),
    ],
)
def test_overrides(text: str, given: str, data: Any) -> None:
    found = override(text, given)
    assert found.data == data
    last = tuple(int(part) if part.isdigit() else part for part in given.partition("=")[0].split("."))
    assert str(found.error(last, "no.")).startswith(f"override {given!r}: ")


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("epochs", "'epochs' is no override; one looks like model.classes=5"),
        ("a..b=1", "is no override"),
        ("=1", "is no override"),
        ("a.b=1", r"override 'a.b=1': a is 1, without keys"),
        ("c.5=1", r"override 'c.5=1': c has 1 items"),
        ("c.x=1", r"override 'c.x=1': c has 1 items"),
        ("a=[1", r"override 'a=\[1':1: this is no YAML"),
        ("a=*x", r"anchors and aliases"),
    ],
)
def test_overrides_that_are_none(given: str, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        override("a: 1\nc: [1]", given)


def test_what_is_written_reads_the_same() -> None:
    data = {
        "name": "é",
        "yes": "no",
        "a": [1, 2.5, None, True, {"b": "1"}],
        "text": "0x10",
        "date": "1:30",
        "more": ["0o17", "1e-3", "", "a: b"],
    }
    assert of_text(written(data)).data == data
    assert re.match(r"name: é\n", written(data))
