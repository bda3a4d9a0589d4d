"""Models as estimators: scikit-learn's own checks, pipelines, searches, labels of any kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import errors, layers

sklearn = pytest.importorskip("sklearn", minversion="1.6")
ANY = "torch" if "torch" in TRAINABLE else TRAINABLE[0]  # a fit of few steps costs what its start costs


@pytest.fixture(autouse=True)
def _backend() -> Iterator[None]:
    with uf.backend(ANY):
        yield


def network(X: Any, y: Any, loss: str, activation: str | None = "softmax", width: int = 10) -> uf.Model:
    x = uf.Input((X.shape[1],))
    outputs = y.shape[1] if y.ndim > 1 else 1
    model = uf.Model(x, [layers.Dense(outputs, activation=activation)(layers.Dense(width, "relu")(x))])
    model.compile("rmsprop", loss)
    return model


QUIET = {"epochs": 3, "verbose": 0}
ESTIMATORS: dict[str, Any] = {
    "short Classifier": lambda: uf.sklearn.Classifier(epochs=20),
    "Classifier": lambda: uf.sklearn.Classifier(),
    "Regressor": lambda: uf.sklearn.Regressor(epochs=10),
    "SKLearnClassifier": lambda: uf.wrappers.SKLearnClassifier(
        network, model_kwargs={"loss": "categorical_crossentropy"}, fit_kwargs=QUIET
    ),
    "SKLearnRegressor": lambda: uf.wrappers.SKLearnRegressor(
        network, model_kwargs={"loss": "mse", "activation": None}, fit_kwargs=QUIET
    ),
    "SKLearnTransformer": lambda: uf.wrappers.SKLearnTransformer(
        network, model_kwargs={"loss": "mse"}, fit_kwargs=QUIET
    ),
}
EXPECTED = {
    "SKLearnClassifier": {
        "check_classifiers_train": "decision_function gives probabilities, two columns for two classes, as in Keras",
        "check_classifiers_classes": "three epochs do not tell all classes apart",
        "check_classifiers_one_label_sample_weights": "three epochs do not forget the class whose weights are zero",
    },
}
"""What fails, or may by chance, and why."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name != "short Classifier")) for name in ESTIMATORS],
)
def test_the_checks_of_scikit_learn(name: str) -> None:
    from sklearn.utils.estimator_checks import check_estimator

    expected = EXPECTED.get(name, {})
    found = check_estimator(ESTIMATORS[name](), expected_failed_checks=expected, on_fail=None, on_skip=None)
    wrong = {one["check_name"]: one["exception"] for one in found if one["status"] == "failed"}
    assert not wrong
    failed = {one["check_name"] for one in found if one["status"] == "xfail"}
    assert failed <= set(expected)
    assert sum(one["status"] == "passed" for one in found) > 40


def flowers() -> tuple[np.ndarray, np.ndarray]:
    (x, y), _ = uf.datasets.iris.load_data()
    return x, np.array(["setosa", "versicolor", "virginica"])[y]


def test_strings_in_a_search_over_a_pipeline() -> None:
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = flowers()
    pipeline = make_pipeline(StandardScaler(), uf.sklearn.Classifier(epochs=40, random_state=0))
    search = GridSearchCV(
        pipeline,
        {"classifier__optimizer": [uf.optimizers.Adam(0.01), "sgd"], "classifier__batch_size": [16]},
        cv=2,
    ).fit(x, y)
    assert search.best_score_ > 0.9
    assert search.best_params_["classifier__optimizer"] != "sgd"
    assert set(search.predict(x[:20])) <= set(y)
    chances = search.predict_proba(x[:5])
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert list(search.classes_) == sorted(set(y))


