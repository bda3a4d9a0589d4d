"""Layers that say themselves what is kept of them, in files of Keras's: written here or there, read there or here."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

import unifront as uf
from unifront.errors import ArgumentError, FileFormatError
from unifront.saving.foreign import take_keras
from unifront.saving.keras_files import weights_file
from unifront.saving.own_state import read_assets

X = np.array([[1.0, 2.0, 4.0], [0.5, 0.0, 1.0]], np.float32)
BOTH = {"unifront": uf, "keras": keras}


def classes(library: Any) -> dict[str, type]:
    """A layer with variables and files of its own, one that calls `Layer`'s, and a model around them."""

    class Kept(library.layers.Layer):
        def __init__(self, units: int = 2, notes: str = "", **options: Any) -> None:
            super().__init__(**options)
            self.units, self.notes, self.seen = units, notes, np.zeros(2, np.int64)

        def build(self, shape: Any) -> None:
            self.kernel = self.add_weight((shape[-1], self.units), "glorot_uniform", name="kernel")

        def call(self, x: Any) -> Any:
            return library.ops.matmul(x, self.kernel)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "units": self.units}

        def save_own_variables(self, store: Any) -> None:
            store["turned"] = library.ops.transpose(self.kernel)
            store["seen"] = self.seen

        def load_own_variables(self, store: Any) -> None:
            self.kernel.assign(np.asarray(store["turned"]).T)
            self.seen = np.array(store["seen"])

        def save_assets(self, folder: str) -> None:
            Path(folder, "more").mkdir()
            Path(folder, "more", "notes.txt").write_text(self.notes, encoding="utf-8")

        def load_assets(self, folder: str) -> None:
            self.notes = Path(folder, "more", "notes.txt").read_text(encoding="utf-8")

    class Counting(library.layers.Dense):
        def save_own_variables(self, store: Any) -> None:
            super().save_own_variables(store)
            store["count"] = np.array(3)

        def load_own_variables(self, store: Any) -> None:
            self.count = int(np.asarray(store["count"]))
            super().load_own_variables({name: store[name] for name in "01"})

    class Around(library.Model):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.parts = [Kept(3, name="kept"), Counting(2, name="counting")]

        def call(self, x: Any) -> Any:
            for part in self.parts:
                x = part(x)
            return x

        def get_config(self) -> dict[str, Any]:
            return {"name": self.name}

    return {one.__name__: one for one in (Kept, Counting, Around)}


def made(library: Any, kind: str) -> tuple[Any, Any]:
    """A model of a library, and its layer `Kept`."""
    own = classes(library)
    if kind == "own":
        model = own["Around"]()
        model(library.ops.convert_to_tensor(X))
        return model, model.parts[0]
    kept = own["Kept"](3, name="kept")
    return library.Sequential([library.Input((3,)), kept, own["Counting"](2, name="counting")]), kept


