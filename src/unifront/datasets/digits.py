"""Digits: 1,797 handwritten digits of 8 x 8 pixels (Alpaydin, Kaynak 1998), bundled with scikit-learn."""

from unifront.datasets.bundled import load
from unifront.datasets.files import Split


def load_data(test_split: float = 0.2, seed: int = 113) -> Split:
    """``(x_train, y_train), (x_test, y_test)``: float32 ``[…, 8, 8]`` from 0 to 16, labels from 0 to 9.

    Args:
        test_split: which share is for testing.
        seed: of the order.
    """
    return load("digits", test_split, seed)
