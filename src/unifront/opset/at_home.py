"""What makes arrays of numbers alone, as users call it: outside of graphs they are the default backend's, as in Keras.

Operations themselves make NumPy's, which go with those of any backend; but a `torch.Tensor` does not take an array of
NumPy on the left of an operator.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import numpy as np

from unifront.backends import backend_of
from unifront.opset import conversion, creation, matrices, ranges

P = ParamSpec("P")


def at_home(function: Callable[P, Any]) -> Callable[P, Any]:
    """``function``, whose array becomes what `conversion.convert_to_tensor` makes of it, where no array was given."""

    @functools.wraps(function)
    def made(*args: P.args, **kwargs: P.kwargs) -> Any:
        found = function(*args, **kwargs)
        alone = type(found) is np.ndarray and not any(map(backend_of, (*args, *kwargs.values())))
        return conversion.convert_to_tensor(found) if alone else found

    return made


arange, empty, full = at_home(creation.arange), at_home(creation.empty), at_home(creation.full)
ones, zeros = at_home(creation.ones), at_home(creation.zeros)
eye, identity, tri = at_home(matrices.eye), at_home(matrices.identity), at_home(matrices.tri)
linspace, logspace, geomspace = at_home(ranges.linspace), at_home(ranges.logspace), at_home(ranges.geomspace)
bartlett, blackman, hamming = at_home(ranges.bartlett), at_home(ranges.blackman), at_home(ranges.hamming)
hanning, kaiser = at_home(ranges.hanning), at_home(ranges.kaiser)
