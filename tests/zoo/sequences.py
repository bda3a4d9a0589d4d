"""Small options of the models of sequences."""

from __future__ import annotations

from typing import Any

import unifront as uf

SEQUENCES: dict[str, dict[str, Any]] = {
    "imdb_gru": {"words": 50},
    "rosetta_imdb": {"words": 50, "length": 12},
    **{name: {"words": 50, "units": 8, "length": 6, "batch_size": 4} for name in uf.zoo.list("ptb_*")},
    **{
        name: {"vocabulary": 30, "context": 16, "width": 8, "depth": 2, "heads": 2}
        for name in uf.zoo.list("gpt2*")
    },
    "conv_lstm": {"input_shape": (3, 8, 8, 2), "ahead": 2, "filters": (4, 3), "size": 3},
    "deep_speech2": {"bins": 9, "filters": 2, "units": 4, "depth": 2},
    "seq2seq_bahdanau": {"source_words": 9, "target_words": 9, "embedding": 4, "units": 4},
    "seq2seq_luong": {"source_words": 9, "target_words": 9, "embedding": 4, "units": 4, "depth": 2},
    "sparse_autoencoder": {"items": 12, "hidden": (4, 4)},
    "transformer": {"words": 11, "width": 8, "depth": 2, "heads": 2, "inner": 8},
    "transformer_classifier": {"words": 11, "width": 8, "heads": 2, "inner": 8},
    "tree_lstm_binary": {"words": 11, "embedding": 4, "units": 4},
    "tree_lstm_child_sum": {"words": 11, "embedding": 4, "units": 4},
    "wide_deep": {"categories": 3, "numbers": 2, "buckets": 20, "embedding": 2, "hidden": (4,), "classes": 3},
}
