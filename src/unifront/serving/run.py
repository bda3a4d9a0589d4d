"""`serve`: the application behind uvicorn, until it is told to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from unifront.errors import ArgumentError, BackendMissing
from unifront.serving.app import application
from unifront.serving.limits import Limits

if TYPE_CHECKING:
    from unifront.model import Model

GRACE = 30
"""Seconds that requests under way have to be answered after a signal to stop."""


def serve(
    models: Mapping[str, Model],
    backend: str | None = None,
    limits: Limits | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    when_ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Answer requests until SIGINT or SIGTERM comes; those under way are still answered.

    Args:
        models, backend, limits: as for `application`.
        host: the address to listen at; ``"0.0.0.0"``: every one that the machine has.
        port: 0: one that is free.
        when_ready: is called with the address, when requests are taken.

    Raises what `application` raises, `BackendMissing` without uvicorn, and `OSError` for an address that cannot be
    had.

    Example::

        uf.serving.serve({"digits": uf.load("digits.uf")}, port=8080)
    """
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise BackendMissing(
            'The server needs the package "uvicorn", which is not installed: pip install "unifront[serve]"'
        ) from error
    if not 0 <= port < 2**16:
        raise ArgumentError(f"A port is a number from 0 to 65535, not {port}.")
    with _bound(host, port) as place:  # before models are loaded: that takes time
        app = application(models, backend, limits)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, timeout_graceful_shutdown=GRACE
        )
        with _signals_end_well():
            own_host, own_port = place.getsockname()[:2]
            url = f"http://{f'[{own_host}]' if ':' in own_host else own_host}:{own_port}"
            _server(config, lambda: when_ready(url)).run([place])


def _server(config: Any, when_ready: Callable[[], object]) -> Any:
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                when_ready()

    return Server(config)


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    """An address that is ours; nobody is let in yet."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind((host, port))
        except OSError as error:
            raise OSError(
                error.errno, f"Cannot listen at {host}:{port}: {error.strerror or error}"
            ) from error
        yield place


@contextmanager
def _signals_end_well() -> Iterator[None]:
    """A signal to stop is no failure: uvicorn raises it again after it has stopped, for whoever was there before."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
