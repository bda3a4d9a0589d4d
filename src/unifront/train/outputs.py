"""Which losses and metrics of `Model.compile` belong to which outputs, whatever structure both are given in.

Outputs are told by numbers: a structure of the form of the predictions, with the number of each leaf in its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unifront import tree
from unifront.errors import ArgumentError, UnknownKey, UnknownName

Path = tuple[Any, ...]


def _fitting(true: Sequence[Any], prediction: Sequence[Any]) -> str:
    if tuple(prediction[-1:]) == (1,):
        return "binary_crossentropy"
    sparse = len(true) < len(prediction) or tuple(true[-1:]) == (1,)
    return "sparse_categorical_crossentropy" if sparse else "categorical_crossentropy"


CROSSENTROPIES = {"crossentropy": _fitting, "ce": _fitting}
"""Names of losses that depend on the shapes of targets and predictions."""


@dataclass(frozen=True)
class Judged:
    """A loss of one output, or of several as a structure.

    Args:
        path: of the keys to it.
        where: the number of the output, or a structure of numbers.
        loss: as it was given.
        factor: of the loss in the total; None for 1.
    """

    path: Path
    where: Any
    loss: Any
    factor: Any

    def title(self, names: Sequence[str | None]) -> str | None:
        """What logs call it: keys, or the output's name; None where it has none."""
        if not isinstance(self.where, int):
            if self.path:
                return "/".join(map(str, self.path))
            keys = (
                self.where if isinstance(self.where, Mapping) else [names[i] for i in tree.leaves(self.where)]
            )
            return "_".join(map(str, keys))
        last: Path = self.path
        if not self.path or isinstance(self.path[-1], int):
            own = names[self.where]
            if own is None:
                return None
            last = (*self.path[:-1], own)
        return "/".join(map(str, last))


def losses_of(loss: Any, weights: Any, where: Any, names: Sequence[str | None]) -> list[Judged]:
    """Each loss in ``loss``, with its factor.

    Args:
        loss: one for every output; a list of one for each; a dict by names or keys; or of the structure of the outputs,
            where a list in the place of something else holds several losses of the same thing, to be added.
        weights: likewise; a number counts for all below its place.
        names: of the outputs, by their numbers.

    Raises `UnknownName` or `ArgumentError` where ``loss`` or ``weights`` do not fit the outputs.
    """
    numbers = tree.leaves(where)
    if not isinstance(where, Mapping):
        loss, weights = (
            per_output(one, names, what) if isinstance(one, Mapping) else one
            for one, what in ((loss, "loss"), (weights, "loss_weights"))
        )
    if not tree.is_nested(loss):
        loss = [loss] * len(numbers)
    return list(_spread(loss, weights, where, (), names))


def _spread(loss: Any, weights: Any, where: Any, path: Path, names: Sequence[str | None]) -> Iterator[Judged]:
    if not tree.is_nested(loss):
        if loss is not None:
            yield Judged(path, where, loss, weights)
        return
    leaves = list(_leaves(where, path))
    if isinstance(loss, list | tuple) and not any(map(tree.is_nested, loss)) and len(loss) == len(leaves):
        factors = _factors(weights, where, [names[number] for _, number in leaves])
        for one, factor, (below, number) in zip(loss, factors, leaves, strict=True):
            yield from _spread(one, factor, number, below, names)
    elif isinstance(loss, Mapping):
        if not isinstance(where, Mapping):
            raise ArgumentError(f"loss has a dict at {_place(path)}, where the model's output is none.")
        for key, one in loss.items():
            if key not in where:
                raise UnknownKey("output in loss", key, where)
            factor = (
                weights.get(key) if isinstance(weights, Mapping) else _entry(weights, list(loss).index(key))
            )
            yield from _spread(one, factor, where[key], (*path, key), names)
    elif not isinstance(where, type(loss)):
        for i, one in enumerate(loss):
            yield from _spread(one, _entry(weights, i), where, path, names)
    elif len(loss) != len(where):
        raise ArgumentError(
            f"loss has {len(loss)} entries at {_place(path)}; the model has {len(where)} outputs there."
        )
    else:
        for i, one in enumerate(loss):
            yield from _spread(one, _entry(weights, i), where[i], (*path, i), names)


