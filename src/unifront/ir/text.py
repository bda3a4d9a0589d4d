"""Graphs as text, and back.

    graph digits(%0 "image": float32[batch, 64]) {
      variable %1 "dense/kernel": float32[64, 10] trainable
      %2: float32[batch, 10] = dense(%0, %1, none) {activation = "relu"} "dense"
      return %2 "logits"
    }

Attributes are Python literals, plus ``dim(2*time)`` and ``array("float32", (2,), "base64 bytes")``.
Reading runs no code: values are literals, operations are looked up by name. What a text may cost to read is bounded
(`MAX_WORK`).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping, Sized
from typing import Any

from unifront.dtypes import BY_NAME
from unifront.errors import ParseError, UnifrontError, UnknownName
from unifront.ir.dims import Dim, DimExpr, parse_dim, symbol
from unifront.ir.graph import Graph, Literal, Node, Op, Value, Variable
from unifront.ir.types import TensorType

# Every repetition is possessive (`*+`, `++`), so that no line, however long or odd, is read more than once.
_ESCAPE = rb"\\(?:[\\'\"abfnrtv]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})"
_NAME_TEXT = rb'"((?:[^"\\\n]++|' + _ESCAPE + rb')*+)"'
_NUMBER_TEXT, _TYPE_TEXT = rb"%([0-9]{1,9}+)", rb"([a-z0-9_]++\[[^\]\n]*+\])"
_NAME = re.compile(_NAME_TEXT)
_TEXT = re.compile(rb"'((?:[^'\\\n]++|" + _ESCAPE + rb")*+)'")
_ESCAPES = re.compile(_ESCAPE.decode())
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SPACES = re.compile(rb" *+")
_HEAD = re.compile(rb"graph " + _NAME_TEXT + rb"\(")
_INPUT = re.compile(_NUMBER_TEXT + b" " + _NAME_TEXT + b": " + _TYPE_TEXT)
_VARIABLE = re.compile(_INPUT.pattern + rb" (trainable|fixed)\Z")
_RESULT = re.compile(_NUMBER_TEXT + b": " + _TYPE_TEXT)
_RETURN = re.compile(rb"return(?: (?=%))?")
_RETURNED = re.compile(_NUMBER_TEXT + b" " + _NAME_TEXT)
_TYPE = re.compile(rb"([a-z0-9_]++)\[([^\]\n]*+)\]")
_LAYER = re.compile(b" " + _NAME_TEXT + rb"( \(\[)?+ *+\Z")
_OPERATION = re.compile(rb" ?+= ([a-z_][a-z0-9_]{0,99}+)\(")
_OPERANDS = re.compile(rb"((?:(?:none|%[0-9]{1,9}+)(?:, (?=[n%])|(?=\))))*+)\) \{")
_ATTRIBUTE = re.compile(rb"([A-Za-z_][A-Za-z0-9_]{0,99}+) ?+= ?+")
_NUMBER = re.compile(rb"(-?+[0-9]++)((?:\.[0-9]++)?+(?:e[+-]?+[0-9]++)?+)")
_INTEGERS = re.compile(rb"\((-?+[0-9]{1,18}+(?:, -?+[0-9]{1,18}+)*+),?+\)")
_ARRAY = re.compile(rb"array\('([a-z0-9_]++)', (\([0-9, ]{0,1000}+\)), '([A-Za-z0-9+/=]*+)'\)")
_SPECIAL = re.compile(rb"number\('(nan|-?inf)'\)")
_WORD = re.compile(rb"True|False|None")
_WORDS = {b"True": True, b"False": False, b"None": None}
_PARENTHESIS = re.compile(rb"[()]")
_SEPARATORS = re.compile(rb"[()]|, ")
_SIZE = re.compile(rb"[0-9]{1,20}+\Z")
_DIM = re.compile(rb"(?:[A-Za-z_][A-Za-z0-9_]*+|[0-9]{1,20}+(?![A-Za-z0-9_.])|[-+*/%(), ])++\Z")
_IDENTIFIER = re.compile(rb"[A-Za-z_][A-Za-z0-9_]{0,200}+\Z")
MAX_NESTING = 32
"""Of graphs, and of tuples."""
MAX_RANK = 64
"""NumPy's own."""
MAX_WORK = 1_600_000
"""What a text may cost to read and to check, in units of half a microsecond; 10,000 dense layers cost 1,500,000."""
_MAX_DIM = 1000
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


