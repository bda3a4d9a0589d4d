"""Every public function and class called wrongly: the table, made from signatures and wrong values."""

from __future__ import annotations

import contextlib
import functools
import inspect
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from inspect import Parameter
from typing import Any

import numpy as np

import unifront as uf
from unifront import (
    callbacks,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    regularizers,
    schedules,
)
from unifront.backends import get_backend

VALUES: dict[str, Any] = {
    "None": None, "'no'": "no", "''": "", "b'no'": b"no", "-1": -1, "0": 0, "1.5": 1.5, "nan": np.nan,
    "inf": np.inf, "10**12": 10**12, "10**30": 10**30, "True": True, "[]": [], "{}": {}, "[[1], [2, 3]]": [[1], [2, 3]],
    "['a']": ["a"], "[None]": [None], "object": object(), "int": int, "...": ...,
    "empty array": np.zeros((0,), np.float32), "array of strings": np.array(["a", "b"]),
    "array of objects": np.array([None, {}], dtype=object), "complex array": np.ones((2, 2), complex),
    "array of rank 5": np.ones((1, 2, 1, 2, 1), np.float32),
}  # fmt: skip


@dataclass(frozen=True)
class Target:
    """A public callable, right arguments for it, and what to do with what it makes."""

    name: str
    function: Callable[..., Any]
    right: dict[str, Any] = field(default_factory=dict)
    use: Callable[[Any], Any] = lambda made: None
    leave: tuple[str, ...] = ()

    def parameters(self) -> list[Parameter]:
        kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_ONLY)
        found = inspect.signature(self.function).parameters.values()
        return [one for one in found if one.kind in kinds and one.name not in ("self", *self.leave)]

    def call_with(self, changed: dict[str, Any]) -> Any:
        """What it gives for the right arguments, some of them ``changed``."""
        return self.function(**{**self.right, **changed})

    def call(self, **changed: Any) -> Any:
        """Call it, and use what it gives, as quietly as can be."""
        with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
            return self.use(self.function(**{**self.right, **changed}))


X = np.linspace(-1, 1, 30, dtype=np.float32).reshape(2, 5, 3)
IMAGE = np.linspace(-1, 1, 150, dtype=np.float32).reshape(2, 5, 5, 3)
VOLUME = np.linspace(-1, 1, 96, dtype=np.float32).reshape(2, 4, 2, 2, 3)
FLAT = X[:, 0]
NATIVE = get_backend("torch").array(X)  # what has gradients

REQUIRED: dict[str, Any] = {
    "units": 2, "filters": 2, "kernel_size": 1, "num_heads": 2, "key_dim": 2, "head_dim": 2, "num_query_heads": 2,
    "num_key_value_heads": 1, "output_size": 1, "height": 3, "width": 3, "factor": 0.5, "rate": 0.5, "stddev": 0.5, "axes": 1, "n": 2, "dims": (2, 1),
    "input_dim": 4, "output_dim": 2, "activation": "relu", "target_shape": (15,), "learning_rate": 0.1,
    "initial_learning_rate": 0.1, "first_decay_steps": 10, "maximal_learning_rate": 0.1, "total_steps": 10, "decay_steps": 10, "decay_rate": 0.5, "boundaries": [1, 2], "values": [1, 2, 3],
    "name": "metric",
}  # fmt: skip
"""Right values for what has no default."""


def _required(function: Any) -> dict[str, Any]:
    return {
        one.name: REQUIRED[one.name]
        for one in inspect.signature(function).parameters.values()
        if one.default is Parameter.empty and one.name in REQUIRED
    }


CELLS: dict[str, Any] = {
    "RNN": lambda: {"cell": layers.GRUCell(2)},
    "StackedRNNCells": lambda: {"cells": [layers.SimpleRNNCell(2), layers.LSTMCell(2)]},
}
"""What is made of cells."""


