"""How a layer is called: on native arrays, on the tensors of a trace, or as a pure function of its weights."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from unifront import ops, tree
from unifront.arguments import part_of
from unifront.backends import HostKey
from unifront.dtype_policies import DTypePolicy
from unifront.dtypes import DType
from unifront.errors import ArgumentError, NotBuiltError
from unifront.layers.building import Built, is_tensor, parameters
from unifront.layers.input_spec import check_inputs
from unifront.layers.own_terms import called_in_its_terms
from unifront.layers.remat import RematMode, applies, rematerialized
from unifront.opset.tensor import (
    Symbolic,
    active_builder,
    autocast_dtype,
    autocasting,
    backend_of_arrays,
    builder_for,
    on_a_framework,
    record,
    type_of,
)
from unifront.programs import Hybrid, needs_graph
from unifront.scopes import current_path
from unifront.trace import CallContext, call_context, current_context
from unifront.weights import Overlay, Variable, overlaid


@part_of("Layer")
class Called(Built):
    """What happens when a layer is called."""

    autocast = True
    reads_values = False
    """Whether `call` looks at the values of native arrays: to choose what it does, or to refuse them."""
    runs_others = False
    """Whether `call` runs a function of the user's."""
    input_spec: Any = None
    """What the input has to be: an `InputSpec`, or a list of them."""
    remat_mode: RematMode | None = None
    """What the `uf.RematScope` around the making of the layer said."""
    activity_regularizer: Callable[[Any], Any] | None
    output_types: Any
    _hybrid: Hybrid | None = None

    if TYPE_CHECKING:

        @property
        def dtype_policy(self) -> DTypePolicy: ...

        @property
        def compute_dtype(self) -> DType: ...

        def compute_mask(self, inputs: Any, mask: Any = None) -> Any: ...

        def add_loss(self, loss: Any) -> None: ...

        def _noted(self, result: Any) -> Any: ...

    def __call__(self, *args: Any, training: bool | None = None, **kwargs: Any) -> Any:
        """Run the layer on native arrays, or add it to a graph or model; builds it at the first call.

        Args:
            args: tensors, or lists of them, as `call` takes them.
            training: whether dropout drops and batch norm learns; inherited from the call around, else as `call`
                has it by default.
        """
        if "_children" not in self.__dict__:
            raise ArgumentError(f"{type(self).__name__}.__init__ does not call super().__init__().")
        if "inputs" in kwargs and not args and "inputs" not in parameters(type(self).call):
            args = (kwargs.pop("inputs"),)  # what Keras calls the first argument of its layers
        given = [*args, *kwargs.values()]
        if any(isinstance(leaf, Symbolic) for leaf in tree.leaves(given)):
            extra = {} if training is None else {"training": training}
            return self._noted(record(self, *args, **extra, **kwargs))
        outer = current_context()
        if outer is None:
            trains = None if training is None else bool(training)
            settled = self.runs_others or (self.autocast and self.built)  # else the input may have a say
            args, kwargs = on_a_framework((args, kwargs), self.compute_dtype if settled else None)
            given = [*args, *kwargs.values()]
            with call_context(CallContext(training=trains)) as context, backend_of_arrays(given):
                result = self._run(context, args, kwargs)
            context.hand_over(result)
            if context.losses or "_added" in vars(self):
                vars(self)["_added"] = context.losses
            return result
        if training is None or training == outer.training:
            return self._run(outer, args, kwargs)
        before, outer.training = outer.training, training
        try:
            return self._run(outer, args, kwargs)
        finally:
            outer.training = before

    def stateless_call(
        self,
        trainable: Sequence[Any],
        non_trainable: Sequence[Any],
        *args: Any,
        training: bool = False,
        key: Any = None,
        return_losses: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """The layer as a pure function of its weights, for ``jax.grad``, ``jax.jit`` and ``torch.func``.

        Args:
            trainable: a native array for each of `trainable_weights`, in their order.
            non_trainable: likewise for `non_trainable_variables`.
            args: what the layer is called on, native arrays.
            training: whether dropout drops and batch norm learns.
            key: of this call's randomness: a ``jax.random.key``, or an int. Unless given it is one of the step around,
                else one is drawn, which under ``jax.jit`` is the same at every call.
            return_losses: give also the list of the losses that layers add.

        Returns:
            ``(outputs, non_trainable)``, the latter with the new values, and the losses if asked for. The
            layer's own weights stay as they are.

        Raises `NotBuiltError` before the weights are made, `ArgumentError` for another number of values.

        Example::

            params = [weight.value for weight in layer.trainable_weights]
            outputs, state = layer.stateless_call(params, state, x, training=True)
        """
        if trainable or non_trainable:
            self._made_weights()
        values: dict[int, Any] = {}
        for what, weights, given in (
            ("trainable", self.trainable_weights, trainable),
            ("non-trainable", self.non_trainable_variables, non_trainable),
        ):
            if len(weights) != len(given):
                raise ArgumentError(
                    f"{self.name} has {len(weights)} {what} weights; {len(given)} values were given."
                )
            plain = [one.value if isinstance(one, Variable) else one for one in given]
            values.update(zip(map(id, weights), plain, strict=True))
        own = HostKey(int(key)) if isinstance(key, int | np.integer) else key
        around = current_context()
        if own is None and around is not None and around.key is not None:
            own = around.random_key()
        context = CallContext(training=bool(training), key=own)
        with overlaid(Overlay(values)), call_context(context), backend_of_arrays([args, kwargs, trainable]):
            outputs = self._run(context, args, kwargs)
        if len(self.variables) != len(values):
            raise NotBuiltError(
                f"{self.name} had no weights before this call, which made them; call it again."
            )
        state = [values[id(weight)] for weight in self.non_trainable_variables]
        return (outputs, state, context.losses) if return_losses else (outputs, state)

    def trains_untold(self) -> bool:
        """Whether the layer trains where nobody says it: by the default that its `call` has for ``training``."""
        return _trains_untold(type(self).call)

    def _called(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What `call` gives, as a block that is computed again for the gradient if the layer is made so."""
        mode = self.remat_mode
        if (
            mode is None
            or context.training is False
            or context.recorder is not None
            or not applies(self, mode)
        ):
            return self.in_its_terms(args, kwargs)
        builder = builder_for(tree.leaves([args, kwargs])) or active_builder()
        if builder is None:
            return self.in_its_terms(args, kwargs)
        return rematerialized(self, mode, context, builder, args, kwargs)

    def in_its_terms(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """What `call` gives; one of the user's may be written in a framework's own terms, see `own_terms`."""
        if str(type(self).call.__module__).startswith("unifront.") and not self.runs_others:
            return self.call(*args, **kwargs)
        called = f"{type(self).__name__} {current_path()!r}"
        function = vars(self)["function"] if self.runs_others else None
        return called_in_its_terms(called, self.call, args, kwargs, lambda: self.variables, function)

    def _run(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        this: Any = self
        if self.remat_mode is not None and self._hybrid is None and applies(self, self.remat_mode):
            vars(self)["_hybrid"] = Hybrid()
        if self._hybrid is not None and self._hybrid.takes(this, context, [args, kwargs]):
            return self._hybrid(this, context, args, kwargs)
        if not context.depth and needs_graph(context, [args, kwargs], self.reads_values):
            return Hybrid()(this, context, args, kwargs)
        return self.run_now(context, args, kwargs)

    def run_now(self, context: CallContext, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The call itself, one operation after the other, on native arrays or on the tensors of a trace."""
        with self._entered(context):
            recorder = context.recorder
            recorded = recorder.begin(self, [args, kwargs], context) if recorder else None
            masks = tree.map_leaves(context.mask_of, args[0]) if args else None
            takes = parameters(type(self).call)
            if "training" in takes:
                told = context.training
                kwargs["training"] = self.trains_untold() if told is None else told
            if "mask" in takes and kwargs.get("mask") is None and takes.index("mask") > len(args):
                kwargs["mask"] = masks
            if self.input_spec is not None and args:
                check_inputs(self.input_spec, args[0], self.name)
            self._build_once(args, kwargs)
            args = tuple(self._cast(arg) for arg in args)
            kwargs = {key: self._cast(value) for key, value in kwargs.items()}
            with self._reading():
                result = self._called(context, args, kwargs)
            if self.activity_regularizer is not None:
                self._add_activity_losses(self.activity_regularizer, result)
            if args:
                mask = self.compute_mask(args[0], kwargs.get("mask", masks))
                for leaf, one in zip(tree.leaves(result), tree.leaves(mask), strict=False):
                    if one is not None:
                        context.set_mask(leaf, one)
            self.output_types = tree.map_leaves(type_of, result)
            if recorded:
                recorder.end(recorded, result, context)
            return result

    def _add_activity_losses(self, regularizer: Callable[[Any], Any], result: Any) -> None:
        for output in tree.leaves(result):
            type_ = type_of(output)
            loss = regularizer(output)
            if type_.rank:
                loss = ops.divide(loss, ops.full((), type_.shape[0], type_of(loss).dtype, like=output))
            self.add_loss(loss)

    def _cast(self, arg: Any) -> Any:
        def cast(leaf: Any) -> Any:
            if is_tensor(leaf) and type_of(leaf).dtype.is_float and type_of(leaf).dtype != wanted:
                return self._keep_mask(leaf, ops.cast(leaf, wanted))
            return leaf

        if not self.autocast:
            return arg
        wanted = self.compute_dtype
        return tree.map_leaves(cast, arg)

    def _reading(self) -> AbstractContextManager[None]:
        """A block in which weights are read in the dtype of computation, if that is another than theirs."""
        outer, policy = autocast_dtype(), self.dtype_policy
        compute = policy.compute_dtype
        if outer is None and compute is policy.variable_dtype:  # as most often
            return nullcontext()
        wanted = compute if self.autocast and compute.is_float else None
        return nullcontext() if wanted is outer else autocasting(wanted)

    @staticmethod
    def _keep_mask(before: Any, after: Any) -> Any:
        context = current_context()
        if context is not None and context.mask_of(before) is not None:
            context.set_mask(after, context.mask_of(before))
        return after


@cache
def _trains_untold(call: Callable[..., Any]) -> bool:
    parameter = inspect.signature(call).parameters.get("training")
    return parameter is not None and parameter.default is True
