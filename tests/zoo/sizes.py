"""Options that make the models of the zoo small: name → options, for all tests that walk over the entries."""

from __future__ import annotations

from typing import Any

import unifront as uf
from tests.zoo.classic_sizes import CLASSIC, QUICK
from tests.zoo.modern_sizes import MODERN
from tests.zoo.sequences import SEQUENCES

_IMAGES = {"input_shape": (32, 32, 3), "classes": 10}
RESNETS: dict[str, dict[str, Any]] = {
    name: _IMAGES for pattern in ("resnet*", "resnext*", "wide_resnet*") for name in uf.zoo.list(pattern)
}
SLOW = {*RESNETS, *MODERN, *CLASSIC} - {"resnet18", "resnet50", *QUICK}
"""Models that take too long for the usual tests, even small."""
DEEP = SLOW | {"gpt2_medium", "gpt2_large", "gpt2_xl"}
"""Models that take too long for the usual tests to be made at their full size."""
SMALL: dict[str, dict[str, Any]] = SEQUENCES | RESNETS | CLASSIC | MODERN
