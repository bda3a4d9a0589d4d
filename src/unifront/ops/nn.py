"""The operations that Keras has in ``keras.ops.nn``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.conv import conv as conv
from unifront.opset.conv import depthwise_conv as depthwise_conv
from unifront.opset.conv import separable_conv as separable_conv
from unifront.opset.conv_transpose import conv_transpose as conv_transpose
from unifront.opset.elementwise import elu as elu
from unifront.opset.elementwise import gelu as gelu
from unifront.opset.elementwise import hard_sigmoid as hard_sigmoid
from unifront.opset.elementwise import leaky_relu as leaky_relu
from unifront.opset.elementwise import relu as relu
from unifront.opset.elementwise import relu6 as relu6
from unifront.opset.elementwise import selu as selu
from unifront.opset.elementwise import sigmoid as sigmoid
from unifront.opset.elementwise import silu as silu
from unifront.opset.elementwise import softplus as softplus
from unifront.opset.elementwise import softsign as softsign
from unifront.opset.index import one_hot as one_hot
from unifront.opset.nn import log_softmax as log_softmax
from unifront.opset.nn import softmax as softmax
from unifront.opset.pool import average_pool as average_pool
from unifront.opset.pool import max_pool as max_pool

__all__ = [
    "average_pool",
    "conv",
    "conv_transpose",
    "depthwise_conv",
    "elu",
    "gelu",
    "hard_sigmoid",
    "leaky_relu",
    "log_softmax",
    "max_pool",
    "one_hot",
    "relu",
    "relu6",
    "selu",
    "separable_conv",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
]
