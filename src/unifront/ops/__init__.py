"""Operations: ``uf.ops.NAME`` works on native arrays (runs at once) and symbolic tensors (adds to a graph).

Written by ``python -m unifront.opset``; the operations themselves are in `unifront.opset`, a file per family.
"""

from __future__ import annotations

from typing import Any

from unifront.ops import core as core
from unifront.ops import image as image
from unifront.ops import linalg as linalg
from unifront.ops import math as math
from unifront.ops import nn as nn
from unifront.ops import numpy as numpy
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
from unifront.opset.attention import dot_product_attention as dot_product_attention
from unifront.opset.bitwise import bitwise_and as bitwise_and
from unifront.opset.bitwise import bitwise_invert as bitwise_invert
from unifront.opset.bitwise import bitwise_left_shift as bitwise_left_shift
from unifront.opset.bitwise import bitwise_not as bitwise_not
from unifront.opset.bitwise import bitwise_or as bitwise_or
from unifront.opset.bitwise import bitwise_right_shift as bitwise_right_shift
from unifront.opset.bitwise import bitwise_xor as bitwise_xor
from unifront.opset.bitwise import left_shift as left_shift
from unifront.opset.bitwise import right_shift as right_shift
from unifront.opset.casting import cast as cast
from unifront.opset.casting import floating as floating
from unifront.opset.casting import promoted as promoted
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
from unifront.opset.complex_numbers import polar as polar
from unifront.opset.complex_numbers import real as real
from unifront.opset.complex_numbers import view_as_complex as view_as_complex
from unifront.opset.complex_numbers import view_as_real as view_as_real
from unifront.opset.control import cond as cond
from unifront.opset.control import scan as scan
from unifront.opset.control import while_loop as while_loop
from unifront.opset.conv import conv as conv
from unifront.opset.conv import depthwise_conv as depthwise_conv
from unifront.opset.conv import separable_conv as separable_conv
from unifront.opset.conv_transpose import conv_transpose as conv_transpose
from unifront.opset.conversion import array as array
from unifront.opset.conversion import convert_to_numpy as convert_to_numpy
from unifront.opset.conversion import convert_to_tensor as convert_to_tensor
from unifront.opset.conversion import copy as copy
from unifront.opset.conversion import dtype as dtype
from unifront.opset.conversion import is_tensor as is_tensor
from unifront.opset.conversion import ndim as ndim
from unifront.opset.conversion import saturate_cast as saturate_cast
from unifront.opset.conversion import shape as shape
from unifront.opset.conversion import size as size
from unifront.opset.conversion import view as view
from unifront.opset.creation import bind_size as bind_size
from unifront.opset.creation import empty_like as empty_like
from unifront.opset.creation import full_like as full_like
from unifront.opset.creation import iota as iota
from unifront.opset.creation import ones_like as ones_like
from unifront.opset.creation import zeros_like as zeros_like
from unifront.opset.ctc import ctc_loss as ctc_loss
from unifront.opset.ctc_decoding import ctc_decode as ctc_decode
from unifront.opset.cumulative import cumprod as cumprod
from unifront.opset.cumulative import cumsum as cumsum
from unifront.opset.cumulative import diff as diff
from unifront.opset.cumulative import nancumprod as nancumprod
from unifront.opset.cumulative import nancumsum as nancumsum
from unifront.opset.cumulative import trapezoid as trapezoid
from unifront.opset.custom import custom_gradient as custom_gradient
from unifront.opset.define import define as define
from unifront.opset.define import undefine as undefine
from unifront.opset.einops import rearrange as rearrange
from unifront.opset.elementwise import abs as abs
from unifront.opset.elementwise import absolute as absolute
from unifront.opset.elementwise import add as add
from unifront.opset.elementwise import ceil as ceil
from unifront.opset.elementwise import clip as clip
from unifront.opset.elementwise import cos as cos
from unifront.opset.elementwise import divide as divide
from unifront.opset.elementwise import erf as erf
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
from unifront.opset.elementwise import remainder as remainder
from unifront.opset.elementwise import round as round
from unifront.opset.elementwise import rsqrt as rsqrt
from unifront.opset.elementwise import sigmoid as sigmoid
from unifront.opset.elementwise import sign as sign
from unifront.opset.elementwise import sin as sin
from unifront.opset.elementwise import softplus as softplus
from unifront.opset.elementwise import sqrt as sqrt
from unifront.opset.elementwise import square as square
from unifront.opset.elementwise import stop_gradient as stop_gradient
from unifront.opset.elementwise import subtract as subtract
from unifront.opset.elementwise import tan as tan
from unifront.opset.elementwise import tanh as tanh
from unifront.opset.elementwise import true_divide as true_divide
from unifront.opset.elementwise import trunc as trunc
from unifront.opset.elementwise import where as where
from unifront.opset.factorizations import cholesky as cholesky
from unifront.opset.factorizations import eig as eig
from unifront.opset.factorizations import eigh as eigh
from unifront.opset.factorizations import lu_factor as lu_factor
from unifront.opset.factorizations import qr as qr
from unifront.opset.factorizations import svd as svd
from unifront.opset.fft import extract_sequences as extract_sequences
from unifront.opset.fft import fft as fft
from unifront.opset.fft import fft2 as fft2
from unifront.opset.fft import ifft2 as ifft2
from unifront.opset.fft import irfft as irfft
from unifront.opset.fft import istft as istft
from unifront.opset.fft import rfft as rfft
from unifront.opset.fft import stft as stft
from unifront.opset.forward import jvp as jvp
from unifront.opset.gradient import all_reduce as all_reduce
from unifront.opset.index import argsort as argsort
from unifront.opset.index import embedding as embedding
from unifront.opset.index import one_hot as one_hot
from unifront.opset.index import sort as sort
from unifront.opset.index import take as take
from unifront.opset.index import take_along_axis as take_along_axis
from unifront.opset.index import top_k as top_k
from unifront.opset.linalg import cross as cross
from unifront.opset.linalg import dense as dense
from unifront.opset.linalg import dot as dot
from unifront.opset.linalg import einsum as einsum
from unifront.opset.linalg import inner as inner
from unifront.opset.linalg import matmul as matmul
from unifront.opset.linalg import tensordot as tensordot
from unifront.opset.linalg import vdot as vdot
from unifront.opset.loops import associative_scan as associative_scan
from unifront.opset.loops import fori_loop as fori_loop
from unifront.opset.loops import map as map
from unifront.opset.loops import switch as switch
from unifront.opset.losses import binary_crossentropy as binary_crossentropy
from unifront.opset.losses import categorical_crossentropy as categorical_crossentropy
from unifront.opset.losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
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
from unifront.opset.nn import log_softmax as log_softmax
from unifront.opset.nn import sigmoid_cross_entropy as sigmoid_cross_entropy
from unifront.opset.nn import softmax as softmax
from unifront.opset.nn import softmax_cross_entropy as softmax_cross_entropy
from unifront.opset.nn import sparse_softmax_cross_entropy as sparse_softmax_cross_entropy
from unifront.opset.norm import batch_norm as batch_norm
from unifront.opset.norm import batch_norm_training as batch_norm_training
from unifront.opset.norm import group_norm as group_norm
from unifront.opset.norm import layer_norm as layer_norm
from unifront.opset.norm import rms_norm as rms_norm
from unifront.opset.normalize import batch_normalization as batch_normalization
from unifront.opset.normalize import layer_normalization as layer_normalization
from unifront.opset.normalize import local_response_normalization as local_response_normalization
from unifront.opset.normalize import moments as moments
from unifront.opset.normalize import normalize as normalize
from unifront.opset.normalize import psnr as psnr
from unifront.opset.normalize import rms_normalization as rms_normalization
from unifront.opset.norms import cdist as cdist
from unifront.opset.norms import norm as norm
from unifront.opset.optimize import adagrad_update as adagrad_update
from unifront.opset.optimize import adam_update as adam_update
from unifront.opset.optimize import lion_update as lion_update
from unifront.opset.optimize import momentum_update as momentum_update
from unifront.opset.optimize import rmsprop_update as rmsprop_update
from unifront.opset.optimize import sgd_update as sgd_update
from unifront.opset.padding import pad as pad
from unifront.opset.patches import adaptive_average_pool as adaptive_average_pool
from unifront.opset.patches import adaptive_max_pool as adaptive_max_pool
from unifront.opset.patches import depth_to_space as depth_to_space
from unifront.opset.patches import fold as fold
from unifront.opset.patches import space_to_depth as space_to_depth
from unifront.opset.patches import unfold as unfold
from unifront.opset.picking import argpartition as argpartition
from unifront.opset.picking import in_top_k as in_top_k
from unifront.opset.picking import isin as isin
from unifront.opset.picking import multi_hot as multi_hot
from unifront.opset.picking import select as select
from unifront.opset.pool import average_pool as average_pool
from unifront.opset.pool import global_average_pool as global_average_pool
from unifront.opset.pool import global_max_pool as global_max_pool
from unifront.opset.pool import max_pool as max_pool
from unifront.opset.predicates import allclose as allclose
from unifront.opset.predicates import isclose as isclose
from unifront.opset.predicates import isfinite as isfinite
from unifront.opset.predicates import isinf as isinf
from unifront.opset.predicates import isnan as isnan
from unifront.opset.predicates import isneginf as isneginf
from unifront.opset.predicates import isposinf as isposinf
from unifront.opset.predicates import isreal as isreal
from unifront.opset.predicates import signbit as signbit
from unifront.opset.random import dropout as dropout
from unifront.opset.random import fold_in as fold_in
from unifront.opset.random import random_bernoulli as random_bernoulli
from unifront.opset.random import random_normal as random_normal
from unifront.opset.random import random_uniform as random_uniform
from unifront.opset.reduce import all as all
from unifront.opset.reduce import amax as amax
from unifront.opset.reduce import amin as amin
from unifront.opset.reduce import any as any
from unifront.opset.reduce import argmax as argmax
from unifront.opset.reduce import argmin as argmin
from unifront.opset.reduce import count_nonzero as count_nonzero
from unifront.opset.reduce import logsumexp as logsumexp
from unifront.opset.reduce import max as max
from unifront.opset.reduce import mean as mean
from unifront.opset.reduce import min as min
from unifront.opset.reduce import prod as prod
from unifront.opset.reduce import ptp as ptp
from unifront.opset.reduce import std as std
from unifront.opset.reduce import sum as sum
from unifront.opset.reduce import var as var
from unifront.opset.remat import remat as remat
from unifront.opset.rnn import gru as gru
from unifront.opset.rnn import lstm as lstm
from unifront.opset.rnn import simple_rnn as simple_rnn
from unifront.opset.rnn import with_mask as with_mask
from unifront.opset.scatter import scatter as scatter
from unifront.opset.scatter import scatter_update as scatter_update
from unifront.opset.scatter import slice as slice
from unifront.opset.scatter import slice_update as slice_update
from unifront.opset.searching import bincount as bincount
from unifront.opset.searching import digitize as digitize
from unifront.opset.searching import histogram as histogram
from unifront.opset.searching import searchsorted as searchsorted
from unifront.opset.segments import segment_max as segment_max
from unifront.opset.segments import segment_min as segment_min
from unifront.opset.segments import segment_prod as segment_prod
from unifront.opset.segments import segment_sum as segment_sum
from unifront.opset.shape import broadcast_to as broadcast_to
from unifront.opset.shape import concatenate as concatenate
from unifront.opset.shape import expand_dims as expand_dims
from unifront.opset.shape import flatten as flatten
from unifront.opset.shape import moveaxis as moveaxis
from unifront.opset.shape import reshape as reshape
from unifront.opset.shape import split as split
from unifront.opset.shape import squeeze as squeeze
from unifront.opset.shape import stack as stack
from unifront.opset.shape import swapaxes as swapaxes
from unifront.opset.shape import transpose as transpose
from unifront.opset.shape import unstack as unstack
from unifront.opset.sizes import boolean_mask as boolean_mask
from unifront.opset.sizes import nonzero as nonzero
from unifront.opset.sizes import repeat as repeat
from unifront.opset.slicing import flip as flip
from unifront.opset.slicing import get_item as get_item
from unifront.opset.slicing import strided_slice as strided_slice
from unifront.opset.slicing import tile as tile
from unifront.opset.solving import cholesky_inverse as cholesky_inverse
from unifront.opset.solving import det as det
from unifront.opset.solving import inv as inv
from unifront.opset.solving import logdet as logdet
from unifront.opset.solving import lstsq as lstsq
from unifront.opset.solving import matrix_rank as matrix_rank
from unifront.opset.solving import pinv as pinv
from unifront.opset.solving import slogdet as slogdet
from unifront.opset.solving import solve as solve
from unifront.opset.solving import solve_triangular as solve_triangular
from unifront.opset.special import erfc as erfc
from unifront.opset.special import erfinv as erfinv
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
from unifront.opset.threefry import key_words as key_words
from unifront.opset.threefry import random_bits as random_bits
from unifront.opset.threefry import random_key as random_key
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
from unifront.opset.variates import random_binomial as random_binomial
from unifront.opset.variates import random_gamma as random_gamma
from unifront.opset.vectorizing import vectorize as vectorize
from unifront.opset.vectorizing import vectorized_map as vectorized_map

