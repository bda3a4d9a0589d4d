"""Every exception of unifront: what happened, what was given, what to try."""

from __future__ import annotations

from typing import Any


class UnifrontError(Exception):
    """Base of all errors raised on purpose by unifront. Its text begins with the layer path it was raised `at`."""

    layer_path = ""
    operation: str | None = None  # "": none, whatever was called around

    def at(self, path: str) -> None:
        """Say that this happened in the layer ``path``, unless a layer further inside has been named already."""
        self.layer_path = self.layer_path or path

    def of(self, operation: str, again: bool = True) -> None:
        """Say that ``operation`` was called; in place of one that this has called, if ``again``."""
        if self.operation != "" and (again or self.operation is None):
            self.operation = operation

    def __str__(self) -> str:
        text = Exception.__str__(self)  # not as `KeyError` has it, quoted
        if self.operation and not text.startswith((f"{self.operation}:", f"{self.operation} ")):
            text = f"{self.operation}: {text}"
        return f"{self.layer_path}: {text}" if self.layer_path else text


class ShapeError(UnifrontError, ValueError):
    """Shapes or axes do not fit an operation."""


class DTypeError(UnifrontError, TypeError, ValueError):
    """Dtypes do not fit an operation, or a name is no dtype."""


class ArgumentError(UnifrontError, ValueError):
    """An argument is outside what the function takes."""


class ForeignCall(ArgumentError):
    """A function of ``framework`` ("numpy", "torch" …) was called where tensors have no values yet."""

    def __init__(self, text: str, framework: str) -> None:
        super().__init__(text)
        self.framework = framework

    def __reduce__(self) -> Any:
        return ForeignCall, (Exception.__str__(self), self.framework)


_LONGEST_NAME, _LONGEST_LIST = 200, 1200


class UnknownName(UnifrontError, LookupError, ValueError):
    """A name (op, layer, loss, model, backend …) is not known."""

    def __init__(self, kind: str, name: object, known: object = ()) -> None:
        import difflib

        self.kind, self.known = kind, known
        names = sorted(str(item) for item in known)  # type: ignore[attr-defined]  # any iterable of names
        name = name if len(str(name)) <= _LONGEST_NAME else f"{str(name)[:_LONGEST_NAME]} …"
        close = difflib.get_close_matches(str(name), names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        listing = ", ".join(names)
        if len(listing) > _LONGEST_LIST:
            some = listing[:_LONGEST_LIST].rpartition(", ")[0]
            listing = f"{len(names)} names" if close else f"{some} … ({len(names)} in all)"
        listing = f" Known: {listing}." if names else ""
        super().__init__(f"Unknown {kind} {name!r}.{hint}{listing}")


class UnknownKey(UnknownName, KeyError):
    """A key of a dict of losses or weights is no output of the model."""


class NotBuiltError(UnifrontError, RuntimeError, ValueError):
    """A layer or model is used before its sizes are known."""


class NotBuiltYet(NotBuiltError, AttributeError):
    """A weight is asked for by its name before it is made."""


class NotQuantizable(UnifrontError, NotImplementedError, ValueError):
    """A layer or mode has no quantized form."""


class GraphError(UnifrontError, ValueError):
    """A graph breaks a rule of the IR."""


class ParseError(GraphError):
    """The text of a graph cannot be read."""


class BackendMissing(UnifrontError, ImportError):
    """The framework behind a backend is not installed."""


class ForkError(UnifrontError, RuntimeError):
    """A framework that was in use is asked to work in a forked process, where it would wait for ever."""


class UnsupportedOp(UnifrontError, NotImplementedError):
    """A backend has no row for an operation; the reason is in the message."""


class DataError(UnifrontError, ValueError):
    """Training or evaluation data does not fit the model."""


class NonFiniteLoss(UnifrontError, ArithmeticError):
    """The loss became NaN or infinite."""


class FileFormatError(UnifrontError, ValueError):
    """A file is broken, hostile or of an unknown version."""


class FileWriteError(UnifrontError, OSError):
    """The operating system refuses to write a file; what was there before is there still."""


class ExportError(UnifrontError, ValueError):
    """A graph cannot be written in the asked format."""


def locate(error: Exception, path: str) -> None:
    """Make ``error`` name the layer ``path``, ours in its text and others in a note, if it names none yet."""
    if isinstance(error, UnifrontError):
        error.at(path)
    elif not any(note.startswith(_IN_LAYER) for note in getattr(error, "__notes__", ())):
        error.add_note(f"{_IN_LAYER} {path}.")


_IN_LAYER = "This happened in the layer"
