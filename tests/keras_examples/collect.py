"""What examples the docstrings of the installed Keras hold: printed as JSON, one list of blocks for each docstring.

    KERAS_BACKEND=numpy python tests/keras_examples/collect.py > examples.json

Every public name is walked, and of classes their public methods. An object with several names is taken once, under
the name Keras registered it by. A block is a fence of code, or what stands between two paragraphs of prose as ``>>>`` lines.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import json
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from typing import Any

PRIVATE = {"keras.src", "keras._tf_keras", "keras.version"}
FENCE = re.compile(r"^([ \t]*)```([\w.]*)[ \t]*\n(.*?)^[ \t]*```[ \t]*$", re.DOTALL | re.MULTILINE)
PROMPTS = re.compile(r"^([ \t]*>>>.*\n(?:[ \t]*\S.*\n|[ \t]*\n(?=(?:[ \t]*\n)*[ \t]*>>>))*)", re.MULTILINE)
NO_CODE = {"text", "shell", "bash", "console", "json", "yaml"}
Block = dict[str, Any]


def public_objects() -> Iterator[tuple[Any, list[str]]]:
    """Each public class and function, with its names, the shortest first."""
    found: dict[int, tuple[Any, list[str]]] = {}
    seen: set[int] = set()

    def walk(module: types.ModuleType, path: str) -> None:
        seen.add(id(module))
        for name, value in sorted(vars(module).items()):
            place = f"{path}.{name}"
            if name.startswith("_") or place in PRIVATE:
                continue
            if isinstance(value, types.ModuleType):
                if value.__name__.startswith("keras") and id(value) not in seen:
                    walk(value, place)
            elif callable(value):
                found.setdefault(id(value), (value, []))[1].append(place)

    walk(importlib.import_module("keras"), "keras")
    for value, names in found.values():
        registered = getattr(value, "_api_export_path", None)
        first = registered[0] if isinstance(registered, list | tuple) else registered
        names.sort(key=lambda name: (name != first, name.count("."), name))
        yield value, names


def docstrings() -> Iterator[tuple[str, str]]:
    """The name and the docstring of each public object and method."""
    methods: set[int] = set()
    for value, names in public_objects():
        if value.__doc__:
            yield names[0], inspect.cleandoc(value.__doc__)
        if not isinstance(value, type):
            continue
        for name, member in vars(value).items():
            function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if name.startswith("_") or not callable(function) or id(function) in methods:
                continue
            methods.add(id(function))
            if function.__doc__:
                yield f"{names[0]}.{name}", inspect.cleandoc(function.__doc__)


def blocks(text: str) -> list[Block]:
    """The blocks of code of a docstring, in order."""
    found: list[tuple[int, Block]] = []

    def prompts(code: str, at: int) -> None:
        steps = doctest.DocTestParser().get_examples(textwrap.dedent(code))
        found.append((at, {"steps": [[step.source, step.want] for step in steps]}))

    def fence(match: re.Match[str]) -> str:
        code = textwrap.dedent(match.group(3))
        if ">>>" in code:
            prompts(code, match.start())
        elif match.group(2).lower() not in NO_CODE:
            found.append((match.start(), {"code": code}))
        return "".join("\n" if c == "\n" else " " for c in match.group())  # places stay

    rest = FENCE.sub(fence, text + "\n")
    for match in PROMPTS.finditer(rest):
        prompts(match.group(), match.start())
    return [block for _, block in sorted(found, key=lambda pair: pair[0])]


def main() -> None:
    examples = []
    for name, text in docstrings():
        try:
            code = blocks(text)
        except ValueError as error:  # prompts that doctest cannot read
            sys.stderr.write(f"{name}: {error}\n")
            continue
        if code:
            examples.append({"name": name, "blocks": code})
    json.dump(sorted(examples, key=lambda example: example["name"]), sys.stdout)


if __name__ == "__main__":
    main()
