"""The operations that Keras has in ``keras.ops.linalg``; written by ``python -m unifront.opset``."""

from __future__ import annotations

from unifront.opset.factorizations import cholesky as cholesky
from unifront.opset.factorizations import eig as eig
from unifront.opset.factorizations import eigh as eigh
from unifront.opset.factorizations import lu_factor as lu_factor
from unifront.opset.factorizations import qr as qr
from unifront.opset.factorizations import svd as svd
from unifront.opset.forward import jvp as jvp
from unifront.opset.norms import norm as norm
from unifront.opset.solving import cholesky_inverse as cholesky_inverse
from unifront.opset.solving import det as det
from unifront.opset.solving import inv as inv
from unifront.opset.solving import lstsq as lstsq
from unifront.opset.solving import matrix_rank as matrix_rank
from unifront.opset.solving import pinv as pinv
from unifront.opset.solving import solve as solve
from unifront.opset.solving import solve_triangular as solve_triangular

__all__ = [
    "cholesky",
    "cholesky_inverse",
    "det",
    "eig",
    "eigh",
    "inv",
    "jvp",
    "lstsq",
    "lu_factor",
    "matrix_rank",
    "norm",
    "pinv",
    "qr",
    "solve",
    "solve_triangular",
    "svd",
]
