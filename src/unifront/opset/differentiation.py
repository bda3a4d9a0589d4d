"""`value_and_grad`: the gradient of any function, written once for every backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from unifront import tree
from unifront.arguments import checked
from unifront.backends import Backend, Placement, backend_of, chosen_around, get_backend, placement
from unifront.errors import ArgumentError, UnsupportedOp
from unifront.opset.gradient import GRADIENT, eager_gradient, traced_gradient
from unifront.opset.tensor import Symbolic, Traced, active_builder, builder_of, update
from unifront.opset.tensor import native as native_on
from unifront.weights import Variable, current_overlay


@checked
def value_and_grad(function: Callable[..., Any], wrt: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the value of ``function`` and its gradients.

    Args:
        function: gives a float scalar, the loss; with ``has_aux`` a pair ``(loss, aux)``, ``aux`` being any structure
            of tensors.
        wrt: what to differentiate by: a layer or model (its trainable weights), a variable or a list of variables,
            or the position of an argument or a tuple of positions.
        has_aux: see ``function``.

    Returns a function of the same arguments that gives ``(value, gradients)``, ``value`` being what ``function`` gave
    and ``gradients`` of the structure of ``wrt``: a list for a model or list, each of the variable's type; for an
    argument its structure. A gradient is None for a variable or an argument that the function does not use.

    It works on native arrays, at once, by the framework's own autograd: ``function`` is then plain Python; and while a
    graph is traced (in ``train_step``, `uf.jit`), where it becomes an operation of the graph. It nests. Raises
    `DTypeError` for what is no float, `ShapeError` for a loss that is no scalar. Source: ``jax.value_and_grad``.

    Example::

        loss_and_grads = uf.value_and_grad(lambda: model(x_train).mean(), wrt=model)
    """
    positions = _positions(wrt)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        for position in positions or ():
            if not -len(args) <= position < len(args):
                raise ArgumentError(
                    f"value_and_grad: wrt is argument {position}, but {len(args)} were given."
                )
        chosen = [args[position] for position in positions or ()]
        variables = [] if positions is not None else _variables(wrt)

        def loss_of(*params: Any) -> Any:
            given = list(args)
            for position, param in zip(positions or (), params, strict=True):
                given[position] = param
            result = function(*given, **kwargs)
            if has_aux and not (isinstance(result, tuple) and len(result) == 2):
                raise ArgumentError("value_and_grad: with has_aux the function gives a pair (loss, aux).")
            return result

        leaves = tree.leaves([args, kwargs])
        if any(isinstance(leaf, Symbolic) for leaf in leaves):
            raise ArgumentError(
                "value_and_grad works on arrays and while a graph is traced, not on the tensors of uf.Input."
            )
        builder = active_builder() or builder_of([leaf for leaf in leaves if isinstance(leaf, Traced)])
        if builder is not None:
            value, of_variables, of_arguments = traced_gradient(loss_of, variables, chosen, (), builder)
        else:
            value, of_variables, of_arguments = _now(loss_of, variables, chosen, leaves)
        if positions is None:
            return value, of_variables[0] if isinstance(wrt, Variable) else of_variables
        gradients = iter(of_arguments)
        filled = [tree.map_leaves(lambda leaf: leaf if leaf is None else next(gradients), c) for c in chosen]
        return value, tuple(filled) if isinstance(wrt, tuple | list) else filled[0]

    return call


def _positions(wrt: Any) -> list[int] | None:
    """``wrt`` as positions of arguments; None if it means variables."""
    given = list(wrt) if isinstance(wrt, tuple | list) else [wrt]
    if given and all(isinstance(one, int) and not isinstance(one, bool) for one in given):
        return given
    _variables(wrt)
    return None


def _variables(wrt: Any) -> list[Variable]:
    weights = getattr(wrt, "trainable_weights", None)
    found = weights if weights is not None else list(wrt) if isinstance(wrt, tuple | list) else [wrt]
    for one in found:
        if not isinstance(one, Variable):
            raise ArgumentError(
                f"value_and_grad: wrt is a model or layer, variables, or positions of arguments, not {one!r}."
            )
    return list(found)


def _now(
    function: Callable[..., Any], variables: Sequence[Variable], chosen: Sequence[Any], leaves: Sequence[Any]
) -> tuple[Any, list[Any], list[Any]]:
    backend = _backend(variables, leaves)
    row = backend.rows().table.get(GRADIENT)
    if row is None or backend.name == "numpy":
        raise UnsupportedOp(
            f"The backend {backend.name!r} has no gradients. Give arrays of a framework, or choose one by "
            'with uf.backend("torch").'
        )
    outer = current_overlay()
    value, of_variables, of_arguments, overlay = eager_gradient(
        function, row, lambda one: _native(one, backend), variables, chosen, ()
    )
    if outer is not None:
        outer.updates.update(overlay.updates)
        outer.used.update(overlay.used)
    else:
        for variable, new in overlay.updates.values():
            update(variable, new)
    return value, of_variables, of_arguments


def _native(operand: Any, backend: Backend) -> Any:
    """``operand`` as an array of ``backend``: of a variable its value, or what stands for it, rather than the leaf that
    the framework's own autograd would record at."""
    overlay = current_overlay()
    if not isinstance(operand, Variable) or (overlay is not None and overlay.read(operand) is not None):
        return native_on(operand, backend)
    return operand.native(Placement(backend, backend.devices()[0], backend.name), None, at_home=True)


def _backend(variables: Sequence[Variable], leaves: Sequence[Any]) -> Backend:
    """Where an eager gradient is taken: at the arrays given, as a ``with uf.backend`` around says, where the variables
    are, else by default."""
    found = {b.name: b for b in map(backend_of, leaves) if b is not None and b.name != "numpy"}
    if len(found) > 1:
        raise ArgumentError(f"value_and_grad: arrays of {' and '.join(sorted(found))} meet in one call.")
    homes = {variable.home.partition(":")[0] for variable in variables} - {"host", "numpy"}
    if not found and len(homes) == 1 and chosen_around() is None:
        return get_backend(homes.pop())
    return next(iter(found.values())) if found else placement().backend
