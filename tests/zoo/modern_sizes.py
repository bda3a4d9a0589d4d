"""Options that make the modern models of the zoo small."""

from typing import Any

import unifront as uf

_IMAGES = {"input_shape": (64, 64, 3), "classes": 5}
"""Large enough that the last batch normalization has several places to normalize over."""
_EFFICIENT = {**_IMAGES, "width_coefficient": 0.25, "depth_coefficient": 0.3}
_CONVNEXT = {**_IMAGES, "depths": (1, 1, 2, 1), "projection_dims": (8, 16, 24, 32)}
_VIT = {"input_shape": (32, 32, 3), "classes": 5, "patch_size": 8, "width": 24, "depth": 2, "heads": 3}
_FCN = {"input_shape": (33, 40, 3), "classes": 4, "filters": 4, "units": 8}
_REGNET = {**_IMAGES, "depth": 6, "w_0": 16, "w_a": 8.0, "w_m": 1.7, "group_width": 8}
MODERN: dict[str, dict[str, Any]] = {
    "mobilenet": {**_IMAGES, "alpha": 0.25},
    "mobilenet_v2": {**_IMAGES, "alpha": 0.35},
    "mobilenet_v3_large": {**_IMAGES, "alpha": 0.35},
    "mobilenet_v3_small": {**_IMAGES, "alpha": 0.35},
    **dict.fromkeys(uf.zoo.list("efficientnet_*"), _EFFICIENT),
    **dict.fromkeys(uf.zoo.list("convnext_*"), _CONVNEXT),
    **dict.fromkeys(uf.zoo.list("regnet_*"), _REGNET),
    **dict.fromkeys(uf.zoo.list("shufflenet_*"), _IMAGES),
    **dict.fromkeys(uf.zoo.list("vit_*"), _VIT),
    "c3d": {"input_shape": (8, 32, 32, 3), "classes": 5, "units": 8},
    "r3d_18": {"input_shape": (4, 32, 32, 3), "classes": 5, "width": 4},
    "r2plus1d_18": {"input_shape": (4, 32, 32, 3), "classes": 5, "width": 4},
    "unet": {"input_shape": (44, 60, 1), "filters": 4, "depth": 2},
    **dict.fromkeys(uf.zoo.list("fcn*"), _FCN),
    "ssd300": {"classes": 5, "filters": 8},
}
