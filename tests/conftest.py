"""What holds for all tests."""

import gc
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from unifront.backends import installed

os.environ.setdefault("UNIFRONT_BACKEND", installed()[0])  # KERAS_BACKEND says on what Keras judges
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")  # no test fails because the machine is slow

SMALL = {"backends", "conformance", "layers", "losses", "opset", "saving", "tests", "train"}
"""Folders whose programs are small and run once: XLA would spend most of the tests' time on making them quick."""
BEFORE_XLA = SMALL - {"backends", "conformance"}
"""Folders whose tests ask what is given to XLA, more than what XLA makes of it: its older emitters do, and
sooner. Those that users have are tested in the other folders, and by the slow tests of all."""


def pytest_collection_finish() -> None:
    """Millions of objects of the frameworks stay for good: no collection looks through them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _compiled_as_they_are(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """JAX's programs of `SMALL` without the optimizations of machine code, but for those of slow tests."""
    jax, folder = sys.modules.get("jax"), request.path.parent.name
    if jax is None or folder not in SMALL or request.node.get_closest_marker("slow"):
        yield
        return
    if folder in BEFORE_XLA:
        _use_older_emitters(monkeypatch)
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", False)


def _use_older_emitters(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``XLA_FLAGS=--xla_cpu_use_fusion_emitters=false`` would for the whole process."""
    from jax._src import compiler  # options for all programs have no public place but that variable

    plain = compiler.get_compile_options

    def options(*args: Any, **kwargs: Any) -> Any:
        given = dict(kwargs.pop("env_options_overrides", None) or {})
        return plain(*args, **kwargs, env_options_overrides={"xla_cpu_use_fusion_emitters": "False"} | given)

    monkeypatch.setattr(compiler, "get_compile_options", options)
