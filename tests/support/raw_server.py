"""A server on loopback that writes what a test tells it to, byte by byte, be it HTTP or not."""

import asyncio
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Write = Callable[[bytes], Awaitable[None]]
"""Sends bytes; waits until the client has room for them."""


@dataclass(frozen=True)
class Asked:
    """One request.

    Attributes:
        path: Its path.
        headers: Its headers, names in lower case.
        form: Its form.
        subject: Common name in the client's certificate; "" without one.
    """

    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]
    subject: str = ""


Behave = Callable[[Asked, Write], Awaitable[None]]
"""Answers a request; the connection is closed after it."""


@dataclass
class RawServer:
    """A running server: its address, what it was asked, and the bytes that it could send."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    sent: int = 0


@asynccontextmanager
async def raw_server(behave: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Serves until the block ends; connections that are still open then are cut."""
    state = RawServer()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)

        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()
            state.sent += len(data)

        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            request = await _read(reader, writer)
            state.asked.append(request)
            await behave(request, write)
        writer.transport.abort() if task.cancelling() else writer.close()
        tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    state.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    try:
        yield state
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tuple(tasks), return_exceptions=True)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    form = dict(urllib.parse.parse_qsl(body.decode()))
    certificate = writer.get_extra_info("peercert") or {}
    names = dict(pair for row in certificate.get("subject", ()) for pair in row)
    return Asked(first.split(" ")[1], headers, form, names.get("commonName", ""))


def http(status: int, body: bytes = b"", **headers: str) -> bytes:
    """A whole HTTP answer; `content_type="text/html"` becomes a header."""
    named = {"content_length": str(len(body)), "connection": "close"} | headers
    lines = [f"HTTP/1.1 {status} Status", *(f"{name.replace('_', '-')}: {value}" for name, value in named.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def writes(*answers: bytes) -> Behave:
    """Gives these answers, one a request; the last one again and again."""
    left = list(answers)

    async def behave(_: Asked, write: Write) -> None:
        await write(left.pop(0) if len(left) > 1 else left[0])

    return behave
