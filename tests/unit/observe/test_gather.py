"""Reading a cluster: pods, ports, windows."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.prometheus import vllm_series
from tests.support.world import World, container, deployment, instance, node, pod

from inferplan.observe.target import selector_text


@pytest.mark.parametrize(
    ("changes", "port"),
    [
        ({"args": ["--model=m", "--port=9000"], "ports": [{"containerPort": 7000}]}, 9000),
        ({"ports": [{"containerPort": 7000}]}, 7000),
        ({"ports": [{"name": "metrics", "containerPort": 1}, {"name": "http", "containerPort": 2}]}, 2),
        ({}, 8000),
    ],
)
async def test_the_engine_is_asked_at_its_port(changes: dict[str, Any], port: int) -> None:
    world = World(deployment(container(**changes)))
    await world.look()
    assert world.engines.asked == [("10.1.1.1", port)]


async def test_a_stated_version_is_not_asked_for() -> None:
    world = World(instance(engineVersion="0.20.2"))
    await world.look()
    assert world.engines.asked == []
    assert world.status["engineVersion"] == "0.20.2"


async def test_an_engine_that_does_not_answer_leaves_the_images_tag() -> None:
    world = World()
    world.engines.answer = None
    await world.look()
    assert world.status["engineVersion"] == "0.33.0"


async def test_a_statefulsets_window_starts_with_its_pods() -> None:
    world = stateful(started="2026-01-01T11:56:00Z")  # the look is at 12:01
    await world.look()
    assert "[300s]" in world.prometheus.asked[0]
    assert world.status["traffic"]["num_requests_running"]["windowSeconds"] == 300


async def test_a_statefulset_that_just_started_has_too_little_data() -> None:
    world = stateful(started="2026-01-01T12:00:30Z")
    await world.look()
    assert "only 30 s of data" in world.condition("MetricsAvailable")[2]
    assert world.prometheus.asked == []


def stateful(started: str) -> World:
    workload = deployment(kind="StatefulSet")
    spec = instance(targetRef={"kind": "StatefulSet", "name": "llama"})
    world = World(workload, spec, pod("llama-0", workload, started=started), node(), pods=())
    world.prometheus.series = vllm_series(["llama-0"])
    world.now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return world


async def test_a_pod_that_is_not_ready_or_going_does_not_count() -> None:
    unready, going = pod("llama-abc-1", deployment()), pod("llama-abc-2", deployment())
    unready["status"]["conditions"][0]["status"] = "False"
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world = World(unready, going)
    await world.look()
    assert "0 ready pods" in world.condition("TargetResolved")[2]


async def test_a_pod_of_another_workload_with_the_same_labels_does_not_count() -> None:
    foreign = pod("other-abc-1", deployment())
    foreign["metadata"]["ownerReferences"][0]["name"] = "other-abc"
    world = World(foreign)
    await world.look()
    assert "0 ready pods" in world.condition("TargetResolved")[2]


TEMPLATE = deployment(container(env=[{"name": "A", "value": "1"}]))


@pytest.mark.parametrize(
    ("changes", "ready"),
    [
        ({}, 1),
        ({"env": [{"name": "A", "value": "1"}, {"name": "TRACE", "value": "on"}]}, 1),  # an injected variable
        ({"resources": {"limits": {"nvidia.com/gpu": "1", "cpu": "4"}}}, 1),  # set by an autoscaler
        ({"env": [{"name": "A", "value": "2"}]}, 0),
        ({"env": []}, 0),
        ({"resources": {"limits": {"nvidia.com/gpu": "2"}}}, 0),
        ({"image": "vllm/vllm-openai:v0.32.0"}, 0),
        ({"command": ["vllm", "serve"]}, 0),
    ],
)
async def test_a_pod_counts_when_its_engine_is_that_of_the_template(changes: dict[str, Any], ready: int) -> None:
    running = pod("llama-abc-1", TEMPLATE)
    running["spec"]["containers"][0] |= changes
    world = World(TEMPLATE, running)
    await world.look()
    assert f"{ready} ready pod" in world.condition("TargetResolved")[2]


async def test_a_selector_asks_for_its_labels_and_still_counts_only_own_pods() -> None:
    world = World(instance(metrics={"selector": {"engine": "0"}}))
    foreign = vllm_series(["other-1"], running=500.0)
    for name, series in foreign.items():
        world.prometheus.series[name] += series
    await world.look()
    assert 'engine="0"' in world.prometheus.asked[0]
    assert world.status["traffic"]["num_requests_running"]["value"] == 32


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (
            {
                "matchExpressions": [
                    {"key": "a", "operator": "In", "values": ["x", "y"]},
                    {"key": "b", "operator": "NotIn", "values": ["z"]},
                    {"key": "c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                ]
            },
            "a in (x,y),b notin (z),c,!d",
        ),
        ({}, ""),
    ],
)
def test_a_selector_becomes_a_query_parameter(selector: dict[str, Any], text: str) -> None:
    assert selector_text(selector) == text
