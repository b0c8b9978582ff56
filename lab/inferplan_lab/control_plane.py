"""The lab's Kubernetes control plane: the real etcd, kube-apiserver and kube-controller-manager.

It has no kubelet and no scheduler: a pod stays Pending until something binds it (see node.py). By hand:

    python -m inferplan_lab.control_plane up --state DIR
    KUBECONFIG=DIR/kubeconfig kubectl get namespaces
    python -m inferplan_lab.control_plane down --state DIR
"""

import argparse
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Self

from inferplan_lab import binaries, credentials, kubeconfig
from inferplan_lab.locks import locked
from inferplan_lab.processes import Process, free_port, is_free, wait_until

# The service accounts' issuer and the addresses of Services; nothing routes to them, they must only be valid.
ISSUER = "https://kubernetes.default.svc"
SERVICE_ADDRESSES = "10.0.0.0/24"
READY_SECONDS = 90  # seen: 3 s on two idle cores; a busy CI machine is given room
STOP_GRACE_SECONDS = 15
CONTROLLERS = (
    "deployment-controller",
    "replicaset-controller",
    "statefulset-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "disruption-controller",
    "endpointslice-controller",
    "clusterrole-aggregation-controller",  # without it the roles view, edit and admin grant nothing
    "root-ca-certificate-publisher-controller",  # the CA in each pod's service account volume
)
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts"]
- level: None
"""
NAMES = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")


class ControlPlaneError(RuntimeError):
    """The control plane did not start; the message ends with the last log lines of the part that failed."""


class KubectlError(RuntimeError):
    """A kubectl command failed; the message is what it wrote to stderr."""


class ControlPlane:
    """One control plane in one state folder. Its content survives a stop; delete the folder for a fresh one.

    Args:
        state: The folder for data, keys, logs and pid files.
        address: The local address it listens on.
        detached: Whether it outlives this process. Attached, it ends with the thread that started it.
        report: Gets a line of progress at a time.
    """

    def __init__(
        self,
        state: Path,
        *,
        address: str = "127.0.0.1",
        detached: bool = False,
        report: Callable[[str], None] = print,
    ) -> None:
        self.state = state.absolute()
        self.kubeconfig = self.state / "kubeconfig"
        self.audit_log = self.state / "audit.log"
        self._address = address
        self._report = report
        self._etcd = Process("etcd", self.state, detached=detached)
        self._apiserver = Process("kube-apiserver", self.state, detached=detached)
        self._controllers = Process("kube-controller-manager", self.state, detached=detached)
        self._found: Mapping[str, Path] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The API server's https://address:port; known once it was started."""
        return kubeconfig.read(self.kubeconfig).server

    @property
    def programs(self) -> Mapping[str, Path]:
        """The four programs by name, fetched or built on first use."""
        if self._found is None:
            self._found = binaries.ensure(NAMES, self._report)
        return self._found

    def is_running(self) -> bool:
        """Tell whether all three parts run, whoever started them."""
        return all(part.is_running() for part in self._stop_order())

    def start(self) -> None:
        """Start all three and wait until the API server is ready; one that runs already is kept.

        Raises:
            ControlPlaneError: A part ended, or was not ready in time.
            ProgramUnavailableError: A program can be had in no way (see binaries).
        """
        with locked(self.state / "lock", lambda: self._report("waiting for another start of this lab")):
            if self.is_running():
                self._report(f"the control plane runs already: {self.url}")
                return
            programs = self.programs
            self._stop_parts()  # what is left of an earlier one is in the way
            try:
                self._boot(programs)
            except BaseException:  # Ctrl-C included: nothing half-started stays
                self._stop_parts()
                raise

    def stop(self) -> None:
        """Stop all three, in the order that lets each end at once; fine when none runs."""
        if not self.state.exists():
            return
        with locked(self.state / "lock", lambda: self._report("waiting for another start of this lab")):
            self._stop_parts()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as administrator and return its stdout.

        Raises:
            KubectlError: It failed.
        """
        own = (f"--kubeconfig={self.kubeconfig}", f"--cache-dir={self.state / 'kubectl-cache'}")
        argv = (str(self.programs["kubectl"]), *own, *arguments)
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _stop_order(self) -> tuple[Process, Process, Process]:
        """Order the parts: etcd last, as without it the API server hangs on for over a minute."""
        return self._controllers, self._apiserver, self._etcd

    def _stop_parts(self) -> None:
        for part in self._stop_order():
            part.stop(STOP_GRACE_SECONDS)

    def _boot(self, programs: Mapping[str, Path]) -> None:
        port, token = self._port_and_token()
        self._write_secrets(token)
        etcd_url = self._start_etcd(programs["etcd"])
        self._apiserver.start(self._apiserver_argv(programs["kube-apiserver"], port, etcd_url))
        certificate = self.state / "pki" / "apiserver.crt"
        self._wait(self._apiserver, certificate.exists, "the API server's certificate")
        server = f"https://{self._address}:{port}"
        config = kubeconfig.Kubeconfig(server=server, ca_pem=certificate.read_text("utf-8"), token=token)
        self._wait(self._apiserver, lambda: _answers(config, "/readyz"), f"{server}/readyz")
        kubeconfig.write(self.kubeconfig, config)
        self._controllers.start(self._controllers_argv(programs["kube-controller-manager"]))
        account = "/api/v1/namespaces/default/serviceaccounts/default"  # no pod is admitted without it
        self._wait(self._controllers, lambda: _answers(config, account), "the default service account")
        self._report(f"control plane ready: {server} (export KUBECONFIG={self.kubeconfig})")

    def _port_and_token(self) -> tuple[int, str]:
        """Those of the last start where possible, so that kubeconfig files made then still work."""
        if not self.kubeconfig.exists():
            return free_port(self._address), credentials.admin_token()
        before = kubeconfig.read(self.kubeconfig)
        port = int(before.server.rpartition(":")[2])
        return (port if is_free(self._address, port) else free_port(self._address)), before.token

    def _write_secrets(self, token: str) -> None:
        kubeconfig.write_secret(self.state / "tokens.csv", credentials.token_file(token))
        key = self.state / "service-account.key"
        if not key.exists():  # tokens issued before a restart stay valid
            kubeconfig.write_secret(key, credentials.signing_key())

    def _write_audit_policy(self) -> Path:
        """Who asked for what, a JSON line each in audit.log: tests hold the operator's RBAC against it."""
        path = self.state / "audit-policy.yaml"
        path.write_text(AUDIT_POLICY, "utf-8")
        return path

    def _start_etcd(self, program: Path) -> str:
        client, peer = (f"http://{self._address}:{free_port(self._address)}" for _ in range(2))
        options = {
            "data-dir": self.state / "etcd-data",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        self._etcd.start((*_argv(program, options), "--unsafe-no-fsync"))
        return client

    def _apiserver_argv(self, program: Path, port: int, etcd_url: str) -> tuple[str, ...]:
        key = self.state / "service-account.key"
        options = {
            "etcd-servers": etcd_url,
            "secure-port": port,
            "bind-address": self._address,
            "advertise-address": self._address,  # else it looks for a routed one, and a laptop may have none
            "endpoint-reconciler-type": "none",  # a loopback address is no valid endpoint
            "cert-dir": self.state / "pki",
            "token-auth-file": self.state / "tokens.csv",
            "service-account-issuer": ISSUER,
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": SERVICE_ADDRESSES,
            "allow-privileged": "true",
            "audit-policy-file": self._write_audit_policy(),
            "audit-log-path": self.audit_log,
            "profiling": "false",
        }
        return _argv(program, options)

    def _controllers_argv(self, program: Path) -> tuple[str, ...]:
        options = {
            "kubeconfig": self.kubeconfig,
            "service-account-private-key-file": self.state / "service-account.key",
            "root-ca-file": self.state / "pki" / "apiserver.crt",
            "use-service-account-credentials": "false",
            "leader-elect": "false",
            "secure-port": 0,  # it serves nothing
            "controllers": ",".join(CONTROLLERS),
        }
        return _argv(program, options)

    def _wait(self, part: Process, condition: Callable[[], bool], what: str) -> None:
        """Wait for the condition as long as the part and etcd live.

        Raises:
            ControlPlaneError: One of them ended, or the time is over.
        """
        try:
            wait_until(lambda: not self._lives(part) or condition(), READY_SECONDS, what)
        except TimeoutError as error:
            raise ControlPlaneError(f"{part.name}: {error}; its last log lines:\n{part.log_tail()}") from error
        for ended in (self._etcd, part):
            if not ended.is_running():
                raise ControlPlaneError(f"{ended.name} ended; its last log lines:\n{ended.log_tail()}")

    def _lives(self, part: Process) -> bool:
        return part.is_running() and self._etcd.is_running()


def _argv(program: Path, options: Mapping[str, object]) -> tuple[str, ...]:
    return (str(program), *(f"--{name}={value}" for name, value in options.items()))


def _answers(config: kubeconfig.Kubeconfig, path: str) -> bool:
    """Tell whether the API server answers this path with 200."""
    request = urllib.request.Request(  # noqa: S310  # https only: the URL is our own server's
        config.server + path, headers={"Authorization": f"Bearer {config.token}"}
    )
    direct = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),  # a proxy of the machine's environment is not for this address
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=config.ca_pem)),
    )
    try:
        with direct.open(request, timeout=5) as response:
            return bool(response.status == HTTPStatus.OK)
    except (urllib.error.URLError, OSError):
        return False


def main(arguments: list[str] | None = None) -> int:
    """Start or stop a detached control plane; prints the kubeconfig's path."""
    parser = argparse.ArgumentParser(prog="inferplan_lab.control_plane", description=main.__doc__)
    parser.add_argument("action", choices=("up", "down"))
    parser.add_argument("--state", type=Path, required=True, help="the folder of its data, logs and pid files")
    options = parser.parse_args(arguments)
    report = binaries.console_report(sys.stderr)
    plane = ControlPlane(options.state, detached=True, report=report)
    try:
        if options.action == "down":
            plane.stop()
        else:
            plane.start()
            print(plane.kubeconfig)
    except (ControlPlaneError, binaries.ProgramUnavailableError) as error:
        report(str(error))
        return 1
    except KeyboardInterrupt:
        report("interrupted; nothing is left running")
        return binaries.INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
