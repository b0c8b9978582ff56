"""A real API server, a node that runs pods, and a Prometheus that knows what they are told: where plans are applied.

Two sources of metrics: "default" is the lab's own Prometheus, which scrapes the pods; "fake" follows from what each pod
is told, at once, for tests of what happens around an application.
"""

import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support import operator_process, trial_engine
from tests.support.lab import Cluster
from tests.support.operator_process import Operator
from tests.support.prometheus import FakePrometheus, serving, vllm_series

from inferplan_lab.lab import NODE_NAME, own_environment
from inferplan_lab.processes import Process, wait_until
from inferplan_lab.prometheus import Prometheus, Targets

NODE_SECONDS = 60
FEED_SECONDS = 2.0
REQUESTS_PER_SECOND = 8.0
ANSWER_TOKENS = 200.0
"""As `vllm_series` has it."""
IN_FLIGHT = 44
"""More than the 32 that trials begin with run at once, and fewer than the 64 that plans want."""


@dataclass(frozen=True)
class Ground:
    """What trials stand on.

    Attributes:
        cluster: The API server.
        sources: URL of each Prometheus by name.
        fake: The one that follows from what pods are told.
    """

    cluster: Cluster
    sources: Mapping[str, str]
    fake: FakePrometheus

    @property
    def environment(self) -> dict[str, str]:
        """Settings of an operator on it."""
        return {
            "INFERPLAN_PROMETHEUS_SOURCES": json.dumps(dict(self.sources)),
            "INFERPLAN_RESYNC_SECONDS": "5",
            "INFERPLAN_METRICS_SECONDS": "1",
        }


@contextmanager
def prepared(cluster: Cluster, folder: Path, *, scraped: bool = True) -> Iterator[Ground]:
    """The node, both sources, and what feeds the fake one; `scraped`: whether the lab's Prometheus runs."""
    fake, stop = FakePrometheus(), threading.Event()
    with _node(cluster, folder / "node"), serving(fake) as url, _real(cluster, folder, scraped=scraped) as default:
        feeder = threading.Thread(target=_feed, args=(cluster, fake, stop), daemon=True)
        feeder.start()
        try:
            yield Ground(cluster, {"default": default or url, "fake": url}, fake)
        finally:
            stop.set()
            feeder.join()


@contextmanager
def _real(cluster: Cluster, folder: Path, *, scraped: bool) -> Iterator[str]:
    if not scraped:
        yield ""
        return
    targets = Targets(kubeconfig=cluster.kubeconfig)
    with Prometheus(folder / "prometheus", targets, report=lambda _line: None) as prometheus:
        yield prometheus.url


@contextmanager
def _node(cluster: Cluster, folder: Path) -> Iterator[None]:
    """The lab's node, on which vLLM's images are trial engines."""
    folder.mkdir(parents=True)
    images = folder / "images.yaml"
    images.write_text(yaml.safe_dump([_image()]), "utf-8")
    process = Process("node", folder)
    argv = (
        *(sys.executable, "-m", "inferplan_lab.node", "--kubeconfig", str(cluster.kubeconfig)),
        *("--state", str(folder / "state"), "--name", NODE_NAME, "--images", str(images)),
        *("--gpu-count", "200", "--backoff-scale", "0.2"),
    )
    process.start(argv, env=own_environment())
    try:
        wait_until(lambda: f"node {NODE_NAME} ready" in process.log_tail(), NODE_SECONDS, "the lab's node")
        yield
    finally:
        process.stop(grace_seconds=20)
        cluster.run("delete", "node", NODE_NAME, "--ignore-not-found")


def _image() -> dict[str, Any]:
    return {
        "image": "(.*/)?vllm-openai:",
        "entrypoint": ["vllm", "serve"],
        "commands": {"vllm": ["$(PYTHON)", str(Path(trial_engine.__file__).absolute())]},
        "env": {
            "PYTHONPATH": "$(LAB_ROOT)",
            "INFERPLAN_SIM_VLLM_VERSION": "$(IMAGE_VERSION)",
            "INFERPLAN_SIM_BIND": "$(POD_IP)",
            "INFERPLAN_SIM_GPU_PRODUCT": "$(GPU_PRODUCT)",
            "INFERPLAN_SIM_GPU_MEMORY_MIB": "$(GPU_MEMORY_MIB)",
            "INFERPLAN_SIM_GPU_COUNT": "$(GPU_COUNT)",
        },
    }


def _feed(cluster: Cluster, fake: FakePrometheus, stop: threading.Event) -> None:
    """Keeps the fake's series those of the pods that run."""
    while not stop.wait(FEED_SECONDS):
        answer = cluster.run("get", "pods", "--all-namespaces", "--selector=trial", "--output=json")
        if answer.code == 0:
            fake.series = _series(json.loads(answer.out)["items"])


def _series(pods: list[dict[str, Any]]) -> dict[str, Any]:
    series: dict[str, list[Any]] = {}
    for pod in pods:
        meta = pod["metadata"]
        load = _load(pod)
        for metric, entries in vllm_series([meta["name"]], meta["namespace"], **load).items():
            series.setdefault(metric, []).extend(entries)
        labels, _ = series["vllm:num_requests_running"][-1]
        tokens = series.setdefault("vllm:generation_tokens_total", [])
        tokens.append((labels, load["requests"] * ANSWER_TOKENS))
    return series


def _load(pod: Mapping[str, Any]) -> dict[str, float]:
    """44 requests at once; with more than 32 sequences it serves TRIAL_GAIN times as many a second."""
    container = pod["spec"]["containers"][0]
    told = next((word for word in container["args"] if word.startswith("--max-num-seqs=")), "--max-num-seqs=64")
    running = float(min(int(told.partition("=")[2]), IN_FLIGHT))
    gain = next((entry["value"] for entry in container.get("env", ()) if entry["name"] == "TRIAL_GAIN"), "1.3")
    rate = REQUESTS_PER_SECOND * (float(gain) if running > 32 else 1.0)
    return {"running": running, "waiting": IN_FLIGHT - running, "requests": rate}


@contextmanager
def applying(ground: Ground, folder: Path) -> Iterator[Operator]:
    """The operator with what deploy/apply and deploy/canary grant."""
    with (
        operator_process.service_account(ground.cluster, folder, applies=True) as (credentials, user),
        operator_process.running(folder, credentials, "", **ground.environment) as running,
    ):
        yield Operator(running.process, running.url, user)
