"""The operations that Keras has in ``keras.ops.image``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.image_color import hsv_to_rgb as hsv_to_rgb
from unifront.opset.image_color import rgb_to_grayscale as rgb_to_grayscale
from unifront.opset.image_color import rgb_to_hsv as rgb_to_hsv
from unifront.opset.image_filters import gaussian_blur as gaussian_blur
from unifront.opset.image_filters import sobel_edges as sobel_edges
from unifront.opset.image_filters import ssim as ssim
from unifront.opset.image_geometry import affine_transform as affine_transform
from unifront.opset.image_geometry import elastic_transform as elastic_transform
from unifront.opset.image_geometry import map_coordinates as map_coordinates
from unifront.opset.image_geometry import perspective_transform as perspective_transform
from unifront.opset.image_patches import crop_images as crop_images
from unifront.opset.image_patches import extract_patches as extract_patches
from unifront.opset.image_patches import extract_patches_3d as extract_patches_3d
from unifront.opset.image_patches import pad_images as pad_images
from unifront.opset.image_resize import resize as resize
from unifront.opset.image_resize import scale_and_translate as scale_and_translate

__all__ = [
    "affine_transform",
    "crop_images",
    "elastic_transform",
    "extract_patches",
    "extract_patches_3d",
    "gaussian_blur",
    "hsv_to_rgb",
    "map_coordinates",
    "pad_images",
    "perspective_transform",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "scale_and_translate",
    "sobel_edges",
    "ssim",
]
