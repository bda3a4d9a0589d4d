"""The operations that Keras has in its file ``ops/math.py``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.complex_numbers import view_as_complex as view_as_complex
from unifront.opset.complex_numbers import view_as_real as view_as_real
from unifront.opset.elementwise import erf as erf
from unifront.opset.elementwise import rsqrt as rsqrt
from unifront.opset.fft import extract_sequences as extract_sequences
from unifront.opset.fft import fft as fft
from unifront.opset.fft import fft2 as fft2
from unifront.opset.fft import ifft2 as ifft2
from unifront.opset.fft import irfft as irfft
from unifront.opset.fft import istft as istft
from unifront.opset.fft import rfft as rfft
from unifront.opset.fft import stft as stft
from unifront.opset.index import top_k as top_k
from unifront.opset.norms import cdist as cdist
from unifront.opset.picking import in_top_k as in_top_k
from unifront.opset.reduce import logsumexp as logsumexp
from unifront.opset.segments import segment_max as segment_max
from unifront.opset.segments import segment_min as segment_min
from unifront.opset.segments import segment_prod as segment_prod
from unifront.opset.segments import segment_sum as segment_sum
from unifront.opset.solving import logdet as logdet
from unifront.opset.special import erfc as erfc
from unifront.opset.special import erfinv as erfinv

__all__ = [
    "cdist",
    "erf",
    "erfc",
    "erfinv",
    "extract_sequences",
    "fft",
    "fft2",
    "ifft2",
    "in_top_k",
    "irfft",
    "istft",
    "logdet",
    "logsumexp",
    "rfft",
    "rsqrt",
    "segment_max",
    "segment_min",
    "segment_prod",
    "segment_sum",
    "stft",
    "top_k",
    "view_as_complex",
    "view_as_real",
]
