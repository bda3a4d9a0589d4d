"""Dimensions: an int, or an integer expression over named symbols (``batch``, ``2*time``, ``min(10,time//2+1)``).

An expression is kept as a canonical sum of products, so that two expressions that mean the same
compare equal wherever this small arithmetic can tell: +, -, *, // and % by a positive int, min and max. A
symbol is a size, so it is never negative. ``a % n`` is ``a - n*(a//n)``, and max is said with min.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, wraps
from numbers import Integral
from typing import Any, TypeVar, cast

from unifront.errors import ParseError, ShapeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What a dimension that is read may be at most: products of sums grow exponentially with their text.
_MAX_TEXT, _MAX_TERMS, _MAX_PARTS, _MAX_MINIMA = 1000, 100, 8, 12
_MAX_PRODUCTS = 1000
# How far bounds look into minima and quotients: the work grows exponentially with it.
_DEPTH = 3

# A graph calculates the same few dimensions over and over: each layer asks for the sizes that the last one had.
_remembered = lru_cache(maxsize=4096, typed=True)

_Operator = TypeVar("_Operator", bound=Callable[..., Any])


def is_dim(value: object) -> bool:
    """Whether ``value`` is a dimension: an expression, or a whole number of Python's or NumPy's."""
    return isinstance(value, (int, DimExpr, Integral))


def _of_dims(operator: _Operator) -> _Operator:
    """``operator`` among dimensions; what else there is (floats, tensors) Python asks the other operand for."""

    @wraps(operator)
    def method(self: DimExpr, other: Any) -> Any:
        return operator(self, other) if is_dim(other) else NotImplemented

    return cast(_Operator, method)


@dataclass(frozen=True, repr=False)
class FloorDiv:
    """``numerator // denominator``: an atom that no rule could take apart."""

    numerator: DimExpr
    denominator: int

    @cached_property
    def _text(self) -> str:
        text = str(self.numerator)
        return f"{text}//{self.denominator}" if _NAME.match(text) else f"({text})//{self.denominator}"

    def __repr__(self) -> str:
        return self._text

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        return self.numerator.evaluate(sizes) // self.denominator

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        return self.numerator.substitute(sizes) // self.denominator

    def symbols(self) -> frozenset[str]:
        return self.numerator.symbols()


@dataclass(frozen=True, repr=False)
class Min:
    """The smallest of several dimensions of which any may be it: what `minimum` leaves.

    In the one form that it has, the parts share no term and no factor.
    """

    parts: tuple[Dim, ...]

    @cached_property
    def _text(self) -> str:
        return f"min({','.join(map(str, self.parts))})"

    def __repr__(self) -> str:
        return self._text

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        return min(evaluate(part, sizes) for part in self.parts)

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        return minimum(*(substitute(part, sizes) for part in self.parts))

    def symbols(self) -> frozenset[str]:
        return frozenset().union(*(part.symbols() for part in self.parts if isinstance(part, DimExpr)))


Atom = str | FloorDiv | Min
Monomial = tuple[Atom, ...]


