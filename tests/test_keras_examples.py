"""How `make keras-examples` reads and judges the examples of Keras's docstrings. (The examples themselves run there.)"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "keras_examples"
sys.path.insert(0, str(FOLDER))

from collect import blocks  # noqa: E402
from outputs import agree  # noqa: E402
from worker import free_names  # noqa: E402


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("array([[1., 2.]], dtype=float32)", "tensor([[1., 2.]])"),
        ("<tf.Tensor: shape=(2,), dtype=float32, numpy=array([0.1, 0.2], dtype=float32)>", "Array([0.1, 0.2], dtype=float32)"),
        ("0.10844523", "tensor(0.1084)"),
        ("(None, 64)", "(batch, 64)"),
        ("(None, None, 3)", "(batch, words_1, 3)"),
        ("<class 'keras.src.metrics.CategoricalCrossentropy'>", "<class 'unifront.train.metrics.CategoricalCrossentropy'>"),
        ("array([ True, False])", "[ True False]"),
        ("TensorShape([2, 3])", "(2, 3)"),
        ("array([b'a'], dtype=object)", "array(['a'], dtype='<U1')"),
        ("[[1, ...]]", "[[1, 2, 3]]"),
        ("{'loss': array(0.5)}", "{'loss': tensor(0.5000)}"),
    ],
)  # fmt: skip
def test_what_is_the_same_however_it_prints(shown: str, printed: str) -> None:
    assert agree(shown + "\n", printed + "\n")


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("array([1., 2.])", "tensor([1., 3.])"),
        ("array([1., 2.])", "tensor([1., 2., 3.])"),
        ("3", "4"),
        ("0.8", "0.9"),
        ("(None, 64)", "(batch, 32)"),
        ("0.10844523", "0.2084"),
        ("True", "False"),
        ("'float32'", "'float64'"),
        ("None", "tensor"),
        ("array([1., 2.])", ""),
    ],
)
def test_what_differs(shown: str, printed: str) -> None:
    assert not agree(shown + "\n", printed + "\n")


def test_fences_and_prompts_are_found_in_order() -> None:
    text = "One:\n\n```python\nx = 1\n```\n\n>>> x\n1\n\n>>> y = 2\n\nand\n\n```\n>>> y\n2\n```\n\n```shell\nls\n```\n"
    first, second, third = blocks(text)
    assert first == {"code": "x = 1\n"}
    assert second == {"steps": [["x\n", "1\n"], ["y = 2\n", ""]]}
    assert third == {"steps": [["y\n", "2\n"]]}


def test_names_that_an_example_leaves_open() -> None:
    assert free_names("def f(a):\n    return a + b\nimport c.d\nf(model, c)") == {"b", "model"}


@pytest.mark.slow
def test_the_examples_of_a_namespace_pass_as_the_page_says() -> None:
    page = (FOLDER.parents[1] / "docs/keras-examples.md").read_text(encoding="utf-8")
    (row,) = re.findall(r"## On torch\n.*?\n(\| keras\.tree \|[^\n]*\| 100 % \|)\n", page, re.DOTALL)
    command = [sys.executable, str(FOLDER), "--backend", "torch", "--only", "keras.tree"]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=600)
    assert result.returncode == 0, result.stdout
    assert row in result.stdout
