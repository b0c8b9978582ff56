"""The lab's control plane and Prometheus, the real ones (marked `cluster`), and what a failed start says."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest
from typing_extensions import override

from inferplan_lab.control_plane import ControlPlane, ControlPlaneError, KubectlError
from inferplan_lab.processes import Identity, is_free, wait_until
from inferplan_lab.prometheus import Prometheus, PrometheusError, Targets, scrape_configuration

PATIENCE_SECONDS = 60
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with ControlPlane(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.mark.cluster
def test_kubectl_and_the_server_have_the_pinned_version(plane: ControlPlane) -> None:
    versions = json.loads(plane.kubectl("version", "--output=json"))
    assert versions["clientVersion"]["minor"] == versions["serverVersion"]["minor"] == "37"


@pytest.mark.cluster
def test_a_deployment_becomes_a_replica_set_and_pods(plane: ControlPlane) -> None:
    plane.kubectl("create", "namespace", "shop")
    plane.kubectl("create", "deployment", "web", "--image=none", "--replicas=2", "--namespace=shop")

    def owners(kind: str) -> list[str]:
        items = json.loads(plane.kubectl("get", kind, "--namespace=shop", "--output=json"))["items"]
        return [item["metadata"]["ownerReferences"][0]["kind"] for item in items]

    wait_until(lambda: len(owners("pods")) == 2, PATIENCE_SECONDS, "two pods")
    assert owners("replicasets") == ["Deployment"]
    assert owners("pods") == ["ReplicaSet", "ReplicaSet"]


@pytest.mark.cluster
def test_a_service_accounts_token_is_accepted_and_has_no_rights(plane: ControlPlane) -> None:
    token = plane.kubectl("create", "token", "default").strip()
    other = ("--kubeconfig=/dev/null", f"--server={plane.url}", f"--token={token}")
    ca_file = f"--certificate-authority={plane.state / 'pki' / 'apiserver.crt'}"
    who = json.loads(plane.kubectl("auth", "whoami", "--output=json", *other, ca_file))
    assert who["status"]["userInfo"]["username"] == "system:serviceaccount:default:default"
    with pytest.raises(KubectlError, match="cannot list resource"):
        plane.kubectl("get", "pods", *other, ca_file)


@pytest.mark.cluster
def test_prometheus_scrapes_annotated_pods_under_their_names(plane: ControlPlane, tmp_path: Path) -> None:
    with _Metrics() as metrics:
        _pod(plane, "engine", {"scrape": "true", "port": str(metrics.port), "path": "/own/metrics"})
        _pod(plane, "silent", {"port": str(metrics.port)})
        targets = Targets(plane.kubeconfig, static=(f"127.0.0.1:{metrics.port}",), interval_seconds=0.2)
        with Prometheus(tmp_path, targets) as prometheus:
            question = 'answer{job="kubernetes-pods"}'
            wait_until(lambda: bool(prometheus.query(question)), PATIENCE_SECONDS, question)
            (sample,) = prometheus.query(question)
            assert sample.value == 42
            expected = {
                "__name__": "answer",
                "job": "kubernetes-pods",
                "instance": f"127.0.0.1:{metrics.port}",
                "namespace": "default",
                "pod": "engine",
                "app": "engine",
                "app_kubernetes_io_part_of": "shop",
            }
            assert dict(sample.labels) == expected
            wait_until(lambda: bool(prometheus.query('up{job="static"}')), PATIENCE_SECONDS, "the static target")
            with pytest.raises(PrometheusError, match="parse error"):
                prometheus.query("answer{")
        assert not prometheus.is_running()
    assert set(metrics.paths) == {"/own/metrics", "/metrics"}


@pytest.mark.cluster
def test_a_stop_leaves_no_process_and_no_port_and_a_restart_keeps_the_content(tmp_path: Path) -> None:
    with ControlPlane(tmp_path) as plane:
        plane.kubectl("create", "configmap", "kept")
        before = plane.kubeconfig.read_text()
        running = [Identity(**json.loads((tmp_path / f"{part}.pid").read_text(encoding="utf-8"))) for part in PARTS]
        assert all(identity.is_alive() for identity in running)
        port = int(plane.url.rpartition(":")[2])
        assert not is_free("127.0.0.1", port)
    assert not any(identity.is_alive() for identity in running)
    assert is_free("127.0.0.1", port)
    assert plane.kubeconfig.stat().st_mode & 0o777 == 0o600

    with ControlPlane(tmp_path) as plane:
        assert plane.kubeconfig.read_text() == before
        assert "kept" in plane.kubectl("get", "configmaps", "--output=name")


def test_a_failed_start_shows_the_log_of_the_part_that_failed_and_leaves_nothing(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path / "state")
    etcd, apiserver = tmp_path / "etcd", tmp_path / "kube-apiserver"
    etcd.write_text("#!/bin/sh\nexec sleep 60\n")
    apiserver.write_text("#!/bin/sh\necho unknown flag: --nonsense\nexit 1\n")
    for program in (etcd, apiserver):
        program.chmod(0o755)
    plane._found = {"etcd": etcd, "kube-apiserver": apiserver, "kube-controller-manager": Path("/bin/false")}
    with pytest.raises(ControlPlaneError, match=r"kube-apiserver ended; .*\nunknown flag: --nonsense"):
        plane.start()
    assert list((tmp_path / "state").glob("*.pid")) == []


def test_the_scrape_timeout_never_exceeds_the_interval() -> None:
    settings = scrape_configuration(Targets(static=("a:1",), interval_seconds=0.25))["global"]
    assert settings["scrape_interval"] == settings["scrape_timeout"] == "250ms"


class _Metrics:
    """A server of one metric; `paths` are those it was asked for."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        handler = type("Handler", (_Handler,), {"paths": self.paths})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(poll_interval=0.02))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    paths: list[str]

    def do_GET(self) -> None:
        self.paths.append(self.path)
        body = b"# TYPE answer gauge\nanswer 42\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output clean."""


def _pod(plane: ControlPlane, name: str, annotations: dict[str, str]) -> None:
    """Create a pod that is said to run at 127.0.0.1, with two declared ports."""
    ports = [{"containerPort": 8000}, {"containerPort": 8001}]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "labels": {"app": name, "app.kubernetes.io/part-of": "shop"},
            "annotations": {f"prometheus.io/{key}": value for key, value in annotations.items()},
        },
        "spec": {"containers": [{"name": "main", "image": "none", "ports": ports}]},
    }
    plane.kubectl("create", "--filename=-", stdin=json.dumps(pod))
    status = {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}}
    plane.kubectl("patch", "pod", name, "--subresource=status", "--patch", json.dumps(status))
