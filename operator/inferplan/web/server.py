"""Runs the HTTP service: alone until a signal, or as a part of another process."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from typing_extensions import override

from inferplan.observe.allow_list import AllowList
from inferplan.observe.engine_pages import EngineAccess, EnginePages, new_session
from inferplan.web.app import create_app
from inferplan.web.ports import Clock, Parts

_STOP_SECONDS = 8
"""Open requests get this long after SIGTERM, so that the process ends within ten; Kubernetes waits 30."""

_STOP_AS_PART_SECONDS = 2
"""As a part of the operator: what it answers takes far less, but for analyses that wait for pages."""

logger = logging.getLogger(__name__)


class CannotListenError(OSError):
    """The address is not free, or not this machine's."""


def serve(host: str, port: int, clock: Clock, allowed: AllowList, ready: Callable[[str], None]) -> None:
    """Listens on host and port, and answers until the process is told to stop.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        clock: Gives the present time, with a zone.
        allowed: Engines that a request may name.
        ready: Is told the service's URL once it is bound.

    Raises:
        CannotListenError: Nothing can listen there.
    """
    listening = _listen(host, port)
    with listening, _stopped_by_signal():
        ready(_url(listening))
        asyncio.run(_serve_alone(listening, clock, allowed))


async def _serve_alone(listening: socket.socket, clock: Clock, allowed: AllowList) -> None:
    async with new_session() as session:
        app = create_app(clock, Parts(engines=EngineAccess(allowed, EnginePages(session))))
        await uvicorn.Server(_config(app, _STOP_SECONDS)).serve(sockets=[listening])


@asynccontextmanager
async def serving(app: FastAPI, host: str, port: int) -> AsyncIterator[None]:
    """Serves while the block runs, in the running loop. Signals stay with who owns the process.

    Raises:
        CannotListenError: Nothing can listen there.
    """
    listening = _listen(host, port)
    server = _Part(_config(app, _STOP_AS_PART_SECONDS, log_config=None, log_level="warning"))
    running = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        await server.up.wait()
        logger.info("HTTP API, health and metrics at %s", _url(listening))
        yield
    finally:
        server.should_exit = True
        await running
        listening.close()


class _Part(uvicorn.Server):
    """A server inside a process that handles its signals itself."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        finally:
            self.up.set()

    @override
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: FastAPI, stop_seconds: int, **logging_options: Any) -> uvicorn.Config:  # noqa: ANN401  as uvicorn's
    return uvicorn.Config(
        app,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=stop_seconds,
        lifespan="off",
        **logging_options,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        raise CannotListenError(f"cannot listen on {host}:{port}: {why}") from None


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Uvicorn shuts down on a signal and then raises it again, which would end the process with an error."""
    before = {name: signal.signal(name, lambda *_: None) for name in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