def _leaves(where: Any, path: Path) -> list[tuple[Path, int]]:
    return [((*path, *below), number) for below, number in tree.flatten_with_path(where)]


def _place(path: Path) -> str:
    return f"{'/'.join(map(str, path))!r}" if path else "its top"


def _entry(weights: Any, i: int) -> Any:
    if not isinstance(weights, list | tuple):
        return weights
    if i >= len(weights):
        raise ArgumentError(f"loss_weights has {len(weights)} entries where loss has more: {weights!r}.")
    return weights[i]


def _factors(weights: Any, where: Any, names: Sequence[str | None]) -> list[Any]:
    if isinstance(weights, Mapping) and isinstance(where, Mapping) and not set(weights) <= set(where):
        unknown = next(key for key in weights if key not in where)
        raise UnknownKey("output in loss_weights", unknown, where)
    if isinstance(weights, Mapping) and isinstance(where, Mapping) and len(where) == len(names):
        return [weights.get(path[0]) for path, _ in _leaves(where, ())]
    return per_output(tree.leaves(weights) if tree.is_nested(weights) else weights, names, "loss_weights")


def metrics_of(given: Any, where: Any, names: Sequence[str | None], what: str) -> list[list[Any]]:
    """The metrics of each output, by its number.

    Args:
        given: for one output any structure of metrics; for several a list of one entry for each, a dict by names, or
            of the structure of the outputs. An entry is a metric or a list.
        what: the argument, as errors call it.

    Raises `ArgumentError` where it does not fit the outputs.
    """
    numbers = tree.leaves(where)
    if given is None:
        return [[] for _ in numbers]
    if len(numbers) == 1:
        return [[one for one in tree.leaves(given) if one is not None]]
    if not tree.is_nested(given):
        return [[given] for _ in numbers]
    flat = tree.is_nested(where) and len(where) == len(numbers)
    if flat and isinstance(given, list | tuple) and len(given) == len(numbers):
        return [_listed(one) for one in given]
    if flat and isinstance(given, Mapping) and set(given) <= set(names):
        return [_listed(given.get(name)) for name in names]
    found: list[list[Any]] = [[] for _ in numbers]

    def walk(one: Any, place: Any) -> None:
        if isinstance(place, int):
            found[place] = _listed(one)
        elif isinstance(place, Mapping) and isinstance(one, Mapping) and set(one) <= set(place):
            for key, part in one.items():
                walk(part, place[key])
        elif isinstance(place, list | tuple) and isinstance(one, list | tuple) and len(one) == len(place):
            for part, below in zip(one, place, strict=True):
                walk(part, below)
        elif one is not None:
            form = tree.map_leaves(lambda number: names[number] or "…", where)
            raise ArgumentError(
                f"Invalid `{what}`: it is a list or a dict of metrics by the outputs, {list(names)}, or of the "
                f"structure of the outputs, {form}; not {given!r}."
            )

    walk(given, where)
    return found


def _listed(one: Any) -> list[Any]:
    if one is None:
        return []
    return [part for part in tree.leaves(one) if part is not None] if tree.is_nested(one) else [one]


def per_output(given: Any, names: Sequence[str | None], what: str) -> list[Any]:
    """``given`` (one for all, a list or a dict by output name) spread over the outputs."""
    if isinstance(given, Mapping):
        unknown = [key for key in given if key not in names]
        if unknown:
            raise UnknownName(f"output in {what}", unknown[0], [name for name in names if name])
        return [given.get(name) for name in names]
    if isinstance(given, list | tuple):
        if len(given) != len(names):
            raise ArgumentError(
                f"{what} has {len(given)} entries; the model has {len(names)} outputs: {list(names)}."
            )
        return list(given)
    return [given] * len(names)
