"""Complex numbers in operations that are not about them: as in NumPy, or refused with the same words everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront import ops
from unifront.backends import get_backend, installed
from unifront.errors import DTypeError
from unifront.testing import assert_close

Z = np.array([[1 + 2j, -1 - 1j, 0], [1j, 3 - 2j, 0.5]], np.complex64)

WITHOUT_ORDER: dict[str, tuple[Any, ...]] = {
    "max": (), "min": (), "argmax": (), "argmin": (), "sort": (), "argsort": (), "unique": (), "median": (), "ptp": (),
    "top_k": (2,), "clip": (0.0, 1.0), "maximum": (Z,), "minimum": (Z,), "relu": (), "relu6": (), "sign": (),
    "floor": (), "ceil": (), "round": (), "trunc": (), "less": (Z,), "floor_divide": (Z,), "cbrt": (),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_ORDER)
def test_what_needs_an_order_is_refused(name: str) -> None:
    with pytest.raises(
        DTypeError, match=rf"{name}: .*complex64, and complex numbers have no order|a float is needed"
    ):
        getattr(ops, name)(Z, *WITHOUT_ORDER[name])


@pytest.mark.parametrize("name", ["any", "all", "logical_not", "count_nonzero"])
def test_a_complex_number_is_true_unless_it_is_zero(name: str) -> None:
    found, expected = getattr(ops, name)(Z), getattr(np, name)(Z)
    np.testing.assert_array_equal(found, expected)


def test_cast_to_booleans_looks_at_both_parts() -> None:
    np.testing.assert_array_equal(ops.cast(Z, "bool"), Z.astype(bool))


@pytest.mark.parametrize("backend", installed())
def test_abs_is_real(backend: str) -> None:
    assert_close(ops.convert_to_numpy(ops.abs(get_backend(backend).array(Z))), np.abs(Z))


def test_nan_is_replaced_in_both_parts() -> None:
    z = np.array([np.nan + 1j, 2 + np.nan * 1j, complex(np.inf, 1)], np.complex64)
    assert_close(ops.nan_to_num(z), np.nan_to_num(z))
    assert_close(ops.nansum(z[:2]), np.nansum(z[:2]))


def test_what_is_real_already_or_complex_already_is_refused() -> None:
    with pytest.raises(DTypeError, match="rfft: the signal is complex64"):
        ops.rfft(Z)
    with pytest.raises(DTypeError, match="view_as_complex: the numbers are complex64 already"):
        ops.view_as_complex(Z[..., :2])


def test_real_is_what_has_no_imaginary_part() -> None:
    x = np.array([1 + 1j, 1, -2j], "complex64")
    np.testing.assert_array_equal(ops.isreal(x), np.isreal(x))
    np.testing.assert_array_equal(ops.isreal(np.array([1.0, np.nan])), [True, True])
