"""Reading a cluster: pods, ports, windows."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.prometheus import vllm_series
from tests.support.world import World, container, deployment, instance, node, pod

from inferplan.kube.resources import PLANS
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


async def test_a_selector_picks_series_and_still_only_those_of_own_pods_count() -> None:
    world = World(instance(metrics={"selector": {"engine": "0"}}))
    foreign = vllm_series(["other-1"], running=500.0)
    for name, series in foreign.items():
        world.prometheus.series[name] += series
    await world.look()
    assert world.status["traffic"]["num_requests_running"]["value"] == 32
    other = World(instance(metrics={"selector": {"engine": "1"}}))
    await other.look()
    assert other.condition("MetricsAvailable")[1] == "MetricsMissing"


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


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "serving"}, "data": data}


def from_map(name: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    return {"name": key, "valueFrom": {"configMapKeyRef": {"name": name, "key": key, "optional": optional}}}


BY_VARIABLE = container("--model=m", "--max-num-seqs=$(SEQS)", env=[from_map("limits", "SEQS")])


def sequences(world: World) -> object:
    return world.status["servingConfig"].get("max_batch_size", {}).get("value")


async def test_a_variable_out_of_a_config_map_is_read() -> None:
    world = World(deployment(BY_VARIABLE), config_map("limits", SEQS="32"))
    await world.look()
    assert sequences(world) == 32
    assert "not readable" not in world.condition("TargetResolved")[2]
    assert "1 ready pod" in world.condition("TargetResolved")[2]


async def test_a_script_and_its_settings_out_of_config_maps_are_read_and_the_plan_edits_the_template() -> None:
    script = "exec vllm serve m --max-num-seqs $MAX_NUM_SEQS\n"
    mounted = container(
        command=["sh", "/scripts/start.sh"],
        args=[],
        envFrom=[{"configMapRef": {"name": "limits"}}],
        volumeMounts=[{"name": "scripts", "mountPath": "/scripts"}],
    )
    workload = deployment(mounted)
    workload["spec"]["template"]["spec"]["volumes"] = [{"name": "scripts", "configMap": {"name": "start"}}]
    maps = (config_map("limits", MAX_NUM_SEQS="32"), config_map("start", **{"start.sh": script}))
    world = World(workload, *maps)
    world.cluster.put(*maps)
    await world.look()
    assert sequences(world) == 32
    (plan,) = world.cluster.all(PLANS)
    assert plan["spec"]["patch"]["applicable"] is False  # the script is not the template's
    assert "by hand" in plan["spec"]["patch"]["reason"]


async def test_a_variable_in_a_script_of_the_template_is_read_and_edited_there() -> None:
    words = {"command": ["sh", "-c"], "args": ["exec vllm serve m --max-num-seqs $(SEQS)"]}
    world = World(deployment(BY_VARIABLE | words), config_map("limits", SEQS="32"))
    await world.look()
    (plan,) = world.cluster.all(PLANS)
    assert '+- "exec vllm serve m --max-num-seqs 64 --quantization fp8_per_tensor"' in plan["spec"]["patch"]["diff"]


@pytest.mark.parametrize(
    ("denied", "told"),
    [(False, 'ConfigMap "limits" does not exist'), (True, 'ConfigMap "limits" may not be read by the operator')],
)
async def test_a_config_map_that_cannot_be_read_is_a_note_and_its_setting_unknown(denied: bool, told: str) -> None:
    world = World(deployment(BY_VARIABLE))
    if denied:
        world.cluster.denied.add(("get", "configmaps"))
    await world.look()
    status, reason, message = world.condition("TargetResolved")
    assert (status, reason) == ("True", "TargetFound")
    assert told in message
    assert "not readable: --max-num-seqs: the value of SEQS is not known" in message
    assert sequences(world) is None


async def test_an_optional_config_map_that_is_not_there_is_empty_and_no_note() -> None:
    variables = [from_map("limits", "SEQS", optional=True), {"name": "TP", "value": "1"}]
    world = World(deployment(container("--model=m", "-tp=$(TP)", env=variables)))
    await world.look()
    assert "ConfigMap" not in world.condition("TargetResolved")[2]
    assert world.status["servingConfig"]["tensor_parallel_size"]["value"] == 1


async def test_a_pod_that_mounts_another_file_does_not_count() -> None:
    def workload(name: str) -> dict[str, Any]:
        made = deployment(container(volumeMounts=[{"name": "files", "mountPath": "/f"}]))
        made["spec"]["template"]["spec"]["volumes"] = [{"name": "files", "configMap": {"name": name}}]
        return made

    maps = (config_map("old", a="1"), config_map("new", a="2"))
    world = World(workload("new"), pod("llama-abc-1", workload("old")))
    world.cluster.put(*maps)
    await world.look()
    assert "0 ready pods" in world.condition("TargetResolved")[2]


async def test_config_maps_of_sidecars_and_secrets_are_not_read() -> None:
    sidecar = {"name": "web", "image": "nginx:1", "env": [from_map("web", "PORT")]}
    secret = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}
    world = World(deployment(container(env=[secret]), sidecar))
    await world.look()
    assert ("get", "configmaps") not in world.cluster.calls
    assert ("get", "secrets") not in world.cluster.calls


async def test_the_config_maps_of_the_named_container_are_read() -> None:
    named = container("--model=m", "--max-num-seqs=$(SEQS)", image="mirror/llm:1", env=[from_map("limits", "SEQS")])
    spec = instance(targetRef={"name": "llama", "container": "vllm"}, engineVersion="0.33.0")
    world = World(spec, deployment(named), config_map("limits", SEQS="8"))
    await world.look()
    assert sequences(world) == 8  # the owner's word is that it runs vLLM; nothing else says so


async def test_of_two_engines_the_named_one_is_read() -> None:
    two = deployment(container("--model=m", "--max-num-seqs=8"), container(name="second"))
    world = World(two, instance(targetRef={"name": "llama", "container": "vllm"}))
    await world.look()
    assert sequences(world) == 8


async def test_no_more_than_sixteen_config_maps_are_read() -> None:
    variables = [from_map(f"map-{number}", f"V{number}") for number in range(17)]
    world = World(deployment(container(env=variables)))
    await world.look()
    assert world.cluster.calls.count(("get", "configmaps")) == 16
    assert "17 ConfigMaps are named, 16 are read" in world.condition("TargetResolved")[2]


async def test_the_nearest_known_release_is_told() -> None:
    world = World()
    world.engines.answer = "0.33.9"
    await world.look()
    told = "flags of vllm 0.33.0, the nearest known release to 0.33.9"
    assert told in world.condition("TargetResolved")[2]


async def test_secrets_among_the_arguments_are_not_in_the_status() -> None:
    world = World(deployment(container("--model=m", "--api-key", "sk-0123456789", "--hf-tokn=hf_0123456789")))
    await world.look()
    assert world.status["servingConfig"]["api_key"]["value"] == "***"
    assert "0123456789" not in str(world.status)
