"""Operations that are written in others: traced for free sizes they are on every backend what NumPy makes of the values,
and their gradients are finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.attacks.wrong_calls import Target, op_targets
from unifront import tree
from unifront.backends import installed, placement
from unifront.opset.spec import OPS

FIXED = {
    "batch_normalization", "boolean_mask", "cholesky_inverse", "correlate", "dot", "in_top_k", "inv", "logdet", "lstsq",
    "segment_max", "segment_min", "segment_prod", "segment_sum", "separable_conv", "sparse_categorical_crossentropy",
}  # fmt: skip
"""Those whose operands share their first axis, or which need to know it."""
SIZES_FROM_VALUES = {"nonzero", "unique", "argwhere"}
"""Those that XLA cannot compile without a ``size=``."""


def _arrays(target: Target) -> dict[str, np.ndarray]:
    return {
        name: value
        for name, value in target.right.items()
        if isinstance(value, np.ndarray) and value.ndim and value.dtype.kind == "f"
    }


def _composites() -> Iterator[Target]:
    named = {spec.name for spec in OPS.values()}
    for target in op_targets():
        name = target.name.removeprefix("ops.")
        if (
            name not in named
            and not name.startswith(("random", "convert_to", "is_tensor"))
            and _arrays(target)
        ):
            yield target


def _name(target: Target) -> str:
    return target.name.removeprefix("ops.")


@pytest.fixture(autouse=True)
def _on_numpy() -> Iterator[None]:
    with uf.backend("numpy"), np.errstate(all="ignore"):
        yield


def _traced(target: Target) -> tuple[list[Any], list[Any]]:
    """Inputs and outputs of ``target``, the first axis of each input free."""
    inputs = {
        name: uf.Input(
            batch_shape=value.shape if _name(target) in FIXED else (f"{_name(target)}_{len(value)}", *value.shape[1:]),
            dtype=str(value.dtype), name=f"{_name(target)}_{name}",
        )
        for name, value in _arrays(target).items()
    }  # fmt: skip
    return list(inputs.values()), tree.leaves(target.call_with(inputs))


@pytest.mark.parametrize("name", installed())
def test_all_in_one_program_are_numpys(name: str) -> None:
    inputs: list[Any] = []
    outputs: list[Any] = []
    given: list[np.ndarray] = []
    expected: list[tuple[str, Any]] = []
    for target in _composites():
        if name == "jax" and _name(target) in SIZES_FROM_VALUES:
            continue
        results = tree.leaves(target.function(**target.right))
        if not all(isinstance(one, np.ndarray | np.generic) for one in results):  # shapes, names
            continue
        own, made = _traced(target)
        inputs, outputs = [*inputs, *own], [*outputs, *made]
        given += _arrays(target).values()
        expected += [(_name(target), one) for one in results]
    assert len(expected) > 150
    place = placement(name)
    program = place.backend.compile(uf.Model(inputs, outputs).graph(), place.device)
    found = program([place.backend.array(array, place.device) for array in given], [])
    for (called, value), result in zip(expected, found, strict=True):
        array, wanted, what = place.backend.numpy(result), np.asarray(value), f"{called} on {name}"
        assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape), what
        # The operands lie around zero and within one, so that sums may cancel.
        scale = max(1.0, float(np.nanmax(np.abs(wanted), initial=0))) if wanted.dtype.kind in "fc" else 1.0
        np.testing.assert_allclose(array, wanted, 1e-5, 2e-6 * scale, err_msg=what)


OUTSIDE = {"arctanh", "log2", "log10"}
"""Those whose right operands of the table lie at the edge of where they have values."""
STEPS = {"nextafter"}
"""Those that nobody differentiates."""


def _weighted(results: Any, made: dict[int, np.ndarray]) -> Any:
    """A random sum of all floats of ``results``, the same for values and tensors; None where there are none."""
    total: Any = None
    for number, one in enumerate(tree.leaves(results)):
        if str(getattr(one, "dtype", "")).endswith("float64"):
            shape = tuple(one.shape)
            factor = made.setdefault(number, np.random.default_rng(number).normal(size=shape))
            part = uf.ops.sum(uf.ops.multiply(one, factor))
            total = part if total is None else uf.ops.add(total, part)
    return total


def test_gradients_are_finite_differences() -> None:
    """Along one random direction of the first operand, in float64."""
    torch = pytest.importorskip("torch")
    rng, checked = np.random.default_rng(0), 0
    for target in _composites():
        name = _name(target)
        if name in OUTSIDE | STEPS:
            continue
        arrays = {
            key: value.astype("float64") + rng.uniform(-1e-2, 1e-2, value.shape)
            for key, value in _arrays(target).items()
        }
        first, factors = next(iter(arrays)), dict[int, np.ndarray]()

        def total(x: Any, target: Target = target, arrays: Any = arrays, factors: Any = factors) -> Any:
            return _weighted(target.call_with({**arrays, next(iter(arrays)): x}), factors)

        x, direction, step = arrays[first], rng.normal(size=arrays[first].shape), 1e-6
        if total(x) is None:
            continue
        expected = (total(x + step * direction) - total(x - step * direction)) / (2 * step)
        found = 0.0
        tensor = torch.tensor(x, requires_grad=True)
        value = total(tensor)
        if value.requires_grad:
            value.backward()
            found = float((tensor.grad.numpy() * direction).sum())
        assert np.isclose(found, expected, 1e-4, 1e-5), f"{name}: {found}, where {expected} is the difference"
        checked += 1
    assert checked > 120
