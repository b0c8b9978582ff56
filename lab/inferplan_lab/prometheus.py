"""The lab's Prometheus: the real one, scraping the annotated pods of a cluster, or fixed targets."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from inferplan_lab import binaries
from inferplan_lab.locks import locked
from inferplan_lab.processes import Process, free_port, wait_until

READY_SECONDS = 60
RETENTION = "2d"  # a demo's lifetime, with room
PODS_JOB = "kubernetes-pods"
STATIC_JOB = "static"
ANNOTATION = "__meta_kubernetes_pod_annotation_prometheus_io_"


class PrometheusError(RuntimeError):
    """Prometheus did not start, or refused a query; the message says why."""


@dataclass(frozen=True)
class Sample:
    """One element of an instant query's result: its labels and its value."""

    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True)
class Targets:
    """What Prometheus scrapes.

    Attributes:
        kubeconfig: The cluster whose pods with the annotation prometheus.io/scrape: "true" are scraped;
            None for no cluster.
        static: address:port of further targets.
        interval_seconds: How often.
        late_hours: How old a sample with a time of its own may be. Beyond 0, a target can tell of the past.
    """

    kubeconfig: Path | None = None
    static: tuple[str, ...] = ()
    interval_seconds: float = 1
    late_hours: int = 0


class Prometheus:
    """One Prometheus in one state folder. Its data survive a stop.

    Args:
        state: The folder for configuration, data, log and pid file.
        targets: What it scrapes.
        address: The local address it listens on.
        detached: Whether it outlives this process. Attached, it ends with the thread that started it.
        report: Gets a line of progress at a time.
    """

    def __init__(
        self,
        state: Path,
        targets: Targets,
        *,
        address: str = "127.0.0.1",
        detached: bool = False,
        report: Callable[[str], None] = print,
    ) -> None:
        self.state = state.absolute()
        self._targets = targets
        self._address = address
        self._report = report
        self._process = Process("prometheus", self.state, detached=detached)
        self._url_path = self.state / "prometheus.url"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """http://address:port of the one that was started last in this folder.

        Raises:
            PrometheusError: None was.
        """
        try:
            return self._url_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise PrometheusError(f"{self.state}: no Prometheus was started here") from None

    def is_running(self) -> bool:
        """Tell whether it runs, whoever started it."""
        return self._process.is_running()

    def start(self) -> None:
        """Start it and wait until it answers queries; one that runs already with the same targets is kept.

        Raises:
            PrometheusError: It ended, or was not ready in time.
            ProgramUnavailableError: The program can be had in no way (see binaries).
        """
        with self._alone():
            text = yaml.safe_dump(scrape_configuration(self._targets), sort_keys=False)
            path = self.state / "prometheus.yaml"
            if self.is_running() and path.exists() and path.read_text(encoding="utf-8") == text:
                self._report(f"Prometheus runs already: {self.url}")
                return
            self._process.stop()
            path.write_text(text, encoding="utf-8")
            try:
                self._boot(path)
            except BaseException:  # Ctrl-C included: nothing half-started stays
                self._process.stop()
                raise

    def stop(self) -> None:
        """Stop it; fine when it does not run."""
        if not self.state.exists():
            return
        with self._alone():
            self._process.stop()

    def query(self, promql: str) -> tuple[Sample, ...]:
        """Evaluate an expression now; a scalar is one sample without labels.

        Raises:
            PrometheusError: It is refused, or Prometheus does not answer.
        """
        result = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": promql}))["data"]
        if result["resultType"] == "scalar":
            return (Sample(labels={}, value=float(result["result"][1])),)
        return tuple(Sample(labels=element["metric"], value=float(element["value"][1])) for element in result["result"])

    def _alone(self) -> AbstractContextManager[None]:
        return locked(
            self.state / "prometheus.lock",
            lambda: self._report("waiting for another start of this Prometheus"),
        )

    def _boot(self, configuration: Path) -> None:
        program = binaries.ensure(("prometheus",), self._report)["prometheus"]
        listen = f"{self._address}:{free_port(self._address)}"
        self._url_path.write_text(f"http://{listen}\n", encoding="utf-8")
        options = {
            "config.file": configuration,
            "storage.tsdb.path": self.state / "prometheus-data",
            "storage.tsdb.retention.time": RETENTION,
            "web.listen-address": listen,
            "log.level": "warn",
        }
        self._process.start((str(program), *(f"--{name}={value}" for name, value in options.items())))
        self._wait_for_ready()
        self._report(f"Prometheus ready: {self.url}")

    def _wait_for_ready(self) -> None:
        try:
            wait_until(lambda: not self.is_running() or self._is_ready(), READY_SECONDS, f"{self.url}/-/ready")
        except TimeoutError as error:
            raise PrometheusError(f"{error}; Prometheus' last log lines:\n{self._process.log_tail()}") from error
        if not self.is_running():
            raise PrometheusError(f"Prometheus ended; its last log lines:\n{self._process.log_tail()}")

    def _is_ready(self) -> bool:
        try:
            self._open("/-/ready")
        except OSError:  # URLError and HTTPError are ones
            return False
        return True

    def _get(self, path: str) -> Any:  # noqa: ANN401  # JSON
        try:
            return json.loads(self._open(path))
        except urllib.error.HTTPError as error:
            with error:
                raise PrometheusError(f"{path}: {error.read().decode(errors='replace')}") from error
        except OSError as error:
            raise PrometheusError(f"{self.url}{path}: {error}") from error

    def _open(self, path: str) -> bytes:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # ours needs no proxy
        with direct.open(self.url + path, timeout=10) as response:
            return bytes(response.read())


