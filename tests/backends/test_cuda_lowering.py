"""Training steps for a GPU, without one: as JAX lowers them for CUDA, and as TensorFlow's graphs ask for kernels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

import unifront as uf
from tests.models import MODELS
from unifront import layers
from unifront.backends import get_backend
from unifront.ir.types import TensorType
from unifront.train.making import step_for
from unifront.train.sources import checked
from unifront.train.step import TracedStep

BATCH, FREE = 8, 7


def dropped(dtype: str) -> tuple[uf.Model, Any]:
    """What draws random numbers in a step, and a large convolution, whose gradient is another one on a CPU."""
    x = uf.Input((64, 64, 3), dtype=dtype)
    y = layers.Conv2D(32, 5, padding="same")(layers.Dropout(0.5)(x))
    y = layers.Dense(3, dtype=dtype)(layers.GlobalAveragePooling2D()(y))
    return uf.Model(x, y), MODELS["cnn"](dtype)[1][1]


def traced_step(name: str) -> TracedStep:
    """The training step of a small model with Adam, for integer labels."""
    uf.set_seed(0)
    if name == "dropped":
        model, labels = dropped("float32")
        images = labels[:, None, None, None] + uf.ops.zeros((1, 64, 64, 3))
        data = (uf.ops.convert_to_numpy(images), labels)
    else:
        model, data = MODELS[name]("float32")
    loss = uf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(uf.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    training = model._compiled()
    return step_for(model, training, checked(model, training, *data, None, None), train=True)


STEPS = [*MODELS, "dropped"]


def shape_of(type_: TensorType) -> tuple[int, ...]:
    free = iter((BATCH, FREE))
    return tuple(dim if isinstance(dim, int) else next(free) for dim in type_.shape)


@pytest.mark.parametrize("name", STEPS)
def test_jax_lowers_a_step_for_cuda(name: str) -> None:
    jax = pytest.importorskip("jax")
    from unifront_jax._wide import enable_x64
    from unifront_jax.runtime import _rows
    from unifront_jax.step import _functions_of

    plan = traced_step(name).plan
    functions = _functions_of(plan, _rows("jax", "cuda:0", eager=False), "cuda:0")

    def specs(values: Any) -> tuple[Any, ...]:
        return tuple(jax.ShapeDtypeStruct(shape_of(v.type), v.type.dtype.numpy) for v in values)

    variables = [variable.value for variable in plan.graph.variables]
    fixed = [value for i, value in enumerate(variables) if i not in plan.carry]
    key = jax.random.key_data(jax.random.key(0)) if plan.has_key else None
    inputs = plan.graph.inputs
    batch, counters = inputs[: plan.batch], inputs[len(inputs) - plan.counters :]
    with enable_x64(functions.is_wide):
        step = functions.step.trace(
            specs(variables[i] for i in plan.carry), specs(fixed), key, specs(counters), specs(batch)
        )
        cuda, cpu = (step.lower(lowering_platforms=(kind,)).as_text() for kind in ("cuda", "cpu"))
    # XLA's own operations, nothing that the library of one platform has to bring
    assert set(re.findall(r"custom_call @(\w+)", cuda)) <= {"cu_threefry2x32_ffi"}
    assert cuda.count("tf.aliasing_output") + cuda.count("jax.buffer_donor") == len(plan.carry)
    if name == "dropped":  # the gradient to a kernel is a convolution there, on the CPU products of patches
        assert cuda.count("stablehlo.convolution") == 2
        assert cpu.count("stablehlo.convolution") == 1


def nodes_of(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node_def


@pytest.mark.parametrize("name", STEPS)
def test_every_operation_of_a_tensorflow_step_has_a_gpu_kernel(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tf = pytest.importorskip("tensorflow")
    from tensorflow.python.framework import kernels  # there is no public way to what is registered

    from unifront_tensorflow import step as module
    from unifront_tensorflow.runtime import _rows

    if not any(k.device_type == "GPU" for k in kernels.get_registered_kernels_for_op("MatMul").kernel):
        pytest.skip("this TensorFlow was built without GPUs")
    monkeypatch.setattr(module, "quick_call", lambda function, **_: function)
    plan = traced_step(name).plan
    with tf.Graph().as_default():  # what is made at once would need the device
        functions = module._Functions(plan, _rows(get_backend("tensorflow"), "gpu:0"), "gpu:0")
    graph = functions.one.graph.as_graph_def()
    used = {node.op for node in nodes_of(graph)}
    assert "ResourceApplyAdam" in used
    assert ("CudnnRNNBackpropV3" in used) == (name in ("rnn", "masked"))  # an LSTM, a GRU: no loops
    missing = {}
    for op in used:
        devices = {kernel.device_type for kernel in kernels.get_registered_kernels_for_op(op).kernel}
        if devices and not devices & {"GPU", "DEFAULT"}:
            missing[op] = devices
    assert not missing
    placed = {node.device for node in nodes_of(graph) if node.op in ("MatMul", "Conv2D")}
    assert placed <= {"/device:GPU:0"}
