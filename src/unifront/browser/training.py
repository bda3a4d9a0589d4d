"""What a page needs to train its model: the step, what it begins with, and examples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from unifront.browser.arrays import described, write_arrays
from unifront.dtypes import dtype_of
from unifront.errors import ArgumentError
from unifront.ir.types import TensorType
from unifront.onnx.training import StepToWrite, export_step, refuse_options

BATCH = 32


def write_training(
    step: StepToWrite, inference: StepToWrite, folder: Path, size: Any, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Write the files of a page that trains, and give what ``model.json`` says of them.

    Both models take the state as inputs, and neither holds it: ONNX Runtime Web sets no input that has a default.

    Args:
        step: with all examples as its batch.
        inference: what the model computes from the same state.
        size: of a batch, `BATCH` unless given; all examples where they are fewer.
        options: of `export_step`.
    """
    refuse_options(options)
    if size is not None and (type(size) is not int or size < 1):
        raise ArgumentError(f"batch_size is a whole number above 0, not {size!r}.")
    types = {name: value.type for name, value in step.graph.data_inputs.items() if name in step.batch}
    count = min(len(step.batch[name]) for name in types)
    size = min(size or BATCH, count)
    about = {
        "inputs": [described(name, type_) for name, type_ in types.items()],
        "examples": [list(step.batch[name].shape) for name in types],
        "batch": size,
        "logs": list(step.graph.output_names[: len(step.graph.outputs) - len(step.state)]),
        "state": [
            {**described(name, TensorType(dtype_of(array.dtype), array.shape)), "next": name in step.state}
            for name, array in step.defaults.items()
        ],
        "weights": list(inference.defaults),
    }
    for name, model in (("step.onnx", step), ("model.onnx", inference)):
        batch = {one: array[:size] for one, array in model.batch.items()}
        export_step(replace(model, batch=batch), folder / name, **options, defaults=False)
    write_arrays(folder / "state.bin", step.defaults.values())
    write_arrays(folder / "examples.bin", (step.batch[name] for name in types))
    return about
