"""The suite finds what is wrong: a row that is off in one small element, a sample at fault among others."""

import numpy as np
import pytest

from unifront import testing


def test_one_element_that_is_off_is_found_beside_large_ones() -> None:
    good = np.array([1e3, 1e-3], np.float32)
    testing.assert_close(good * np.array([1, 1.5], np.float32), good)  # relative to the largest it is near
    with pytest.raises(AssertionError, match=r"1 of 2 elements are off, the first at \(1,\): 0.0015"):
        testing.assert_each_close(good * np.array([1, 1.5], np.float32), good)
    testing.assert_each_close(np.array([0.0, np.inf, np.nan]), np.array([1e-310, np.inf, np.nan]))


def test_the_sample_at_fault_is_named() -> None:
    tried = []

    def check(backend, spec, samples, dtype, device):
        tried.append(len(samples))
        assert all(sample.attributes["axis"] != 1 for sample in samples), "axis 1"

    spec = next(spec for spec in testing.operations() if spec.name == "sort")
    with pytest.raises(AssertionError, match="axis 1"):
        testing.check_all(check, "numpy", spec, "float64")
    assert tried[0] == len(testing.samples_of(spec))
    assert set(tried[1:]) == {1}


def test_operations_without_a_row_are_in_the_suite() -> None:
    pytest.importorskip("jax")
    (dtypes, specs) = testing.forward_tests("jax").pytestmark
    names = {getattr(spec, "name", spec) for mark in (dtypes, specs) for spec in mark.args[1]}
    assert {"layer_norm", "std", "constant"} <= names  # JAX runs them by their decomposition
