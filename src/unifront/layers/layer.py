"""`Layer`: what every layer is. It owns weights, has a `call`, and runs on native arrays or while traced."""

from __future__ import annotations

from collections.abc import Hashable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

import numpy as np

from unifront import tree
from unifront.arguments import checked
from unifront.backends import default_name, use_backend
from unifront.dtype_policies import DTypePolicy, DTypePolicyMap, chosen_policy, dtype_policy
from unifront.dtype_policies import get as policy_of
from unifront.dtypes import DType
from unifront.errors import ArgumentError, NotBuiltYet, NotQuantizable
from unifront.layers import regularizers
from unifront.layers.arguments import LayerName, PolicyLike, refuse
from unifront.layers.as_module import AsModule
from unifront.layers.building import once
from unifront.layers.calling import Called
from unifront.layers.configs import Described, noting
from unifront.layers.ends import Ended, end_of
from unifront.layers.nesting import HOLDERS, KEPT, is_torch_module, layers_in
from unifront.layers.remat import get_current_remat_mode
from unifront.layers.weighted import _joined
from unifront.opset.tensor import Symbolic, is_building
from unifront.programs import Hybrid
from unifront.trace import CallContext, current_context, update
from unifront.weights import Variable


class _NoCall(ArgumentError, NotImplementedError):
    """A layer without a computation of its own; as in Keras, what is not implemented."""