def parse_graph(text: str | bytes, ops: Mapping[str, Op]) -> Graph:
    """The graph written as ``text`` (bytes are UTF-8), its operations looked up in ``ops``.

    Raises `ParseError` with the line number for anything that `print_graph` would not write, and for a graph that is
    too large. The types of the outputs are read, not trusted: run `unifront.ir.verify.verify` on the result.
    """
    parser = _Parser(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text, ops)
    graph = parser.graph(0)
    if parser.text[parser.next_line :].strip():
        raise parser.fail("text follows the end of the graph")
    return graph


class _Parser:
    """Reads ``text`` once, from the left to the right: ``at`` is where it is, ``end`` where the line ends."""

    def __init__(self, text: bytes, ops: Mapping[str, Op]) -> None:
        self.text, self.ops = text, ops
        self.line = self.start = self.at = self.end = self.next_line = 0
        self.work = 0
        self.types: dict[bytes, TensorType] = {}
        self.dims: dict[bytes, Dim] = {}
        self.costs: dict[int, int] = {}  # of the types in `types`, by their ids

    def fail(self, why: str) -> ParseError:
        shown = self.text[self.start : min(self.end, self.start + 100)].decode("utf-8", "replace")
        return ParseError(f"Line {self.line}: {why}: {shown!r}.")

    def spend(self, units: int) -> None:
        """Count what something costs, before it is done."""
        self.work += units
        if self.work > MAX_WORK:
            raise self.fail("the graph is too large to be read")

    def next(self) -> None:
        """Go to the beginning of the next line, after its spaces."""
        if self.next_line >= len(self.text):
            raise ParseError(f"Line {self.line}: the text ends inside a graph.")
        self.line += 1
        self.start, end = self.next_line, self.text.find(b"\n", self.next_line)
        self.end = len(self.text) if end < 0 else end
        self.next_line = self.end + 1
        self.spend(8 + (self.end - self.start) // 64)
        self.start = self.at = _SPACES.match(self.text, self.start, self.end).end()  # type: ignore[union-attr]

    def match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """What ``pattern`` finds here, which is then behind."""
        found = pattern.match(self.text, self.at, self.end)
        if found:
            self.at = found.end()
        return found

    def skip(self, text: bytes) -> bool:
        """Whether ``text`` stands here, which is then behind."""
        found = self.text.startswith(text, self.at, self.end)
        if found:
            self.at += len(text)
        return found

    def need(self, pattern: re.Pattern[bytes], why: str) -> re.Match[bytes]:
        found = self.match(pattern)
        if not found:
            raise self.fail(why)
        return found

    # ------------------------------------------------------------ lines

    def graph(self, depth: int) -> Graph:
        if depth > MAX_NESTING:
            raise self.fail(f"graphs are nested more than {MAX_NESTING} deep")
        self.next()
        head = "expected 'graph \"name\"(…) {'"
        name = self.text_of(self.need(_HEAD, head)[1])
        values: dict[int, Value] = {}
        inputs: list[tuple[Value, str]] = []
        variables: list[Variable] = []
        nodes: list[Node] = []
        while not self.skip(b") {"):
            self.comma(inputs)
            number, label, type_ = self.need(_INPUT, "cannot be read").groups()
            inputs.append((self.define(values, number, self.type(type_)), self.text_of(label)))
        self.finish(head)
        while True:
            self.next()
            if self.match(_RETURN):
                break
            if self.skip(b"variable "):
                number, label, type_, kind = self.need(_VARIABLE, "not a variable").groups()
                value = self.define(values, number, self.type(type_))
                variables.append(Variable(self.text_of(label), value, kind == b"trainable"))
            else:
                nodes.append(self.node(values, depth))
        outputs: list[tuple[Value, str]] = []
        while self.at < self.end and self.text[self.at] != 32:
            self.comma(outputs)
            self.spend(6)
            number, label = self.need(_RETURNED, "cannot be read").groups()
            outputs.append((self.use(values, number), self.text_of(label)))
        self.finish("cannot be read")
        self.next()
        if not self.skip(b"}"):
            raise self.fail("expected '}' after return")
        self.finish("expected '}' after return")
        return Graph(
            name,
            tuple(value for value, _ in inputs),
            tuple(variables),
            tuple(nodes),
            tuple(value for value, _ in outputs),
            tuple(label for _, label in inputs),
            tuple(label for _, label in outputs),
        )

    def node(self, values: dict[int, Value], depth: int) -> Node:
        made: list[tuple[bytes, TensorType]] = []
        while not (operation := self.match(_OPERATION)):
            self.comma(made, "not a node")
            self.spend(8)
            number, type_ = self.need(_RESULT, "not a node").groups()
            made.append((number, self.type(type_)))
        op = self.ops.get(operation[1].decode())
        if op is None:
            error = UnknownName("op", operation[1].decode()[:80], self.ops)
            raise self.fail(str(error))
        listed = self.need(_OPERANDS, "not a node")[1]
        self.spend(20 + len(listed) // 2)
        used = tuple(
            None if operand == b"none" else self.use(values, operand[1:])
            for operand in (listed.split(b", ") if listed else ())
        )
        self.spend(sum(self.costs[id(value.type)] for value in used if value is not None))
        attributes = self.attributes()
        name, opens = self.need(_LAYER, "not a node").groups()
        regions = []
        if opens:
            while not self.closes():
                regions.append(self.graph(depth + 1))
        outputs = tuple(self.define(values, number, type_) for number, type_ in made)
        return Node(op, used, outputs, attributes, tuple(regions), self.text_of(name))

    def closes(self) -> bool:
        """Whether the next line ends the list of regions, which is then behind."""
        before = self.line, self.start, self.at, self.end, self.next_line
        self.next()
        if self.skip(b"])"):
            self.finish("expected '])'")
            return True
        self.line, self.start, self.at, self.end, self.next_line = before
        return False

    def comma(self, before: Sized, why: str = "cannot be read") -> None:
        if before and not self.skip(b", "):
            raise self.fail(why if why != "cannot be read" else "expected ', '")

    def finish(self, why: str) -> None:
        if self.text[self.at : self.end].strip(b" "):
            raise self.fail(why)

    # ------------------------------------------------------------ values and types

    def define(self, values: dict[int, Value], number: bytes, type_: TensorType) -> Value:
        self.spend(8 + self.costs[id(type_)])
        value = Value(int(number), type_)
        if values.setdefault(value.id, value) is not value:
            raise self.fail(f"%{value.id} is defined twice")
        return value

    def use(self, values: dict[int, Value], number: bytes) -> Value:
        if (value := values.get(int(number))) is None:
            raise self.fail(f"%{int(number)} is not defined")
        return value

    def type(self, text: bytes) -> TensorType:
        if text not in self.types:
            self.spend(12 + len(text) // 4)
            match = _TYPE.match(text)
            assert match
            dims = _separate(match[2]) if match[2] else []
            if match[1].decode() not in BY_NAME or len(dims) > MAX_RANK:
                raise self.fail(
                    f"{text[:80].decode('utf-8', 'replace')!r} is not a tensor type such as float32[batch, 8], "
                    f"of at most {MAX_RANK} dimensions"
                )
            made = TensorType(BY_NAME[match[1].decode()], tuple(map(self.dim, dims)))
            if any(isinstance(dim, int) and dim < 0 for dim in made.shape):
                raise self.fail(f"{text[:80].decode()!r} has a negative size")
            self.types[text] = made
            self.costs[id(made)] = _cost(made)
        return self.types[text]

    def dim(self, text: bytes) -> Dim:
        if _SIZE.match(text):
            return int(text)
        if text not in self.dims:
            self.spend(10 + len(text) ** 2 // 16)
            try:
                if not _DIM.match(text):
                    raise ParseError("other characters")
                read = symbol if _IDENTIFIER.match(text) else parse_dim
                self.dims[text] = read(text.decode())
            except UnifrontError:
                shown = text[:80].decode("utf-8", "replace")
                raise self.fail(f"{shown!r} is not a dimension") from None
        return self.dims[text]

    # ------------------------------------------------------------ names and literals

    def text_of(self, text: bytes) -> str:
        self.spend(len(text) // 4)
        try:
            read = text.decode("utf-8")
            if "\\" in read:
                read = _ESCAPES.sub(_character, read)
        except (ValueError, OverflowError):
            raise self.fail("cannot be read, as a text has characters that are none") from None
        return read

    def attributes(self) -> dict[str, Any]:
        read: dict[str, Any] = {}
        while not self.skip(b"}"):
            self.comma(read, "the attributes cannot be read")
            self.spend(4)
            key = self.need(_ATTRIBUTE, "the attributes cannot be read")[1].decode()
            if key in read:
                raise self.fail(f"an attribute is given twice ({key[:80]})")
            read[key] = self.literal(0)
        return read

    def literal(self, depth: int) -> Any:
        self.spend(2)
        if found := self.match(_INTEGERS):
            self.spend(found[1].count(b","))
            return tuple(map(int, found[1].split(b", ")))
        if self.skip(b"("):
            return self.tuple(depth)
        if found := self.match(_NUMBER):
            return self.scalar(found)
        if found := self.match(_TEXT) or self.match(_NAME):
            return self.text_of(found[1])
        if found := self.match(_WORD):
            return _WORDS[found[0]]
        if self.skip(b"dim("):
            return self.inside_dim()
        if found := self.match(_ARRAY):
            return self.array(found)
        if found := self.match(_SPECIAL):
            return float(found[1])
        shown = self.text[self.at : min(self.end, self.at + 40)].decode("utf-8", "replace")
        raise self.fail(f"{shown!r} is not a literal that attributes may hold")

    def tuple(self, depth: int) -> tuple[Any, ...]:
        if depth >= MAX_NESTING:
            raise self.fail("a tuple is nested too deep")
        items: list[Any] = []
        while not self.skip(b")"):
            if items and not self.skip(b", "):
                if len(items) == 1 and self.skip(b",)"):
                    break
                raise self.fail("a tuple cannot be read")
            items.append(self.literal(depth + 1))
        return tuple(items)

    def scalar(self, found: re.Match[bytes]) -> int | float:
        self.spend(len(found[0]) // 8)
        if found[2]:
            return float(found[0])
        if len(found[1]) > 21 or abs(int(found[1])) >= _MAX_INTEGER:
            raise self.fail("an integer is too large for attributes")
        return int(found[1])

    def inside_dim(self) -> Dim:
        depth = 1
        for found in _PARENTHESIS.finditer(self.text, self.at, min(self.end, self.at + _MAX_DIM)):
            depth += 1 if found[0] == b"(" else -1
            if not depth:
                text, self.at = self.text[self.at : found.start()], found.end()
                return self.dim(text)
        raise self.fail("a dimension is not closed, or too long")

    def array(self, found: re.Match[bytes]) -> Literal:
        name = found[1].decode()
        if name not in BY_NAME or BY_NAME[name].kind == "k":
            raise self.fail(f"an array has the unknown dtype {name[:80]!r}")
        sizes = found[2].strip(b"()").rstrip(b",")
        try:
            shape = tuple(map(int, sizes.split(b", "))) if sizes else ()
        except ValueError:
            raise self.fail("the shape of an array is a tuple of sizes") from None
        start, end = found.span(3)
        held = (end - start) // 4 * 3 - self.text.count(b"=", max(start, end - 2), end)
        if held != math.prod(shape) * BY_NAME[name].numpy.itemsize or len(shape) > MAX_RANK:
            raise self.fail(f"an array of {name}{list(shape)[:MAX_RANK]} does not have {held} bytes")
        try:
            return Literal(
                name, shape, binascii.a2b_base64(memoryview(self.text)[start:end], strict_mode=True)
            )
        except binascii.Error as error:
            raise self.fail(f"an array cannot be read ({error})") from None


def _separate(text: bytes) -> list[bytes]:
    """What stands between commas, those inside of parentheses aside."""
    if b"(" not in text:
        return text.split(b", ")
    parts, depth, start = [], 0, 0
    for found in _SEPARATORS.finditer(text):
        depth += {b"(": 1, b")": -1}.get(found[0], 0)
        if not depth and found[0] == b", ":
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def _cost(type_: TensorType) -> int:
    """What it costs to calculate with a type: dimensions of several terms are multiplied to find its size."""
    terms, length = 1, 0
    for dim in type_.shape:
        if isinstance(dim, DimExpr):
            text = str(dim)
            terms *= 1 + text.count("+") + text.count("-")
            length += len(text)
    return type_.rank // 2 + terms * length // 8


def _character(escape: re.Match[str]) -> str:
    text = escape[0][1:]
    return _SHORT.get(text, text) if len(text) == 1 else chr(int(text[1:], 16))
