"""The operator as a process on a real API server, with the rights that deploy/rbac.yaml grants and no others."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support import operator_process
from tests.support.build import LLAMA_CONFIG
from tests.support.lab import Cluster, install_crds, random_namespace
from tests.support.operator_process import START_SECONDS, EndedError, Operator, granted, used
from tests.support.prometheus import FakePrometheus, serving
from tests.support.serving_objects import gpu_node, inference_instance, ready_pod, workload
from tests.support.stage import Stage

from inferplan_lab import kubeconfig
from inferplan_lab.control_plane import ControlPlane
from inferplan_lab.processes import free_port

RESYNC_SECONDS = 2
QUICK = {"INFERPLAN_RESYNC_SECONDS": str(RESYNC_SECONDS), "INFERPLAN_METRICS_SECONDS": "1"}


@pytest.fixture(scope="module")
def prometheus() -> FakePrometheus:
    return FakePrometheus()


@pytest.fixture(scope="module")
def operator(
    control_plane: Cluster, prometheus: FakePrometheus, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Operator]:
    folder = tmp_path_factory.mktemp("operator")
    gpu_node(control_plane)
    with (
        operator_process.service_account(control_plane, folder) as (credentials, user),
        serving(prometheus) as url,
        operator_process.running(folder, credentials, url, **QUICK) as running,
    ):
        yield Operator(running.process, running.url, user)


@pytest.fixture
def stage(control_plane: Cluster, namespace: str, prometheus: FakePrometheus, operator: Operator) -> Stage:
    return Stage(control_plane, namespace, prometheus, operator)


def test_an_instance_gets_a_plan_and_a_later_look_writes_nothing(stage: Stage) -> None:
    stage.serve()
    stage.apply(inference_instance(slo=[{"metric": "ttft", "percentile": 95, "targetMilliseconds": 500}]))
    stage.until_reason("PlanCurrent", "PlanWritten")
    (plan,) = stage.plans()
    assert plan["spec"]["summary"]["changes"] == "max_batch_size 32→64, quantization none→fp8_per_tensor"
    assert plan["spec"]["patch"]["applicable"] is True
    assert plan["status"]["phase"] == "Proposed"
    assert stage.condition("Ready")[0] == "True"
    assert stage.condition("SLOsMet")[1] == "AllMet"
    assert stage.status()["hardware"]["product"] == "NVIDIA-H100-80GB-HBM3"
    before, looks = versions(stage), stage.looks()
    stage.until(lambda: stage.looks() >= looks + 3, "three more looks")
    assert versions(stage) == before


def versions(stage: Stage) -> list[str]:
    listed = stage.cluster.kubectl("get", "ii,oplan,events", f"--namespace={stage.namespace}", "--output=json")
    return [item["metadata"]["resourceVersion"] for item in json.loads(listed)["items"]]


def test_the_written_patch_is_one_that_the_api_server_takes(stage: Stage) -> None:
    stage.serve()
    stage.apply(inference_instance())
    stage.until_reason("PlanCurrent", "PlanWritten")
    (plan,) = stage.plans()
    own = ("--server-side", "--force-conflicts", "--field-manager=test", f"--namespace={stage.namespace}")
    stage.cluster.kubectl("apply", *own, "--filename=-", stdin=plan["spec"]["patch"]["serverSideApply"])
    applied = stage.cluster.get("deployment", "llama", stage.namespace)
    (engine,) = applied["spec"]["template"]["spec"]["containers"]
    assert "--max-num-seqs=64" in engine["args"]
    assert engine["image"] == "vllm/vllm-openai:v0.33.0"


def test_a_script_with_a_variable_out_of_a_config_map_is_read_and_its_patch_is_taken(stage: Stage) -> None:
    limits = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limits"}, "data": {"MAX_NUM_SEQS": "32"}}
    source = {"configMapKeyRef": {"name": "limits", "key": "MAX_NUM_SEQS"}}
    script = "exec vllm serve meta-llama/Llama-3.1-8B \\\n  --max-num-seqs $(MAX_NUM_SEQS) \\\n  --max-model-len 8192\n"
    changes = {"command": ["sh", "-c"], "env": [{"name": "MAX_NUM_SEQS", "valueFrom": source}]}
    stage.apply(limits, workload("llama", script, **changes))
    stage.measure(ready_pod(stage.cluster, stage.namespace))
    stage.apply(inference_instance())
    stage.until_reason("PlanCurrent", "PlanWritten")
    (plan,) = stage.plans()
    assert plan["spec"]["summary"]["changes"] == "max_batch_size 32→64, quantization none→fp8_per_tensor"
    own = ("--server-side", "--force-conflicts", "--field-manager=test", f"--namespace={stage.namespace}")
    stage.cluster.kubectl("apply", *own, "--filename=-", stdin=plan["spec"]["patch"]["serverSideApply"])
    (engine,) = stage.cluster.get("deployment", "llama", stage.namespace)["spec"]["template"]["spec"]["containers"]
    added = "8192 \\\n  --quantization fp8_per_tensor"
    assert engine["args"] == [script.replace("$(MAX_NUM_SEQS)", "64").replace("8192", added)]


def test_arguments_that_the_new_image_refuses_are_told_before_any_pod_runs(stage: Stage) -> None:
    stage.apply(workload("llama", "--model=m", "--swap-space=4"), inference_instance())
    stage.until_reason("PlanCurrent", "PlanWritten")
    (plan,) = stage.plans()
    assert plan["spec"]["summary"]["changes"] == "swap_space 4→removed"
    assert plan["spec"]["summary"]["impact"] == "critical"
    assert plan["spec"]["optimizations"][0]["configChanges"][0]["removesFlag"] is True


def test_a_changed_template_supersedes_the_plan_and_gives_another(stage: Stage) -> None:
    stage.serve()
    stage.apply(inference_instance())
    stage.until_reason("PlanCurrent", "PlanWritten")
    stage.serve("llama", "--model=meta-llama/Llama-3.1-8B", "--max-num-seqs=31", "--max-model-len=8192")
    stage.until(lambda: stage.phases() == ["Proposed", "Superseded"], "a second plan")
    stage.until_reason("PlanCurrent", "PlanWritten")


def test_deleting_the_instance_leaves_nothing_behind(stage: Stage) -> None:
    stage.serve()
    stage.apply(inference_instance())
    stage.until_reason("PlanCurrent", "PlanWritten")
    stage.cluster.kubectl("delete", "ii", "llama", f"--namespace={stage.namespace}", "--timeout=30s")
    stage.until(lambda: not stage.plans(), "the garbage collector")


def test_a_deleted_plan_comes_back(stage: Stage) -> None:
    stage.serve()
    stage.apply(inference_instance())
    stage.until_reason("PlanCurrent", "PlanWritten")
    (plan,) = stage.plans()
    stage.cluster.kubectl("delete", "oplan", plan["metadata"]["name"], f"--namespace={stage.namespace}")
    stage.until(lambda: [again["metadata"]["uid"] for again in stage.plans()] not in ([], [uid_of(plan)]), "the plan")


def uid_of(document: dict[str, Any]) -> str:
    uid: str = document["metadata"]["uid"]
    return uid


def test_each_bad_input_gives_its_condition_and_hurts_nobody_else(stage: Stage) -> None:
    stage.serve("good")
    stage.serve("two")
    second = workload("two")
    second["spec"]["template"]["spec"]["containers"].append({"name": "canary", "image": "vllm/vllm-openai:v0.33.0"})
    stage.apply(
        second,
        inference_instance("no-target"),
        inference_instance("two"),
        inference_instance("bad-key", targetRef={"name": "good"}, currentConfig={"maxBatchSise": 1}),
        inference_instance("bad-label", targetRef={"name": "good"}, metrics={"selector": {'x"} or up{a="': "1"}}),
        inference_instance("bad-source", targetRef={"name": "good"}, metrics={"prometheusRef": "other"}),
        inference_instance("bad-model", targetRef={"name": "good"}, model={"configMapRef": {"name": "none"}}),
        inference_instance("good"),
    )
    assert '"no-target" does not exist' in stage.until_reason("TargetResolved", "TargetNotFound", "no-target")
    assert "vllm, canary" in stage.until_reason("TargetResolved", "ContainerAmbiguous", "two")
    assert "max_batch_size" in stage.until_reason("Ready", "SpecInvalid", "bad-key")
    assert "label names are" in stage.until_reason("Ready", "SpecInvalid", "bad-label")
    assert "set up: default" in stage.until_reason("MetricsAvailable", "PrometheusError", "bad-source")
    assert '"none" does not exist' in stage.until_reason("Ready", "ModelConfigMissing", "bad-model")
    stage.until_reason("PlanCurrent", "PlanWritten", "good")
    assert stage.operator.status("/healthz") == 200
    assert "this is a bug" not in stage.operator.log()


def test_what_is_granted_is_used_and_what_is_used_is_granted(stage: Stage) -> None:
    model = {"config.json": json.dumps(dict(LLAMA_CONFIG))}
    stage.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "model"}, "data": model})
    stage.serve("stateful", kind="StatefulSet")
    target = {"kind": "StatefulSet", "name": "stateful"}
    spec = {"targetRef": target, "model": {"configMapRef": {"name": "model"}}}
    for cap in range(24, 30):  # six plans: one more than stay
        stage.run_at_once(cap)
        stage.apply(inference_instance("stateful", **spec, currentConfig={"max_batch_size": cap}))
        stage.until(lambda cap=cap: f"{cap}→" in stage.condition("PlanCurrent", "stateful")[2], f"a plan for {cap}")  # type: ignore[misc]
    stage.until(lambda: stage.phases() == ["Proposed", *["Superseded"] * 4], "five plans")
    stage.serve("plain")
    stage.apply(inference_instance("plain"))
    stage.until_reason("PlanCurrent", "PlanWritten", "plain")
    plan = stage.plans()[0]["metadata"]["name"]
    assert stage.operator.status(f"/api/v1/plans/{stage.namespace}/{plan}") == 200
    token = stage.cluster.kubectl("create", "token", "default", f"--namespace={stage.namespace}").strip()
    assert stage.operator.status(f"/api/v1/plans/{stage.namespace}/{plan}/approve", token, "POST") == 403
    calls = used(stage.cluster.kubeconfig.parent / "audit.log", stage.operator.user, stage.namespace)
    assert {call for call in calls if call[2] in {401, 403}} == set()
    api = {(verb, resource) for verb, resource, _ in calls}
    assert granted() - api == set()
    assert api - granted() == set()


def test_its_http_service_shows_what_the_cluster_holds_and_what_was_seen_last(stage: Stage) -> None:
    stage.serve()
    stage.apply(inference_instance(slo=[{"metric": "ttft", "percentile": 95, "targetMilliseconds": 500}]))
    stage.until_reason("PlanCurrent", "PlanWritten")
    (plan,) = stage.plans()
    own = [entry for entry in stage.operator.get("/api/v1/instances")["items"] if entry["namespace"] == stage.namespace]
    assert [(entry["name"], entry["engine"], entry["ready"]) for entry in own] == [("llama", "vllm", "True")]
    rows = [entry for entry in stage.operator.get("/api/v1/plans")["items"] if entry["namespace"] == stage.namespace]
    assert [(row["name"], row["instance"], row["changes"]) for row in rows] == [
        (plan["metadata"]["name"], "llama", "max_batch_size 32→64, quantization none→fp8_per_tensor")
    ]
    whole = stage.operator.get(f"/api/v1/plans/{stage.namespace}/{plan['metadata']['name']}")
    assert whole["spec"]["plan_hash"] == plan["spec"]["planHash"]
    question = {"instance_id": f"{stage.namespace}/llama", "instance_type": "vllm"}
    analysis = stage.operator.post("/api/v1/analyze", question)
    assert analysis["cause"] == "SchedulerCapped"
    assert analysis["observed"]["source"] == "the operator's last look at the instance"
    assert stage.operator.post("/api/v1/optimize", question)["observed"]["engine_version"] == "0.33.0"
    assert stage.operator.status("/docs") == 200
    assert 'inferplan_http_requests_total{code="200",method="POST",path="/api/v1/analyze"}' in stage.operator.metrics()


def test_a_signal_ends_it_before_kubernetes_would_kill_it(
    control_plane: Cluster, prometheus: FakePrometheus, tmp_path: Path
) -> None:
    with (
        operator_process.service_account(control_plane, tmp_path) as (credentials, _),
        serving(prometheus) as url,
        operator_process.running(tmp_path, credentials, url) as operator,
    ):
        assert operator.status("/healthz") == 200  # and the connection stays open, as a probe's does
        started = time.monotonic()
        operator.process.stop(grace_seconds=30)  # a pod's own grace period, after which it is killed: exit code -9
        assert operator.process.exit_code == 0
        assert time.monotonic() - started < 10


def test_a_signal_ends_it_before_it_runs(tmp_path: Path) -> None:
    """A container's first process does not see SIGTERM unless it asks for it, from the start on."""
    credentials = tmp_path / "kubeconfig"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = f"https://127.0.0.1:{silent.getsockname()[1]}"
        kubeconfig.write(credentials, kubeconfig.Kubeconfig(server, "", "token"))
        process = operator_process.started(tmp_path, credentials, "http://127.0.0.1:9", free_port())
        silent.settimeout(START_SECONDS)
        with silent.accept()[0]:  # it waits for an answer that does not come
            process.stop(grace_seconds=10)
    assert process.exit_code == 0


