"""`FeatureSpace` against Keras's, on the same columns; in pipelines, models and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import layers
from unifront.backends import get_backend, installed, use_backend
from unifront.errors import ArgumentError, DataError, NotBuiltError, UnknownName
from unifront.testing import assert_close

FeatureSpace = uf.utils.FeatureSpace
RNG = np.random.default_rng(6)
ROWS = 70
TABLE: dict[str, Any] = {
    "price": RNG.normal(10, 4, ROWS).astype("float32").tolist(),
    "weight": RNG.gamma(2, 3, ROWS).astype("float32").tolist(),
    "size": RNG.integers(1, 9, ROWS).tolist(),
    "year": RNG.integers(1990, 2030, ROWS).tolist(),
    "city": RNG.choice(["Bonn", "Rome", "Köln", ""], ROWS).tolist(),
    "code": [f"{n:04}" for n in RNG.integers(0, 500, ROWS)],
}
ROW = {name: column[5] for name, column in TABLE.items()}


def spaces(cls: Any) -> dict[str, Any]:
    """Feature spaces of a class, ours or Keras's, by what they show."""
    plain = {
        "price": "float_normalized", "weight": "float_discretized", "size": "integer_categorical",
        "year": "integer_hashed", "city": "string_categorical", "code": "string_hashed",
    }  # fmt: skip
    few = {
        "price": cls.float(), "weight": cls.float_rescaled(0.5, 1.0), "size": cls.integer_categorical(4, 2),
        "city": cls.string_categorical(max_tokens=3), "code": cls.string_hashed(7),
        "year": cls.float_discretized(5),
    }  # fmt: skip
    return {
        "types by name": cls(plain, crosses=[("size", "city"), ("year", "code")], crossing_dim=13),
        "types with arguments": cls(few, crosses=[cls.cross(("size", "code"), 5)]),
        "a dict of what is given on": cls(plain, output_mode="dict", crosses=[("city", "code")], hashing_dim=9),
        "integers": cls(
            {
                "size": cls.integer_categorical(output_mode="int"),
                "year": cls.integer_hashed(8, output_mode="int"),
                "city": cls.string_categorical(output_mode="int"),
            },
            output_mode="dict", crosses=[cls.cross(("size", "city"), 6, "int")],
        ),
    }  # fmt: skip


THEIRS, OURS = spaces(keras.utils.FeatureSpace), spaces(FeatureSpace)
NAMES = {"integers": ["size", "year", "city"]}


def _of(name: str, table: dict[str, Any]) -> dict[str, Any]:
    return {key: table[key] for key in NAMES.get(name, table)}


def _same(ours: Any, theirs: Any, what: str) -> None:
    pairs = [(ours, theirs)] if not isinstance(ours, dict) else [(ours[key], theirs[key]) for key in theirs]
    assert not isinstance(ours, dict) or ours.keys() == theirs.keys()
    for one, other in pairs:
        other = np.asarray(other)
        assert one.dtype.kind == other.dtype.kind
        assert_close(np.asarray(one).astype(other.dtype), other, what=what)


@pytest.fixture(scope="module", autouse=True)
def adapted() -> None:
    for name in OURS:
        for space in (OURS[name], THEIRS[name]):
            space.adapt(_of(name, TABLE))


@pytest.mark.parametrize("name", OURS)
def test_rows_and_tables_are_those_of_keras(name: str) -> None:
    ours, theirs = OURS[name], THEIRS[name]
    with use_backend("numpy"):
        for table in (TABLE, ROW, {key: [value] for key, value in ROW.items()}):
            _same(ours(_of(name, table)), theirs(_of(name, table)), name)


@pytest.mark.parametrize("batched", [True, False])
def test_features_without_unknown_values_are_mapped(batched: bool) -> None:
    """As in keras.io's structured data with FeatureSpace: ``num_oov_indices=0``."""
    import tensorflow as tf

    table = {"kind": ["fixed", "normal", "fixed", "none"], "level": [7, 9, 7, 8]}
    data = tf.data.Dataset.from_tensor_slices(table)
    options = {"kind": "string_categorical", "level": "integer_categorical"}
    found = []
    for cls in (FeatureSpace, keras.utils.FeatureSpace):
        space = cls({key: getattr(cls, kind)(num_oov_indices=0) for key, kind in options.items()}, "concat")
        space.adapt(data)
        mapped = data.batch(4).map(space) if batched else data.map(space)
        found.append(np.concatenate([np.reshape(one, (-1, 6)) for one in mapped]))
    np.testing.assert_array_equal(*found)


def test_batches_of_every_kind_teach_the_same() -> None:
    import tensorflow as tf

    rows = [{key: TABLE[key][i] for key in TABLE} for i in range(ROWS)]
    data = tf.data.Dataset.from_tensor_slices(TABLE)
    expected = OURS["types by name"].preprocessors
    for given in (rows, (row for row in rows), data, data.batch(32)):
        space = spaces(FeatureSpace)["types by name"]
        space.adapt(given)
        for key in ("size", "city"):
            assert space.preprocessors[key].get_vocabulary() == expected[key].get_vocabulary()
        assert space.preprocessors["weight"].bin_boundaries == expected["weight"].bin_boundaries
        assert_close(space.preprocessors["price"].mean, expected["price"].mean)


