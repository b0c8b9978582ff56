"""One look at an instance, from the documents to what is written."""

import copy
import json
import math
from typing import Any

import pytest
from tests.support.prometheus import vllm_series
from tests.support.world import ARGS, KEY, NAMESPACE, World, container, deployment, instance, node, pod

from inferplan.api.plan import PlanSpec
from inferplan.kube.errors import ForbiddenError, InvalidError, KubeError, UnreachableError
from inferplan.kube.resources import CONFIG_MAPS, DEPLOYMENTS, EVENTS, INSTANCES, PLANS
from inferplan.reconcile.controller import Result


def reasons(world: World, kind: str = "InferenceInstance") -> list[str]:
    events = world.cluster.all(EVENTS)
    return sorted(event["reason"] for event in events if event["involvedObject"]["kind"] == kind)


def only_plan(world: World) -> str:
    (name,) = [name for name, phase in world.plans().items() if phase == "Proposed"]
    return name


async def test_a_capped_instance_gets_a_plan_status_and_event() -> None:
    world = World()
    assert await world.look() is Result.SETTLED
    name = only_plan(world)
    assert world.condition("Ready")[:2] == ("True", "Planned")
    assert world.condition("PlanCurrent")[:2] == ("True", "PlanWritten")
    assert world.condition("MetricsAvailable")[1] == "MetricsFound"
    assert world.condition("SLOsMet")[1] == "NoTargets"
    assert world.condition("LowConfidence")[:2] == ("False", "ConfidenceFair")
    assert world.status["plan"] == {"name": name, "phase": "Proposed", "gain": "throughput +70% (+36% to +111%)"}
    assert world.status["servingConfig"]["max_batch_size"] == {"value": 32, "origin": "argument"}
    assert world.status["hardware"]["product"] == "NVIDIA-H100-80GB-HBM3"
    assert world.status["capacity"]["kv_cache_tokens"]["value"] == 400_000  # 25,000 blocks x 16 tokens
    assert reasons(world) == ["PlanProposed"]


async def test_the_plan_is_owned_by_its_instance_and_holds_nothing_up() -> None:
    world = World()
    await world.look()
    document = world.cluster.one(PLANS, NAMESPACE, only_plan(world))
    (owner,) = document["metadata"]["ownerReferences"]
    assert (owner["controller"], owner["blockOwnerDeletion"]) == (True, False)
    assert owner["uid"] == world.cluster.one(INSTANCES, NAMESPACE, KEY.name)["metadata"]["uid"]
    assert "finalizers" not in document["metadata"]
    spec = PlanSpec.from_kube(document["spec"])
    assert spec.target is not None
    assert (spec.target.kind, spec.target.container) == ("Deployment", "vllm")
    assert spec.patch is not None
    assert spec.patch.applicable


async def test_a_second_look_at_the_same_writes_nothing() -> None:
    world = World()
    await world.look()
    await world.look()
    assert world.cluster.writes == []


async def test_a_restarted_operator_writes_nothing_when_nothing_changed() -> None:
    world = World()
    await world.look()
    world.cluster.writes.clear()
    await world.planner().reconcile(KEY)
    assert world.cluster.writes == []


async def test_only_the_changed_part_of_the_status_is_sent() -> None:
    world = World()
    await world.look()
    labels, _ = world.prometheus.series["vllm:num_requests_waiting"][0]
    world.prometheus.series["vllm:num_requests_waiting"] = [(labels, 20.0)]
    await world.look()
    (patch,) = world.cluster.patches
    assert set(patch) == {"traffic", "observedAt", "measuredAt", "bottlenecks"}
    assert set(patch["traffic"]) == {"num_requests_waiting", "num_requests_waiting_peak"}


