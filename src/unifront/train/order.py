"""The order in which an epoch takes the examples of arrays, and how to find a place in it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from unifront.errors import FileFormatError

Origin = tuple[int, int, int]
"""What a pass is drawn by: the epoch it began in, the runs done before that epoch, its number within the epoch."""


@dataclass
class Order:
    """Passes over ``length`` examples, each in a new order if ``shuffle``, cut into batches of ``size``.

    Args:
        limit: batches of an epoch, which then begins where the last one ended, and passes over the data as need be;
            None for one pass.
        most: batches after which an epoch of one pass ends.
    """

    length: int
    size: int
    shuffle: bool
    seed: int
    limit: int | None = None
    most: int | None = None
    _left: list[np.ndarray] = field(default_factory=list)
    _origin: Origin | None = None
    _taken: int = 0

    def epoch(self, epoch: int, runs: int) -> list[np.ndarray]:
        """The indices of an epoch in blocks ``[steps, batch]``; ``runs`` are the runs done before it."""
        if self.limit is None:
            return _first(self._pass((epoch, runs, 0)), self.most)
        found: list[np.ndarray] = []
        missing, number = self.limit, 0
        while missing > 0:
            if not self._left:
                self._origin, self._taken = (epoch, runs, number), 0
                self._left = self._pass(self._origin)
                number += 1
            found += _first(self._left, missing)
            taken = sum(map(len, found)) - (self.limit - missing)
            self._left = after(self._left, taken)
            self._taken += taken
            missing -= taken
        return found

    def _pass(self, origin: Origin) -> list[np.ndarray]:
        """All indices: whole batches, then the rest as one smaller batch."""
        order = np.arange(self.length, dtype=np.int32)
        if self.shuffle:
            epoch, runs, number = origin
            np.random.default_rng([self.seed, epoch, runs, number]).shuffle(order)
        whole = self.length // self.size * self.size
        parts = (order[:whole].reshape(-1, self.size), order[whole:][None])
        return [block for block in parts if block.size]

    def state(self) -> Any:
        """The place between two epochs, as JSON."""
        return None if self._origin is None else [*self._origin, self._taken]

    def restore(self, state: Any) -> None:
        """Go to the place that `state` gave."""
        self._origin, self._left, self._taken = None, [], 0
        if state is None:
            return
        if not isinstance(state, list) or len(state) != 4 or any(type(n) is not int or n < 0 for n in state):
            raise FileFormatError(f"the place in the data is {str(state)[:80]}")
        self._origin, self._taken = tuple(state[:3]), state[3]
        self._left = after(self._pass(self._origin), self._taken)


def _first(blocks: list[np.ndarray], count: int | None) -> list[np.ndarray]:
    """The first ``count`` batches of ``blocks``; all for None."""
    found: list[np.ndarray] = []
    for block in blocks:
        found.append(block if count is None else block[:count])
        count = None if count is None else count - len(found[-1])
    return [block for block in found if len(block)]


def after(blocks: list[np.ndarray], count: int) -> list[np.ndarray]:
    """``blocks`` without their first ``count`` batches."""
    found = []
    for block in blocks:
        found.append(block[count:])
        count -= min(count, len(block))
    return [block for block in found if len(block)]
