"""The whole lab in one piece: an API server, a node that runs pods, Prometheus. `make demo` and tests both use it.

Which API server is a switch: `local` starts our own etcd and kube-apiserver, `kind` a kind cluster (needs
Docker), `current` takes the kubeconfig that kubectl would. Node and Prometheus are the lab's in every case, and
pods of the lab select its node, so nothing has to be built or loaded into a cluster.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

import yaml

from inferplan_lab import binaries
from inferplan_lab.control_plane import ControlPlane
from inferplan_lab.processes import Process, wait_until
from inferplan_lab.prometheus import Prometheus, Targets

Cluster = Literal["local", "kind", "current"]

ROOT = Path(__file__).resolve().parents[2]
NODE_NAME = "inferplan-lab"
KIND_NAME = "inferplan"
NODE_READY_SECONDS = 60


class LabError(RuntimeError):
    """A part of the lab cannot be had; one line for people."""


@dataclass(frozen=True)
class LabConfig:
    """What a lab consists of.

    Attributes:
        state: Folder for data, logs and pid files.
        cluster: Where the API server comes from.
        detached: Whether the lab outlives the command that starts it.
        node_options: Further options of the node stand-in, such as --images FILE.
        node_environment: Variables that the node hands on to its pods' rules.
    """

    state: Path
    cluster: Cluster = "local"
    detached: bool = True
    node_options: tuple[str, ...] = ()
    node_environment: Mapping[str, str] = field(default_factory=dict)


class Lab:
    """One lab in one state folder; starting a running one keeps what runs.

    Attributes:
        config: What it consists of.
        kubeconfig: The kubeconfig of its cluster; the file is there once it was started.
        prometheus: Its Prometheus.
    """

    def __init__(self, config: LabConfig, report: Callable[[str], None] = print) -> None:
        self.config = config
        self._report = report
        state, detached = config.state.absolute(), config.detached
        self._plane = ControlPlane(state / "cluster", detached=detached, report=report)
        self.kubeconfig = self._plane.kubeconfig if config.cluster == "local" else state / "kubeconfig"
        targets = Targets(kubeconfig=self.kubeconfig)
        self.prometheus = Prometheus(state / "prometheus", targets, detached=detached, report=report)
        self._node = Process("node", state / "node", detached=detached)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:  # nothing half-started stays
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Starts what does not run yet.

        Raises:
            LabError: kind or a kubeconfig is missing, or the node did not come up.
            ControlPlaneError, PrometheusError, ProgramUnavailableError: A part did not start.
        """
        self.config.state.mkdir(parents=True, exist_ok=True)
        if self.config.cluster == "local":
            self._plane.start()
        else:
            self._borrow_cluster()
        self.prometheus.start()
        self._start_node()

    def stop(self) -> None:
        """Stops everything that the lab started, pods first; fine when nothing runs."""
        self._node.stop(grace_seconds=20)
        self.prometheus.stop()
        self._plane.stop()

    def is_running(self) -> bool:
        """Whether node and Prometheus run."""
        return self._node.is_running() and self.prometheus.is_running()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Runs kubectl as the lab's administrator.

        Raises:
            LabError: It failed.
        """
        program = str(binaries.ensure(("kubectl",), self._report)["kubectl"])
        argv = (program, f"--kubeconfig={self.kubeconfig}", *arguments)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise LabError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """A kubeconfig that is this service account and nobody else, good for a day; its rights are what RBAC says."""
        document = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=24h").strip()
        document["users"] = [{**user, "user": {"token": token}} for user in document["users"]]
        path = self.config.state.absolute() / f"{name}.kubeconfig"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def _start_node(self) -> None:
        if self._node.is_running():
            self._report("the lab's node runs already")
            return
        state = str(self.config.state.absolute() / "node")
        argv = (
            *(sys.executable, "-m", "inferplan_lab.node"),
            *("--kubeconfig", str(self.kubeconfig), "--state", state, "--name", NODE_NAME),
            *self.config.node_options,
        )
        self._node.start(argv, env={**own_environment(), **self.config.node_environment})
        wait_until(self._node_settled, NODE_READY_SECONDS, "the lab's node")
        if not self._node.is_running():
            raise LabError(f"the lab's node ended; its last log lines:\n{self._node.log_tail()}")
        self._report(f"node {NODE_NAME} ready: it runs pods as local processes")

    def _node_settled(self) -> bool:
        return not self._node.is_running() or f"node {NODE_NAME} ready" in self._node.log_tail()

    def _borrow_cluster(self) -> None:
        """Writes the kubeconfig of the kind or current cluster into the state folder."""
        if self.config.cluster == "kind":
            _ensure_kind_cluster(self._report)
            text = _run("kind", "get", "kubeconfig", "--name", KIND_NAME)
        else:
            kubectl = str(binaries.ensure(("kubectl",), self._report)["kubectl"])
            text = _run(kubectl, "config", "view", "--raw", "--minify", "--flatten")
        self.kubeconfig.write_text(text, encoding="utf-8")
        self.kubeconfig.chmod(0o600)
        self.kubectl("get", "--raw", "/readyz")
        self._report(f"using the {self.config.cluster} cluster (kubeconfig {self.kubeconfig})")


def own_environment() -> dict[str, str]:
    """The environment with this checkout's source roots on Python's path, for processes that the lab starts."""
    roots = os.pathsep.join((str(ROOT / "operator"), str(ROOT / "lab")))
    return {**os.environ, "PYTHONPATH": roots}


def _ensure_kind_cluster(report: Callable[[str], None]) -> None:
    for program in ("kind", "docker"):
        if shutil.which(program) is None:
            raise LabError(f"--cluster=kind needs {program} on PATH; use --cluster=local, which needs neither")
    if KIND_NAME in _run("kind", "get", "clusters").split():
        return
    report(f"creating the kind cluster {KIND_NAME} (about 90 seconds)")
    config = ROOT / "deploy" / "kind" / "cluster.yaml"
    _run("kind", "create", "cluster", "--name", KIND_NAME, "--config", str(config))


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
