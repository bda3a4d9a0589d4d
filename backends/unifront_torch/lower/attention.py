"""Attention in PyTorch, by its fused kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional as F

from unifront.opset.attention import ATTENTION, masked_out
from unifront.opset.spec import OpSpec


def _attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor,
    bias: torch.Tensor | None, mask: Any, scale: float, causal: bool,
) -> torch.Tensor:  # fmt: skip
    queries, added = query.transpose(1, 2), bias
    if mask is not None or (bias is not None and causal):
        if mask is not None:
            mask = mask[(None,) * (4 - mask.ndim)]
        if causal:
            shape = (query.shape[1], key.shape[1])
            earlier = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
            mask = earlier if mask is None else mask & earlier
        # Of a row that is masked whole PyTorch would make zeros or NaN from booleans, and of large negative numbers
        # alone a gradient that is too large: exp(x - logsumexp(x)) is 1 for each of them. Its query and what is added
        # to it are zero instead, and nothing of them is left that could have a gradient.
        whole, nothing = ~mask.any(-1, keepdim=True), query.new_zeros(())
        queries = torch.where(whole, nothing, queries)
        lifted = nothing if bias is None else torch.where(whole, nothing, bias)
        added = torch.where(mask | whole, lifted, masked_out(query.element_size() * 8))
    if added is not None:
        added = added[(None,) * (4 - added.ndim)].to(query.dtype)
    return F.scaled_dot_product_attention(
        queries, key.transpose(1, 2), value.transpose(1, 2), added,
        is_causal=causal and added is None, scale=scale, enable_gqa=key.shape[2] != query.shape[2],
    ).transpose(1, 2)  # fmt: skip


TABLE: dict[OpSpec, Callable[..., Any]] = {ATTENTION: _attention}
