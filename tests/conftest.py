"""What holds for all tests."""

import sys
from collections.abc import Iterator

import pytest

SMALL = {"backends", "conformance", "layers", "losses", "opset", "saving", "tests", "train"}
"""Folders whose programs are small and run once: XLA would spend most of the tests' time on making them quick."""


@pytest.fixture(autouse=True)
def _compiled_as_they_are(request: pytest.FixtureRequest) -> Iterator[None]:
    """JAX's programs of `SMALL` without the optimizations of machine code, but for those of slow tests."""
    jax = sys.modules.get("jax")
    if jax is None or request.path.parent.name not in SMALL or request.node.get_closest_marker("slow"):
        yield
        return
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
