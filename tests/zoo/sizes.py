"""Options that make the models of the zoo small: name → options, for all tests that walk over the entries."""

from __future__ import annotations

from typing import Any

import unifront as uf
from tests.zoo.classic_sizes import CLASSIC
from tests.zoo.modern_sizes import MODERN
from tests.zoo.sequences import SEQUENCES

_IMAGES = {"input_shape": (32, 32, 3), "classes": 10}
RESNETS: dict[str, dict[str, Any]] = {
    name: _IMAGES for pattern in ("resnet*", "resnext*", "wide_resnet*") for name in uf.zoo.list(pattern)
}
SMALL: dict[str, dict[str, Any]] = SEQUENCES | RESNETS | CLASSIC | MODERN
