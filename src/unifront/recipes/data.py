"""What a training runs on, whatever it was read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from unifront.errors import DataError

Task = Literal["classes", "numbers", "characters"]
"""What a model gives: scores of classes, amounts, or scores of the character that comes next."""


@dataclass(frozen=True)
class Prepared:
    """Data, and what stands between them and the layers of a recipe.

    Args:
        train: ``(x, y)``, or a dataset of such batches.
        validation: likewise; None: there is none.
        count: examples to train on.
        inputs: the input tensors.
        front: what they become before they reach the layers.
        back: what becomes of that which the layers give.
        outputs: how many numbers the last layer is to give.
        task: what these mean.
        notes: all that is needed to read data like these again: plain data, which goes along with the model.
    """

    train: Any
    validation: Any
    count: int
    inputs: Any
    front: Callable[[Any], Any]
    outputs: int
    task: Task
    notes: dict[str, Any]
    back: Callable[[Any], Any] = lambda x: x
    numbers: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """Data to evaluate or predict on.

    Args:
        x: the inputs.
        y: the targets; None: they are not known.
        names: what each example is called.
    """

    x: Any
    y: Any
    names: list[str]


def held_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of the examples to train on and of those held out, of each class the same share; shuffled."""
    rng = np.random.default_rng(seed)
    train, validation = [], []
    for label in np.unique(labels):
        numbers = rng.permutation(np.flatnonzero(labels == label))
        count = round(share * len(numbers))
        count = min(max(count, 1), len(numbers) - 1) if share else 0
        validation.append(numbers[:count])
        train.append(numbers[count:])
    return rng.permutation(np.concatenate(train)), np.sort(np.concatenate(validation))


def count_classes(names: list[str], where: str) -> None:
    """Raise `DataError` unless there are two classes at least."""
    if len(names) < 2:
        found = f"one class, {names[0]!r}" if names else "no class"
        raise DataError(f"{where} has {found}; to tell classes apart, at least two are needed.")
