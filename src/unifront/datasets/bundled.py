"""Data sets that scikit-learn brings along."""

from __future__ import annotations

import importlib

import numpy as np

from unifront.datasets.files import Split, check_share, parted, shuffled
from unifront.errors import ArgumentError


def load(name: str, test_split: float, seed: int) -> Split:
    """The data set of this name, shuffled and parted."""
    check_share(test_split)
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ModuleNotFoundError:
        raise ArgumentError(
            f'{name} is brought along by scikit-learn, which is not installed: pip install "unifront[zoo]"'
        ) from None
    found = getattr(datasets, f"load_{name}")()
    x = found.images if name == "digits" else found.data
    return parted(*shuffled(x.astype(np.float32), found.target.astype(np.int64), seed), test_split)
