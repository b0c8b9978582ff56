"""Runs the HTTP service until SIGTERM or SIGINT."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from inferplan.web.app import Clock, create_app

_STOP_SECONDS = 10  # open requests get this long after SIGTERM; Kubernetes waits 30


class CannotListenError(OSError):
    """The address is not free, or not this machine's."""


def serve(host: str, port: int, clock: Clock, ready: Callable[[str], None] = lambda _: None) -> None:
    """Listens on host and port, and answers until the process is told to stop.

    Args:
        host: Address to listen on.
        port: Port; 0 takes a free one.
        clock: Gives the present time, with a zone.
        ready: Is told the service's URL once it is bound.

    Raises:
        CannotListenError: Nothing can listen there.
    """
    listening = _listen(host, port)
    with listening, _stopped_by_signal():
        ready(_url(listening))
        _run(create_app(clock), listening)


def _run(app: FastAPI, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app, access_log=False, server_header=False, timeout_graceful_shutdown=_STOP_SECONDS, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listening])


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
