"""Bad input: each is one clear error that says where, what was given, and what to try."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import MODELS, TRAINABLE, cross_entropy
from unifront import errors, layers
from unifront.backends import DEFAULT_VARIABLES

ANY = TRAINABLE[0]
X, Y = MODELS["mlp"]("float32")[1]


def fitted(x: Any = X, y: Any = Y, **options: Any) -> Any:
    model, _ = MODELS["mlp"]("float32")
    model.compile("sgd", cross_entropy(), metrics=["accuracy"])
    return model.fit(x, y, **{"verbose": 0, "backend": ANY, **options})


FIT: dict[str, tuple[Any, type[Exception], str]] = {
    "wrong_rank": (
        lambda: fitted(X[:, 0]),
        errors.DataError,
        r"input 'features' of the model 'mlp' has the shape \(40,\); the model takes float32\[batch, 5\]",
    ),
    "wrong_size": (
        lambda: fitted(X[:, :4]),
        errors.DataError,
        r"input 'features' .* has the shape \(40, 4\); the model takes float32\[batch, 5\]",
    ),
    "ragged": (
        lambda: fitted([*X.tolist(), [1.0]]),
        errors.DataError,
        "input 'features' of the model 'mlp' cannot be made into an array: .*inhomogeneous",
    ),
    "objects": (
        lambda: fitted(X.astype(object)),
        errors.DataError,
        "input 'features' .* has the dtype object; numbers are needed",
    ),
    "strings": (
        lambda: fitted(np.full((40, 5), "a")),
        errors.DataError,
        "input 'features' .* has the dtype <U1; numbers are needed",
    ),
    "complex": (
        lambda: fitted(X.astype(complex)),
        errors.DataError,
        "input 'features' .* has the dtype complex128; numbers are needed",
    ),
    "none": (
        lambda: fitted(None),
        errors.DataError,
        "input 'features' .* is None, and it is not optional",
    ),
    "lengths_differ": (
        lambda: fitted(X, Y[:39]),
        errors.DataError,
        "target of output 'dense_1' has 39 examples; the input has 40",
    ),
    "empty": (
        lambda: fitted(X[:0], Y[:0]),
        errors.DataError,
        "data is empty: the input has 0 examples",
    ),
    "no_targets": (lambda: fitted(X, None), errors.DataError, r"No targets were given: pass y"),
    "label_too_large": (
        lambda: fitted(X, Y + 1),
        errors.DataError,
        "target of output 'dense_1' holds labels from 1 to 3; the output has 3 classes, so labels run from 0",
    ),
    "label_negative": (
        lambda: fitted(X, Y - 1),
        errors.DataError,
        "target of output 'dense_1' holds labels from -1 to 1; the output has 3 classes",
    ),
    "label_nan": (
        lambda: fitted(X, np.where(Y == 0, np.nan, Y)),
        errors.DataError,
        "target of output 'dense_1' holds labels that are not whole numbers, such as nan",
    ),
    "label_fraction": (
        lambda: fitted(X, Y + 0.5),
        errors.DataError,
        r"target of output 'dense_1' holds labels that are not whole numbers, such as \d\.5",
    ),
    "one_hot_for_sparse": (
        lambda: fitted(X, np.eye(3, dtype=int)[Y]),
        errors.ShapeError,
        r"Loss sparse_categorical_crossentropy of output 'dense_1': Integer labels of shape \(batch, 3\) do "
        r"not fit predictions of shape \(batch, 3\).*categorical_crossentropy",
    ),
    "label_huge": (
        lambda: fitted(X, np.full(40, 2**40)),
        errors.DataError,
        "target of output 'dense_1' holds",
    ),
    "misnamed_input": (
        lambda: fitted({"feature": X}),
        errors.DataError,
        r"The input has the keys \['feature'\]; the model needs \['features'\]",
    ),
    "misnamed_target": (
        lambda: fitted(X, {"logits": Y}),
        errors.DataError,
        r"The target has the keys \['logits'\]; the model needs \['dense_1'\]",
    ),
    "weights_too_short": (
        lambda: fitted(sample_weight=np.ones(39)),
        errors.DataError,
        r"sample_weight has the shape \(39,\); one weight for each of 40 examples",
    ),
    "class_weight_unknown": (
        lambda: fitted(class_weight={0: 1.0, 7: 2.0}),
        errors.DataError,
        "class_weight names the class 7; the output has 3 classes",
    ),
    "class_weight_list": (
        lambda: fitted(class_weight=[1.0, 2.0]),
        errors.ArgumentError,
        r"class_weight is a dict from class to weight, not \[1\.0, 2\.0\]",
    ),
    "class_weight_name": (
        lambda: fitted(class_weight={"cat": 1.0}),
        errors.ArgumentError,
        "class_weight names classes by int, not by 'cat'",
    ),
    "class_weight_nan": (
        lambda: fitted(class_weight={1: float("nan")}),
        errors.ArgumentError,
        "class_weight of 1 is a number .*, not nan",
    ),
    "weights_nan": (
        lambda: fitted(sample_weight=np.full(40, np.nan)),
        errors.DataError,
        "sample_weight holds numbers that are not finite",
    ),
    "target_strings": (
        lambda: fitted(X, Y.astype(str)),
        errors.DataError,
        "target of output 'dense_1' has the dtype <U21; numbers are needed",
    ),
    "target_dates": (
        lambda: fitted(X, Y.astype("datetime64[s]")),
        errors.DataError,
        "target of output 'dense_1' has the dtype datetime64",
    ),
    "amounts_huge": (
        lambda: train(compiled(), np.full((4, 3), 2**40)),
        errors.DataError,
        r"target of output 'out' holds 1099511627776 .* int32 cannot\. Amounts, .*astype\('float32'\)",
    ),
    "batch_size": (lambda: fitted(batch_size=0), errors.ArgumentError, "batch_size is a positive int, not 0"),
    "epochs": (lambda: fitted(epochs=-1), errors.ArgumentError, "epochs is an int >= 0, not -1"),
    "steps": (
        lambda: fitted(steps_per_epoch=0),
        errors.ArgumentError,
        "steps_per_epoch is a positive int, not 0",
    ),
    "epochs_bool": (lambda: fitted(epochs=True), errors.ArgumentError, "epochs is an int >= 0, not True"),
    "initial_epoch": (
        lambda: fitted(initial_epoch=-1),
        errors.ArgumentError,
        "initial_epoch is an int >= 0, not -1",
    ),
    "verbose": (
        lambda: fitted(verbose="loud"),
        errors.ArgumentError,
        "verbose is 'auto', 0, 1 or 2, not 'loud'",
    ),
    "shuffle": (lambda: fitted(shuffle="no"), errors.ArgumentError, "shuffle is True or False, not 'no'"),
    "validation_freq": (
        lambda: fitted(validation_freq=0),
        errors.ArgumentError,
        "validation_freq is a positive int or a list, not 0",
    ),
    "validation_steps": (
        lambda: fitted(validation_steps=0.5),
        errors.ArgumentError,
        r"validation_steps is a positive int, not 0\.5",
    ),
    "validation_batch_size": (
        lambda: fitted(validation_batch_size=0),
        errors.ArgumentError,
        "validation_batch_size is a positive int, not 0",
    ),
    "evaluate_batch_size": (
        lambda: compiled().evaluate(np.ones((4, 2)), np.ones((4, 3)), batch_size=0),
        errors.ArgumentError,
        "batch_size is a positive int, not 0",
    ),
    "evaluate_steps": (
        lambda: compiled().evaluate(np.ones((4, 2)), np.ones((4, 3)), steps=0),
        errors.ArgumentError,
        "steps is a positive int, not 0",
    ),
    "predict_steps": (
        lambda: compiled().predict(np.ones((4, 2)), steps="all"),
        errors.ArgumentError,
        "steps is a positive int, not 'all'",
    ),
    "split_word": (
        lambda: fitted(validation_split="half"),
        errors.ArgumentError,
        r"validation_split is a number in \[0, 1\), not 'half'",
    ),
    "split_and_data": (
        lambda: fitted(validation_split=0.5, validation_data=(X, Y)),
        errors.ArgumentError,
        "validation_split needs arrays, and no validation_data beside it",
    ),
    "split": (
        lambda: fitted(validation_split=1.5),
        errors.ArgumentError,
        r"validation_split is a number in \[0, 1\), not 1\.5",
    ),
    "split_empty": (
        lambda: fitted(X[:1], Y[:1], validation_split=0.5),
        errors.DataError,
        r"validation_split=0\.5 of 1 examples leaves one part empty",
    ),
    "split_of_stream": (
        lambda: fitted(iter([(X, Y)]), None, validation_split=0.5),
        errors.ArgumentError,
        "validation_split needs arrays",
    ),
    "validation_form": (
        lambda: fitted(validation_data=0.2),
        errors.ArgumentError,
        r"validation_data is x, \(x, y\) .* not 0\.2",
    ),
    "validation_without_targets": (
        lambda: fitted(validation_data=X),
        errors.DataError,
        "No targets were given",
    ),
    "validation_shape": (
        lambda: fitted(validation_data=(X[:, :2], Y)),
        errors.DataError,
        r"input 'features' .* has the shape \(40, 2\)",
    ),
    "stream_empty": (lambda: fitted(iter([]), None), errors.DataError, "The data gave no batch"),
    "stream_used_up": (
        lambda: fitted(iter([(X, Y)]), None, epochs=2),
        errors.DataError,
        "The data gave no batch.*generator is used up after one pass",
    ),
    "stream_and_y": (
        lambda: fitted(iter([(X, Y)]), Y),
        errors.ArgumentError,
        "When x is an iterable, it gives .* itself: pass neither y",
    ),
    "stream_of_four": (
        lambda: fitted(iter([(X, Y, Y, Y)]), None),
        errors.DataError,
        r"A batch is \(x, y\) or \(x, y, sample_weight\); one of 4 parts was given",
    ),
    "stream_of_x": (lambda: fitted(iter([X]), None), errors.DataError, "No targets were given"),
    "unknown_backend": (
        lambda: MODELS["mlp"]("float32")[0].predict(X, backend="pytorch"),
        errors.UnknownName,
        r"Unknown backend 'pytorch'\. Did you mean 'torch'",
    ),
    "backend_is_no_name": (
        lambda: MODELS["mlp"]("float32")[0].predict(X, backend=3),
        errors.ArgumentError,
        "Model.predict: backend is a name, not 3",
    ),
    "unknown_device": (
        lambda: MODELS["mlp"]("float32")[0].predict(X, backend=f"{ANY}:cuda:99"),
        errors.ArgumentError,
        f"backend '{ANY}' has no device 'cuda:99' here; it has ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FIT)
def test_bad_data_is_refused(case: str) -> None:
    make, error, match = FIT[case]
    with pytest.raises(error, match=match):
        make()


def compiled(loss: Any = "mse", optimizer: Any = "sgd", **options: Any) -> uf.Model:
    x = uf.Input((2,), name="point")
    model = uf.Model(x, layers.Dense(3, name="out")(x), name="line")
    model.compile(optimizer, loss, **options)
    return model


class NoState(uf.metrics.Metric):
    """Says nothing of what it does with a batch."""


def wrong_shape(true: Any, predicted: Any) -> Any:
    return uf.ops.reshape(predicted, (7, 11))


def train(model: uf.Model, y: Any = None, **options: Any) -> Any:
    targets = np.ones((4, 3)) if y is None else y
    return model.fit(np.ones((4, 2)), targets, verbose=0, backend=ANY, **options)


COMPILE: dict[str, tuple[Any, type[Exception], str]] = {
    "loss": (lambda: compiled("mean_square"), errors.UnknownName, "Unknown loss 'mean_square'"),
    "optimizer": (lambda: compiled(optimizer="sdg"), errors.UnknownName, "optimizer 'sdg'.*'sgd'"),
    "metric": (
        lambda: train(compiled(metrics=["acuracy"])),
        errors.UnknownName,
        "Unknown metric 'acuracy'.*Did you mean 'accuracy'",
    ),
    "metric_at_compile": (
        lambda: compiled(weighted_metrics=[["acuracy"]]),
        errors.UnknownName,
        "Unknown metric 'acuracy'.*Did you mean 'accuracy'",
    ),
    "metric_without_state": (
        lambda: train(compiled(metrics=[NoState(name="three")])),
        errors.ArgumentError,
        r"Metric 'three' of output 'out': NoState does not define update_state\(\)",
    ),
    "loss_weights": (
        lambda: compiled(loss_weights=["much"]),
        errors.ArgumentError,
        "Each of loss_weights is a number .*, not 'much'",
    ),
    "function_loss": (
        lambda: train(compiled(wrong_shape)),
        errors.ShapeError,
        "Loss wrong_shape of output 'out': ",
    ),
    "backend": (lambda: compiled(backend="thorch"), errors.UnknownName, "Unknown backend 'thorch'"),
    "no_loss": (lambda: train(compiled(None)), errors.ArgumentError, "compiled without a loss"),
    "loss_output": (
        lambda: train(compiled({"output": "mse"})),
        errors.UnknownName,
        r"Unknown output in loss 'output'.*Known: out",
    ),
    "target_shape": (
        lambda: train(compiled(), np.ones((4, 2))),
        errors.ShapeError,
        r"Loss mean_squared_error of output 'out': The targets have the shape \(batch, 2\), the predictions ",
    ),
    "metric_shape": (
        lambda: train(compiled(metrics=["sparse_categorical_accuracy"])),
        errors.ShapeError,
        "Metric 'sparse_categorical_accuracy' of output 'out': Integer labels",
    ),
    "not_compiled": (
        lambda: train(MODELS["mlp"]("float32")[0]),
        errors.ArgumentError,
        "The model 'mlp' is not compiled; call model.compile",
    ),
    "evaluate_not_compiled": (
        lambda: MODELS["mlp"]("float32")[0].evaluate(X, Y),
        errors.ArgumentError,
        "The model 'mlp' is not compiled",
    ),
    "zoo": (lambda: uf.zoo.create("resnet51"), errors.UnknownName, "model of the zoo 'resnet51'.*resnet50"),
    "zoo_option": (
        lambda: uf.zoo.create("mlp", clases=3),
        errors.ArgumentError,
        "mlp does not take 'clases'; it takes ",
    ),
    "layer": (
        lambda: compiled().get_layer("dense"),
        errors.UnknownName,
        "Unknown layer of line 'dense'.*Known: out",
    ),
    "not_built": (
        lambda: uf.Sequential([layers.Dense(2)], name="later").graph(),
        errors.NotBuiltError,
        "The model 'later' has not seen its input yet",
    ),
    "free_size": (
        lambda: layers.Dense(2, name="wide")(uf.Input((None,))),
        errors.NotBuiltError,
        r"wide: The size of axis -1 of the input .* is not known; give Input a fixed size there",
    ),
    "layer_shape": (
        lambda: uf.Sequential([uf.Input((4,)), layers.Conv2D(2, 3, name="conv")]),
        errors.ShapeError,
        r"conv: Conv2D takes 4 dimensions, .* the input has the shape \(batch, 4\)",
    ),
    "bare_count": (
        lambda: uf.Sequential([layers.Dense(2)], name="later").count_flops(),
        errors.NotBuiltError,
        "The model 'later' has not seen its input yet",
    ),
}


@pytest.mark.parametrize("case", COMPILE)
def test_bad_models_and_names_are_refused(case: str) -> None:
    make, error, match = COMPILE[case]
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize("backend", TRAINABLE)
@pytest.mark.parametrize("where", ["data", "rate"])
def test_a_loss_that_is_no_number(where: str, backend: str) -> None:
    x = np.ones((64, 2))
    model = compiled(optimizer=uf.optimizers.SGD(1e30 if where == "rate" else 0.1))
    if where == "data":
        x[5] = np.nan
    with pytest.raises(
        errors.NonFiniteLoss,
        match=r"loss of 'line' is (nan|inf) in epoch 1, .* at the learning rate .*clipnorm",
    ):
        model.fit(x, np.ones((64, 3)), batch_size=8, verbose=0, backend=backend)
    model.get_weights()  # readable all the same


class Guarded(uf.Layer):
    """Its values are finite where ``x`` is 0, their gradient is not: 0 times infinity."""

    def build(self, shape: Any) -> None:
        self.factor = self.add_weight((), "ones", name="factor")

    def call(self, x: Any) -> Any:
        return uf.ops.where(x > 0, uf.ops.log(x * self.factor), 0.0)


@pytest.mark.parametrize("backend", TRAINABLE)
def test_weights_that_are_no_numbers_beside_a_loss_that_is_one(backend: str) -> None:
    model = uf.Sequential([uf.Input((1,)), Guarded(name="guarded")], name="line")
    model.compile(uf.optimizers.SGD(0.1), "mse")
    with pytest.raises(
        errors.NonFiniteLoss,
        match=r"The weight 'guarded/factor' of 'line' holds numbers that are not finite after epoch 1, .* though the loss",
    ):
        model.fit(np.array([[1.0], [0.0]]), np.ones((2, 1)), batch_size=2, verbose=0, backend=backend)


def test_floats_for_an_integer_input() -> None:
    words = uf.Input((2,), name="words", dtype="int32")
    model = uf.Model(words, layers.Embedding(5, 2)(words), name="texts")
    with pytest.raises(
        errors.DataError,
        match=r"input 'words' of the model 'texts' is float64; int32 is needed.*astype\('int32'\)",
    ):
        model.predict(np.ones((3, 2)))
    with pytest.raises(errors.DataError, match=r"input 'words' .* holds 1099511627776"):
        model.predict(np.full((3, 2), 2**40))
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(errors.DataError, match="input 'words' .* is bfloat16; int32 is needed"):
        model.predict(np.ones((3, 2), ml_dtypes.bfloat16))


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={name: value for name, value in os.environ.items() if name not in DEFAULT_VARIABLES},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_any_framework() -> None:
    """Each framework's import fails; NumPy serves, and the error says what to type."""
    out = run(
        """
        import sys
        for name in ("torch", "tensorflow", "jax", "jaxlib", "keras"):
            sys.modules[name] = None
        import numpy as np
        import unifront as uf
        from unifront import layers
        x = uf.Input((3,))
        model = uf.Model(x, layers.Dense(2, activation="softmax")(x))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        print(model.predict(np.ones((4, 3)), backend="numpy").shape)
        print(len(model.evaluate(np.ones((4, 3)), np.zeros(4, int), backend="numpy")))
        for name in ("torch", "tensorflow", "jax"):
            try:
                model.fit(np.ones((4, 3)), np.zeros(4, int), backend=name)
            except uf.errors.BackendMissing as error:
                print(error)
        from unifront import backends
        print(backends.installed())
        print(model.predict(np.ones((1, 3))).shape)
        try:
            model.fit(np.ones((4, 3)), np.zeros(4, int))
        except uf.errors.UnifrontError as error:
            print(type(error).__name__, error)
        """
    )
    lines = out.splitlines()
    assert lines[:2] == ["(4, 2)", "2"]
    for name, line in zip(("torch", "tensorflow", "jax"), lines[2:5], strict=True):
        assert line == (
            f"The backend {name!r} needs the package {name!r}, which is not installed. "
            f'Try: pip install "unifront[{name}]"'
        )
    assert lines[5] == "('numpy',)"
    assert lines[6] == "(1, 2)"
    assert lines[7].startswith("BackendMissing") or "numpy" in lines[7]


def test_bad_validation_data_is_refused_before_the_first_epoch() -> None:
    model = compiled()
    with pytest.raises(errors.DataError, match=r"input 'point' .* has the shape \(4, 3\)"):
        train(model, validation_data=(np.ones((4, 3)), np.ones((4, 3))))
    assert model.optimizer.iterations == 0


def test_validation_data_that_is_used_up() -> None:
    stream = iter([(np.ones((4, 2)), np.ones((4, 3)))])
    with pytest.raises(
        errors.DataError, match=r"gave no batch, so there is nothing to evaluate\. A generator is used up"
    ):
        train(compiled(), validation_data=stream, epochs=2)
