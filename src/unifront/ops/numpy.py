"""The operations that Keras has in ``keras.ops.numpy``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.complex_numbers import conj as conj
from unifront.opset.complex_numbers import conjugate as conjugate
from unifront.opset.complex_numbers import imag as imag
from unifront.opset.complex_numbers import real as real
from unifront.opset.creation import arange as arange
from unifront.opset.creation import full as full
from unifront.opset.creation import full_like as full_like
from unifront.opset.creation import ones as ones
from unifront.opset.creation import ones_like as ones_like
from unifront.opset.creation import zeros as zeros
from unifront.opset.creation import zeros_like as zeros_like
from unifront.opset.elementwise import abs as abs
from unifront.opset.elementwise import add as add
from unifront.opset.elementwise import ceil as ceil
from unifront.opset.elementwise import clip as clip
from unifront.opset.elementwise import cos as cos
from unifront.opset.elementwise import divide as divide
from unifront.opset.elementwise import equal as equal
from unifront.opset.elementwise import exp as exp
from unifront.opset.elementwise import expm1 as expm1
from unifront.opset.elementwise import floor as floor
from unifront.opset.elementwise import floor_divide as floor_divide
from unifront.opset.elementwise import greater as greater
from unifront.opset.elementwise import greater_equal as greater_equal
from unifront.opset.elementwise import less as less
from unifront.opset.elementwise import less_equal as less_equal
from unifront.opset.elementwise import log as log
from unifront.opset.elementwise import log1p as log1p
from unifront.opset.elementwise import logical_and as logical_and
from unifront.opset.elementwise import logical_not as logical_not
from unifront.opset.elementwise import logical_or as logical_or
from unifront.opset.elementwise import maximum as maximum
from unifront.opset.elementwise import minimum as minimum
from unifront.opset.elementwise import multiply as multiply
from unifront.opset.elementwise import negative as negative
from unifront.opset.elementwise import not_equal as not_equal
from unifront.opset.elementwise import power as power
from unifront.opset.elementwise import reciprocal as reciprocal
from unifront.opset.elementwise import round as round
from unifront.opset.elementwise import sign as sign
from unifront.opset.elementwise import sin as sin
from unifront.opset.elementwise import sqrt as sqrt
from unifront.opset.elementwise import square as square
from unifront.opset.elementwise import subtract as subtract
from unifront.opset.elementwise import tan as tan
from unifront.opset.elementwise import tanh as tanh
from unifront.opset.elementwise import where as where
from unifront.opset.index import argsort as argsort
from unifront.opset.index import sort as sort
from unifront.opset.index import take as take
from unifront.opset.index import take_along_axis as take_along_axis
from unifront.opset.linalg import cross as cross
from unifront.opset.linalg import dot as dot
from unifront.opset.linalg import einsum as einsum
from unifront.opset.linalg import inner as inner
from unifront.opset.linalg import matmul as matmul
from unifront.opset.linalg import tensordot as tensordot
from unifront.opset.linalg import vdot as vdot
from unifront.opset.matrices import diag as diag
from unifront.opset.matrices import diagflat as diagflat
from unifront.opset.matrices import diagonal as diagonal
from unifront.opset.matrices import eye as eye
from unifront.opset.matrices import identity as identity
from unifront.opset.matrices import kron as kron
from unifront.opset.matrices import meshgrid as meshgrid
from unifront.opset.matrices import outer as outer
from unifront.opset.matrices import trace as trace
from unifront.opset.matrices import tri as tri
from unifront.opset.matrices import tril as tril
from unifront.opset.matrices import triu as triu
from unifront.opset.matrices import vander as vander
from unifront.opset.ranges import bartlett as bartlett
from unifront.opset.ranges import blackman as blackman
from unifront.opset.ranges import geomspace as geomspace
from unifront.opset.ranges import hamming as hamming
from unifront.opset.ranges import hanning as hanning
from unifront.opset.ranges import kaiser as kaiser
from unifront.opset.ranges import linspace as linspace
from unifront.opset.ranges import logspace as logspace
from unifront.opset.reduce import all as all
from unifront.opset.reduce import any as any
from unifront.opset.reduce import argmax as argmax
from unifront.opset.reduce import argmin as argmin
from unifront.opset.reduce import cumsum as cumsum
from unifront.opset.reduce import max as max
from unifront.opset.reduce import mean as mean
from unifront.opset.reduce import min as min
from unifront.opset.reduce import prod as prod
from unifront.opset.reduce import std as std
from unifront.opset.reduce import sum as sum
from unifront.opset.reduce import var as var
from unifront.opset.shape import broadcast_to as broadcast_to
from unifront.opset.shape import concatenate as concatenate
from unifront.opset.shape import expand_dims as expand_dims
from unifront.opset.shape import moveaxis as moveaxis
from unifront.opset.shape import reshape as reshape
from unifront.opset.shape import split as split
from unifront.opset.shape import squeeze as squeeze
from unifront.opset.shape import stack as stack
from unifront.opset.shape import swapaxes as swapaxes
from unifront.opset.shape import transpose as transpose
from unifront.opset.sizes import nonzero as nonzero
from unifront.opset.sizes import repeat as repeat
from unifront.opset.sizes import unique as unique
from unifront.opset.slicing import flip as flip
from unifront.opset.slicing import get_item as get_item
from unifront.opset.slicing import pad as pad
from unifront.opset.slicing import tile as tile
from unifront.opset.solving import slogdet as slogdet

__all__ = [
    "abs",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "bartlett",
    "blackman",
    "broadcast_to",
    "ceil",
    "clip",
    "concatenate",
    "conj",
    "conjugate",
    "cos",
    "cross",
    "cumsum",
    "diag",
    "diagflat",
    "diagonal",
    "divide",
    "dot",
    "einsum",
    "equal",
    "exp",
    "expand_dims",
    "expm1",
    "eye",
    "flip",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "geomspace",
    "get_item",
    "greater",
    "greater_equal",
    "hamming",
    "hanning",
    "identity",
    "imag",
    "inner",
    "kaiser",
    "kron",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "logical_and",
    "logical_not",
    "logical_or",
    "logspace",
    "matmul",
    "max",
    "maximum",
    "mean",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "power",
    "prod",
    "real",
    "reciprocal",
    "repeat",
    "reshape",
    "round",
    "sign",
    "sin",
    "slogdet",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "trace",
    "transpose",
    "tri",
    "tril",
    "triu",
    "unique",
    "vander",
    "var",
    "vdot",
    "where",
    "zeros",
    "zeros_like",
]
