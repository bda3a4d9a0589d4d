"""Computing again for the gradient in PyTorch: ``torch.utils.checkpoint``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from unifront.opset import remat as ops
from unifront.opset.gradient import single
from unifront.opset.spec import OpSpec


def _remat(*operands: Any, regions: tuple[Callable[..., Any], ...]) -> Any:
    def body(*given: Any) -> tuple[Any, ...]:
        return tuple(regions[0](given, ()))

    if not torch.is_grad_enabled():
        return single(body(*operands))
    # PyTorch ends the second run by an exception once it has what it needs, which eager operations would take for a
    # plan that failed (`unifront.opset.quick`).
    early = not getattr(regions[0], "python", False)
    with set_checkpoint_early_stop(early):
        return single(checkpoint(body, *operands, use_reentrant=False))


TABLE: dict[OpSpec, Callable[..., Any]] = {ops.REMAT: _remat}
