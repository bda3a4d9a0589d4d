"""What a request is refused with."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not answered: the status of HTTP, and a text for the client."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers or {}
