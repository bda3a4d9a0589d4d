"""MNIST: 70,000 handwritten digits (LeCun, Cortes, Burges)."""

from unifront.datasets.files import Split, arrays_of, path_of


def load_data(path: str = "mnist.npz") -> Split:
    """``(x_train, y_train), (x_test, y_test)``: uint8 ``[60000, 28, 28]`` and ``[10000, 28, 28]``, labels from 0 to 9.

    Args:
        path: what the file is called in the cache folder.

    Source: ``keras.datasets.mnist``.
    """
    found = arrays_of(path_of("mnist.npz", path))
    return (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
