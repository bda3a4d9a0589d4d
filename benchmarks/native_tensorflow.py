"""Hand-written TensorFlow: `tf.Variable`s, one `tf.function` for the step, gradients by `tf.GradientTape`.

graph       TensorFlow's own kernels, Adam by the fused `ResourceApplyAdam`.
plain_adam  The same with Adam in plain operations, which TensorFlow runs faster on small models.
xla         The first with `jit_compile=True`.
in_step     The first, the LSTM's and GRU's projection of the input in each step of the loop over time.

The fastest of these, by trial in the same run, is the native column. The LSTM and GRU are a `tf.while_loop`
over time; but for `in_step` the input is projected before it for all steps at once. TensorFlow's one fused
recurrent kernel for the CPU, `BlockLSTMV2`, was tried and was slower; cuDNN's is not used here.

Beside it, when asked for:

concrete    `graph`, calling the concrete function of the one batch shape: saves the dispatch, some .15 ms.
unrolled    `graph`, the loop over time unrolled: seconds more to build, for one length only; at most a fifth
            faster.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import rows
import tensorflow as tf
from contender import Absent, Batches, Contender
from convnets import NETWORKS, Conv, Dense, Inception, Pool
from rows import Row

Tensor = tf.Tensor
Parameters = dict[str, dict[str, tf.Variable]]


@dataclass(frozen=True)
class Variant:
    jit_compile: bool | None = None
    fused_adam: bool = True
    in_step: bool = False
    concrete: bool = False
    unrolled: bool = False


VARIANTS = {
    "graph": Variant(),
    "plain_adam": Variant(fused_adam=False),
    "xla": Variant(jit_compile=True),
    "in_step": Variant(in_step=True),
    "concrete": Variant(concrete=True),
    "unrolled": Variant(unrolled=True),
}


def dense(p: dict[str, tf.Variable], x: Tensor) -> Tensor:
    return tf.nn.bias_add(tf.matmul(x, p["kernel"]), p["bias"])


def conv(p: dict[str, tf.Variable], x: Tensor, stride: int = 1, padding: Any = "SAME") -> Tensor:
    return tf.nn.bias_add(tf.nn.conv2d(x, p["kernel"], stride, padding), p["bias"])


def dropout(x: Tensor, rate: float, train: bool) -> Tensor:
    return tf.nn.dropout(x, rate) if train and rate else x


def batch_norm(p: dict[str, tf.Variable], x: Tensor, train: bool) -> Tensor:
    moving = p["moving_mean"], p["moving_variance"]
    y, *statistics = tf.raw_ops.FusedBatchNormV3(
        x=x,
        scale=p["gamma"],
        offset=p["beta"],
        mean=tf.zeros([0]) if train else moving[0],
        variance=tf.zeros([0]) if train else moving[1],
        epsilon=rows.BATCH_NORM_EPSILON,
        is_training=train,
    )[:3]
    if train:
        for average, value in zip(moving, statistics, strict=True):
            average.assign_sub((average - value) * (1 - rows.BATCH_NORM_MOMENTUM))
    return y


# ------------------------------------------------------------------ recurrent layers

Cell = Callable[[Tensor, Sequence[Tensor]], tuple[Tensor, ...]]


def while_loop(cell: Cell, sequence: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """All first states `[time, batch, units]`, and the last one."""
    length = sequence.shape[0]
    inputs = tf.TensorArray(tf.float32, length, element_shape=sequence.shape[1:]).unstack(sequence)
    outputs = tf.TensorArray(tf.float32, length, element_shape=state[0].shape)

    def body(time, outputs, *state):
        state = cell(inputs.read(time), state)
        return time + 1, outputs.write(time, state[0]), *state

    _, outputs, last, *_ = tf.while_loop(
        lambda time, *_: time < length, body, (0, outputs, *state), maximum_iterations=length
    )
    return outputs.stack(), last


def unrolled(cell: Cell, sequence: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """As `while_loop`."""
    outputs = []
    for x in tf.unstack(sequence):
        state = cell(x, state)
        outputs.append(state[0])
    return tf.stack(outputs), state[0]


@dataclass(frozen=True)
class Loop:
    """Runs a cell over time, on the input projected for all steps at once or in each step."""

    over: Callable[..., tuple[Tensor, Tensor]] = while_loop
    in_step: bool = False

    def __call__(
        self, cell: Cell, x: Tensor, kernel: Tensor, bias: Tensor, state: tuple[Tensor, ...]
    ) -> tuple[Tensor, Tensor]:
        if self.in_step:
            return self.over(lambda x, state: cell(tf.nn.bias_add(x @ kernel, bias), state), x, state)
        length, batch, features = x.shape
        projected = tf.nn.bias_add(tf.reshape(x, [-1, features]) @ kernel, bias)
        return self.over(cell, tf.reshape(projected, [length, batch, -1]), state)


def lstm_layer(p: dict[str, tf.Variable], x: Tensor, loop: Loop) -> Tensor:
    """`x` and the result are `[time, batch, features]`."""
    kernel, recurrent_kernel, bias = (
        tf.convert_to_tensor(p[n]) for n in ("kernel", "recurrent_kernel", "bias")
    )

    def cell(projected, state):
        hidden, carry = state
        i, f, c, o = tf.split(projected + hidden @ recurrent_kernel, 4, axis=-1)
        carry = tf.sigmoid(f) * carry + tf.sigmoid(i) * tf.tanh(c)
        return tf.sigmoid(o) * tf.tanh(carry), carry

    start = tf.zeros([x.shape[1], recurrent_kernel.shape[0]])
    return loop(cell, x, kernel, bias, (start, start))[0]


def gru_layer(p: dict[str, tf.Variable], x: Tensor, loop: Loop) -> Tensor:
    """The last state; `x` is `[time, batch, features]`."""
    kernel, recurrent_kernel, biases = (
        tf.convert_to_tensor(p[n]) for n in ("kernel", "recurrent_kernel", "bias")
    )
    bias, recurrent_bias = tf.unstack(biases)
    units = recurrent_kernel.shape[0]

    def cell(projected, state):
        (hidden,) = state
        recurrent = tf.nn.bias_add(hidden @ recurrent_kernel, recurrent_bias)
        gates, candidate = tf.split(projected, [2 * units, units], axis=-1)
        recurrent_gates, recurrent_candidate = tf.split(recurrent, [2 * units, units], axis=-1)
        z, r = tf.split(tf.sigmoid(gates + recurrent_gates), 2, axis=-1)
        candidate = tf.tanh(candidate + r * recurrent_candidate)
        return (candidate + z * (hidden - candidate),)

    return loop(cell, x, kernel, bias, (tf.zeros([x.shape[1], units]),))[1]


# ------------------------------------------------------------------ the models


def mlp(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    x = tf.nn.relu(dense(p["dense_1"], x))
    x = tf.nn.relu(dense(p["dense_2"], x))
    return dense(p["logits"], x)


def chain(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    for number in range(rows.CHAIN):
        x = dense(p[f"hidden_{number}"], x)
    return dense(p["logits"], x)


def cifar(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    first, second, third = row.dropout
    x = tf.nn.relu(conv(p["conv_1"], x))
    x = tf.nn.relu(conv(p["conv_2"], x))
    x = dropout(tf.nn.max_pool2d(x, 2, 2, "VALID"), first, train)
    x = tf.nn.relu(conv(p["conv_3"], x))
    x = tf.nn.relu(conv(p["conv_4"], x))
    x = dropout(tf.nn.max_pool2d(x, 2, 2, "VALID"), second, train)
    x = tf.nn.relu(dense(p["dense"], tf.reshape(x, [-1, 6400])))
    return dense(p["logits"], dropout(x, third, train))


def gru(p: Parameters, words: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    # Turned to time-major as words: moving them is nothing beside moving their vectors.
    vectors = tf.gather(p["embedding"]["embeddings"], tf.transpose(words))
    return dense(p["logits"], gru_layer(p["gru"], vectors, loop))


def lstm(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    x = tf.transpose(x, [1, 0, 2])
    sequence = lstm_layer(p["lstm_2"], lstm_layer(p["lstm_1"], x, loop), loop)
    return dense(p["logits"], sequence[-1])


def resnet50(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    def normalized(name: str, x: Tensor, stride: int = 1, padding: Any = "SAME") -> Tensor:
        return batch_norm(p[f"{name}_bn"], conv(p[f"{name}_conv"], x, stride, padding), train)

    x = tf.nn.relu(normalized("conv1", x, 2, [[0, 0], [3, 3], [3, 3], [0, 0]]))
    # XLA takes no explicit padding here; after the ReLU zeros pad as well as minus infinity.
    x = tf.nn.max_pool2d(tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    for block, _, _, stride, has_shortcut in rows.resnet50_blocks():
        shortcut = normalized(f"{block}_0", x, stride) if has_shortcut else x
        x = tf.nn.relu(normalized(f"{block}_1", x, stride))
        x = tf.nn.relu(normalized(f"{block}_2", x))
        x = tf.nn.relu(normalized(f"{block}_3", x) + shortcut)
    return dense(p["predictions"], tf.reduce_mean(x, [1, 2]))


def layer_norm(p: dict[str, tf.Variable], x: Tensor) -> Tensor:
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, p["beta"], p["gamma"], rows.LAYER_NORM_EPSILON)


def attention(p: dict[str, tf.Variable], x: Tensor) -> Tensor:
    batch, tokens, width = x.shape
    size = width // rows.HEADS

    def projected(part: str) -> Tensor:
        kernel, bias = p[f"{part}/kernel"], p[f"{part}/bias"]
        flat = tf.reshape(x, [-1, width]) @ tf.reshape(kernel, [width, width])
        flat = tf.nn.bias_add(flat, tf.reshape(bias, [width]))
        return tf.transpose(tf.reshape(flat, [batch, tokens, rows.HEADS, size]), [0, 2, 1, 3])

    query, key, value = map(projected, ("query", "key", "value"))
    scores = tf.nn.softmax(tf.matmul(query * size**-0.5, key, transpose_b=True))
    found = tf.reshape(tf.transpose(tf.matmul(scores, value), [0, 2, 1, 3]), [-1, width])
    found = found @ tf.reshape(p["attention_output/kernel"], [width, width])
    return tf.reshape(tf.nn.bias_add(found, p["attention_output/bias"]), [batch, tokens, width])


def dense_on_tokens(p: dict[str, tf.Variable], x: Tensor) -> Tensor:
    batch, tokens, width = x.shape
    return tf.reshape(dense(p, tf.reshape(x, [-1, width])), [batch, tokens, -1])


def transformer(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    for number in range(rows.TRANSFORMER_BLOCKS):
        name = f"body_{number}"
        x = x + attention(p[f"{name}_attention"], layer_norm(p[f"{name}_norm_1"], x))
        y = dense_on_tokens(p[f"{name}_expand"], layer_norm(p[f"{name}_norm_2"], x))
        x = x + dense_on_tokens(p[f"{name}_project"], tf.nn.gelu(y))
    return dense(p["logits"], tf.reduce_mean(x, 1))


def mobilenet_v2(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    def normalized(name: str, x: Tensor, stride: int = 1, depthwise: bool = False) -> Tensor:
        kernel = p[f"{name}_conv"]["kernel"]
        if stride == 2:  # TensorFlow pads a strided convolution on one side more than on the other
            x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        padding = "VALID" if stride == 2 else "SAME"
        if depthwise:
            y = tf.nn.depthwise_conv2d(x, kernel, [1, stride, stride, 1], padding)
        else:
            y = tf.nn.conv2d(x, kernel, stride, padding)
        return batch_norm(p[f"{name}_bn"], y, train)

    x = tf.nn.relu6(normalized("stem", x, 2))
    for number, (channels, inner, filters, stride) in enumerate(rows.mobilenet_v2_blocks()):
        name = f"body_{number}"
        y = x if inner == channels else tf.nn.relu6(normalized(f"{name}_expand", x))
        y = tf.nn.relu6(normalized(f"{name}_depthwise", y, stride, depthwise=True))
        y = normalized(f"{name}_project", y)
        x = x + y if stride == 1 and channels == filters else y
    x = tf.nn.relu6(normalized("head", x))
    return dense(p["logits"], tf.reduce_mean(x, [1, 2]))


def convlstm_layer(p: dict[str, tf.Variable], x: Tensor, loop: Loop) -> tuple[Tensor, Tensor]:
    """All states and the last one; `x` is `[time, batch, height, width, channels]`."""
    time, batch, *size, channels = x.shape
    recurrent_kernel = tf.convert_to_tensor(p["recurrent_kernel"])

    def cell(projected, state):
        hidden, carry = state
        gates = projected + tf.nn.conv2d(hidden, recurrent_kernel, 1, "SAME")
        i, f, c, o = tf.split(gates, 4, axis=-1)
        carry = tf.sigmoid(f) * carry + tf.sigmoid(i) * tf.tanh(c)
        return tf.sigmoid(o) * tf.tanh(carry), carry

    projected = conv(p, tf.reshape(x, [time * batch, *size, channels]))
    start = tf.zeros([batch, *size, rows.FILTERS])
    return loop.over(cell, tf.reshape(projected, [time, batch, *size, -1]), (start, start))


def convlstm(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    sequence, _ = convlstm_layer(p["convlstm_1"], tf.transpose(x, [1, 0, 2, 3, 4]), loop)
    _, last = convlstm_layer(p["convlstm_2"], sequence, loop)
    return dense(p["logits"], tf.reduce_mean(last, [1, 2]))


def inception(p: Parameters, x: Tensor, name: str) -> Tensor:
    def branch(x: Tensor, *convolutions: str) -> Tensor:
        for convolution in convolutions:
            x = tf.nn.relu(conv(p[f"{name}_{convolution}"], x))
        return x

    branches = [
        branch(x, "one"),
        branch(x, "reduce_3", "three"),
        branch(x, "reduce_5", "five"),
        branch(tf.nn.max_pool2d(x, 3, 1, "SAME"), "project"),
    ]
    return tf.concat(branches, -1)


def convnet(p: Parameters, x: Tensor, train: bool, row: Row, loop: Loop) -> Tensor:
    for place, part in enumerate(NETWORKS[row.name]):
        name = f"body_{place}"
        match part:
            case Conv():
                sides = [part.padding, part.padding]
                x = tf.nn.relu(conv(p[name], x, part.stride, [[0, 0], sides, sides, [0, 0]]))
            case Pool():
                x = tf.nn.max_pool2d(x, part.size, 2, "SAME" if part.over else "VALID")
            case Inception():
                x = inception(p, x, name)
            case Dense():
                x = tf.nn.relu(dense(p[name], tf.reshape(x, [x.shape[0], -1])))
    return dense(p["logits"], x if x.shape.rank == 2 else tf.reduce_mean(x, [1, 2]))


MODELS: dict[str, Callable[..., Tensor]] = {
    "mlp": mlp,
    "chain": chain,
    "cifar": cifar,
    "gru": gru,
    "lstm": lstm,
    "resnet50": resnet50,
    "transformer": transformer,
    "mobilenet_v2": mobilenet_v2,
    "convlstm": convlstm,
    **dict.fromkeys(NETWORKS, convnet),
}
RECURRENT = ("gru", "lstm")


# ------------------------------------------------------------------ the step


class Adam:
    """Adam on variables, with slots beside them; called inside a `tf.function`."""

    def __init__(self, variables: list[tf.Variable]):
        self.variables = variables
        self.first = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.second = [tf.Variable(tf.zeros_like(variable)) for variable in variables]
        self.step = tf.Variable(0.0)

    def apply(self, gradients: list[Tensor], update: Callable[..., None]) -> None:
        self.step.assign_add(1.0)
        powers = rows.BETA_1**self.step, rows.BETA_2**self.step
        slots = zip(self.variables, self.first, self.second, gradients, strict=True)
        for variable, first, second, gradient in slots:
            # The embedding's gradient comes as slices; Adam's moments decay everywhere, so it has to be
            # whole.
            update(variable, first, second, tf.convert_to_tensor(gradient), *powers)


class Sgd:
    """Plain gradient descent; there is one way to update."""

    def __init__(self, variables: list[tf.Variable]):
        self.variables = variables

    def apply(self, gradients: list[Tensor], update: Callable[..., None]) -> None:
        for variable, gradient in zip(self.variables, gradients, strict=True):
            tf.raw_ops.ResourceApplyGradientDescent(
                var=variable.handle, alpha=rows.SGD_RATE, delta=tf.convert_to_tensor(gradient)
            )


def fused_update(variable, first, second, gradient, power_1, power_2) -> None:
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=first.handle,
        v=second.handle,
        beta1_power=power_1,
        beta2_power=power_2,
        lr=rows.LEARNING_RATE,
        beta1=rows.BETA_1,
        beta2=rows.BETA_2,
        epsilon=rows.EPSILON,
        grad=gradient,
    )


def plain_update(variable, first, second, gradient, power_1, power_2) -> None:
    rate = rows.LEARNING_RATE * tf.sqrt(1 - power_2) / (1 - power_1)
    m = first.assign_add((gradient - first) * (1 - rows.BETA_1), read_value=True)
    v = second.assign_add((gradient * gradient - second) * (1 - rows.BETA_2), read_value=True)
    variable.assign_sub(rate * m / (tf.sqrt(v) + rows.EPSILON))


def device_name() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "cpu"


class TensorflowContender(Contender):
    def __init__(self, row: Row, variant: Variant):
        model, loop = MODELS[row.name], Loop(unrolled if variant.unrolled else while_loop, variant.in_step)
        values = row.values()
        parameters: Parameters = {}
        trained = []
        for weight in row.weights:
            layer, name = weight.name.split("/", 1)
            variable = tf.Variable(values[weight.name], trainable=weight.trainable)
            parameters.setdefault(layer, {})[name] = variable
            if weight.trainable:
                trained.append(variable)
        optimizer = Adam(trained) if row.optimizer == "adam" else Sgd(trained)
        update = fused_update if variant.fused_adam else plain_update
        self.parameter_count = sum(int(np.prod(variable.shape)) for variable in trained)

        @tf.function(jit_compile=variant.jit_compile)
        def train_step(x, y):
            with tf.GradientTape() as tape:
                logits = model(parameters, x, True, row, loop)
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
            optimizer.apply(tape.gradient(loss, trained), update)
            return loss

        @tf.function(jit_compile=variant.jit_compile)
        def infer(x):
            return model(parameters, x, False, row, loop)

        data = [(tf.constant(x), tf.constant(y)) for x, y in row.data()]
        self.train_batches: Batches[Tensor] = cycle(data)
        self.infer_batches: Batches[Tensor] = cycle(data)
        if variant.concrete:
            train_step = train_step.get_concrete_function(*data[0])
            infer = infer.get_concrete_function(data[0][0])
        self._train_step, self._infer = train_step, infer
        # The functions hold their variables weakly.
        self._alive = parameters, optimizer

    def train_step(self) -> None:
        self.loss = self._train_step(*next(self.train_batches))

    def infer(self) -> None:
        x, _ = next(self.infer_batches)
        self.logits = self._infer(x)

    def synchronize(self) -> None:
        tf.test.experimental.sync_devices()

    def last_loss(self) -> float:
        return float(self.loss)

    def last_logits(self) -> np.ndarray:
        return self.logits.numpy()


def build(row: Row, backend: str, variant: str) -> Contender:
    options = VARIANTS[variant]
    if (options.in_step or options.unrolled) and row.name not in RECURRENT:
        raise Absent("not a variant of this model")
    if not options.fused_adam and row.optimizer != "adam":
        raise Absent("not a variant of this optimizer")
    return TensorflowContender(row, options)
