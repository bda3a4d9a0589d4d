"""unifront: write a model once; train and run it as PyTorch, TensorFlow or JAX, on the same weights.

Everything here is loaded when it is first used; importing unifront loads no framework.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unifront import activations as activations
    from unifront import applications as applications
    from unifront import config as config
    from unifront import datasets as datasets
    from unifront import distillation as distillation
    from unifront import dtype_policies as dtype_policies
    from unifront import errors as errors
    from unifront import layers as layers
    from unifront import mixed_precision as mixed_precision
    from unifront import models as models
    from unifront import onnx as onnx
    from unifront import ops as ops
    from unifront import preprocessing as preprocessing
    from unifront import quantizers as quantizers
    from unifront import random as random
    from unifront import saving as saving
    from unifront import serving as serving
    from unifront import sklearn as sklearn
    from unifront import testing as testing
    from unifront import tree as tree
    from unifront import utils as utils
    from unifront import wrappers as wrappers
    from unifront import zoo as zoo
    from unifront.backend import NAMESPACE
    from unifront.backends import HostKey
    from unifront.backends import set_backend as set_backend
    from unifront.comparison import parity as parity
    from unifront.dtype_policies import DTypePolicy as DTypePolicy
    from unifront.dtype_policies import FloatDTypePolicy as FloatDTypePolicy
    from unifront.dtypes import floatx as floatx
    from unifront.dtypes import set_floatx as set_floatx
    from unifront.function import Function as Function
    from unifront.gradients import value_and_grad as value_and_grad
    from unifront.importing import from_onnx as from_onnx
    from unifront.keras_backend import device as device
    from unifront.layers import constraints as constraints
    from unifront.layers import initializers as initializers
    from unifront.layers import regularizers as regularizers
    from unifront.layers.initializers import Initializer as Initializer
    from unifront.layers.input import Input as Input
    from unifront.layers.input import KerasTensor as KerasTensor
    from unifront.layers.input_spec import InputSpec as InputSpec
    from unifront.layers.layer import Layer as Layer
    from unifront.layers.regularizers import Regularizer as Regularizer
    from unifront.layers.remat import RematScope as RematScope
    from unifront.measuring import bench as bench
    from unifront.model import Model as Model
    from unifront.opset.data_format import image_data_format as image_data_format
    from unifront.opset.data_format import set_image_data_format as set_image_data_format
    from unifront.opset.remat import remat as remat
    from unifront.quantizers import Quantizer as Quantizer
    from unifront.saving import load as load
    from unifront.scopes import scope
    from unifront.sequential import Sequential as Sequential
    from unifront.trace import set_rng as set_rng
    from unifront.trace import set_seed as set_seed
    from unifront.train import callbacks as callbacks
    from unifront.train import losses as losses
    from unifront.train import metrics as metrics
    from unifront.train import optimizers as optimizers
    from unifront.train import schedules as schedules
    from unifront.train.jit import jit as jit
    from unifront.train.losses import Loss as Loss
    from unifront.train.metrics import Metric as Metric
    from unifront.train.optimizers import Optimizer as Optimizer
    from unifront.weights import Variable as Variable

    # Imported under another name they would not be shown.
    backend, name_scope, random_key = NAMESPACE, scope, HostKey

__version__ = "0.1.0"

_HOMES = {
    "errors": "unifront.errors:",
    "activations": "unifront.activations:",
    "applications": "unifront.applications:",
    "config": "unifront.config:",
    "dtype_policies": "unifront.dtype_policies:",
    "mixed_precision": "unifront.mixed_precision:",
    "quantizers": "unifront.quantizers:",
    "tree": "unifront.tree:",
    "utils": "unifront.utils:",
    "preprocessing": "unifront.preprocessing:",
    "datasets": "unifront.datasets:",
    "distillation": "unifront.distillation:",
    "serving": "unifront.serving:",
    "sklearn": "unifront.sklearn:",
    "wrappers": "unifront.wrappers:",
    "layers": "unifront.layers:",
    "ops": "unifront.ops:",
    "zoo": "unifront.zoo:",
    "testing": "unifront.testing:",
    "onnx": "unifront.onnx:",
    "models": "unifront.models:",
    "saving": "unifront.saving:",
    "constraints": "unifront.layers.constraints:",
    "initializers": "unifront.layers.initializers:",
    "regularizers": "unifront.layers.regularizers:",
    "callbacks": "unifront.train.callbacks:",
    "losses": "unifront.train.losses:",
    "metrics": "unifront.train.metrics:",
    "optimizers": "unifront.train.optimizers:",
    "schedules": "unifront.train.schedules:",
    "random": "unifront.random:",
    "DTypePolicy": "unifront.dtype_policies:DTypePolicy",
    "FloatDTypePolicy": "unifront.dtype_policies:FloatDTypePolicy",
    "Layer": "unifront.layers.layer:Layer",
    "Function": "unifront.function:Function",
    "Initializer": "unifront.layers.initializers:Initializer",
    "Input": "unifront.layers.input:Input",
    "InputSpec": "unifront.layers.input_spec:InputSpec",
    "KerasTensor": "unifront.layers.input:KerasTensor",
    "Loss": "unifront.train.losses:Loss",
    "Metric": "unifront.train.metrics:Metric",
    "Optimizer": "unifront.train.optimizers:Optimizer",
    "Regularizer": "unifront.layers.regularizers:Regularizer",
    "Model": "unifront.model:Model",
    "Quantizer": "unifront.quantizers:Quantizer",
    "RematScope": "unifront.layers.remat:RematScope",
    "remat": "unifront.opset.remat:remat",
    "Sequential": "unifront.sequential:Sequential",
    "Variable": "unifront.layers.weighted:Variable",
    "backend": "unifront.backend:",
    "device": "unifront.keras_backend:device",
    "name_scope": "unifront.scopes:scope",
    "random_key": "unifront.backends:HostKey",
    "set_backend": "unifront.backends:set_backend",
    "floatx": "unifront.dtypes:floatx",
    "set_floatx": "unifront.dtypes:set_floatx",
    "image_data_format": "unifront.opset.data_format:image_data_format",
    "set_image_data_format": "unifront.opset.data_format:set_image_data_format",
    "set_rng": "unifront.trace:set_rng",
    "set_seed": "unifront.trace:set_seed",
    "value_and_grad": "unifront.gradients:value_and_grad",
    "jit": "unifront.train.jit:jit",
    "load": "unifront.saving:load",
    "from_onnx": "unifront.importing:from_onnx",
    "bench": "unifront.measuring:bench",
    "parity": "unifront.comparison:parity",
}
__all__ = [*_HOMES, "__version__"]  # the table is the list


if not TYPE_CHECKING:  # to a type checker, a name that is not above is an error

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            is_module = name.startswith("_") or (  # `from unifront import`
                name.isidentifier() and importlib.util.find_spec(f"unifront.{name}")
            )
            places = [] if is_module else _elsewhere(name)
            hint = f"it is uf.{places[0]}" if places else f"it has {', '.join(_HOMES)}"
            raise AttributeError(f"module 'unifront' has no attribute {name!r}; {hint}.")
        module, _, attribute = _HOMES[name].partition(":")
        found = importlib.import_module(module)
        return getattr(found, attribute) if attribute else found


def _elsewhere(name: str) -> list[str]:
    """Where below unifront something is called ``name``, or would be but for case: ``layers.Dense``."""
    found: list[str] = []
    for place, home in _HOMES.items():
        if home.endswith(":") and place not in ("errors", "testing", "zoo", "onnx"):
            module = importlib.import_module(home[:-1])
            own = dir(module)
            match = name if name in own else {key.lower(): key for key in own}.get(name.lower(), "")
            value = getattr(module, match, None)
            if callable(value) and str(getattr(value, "__module__", "")).startswith("unifront."):
                found.insert(0 if match == name else len(found), f"{place}.{match}")
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
