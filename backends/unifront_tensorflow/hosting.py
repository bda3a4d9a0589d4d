"""SavedModels inside a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from unifront.errors import ArgumentError, UnknownName


class Hosted:
    """A SavedModel, and which of its functions are called in inference and in training."""

    states = 0

    def __init__(self, folder: str, inference: str, training: str) -> None:
        try:
            self._loaded = tf.saved_model.load(folder)
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ArgumentError(f"{folder} is no folder of a SavedModel: {error}") from error
        self._functions = {True: self._function(training), False: self._function(inference)}
        self._structure: Any = None

    def _function(self, name: str) -> Any:
        signatures = dict(getattr(self._loaded, "signatures", {}))
        if name in signatures:
            function = signatures[name]
            names = [spec.name for spec in tf.nest.flatten(function.structured_input_signature[1])]
            return lambda *inputs: function(**dict(zip(names, inputs, strict=True)))
        found = getattr(self._loaded, name, None)
        if not callable(found):
            own = [
                one
                for one in dir(self._loaded)
                if not one.startswith("_") and callable(getattr(self._loaded, one))
            ]
            raise UnknownName("endpoint of the SavedModel", name, [*signatures, *own])
        return found

    def weights(self, inputs: Any, training: bool) -> list[Any]:
        """None: the variables stay the SavedModel's."""
        return []

    def run(self, inputs: Sequence[Any], weights: Sequence[Any], key: Any, training: bool) -> Any:
        """The results."""
        return tf.nest.flatten(self._functions[training](*inputs)), []

    def results(
        self, types: Sequence[tuple[tuple[int, ...], str]], training: bool
    ) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of each result for inputs of these; by a call on zeros."""
        with tf.init_scope():
            made = self._functions[training](*(tf.zeros(shape, dtype) for shape, dtype in types))
        self._structure = tf.nest.map_structure(lambda leaf: None, made)
        return [(tuple(leaf.shape), leaf.dtype.name) for leaf in tf.nest.flatten(made)]

    def arranged(self, results: Sequence[Any]) -> Any:
        """Results in the structure in which the SavedModel gives them."""
        return tf.nest.pack_sequence_as(self._structure, list(results))
