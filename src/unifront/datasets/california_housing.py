"""California housing: 20,640 median prices by 8 features (Pace, Barry 1997)."""

from unifront.datasets.files import Split, arrays_of, check_share, parted, path_of, shuffled
from unifront.errors import ArgumentError


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> Split:
    """``(x_train, y_train), (x_test, y_test)``: float32 ``[…, 8]``, and prices in dollars.

    Args:
        version: ``"large"``, or ``"small"`` for 600 examples, those near San Francisco.
        path: what the file is called in the cache folder.
        test_split: which share is for testing.
        seed: of the order.

    Source: ``keras.datasets.california_housing``.
    """
    check_share(test_split)
    if version not in ("small", "large"):
        raise ArgumentError(
            f"Argument `version` must be one of 'small', 'large'. Received: version={version}"
        )
    found = arrays_of(path_of("california_housing.npz", path))
    some = slice(600) if version == "small" else slice(None)
    return parted(*shuffled(found["x"][some], found["y"][some], seed), test_split)
