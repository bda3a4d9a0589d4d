"""Short parts of a large tensor, which kernels on the CPU would take number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from unifront.backends import get_backend
from unifront.opset.spec import OPS

torch = pytest.importorskip("torch")


def split(x: Any, sizes: tuple[int, ...], axis: int) -> Any:
    return get_backend("torch").rows("cpu").table[OPS["split"]](x, sizes=sizes, axis=axis)


@pytest.mark.parametrize(
    ("channels", "height", "dense"),
    [(16, 32, True), (1, 64, True), (31, 16, True), (32, 32, False), (16, 2, False)],
    ids=["gates", "single", "uneven", "long", "few"],
)
def test_they_are_dense_and_lie_as_the_whole(channels: int, height: int, dense: bool) -> None:
    values = np.random.default_rng(0).normal(size=(8, height, height, 4 * channels))
    whole = torch.tensor(values, requires_grad=True)
    x = whole.permute(0, 3, 1, 2)  # channels last in memory, as convolutions leave them
    sizes = (channels, channels, 2 * channels) if 2 * channels < 32 else (channels,) * 4
    parts = split(x, sizes, 1)
    for part, expected in zip(parts, torch.split(x, sizes, 1), strict=True):
        assert torch.equal(part, expected)
        assert part.permute(0, 2, 3, 1).is_contiguous() == dense
    (gradient,) = torch.autograd.grad(sum((n + 1) * part.sum() for n, part in enumerate(parts)), whole)
    expected = np.repeat(np.arange(1.0, len(sizes) + 1), sizes)
    assert np.array_equal(gradient.numpy(), np.broadcast_to(expected, values.shape))


def test_an_exported_program_of_free_sizes_has_views() -> None:
    class Parts(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return split(x, (2, 2), 1)

    sizes = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(Parts(), (torch.zeros(5000, 4),), dynamic_shapes=sizes)
    assert "clone" not in program.graph_module.code
    a, b = program.module()(torch.arange(8.0).reshape(2, 4))
    assert a.tolist() == [[0, 1], [4, 5]]
    assert b.tolist() == [[2, 3], [6, 7]]
