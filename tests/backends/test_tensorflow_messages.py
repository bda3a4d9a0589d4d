"""What TensorFlow prints in a process that loads it through unifront."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("tensorflow")

CODE = """
import os
import unifront_tensorflow
import tensorflow as tf
assert tf.ones(3).shape == (3,)
for _ in tf.data.Dataset.range(10).cache().take(3):  # it warns that the cache is not whole
    pass
print(os.environ["TF_CPP_MIN_LOG_LEVEL"])
"""


@pytest.mark.parametrize(
    ("given", "level", "warns", "informs"),
    [
        (None, "1", True, False),
        pytest.param("0", "0", True, True, marks=pytest.mark.slow),
        pytest.param("2", "2", False, False, marks=pytest.mark.slow),
    ],
)
def test_warnings_are_shown_and_who_has_set_a_level_keeps_it(
    given: str | None, level: str, warns: bool, informs: bool
) -> None:
    variables = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    if given is not None:
        variables["TF_CPP_MIN_LOG_LEVEL"] = given
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=250, env=variables
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [level]
    assert ("did not fully read the dataset being cached" in done.stderr) == warns
    assert ("cpu_feature_guard" in done.stderr) == informs
