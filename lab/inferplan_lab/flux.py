"""The lab's GitOps reconciler: Flux's real kustomize-controller, which keeps namespaces as branches have them.

Flux's other half, source-controller, fetches branches and publishes each commit's files as a tar.gz. It cannot be
built from the module proxy, so `Flux.keep` does what it does, as far as kustomize-controller can see: it looks at a
branch once a second, serves its files over HTTP, and says so in the GitRepository's status.artifact.
"""

import contextlib
import hashlib
import http.server
import json
import os
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self

import yaml
from typing_extensions import override

from inferplan_lab import binaries
from inferplan_lab.processes import Process, free_port, wait_until

READY_SECONDS = 60
LOOK_SECONDS = 1.0
NAME = "lab"
OWN_LABEL = "lab.inferplan.dev/flux"
SOURCES = "source.toolkit.fluxcd.io"
SOURCE_KINDS = ("GitRepository", "OCIRepository", "Bucket", "ExternalArtifact")
"""What kustomize-controller watches; without one of them it does not start."""
PLURALS = {"GitRepository": "gitrepositories", "OCIRepository": "ocirepositories"}


class FluxError(RuntimeError):
    """kustomize-controller did not start; the message ends with its last log lines."""


class Kubectl(Protocol):
    """Runs kubectl as an administrator of the cluster."""

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Return its stdout; raises when it fails."""


class Branch(Protocol):
    """The branch that is deployed from."""

    def head(self) -> str:
        """Return its newest commit."""

    def files(self, commit: str) -> bytes:
        """Return a commit's files as tar.gz, without a folder around them."""


