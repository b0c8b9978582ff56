"""Container logs: found in the state folder, and served to the API server for `kubectl logs`.

The API server asks a node's kubelet over HTTPS and doesn't verify its certificate unless it is told to, so a
self-signed one does. Without the openssl program there is no certificate and no server; `python -m
inferplan_lab.node logs` reads the same files.
"""

import asyncio
import logging
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web

LOGGER = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_CHUNK_BYTES = 64 * 1024
_CERTIFICATE_DAYS = "3650"

RunsNow = Callable[[str, str, str], bool]


class NoLogsError(LookupError):
    """There is no such log."""


def find_log(state: Path, namespace: str, pod: str, container: str | None = None, *, previous: bool = False) -> Path:
    """Return the file of a container's present or latest run, or of the run before.

    Args:
        state: the node's state folder.
        namespace: the pod's namespace.
        pod: its name; of several pods that had it, the latest is meant.
        container: which container; not needed for a pod that has one.
        previous: the run before the latest.

    Raises:
        NoLogsError: there is none; the message says what there is.
    """
    folders = sorted((state / "pods").glob(f"{namespace}_{pod}_*"), key=lambda path: path.stat().st_mtime)
    if not folders:
        raise NoLogsError(f"pod {namespace}/{pod} has no logs under {state}")
    names = sorted(path.name for path in folders[-1].iterdir())
    if container is None and len(names) == 1:
        container = names[0]
    if container not in names:
        raise NoLogsError(f"pod {namespace}/{pod}: name one of its containers: {', '.join(names)}")
    runs = sorted((folders[-1] / container).glob("*.log"), key=lambda path: int(path.stem))
    wanted = 2 if previous else 1
    if len(runs) < wanted:
        raise NoLogsError(f"pod {namespace}/{pod}: container {container} has no {'previous ' if previous else ''}log")
    return runs[-wanted]


def tail(content: bytes, lines: int | None) -> bytes:
    """Return the last `lines` lines, all of them for None."""
    if lines is None:
        return content
    return b"".join(content.splitlines(keepends=True)[-lines:]) if lines else b""


async def serve_logs(stack: AsyncExitStack, state: Path, address: str, port: int, runs_now: RunsNow) -> int | None:
    """Serve the logs of the state folder at an address until the stack closes.

    Args:
        stack: closes the server.
        state: the node's state folder.
        address: the node's IP.
        port: the port.
        runs_now: says whether a container (namespace, pod, container) runs, to end a log that is followed.

    Returns:
        The port, or None where there is no server.
    """
    tls = await asyncio.to_thread(_server_tls, state)
    if tls is None:
        LOGGER.info("no openssl program: kubectl logs will not work; use python -m inferplan_lab.node logs")
        return None
    app = web.Application()
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", _handler(state, runs_now))
    runner = web.AppRunner(app, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, address, port, ssl_context=tls).start()
    return port


def _handler(state: Path, runs_now: RunsNow) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        namespace, pod, container = (request.match_info[name] for name in ("namespace", "pod", "container"))
        query = request.query
        try:
            path = find_log(state, namespace, pod, container, previous=query.get("previous") == "true")
        except NoLogsError as problem:
            return web.Response(status=404, text=f"{problem}\n")
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        lines = int(query["tailLines"]) if "tailLines" in query else None
        keep_on = query.get("follow") == "true"
        async for chunk in _read(path, lines, lambda: keep_on and runs_now(namespace, pod, container)):
            await response.write(chunk)
        return response

    return handle


async def _read(path: Path, lines: int | None, goes_on: Callable[[], bool]) -> AsyncIterator[bytes]:
    """Yield the file's end and, as long as `goes_on` says so, what is added to it."""
    with path.open("rb") as stream:
        yield tail(stream.read(), lines)
        more = True
        while more:
            more = goes_on()  # asked before reading, so that the last lines of an ending container are not lost
            while chunk := stream.read(_CHUNK_BYTES):
                yield chunk
            if more:
                await asyncio.sleep(_POLL_SECONDS)


def _server_tls(state: Path) -> ssl.SSLContext | None:
    openssl = shutil.which("openssl")
    certificate, key = state / "kubelet.crt", state / "kubelet.key"
    if openssl is None:
        return None
    if not certificate.exists():
        subject = ("-subj", "/CN=inferplan-lab-node", "-days", _CERTIFICATE_DAYS)
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        files = ("-keyout", str(key), "-out", str(certificate))
        made = subprocess.run([openssl, "req", "-x509", *curve, *subject, *files], capture_output=True, check=False)
        if made.returncode != 0:
            LOGGER.warning("openssl failed: %s", made.stderr.decode(errors="replace").strip())
            return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return tls
