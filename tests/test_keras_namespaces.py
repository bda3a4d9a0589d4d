"""The namespaces of Keras beside ops and layers: each public name is there, or has a reason; functions agree."""

from __future__ import annotations

import importlib
import inspect
from collections import OrderedDict
from operator import attrgetter
from typing import Any

import keras
import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers
from unifront.backends import installed, placement


def names_of(module: Any) -> list[str]:
    return [name for name in dir(module) if not name.startswith("_")]


ABSENT = {
    "utils": {"Config", "legacy"},
    "saving": {"KerasFileEditor"},
    "quantizers": {"AWQConfig", "GPTQConfig"},
    "config": {"disable_flash_attention", "disable_traceback_filtering", "enable_flash_attention",
               "enable_traceback_filtering", "enable_unsafe_deserialization", "is_flash_attention_enabled",
               "is_nnx_enabled", "is_traceback_filtering_enabled", "max_epochs", "max_steps_per_epoch",
               "set_max_epochs", "set_max_steps_per_epoch"},
}  # fmt: skip
"""Names that are not there. Calibration of quantized weights (AWQ, GPTQ), Data helpers and the editor of Keras's files are not built; code is never
read from files; errors are not filtered."""


SHOWN = (
    "activations", "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "models", "optimizers",
    "optimizers.schedules", "random", "regularizers", "saving", "utils",
)  # fmt: skip


@pytest.mark.parametrize("place", SHOWN)
def test_a_namespace_shows_what_is_public(place: str) -> None:
    """All that Keras has and we have, and nothing that is only imported there."""
    ours, theirs = (attrgetter(place)(kit) for kit in (uf, keras))
    shown = set(names_of(ours))
    assert {name for name in names_of(theirs) if hasattr(ours, name)} <= shown
    for name in shown:
        home = getattr(getattr(ours, name), "__module__", "unifront.")
        assert home.startswith("unifront."), name
    assert not shown & {
        "annotations",
        "Any",
        "Callable",
        "Mapping",
        "np",
        "ops",
        "CLASSES",
        "NAMES",
        "UnknownName",
    }


UNTAKEN = ("max_shard_size", "skip_mismatch", "none_is_leaf", "overwrite", "subgraph")
"""Parameters that functions do not take: weights are one file, taken whole or not at all; None is a leaf."""


@pytest.mark.parametrize(
    "place",
    [
        "constraints",
        "initializers",
        "regularizers",
        "activations",
        "models",
        "saving",
        "tree",
        "config",
        "dtype_policies",
        "mixed_precision",
        "quantizers",
        "utils",
    ],
)
def test_every_name_is_there(place: str) -> None:
    ours = getattr(uf, place)
    assert importlib.import_module(ours.__name__) is ours
    missing = {name for name in names_of(getattr(keras, place)) if not hasattr(ours, name)}
    assert missing == ABSENT.get(place, set())
    for name in names_of(getattr(keras, place)):
        theirs = getattr(getattr(keras, place), name)
        if name in missing or isinstance(theirs, type) or not callable(theirs):
            continue
        wanted = [
            one for one in inspect.signature(theirs).parameters if one not in {"kwargs", "args", *UNTAKEN}
        ]
        found = [one for one in inspect.signature(getattr(ours, name)).parameters if one not in UNTAKEN]
        assert found[: len(wanted)] == wanted, name


# ---------------------------------------------------------------- utils


@pytest.mark.parametrize(
    ("x", "classes"), [([0, 2, 1], None), ([[0], [3]], 5), ([[0, 1], [1, 2]], None), (2, 4)]
)
def test_to_categorical_is_keras(x: Any, classes: Any) -> None:
    np.testing.assert_array_equal(uf.utils.to_categorical(x, classes), keras.utils.to_categorical(x, classes))


def test_to_categorical_of_tensors_stays_on_its_backend() -> None:
    for name in installed():
        place = placement(name)
        found = uf.utils.to_categorical(place.backend.array(np.array([[1], [0]])), 3)
        np.testing.assert_array_equal(place.backend.numpy(found), np.eye(3)[[1, 0]])


