"""Folders of files as datasets: which files there are, and which labels they have."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unifront.errors import ArgumentError, DataError
from unifront.utils.examples import Examples, Part, check_format, in_format


@dataclass(frozen=True)
class Files:
    """Files with their labels."""

    paths: list[str]
    labels: np.ndarray | None
    class_names: list[str] | None

    def take(self, part: slice) -> Files:
        """Some of them."""
        return Files(self.paths[part], None if self.labels is None else self.labels[part], self.class_names)


@dataclass(frozen=True)
class Folder:
    """The arguments that all datasets of folders have; as in ``keras.utils.image_dataset_from_directory``.

    Args:
        what: what its files are, in the plural, with a singular as an adjective: ``"images", "image"``.
        suffixes: of the names of its files.
    """

    what: tuple[str, str]
    suffixes: tuple[str, ...]
    directory: Any
    labels: Any
    label_mode: Any
    class_names: Any
    batch_size: Any
    shuffle: Any
    seed: Any
    validation_split: Any
    subset: Any
    follow_links: Any
    format: Any
    verbose: Any

    def datasets(self, read: Callable[[str], Any], part: Part, collate: Any = None) -> Any:
        """The dataset; for ``subset="both"`` a list of that for training and that for validation.

        Args:
            read: makes an array, or a text, of a file.
            part: what that is.
        """
        self._check()
        seed = int(np.random.default_rng().integers(10**6)) if self.seed is None else int(self.seed)
        files = self._files(seed)
        names = files.class_names
        if self._mode == "binary" and (names is None or len(names) != 2):
            raise ArgumentError(
                'When passing `label_mode="binary"`, there must be exactly 2 class_names. Received: '
                f"class_names={names}"
            )
        subsets = ["training", "validation"] if self.subset == "both" else [self.subset]
        made = []
        for subset in subsets:
            chosen = self._chosen(files, subset)
            if not chosen.paths:
                kind = f"{subset} " if self.subset == "both" else ""
                raise DataError(
                    f"No {kind}{self.what[0]} found in directory {self.directory}. Allowed formats: {self.suffixes}"
                )
            shuffle = bool(self.shuffle) and not (self.subset == "both" and subset == "validation")
            made.append(in_format(self._dataset(chosen, read, part, shuffle, seed, collate), self.format))
        return made if self.subset == "both" else made[0]

    @property
    def _mode(self) -> str | None:
        return None if self.labels is None else self.label_mode

    def _check(self) -> None:
        if not (self.labels is None or isinstance(self.labels, list | tuple) or self.labels == "inferred"):
            raise ArgumentError(
                f"`labels` argument should be a list/tuple of integer labels, of the same size as the number of "
                f"{self.what[1]} files in the target directory. If you wish to infer the labels from the subdirectory "
                f'names in the target directory, pass `labels="inferred"`. If you wish to get a dataset that only '
                f"contains {self.what[0]} (no labels), pass `labels=None`. Received: labels={self.labels}"
            )
        if self.class_names and isinstance(self.labels, list | tuple):
            raise ArgumentError(
                'You can only pass `class_names` if `labels="inferred"`. Received: '
                f"labels={self.labels}, and class_names={self.class_names}"
            )
        if self.label_mode not in ("int", "categorical", "binary", None):
            raise ArgumentError(
                '`label_mode` argument must be one of "int", "categorical", "binary", or None. Received: '
                f"label_mode={self.label_mode}"
            )
        check_format(self.format)
        if self.batch_size is not None and (not isinstance(self.batch_size, int) or self.batch_size < 1):
            raise ArgumentError(f"`batch_size` is a positive int or None. Received: {self.batch_size!r}")
        check_subset(self.validation_split, self.subset, self.shuffle, self.seed)

    def _files(self, seed: int) -> Files:
        folder = Path(os.fsdecode(self.directory))
        if not folder.is_dir():
            raise DataError(f"There is no folder {str(self.directory)!r}.")
        names: list[str] | None
        if self.labels == "inferred" and self.label_mode is not None:
            names = self._class_folders(folder)
            found = [self._below(folder / name) for name in names]
            paths = [path for one in found for path in one]
            labels: np.ndarray | None = np.repeat(
                np.arange(len(names), dtype=np.int32), list(map(len, found))
            )
        else:
            if self.class_names is not None:
                raise ArgumentError(
                    "When `labels=None` (no labels), argument `class_names` cannot be specified."
                )
            paths, names, labels = self._below(folder), None, None
            if isinstance(self.labels, list | tuple) and self.label_mode is not None:
                if len(self.labels) != len(paths):
                    raise ArgumentError(
                        "Expected the lengths of `labels` to match the number of files in the target directory. "
                        f"len(labels) is {len(self.labels)} while we found {len(paths)} files in directory "
                        f"{self.directory}."
                    )
                labels = _whole_labels(self.labels)
                names = [str(label) for label in sorted(set(self.labels))]
        if self.verbose:
            classes = "" if names is None else f" belonging to {len(names)} classes"
            print(f"Found {len(paths)} files{classes}.")  # noqa: T201  # asked for by verbose
        if self.shuffle:
            order = np.random.default_rng(seed).permutation(len(paths))
            paths = [paths[i] for i in order]
            labels = None if labels is None else labels[order]
        return Files(paths, labels, names)

    def _class_folders(self, folder: Path) -> list[str]:
        names = sorted(one.name for one in folder.iterdir() if one.is_dir() and one.name[0] != ".")
        if self.class_names is None:
            return names
        if not set(self.class_names) <= set(names):
            raise ArgumentError(
                "The `class_names` passed did not match the names of the subdirectories of the target directory. "
                f"Expected: {names} (or a subset of it), but received: class_names={self.class_names}"
            )
        return list(self.class_names)

    def _below(self, folder: Path) -> list[str]:
        """The files of the formats wanted, in the order of their folders, then of their names."""
        found = []
        for root, _, names in sorted(os.walk(folder, followlinks=bool(self.follow_links))):
            found += [os.path.join(root, name) for name in sorted(names) if self._is_one(name)]
        return found

    def _is_one(self, name: str) -> bool:
        return name.lower().endswith(self.suffixes)

    def _chosen(self, files: Files, subset: str | None) -> Files:
        if not self.validation_split:
            return files
        held_out = int(self.validation_split * len(files.paths))
        kept = len(files.paths) - held_out
        part = slice(0, kept) if subset == "training" else slice(kept, None)
        if self.verbose:
            count = kept if subset == "training" else held_out
            print(f"Using {count} files for {subset}.")  # noqa: T201  # asked for by verbose
        return files.take(part)

    def _dataset(
        self, files: Files, read: Callable[[str], Any], part: Part, shuffle: bool, seed: int, collate: Any
    ) -> Examples:
        options: dict[str, Any] = {
            "batch_size": self.batch_size, "shuffle": shuffle, "seed": seed, "class_names": files.class_names,
            "file_paths": files.paths, "collate": collate,
        }  # fmt: skip
        if files.labels is None or self._mode is None:
            return Examples(len(files.paths), lambda i: read(files.paths[i]), part, **options)
        targets, target = encoded(files.labels, self._mode, len(files.class_names or ()))

        def example(i: int) -> tuple[Any, Any]:
            return read(files.paths[i]), targets[i]

        return Examples(len(files.paths), example, (part, target), **options)


def _whole_labels(labels: Sequence[Any]) -> np.ndarray:
    found = np.asarray(labels)
    if found.dtype.kind not in "iu":
        raise ArgumentError(f"`labels` are integers; {found.dtype} was given.")
    return found.astype(np.int32)


def encoded(labels: np.ndarray, mode: str, classes: int) -> tuple[np.ndarray, Part]:
    """Labels as ``label_mode`` says: int32, or a float32 column of zeros and ones, or rows with a one."""
    if mode == "int":
        return labels.astype(np.int32), Part("int32", ())
    if mode == "binary":
        return labels.astype(np.float32)[:, None], Part("float32", (1,))
    rows = (labels[:, None] == np.arange(classes)).astype(np.float32)
    return rows, Part("float32", (classes,))


def check_subset(share: Any, subset: Any, shuffle: Any, seed: Any) -> None:
    """Raise `ArgumentError` unless ``validation_split`` and ``subset`` go together, and the split is the same twice."""
    if share and not 0 < share < 1:
        raise ArgumentError(f"`validation_split` must be between 0 and 1, received: {share}")
    if (share or subset) and not (share and subset):
        raise ArgumentError(
            "If `subset` is set, `validation_split` must be set, and inversely. Received: "
            f"validation_split={share}, subset={subset}"
        )
    if subset not in ("training", "validation", "both", None):
        raise ArgumentError(f'`subset` must be either "training", "validation" or "both", received: {subset}')
    if share and shuffle and seed is None:
        raise ArgumentError(
            "If using `validation_split` and shuffling the data, you must provide a `seed` argument, to make sure that "
            "there is no overlap between the training and validation subset."
        )
