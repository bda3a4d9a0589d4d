"""CIFAR-10: 60,000 small pictures of 10 kinds."""

import numpy as np

from unifront.datasets.cifar import read
from unifront.datasets.files import Split, path_of


def load_data() -> Split:
    """``(x_train, y_train), (x_test, y_test)``: uint8 ``[50000, 32, 32, 3]``, ``[10000, 32, 32, 3]``.

    Labels are ``[examples, 1]``, from 0 to 9.

    Source: ``keras.datasets.cifar10``.
    """
    folder = path_of("cifar-10-batches-py-target", extract=True) / "cifar-10-batches-py"
    x, y = read([folder / f"data_batch_{i}" for i in range(1, 6)], "labels")
    x_test, y_test = read([folder / "test_batch"], "labels")
    return (x, y.astype(np.uint8)), (x_test, y_test.astype(np.uint8))