def test_fits_are_reproducible_and_leave_the_seed() -> None:
    from unifront.trace import current_seed

    x, y = flowers()
    uf.set_seed(5)
    found = [
        uf.sklearn.Classifier(epochs=2, random_state=seed).fit(x, y).predict_proba(x) for seed in (1, 1, 2)
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    assert current_seed() == 5


def test_two_classes_by_one_output() -> None:
    x, y = flowers()
    x, y = x[y != "setosa"], y[y != "setosa"]

    def one(features: int, outputs: int) -> uf.Model:
        model = uf.Sequential([uf.Input((features,)), layers.Dense(1)])
        model.compile(uf.optimizers.Adam(0.05), uf.losses.BinaryCrossentropy(from_logits=True))
        return model

    made = uf.sklearn.Classifier(one, epochs=60, random_state=0).fit(x, y)
    chances = made.predict_proba(x)
    assert chances.shape == (len(x), 2)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert made.score(x, y) > 0.85


def test_weights_of_classes_and_examples_count() -> None:
    x, y = np.zeros((90, 1)), np.repeat(["a", "b"], [80, 10])
    options = {"epochs": 60, "random_state": 0, "optimizer": uf.optimizers.Adam(0.05)}
    plain = uf.sklearn.Classifier(**options).fit(x, y).predict_proba(x[:1])
    np.testing.assert_allclose(plain, [[8 / 9, 1 / 9]], atol=0.05)
    for weights in ("balanced", {"a": 1.0, "b": 8.0}):
        even = uf.sklearn.Classifier(class_weight=weights, **options).fit(x, y).predict_proba(x[:1])
        np.testing.assert_allclose(even, [[0.5, 0.5]], atol=0.05)
    by_example = uf.sklearn.Classifier(**options).fit(x, y, sample_weight=np.where(y == "b", 8.0, 1.0))
    np.testing.assert_allclose(by_example.predict_proba(x[:1]), [[0.5, 0.5]], atol=0.05)


def test_several_targets_and_images() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 4, 4))
    y = np.stack([x.sum((1, 2)), x[:, 0, 0]], axis=1)

    def flat(features: Any, outputs: int) -> uf.Model:
        return uf.Sequential([uf.Input(features), layers.Flatten(), layers.Dense(outputs)])

    made = uf.sklearn.Regressor(flat, epochs=60, optimizer=uf.optimizers.Adam(0.05), random_state=0).fit(x, y)
    assert made.predict(x).shape == (200, 2)
    assert made.score(x, y) > 0.99


def test_a_model_stays_as_it_was_unless_the_start_is_warm() -> None:
    x, y = flowers()
    onehot = (y[:, None] == np.unique(y)).astype(float)
    template = network(x, onehot, "categorical_crossentropy")
    before = template.get_weights()
    cold = uf.wrappers.SKLearnClassifier(template, fit_kwargs=QUIET).fit(x, y)
    for a, b in zip(template.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert cold.epoch_ == 3
    assert cold.model_.optimizer is not template.optimizer
    warm = uf.wrappers.SKLearnClassifier(template, warm_start=True, fit_kwargs=QUIET).fit(x, y)
    assert warm.model_ is template
    first = template.optimizer.iterations
    assert warm.fit(x, y).model_.optimizer.iterations == 2 * first
    again = uf.sklearn.Classifier(epochs=1, warm_start=True).fit(x, y)
    done = again.model_.optimizer.iterations
    assert again.fit(x, y).model_.optimizer.iterations == 2 * done
    with pytest.raises(errors.ArgumentError, match=r"warm_start goes on with the classes \['setosa'"):
        again.fit(x, np.where(y == "setosa", "rose", y))


def test_a_transformer_in_a_pipeline() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    x, y = flowers()
    transformer = uf.wrappers.SKLearnTransformer(
        network, model_kwargs={"loss": "mse", "activation": None}, fit_kwargs=QUIET
    )
    numbers = np.unique(y, return_inverse=True)[1]
    pipeline = make_pipeline(transformer, LogisticRegression()).fit(x, numbers)
    assert pipeline.predict(x).shape == y.shape


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "one class": (lambda: uf.sklearn.Classifier().fit(np.ones((4, 2)), ["a"] * 4), errors.ArgumentError, "only one class is present"),
    "numbers": (lambda: uf.sklearn.Classifier().fit(np.ones((4, 2)), [0.1, 0.2, 0.3, 0.4]), errors.ArgumentError, "Unknown label type: continuous"),
    "no model": (lambda: uf.sklearn.Classifier(3).fit(np.ones((4, 2)), [0, 1, 0, 1]), errors.ArgumentError, "model is a Model, or a function that makes one, not 3"),
    "not compiled": (
        lambda: uf.wrappers.SKLearnRegressor(uf.Sequential([uf.Input((2,)), layers.Dense(1)])).fit(np.ones((4, 2)), np.ones(4)),
        errors.NotBuiltError, "Given model needs to be compiled",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_fitted(case: str) -> None:
    call, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        call()
