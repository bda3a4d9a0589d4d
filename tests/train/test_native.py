"""Steps in a framework's own terms: what is said of them, and where they run. Numbers are `test_own_terms.py`'s."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import layers, ops
from unifront.errors import ArgumentError, ShapeError
from unifront.testing import GRADIENT, assert_close

torch = pytest.importorskip("torch")

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
Y = X.sum(1, keepdims=True)


class Backward(uf.Model):
    def train_step(self, data: Any) -> Any:
        x, y = data
        self.zero_grad()
        loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        loss.backward()
        with torch.no_grad():
            self.optimizer.apply([one.value.grad for one in self.trainable_weights], self.trainable_weights)
        return {"loss": loss}


def made(cls: Any, **options: Any) -> Any:
    uf.set_seed(0)
    inputs = uf.Input((4,))
    model = cls(inputs, layers.Dense(1)(layers.Dense(3, activation="tanh")(inputs)))
    model.compile(uf.optimizers.SGD(0.1), "mse", **options)
    return model


def test_it_is_said_once_and_gives_the_numbers_of_the_traced_step() -> None:
    own, usual = made(Backward), made(uf.Model)
    with pytest.warns(
        UserWarning, match=r"runs as the Python that it is, on torch alone: backward\(\) is of PyTorch"
    ) as told:
        found = own.fit(X, Y, batch_size=5, epochs=3, shuffle=False, verbose=0, backend="torch").history[
            "loss"
        ]
    assert len(told) == 1
    assert told[0].filename == __file__
    expected = usual.fit(X, Y, batch_size=5, epochs=3, shuffle=False, verbose=0, backend="torch").history[
        "loss"
    ]
    assert len(found) == len(expected)
    for one, other in zip(own.get_weights(), usual.get_weights(), strict=True):
        assert_close(one, other, bounds=GRADIENT)
    own.train_on_batch(X, Y, backend="torch")  # says nothing more: warnings are errors here
    assert own.evaluate(X, Y, verbose=0, backend="jax") > 0  # that is traced


def test_elsewhere_it_is_refused() -> None:
    with pytest.raises(ArgumentError, match=r"backward\(\) is of PyTorch's tensors"):
        made(Backward).fit(X, Y, verbose=0, backend="jax")


def test_a_mistake_is_raised_as_it_is() -> None:
    class Wrong(uf.Model):
        def train_step(self, data: Any) -> Any:
            return {"loss": ops.reshape(self(data[0]), (5, 5, 5))}

    with pytest.raises(ShapeError, match="reshape"):
        made(Wrong).fit(X, Y, verbose=0, backend="torch")

    class Torn(uf.Model):
        def train_step(self, data: Any) -> Any:
            loss = self.compute_loss(x=data[0], y=data[1], y_pred=self(data[0]))
            loss.backward()
            raise KeyError("mine")

    with pytest.warns(UserWarning, match="as the Python that it is"), pytest.raises(KeyError, match="mine"):
        made(Torn).fit(X, Y, verbose=0, backend="torch")


def test_jaxs_form_is_for_jax() -> None:
    pytest.importorskip("jax")

    class Stateless(uf.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            weights, others, slots, metrics = state
            return {"last": ops.sum(weights[0]), "first": ops.sum(weights[1])}, (
                [1.0 * one for one in weights],
                others,
                slots,
                metrics,
            )

    model = made(Stateless)
    history = model.fit(X, Y, verbose=0, epochs=2, backend="jax").history
    assert [*history] == ["last", "first"]
    assert_close(np.float32(history["last"][0]), model.get_weights()[0].sum(), bounds=GRADIENT)
    with pytest.raises(
        ArgumentError, match=r"train_step\(state, data\) is of JAX's form; on torch a step takes data alone"
    ):
        model.fit(X, Y, verbose=0, backend="torch")

    class Short(uf.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            return {"loss": 0.0}, (state[0][:1], *state[1:])

    with pytest.raises(
        ArgumentError, match=r"takes \[4, 0, 2, 2\] values as its state, and gives \[1, 0, 2, 2\]"
    ):
        made(Short).fit(X, Y, verbose=0, backend="jax")


def test_an_optimizer_refuses_what_jax_traces() -> None:
    jax = pytest.importorskip("jax")
    weight, optimizer = uf.Variable(np.ones(3, np.float32)), uf.optimizers.Adam()
    with pytest.raises(
        ArgumentError,
        match=r"Optimizer.apply would update weights by values that JAX is tracing.*stateless_apply",
    ):
        jax.jit(lambda gradient: optimizer.apply([gradient], [weight]))(jax.numpy.ones(3))


def test_an_optimizer_keeps_no_gradients() -> None:
    import gc
    import weakref

    weight, optimizer = uf.Variable(np.ones(3, np.float32)), uf.optimizers.SGD(0.5)
    gradient = torch.ones(3)
    optimizer.apply([gradient], [weight])
    gone = weakref.ref(gradient)
    del gradient
    gc.collect()
    assert gone() is None
    assert_close(weight.numpy(), np.full(3, 0.5, np.float32))


def test_tensorflow_traces_a_step_once_for_many_calls_of_fit() -> None:
    tf = pytest.importorskip("tensorflow")
    traced = []

    class Taped(uf.Model):
        def train_step(self, data: Any) -> Any:
            traced.append(1)
            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply(gradients, self.trainable_weights)
            return {"loss": loss}

    model, usual = made(Taped), made(uf.Model)
    with pytest.warns(UserWarning, match="on tensorflow alone"):
        model.fit(X, Y, batch_size=4, verbose=0, shuffle=False, backend="tensorflow")
    count = len(traced)
    for _ in range(3):
        model.fit(X, Y, batch_size=4, verbose=0, shuffle=False, backend="tensorflow")
    assert len(traced) == count
    usual.fit(X, Y, batch_size=4, epochs=4, verbose=0, shuffle=False, backend="tensorflow")
    for one, other in zip(model.get_weights(), usual.get_weights(), strict=True):
        assert_close(one, other, bounds=GRADIENT)
    model.layers[1].trainable = False
    frozen = model.layers[1].get_weights()
    model.fit(X, Y, batch_size=4, verbose=0, backend="tensorflow")  # it is traced anew
    assert len(traced) > count
    for one, other in zip(model.layers[1].get_weights(), frozen, strict=True):
        np.testing.assert_array_equal(one, other)


def stateless(**options: Any) -> Any:
    """A model whose step is of JAX's form, and does what the traced one does."""
    jax = pytest.importorskip("jax")

    class Stateless(uf.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            x, y = data
            trainable, others, slots, metrics = state

            def loss_of(trainable: Any, others: Any) -> Any:
                predicted, others = self.stateless_call(trainable, others, x, training=True)
                return self.compute_loss(x=x, y=y, y_pred=predicted), others

            (loss, others), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, others)
            trainable, slots = self.optimizer.stateless_apply(slots, gradients, trainable)
            return {"loss": loss}, (trainable, others, slots, metrics)

    return made(Stateless, **options)


