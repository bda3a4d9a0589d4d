"""Gradients written out: the operation ``gradient`` as the operations that compute it.

ONNX has no gradients that a runtime for inference computes, so that a training step is written with them spelt out.
What is differentiated is put in place, node by node; then its nodes are gone through from the last to the first, and
the rule of each operation (`Rule`) says what of the gradient of its results goes to each operand: the reverse mode of
automatic differentiation (Linnainmaa 1970; Griewank and Walther 2008, "Evaluating Derivatives").
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache

from unifront.onnx.adjoints.reverse import Form, Rule, Written, written_gradients
from unifront.opset.spec import OpSpec

FAMILIES = ("elementwise", "shape", "index", "products", "windows", "nn", "loops")


@cache
def rules() -> Mapping[OpSpec, Rule]:
    """The rule of each operation that has one."""
    found: dict[OpSpec, Rule] = {}
    for family in FAMILIES:
        found.update(getattr(importlib.import_module(f"unifront.onnx.adjoints.{family}"), "TABLE", {}))
    return found


@cache
def forms() -> Mapping[OpSpec, Form]:
    """The operations that are differentiated in another form."""
    found: dict[OpSpec, Form] = {}
    for family in FAMILIES:
        found.update(getattr(importlib.import_module(f"unifront.onnx.adjoints.{family}"), "FORMS", {}))
    return found


__all__ = ["Form", "Rule", "Written", "forms", "rules", "written_gradients"]
