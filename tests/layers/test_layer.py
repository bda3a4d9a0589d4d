"""What every layer does: weights, children, names, calls, seeds, masks, updates and losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import unifront as uf
from unifront import errors, layers, ops
from unifront.backends import installed, placement
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


def test_layers_appended_to_a_list_and_in_private_attributes_are_children_too() -> None:
    class Stack(uf.Model):
        def __init__(self) -> None:
            super().__init__()
            self.steps: list[uf.Layer] = []
            self._last = layers.Dense(1)
            for _ in range(2):
                self.steps.append(layers.Dense(3))

        def call(self, x: Any) -> Any:
            for step in self.steps:
                x = step(x)
            return self._last(x)

    model = Stack()
    model.compile("sgd", loss="mse")
    model.build((None, 5))
    before = model.get_weights()
    assert {weight.path for weight in model.weights[::2]} == {
        "steps_0/kernel",
        "steps_1/kernel",
        "_last/kernel",
    }
    assert {v.name for v in model.graph().variables} == {weight.path for weight in model.weights}
    model.fit(X, X[:, :1], verbose=0)
    assert not any(map(np.array_equal, before, model.get_weights()))


def test_a_layer_that_is_replaced_is_no_child_any_more() -> None:
    block = Block(3)
    block(X)
    block.steps = block.steps[:1]
    block.norm = None
    assert [weight.name for weight in block.weights] == ["scale", *["kernel", "bias"] * 3]


def test_layers_may_know_the_layer_around_them() -> None:
    class Inner(layers.Dense):
        outer: Any = None

    class Outer(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Inner(2)
            self.inner.outer = self

        def call(self, x: Any) -> Any:
            return self.inner(x)

    model = uf.Sequential([uf.Input((5,)), Outer()])
    assert [weight.path for weight in model.trainable_weights] == ["outer/inner/kernel", "outer/inner/bias"]


def test_a_layer_thawed_inside_a_frozen_one_is_trained() -> None:
    block = Block(3)
    model = uf.Sequential([uf.Input((5,)), block.steps[0], block.steps[2]])
    model.trainable = False
    block.steps[2].trainable = True
    assert model.trainable_weights == []
    whole = uf.Sequential([uf.Input((5,)), model])
    assert [weight.path for weight in whole.trainable_weights] == [
        "sequential/steps_2/kernel",
        "sequential/steps_2/bias",
    ]
    assert [v.name for v in whole.graph().variables if v.trainable] == [
        "sequential/steps_2/kernel",
        "sequential/steps_2/bias",
    ]


def test_freezing_one_weight_changes_the_graph() -> None:
    model = uf.Sequential([uf.Input((5,)), layers.Dense(2)])
    assert all(v.trainable for v in model.graph().variables)
    model.weights[0].trainable = False
    assert [v.name for v in model.graph().variables if v.trainable] == ["dense/bias"]


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
    with uf.backend(backend):  # NumPy's arrays are the default backend's in a layer
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


def test_a_subclass_may_set_its_layers_before_it_calls_super() -> None:
    class Early(uf.Layer):
        def __init__(self) -> None:
            self.inner, self.more = layers.Dense(2), [layers.Dense(3)]
            super().__init__(trainable=False)
            self.last = layers.Dense(4)

        def call(self, x: Any) -> Any:
            return self.last(self.more[0](self.inner(x)))

    layer = Early()
    assert layer(X).shape == (len(X), 4)
    assert [weight.path for weight in layer.weights][::2] == [
        f"early/{name}/kernel" for name in ("inner", "more_0", "last")
    ]
    assert layer.trainable_weights == []


def test_a_subclass_must_call_super() -> None:
    class Lazy(uf.Layer):
        def __init__(self) -> None:
            self.inner = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.inner(x)

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


class Failing(uf.Layer):
    """Does in its call what it is told."""

    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act, self.inner = act, layers.Dense(2)

    def call(self, x: Any) -> Any:
        return self.act(self, x)


class Around(uf.Layer):
    """A layer around a layer."""

    def __init__(self, layer: uf.Layer) -> None:
        super().__init__()
        self.deep = layer

    def call(self, x: Any) -> Any:
        return self.deep(x)


def own_error(layer: Any, x: Any) -> Any:
    raise errors.ArgumentError("not today")


OURS = {
    "raised by hand": (own_error, errors.ArgumentError, "not today"),
    "an op": (lambda layer, x: ops.matmul(x, x), errors.ShapeError, "matmul: the last axis"),
    "an op's arguments": (
        lambda layer, x: ops.sum(x, axis=7),
        errors.ShapeError,
        "sum: axis 7 is out of range",
    ),
}
GIVEN = {"array": lambda: X, "input": lambda: uf.Input((5,))}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("what", OURS)
def test_errors_in_a_call_begin_with_the_path_once(what: str, given: str) -> None:
    act, error, message = OURS[what]
    with pytest.raises(error, match=rf"^around/deep: {message}"):
        Around(Failing(act))(GIVEN[given]())


def test_an_error_of_a_layer_further_inside_names_that_layer() -> None:
    with pytest.raises(errors.ArgumentError, match=r"^around/deep/inner: Dense\.call\(x\): .* 'mood'"):
        Around(Failing(lambda layer, x: layer.inner(x, mood=1)))(X)


@pytest.mark.parametrize("given", GIVEN)
def test_errors_of_others_keep_their_type_and_text_and_say_the_path_in_one_note(given: str) -> None:
    def act(layer: Any, x: Any) -> Any:
        raise KeyError("mine")

    with pytest.raises(KeyError, match=r"^'mine'\nThis happened in the layer around/deep\.$"):
        Around(Failing(act))(GIVEN[given]())


def test_errors_in_the_call_of_a_model_name_the_model() -> None:
    class Net(uf.Model):
        def call(self, x: Any) -> Any:
            return ops.matmul(x, x)

    with pytest.raises(errors.ShapeError, match=r"^net: matmul: the last axis"):
        Net(name="net")(X)
    with pytest.raises(errors.ShapeError, match=r"^net: matmul: the last axis"):
        Net(name="net").predict(X)


def test_a_call_that_fails_and_is_caught_does_no_harm() -> None:
    class Fallback(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.images, self.rows = layers.Conv2D(2, 3), layers.Dense(2)

        def call(self, x: Any) -> Any:
            try:
                return self.images(x)
            except errors.ShapeError:
                return self.rows(x)

    model = uf.Sequential([uf.Input((5,)), Fallback()])
    assert [weight.path for weight in model.weights] == ["fallback/rows/kernel", "fallback/rows/bias"]


def test_an_initializer_that_fails_names_its_weight() -> None:
    def broken(shape: Any, dtype: Any, rng: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError, match=r"^\nThis happened in the layer dense/kernel\.$"):
        layers.Dense(2, kernel_initializer=broken)(X)


NOT_BUILT = {
    "weight": lambda layer: layer.kernel,
    "get_weights": lambda layer: layer.get_weights(),
    "set_weights": lambda layer: layer.set_weights([X]),
    "count_params": lambda layer: layer.count_params(),
}


@pytest.mark.parametrize("what", NOT_BUILT)
def test_weights_that_are_not_made_are_refused(what: str) -> None:
    with pytest.raises(errors.NotBuiltError, match=r"^top.* built.* Call it on data or on uf\.Input"):
        NOT_BUILT[what](layers.Dense(2, name="top"))


def test_a_missing_attribute_is_missing_as_in_python() -> None:
    class Wide(layers.Dense):
        @property
        def width(self) -> int:
            return self.no_such_thing

    layer = Wide(2)
    assert not hasattr(layer, "kernel")
    assert not hasattr(layer, "kernal")
    layer(X)
    with pytest.raises(AttributeError, match="'Wide' object has no attribute 'kernal'"):
        layer.kernal  # noqa: B018  # to see it fail
    with pytest.raises(AttributeError, match="no_such_thing"):
        layer.width  # noqa: B018  # to see it fail


def test_a_layer_may_be_built_by_hand_once() -> None:
    layer = layers.LSTM(2)
    layer.build((None, None, 5))
    made = layer.weights
    layer.build((None, None, 5))
    layer(X[:, None])
    assert [weight.path for weight in made] == [
        f"lstm/lstm_cell/{name}" for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert layer.weights == made


def test_a_layer_may_build_the_layers_inside_it_as_in_keras() -> None:
    class Pair(uf.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = layers.Dense(4), layers.Dense(2)

        def build(self, input_shape: Any) -> None:
            self.first.build(input_shape)
            self.second.build((*input_shape[:-1], 4))
            self.built = True

        def call(self, x: Any) -> Any:
            return self.second(self.first(x))

    paths = ["pair/first/kernel", "pair/first/bias", "pair/second/kernel", "pair/second/bias"]
    pair = Pair()
    assert pair(X).shape == (4, 2)
    assert [weight.path for weight in pair.weights] == paths
    assert [weight.path for weight in uf.Sequential([uf.Input((5,)), Pair()]).weights] == paths


def test_build_may_call_that_of_its_base() -> None:
    class Scaled(layers.Dense):
        def build(self, shape: Any) -> None:
            super().build(shape)
            self.factor = self.add_weight((), "ones", name="factor")

        def call(self, x: Any) -> Any:
            return ops.multiply(super().call(x), self.factor)

    layer = Scaled(2)
    layer(X)
    assert [weight.path for weight in layer.weights] == ["scaled/kernel", "scaled/bias", "scaled/factor"]


def test_add_variable_is_add_weight_in_the_order_of_keras() -> None:
    weight = uf.Layer(name="own").add_variable((2,), "ones", "float64", False, name="steps")
    assert (weight.path, weight.dtype.name, weight.trainable) == ("own/steps", "float64", False)
    np.testing.assert_array_equal(weight.numpy(), [1, 1])


def test_a_build_that_fails_may_be_tried_again() -> None:
    class Picky(uf.Layer):
        def build(self, shape: Any) -> None:
            self.first = self.add_weight((1,), name="first")
            self.second = self.add_weight((shape[1],), name="second")

        def call(self, x: Any) -> Any:
            return x

    layer = Picky()
    with pytest.raises(errors.NotBuiltError, match="picky: The weight 'second'"):
        layer(uf.Input((None,)))
    layer(X)
    assert [weight.name for weight in layer.weights] == ["first", "second"]


def test_build_gets_as_many_shapes_as_it_takes() -> None:
    h = np.ones((4, 2), np.float32)
    expected = (layer := layers.LSTM(2))(X[:, None], initial_state=[h, h])
    assert np.array_equal(layer(X[:, None], [h, h]), expected)


def test_floats_given_by_keyword_are_cast_too() -> None:
    layer = layers.GRU(2, dtype="float32")
    assert layer(X[:, None], initial_state=np.ones((4, 2), np.float64)).dtype == np.float32


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

    with pytest.raises(
        errors.NotBuiltError, match=r"^free: The weight 'weight' would have the shape \(input\d*_1,\)"
    ):
        Free()(uf.Input((None,)))


def test_a_weight_without_a_name_is_called_as_its_attribute() -> None:
    class Linear(uf.Layer):
        def build(self, shape: Any) -> None:
            self.w = self.add_weight(shape=(shape[-1], 2), initializer="random_normal", trainable=True)
            self._b = self.add_weight(shape=(2,), initializer="zeros")
            self.again = self.w

        def call(self, x: Any) -> Any:
            return ops.add(ops.matmul(x, self.w), self._b)

    model = uf.Sequential([uf.Input((5,)), Linear()])
    assert [weight.path for weight in model.weights] == ["linear/w", "linear/_b"]


WEIGHTS: dict[str, tuple[Any, type[Exception], str]] = {
    "a name of two parts": (
        lambda layer: layer.add_weight((1,), name="a/b"), errors.ArgumentError, "without '/'; 'a/b' was given",
    ),
    "a name taken": (
        lambda layer: [layer.add_weight((1,), name="a") for _ in "12"], errors.ArgumentError, "its layer's own.* 'a'",
    ),
    "a number for a shape": (
        lambda layer: layer.add_weight(3, name="a"), errors.ShapeError, "shape of the weight 'a' .* not 3",
    ),
    "a negative size": (
        lambda layer: layer.add_weight((-3,), name="a"), errors.ShapeError, r"shape of the weight 'a' .* not \(-3,\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights_that_cannot_be_are_refused(what: str) -> None:
    act, error, message = WEIGHTS[what]
    with pytest.raises(error, match=message):
        act(uf.Layer())


def test_a_layer_of_another_dtype_casts_its_floats() -> None:
    layer = layers.Dense(2, dtype="float64")
    assert layer(X).dtype == np.float64
    assert layer.weights[0].dtype.name == "float64"
    assert layers.Dense(2)(X.astype(np.float64)).dtype == np.float64
