"""Variables and symbolic tensors in the functions of NumPy and the frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.errors import ArgumentError
from unifront.opset.protocols import framework_called
from unifront.testing import assert_close

VALUE = np.float32([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])


def weight() -> uf.Variable:
    return uf.Variable(VALUE)


def test_an_array_of_numpys_on_the_left_is_no_constant_of_the_graph() -> None:
    variable = weight()
    torch = pytest.importorskip("torch")
    double = uf.jit(lambda x: x + VALUE * variable)
    assert_close(double(torch.zeros(2, 3)).detach().numpy(), VALUE * VALUE)
    variable.assign(2 * VALUE)
    assert_close(double(torch.zeros(2, 3)).detach().numpy(), 2 * VALUE * VALUE)


def test_numpys_functions_take_the_value_where_there_is_one() -> None:
    variable = weight()
    for found, expected in (
        (np.sum(variable, axis=0), VALUE.sum(0)),
        (VALUE + variable, VALUE + VALUE),
        (np.add.reduce(variable), VALUE.sum(0)),
        (np.concatenate([variable, VALUE]), np.concatenate([VALUE, VALUE])),
        (np.asarray(variable), VALUE),
    ):
        assert isinstance(found, np.ndarray)
        assert_close(found, expected)
    for function in (np.sum, np.exp):
        with pytest.raises(ArgumentError, match=f"numpy.{function.__name__} does not take symbolic tensors"):
            uf.jit(lambda x, function=function: x + function(variable))(VALUE)


def test_pytorchs_functions_are_called_with_the_leaf() -> None:
    torch = pytest.importorskip("torch")
    variable, other = weight(), torch.ones(2, 3, requires_grad=True)
    loss = torch.sum(torch.stack([variable, other * variable])) + torch.nn.functional.mse_loss(
        input=variable, target=other
    )
    loss.backward()
    assert variable.home.startswith("torch")
    assert_close(variable.value.grad.numpy(), 2 + 2 * (VALUE - 1) / VALUE.size)
    assert_close(other.grad.numpy()[0, 0], np.float32(1.0))
    with pytest.raises(ArgumentError, match="torch.sum does not take symbolic tensors"):
        uf.jit(lambda x: x + torch.sum(variable))(torch.ones(2, 3))


def test_tensorflow_converts_to_the_leaf_and_its_tape_knows_it() -> None:
    tf = pytest.importorskip("tensorflow")
    variable, unused = weight(), weight()
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.ones((2, 3)) * variable) + tf.reduce_sum(tf.square(variable))
    found = tape.gradient(loss, {"used": variable, "unused": unused})
    assert_close(found["used"].numpy(), 1 + 2 * VALUE)
    assert found["unused"] is None
    with pytest.raises(ArgumentError, match="tensorflow does not take symbolic tensors"):
        uf.jit(lambda x: x + tf.reduce_sum(variable))(tf.ones((2, 3)))


def test_jax_takes_it_for_its_array() -> None:
    jax = pytest.importorskip("jax")
    variable = weight()
    with uf.backend("jax"):
        assert_close(np.asarray(jax.numpy.ones((2, 3)) * variable), VALUE)
        assert isinstance(jax.numpy.asarray(variable), jax.Array)


def test_the_framework_that_was_called() -> None:
    torch = pytest.importorskip("torch")
    cases: list[tuple[Any, str | None]] = [
        (lambda x: torch.tanh(x), "torch"),
        (lambda x: np.tanh(x), "numpy"),
        (lambda x: ops.sum(x).backward(), "torch"),
        (lambda x: torch.nn.functional.linear(torch.ones(2), torch.ones(3)), None),  # on arrays
        (lambda x: ops.reshape(x, (5, 5)), None),
    ]
    for function, expected in cases:
        with pytest.raises(Exception) as raised:  # noqa: PT011  # of which error, is asked
            uf.jit(function)(torch.ones(2, 3))
        assert framework_called(raised.value) == expected


def test_what_pytorch_calls_on_a_module() -> None:
    torch = pytest.importorskip("torch")
    model = uf.Sequential([uf.Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    model(torch.ones(4, 3), training=True).sum().backward()
    names = [name for name, _ in model.named_parameters()]
    assert names == [one.path for one in model.trainable_weights]
    assert all(a is one.value for a, one in zip(model.parameters(), model.trainable_weights, strict=True))
    assert model.trainable_weights[0].value.grad is not None
    model.zero_grad(set_to_none=False)
    assert not model.trainable_weights[0].value.grad.any()
    model.zero_grad()
    assert all(one.grad is None for one in model.parameters())


def test_layers_take_numpys_arrays_for_the_default_backends() -> None:
    tf, torch = pytest.importorskip("tensorflow"), pytest.importorskip("torch")
    layer = layers.Dense(2)
    with uf.backend("tensorflow"):
        assert tf.is_tensor(layer(np.ones((1, 3), np.float32)))
        assert isinstance(layer(torch.ones(1, 3)), torch.Tensor)
    with uf.backend("torch"):
        assert isinstance(uf.Sequential([layer])(np.ones((1, 3))), torch.Tensor)
    with uf.backend("numpy"):
        assert isinstance(layer(np.ones((1, 3), np.float32)), np.ndarray)


def test_values_by_name_as_of_a_module(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch")
    model, other = (
        uf.Sequential([uf.Input((3,)), layers.Dense(2), layers.BatchNormalization()]) for _ in range(2)
    )
    torch.save(model.state_dict(), tmp_path / "values.pt")
    values = torch.load(tmp_path / "values.pt")
    assert [*values] == [weight.path for weight in model.weights]
    other.load_state_dict(values)
    for one, same in zip(model.get_weights(), other.get_weights(), strict=True):
        assert_close(one, same)
    first = next(iter(values))
    wrong = {**values, first: values[first][:1]}
    before = other.get_weights()
    for given, match in (
        ({k: v for k, v in values.items() if k != first}, rf"lack \['{first}'\]"),
        ({**values, "more": values[first]}, r"have \['more'\] too many"),
        (wrong, "has the shape"),
    ):
        with pytest.raises((ArgumentError, uf.errors.ShapeError), match=match):
            other.load_state_dict(given)
    for one, same in zip(before, other.get_weights(), strict=True):
        assert_close(one, same)
    with uf.backend("torch"):
        assert model.to("cpu").train().eval().weights[0].home == "torch:cpu"
        assert model.to(torch.device("cpu")) is model
    with uf.backend("jax"), pytest.raises(uf.errors.UnknownName, match="Unknown backend 'cpu'"):
        model.to("cpu")


def test_an_optimizer_trains_what_the_framework_calls_a_variable() -> None:
    tf, torch = pytest.importorskip("tensorflow"), pytest.importorskip("torch")
    picture, optimizer = tf.Variable(VALUE), uf.optimizers.SGD(0.5, momentum=0.9)
    expected, speed = VALUE.copy(), np.zeros_like(VALUE)
    for _ in range(3):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.square(picture))
        optimizer.apply_gradients([(tape.gradient(loss, picture), picture)])
        speed = 0.9 * speed - 0.5 * 2 * expected
        expected = expected + speed
        assert_close(picture.numpy(), expected)
    picture.assign(VALUE)  # the script's own change counts
    optimizer.apply([tf.zeros((2, 3))], [picture])
    assert_close(picture.numpy(), VALUE + 0.9 * speed)
    parameter = torch.nn.Parameter(torch.ones(3))
    uf.optimizers.SGD(0.5).apply([torch.ones(3)], [parameter])
    assert_close(parameter.detach().numpy(), np.full(3, 0.5, np.float32))
    with pytest.raises(ArgumentError, match="SGD.apply: variables are due, not np.float64"):
        optimizer.apply([tf.ones(())], [np.float32(1.0) * np.ones(())])
