"""Work done ahead: a thread that makes the next items while the last one is used."""

from __future__ import annotations

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEPTH = 2
"""How many items are made ahead."""
PATIENCE = 5.0
"""Seconds to wait for a thread that is told to end, whose item may never come."""


class Ahead(Iterator[T], Generic[T]):
    """What ``items`` gives, in its order, made by a thread ahead of their use.

    Args:
        items: what to take from.
        depth: how many items may wait.
        may: whether one more may be taken before it is wanted, given how many wait; always unless given.

    What the thread raises is raised where its item would be, once. The context (which backend is the default, and the
    like) is that of who makes this. Closed, or after the last item, the thread has ended; one that is still busy ends
    after its item.
    """

    def __init__(
        self, items: Iterator[T], depth: int = DEPTH, may: Callable[[int], bool] = lambda waiting: True
    ) -> None:
        self._items, self._depth, self._may = items, depth, may
        self._wanted = False
        self._made: deque[tuple[bool, Any]] = deque()
        self._changed = threading.Condition()
        self._closed = self._done = False
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._work,), name="unifront data", daemon=True
        )
        self._thread.start()

    def __enter__(self) -> Ahead[T]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> T:
        with self._changed:
            self._wanted = True
            self._changed.notify_all()
            while not self._made and not self._done:
                self._changed.wait()
            self._wanted = False
            if not self._made:
                raise StopIteration
            is_item, item = self._made.popleft()
            self._changed.notify_all()
        if is_item:
            return item
        raise item

    def _is_time(self) -> bool:
        """Whether to make one more, or to end."""
        waiting = len(self._made)
        return (
            self._closed or (self._wanted and not waiting) or (waiting < self._depth and self._may(waiting))
        )

    def _work(self) -> None:
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(self._is_time)
                    if self._closed:
                        break
                try:
                    item = next(self._items)
                except StopIteration:
                    break
                with self._changed:
                    if not self._closed:
                        self._made.append((True, item))
                    self._changed.notify_all()
        except BaseException as error:  # noqa: BLE001  # raised again where the item is wanted
            with self._changed:
                self._made.append((False, error))
        finally:
            close = getattr(self._items, "close", None)
            try:
                if close is not None:
                    close()
            finally:
                with self._changed:
                    self._done = True
                    self._changed.notify_all()

    def close(self) -> None:
        """Let what was made go, and end the thread."""
        with self._changed:
            self._closed = True
            self._made.clear()
            self._changed.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(PATIENCE)