async def test_other_arguments_give_another_plan_and_supersede_the_first() -> None:
    world = World()
    await world.look()
    first = only_plan(world)
    changed = deployment(container(*ARGS[:1], "--max-num-seqs=31"))
    world.cluster.put(changed, pod("llama-abc-1", changed))
    await world.look()
    second = only_plan(world)
    assert second != first
    assert world.plans()[first] == "Superseded"
    assert second in world.cluster.one(PLANS, NAMESPACE, first)["status"]["message"]
    assert reasons(world) == ["PlanProposed", "PlanProposed", "PlanSuperseded"]
    assert reasons(world, "OptimizationPlan") == reasons(world)  # `kubectl describe oplan` shows them too
    uids = {name: world.cluster.one(PLANS, NAMESPACE, name)["metadata"]["uid"] for name in (first, second)}
    about = [event["involvedObject"] for event in world.cluster.all(EVENTS)]
    assert {(one["name"], one["uid"]) for one in about if one["kind"] == "OptimizationPlan"} == set(uids.items())


async def test_a_superseded_plan_is_revived_when_it_follows_again() -> None:
    world = World()
    await world.look()
    first = only_plan(world)
    changed = deployment(container(*ARGS[:1], "--max-num-seqs=31"))
    world.cluster.put(changed, pod("llama-abc-1", changed))
    await world.look()
    world.cluster.put(deployment(), pod("llama-abc-1", deployment()))
    await world.look()
    assert only_plan(world) == first
    assert "PlanRevived" in reasons(world)
    assert ("create", "optimizationplans", first) not in world.cluster.writes


async def test_at_most_five_plans_of_an_instance_stay() -> None:
    world = World(instance(constraints={"optimizers": ["batching"]}))  # few levers: seven plans are many for one test
    for cap in range(26, 33):  # seven plans
        changed = deployment(container(*ARGS[:1], f"--max-num-seqs={cap}"))
        world.cluster.put(changed, pod("llama-abc-1", changed))
        world.prometheus.series = vllm_series(["llama-abc-1"], running=cap)
        await world.look()
    phases = sorted(world.plans().values())
    assert phases == ["Proposed", *["Superseded"] * 4]


async def test_a_plan_that_no_longer_follows_is_superseded_without_a_successor() -> None:
    world = World()
    await world.look()
    world.prometheus.series.update(
        {"vllm:num_requests_waiting": [(world.prometheus.series["vllm:num_requests_waiting"][0][0], 0.0)]}
    )
    await world.look()
    assert set(world.plans().values()) == {"Superseded"}
    assert world.condition("PlanCurrent")[:2] == ("True", "NothingToChange")
    assert "plan" not in world.status


DECLARED = {"concurrency": 96, "inputTokens": 1000, "outputTokens": 300}


async def test_a_declared_load_gives_a_plan_before_anything_is_measured() -> None:
    world = World(instance(workload=DECLARED))
    world.prometheus.series = {}
    await world.look()
    spec = PlanSpec.from_kube(world.cluster.one(PLANS, NAMESPACE, only_plan(world))["spec"])
    found = {change.parameter: change for entry in spec.optimizations for change in entry.config_changes}
    assert found["max_batch_size"].recommended_value == 64
    assert found["max_batch_size"].reason.startswith("Estimated for the declared load, not measured: ")
    assert world.condition("LowConfidence")[:2] == ("True", "ConfidenceLow")
    assert world.condition("MetricsAvailable")[:2] == ("False", "MetricsMissing")
    assert {found["type"] for found in world.status["bottlenecks"]} == {"MetricsMissing"}


async def test_measurements_take_the_place_of_a_declared_load_and_keep_it() -> None:
    world = World(instance(workload=DECLARED))
    series, world.prometheus.series = world.prometheus.series, {}
    await world.look()
    world.prometheus.series = series
    await world.look()
    measured = only_plan(world)
    assert sorted(world.plans().values()) == ["Proposed", "Superseded"]
    assert world.condition("LowConfidence")[0] == "False"
    world.prometheus.series = {}
    await world.look()
    assert only_plan(world) == measured
    assert world.condition("PlanCurrent")[:2] == ("False", "PlanKept")


@pytest.mark.parametrize("trouble", ["prometheus", "stale", "idle", "target", "configmap", "waiting", "lengths"])
async def test_the_last_good_plan_stays_through_a_look_that_tells_nothing(trouble: str) -> None:
    world = World()
    await world.look()
    name = only_plan(world)
    break_it(world, trouble)
    await world.look()
    assert only_plan(world) == name
    assert world.condition("PlanCurrent")[:2] == ("False", "PlanKept")
    assert name in world.condition("PlanCurrent")[2]
    assert world.status["plan"]["name"] == name


