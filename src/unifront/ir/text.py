"""Graphs as text, and back.

    graph digits(%0 "image": float32[batch, 64]) {
      variable %1 "dense/kernel": float32[64, 10] trainable
      %2: float32[batch, 10] = dense(%0, %1, none) {activation = "relu"} "dense"
      return %2 "logits"
    }

Attributes are Python literals, plus ``dim(2*time)`` and ``array("float32", (2,), "base64 bytes")``.
Reading runs no code: values are literals read with `ast`, operations are looked up by name.
"""

from __future__ import annotations

import ast
import base64
import binascii
import math
import re
from collections.abc import Mapping
from typing import Any

from unifront.dtypes import BY_NAME
from unifront.errors import ParseError, UnifrontError, UnknownName
from unifront.ir.dims import DimExpr, parse_dim
from unifront.ir.graph import Graph, Literal, Node, Op, Value, Variable
from unifront.ir.types import TensorType, parse_type

# Every repetition is possessive (`*+`), so that no line, however long or odd, is read more than once.
_ESCAPE = r"\\(?:[\\'\"abfnrtv]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_STRING = rf'"(?:[^"\\]|{_ESCAPE})*+"'
_LITERALS = rf"(?:[^\"'{{}}\\]|{_STRING}|'(?:[^'\\]|{_ESCAPE})*+')*+"
_TYPE = r"[a-z0-9]++\[[^\]]*+\]"
_VALUE = r"%([0-9]{1,9})(?![0-9])"
_HEAD = re.compile(rf"graph ({_STRING})\((.*)\) \{{\Z")
_INPUT = re.compile(rf"{_VALUE} ({_STRING}): ({_TYPE})")
_VARIABLE = re.compile(rf"variable {_VALUE} ({_STRING}): ({_TYPE}) (trainable|fixed)\Z")
_NODE = re.compile(
    rf"([^=]*+)(?<![^ ])= ([a-z_][a-z0-9_]*+)\(([^()]*+)\) \{{({_LITERALS})\}} ({_STRING})( \(\[)?\Z"
)
_OUTPUT = re.compile(rf"{_VALUE}: ({_TYPE})")
_OPERAND = re.compile(rf"(none)|{_VALUE}")
_RETURN = re.compile(rf"{_VALUE} ({_STRING})")
_STRINGS = re.compile(rf"{_STRING}|'(?:[^'\\]|{_ESCAPE})*+'")
MAX_NESTING = 32
MAX_EXPRESSION = 100_000
"""The most characters of attributes, strings aside: a syntax tree is a hundred times as large as its text."""
_MAX_INTEGER = 2**64


def print_graph(graph: Graph) -> str:
    """The text of ``graph``; `parse_graph` gives an equal graph back once values are numbered in order."""
    return "\n".join(_lines(graph.renumbered(), ""))


def _lines(graph: Graph, indent: str) -> list[str]:
    inputs = ", ".join(
        f"{value} {_quote(name)}: {value.type}"
        for value, name in zip(graph.inputs, graph.input_names, strict=True)
    )
    lines = [f"{indent}graph {_quote(graph.name)}({inputs}) {{"]
    for variable in graph.variables:
        kind = "trainable" if variable.trainable else "fixed"
        lines.append(
            f"{indent}  variable {variable.value} {_quote(variable.name)}: {variable.value.type} {kind}"
        )
    for node in graph.nodes:
        outputs = ", ".join(f"{value}: {value.type}" for value in node.outputs)
        operands = ", ".join("none" if value is None else str(value) for value in node.operands)
        attributes = ", ".join(
            f"{name} = {_attribute(value)}" for name, value in sorted(node.attributes.items())
        )
        line = f"{indent}  {outputs} = {node.op.name}({operands}) {{{attributes}}} {_quote(node.name)}"
        if node.regions:
            lines.append(line + " ([")
            for region in node.regions:
                lines += _lines(region.renumbered(), indent + "    ")
            lines.append(f"{indent}  ])")
        else:
            lines.append(line)
    outputs = ", ".join(
        f"{value} {_quote(name)}" for value, name in zip(graph.outputs, graph.output_names, strict=True)
    )
    return [*lines, f"{indent}  return {outputs}", f"{indent}}}"]


def _quote(text: str) -> str:
    escaped = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'


def _attribute(value: Any) -> str:
    match value:
        case DimExpr():
            return f"dim({value})"
        case Literal():
            data = base64.b64encode(value.data).decode("ascii")
            return f"array({value.dtype!r}, {value.shape!r}, {data!r})"
        case tuple():
            items = ", ".join(_attribute(item) for item in value)
            return f"({items},)" if len(value) == 1 else f"({items})"
        case float() if not math.isfinite(value):
            return f"number({str(value)!r})"
        case bool() | None:
            return repr(value)
        case (
            int() | float() | str()
        ):  # as the builtin type writes it, whatever NumPy's or an enumeration's repr is
            return next(base for base in (int, float, str) if isinstance(value, base)).__repr__(value)
    raise ParseError(f"An attribute of type {type(value).__name__} has no text form: {value!r}.")


def parse_graph(text: str, ops: Mapping[str, Op]) -> Graph:
    """The graph written as ``text``, its operations looked up in ``ops``.

    Raises `ParseError` with the line number for anything that `print_graph` would not write. The types
    of the outputs are read, not trusted: run `unifront.ir.verify.verify` on the result.
    """
    parser = _Parser(text.splitlines(), ops)
    graph = parser.graph(0)
    if any(line.strip() for line in parser.lines[parser.at :]):
        raise parser.fail("text follows the end of the graph")
    return graph


class _Parser:
    def __init__(self, lines: list[str], ops: Mapping[str, Op]) -> None:
        self.lines, self.ops, self.at = lines, ops, 0

    def fail(self, why: str) -> ParseError:
        line = self.lines[self.at - 1].strip() if 0 < self.at <= len(self.lines) else ""
        return ParseError(f"Line {self.at}: {why}: {line[:100]!r}.")

    def next(self) -> str:
        if self.at >= len(self.lines):
            raise ParseError(f"Line {self.at}: the text ends inside a graph.")
        self.at += 1
        return self.lines[self.at - 1].strip()

    def graph(self, depth: int) -> Graph:
        if depth > MAX_NESTING:
            raise self.fail(f"graphs are nested more than {MAX_NESTING} deep")
        head = _HEAD.match(self.next())
        if not head:
            raise self.fail("expected 'graph \"name\"(…) {'")
        values: dict[int, Value] = {}
        inputs = [
            (self.define(values, n, t), self.string(name)) for n, name, t in self.items(_INPUT, head.group(2))
        ]
        variables: list[Variable] = []
        nodes: list[Node] = []
        while True:
            line = self.next()
            if line.startswith("return"):
                break
            if line.startswith("variable "):
                match = _VARIABLE.match(line)
                if not match:
                    raise self.fail("not a variable")
                number, name, type_, kind = match.groups()
                variables.append(
                    Variable(self.string(name), self.define(values, number, type_), kind == "trainable")
                )
            else:
                nodes.append(self.node(line, values, depth))
        outputs = [
            (self.use(values, number), self.string(name))
            for number, name in self.items(_RETURN, line.removeprefix("return").strip())
        ]
        if self.next() != "}":
            raise self.fail("expected '}' after return")
        return Graph(
            self.string(head.group(1)),
            tuple(value for value, _ in inputs),
            tuple(variables),
            tuple(nodes),
            tuple(value for value, _ in outputs),
            tuple(name for _, name in inputs),
            tuple(name for _, name in outputs),
        )

    def node(self, line: str, values: dict[int, Value], depth: int) -> Node:
        match = _NODE.match(line)
        if not match:
            raise self.fail("not a node")
        outputs, op, operands, attributes, name, opens = match.groups()
        if op not in self.ops:
            error = UnknownName("op", op, self.ops)
            raise self.fail(str(error))
        used = tuple(
            None if none else self.use(values, number) for none, number in self.items(_OPERAND, operands)
        )
        read = self.attributes(attributes)
        regions = []
        if opens:
            while self.lines[self.at : self.at + 1] and self.lines[self.at].strip() != "])":
                regions.append(self.graph(depth + 1))
            self.next()
        made = tuple(self.define(values, n, t) for n, t in self.items(_OUTPUT, outputs.removesuffix(" ")))
        return Node(self.ops[op], used, made, read, tuple(regions), self.string(name))

    def items(self, pattern: re.Pattern[str], text: str) -> list[tuple[str, ...]]:
        """All matches of ``pattern`` in a comma-separated ``text``, with nothing left over."""
        found, position = [], 0
        while position < len(text):
            match = pattern.match(text, position)
            if not match:
                raise self.fail("cannot be read")
            found.append(match.groups())
            position = match.end()
            if position < len(text):
                if not text.startswith(", ", position):
                    raise self.fail("expected ', '")
                position += 2
        return found

    def define(self, values: dict[int, Value], number: str, type_: str) -> Value:
        value = Value(int(number), self.type(type_))
        if values.setdefault(value.id, value) is not value:
            raise self.fail(f"%{number} is defined twice")
        return value

    def type(self, text: str) -> TensorType:
        try:
            return parse_type(text)
        except UnifrontError as error:
            raise self.fail(str(error)) from None

    def use(self, values: dict[int, Value], number: str) -> Value:
        if int(number) not in values:
            raise self.fail(f"%{number} is not defined")
        return values[int(number)]

    def string(self, text: str) -> str:
        return str(self.literal(self.expression(text)))

    def expression(self, text: str) -> ast.expr:
        """``text`` as a syntax tree, which runs nothing."""
        if len(text) > MAX_EXPRESSION and len(_STRINGS.sub("", text)) > MAX_EXPRESSION:
            raise self.fail("cannot be read, as it is too long")
        try:
            return ast.parse(text, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise self.fail("cannot be read") from None

    def attributes(self, text: str) -> dict[str, Any]:
        call = self.expression(f"_({text})")
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise self.fail("the attributes cannot be read")
        read: dict[str, Any] = {}
        for keyword in call.keywords:
            if keyword.arg is None or keyword.arg in read:
                raise self.fail(f"an attribute is given twice or has no name ({keyword.arg})")
            try:
                read[keyword.arg] = self.literal(keyword.value)
            except RecursionError:
                raise self.fail(f"the attribute {keyword.arg!r} is nested too deep") from None
        return read

    def literal(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=bool() | float() | str() | None as value):
                return value
            case ast.Constant(value=int() as value) if value < _MAX_INTEGER:
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -self.literal(ast.Constant(value))
            case ast.Tuple(elts=items):
                return tuple(self.literal(item) for item in items)
            case ast.Call(func=ast.Name(id="dim"), args=[argument], keywords=[]):
                try:
                    return parse_dim(ast.unparse(argument))
                except ParseError as error:
                    raise self.fail(str(error)) from None
            case ast.Call(
                func=ast.Name(id="number"),
                args=[ast.Constant(value="nan" | "inf" | "-inf" as value)],
                keywords=[],
            ):
                return float(value)
            case ast.Call(func=ast.Name(id="array"), args=[name, shape, data], keywords=[]):
                return self.array(self.literal(name), self.literal(shape), self.literal(data))
        raise self.fail(f"a {type(node).__name__} is not a literal that attributes may hold")

    def array(self, name: Any, shape: Any, data: Any) -> Literal:
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            raise self.fail("the shape of an array is a tuple of sizes")
        if name not in BY_NAME:
            raise self.fail(f"an array has the unknown dtype {name!r}")
        try:
            literal = Literal(name, shape, base64.b64decode(data, validate=True))
            needed = math.prod(shape) * BY_NAME[name].numpy.itemsize
        except (UnifrontError, binascii.Error, TypeError, ValueError) as error:
            raise self.fail(f"an array cannot be read ({error})") from None
        if needed != len(literal.data):
            raise self.fail(f"an array of {name}{list(shape)} does not have {len(literal.data)} bytes")
        return literal
