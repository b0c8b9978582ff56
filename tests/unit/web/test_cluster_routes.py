"""GET /api/v1/instances and /api/v1/plans[/{namespace}/{name}]: what the cluster holds, cheaply and read-only."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from tests.support.asgi import Answer, call
from tests.support.cluster import FakeCluster
from tests.support.web import NOW

from inferplan.kube.errors import UnreachableError
from inferplan.kube.resources import PLANS, Resource, Row
from inferplan.web.app import create_app
from inferplan.web.objects import FRESH_SECONDS, ClusterObjects
from inferplan.web.ports import Parts

INSTANCE = {
    "kind": "InferenceInstance",
    "metadata": {"namespace": "serving", "name": "llama"},
    "spec": {"engine": "vllm", "apply": {"mode": "Off"}},
    "status": {
        "model": "meta-llama/Llama-3.1-8B",
        "conditions": [{"type": "Ready", "status": "True", "reason": "Planned"}],
        "cause": "KvBound",
        "bottlenecks": [{"type": "KvBound"}],
        "plan": {"name": "llama-3f9c1d20", "gain": "up to 2x"},
    },
}
PLAN = {
    "kind": "OptimizationPlan",
    "metadata": {"namespace": "serving", "name": "llama-3f9c1d20"},
    "spec": {
        "instanceRef": {"name": "llama"},
        "engine": {"name": "vllm", "version": "0.33.0"},
        "observedAt": "2026-03-01T12:00:00Z",
        "observationDigest": "0" * 64,
        "planHash": "3f9c1d20" * 8,
        "optimizations": [],
        "priorityOrder": [],
        "estimatedTotalImprovement": "None.",
        "summary": {
            "changes": "max_batch_size 32→64",
            "impact": "high",
            "gain": "",
            "confidence": "high",
            "restart": True,
            "risk": "",
        },
    },
    "status": {"phase": "Proposed"},
}


class Stage:
    """A cluster with the service on it."""

    def __init__(self, *namespaces: str) -> None:
        self.cluster = FakeCluster()
        self.seconds = 0.0
        objects = ClusterObjects(self.cluster, namespaces, lambda: self.seconds)
        self.app: FastAPI = create_app(lambda: NOW, Parts(objects=objects))

    async def get(self, path: str) -> Answer:
        return await call(self.app, "GET", f"/api/v1/{path}")


def in_namespace(document: dict[str, Any], namespace: str) -> dict[str, Any]:
    return {**document, "metadata": {**document["metadata"], "namespace": namespace}}


async def test_instances_are_a_line_each() -> None:
    stage = Stage()
    stage.cluster.put(INSTANCE)
    (found,) = (await stage.get("instances")).json["items"]
    assert found.pop("created_at").startswith("2026-01-01T")
    assert found == {
        "namespace": "serving",
        "name": "llama",
        "model": "meta-llama/Llama-3.1-8B",
        "engine": "vllm",
        "version": None,
        "ready": "True",
        "reason": "Planned",
        "bottleneck": "KvBound",
        "plan": "llama-3f9c1d20",
        "gain": "up to 2x",
        "mode": "Off",
    }


async def test_plans_are_a_line_each_and_their_specs_are_not_read() -> None:
    stage = Stage()
    stage.cluster.put(PLAN, in_namespace(PLAN, "another"))
    found = (await stage.get("plans")).json["items"]
    assert [entry["namespace"] for entry in found] == ["another", "serving"]
    assert (found[0]["instance"], found[0]["phase"], found[0]["changes"]) == (
        "llama",
        "Proposed",
        "max_batch_size 32→64",
    )


async def test_a_plan_is_whole_and_in_snake_case() -> None:
    stage = Stage()
    stage.cluster.put(PLAN)
    found = (await stage.get("plans/serving/llama-3f9c1d20")).json
    assert found["spec"]["instance_ref"] == {"name": "llama"}
    assert found["spec"]["plan_hash"] == PLAN["spec"]["planHash"]  # type: ignore[index]  # a document
    assert found["status"]["phase"] == "Proposed"


@pytest.mark.parametrize(
    "path",
    ["plans/serving/none", "plans/other/llama-3f9c1d20", "plans/serving/..", "plans/serving/A", "plans/serving/a%2Fb"],
)
async def test_a_plan_that_is_not_there_is_404(path: str) -> None:
    stage = Stage("serving")
    stage.cluster.put(PLAN, in_namespace(PLAN, "other"))
    answer = await stage.get(path)
    assert answer.status == 404
    assert "\n" not in answer.json["error"]


async def test_only_watched_namespaces_are_listed() -> None:
    stage = Stage("serving")
    stage.cluster.put(INSTANCE, in_namespace(INSTANCE, "other"))
    assert [entry["namespace"] for entry in (await stage.get("instances")).json["items"]] == ["serving"]


async def test_one_list_serves_all_who_ask_within_seconds() -> None:
    stage = Stage()
    await asyncio.gather(*(stage.get("plans") for _ in range(20)))
    assert stage.cluster.calls == [("list", "optimizationplans")]
    stage.seconds = FRESH_SECONDS
    await stage.get("plans")
    assert len(stage.cluster.calls) == 2


@pytest.mark.parametrize("path", ["instances", "plans", "plans/a/b"])
async def test_without_a_cluster_it_is_404_that_says_so(path: str) -> None:
    answer = await call(create_app(lambda: NOW), "GET", f"/api/v1/{path}")
    assert (answer.status, answer.json["error"]) == (
        404,
        "this service has no cluster; the operator's own service has",
    )


@pytest.mark.parametrize("path", ["instances", "plans", "plans/a/b"])
async def test_a_cluster_that_does_not_answer_is_503(path: str) -> None:
    stage = Stage()
    broken = UnreachableError("503: GET /apis: no")
    stage.cluster.broken = {
        ("list", "inferenceinstances"): broken,
        ("list", "optimizationplans"): broken,
        ("get", "optimizationplans"): broken,
    }
    answer = await stage.get(path)
    assert answer.status == 503
    assert answer.json["error"].startswith("the cluster does not answer: 503")


async def test_a_plan_of_another_version_is_told() -> None:
    stage = Stage()
    stage.cluster.put({**PLAN, "spec": {"instanceRef": {"name": "llama"}, "optimisations": []}})
    answer = await stage.get("plans/serving/llama-3f9c1d20")
    assert answer.status == 409
    assert "was written by another version" in answer.json["error"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["instances", "plans", "plans/serving/llama-3f9c1d20"])
async def test_nothing_is_written(method: str, path: str) -> None:
    stage = Stage()
    stage.cluster.put(PLAN)
    assert (await call(stage.app, method, f"/api/v1/{path}")).status == 405
    assert stage.cluster.writes == []


async def test_requests_for_plans_are_counted_under_one_name() -> None:
    stage = Stage()
    for name in ("a", "b"):
        await stage.get(f"plans/serving/{name}")
    body = (await call(stage.app, "GET", "/metrics")).body.decode()
    line = 'inferplan_http_requests_total{code="404",method="GET",path="/api/v1/plans/{namespace}/{name}"} 2.0'
    assert line in body


async def test_columns_of_another_versions_crd_are_left_out() -> None:
    class Newer(FakeCluster):
        async def list_table(self, resource: Resource, namespace: str | None) -> tuple[Row, ...]:
            del namespace
            assert resource is PLANS
            return (Row({"namespace": "a", "name": "b"}, {"Phase": "Proposed", "Colour": "red", "Gain": ""}),)

    (row,) = await ClusterObjects(Newer(), (), lambda: 0.0).plans()
    assert (row.phase, row.gain) == ("Proposed", None)
