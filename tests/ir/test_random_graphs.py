"""Passes and the text form on random graphs: of the whole table of operations, and of free sizes."""

import random
from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import ALL_OPS, BATCH, TIME, run
from unifront import ops
from unifront.backends import HostKey, installed, placement
from unifront.dtypes import float64
from unifront.ir import passes
from unifront.ir.facts import inverse
from unifront.ir.text import parse_graph
from unifront.ir.types import TensorType
from unifront.opset.spec import OPS
from unifront.opset.tensor import Builder, bind, type_of
from unifront.reference import evaluate
from unifront.testing import assert_close

PASSES = passes.registry(ALL_OPS, evaluate)
SAMPLES = {
    spec: list(spec.samples(np.random.default_rng(0)))
    for spec in OPS.values()
    if spec.name not in ("constant", "bind_size")
}
PARTICULAR = {"cholesky", "random_binomial", "random_gamma", "scatter", "solve", "while_loop"}
"""Operations that do not take any values: matrices of a kind, shares, places, a loop that ends."""
# A seed for each graph, not a draw for each choice: small draws, of which hypothesis is fond, make dull graphs.
seeds = given(st.integers(0, 2**32 - 1))


def assert_sound(graph, inputs_for, sizes=({},)):
    """Every pass, and all of them in a row, keep what ``graph`` computes; its text says all of it."""
    rewritten = {name: one(graph)[0] for name, one in PASSES.items()}  # each verifies what it made
    order = [PASSES["channels_first"], PASSES["fold_padding"], *PASSES.values()]
    rewritten["all"], _, _ = passes.run(graph, {}, order)
    for one in (graph, *rewritten.values()):
        assert parse_graph(str(one), ALL_OPS) == one
    for size in sizes:
        inputs = inputs_for(size)
        expected = run(graph, inputs)
        for name, after in rewritten.items():
            for a, e in zip(run(after, inputs), expected, strict=True):
                if not isinstance(a, HostKey):
                    assert_close(a, e, what=name)


DRAWING = {spec.name for spec in OPS.values() if spec.random or spec.judged}
"""Operations whose numbers differ between backends: random ones, and vectors whose signs are free."""


def assert_alike(graph, inputs, draws=()):
    """Every backend compiles ``graph``, and computes what NumPy does unless it draws numbers."""
    expected = run(graph, inputs)
    for name in installed():
        backend = placement(name).backend
        natives = [
            backend.key(array) if isinstance(array, HostKey) else backend.array(np.asarray(array))
            for array in inputs
        ]
        for a, e, value in zip(backend.compile(graph)(natives, []), expected, graph.outputs, strict=True):
            if value.type.dtype.kind == "k":
                continue
            found = backend.numpy(a)
            assert (found.dtype, found.shape) == (value.type.dtype.numpy, np.shape(e)), name
            if not draws and not (is_rounding(found) and is_rounding(e)):
                assert_close(found, e, bounds=GRAPH, what=name)


def is_rounding(array):
    """Whether numbers of size one that cancel each other may have left this: on one backend 1e-17, on another 0."""
    return array.dtype.kind in "fc" and array.size and np.abs(array).max() < 10 * np.finfo(array.dtype).eps


GRAPH = {"float64": 1e-9, "float32": 1e-4, "complex128": 1e-9, "complex64": 1e-4}
"""Bounds of what six operations in a row give."""