LAYERS: dict[str, dict[str, Any]] = {
    "Cropping3D": {"cropping": ((1, 1), (0, 0), (0, 0))}, "EinsumDense": {"equation": "abc,cd->abd", "output_shape": (None, 2)},
    "GroupNormalization": {"groups": 3}, "MaxNumBoundingBoxes": {"max_number": 2, "bounding_box_format": "xyxy"}, "PReLU": {"shared_axes": 1},
    "RandomPosterization": {"factor": 4}, "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
    "RandomZoom": {"height_factor": 0.2}, "Rescaling": {"scale": 2.0}, "CategoryEncoding": {"num_tokens": 4},
    "Discretization": {"bin_boundaries": [0.0, 0.5]}, "Lambda": {"function": lambda x: x}, "Hashing": {"num_bins": 4}, "HashedCrossing": {"num_bins": 4},
    "IntegerLookup": {"vocabulary": [1, 2]}, "StringLookup": {"vocabulary": ["a", "b"]},
    "TextVectorization": {"vocabulary": ["a", "b"]},
    "MelSpectrogram": {"fft_length": 4, "sequence_stride": 2, "num_mel_bins": 2},
    "STFTSpectrogram": {"frame_length": 2, "frame_step": 1, "fft_length": 2},
}  # fmt: skip
"""Right arguments of single layers."""

PAIRED = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract")


def _input_of(name: str) -> Any:
    if name.startswith("ConvLSTM"):
        return {"1": IMAGE, "2": VOLUME, "3": VOLUME[:, None]}[name[-2]]
    if name in (*PAIRED, "Attention", "AdditiveAttention"):
        return [X, X]
    if name == "RepeatVector" or name.endswith(("RNNCell", "LSTMCell", "GRUCell", "RNNCells")):
        return FLAT
    if name in ("MultiHeadAttention", "GroupQueryAttention"):
        return X, X
    if name == "MaxNumBoundingBoxes":
        return {
            "images": IMAGE,
            "bounding_boxes": {"boxes": np.ones((2, 3, 4), np.float32), "labels": np.ones((2, 3))},
        }
    if name in ("StringLookup", "TextVectorization"):
        return np.array(["a", "c"])
    if name == "HashedCrossing":
        return [LABELS, LABELS]
    if name == "MelSpectrogram":
        return VOLUME.reshape(2, 48)
    if name in ("Embedding", "ReversibleEmbedding", "CategoryEncoding", "IntegerLookup"):
        return np.array([[0, 1], [2, 3]], np.int32)
    rank = next((digit for digit in "123" if f"{digit}D" in name), "1")
    return {"1": X, "2": IMAGE, "3": VOLUME}[rank]


def _run(given: Any, layer: Any) -> None:
    # Copies: a mask travels on with the array that a layer gives, which may be the one that it took.
    several = uf.tree.map_leaves(np.copy, given if isinstance(given, tuple) else (given,))
    states = (
        [layer.get_initial_state(batch_size=2)]
        if hasattr(layer, "state_size") and not hasattr(layer, "return_sequences")
        else []
    )
    layer(*several, *states)
    layer(*several, *states, training=True)


def layer_targets() -> Iterator[Target]:
    for name in layers.__all__:
        if name in ("Input", "InputLayer", "Layer", "Wrapper", "InputSpec", "FlaxLayer", "JaxLayer"):
            continue
        if name in ("TFSMLayer", "TorchModuleWrapper"):  # modules of frameworks: tests/layers/test_foreign.py
            continue
        if not isinstance(getattr(layers, name), type):
            continue
        cls = getattr(layers, name)
        right = _required(cls)
        if "layer" in inspect.signature(cls).parameters:
            right["layer"] = layers.LSTM(2) if name == "Bidirectional" else layers.Dense(2)
        if name == "Pipeline":
            right["layers"] = [layers.Dense(2)]
        right |= CELLS[name]() if name in CELLS else LAYERS.get(name, {})
        yield Target(f"layers.{name}", cls, right, functools.partial(_run, _input_of(name)))
    yield Target("Layer", uf.Layer)
    for right, leave in (({"shape": (3,)}, "batch_shape"), ({"batch_shape": (None, 3)}, "shape")):
        yield Target("layers.InputLayer", layers.InputLayer, right, lambda made: made.output, (leave,))


