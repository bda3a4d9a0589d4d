"""float32 with all its digits: a GPU multiplies it as TF32, which has some three, unless it is told not to."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytest


def _jax() -> AbstractContextManager[Any]:
    import jax

    return jax.default_matmul_precision("highest")


@contextmanager
def _torch() -> Iterator[None]:
    import torch

    with pytest.MonkeyPatch.context() as patch:  # products are full by default, convolutions and RNNs are not
        patch.setattr(torch.backends.cudnn, "allow_tf32", False)
        yield


@contextmanager
def _tensorflow() -> Iterator[None]:
    from tensorflow.config import experimental

    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)


FULL_PRECISION: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "jax": _jax,
    "torch": _torch,
    "tensorflow": _tensorflow,
}


@pytest.fixture(autouse=True)
def _full_precision(name: str) -> Iterator[None]:
    with FULL_PRECISION.get(name, nullcontext)():
        yield