__all__ = [
    "abs",
    "absolute",
    "adagrad_update",
    "adam_update",
    "adaptive_average_pool",
    "adaptive_max_pool",
    "add",
    "all",
    "all_reduce",
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
    "associative_scan",
    "average",
    "average_pool",
    "bartlett",
    "batch_norm",
    "batch_norm_training",
    "batch_normalization",
    "binary_crossentropy",
    "bincount",
    "bind_size",
    "bitwise_and",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "blackman",
    "boolean_mask",
    "broadcast_to",
    "cast",
    "categorical_crossentropy",
    "cbrt",
    "cdist",
    "ceil",
    "celu",
    "cholesky",
    "cholesky_inverse",
    "clip",
    "concatenate",
    "cond",
    "conj",
    "conjugate",
    "conv",
    "conv_transpose",
    "convert_to_numpy",
    "convert_to_tensor",
    "copy",
    "core",
    "corrcoef",
    "correlate",
    "cos",
    "cosh",
    "count_nonzero",
    "cross",
    "ctc_decode",
    "ctc_loss",
    "cumprod",
    "cumsum",
    "custom_gradient",
    "define",
    "deg2rad",
    "dense",
    "depth_to_space",
    "depthwise_conv",
    "det",
    "diag",
    "diagflat",
    "diagonal",
    "diff",
    "digitize",
    "divide",
    "divide_no_nan",
    "dot",
    "dot_product_attention",
    "dropout",
    "dsplit",
    "dstack",
    "dtype",
    "eig",
    "eigh",
    "einsum",
    "elu",
    "embedding",
    "empty",
    "empty_like",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "extract_sequences",
    "eye",
    "fabs",
    "fft",
    "fft2",
    "flatten",
    "flip",
    "fliplr",
    "flipud",
    "floating",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "fold",
    "fold_in",
    "fori_loop",
    "full",
    "full_like",
    "gcd",
    "gelu",
    "geomspace",
    "get_item",
    "global_average_pool",
    "global_max_pool",
    "glu",
    "greater",
    "greater_equal",
    "group_norm",
    "gru",
    "hamming",
    "hanning",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "heaviside",
    "histogram",
    "hsplit",
    "hstack",
    "hypot",
    "i0",
    "identity",
    "ifft2",
    "imag",
    "image",
    "in_top_k",
    "inner",
    "inv",
    "iota",
    "irfft",
    "is_tensor",
    "isclose",
    "isfinite",
    "isin",
    "isinf",
    "isnan",
    "isneginf",
    "isposinf",
    "isreal",
    "istft",
    "jvp",
    "kaiser",
    "key_words",
    "kron",
    "layer_norm",
    "layer_normalization",
    "lcm",
    "ldexp",
    "leaky_relu",
    "left_shift",
    "less",
    "less_equal",
    "linalg",
    "linspace",
    "lion_update",
    "local_response_normalization",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logaddexp2",
    "logdet",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logspace",
    "logsumexp",
    "lstm",
    "lstsq",
    "lu_factor",
    "map",
    "math",
    "matmul",
    "matrix_rank",
    "max",
    "max_pool",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "mod",
    "moments",
    "momentum_update",
    "moveaxis",
    "multi_hot",
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
    "nn",
    "nonzero",
    "norm",
    "normalize",
    "not_equal",
    "numpy",
    "one_hot",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "percentile",
    "pinv",
    "polar",
    "power",
    "prod",
    "promoted",
    "psnr",
    "ptp",
    "qr",
    "quantile",
    "rad2deg",
    "random_bernoulli",
    "random_binomial",
    "random_bits",
    "random_gamma",
    "random_key",
    "random_normal",
    "random_uniform",
    "ravel",
    "real",
    "rearrange",
    "reciprocal",
    "relu",
    "relu6",
    "remainder",
    "remat",
    "repeat",
    "reshape",
    "rfft",
    "right_shift",
    "rms_norm",
    "rms_normalization",
    "rmsprop_update",
    "roll",
    "rot90",
    "round",
    "rsqrt",
    "saturate_cast",
    "scan",
    "scatter",
    "scatter_update",
    "searchsorted",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "select",
    "selu",
    "separable_conv",
    "sgd_update",
    "shape",
    "sigmoid",
    "sigmoid_cross_entropy",
    "sign",
    "signbit",
    "silu",
    "simple_rnn",
    "sin",
    "sinc",
    "sinh",
    "size",
    "slice",
    "slice_update",
    "slogdet",
    "soft_shrink",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
    "softsign",
    "solve",
    "solve_triangular",
    "sort",
    "space_to_depth",
    "sparse_categorical_crossentropy",
    "sparse_plus",
    "sparse_sigmoid",
    "sparse_softmax_cross_entropy",
    "sparsemax",
    "split",
    "sqrt",
    "square",
    "squareplus",
    "squeeze",
    "stack",
    "std",
    "stft",
    "stop_gradient",
    "strided_slice",
    "subtract",
    "sum",
    "svd",
    "swapaxes",
    "swish",
    "switch",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tanh_shrink",
    "tensordot",
    "threshold",
    "tile",
    "top_k",
    "trace",
    "transpose",
    "trapezoid",
    "tri",
    "tril",
    "triu",
    "true_divide",
    "trunc",
    "undefine",
    "unfold",
    "unique",
    "unravel_index",
    "unstack",
    "vander",
    "var",
    "vdot",
    "vectorize",
    "vectorized_map",
    "view",
    "view_as_complex",
    "view_as_real",
    "vsplit",
    "vstack",
    "where",
    "while_loop",
    "with_mask",
    "zeros",
    "zeros_like",
]


def __getattr__(name: str) -> Any:
    from unifront.errors import UnknownName
    from unifront.opset.namespaces import elsewhere
    from unifront.opset.spec import DEFINED

    if name in DEFINED:
        return DEFINED[name]

    raise AttributeError(elsewhere(name) or str(UnknownName("operation", name, __all__)))