PREDICTED = np.array([[0.2, 0.8], [0.6, 0.4]], np.float32)
ONE_HOT = np.array([[0, 1], [1, 0]], np.float32)
LABELS = np.array([1, 0], np.int32)
LOSS_DATA = {
    "SparseCategoricalCrossentropy": (LABELS, PREDICTED),
    "CategoricalGeneralizedCrossEntropy": (LABELS, PREDICTED),
    "Circle": (LABELS, PREDICTED),
    "CTC": (np.array([[1]], np.int32), PREDICTED[None]),
}
"""Targets and predictions of losses that take no one-hot targets."""


ABSTRACT = (metrics.Metric,)
METRICS: dict[str, dict[str, Any]] = {
    "MeanMetricWrapper": {"fn": lambda y, p: ops.mean(p, axis=-1)},
    "IoU": {"num_classes": 2, "target_class_ids": [0]}, "OneHotIoU": {"num_classes": 2, "target_class_ids": [0]},
    "MeanIoU": {"num_classes": 2}, "OneHotMeanIoU": {"num_classes": 2}, "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5}, "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
}  # fmt: skip
"""The arguments that metrics need."""


def training_targets() -> Iterator[Target]:
    for name, cls in vars(losses).items():
        if (
            isinstance(cls, type)
            and issubclass(cls, losses.Loss)
            and cls not in (losses.Loss, losses.StandardLoss)
        ):
            true, predicted = LOSS_DATA.get(name, (ONE_HOT, PREDICTED))
            wrapper = cls is losses.LossFunctionWrapper
            right = {"fn": lambda y, p: ops.mean(p, axis=-1)} if wrapper else {}
            yield Target(
                f"losses.{name}",
                cls,
                right,
                lambda loss, true=true, predicted=predicted: loss(true, predicted),
            )
            if wrapper:
                continue
            made = cls(**right)
            yield Target(f"losses.{name}()", made.__call__, {"y_true": true, "y_pred": predicted})
    for name, cls in vars(metrics).items():
        if isinstance(cls, type) and issubclass(cls, metrics.Metric) and cls not in ABSTRACT:
            true = LABELS if "Sparse" in name else ONE_HOT
            given = (PREDICTED,) if cls in (metrics.Mean, metrics.Sum) else (true, PREDICTED)
            yield Target(
                f"metrics.{name}", cls, METRICS.get(name, {}), lambda made, given=given: made(*given)
            )
    for name, cls in vars(optimizers).items():
        if (
            isinstance(cls, type)
            and issubclass(cls, optimizers.Optimizer)
            and cls is not optimizers.Optimizer
        ):
            right = {"LossScaleOptimizer": "inner_optimizer", "MultiOptimizer": "optimizer_map"}.get(name)
            yield Target(
                f"optimizers.{name}",
                cls,
                {right: optimizers.SGD()} if right else {},
                lambda made: made.rate(0),
            )
    for name, cls in vars(schedules).items():
        if name.startswith("_") or cls is schedules.Schedule:
            continue
        if isinstance(cls, type) and issubclass(cls, schedules.Schedule):
            yield Target(f"schedules.{name}", cls, _required(cls), lambda made: made(3))
    for name in ("EarlyStopping", "ReduceLROnPlateau", "LambdaCallback", "History"):
        yield Target(f"callbacks.{name}", getattr(callbacks, name))
    for module in (losses, optimizers, initializers, regularizers):
        word = module.__name__.rpartition(".")[2]
        right = {"losses": "mse", "optimizers": "sgd", "initializers": "zeros", "regularizers": "l2"}[word]
        yield Target(f"{word}.get", module.get, {next(iter(inspect.signature(module.get).parameters)): right})
    yield Target(
        "metrics.for_output",
        metrics.registry.for_output,
        {"identifier": "mse", "true_shape": (2,), "pred_shape": (2, 3)},
        leave=("true_shape", "pred_shape"),
    )


