"""Iris: 150 flowers of 3 kinds by 4 lengths (Fisher 1936), bundled with scikit-learn."""

from unifront.datasets.bundled import load
from unifront.datasets.files import Split


def load_data(test_split: float = 0.2, seed: int = 113) -> Split:
    """``(x_train, y_train), (x_test, y_test)``: float32 ``[…, 4]`` in cm, labels from 0 to 2.

    Args:
        test_split: which share is for testing.
        seed: of the order.
    """
    return load("iris", test_split, seed)
