"""The dtypes of unifront and of PyTorch, by name."""

from __future__ import annotations

import torch

from unifront.dtypes import ALL, BY_NAME, COMPLEX, DType, float8_e4m3fn, float8_e5m2
from unifront.errors import DTypeError


class _Dtypes(dict[str, torch.dtype]):
    def __missing__(self, name: str) -> torch.dtype:
        raise DTypeError(f"The backend 'torch' has no {name}; keep such numbers as int8 or uint8.")


TORCH: dict[str, torch.dtype] = _Dtypes(
    (dtype.name, getattr(torch, dtype.name))
    for dtype in (*ALL, *COMPLEX, float8_e4m3fn, float8_e5m2)
    if dtype.kind != "k"
)
UNIFRONT: dict[torch.dtype, DType] = {native: BY_NAME[name] for name, native in TORCH.items()}
