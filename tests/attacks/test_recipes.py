"""Recipes with parts of others in the wrong places: an error of ours, with its place, or a model."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.made import build, images
from unifront.errors import UnifrontError
from unifront.recipes import running
from unifront.recipes.text import read, written

ODD: tuple[Any, ...] = (
    None, True, 0, -1, 3, 1.5, 10**30, float("nan"), "", "x", "$classes", "$x", "3 epochs", "relu", [], [1], ["a", None],
    {}, {"name": "adam"}, {"name": 3}, {"a": {"b": 1}}, {"class_name": "Dense", "config": {"units": 3}},
    {"class_name": "__lambda__", "config": {}}, {"class_name": "Dense"}, [[1, 2], [3]], {"inputs": "a"}, "é\x1b[31m",
)  # fmt: skip


def places(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if way:
        yield way
    for key, one in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(one, (*way, key))


def mutated(rng: random.Random, recipes: list[dict[str, Any]]) -> dict[str, Any]:
    data = copy.deepcopy(rng.choice(recipes))
    for _ in range(rng.randint(1, 2)):
        way = rng.choice(list(places(data)))
        parent: Any = data
        for key in way[:-1]:
            parent = parent[key]
        kind = rng.randrange(4)
        if kind == 0:
            other = rng.choice(recipes)
            value: Any = other
            for key in rng.choice(list(places(other))):
                value = value[key]
            parent[way[-1]] = copy.deepcopy(value)
        elif kind == 1 and isinstance(parent, dict):
            parent[str(way[-1])[:-1] + rng.choice("abx")] = parent.pop(way[-1])
        elif kind == 2:
            del parent[way[-1]]
        else:
            parent[way[-1]] = copy.deepcopy(rng.choice(ODD))
    return data


@pytest.mark.parametrize("count", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_mutated_recipes(count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images(tmp_path / "images", {"a": 2, "b": 2})
    recipes = [read(path).data for path in running.shipped().values()]
    for recipe in recipes:
        if "model" in recipe:
            recipe["data"]["image_size"] = 32
    rng = random.Random(count)
    refused = 0
    for _ in range(count):
        text = written(mutated(rng, recipes)) or "{}"
        try:
            build(text)
        except UnifrontError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error}\n{text}") from error
    assert refused > count / 2
