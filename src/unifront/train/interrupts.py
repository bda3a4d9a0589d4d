"""Ctrl-C between steps, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """A block in which Ctrl-C waits for `check`, or for code of the user's: half a step is no state to keep.

    A second one does not wait. Python calls handlers between any two of its instructions, inside of a framework's own
    callbacks too, which swallow what is raised there: so nothing is raised where nothing can be.

    The block takes the place of the process's handler, in the main thread, where Python calls handlers.
    """

    def __init__(self) -> None:
        self._handler: Any = None
        self._waiting = False
        self._open = False
        self._raised: BaseException | None = None

    def __enter__(self) -> Interrupts:
        handler = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is threading.main_thread() and callable(handler):
            self._handler = handler
            signal.signal(signal.SIGINT, self._received)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self._handler is not None and signal.getsignal(signal.SIGINT) == self._received:
            signal.signal(signal.SIGINT, self._handler)
        if kind is not None:
            self._raised = None  # an interrupt has arrived, or something else that ends the block
        self.check()

    def _received(self, number: int, frame: FrameType | None) -> None:
        if self._open or self._waiting:
            self._handle(frame)
        else:
            self._waiting = True

    def _handle(self, frame: FrameType | None) -> None:
        self._waiting = self._open = False
        try:
            self._handler(signal.SIGINT, frame)
        except BaseException as error:
            self._raised = error
            raise

    def check(self) -> None:
        """Let an interrupt that waits happen, and raise one again that was swallowed."""
        if self._waiting:
            self._handle(None)
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised

    @contextmanager
    def users(self) -> Iterator[None]:
        """A block of the user's own code, such as a callback or a generator: there an interrupt does not wait."""
        self._open = True
        try:
            self.check()
            yield
        finally:
            self._open = False
        self.check()
