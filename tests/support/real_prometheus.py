"""The real Prometheus with a configuration of its own, and targets that serve pages out of memory."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from typing_extensions import override

from inferplan_lab import binaries
from inferplan_lab.processes import Process, free_port

OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


@contextmanager
def serving_pages(page: Callable[[str], str | None]) -> Iterator[str]:
    """Serves `page(path)`, or 404 where that is None; gives address:port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            text = page(self.path)
            body = (text or "").encode()
            self.send_response(404 if text is None else 200)
            self.send_header("Content-Type", PLAIN)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def target(address: str, path: str, **labels: str) -> dict[str, Any]:
    """One target of a static configuration: the page at a path, under labels of its own, `instance` included."""
    return {"targets": [address], "labels": {"__metrics_path__": path, **labels}}


@contextmanager
def prometheus(folder: Path, configuration: Mapping[str, Any]) -> Iterator[str]:
    """A Prometheus with its data in this folder; gives its URL, at which it may not answer yet."""
    address = f"127.0.0.1:{free_port()}"
    path = folder / "prometheus.yaml"
    path.write_text(yaml.safe_dump(dict(configuration), sort_keys=False), encoding="utf-8")
    program = binaries.ensure(("prometheus",), lambda _: None)["prometheus"]
    process = Process("prometheus", folder, detached=False)
    flags = (f"--config.file={path}", f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn")
    process.start((str(program), *flags, f"--web.listen-address={address}"))
    try:
        yield f"http://{address}"
    finally:
        process.stop()