def break_it(world: World, trouble: str) -> None:
    match trouble:
        case "prometheus":
            world.prometheus.fails = "no answer within 10 s"
        case "stale":
            world.prometheus.age_seconds = 900.0
        case "idle":
            world.prometheus.series = vllm_series(["llama-abc-1"], running=0, waiting=0, requests=0)
        case "waiting":
            endless(world, "vllm:num_requests_waiting")
        case "lengths":
            endless(world, "vllm:request_prompt_tokens_sum")
        case "target":
            world.cluster.remove(DEPLOYMENTS, NAMESPACE, "llama")
        case _:
            world.cluster.put(instance(model={"configMapRef": {"name": "gone"}}))


def endless(world: World, name: str) -> None:
    """A source that begins to fail in the middle of a look: the other series are well."""
    world.prometheus.series[name] = [(labels, math.inf) for labels, _ in world.prometheus.series[name]]


async def test_a_plan_for_other_arguments_is_not_kept() -> None:
    world = World()
    await world.look()
    changed = deployment(container(*ARGS[:1], "--max-num-seqs=64"))
    world.cluster.put(changed, pod("llama-abc-1", changed))
    world.prometheus.fails = "no answer within 10 s"
    await world.look()
    assert set(world.plans().values()) == {"Superseded"}
    assert world.condition("PlanCurrent")[:2] == ("False", "NoPlan")


async def test_a_foreign_plan_under_the_name_is_left_alone_and_told() -> None:
    world = World()
    await world.look()
    name = only_plan(world)
    document = copy.deepcopy(world.cluster.one(PLANS, NAMESPACE, name))
    world.cluster.remove(PLANS, NAMESPACE, name)
    document["metadata"] |= {"ownerReferences": [], "labels": {}}
    world.cluster.put(document)
    await world.look()
    status, reason, message = world.condition("PlanCurrent")
    assert (status, reason) == ("False", "NoPlan")
    assert name in message


@pytest.mark.parametrize("error", [InvalidError("422: too long"), ForbiddenError("403: quota")])
async def test_a_plan_that_the_api_server_refuses_is_told(error: KubeError) -> None:
    world = World()
    world.cluster.broken[("create", "optimizationplans")] = error
    await world.look()
    status, reason, message = world.condition("PlanCurrent")
    assert (status, reason) == ("False", "NoPlan")
    assert str(error) in message
    assert "plan" not in world.status


async def test_a_rejected_plan_stays_rejected() -> None:
    world = World()
    await world.look()
    name = only_plan(world)
    await world.cluster.patch_status(PLANS, NAMESPACE, name, {"phase": "Rejected"})
    await world.look()
    assert world.plans() == {name: "Rejected"}
    assert world.status["plan"]["phase"] == "Rejected"


async def test_a_plan_without_a_status_gets_one() -> None:
    world = World()
    await world.look()
    name = only_plan(world)
    del world.cluster.one(PLANS, NAMESPACE, name)["status"]
    await world.look()
    assert world.plans() == {name: "Proposed"}


async def test_events_come_on_transitions_only() -> None:
    world = World()
    world.prometheus.fails = "no answer within 10 s"
    for _ in range(3):
        await world.look()
    assert reasons(world) == ["PrometheusError"]
    world.prometheus.fails = None
    await world.look()
    world.prometheus.fails = "no answer within 10 s"
    await world.look()
    assert reasons(world) == ["PlanProposed", "PrometheusError", "PrometheusError"]


async def test_an_event_that_cannot_be_posted_holds_nothing_up() -> None:
    world = World()
    world.cluster.denied.add(("create", "events"))
    assert await world.look() is Result.SETTLED
    assert world.condition("Ready")[0] == "True"


async def test_an_instance_that_is_gone_is_forgotten() -> None:
    world = World()
    world.cluster.remove(INSTANCES, NAMESPACE, KEY.name)
    assert await world.look() is Result.GONE


async def test_plans_are_counted_where_they_came_to_and_where_they_are() -> None:
    world = World()
    count = world.telemetry.registry.get_sample_value
    await world.look()
    await world.look()
    assert count("inferplan_plan_transitions_total", {"phase": "Proposed"}) == 1
    assert count("inferplan_current_plans", {"phase": "Proposed"}) == 1
    world.cluster.remove(INSTANCES, NAMESPACE, KEY.name)
    await world.look()
    assert count("inferplan_current_plans", {"phase": "Proposed"}) == 0


