"""The examples in docstrings of what the façade shows run, in order, on a small model."""

import inspect
import textwrap

import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import is_installed
from unifront.opset import elementwise, nn

SHOWN = {
    **{name: getattr(uf, name) for name in ("Input", "Sequential", "Model", "load")},
    **{
        f.__qualname__: f
        for _, f in inspect.getmembers(uf.Model, inspect.isfunction)
        if "Model." in f.__qualname__
    },
    **{f"layers.{name}": getattr(layers, name) for name in layers.__all__},
    **{f"ops.{name}": f for m in (elementwise, nn) for name, f in vars(m).items() if inspect.isfunction(f)},
}


def example(thing):
    """The code below the line ``Example::`` of a docstring."""
    return textwrap.dedent((inspect.getdoc(thing) or "").partition("Example::\n")[2])


EXAMPLES = {name: example(thing) for name, thing in SHOWN.items() if example(thing)}


def test_the_ways_into_the_library_have_examples():
    wanted = {
        "Input",
        "Model",
        "Sequential",
        "load",
        "Model.compile",
        "Model.fit",
        "Model.lower",
        "Model.save",
    }
    assert wanted | {"layers.Dense", "layers.Conv2D", "layers.LSTM"} <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_example(name, monkeypatch, tmp_path):
    code = EXAMPLES[name]
    for framework in ("torch", "jax", "tensorflow"):
        if framework in code and not is_installed(framework):
            pytest.skip(f"{framework} is not installed")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    model = uf.Sequential([uf.Input((4,)), layers.Dense(3)])
    model.compile("sgd", loss=uf.losses.SparseCategoricalCrossentropy(from_logits=True))
    names = {
        "uf": uf, "layers": layers, "model": model, "np": np,
        "x_train": rng.normal(size=(6, 4)).astype(np.float32), "y_train": np.arange(6) % 3,
    }  # fmt: skip
    if "torch." in code:
        names["torch"] = pytest.importorskip("torch")
    exec(compile(code, f"<docstring of {name}>", "exec"), names)


@pytest.mark.parametrize("name", layers.__all__)
def test_layers_are_described(name):
    assert (inspect.getdoc(getattr(layers, name)) or "").partition("\n")[0].endswith((".", ").", "``."))
