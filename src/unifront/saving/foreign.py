"""Weights for a model from whatever file somebody has them in: ours, Keras's, or a publisher's of torch models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unifront import safetensors
from unifront.errors import ArgumentError, FileFormatError, UnifrontError
from unifront.files import BROKEN, existing, reason
from unifront.model import Model
from unifront.saving import keras_files, own_state, torch_files
from unifront.saving.archives import opened
from unifront.saving.kinds import HDF5, KERAS_ZIP, SAFETENSORS, TORCH_PICKLES, TORCH_ZIP, UF, kind_of
from unifront.saving.published import arranged, publisher_of
from unifront.saving.stored import Stored, misfit, take

Peers = Mapping[str, Callable[[Model], Mapping[str, str | None]]]
Given = tuple[dict[str, Stored], list[str]]
_KERAS = "keras"


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let errors name the file; what breaks below becomes an error of ours."""
    try:
        yield
    except FileFormatError as error:
        text = str(error)
        raise error if text.startswith(str(path)) else FileFormatError(f"{path}: {reason(error)}.") from None
    except (UnifrontError, ImportError):
        raise
    except BROKEN as error:
        raise FileFormatError(f"{path} cannot be read as weights: {reason(error)}.") from error


@dataclass(frozen=True)
class _Zoo:
    """How a model of the zoo is made, and whose weights it knows.

    Args:
        name: the model's.
        build: makes it of its options.
        takes: the options there are.
        options: those given.
        peers: as in `unifront.zoo.Entry`.
    """

    name: str
    build: Callable[..., Model]
    takes: frozenset[str]
    options: Mapping[str, Any]
    peers: Peers = field(default_factory=dict)

    def made(self, publisher: str, **more: Any) -> Model:
        """The model, in the details that ``publisher``'s has, unless the options say whose it is to have.

        Those of Keras's files are every builder's default.
        """
        like = {"like": publisher} if "like" in self.takes and publisher != _KERAS else {}
        return self.build(**{**like, **self.options, **more})

    def whole(self, publisher: str) -> Model | None:
        """The model with its head, where the options leave it off: what a file may hold beyond the body."""
        if "classes" not in self.takes or self.options.get("classes", 0) is not None:
            return None
        more = {"classes": _default(self.build, "classes")}
        given = self.options.get("input_shape") or ()
        if None in given:  # heads may need sizes; the body's weights do not depend on them
            usual = _default(self.build, "input_shape")
            more["input_shape"] = tuple(
                one if size is None else size for size, one in zip(given, usual, strict=True)
            )
        return self.made(publisher, **more)


def _default(function: Callable[..., Any], name: str) -> Any:
    import inspect

    return inspect.signature(function).parameters[name].default


def create_with(
    name: str, build: Callable[..., Model], takes: frozenset[str], options: Mapping[str, Any], peers: Peers, path: Any
) -> Model:  # fmt: skip
    """A model of the zoo with the weights in a file, in the details that whoever published them has.

    Args:
        name: the model's name, for errors.
        build: makes the model of options.
        takes: the options it takes.
        options: those given.
        peers: as of `unifront.zoo.Entry`.
        path: the file.

    Raises `FileFormatError` for a file that is broken or of another model, saying what is missing, left over or of
    another shape.
    """
    path = existing(path)
    zoo = _Zoo(name, build, takes, options, peers)
    with _naming(path):
        kind = kind_of(path)
        if kind in (HDF5, KERAS_ZIP):
            return _from_keras(zoo, path, kind)
        if kind in (TORCH_ZIP, TORCH_PICKLES):
            read = torch_files.read_zip if kind == TORCH_ZIP else torch_files.read_pickles
            return _from_torch(zoo, path, read(path))
        found = _own(path, kind)
        model = zoo.made(_KERAS)
        if kind == UF or set(found) & {*model_paths(model)} or not peers:
            _finish(zoo, _KERAS, path, model, partial(by_paths, found=found))
            return model
        return _from_torch(zoo, path, torch_files.unwrapped(found))


def _from_keras(zoo: _Zoo, path: Path, kind: str) -> Model:
    model = zoo.made(_KERAS)
    with keras_files.weights_file(path, kind == KERAS_ZIP) as file:
        _finish(zoo, _KERAS, path, model, keras_reader(file))
    return model


def take_keras(path: Path, model: Model, file: Any, *, skip_mismatch: bool = False) -> None:
    """Give ``model`` its weights in an open HDF5 file, all or none, and layers that read their own what is theirs.

    Raises `FileFormatError` for a file that does not fit.
    """
    if keras_files.is_legacy(file):
        own = []
        given, extra = keras_files.by_layers(model, keras_files.legacy_layers(file))
    else:
        found = keras_files.of_model(file)
        own = own_state.parts(model, found)
        given, extra = keras_files.by_groups(model, found)
    stores = own_state.read(own, path.stat().st_size)
    theirs = {id(weight) for layer, _ in own for weight in layer._weights}
    wanted = {name: one for name, one in model_paths(model).items() if id(one) not in theirs}
    take(path, model.name, wanted, given, extra, skip_mismatch=skip_mismatch)
    for layer, store in stores:
        if store or not skip_mismatch:
            layer.load_own_variables(store)


def keras_reader(file: Any) -> Callable[[Model], Given]:
    """What finds the weights of a model in an open HDF5 file."""
    if keras_files.is_legacy(file):
        return partial(keras_files.by_layers, found=keras_files.legacy_layers(file))
    return partial(keras_files.by_groups, found=keras_files.of_model(file))


