"""Names in an ONNX model, each given once."""

from __future__ import annotations


class Names:
    """Gives names; one that is taken gets a number behind it."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self.counts: dict[str, int] = {}

    def new(self, wanted: str) -> str:
        """``wanted``, or ``wanted_1`` and so on."""
        name = wanted
        while name in self.taken:
            self.counts[wanted] = self.counts.get(wanted, 0) + 1
            name = f"{wanted}_{self.counts[wanted]}"
        self.taken.add(name)
        return name