def scrape_configuration(targets: Targets) -> dict[str, Any]:
    """Return Prometheus' configuration for these targets."""
    interval = f"{round(targets.interval_seconds * 1000)}ms"
    jobs: list[dict[str, Any]] = []
    if targets.kubeconfig:
        discovery = {"role": "pod", "kubeconfig_file": str(targets.kubeconfig.absolute())}
        jobs.append(
            {
                "job_name": PODS_JOB,
                "kubernetes_sd_configs": [discovery],
                "relabel_configs": list(_pod_rules()),
            }
        )
    if targets.static:
        jobs.append({"job_name": STATIC_JOB, "static_configs": [{"targets": list(targets.static)}]})
    # A scrape may not take longer than its interval: Prometheus refuses such a configuration.
    late = {"storage": {"tsdb": {"out_of_order_time_window": f"{targets.late_hours}h"}}} if targets.late_hours else {}
    return {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": jobs,
        **late,
    }


def _pod_rules() -> tuple[dict[str, Any], ...]:
    """Which pods, where, and under which labels.

    Discovery yields one target per declared port. All get the annotated address and, having no label of the
    container, become the same target, which Prometheus then scrapes once.
    """
    pod = "__meta_kubernetes_pod_"
    return (
        {"source_labels": [f"{ANNOTATION}scrape"], "regex": "true", "action": "keep"},
        {"source_labels": [f"{ANNOTATION}port"], "regex": r"\d+", "action": "keep"},
        {"source_labels": [f"{pod}ip"], "regex": ".+", "action": "keep"},
        {"source_labels": [f"{pod}phase"], "regex": "Succeeded|Failed", "action": "drop"},
        {"source_labels": [f"{ANNOTATION}path"], "regex": "(.+)", "target_label": "__metrics_path__"},
        {
            "source_labels": [f"{pod}ip", f"{ANNOTATION}port"],
            "separator": ":",
            "target_label": "__address__",
        },
        {"action": "labelmap", "regex": f"{pod}label_(.+)"},  # first: our own labels below win
        {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        {"source_labels": [f"{pod}name"], "target_label": "pod"},
        {"source_labels": [f"{pod}node_name"], "target_label": "node"},
    )
