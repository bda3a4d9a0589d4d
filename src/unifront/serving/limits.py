"""What a server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass, fields

from unifront.errors import ArgumentError


@dataclass(frozen=True)
class Limits:
    """What a server takes, and how long it waits.

    Args:
        max_batch: examples that one prediction takes of several requests together; 1: no requests are joined. A
            larger request is answered in so many parts.
        max_wait: seconds that a request waits for others to join it. Whatever it is, those that arrive while a
            prediction runs are joined for the next.
        max_bytes: of a request's body, and of what one request answers.
        max_waiting: requests that wait for a model; one more is told to come again later (503).
        read_timeout: seconds in which a request's body has to arrive.

    Raises `ArgumentError` for numbers that make no sense.
    """

    max_batch: int = 32
    max_wait: float = 0.0
    max_bytes: int = 32 * 2**20
    max_waiting: int = 1024
    read_timeout: float = 60.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "max_wait" else 1
            if not isinstance(value, int | float) or not least <= value < float("inf"):
                raise ArgumentError(f"{field.name} is a number of at least {least}, not {value!r}.")
