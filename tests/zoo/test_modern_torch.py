"""Weights of the modern models from torch modules under torchvision's and timm's names, by `uf.zoo.create(weights=)`."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unifront as uf
from tests.models import TRAINABLE
from tests.zoo import torch_models as peers
from tests.zoo.modern_judges import check_same

_V1_ROWS = ((1, 8, 1, 3, 1, False), (6, 8, 1, 3, 2, False), (6, 16, 1, 5, 2, False), (6, 24, 2, 3, 2, False),
            (6, 32, 2, 5, 1, False), (6, 48, 2, 5, 2, False), (6, 80, 1, 3, 1, False))  # fmt: skip
_V2_ROWS = ((1, 8, 1, 3, 1, True), (4, 16, 1, 3, 2, True), (4, 16, 1, 3, 2, True), (4, 32, 2, 3, 2, False),
            (6, 40, 2, 3, 1, False), (6, 64, 3, 3, 2, False))  # fmt: skip
_SCALES = {"width_coefficient": 0.25, "depth_coefficient": 0.2}
_V1_SCALES = {"width_coefficient": 0.25, "depth_coefficient": 0.4}
_REGNET = {"depth": 4, "w_0": 16, "w_a": 16.0, "w_m": 2.0, "group_width": 8}
_VIT = {"patch_size": 8, "width": 24, "depth": 2, "heads": 3}

CASES: dict[str, tuple[str, Callable[[], nn.Module], dict[str, Any], tuple[int, ...]]] = {
    "mobilenet_v2": ("mobilenet_v2", peers.mobilenet_v2, {"alpha": 0.35}, (64, 65, 3)),
    "mobilenet_v3": ("mobilenet_v3_small", peers.mobilenet_v3_small, {}, (64, 65, 3)),
    "shufflenet": ("shufflenet_v2_x0_5", peers.ShuffleNet, {}, (64, 65, 3)),
    "efficientnet": (
        "efficientnet_b0", lambda: peers.efficientnet(_V1_ROWS, 8, 320, 1e-5), _V1_SCALES, (64, 65, 3),
    ),
    "efficientnet with another epsilon": (
        "efficientnet_b5", lambda: peers.efficientnet(_V1_ROWS, 8, 320, 1e-3), _V1_SCALES, (64, 65, 3),
    ),
    "efficientnet v2": (
        "efficientnet_v2_s", lambda: peers.efficientnet(_V2_ROWS, 8, 320, 1e-3), _SCALES, (64, 65, 3),
    ),
    "regnet x": (
        "regnet_x_400mf", lambda: peers.RegNet(((16, 1, 8), (32, 1, 8), (64, 2, 8)), False), _REGNET, (48, 49, 3),
    ),
    "regnet y": (
        "regnet_y_400mf", lambda: peers.RegNet(((16, 1, 8), (32, 1, 8), (64, 2, 8)), True), _REGNET, (48, 49, 3),
    ),
    "convnext": (
        "convnext_tiny", lambda: peers.ConvNeXt((1, 2, 1, 1), (8, 16, 24, 32)),
        {"depths": (1, 2, 1, 1), "projection_dims": (8, 16, 24, 32)}, (64, 64, 3),
    ),
    "vit": ("vit_b_16", lambda: peers.ViT(32, 8, 24, 2, 3), _VIT, (32, 32, 3)),
    "vit of timm": ("vit_s_16", lambda: peers.TimmViT(32, 8, 24, 2, 3), _VIT, (32, 32, 3)),
    "r2plus1d": ("r2plus1d_18", lambda: peers.R2Plus1D(4), {"width": 4}, (7, 32, 33, 3)),
}  # fmt: skip


def randomize(module: nn.Module) -> None:
    """Weights and statistics that all count, and keep the size of what passes through."""
    torch.manual_seed(0)
    for name, value in module.state_dict().items():
        if not value.is_floating_point():
            continue
        if name.endswith("running_var"):
            value.uniform_(0.8, 1.2)
        elif value.ndim == 1:
            value.add_(0.1 * torch.randn_like(value))
        elif any(part in name for part in ("token", "pos_embed", "layer_scale")):
            value.normal_(0.0, 0.5)
        else:
            value.normal_(0.0, math.sqrt(2 / value[0].numel()))


@pytest.mark.parametrize("case", CASES)
def test_weights_of_torch_modules(case: str, tmp_path: Path) -> None:
    name, make, options, shape = CASES[case]
    module = make().eval()
    randomize(module)
    torch.save(module.state_dict(), tmp_path / "weights.pth")
    model = uf.zoo.create(
        name, weights=str(tmp_path / "weights.pth"), input_shape=shape, classes=5, classifier_activation=None,
        **options,
    )  # fmt: skip
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32")
    with torch.no_grad():
        theirs = module(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).numpy()
    check_same(model.predict(x, backend=TRAINABLE[-1], verbose=0), theirs)
