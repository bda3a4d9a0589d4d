"""Graphs as text: every graph reads back, and no text does harm."""

import string
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ir.graphs import ALL_OPS, BATCH, TIME, random_graphs, tiny, with_body
from unifront.dtypes import float32
from unifront.errors import ParseError, UnifrontError
from unifront.ir import facts
from unifront.ir.graph import Graph, Literal, Node, Value, Variable
from unifront.ir.text import parse_graph, print_graph
from unifront.ir.types import TensorType
from unifront.ir.verify import verify
from unifront.opset.spec import OpSpec

VECTOR = TensorType(float32, (3,))
ANY = OpSpec(
    "any",
    lambda *types, **_: VECTOR,
    lambda *_: None,
    lambda rng: [],
    "takes anything",
    {},
    facts=facts.opaque("half"),
)
OPS = {**ALL_OPS, "any": ANY}


def one_node(**attributes):
    x, y = Value(0, VECTOR), Value(1, VECTOR)
    return Graph("g", (x,), (), (Node(ANY, (x, None), (y,), attributes, (), "layer"),), (y,))


def round_trip(graph):
    text = print_graph(graph)
    back = parse_graph(text, OPS)
    assert back == graph.renumbered()
    assert print_graph(back) == text
    return back


@pytest.mark.parametrize("graph", [tiny(), with_body()], ids=["tiny", "body"])
def test_hand_built_graphs_read_back(graph):
    verify(round_trip(graph))


@given(random_graphs())
@settings(deadline=None, max_examples=50)
def test_random_graphs_read_back(graph):
    verify(round_trip(graph))


