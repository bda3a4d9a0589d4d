"""Hand-written JAX: pure functions over `{layer: {variable: array}}`, one jitted step with its state donated.

hoisted  The LSTM and GRU are `lax.scan` over time, with the input's projection done before it for all steps
         at once.
in_step  The projection is done in each step: on a CPU XLA is often faster so, since the projections of all
         steps are more than its caches hold.
cudnn    On a GPU, the LSTM from cuDNN through `jax.experimental.rnn`.

The fastest of these, by trial in the same run, is the native column. Models without such layers have only the
first.

JAX's default precision stands, which on recent GPUs is TF32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rows
from contender import Absent, Batches, Contender
from convnets import NETWORKS, Conv, Dense, Inception, Pool
from jax import Array, lax
from rows import Row

Parameters = dict[str, dict[str, Array]]
Model = Callable[..., tuple[Array, Parameters]]
"""(parameters, x, row, key, train) -> the logits and the new statistics; the key is None without dropout."""


def dense(p: dict[str, Array], x: Array) -> Array:
    return x @ p["kernel"] + p["bias"]


def conv(p: dict[str, Array], x: Array, stride: int = 1, padding: Any = "SAME") -> Array:
    layout = ("NHWC", "HWIO", "NHWC")
    return (
        lax.conv_general_dilated(x, p["kernel"], (stride, stride), padding, dimension_numbers=layout)
        + p["bias"]
    )


def max_pool(x: Array, size: int, stride: int, padding: tuple[int, int] = (0, 0)) -> Array:
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, strides, ((0, 0), padding, padding, (0, 0)))


def dropout(key: Array | None, x: Array, rate: float) -> Array:
    """`key` is None in inference."""
    if key is None or rate == 0:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def batch_norm(p: dict[str, Array], x: Array, train: bool) -> tuple[Array, dict[str, Array]]:
    """The result, and the new moving statistics."""
    mean, variance = p["moving_mean"], p["moving_variance"]
    moving = {"moving_mean": mean, "moving_variance": variance}
    if train:
        old, momentum = moving, rows.BATCH_NORM_MOMENTUM
        mean = x.mean((0, 1, 2))
        variance = (x * x).mean((0, 1, 2)) - mean * mean
        moving = {
            "moving_mean": momentum * old["moving_mean"] + (1 - momentum) * mean,
            "moving_variance": momentum * old["moving_variance"] + (1 - momentum) * variance,
        }
    scale = p["gamma"] * lax.rsqrt(variance + rows.BATCH_NORM_EPSILON)
    return x * scale + (p["beta"] - mean * scale), moving


def scan(p: dict[str, Array], x: Array, bias: Array, cell: Callable, state: tuple[Array, ...], in_step: bool):
    """`lax.scan` of `cell(projected, state)` over `x` `[time, batch, features]`."""
    if in_step:
        return lax.scan(lambda state, x: cell(x @ p["kernel"] + bias, state), state, x)
    return lax.scan(lambda state, projected: cell(projected, state), state, x @ p["kernel"] + bias)


def lstm_layer(p: dict[str, Array], x: Array, in_step: bool) -> Array:
    """`x` and the result are `[time, batch, features]`."""

    def cell(projected, state):
        hidden, carry = state
        i, f, c, o = jnp.split(projected + hidden @ p["recurrent_kernel"], 4, axis=-1)
        carry = jax.nn.sigmoid(f) * carry + jax.nn.sigmoid(i) * jnp.tanh(c)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(carry)
        return (hidden, carry), hidden

    start = jnp.zeros((x.shape[1], p["recurrent_kernel"].shape[0]), x.dtype)
    return scan(p, x, p["bias"], cell, (start, start), in_step)[1]


def gru_layer(p: dict[str, Array], x: Array, in_step: bool) -> Array:
    """The last state; `x` is `[time, batch, features]`."""
    bias, recurrent_bias = p["bias"]

    def cell(projected, state):
        (hidden,) = state
        z, r, candidate = jnp.split(projected, 3, axis=-1)
        z_, r_, candidate_ = jnp.split(hidden @ p["recurrent_kernel"] + recurrent_bias, 3, axis=-1)
        z, r = jax.nn.sigmoid(z + z_), jax.nn.sigmoid(r + r_)
        candidate = jnp.tanh(candidate + r * candidate_)
        return (z * hidden + (1 - z) * candidate,), None

    start = jnp.zeros((x.shape[1], p["recurrent_kernel"].shape[0]), x.dtype)
    return scan(p, x, bias, cell, (start,), in_step)[0][0]


def lstm_cudnn(p: dict[str, Array], x: Array) -> Array:
    """As `lstm_layer`, by cuDNN, which has a second bias that stays zero."""
    from jax.experimental import rnn

    (length, batch, features), units = x.shape, p["recurrent_kernel"].shape[0]
    packed = [p["kernel"].T, p["recurrent_kernel"].T, p["bias"], jnp.zeros_like(p["bias"])]
    start = jnp.zeros((1, batch, units), x.dtype)
    sequence, _, _ = rnn.lstm(
        x.swapaxes(0, 1),
        start,
        start,
        jnp.concatenate([part.ravel() for part in packed]),
        jnp.full((batch,), length, jnp.int32),
        features,
        units,
        num_layers=1,
        dropout=0.0,
        bidirectional=False,
    )
    return sequence.swapaxes(0, 1)


# ------------------------------------------------------------------ the models: parameters, x -> logits


def mlp(p: Parameters, x: Array, row: Row, key: Array | None) -> Array:
    x = jax.nn.relu(dense(p["dense_1"], x))
    x = jax.nn.relu(dense(p["dense_2"], x))
    return dense(p["logits"], x)


def chain(p: Parameters, x: Array, row: Row, key: Array | None) -> Array:
    for number in range(rows.CHAIN):
        x = dense(p[f"hidden_{number}"], x)
    return dense(p["logits"], x)


def cifar(p: Parameters, x: Array, row: Row, key: Array | None) -> Array:
    keys = (None, None, None) if key is None else jax.random.split(key, 3)
    x = jax.nn.relu(conv(p["conv_1"], x))
    x = jax.nn.relu(conv(p["conv_2"], x))
    x = dropout(keys[0], max_pool(x, 2, 2), row.dropout[0])
    x = jax.nn.relu(conv(p["conv_3"], x))
    x = jax.nn.relu(conv(p["conv_4"], x))
    x = dropout(keys[1], max_pool(x, 2, 2), row.dropout[1])
    x = jax.nn.relu(dense(p["dense"], x.reshape(x.shape[0], -1)))
    return dense(p["logits"], dropout(keys[2], x, row.dropout[2]))


def gru(p: Parameters, words: Array, row: Row, key: Array | None, layer: Callable) -> Array:
    # Turned to time-major as words: moving them is nothing beside moving their vectors.
    vectors = p["embedding"]["embeddings"][words.T]
    return dense(p["logits"], layer(p["gru"], vectors))


def lstm(p: Parameters, x: Array, row: Row, key: Array | None, layer: Callable) -> Array:
    sequence = layer(p["lstm_2"], layer(p["lstm_1"], x.swapaxes(0, 1)))
    return dense(p["logits"], sequence[-1])


def resnet50(p: Parameters, x: Array, row: Row, key: Array | None, train: bool) -> tuple[Array, Parameters]:
    """The logits, and the new moving statistics."""
    moving = {}

    def normalized(name: str, x: Array, stride: int = 1, padding: Any = "SAME") -> Array:
        y = conv(p[f"{name}_conv"], x, stride, padding)
        y, moving[f"{name}_bn"] = batch_norm(p[f"{name}_bn"], y, train=train)
        return y

    x = jax.nn.relu(normalized("conv1", x, 2, ((3, 3), (3, 3))))
    x = max_pool(x, 3, 2, (1, 1))
    for block, _, _, stride, has_shortcut in rows.resnet50_blocks():
        shortcut = normalized(f"{block}_0", x, stride) if has_shortcut else x
        x = jax.nn.relu(normalized(f"{block}_1", x, stride))
        x = jax.nn.relu(normalized(f"{block}_2", x))
        x = jax.nn.relu(normalized(f"{block}_3", x) + shortcut)
    return dense(p["predictions"], x.mean((1, 2))), moving


def layer_norm(p: dict[str, Array], x: Array) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    return centred * lax.rsqrt(variance + rows.LAYER_NORM_EPSILON) * p["gamma"] + p["beta"]


def attention(p: dict[str, Array], x: Array) -> Array:
    parts = (
        jnp.einsum("btw,whd->bthd", x, p[f"{n}/kernel"]) + p[f"{n}/bias"] for n in ("query", "key", "value")
    )
    found = jax.nn.dot_product_attention(*parts)
    return jnp.einsum("bthd,hdw->btw", found, p["attention_output/kernel"]) + p["attention_output/bias"]


def transformer(p: Parameters, x: Array, row: Row, key: Array | None) -> Array:
    for number in range(rows.TRANSFORMER_BLOCKS):
        name = f"body_{number}"
        x = x + attention(p[f"{name}_attention"], layer_norm(p[f"{name}_norm_1"], x))
        y = dense(p[f"{name}_expand"], layer_norm(p[f"{name}_norm_2"], x))
        x = x + dense(p[f"{name}_project"], jax.nn.gelu(y, approximate=False))
    return dense(p["logits"], x.mean(1))


def _conv2d(x: Array, kernel: Array, stride: int = 1, groups: int = 1) -> Array:
    size = kernel.shape[0]
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        [(size // 2, size // 2)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def mobilenet_v2(p: Parameters, x: Array, row: Row, key: Array | None, train: bool):
    moving = {}

    def normalized(name: str, x: Array, stride: int = 1, groups: int = 1) -> Array:
        kernel = p[f"{name}_conv"]["kernel"]
        kernel = kernel.swapaxes(2, 3) if groups > 1 else kernel
        y, moving[f"{name}_bn"] = batch_norm(p[f"{name}_bn"], _conv2d(x, kernel, stride, groups), train=train)
        return y

    x = jax.nn.relu6(normalized("stem", x, 2))
    for number, (channels, inner, filters, stride) in enumerate(rows.mobilenet_v2_blocks()):
        name = f"body_{number}"
        y = x if inner == channels else jax.nn.relu6(normalized(f"{name}_expand", x))
        y = jax.nn.relu6(normalized(f"{name}_depthwise", y, stride, inner))
        y = normalized(f"{name}_project", y)
        x = x + y if stride == 1 and channels == filters else y
    x = jax.nn.relu6(normalized("head", x))
    return dense(p["logits"], x.mean((1, 2))), moving


def convlstm_layer(p: dict[str, Array], x: Array) -> Array:
    """All states; `[time, batch, height, width, channels]` in and out."""
    time, batch, *size, channels = x.shape

    def cell(state, projected):
        hidden, carry = state
        i, f, c, o = jnp.split(projected + _conv2d(hidden, p["recurrent_kernel"]), 4, axis=-1)
        carry = jax.nn.sigmoid(f) * carry + jax.nn.sigmoid(i) * jnp.tanh(c)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(carry)
        return (hidden, carry), hidden

    projected = _conv2d(x.reshape(time * batch, *size, channels), p["kernel"]) + p["bias"]
    start = jnp.zeros((batch, *size, rows.FILTERS), x.dtype)
    return lax.scan(cell, (start, start), projected.reshape(time, batch, *size, -1))[1]


def convlstm(p: Parameters, x: Array, row: Row, key: Array | None) -> Array:
    states = convlstm_layer(p["convlstm_2"], convlstm_layer(p["convlstm_1"], x.swapaxes(0, 1)))
    return dense(p["logits"], states[-1].mean((1, 2)))


def inception(p: Parameters, x: Array, name: str) -> Array:
    def branch(x: Array, *convolutions: str) -> Array:
        for convolution in convolutions:
            x = jax.nn.relu(conv(p[f"{name}_{convolution}"], x))
        return x

    branches = [
        branch(x, "one"),
        branch(x, "reduce_3", "three"),
        branch(x, "reduce_5", "five"),
        branch(max_pool(x, 3, 1, (1, 1)), "project"),
    ]
    return jnp.concatenate(branches, -1)


def convnet(p: Parameters, x: Array, row: Row, key: Array | None) -> Array:
    for place, part in enumerate(NETWORKS[row.name]):
        name = f"body_{place}"
        match part:
            case Conv():
                x = jax.nn.relu(conv(p[name], x, part.stride, [(part.padding, part.padding)] * 2))
            case Pool():
                x = max_pool(x, part.size, 2, (0, int(part.over)))
            case Inception():
                x = inception(p, x, name)
            case Dense():
                x = jax.nn.relu(dense(p[name], x.reshape(len(x), -1)))
    return dense(p["logits"], x if x.ndim == 2 else x.mean((1, 2)))


def _without_state(model: Callable[..., Array]) -> Model:
    return lambda p, x, row, key, train: (model(p, x, row, key), {})


def _recurrent(model: Callable[..., Array], layer: Callable) -> dict[str, Model]:
    return {
        "hoisted": _without_state(partial(model, layer=partial(layer, in_step=False))),
        "in_step": _without_state(partial(model, layer=partial(layer, in_step=True))),
    }


MODELS: dict[str, dict[str, Model]] = {
    "mlp": {"hoisted": _without_state(mlp)},
    "chain": {"hoisted": _without_state(chain)},
    "cifar": {"hoisted": _without_state(cifar)},
    "gru": _recurrent(gru, gru_layer),
    "lstm": {**_recurrent(lstm, lstm_layer), "cudnn": _without_state(partial(lstm, layer=lstm_cudnn))},
    "resnet50": {"hoisted": resnet50},
    "transformer": {"hoisted": _without_state(transformer)},
    "mobilenet_v2": {"hoisted": mobilenet_v2},
    "convlstm": {"hoisted": _without_state(convlstm)},
    **{name: {"hoisted": _without_state(convnet)} for name in NETWORKS},
}


# ------------------------------------------------------------------ the step


def cross_entropy(logits: Array, labels: Array) -> Array:
    picked = jnp.take_along_axis(logits, labels[:, None], axis=-1)[:, 0]
    return (jax.nn.logsumexp(logits, axis=-1) - picked).mean()


def adam(parameters, gradients, first, second, step):
    """The new parameters and moments; `step` counts from 1."""
    rate = rows.LEARNING_RATE * jnp.sqrt(1 - rows.BETA_2**step) / (1 - rows.BETA_1**step)
    first = jax.tree.map(lambda m, g: m + (g - m) * (1 - rows.BETA_1), first, gradients)
    second = jax.tree.map(lambda v, g: v + (g * g - v) * (1 - rows.BETA_2), second, gradients)
    parameters = jax.tree.map(
        lambda p, m, v: p - rate * m / (jnp.sqrt(v) + rows.EPSILON), parameters, first, second
    )
    return parameters, first, second


def sgd(parameters, gradients, first, second, step):
    """The new parameters; there are no moments."""
    return jax.tree.map(lambda p, g: p - rows.SGD_RATE * g, parameters, gradients), first, second


def _merged(parameters: Parameters, statistics: Parameters) -> Parameters:
    return {layer: {**values, **statistics.get(layer, {})} for layer, values in parameters.items()}


def device_name() -> str:
    return jax.devices()[0].device_kind if jax.default_backend() == "gpu" else jax.default_backend()


class JaxContender(Contender):
    def __init__(self, row: Row, model: Model):
        parameters: Parameters = {}
        statistics: Parameters = {}
        values = row.values()
        for weight in row.weights:
            layer, variable = weight.name.split("/", 1)
            home = parameters if weight.trainable else statistics
            home.setdefault(layer, {})[variable] = jnp.asarray(values[weight.name])
        self.parameter_count = sum(value.size for value in jax.tree.leaves(parameters))
        update, slots = (adam, parameters) if row.optimizer == "adam" else (sgd, {})
        zeros = partial(jax.tree.map, jnp.zeros_like)
        start = jnp.zeros((), jnp.int32)
        # Splitting a key takes longer than the smallest model's step: there is one only where it is used.
        key = jax.random.key(0) if any(row.dropout) else None
        self.state = (parameters, statistics, zeros(slots), zeros(slots), start, key)

        def loss_of(parameters, statistics, x, y, key):
            logits, statistics = model(_merged(parameters, statistics), x, row, key=key, train=True)
            return cross_entropy(logits, y), statistics

        @partial(jax.jit, donate_argnums=0)
        def train_step(state, x, y):
            parameters, statistics, first, second, step, key = state
            key, used = (None, None) if key is None else jax.random.split(key)
            of_parameters = jax.value_and_grad(loss_of, has_aux=True)
            (loss, statistics), gradients = of_parameters(parameters, statistics, x, y, used)
            step += 1
            parameters, first, second = update(parameters, gradients, first, second, step.astype(jnp.float32))
            return (parameters, statistics, first, second, step, key), loss

        @jax.jit
        def infer(parameters, statistics, x):
            return model(_merged(parameters, statistics), x, row, key=None, train=False)[0]

        self._train_step, self._infer = train_step, infer
        data = [(jax.device_put(x), jax.device_put(y)) for x, y in row.data()]
        self.train_batches: Batches[Array] = cycle(data)
        self.infer_batches: Batches[Array] = cycle(data)
        self.loss = self.logits = None

    def train_step(self) -> None:
        self.state, self.loss = self._train_step(self.state, *next(self.train_batches))

    def infer(self) -> None:
        x, _ = next(self.infer_batches)
        self.logits = self._infer(self.state[0], self.state[1], x)

    def synchronize(self) -> None:
        jax.block_until_ready((self.state, self.loss, self.logits))

    def last_loss(self) -> float:
        return float(self.loss)

    def last_logits(self) -> np.ndarray:
        return np.asarray(self.logits)


def build(row: Row, backend: str, variant: str) -> Contender:
    if variant not in MODELS[row.name]:
        raise Absent("not a variant of this model")
    if variant == "cudnn" and jax.default_backend() != "gpu":
        raise Absent("cuDNN is for GPUs")
    return JaxContender(row, MODELS[row.name][variant])
