"""Models behind HTTP: the Open Inference Protocol (KServe v2) and the REST of TensorFlow Serving, both as JSON.

    unifront serve digits.uf

or, in Python, an ASGI application for any server::

    app = uf.serving.application({"digits": model}, backend="onnxruntime")

Requests of several clients are answered by one prediction (see `unifront.serving.batching`). It wants the packages
starlette, uvicorn and prometheus_client: ``pip install "unifront[serve]"``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from unifront.serving.limits import Limits

if TYPE_CHECKING:
    from unifront.serving.app import application
    from unifront.serving.run import serve

__all__ = ["Limits", "application", "serve"]

_HOMES = {"application": "unifront.serving.app", "serve": "unifront.serving.run"}


def __getattr__(name: str) -> Any:
    """What needs those packages, loaded when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return found
