"""Small data sets to try things on: those that scikit-learn brings along, and those of ``keras.datasets``.

``digits`` and ``iris`` need scikit-learn and no network. The others are files in Keras's cache folder (``KERAS_HOME``,
or ``~/.keras``): what is there is read, what is not is fetched, and its sum is checked.

Example::

    (x_train, y_train), (x_test, y_test) = uf.datasets.digits.load_data()
"""

from unifront.datasets import (
    boston_housing,
    california_housing,
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    imdb,
    iris,
    mnist,
    reuters,
)

__all__ = [
    "boston_housing",
    "california_housing",
    "cifar10",
    "cifar100",
    "digits",
    "fashion_mnist",
    "imdb",
    "iris",
    "mnist",
    "reuters",
]


def __dir__() -> list[str]:
    return __all__
