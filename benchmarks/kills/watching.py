"""Every version of an object that the API server ever had, as a watch tells of it."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Self

from tests.support.lab import Cluster

END_SECONDS = 30.0


@dataclass(frozen=True)
class Version:
    """An object as it was from a moment on.

    Attributes:
        at: Seconds since the epoch at which the watch told of it.
        kind: ADDED, MODIFIED or DELETED.
        document: The object.
    """

    at: float
    kind: str
    document: dict[str, Any]


class Watch:
    """All versions of all objects of a resource, by (namespace, name), from its start on.

    Args:
        cluster: The API server.
        resource: As kubectl names it.
    """

    def __init__(self, cluster: Cluster, resource: str) -> None:
        own = (str(cluster.programs["kubectl"]), f"--kubeconfig={cluster.kubeconfig}", f"--cache-dir={cluster.cache}")
        self._argv = (*own, "get", resource, "--all-namespaces", "--watch", "--output-watch-events", "--output=json")
        self._versions: dict[tuple[str, str], list[Version]] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if self._process.stdout is None:
            raise AssertionError("a pipe was asked for")
        self._thread = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is not None and self._thread is not None:
            with self._process:
                self._process.terminate()
                self._thread.join(END_SECONDS)

    @property
    def lost(self) -> bool:
        """Whether it ended by itself: then versions are missing."""
        return self._process is None or self._process.poll() is not None

    def versions(self, namespace: str, name: str) -> list[Version]:
        """All versions of an object, oldest first."""
        with self._lock:
            return list(self._versions.get((namespace, name), ()))

    def latest(self, namespace: str) -> list[dict[str, Any]]:
        """The objects of a namespace as they are now."""
        with self._lock:
            last = [entries[-1] for place, entries in self._versions.items() if place[0] == namespace]
        return [version.document for version in last if version.kind != "DELETED"]

    def _read(self, stream: IO[str]) -> None:
        for event in _events(stream):
            meta = event["object"]["metadata"]
            version = Version(time.time(), event["type"], event["object"])
            with self._lock:
                self._versions.setdefault((meta["namespace"], meta["name"]), []).append(version)


def _events(stream: IO[str]) -> Iterator[dict[str, Any]]:
    """One a line, as kubectl writes them."""
    for line in stream:
        yield json.loads(line)