def _from_torch(zoo: _Zoo, path: Path, found: Mapping[str, Stored]) -> Model:
    if not zoo.peers:
        raise FileFormatError(
            f"it is a state_dict of torch's, and {zoo.name} knows no names of torch modules. It takes files of Keras "
            "and of unifront"
        )
    first = {
        names: who for who, names in reversed([*zoo.peers.items()])
    }  # one of those that share their names
    models = {who: zoo.made(who) for who in zoo.peers if who in first.values()}
    names = {who: zoo.peers[who](zoo.whole(who) or model) for who, model in models.items()}
    who = publisher_of(names, found)

    def arrange(model: Model) -> Given:
        return arranged(model, zoo.peers[who](model), found)

    _finish(zoo, who, path, models[who], arrange)
    return models[who]


def _finish(zoo: _Zoo, who: str, path: Path, model: Model, arrange: Callable[[Model], Given]) -> None:
    """Give ``model`` what ``arrange`` finds for it. If it has no head, the file may have one."""
    model.trace()
    wanted = model_paths(model)
    given, extra = arrange(model)
    whole = zoo.whole(who) if misfit(wanted, given, extra) else None
    if whole is not None:
        whole.trace()
        all_given, all_extra = arrange(whole)
        if not all_extra and set(all_given) == {*model_paths(whole)}:  # of whatever number of classes
            given, extra = {name: all_given[name] for name in wanted if name in all_given}, []
    take(path, model.name, wanted, given, extra, _hint(zoo, wanted, given))


def _hint(zoo: _Zoo, wanted: Mapping[str, Any], given: Mapping[str, Stored]) -> str:
    """What to do where all but the number of classes fits."""
    odd = [name for name in wanted if name in given and given[name].shape != wanted[name].shape]
    if not odd or "classes" not in zoo.takes or len(given) < len(wanted):
        return ""
    shapes = [(given[name].shape, wanted[name].shape) for name in odd]
    if (
        any(theirs[:-1] != ours[:-1] for theirs, ours in shapes)
        or len({theirs[-1:] for theirs, _ in shapes}) != 1
    ):
        return ""
    count = shapes[0][0][-1]
    return (
        f" Its head has {count} classes: create({zoo.name!r}, classes={count}, weights=…) takes it; classes=None "
        "takes the body's weights alone, for a head of your own."
    )


def model_paths(model: Model) -> dict[str, Any]:
    """The variables of a model by their paths."""
    paths = model.variable_paths()
    return {paths[id(variable)]: variable for variable in model.weights}


# ---------------------------------------------------------------- files of unifront


def _own(path: Path, kind: str) -> dict[str, Stored]:
    """The arrays in a file of ours, or any of safetensors."""
    if kind == SAFETENSORS:
        with path.open("rb") as file:
            places = safetensors.places(file, path.stat().st_size)
            start = file.tell()
        return {name: _at(path, name, place, start) for name, place in places.items()}
    with opened(path) as archive, archive.open("weights.safetensors") as file:
        info = archive.getinfo("weights.safetensors")
        places = safetensors.places(file, info.file_size)  # type: ignore[arg-type]  # as in `read`
        read = safetensors.arrays(file, places)  # type: ignore[arg-type]  # as in `read`
    return {
        name: Stored(name, array.shape, array.dtype, partial(np.asarray, array))
        for name, array in read.items()
    }


def _at(path: Path, name: str, place: safetensors.Place, start: int) -> Stored:
    def read() -> np.ndarray:
        with path.open("rb") as file:
            file.seek(start + place.start)
            raw = file.read(place.end - place.start)
        return np.frombuffer(raw, place.dtype.numpy.newbyteorder("<")).reshape(place.shape)

    return Stored(name, place.shape, np.dtype(place.dtype.numpy), read)


def by_paths(model: Model, found: Mapping[str, Stored]) -> Given:
    """The arrays that are called as the model's variables, and the names of the others."""
    wanted = model_paths(model)
    return {name: found[name] for name in wanted if name in found}, sorted(set(found) - set(wanted))


# ---------------------------------------------------------------- for any model


def load_foreign(model: Model, path: Path, *, skip_mismatch: bool = False) -> bool:
    """Give ``model`` the weights in a file of Keras's or a ``.uf``; False if the file is none of these.

    Args:
        model: whose they are.
        path: of the file.
        skip_mismatch: take what fits, layer by layer.

    Raises `FileFormatError` for one that does not fit, and for a state_dict of torch's.
    """
    with _naming(path):
        kind = kind_of(path)
        if kind == SAFETENSORS:
            return False
        if kind in (TORCH_ZIP, TORCH_PICKLES):
            raise FileFormatError(
                "it is a state_dict of torch's. uf.zoo.create(name, weights=…) takes those of known models; the state "
                'of model.lower("torch") is given as it is: model.load_weights(torch.load(…))'
            )
        model.trace()
        if kind == UF:
            given, extra = by_paths(model, _own(path, kind))
            take(path, model.name, model_paths(model), given, extra, skip_mismatch=skip_mismatch)
            return True
        with keras_files.weights_file(path, kind == KERAS_ZIP) as file:
            take_keras(path, model, file, skip_mismatch=skip_mismatch)
        return True


def refuse_names(weights: Any) -> None:
    """Refuse the names of published weights, which Keras downloads."""
    if weights == "imagenet":
        raise ArgumentError(
            'weights="imagenet" asks for a download, and unifront downloads nothing. Give the path of the file: one of '
            "Keras Applications (keras.io/api/applications), torchvision's or timm's state dict."
        )
