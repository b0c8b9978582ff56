"""Plans brought onto a workload in a cluster in memory, look by look."""

import copy
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.support.prometheus import vllm_series
from tests.support.scene import BATCHING, POD, Scene, applied, verifying
from tests.support.world import ARGS, NAMESPACE, instance, pod

from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, UnreachableError
from inferplan.kube.resources import DISRUPTION_BUDGETS, INSTANCES, LEASES, PLANS, PODS, Document


async def test_an_approved_plan_comes_onto_the_workload_and_is_kept() -> None:
    scene = Scene()
    await scene.look()
    assert (scene.phase, scene.args) == ("AwaitingApproval", list(ARGS))
    scene.decide()
    await scene.look()
    assert (scene.phase, scene.args) == ("Applying", list(ARGS))  # noted first
    await scene.until("RollingOut")
    assert "--max-num-seqs=64" in scene.args
    assert scene.workload["metadata"]["annotations"]["inferplan.dev/attempt"].endswith(".1")
    scene.roll_out()
    await scene.until("Verifying")
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series([POD], running=40, waiting=0, ttft=0.1)
    await scene.look()
    assert (scene.phase, scene.reason("Verified")) == ("Verified", "ImprovementKept")
    assert scene.plan["status"]["verification"]["verdict"] == "Keep"
    assert {"PlanApplying", "PlanApplied", "PlanMeasured", "PlanVerified"} <= set(scene.reasons())
    assert scene.cluster.one(LEASES, NAMESPACE, scene.cluster.all(LEASES)[0]["metadata"]["name"])["spec"][
        "holderIdentity"
    ] in {"", scene.plan["metadata"]["name"]}


async def test_harm_is_undone_and_not_proposed_again() -> None:
    scene = await verifying()
    name = scene.plan["metadata"]["name"]
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series([POD], running=40, waiting=4, ttft=4.0, itl=0.2)
    scene.prometheus.series["vllm:e2e_request_latency_seconds_sum"] = [
        (labels, 40.0 * 4.0) for labels, _ in scene.prometheus.series["vllm:e2e_request_latency_seconds_sum"]
    ]
    await scene.until("RollingBack")
    await scene.look()
    assert scene.args == list(ARGS)
    scene.roll_out()
    await scene.until("RolledBack")
    scene.prometheus.series = vllm_series([POD])
    await scene.look()
    plans = {entry["metadata"]["name"]: entry["status"]["phase"] for entry in scene.cluster.all(PLANS)}
    assert plans[name] == "RolledBack"
    assert scene.args == list(ARGS)
    assert all(phase in {"RolledBack", "AwaitingApproval"} for phase in plans.values())
    others = [entry["spec"] for entry in scene.cluster.all(PLANS) if entry["metadata"]["name"] != name]
    changes = [change for spec in others for one in spec["optimizations"] for change in one["configChanges"]]
    assert ("max_batch_size", 64) not in {(change["parameter"], change["recommendedValue"]) for change in changes}


async def test_a_person_undoes_what_was_kept() -> None:
    scene = await verifying()
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series([POD], running=40, waiting=0)
    await scene.until("Verified")
    scene.decide(approved=False)
    await scene.until("RollingBack")
    await scene.look()
    assert scene.args == list(ARGS)


NEVER = {"mode": "Approve", "maintenanceWindows": [{"schedule": "0 0 30 2 *", "durationSeconds": 3600}]}


@pytest.mark.parametrize("asked", [True, False], ids=["a person asks", "a pod fails"])
async def test_a_window_that_never_opens_does_not_keep_harm_on_the_workload(asked: bool) -> None:
    scene = await verifying()
    scene.cluster.put(instance(apply=NEVER, constraints=BATCHING))
    if asked:
        scene.decide(approved=False)
    else:
        scene.cluster.put(crashing(scene))
    await scene.until("RollingBack", looks=2)
    assert scene.condition("Ready")[1] == "SpecInvalid"
    await scene.look()
    assert scene.args == list(ARGS)


async def test_a_window_that_never_opens_keeps_a_plan_from_being_begun() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    scene.cluster.put(instance(apply=NEVER, constraints=BATCHING))
    await scene.look()
    assert (scene.phase, scene.reason("GatesPassed"), scene.args) == ("Scheduled", "OutsideWindow", list(ARGS))
    assert 'spec.apply.maintenanceWindows[0].schedule: "0 0 30 2 *" is no time' in scene.plan["status"]["message"]