class Watched(uf.callbacks.Callback):
    """Reads and sets between steps, when the values are lent to these."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        optimizer, (first, *_) = self.model.optimizer, self.model.weights
        self.seen.append((int(optimizer.iterations), float(optimizer.learning_rate), first.numpy()))
        if batch == 1:
            optimizer.learning_rate = 0.01
        if batch == 2:
            first.assign(0.5 * first.numpy())


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_what_is_read_and_set_between_steps_of_jaxs_form_counts(optimizer: str) -> None:
    found = []
    for model in (stateless(), made(uf.Model)):
        model.compile(getattr(uf.optimizers, optimizer)(0.1), "mse")
        watched = Watched()
        model.fit(X, Y, batch_size=2, shuffle=False, epochs=2, verbose=0, callbacks=[watched], backend="jax")
        assert [count for count, *_ in watched.seen] == list(range(1, 13))
        assert [round(rate, 6) for _, rate, _ in watched.seen] == [0.1] * 2 + [0.01] * 10
        found.append(
            (watched.seen, [*model.get_weights(), *(one.numpy() for one in model.optimizer.variables)])
        )
        assert model.optimizer.learning_rate == 0.01  # and not the float32 nearest to it
    (seen, weights), (seen_traced, weights_traced) = found
    for (*_, one), (*_, other) in zip(seen, seen_traced, strict=True):
        assert_close(one, other, bounds=GRADIENT)
    for one, other in zip(weights, weights_traced, strict=True):
        assert_close(one, other, bounds=GRADIENT)


def test_an_epoch_of_jaxs_form_goes_on_where_the_last_one_ended() -> None:
    one, other = stateless(), stateless()
    one.fit(X, Y, batch_size=5, shuffle=False, epochs=3, verbose=0, backend="jax")
    for _ in range(3):
        other.fit(X, Y, batch_size=5, shuffle=False, epochs=1, verbose=0, backend="jax")
        other.predict(X, verbose=0)
    for left, right in zip(one.get_weights(), other.get_weights(), strict=True):
        assert_close(left, right)
    assert one.optimizer.iterations == other.optimizer.iterations == 9


def test_a_value_that_is_read_while_jax_traces_stays() -> None:
    """The step overwrites what it was given, which by then the variable has again."""
    jax = pytest.importorskip("jax")

    class Reads(uf.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            seen.append(self.weights[0].numpy())
            kept.append(self.weights[0].value)
            return {"loss": 0.0}, jax.tree.map(lambda one: one + 1, state)

    seen: list[Any] = []
    kept: list[Any] = []
    model = made(Reads)
    before = model.get_weights()
    model.fit(X, Y, batch_size=4, epochs=2, verbose=0, backend="jax")
    assert len(seen) == 1
    assert_close(seen[0], before[0])
    assert_close(np.asarray(kept[0]), before[0])
    assert_close(model.get_weights()[0], before[0] + 6)


def test_a_value_of_another_shape_is_refused_before_anything_is_overwritten() -> None:
    pytest.importorskip("jax")

    class Torn(uf.Model):
        def train_step(self, state: Any, data: Any) -> Any:
            return {"loss": 0.0}, ([one[:1] for one in state[0]], *state[1:])

    model = made(Torn)
    before = model.get_weights()
    with pytest.raises(
        ShapeError, match=r"kernel has the shape \(4, 3\); the step gives a value of shape \(1, 3\)"
    ):
        model.fit(X, Y, verbose=0, backend="jax")
    for one, other in zip(model.get_weights(), before, strict=True):
        assert_close(one, other)
