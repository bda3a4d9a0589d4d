"""unifront's own models: one family per file, each registered with `unifront.zoo.register`."""

from unifront_zoo import (
    digits,
    lenet,
    lstm_classifier,
    mlp,
    mobilenet,
    resnet,
    rosetta,
)

__all__ = [
    "digits",
    "lenet",
    "lstm_classifier",
    "mlp",
    "mobilenet",
    "resnet",
    "rosetta",
]