class Maker:
    """A graph of samples of operations that read one another's results; ``arrays`` are for its inputs."""

    def __init__(self, seed):
        self.random, self.builder = random.Random(seed), Builder("random")
        self.arrays, self.pool = [], []

    def fresh(self, array):
        """``array`` as an input or a constant."""
        if isinstance(array, HostKey) or self.random.random() < 0.7:
            self.arrays.append(array)
            return self.builder.input(f"x{len(self.arrays)}", type_of(array))
        return self.builder.constant(np.asarray(array))

    def operand(self, array):
        """A value of the type of ``array``: new, or one made before, as it is, turned or reshaped."""
        type_ = type_of(array)
        near = [v for v in self.pool if (v.dtype, v.type.size) == (type_.dtype, type_.size)]
        used = near and type_.dtype.is_float and self.random.random() < 0.8
        found = self.random.choice(near) if used else self.fresh(array)
        if found.rank > 1 and self.random.random() < 0.7:
            found = turned(found, self.random.sample(range(found.rank), found.rank))
        back = [o for o in permutations(range(found.rank)) if turned_shape(found, o) == type_.shape]
        if back and self.random.random() < 0.8:
            return turned(found, self.random.choice(back))
        return found if found.shape == type_.shape else bind(OPS["reshape"], found, shape=type_.shape)

    def add(self, spec):
        """One or two nodes of a kind on the same operands."""
        sample = self.random.choice(SAMPLES[spec])
        take = self.fresh if spec.name in PARTICULAR else self.operand
        operands = [None if array is None else take(array) for array in sample.operands]
        twins = [other for other in SAMPLES[spec] if types(other) == types(sample)]
        twins = [sample] if spec.name in PARTICULAR else twins
        for one in (sample, self.random.choice(twins))[: self.random.randint(1, 2)]:
            extra = {"regions": one.regions} if one.regions else {}
            if all(operand is None for operand in operands):  # nothing says which graph it belongs to
                results = self.builder.add(spec, operands, dict(one.attributes))
            else:
                results = bind(spec, *operands, **one.attributes, **extra)
            self.pool += results if isinstance(results, tuple) else (results,)


def types(sample):
    return [None if operand is None else type_of(operand) for operand in sample.operands]


def turned(x, order):
    return bind(OPS["transpose"], x, axes=tuple(order)) if x.rank > 1 else x


def turned_shape(x, order):
    return tuple(x.shape[axis] for axis in order)


@seeds
@settings(deadline=None, max_examples=100)
def test_graphs_of_samples(seed):
    maker = Maker(seed)
    for spec in maker.random.choices(list(SAMPLES), k=maker.random.randint(1, 6)):
        maker.add(spec)
    graph = maker.builder.graph(maker.random.choices(maker.pool[-6:], k=3))
    assert_sound(graph, lambda _: maker.arrays)
    if seed % 10 == 0:
        assert_alike(graph, maker.arrays, {node.op.name for node in graph.nodes} & DRAWING)


def parts(rng, x):
    """A cut of one axis of known length."""
    known = [axis for axis, dim in enumerate(x.shape) if isinstance(dim, int) and dim > 1]
    return ops.split(x, [1], rng.choice(known)) if known else x


def branch(rng, x):
    order = rng.sample(range(x.rank), x.rank)

    def then():
        there = turned(ops.square(x), order)
        flat = ops.flatten(ops.tanh(there))
        return turned(there, inverse(order)), ops.reshape(flat, x.shape)

    return ops.cond(ops.less(ops.sum(x), 1.0), then, lambda: (x, ops.tanh(x)))


def scanned(rng, x):
    def step(total, row):
        total = ops.add(total, ops.tanh(row))
        return total, (
            ops.multiply(row, total),
            ops.transpose(row),
            ops.full((), x.shape[0], float64, like=row),
        )

    last, outputs = ops.scan(step, ops.zeros_like(ops.sum(x, 0)), x, reverse=rng.random() < 0.5)
    return last, *outputs


def looped(rng, x):
    def body(count, total):
        return ops.add(count, 1), ops.tanh(ops.add(total, x))

    start = ops.full((), 0, "int32", like=x)
    return ops.while_loop(lambda count, total: ops.less(count, 3), body, (start, x))[1]


def axis(rng, x):
    return rng.randrange(x.rank)


def weighted(rng, x):
    """A normalization with weights of the last axes whose lengths are known."""
    shape = x.shape[-rng.randint(1, 2) :]
    if not all(isinstance(dim, int) for dim in shape):
        return ops.layer_norm(x, axis=axis(rng, x))
    gamma = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    return ops.layer_norm(x, gamma, axis=range(-len(shape), 0))


def windowed(rng, x):
    """A padded convolution or pooling, in either layout."""
    if x.rank < 3:
        return x
    form = rng.choice(("channels_first", "channels_last"))
    channel = 1 if form == "channels_first" else x.rank - 1
    widths = [(0, 0) if a in (0, channel) else (1, rng.randint(0, 1)) for a in range(x.rank)]
    padded = ops.pad(rng.choice((ops.relu, ops.tanh))(x), widths)
    if isinstance(x.shape[channel], int) and rng.random() < 0.5:
        kernel = np.linspace(-1, 1, 2 * x.shape[channel] * 2 ** (x.rank - 2))
        return ops.conv(padded, kernel.reshape(*(2,) * (x.rank - 2), -1, 2), data_format=form)
    return ops.max_pool(padded, rng.randint(1, 2), 1, data_format=form)