def test_to_categorical_refuses_numbers_that_are_no_class() -> None:
    with pytest.raises(errors.ArgumentError, match="counted from 0 to 2; there are some from -1 to 2"):
        uf.utils.to_categorical([-1, 2])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"maxlen": 2},
        {"maxlen": 2, "truncating": "post"},
        {"padding": "post", "value": 7},
        {"maxlen": 0},
        {"dtype": "float32", "value": -1.5},
    ],
)
def test_pad_sequences_is_keras(options: dict[str, Any]) -> None:
    for sequences in ([[1], [2, 3, 4], [], [5, 6]], [[[1, 2]], [[3, 4], [5, 6]]]):
        if options.get("maxlen") == 0 and len(sequences) == 2:
            continue
        ours = uf.utils.pad_sequences(sequences, **options)
        theirs = (
            keras.utils.pad_sequences(sequences, **options)
            if options.get("maxlen") != 0
            else np.zeros((4, 0), "int32")
        )
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_pad_sequences_refuses() -> None:
    with pytest.raises(errors.ArgumentError, match="must be a list of iterables. Found non-iterable: 3"):
        uf.utils.pad_sequences([3, [1]])
    with pytest.raises(errors.DTypeError, match="dtype=object"):
        uf.utils.pad_sequences([[1]], value="x")
    with pytest.raises(errors.ShapeError, match="different from expected shape"):
        uf.utils.pad_sequences([[[1, 2]], [3]])


@pytest.mark.parametrize(("axis", "order"), [(-1, 2), (0, 1), (1, np.inf)])
def test_normalize_is_keras(axis: int, order: Any) -> None:
    x = np.array([[3.0, 4.0], [0.0, 0.0], [-1.0, 1.0]])
    found = uf.utils.normalize(x, axis, order)
    if axis:
        np.testing.assert_allclose(found, keras.utils.normalize(x, axis, order), rtol=1e-12)
    norms = np.linalg.norm(x, order, axis, keepdims=True)
    np.testing.assert_allclose(found * np.where(norms == 0, 1, norms), x, rtol=1e-12)


def test_images_go_through_files(tmp_path: Any) -> None:
    pytest.importorskip("PIL")
    rng = np.random.default_rng(0)
    for channels in (1, 3, 4):
        pixels = rng.integers(0, 256, (5, 7, channels)).astype(np.float32)
        uf.utils.save_img(tmp_path / "a.png", pixels, scale=False)
        mode = {1: "grayscale", 3: "rgb", 4: "rgba"}[channels]
        again = uf.utils.img_to_array(uf.utils.load_img(tmp_path / "a.png", color_mode=mode))
        np.testing.assert_array_equal(again, pixels)
        assert uf.utils.img_to_array(
            uf.utils.load_img(tmp_path / "a.png"), data_format="channels_first"
        ).shape == (3, 5, 7)
    for keep in (False, True):
        ours = uf.utils.load_img(
            tmp_path / "a.png", target_size=(4, 3), interpolation="bilinear", keep_aspect_ratio=keep
        )
        theirs = keras.utils.load_img(
            tmp_path / "a.png", target_size=(4, 3), interpolation="bilinear", keep_aspect_ratio=keep
        )
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_broken_images_are_named(tmp_path: Any) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "a.png").write_bytes(b"no image")
    with pytest.raises(errors.DataError, match=r"a\.png cannot be read as an image"):
        uf.utils.load_img(tmp_path / "a.png")
    with pytest.raises(errors.DataError, match=r"b\.png cannot be read as an image: No such file"):
        uf.utils.load_img(tmp_path / "b.png")
    with pytest.raises(errors.ShapeError, match="rank 3"):
        uf.utils.array_to_img(np.zeros((2, 2)))


def test_models_are_drawn(tmp_path: Any) -> None:
    pytest.importorskip("graphviz")
    i = uf.Input((4,))
    inner = uf.Model(i, layers.Dense(3, name="within")(i), name="inner")
    x = uf.Input((4,), name="x")
    model = uf.Model(x, layers.Add()([inner(x), layers.Dense(3, activation="relu")(x) * 2.0]))
    uf.utils.plot_model(model, tmp_path / "m.dot", show_shapes=True, show_layer_names=True, expand_nested=True,
                        show_layer_activations=True, show_dtype=True, show_trainable=True)  # fmt: skip
    text = (tmp_path / "m.dot").read_text()
    for part in (
        "within (Dense)",
        "dense (Dense)",
        "Activation: relu",
        "(None, 3)",
        "multiply",
        "add (Add)",
        "float32",
        "Trainable: True",
        "cluster_inner",
    ):
        assert part in text, part
    assert text.count("->") == 6
    with pytest.raises(errors.ArgumentError, match="plot_model writes png"):
        uf.utils.plot_model(model, tmp_path / "m.bmp")
    with pytest.raises(errors.ArgumentError, match="m.dot: there is no folder .*nowhere"):
        uf.utils.plot_model(model, tmp_path / "nowhere" / "m.dot")
    with pytest.raises(errors.NotBuiltError, match=r"Begin it with uf\.Input"):
        uf.utils.plot_model(uf.Sequential([layers.Dense(3)]), tmp_path / "m.dot")


