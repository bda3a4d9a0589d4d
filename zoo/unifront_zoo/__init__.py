"""unifront's own models: one family per file, each registered with `unifront.zoo.register`."""

from unifront_zoo import (
    char_lm,
    decoding,
    digits,
    imdb,
    lenet,
    lstm_classifier,
    mlp,
    mobilenet,
    ptb,
    resnet,
    rosetta,
)

__all__ = [
    "char_lm",
    "decoding",
    "digits",
    "imdb",
    "lenet",
    "lstm_classifier",
    "mlp",
    "mobilenet",
    "ptb",
    "resnet",
    "rosetta",
]