def joined(rng, x):
    """``x`` with itself, its axes in another order where that fits."""
    fitting = [order for order in permutations(range(x.rank)) if turned_shape(x, order) == x.shape]
    function = rng.choice((ops.subtract, ops.maximum, lambda a, b: ops.concatenate([a, b], axis(rng, x))))
    return function(ops.tanh(x), turned(x, rng.choice(fitting)))


def reduced(rng, x):
    axes = rng.sample(range(x.rank), rng.randint(1, x.rank))
    return rng.choice((ops.max, ops.sum))(x, axes, rng.random() < 0.5)


STEPS = (
    lambda rng, x: ops.reshape(x, rng.sample(x.shape, x.rank)),
    lambda rng, x: ops.flatten(x, axis(rng, x)),
    lambda rng, x: ops.expand_dims(x, rng.randint(0, x.rank)),
    lambda rng, x: ops.squeeze(x),
    lambda rng, x: rng.choice((ops.tanh, ops.relu, ops.negative, ops.square))(x),
    lambda rng, x: ops.add(x, np.arange(float(x.shape[-1])) if isinstance(x.shape[-1], int) else 2.5),
    lambda rng, x: ops.multiply(x, ops.sum(x, axis(rng, x), keepdims=True)),
    lambda rng, x: ops.where(ops.greater(x, 0.1), x, ops.mean(x)),
    lambda rng, x: rng.choice((ops.softmax, ops.cumsum, ops.flip, ops.sort))(x, axis(rng, x)),
    lambda rng, x: ops.stack([x, x], axis(rng, x)),
    lambda rng, x: ops.pad(x, [(rng.randint(0, 2), rng.randint(0, 1)) for _ in x.shape]),
    lambda rng, x: x[tuple(slice(int(dim == 2) * rng.randint(0, 1), None, rng.randint(1, 2)) for dim in x.shape)],
    lambda rng, x: ops.broadcast_to(ops.mean(x, axis(rng, x), keepdims=True), x.shape),
    lambda rng, x: ops.dense(x, np.ones((x.shape[-1], 2))) if isinstance(x.shape[-1], int) else x,
    lambda rng, x: ops.add(ops.full_like(x, 2.0), ops.iota(x.shape, axis(rng, x), float64, like=x)),
    lambda rng, x: ops.matmul(x, ops.swapaxes(x, -1, -2)) if x.rank > 1 else x,
    lambda rng, x: ops.batch_norm_training(x, axis=axis(rng, x)) if x.rank > 1 else x,
    parts, branch, scanned, looped, weighted, windowed, joined, reduced,
)  # fmt: skip
SIZES = {"batch": 2, "time": 3}, {"batch": 1, "time": 2}


@seeds
@settings(deadline=None, max_examples=100)
def test_graphs_of_free_sizes(seed):
    rng, builder = random.Random(seed), Builder("free")
    shapes = ((BATCH, TIME, 2), (2, BATCH), (3, 2, 4))
    pool = [builder.input(f"x{i}", TensorType(float64, shape)) for i, shape in enumerate(shapes)]
    for _ in range(rng.randint(1, 6)):
        x = rng.choice([value for value in pool[-3:] if 0 < value.rank < 5] or pool[:3])
        step = rng.choice(STEPS)
        for _ in range(rng.randint(1, 2)):
            order = rng.sample(range(x.rank), x.rank)
            made = step(rng, turned(x, order) if rng.random() < 0.6 else x)
            made = made if isinstance(made, tuple | list) else (made,)
            pool += (
                turned(y, inverse(order)) if y.rank == x.rank and rng.random() < 0.6 else y for y in made
            )
    graph = builder.graph(rng.choices(pool[-5:], k=3))

    def inputs_for(sizes):
        numbers = np.random.default_rng(seed)
        return [numbers.normal(size=value.type.shape) for value in graph.bind_symbols(sizes).inputs]

    assert_sound(graph, inputs_for, SIZES)
    if seed % 10 == 0:
        assert_alike(graph, inputs_for(SIZES[0]))
