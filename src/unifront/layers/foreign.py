"""Layers that hold a module of one framework. They run, and train, on that framework's backend and nowhere else.

What only the framework can do is in its backend package: ``unifront_torch.hosting`` and its like, whose ``Hosted`` has
the weights of what it holds, says what results it gives, and runs it.
"""

from __future__ import annotations

import importlib
import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Unpack

import numpy as np

from unifront import tree
from unifront.arguments import Location, Name, checked, in_order, only, shown
from unifront.backends import added_rows, get_backend
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError, UnknownName, UnsupportedOp
from unifront.ir import facts
from unifront.ir.types import TensorType
from unifront.layers.arguments import LayerOptions
from unifront.layers.layer import Layer
from unifront.layers.own_terms import PROBES, types_by_trying
from unifront.opset.spec import OpSpec
from unifront.opset.tensor import bind, type_of, update
from unifront.serialization import check_trusted
from unifront.weights import Variable


class _Foreign(Layer):
    """What these layers share: the weights of what is held, and the operation that runs it."""

    home: ClassVar[str]
    autocast = False
    draws = False

    def __init__(self, **options: Unpack[LayerOptions]) -> None:
        check_trusted(f"a {type(self).__name__}, which holds a program of {self.home}")
        super().__init__(**options)

    def _host(self, *held: Any) -> None:
        get_backend(self.home)  # says what to install
        self._hosted = importlib.import_module(f"unifront_{self.home}.hosting").Hosted(*held)
        self._values: list[Variable] = []
        self._op = OpSpec(
            f"{self.home}_module",
            rule=self._types,
            reference=self._elsewhere,
            samples=lambda rng: (),
            source=f"a module of {self.home}",
            attributes={"count": int, "training": bool},
            decomposition=self._elsewhere,
            variadic=True,
            facts=facts.opaque("float32"),
        )
        rows = added_rows(self.home)
        rows[self._op] = self._row
        weakref.finalize(self, rows.pop, self._op, None)

    def _elsewhere(self, *operands: Any, **attributes: Any) -> Any:
        raise UnsupportedOp(
            f"{type(self).__name__} {self.name!r} holds what is {self.home}'s: it runs on the backend {self.home!r} "
            "only, and cannot be saved as a graph, exported, or lowered to another backend."
        )

    def get_config(self) -> dict[str, Any]:
        """Raises `ArgumentError`: plain data holds no module."""
        raise ArgumentError(f"{type(self).__name__} holds a module, which no config can tell.")

    def _row(self, *operands: Any, count: int, training: bool) -> Any:
        inputs, key = operands[:count], operands[count : count + self.draws]
        results, states = self._hosted.run(
            inputs, operands[count + self.draws :], key[0] if key else None, training
        )
        found = (*results, *states)
        return found if len(found) > 1 else found[0]

    def _types(self, *types: TensorType, count: int, training: bool) -> tuple[TensorType, ...]:
        def results(given: Sequence[TensorType]) -> list[TensorType]:
            shapes: list[Any] = [(type_.shape, type_.dtype.name) for type_ in given]
            return [TensorType(dtype_of(d), s) for s, d in self._hosted.results(shapes, training)]

        found = types_by_trying(f"{type(self).__name__} {self.name!r}", types[:count], results)
        return (*found, *types[len(types) - self._hosted.states :])

    def call(self, *inputs: Any, training: bool = False) -> Any:
        """What the module makes of ``inputs``."""
        given = list(tree.leaves(list(inputs)))
        if not self._values:
            for name, value, trainable in self._hosted.weights(_probed(inputs), bool(training)):
                array = np.asarray(value)
                weight = self.add_weight(
                    array.shape, _Given(array), name=name, dtype=dtype_of(array.dtype), trainable=trainable,
                    autocast=False,
                )  # fmt: skip
                self._values.append(weight)
        key = [self.random_key()] if self.draws else []
        made = bind(self._op, *given, *key, *self._values, count=len(given), training=bool(training))
        results = list(made) if isinstance(made, tuple) else [made]
        states = self._values[len(self._values) - self._hosted.states :]
        cut = len(results) - len(states)
        if training:
            for variable, value in zip(states, results[cut:], strict=True):
                update(variable, value)
        return self._hosted.arranged(results[:cut])


class _Given:
    """The initializer of a weight that has a value already."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __call__(self, shape: Any, dtype: Any, rng: Any) -> np.ndarray:
        return self.value


def _probed(inputs: Any) -> Any:
    """Zeros like ``inputs``, free sizes being `PROBES`' first."""

    def zeros(leaf: Any) -> np.ndarray:
        type_ = type_of(leaf)
        sizes = [dim if isinstance(dim, int) else PROBES[0] for dim in type_.shape]
        return np.zeros(sizes, type_.dtype.numpy)

    return tree.map_leaves(zeros, list(inputs))


class ModuleOptions(LayerOptions, total=False):
    """The keywords of `TorchModuleWrapper`."""

    output_shape: Any


class TorchModuleWrapper(_Foreign):
    """A ``torch.nn.Module`` as a layer of the backend ``"torch"``.

    Its parameters are weights of the layer (trainable where they require a gradient), its buffers weights that do not
    train and that a call in training may change. They begin with the module's values, move and are saved as other
    weights are, and `module` is the module with the values that they have now.

    Args:
        module: called with what the layer is called with; gives a tensor, or a tuple, list or dict of tensors.
        output_shape: taken as Keras takes it; the shape is found by trying the module on zeros.

    Raises `ArgumentError` for what is no module, or one whose lazy parameters have no shape yet; `UnsupportedOp` on
    every other backend. Source: ``keras.layers.TorchModuleWrapper``.

    Example::

        layer = layers.TorchModuleWrapper(torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU()))
        model = uf.Sequential([uf.Input((4,)), layer, layers.Dense(1)])
    """

    home = "torch"

    @in_order("name", "output_shape")
    def __init__(
        self,
        module: Any,
        **options: Unpack[ModuleOptions],
    ) -> None:
        own: Any = options
        own.pop("output_shape")  # found by trying
        super().__init__(**own)
        self._host(module)

    @property
    def module(self) -> Any:
        """The module that was given, with the values of the layer's weights."""
        if self._values:
            self._hosted.take([weight.numpy() for weight in self._values])
        return self._hosted.given


