"""What every layer does: weights, children, names, calls, seeds, masks, updates and losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, ops
from unifront.backend import installed, placement
from unifront.testing import FORWARD, assert_close

BACKENDS = installed()
RNG = np.random.default_rng(2)
X = RNG.normal(size=(4, 5)).astype(np.float32)


class Block(uf.Layer):
    """Layers in a list, a dict and an attribute, and a weight of its own."""

    def __init__(self, width: int, **options: Any) -> None:
        super().__init__(**options)
        self.steps = [layers.Dense(width, "tanh"), layers.Dropout(0.5), layers.Dense(width)]
        self.heads = {"left": layers.Dense(2), "right": layers.Dense(2, name="other")}
        self.norm = layers.BatchNormalization()

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight((shape[-1],), "ones", name="scale")

    def call(self, x: Any) -> Any:
        x = ops.multiply(x, self.scale)
        for step in self.steps:
            x = step(x)
        x = self.norm(x)
        return {name: head(x) for name, head in self.heads.items()}


PATHS = [
    "scale", "steps_0/kernel", "steps_0/bias", "steps_2/kernel", "steps_2/bias", "heads_left/kernel",
    "heads_left/bias", "other/kernel", "other/bias", "norm/gamma", "norm/beta", "norm/moving_mean",
    "norm/moving_variance",
]  # fmt: skip


def test_children_in_lists_and_dicts_are_built_at_the_first_call_and_named_by_where_they_stand() -> None:
    block = Block(3)
    assert not block.built
    assert block.weights == []
    block(X)
    assert block.built
    assert [weight.path for weight in block.weights] == [f"block/{path}" for path in PATHS]
    assert block.count_params() == 5 + 5 * 3 + 3 + 3 * 3 + 3 + 2 * (3 * 2 + 2) + 4 * 3
    assert [layer.name for layer in block.layers_below()][:2] == ["block", "steps_0"]
    assert len(block.trainable_weights) == 11
    assert [w.name for w in block.non_trainable_weights] == ["moving_mean", "moving_variance"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_on_native_arrays_it_runs_as_python_and_equals_its_graph(backend: str) -> None:
    uf.set_seed(1)
    seen: list[str] = []

    class Watched(Block):
        def call(self, x: Any) -> Any:
            seen.append(type(x).__module__.partition(".")[0])
            return super().call(x)

    place = placement(backend)
    layer = Watched(3)
    image = uf.Input((5,))
    model = uf.Model(image, layer(image))
    seen.clear()
    native = layer(place.backend.array(X))
    names = {"jax": {"jax", "jaxlib"}}
    assert set(seen) <= names.get(backend, {backend})
    assert all(
        type(leaf).__module__.partition(".")[0] in names.get(backend, {backend}) for leaf in native.values()
    )
    expected = model.predict(X, backend="numpy")
    for name in ("left", "right"):
        assert_close(place.backend.numpy(native[name]), expected[name], bounds=FORWARD, what=name)


def test_equal_seeds_give_equal_weights_to_the_bit_and_paths_differ() -> None:
    def weights(seed: int) -> list[np.ndarray]:
        uf.set_seed(seed)
        model = uf.Sequential([uf.Input((5,)), layers.Dense(4), layers.Dense(4), layers.Dense(4)])
        return model.get_weights()

    first, second, other = weights(7), weights(7), weights(8)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert not np.array_equal(first[2], first[4])


@pytest.mark.parametrize("backend", BACKENDS)
def test_initial_weights_are_the_same_on_every_backend(backend: str) -> None:
    def kernel(where: str) -> np.ndarray:
        uf.set_seed(3)
        layer = layers.LSTM(3)
        place = placement(where)
        layer(place.backend.array(X[:, :, None]))
        return layer.get_weights()[1]

    assert kernel(backend).tobytes() == kernel("numpy").tobytes()


def test_weights_are_read_and_written_in_order() -> None:
    layer = layers.Dense(2)
    layer(X)
    new = [np.full((5, 2), 2.0), np.ones(2)]
    layer.set_weights(new)
    assert all(np.array_equal(a, b) for a, b in zip(layer.get_weights(), new, strict=True))
    with pytest.raises(errors.ArgumentError, match="dense has 2 weights; 1 values were given"):
        layer.set_weights(new[:1])
    with pytest.raises(errors.ShapeError, match=r"dense/kernel .*\(5, 2\).*\(2, 5\)"):
        layer.set_weights([new[0].T, new[1]])
    assert np.array_equal(layer.get_weights()[0], new[0])


def test_set_weights_changes_nothing_when_one_value_does_not_fit() -> None:
    layer = layers.Dense(2)
    layer(X)
    before = layer.get_weights()
    with pytest.raises(errors.ShapeError, match="dense/bias"):
        layer.set_weights([np.zeros((5, 2)), np.zeros(3)])
    assert np.array_equal(layer.get_weights()[0], before[0])


def test_a_frozen_layer_freezes_everything_below_it() -> None:
    block = Block(3)
    block(X)
    block.trainable = False
    assert block.trainable_weights == []
    assert len(block.non_trainable_weights) == len(PATHS)
    block.trainable = True
    block.steps[0].trainable = False
    assert len(block.trainable_weights) == 9


def test_a_frozen_batch_normalization_runs_as_in_inference() -> None:
    layer = layers.BatchNormalization(trainable=False)
    resting = layer(X)
    assert np.array_equal(layer(X, training=True), resting)
    assert np.array_equal(layer.get_weights()[2], np.zeros(5))


class Counter(uf.Layer):
    """Counts its training calls and penalizes its input."""

    def build(self, shape: Any) -> None:
        self.count = self.add_weight((), "zeros", name="count", trainable=False)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            self.update(self.count, ops.add(self.count, 1.0))
        self.add_loss(ops.multiply(ops.mean(ops.square(x)), 0.5))
        return x


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "numpy"])
def test_updates_and_losses_of_a_layer_are_part_of_training(backend: str) -> None:
    counter = Counter()
    image = uf.Input((5,))
    model = uf.Model(image, layers.Dense(1, kernel_initializer="zeros")(counter(image)))
    model.compile("sgd", loss="mse")
    history = model.fit(
        X, np.zeros((4, 1)), batch_size=2, epochs=3, verbose=0, shuffle=False, backend=backend
    )
    assert counter.get_weights()[0] == 6.0
    np.testing.assert_allclose(history.history["loss"], [0.5 * np.mean(X**2)] * 3, rtol=1e-5)
    model.evaluate(X, np.zeros((4, 1)), verbose=0, backend=backend)
    assert counter.get_weights()[0] == 6.0


def test_training_reaches_the_layers_inside_and_can_be_overridden() -> None:
    class Half(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dropout(0.5, seed=1), layers.Dropout(0.5, seed=2)

        def call(self, x: Any) -> Any:
            return self.first(x), self.second(x, training=False)

    dropped, kept = Half()(np.ones((50, 4), np.float32), training=True)
    assert set(np.unique(dropped)) == {0.0, 2.0}
    assert np.array_equal(kept, np.ones((50, 4)))


def test_a_mask_passes_through_a_layer_only_if_it_supports_masking() -> None:
    class Seen(uf.Layer):
        def call(self, x: Any, mask: Any = None) -> Any:
            self.mask = None if mask is None else np.asarray(mask)
            return x

    class Passing(uf.Layer):
        supports_masking = True

        def call(self, x: Any) -> Any:
            return ops.multiply(x, 2.0)

    class Chain(uf.Layer):
        def __init__(self, middle: uf.Layer) -> None:
            super().__init__()
            self.words, self.middle, self.seen = layers.Embedding(5, 2, mask_zero=True), middle, Seen()

        def call(self, x: Any) -> Any:
            return self.seen(self.middle(self.words(x)))

    words = np.array([[1, 0, 3]], np.int32)
    chain = Chain(Passing())
    chain(words)
    assert chain.seen.mask.tolist() == [[True, False, True]]
    chain = Chain(layers.Conv1D(2, 1))
    chain(words)
    assert chain.seen.mask is None


def test_a_subclass_must_call_super_first() -> None:
    class Forgetful(uf.Layer):
        def __init__(self) -> None:
            self.inner = layers.Dense(2)

    with pytest.raises(
        errors.ArgumentError, match=r"Forgetful\.__init__ sets 'inner' before calling super\(\)"
    ):
        Forgetful()

    class Lazy(uf.Layer):
        def __init__(self) -> None:
            pass

        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(errors.ArgumentError, match=r"Lazy\.__init__ does not call super\(\)\.__init__\(\)"):
        Lazy()(X)


def test_errors_inside_nested_layers_name_the_path() -> None:
    class Outer(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = [layers.Dense(3), layers.Conv2D(2, 3)]

        def call(self, x: Any) -> Any:
            for layer in self.inner:
                x = layer(x)
            return x

    with pytest.raises(errors.ShapeError, match=r"^outer/inner_1: Conv2D takes 4 dimensions"):
        Outer()(X)
    with pytest.raises(errors.ShapeError, match=r"^outer/inner_1: Conv2D takes 4 dimensions"):
        Outer()(uf.Input((5,)))


def test_a_failed_call_leaves_no_trace() -> None:
    layer = layers.Dense(2)
    layer(X)
    with pytest.raises(errors.ShapeError, match="dense"):
        layer(X[:, :3])
    assert layer(X).shape == (4, 2)


def test_call_is_needed() -> None:
    with pytest.raises(errors.ArgumentError, match=r"Layer does not define call\(\)"):
        uf.Layer()(X)


def test_a_weight_needs_known_sizes() -> None:
    class Free(uf.Layer):
        def build(self, shape: Any) -> None:
            self.weight = self.add_weight((shape[1],), name="weight")

        def call(self, x: Any) -> Any:
            return x

    with pytest.raises(errors.NotBuiltError, match=r"^free: the weight 'weight' would have the shape"):
        Free()(uf.Input((None,)))


def test_a_layer_of_another_dtype_casts_its_floats() -> None:
    layer = layers.Dense(2, dtype="float64")
    assert layer(X).dtype == np.float64
    assert layer.weights[0].dtype.name == "float64"
    assert layers.Dense(2)(X.astype(np.float64)).dtype == np.float64