async def test_an_unreachable_api_server_is_raised_for_the_queue() -> None:
    world = World()
    world.cluster.broken[("list", "pods")] = UnreachableError("no route")
    with pytest.raises(UnreachableError):
        await world.look()
    assert world.cluster.writes == []


async def test_forged_conditions_are_put_right() -> None:
    world = World()
    await world.look()
    genuine = world.status["conditions"][0]
    forged = [{"type": "Ready", "status": "Maybe"}, {**genuine, "type": "Hacked"}, "text"]
    world.cluster.one(INSTANCES, NAMESPACE, KEY.name)["status"]["conditions"] = forged
    await world.look()
    assert world.condition("Ready")[:2] == ("True", "Planned")
    assert len(world.status["conditions"]) == 6


TWO = deployment(container(), container(name="second"))
SCRIPT = deployment(container(command=["sh", "/start.sh"], args=[]))
TWO_SCRIPTS = deployment(
    container(command=["sh", "/start.sh"], args=[]), container(name="second", command=["sh", "/start.sh"], args=[])
)
SIDECAR = deployment({"name": "web", "image": "nginx:1"})
SGLANG = deployment({"name": "sglang", "image": "lmsysorg/sglang:v0.5.23", "args": ["--model-path", "m"]})
BY_NAME = instance(targetRef={"name": "llama", "container": "vllm"})
OTHER = deployment(container(command=["sglang", "serve"]))
IDLE = deployment(container(command=["sleep", "1"], args=[]))
NAMED = instance(targetRef={"name": "llama", "container": "nope"})


@pytest.mark.parametrize(
    ("documents", "condition", "reason", "told"),
    [
        ([instance(targetRef={"name": "gone"})], "TargetResolved", "TargetNotFound", '"gone" does not exist'),
        ([TWO], "TargetResolved", "ContainerAmbiguous", "vllm, second"),
        ([SIDECAR], "TargetResolved", "ContainerNotFound", "there are: web"),
        ([NAMED], "TargetResolved", "ContainerNotFound", '"nope" is none of its containers: vllm'),
        ([SGLANG], "TargetResolved", "EngineMismatch", 'container "sglang" runs sglang, but spec.engine is vllm'),
        ([SCRIPT], "TargetResolved", "ArgumentsUnreadable", "/start.sh, whose content is not known"),
        ([TWO_SCRIPTS], "TargetResolved", "ContainerAmbiguous", "vllm, second may all run vllm"),
        ([BY_NAME, OTHER], "TargetResolved", "EngineMismatch", 'container "vllm" runs sglang, but spec.engine is vllm'),
        ([BY_NAME, IDLE], "TargetResolved", "ArgumentsUnreadable", "its command starts no engine that is known"),
        ([instance(currentConfig={"maxBatchSise": 3})], "Ready", "SpecInvalid", 'did you mean "max_batch_size"'),
        ([instance(metrics={"selector": {"a/b": "c"}})], "Ready", "SpecInvalid", '"a/b" cannot be used'),
        ([instance(metrics={"windowSeconds": 5})], "Ready", "SpecInvalid", "spec.metrics.windowSeconds"),
        (
            [instance(apply={"maintenanceWindows": [{"schedule": "0 0 30 2 *", "durationSeconds": 60}]})],
            "Ready",
            "SpecInvalid",
            'spec.apply.maintenanceWindows[0].schedule: "0 0 30 2 *" is no time that comes',
        ),
        ([instance(metrics={"prometheusRef": "x"})], "MetricsAvailable", "PrometheusError", "set up: default"),
        ([instance(model={"configMapRef": {"name": "x"}})], "Ready", "ModelConfigMissing", '"x" does not exist'),
        ([instance(metrics={"selector": {"app": "x"}})], "MetricsAvailable", "MetricsMissing", 'app="x"'),
    ],
)
async def test_each_trouble_has_its_condition(documents: Any, condition: str, reason: str, told: str) -> None:
    world = World(*documents)
    result = await world.look()
    status, seen, message = world.condition(condition)
    assert (status, seen) == ("False", reason)
    assert told in message
    assert world.condition("Ready")[0] == "False"
    assert world.plans() == {}
    assert reason in reasons(world)
    assert result is (Result.SETTLED if reason == "SpecInvalid" else Result.WAITING)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"other": "{}"}, 'has no key "config.json"; it has: other'),
        ({"config.json": "{"}, "is no JSON"),
        ({"config.json": "[]"}, "is no JSON object"),
        ({"config.json": "[" * 100_000}, "is no JSON"),
    ],
)
async def test_a_model_configmap_that_gives_none_is_told(data: dict[str, str], told: str) -> None:
    world = World(instance(model={"configMapRef": {"name": "m"}}))
    world.cluster.put({"kind": "ConfigMap", "metadata": {"name": "m", "namespace": NAMESPACE}, "data": data})
    await world.look()
    status, reason, message = world.condition("Ready")
    assert (status, reason) == ("False", "ModelConfigMissing")
    assert told in message


