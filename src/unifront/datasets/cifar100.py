"""CIFAR-100: 60,000 small pictures of 100 kinds, or of 20."""

from unifront.datasets.cifar import read
from unifront.datasets.files import Split, path_of
from unifront.errors import ArgumentError


def load_data(label_mode: str = "fine") -> Split:
    """``(x_train, y_train), (x_test, y_test)``, shapes as of CIFAR-10.

    Args:
        label_mode: ``"fine"`` for 100 kinds, ``"coarse"`` for 20.

    Source: ``keras.datasets.cifar100``.
    """
    if label_mode not in ("fine", "coarse"):
        raise ArgumentError(
            f'`label_mode` must be one of `"fine"`, `"coarse"`. Received: label_mode={label_mode}.'
        )
    folder = path_of("cifar-100-python-target", extract=True) / "cifar-100-python"
    return read([folder / "train"], f"{label_mode}_labels"), read([folder / "test"], f"{label_mode}_labels")
