"""What the name of a model or a backend means on the command line, and how a shell completes it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import unifront as uf
from unifront.backends import names
from unifront.importing import SAVED_MODEL, from_saved_model
from unifront.recipes.shipped import NAMES

KERAS = (".keras", ".h5", ".hdf5")
"""Endings of Keras's files of whole models."""


def model_of(name: str) -> Any:
    """The model in a file (``.uf``, ``.onnx``, ``KERAS``), in the folder of a SavedModel or of results, that of a
    recipe, or of the zoo."""
    ending = Path(name).suffix.lower()
    if (Path(name) / "model.uf").is_file():
        return uf.load(Path(name) / "model.uf")
    if ending in (".yaml", ".yml") or name in NAMES:
        from unifront.recipes.running import model_of as of_recipe

        return of_recipe(name)
    if ending == ".onnx":
        return uf.from_onnx(name)
    if (Path(name) / SAVED_MODEL).is_file():
        return from_saved_model(name)
    is_file = ending in (".uf", ".safetensors", *KERAS) or Path(name).name != name
    return uf.load(name) if is_file else uf.zoo.create(name)


# ---------------------------------------------------------------- completion: no framework is loaded for it


def complete_backend(incomplete: str) -> list[str]:
    """Backends whose names begin so."""
    return [name for name in names() if name.startswith(incomplete)]


def complete_zoo(incomplete: str) -> list[tuple[str, str]]:
    """Models of the zoo whose names begin so, with what they are."""
    found = uf.zoo.entries(f"{incomplete}*")
    return [(entry.name, entry.summary.replace("``", "")) for entry in found]


def complete_files(incomplete: str, *endings: str) -> list[str]:
    """Files with one of the endings, and folders, whose paths begin so."""
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    if not folder.is_dir():
        return []
    start = incomplete[: incomplete.rfind("/") + 1]
    return sorted(
        f"{start}{path.name}" + "/" * path.is_dir()
        for path in folder.iterdir()
        if f"{start}{path.name}".startswith(incomplete) and (path.is_dir() or path.suffix.lower() in endings)
    )


def complete_model(incomplete: str) -> list[str | tuple[str, str]]:
    """What `model_of` takes: models of the zoo, recipes, files of models."""
    return [
        *complete_zoo(incomplete),
        *(name for name in NAMES if name.startswith(incomplete)),
        *complete_files(incomplete, ".uf", ".onnx", *KERAS, ".yaml", ".yml"),
    ]


Backend = Annotated[
    str | None,
    typer.Option(help="Where it runs, such as torch or jax:cpu.", autocompletion=complete_backend),
]
"""The type of the parameter of a command that runs on one backend."""

Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        help="A backend to ask; all that are installed unless given.",
        autocompletion=complete_backend,
    ),
]
"""The type of the parameter of a command that runs on several, each after its own ``--backend``."""
