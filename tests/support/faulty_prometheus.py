"""A Prometheus that answers well until a test spoils it, and well again afterwards."""

import json
import threading
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.prometheus import FakePrometheus, http_answer
from typing_extensions import override

HANGS_SECONDS = 20
LARGE_BYTES = 50 * 1024**2
HOUR = 3600.0


class Fault(StrEnum):
    """What is wrong with it."""

    DOWN = "down"
    HANGING = "hanging"
    SLOW = "slow"
    TRUNCATED = "truncated"
    HTML = "html"
    NOT_A_NUMBER = "nan"
    INFINITE = "inf"
    LARGE = "large"
    CLOCK = "clock"


@dataclass
class Faulty:
    """The server: where it is, and what is wrong with it now."""

    fake: FakePrometheus
    fault: Fault | None = None
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)


class _Server(ThreadingHTTPServer):
    """Carries the state to its handlers."""

    state: Faulty


class _Handler(BaseHTTPRequestHandler):
    """Answers one query, well or not."""

    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        form = urllib.parse.parse_qs(self.rfile.read(length).decode())
        _, document = http_answer(self.server.state.fake, form["query"][0], past=self.path.endswith("/query_range"))
        with suppress(OSError):  # the client has hung up
            self._answer(self.server.state.fault, document)

    def _answer(self, fault: Fault | None, document: dict[str, Any]) -> None:
        if fault is Fault.DOWN:
            self.close_connection = True
            return
        if fault is Fault.HANGING:
            self.server.state.ended.wait(HANGS_SECONDS)
            return
        html = fault is Fault.HTML
        body = b"<html><body>502</body></html>" if html else json.dumps(_spoiled(document, fault)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html" if html else "application/json")
        self.send_header("Content-Length", str(LARGE_BYTES if fault is Fault.LARGE else len(body)))
        self.end_headers()
        self._send(fault, body)

    def _send(self, fault: Fault | None, body: bytes) -> None:
        if fault is Fault.TRUNCATED:
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault is Fault.LARGE:
            for _ in range(LARGE_BYTES // 65_536):
                self.wfile.write(b" " * 65_536)
        elif fault is Fault.SLOW:
            for byte in body:
                self.wfile.write(bytes((byte,)))
                if self.server.state.ended.wait(0.2):
                    return
        else:
            self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def faulty(fake: FakePrometheus) -> Iterator[Faulty]:
    """Serves while the block runs."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.state = Faulty(fake, url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.state
    finally:
        server.state.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


_VALUES = {Fault.NOT_A_NUMBER: "NaN", Fault.INFINITE: "+Inf"}


def _spoiled(document: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """The answer with its numbers or its time spoiled."""
    if fault not in {Fault.NOT_A_NUMBER, Fault.INFINITE, Fault.CLOCK}:
        return document
    for entry in document["data"]["result"]:
        now, value = entry["value"]
        entry["value"] = [now + HOUR, value] if fault is Fault.CLOCK else [now, _VALUES[fault]]
    return document
