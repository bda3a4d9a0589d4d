"""`uf.value_and_grad` at once and in a graph: what it differentiates by, what it gives, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import unifront as uf
from tests.models import TRAINABLE
from unifront import layers, ops, tree
from unifront.backends import get_backend, use_backend
from unifront.errors import ArgumentError, DTypeError, ShapeError, UnifrontError, UnsupportedOp
from unifront.opset.tensor import update
from unifront.testing import GRADIENT, assert_close
from unifront.train.jit import jit
from unifront.weights import Variable

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))
A, B = RNG.normal(size=(3,)), RNG.normal(size=(3, 2))
MODES = ("eager", "jit")


class Run:
    """Functions of arrays run on a backend, at once or compiled, with NumPy arrays in and out."""

    def __init__(self, backend: str, mode: str) -> None:
        self.backend, self.mode = get_backend(backend), mode

    def __call__(self, function: Callable[..., Any], *arrays: Any, **named: Any) -> Any:
        own = self.backend
        called = jit(function) if self.mode == "jit" else function
        with use_backend(own.name):
            given = tree.map_leaves(own.array, [list(arrays), named])
            result = called(*given[0], **given[1])
        return tree.map_leaves(lambda leaf: leaf if leaf is None else own.numpy(leaf), result)


@pytest.fixture(params=TRAINABLE)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def run(request: pytest.FixtureRequest, backend: str) -> Run:
    return Run(backend, request.param)


def slopes(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """The gradient by five-point differences."""
    found = np.zeros(at.shape)
    for index in np.ndindex(at.shape):

        def moved(by: float, index: Any = index) -> float:
            near = at.copy()
            near[index] += by
            return float(function(near))

        found[index] = (8 * (moved(step) - moved(-step)) - moved(2 * step) + moved(-2 * step)) / (12 * step)
    return found


def weight_of(value: Any, path: str = "weight", dtype: str = "float64") -> Variable:
    array = np.asarray(value, dtype)
    return Variable.at(path, array.shape, dtype, initial=array)


def test_by_the_first_argument(run: Run) -> None:
    value, gradient = run(uf.value_and_grad(lambda x: ops.sum(ops.tanh(x))), X)
    assert_close(value, np.tanh(X).sum())
    assert_close(gradient, 1 - np.tanh(X) ** 2)


def test_by_positions(run: Run) -> None:
    def function(a: Any, x: Any, b: Any) -> Any:
        return ops.sum(ops.square(ops.multiply(ops.multiply(x, a), ops.sum(b))))

    last = run(uf.value_and_grad(function, wrt=-1), A, X, B)[1]
    of_b, of_a = run(uf.value_and_grad(function, wrt=(2, 0)), A, X, B)[1]
    (of_x,) = run(uf.value_and_grad(function, wrt=[1]), A, X, B)[1]
    total = B.sum()
    squares = (X * A * total) ** 2
    assert_close(last, np.full((3, 2), 2 * squares.sum() / total), bounds=GRADIENT)
    assert_close(of_b, last)
    assert_close(of_a, 2 * squares.sum(0) / A, bounds=GRADIENT)
    assert_close(of_x, 2 * squares / X, bounds=GRADIENT)


def test_by_an_argument_of_any_structure(run: Run) -> None:
    def function(params: Any, x: Any) -> Any:
        left, right = params["pair"]
        return ops.sum(ops.multiply(ops.multiply(x, left), params["scale"])) + ops.sum(ops.square(right))

    params = {"pair": (A, B), "scale": np.float64(2.0)}
    value, gradients = run(uf.value_and_grad(function), params, X)
    assert set(gradients) == {"pair", "scale"}
    assert isinstance(gradients["pair"], tuple)
    assert_close(gradients["pair"][0], 2 * X.sum(0))
    assert_close(gradients["pair"][1], 2 * B)
    assert_close(gradients["scale"], (X * A).sum())
    assert_close(value, 2 * (X * A).sum() + (B**2).sum())


def test_by_variables(run: Run) -> None:
    a, b, unused = weight_of(A, "a"), weight_of(B, "b"), weight_of(A, "unused")

    def function(x: Any) -> Any:
        return ops.sum(ops.square(ops.matmul(ops.multiply(x, a), b)))

    product = 2 * (X * A) @ B
    of_a, of_b = (X * (product @ B.T)).sum(0), (X * A).T @ product
    value, (found_b, found_unused, found_a) = run(uf.value_and_grad(function, wrt=[b, unused, a]), X)
    assert_close(value, ((X * A @ B) ** 2).sum())
    assert_close(found_a, of_a)
    assert_close(found_b, of_b)
    assert found_unused is None
    assert_close(run(uf.value_and_grad(function, wrt=a), X)[1], of_a)
    for wrt, nothing in ((unused, None), ([], [])):
        value, gradient = run(uf.value_and_grad(function, wrt=wrt), X)
        assert gradient == nothing
        assert_close(value, ((X * A @ B) ** 2).sum())
    assert run(uf.value_and_grad(function, wrt=(a,)), X)[1][0].shape == (3,)
    np.testing.assert_array_equal(a.numpy(), A)


def test_by_a_model(run: Run) -> None:
    model = uf.Sequential([
        uf.Input((3,)), layers.Dense(4, activation="tanh"), layers.BatchNormalization(), layers.Dense(2),
    ])  # fmt: skip
    frozen = model.layers[-1]
    x = X.astype("float32")

    def function(x: Any) -> Any:
        return ops.mean(ops.square(model(x)))

    value, gradients = run(uf.value_and_grad(function, wrt=model), x)
    assert [g.shape for g in gradients] == [w.shape for w in model.trainable_weights]
    assert_close(value, np.mean(model.predict(x, backend=run.backend.name, verbose=0) ** 2))
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        start = weight.numpy()

        def at(value: np.ndarray, weight: Any = weight) -> float:
            weight.assign(value.astype("float32"))
            return float(np.mean(np.square(model.predict(x, backend="numpy", verbose=0), dtype="float64")))

        assert_close(
            gradient, slopes(at, start.astype("float64"), 2e-2), dtype="float32", bounds={"float32": 1e-3}
        )
        weight.assign(start)
    frozen.trainable = False
    assert len(run(uf.value_and_grad(function, wrt=model), x)[1]) == 4
    assert len(run(uf.value_and_grad(function, wrt=model.layers[-2]), x)[1]) == 2


def test_aux_and_keywords(run: Run) -> None:
    def function(x: Any, *, scale: Any, power: int = 2) -> Any:
        y = ops.power(ops.multiply(x, scale), float(power))
        return ops.sum(y), {"y": y, "parts": (ops.sum(y, 0), None)}

    (loss, aux), gradient = run(
        lambda x, scale: uf.value_and_grad(function, has_aux=True)(x, scale=scale, power=3), X, scale=A
    )
    y = (X * A) ** 3
    assert_close(loss, y.sum())
    assert_close(aux["y"], y)
    assert_close(aux["parts"][0], y.sum(0))
    assert aux["parts"][1] is None
    assert_close(gradient, 3 * X**2 * A**3, bounds=GRADIENT)


def test_no_gradient_goes_through_aux_inside_another(run: Run) -> None:
    """Nor is there one through a value of ``stop_gradient``, or by what is integer inside."""

    def function(x: Any) -> Any:
        return ops.sum(ops.multiply(x, ops.stop_gradient(x)))

    assert_close(run(uf.value_and_grad(function), X)[1], X)


def test_an_argument_that_is_not_used(run: Run) -> None:
    def function(x: Any, y: Any) -> Any:
        return ops.sum(x)

    _, (of_x, of_y) = run(uf.value_and_grad(function, wrt=(0, 1)), X, A)
    assert_close(of_x, np.ones(X.shape))
    assert of_y is None or not of_y.any()


def test_a_loss_that_does_not_depend_on_it_at_all(run: Run) -> None:
    """Used, but for nothing that a gradient goes through: zeros."""
    gradient = run(uf.value_and_grad(lambda x: ops.sum(ops.stop_gradient(x))), X)[1]
    assert_close(gradient, np.zeros(X.shape))


def test_the_second_derivative(run: Run) -> None:
    def slope(x: Any) -> Any:
        return ops.sum(ops.square(uf.value_and_grad(lambda x: ops.sum(ops.power(x, 3.0)))(x)[1]))

    value, gradient = run(uf.value_and_grad(slope), X)
    assert_close(value, (9 * X**4).sum(), bounds=GRADIENT)
    assert_close(gradient, 36 * X**3, bounds=GRADIENT)


def test_what_the_inner_function_takes_from_around_it(run: Run) -> None:
    """The argument and the weight of the function around, found by the inner one as Python finds them."""
    weight = weight_of(A)

    def outer(x: Any) -> Any:
        def inner(y: Any) -> Any:
            return ops.sum(ops.multiply(ops.multiply(x, ops.square(y)), weight))

        return ops.sum(ops.multiply(uf.value_and_grad(inner)(ops.stop_gradient(x))[1], 1.0))

    assert_close(run(uf.value_and_grad(outer), X)[1], 2 * X * A, bounds=GRADIENT)
    assert_close(run(uf.value_and_grad(outer, wrt=weight), X)[1], (2 * X**2).sum(0), bounds=GRADIENT)


def test_the_third_derivative(run: Run) -> None:
    def derivative(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda x: ops.sum(uf.value_and_grad(function)(x)[1])

    third = derivative(derivative(lambda x: ops.sum(ops.multiply(ops.square(x), ops.square(x)))))
    assert_close(run(uf.value_and_grad(third), X)[1], 24 * X, bounds=GRADIENT)


K1, K2 = RNG.normal(size=(3, 5)), RNG.normal(size=(5, 1))


def penalty_in_numpy(k1: np.ndarray, k2: np.ndarray) -> float:
    """``mean((|∇ₓ tanh(x k1) k2| - 1)²)``, the gradient to x written out."""
    by_x = ((1 - np.tanh(X @ k1) ** 2) * k2[:, 0]) @ k1.T
    return float(np.mean((np.sqrt((by_x**2).sum(1)) - 1) ** 2))


def penalty_in_torch() -> tuple[Any, list[Any]]:
    torch = pytest.importorskip("torch")
    x, k1, k2 = (torch.tensor(value, requires_grad=True) for value in (X, K1, K2))
    scores = torch.tanh(x @ k1) @ k2
    (by_x,) = torch.autograd.grad(scores.sum(), x, create_graph=True)
    penalty = ((by_x.norm(dim=1) - 1) ** 2).mean()
    return penalty.item(), [g.numpy() for g in torch.autograd.grad(penalty, [k1, k2])]


def test_a_gradient_penalty(run: Run) -> None:
    """Gulrajani et al. 2017: the gradient by the weights of a function of the gradient by the input."""
    k1, k2 = weight_of(K1, "k1"), weight_of(K2, "k2")

    def penalty(x: Any) -> Any:
        def scores(x: Any) -> Any:
            return ops.sum(ops.matmul(ops.tanh(ops.matmul(x, k1)), k2))

        _, by_x = uf.value_and_grad(scores)(x)
        norm = ops.sqrt(ops.sum(ops.square(by_x), 1))
        return ops.mean(ops.square(ops.subtract(norm, 1.0)))

    value, gradients = run(uf.value_and_grad(penalty, wrt=[k1, k2]), X)
    by_torch, by_hand = penalty_in_torch()
    assert_close(value, np.float64(penalty_in_numpy(K1, K2)))
    assert_close(value, np.float64(by_torch))
    for found, expected in zip(gradients, by_hand, strict=True):
        assert_close(found, expected, bounds=GRADIENT)
    assert_close(gradients[0], slopes(lambda k: penalty_in_numpy(k, K2), K1), bounds=GRADIENT)
    assert_close(gradients[1], slopes(lambda k: penalty_in_numpy(K1, k), K2), bounds=GRADIENT)


def test_updates_inside_are_carried_out(run: Run) -> None:
    count, weight = weight_of(0.0, "count"), weight_of(A)

    def function(x: Any) -> Any:
        update(count, ops.add(count, 1.0))
        scaled = ops.multiply(x, weight)
        update(count, ops.add(count, ops.sum(scaled)))
        return ops.sum(ops.multiply(scaled, count))

    value, gradient = run(uf.value_and_grad(function, wrt=weight), X)
    total = (X * A).sum()
    assert_close(count.numpy(), np.float64(total + 1))
    assert_close(value, total * (total + 1))
    assert_close(gradient, X.sum(0) * (2 * total + 1), bounds=GRADIENT)


def test_statistics_of_batch_normalization_move(run: Run) -> None:
    layer = layers.BatchNormalization(momentum=0.9)
    layer.build((None, 3))
    x = X.astype("float32")

    def function(x: Any) -> Any:
        return ops.sum(ops.square(layer(x, training=True)))

    run(uf.value_and_grad(function, wrt=layer), x)
    assert_close(layer.moving_mean.numpy(), 0.1 * x.mean(0))
    assert_close(layer.moving_variance.numpy(), 0.9 + 0.1 * x.var(0))


def test_updates_inside_the_inner_of_two_are_carried_out(run: Run) -> None:
    count, weight = weight_of(0.0, "count"), weight_of(A)

    def inner(x: Any) -> Any:
        update(count, ops.add(count, ops.sum(x)))
        return ops.sum(ops.multiply(ops.square(x), weight))

    def outer(x: Any) -> Any:
        value, gradient = uf.value_and_grad(inner)(x)
        return ops.sum(ops.square(gradient)) + value

    value, gradient = run(uf.value_and_grad(outer, wrt=weight), X)
    assert_close(count.numpy(), np.float64(X.sum()))
    assert_close(value, (4 * X**2 * A**2).sum() + (X**2 * A).sum())
    assert_close(gradient, (8 * X**2 * A + X**2).sum(0), bounds=GRADIENT)


def test_by_a_variable_updated_before(run: Run) -> None:
    weight = weight_of(A)

    def function(x: Any) -> Any:
        update(weight, ops.multiply(weight, 2.0))
        return uf.value_and_grad(lambda: ops.sum(ops.square(ops.multiply(x, weight))), wrt=[weight])()

    if run.mode == "eager":
        with use_backend(run.backend.name):
            function(run.backend.array(X))
        assert_close(weight.numpy(), 2 * A)
        return
    value, (gradient,) = run(function, X)
    assert_close(value, ((X * 2 * A) ** 2).sum())
    assert_close(gradient, (2 * X**2 * 2 * A).sum(0))
    assert_close(weight.numpy(), 2 * A)


def test_it_stands_in_branches_and_loops(run: Run) -> None:
    if run.mode == "eager":
        pytest.skip("branches and loops are Python there")

    def descend(x: Any) -> Any:
        def one(i: Any, x: Any) -> Any:
            gradient = uf.value_and_grad(lambda x: ops.sum(ops.square(x)))(x)[1]
            return ops.add(i, 1), ops.subtract(x, ops.multiply(gradient, 0.25))

        return ops.while_loop(lambda i, x: ops.less(i, 3), one, (np.int32(0), x))[1]

    assert_close(run(descend, X), X / 8)

    def chosen(x: Any) -> Any:
        def by(power: float) -> Any:
            return uf.value_and_grad(lambda x: ops.sum(ops.power(x, power)))(x)[1]

        return ops.cond(ops.greater(ops.sum(ops.square(x)), 0.0), lambda: by(2.0), lambda: by(3.0))

    assert_close(run(chosen, X), 2 * X)


REFUSED: dict[str, tuple[Callable[..., Any], Any, type[UnifrontError], str]] = {
    "a loss of a shape": (
        lambda x: uf.value_and_grad(lambda x: ops.square(x))(x), X, ShapeError,
        r"function gives float64\[4, 3\]; the gradient of a float scalar is needed.* mean or a sum",
    ),
    "an integer loss": (
        lambda x: uf.value_and_grad(lambda x: ops.argmax(ops.reshape(x, (12,)), 0))(x), X, ShapeError,
        r"gives int\d+\[\]; the gradient of a float scalar",
    ),
    "by integers": (
        lambda x: uf.value_and_grad(lambda x: ops.sum(ops.cast(x, "float32")))(x), np.arange(3), DTypeError,
        r"an argument is int64\[3\]; a gradient is taken to floats only",
    ),
    "no loss": (
        lambda x: uf.value_and_grad(lambda x: None)(x), X, ArgumentError, "the function gives no loss",
    ),
    "aux without a pair": (
        lambda x: uf.value_and_grad(lambda x: ops.sum(x), has_aux=True)(x), X, ArgumentError,
        r"with has_aux the function gives a pair \(loss, aux\)",
    ),
    "a triple": (
        lambda x: uf.value_and_grad(lambda x: (ops.sum(x), x, x), has_aux=True)(x), X, ArgumentError,
        r"with has_aux the function gives a pair \(loss, aux\)",
    ),
    "a position that is not there": (
        lambda x: uf.value_and_grad(lambda x: ops.sum(x), wrt=1)(x), X, ArgumentError,
        "wrt is argument 1, but 1 were given",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(run: Run, case: str) -> None:
    function, array, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message):
        run(function, array)


@pytest.mark.parametrize("wrt", ["weight", True, 1.0, None, [0, "x"], [[0]], {"a": 0}], ids=repr)
def test_what_it_does_not_differentiate_by(wrt: Any) -> None:
    with pytest.raises(ArgumentError, match="wrt is a model or layer, variables, or positions of arguments"):
        uf.value_and_grad(ops.sum, wrt=wrt)


def test_what_is_no_function() -> None:
    with pytest.raises(ArgumentError, match="value_and_grad: function is a function, not 3"):
        uf.value_and_grad(3)  # type: ignore[arg-type]


def test_an_integer_variable_is_named(run: Run) -> None:
    steps = Variable.at("steps", (2,), "int32", initial=np.zeros(2, np.int32))
    function = uf.value_and_grad(lambda x: ops.sum(ops.multiply(x, ops.cast(steps, "float64"))), wrt=[steps])
    with pytest.raises(DTypeError, match=r"the variable 'steps' is int32\[2\]; .* floats only"):
        run(function, A[:2])


def test_a_tensor_that_leaks_out_is_refused(backend: str) -> None:
    """What is made inside is of the inside, and what is wanted outside is returned."""
    leaked: list[Any] = []

    def function(x: Any) -> Any:
        def loss(x: Any) -> Any:
            leaked.append(ops.square(x))
            return ops.sum(leaked[-1])

        uf.value_and_grad(loss)(x)
        return ops.add(leaked[0], 1.0)

    with pytest.raises(ArgumentError, match=r"loss"):
        Run(backend, "jit")(function, X)


def test_symbolic_tensors_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"while a graph is traced, not on the tensors of uf\.Input"):
        uf.value_and_grad(lambda x: ops.sum(x))(uf.Input((3,)))


@pytest.mark.parametrize("mode", MODES)
def test_numpy_has_no_gradients(mode: str) -> None:
    with pytest.raises(UnsupportedOp, match=re.compile("backend 'numpy'.*no gradients", re.DOTALL)):
        Run("numpy", mode)(uf.value_and_grad(lambda x: ops.sum(x)), X)


def test_arrays_of_two_frameworks_are_refused() -> None:
    if len(TRAINABLE) < 2:
        pytest.skip("takes two frameworks")
    a, b = (get_backend(name).array(A) for name in TRAINABLE[:2])
    with pytest.raises(ArgumentError, match=f"arrays of {TRAINABLE[0]} and {TRAINABLE[1]} meet in one call"):
        uf.value_and_grad(lambda a, b: ops.sum(a), wrt=0)(a, b)