def test_only_the_named_namespaces_are_looked_at(
    control_plane: Cluster, prometheus: FakePrometheus, namespace: str, tmp_path: Path
) -> None:
    only = {"INFERPLAN_NAMESPACES": namespace}
    with (
        random_namespace(control_plane) as other,
        serving(prometheus) as url,
        operator_process.running(tmp_path, control_plane.kubeconfig, url, **only) as operator,
    ):
        control_plane.apply(inference_instance(), namespace=other)
        stage = Stage(control_plane, namespace, prometheus, operator)
        stage.apply(inference_instance())
        stage.until_reason("TargetResolved", "TargetNotFound")
        assert "\ninferplan_instances 1.0\n" in operator.metrics()


def test_without_crds_it_says_so_and_ends(tmp_path: Path) -> None:
    with ControlPlane(tmp_path / "bare", report=lambda _: None) as plane:
        nowhere = "http://127.0.0.1:1"
        with (
            pytest.raises(EndedError, match="the InferPlan CRDs are not installed: kubectl apply"),
            operator_process.running(tmp_path / "operator", plane.kubeconfig, nowhere) as operator,
        ):
            pytest.fail(f"it runs without CRDs: {operator.log()}")


def test_it_survives_a_restart_of_the_api_server(tmp_path: Path) -> None:
    prometheus = FakePrometheus()
    with ControlPlane(tmp_path / "own", report=lambda _: None) as plane, serving(prometheus) as url:
        cluster = Cluster(plane.kubeconfig, plane.programs, tmp_path / "cache")
        install_crds(cluster)
        gpu_node(cluster)
        with operator_process.running(tmp_path / "operator", plane.kubeconfig, url, **QUICK) as operator:
            stage = Stage(cluster, "default", prometheus, operator)
            stage.serve("before")
            stage.apply(inference_instance("before"))
            stage.until_reason("PlanCurrent", "PlanWritten", "before")
            plane.stop()
            plane.start()
            stage.serve("after")
            stage.apply(inference_instance("after"))
            stage.until_reason("PlanCurrent", "PlanWritten", "after")
            assert operator.process.is_running()
            assert len(stage.plans()) == 2
