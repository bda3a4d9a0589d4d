"""Dimensions: their one form agrees with Python's ints, and their text reads back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unifront.errors import ParseError, ShapeError
from unifront.ir.dims import (
    DimExpr,
    at_least,
    at_most,
    ceil_divide,
    divide_exactly,
    evaluate,
    maximum,
    minimum,
    parse_dim,
    solve,
    substitute,
    symbol,
)

TIME, BATCH = symbol("time"), symbol("batch")
NAMES = ("batch", "time", "x")
SIZES = st.fixed_dictionaries({name: st.integers(0, 50) for name in NAMES})


class Pair:
    """A dimension, and the same arithmetic done by Python on functions of the sizes."""

    def __init__(self, dim, value):
        self.dim, self.value = dim, value

    def __repr__(self):
        return str(self.dim)


def _extend(children):
    both = st.tuples(children, children)
    return st.one_of(
        both.map(lambda p: Pair(p[0].dim + p[1].dim, lambda s: p[0].value(s) + p[1].value(s))),
        both.map(lambda p: Pair(p[0].dim - p[1].dim, lambda s: p[0].value(s) - p[1].value(s))),
        both.map(lambda p: Pair(p[0].dim * p[1].dim, lambda s: p[0].value(s) * p[1].value(s))),
        st.tuples(children, st.integers(1, 6)).map(
            lambda p: Pair(p[0].dim // p[1], lambda s: p[0].value(s) // p[1])
        ),
        st.tuples(children, st.integers(1, 6)).map(
            lambda p: Pair(p[0].dim % p[1], lambda s: p[0].value(s) % p[1])
        ),
        both.map(lambda p: Pair(minimum(p[0].dim, p[1].dim), lambda s: min(p[0].value(s), p[1].value(s)))),
        both.map(lambda p: Pair(maximum(p[0].dim, p[1].dim), lambda s: max(p[0].value(s), p[1].value(s)))),
    )


PAIRS = st.recursive(
    st.one_of(
        st.sampled_from(NAMES).map(lambda name: Pair(symbol(name), lambda s: s[name])),
        st.integers(-5, 5).map(lambda n: Pair(n, lambda s: n)),
    ),
    _extend,
    max_leaves=8,
)


@given(PAIRS, SIZES)
@settings(deadline=None)
def test_arithmetic_agrees_with_python(pair, sizes):
    assert evaluate(pair.dim, sizes) == pair.value(sizes)


@given(PAIRS)
@settings(deadline=None)
def test_text_reads_back(pair):
    assert parse_dim(str(pair.dim)) == pair.dim


@given(PAIRS, SIZES)
@settings(deadline=None)
def test_text_means_to_python_what_the_dimension_means(pair, sizes):
    # `emit` writes dimensions into Python source, so Python's precedence must agree.
    assert eval(str(pair.dim), {}, dict(sizes)) == evaluate(pair.dim, sizes)


@given(PAIRS, SIZES)
@settings(deadline=None)
def test_substitution_by_ints_is_evaluation(pair, sizes):
    assert substitute(pair.dim, sizes) == evaluate(pair.dim, sizes)


@given(PAIRS, PAIRS)
@settings(deadline=None)
def test_equal_expressions_have_one_form(a, b):
    assert a.dim + b.dim == b.dim + a.dim
    assert a.dim * b.dim == b.dim * a.dim
    assert hash(a.dim + b.dim) == hash(b.dim + a.dim)
    assert (a.dim + b.dim) - b.dim == a.dim
    assert minimum(a.dim, b.dim) == minimum(b.dim, a.dim)
    assert maximum(a.dim, b.dim) == maximum(b.dim, a.dim)
    assert minimum(a.dim, a.dim) == a.dim


@given(PAIRS, SIZES)
@settings(deadline=None)
def test_bounds_hold(pair, sizes):
    low, high, value = at_least(pair.dim), at_most(pair.dim), pair.value(sizes)
    assert low is None or low <= value
    assert high is None or value <= high


@pytest.mark.parametrize(
    ("dim", "low", "high"),
    [
        (TIME, 0, None),
        (3 - TIME, None, 3),
        (minimum(10, TIME), 0, 10),
        (maximum(10, TIME), 10, None),
        (TIME - minimum(10, TIME), 0, None),
        (TIME % 4, 0, 3),
        (minimum(TIME + 1, BATCH) - minimum(TIME, BATCH), 0, 1),
        (TIME - (TIME + 1) // 2, 0, None),
        (BATCH * TIME + 1, 1, None),
    ],
)
def test_bounds(dim, low, high):
    assert (at_least(dim), at_most(dim)) == (low, high)


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        (2 * TIME, "2*time"),
        (TIME // 2 + 1, "time//2+1"),
        (2 * (TIME // 2), "2*(time//2)"),
        (-(TIME // 2), "-(time//2)"),
        (BATCH * (TIME // 2), "batch*(time//2)"),
        (TIME + 2 - BATCH, "-batch+time+2"),
        ((TIME + 3) // 2, "(time+1)//2+1"),
        (minimum(TIME, 10), "min(10,time)"),
        (maximum(TIME, 10), "time-min(10,time)+10"),
        (BATCH * minimum(TIME, 10), "batch*min(10,time)"),
        (minimum(TIME, 10) // 2, "(min(10,time))//2"),
        (TIME % 3, "time-3*(time//3)"),
    ],
)
def test_text(dim, text):
    assert str(dim) == text


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((TIME // 2) // 3, TIME // 6),
        (((TIME + 1) // 2 + 1) // 2, (TIME + 3) // 4),
        ((2 * TIME + 1) // 4, TIME // 2),
        ((2 * TIME) // 2, TIME),
        ((3 * TIME) // 2, TIME + TIME // 2),
        ((TIME + 4) // 2, TIME // 2 + 2),
        (TIME - TIME, 0),
        (TIME // 1, TIME),
        ((TIME + 1) * (TIME - 1), TIME * TIME - 1),
        (minimum(TIME, TIME + 1), TIME),
        (minimum(0, TIME), 0),
        (maximum(0, TIME), TIME),
        (minimum(4, 2 * TIME), 2 * minimum(2, TIME)),
        (minimum(8, TIME - 2), minimum(10, TIME) - 2),
        (minimum(TIME, minimum(BATCH, 3)), minimum(minimum(TIME, BATCH), 3)),
        (minimum(TIME, minimum(TIME, 3) + 2), minimum(TIME, 5)),
        (maximum(0, TIME - 10), TIME - minimum(10, TIME)),
        (minimum(10, TIME) + maximum(10, TIME), TIME + 10),
        (maximum(TIME, maximum(BATCH, 3)), maximum(maximum(TIME, BATCH), 3)),
        (minimum(TIME, 10) + maximum(TIME - 10, 0), TIME),
        (ceil_divide(TIME, 2), (TIME + 1) // 2),
        ((4 * TIME + 3) % 4, 3),
        (TIME % 4 + 4 * (TIME // 4), TIME),
    ],
)
def test_forms_that_are_known_to_be_equal(left, right):
    assert left == right


def test_plain_numbers_are_ints_again():
    assert type(TIME - TIME + 3) is int
    assert type(TIME.substitute({"time": 4}) * 2) is int


@pytest.mark.parametrize("divisor", [0, -1, TIME])
def test_division_is_by_a_positive_int_only(divisor):
    with pytest.raises(ShapeError, match="positive int only"):
        TIME // divisor


@pytest.mark.parametrize("name", ["", "2x", "a b", "a\n", "é", "a-b"])
def test_a_symbol_is_an_identifier(name):
    with pytest.raises(ShapeError, match="Python identifier"):
        symbol(name)


def test_comparisons_are_made_where_the_sizes_do_not_matter():
    assert TIME >= 0
    assert TIME + 1 > TIME
    assert not TIME < 0
    assert min(TIME + 2, TIME) == TIME
    with pytest.raises(ShapeError, match="Whether 10 < time|Whether time > 10|Whether time < 10"):
        min(10, TIME)


def test_an_unknown_size_is_named():
    with pytest.raises(ShapeError, match="'time' is not known"):
        (2 * TIME).evaluate({"batch": 3})


def test_symbols_are_found_inside_divisions():
    assert ((TIME + BATCH) // 3 * symbol("x")).symbols() == {"time", "batch", "x"}


@pytest.mark.parametrize(
    ("dim", "divisor", "quotient"),
    [
        (12, 4, 3),
        (12, 5, None),
        (12, 0, None),
        (6 * TIME, 3, 2 * TIME),
        (6 * TIME, 4, None),
        (6 * TIME * BATCH, 2 * BATCH, 3 * TIME),
        (TIME, TIME, 1),
        (TIME * BATCH + BATCH, BATCH, TIME + 1),
        (TIME + 1, BATCH, None),
        (12, TIME, None),
        (3 * TIME, 2 * TIME, None),
    ],
)
def test_exact_division(dim, divisor, quotient):
    assert divide_exactly(dim, divisor) == quotient


@given(PAIRS, st.one_of(st.integers(1, 6), st.sampled_from([TIME, 2 * BATCH])), SIZES)
@settings(deadline=None)
def test_an_exact_quotient_times_the_divisor_is_the_dimension(pair, divisor, sizes):
    quotient = divide_exactly(pair.dim * divisor, divisor)
    if quotient is not None:
        assert evaluate(quotient * divisor, sizes) == evaluate(pair.dim * divisor, sizes)


def test_solve_binds_plain_symbols_and_checks_the_rest():
    sizes = {}
    assert solve(TIME, 5, sizes)
    assert sizes == {"time": 5}
    assert not solve(TIME, 6, sizes)
    assert solve(2 * TIME, 10, sizes)
    assert not solve(2 * TIME, 11, sizes)
    assert solve(2 * BATCH, 11, sizes)
    assert solve(3, 3, sizes)
    assert not solve(3, 4, sizes)


@pytest.mark.parametrize(
    "text",
    [
        "", "a b", "a.b", "a()", "a[0]", "a/2", "a//0", "a//-1", "a//b", "a%b", "a%0", "min()", "max()", "min(a,b=1)", "min(*a)", "abs(a)", "min.x(a)", "a**2", "a<b", "True", "1.5", "'a'",
        "é", "a if b else c", "__import__('os').system('true')", "(lambda: 1)()", "a:=1", "\x00", "\ud800",
        "9" * 5000, "(" * 500, "-" * 900, "a+" * 100_000 + "a", "(a+b+c+d+e+f)*" * 40 + "a",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ParseError, match="is not a dimension"):
        parse_dim(text)


def test_deep_division_is_read_in_linear_time():
    text = "a"
    for _ in range(60):
        text = f"({text}//2+b)"
    dim = parse_dim(text)
    assert isinstance(dim, DimExpr)
    assert parse_dim(str(dim)) == dim


def test_many_minima_are_refused():
    text = "a"
    for number in range(25):
        text = f"min({text}//2+b,c{number})"
    with pytest.raises(ParseError, match="is not a dimension"):
        parse_dim(text)


def test_a_minimum_that_stands_often_counts_once():
    x, half = symbol("x"), (BATCH + minimum(2, BATCH)) // 2 - minimum(2, BATCH) + 1
    dim = half * (minimum(TIME, BATCH) + minimum(x, BATCH) - minimum(x, TIME, BATCH))
    assert str(dim).count("min(") == 15
    assert parse_dim(str(dim)) == dim
