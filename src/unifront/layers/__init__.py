"""Layers, with Keras 3's names, arguments and defaults. One file per family."""

from unifront.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from unifront.layers.core import Dense, Flatten, Reshape
from unifront.layers.layer import Layer

__all__ = ["ELU", "Activation", "Dense", "Flatten", "Layer", "LeakyReLU", "ReLU", "Reshape", "Softmax"]
