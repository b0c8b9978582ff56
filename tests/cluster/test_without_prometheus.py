"""An operator whose administrator has named no Prometheus reads the pods themselves."""

from pathlib import Path

from tests.support import operator_process
from tests.support.engine_page import engine
from tests.support.lab import Cluster
from tests.support.prometheus import FakePrometheus
from tests.support.serving_objects import POD_ADDRESS, gpu_node, inference_instance
from tests.support.stage import Stage
from tests.support.world import ARGS

NO_SOURCES = {"INFERPLAN_PROMETHEUS_SOURCES": "{}", "INFERPLAN_RESYNC_SECONDS": "3"}

PATIENCE_SECONDS = 120
"""Pages of 45 s are needed, as of a Prometheus."""


def test_pods_are_scraped_and_the_plan_follows_from_their_pages(
    control_plane: Cluster, namespace: str, tmp_path: Path
) -> None:
    gpu_node(control_plane)
    with (
        operator_process.service_account(control_plane, tmp_path) as (credentials, _),
        engine(POD_ADDRESS) as port,
        operator_process.running(tmp_path, credentials, "", **NO_SOURCES) as operator,
    ):
        stage = Stage(control_plane, namespace, FakePrometheus(), operator, PATIENCE_SECONDS)
        stage.serve("llama", *ARGS, f"--port={port}")
        stage.apply(inference_instance())
        stage.until_reason("PlanCurrent", "PlanWritten")
        status = stage.status()
        assert stage.condition("MetricsAvailable")[1] == "MetricsFound"
        assert status["cause"] == "SchedulerCapped"
        assert status["bottlenecks"][0]["type"] == "SchedulerCapped"
        assert "/metrics" not in status["bottlenecks"][0]["query"]
        assert abs(status["traffic"]["requests_per_second"]["value"] - 40) < 4  # as the engine's counters grow
        (plan,) = stage.plans()
        assert plan["spec"]["summary"]["changes"] == "max_batch_size 32→64, quantization none→fp8_per_tensor"


def test_a_pod_that_does_not_answer_is_told(control_plane: Cluster, namespace: str, tmp_path: Path) -> None:
    gpu_node(control_plane)
    with (
        operator_process.service_account(control_plane, tmp_path) as (credentials, _),
        operator_process.running(tmp_path, credentials, "", **NO_SOURCES) as operator,
    ):
        stage = Stage(control_plane, namespace, FakePrometheus(), operator)
        stage.serve("llama", *ARGS, "--port=1")
        stage.apply(inference_instance())
        told = stage.until_reason("MetricsAvailable", "MetricsMissing")
        assert told.endswith("/metrics cannot be read: Connection refused")
        assert stage.plans() == []
