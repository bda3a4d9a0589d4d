"""How mkdocstrings is to read the code: code of examples, and names that are made by calls."""

from __future__ import annotations

import inspect
from typing import Any

import griffe
from including import fenced


def _names(found: griffe.Class) -> list[str]:
    init = found.members["__init__"]
    return [one.name for one in init.parameters] if isinstance(init, griffe.Function) else []


def _parameters(value: Any, *before: str) -> griffe.Parameters:
    """The parameters that a call of ``value`` takes, behind those that ``before`` names."""
    return griffe.Parameters(
        *(griffe.Parameter(name, kind=griffe.ParameterKind.positional_or_keyword) for name in before),
        *(
            griffe.Parameter(
                one.name,
                kind=griffe.ParameterKind(one.kind.description),
                default=None if one.default is one.empty else repr(one.default),
            )
            for one in inspect.signature(value).parameters.values()
        ),
    )


def made(value: Any) -> griffe.Function | griffe.Class:
    """What no text of the module defines, such as ``abs = unary("abs", …)``, as if it did."""
    docstring = griffe.Docstring(fenced(inspect.getdoc(value) or ""), parser="google")
    if not inspect.isclass(value):
        return griffe.Function(value.__name__, parameters=_parameters(value), docstring=docstring)
    found = griffe.Class(value.__name__, docstring=docstring)
    found.set_member("__init__", griffe.Function("__init__", parameters=_parameters(value, "self")))
    return found


def _plain(annotation: Any) -> Any:
    """An annotation without what only checks arguments: ``Annotated[int, positive]`` is ``int``."""
    if isinstance(annotation, griffe.ExprSubscript) and annotation.canonical_name == "Annotated":
        return annotation.slice.elements[0] if isinstance(annotation.slice, griffe.ExprTuple) else annotation
    return annotation


class Reader(griffe.Extension):
    """Looked at by griffe while it reads unifront."""

    def on_function(self, *, func: griffe.Function, **_: Any) -> None:
        """See `griffe.Extension`."""
        for parameter in func.parameters:
            parameter.annotation = _plain(parameter.annotation)

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """See `griffe.Extension`."""
        import reference

        for place, name, value in reference.objects():
            home = pkg[place.split(".")[1:]] if "." in place else pkg
            known = home.members.get(name)
            if known is None or known.kind.value == "attribute":
                home.set_member(name, made(value))
            elif known.is_class and "__init__" in known.members and "options" in _names(known):
                known.members["__init__"].parameters = _parameters(
                    value, "self"
                )  # what ``**options`` stands for
