"""What a model does with one batch at a time, and what is asked of how it was compiled."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar

from unifront.arguments import Name, checked, part_of
from unifront.errors import ArgumentError, UnknownName
from unifront.opset.tensor import to_numpy
from unifront.serialization import deserialize_keras_object, serialize_keras_object
from unifront.trace import CallContext, call_context
from unifront.trained import Trained
from unifront.weights import Overlay, Variable, overlaid

if TYPE_CHECKING:
    from unifront.model import Model
    from unifront.train.compiled import Compiled


COMPILED = (
    "optimizer", "loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly", "steps_per_execution",
    "jit_compile",
)  # fmt: skip
"""The arguments of `Model.compile` that are told as plain data."""


_NEVER_CALLED = dict.fromkeys(
    ("make_train_function", "make_test_function", "make_predict_function"),
    "train_step, test_step or predict_step",
)
"""Methods of Keras's models that nothing here calls, and what to override instead."""
_CALLS: dict[str, tuple[int, tuple[str, ...]]] = {
    "train_step": (1, ()),
    "test_step": (1, ()),
    "predict_step": (1, ()),
    "compute_loss": (0, ("x", "y", "y_pred", "sample_weight")),
    "compute_metrics": (4, ()),
}
"""How the methods that may be overridden are called: with how many arguments by position, and which by name."""


def _check_override(cls: type, name: str) -> None:
    """Raise `ArgumentError` for a method of a model's class that would not be called, or not with these arguments."""
    if name in _NEVER_CALLED:
        raise ArgumentError(f"{cls.__name__}.{name} would never be called. Override {_NEVER_CALLED[name]}.")
    method = vars(cls)[name]
    if inspect.isfunction(method):
        count, names = _CALLS[name]
        if name in ("train_step", "test_step") and "state" in inspect.signature(method).parameters:
            count = 2  # JAX's form, for JAX alone
        try:
            inspect.signature(method).bind(None, *[None] * count, **dict.fromkeys(names))
        except TypeError as error:
            given = ", ".join(
                (
                    "self",
                    *(("data",) if count == 1 else ("x", "y", "y_pred", "sample_weight"))[:count],
                    *names,
                )
            )
            raise ArgumentError(
                f"{cls.__name__}.{name} cannot be called as it is on every backend, {name}({given}): {error}. There is "
                "no state to pass on, also not on JAX: weights and metrics are updated in place."
            ) from None


class _AsCompiled:
    """An attribute that says what `Model.compile` was given, until a model has its own of that name."""

    def __init__(self, default: Any = None) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, model: Any, owner: type) -> Any:
        if model is None:
            return self
        return self.default if model._training is None else getattr(model._training, self.name)


