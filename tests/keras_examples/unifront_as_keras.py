"""``import keras`` that gives unifront."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import types
from typing import Any


class UnifrontAsKeras(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """``import keras.ops.numpy`` gives ``unifront.ops.numpy``, and so for all of Keras's modules."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "keras" and not name.startswith("keras."):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: Any) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        name = module.__name__
        found = importlib.import_module("unifront")
        for part in name.split(".")[1:]:
            if part == "src":  # where some examples import `ops` from
                continue
            if not hasattr(found, part):
                raise ModuleNotFoundError(f"No module named {name!r} (unifront has no such module)")
            found = getattr(found, part)
        sys.modules[name] = found
