"""Saving and loading a large weight hold one copy of it beside the value itself, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

MEGABYTES = 64
SETUP = f"""
    import re, sys
    from pathlib import Path
    import numpy as np
    import unifront as uf
    from unifront import layers

    def memory(what):
        return int(re.search(what + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

    def model_of():
        model = uf.Sequential([uf.Input((1024,)), layers.Dense({MEGABYTES * 256}, use_bias=False), layers.Dense(1)])
        for weight in model.weights:
            weight.assign(np.zeros(weight.shape, np.float32) + 1, copy=False)
        return model

    def beginning():
        Path("/proc/self/clear_refs").write_text("5")
        return memory("VmRSS")
"""
CASES = {
    "save": ("model = model_of(); model.trace(True)", "model.save('m.uf')", 1),
    "save_weights": ("model = model_of(); model.trace()", "model.save_weights('w.safetensors')", 1),
    "export": ("uf.Sequential([uf.Input((2,)), layers.Dense(1)]).export('x.onnx'); model = model_of(); model.trace()", "model.export('m.onnx', verify=False)", 1),
    "export_external": (
        "uf.Sequential([uf.Input((2,)), layers.Dense(1)]).export('x.onnx'); model = model_of(); model.trace()",
        "model.export('m.onnx', external_data=True, verify=False)", 1,
    ),
    # The value itself is made while it is read.
    "load": ("model_of().save('m.uf')", "[weight.numpy() for weight in uf.load('m.uf').weights]", 2),
    "load_weights": ("model = model_of(); model.save_weights('w')", "model.load_weights('w')", 1),
    "refused": ("model_of().save_weights('w')", """
        try:
            uf.Sequential([uf.Input((1024,)), layers.Dense(2)]).load_weights('w')
        except uf.errors.FileFormatError:
            pass
    """, 0),
}  # fmt: skip


SLOW = ("save_weights", "export_external", "refused")


@pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="the peak of memory is asked of Linux"
)
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] * (case in SLOW)) for case in CASES]
)
def test_copies(case: str, tmp_path: Path) -> None:
    before, measured, copies = CASES[case]
    code = "\n".join(
        [
            textwrap.dedent(SETUP),
            before,
            "start = beginning()",
            textwrap.dedent(measured),
            "print(memory('VmHWM') - start)",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < (copies + 0.25) * MEGABYTES
