"""ONNX operators as operations of unifront: the table read the other way, one file for each family.

A row is a function ``row(node, *operands)`` that gives what the operator gives (a tuple where it has several
results), written with `unifront.ops`; the file's ``TABLE`` names it by its operator::

    def _hard_sigmoid(node: Node, x: Any) -> Any:
        return ops.clip(ops.add(ops.multiply(x, node["alpha"]), node["beta"]), 0.0, 1.0)

    TABLE = {"HardSigmoid": Row(_hard_sigmoid)}

``node["alpha"]`` is the attribute, or ONNX's own default of it. ``node.version`` is the version of the operator set
that gave the operator its meaning: where an older one means something else, the row asks for it
(``node.version < 13``), so that there is one row for all versions. Operands are tensors, or NumPy arrays where they
are known: `unifront.ops` takes both, and computes at once what is known, by which constants fold. Those left out are
None. A row that must know an operand (axes, a mode) says so in `Row`: it comes as an array; the importer finds the
value, or tells the user which input decides it. Sizes come as tuples of dimensions, free ones too. What does not fit
is ``node.fail("…")``, and the type rules of the operations raise the rest; the importer adds the node's name.

Operators of other domains are in the ``TABLE_OF`` of their file, by domain. An operator without a row is written out
by the body that ONNX defines it by, if there is one; else it is an error, and stands in ``UNSUPPORTED`` with the
reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache

from unifront.onnx.imports.node import Row

FAMILIES = (
    "elementwise", "activations", "casting", "reduce", "shape", "index", "creation", "conv", "pool", "norm", "linalg",
    "rnn", "control", "sequences", "quantized", "images", "detection", "signal", "strings",
    "ngrams", "ml", "svm", "trees", "training", "contrib", "contrib_attention", "attention",
    "contrib_quantized", "contrib_others",
)  # fmt: skip


@cache
def rows() -> Mapping[tuple[str, str], Row]:
    """Every row by domain and operator."""
    found: dict[tuple[str, str], Row] = {}
    for family in FAMILIES:
        module = importlib.import_module(f"unifront.onnx.imports.{family}")
        found.update({("", name): row for name, row in getattr(module, "TABLE", {}).items()})
        for domain, table in getattr(module, "TABLE_OF", {}).items():
            found.update({(domain, name): row for name, row in table.items()})
    return found


@cache
def reasons() -> Mapping[tuple[str, str], str]:
    """Why an operator has no row."""
    found: dict[tuple[str, str], str] = {}
    for family in FAMILIES:
        module = importlib.import_module(f"unifront.onnx.imports.{family}")
        found.update(getattr(module, "UNSUPPORTED", {}))
    return found
