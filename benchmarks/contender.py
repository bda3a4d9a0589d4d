"""What a contender is, and which contenders meet on which backend."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from rows import Row

Array = TypeVar("Array")
Batches = Iterator[tuple[Array, Array]]


class Absent(Exception):
    """This contender cannot run here; the message is the reason that the table shows."""


def reason_of_absence(error: Exception) -> str | None:
    """Why there is nothing to measure here; None if the error is a failure."""
    not_installed = isinstance(error, ModuleNotFoundError) and "." not in (error.name or "")
    return str(error) if isinstance(error, Absent) or not_installed else None


class Contender(Protocol):
    """One way to train and to run a row's model, on batches that lie on the device already.

    A module of contenders offers `build(row, backend, variant) -> Contender`. The model starts from
    `row.values()` and goes through `row.data()` in turn, from the first batch on, in training and in
    inference separately.
    """

    parameter_count: int
    """How many numbers are trained."""

    def train_step(self) -> None:
        """One optimizer step on the next batch; the loss stays on the device."""

    def infer(self) -> None:
        """The logits of the next batch, left on the device."""

    def synchronize(self) -> None:
        """Waits until everything asked for so far is done."""

    def last_loss(self) -> float:
        """The loss of the last training step, before its update."""

    def last_logits(self) -> np.ndarray:
        """The result of the last `infer`, `[batch, classes]`."""


@dataclass(frozen=True)
class Column:
    """A column of the table. Of several variants the fastest, by a short trial in the same run, is the
    column."""

    name: str
    module: str
    variants: tuple[str, ...] = ("",)
    optional: bool = False

    def build(self, row: Row, backend: str, variant: str) -> Contender:
        return importlib.import_module(self.module).build(row, backend, variant)


_UNIFRONT = Column("unifront", "unifront_rows")
_KERAS = Column("keras", "keras_rows")

# In the order in which they alternate.
COLUMNS: dict[str, tuple[Column, ...]] = {
    "torch": (
        Column("native", "native_torch", ("channels_last",)),
        _UNIFRONT,
        _KERAS,
        Column("eager", "native_torch", ("contiguous",)),
        Column("compiled", "native_torch", ("compiled",), optional=True),
    ),
    "jax": (
        Column("native", "native_jax", ("hoisted", "in_step", "cudnn")),
        _UNIFRONT,
        _KERAS,
    ),
    "tensorflow": (
        Column("native", "native_tensorflow", ("graph", "plain_adam", "xla", "in_step")),
        _UNIFRONT,
        _KERAS,
        Column("concrete", "native_tensorflow", ("concrete",), optional=True),
        Column("unrolled", "native_tensorflow", ("unrolled",), optional=True),
    ),
    "onnxruntime": (
        Column("native", "native_onnxruntime", ("session",)),
        Column("unifront", "native_onnxruntime", ("program",)),
    ),
}
INFERENCE_ONLY = ("onnxruntime",)
"""Those that do not train."""
