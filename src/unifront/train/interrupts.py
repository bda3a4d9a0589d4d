"""Ctrl-C between steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Makes Ctrl-C wait while values are on the move: half a step is no state to keep. A second one does not.

    A block ``with Interrupts()`` takes the place of the process's handler, in the main thread, where Python
    calls handlers; the blocks `held` within are those that an interrupt waits for.
    """

    def __init__(self) -> None:
        self._handler: Any = None
        self._depth = 0
        self._waiting = False
        self._raised = False

    def __enter__(self) -> Interrupts:
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(handler):
            self._handler = handler
            signal.signal(signal.SIGINT, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handler is not None and signal.getsignal(signal.SIGINT) == self._received:
            signal.signal(signal.SIGINT, self._handler)

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._depth and not self._waiting:
            self._waiting = True
        else:
            self._waiting = False
            try:
                self._handler(number, frame)
            except KeyboardInterrupt:
                self._raised = True
                raise

    def check(self) -> None:
        """Raise an interrupt again that never arrived: one raised inside a framework's own callback is swallowed."""
        if self._raised:
            self._raised = False
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """A block that an interrupt waits for."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._waiting and not self._depth:
                self._received(signal.SIGINT, None)
