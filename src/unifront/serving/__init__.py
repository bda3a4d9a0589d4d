"""Models behind HTTP: the Open Inference Protocol (KServe v2) and the REST of TensorFlow Serving, both as JSON.

    unifront serve digits.uf

or, in Python, an ASGI application for any server::

    app = uf.serving.application({"digits": model}, backend="onnxruntime")

Requests of several clients are answered by one prediction (see `unifront.serving.batching`). It wants the packages
starlette, uvicorn and prometheus_client: ``pip install "unifront[serve]"``.
"""

from unifront.serving.app import application
from unifront.serving.limits import Limits
from unifront.serving.run import serve

__all__ = ["Limits", "application", "serve"]