class Layer(Called, Ended, Described, AsModule):
    """A layer: weights made once by `build`, a computation written in `call`.

    Subclasses override ``__init__``, `build` (or make weights lazily with `add_weight` in it) and `call`.
    Layers set as attributes are children; they are named after the attribute. A layer called on native
    arrays (``layer(torch_tensor)``) runs as ordinary Python; called on ``uf.Input`` tensors it joins a model.

    Args:
        name: the layer's part of the paths of its weights and nodes; else its attribute's or class's name.
        dtype: of its weights and computation, or a policy that says both (``"mixed_bfloat16"``, see
            `unifront.dtype_policies`). By default what `uf.mixed_precision.set_global_policy` says; else float64 if
            its first float input is that, else `floatx`.
        autocast: whether float inputs and weights are cast to the dtype of computation (they are).
        trainable: False keeps optimizers from changing its weights, and those of the layers inside.
        activity_regularizer: a name, or a callable from an output to a scalar, which is divided by the batch
            size and added to the loss.

    Raises `UnknownName` for another argument. Constraints are taken as None only.
    """

    supports_masking = False
    notes_arguments = True
    """Whether `get_config` tells the arguments of the class's constructor."""
    autograph_info__ = None  # by this TensorFlow's AutoGraph knows what not to rewrite
    _nameless: Variable | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "build" in vars(cls) and not getattr(cls.build, "repeatable", False):
            cls.build = once(cls.build)  # type: ignore[method-assign]  # so that it may be called by hand
        if "__init__" in vars(cls) and vars(cls).get("notes_arguments", True):
            cls.__init__ = noting(cls, cls.__init__)  # type: ignore[method-assign]  # for `get_config`

    @checked
    def __init__(
        self,
        *,
        name: LayerName = None,
        dtype: PolicyLike = None,
        trainable: bool = True,
        activity_regularizer: regularizers.RegularizerLike = None,
        autocast: bool = True,
    ) -> None:
        if not autocast:
            self.autocast = False
        self._name = name
        self._policy: DTypePolicy | None = chosen_policy() if dtype is None else dtype  # type: ignore[assignment]
        if get_current_remat_mode() is not None:
            self.remat_mode = get_current_remat_mode()
        self._weights: list[Variable] = []
        self._known: set[int] = set()
        self._children: dict[str, Layer] = {}
        self.trainable = trainable
        self.activity_regularizer = activity_regularizer
        self.built = self.built_at_once and type(self).build is Layer.build
        self.output_types: Any = None
        self._first: list[Symbolic] = []
        self.children()  # names those that were set before this was called

    def take_options(self, options: dict[str, Any]) -> None:
        """Heed arguments of Keras's that signatures leave out; raise for those that there are none."""
        if "input_dim" in options and "input_shape" not in options:
            options["input_shape"] = (options.pop("input_dim"),)
        if "input_shape" in options:
            vars(self)["input_shape_given"] = options.pop("input_shape")
        if "autocast" in options:
            vars(self)["autocast"] = bool(options.pop("autocast"))
        refuse(type(self), options)

    def __setattr__(self, key: str, value: Any) -> None:
        if "_children" in self.__dict__:
            if is_torch_module(value) and default_name().startswith("torch"):
                from unifront.layers.foreign import TorchModuleWrapper

                value = TorchModuleWrapper(
                    value
                )  # so that its parameters are weights, as in Keras on PyTorch
            for name, layer in layers_in(key, value):
                self._take_in(name, layer)
            for place, weight in enumerate(value if isinstance(value, list | tuple) else (value,)):
                if isinstance(weight, Variable) and weight.loose:
                    self.take_weight(key if weight is value else f"{key}_{place}", weight)
        super().__setattr__(key, value)
        if isinstance(value, HOLDERS):
            self._note_holder(key)
        if isinstance(value, Variable) and value is self._nameless:
            value.path = _joined(value.path.rpartition("/")[0], key)
        if key == "trainable":  # as in Keras: what is inside is frozen too, so that batch norm stops learning
            for child in self.children() if "_children" in self.__dict__ else ():
                child.trainable = value

    if not TYPE_CHECKING:  # a checker would take any attribute for known

        def __getattr__(self, name: str) -> Any:
            """Say of weights why they are not there; whatever else is missing is missing as in Python."""
            if name.startswith("_") or hasattr(type(self), name) or self.__dict__.get("built", True):
                return object.__getattribute__(self, name)
            error = NotBuiltYet(
                f"{type(self).__name__} has no {name!r}, or not before it is built. Call it on data or on "
                "uf.Input(...), or call build(shape), to make its weights."
            )
            error.at(self.name)
            raise error

    @property
    def dtype_policy(self) -> DTypePolicy:
        """In which dtypes the layer computes and keeps its weights."""
        policy = self._policy or dtype_policy()
        return policy[self.path] if isinstance(policy, DTypePolicyMap) and self.path else policy

    @dtype_policy.setter
    def dtype_policy(self, value: Any) -> None:
        policy = policy_of(value)
        if policy.quantization_mode is not None and self.built and self.quantization_mode is None:
            self.quantize(policy.quantization_mode)
        if isinstance(self._policy, DTypePolicyMap) and self.path:
            self._policy.pop(self.path, None)
            self._policy[self.path] = policy
        else:
            self._policy = policy

    @property
    def compute_dtype(self) -> DType:
        """The dtype that float inputs and weights are cast to, and that outputs have."""
        return self.dtype_policy.compute_dtype

    input_dtype = compute_dtype

    @property
    def quantization_mode(self) -> str | None:
        """How the weights are quantized; None if they are not."""
        return self.dtype_policy.quantization_mode

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Keep weights as integers; only some layers do, see `unifront.layers.quantized`. Raises `NotQuantizable`."""
        raise NotQuantizable(f"Layer {type(self).__name__} does not have a `quantize()` method implemented.")

    @property
    def variable_dtype(self) -> DType:
        """The dtype of weights."""
        return self.dtype_policy.variable_dtype

    dtype = variable_dtype

    def update(self, variable: Variable, value: Any) -> None:
        """Give ``variable`` a new value as part of this call (running statistics)."""
        update(variable, value)

    def traced_state(self) -> Hashable:
        """What a trace of the layer takes as constants, or what stands for it; a model is traced again once it is
        another. None for none."""
        state: int | None = vars(self).get("_activations_set")
        return state

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the training loss of this call."""
        context = current_context()
        if context is not None:
            context.losses.append(loss)

    @end_of
    def losses(self) -> list[Any]:
        """What layers add to the loss in this call (outside of one: in the last call of this layer), and what the
        regularizers of the trainable weights add."""
        context = current_context()
        added = vars(self).get("_added", ()) if context is None else context.losses
        return [
            *added,
            *(_penalty(weight) for weight in self.trainable_weights if weight.regularizer is not None),
        ]

    def random_key(self, seed: int | None = None) -> Any:
        """A fresh random key for this call; a ``seed`` (an int) gives a stream of its own.

        A layer may ask for it whether it trains or not (a variational autoencoder draws always). `Model.predict` and
        `Model.evaluate` take other keys for each call and batch, the same ones after `uf.set_seed`.
        """
        if not isinstance(seed, int | np.integer | None):
            raise ArgumentError(f"{type(self).__name__}: a seed is an int or None, not {seed!r}.")
        return (current_context() or CallContext()).random_key(seed)

    def hybridize(self, active: bool = True) -> Self:
        """Run calls on native arrays as compiled programs: one for each signature (types of the arrays, masks, other
        arguments, ``training``, what is frozen). The layers inside run in the program of the one that is called.

        Args:
            active: False goes back to one operation after the other. Either way programs made so far are dropped.

        The numbers are those of eager calls, random ones too; the framework's own gradients (``.backward()``,
        ``GradientTape``, ``jax.grad``) pass through, to arguments and weights, and statistics are updated. Python in
        `call` runs when a signature is met first: attributes are read then, and what depends on a value raises
        `ArgumentError`, which names the line; it is written with ``uf.ops.cond``, ``while_loop`` or ``scan``.

        Gives the layer back.

        Example::

            model.hybridize()
            logits = model(x_train)
        """
        for layer in self.layers_below():
            vars(layer)["_hybrid"] = Hybrid() if active else None
        return self

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation. Overridden by every layer."""
        raise _NoCall(f"{type(self).__name__} does not define call().")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, given the mask of the input, which passes if ``supports_masking``."""
        if not self.supports_masking:
            return None
        return next((one for one in tree.leaves(mask) if one is not None), None)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles: all but the identities of the layers inside, which are others' in a copy."""
        own = {
            key: value
            for key, value in list(vars(self).items())
            if key not in ("_known", "_is_building", "_added", KEPT)
        }
        return {**own, "placed": False} if isinstance(self.placed, ref) else own

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, KEPT: None})
        found = (layer for key, value in state.items() for _, layer in layers_in(key, value))
        vars(self)["_known"] = {id(layer) for layer in found}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


def _penalty(weight: Variable) -> Any:
    """What the regularizer of ``weight`` adds, computed where the weight is."""
    at = (
        nullcontext()
        if is_building() or weight.home == "host"
        else use_backend(weight.home.partition(":")[0])
    )
    with at:
        return weight.regularizer(weight) if weight.regularizer is not None else 0.0
