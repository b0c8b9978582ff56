"""The API server that cluster tests talk to: the lab's own, or the one of the current kubeconfig.

Which one is a switch: `pytest --cluster=local|current`, or the variable INFERPLAN_TEST_CLUSTER. Both have the
same face, `Cluster`; everything goes through kubectl, so any kubeconfig works.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inferplan_lab import binaries
from inferplan_lab.control_plane import ControlPlane
from inferplan_lab.processes import wait_until

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
ESTABLISHED_SECONDS = 60
COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Answer:
    """What a kubectl command did: exit status, stdout, stderr (warnings of the server included)."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cluster:
    """An API server with InferPlan's CRDs.

    Attributes:
        kubeconfig: File with administrator's rights.
        programs: The lab's programs by name; "kubectl" is always among them.
        cache: Folder for kubectl's discovery cache.
    """

    kubeconfig: Path
    programs: Mapping[str, Path]
    cache: Path

    @property
    def url(self) -> str:
        """The API server's https://address:port."""
        return self.kubectl("config", "view", "--minify", "--output=jsonpath={.clusters[0].cluster.server}")

    def run(self, *arguments: str, stdin: str | None = None) -> Answer:
        """Runs kubectl and tells what came of it."""
        own = (f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.cache}")
        done = subprocess.run(
            (str(self.programs["kubectl"]), *own, *arguments),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl, which must succeed; returns its stdout."""
        answer = self.run(*arguments, stdin=stdin)
        assert answer.code == 0, f"kubectl {' '.join(arguments)}: {answer.err}"
        return answer.out

    def apply(self, *documents: Mapping[str, Any], namespace: str = "default") -> None:
        """Applies documents, server-side."""
        text = yaml.safe_dump_all(documents)
        self.kubectl("apply", "--server-side", f"--namespace={namespace}", "--filename=-", stdin=text)

    def get(self, kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
        """One object."""
        text = self.kubectl("get", kind, name, f"--namespace={namespace}", "--output=json")
        document: dict[str, Any] = json.loads(text)
        return document

    def send(self, verb: str, path: str, body: Mapping[str, Any]) -> Answer:
        """Sends one request as it is: verb "create" (POST) or "replace" (PUT), without kubectl's own checks."""
        return self.run(verb, f"--raw={path}", "--filename=-", stdin=json.dumps(body))


@contextmanager
def local_cluster(state: Path) -> Iterator[Cluster]:
    """The lab's etcd, API server and controllers, which end with this process."""
    with ControlPlane(state / "control-plane", report=_silent) as plane:
        cluster = Cluster(plane.kubeconfig, plane.programs, state / "kubectl-cache")
        install_crds(cluster)
        yield cluster


@contextmanager
def current_cluster(state: Path) -> Iterator[Cluster]:
    """The cluster that kubectl would talk to; the CRDs stay there afterwards."""
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    kubeconfig = Path(named) if named else Path.home() / ".kube" / "config"
    cluster = Cluster(kubeconfig, binaries.ensure(("kubectl",), _silent), state / "kubectl-cache")
    install_crds(cluster)
    yield cluster


def install_crds(cluster: Cluster) -> None:
    """Applies the committed CRDs and waits until the server serves them."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", f"--kustomize={CRDS}")
    names = (f"crd/{path.stem}" for path in CRDS.glob("*.inferplan.dev.yaml"))
    cluster.kubectl("wait", "--for=condition=Established", *names, f"--timeout={ESTABLISHED_SECONDS}s")
    wait_until(lambda: _serves_both(cluster), ESTABLISHED_SECONDS, "both kinds in the API server's discovery")


@contextmanager
def random_namespace(cluster: Cluster, prefix: str = "test") -> Iterator[str]:
    """A fresh namespace; deleted afterwards, without waiting for the end of it."""
    name = f"{prefix}-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    try:
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


def _serves_both(cluster: Cluster) -> bool:
    answer = cluster.run("get", "inferenceinstances,optimizationplans", "--all-namespaces", "--output=name")
    return answer.code == 0


def _silent(_line: str) -> None:
    """Progress that no test wants to see."""
