"""How much memory data take in `fit`: a file in memory is read batch by batch, arrays lie on the device once."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers
from unifront.train.data import forget_pages, mapped_by

ROWS, WIDTH = 32768, 1024
MEGABYTES = ROWS * WIDTH * 4 / 2**20
SETUP = """
    import re, sys
    from pathlib import Path
    import numpy as np
    import unifront as uf
    from unifront import layers

    def memory(what):
        return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

    model = uf.Sequential([uf.Input(({width},)), layers.Dense(1)])
    model.compile(uf.optimizers.SGD(1e-6), "mse")
    backend = {backend!r}

    def run(x):
        model.fit(x, np.zeros(len(x), "float32"), epochs=2, batch_size=256, verbose=0, backend=backend)

    run(np.zeros((512, {width}), "float32"))
    x = {data}
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    run(x)
    print(memory("VmHWM") - before)
"""
CASES = {
    "memmap": (f"np.memmap('data', np.float32, 'r', shape=({ROWS}, {WIDTH}))", 0),
    "array": (f"np.ones(({ROWS}, {WIDTH}), np.float32)", 1),
}
"""How the data are made, and how many copies of them `fit` may make."""


EPOCH = """
    import re
    from pathlib import Path
    import numpy as np
    import unifront as uf
    from unifront import layers

    def memory(what):
        return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

    model = uf.Sequential([uf.Input((16,)), layers.Dense(1)])
    model.compile(uf.optimizers.SGD(1e-6), "mse")

    def run(x):
        y = np.zeros(len(x), "float32")
        model.fit(x, y, epochs=1, batch_size=512, verbose=0, backend={backend!r})

    run(np.zeros((2000, 16), "float32"))
    x = np.ones((10**7, 16), "float32")
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS") - x.nbytes / 2**20
    run(x)
    print((memory("VmHWM") - before) / (x.nbytes / 2**20))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="the peak of memory is asked of Linux"
)
@pytest.mark.parametrize("backend", TRAINABLE)
def test_ten_million_rows_are_in_memory_once(backend: str) -> None:
    code = textwrap.dedent(EPOCH).format(backend=backend)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < 1.3


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="the peak of memory is asked of Linux"
)
@pytest.mark.parametrize(
    ("case", "backend"),
    [
        pytest.param(case, name, marks=[pytest.mark.slow] * ((case, name) != ("memmap", "torch")))
        for case in CASES
        for name in TRAINABLE
    ],
)
def test_copies_of_the_data(case: str, backend: str, tmp_path: Path) -> None:
    data, copies = CASES[case]
    with (tmp_path / "data").open("wb") as file:
        file.truncate(ROWS * WIDTH * 4)
    code = textwrap.dedent(SETUP).format(width=WIDTH, backend=backend, data=data)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < (copies + 0.25) * MEGABYTES


@pytest.mark.parametrize("backend", TRAINABLE)
def test_a_file_trains_as_an_array_does(backend: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(5000, 1024)).astype("float32")  # more than is read at once
    x.tofile(tmp_path / "data")
    file = np.memmap(tmp_path / "data", np.float32, "r", shape=x.shape)
    found = []
    for data in (x, file, file[:]):
        uf.set_seed(0)
        model = uf.Sequential([uf.Input((1024,)), layers.Dense(1)])
        model.compile(uf.optimizers.SGD(1e-4), "mse")
        history = model.fit(data, x[:, 0], batch_size=999, epochs=2, verbose=0, backend=backend)
        found.append([*model.get_weights(), history.history["loss"]])
    for one in found[1:]:
        for a, b in zip(one, found[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_what_was_written_to_a_private_mapping_stays(tmp_path: Path) -> None:
    np.zeros(100_000).tofile(tmp_path / "data")
    for mode in ("r+", "c"):
        file = np.memmap(tmp_path / "data", np.float64, mode)
        file[:] = 3
        assert mapped_by(np.asarray(file)[5:]) is not None
        forget_pages(np.asarray(file)[5:])
        assert (file == 3).all()
    assert mapped_by(np.zeros(3)) is None


def test_arrays_in_pieces_train_as_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    from unifront.train import epochs

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(333, 6)), rng.integers(0, 3, 333)
    found = []
    for copied in (epochs.COPIED, 0):
        monkeypatch.setattr(epochs, "COPIED", copied)
        monkeypatch.setattr(epochs, "PIECE", 6 * 8 * 50)
        uf.set_seed(0)
        model = uf.Sequential([uf.Input((6,)), layers.Dense(3)])
        model.compile("adam", uf.losses.SparseCategoricalCrossentropy(from_logits=True))
        for steps in (None, 7):
            model.fit(x, y, batch_size=16, epochs=2, steps_per_epoch=steps, verbose=0, backend=TRAINABLE[0])
        assert model.optimizer.iterations == 2 * 21 + 2 * 7
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
