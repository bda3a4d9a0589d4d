"""Layers, with Keras 3's names, arguments and defaults. One file per family."""

from unifront.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from unifront.layers.conv import (
    Conv1D,
    Conv2D,
    Conv3D,
    DepthwiseConv1D,
    DepthwiseConv2D,
    ZeroPadding1D,
    ZeroPadding2D,
    ZeroPadding3D,
)
from unifront.layers.core import Dense, Embedding, Flatten, Masking, Permute, RepeatVector, Reshape
from unifront.layers.layer import Layer
from unifront.layers.merge import Add, Average, Concatenate, Maximum, Minimum, Multiply, Subtract
from unifront.layers.normalization import BatchNormalization, LayerNormalization
from unifront.layers.pooling import (
    AveragePooling1D,
    AveragePooling2D,
    AveragePooling3D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalAveragePooling3D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
    GlobalMaxPooling3D,
    MaxPooling1D,
    MaxPooling2D,
    MaxPooling3D,
)
from unifront.layers.regularization import Dropout, SpatialDropout1D, SpatialDropout2D
from unifront.layers.rnn import GRU, LSTM, SimpleRNN
from unifront.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "ELU", "GRU", "LSTM", "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D",
    "AveragePooling3D", "BatchNormalization", "Bidirectional", "Concatenate", "Conv1D", "Conv2D", "Conv3D", "Dense",
    "DepthwiseConv1D", "DepthwiseConv2D", "Dropout", "Embedding", "Flatten", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAveragePooling3D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
    "GlobalMaxPooling3D", "Layer", "LayerNormalization", "LeakyReLU", "Masking", "MaxPooling1D", "MaxPooling2D",
    "MaxPooling3D", "Maximum", "Minimum", "Multiply", "Permute", "ReLU", "RepeatVector", "Reshape", "SimpleRNN",
    "Softmax", "SpatialDropout1D", "SpatialDropout2D", "Subtract", "TimeDistributed", "ZeroPadding1D",
    "ZeroPadding2D", "ZeroPadding3D",
]  # fmt: skip