def start_targets() -> Iterator[Target]:
    for name in dict.fromkeys(made.__name__ for made in initializers.NAMES.values()):
        made = getattr(initializers, name, None)
        if made is not None:
            shape = (4, 1, 3) if name == "STFT" else (2, 2)
            yield Target(f"initializers.{name}", made, {}, lambda drawn, shape=shape: drawn(shape))
            yield Target(f"initializers.{name}()", made().__call__, {"shape": shape})
    for name in ("L1", "L2", "L1L2"):
        yield Target(f"regularizers.{name}", getattr(regularizers, name), {}, lambda made: made(X))


@functools.cache
def _model() -> uf.Model:
    uf.set_seed(0)
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2, name="dense")])
    model.compile("sgd", "mse")
    return model


def _fresh(method: str) -> Callable[..., Any]:
    """The method of a new model each time it is called, with the signature of the method."""

    @functools.wraps(getattr(uf.Sequential, method))
    def call(**given: Any) -> Any:
        model = uf.Sequential([uf.Input((3,)), layers.Dense(2, name="dense")])
        model.compile("sgd", "mse")
        return getattr(model, method)(**given)

    signature = inspect.signature(getattr(uf.Sequential, method))
    call.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])  # type: ignore[attr-defined]
    return call


def model_targets(folder: Any) -> Iterator[Target]:
    y = np.ones((2, 2), np.float32)
    data = {"x": FLAT, "y": y, "backend": "numpy"}
    image = uf.Input((3,))
    yield Target("Model", uf.Model, {"inputs": image, "outputs": layers.Dense(1)(image)}, lambda m: m.graph())
    yield Target("Sequential", uf.Sequential, {"layers": [uf.Input((3,)), layers.Dense(2)]})
    yield Target("Model.evaluate", _fresh("evaluate"), data)
    yield Target("Model.predict", _fresh("predict"), {"x": FLAT, "backend": "numpy"})
    yield Target("Model.compile", _fresh("compile"), {"optimizer": "sgd", "loss": "mse"})
    yield Target("Model.fit", _fresh("fit"), {**data, "backend": None, "epochs": 0, "verbose": 0})
    for name, right in {
        "build": {"input_shape": (None, 3)}, "get_layer": {"name": "dense"}, "summary": {}, "to": {"backend": "numpy"},
        "lower": {"backend": "numpy"}, "set_weights": {"values": [np.ones((3, 2)), np.ones(2)]},
        "add": {"layer": layers.Dense(2)}, "graph": {}, "trace": {},
    }.items():  # fmt: skip
        yield Target(f"Model.{name}", _fresh(name), right)
    for name, argument, suffix in (
        ("save", "filepath", ".uf"),
        ("save_weights", "filepath", ".safetensors"),
        ("export", "filepath", ".onnx"),
    ):
        yield Target(f"Model.{name}", _fresh(name), {argument: folder / f"m{suffix}"})
    yield Target("Model.load_weights", _fresh("load_weights"), {"filepath": folder / "m.safetensors"})
    add_weight = layers.Dense(2).add_weight
    yield Target(
        "Layer.add_weight", functools.wraps(add_weight)(lambda **given: layers.Dense(2).add_weight(**given).numpy()),
        {"shape": (2, 2)},
    )  # fmt: skip


def _entered(block: Any) -> None:
    with block:
        pass


