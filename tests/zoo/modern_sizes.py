"""Options that make the modern models of the zoo small."""

from typing import Any

MODERN: dict[str, dict[str, Any]] = {
    "mobilenet": {"input_shape": (32, 32, 3), "alpha": 0.25, "classes": 5},
    "mobilenet_v2": {"input_shape": (32, 32, 3), "alpha": 0.35, "classes": 5},
    "mobilenet_v3_large": {"input_shape": (32, 32, 3), "alpha": 0.35, "classes": 5},
    "mobilenet_v3_small": {"input_shape": (32, 32, 3), "alpha": 0.35, "classes": 5},
}
