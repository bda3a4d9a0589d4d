"""Dimensions: an int, or an integer expression over named symbols (``batch``, ``2*time``, ``time//2+1``).

An expression is kept as a canonical sum of products, so that two expressions that mean the same
compare equal wherever this small arithmetic (+, -, *, // by a positive int) can tell.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

from unifront.errors import ParseError, ShapeError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What a dimension that is read may be at most: products of sums grow exponentially with their text.
_MAX_TEXT, _MAX_TERMS = 1000, 100

# A graph calculates the same few dimensions over and over: each layer asks for the sizes that the last one had.
_remembered = lru_cache(maxsize=4096, typed=True)


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


Atom = str | FloorDiv
Monomial = tuple[Atom, ...]


@dataclass(frozen=True)
class DimExpr:
    """A sum of ``coefficient * atom * atom …``; sorted, without zero terms, never a plain constant."""

    terms: tuple[tuple[Monomial, int], ...]

    @_remembered
    def __add__(self, other: Dim) -> Dim:
        return _sum([*self.terms, *_terms(other)])

    __radd__ = __add__

    def __neg__(self) -> Dim:
        return self * -1

    def __sub__(self, other: Dim) -> Dim:
        return self + other * -1

    def __rsub__(self, other: int) -> Dim:
        return self * -1 + other

    @_remembered
    def __mul__(self, other: Dim) -> Dim:
        return _sum((_sorted(a + b), m * n) for a, m in self.terms for b, n in _terms(other))

    __rmul__ = __mul__

    @_remembered
    def __floordiv__(self, divisor: int) -> Dim:
        if not isinstance(divisor, int) or divisor <= 0:
            raise ShapeError(
                f"The dimension {self} can be divided by a positive int only, not by {divisor!r}."
            )
        whole = _sum((monomial, n // divisor) for monomial, n in self.terms)
        rest = _sum((monomial, n % divisor) for monomial, n in self.terms)
        return whole if isinstance(rest, int) else whole + _fraction(rest, divisor)

    def __str__(self) -> str:
        parts = []
        for monomial, n in sorted(self.terms, key=lambda term: (term[0] == (), str(term[0]))):
            alone = n == 1 and len(monomial) == 1
            body = "*".join(str(atom) if alone or isinstance(atom, str) else f"({atom})" for atom in monomial)
            text = str(abs(n)) if not body else body if abs(n) == 1 else f"{abs(n)}*{body}"
            parts.append((" - " if n < 0 else " + ") + text)
        return re.sub(r"\A - ", "-", re.sub(r"\A \+ ", "", "".join(parts))).replace(" ", "")

    __repr__ = __str__

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The int this is when every symbol has the size given; `ShapeError` if one is missing."""
        total = 0
        for monomial, n in self.terms:
            for atom in monomial:
                if isinstance(atom, FloorDiv):
                    n *= evaluate(atom.numerator, sizes) // atom.denominator
                elif atom in sizes:
                    n *= sizes[atom]
                else:
                    raise ShapeError(
                        f"The size of the dimension {atom!r} is not known; known: {dict(sizes)}."
                    )
            total += n
        return total

    def substitute(self, sizes: Mapping[str, Dim]) -> Dim:
        """This expression with symbols replaced by other dimensions; symbols not named stay."""
        total: Dim = 0
        for monomial, n in self.terms:
            product: Dim = n
            for atom in monomial:
                if isinstance(atom, FloorDiv):
                    product = product * (substitute(atom.numerator, sizes) // atom.denominator)
                else:
                    product = product * sizes.get(atom, symbol(atom))
            total = total + product
        return total

    def symbols(self) -> frozenset[str]:
        """The names in this expression."""
        names: set[str] = set()
        for monomial, _ in self.terms:
            for atom in monomial:
                names |= atom.numerator.symbols() if isinstance(atom, FloorDiv) else {atom}
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
            return _parse(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError, ValueError):
        pass
    raise ParseError(
        f"{text[:80]!r} is not a dimension: an int, names, +, -, * and // by a positive int are."
    )


def _parse(node: ast.expr) -> Dim:
    match node:
        case ast.Constant(value=int(value)) if not isinstance(value, bool):
            return value
        case ast.Name(id=name):
            return symbol(name)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _parse(operand) * -1
        case ast.BinOp(left=left, op=op, right=right):
            a, b = _parse(left), _parse(right)
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
