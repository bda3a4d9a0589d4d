"""What differs between the parameters of a function or class of ours and Keras's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def differences(ours: Callable[..., Any], keras: Callable[..., Any]) -> list[str]:
    """In words, one for each parameter of Keras's that ours does not take as Keras's does.

    Ours may take more by keyword, and need not name what Keras's takes as ``**kwargs``. Of classes it is the
    constructor's.
    """
    own, theirs = _parameters(ours), _parameters(keras)
    found = []
    placed = [p for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    for i, parameter in enumerate(p for p in theirs if p.kind is p.POSITIONAL_OR_KEYWORD):
        if i >= len(placed) or placed[i].name != parameter.name:
            found.append(f"parameter {i} is {parameter.name}")
        elif placed[i].default is not parameter.default and placed[i].default != parameter.default:
            default = "none" if parameter.default is parameter.empty else repr(parameter.default)
            found.append(f"{parameter.name} is {default} by default")
    more = [p.name for p in placed[sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in theirs) :]]
    found += [f"{name} is no parameter by position" for name in more]
    by_name = {p.name: p for p in own}
    for parameter in theirs:
        if parameter.kind is parameter.KEYWORD_ONLY:
            same = by_name.get(parameter.name)
            if same is None or same.default != parameter.default:
                found.append(f"{parameter.name} is a keyword, {parameter.default!r} by default")
    stars = [p.name for p in own if p.kind is p.VAR_POSITIONAL]
    wanted = [p.name for p in theirs if p.kind is p.VAR_POSITIONAL]
    if stars != wanted:
        found.append(f"the rest by position is {wanted}")
    return found


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    if not isinstance(function, type):
        return [*inspect.signature(function).parameters.values()]
    if function.__init__ is object.__init__:
        return []
    return [*inspect.signature(function.__init__).parameters.values()][1:]  # without self
