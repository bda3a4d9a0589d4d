"""The dtypes of unifront and of PyTorch, by name."""

from __future__ import annotations

import torch

from unifront.dtypes import ALL, BY_NAME, DType

TORCH: dict[str, torch.dtype] = {dtype.name: getattr(torch, dtype.name) for dtype in ALL if dtype.kind != "k"}
UNIFRONT: dict[torch.dtype, DType] = {native: BY_NAME[name] for name, native in TORCH.items()}
