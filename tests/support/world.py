"""A small world to look at: an instance, its Deployment, pods, a node, a Prometheus; and a planner on top."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.build import LLAMA_CONFIG
from tests.support.cluster import FakeCluster
from tests.support.git_host import FakeGitHost
from tests.support.prometheus import FakePrometheus, vllm_series

from inferplan.kube.resources import INSTANCES, PLANS, Document
from inferplan.observe.fleet import FleetReader
from inferplan.observe.fleet_meter import FleetMeter
from inferplan.observe.gather import Gatherer
from inferplan.observe.history import HistoryClock, HistoryReader
from inferplan.observe.measuring import Measurer
from inferplan.observe.series_labels import KUBERNETES_LABELS
from inferplan.reconcile.application import Applier, Ways
from inferplan.reconcile.canaries import Canaries
from inferplan.reconcile.controller import Result
from inferplan.reconcile.delivery import Delivery
from inferplan.reconcile.feed import Feed
from inferplan.reconcile.instance import Key
from inferplan.reconcile.planning import Means, Planner
from inferplan.reconcile.seen import LastLooks
from inferplan.telemetry import Telemetry

NAMESPACE = "serving"
KEY = Key(NAMESPACE, "llama")
ARGS = ("--model=meta-llama/Llama-3.1-8B", "--max-num-seqs=32", "--max-model-len=8192")
GPU_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}


def container(*args: str, **changes: Any) -> dict[str, Any]:
    """The engine's container of a pod template."""
    base = {
        "name": "vllm",
        "image": "vllm/vllm-openai:v0.33.0",
        "args": list(args or ARGS),
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
    }
    return base | changes


def instance(**spec: Any) -> Document:
    """An InferenceInstance on the Deployment "llama", objective throughput."""
    base = {
        "engine": "vllm",
        "targetRef": {"name": "llama"},
        "model": {"config": dict(LLAMA_CONFIG)},
        "objective": "throughput",
    }
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": KEY.name, "namespace": NAMESPACE},
        "spec": {key: value for key, value in {**base, **spec}.items() if value is not None},
    }


def deployment(*containers: Mapping[str, Any], kind: str = "Deployment") -> Document:
    """The workload "llama"."""
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "llama", "namespace": NAMESPACE},
        "spec": {
            "selector": {"matchLabels": {"app": "llama"}},
            "template": {"spec": {"containers": [dict(entry) for entry in containers or (container(),)]}},
        },
    }


def pod(
    name: str, workload: Mapping[str, Any], node: str = "gpu-1", *, started: str = "2026-01-01T00:00:00Z"
) -> Document:
    """A ready pod of the workload's present template."""
    kind = workload["kind"]
    own = workload["metadata"]["name"]
    owner = f"{own}-abc" if kind == "Deployment" else own
    labels = workload["spec"]["template"].get("metadata", {}).get("labels") or {"app": "llama"}
    spec = workload["spec"]["template"]["spec"]
    running = [{"name": entry["name"], "state": {"running": {"startedAt": started}}} for entry in spec["containers"]]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {**labels, **({"pod-template-hash": "abc"} if kind == "Deployment" else {})},
            "ownerReferences": [
                {"kind": "ReplicaSet" if kind == "Deployment" else kind, "name": owner, "uid": "o", "controller": True}
            ],
        },
        "spec": {**copy.deepcopy(spec), "nodeName": node},
        "status": {
            "podIP": "10.1.1.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": running,
        },
    }


def node(name: str = "gpu-1", **labels: str) -> Document:
    """A node with one kind of GPU."""
    return {"kind": "Node", "metadata": {"name": name, "labels": {**GPU_LABELS, **labels}}}


@dataclass
class FakeEngines:
    """Engines that answer with this version."""

    answer: str | None = "0.33.0"
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def version(self, address: str, port: int) -> str | None:
        self.asked.append((address, port))
        return self.answer


class World:
    """Everything around one planner; `look()` is one reconcile, a minute after the last."""

    def __init__(self, *documents: Mapping[str, Any], pods: Sequence[str] = ("llama-abc-1",)) -> None:
        self.cluster = FakeCluster()
        self.prometheus = FakePrometheus(vllm_series(pods))
        self.engines = FakeEngines()
        self.git = FakeGitHost()
        self.telemetry = Telemetry()
        self.keys: list[Key] = []
        self.feed = Feed(self.keys.append)
        self.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
        self._planner = self.planner()
        given = {document["kind"] for document in documents}
        workload = next((document for document in documents if "template" in document.get("spec", {})), deployment())
        defaults = (instance(), node(), workload, *(pod(name, workload) for name in pods))
        self.cluster.put(*(document for document in defaults if document["kind"] not in given), *documents)

    def planner(self) -> Planner:
        """A fresh planner on the same cluster, as after a restart."""
        gatherer = Gatherer(self.cluster, Measurer({"default": self._meter()}, lambda: self.now), self.engines)
        looks = LastLooks(self.cluster, ())
        ways = Ways(Delivery(self.git), Canaries(self.cluster, gatherer))
        applier = Applier(self.cluster, lambda: self.now, ways)
        means = Means(self.cluster, gatherer, applier)
        return Planner(means, self.feed, looks, self.telemetry, lambda: self.now)

    def _meter(self) -> FleetMeter:
        """The fake Prometheus, asked anew at each look; it has no past hours."""
        reader = FleetReader(self.prometheus, KUBERNETES_LABELS, lambda: self.now, self._seconds, cycle_seconds=30)
        hours = HistoryClock(self._seconds, self._seconds, lambda low, _: low)
        return FleetMeter("default", reader, HistoryReader(self.prometheus, "default", hours))

    def _seconds(self) -> float:
        return self.now.timestamp()

    async def look(self, *, seconds: float = 60.0) -> Result:
        self.now += timedelta(seconds=seconds)
        self.cluster.writes.clear()
        self.cluster.patches.clear()
        return (await self._planner.reconcile(KEY)).result

    @property
    def status(self) -> Document:
        """The instance's status."""
        status: Document = self.cluster.one(INSTANCES, NAMESPACE, KEY.name).get("status", {})
        return status

    def condition(self, kind: str) -> tuple[str, str, str]:
        """Status, reason and message of a condition."""
        found = next(entry for entry in self.status["conditions"] if entry["type"] == kind)
        return found["status"], found["reason"], found["message"]

    def plans(self) -> dict[str, str]:
        """Phase by plan name."""
        return {
            document["metadata"]["name"]: document.get("status", {}).get("phase", "")
            for document in self.cluster.all(PLANS)
        }
