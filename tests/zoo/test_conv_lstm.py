"""The convolutional LSTM that forecasts: the paper's equations by torch's convolutions judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors
from unifront.testing import assert_close
from unifront_zoo import conv_lstm

SMALL: dict[str, Any] = {"input_shape": (3, 4, 6, 1), "ahead": 2, "filters": (3, 2), "size": 3, "patch": 2}


def lively(**options: Any) -> uf.Model:
    model = uf.zoo.create("conv_lstm", **SMALL | options)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape).astype("float32") for w in model.weights])
    return model


def by_hand(w: dict[str, torch.Tensor], frames: torch.Tensor, ahead: int) -> torch.Tensor:
    """Equation 3 and figure 3 of Shi et al. 2015, on frames ``[batch, time, channels, height, width]``."""

    def conv(x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(x, kernel.permute(3, 2, 0, 1), padding="same")

    def step(name: str, x: Any, h: torch.Tensor, c: torch.Tensor) -> Any:
        sums = conv(h, w[f"{name}/recurrent_kernel"]) + w[f"{name}/bias"][:, None, None]
        if x is not None:
            sums = sums + conv(x, w[f"{name}/kernel"])
        i, f, g, o = sums.chunk(4, 1)
        ci, cf, co = w[f"{name}/peephole"][:, :, None, None]
        c = torch.sigmoid(f + cf * c) * c + torch.sigmoid(i + ci * c) * torch.tanh(g)
        return torch.sigmoid(o + co * c) * torch.tanh(c), c

    x = [torch.nn.functional.pixel_unshuffle(frame, 2) for frame in frames.unbind(1)]
    states = []
    for i, filters in ((1, 3), (2, 2)):
        h = c = torch.zeros(frames.shape[0], filters, *x[0].shape[2:])
        for t, frame in enumerate(x):
            h, c = step(f"encoder_{i}", frame, h, c)
            x[t] = h
        states.append((h, c))
    found = []
    for _ in range(ahead):
        below, outputs = None, []
        for i in (1, 2):
            h, c = states[i - 1] = step(f"forecaster_{i}", below, *states[i - 1])
            outputs.append(h)
            below = h
        pixels = torch.cat(outputs, 1).movedim(1, -1) @ w["predictions/kernel"] + w["predictions/bias"]
        found.append(torch.nn.functional.pixel_shuffle(torch.sigmoid(pixels).movedim(-1, 1), 2))
    return torch.stack(found, 1)


@pytest.mark.parametrize("time", [1, 3])
def test_the_papers_equations(time: int) -> None:
    model = lively(input_shape=(None, 4, 6, 1))
    frames = torch.rand((2, time, 1, 4, 6), generator=torch.Generator().manual_seed(0))
    weights = {weight.path: torch.tensor(np.asarray(weight.numpy())) for weight in model.weights}
    expected = by_hand(weights, frames, 2).movedim(2, -1)
    found = model.predict(frames.movedim(2, -1).numpy(), backend="torch")
    assert_close(found, expected.numpy())


@pytest.mark.parametrize(
    ("filters", "count"), [((256,), 13_524_496), ((128, 128), 10_042_896), ((128, 64, 64), 7_585_296)]
)
def test_the_papers_counts_of_parameters(filters: Any, count: int) -> None:
    """Table 1, kernels of 5×5."""
    assert uf.zoo.create("conv_lstm", filters=filters).count_params() == count


def test_patches_come_back() -> None:
    frames = torch.rand((2, 3, 4, 6, 5))
    patches = conv_lstm.Patches(2)(frames)
    assert tuple(patches.shape) == (2, 3, 2, 3, 20)
    assert torch.equal(conv_lstm.Patches(2, back=True)(patches), frames)


def test_frames_that_patches_do_not_fill_are_refused() -> None:
    with pytest.raises(errors.ArgumentError, match="frames of 6×5 are not made of patches of 4×4"):
        uf.zoo.create("conv_lstm", input_shape=(3, 6, 5, 1))


@pytest.mark.slow
def test_a_moving_dot_is_forecast_with_equal_losses() -> None:
    rng = np.random.default_rng(0)
    films = np.zeros((400, 6, 8, 8, 1), np.float32)
    for film, x, y in zip(films, rng.integers(0, 8, 400), rng.integers(0, 8, 400), strict=True):
        for t in range(6):
            film[t, (y + t) % 8, (x + 2 * t) % 8] = 1
    size: dict[str, Any] = {"input_shape": (4, 8, 8, 1), "ahead": 2, "filters": (16,), "size": 5, "patch": 1}
    uf.set_seed(0)
    start, losses = uf.zoo.create("conv_lstm", **size), {}
    for name in TRAINABLE:
        model = uf.zoo.create("conv_lstm", **size)
        model.set_weights(start.get_weights())
        model.compile(uf.optimizers.Adam(0.01), "binary_crossentropy")
        losses[name] = model.fit(
            films[:32, :4], films[:32, 4:], batch_size=16, epochs=2, shuffle=False, verbose=0, backend=name
        ).history["loss"]
    for name in TRAINABLE:
        np.testing.assert_allclose(losses[name], losses["torch"], rtol=2e-5, err_msg=name)
    start.compile(uf.optimizers.Adam(0.03), "binary_crossentropy")
    start.fit(films[:350, :4], films[:350, 4:], batch_size=25, epochs=12, verbose=0, backend="torch")
    found = start.predict(films[350:, :4], backend="torch").reshape(50, 2, 64).argmax(-1)
    assert (found == films[350:, 4:].reshape(50, 2, 64).argmax(-1)).mean() > 0.5  # 1 of 64 by chance
