"""The weights of a layer: made, listed, read and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any
from zlib import crc32

import numpy as np

from unifront.arguments import anything, checked, part_of, shown
from unifront.dtypes import DType, dtype_of
from unifront.errors import ArgumentError, NotBuiltError, ShapeError, UnifrontError, locate
from unifront.layers import initializers, regularizers
from unifront.layers.arguments import Constraint, DTypeName
from unifront.opset.seeds import SeedGenerator
from unifront.opset.tensor import current_path
from unifront.trace import current_seed, is_trainable
from unifront.weights import Variable, together


@part_of("Layer")
class Weighted:
    """What a layer does with its weights, and with those of the layers inside it."""

    _weights: list[Variable]
    trainable: bool
    built: bool

    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...

        @property
        def variable_dtype(self) -> DType: ...

        def layers_below(self) -> Iterator[Any]: ...

        def walk(self) -> Iterator[tuple[str, Any]]: ...

    @checked
    def add_weight(
        self,
        shape: Annotated[Sequence[int], anything] = (),
        initializer: initializers.InitializerLike | None = None,
        *,
        name: str | None = None,
        dtype: DTypeName = None,
        trainable: bool = True,
        regularizer: regularizers.RegularizerLike = None,
        constraint: Constraint = None,
        autocast: bool = True,
    ) -> Variable:
        """A new weight of this layer, called ``path/of/layer/name``.

        Args:
            shape: static sizes, a scalar's unless given; `NotBuiltError` if one is symbolic or None.
            name: as no other weight of this layer; by default that of the attribute it is set as.
            initializer: a name, or a callable ``(shape, dtype, numpy Generator) -> array``; unless given Glorot's
                uniform numbers, or zeros for integers and booleans.
            dtype: the layer's for weights unless given.
            regularizer: a name, or a callable from the weight to a scalar added to the loss.
            constraint: a name, or a callable from the weight to what it becomes after each update.
            autocast: whether `call` reads it in the dtype that the layer computes in.
        """
        if isinstance(shape, str):
            raise ShapeError(
                f"add_weight begins with the shape; the name is a keyword argument: name={shape!r}."
            )
        called = name or f"weight_{len(self._weights)}"
        if "/" in called or any(weight.name == called for weight in self._weights):
            raise ArgumentError(f"A weight's name is its layer's own, and without '/'; {called!r} was given.")
        if (
            not isinstance(shape, Sequence)
            or isinstance(shape, str | bytes)
            or any(isinstance(n, int | np.integer) and n < 0 for n in shape)
        ):
            raise ShapeError(f"The shape of the weight {called!r} is a tuple of sizes, not {shape!r}.")
        if any(not isinstance(size, int | np.integer) for size in shape):
            raise NotBuiltError(
                f"The weight {called!r} would have the shape {tuple(shape)}, of which a size is not known; "
                "give Input a fixed size there."
            )
        seed = current_seed()
        chosen = dtype_of(dtype) if dtype is not None else self.variable_dtype
        draws = initializer or initializers.get("glorot_uniform" if chosen.is_float else "zeros")
        path = _joined(
            current_path() or self.name, called
        )  # outside of a call its place in a model is not known yet

        def initial() -> np.ndarray:
            rng = np.random.default_rng([seed, crc32(variable.path.encode())])
            try:
                return initializers.drawn(draws, tuple(int(size) for size in shape), chosen, rng)
            except MemoryError:
                raise ArgumentError(
                    f"The weight {variable.path!r} of the shape {tuple(shape)} needs "
                    f"{np.prod(variable.shape, dtype=float) * chosen.bits / 8e9:.3g} GB, which is not to be had."
                ) from None
            except Exception as error:
                locate(error, variable.path)
                if isinstance(error, UnifrontError):
                    error.operation = ""  # it is not the fault of the operation that asks for the value
                raise

        variable = Variable.at(
            path, [int(s) for s in shape], chosen, initial=initial, trainable=trainable, autocast=autocast,
            regularizer=regularizer, constraint=constraint, scoped=False,
        )  # fmt: skip
        self._own(variable)
        vars(self)["_nameless"] = variable if name is None else None
        return variable

    def add_variable(
        self, shape: Sequence[int], initializer: initializers.InitializerLike, dtype: DTypeName = None,
        trainable: bool = True, autocast: bool = True, regularizer: regularizers.RegularizerLike = None,
        constraint: Constraint = None, name: str | None = None,
    ) -> Variable:  # fmt: skip
        """`add_weight`, as Keras also calls it, with the arguments in its order."""
        return self.add_weight(
            shape, initializer, name=name, dtype=dtype, trainable=trainable, regularizer=regularizer,
            constraint=constraint, autocast=autocast,
        )  # fmt: skip

    def take_weight(self, name: str, weight: Variable) -> None:
        """Take in a `uf.Variable` that is set as the attribute ``name``: as a weight called so, or as it is itself."""
        called, taken = weight.name if weight.named else name, {one.name for one in self._weights}
        weight.path = _joined(
            current_path() or self.name, called if called not in taken else f"{called}_{len(taken)}"
        )
        weight.loose = False
        self._own(weight)

    def _own(self, weight: Variable) -> None:
        """Have ``weight`` behind the others of this layer: those that train come first, as in Keras."""
        weight.owners = (self,)
        place = sum(one.trainable for one in self._weights) if weight.trainable else len(self._weights)
        self._weights.insert(place, weight)

    def declare(self, name: str, initializer: Any, regularizer: Any = None, constraint: Any = None) -> None:
        """Keep what a constructor was given for a weight as ``NAME_initializer`` …; see `add_declared`."""
        given = {"initializer": initializer, "regularizer": regularizer, "constraint": constraint}
        for what, value in given.items():
            setattr(self, f"{name}_{what}", value)

    def add_declared(
        self, name: str, shape: Sequence[int], *, called: str | None = None, trainable: bool = True,
        initializer: Any = None, autocast: bool = True,
    ) -> Variable:  # fmt: skip
        """`add_weight` with what `declare` has kept for ``name``; the weight is ``called`` so if not the same.

        An ``initializer`` takes the place of the one kept.
        """
        return self.add_weight(
            shape, initializer or vars(self)[f"{name}_initializer"], name=called or name, trainable=trainable,
            regularizer=vars(self)[f"{name}_regularizer"], constraint=vars(self)[f"{name}_constraint"],
            autocast=autocast,
        )  # fmt: skip

    @property
    def weights(self) -> list[Variable]:
        """Every weight of this layer and its children, once each."""
        found = {id(weight): weight for layer in self.layers_below() for weight in layer._weights}
        return list(found.values())

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that optimizers change."""
        return [weight for weight in self.weights if self.trainable and is_trainable(weight)]

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The weights that optimizers leave alone: frozen ones and running statistics."""
        return [weight for weight in self.weights if not (self.trainable and is_trainable(weight))]

    trainable_variables = trainable_weights

    @property
    def variables(self) -> list[Variable]:
        """`weights`, and what the `SeedGenerator` objects that layers are given as attributes count in."""
        return [*self.weights, *self._seed_states()]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """`non_trainable_weights`, and the states of seed generators."""
        return [*self.non_trainable_weights, *self._seed_states()]

    def _seed_states(self) -> list[Variable]:
        held = (value for layer in self.layers_below() for value in vars(layer).values())
        return list({id(one.state): one.state for one in held if isinstance(one, SeedGenerator)}.values())

    def named_weights(self) -> list[tuple[str, Variable]]:
        """The weights of this layer without its children's, each with its path inside the layer."""
        return [(weight.name, weight) for weight in self._weights]

    def variable_paths(self) -> dict[int, str]:
        """The path below this layer of each variable, by its id."""
        found: dict[int, str] = {}
        for path, layer in self.walk():
            for name, weight in layer.named_weights():
                found.setdefault(id(weight), f"{path}/{name}" if path else name)
        return found

    def _made_weights(self) -> list[Variable]:
        """`weights`; `NotBuiltError` before they are made."""
        if not self.built and not self.weights:
            raise NotBuiltError(
                f"{self.name} is not built: it has no weights yet. Call it on data or on uf.Input(...), or "
                "call build(shape), to make them."
            )
        return self.weights

    def get_weights(self) -> list[np.ndarray]:
        """The values of `weights` as NumPy arrays in Keras's layout; `NotBuiltError` before they are made."""
        weights = self._made_weights()
        with together(weights):
            return [weight.numpy() for weight in weights]

    def set_weights(self, values: Sequence[Any]) -> None:
        """Replace the values of `weights`, in their order; shapes must match.

        Raises `ArgumentError` for another number of values, `ShapeError` for one of another shape,
        `NotBuiltError` before the weights are made. Then no weight is changed.
        """
        weights = self._made_weights()
        if not isinstance(values, list | tuple):
            raise ArgumentError(f"{self.name}: values is a list of arrays, not {shown(values)}.")
        if len(values) != len(weights):
            raise ArgumentError(f"{self.name} has {len(weights)} weights; {len(values)} values were given.")
        checked = [weight.checked(value) for weight, value in zip(weights, values, strict=True)]
        with together(weights):
            for weight, value in zip(weights, checked, strict=True):
                weight.assign(value)

    def _in_files(self) -> list[Variable]:
        """The layer's own weights in the order of Keras's files."""
        return sorted(self._weights, key=lambda weight: not weight.trainable)

    def save_own_variables(self, store: MutableMapping[str, Any]) -> None:
        """Put the values of the layer's own weights into ``store``, ``"0"``, ``"1"`` … A class that keeps other things
        in ``.keras`` and ``.weights.h5`` files overrides it, and `load_own_variables`, as in Keras."""
        store.update({str(number): weight.numpy() for number, weight in enumerate(self._in_files())})

    def load_own_variables(self, store: Mapping[str, Any]) -> None:
        """Take the values that `save_own_variables` put into ``store``.

        Raises `ArgumentError` for another number of them.
        """
        weights = self._in_files()
        if {*store} != {str(number) for number in range(len(weights))}:
            raise ArgumentError(
                f"Layer {self.name!r} expected {len(weights)} variables, but received {len(store)} variables during "
                f"loading. Expected: {[weight.name for weight in weights]}"
            )
        for number, weight in enumerate(weights):
            weight.assign(store[str(number)])

    def count_params(self) -> int:
        """The number of numbers in all weights; `NotBuiltError` before they are made."""
        return sum(int(np.prod(weight.shape)) for weight in self._made_weights())


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _drawing(name: str, initializer: Any) -> Callable[[tuple[int, ...], DType], np.ndarray]:
    draws, seeds = initializers.get(initializer), [current_seed(), crc32(name.encode())]
    return lambda shape, dtype: initializers.drawn(draws, shape, dtype, np.random.default_rng(seeds))


Variable.drawn = staticmethod(_drawing)