class JaxLayer(_Foreign):
    """A function of JAX as a layer of the backend ``"jax"``.

    Args:
        call_fn: takes by these names, ``inputs`` alone being needed: ``params`` and ``state``, trees of arrays;
            ``rng``, a key; ``inputs``; ``training``. It gives the outputs, with a ``state`` the outputs and the new
            state.
        init_fn: ``(rng, inputs, training)``, or some of them, gives the params, with a ``state`` both.
        params, state: to begin with instead.
        seed: of ``init_fn``.
        native_serialization_platforms: taken at None only.

    Raises `ArgumentError` for functions with other arguments, or where nothing says what the parameters are;
    `UnsupportedOp` on every other backend. Source: ``keras.layers.JaxLayer``.
    """

    home = "jax"

    @checked
    def __init__(
        self,
        call_fn: Callable[..., Any],
        init_fn: Callable[..., Any] | None = None,
        params: Any = None,
        state: Any = None,
        seed: int | None = None,
        native_serialization_platforms: Annotated[Any, only(None)] = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        takes = _arguments("call_fn", call_fn, ("params", "state", "rng", "inputs", "training"))
        if init_fn is not None:
            _arguments("init_fn", init_fn, ("rng", "inputs", "training"))
        elif params is None and state is None and {"params", "state"} & set(takes):
            raise ArgumentError(
                "`init_fn`, `params` and `state` cannot all be `None` when `call_fn` takes a `params` or a `state` "
                "argument."
            )
        self.call_fn, self.init_fn, self.draws = call_fn, init_fn, "rng" in takes
        self._host(call_fn, init_fn, params, state, seed)

    @property
    def params(self) -> Any:
        """The parameters, in the structure that they were given in."""
        return self._hosted.trees([weight.numpy() for weight in self._values])[0]

    @property
    def state(self) -> Any:
        """What does not train, in the structure that it was given in."""
        return self._hosted.trees([weight.numpy() for weight in self._values])[1]


def _arguments(what: str, function: Callable[..., Any], known: Sequence[str]) -> list[str]:
    names = list(inspect.signature(function).parameters)
    for name in names:
        if name not in known:
            raise UnknownName(f"argument of {what}", name, known)
    if "inputs" not in names:
        raise ArgumentError(f"Missing required argument in `{what}`: `inputs`; it takes {', '.join(names)}.")
    return names


class FlaxLayer(JaxLayer):
    """A ``flax.linen.Module`` as a layer of the backend ``"jax"``.

    The collection ``"params"`` trains; the others are the state, which a call may change.

    Args:
        module: its ``__call__``, or ``method``, takes the inputs, and ``training`` if it has a parameter of that name.
        method: a method of it, or its name.
        variables: to begin with, instead of what its ``init`` makes.

    Source: ``keras.layers.FlaxLayer``.
    """

    @checked
    def __init__(
        self, module: Any, method: Any = None, variables: Any = None, *, seed: int | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:  # fmt: skip
        if not all(callable(getattr(module, name, None)) for name in ("init", "apply", "__call__")):
            raise ArgumentError(f"FlaxLayer holds a flax.linen.Module, not {shown(module)}.")
        called = getattr(module, method) if isinstance(method, str) else method or module.__call__
        trains = "training" in inspect.signature(called).parameters
        given = dict(variables or {})
        params = {"params": given.pop("params")} if "params" in given else None

        def apply(params: Any, state: Any, rng: Any, inputs: Any, training: bool) -> Any:
            lists = importlib.import_module("flax.linen")
            return module.apply(
                {**(params or {}), **(state or {})}, inputs, rngs=rng, method=method,
                mutable=lists.DenyList(["params"]), **({"training": training} if trains else {}),
            )  # fmt: skip

        def init(rng: Any, inputs: Any, training: bool) -> Any:
            made = dict(module.init(rng, inputs, method=method, **({"training": training} if trains else {})))
            return {"params": made.pop("params")} if "params" in made else {}, made

        super().__init__(
            apply, None if variables else init, params, given if variables else None, seed, **options
        )
        self.flax_module, self.method = module, method


class TFSMLayer(_Foreign):
    """A SavedModel of TensorFlow as a layer of the backend ``"tensorflow"``, for inference: its variables stay its own.

    Args:
        filepath: the folder of the SavedModel.
        call_endpoint: what is called: an attribute of the loaded object, or one of its signatures.
        call_training_endpoint: what is called in training, if it is another one.

    Raises `ArgumentError` for a folder that is none, and `UnknownName` for an endpoint that it does not have;
    `UnsupportedOp` on every other backend. Source: ``keras.layers.TFSMLayer``.
    """

    home = "tensorflow"

    @in_order("trainable", "name", "dtype")
    def __init__(
        self,
        filepath: Location,
        call_endpoint: Name = "serve",
        call_training_endpoint: Name | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.filepath, self.call_endpoint = filepath, call_endpoint
        self.call_training_endpoint = call_training_endpoint
        self._host(str(filepath), call_endpoint, call_training_endpoint or call_endpoint)