@dataclass(frozen=True)
class DimExpr:
    """A sum of ``coefficient * atom * atom …``; sorted, without zero terms, never a plain constant."""

    terms: tuple[tuple[Monomial, int], ...]

    @_of_dims
    @_remembered
    def __add__(self, other: Dim) -> Dim:
        return _sum([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    @_of_dims
    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    @_of_dims
    def __rsub__(self, other: int) -> Dim:
        return self * -1 + other

    @_of_dims
    @_remembered
    def __mul__(self, other: Dim) -> Dim:
        if len(self.terms) * len(_terms(other)) > _MAX_PRODUCTS:
            raise ShapeError(f"A dimension would be a sum of more than {_MAX_PRODUCTS} products of sizes.")
        return _sum((_sorted(a + b), m * n) for a, m in self.terms for b, n in _terms(other))

    __rmul__ = __mul__

    @_of_dims
    @_remembered
    def __floordiv__(self, divisor: int) -> Dim:
        if not isinstance(divisor, int) or divisor <= 0:
            raise ShapeError(
                f"The dimension {self} can be divided by a positive int only, not by {divisor!r}."
            )
        whole = _sum((monomial, n // divisor) for monomial, n in self.terms)
        rest = _sum((monomial, n % divisor) for monomial, n in self.terms)
        return whole if isinstance(rest, int) else whole + _fraction(rest, divisor)

    @_of_dims
    def __mod__(self, divisor: int) -> Dim:
        return self - (self // divisor) * divisor

    @_of_dims
    def __lt__(self, other: Dim) -> bool:
        return _decide(self, "<", other, other - 1 - self, self - other)

    @_of_dims
    def __le__(self, other: Dim) -> bool:
        return _decide(self, "<=", other, other - self, self - other - 1)

    @_of_dims
    def __gt__(self, other: Dim) -> bool:
        return _decide(self, ">", other, self - other - 1, other - self)

    @_of_dims
    def __ge__(self, other: Dim) -> bool:
        return _decide(self, ">=", other, self - other, other - 1 - self)

    def __str__(self) -> str:
        parts = []
        for monomial, n in sorted(self.terms, key=lambda term: (term[0] == (), str(term[0]))):
            alone = n == 1 and len(monomial) == 1
            body = "*".join(
                str(atom) if alone or not isinstance(atom, FloorDiv) else f"({atom})" for atom in monomial
            )
            text = str(abs(n)) if not body else body if abs(n) == 1 else f"{abs(n)}*{body}"
            parts.append((" - " if n < 0 else " + ") + text)
        return re.sub(r"\A - ", "-", re.sub(r"\A \+ ", "", "".join(parts))).replace(" ", "")

    __repr__ = __str__

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The int this is when every symbol has the size given; `ShapeError` if one is missing."""
        total = 0
        for monomial, n in self.terms:
            for atom in monomial:
                if not isinstance(atom, str):
                    n *= atom.evaluate(sizes)
                elif atom in sizes:
                    n *= sizes[atom]
                else:
                    raise ShapeError(
                        f"The size of the dimension {atom!r} is not known; known: {dict(sizes)}."
                    )
            total += n
        return total

    @property
    def atom(self) -> Atom | None:
        """The symbol, quotient or minimum that this is alone; None for a sum or a product."""
        ((monomial, n), *more) = self.terms
        return monomial[0] if not more and n == 1 and len(monomial) == 1 else None

    def substitute(self, sizes: Mapping[Any, Dim]) -> Dim:
        """This expression with symbols (or other atoms) replaced by other dimensions; those not named stay."""
        total: Dim = 0
        for monomial, n in self.terms:
            product: Dim = n
            for atom in monomial:
                if atom in sizes:
                    product = product * sizes[atom]
                elif isinstance(atom, str):
                    product = product * symbol(atom)
                else:
                    product = product * atom.substitute(sizes)
            total = total + product
        return total

    def symbols(self) -> frozenset[str]:
        """The names in this expression."""
        names: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                names |= {atom} if isinstance(atom, str) else atom.symbols()
        return frozenset(names)


Dim = int | DimExpr
"""A dimension."""


def symbol(name: str) -> DimExpr:
    """The dimension called ``name``; a valid Python identifier."""
    if not _NAME.match(name):
        raise ShapeError(f"A dimension's name is a Python identifier, not {name!r}.")
    return DimExpr((((name,), 1),))


def evaluate(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The int that ``dim`` is when every symbol has the size given; `ShapeError` if one is missing."""
    return dim if isinstance(dim, int) else dim.evaluate(sizes)


def substitute(dim: Dim, sizes: Mapping[str, Dim]) -> Dim:
    """``dim`` with symbols replaced by other dimensions; symbols not named stay."""
    return dim if isinstance(dim, int) else dim.substitute(sizes)


def minimum(*dims: Dim) -> Dim:
    """The smallest of ``dims``, of which there is at least one."""
    parts = _smallest(dims)
    if len(parts) == 1:
        return parts[0]
    shared = _shared(parts)
    rest = [part - shared for part in parts]
    factor = math.gcd(*(n for part in rest for _, n in _terms(part)))
    kept = [_sum((monomial, n // factor) for monomial, n in _terms(part)) for part in rest]
    if set(_smallest(kept)) != set(kept):  # without what they share, more can be said of them
        return minimum(*kept) * factor + shared
    kept.sort(key=_text_order)
    return DimExpr((((Min(tuple(kept)),), 1),)) * factor + shared


def maximum(*dims: Dim) -> Dim:
    """The largest of ``dims``, of which there is at least one."""
    return minimum(*(dim * -1 for dim in dims)) * -1


def ceil_divide(dim: Dim, divisor: int) -> Dim:
    """``dim / divisor``, rounded up."""
    return (dim + (divisor - 1)) // divisor


def at_least(dim: Dim, depth: int = _DEPTH) -> int | None:
    """An int that ``dim`` is never below, whatever the sizes; None if none is found.

    Args:
        depth: how far to look into minima and quotients.
    """
    if isinstance(dim, int):
        return dim
    inner = min(filter(_is_composite, dim.terms), key=_order, default=None)
    if inner is None or depth == 0:
        lows = [_term_at_least(monomial, n, depth) for monomial, n in dim.terms]
        return None if None in lows else sum(lows)  # type: ignore[arg-type]  # there is no None
    (atom,), n = inner
    rest = dim - DimExpr((inner,))
    if isinstance(atom, Min):
        found = [at_least(part * n + rest, depth - 1) for part in atom.parts]
        if n > 0:
            return None if None in found else min(found)  # type: ignore[type-var]  # there is no None
        return max((low for low in found if low is not None), default=None)
    assert isinstance(atom, FloorDiv)
    # num // k lies between (num - k + 1) / k and num / k.
    k, num = atom.denominator, atom.numerator
    low = at_least(rest * k + (num - (k - 1 if n > 0 else 0)) * n, depth - 1)
    apart = (at_least(rest, depth - 1), at_least(num, depth - 1) if n > 0 else at_most(num, depth - 1))
    found = [None if low is None else -(-low // k)]
    found += [None if None in apart else apart[0] + apart[1] // k * n]  # type: ignore[operator]  # there is no None
    return max((low for low in found if low is not None), default=None)


def at_most(dim: Dim, depth: int = _DEPTH) -> int | None:
    """An int that ``dim`` is never above, whatever the sizes; None if none is found."""
    low = at_least(dim * -1, depth)
    return None if low is None else -low


def _smallest(dims: Iterable[Dim]) -> list[Dim]:
    """Those of ``dims``, minima among them taken apart, that none of the others is always below."""
    parts: list[Dim] = []
    for dim in sorted({part for one in dims for part in _alternatives(one)}, key=_text_order):
        if not any(_never_less(dim, other) for other in parts):
            parts = [*(other for other in parts if not _never_less(other, dim)), dim]
    return parts


def _text_order(dim: Dim) -> tuple[bool, int, str]:
    text = str(dim)
    return not isinstance(dim, int), len(text), text


def _never_less(dim: Dim, other: Dim, depth: int = _DEPTH) -> bool:
    terms = _terms(dim - other)
    factor = math.gcd(*(n for _, n in terms)) or 1
    low = at_least(_sum((monomial, n // factor) for monomial, n in terms), depth)
    return low is not None and low >= 0


def _is_composite(term: tuple[Monomial, int]) -> bool:
    return len(term[0]) == 1 and not isinstance(term[0][0], str)


def _order(term: tuple[Monomial, int]) -> int:
    """Which of an expression's minima and quotients is looked into first: one of which all parts count."""
    (atom,), n = term
    return 2 if isinstance(atom, FloorDiv) else int(n < 0)


def _alternatives(dim: Dim) -> list[Dim]:
    """Dimensions of which ``dim`` is the smallest."""
    if isinstance(dim, DimExpr):
        inner = [term for term in dim.terms if any(isinstance(atom, Min) for atom in term[0])]
        if len(inner) == 1 and len(inner[0][0]) == 1 and inner[0][1] > 0:
            ((atom,), n) = inner[0]
            assert isinstance(atom, Min)
            return [part * n + (dim - DimExpr((inner[0],))) for part in atom.parts]
    return [dim]


def _shared(parts: list[Dim]) -> Dim:
    """What can be taken from each part so that no coefficient is negative and each is zero somewhere."""
    counts = [dict(_terms(part)) for part in parts]
    monomials = dict.fromkeys(monomial for count in counts for monomial in count)
    return _sum((monomial, min(count.get(monomial, 0) for count in counts)) for monomial in monomials)


def _term_at_least(monomial: Monomial, n: int, depth: int) -> int | None:
    if not monomial:
        return n
    sizes = [atom for atom in monomial if isinstance(atom, str)]
    others = (DimExpr((((atom,), 1),)) for atom in monomial if not isinstance(atom, str))
    known = len(sizes) == len(monomial) or (depth > 0 and all(_never_less(a, 0, depth - 1) for a in others))
    return 0 if n > 0 and known else None


_NAMES = {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"}


def _decide(a: DimExpr, sign: str, b: Dim, true: Dim, false: Dim) -> bool:
    """``a sign b``, where either of two dimensions can be shown not to be negative."""
    for outcome, dim in ((True, true), (False, false)):
        low = at_least(dim)
        if low is not None and low >= 0:
            return outcome
    raise ShapeError(
        f"Whether {a} {sign} {b} depends on the sizes, which are not known yet. For the smaller or larger of two "
        f"sizes take unifront.ir.dims.minimum or maximum; as a tensor, uf.ops.{_NAMES[sign]}."
    )


def divide_exactly(dim: Dim, divisor: Dim) -> Dim | None:
    """``dim / divisor`` where that is a dimension again, else None. Used to solve the -1 of a reshape."""
    if isinstance(divisor, int):
        if divisor <= 0:
            return None
        if isinstance(dim, int):
            return dim // divisor if dim % divisor == 0 else None
        quotient = dim // divisor
        return quotient if quotient * divisor == dim else None
    if dim == divisor:
        return 1
    if isinstance(dim, int) or len(divisor.terms) != 1:
        return None
    (atoms, factor) = divisor.terms[0]
    terms = []
    for monomial, n in dim.terms:
        rest = list(monomial)
        for atom in atoms:
            if atom not in rest:
                return None
            rest.remove(atom)
        if n % factor:
            return None
        terms.append((tuple(rest), n // factor))
    return _sum(terms)


def divide_down(dim: Dim, divisor: Dim) -> Dim | None:
    """``dim / divisor`` as `divide_exactly` gives it; where a number may divide or not, as sizes will show, rounded
    down."""
    exact = divide_exactly(dim, divisor)
    if exact is not None or isinstance(dim, int):
        return exact
    if isinstance(divisor, DimExpr):
        if len(divisor.terms) != 1:
            return None
        (atoms, factor) = divisor.terms[0]
        rest = divide_exactly(dim, DimExpr(((atoms, 1),)))
    else:
        rest, factor = dim, divisor
    return rest // factor if isinstance(rest, DimExpr) and factor > 0 else None


def solve(dim: Dim, size: int, sizes: dict[str, int]) -> bool:
    """Match ``dim`` against the concrete ``size``, adding new symbols to ``sizes``; False if they differ.

    A dimension that is not one plain symbol binds nothing and is checked only when all its symbols are known.
    """
    if isinstance(dim, int):
        return dim == size
    if len(dim.terms) == 1 and dim.terms[0][1] == 1 and len(dim.terms[0][0]) == 1:
        atom = dim.terms[0][0][0]
        if isinstance(atom, str):
            return sizes.setdefault(atom, size) == size
    return not dim.symbols() <= sizes.keys() or dim.evaluate(sizes) == size


def parse_dim(text: str) -> Dim:
    """The dimension written as ``text``, the inverse of ``str``."""
    try:
        if len(text) <= _MAX_TEXT:
            return _parse(ast.parse(text.strip(), mode="eval").body, {})
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        pass
    raise ParseError(
        f"{text[:80]!r} is not a dimension: an int, names, +, -, *, min, max, // and % by a positive int are."
    )


def _parse(node: ast.expr, minima: dict[str, Dim]) -> Dim:
    """What ``node`` says; ``minima`` keeps what each ``min(…)`` or ``max(…)`` was found to be, as many stand often."""
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _parse(operand, minima) * -1
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _parse(left, minima), _parse(right, minima)
            if len(_terms(a)) * len(_terms(b)) > _MAX_TERMS:
                raise ValueError("too many terms")
            match op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.FloorDiv() if isinstance(b, int) and b > 0:
                    return a // b
                case ast.Mod() if isinstance(b, int) and b > 0:
                    return a % b
        case ast.Call(func=ast.Name(id="min" | "max" as name), args=parts, keywords=[]):
            text = ast.dump(node)
            if text in minima:
                return minima[text]
            read = [_parse(part, minima) for part in parts[: _MAX_PARTS + 1]]
            few = len(read) <= _MAX_PARTS and sum(len(_terms(part)) for part in read) <= _MAX_TERMS
            if read and few and len(minima) < _MAX_MINIMA:
                return minima.setdefault(text, (minimum if name == "min" else maximum)(*read))
    raise ValueError("not a dimension")


def _fraction(rest: DimExpr, divisor: int) -> DimExpr:
    """``rest // divisor`` in its one form: in lowest terms, and ``(x//a + c)//b`` as ``(x + a*c)//(a*b)``."""
    constant = dict(rest.terms).get((), 0)
    symbolic = [(monomial, n) for monomial, n in rest.terms if monomial]
    common = math.gcd(divisor, *(n for _, n in symbolic))
    if common > 1:
        symbolic, constant = [(monomial, n // common) for monomial, n in symbolic], constant // common
        divisor //= common
    (monomial, n), *others = symbolic
    if not others and n == 1 and len(monomial) == 1 and isinstance(monomial[0], FloorDiv):
        inner = monomial[0]
        numerator = inner.numerator + constant * inner.denominator
        whole = numerator // (inner.denominator * divisor)
        assert isinstance(whole, DimExpr)
        return whole
    numerator = _sum([*symbolic, ((), constant)])
    assert isinstance(numerator, DimExpr)
    return DimExpr((((FloorDiv(numerator, divisor),), 1),))


def _terms(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    return dim.terms if isinstance(dim, DimExpr) else (((), int(dim)),)


def _sorted(atoms: Monomial) -> Monomial:
    return tuple(sorted(atoms, key=str))


def _sum(terms: Iterable[tuple[Monomial, int]]) -> Dim:
    total: dict[Monomial, int] = {}
    for monomial, n in terms:
        total[monomial] = total.get(monomial, 0) + n
    kept = tuple(sorted(((m, n) for m, n in total.items() if n), key=lambda term: str(term[0])))
    if not kept:
        return 0
    return kept[0][1] if len(kept) == 1 and kept[0][0] == () else DimExpr(kept)
