"""What losses are beside their numbers: Keras's names and parameters, shapes, dtypes, plain data, symbols."""

from __future__ import annotations

import inspect
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from tests.losses.cases import CASES, LABELS, LOGITS, ONE_HOT, PROBABILITIES, REAL, Case
from tests.models import TRAINABLE
from unifront import errors, layers, ops
from unifront.testing import assert_close

NAMES = sorted(name for name in dir(keras.losses) if not name.startswith("_"))
ONE_EACH = list({case.name: case for case in CASES}.values())


def _parameters(function: Any) -> list[tuple[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    return [(one.name, one.default) for one in parameters if one.kind is not one.KEYWORD_ONLY]


def test_every_name_of_keras_is_there_with_its_parameters() -> None:
    for name in NAMES:
        ours, theirs = getattr(uf.losses, name), getattr(keras.losses, name)
        if name == "deserialize":  # Keras calls the description a name
            assert [n for n, _ in _parameters(ours)][1:] == [n for n, _ in _parameters(theirs)][1:]
        else:
            assert _parameters(ours) == _parameters(theirs), name
    print(f"{len(NAMES)} public names of keras.losses, all in unifront.losses")  # noqa: T201


def test_each_class_is_among_the_cases() -> None:
    classes = {name for name in NAMES if isinstance(getattr(keras.losses, name), type)} - {"Loss"}
    assert classes == {case.name for case in CASES}


def test_call_has_the_parameters_of_keras() -> None:
    assert _parameters(uf.losses.Loss.__call__) == _parameters(keras.losses.Loss.__call__)


# ---------------------------------------------------------------- names and plain data


@pytest.mark.parametrize("name", ["mse", "MAE", "kl_divergence", "tversky"])
def test_the_name_of_a_function_means_the_function(name: str) -> None:
    ours, theirs = uf.losses.get(name), keras.losses.get(name)
    assert ours is getattr(uf.losses, theirs.__name__)


@pytest.mark.parametrize("case", ONE_EACH, ids=[case.name for case in ONE_EACH])
def test_plain_data_goes_both_ways(case: Case) -> None:
    given = {"reduction": "sum", "name": "own", **case.arguments}
    ours, theirs = getattr(uf.losses, case.name)(**given), getattr(keras.losses, case.name)(**given)
    told = uf.losses.serialize(ours)
    assert told["class_name"] == case.name
    assert told["module"] == "keras.losses"
    read = uf.losses.deserialize(keras.losses.serialize(theirs))
    again = uf.losses.deserialize(told)
    for found in (read, again):
        assert type(found) is type(ours)
        assert (found.name, found.reduction) == ("own", "sum")
    assert again.get_config() == ours.get_config()
    assert_close(np.asarray(again(case.true, case.predicted)), np.asarray(ours(case.true, case.predicted)))
    assert type(keras.saving.deserialize_keras_object(told)) is type(theirs)


def test_functions_are_told_by_name() -> None:
    told = uf.losses.serialize(uf.losses.poisson)
    assert told["config"] == "poisson"
    assert uf.losses.deserialize(told) is uf.losses.poisson
    assert uf.losses.deserialize("mse") is uf.losses.mean_squared_error


def test_a_loss_of_ones_own() -> None:
    class Quartic(uf.losses.Loss):
        def __init__(self, power: int = 4, **options: Any) -> None:
            super().__init__(**options)
            self.power = power

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return ops.mean((y_pred - y_true) ** self.power, axis=-1)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "power": self.power}

    loss = Quartic(6, reduction="sum")
    assert loss.name == "quartic"
    assert_close(np.asarray(loss(REAL, LOGITS)), ((LOGITS - REAL) ** 6).mean(-1).sum())
    assert Quartic.from_config(loss.get_config()).power == 6


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize("case", ONE_EACH, ids=[case.name for case in ONE_EACH])
def test_with_free_sizes(case: Case) -> None:
    """A loss as part of a model, whose batch is free, gives what it gives of arrays."""
    true, predicted = (
        uf.Input(array.shape[1:], dtype=array.dtype.name) for array in (case.true, case.predicted)
    )
    loss = getattr(uf.losses, case.name)(reduction="none" if case.name != "Dice" else "sum", **case.arguments)
    model = uf.Model([true, predicted], layers.Lambda(lambda both: loss(*both))([true, predicted]))
    expected = np.asarray(loss(case.true, case.predicted))
    if expected.ndim:
        found = model.predict([case.true, case.predicted], batch_size=len(case.true), backend="numpy")
        assert_close(found, expected, what=case.title)
    else:
        assert model.output_shape == ()


@pytest.mark.parametrize(
    ("true", "predicted"), [((5,), (5, 1)), ((5, 1), (5,)), ((5, 4, 1), (5, 4)), ((5, 4), (5, 4, 1))]
)
@pytest.mark.parametrize("name", ["MeanSquaredError", "Hinge", "BinaryCrossentropy"])
def test_a_last_axis_of_one_is_added_or_taken_as_in_keras(name: str, true: Any, predicted: Any) -> None:
    rng = np.random.default_rng(1)
    y_true, y_pred = rng.integers(0, 2, true).astype("float64"), rng.random(predicted)
    expected = getattr(keras.losses, name)(reduction="none", dtype="float64")(y_true, y_pred).numpy()
    ours = getattr(uf.losses, name)(reduction="none")
    assert_close(np.asarray(ours(y_true, y_pred)), expected, bounds={"float64": 1e-9})


@pytest.mark.parametrize("shape", [(0, 3), (0, 1), (1, 1)])
@pytest.mark.parametrize("backend", [*TRAINABLE, "numpy"])
def test_of_no_example_the_loss_is_zero(backend: str, shape: tuple[int, ...]) -> None:
    with uf.backend(backend):
        y = ops.zeros(shape)
        assert float(uf.losses.MeanSquaredError()(y, y)) == 0


def test_labels_may_have_the_axis_of_the_classes() -> None:
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True, axis=1, reduction="none")
    logits = np.moveaxis(LOGITS, -1, 1)
    expected = np.asarray(loss(LABELS, logits))
    assert_close(np.asarray(loss(LABELS[:, None], logits)), expected)
    assert_close(np.asarray(loss(LABELS[..., None], logits)), expected)


