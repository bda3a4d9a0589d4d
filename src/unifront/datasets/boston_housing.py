"""Boston housing: 506 prices by 13 features (Harrison, Rubinfeld 1978). One of them supposes racial segregation."""

from unifront.datasets.files import Split, arrays_of, check_share, parted, path_of, shuffled


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Split:
    """``(x_train, y_train), (x_test, y_test)``: float64 ``[…, 13]``, and prices in 1000 dollars.

    Args:
        path: what the file is called in the cache folder.
        test_split: which share is for testing.
        seed: of the order.

    Source: ``keras.datasets.boston_housing``.
    """
    check_share(test_split)
    found = arrays_of(path_of("boston_housing.npz", path))
    return parted(*shuffled(found["x"], found["y"], seed), test_split)