def test_seeds_of_python_and_numpy_are_set() -> None:
    import random

    drawn = []
    for _ in range(2):
        uf.utils.set_random_seed(5)
        first = layers.Dense(1).kernel_initializer((1, 1))[0, 0]
        drawn.append((random.random(), np.random.rand(), float(first)))  # noqa: NPY002  # what scripts use
    assert drawn[0] == drawn[1]


def test_sources_of_symbolic_tensors() -> None:
    a, b = uf.Input((2,), name="a"), uf.Input((2,), name="b")
    assert uf.utils.get_source_inputs(layers.Add()([layers.Dense(2)(a), b])) == [a, b]
    assert uf.utils.is_keras_tensor(a + b)
    assert not uf.utils.is_keras_tensor(np.zeros(2))


@pytest.mark.parametrize("dtype", [None, "float32", float, np.float64, np.dtype("int8"), "bool"])
def test_standardize_dtype_is_keras(dtype: Any) -> None:
    assert uf.utils.standardize_dtype(dtype) == keras.utils.standardize_dtype(dtype)


# ---------------------------------------------------------------- tree

STRUCTURES = [
    3, None, [], [1, [2, 3]], (1, (2,)), {"b": 1, "a": [2, {"z": 3, "y": None}]}, [{"k": (1, 2)}, None],
    OrderedDict([("b", 1), ("a", 2)]),
]  # fmt: skip


@pytest.mark.parametrize("structure", STRUCTURES)
def test_trees_are_keras(structure: Any) -> None:
    ours, theirs = uf.tree, keras.tree
    assert ours.flatten(structure) == theirs.flatten(structure)
    assert ours.flatten_with_path(structure) == theirs.flatten_with_path(structure)
    assert ours.is_nested(structure) == theirs.is_nested(structure)
    assert ours.map_structure(str, structure) == theirs.map_structure(str, structure)
    assert ours.lists_to_tuples(structure) == theirs.lists_to_tuples(structure)
    numbered = list(range(len(ours.flatten(structure))))
    assert ours.pack_sequence_as(structure, numbered) == theirs.pack_sequence_as(structure, numbered)
    for top_down in (True, False):
        f = lambda part: "pair" if isinstance(part, tuple) and len(part) == 2 else None  # noqa: E731
        assert ours.traverse(f, structure, top_down) == theirs.traverse(f, structure, top_down)


def test_structures_that_differ_are_refused() -> None:
    for a, b in ([1, [2]], [1, 2]), ({"a": 1}, {"b": 1}), ((1,), [1]):
        with pytest.raises(ValueError, match="structure"):
            uf.tree.assert_same_structure(a, b)
        with pytest.raises(ValueError, match="structure"):
            uf.tree.map_structure(max, a, b)
    with pytest.raises(errors.ArgumentError, match="has 2 leaves; 1 were given"):
        uf.tree.pack_sequence_as([0, 0], [1])


# ---------------------------------------------------------------- config


def test_the_default_data_format_is_heeded() -> None:
    assert uf.config.image_data_format() == "channels_last"
    uf.config.set_image_data_format("channels_first")
    try:
        assert layers.Conv2D(2, 1).data_format == "channels_first"
        assert layers.MaxPooling2D()(uf.Input((3, 8, 8))).shape[1:] == (3, 4, 4)
        assert uf.ops.max_pool(np.zeros((1, 3, 8, 8), np.float32), 2).shape == (1, 3, 4, 4)
    finally:
        uf.config.set_image_data_format("channels_last")
    with pytest.raises(errors.UnknownName, match="data_format 'first'"):
        uf.config.set_image_data_format("first")


def test_epsilon_and_floatx() -> None:
    assert (uf.config.epsilon(), uf.config.floatx()) == (keras.config.epsilon(), "float32")
    uf.config.set_epsilon(1e-5)
    assert uf.config.epsilon() == 1e-5
    uf.config.set_epsilon(1e-7)
    with pytest.raises(errors.ArgumentError, match="epsilon is a number above 0"):
        uf.config.set_epsilon(0)


def test_auto_verbosity_is_a_line_an_epoch_where_logs_are_not_interactive(capsys: Any) -> None:
    model = uf.Sequential([uf.Input((2,)), layers.Dense(1)])
    model.compile("sgd", loss="mse")
    uf.config.disable_interactive_logging()
    try:
        model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2)
    finally:
        uf.config.enable_interactive_logging()
    assert len([line for line in capsys.readouterr().out.splitlines() if "loss" in line]) == 2