@part_of("Model")
class Stepwise:
    """Steps by hand, and how the model was compiled."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name in vars(cls).keys() & (_NEVER_CALLED.keys() | _CALLS.keys()):
            _check_override(cls, name)

    loss: ClassVar[Any] = _AsCompiled()
    steps_per_execution: ClassVar[Any] = _AsCompiled(1)

    if TYPE_CHECKING:
        _training: Compiled | None

        @property
        def name(self) -> str: ...

        @property
        def metrics(self) -> list[Any]: ...

        @property
        def trainable_weights(self) -> list[Variable]: ...

        @property
        def non_trainable_weights(self) -> list[Variable]: ...

        @property
        def _model(self) -> Model: ...

        def _tried(self) -> AbstractContextManager[None]: ...

        def _compiled(self) -> Compiled: ...

    # ------------------------------------------------------------ one batch

    @checked
    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
        *,
        backend: Name | None = None,
    ) -> Any:
        """One step of training on one batch, as of `fit`.

        Args:
            x, y, sample_weight, class_weight: as for `fit`, one batch of each.
            return_dict: whether the result is a dict.
            backend: as for `fit`.

        Returns:
            The loss and the metrics of this batch: a number if the loss is all there is, else a list or a dict.

        Raises `ArgumentError` before `compile`, `DataError` for data that does not fit the model.

        Example::

            for start in range(0, len(x_train), 3):
                loss = model.train_on_batch(x_train[start : start + 3], y_train[start : start + 3])
        """
        from unifront.train.batches import run_on_batch

        with self._tried():
            return run_on_batch(
                self._model, x, y, sample_weight, class_weight, train=True, return_dict=return_dict,
                backend=backend,
            )  # fmt: skip

    @checked
    def test_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        return_dict: bool = False,
        *,
        backend: Name | None = None,
    ) -> Any:
        """One step of evaluation on one batch; arguments and result as of `train_on_batch`."""
        from unifront.train.batches import run_on_batch

        with self._tried():
            return run_on_batch(
                self._model, x, y, sample_weight, None, train=False, return_dict=return_dict, backend=backend
            )

    @checked
    def predict_on_batch(self, x: Any, *, backend: Name | None = None) -> Any:
        """The outputs for one batch as NumPy arrays, as of `predict`."""
        from unifront.train.predicting import predict_on_batch

        with self._tried():
            return predict_on_batch(self._model, x, backend)

    def reset_metrics(self) -> None:
        """Let every metric forget its batches."""
        for metric in self.metrics:
            metric.reset_state()

    @property
    def metrics_names(self) -> list[str]:
        """What logs call the metrics."""
        from unifront.train.hooks import metrics_of

        return list(metrics_of(self._model))

    @property
    def metrics_variables(self) -> list[Variable]:
        """What the metrics keep."""
        return [variable for metric in self.metrics for variable in metric.variables]

    # ------------------------------------------------------------ how it was compiled

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._training is not None

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run as plain Python; see `compile`."""
        return self._training is not None and self._training.run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value: bool) -> None:
        self._compiled().run_eagerly = bool(value)

    @property
    def jit_compile(self) -> Any:
        """What `compile` was told; see there."""
        return "auto" if self._training is None else self._training.jit_compile

    @jit_compile.setter
    def jit_compile(self, value: Any) -> None:
        if value not in (True, False, "auto"):
            raise ArgumentError(f"jit_compile is 'auto', True or False; not {value!r}.")
        self._compiled().jit_compile = value

    def get_compile_config(self) -> dict[str, Any]:
        """What `compile` was given, as plain data; empty before it. Raises `ArgumentError` for what has no name."""
        training = self._training
        if training is None:
            return {}
        return {name: serialize_keras_object(getattr(training, name)) for name in COMPILED}

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compile as `get_compile_config`, here or in Keras, told."""
        if getattr(type(self), "compile") is not Trained.compile:  # noqa: B009  # it has it as a model
            warnings.warn(
                f"`compile()` was not called: {type(self).__name__} has one of its own, which a config does not fit. "
                "Define get_compile_config() and compile_from_config(config) too, or call compile() yourself.",
                stacklevel=2,
            )
        elif config:
            from unifront.train import optimizers

            rest = {name: part for name, part in config.items() if name != "optimizer"}
            optimizer = optimizers.deserialize(config.get("optimizer"))  # Keras tells them as of its backends
            self._model.compile(optimizer=optimizer, **deserialize_keras_object(rest))

    # ------------------------------------------------------------ values apart from the model

    def stateless_compute_loss(
        self,
        trainable_variables: Sequence[Any],
        non_trainable_variables: Sequence[Any],
        metrics_variables: Sequence[Any],
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """`compute_loss` as a pure function of values, for ``jax.grad`` and ``jax.jit``.

        Args:
            trainable_variables, non_trainable_variables, metrics_variables: native arrays in the order of
                `trainable_weights`, `non_trainable_weights` and `metrics_variables`.

        Returns:
            ``(loss, (trainable_variables, non_trainable_variables, metrics_variables))``, with new values.

        Raises `ArgumentError` for another number of values. Source: ``keras.Model.stateless_compute_loss``.
        """
        groups = (
            ("trainable", self.trainable_weights, trainable_variables),
            ("non-trainable", self.non_trainable_weights, non_trainable_variables),
            ("metrics'", self.metrics_variables, metrics_variables),
        )
        overlay = Overlay()
        for what, variables, given in groups:
            if len(variables) != len(given):
                raise ArgumentError(
                    f"{self.name} has {len(variables)} {what} variables; {len(given)} values were given."
                )
            overlay.values.update(zip(map(id, variables), given, strict=True))
        with overlaid(overlay), call_context(CallContext(training=training)):
            loss = self._model.compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
            )
        _, others, states = ([overlay.values[id(v)] for v in variables] for _, variables, _ in groups)
        return loss, (trainable_variables, others, states)

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, dict[str, Any]]:
        """Every value of the model, of its optimizer and metrics, in dicts nested as their paths are.

        Args:
            value_format: "backend_tensor" for native arrays, or "numpy_array".

        Raises `ArgumentError` for two variables of one path. Source: ``keras.Model.get_state_tree``.
        """
        if value_format not in ("backend_tensor", "numpy_array"):
            raise UnknownName("value_format", value_format, ("backend_tensor", "numpy_array"))
        groups = self._state_groups()
        return {name: _nested(variables, value_format == "numpy_array") for name, variables in groups.items()}

    def set_state_tree(self, state_tree: Mapping[str, Any]) -> None:
        """Take values as `get_state_tree` gives them; what is not in them stays as it is.

        Raises `UnknownName` for a path that there is not.
        """
        groups = self._state_groups()
        for name, tree_of in state_tree.items():
            if name not in groups:
                raise UnknownName("part of a state tree", name, groups)
            known = {_place(variable): variable for variable in groups[name]}
            for path, value in _flat(tree_of, ()):
                if path not in known:
                    raise UnknownName(f"path in {name}", "/".join(path), map("/".join, known))
                known[path].assign(to_numpy(value))  # a copy: training changes values in place

    def _state_groups(self) -> dict[str, list[Variable]]:
        optimizer = None if self._training is None else self._training.optimizer
        return {
            "trainable_variables": self.trainable_weights,
            "non_trainable_variables": self.non_trainable_weights,
            "optimizer_variables": [] if optimizer is None else list(optimizer.variables),
            "metrics_variables": self.metrics_variables,
        }


def _place(variable: Any) -> tuple[str, ...]:
    return tuple(variable.path.split("/"))


def _nested(variables: Sequence[Any], numpy: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable in variables:
        inner = found
        *outer, last = _place(variable)
        for part in outer:
            inner = inner.setdefault(part, {})
        if last in inner:
            raise ArgumentError(
                f"The following variable path is found twice in the model: {variable.path!r}. Give each layer a "
                "name of its own."
            )
        inner[last] = variable.numpy() if numpy else variable.value
    return found


def _flat(tree_of: Any, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], Any]]:
    if not isinstance(tree_of, Mapping):
        return [(path, tree_of)]
    return [leaf for key, part in tree_of.items() for leaf in _flat(part, (*path, str(key)))]
