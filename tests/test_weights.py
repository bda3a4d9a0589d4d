"""The weight store: each value has one home."""

from threading import Thread

import numpy as np
import pytest

import unifront as uf
from unifront import backends
from unifront.dtypes import float32
from unifront.errors import ArgumentError, DTypeError, ShapeError
from unifront.ir.layouts import Storage
from unifront.weights import Variable, backend_home

INSTALLED = backends.installed()
VALUE = np.arange(6, dtype=np.float32).reshape(2, 3)


def variable(initial=VALUE, **keywords):
    return Variable.at("dense/kernel", (2, 3), initial=initial, **keywords)


def swapped(name="swapped"):
    """A layout with the axes swapped, for any backend's arrays."""
    swap = lambda array: array.T if hasattr(array, "T") else __import__("tensorflow").transpose(array)  # noqa: E731
    return Storage(name, swap, swap)


def test_properties():
    weight = variable(trainable=False)
    assert (weight.name, weight.shape, weight.dtype, weight.home) == ("kernel", (2, 3), float32, "host")
    assert repr(weight) == "<Variable dense/kernel: float32[2, 3] fixed>"
    np.testing.assert_array_equal(np.asarray(weight), VALUE)


def test_the_first_value_is_made_once_and_only_when_needed():
    made = []
    weight = variable(lambda: made.append(1) or VALUE)
    assert not made
    weight.numpy()
    weight.numpy()
    assert made == [1]


def test_a_value_replaced_before_its_first_use_is_never_made():
    weight = variable(lambda: pytest.fail("made"))
    weight.assign(VALUE + 1)
    np.testing.assert_array_equal(weight.numpy(), VALUE + 1)


def test_the_value_is_nobody_elses_array():
    weight, given = variable(), VALUE.copy()
    weight.assign(given)
    given[:] = 0
    weight.numpy()[:] = 0
    np.testing.assert_array_equal(weight.numpy(), VALUE)


def test_values_are_cast_to_the_dtype():
    weight = Variable.at("w", (2,), "float64", initial=np.array([1, 2]))
    assert weight.numpy().dtype == np.float64
    weight.assign([3, 4])
    assert weight.numpy().dtype == np.float64


def test_wrong_values_are_refused_and_change_nothing():
    weight = variable()
    with pytest.raises(ShapeError, match=r"dense/kernel has the shape \(2, 3\); a value of shape \(3, 2\)"):
        weight.assign(VALUE.T)
    with pytest.raises(DTypeError, match="dense/kernel holds float32; a value of dtype complex64"):
        weight.assign(VALUE.astype(np.complex64))
    with pytest.raises(ShapeError, match="dense/kernel"):
        variable(lambda: np.zeros(3)).numpy()
    np.testing.assert_array_equal(weight.numpy(), VALUE)


@pytest.mark.parametrize("name", INSTALLED)
def test_the_value_moves_in_and_back(name):
    weight, place = variable(), backends.placement(name)
    native = weight.native(name)
    assert weight.home == str(place)
    assert backend_home(weight) is place.backend
    assert weight.native(place) is native
    np.testing.assert_array_equal(place.backend.numpy(native), VALUE)
    np.testing.assert_array_equal(weight.numpy(), VALUE)
    assert weight.home == str(place), "reading moves nothing"
    weight.assign(VALUE * 2)
    assert weight.home == "host"
    assert backend_home(weight) is None


def test_the_value_moves_from_backend_to_backend():
    weight = variable()
    for name in (*INSTALLED, *INSTALLED[::-1]):
        weight.native(name)
        assert weight.home == str(backends.placement(name))
    np.testing.assert_array_equal(weight.numpy(), VALUE)


@pytest.mark.parametrize("name", INSTALLED)
def test_storage_is_applied_once_and_undone_for_readers(name):
    weight, storage, other = variable(), swapped(), swapped("other")
    native = weight.native(name, storage)
    assert tuple(native.shape) == (3, 2)
    assert weight.native(name, storage) is native
    np.testing.assert_array_equal(weight.numpy(), VALUE)
    assert tuple(weight.native(name).shape) == (2, 3)
    weight.native(name, storage)
    assert tuple(weight.native(name, other).shape) == (3, 2)
    np.testing.assert_array_equal(weight.numpy(), VALUE)


