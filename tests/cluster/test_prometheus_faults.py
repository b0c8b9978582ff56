"""A Prometheus that fails in every way: each time a condition, the last good plan kept and marked, and no crash."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support import operator_process
from tests.support.faulty_prometheus import Fault, Faulty, faulty
from tests.support.lab import Cluster
from tests.support.prometheus import FakePrometheus
from tests.support.serving_objects import gpu_node, inference_instance
from tests.support.stage import Stage

PATIENCE_SECONDS = 120
ANSWER_SECONDS = {Fault.HANGING: 3, Fault.SLOW: 3}
"""Time of a query to what never answers: enough for one that answers on a busy machine, before and after."""

GENEROUS_SECONDS = 60
"""Time of a query to the others: their own fault comes first, however busy the machine is."""

SETTINGS = {"INFERPLAN_RESYNC_SECONDS": "3", "INFERPLAN_METRICS_SECONDS": "1"}

EXPECTED = {
    Fault.DOWN: ("PrometheusError", "it could not be asked"),
    Fault.HANGING: ("PrometheusError", "no whole answer within 3 s"),
    Fault.SLOW: ("PrometheusError", "no whole answer within 3 s"),
    Fault.TRUNCATED: ("PrometheusError", ""),
    Fault.HTML: ("PrometheusError", "is no JSON"),
    Fault.NOT_A_NUMBER: ("MetricsStale", "older than"),
    Fault.INFINITE: ("MetricsStale", "older than"),
    Fault.LARGE: ("PrometheusError", "larger than 8 MiB"),
    Fault.CLOCK: ("PrometheusError", "its clock is"),
}
"""Reason and message of MetricsAvailable."""


def test_every_fault_is_a_condition_that_keeps_the_plan_and_passes(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    """Each fault has a source and an instance of its own, so that all of them are tried at once."""
    gpu_node(control_plane)
    with ExitStack() as stack:
        fake = FakePrometheus()
        servers = {fault: stack.enter_context(faulty(fake)) for fault in Fault}
        credentials, _ = stack.enter_context(operator_process.service_account(control_plane, tmp_path))
        settings = SETTINGS | {"INFERPLAN_PROMETHEUS_SOURCES": sources(servers)}
        operator = stack.enter_context(operator_process.running(tmp_path, credentials, "", **settings))
        stage = Stage(control_plane, namespace, fake, operator, PATIENCE_SECONDS)
        stage.serve()
        for fault in Fault:
            own = {"targetRef": {"name": "llama"}, "metrics": {"prometheusRef": fault.value}}
            stage.apply(inference_instance(fault.value, **own))
        every(stage, lambda fault: stage.condition("PlanCurrent", fault)[1] == "PlanWritten")
        plans = sorted(plan["metadata"]["name"] for plan in stage.plans())

        for fault, server in servers.items():
            server.fault = fault
        every(stage, lambda fault: stage.condition("PlanCurrent", fault)[1] == "PlanKept")
        every(stage, lambda fault: is_told(stage, fault))
        for fault in EXPECTED:
            kept = stage.status(fault)
            running = kept["traffic"].get("num_requests_running", {}).get("value")
            assert running in {32, None if fault is Fault.INFINITE else 32}, fault  # measured last; none: see is_told
            assert kept["measuredAt"] <= kept["observedAt"], fault
            assert kept["cause"] == "Unknown", fault
        assert sorted(plan["metadata"]["name"] for plan in stage.plans()) == plans
        assert operator.status("/healthz") == 200

        for server in servers.values():
            server.fault = None
        every(stage, lambda fault: stage.condition("PlanCurrent", fault)[1] == "PlanWritten")
        assert sorted(plan["metadata"]["name"] for plan in stage.plans()) == plans
        assert "Traceback" not in operator.log()


def every(stage: Stage, holds: Callable[[Fault], bool]) -> None:
    for fault in Fault:
        stage.until(lambda fault=fault: holds(fault), f"{fault}: {stage.status(fault).get('conditions')}")  # type: ignore[misc]


def is_told(stage: Stage, fault: Fault) -> bool:
    """A look in which the fault came may tell a part of it, so this is waited for."""
    reason, told = EXPECTED[fault]
    status, seen, message = stage.condition("MetricsAvailable", fault)
    return (status, seen) == ("False", reason) and told in message


def sources(servers: dict[Fault, Faulty]) -> str:
    return json.dumps(
        {
            fault.value: {
                "url": server.url,
                "timeout_seconds": ANSWER_SECONDS.get(fault, GENEROUS_SECONDS),
                "response_max_mib": 8,
                "history_hours": 0,
            }
            for fault, server in servers.items()
        }
    )