@pytest.mark.parametrize("backend", installed())
def test_results_are_on_the_backend_of_the_data(backend: str) -> None:
    space, native = FeatureSpace({"a": "float_rescaled", "b": "integer_hashed"}), get_backend(backend)
    a, b = np.array([1.0, 2.0], np.float32), np.array([3, 4], np.int32)
    found = space({"a": native.array(a), "b": native.array(b)})
    assert found.shape == (2, 33)
    assert_close(native.numpy(found), np.asarray(space({"a": a, "b": b})))
    with use_backend(backend):
        assert type(space({"a": [1.0], "b": [3]})) is type(native.array(a))


def test_a_model_behind_a_mapped_dataset_trains() -> None:
    import tensorflow as tf

    space = OURS["types by name"]
    with pytest.raises(ArgumentError, match="on the host, before any graph"):
        space.get_inputs()
    encoded = space.get_encoded_features()
    model = uf.Model(encoded, layers.Dense(1)(encoded))
    model.compile("sgd", "mse")
    data = tf.data.Dataset.from_tensor_slices((TABLE, np.ones((ROWS, 1), np.float32)))
    before = data.map(lambda x, y: (space(x), y)).batch(16)
    after = data.batch(16).map(lambda x, y: (space(x), y))
    assert [one.shape for one in before.element_spec] == [one.shape for one in after.element_spec]
    assert after.element_spec[0].shape[1] == encoded.shape[1]
    for mapped in (before, after):
        model.fit(mapped, verbose=0)
    _same(
        np.concatenate([x for x, _ in after.as_numpy_iterator()]),
        np.asarray(THEIRS["types by name"](TABLE)),
        "mapped",
    )
    assert model.predict(data.map(lambda x, y: space(x)).batch(16)).shape == (ROWS, 1)


def test_numbers_are_prepared_in_the_graph() -> None:
    space = FeatureSpace({"price": "float_normalized", "size": "integer_categorical", "weight": "float"})
    space.adapt(TABLE)
    model = uf.Model(space.get_inputs(), space.get_encoded_features())
    columns = {key: np.array(TABLE[key])[:, None] for key in ("price", "size", "weight")}
    columns = {
        key: one.astype("int32" if one.dtype.kind == "i" else "float32") for key, one in columns.items()
    }
    for backend in installed():
        assert_close(model.predict(columns, backend=backend), np.asarray(space(TABLE)), what=backend)


def test_any_layer_prepares_a_column() -> None:
    text = layers.TextVectorization(output_mode="tf_idf")
    known = layers.Normalization(mean=12.0, variance=5.0)
    space = FeatureSpace(
        {
            "text": FeatureSpace.feature("string", text, "float"),
            "n": FeatureSpace.feature("float32", known, "float"),
        }
    )
    data = {"text": ["1st string", "2nd string", "3rd string"], "n": [12.0, 17.0, 7.0]}
    space.adapt(data)
    found = np.asarray(space(data))
    assert found.shape == (3, 6)
    assert_close(found[:, 0], np.array([0, 5, -5], np.float32) / np.sqrt(np.float32(5)))


@pytest.mark.parametrize("name", OURS)
def test_it_is_saved_with_what_it_learned(name: str, tmp_path: Path) -> None:
    space = OURS[name]
    space.save(tmp_path / "space.keras")
    again = uf.models.load_model(tmp_path / "space.keras")
    assert isinstance(again, FeatureSpace)
    with use_backend("numpy"):
        _same(again(_of(name, TABLE)), space(_of(name, TABLE)), name)
    with pytest.raises(ArgumentError, match=r"ends in \.keras"):
        space.save(tmp_path / "space.uf")


def _two(**options: Any) -> FeatureSpace:
    return FeatureSpace({"a": "integer_categorical", "b": "float"}, **options)


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "no features": (lambda: FeatureSpace({}), ArgumentError, "cannot be None or empty"),
    "a type": (lambda: FeatureSpace({"a": "floats"}), UnknownName, "feature 'a'.*'floats'. Did you mean"),
    "no dimension": (lambda: _two(crosses=[("a", "b")], crossing_dim=None), ArgumentError, "`crossing_dim`"),
    "a cross": (lambda: _two(crosses=[("a", "c")]), ArgumentError, "should be present in .*'c'"),
    "a mode": (lambda: _two(output_mode="list"), ArgumentError, "for argument `output_mode`"),
    "a feature's mode": (lambda: FeatureSpace.integer_hashed(3, output_mode="count"), ArgumentError, "`output_mode`"),
    "before adapt": (lambda: _two()({"a": [1], "b": [1.0]}), NotBuiltError, "You need to call `.adapt"),
    "encoded before adapt": (lambda: _two().get_encoded_features(), NotBuiltError, "You need to call `.adapt"),
    "no dict": (lambda: FeatureSpace({"b": "float"})([1.0]), ArgumentError, "only be called with a dict"),
    "a column less": (lambda: FeatureSpace({"b": "float"})({"a": [1.0]}), DataError, r"lack the features \['b'\]"),
    "a symbolic column": (
        lambda: FeatureSpace({"b": "float"})({"b": uf.Input((1,))}), ArgumentError, "get_encoded_features",
    ),
    "data": (lambda: _two().adapt(3), ArgumentError, "Received instead: 3"),
    "integers in one vector": (
        lambda: FeatureSpace({"a": FeatureSpace.integer_hashed(3, output_mode="int")})({"a": [1]}), ArgumentError,
        "Cannot concatenate features because feature 'a'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    make, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        make()
