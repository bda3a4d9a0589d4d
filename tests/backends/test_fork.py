"""A process forked from one that has used a framework works, or says at once why it does not. It never hangs."""

import os
import subprocess
import sys

import pytest

from unifront.backends import installed

CODE = """
import os, signal, sys, warnings
warnings.simplefilter("ignore")  # JAX warns of the fork itself
import numpy as np
import unifront as uf
from unifront import layers
from unifront.errors import ForkError

name, used = sys.argv[1], sys.argv[2] == "used"
model = uf.Sequential([uf.Input((64,)), layers.Dense(512), layers.Dense(512), layers.Dense(1)])
model.compile(uf.optimizers.SGD(1e-5), "mse")
x, y = np.ones((256, 64), "float32"), np.ones((256, 1), "float32")
if used:
    model.fit(x, y, backend=name, verbose=0)
    model.predict(x, backend=name)
    model.to("host")
child = os.fork()
if child == 0:
    signal.alarm(60)
    code = 0
    try:
        model.predict(x, backend=name)
        model.fit(x, y, backend=name, verbose=0)
        with uf.backend(name):
            uf.ops.exp(model.weights[0])
    except ForkError as error:
        assert f"forked from one in which {name} was in use" in str(error) and "spawn" in str(error), error
        model.predict(x, backend="numpy")
        code = 3
    os._exit(code)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
model.predict(x, backend=name)  # the parent goes on
"""
REFUSES = {"jax", "tensorflow"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("used", ["used", pytest.param("fresh", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [name for name in installed() if name != "numpy"])
def test_after_a_fork(name, used):
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}  # with one, PyTorch has no threads to miss
    done = subprocess.run(
        [sys.executable, "-c", CODE, name, used], capture_output=True, text=True, env=environment, timeout=240
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == (3 if used == "used" and name in REFUSES else 0)
