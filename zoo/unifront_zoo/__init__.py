"""unifront's own models: one family per file, each registered with `unifront.zoo.register`."""

from unifront_zoo import (
    char_lm,
    decoding,
    digits,
    gpt,
    imdb,
    lenet,
    lstm_classifier,
    mlp,
    mobilenet,
    ptb,
    resnet,
    resnet_v2,
    rosetta,
    tagger,
)

__all__ = [
    "char_lm",
    "decoding",
    "digits",
    "gpt",
    "imdb",
    "lenet",
    "lstm_classifier",
    "mlp",
    "mobilenet",
    "ptb",
    "resnet",
    "resnet_v2",
    "rosetta",
    "tagger",
]
