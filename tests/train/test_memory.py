"""Fitting again and again holds nothing of the fits before."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE, cross_entropy
from unifront import layers

STATM = Path("/proc/self/statm")
FITS, MEGABYTES = 20, 10
"""Kept from every fit, the data would be 40 MB, JAX's program about 100, TensorFlow's about 50, and PyTorch's, which is
Python, 2000 objects."""


def resident() -> float:
    """The memory of this process, in megabytes."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not STATM.exists(), reason="reads the size of the process from /proc, as Linux has it")
@pytest.mark.parametrize("backend", TRAINABLE)
def test_memory_stays_as_it_is(backend: str) -> None:
    x, y = np.random.default_rng(0).normal(size=(512, 1024)).astype("float32"), np.arange(512) % 3
    source = uf.Input((1024,))
    hidden = layers.Dropout(0.1)(layers.Dense(8, activation="relu")(source))
    model = uf.Model(source, layers.Dense(3)(hidden))
    model.compile("adam", cross_entropy(), metrics=["accuracy"])

    def fit() -> tuple[float, int]:
        model.fit(x, y, batch_size=128, validation_split=0.5, verbose=0, backend=backend)
        model.predict(x[:128], batch_size=128, backend=backend)
        gc.collect()
        return resident(), len(gc.get_objects())

    gc.collect()
    gc.freeze()  # what other tests left is not looked through again and again
    try:
        for _ in range(5):  # compiles, and fills what allocators keep
            before = fit()
        for _ in range(FITS):
            after = fit()
    finally:
        gc.unfreeze()
    assert after[0] - before[0] < MEGABYTES
    assert after[1] - before[1] < FITS


@pytest.mark.slow
@pytest.mark.parametrize("backend", TRAINABLE)
def test_dropped_models_leave_nothing_that_adds_up(backend: str) -> None:
    """Of the process's own memory: sixty models, made, trained and dropped. TensorFlow kept 2.3 MB of each."""
    code = f"""
        import gc, re
        from pathlib import Path
        import numpy as np
        import unifront as uf
        from unifront import layers

        def use():
            model = uf.Sequential([uf.Input((8,)), layers.Dense(16, activation="relu"), layers.Dense(1)])
            model.compile("adam", "mse")
            model.fit(np.zeros((32, 8)), np.zeros((32, 1)), verbose=0, backend={backend!r})

        def megabytes(models):
            for _ in range(models):
                use()
            gc.collect()
            return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024

        before = megabytes(10)
        print(megabytes(60) - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < 75
