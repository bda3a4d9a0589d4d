"""Computing in 16 bits with weights in float32: ``keras.mixed_precision``.

    uf.mixed_precision.set_global_policy("mixed_bfloat16")

Layers made from then on cast inputs and weights to 16 bits and keep the weights in float32, which optimizers change.
What 16 bits are not enough for (a fact of each operation, `unifront.ir.facts`) is computed in float32 in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unifront.dtype_policies import DTypePolicy as DTypePolicy
from unifront.dtype_policies import dtype_policy as dtype_policy
from unifront.dtype_policies import set_dtype_policy as set_dtype_policy

if TYPE_CHECKING:
    from unifront.train.optimizers import LossScaleOptimizer as LossScaleOptimizer

Policy = DTypePolicy
set_global_policy, global_policy = set_dtype_policy, dtype_policy

__all__ = [
    "DTypePolicy", "LossScaleOptimizer", "Policy", "dtype_policy", "global_policy", "set_dtype_policy",
    "set_global_policy",
]  # fmt: skip


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name != "LossScaleOptimizer":  # which stands above this module, among the optimizers
        raise AttributeError(
            f"module 'unifront.mixed_precision' has no attribute {name!r}; it has {', '.join(__all__)}."
        )
    from unifront.train import optimizers

    return getattr(optimizers, name)
