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
}