@pytest.mark.parametrize("kind", ["sequential", "own"])
@pytest.mark.parametrize("reader", BOTH)
@pytest.mark.parametrize("writer", BOTH)
def test_what_layers_keep_goes_from_library_to_library(
    writer: str, reader: str, kind: str, tmp_path: Path
) -> None:
    model, kept = made(BOTH[writer], kind)
    kept.seen, kept.notes = np.array([7, 9]), "ein Bäcker\n"
    expected = np.asarray(model.predict(X, verbose=0))
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    assert zipfile.is_zipfile(tmp_path / "m.keras")
    library = BOTH[reader]
    twin = library.models.load_model(tmp_path / "m.keras", custom_objects=classes(library))
    np.testing.assert_allclose(twin.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    part = twin.parts[0] if kind == "own" else twin.layers[0]
    assert part.notes == "ein Bäcker\n"
    assert part.seen.tolist() == [7, 9]
    other, part = made(library, kind)
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(other.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert part.seen.tolist() == [7, 9]
    assert part.notes == ""  # weights have no files beside them
    assert [
        one.count for one in (other.parts if kind == "own" else other.layers) if hasattr(one, "count")
    ] == [3]


@pytest.mark.parametrize("reader", BOTH)
@pytest.mark.parametrize("writer", BOTH)
def test_a_model_keeps_things_of_its_own(writer: str, reader: str, tmp_path: Path) -> None:
    def own(library: Any) -> Any:
        class Noted(classes(library)["Around"]):
            def save_own_variables(self, store: Any) -> None:
                store["seen"] = np.arange(3)

            def load_own_variables(self, store: Any) -> None:
                self.seen = np.array(store["seen"])

            def save_assets(self, folder: str) -> None:
                Path(folder, "about.txt").write_text("here", encoding="utf-8")

            def load_assets(self, folder: str) -> None:
                self.about = Path(folder, "about.txt").read_text(encoding="utf-8")

        return Noted

    model = own(BOTH[writer])()
    expected = model.predict(X, verbose=0)
    model.save(tmp_path / "m.keras")
    library = BOTH[reader]
    objects = {**classes(library), "Noted": own(library)}
    twin = library.models.load_model(tmp_path / "m.keras", custom_objects=objects)
    np.testing.assert_allclose(twin.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert (twin.seen.tolist(), twin.about, twin.parts[1].count) == ([0, 1, 2], "here", 3)


@pytest.mark.parametrize("mode", ["int", "one_hot", "count"])
def test_a_vocabulary_that_keras_has_learned_is_read(mode: str, tmp_path: Path) -> None:
    theirs = keras.layers.IntegerLookup(output_mode=mode)
    theirs.adapt(np.array([5, 5, 9, 9, 9, 2]))
    given = keras.Input((3,), dtype="int64")
    model = keras.Model(given, theirs(given))
    model.save(tmp_path / "m.keras")
    data = np.array([[9, 2, 5], [7, 9, 9]])
    twin: Any = uf.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(twin.predict(data, verbose=0), model.predict(data, verbose=0))
    assert twin.layers[-1].get_vocabulary() == theirs.get_vocabulary()
    twin.save(tmp_path / "again.keras")
    for again in (
        uf.models.load_model(tmp_path / "again.keras"),
        keras.models.load_model(tmp_path / "again.keras"),
    ):
        np.testing.assert_array_equal(again.predict(data, verbose=0), model.predict(data, verbose=0))


@pytest.mark.parametrize("cls", ["TextVectorization", "StringLookup"])
@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_texts_that_keras_has_learned_are_read(cls: str, mode: str, tmp_path: Path) -> None:
    """Beside a model's graph: a layer of strings is saved by itself, or with a model that holds it."""
    texts = ["the cat sat", "a dog ran", "the dog", "the cat sat"]
    theirs = getattr(keras.layers, cls)(output_mode=mode)
    theirs.adapt(texts)
    theirs(np.array(texts, object)[:1])

    def holder(library: Any, layer: Any) -> Any:
        class Holder(library.Model):
            def __init__(self) -> None:
                super().__init__()
                self.words, self.dense = layer, library.layers.Dense(2)

            def call(self, x: Any) -> Any:
                return self.dense(x)

        model = Holder()
        model.predict(X, verbose=0)
        return model

    path = tmp_path / "m.keras"
    holder(keras, theirs).save(path)
    ours = getattr(uf.layers, cls)(output_mode=mode)
    model = holder(uf, ours)
    with weights_file(path, is_zip=True) as file, zipfile.ZipFile(path) as archive:
        take_keras(path, model, file)
        read_assets(model, archive)
    assert ours.get_vocabulary() == theirs.get_vocabulary()
    np.testing.assert_allclose(
        np.asarray(ours(texts)), np.asarray(theirs(np.array(texts, object))), rtol=1e-6
    )


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["m.uf", "m.weights.safetensors"])
def test_files_that_do_not_hold_it_are_refused(name: str, tmp_path: Path) -> None:
    model, _ = made(uf, "sequential")
    save = model.save if name == "m.uf" else model.save_weights
    with pytest.raises(ArgumentError, match=r"Kept 'kept' says by save_own_variables what is kept.*\.keras"):
        save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def rewritten(path: Path, change: Any) -> Path:
    """A ``.keras`` file with its entries changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def _huge(*shape: int) -> Any:
    def change(entries: dict[str, bytes]) -> None:
        file = io.BytesIO(entries["model.weights.h5"])
        with h5py.File(file, "a") as store:  # it takes no place in the file
            store.create_dataset("layers/kept/vars/huge", shape, "u1", chunks=(1,) * len(shape))
        entries["model.weights.h5"] = file.getvalue()

    return change


REFUSED: dict[str, tuple[Any, str]] = {
    "a folder above": (lambda e: e.update({"assets/../../x": b"1"}), "leads out of the folder"),
    "another drive": (lambda e: e.update({"assets/layers/kept/C:x": b"1"}), "leads out of the folder"),
    "a layer that is not there": (
        lambda e: e.update({"assets/layers/odd/x": b"1"}),
        "no layer there with load_assets",
    ),
    "a layer that reads none": (
        lambda e: e.update({"assets/layers/counting/x": b"1"}),
        "no layer there with load_assets",
    ),
    "more than the file": (_huge(2**40), "more than the file"),
    "more than int64 counts": (_huge(2**32, 2**32), "more than the file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_files_of_layers_are_refused(case: str, tmp_path: Path) -> None:
    change, text = REFUSED[case]
    model, _ = made(uf, "sequential")
    folder = tmp_path / "inside"
    folder.mkdir()
    model.save(folder / "m.keras")
    with pytest.raises(FileFormatError, match=text):
        uf.models.load_model(rewritten(folder / "m.keras", change), custom_objects=classes(uf))
    assert [one.name for one in tmp_path.rglob("*")] == ["inside", "m.keras"]


@pytest.mark.parametrize("value", [np.array(["a"]), np.array([None]), np.array([1j])])
def test_a_variable_that_is_no_number_is_refused(value: np.ndarray, tmp_path: Path) -> None:
    class Odd(uf.layers.Dense):
        def save_own_variables(self, store: Any) -> None:
            store["odd"] = value

    model = uf.Sequential([uf.Input((3,)), Odd(2)])
    with pytest.raises(
        ArgumentError, match=rf"Odd.save_own_variables: 'odd' is an array of {value.dtype}; files"
    ):
        model.save_weights(tmp_path / "m.weights.h5")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_orbax_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("orbax.checkpoint")
    model, _ = made(uf, "sequential")
    model.compile("sgd", "mse")
    keeper = uf.callbacks.OrbaxCheckpoint(tmp_path / "checkpoints")
    with pytest.raises(ArgumentError, match=r"and a checkpoint of Orbax holds the weights"):
        model.fit(X, np.ones((2, 2)), verbose=0, callbacks=[keeper])


def test_another_number_of_variables_is_refused() -> None:
    layer = uf.layers.Dense(2)
    layer.build((None, 3))
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    assert {name: one.shape for name, one in store.items()} == {"0": (3, 2), "1": (2,)}
    layer.load_own_variables({"0": np.ones((3, 2)), "1": np.ones(2)})
    assert layer.get_weights()[0].sum() == 6
    with pytest.raises(ArgumentError, match=r"'dense' expected 2 variables, but received 1 variables"):
        layer.load_own_variables({"0": np.ones((3, 2))})