class Flux:
    """One kustomize-controller. Of Kustomizations it sees those alone that `keep` makes.

    Args:
        state: The folder for its log, pid file and temporary files.
        kubeconfig: The cluster, with the rights of an administrator.
        kubectl: The same for commands.
        report: Gets a line of progress at a time.
    """

    def __init__(
        self,
        state: Path,
        kubeconfig: Path,
        kubectl: Kubectl,
        report: Callable[[str], None] = print,
    ) -> None:
        self.state = state.absolute()
        self._kubeconfig = kubeconfig
        self._kubectl = kubectl
        self._report = report
        self._label = {OWN_LABEL: secrets.token_hex(4)}
        self._process = Process("kustomize-controller", self.state)
        self._artifacts = _Artifacts()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Install its CRDs, start it and wait until it is ready.

        Raises:
            FluxError: It ended, or was not ready in time.
            ProgramUnavailableError: The program can be had in no way (see binaries).
        """
        program = binaries.ensure(("kustomize-controller",), self._report)["kustomize-controller"]
        self._install(program.parent / "bases")
        health = f"127.0.0.1:{free_port()}"
        argv = (
            *(str(program), f"--health-addr={health}", "--metrics-addr=0", "--log-level=info"),
            *(f"--watch-label-selector={self._selector}", "--interval-jitter-percentage=0"),
        )
        own = {"KUBECONFIG": str(self._kubeconfig), "TMPDIR": str(self.state)}
        self._process.start(argv, env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.state), **own})
        try:
            self._wait()
        except BaseException:  # Ctrl-C included: nothing half-started stays
            self._process.stop()
            raise

    def stop(self) -> None:
        """Delete its Kustomizations, and with them what they applied; then stop it."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        try:
            self._delete()  # while it runs: it holds them by a finalizer, and their namespaces with them
        finally:
            self._process.stop()
            self._artifacts.close()

    def keep(self, namespace: str, branch: Branch, path: str = ".", *, interval_seconds: int = 2) -> None:
        """Keep a namespace as a folder of a branch has it, from now on.

        Args:
            namespace: Which, and where its Kustomization is, of the name "lab".
            branch: The branch.
            path: The folder with the manifests.
            interval_seconds: How often drift is taken back. A new commit is applied at once.
        """
        interval = f"{interval_seconds}s"
        meta = {"name": NAME, "namespace": namespace, "labels": self._label}
        repository = {"interval": interval, "url": "https://git.example.invalid/lab"}
        source = {"kind": "GitRepository", "name": NAME}
        wanted = {"interval": interval, "path": path, "prune": True, "sourceRef": source}
        self._apply(
            {"apiVersion": f"{SOURCES}/v1", "kind": "GitRepository", "metadata": meta, "spec": repository},
            {
                "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
                "kind": "Kustomization",
                "metadata": meta,
                "spec": {"targetNamespace": namespace, **wanted},
            },
        )
        thread = threading.Thread(target=self._follow, args=(namespace, branch), daemon=True)
        self._threads.append(thread)
        thread.start()

    def applied(self, namespace: str) -> str:
        """Return the commit that was applied last without an error; empty for none."""
        revision: str = self._status(namespace).get("lastAppliedRevision", "")
        return revision.rpartition(":")[2]

    def says(self, namespace: str) -> str:
        """Return what it says of a namespace now."""
        conditions = self._status(namespace).get("conditions", ())
        return "; ".join(f"{entry['reason']}: {entry['message']}" for entry in conditions)

    def until_applied(self, namespace: str, commit: str, seconds: float = READY_SECONDS) -> None:
        """Wait until this commit is applied.

        Raises:
            TimeoutError: It was not in time; the message says what Flux says.
        """
        try:
            wait_until(lambda: self.applied(namespace) == commit, seconds, f"Flux to apply {commit}")
        except TimeoutError as error:
            raise TimeoutError(f"{error}; it says: {self.says(namespace)}") from error

    def _delete(self) -> None:
        if self._threads and self._process.is_running():
            kind = "kustomizations.kustomize.toolkit.fluxcd.io"
            own = ("--all-namespaces", f"--selector={self._selector}", f"--timeout={READY_SECONDS}s")
            self._kubectl("delete", kind, *own)

    @property
    def _selector(self) -> str:
        return f"{OWN_LABEL}={self._label[OWN_LABEL]}"

    def _install(self, own: Path) -> None:
        """Apply its CRDs, and as much of source-controller's as it needs."""
        self._kubectl("apply", "--server-side", "--force-conflicts", f"--filename={own}")
        self._apply(*(_source_crd(kind) for kind in SOURCE_KINDS))
        names = [f"crd/{_plural(kind)}.{SOURCES}" for kind in SOURCE_KINDS]
        own_name = "crd/kustomizations.kustomize.toolkit.fluxcd.io"
        self._kubectl("wait", "--for=condition=Established", own_name, *names, f"--timeout={READY_SECONDS}s")

    def _apply(self, *documents: Mapping[str, Any]) -> None:
        self._kubectl("apply", "--server-side", "--filename=-", stdin=yaml.safe_dump_all(documents))

    def _wait(self) -> None:
        ready = "Starting workers"
        try:
            wait_until(
                lambda: not self._process.is_running() or ready in self._process.log_tail(),
                READY_SECONDS,
                "kustomize-controller",
            )
        except TimeoutError as error:
            raise FluxError(f"{error}; its last log lines:\n{self._process.log_tail()}") from error
        if not self._process.is_running():
            raise FluxError(f"kustomize-controller ended; its last log lines:\n{self._process.log_tail()}")

    def _status(self, namespace: str) -> Mapping[str, Any]:
        text = self._kubectl("get", "kustomization", NAME, f"--namespace={namespace}", "--output=json")
        status: Mapping[str, Any] = json.loads(text).get("status", {})
        return status

    def _follow(self, namespace: str, branch: Branch) -> None:
        """Publish each new commit. Whatever fails is tried again, and what was published stays: as with Flux's own."""
        published = ""
        while not self._ended.is_set():
            with contextlib.suppress(Exception):
                commit = branch.head()
                if commit != published:
                    self._publish(namespace, commit, branch.files(commit))
                    published = commit
            self._ended.wait(LOOK_SECONDS)

    def _publish(self, namespace: str, commit: str, files: bytes) -> None:
        path = self._artifacts.add(files)
        artifact = {
            "digest": f"sha256:{hashlib.sha256(files).hexdigest()}",
            "lastUpdateTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "path": path,
            "revision": f"branch@sha1:{commit}",
            "size": len(files),
            "url": f"{self._artifacts.url}/{path}",
        }
        patch = json.dumps({"status": {"artifact": artifact}})
        where = (f"--namespace={namespace}", "--subresource=status", "--type=merge")
        self._kubectl("patch", "gitrepository", NAME, *where, f"--patch={patch}")


class _Artifacts:
    """Serves tar.gz files over HTTP on loopback."""

    def __init__(self) -> None:
        self._files: dict[str, bytes] = {}
        handler = type("Handler", (_Handler,), {"files": self._files})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def add(self, files: bytes) -> str:
        """Serve this; returns its path."""
        path = f"{hashlib.sha256(files).hexdigest()}.tar.gz"
        self._files[path] = files
        return path

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    files: Mapping[str, bytes]

    def do_GET(self) -> None:
        body = self.files.get(self.path.lstrip("/"))
        self.send_response(http.HTTPStatus.NOT_FOUND if body is None else http.HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Write nothing: who fetched what is in the controller's own log."""


def _plural(kind: str) -> str:
    return PLURALS.get(kind, f"{kind.lower()}s")


def _source_crd(kind: str) -> dict[str, Any]:
    """Return a CRD for one of source-controller's kinds that takes any content: nobody checks it here."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": anything},
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": _plural(kind), "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{_plural(kind)}.{SOURCES}"},
        "spec": {"group": SOURCES, "scope": "Namespaced", "names": names, "versions": [version]},
    }