# ---------------------------------------------------------------- dtypes


@pytest.mark.parametrize(
    ("predicted", "asked", "expected"),
    [
        ("float32", None, "float32"),
        ("float16", None, "float32"),
        ("bfloat16", None, "float32"),
        ("int32", None, "float32"),
        ("float32", "float16", "float16"),
        ("float16", "float64", "float64"),
        ("float64", None, "float64"),  # Keras: float32, which loses what the model computed
    ],
)
def test_dtypes(predicted: str, asked: str | None, expected: str) -> None:
    y_pred = ops.cast(np.array([[1.0, 2.0]]), predicted)
    for name in ("MeanSquaredError", "KLDivergence", "Dice"):
        loss = getattr(uf.losses, name)(dtype=asked)
        assert np.asarray(loss(np.array([[1, 0]]), y_pred)).dtype.name == expected, name


def test_large_labels_are_exact() -> None:
    """Keras casts labels to the dtype of the loss; float16 has no 2049."""
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True, dtype="float16")
    logits = np.zeros((1, 3000), np.float32)
    logits[0, 2049] = 100
    assert float(loss(np.array([2049]), logits)) == 0


def test_lists_of_numbers() -> None:
    loss = uf.losses.MeanSquaredError()
    found = loss([[0.0, 2.0], [1, 1]], [[1.0, 1.0], [1.0, 3.0]], sample_weight=[1.0, 2.0])
    assert_close(np.asarray(found), np.float32((1 + 2 * 2) / 2))


def test_not_a_number_stays_one() -> None:
    for case in ONE_EACH:
        y_pred = case.predicted.astype("float32")
        y_pred[0, 0] = np.nan
        if case.name not in ("Circle", "CTC"):  # these compare, and nan is not more than anything
            loss = getattr(uf.losses, case.name)(**case.arguments)
            with uf.backend("torch"):
                assert np.isnan(float(loss(case.true, ops.convert_to_tensor(y_pred)))), case.name


@pytest.mark.parametrize("backend", TRAINABLE)
def test_gradients_at_edges_are_numbers(backend: str) -> None:
    """A vector of zeros, probabilities of 0 and 1, an embedding with nobody of its label."""
    sure = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    edges = [
        (uf.losses.CosineSimilarity(), sure, np.zeros((2, 2), np.float32)),
        (uf.losses.BinaryCrossentropy(), 1 - sure, sure),
        (uf.losses.CategoricalCrossentropy(), 1 - sure, sure),
        (uf.losses.KLDivergence(), 1 - sure, sure),
        (uf.losses.Circle(), np.array([0, 1]), sure),
        (uf.losses.Circle(), np.array([0, 0]), sure),
    ]

    def all_of_them(*given: Any) -> Any:
        return [
            uf.value_and_grad(lambda y, loss=loss, true=true: loss(true, y))(y_pred)
            for (loss, true, _), y_pred in zip(edges, given, strict=True)
        ]

    with uf.backend(backend):
        results = uf.jit(all_of_them)(*(y_pred for *_, y_pred in edges))
    for (loss, *_), (value, gradient) in zip(edges, results, strict=True):
        assert np.isfinite(float(value)), loss
        assert np.isfinite(np.asarray(gradient)).all(), loss


# ---------------------------------------------------------------- what is refused


def test_one_class_is_warned_of() -> None:
    with pytest.warns(SyntaxWarning, match="there is one class, and nothing to learn"):
        uf.losses.CategoricalCrossentropy()(np.ones((2, 1)), np.ones((2, 1)))


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (
            lambda: uf.losses.CategoricalGeneralizedCrossEntropy(q=1.0),
            errors.ArgumentError,
            r"q is a number in \(0, 1\), not 1\.0",
        ),
        (lambda: uf.losses.Dice(axis="all"), errors.ArgumentError, "Axes are None, an int or several"),
        (
            lambda: uf.losses.CTC()(LABELS[0], LOGITS),
            errors.ShapeError,
            r"ctc: the targets are \[batch, labels\]; their shape is \(4,\)",
        ),
        (
            lambda: uf.losses.KLDivergence()(ONE_HOT[0], PROBABILITIES),
            errors.ShapeError,
            r"the predictions \(5, 4, 3\); they must have the same shape",
        ),
        (
            lambda: uf.losses.MeanSquaredError()(REAL, LOGITS + 1j),
            errors.DTypeError,
            "The predictions of a loss are real numbers, not complex",
        ),
        (
            lambda: uf.losses.SparseCategoricalCrossentropy()(LABELS[:3], PROBABILITIES),
            errors.ShapeError,
            r"labels of shape \(3, 4\) do not fit predictions of shape \(5, 4, 3\)",
        ),
        (lambda: uf.losses.LossFunctionWrapper(3), errors.ArgumentError, "fn is a function, not 3"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()
