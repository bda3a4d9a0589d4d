"""What of the data goes to the device, and as what: arrays that fit, batches of those that do not, bytes as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import get_backend, installed
from unifront.testing import assert_close
from unifront.train.session import Session

TRAINABLE = [name for name in installed() if name != "numpy"]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 4, 4, 1), dtype=np.uint8)
LABELS = RNG.integers(0, 3, 20)
each = pytest.mark.parametrize("backend", TRAINABLE)


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[int, ...]]]:
    """Dtype and shape of each array that a session puts on the device."""
    seen: list[tuple[str, tuple[int, ...]]] = []

    def noting(own: Any) -> Any:
        def noted(self: Session, array: np.ndarray) -> Any:
            seen.append((array.dtype.name, array.shape))
            return own(self, array)

        return noted

    for name in ("put", "put_all"):
        monkeypatch.setattr(Session, name, noting(getattr(Session, name)))
    return seen


def network(kind: type[uf.Model] = uf.Model) -> uf.Model:
    uf.set_seed(0)
    image = uf.Input((4, 4, 1), name="image")
    model = kind(image, layers.Dense(3)(layers.Flatten()(image)))
    model.compile(
        uf.optimizers.SGD(1e-6, momentum=0.5), uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    return model


@each
@pytest.mark.parametrize("given", ["arrays", "batches"])
def test_bytes_stay_bytes_until_the_step(backend: str, given: str, put: list[Any]) -> None:
    trained = []
    for images in (IMAGES, IMAGES.astype("float32")):
        model = network()
        data: Any = (images, LABELS)
        if given == "batches":
            data = (iter([(images[i : i + 5], LABELS[i : i + 5]) for i in range(0, 20, 5)]),)
        options = {"batch_size": 5} if given == "arrays" else {}
        model.fit(*data, epochs=1, verbose=0, shuffle=False, backend=backend, **options)
        loss = model.evaluate(images, LABELS, batch_size=8, backend=backend)
        trained.append((loss, *model.get_weights(), model.predict(images, batch_size=8, backend=backend)))
    assert {dtype for dtype, shape in put[: len(put) // 2] if len(shape) == 4} == {"uint8"}
    assert {dtype for dtype, shape in put[len(put) // 2 :] if len(shape) == 4} == {"float32"}
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)


@each
def test_predict_gives_the_device_bytes(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, own, seen = network(), get_backend(backend), []
    expected = model.predict(IMAGES.astype("float32"), backend=backend)
    array = type(own).array

    def noted(self: Any, value: np.ndarray, device: str | None = None) -> Any:
        seen.append((value.dtype.name, value.shape))
        return array(self, value, device)

    monkeypatch.setattr(type(own), "array", noted)
    found = model.predict(IMAGES, backend=backend)
    np.testing.assert_array_equal(found, expected)
    assert ("uint8", IMAGES.shape) in seen
    assert not any(dtype == "float32" and shape == IMAGES.shape for dtype, shape in seen)


@each
def test_a_step_of_the_users_gets_the_models_dtype(backend: str, put: list[Any]) -> None:
    class Own(uf.Model):
        def train_step(self, data: Any) -> Any:
            assert data[0].dtype.name == "float32"
            return super().train_step(data)

    network(Own).fit(IMAGES, LABELS, batch_size=5, verbose=0, backend=backend)
    assert {dtype for dtype, shape in put if len(shape) == 4} == {"uint8"}


@each
def test_arrays_that_do_not_fit_are_streamed(
    backend: str, put: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """The numbers and the order of batches are those of arrays that do; a file's rows are read when they are due."""
    path = tmp_path / "images.npy"
    np.save(path, IMAGES.astype("float32"))
    size, trained = IMAGES.size * 4 + 20 * 4, []
    for free, shapes in (
        (2 * size, {(20, 4, 4, 1)}),
        (2 * size - 2, {(18, 4, 4, 1), (2, 4, 4, 1)}),
    ):  # whole batches, some at a time
        monkeypatch.setattr(
            type(get_backend(backend)), "free_bytes", lambda self, device=None, free=free: free
        )
        put.clear()
        model = network()
        images = np.load(path, mmap_mode="r")
        history = model.fit(images, LABELS, batch_size=6, epochs=2, verbose=0, backend=backend)
        trained.append((history.history["loss"], *model.get_weights()))
        assert {shape for _, shape in put if len(shape) == 4} == shapes
    for one, other in zip(*trained, strict=True):
        assert_close(np.asarray(one, "float32"), np.asarray(other, "float32"))


@pytest.mark.parametrize("backend", installed())
def test_a_backend_tells_what_is_free(backend: str) -> None:
    free = get_backend(backend).free_bytes("cpu")
    assert free is None or free > 0
