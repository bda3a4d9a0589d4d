"""What one call of `fit` trains on and is validated with: the data, and how many batches of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from unifront.errors import ArgumentError
from unifront.train import data, limits
from unifront.train.arguments import number, optional
from unifront.train.compiled import Compiled
from unifront.train.data import Arrays, Stream
from unifront.train.sources import Source, by_class, count_of, held_out_of, source_of

if TYPE_CHECKING:
    from unifront.model import Model


@dataclass(frozen=True)
class Given:
    """Data of a training.

    Args:
        source, size: what is trained on, and the examples of a batch.
        held_out, held_out_size: what it is validated with, if anything.
        steps: the batches of an epoch that begins where the last one ended; None for epochs that are passes.
        most: the batches of such a pass that count; None for all.
        held_out_steps: the batches of a validation; None for all.
    """

    source: Source
    size: int
    held_out: Source | None = None
    held_out_size: int = 0
    steps: int | None = None
    most: int | None = None
    held_out_steps: int | None = None

    @property
    def batches(self) -> int | None:
        """How many batches an epoch has; None where that is not known."""
        return self.steps or limits.least(count_of(self.source, self.size), self.most)


@dataclass(frozen=True)
class Asked:
    """Those arguments of `fit` that say how much of the data is taken; they are checked when this is made."""

    batch_size: Any
    validation_split: Any
    validation_batch_size: Any
    steps_per_epoch: Any
    validation_steps: Any
    trial: int | None
    overfit_batches: Any
    limit_train_batches: Any
    limit_val_batches: Any

    def __post_init__(self) -> None:
        for name in ("batch_size", "validation_batch_size", "steps_per_epoch", "validation_steps"):
            optional(name, getattr(self, name))
        number("validation_split", self.validation_split, "[0, 1)")

    def of(
        self, model: Model, training: Compiled, x: Any, y: Any, sample_weight: Any, class_weight: Any, held_out: Any,
        shuffle: bool,
    ) -> Given:  # fmt: skip
        """Checked data, as much of it as was asked for.

        Args:
            held_out: ``validation_data``.
            shuffle: whether what gives batches may give them in another order.
        """
        size = data.size_of_batches(model, self.batch_size)
        held_out_size = self.validation_batch_size or size
        # What is split off is validated as `evaluate` would, without weights of classes.
        of_all = None if self.validation_split else class_weight
        source = source_of(model, training, x, y, sample_weight, of_all, size, shuffle)
        held = held_out_of(model, training, held_out, held_out_size)
        if self.validation_split:
            if not isinstance(source, Arrays) or held is not None:
                raise ArgumentError("validation_split needs arrays, and no validation_data beside it.")
            source, held = data.split(source, self.validation_split)
            source = by_class(model, source, class_weight)
            data.check_whole_batches(model, len(source))
        few = limits.batches("overfit_batches", self.overfit_batches, count_of(source, size))
        if few is not None:
            if not isinstance(source, Arrays):
                raise ArgumentError("overfit_batches needs arrays; of other data take limit_train_batches.")
            source = source.take(slice(0, few * size))
            held = None if held is None else source
        return self._counted(Given(source, size, held, held_out_size))

    def _counted(self, given: Given) -> Given:
        """``given`` with its numbers of batches."""
        source, steps = given.source, self.steps_per_epoch
        total = count_of(source, given.size)
        most = limits.least(
            self.trial, limits.batches("limit_train_batches", self.limit_train_batches, total)
        )
        if steps is not None:
            steps, most = limits.least(steps, most), None
        held_out_steps = self.validation_steps
        if given.held_out is not None:
            count = count_of(given.held_out, given.held_out_size)
            of_all = limits.batches("limit_val_batches", self.limit_val_batches, count)
            held_out_steps = limits.least(held_out_steps, self.trial, of_all)
        if steps is None and most is None and isinstance(source, Stream) and source.is_endless:
            raise ArgumentError(f"x is {source.kind.name} without an end: give steps_per_epoch.")
        if steps is not None and isinstance(source, Stream):
            source.left = 0  # until an epoch begins
        return replace(given, steps=steps, most=most, held_out_steps=held_out_steps)