def crashing(scene: Scene) -> Document:
    document = pod(POD, scene.workload)
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    document["status"] = {"containerStatuses": [{"name": "vllm", "restartCount": 2, "state": waits}]}
    return document


async def test_the_planner_leaves_a_plan_that_is_on_its_way_alone() -> None:
    scene = await applied()
    scene.prometheus.series = vllm_series([POD], running=0, waiting=0)
    await scene.look()
    assert len(scene.cluster.all(PLANS)) == 1
    assert scene.status["plan"]["phase"] == "RollingOut"
    assert "is on its way (RollingOut)" in scene.condition("PlanCurrent")[2]


async def test_a_pod_that_falls_over_undoes_it_with_its_last_words() -> None:
    scene = await applied()
    failing = pod(POD, scene.workload)
    failing["status"] = {
        "containerStatuses": [
            {"name": "vllm", "restartCount": 2, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ]
    }
    scene.cluster.put(failing)
    scene.cluster.logs[POD] = "starting\napi_server.py: error: unrecognized arguments: --x\nbye\n"
    await scene.look()
    assert scene.phase == "RollingBack"
    assert 'it wrote: "api_server.py: error: unrecognized arguments: --x"' in scene.plan["status"]["message"]


async def test_without_a_right_to_logs_the_pods_state_says_enough() -> None:
    scene = await applied()
    failing = pod(POD, scene.workload)
    failing["status"] = {"containerStatuses": [{"name": "vllm", "restartCount": 5, "state": {"running": {}}}]}
    scene.cluster.put(failing)
    scene.cluster.denied.add(("get", "pods/log"))
    await scene.look()
    assert scene.phase == "RollingBack"


# -- who owns the arguments


async def test_fields_of_others_are_never_forced() -> None:
    scene = Scene()
    scene.cluster.owners["llama"] = ("kubectl-client-side-apply",)
    await scene.look()
    scene.decide()
    await scene.until("Scheduled")
    assert (scene.reason("GatesPassed"), scene.args) == ("FieldsOwned", list(ARGS))
    message = scene.plan["status"]["message"]
    assert "belong to kubectl-client-side-apply (a person with kubectl):" in message
    assert 'apply.takeOverFrom: ["kubectl-client-side-apply"]' in message
    for _ in range(3):
        await scene.look()
    assert scene.cluster.calls.count(("patch", "deployments")) == 1  # and not tried again at once


async def test_but_over_those_whom_the_owner_names() -> None:
    scene = Scene({"mode": "Approve", "takeOverFrom": ["kubectl-client-side-apply"]})
    scene.cluster.owners["llama"] = ("kubectl-client-side-apply",)
    await scene.look()
    scene.decide()
    await scene.until("RollingOut")
    assert "--max-num-seqs=64" in scene.args


async def undone_over_helm(*, before_it_is_restored: Callable[[Scene], None] = lambda _: None) -> Scene:
    """A plan that was forced over Helm, and that a person had undone."""
    scene = Scene()
    hold(scene, "helm")
    await scene.look()
    scene.decide()
    await scene.until("RollingOut")
    hold(scene, "inferplan")
    scene.roll_out()
    await scene.until("Verifying")
    scene.decide(approved=False)
    await scene.until("RollingBack")
    await scene.look()
    scene.roll_out()
    before_it_is_restored(scene)
    return scene


def hold(scene: Scene, manager: str) -> None:
    """The manager holds the arguments, as the API server would note it."""
    containers = {"f:containers": {'k:{"name":"vllm"}': {"f:name": {}, "f:args": {}}}}
    fields = {"f:spec": {"f:template": {"f:spec": containers}}}
    entry = {"manager": manager, "operation": "Apply", "apiVersion": "apps/v1", "fieldsV1": fields}
    scene.workload["metadata"]["managedFields"] = [entry]


def holders(scene: Scene) -> list[str]:
    return [entry["manager"] for entry in scene.workload["metadata"]["managedFields"]]


async def test_what_was_taken_from_another_manager_goes_back_with_the_roll_back() -> None:
    scene = await undone_over_helm()
    assert holders(scene) == ["inferplan"]
    await scene.until("RolledBack")
    assert holders(scene) == ["helm"]


async def test_a_workload_that_changed_meanwhile_is_looked_at_again() -> None:
    def busy(scene: Scene) -> None:
        scene.cluster.broken[("patch", "deployments")] = ConflictError("409: changed meanwhile")

    scene = await undone_over_helm(before_it_is_restored=busy)
    await scene.look()
    assert (scene.phase, holders(scene)) == ("RollingBack", ["inferplan"])
    scene.cluster.broken.clear()
    await scene.until("RolledBack")
    assert holders(scene) == ["helm"]


async def test_a_roll_back_does_not_hang_on_who_owns_what() -> None:
    def denied(scene: Scene) -> None:
        scene.cluster.denied.add(("patch", "deployments"))

    scene = await undone_over_helm(before_it_is_restored=denied)
    await scene.until("RolledBack")
    assert (scene.args, holders(scene)) == (list(ARGS), ["inferplan"])


@pytest.mark.parametrize(
    ("error", "reason"),
    [(ForbiddenError("403: no"), "AccessDenied"), (InvalidError("422: the admission policy says no"), "NotApplicable")],
)
async def test_a_write_that_is_refused_is_told_and_tried_later(error: Exception, reason: str) -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    scene.cluster.broken[("patch", "deployments")] = error  # type: ignore[assignment]
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == reason
    del scene.cluster.broken[("patch", "deployments")]
    scene.now += timedelta(minutes=11)
    await scene.until("RollingOut")


async def test_without_the_right_to_a_lease_nothing_is_begun() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    scene.cluster.denied.add(("get", "leases"))
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == "AccessDenied"
    assert "deploy/apply" in scene.plan["status"]["message"]


async def test_an_api_server_that_goes_away_in_the_middle_is_found_again() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    await scene.until("Applying")
    scene.cluster.broken[("patch", "deployments")] = UnreachableError("no route")
    with pytest.raises(UnreachableError):
        await scene.look()
    assert scene.phase == "Applying"
    scene.cluster.broken.clear()
    await scene.until("RollingOut")


# -- gates that the cluster knows


async def test_another_workload_of_the_model_is_waited_for() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    await scene.until("Applying")
    (lease,) = scene.cluster.all(LEASES)
    name = lease["metadata"]["name"]
    assert lease["spec"]["holderIdentity"] == scene.plan["metadata"]["name"]
    other = Scene()
    await other.look()
    other.decide()
    taken = {"holderIdentity": "other-plan", "acquireTime": other.now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
    other.cluster.put({"kind": "Lease", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": taken})
    await other.until("Scheduled")
    assert other.reason("GatesPassed") == "GroupBusy"
    other.now += timedelta(minutes=5)  # nobody of that name is on its way: it is taken over
    await other.until("Applying")


async def test_a_disruption_budget_is_respected_where_pods_are_taken_down() -> None:
    scene = Scene()
    document = copy.deepcopy(scene.workload)
    document["spec"]["strategy"] = {"type": "Recreate"}
    document["spec"]["template"]["metadata"] = {"labels": {"app": "llama"}}
    scene.cluster.put(document)
    scene.roll_out()
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "llama", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "llama"}}},
        "status": {"disruptionsAllowed": 0},
    }
    scene.cluster.put(budget)
    await scene.look()
    scene.decide()
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == "DisruptionBudget"
    scene.cluster.remove(DISRUPTION_BUDGETS, NAMESPACE, "llama")
    await scene.until("Applying")


async def test_an_instance_that_is_paused_is_left_alone() -> None:
    scene = Scene()
    document = copy.deepcopy(scene.cluster.one(INSTANCES, NAMESPACE, "llama"))
    document["metadata"]["annotations"] = {"inferplan.dev/paused": "true"}
    scene.cluster.put(document)
    await scene.look()
    scene.decide()
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == "Paused"


async def test_a_plan_that_cannot_be_read_is_left_alone() -> None:
    scene = Scene()
    await scene.look()
    document = copy.deepcopy(scene.plan)
    document["status"] = {"phase": "Applying", "attempt": "garbage"}
    scene.cluster.put(document)
    await scene.look()
    assert scene.plan["status"]["attempt"] == "garbage"
    assert scene.cluster.all(PODS)
