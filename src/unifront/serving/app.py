"""The server as an ASGI application: routes, limits, errors."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any

from unifront.backends import placement
from unifront.errors import ArgumentError, BackendMissing, UnifrontError, UnknownName
from unifront.serving.errors import Refused
from unifront.serving.limits import Limits

try:
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    from unifront.serving import kserve, tfserving
    from unifront.serving.batching import LOG, Batcher
    from unifront.serving.metrics import CONTENT_TYPE, Metrics
    from unifront.serving.served import Served
except ModuleNotFoundError as error:
    package = (error.name or "").partition(".")[0]
    raise BackendMissing(
        f'The server needs the package {package!r}, which is not installed: pip install "unifront[serve]"'
    ) from error

if TYPE_CHECKING:
    from unifront.model import Model

Handler = Callable[[Request], Awaitable[Response]]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
LARGE = 2**16
"""Bytes of a body from which reading its numbers is left to a thread, so that other requests go on."""


def application(
    models: Mapping[str, Model], backend: str | None = None, limits: Limits | None = None
) -> Starlette:
    """An ASGI application that answers with the predictions of ``models``.

    It has ``/v2`` (Open Inference Protocol), ``/v1`` (TensorFlow Serving) and ``/metrics`` (Prometheus). Models are
    compiled here, and have their weights as they are now.

    Args:
        models: built models, by the names that requests call them by.
        backend: where they run; the default backend unless given.
        limits: what a request may be, and how requests are joined.

    Raises `ArgumentError` for a name that would not fit into an address, or for a model that keeps states;
    `UnsupportedOp` for one that the backend does not run.

    Example::

        app = uf.serving.application({"digits": model})
        uvicorn.run(app, port=8080)
    """
    limits = limits or Limits()
    if not models:
        raise ArgumentError("There is no model to serve.")
    for name in models:
        if not _NAME.match(name):
            raise ArgumentError(f"A served model's name is letters, digits, '_', '.' and '-', not {name!r}.")
    place, metrics = placement(backend), Metrics()
    served = [Served(name, model, place, limits.max_batch) for name, model in models.items()]
    for one in served:
        one.warm_up()
    metrics.serves(served)
    return _Server({one.name: Batcher(one, limits, metrics) for one in served}, limits, metrics).app()


class _Server:
    """What the routes share."""

    def __init__(self, batchers: Mapping[str, Batcher], limits: Limits, metrics: Metrics) -> None:
        self._batchers, self._limits, self._metrics = batchers, limits, metrics
        self._ready = False

    def app(self) -> Starlette:
        """The application; its lifespan starts and ends the models' threads."""
        return Starlette(
            routes=self._routes(),
            lifespan=self._lifespan,
            exception_handlers={Refused: _refused, HTTPException: _no_such, Exception: _failed},
        )

    def _routes(self) -> Sequence[Route]:
        v2, v1 = "/v2/models/{name}", "/v1/models/{name}"
        found = [
            Route("/v2", _fixed(lambda: kserve.SERVER)),
            Route("/v2/health/live", _fixed(lambda: {"live": True})),
            Route("/v2/health/ready", self._is_ready),
            Route("/v2/models", _fixed(lambda: {"models": list(self._batchers)})),
            Route("/metrics", self._show_metrics),
        ]
        for part in ("", "/versions/{version}"):
            found += [
                Route(f"{v2}{part}", self._about(kserve.described)),
                Route(f"{v2}{part}/ready", self._about(lambda served: {"name": served.name, "ready": True})),
                Route(f"{v2}{part}/infer", self._predicts(kserve, "v2"), methods=["POST"]),
                Route(f"{v1}{part}:predict", self._predicts(tfserving, "v1"), methods=["POST"]),
                Route(f"{v1}{part}:{{verb}}", self._no_verb, methods=["POST"]),
                Route(f"{v1}{part}/metadata", self._about(tfserving.described)),
                Route(f"{v1}{part}", self._about(lambda served: tfserving.status())),
            ]
        return found

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as started:
            for batcher in self._batchers.values():
                batcher.start()
                started.push_async_callback(batcher.stop)
            self._ready = True
            yield
            self._ready = False

    async def _is_ready(self, request: Request) -> Response:
        return JSONResponse({"ready": self._ready}, 200 if self._ready else 503)

    async def _show_metrics(self, request: Request) -> Response:
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    def _batcher(self, request: Request) -> Batcher:
        name, version = request.path_params["name"], request.path_params.get("version", "1")
        if name not in self._batchers:
            raise Refused(404, str(UnknownName("model", name, self._batchers)))
        if version != "1":
            raise Refused(404, f"The model {name!r} has the version 1, not {version[:40]!r}.")
        return self._batchers[name]

    async def _no_verb(self, request: Request) -> Response:
        name, verb = self._batcher(request).served.name, request.path_params["verb"][:40]
        raise Refused(404, f"The model {name!r} answers :predict, not :{verb}.")

    def _about(self, describe: Callable[[Served], dict[str, Any]]) -> Handler:
        async def handler(request: Request) -> Response:
            return JSONResponse(describe(self._batcher(request).served))

        return handler

    def _predicts(self, protocol: ModuleType, called: str) -> Handler:
        async def handler(request: Request) -> Response:
            began, name, status = time.perf_counter(), "", 500
            try:
                batcher = self._batcher(request)
                name = batcher.served.name
                response = await self._predicted(protocol, batcher, request)
                status = response.status_code
                return response
            except Refused as error:
                status = error.status
                raise
            finally:
                self._metrics.answered(name, called, status, time.perf_counter() - began)

        return handler

    async def _predicted(self, protocol: ModuleType, batcher: Batcher, request: Request) -> Response:
        served = batcher.served
        body = await self._body(request)

        def read() -> tuple[Any, Any]:
            asked = protocol.read(served, body, request.headers)
            return asked, served.checked(asked.arrays)

        try:
            asked, arrays = await (run_in_threadpool(read) if len(body) > LARGE else _at_once(read))
            self._check_answer(
                served.answer_bytes(arrays)
            )  # before it is worked out, which may take all memory
            outputs = await batcher.predict(arrays)
        except UnifrontError as error:
            raise Refused(400, str(error)) from error
        large = sum(output.nbytes for output in outputs)
        self._check_answer(large)

        def write() -> Response:
            content, headers = protocol.written(served, asked, outputs)
            return Response(content, headers=headers)

        return await (run_in_threadpool(write) if large > LARGE else _at_once(write))

    def _check_answer(self, size: int) -> None:
        limit = self._limits.max_bytes
        if size > limit:
            raise Refused(413, f"The answer would be {size:,} bytes; {limit:,} are allowed.")

    async def _body(self, request: Request) -> bytes:
        """The request's body; of one that is too large no more than the limit is read."""
        limit, said = self._limits.max_bytes, request.headers.get("content-length", "")
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise Refused(415, f"Requests are taken without a content encoding, not with {encoding[:40]!r}.")
        if said.isdecimal() and int(said) > limit:
            raise _too_large(f"{int(said):,} bytes", limit)
        parts, size = list[bytes](), 0
        try:
            async with asyncio.timeout(self._limits.read_timeout):
                async for part in request.stream():
                    size += len(part)
                    if size > limit:
                        raise _too_large(f"more than {limit:,} bytes", limit)
                    parts.append(part)
        except TimeoutError:
            raise Refused(408, f"The request's body did not arrive within {self._limits.read_timeout:g} s.",
                          {"connection": "close"}) from None  # fmt: skip
        except ClientDisconnect:
            raise Refused(400, "The client went away.") from None
        return b"".join(parts)


async def _at_once(function: Callable[[], Any]) -> Any:
    return function()


def _too_large(size: str, limit: int) -> Refused:
    return Refused(413, f"The request has {size}; {limit:,} are allowed.", {"connection": "close"})


def _fixed(answer: Callable[[], dict[str, Any]]) -> Handler:
    async def handler(request: Request) -> Response:
        return JSONResponse(answer())

    return handler


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return JSONResponse({"error": error.text}, error.status, error.headers)


async def _no_such(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    texts = {
        404: f"There is nothing at {path}. A model answers at /v2/models/NAME/infer and /v1/models/NAME:predict.",
        405: f"{path} does not take {request.method}.",
    }
    return JSONResponse(
        {"error": texts.get(error.status_code, error.detail)}, error.status_code, error.headers
    )


async def _failed(request: Request, error: Exception) -> Response:
    LOG.error("A request failed", exc_info=error)
    return JSONResponse({"error": f"The server failed: {type(error).__name__}; its log has more."}, 500)
