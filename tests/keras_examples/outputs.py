"""Whether what an example printed is what its docstring shows.

Equal text is equal, whitespace apart and with ``...`` for anything. Else the two are compared as sequences of words and
numbers, so that an array counts however a framework prints it: what only names an array's kind (``array``, ``tensor``,
``<tf.Tensor: shape=…, dtype=…``, ``device=…``, the mark of bytes) is left out, brackets and commas are not looked at, and a number may differ
from the one shown by one unit of the last digit shown, or by 1e-4 of it.
A free size is None in Keras and has a name in unifront, so that a name may stand where None is shown.
"""

from __future__ import annotations

import doctest
import re
from itertools import zip_longest

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
KIND = re.compile(
    r"<tf\.(Tensor|Variable)[^:]*:\s*(shape=\([\d, ]*\),\s*)?|shape=\([\d, None]*\)|dtype=['\"]?[<\w.]+['\"]?|device=\S+|numpy="
    r"|\bb(?=['\"])|grad_fn=<\w+>|requires_grad=\w+|\b(jnp|np|tf|torch|keras|unifront)\.(?=\w+)|weak_type=\w+"
    r"|\b(array|Array|tensor|Tensor|Parameter|Size|TensorShape|list|(float|int|uint|bool)_?\d*)(?=\()"
)
WORD = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?j?|[-+]?\b(?:nan|inf)\b|\w+")
NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


OBJECT = re.compile(r"<(?:class '|function )?(?:[\w.<>]*\.)?(\w+)(?:'| object at \w+| at \w+)?>")


def words(text: str) -> list[str]:
    return WORD.findall(KIND.sub(" ", OBJECT.sub(r"\1", text)))


def _rounding(number: str) -> float:
    """How far a number may be from what it was rounded from; 0 for one without decimals."""
    mantissa, _, exponent = number.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    return 0.51 * 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0


def _same(want: str, got: str) -> bool:
    if want.lower() == got.lower():
        return True
    if want == "None" and re.fullmatch(r"batch|[a-z]\w*_\d+", got):
        return True
    if want.endswith("j") and got.endswith("j"):
        want, got = want[:-1], got[:-1]
    if not (NUMBER.fullmatch(want) and NUMBER.fullmatch(got)):
        return False
    a, b = float(want), float(got)
    return abs(a - b) <= max(_rounding(want), _rounding(got), 1e-4 * abs(a), 1e-6)


def agree(want: str, got: str) -> bool:
    """Whether ``got``, which was printed, is ``want``, which is shown."""
    checker = doctest.OutputChecker()
    if checker.check_output(want, got, FLAGS):
        return True
    pairs = list(zip_longest(words(want), words(got), fillvalue=""))
    return bool(pairs) and all(_same(a, b) for a, b in pairs)
