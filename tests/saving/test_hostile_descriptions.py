"""Descriptions of models and layers by somebody hostile: they open no files and run nothing, and say what is wrong."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import unifront as uf
from unifront import layers
from unifront.errors import ArgumentError, FileFormatError, UnknownName
from unifront.models import model_from_json
from unifront.saving import deserialize_keras_object, serialize_keras_object


def of(name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}


def in_a_model(layer: dict[str, Any]) -> dict[str, Any]:
    config = {"name": "m", "layers": [layer]}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": None}


READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "deserialize_keras_object": deserialize_keras_object,
    "layers.deserialize": layers.deserialize,
    "model_from_json": lambda layer: model_from_json(json.dumps(in_a_model(layer))),
    "Sequential.from_config": lambda layer: uf.Sequential.from_config(in_a_model(layer)["config"]),
    "Bidirectional.from_config": lambda layer: layers.Bidirectional.from_config({"layer": layer}),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_a_description_names_no_vocabulary_file(name: str, reader: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("5\n6\n")
    with pytest.raises(ArgumentError, match=r"names the vocabulary file .*safe_mode=False"):
        READERS[reader](of(name, vocabulary=str(secret)))


def test_whoever_trusts_a_description_reads_its_files(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    told = of("StringLookup", vocabulary=str(tmp_path / "words.txt"))
    assert deserialize_keras_object(told, safe_mode=False).get_vocabulary() == ["[UNK]", "a", "b"]
    inner = deserialize_keras_object(in_a_model(told), safe_mode=False).layers[0]
    assert inner.get_vocabulary() == ["[UNK]", "a", "b"]
    assert layers.StringLookup.from_config(told["config"]).vocabulary_size() == 3  # a call of this very class
    with pytest.raises(ArgumentError, match="names the vocabulary file"):
        deserialize_keras_object(told)


def keras_file(path: Path, layer: dict[str, Any]) -> Path:
    """A model's file with one layer put in its description."""
    model = uf.Sequential([uf.Input((2,), dtype="int32"), layers.Dense(1)])
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(entries["config.json"])
    config["config"]["layers"].insert(1, layer)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**entries, "config.json": json.dumps(config)}.items():
            archive.writestr(name, content)
    return path


def test_a_keras_file_names_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("5\n")
    vocabulary = of("IntegerLookup", vocabulary=str(tmp_path / "secret.txt"), output_mode="multi_hot")
    path = keras_file(tmp_path / "m.keras", vocabulary)
    for read in (uf.load, uf.saving.load_model):
        with pytest.raises(FileFormatError, match=r"m\.keras: .* names the vocabulary file"):
            read(path)
    loaded = uf.saving.load_model(path, safe_mode=False)
    assert loaded.layers[0].get_vocabulary() == [-1, 5]


PROGRAMS = {
    "TFSMLayer": {"filepath": "."},
    "TorchModuleWrapper": {"module": "gASVHAAAAAAAAACMBXBvc2l4lIwGc3lzdGVtlJOU"},
    "JaxLayer": {
        "call_fn": {"module": "keras.ops", "class_name": "function", "config": "relu"},
        "params": {},
    },
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_description_names_no_program_of_a_framework(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"names a {name}, which holds a program"):
        layers.deserialize(of(name, **PROGRAMS[name]))


@pytest.mark.parametrize("name", ["load", "set_floatx", "set_backend", "from_onnx"])
def test_what_unifront_does_is_no_part_of_a_model(name: str) -> None:
    function = {"module": "keras", "class_name": "function", "config": name, "registered_name": name}
    with pytest.raises(UnknownName, match=f"Unknown function .*{name}"):
        layers.deserialize(of("Lambda", function=function))


@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_description_that_nests_too_deep_is_an_error(depth: int) -> None:
    layer: Any = of("Dense", units=1)
    for _ in range(depth):
        layer = of("TimeDistributed", layer=layer)
    with pytest.raises(ArgumentError, match="deep|nests|limit"):
        deserialize_keras_object(layer)


def test_wrong_configs_of_our_classes_are_our_errors() -> None:
    for cls, config in ((layers.Dense, {"units": {"a": 1}}), (layers.Bidirectional, {"layer": [1]}),
                        (uf.Model, {"layers": [{"name": "a", "class_name": "Dense"}]}),
                        (uf.Sequential, {"layers": [3]})):  # fmt: skip
        with pytest.raises(uf.errors.UnifrontError):
            cls.from_config(config)


def test_faults_of_a_users_own_class_stay_what_they_are() -> None:
    class Own(uf.Layer):
        @classmethod
        def from_config(cls, config: Any) -> Any:
            return config["a"].b

    told = serialize_keras_object(Own())
    with pytest.raises(AttributeError, match="no attribute 'b'"):
        deserialize_keras_object({**told, "config": {"a": 1}}, custom_objects={"Own": Own})
    with pytest.raises(ArgumentError, match="Own cannot be made from the config"):
        deserialize_keras_object({**told, "config": {}}, custom_objects={"Own": Own})
