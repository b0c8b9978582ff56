"""What the operator says about itself: JSON logs on stderr, and Prometheus metrics in a registry of its own."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from typing_extensions import override

from inferplan.api.plan import Phase

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BYTES_BUCKETS = tuple(1024.0 * 8**power for power in range(7))  # 1 KiB to 256 MiB
_SECONDS_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Telemetry:
    """The operator's own metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reconciles = Counter(
            "inferplan_reconciles", "Looks at an instance, by result.", ["result"], registry=self.registry
        )
        self.reconcile_seconds = Histogram(
            "inferplan_reconcile_seconds",
            "Time of one look at an instance.",
            buckets=_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.queue_depth = Gauge("inferplan_queue_depth", "Instances that are due now.", registry=self.registry)
        self.oldest_key_age_seconds = Gauge(
            "inferplan_oldest_key_age_seconds", "Time that the longest due instance waits.", registry=self.registry
        )
        self.instances = Gauge("inferplan_instances", "Instances that the operator knows.", registry=self.registry)
        self.leader = Gauge(
            "inferplan_leader", "1 where this operator acts, 0 where it stands by.", registry=self.registry
        )
        self.plans_written = Counter(
            "inferplan_plans_written", "OptimizationPlans created or revived.", registry=self.registry
        )
        self.plan_transitions = Counter(
            "inferplan_plan_transitions", "Plans that came into a phase.", ["phase"], registry=self.registry
        )
        self._current_plans = Gauge(
            "inferplan_current_plans", "Instances by the phase of their plan.", ["phase"], registry=self.registry
        )
        self._phase_of: dict[tuple[str, str], str] = {}
        for phase in Phase:  # all from 0: increase() does not see a series that begins at 1
            self.plan_transitions.labels(phase)
            self._current_plans.labels(phase)
        self._count_requests()

    def _count_requests(self) -> None:
        """Requests to others, by which they and the operator can be told apart."""
        self.kube_requests = Counter(
            "inferplan_kube_requests",
            "Requests to the API server (not kopf's own).",
            ["verb", "resource", "code"],
            registry=self.registry,
        )
        self.prometheus_queries = Counter(
            "inferplan_prometheus_queries", "Queries to Prometheus, by result.", ["result"], registry=self.registry
        )
        self.prometheus_query_seconds = Histogram(
            "inferplan_prometheus_query_seconds",
            "Time of one query to Prometheus, retries included, by source.",
            ["source"],
            buckets=_SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.prometheus_response_bytes = Histogram(
            "inferplan_prometheus_response_bytes",
            "Size of one answer of Prometheus, by source.",
            ["source"],
            buckets=_BYTES_BUCKETS,
            registry=self.registry,
        )

    def observe_plan(self, instance: tuple[str, str], phase: str | None) -> None:
        """Counts an instance, by namespace and name, where its plan is; None where it has none, or is gone."""
        before = self._phase_of.pop(instance, None)
        if before is not None:
            self._current_plans.labels(before).dec()
        if phase is not None:
            self._phase_of[instance] = phase
            self._current_plans.labels(phase).inc()

    def observe_kube(self, verb: str, resource: str, code: str) -> None:
        """Counts one request to the API server."""
        self.kube_requests.labels(verb, resource, code).inc()

    def observe_prometheus(self, source: str, result: str, seconds: float, size: int) -> None:
        """Counts one query to a Prometheus; a failed one has no size."""
        self.prometheus_queries.labels(result).inc()
        self.prometheus_query_seconds.labels(source).observe(seconds)
        if result == "ok":
            self.prometheus_response_bytes.labels(source).observe(size)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message and what was given as `extra`."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in _STANDARD and key[0] != "_"},
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


_LIBRARIES = {
    "kopf": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "asyncio": logging.WARNING,
    # What these two say comes as a GitOpsError too; paramiko logs each login, and a broken one with its traceback.
    "dulwich": logging.CRITICAL,
    "paramiko": logging.CRITICAL,
}


def configure_logging(level: str, shape: Literal["json", "text"]) -> None:
    """Sends all logs to stderr; libraries speak only when something is wrong that nobody else tells."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if shape == "json" else text)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _LIBRARIES.items():
        logging.getLogger(name).setLevel(least)
