"""`Bidirectional`: a layer that goes through sequences, and one that goes the other way."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Literal, Unpack

from unifront import ops, tree
from unifront.arguments import checked, shown
from unifront.errors import ArgumentError
from unifront.layers.arguments import LayerOptions
from unifront.layers.building import parameters
from unifront.layers.layer import Layer
from unifront.layers.rnn import RNN


class Bidirectional(Layer):
    """A recurrent layer run forward, and one run backward.

    Args:
        layer: a recurrent layer, or another one with ``go_backwards``, ``return_sequences`` and ``return_state`` that
            mean the same. A new one like it is made: its weights are not taken.
        merge_mode: how the two outputs join: "concat", "sum", "mul", "ave", or None for a pair.
        weights: the first values of the weights, as `get_weights` gives them.
        backward_layer: the layer to run backward, instead of one like ``layer``.

    With ``return_state`` the states of the forward layer come before those of the backward one; an ``initial_state``
    is both in this order. Masked steps of sequences are zeros, whatever ``zero_output_for_mask`` says.

    Raises `ArgumentError` for layers that run the same way, or differ in what they return or keep.

    Example::

        x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(uf.Input((None, 4)))
    """

    supports_masking = True
    merges: ClassVar[dict[str, Callable[[Any, Any], Any]]] = {
        "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
        "sum": ops.add,
        "mul": ops.multiply,
        "ave": lambda a, b: ops.multiply(ops.add(a, b), 0.5),
    }
    alike = ("stateful", "return_sequences", "return_state")
    """The attributes that both layers have in common."""

    @checked
    def __init__(
        self,
        layer: Any,
        merge_mode: Literal["concat", "sum", "mul", "ave"] | None = "concat",
        weights: Any = None,
        backward_layer: Any = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        for one in (layer,) if backward_layer is None else (layer, backward_layer):
            if not isinstance(one, Layer) or not hasattr(one, "go_backwards"):
                raise ArgumentError(f"Bidirectional takes a layer such as LSTM or RNN, not {shown(one)}.")
        self.merge_mode = merge_mode
        self._given_weights = weights
        forward = like(layer, f"forward_{layer.name.removeprefix('forward_')}")
        if backward_layer is None:
            backward = like(layer, f"backward_{layer.name.removeprefix('backward_')}")
            backward.go_backwards = not layer.go_backwards
        else:
            backward = backward_layer if backward_layer is not layer else like(layer, backward_layer.name)
        self._check(forward, backward)
        for one in (forward, backward):
            if hasattr(one, "zero_output_for_mask"):
                one.zero_output_for_mask = layer.return_sequences
        if isinstance(backward, RNN):
            backward.keeps_positions = backward.go_backwards
        self.forward_layer, self.backward_layer = forward, backward
        self.return_sequences, self.return_state = layer.return_sequences, layer.return_state
        self.stateful = getattr(layer, "stateful", False)

    def _check(self, forward: Any, backward: Any) -> None:
        if forward.go_backwards == backward.go_backwards:
            raise ArgumentError(
                "Bidirectional: one layer goes forward, the other backward; both have go_backwards="
                f"{forward.go_backwards}."
            )
        for name in self.alike:
            a, b = (getattr(one, name, None) for one in (forward, backward))
            if a != b:
                raise ArgumentError(
                    f"Bidirectional: both layers have the same {name}; here the forward layer has {a}, the "
                    f"backward layer {b}."
                )

    def told_argument(self, name: str, given: Any) -> Any:
        """Both layers as they are."""
        kept = {"layer": self.forward_layer, "backward_layer": self.backward_layer, "weights": None}
        return kept[name] if name in kept else super().told_argument(name, given)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        for one in (self.forward_layer, self.backward_layer):
            if one._policy is None:
                one._policy = self.dtype_policy
            one.build(sequences_shape)
        if self._given_weights is not None:
            self.set_weights(self._given_weights)

    def call(
        self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False
    ) -> Any:
        mask = next((one for one in tree.leaves(mask) if one is not None), None)
        states = None if initial_state is None else list(initial_state)
        half = 0 if states is None else len(states) // 2
        halves = (None, None) if states is None else (states[:half], states[half:])
        pairs = zip((self.forward_layer, self.backward_layer), halves, strict=True)
        a, b = (self._run_one(one, sequences, own, mask) for one, own in pairs)
        ends: tuple[Any, ...] = ()
        if self.return_state:
            (a, *first), (b, *second) = a, b
            ends = (*first, *second)
        if self.return_sequences and not getattr(self.backward_layer, "keeps_positions", False):
            b = ops.flip(b, axis=1)
        output = (a, b) if self.merge_mode is None else (self.merges[self.merge_mode](a, b),)
        return (*output, *ends) if len(output) + len(ends) > 1 else output[0]

    @staticmethod
    def _run_one(layer: Layer, sequences: Any, states: Any, mask: Any) -> Any:
        takes = parameters(type(layer).call)
        options = {"mask": mask} if "mask" in takes else {}
        return (
            layer(sequences, **options)
            if states is None
            else layer(sequences, initial_state=states, **options)
        )

    # ------------------------------------------------------------ states

    @property
    def states(self) -> tuple[Any, ...] | None:
        """The states that the layers keep, if they do."""
        both = [getattr(one, "states", None) for one in (self.forward_layer, self.backward_layer)]
        return (*both[0], *both[1]) if both[0] and both[1] else None

    def reset_state(self) -> None:
        """Make the states that both layers keep zeros; `ArgumentError` unless they are stateful."""
        if not self.stateful:
            raise ArgumentError(f"{self.name} is not stateful, so there is no state to reset.")
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    # ------------------------------------------------------------ what it gives

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        own = super().compute_mask(inputs, mask) if self.return_sequences else None
        return own if self.merge_mode is not None else [own, own]

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        """The shape of the output, or of the pair of them, and of the states if they are given."""
        found = self.forward_layer.compute_output_shape(sequences_shape)
        own, states = (found[0], tuple(found[1:])) if self.return_state else (found, ())
        if self.merge_mode == "concat":
            own = (*own[:-1], own[-1] * 2)
        output = (own, own) if self.merge_mode is None else (own,)
        return (*output, *states, *states) if len(output) + len(states) > 1 else own


def like(layer: Any, name: str) -> Any:
    """A new layer like ``layer`` called ``name``, with weights of its own."""
    if layer.built:
        return type(layer).from_config({**layer.get_config(), "name": name})
    found = copy.deepcopy(layer)
    found._name = name
    return found
