"""The operations that Keras has in ``keras.ops.nn``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.activation import celu as celu
from unifront.opset.activation import elu as elu
from unifront.opset.activation import gelu as gelu
from unifront.opset.activation import glu as glu
from unifront.opset.activation import hard_shrink as hard_shrink
from unifront.opset.activation import hard_sigmoid as hard_sigmoid
from unifront.opset.activation import hard_silu as hard_silu
from unifront.opset.activation import hard_swish as hard_swish
from unifront.opset.activation import hard_tanh as hard_tanh
from unifront.opset.activation import leaky_relu as leaky_relu
from unifront.opset.activation import log_sigmoid as log_sigmoid
from unifront.opset.activation import relu as relu
from unifront.opset.activation import relu6 as relu6
from unifront.opset.activation import selu as selu
from unifront.opset.activation import silu as silu
from unifront.opset.activation import soft_shrink as soft_shrink
from unifront.opset.activation import softsign as softsign
from unifront.opset.activation import sparse_plus as sparse_plus
from unifront.opset.activation import sparse_sigmoid as sparse_sigmoid
from unifront.opset.activation import sparsemax as sparsemax
from unifront.opset.activation import squareplus as squareplus
from unifront.opset.activation import swish as swish
from unifront.opset.activation import tanh_shrink as tanh_shrink
from unifront.opset.activation import threshold as threshold
from unifront.opset.attention import dot_product_attention as dot_product_attention
from unifront.opset.complex_numbers import polar as polar
from unifront.opset.conv import conv as conv
from unifront.opset.conv import depthwise_conv as depthwise_conv
from unifront.opset.conv import separable_conv as separable_conv
from unifront.opset.conv_transpose import conv_transpose as conv_transpose
from unifront.opset.ctc import ctc_loss as ctc_loss
from unifront.opset.ctc_decoding import ctc_decode as ctc_decode
from unifront.opset.elementwise import sigmoid as sigmoid
from unifront.opset.elementwise import softplus as softplus
from unifront.opset.index import one_hot as one_hot
from unifront.opset.losses import binary_crossentropy as binary_crossentropy
from unifront.opset.losses import categorical_crossentropy as categorical_crossentropy
from unifront.opset.losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from unifront.opset.nn import log_softmax as log_softmax
from unifront.opset.nn import softmax as softmax
from unifront.opset.normalize import batch_normalization as batch_normalization
from unifront.opset.normalize import layer_normalization as layer_normalization
from unifront.opset.normalize import moments as moments
from unifront.opset.normalize import normalize as normalize
from unifront.opset.normalize import psnr as psnr
from unifront.opset.normalize import rms_normalization as rms_normalization
from unifront.opset.patches import adaptive_average_pool as adaptive_average_pool
from unifront.opset.patches import adaptive_max_pool as adaptive_max_pool
from unifront.opset.patches import depth_to_space as depth_to_space
from unifront.opset.patches import fold as fold
from unifront.opset.patches import space_to_depth as space_to_depth
from unifront.opset.patches import unfold as unfold
from unifront.opset.picking import multi_hot as multi_hot
from unifront.opset.pool import average_pool as average_pool
from unifront.opset.pool import max_pool as max_pool

__all__ = [
    "adaptive_average_pool",
    "adaptive_max_pool",
    "average_pool",
    "batch_normalization",
    "binary_crossentropy",
    "categorical_crossentropy",
    "celu",
    "conv",
    "conv_transpose",
    "ctc_decode",
    "ctc_loss",
    "depth_to_space",
    "depthwise_conv",
    "dot_product_attention",
    "elu",
    "fold",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "layer_normalization",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "max_pool",
    "moments",
    "multi_hot",
    "normalize",
    "one_hot",
    "polar",
    "psnr",
    "relu",
    "relu6",
    "rms_normalization",
    "selu",
    "separable_conv",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "space_to_depth",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "swish",
    "tanh_shrink",
    "threshold",
    "unfold",
]
