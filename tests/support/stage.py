"""One namespace of a real API server with an operator at work in it, as the tests of the operator see it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from tests.support.lab import Cluster
from tests.support.operator_process import Operator
from tests.support.prometheus import FakePrometheus, vllm_series
from tests.support.serving_objects import ready_pod, workload

from inferplan_lab.processes import wait_until

PATIENCE_SECONDS = 45


@dataclass
class Stage:
    """One namespace, with an operator that watches all of them and a Prometheus to fill."""

    cluster: Cluster
    namespace: str
    prometheus: FakePrometheus
    operator: Operator
    patience_seconds: float = PATIENCE_SECONDS

    def apply(self, *documents: dict[str, Any]) -> None:
        self.cluster.apply(*documents, namespace=self.namespace)

    def serve(self, name: str = "llama", *args: str, kind: str = "Deployment") -> str:
        """A workload with one ready pod that Prometheus knows, capped at 32."""
        self.apply(workload(name, *args, kind=kind))
        pod = ready_pod(self.cluster, self.namespace, name, args=args)
        self.measure(pod)
        return pod

    def measure(self, pod: str) -> None:
        """Series of a pod with a queue behind a cap of 32."""
        for metric, series in vllm_series([pod], self.namespace).items():
            self.prometheus.series.setdefault(metric, []).extend(series)

    def run_at_once(self, requests: int) -> None:
        """Prometheus shows so many running requests on this namespace's pods."""
        series = self.prometheus.series["vllm:num_requests_running"]
        own = [
            (labels, float(requests) if labels["namespace"] == self.namespace else value) for labels, value in series
        ]
        self.prometheus.series["vllm:num_requests_running"] = own

    def status(self, name: str = "llama") -> dict[str, Any]:
        status: dict[str, Any] = self.cluster.get("ii", name, self.namespace).get("status", {})
        return status

    def condition(self, kind: str, name: str = "llama") -> tuple[str, str, str]:
        """Status, reason and message; of none, empty ones."""
        for entry in self.status(name).get("conditions", ()):
            if entry["type"] == kind:
                return entry["status"], entry["reason"], entry["message"]
        return "", "", ""

    def plans(self) -> list[dict[str, Any]]:
        text = self.cluster.kubectl("get", "oplan", f"--namespace={self.namespace}", "--output=json")
        items: list[dict[str, Any]] = json.loads(text)["items"]
        return items

    def phases(self) -> list[str]:
        return sorted(plan.get("status", {}).get("phase", "") for plan in self.plans())

    def looks(self) -> float:
        """Looks at instances so far."""
        lines = self.operator.metrics().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("inferplan_reconciles_total"))

    def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            wait_until(condition, self.patience_seconds, what)
        except TimeoutError as error:
            pytest.fail(f"{error}; the operator's log:\n{self.operator.log()[-4000:]}")

    def until_reason(self, kind: str, reason: str, name: str = "llama") -> str:
        """Waits for a condition's reason; its message."""
        self.until(lambda: self.condition(kind, name)[1] == reason, f"{name}: {kind} {reason}, {self.status(name)}")
        return self.condition(kind, name)[2]
