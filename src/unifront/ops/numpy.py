"""The operations that Keras has in ``keras.ops.numpy``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.arithmetic import cbrt as cbrt
from unifront.opset.arithmetic import divide_no_nan as divide_no_nan
from unifront.opset.arithmetic import exp2 as exp2
from unifront.opset.arithmetic import fabs as fabs
from unifront.opset.arithmetic import fmax as fmax
from unifront.opset.arithmetic import fmin as fmin
from unifront.opset.arithmetic import fmod as fmod
from unifront.opset.arithmetic import gcd as gcd
from unifront.opset.arithmetic import heaviside as heaviside
from unifront.opset.arithmetic import lcm as lcm
from unifront.opset.arithmetic import ldexp as ldexp
from unifront.opset.arithmetic import log2 as log2
from unifront.opset.arithmetic import log10 as log10
from unifront.opset.arithmetic import logaddexp2 as logaddexp2
from unifront.opset.arithmetic import nan_to_num as nan_to_num
from unifront.opset.arithmetic import nextafter as nextafter
from unifront.opset.arranging import append as append
from unifront.opset.arranging import array_split as array_split
from unifront.opset.arranging import dsplit as dsplit
from unifront.opset.arranging import dstack as dstack
from unifront.opset.arranging import fliplr as fliplr
from unifront.opset.arranging import flipud as flipud
from unifront.opset.arranging import hsplit as hsplit
from unifront.opset.arranging import hstack as hstack
from unifront.opset.arranging import ravel as ravel
from unifront.opset.arranging import roll as roll
from unifront.opset.arranging import rot90 as rot90
from unifront.opset.arranging import unravel_index as unravel_index
from unifront.opset.arranging import vsplit as vsplit
from unifront.opset.arranging import vstack as vstack
from unifront.opset.at_home import arange as arange
from unifront.opset.at_home import bartlett as bartlett
from unifront.opset.at_home import blackman as blackman
from unifront.opset.at_home import empty as empty
from unifront.opset.at_home import eye as eye
from unifront.opset.at_home import full as full
from unifront.opset.at_home import geomspace as geomspace
from unifront.opset.at_home import hamming as hamming
from unifront.opset.at_home import hanning as hanning
from unifront.opset.at_home import identity as identity
from unifront.opset.at_home import kaiser as kaiser
from unifront.opset.at_home import linspace as linspace
from unifront.opset.at_home import logspace as logspace
from unifront.opset.at_home import ones as ones
from unifront.opset.at_home import tri as tri
from unifront.opset.at_home import zeros as zeros
from unifront.opset.bitwise import bitwise_and as bitwise_and
from unifront.opset.bitwise import bitwise_invert as bitwise_invert
from unifront.opset.bitwise import bitwise_left_shift as bitwise_left_shift
from unifront.opset.bitwise import bitwise_not as bitwise_not
from unifront.opset.bitwise import bitwise_or as bitwise_or
from unifront.opset.bitwise import bitwise_right_shift as bitwise_right_shift
from unifront.opset.bitwise import bitwise_xor as bitwise_xor
from unifront.opset.bitwise import left_shift as left_shift
from unifront.opset.bitwise import right_shift as right_shift
from unifront.opset.comparison import equal as equal
from unifront.opset.comparison import greater as greater
from unifront.opset.comparison import greater_equal as greater_equal
from unifront.opset.comparison import less as less
from unifront.opset.comparison import less_equal as less_equal
from unifront.opset.comparison import logical_and as logical_and
from unifront.opset.comparison import logical_not as logical_not
from unifront.opset.comparison import logical_or as logical_or
from unifront.opset.comparison import logical_xor as logical_xor
from unifront.opset.comparison import not_equal as not_equal
from unifront.opset.complex_numbers import angle as angle
from unifront.opset.complex_numbers import conj as conj
from unifront.opset.complex_numbers import conjugate as conjugate
from unifront.opset.complex_numbers import imag as imag
from unifront.opset.complex_numbers import real as real
from unifront.opset.conversion import array as array
from unifront.opset.conversion import copy as copy
from unifront.opset.conversion import ndim as ndim
from unifront.opset.conversion import size as size
from unifront.opset.conversion import view as view
from unifront.opset.creation import empty_like as empty_like
from unifront.opset.creation import full_like as full_like
from unifront.opset.creation import ones_like as ones_like
from unifront.opset.creation import zeros_like as zeros_like
from unifront.opset.cumulative import cumprod as cumprod
from unifront.opset.cumulative import cumsum as cumsum
from unifront.opset.cumulative import diff as diff
from unifront.opset.cumulative import nancumprod as nancumprod
from unifront.opset.cumulative import nancumsum as nancumsum
from unifront.opset.cumulative import trapezoid as trapezoid
from unifront.opset.elementwise import abs as abs
from unifront.opset.elementwise import absolute as absolute
from unifront.opset.elementwise import add as add
from unifront.opset.elementwise import ceil as ceil
from unifront.opset.elementwise import clip as clip
from unifront.opset.elementwise import cos as cos
from unifront.opset.elementwise import divide as divide
from unifront.opset.elementwise import exp as exp
from unifront.opset.elementwise import expm1 as expm1
from unifront.opset.elementwise import floor as floor
from unifront.opset.elementwise import floor_divide as floor_divide
from unifront.opset.elementwise import log as log
from unifront.opset.elementwise import log1p as log1p
from unifront.opset.elementwise import logaddexp as logaddexp
from unifront.opset.elementwise import maximum as maximum
from unifront.opset.elementwise import minimum as minimum
from unifront.opset.elementwise import mod as mod
from unifront.opset.elementwise import multiply as multiply
from unifront.opset.elementwise import negative as negative
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
from unifront.opset.elementwise import true_divide as true_divide
from unifront.opset.elementwise import trunc as trunc
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
from unifront.opset.matrices import kron as kron
from unifront.opset.matrices import meshgrid as meshgrid
from unifront.opset.matrices import outer as outer
from unifront.opset.matrices import trace as trace
from unifront.opset.matrices import tril as tril
from unifront.opset.matrices import triu as triu
from unifront.opset.matrices import vander as vander
from unifront.opset.nans import nanargmax as nanargmax
from unifront.opset.nans import nanargmin as nanargmin
from unifront.opset.nans import nanmax as nanmax
from unifront.opset.nans import nanmean as nanmean
from unifront.opset.nans import nanmin as nanmin
from unifront.opset.nans import nanprod as nanprod
from unifront.opset.nans import nanstd as nanstd
from unifront.opset.nans import nansum as nansum
from unifront.opset.nans import nanvar as nanvar
from unifront.opset.padding import pad as pad
from unifront.opset.picking import argpartition as argpartition
from unifront.opset.picking import isin as isin
from unifront.opset.picking import select as select
from unifront.opset.predicates import allclose as allclose
from unifront.opset.predicates import isclose as isclose
from unifront.opset.predicates import isfinite as isfinite
from unifront.opset.predicates import isinf as isinf
from unifront.opset.predicates import isnan as isnan
from unifront.opset.predicates import isneginf as isneginf
from unifront.opset.predicates import isposinf as isposinf
from unifront.opset.predicates import isreal as isreal
from unifront.opset.predicates import signbit as signbit
from unifront.opset.reduce import all as all
from unifront.opset.reduce import amax as amax
from unifront.opset.reduce import amin as amin
from unifront.opset.reduce import any as any
from unifront.opset.reduce import argmax as argmax
from unifront.opset.reduce import argmin as argmin
from unifront.opset.reduce import count_nonzero as count_nonzero
from unifront.opset.reduce import max as max
from unifront.opset.reduce import mean as mean
from unifront.opset.reduce import min as min
from unifront.opset.reduce import prod as prod
from unifront.opset.reduce import ptp as ptp
from unifront.opset.reduce import std as std
from unifront.opset.reduce import sum as sum
from unifront.opset.reduce import var as var
from unifront.opset.searching import bincount as bincount
from unifront.opset.searching import digitize as digitize
from unifront.opset.searching import histogram as histogram
from unifront.opset.searching import searchsorted as searchsorted
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
from unifront.opset.slicing import flip as flip
from unifront.opset.slicing import get_item as get_item
from unifront.opset.slicing import tile as tile
from unifront.opset.solving import slogdet as slogdet
from unifront.opset.special import i0 as i0
from unifront.opset.statistics import average as average
from unifront.opset.statistics import corrcoef as corrcoef
from unifront.opset.statistics import correlate as correlate
from unifront.opset.statistics import median as median
from unifront.opset.statistics import nanmedian as nanmedian
from unifront.opset.statistics import nanpercentile as nanpercentile
from unifront.opset.statistics import nanquantile as nanquantile
from unifront.opset.statistics import percentile as percentile
from unifront.opset.statistics import quantile as quantile
from unifront.opset.trigonometry import arccos as arccos
from unifront.opset.trigonometry import arccosh as arccosh
from unifront.opset.trigonometry import arcsin as arcsin
from unifront.opset.trigonometry import arcsinh as arcsinh
from unifront.opset.trigonometry import arctan as arctan
from unifront.opset.trigonometry import arctan2 as arctan2
from unifront.opset.trigonometry import arctanh as arctanh
from unifront.opset.trigonometry import cosh as cosh
from unifront.opset.trigonometry import deg2rad as deg2rad
from unifront.opset.trigonometry import hypot as hypot
from unifront.opset.trigonometry import rad2deg as rad2deg
from unifront.opset.trigonometry import sinc as sinc
from unifront.opset.trigonometry import sinh as sinh
from unifront.opset.uniques import unique as unique
from unifront.opset.vectorizing import vectorize as vectorize

__all__ = [
    "abs",
    "absolute",
    "add",
    "all",
    "allclose",
    "amax",
    "amin",
    "angle",
    "any",
    "append",
    "arange",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "argmax",
    "argmin",
    "argpartition",
    "argsort",
    "array",
    "array_split",
    "average",
    "bartlett",
    "bincount",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "blackman",
    "broadcast_to",
    "cbrt",
    "ceil",
    "clip",
    "concatenate",
    "conj",
    "conjugate",
    "copy",
    "corrcoef",
    "correlate",
    "cos",
    "cosh",
    "count_nonzero",
    "cross",
    "cumprod",
    "cumsum",
    "deg2rad",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "digitize",
    "divide",
    "divide_no_nan",
    "dot",
    "dsplit",
    "dstack",
    "einsum",
    "empty",
    "empty_like",
    "equal",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "eye",
    "fabs",
    "flip",
    "fliplr",
    "flipud",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "full",
    "full_like",
    "gcd",
    "geomspace",
    "get_item",
    "greater",
    "greater_equal",
    "hamming",
    "hanning",
    "heaviside",
    "histogram",
    "hsplit",
    "hstack",
    "hypot",
    "i0",
    "identity",
    "imag",
    "inner",
    "isclose",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "kaiser",
    "kron",
    "lcm",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logspace",
    "matmul",
    "max",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mod",
    "moveaxis",
    "multiply",
    "nan_to_num",
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmedian",
    "nanmin",
    "nanpercentile",
    "nanprod",
    "nanquantile",
    "nanstd",
    "nansum",
    "nanvar",
    "ndim",
    "negative",
    "nextafter",
    "nonzero",
    "not_equal",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "percentile",
    "power",
    "prod",
    "ptp",
    "quantile",
    "rad2deg",
    "ravel",
    "real",
    "reciprocal",
    "repeat",
    "reshape",
    "right_shift",
    "roll",
    "rot90",
    "round",
    "searchsorted",
    "select",
    "sign",
    "signbit",
    "sin",
    "sinc",
    "sinh",
    "size",
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
    "trapezoid",
    "tri",
    "tril",
    "triu",
    "true_divide",
    "trunc",
    "unique",
    "unravel_index",
    "vander",
    "var",
    "vdot",
    "vectorize",
    "view",
    "vsplit",
    "vstack",
    "where",
    "zeros",
    "zeros_like",
]
