"""What must not happen to a workload, whatever people do, forge or delete meanwhile; in a cluster in memory."""

import copy
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from tests.support.prometheus import vllm_series
from tests.support.scene import POD, Scene, verifying
from tests.support.world import ARGS, NAMESPACE, deployment, pod

from inferplan.engine.identity import args_digest
from inferplan.gitops.port import PullRequest, PullState
from inferplan.kube.errors import ConflictError
from inferplan.kube.resources import DEPLOYMENTS, DISRUPTION_BUDGETS, INSTANCES, LEASES, PLANS, Document, Resource
from inferplan.reconcile.instance import Key
from inferplan.reconcile.plans import own_plans, undone

BETTER = {"running": 40, "waiting": 0, "ttft": 0.1}


async def kept() -> Scene:
    scene = await verifying()
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series([POD], **BETTER)
    await scene.until("Verified")
    return scene


def named(scene: Scene, name: str) -> Document:
    return scene.cluster.one(PLANS, NAMESPACE, name)


def put_status(scene: Scene, name: str, **status: Any) -> None:
    document = copy.deepcopy(named(scene, name))
    document["status"] = {**document.get("status", {}), **status}
    scene.cluster.put(document)


def another_plan(scene: Scene, name: str = "llama-bbbbbbbb", **status: Any) -> None:
    """A plan that the instance made after the one that is there."""
    document = copy.deepcopy(scene.plan)
    document["metadata"] |= {"name": name, "uid": "b", "creationTimestamp": "2027-01-01T00:00:00Z"}
    document["spec"].pop("approval", None)
    container = scene.workload["spec"]["template"]["spec"]["containers"][0]
    document["spec"]["target"]["argsDigest"] = args_digest((), container["args"])
    document["status"] = status
    scene.cluster.put(document)


# -- two plans at once


async def test_what_a_person_wants_undone_is_undone_though_the_next_plan_waits_for_its_merge() -> None:
    scene = await kept()
    name = scene.plan["metadata"]["name"]
    git = {"branch": "b", "commit": "c", "pullRequest": {"number": 1, "url": "u", "state": "open"}}
    uid = scene.workload["metadata"]["uid"]
    attempt = {"number": 1, "startedAt": "2026-01-01T12:00:00Z", "targetUid": uid, "appliedDigest": "y", "git": git}
    another_plan(scene, phase="Applying", attempt=attempt, rollback={"args": []})
    instance = copy.deepcopy(scene.cluster.one(INSTANCES, NAMESPACE, "llama"))
    repository = {"repository": "https://git.example/team/apps", "path": "llama.yaml", "forge": "Gitea"}
    instance["spec"]["apply"] = {"mode": "GitOps", "git": repository}
    scene.cluster.put(instance)
    scene.git.pulls["b"] = PullRequest(1, "u", PullState.OPEN)
    document = copy.deepcopy(named(scene, name))
    document["spec"]["approval"] = {"approved": False, "by": "ada", "planHash": document["spec"]["planHash"]}
    scene.cluster.put(document)
    for _ in range(4):
        await scene.look()
    assert scene.args == list(ARGS)


async def test_undoing_comes_before_beginning_the_next() -> None:
    scene = await kept()
    name = scene.plan["metadata"]["name"]
    document = copy.deepcopy(named(scene, name))
    document["spec"]["approval"] = {"approved": False, "by": "ada", "planHash": document["spec"]["planHash"]}
    scene.cluster.put(document)
    scene.cluster.denied.add(("get", "leases"))  # the lease keeps nothing from being undone
    await scene.look()
    assert named(scene, name)["status"]["phase"] == "RollingBack"
    scene.cluster.denied.clear()
    await scene.look()
    assert scene.args == list(ARGS)


# -- another workload


def points_to(scene: Scene, name: str) -> None:
    document = copy.deepcopy(scene.cluster.one(INSTANCES, NAMESPACE, "llama"))
    document["spec"]["targetRef"] = {"name": name}
    scene.cluster.put(document)