async def test_a_model_out_of_a_configmap_gives_a_plan() -> None:
    world = World(instance(model={"configMapRef": {"name": "m"}}))
    config = instance()["spec"]["model"]["config"]
    data = {"config.json": json.dumps(config)}
    world.cluster.put({"kind": "ConfigMap", "metadata": {"name": "m", "namespace": NAMESPACE}, "data": data})
    await world.look()
    assert ("get", CONFIG_MAPS.plural) in world.cluster.calls
    assert only_plan(world)


@pytest.mark.parametrize("call", [("get", "deployments"), ("list", "pods")])
async def test_what_may_not_be_read_is_access_denied(call: tuple[str, str]) -> None:
    world = World()
    world.cluster.denied.add(call)
    await world.look()
    assert world.condition("TargetResolved")[:2] == ("False", "AccessDenied")


async def test_nodes_that_may_not_be_read_are_a_remark() -> None:
    world = World()
    world.cluster.denied.add(("get", "nodes"))
    await world.look()
    status, reason, message = world.condition("TargetResolved")
    assert (status, reason) == ("True", "TargetFound")
    assert "set spec.accelerator" in message


async def test_different_gpus_leave_the_product_unknown() -> None:
    other = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    world = World(
        node(), node("gpu-2", **other), pod("llama-abc-1", deployment()), pod("llama-abc-2", deployment(), "gpu-2")
    )
    await world.look()
    assert "different GPUs (NVIDIA-H100-80GB-HBM3, NVIDIA-L4)" in world.condition("TargetResolved")[2]
    assert "product" not in world.status["hardware"]


async def test_an_unreadable_flag_is_a_remark_and_its_setting_unknown() -> None:
    world = World(deployment(container("--model=m", "--max-num-seqs=$(SEQS)")))
    await world.look()
    assert "not readable: --max-num-seqs: the value of SEQS is not known" in world.condition("TargetResolved")[2]
    assert "max_batch_size" not in world.status["servingConfig"]


async def test_without_a_target_the_plan_rests_on_the_spec() -> None:
    world = World(instance(targetRef=None, engineVersion="0.33.0", currentConfig={"maxBatchSize": 32}))
    result = await world.look()
    assert result is Result.SETTLED
    assert world.condition("TargetResolved")[:2] == ("Unknown", "NoTarget")
    assert world.condition("MetricsAvailable")[:2] == ("Unknown", "MetricsMissing")
    assert world.condition("Ready")[:2] == ("True", "Planned")


async def test_pods_of_another_template_do_not_count() -> None:
    world = World()
    old = pod("llama-abc-1", deployment(container("--model=m", "--max-num-seqs=8")))
    world.cluster.put(old)
    await world.look()
    assert "no ready pod" in world.condition("MetricsAvailable")[2]


async def test_a_version_that_the_engine_told_is_remembered_for_the_pod() -> None:
    image = deployment(container(image="registry.example/vllm@sha256:0"))
    world = World(image)
    await world.look()
    world.engines.answer = None
    await world.look()
    assert world.status["engineVersion"] == "0.33.0"
    assert world.engines.asked == [("10.1.1.1", 8000)]