def test_storage_does_not_travel():
    weight = variable()
    for name in INSTALLED:
        assert tuple(weight.native(name, swapped(name)).shape) == (3, 2)
    np.testing.assert_array_equal(weight.numpy(), VALUE)


class Lease:
    """Holds one variable's value on NumPy."""

    def __init__(self, weight, storage=None):
        self.place, self.weight, self.storage = backends.placement("numpy"), weight, storage
        self.value, self.asked = weight.lend(self, self.place, storage, overwritten=True), 0

    def give_back(self):
        self.asked += 1
        self.weight.restore(self.value, self.place, self.storage)


READERS = {
    "numpy": lambda weight: weight.numpy(),
    "native": lambda weight: weight.native("numpy"),
    "assign": lambda weight: weight.assign(VALUE),
    "lend": lambda weight: Lease(weight),
}


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_whoever_needs_a_lent_value_gets_it_back_first(read):
    weight = variable()
    lease = Lease(weight)
    lease.value = lease.value + 1
    read(weight)
    assert lease.asked == 1


def test_where_a_lent_value_is_is_known():
    weight = variable()
    lease = Lease(weight)
    assert weight.home == str(lease.place)
    assert backend_home(weight) is lease.place.backend
    assert lease.asked == 0


def test_what_another_thread_has_read_is_not_overwritten():
    weight, place, read = variable(), backends.placement("numpy"), []
    own = weight.native(place)
    assert Lease(weight).value is own
    reader = Thread(target=lambda: read.append(weight.native(place)))
    reader.start()
    reader.join()
    lease = Lease(weight)
    lease.value += 1
    np.testing.assert_array_equal(read[0], VALUE)
    np.testing.assert_array_equal(weight.numpy(), VALUE + 1)


def test_the_newest_value_comes_from_the_lease():
    weight = variable()
    lease = Lease(weight, swapped())
    lease.value = lease.value * 10
    np.testing.assert_array_equal(weight.numpy(), VALUE * 10)
    np.testing.assert_array_equal(weight.numpy(), VALUE * 10)
    assert lease.asked == 1


def test_assigning_while_lent_wins():
    weight = variable()
    lease = Lease(weight)
    weight.assign(VALUE - 1)
    np.testing.assert_array_equal(weight.numpy(), VALUE - 1)
    assert lease.asked == 1


def test_a_variable_is_named_within_its_scope() -> None:
    with uf.name_scope("encoder"), uf.name_scope("dense"):
        inner = Variable.at("kernel", (2,), initial=np.ones(2))
        built = uf.layers.Dense(1, name="head")
        built.build((None, 2))
    assert inner.path == "encoder/dense/kernel"
    assert [weight.path for weight in built.weights] == [
        "encoder/dense/head/kernel",
        "encoder/dense/head/bias",
    ]
    assert Variable.at("kernel", (2,), initial=np.ones(2)).path == "kernel"


def test_a_scalar_variable_is_a_number_but_in_a_graph() -> None:
    weight = Variable.at("w", (), "int32", initial=np.array(3))
    assert (int(weight), float(weight)) == (3, 3.0)
    with pytest.raises(TypeError, match="0-dimensional|length-1|size-1"):
        int(Variable.at("v", (2,), initial=np.ones(2)))
    with pytest.raises(ArgumentError, match="is no number that Python knows while a graph is traced"):
        uf.jit(lambda x: x * int(weight))(np.ones(2, np.float32))


@pytest.mark.parametrize("backend", INSTALLED)
@pytest.mark.parametrize("count", [4, 2**19])  # TensorFlow takes large arrays another way
@pytest.mark.parametrize("is_called", [False, True])
def test_a_first_value_is_the_variables_own_wherever_it_goes(
    backend: str, count: int, is_called: bool
) -> None:
    raw = np.zeros(4 * count + 64, np.uint8)
    start = -raw.ctypes.data % 64  # where a framework might take the memory as it is
    given = raw[start : start + 4 * count].view(np.float32)
    variable = Variable.at("v", (count,), initial=(lambda: given) if is_called else given)
    variable.native(backend)
    given[:] = 7
    assert not variable.numpy().any()