def second_workload(scene: Scene, *args: str) -> None:
    document = copy.deepcopy(deployment())
    document["metadata"]["name"] = "other"
    document["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    document["spec"]["template"]["metadata"] = {"labels": {"app": "other"}}
    document["spec"]["template"]["spec"]["containers"][0]["args"] = list(args or ARGS)
    scene.cluster.put(document)
    scene.cluster.put(pod("other-abc-1", document))


async def test_a_plan_is_not_judged_by_another_workload() -> None:
    scene = await verifying()
    name = scene.plan["metadata"]["name"]
    second_workload(scene)
    points_to(scene, "other")
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series(["other-abc-1"], running=40, waiting=4, ttft=9.0, itl=0.9)
    for _ in range(4):
        await scene.look()
    assert named(scene, name)["status"]["phase"] == "Failed"
    assert "spec.targetRef" in named(scene, name)["status"]["message"]
    assert "--max-num-seqs=64" in scene.args


async def test_nothing_is_begun_on_a_workload_that_the_instance_names_no_more() -> None:
    """While the new one is not measured yet, the plan that was open stays open, and it is for the old one."""
    scene = Scene()
    await scene.look()
    scene.decide()
    second_workload(scene)
    points_to(scene, "other")
    scene.prometheus.series = {}
    for _ in range(4):
        await scene.look()
    assert scene.args == list(ARGS)
    assert "Superseded" in scene.plans().values()


async def test_what_was_begun_there_is_left() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    await scene.until("Applying")
    second_workload(scene)
    points_to(scene, "other")
    for _ in range(3):
        await scene.look()
    assert scene.args == list(ARGS)


async def test_an_approval_holds_for_the_image_that_was_approved() -> None:
    """Right after an upgrade nothing is measured yet, and the plan that was open stays open."""
    scene = Scene()
    await scene.look()
    scene.decide()
    first = scene.plan["metadata"]["name"]
    document = copy.deepcopy(scene.workload)
    document["spec"]["template"]["spec"]["containers"][0]["image"] = "vllm/vllm-openai:v0.34.0"
    scene.cluster.put(document)
    scene.roll_out()
    scene.prometheus.series = {}
    for _ in range(3):
        await scene.look()
    assert scene.args == list(ARGS)
    assert named(scene, first)["status"]["phase"] == "Superseded"
    assert named(scene, first)["status"]["message"] == "Its workload runs another image now."
    scene.prometheus.series = vllm_series([POD])
    await scene.look()
    assert scene.plan["metadata"]["name"] != first
    assert scene.phase == "AwaitingApproval"


async def test_of_two_instances_of_one_workload_neither_changes_it() -> None:
    scene = Scene()
    twin = copy.deepcopy(scene.cluster.one(INSTANCES, NAMESPACE, "llama"))
    twin["metadata"] = {"name": "twin", "namespace": NAMESPACE}
    scene.cluster.put(twin)
    await scene.planner().reconcile(Key(NAMESPACE, "twin"))
    for document in scene.cluster.all(PLANS):
        scene.cluster.remove(PLANS, NAMESPACE, document["metadata"]["name"])
    await scene.look()
    scene.decide()
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == "TargetShared"


# -- forged


@pytest.mark.parametrize("labels", [{}, {"inferplan.dev/canary": "0000"}])
async def test_a_name_in_a_status_deletes_no_deployment_that_no_plan_owns(labels: dict[str, str]) -> None:
    scene = Scene({"mode": "Approve", "canary": True})
    await scene.look()
    scene.decide()
    await scene.until("Canary")
    victim = copy.deepcopy(deployment())
    victim["metadata"] |= {"name": "victim", "labels": labels}
    scene.cluster.put(victim)
    name = scene.plan["metadata"]["name"]
    put_status(scene, name, canary={"name": "victim", "startedAt": "2026-01-01T12:00:00Z"})
    await scene.look()
    scene.decide(approved=False)
    await scene.look()
    assert scene.cluster.one(DEPLOYMENTS, NAMESPACE, "victim")


@pytest.mark.parametrize(
    "status",
    [
        {"phase": "RollingBack", "attempt": None},
        {"phase": "Verifying", "attempt": {"number": 1, "startedAt": "x", "targetUid": "u", "appliedDigest": "d"}},
        {"attempt": {"number": 1, "startedAt": "x", "targetUid": "u", "appliedDigest": "d", "patchedAt": "never"}},
        {"phase": "Scheduled", "retryAt": "tomorrow"},
        {"phase": "Canary", "canary": {"name": "c", "startedAt": "0000", "readyAt": "2026-01-01"}},
    ],
)
async def test_a_status_that_cannot_be_holds_nothing_else_up(status: dict[str, Any]) -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    put_status(scene, scene.plan["metadata"]["name"], **status)
    scene.prometheus.series = vllm_series([POD], running=3, waiting=0)
    await scene.look()
    assert scene.status["traffic"]["num_requests_running"]["value"] == 3
    assert scene.args == list(ARGS)


# -- rights that are taken away, and two operators at once


@pytest.mark.parametrize("resource", ["deployments", "pods"])
async def test_a_right_that_is_gone_is_told_and_holds_nothing_else_up(resource: str) -> None:
    scene = await verifying()
    scene.cluster.denied.add(("get" if resource == "deployments" else "list", resource))
    await scene.look()
    assert scene.condition("TargetResolved")[1] == "AccessDenied"
    assert scene.phase == "Verifying"
    assert f"403: {'get' if resource == 'deployments' else 'list'} {resource}" in scene.plan["status"]["message"]
    scene.cluster.denied.clear()
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series([POD], **BETTER)
    await scene.until("Verified")


async def test_a_canary_that_may_not_be_taken_away_is_told() -> None:
    scene = Scene({"mode": "Approve", "canary": True})
    await scene.look()
    scene.decide()
    await scene.until("Canary")
    await scene.look()
    scene.cluster.denied.add(("delete", "deployments"))
    scene.decide(approved=False)
    await scene.look()
    assert scene.phase == "Canary"
    assert "deploy/canary" in scene.plan["status"]["message"]
    scene.cluster.denied.clear()
    await scene.until("Rejected")


async def test_a_plan_that_another_operator_has_begun_meanwhile_is_not_superseded() -> None:
    """Each write is bound to the version that was read, this one too."""
    scene = Scene()
    await scene.look()
    scene.decide()
    name = scene.plan["metadata"]["name"]
    scene.prometheus.series = vllm_series([POD], running=0, waiting=0)  # it would be superseded by this look
    listed = scene.cluster.list

    async def then_begun(resource: Resource, namespace: str | None, selector: str = "") -> tuple[Document, ...]:
        found = await listed(resource, namespace, selector)
        if resource == PLANS:
            put_status(scene, name, phase="Applying")
        return found

    scene.cluster.list = then_begun  # type: ignore[method-assign]
    with suppress(ConflictError):
        await scene.look()
    assert named(scene, name)["status"]["phase"] == "Applying"


# -- the lease of a model


async def test_a_lease_of_a_clock_that_was_ahead_is_taken_over() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    await scene.until("Applying")
    (lease,) = copy.deepcopy(scene.cluster.all(LEASES))
    other = Scene()
    await other.look()
    other.decide()
    ahead = (other.now + timedelta(days=300)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lease["spec"] |= {"holderIdentity": "gone", "acquireTime": ahead}
    lease["kind"] = "Lease"
    other.cluster.put(lease)
    await other.until("Applying")


async def test_workloads_of_a_model_that_only_their_arguments_name_are_one_group() -> None:
    scene = Scene()
    await scene.look()
    scene.decide()
    await scene.until("Applying")
    other = Scene()
    document = copy.deepcopy(other.cluster.one(INSTANCES, NAMESPACE, "llama"))
    document["spec"]["targetRef"] = {"name": "other"}
    other.cluster.put(document)
    second_workload(other)
    twin = copy.deepcopy(other.cluster.one(DEPLOYMENTS, NAMESPACE, "other"))
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    twin["status"] = {"observedGeneration": twin["metadata"]["generation"], **counts}
    other.cluster.put(twin)
    other.prometheus.series = vllm_series(["other-abc-1"])
    await other.look()
    other.decide()
    await other.until("Applying")
    names = [entry.cluster.all(LEASES)[0]["metadata"]["name"] for entry in (scene, other)]
    assert names[0] == names[1]


async def test_two_containers_of_one_workload_are_changed_one_at_a_time() -> None:
    """Each has an instance of its own, and a model of its own; a change of one restarts the other too."""
    scene = Scene()
    await scene.look()
    scene.decide()
    other = copy.deepcopy(scene.plan)
    other["metadata"] |= {"name": "other-12345678", "uid": "b", "ownerReferences": []}
    other["status"] = {"phase": "Verifying"}
    workload = copy.deepcopy(scene.workload)
    workload["metadata"]["annotations"] = {"inferplan.dev/attempt": "other-12345678.1"}
    name = scene.plan["metadata"]["name"]
    scene.cluster.put(other, workload)
    for _ in range(2):
        await scene.look()
    assert named(scene, name)["status"]["phase"] == "Scheduled"
    assert named(scene, name)["status"]["message"].startswith("Waits: other-12345678 changes")
    put_status(scene, "other-12345678", phase="Verified")
    await scene.look()
    assert named(scene, name)["status"]["phase"] == "Applying"


# -- what is remembered


async def test_harm_whose_undoing_failed_is_remembered_too() -> None:
    scene = await verifying()
    name = scene.plan["metadata"]["name"]
    context = scene.plan["spec"]["target"]["contextDigest"]
    put_status(scene, name, phase="Failed", rollback={"reason": "Regression", "message": "worse"})
    stored = own_plans(scene.cluster.all(PLANS), scene.cluster.one(INSTANCES, NAMESPACE, "llama")["metadata"]["uid"])
    assert undone(stored, context)
    put_status(scene, name, phase="Failed", rollback={"args": ["--x"]})  # it was reverted by somebody, without harm
    stored = own_plans(scene.cluster.all(PLANS), scene.cluster.one(INSTANCES, NAMESPACE, "llama")["metadata"]["uid"])
    assert not undone(stored, context)


async def test_a_cluster_that_was_full_is_not_held_against_the_plan() -> None:
    scene = await verifying()
    name, context = scene.plan["metadata"]["name"], scene.plan["spec"]["target"]["contextDigest"]
    uid = scene.cluster.one(INSTANCES, NAMESPACE, "llama")["metadata"]["uid"]
    for reason, barred in (("NoRoom", False), ("PodsFail", True)):
        for phase in ("RolledBack", "Failed"):
            put_status(scene, name, phase=phase, rollback={"reason": reason, "message": "why"})
            assert bool(undone(own_plans(scene.cluster.all(PLANS), uid), context)) is barred


async def test_a_plan_that_comes_back_is_held_against_what_is_measured_since() -> None:
    scene = Scene()
    await scene.look()
    name = scene.plan["metadata"]["name"]
    baseline = {"endedAt": "2025-01-01T00:00:00Z", "seconds": 900, "requests": 1e6, "values": {}}
    put_status(scene, name, phase="Superseded", baseline=baseline, retryAt="2027-01-01T00:00:00Z", failures=3)
    await scene.look()
    status = named(scene, name)["status"]
    assert status["phase"] == "AwaitingApproval"
    assert status["baseline"]["requests"] < 1e6
    assert ("retryAt" in status, status.get("failures", 0)) == (False, 0)


async def test_a_plan_in_a_pull_request_goes_on_looking_for_its_busiest_window() -> None:
    """It is proposed at the first look; whoever merges it may take days."""
    git = {"repository": "https://git.example/team/apps", "path": "llama.yaml", "forge": "Gitea"}
    scene = Scene({"mode": "GitOps", "git": git})
    await scene.until("Applying")
    await scene.look()
    quiet = scene.plan["status"]["baseline"]["requests"]
    busy = vllm_series([POD])
    scene.prometheus.series = {
        key: [(labels, value * 3) for labels, value in rows] if key.endswith(("_total", "_count", "_sum")) else rows
        for key, rows in busy.items()
    }
    await scene.look()
    assert scene.phase == "Applying"
    assert scene.plan["status"]["baseline"]["requests"] > quiet


# -- disruption budgets


@pytest.mark.parametrize(
    "selector",
    [
        {},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": ["llama", "other"]}]},
        {"matchLabels": {"app": "llama"}, "matchExpressions": [{"key": "canary", "operator": "DoesNotExist"}]},
    ],
)
async def test_every_selector_of_a_budget_counts(selector: dict[str, Any]) -> None:
    scene = Scene()
    document = copy.deepcopy(scene.workload)
    document["spec"]["strategy"] = {"type": "Recreate"}
    document["spec"]["template"]["metadata"] = {"labels": {"app": "llama"}}
    scene.cluster.put(document)
    scene.roll_out()
    budget = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "all", "namespace": NAMESPACE},
        "spec": {"selector": selector},
        "status": {"disruptionsAllowed": 0},
    }
    scene.cluster.put(budget)
    await scene.look()
    scene.decide()
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == "DisruptionBudget"
    elsewhere = {
        "matchLabels": {"app": "llama"},
        "matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["llama"]}],
    }
    budget["spec"] = {"selector": elsewhere}
    scene.cluster.remove(DISRUPTION_BUDGETS, NAMESPACE, "all")
    scene.cluster.put(budget)
    await scene.until("Applying")
