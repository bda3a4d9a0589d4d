"""What stands for the names that Keras's examples use and leave to the reader, as code to run before them.

A public name of Keras written bare (``Dense``, ``SGD``) is not here: it is looked for in Keras's modules.
"""

from __future__ import annotations

import importlib
from typing import Any

_ROWS = "np.random.default_rng(0).normal(size=(8, 3)).astype('float32')"
_TARGETS = "np.zeros((8, 1), 'float32')"
_CODE = {
    "model": "compiled(keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)]))",
    **dict.fromkeys(
        ("x", "x_train", "X_train", "x_test", "inputs", "input_data", "input_tensor", "data"), _ROWS
    ),
    **dict.fromkeys(("y", "y_train", "Y_train", "y_test"), _TARGETS),
}
_PACKAGES = {
    "tf": "tensorflow", "torch": "torch", "jax": "jax", "jnp": "jax.numpy", "np": "numpy", "os": "os",
    "collections": "collections",
}  # fmt: skip
_MODULES = (
    "layers", "initializers", "regularizers", "constraints", "callbacks", "losses", "metrics", "optimizers", "activations",
    "ops", "models", "utils", "saving", "random", "tree", "dtype_policies", "quantizers", "backend", "config", "datasets",
    "export", "distribution", "distillation",
)  # fmt: skip


def _compiled(model: Any) -> Any:
    model.compile("sgd", "mse")
    return model


def standin(name: str, keras: Any, names: dict[str, Any]) -> Any:
    """What stands for a name that an example leaves open: a module, a public name of Keras, data; or None."""
    if name in _PACKAGES:
        return importlib.import_module(_PACKAGES[name])
    if name in _CODE:
        numpy = importlib.import_module("numpy")
        return eval(_CODE[name], {"keras": keras, "np": numpy, "compiled": _compiled})
    for home in (keras, *(getattr(keras, module, None) for module in _MODULES)):
        if not name.startswith("_") and getattr(home, name, None) is not None:
            return getattr(home, name)
    return None