def facade_targets(folder: Any) -> Iterator[Target]:
    yield Target("Input", uf.Input, {"shape": (3,)}, leave=("batch_shape",))
    yield Target("Input", uf.Input, {"batch_shape": (None, 3)}, leave=("batch_size", "shape"))
    yield Target("set_floatx", uf.set_floatx, {"dtype": "float32"})
    yield Target("set_seed", uf.set_seed, {"seed": 1})
    yield Target("set_backend", uf.set_backend, {"name": "numpy"})
    yield Target("backend", uf.backend, {"name": "numpy"}, _entered)
    yield Target("random_key", lambda seed: uf.random_key(seed), {"seed": 1})
    yield Target("jit", uf.jit, {"function": lambda: X}, lambda made: made())
    yield Target("value_and_grad", uf.value_and_grad, {"function": lambda x: ops.sum(x)})
    yield Target("load", uf.load, {"path": folder / "none.uf"})
    yield Target("parity", uf.parity, {"model": _model(), "x": FLAT, "backends": ["numpy"]})
    yield Target("zoo.create", uf.zoo.create, {"name": "lenet5"})
    yield Target("zoo.list", uf.zoo.list)
    yield Target("zoo.entries", uf.zoo.entries)
    yield Target(
        "Variable",
        uf.Variable,
        {"initializer": np.ones(2, np.float32), "shape": (2,), "dtype": uf.floatx(), "name": "a"},
    )


OPERANDS: dict[str, Any] = {
    "x": X, "y": X, "xs": [X, X], "logits": FLAT, "labels": LABELS, "targets": FLAT, "table": FLAT, "indices": LABELS,
    "kernel": np.ones((3, 2), np.float32), "axis": 1, "axes": (0, 2, 1), "shape": (2, 15), "dtype": "float32",
    "condition": X > 0, "min": -1.0, "max": 1.0, "low": -1.0, "high": 1.0, "a_min": -1.0, "a_max": 1.0, "x_min": -1.0, "x_max": 1.0,
    "key": uf.random_key(0), "rate": 0.5, "p": 0.5, "num_classes": 3, "k": 2, "repeats": 2,
    "pad_width": ((0, 0), (1, 1), (0, 0)), "indices_or_sections": 1, "axis1": 0, "axis2": 1, "source": 0, "destination": 1,
    "fill_value": 1.0, "stop": 4, "start": 0, "equation": "bti->bt", "data": 3, "gamma": np.ones(3, np.float32),
    "beta": np.ones(3, np.float32), "scale": np.ones(3, np.float32), "mean": np.ones(3, np.float32), "variance": np.ones(3, np.float32),
    "epsilon": 1e-3, "minimum": 0.0, "maximum": 1.0, "param": X, "grad": X, "m": X, "v": X, "velocity": X,
    "accumulator": X, "iteration": 1, "learning_rate": 0.1, "pool_size": 2, "starts": (0, 0, 0), "stops": (1, 1, 1), "recurrent_kernel": np.ones((2, 8), np.float32),
    "groups": 3, "size": 3, "x1": X, "x2": X, "num": 2, "value": np.int32(3), "mask": X > 0,
    "inputs": X, "output_size": 2, "target": ONE_HOT, "output": PREDICTED, "kth": 1, "query": IMAGE, "counts": np.float32(4),
    "probabilities": np.float32(0.5), "alpha": np.float32(2), "seed": 1, "values": FLAT, "q": 0.5, "max_val": 1.0,
    "sequence_length": 2, "sequence_stride": 1, "fft_length": 4, "sequence_lengths": np.array([5, 4], np.int32),
    "segment_ids": LABELS, "n": 2, "N": 2, "block_size": 1, "kernel_size": 2, "shift": 1, "newshape": (2, 15),
    "array": X, "variable": X, "abs_": X, "angle": X, "pyfunc": np.negative, "a": X, "b": X, "subscripts": "bti->bt", "bins": [-0.5, 0.5], "threshold": 0.5, "default_value": 0.0,
    "predictions": ONE_HOT, "start_indices": (0, 0, 0), "sorted_sequence": np.arange(4, dtype=np.float32), "tensor": X,
    "depthwise_kernel": np.ones((2, 3, 1), np.float32), "pointwise_kernel": np.ones((1, 3, 2), np.float32),
}  # fmt: skip