def test_the_text():
    assert print_graph(tiny()).splitlines() == [
        'graph "tiny"(%0 "x": float32[batch, 3]) {',
        '  variable %1 "layer/kernel": float32[3] trainable',
        "  %2: float32[] = constant() {value = array('float32', (), 'AAAAQA==')} \"\"",
        '  %3: float32[batch, 3] = multiply(%0, %1) {} "layer"',
        '  %4: float32[batch, 3] = add(%3, %2) {} ""',
        '  %5: float32[batch, 3] = relu(%4) {} ""',
        '  return %5 "y"',
        "}",
    ]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text(max_size=8),
)
ATTRIBUTES = st.recursive(
    st.one_of(SCALARS, st.sampled_from([BATCH, 2 * (TIME // 3), -BATCH + 1])),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)


@given(ATTRIBUTES)
@settings(deadline=None)
def test_attributes_read_back(value):
    back = round_trip(one_node(a=value, b=(value,))).nodes[0].attributes["a"]
    assert type(back) is type(value)
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (float("nan"), "number('nan')"),
        (float("-inf"), "number('-inf')"),
        (np.float64(0.5), "0.5"),
        (np.str_("x"), "'x'"),
        (-0.0, "-0.0"),
        ((), "()"),
        ((1,), "(1,)"),
        (2 * BATCH, "dim(2*batch)"),
        (Literal.of(np.zeros((0, 2), np.int32)), "array('int32', (0, 2), '')"),
    ],
)
def test_attributes_as_text(value, shown):
    text = print_graph(one_node(a=value))
    assert f"{{a = {shown}}}" in text
    assert f"{{a = {shown}}}" in print_graph(parse_graph(text, OPS))


@pytest.mark.parametrize("value", [[1], {"a": 1}, object(), b"x", 1j, np.zeros(2)])
def test_attributes_without_text_are_refused(value):
    with pytest.raises(ParseError, match="has no text form"):
        print_graph(one_node(a=value))


@given(st.text(max_size=20))
def test_any_name_reads_back(name):
    graph = tiny()
    nodes = tuple(replace(node, name=name) for node in graph.nodes)
    variables = (Variable(name, graph.variables[0].value, False),)
    round_trip(
        replace(graph, name=name, nodes=nodes, variables=variables, input_names=(name,), output_names=(name,))
    )


@pytest.mark.parametrize(
    "name",
    [
        '"',
        "'",
        "\\",
        '\\"',
        "a\nb",
        "a\r\n",
        "\u2028",
        "\x85",
        '} "x"',
        "])",
        "return %0",
        "\ud800",
        "\x00",
        "é中",
        "#",
    ],
)
def test_odd_names_read_back(name):
    round_trip(replace(one_node(a=name, b=(name,)), name=name, input_names=(name,)))


# ---------------------------------------------------------------- hostile texts

LINE = '  %1: float32[3] = any(%0, none) {{{}}} "layer"'
TEXT = 'graph "g"(%0 "x": float32[3]) {{\n{}\n  return %1 "y"\n}}'


def node(attributes):
    return TEXT.format(LINE.format(attributes))


def nested(depth):
    head, tail = (
        'graph "g"(%0 "x": float32[3]) {\n%1: float32[3] = any(%0) {} "" ([\n',
        '])\nreturn %1 "y"\n}\n',
    )
    return head * depth + 'graph "g"() {\nreturn \n}\n' + tail * depth


HOSTILE = {
    "empty": ("", "Line 0: the text ends"),
    "no graph": ("import os", "Line 1: expected 'graph"),
    "truncated": (TEXT.format(LINE.format(""))[:-1], "Line 3: the text ends"),
    "text after the end": (node("") + "\nmore", "text follows the end"),
    "unknown op": (node("").replace("any", "system"), "Line 2: Unknown op 'system'"),
    "undefined value": (node("").replace("(%0, none)", "(%7)"), "Line 2: %7 is not defined"),
    "defined twice": (node("").replace("%1: ", "%0: "), "Line 2: %0 is defined twice"),
    "undefined output": (node("").replace("return %1", "return %4"), "Line 3: %4 is not defined"),
    "huge number": (node("").replace("%0", "%" + "9" * 5000), "Line 1: cannot be read"),
    "other digits": (node("").replace("%0", "%٣"), "Line 1: cannot be read"),
    "bad dtype": (node("").replace("float32", "float31"), "Line 1: .* is not a tensor type"),
    "bad dim": (node("").replace("[3]", "[f(3)]"), "Line 1: .* is not a dimension"),
    "negative size": (node("").replace("[3]", "[-3]"), "Line 1: .* negative size"),
    "no closing brace": (node("")[:-1] + "]", "Line 4: expected '}' after return"),
    "bad variable": (TEXT.format('variable %1 "w": float32[3] maybe'), "Line 2: not a variable"),
    "not a node": (TEXT.format("%1 = any()"), "Line 2: not a node"),
    "bad escape": (node("").replace('"layer"', '"\\x1"'), "Line 2: not a node"),
    "bad code point": (node("").replace('"layer"', '"\\Uffffffff"'), "Line 2: cannot be read"),
    "null byte": (node("a=1\x00"), "Line 2: the attributes cannot be read"),
    "lone surrogate": (node("a='\ud800'"), "Line 2: cannot be read"),
    "code": (node("a = __import__('os').system('touch /tmp/x')"), "Line 2: .* is not a literal"),
    "code in a dim": (node("a = dim(__import__('os'))"), "Line 2: .* is not a dimension"),
    "comprehension": (node("a = [1 for _ in ()]"), "Line 2: .* is not a literal"),
    "lambda": (node("a = lambda: 0"), "Line 2: .* is not a literal"),
    "f-string": (node("a = f'{1}'"), "Line 2: .* is not a literal"),
    "name": (node("a = x"), "Line 2: .* is not a literal"),
    "bytes": (node("a = b'x'"), "Line 2: .* is not a literal"),
    "out of the call": (node("a = 1)(b = 2"), "Line 2: the attributes cannot be read"),
    "second expression": (node("a = 1), f("), "Line 2: .* cannot be read"),
    "positional": (node("1"), "Line 2: the attributes cannot be read"),
    "attribute twice": (node("a = 1, a = 2"), "Line 2: an attribute is given twice"),
    "spread": (node("**x"), "Line 2: the attributes cannot be read"),
    "deep tuple": (node("a = " + "(" * 5000), "Line 2: a tuple is nested too deep"),
    "deep minus": (node("a = " + "-" * 100_000 + "1"), "Line 2: .* is not a literal"),
    "deep sum": (node("a = dim(" + "x+" * 100_000 + "1)"), "Line 2: "),
    "deep attribute": (node("a = x" + ".x" * 50_000), "Line 2: "),
    "long integer": (node("a = " + "9" * 5000), "Line 2: an integer is too large for attributes"),
    "wide integer": (node("a = 0x" + "f" * 5000), "Line 2: the attributes cannot be read"),
    "wide negative": (node(f"a = -{2**64}"), "Line 2: an integer is too large for attributes"),
    "dim with a keyword": (node("a = dim(x, y=1)"), "Line 2: .* is not a dimension"),
    "array too short": (node("a = array('float32', (2,), 'AAAA')"), r"does not have 3 bytes"),
    "array too large": (node("a = array('float32', (9999999999, 9999999999), '')"), "does not have 0 bytes"),
    "array of negative size": (node("a = array('float32', (-1, -1), 'AAAAAA==')"), "Line 2: .* is not a literal"),
    "array of booleans": (node("a = array('float32', (True,), 'AAAAAA==')"), "Line 2: .* is not a literal"),
    "array without a tuple": (node("a = array('float32', 1, 'AAAAAA==')"), "Line 2: .* is not a literal"),
    "array of an unknown dtype": (node("a = array('O', (1,), 'AAAAAA==')"), "Line 2: .* is not a literal"),
    "array of keys": (node("a = array('key', (1,), 'AAAAAA==')"), "unknown dtype 'key'"),
    "array of no base64": (node("a = array('float32', (1,), '!!!!')"), "Line 2: .* is not a literal"),
    "array of a number": (node("a = array('float32', (1,), 5)"), "Line 2: .* is not a literal"),
    "array of no dtype": (node("a = array(None, (), '')"), "Line 2: .* is not a literal"),
    "nested bodies": (nested(100), "Line 66: graphs are nested more than 32 deep"),
    "bodies without an end": (nested(1).partition("([")[0] + "([\n", "the text ends"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "match"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_texts_are_refused_with_their_line(text, match):
    with pytest.raises(ParseError, match=match) as caught:
        parse_graph(text, OPS)
    assert str(caught.value).startswith("Line ")
    assert len(str(caught.value)) < 3000


def test_every_truncation_is_refused():
    text = print_graph(with_body())
    for length in range(len(text)):
        with pytest.raises(ParseError, match="Line"):
            parse_graph(text[:length], OPS)


@pytest.mark.parametrize(
    "line",
    [
        " = a() {" * 100_000,
        '} "x"' * 100_000,
        '"' * 500_000,
        "{a = '" + "\\'" * 200_000,
        "%1: float32[3] = any() {" + "'a', " * 100_000,
        "%1: f[], " * 100_000,
        "variable %1 " + '"a" ' * 100_000,
        'graph "a"(' * 100_000,
    ],
    ids=range(8),
)
@pytest.mark.parametrize("place", [TEXT, "{}"], ids=["inside", "first"])
def test_long_odd_lines_take_no_time(line, place):
    start = time.perf_counter()
    with pytest.raises(ParseError, match="Line"):
        parse_graph(place.format(line), OPS)
    assert time.perf_counter() - start < 2


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_a_changed_text_gives_a_graph_or_one_of_our_errors(data):
    text = data.draw(
        st.sampled_from([print_graph(tiny()), print_graph(with_body()), node("a = dim(x), b = (1, 'a')")])
    )
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 6)))
        new = data.draw(st.one_of(st.text(max_size=3), st.text(string.punctuation + "0a% \n", max_size=5)))
        text = text[:start] + new + text[end:]
    try:
        graph = parse_graph(text, OPS)
    except ParseError:
        return
    try:
        verify(graph)
    except UnifrontError:
        return
    assert parse_graph(print_graph(graph), OPS) == graph.renumbered()


@given(st.text())
@settings(deadline=None)
def test_any_text_is_a_parse_error(text):
    with pytest.raises(ParseError, match="Line"):
        parse_graph(text, OPS)