INTEGERS = np.array([[1, 2], [3, 4]], np.int32)
SQUARE = np.array([[2, 1], [1, 3]], np.float32)
EVEN = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4)
VECTOR = np.arange(4, dtype=np.float32)

OWN: dict[str, dict[str, Any]] = {
    "matmul": {"x2": np.ones((3, 2), np.float32)}, "dot": {"x2": np.ones((3, 2), np.float32)},
    "conv": {"kernel": np.ones((2, 3, 2), np.float32)}, "depthwise_conv": {"kernel": np.ones((2, 3, 1), np.float32)},
    "conv_transpose": {"kernel": np.ones((2, 2, 3), np.float32), "strides": 1},
    "broadcast_to": {"shape": (4, 2, 5, 3)}, "tile": {"repeats": (1, 1, 1)}, "squeeze": {"x": X[:, :1]},
    "take_along_axis": {"indices": np.zeros((2, 1, 3), np.int32)}, "one_hot": {"x": LABELS, "axis": -1},
    "multi_hot": {"inputs": LABELS, "num_classes": 3},
    "tensordot": {"axes": 0}, "unstack": {"num": 5, "axis": 1}, "zeros": {"shape": (2,)}, "ones": {"shape": (2,)}, "full": {"shape": (2,)},
    "lstm": {"kernel": np.ones((3, 8), np.float32)},
    "gru": {"kernel": np.ones((3, 6), np.float32), "recurrent_kernel": np.ones((2, 6), np.float32)},
    "simple_rnn": {"kernel": np.ones((3, 2), np.float32), "recurrent_kernel": np.ones((2, 2), np.float32)},
    "iota": {"shape": (2, 3)}, "batch_norm": {"axis": 2}, "batch_norm_training": {"axis": 2},
    "batch_normalization": {"axis": 2}, "layer_norm": {"axis": 2}, "rms_norm": {"axis": 2},
    "group_norm": {"axis": 2, "groups": 3}, "global_average_pool": {"x": IMAGE}, "global_max_pool": {"x": IMAGE},
    "sparse_categorical_crossentropy": {"target": LABELS}, "geomspace": {"start": 1, "stop": 8}, "glu": {"x": EVEN},
    "ldexp": {"x2": INTEGERS[0, 0]}, "view_as_complex": {"x": X[..., :2]}, "kaiser": {"x": 4, "beta": 1.0},
    "bartlett": {"x": 4}, "blackman": {"x": 4}, "hamming": {"x": 4}, "hanning": {"x": 4}, "histogram": {"x": VECTOR},
    "bincount": {"x": LABELS}, "corrcoef": {"x": FLAT}, "correlate": {"x1": VECTOR, "x2": VECTOR}, "diag": {"x": FLAT},
    "vander": {"x": VECTOR}, "ctc_loss": {
        "target": np.array([[1, 2], [2, 1]], np.int32), "output": X,
        "target_length": np.array([2, 1], np.int32), "output_length": np.array([5, 4], np.int32),
    },
    "depth_to_space": {"x": np.ones((1, 2, 2, 4), np.float32), "block_size": 2},
    "space_to_depth": {"x": np.ones((1, 4, 4, 1), np.float32), "block_size": 2},
    **{f"segment_{kind}": {"data": FLAT} for kind in ("max", "min", "prod", "sum")},
    "dot_product_attention": {"key": IMAGE, "value": IMAGE}, "fft": {"x": (X, X)}, "fft2": {"x": (X, X)},
    "ifft2": {"x": (X, X)}, "irfft": {"x": (X, X)}, "istft": {"x": (X, X)}, "solve": {"a": SQUARE, "b": FLAT},
    "solve_triangular": {"a": SQUARE, "b": FLAT}, "lstsq": {"a": SQUARE, "b": FLAT}, "fold": {
        "x": np.ones((2, 4, 4), np.float32), "output_size": 3,
    },
    "unfold": {"x": np.ones((2, 1, 3, 3), np.float32)}, "in_top_k": {"targets": LABELS},
    "random_bits": {"key": np.array([1, 2], np.uint32)}, "rearrange": {"pattern": "a b c -> a (b c)"},
    "scatter": {"indices": np.array([[0], [1]], np.int32), "shape": (2, 3)}, "slice": {"shape": (1, 2, 3)},
    "searchsorted": {"values": VECTOR}, "select": {"condlist": [X > 0], "choicelist": [X]},
    "scatter_update": {"indices": np.array([[0], [1]], np.int32), "updates": X}, "slice_update": {"updates": X},
    **{name: {"x": SQUARE} for name in (
        "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "logdet", "slogdet",
    )},
    **{name: {"x": INTEGERS} for name in ("bitwise_invert", "bitwise_not")},
    **{name: {"x": INTEGERS, "y": INTEGERS, "x1": INTEGERS, "x2": INTEGERS} for name in (
        "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_left_shift", "bitwise_right_shift", "left_shift",
        "right_shift", "gcd", "lcm",
    )},
}  # fmt: skip
WITH_FUNCTIONS: dict[str, dict[str, Any]] = {
    "cond": {"pred": True, "true_fn": lambda: X, "false_fn": lambda: X},
    "while_loop": {"cond": lambda i: ops.less(i, 3), "body": lambda i: (ops.add(i, 1),), "loop_vars": (np.int32(0),)},
    "scan": {"f": lambda carry, x: (carry, x), "init": np.float32(0), "xs": X},
    "associative_scan": {"f": ops.add, "elems": X}, "fori_loop": {
        "lower": 0, "upper": 3, "body_fun": lambda i, x: ops.add(x, 1.0), "init_val": np.float32(0),
    },
    "map": {"f": ops.exp, "xs": X}, "vectorized_map": {"function": ops.exp, "elements": X},
    "remat": {"f": ops.exp}, "jvp": {"fun": ops.sin, "primals": (NATIVE,), "tangents": (NATIVE,)}, "switch": {"index": 0, "branches": [lambda: X]}, "custom_gradient": {"f": lambda x: (x, lambda g: g)},
}  # fmt: skip
"""Operations that run functions of the user's."""
NO_TARGETS = ("with_mask", "define", "undefine", "promoted", "meshgrid", "einsum")


def _einsum(subscripts: Any, x: Any) -> Any:
    return ops.einsum(subscripts, x)


_einsum.__wrapped__ = lambda subscripts, x: ops.einsum.__wrapped__(subscripts, x)  # type: ignore[attr-defined]


def op_targets() -> Iterator[Target]:
    yield Target("ops.einsum", _einsum, {"subscripts": "bti->bt", "x": X})
    for name in ops.__all__:
        function = getattr(ops, name)
        if name in NO_TARGETS or name.endswith("_update") or not callable(function):
            continue
        parameters = inspect.signature(function).parameters
        right = WITH_FUNCTIONS.get(name) or {
            one.name: OPERANDS[one.name]
            for one in parameters.values()
            if one.default is Parameter.empty and one.name in OPERANDS
        }
        right |= OWN.get(name, {})
        yield Target(f"ops.{name}", function, {k: v for k, v in right.items() if k in parameters})


def targets(folder: Any) -> Iterator[Target]:
    """Everything public."""
    yield from layer_targets()
    yield from training_targets()
    yield from start_targets()
    yield from model_targets(folder)
    yield from facade_targets(folder)
    yield from op_targets()
