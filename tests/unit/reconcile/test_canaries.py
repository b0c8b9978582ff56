"""Canaries in a cluster in memory, look by look."""

import copy
from datetime import timedelta
from typing import Any

import pytest
from tests.support.prometheus import vllm_series
from tests.support.scene import POD, Scene
from tests.support.world import ARGS, NAMESPACE, pod

from inferplan.kube.errors import ForbiddenError, InvalidError, KubeError
from inferplan.kube.resources import DEPLOYMENTS, Document

CANARY = {"mode": "Approve", "canary": True}


def canary_of(scene: Scene) -> Document | None:
    others = [entry for entry in scene.cluster.all(DEPLOYMENTS) if entry["metadata"]["name"] != "llama"]
    return others[0] if others else None


def ready(scene: Scene, **status: Any) -> str:
    """The canary's controller and kubelet have done their work; its pod's name."""
    document = copy.deepcopy(canary_of(scene))
    assert document is not None
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    document["status"] = {"observedGeneration": document["metadata"].get("generation", 1), **counts, **status}
    document["metadata"].setdefault("generation", 1)
    scene.cluster.put(document)
    name = f"{document['metadata']['name']}-abc-1"
    scene.cluster.put(pod(name, document))
    return name


async def tried() -> Scene:
    scene = Scene(CANARY)
    await scene.look()
    scene.decide()
    await scene.until("Canary")
    await scene.look()
    return scene


async def test_a_canary_is_made_measured_beside_the_others_and_taken_away() -> None:
    scene = await tried()
    document = canary_of(scene)
    assert document is not None
    assert "--max-num-seqs=64" in document["spec"]["template"]["spec"]["containers"][0]["args"]
    assert document["metadata"]["ownerReferences"][0]["name"] == scene.plan["metadata"]["name"]
    assert scene.args == list(ARGS)
    name = ready(scene)
    await scene.look()
    assert scene.reason("CanaryPassed") == "Measuring"
    scene.now += timedelta(minutes=20)
    scene.prometheus.series = vllm_series([POD, name])
    await scene.until("Applying")
    assert canary_of(scene) is None
    assert scene.plan["status"]["canary"]["verification"]["verdict"] == "Keep"
    await scene.until("RollingOut")
    assert "--max-num-seqs=64" in scene.args


async def test_one_that_does_worse_is_taken_away_and_the_workload_left() -> None:
    scene = await tried()
    name = ready(scene)
    await scene.look()
    scene.now += timedelta(minutes=20)
    slow = vllm_series([name], running=40, waiting=4, ttft=4.0, itl=0.2)
    both = {key: [*vllm_series([POD])[key], *slow[key]] for key in slow}
    for key in ("vllm:e2e_request_latency_seconds_sum",):
        both[key] = [(labels, value * (20.0 if name in str(labels) else 1.0)) for labels, value in both[key]]
    scene.prometheus.series = both
    await scene.until("RolledBack")
    assert canary_of(scene) is None
    assert scene.args == list(ARGS)


@pytest.mark.parametrize(
    ("error", "reason"), [(ForbiddenError("403: no"), "AccessDenied"), (InvalidError("422: quota"), "NotApplicable")]
)
async def test_a_canary_that_may_not_be_made_says_so(error: KubeError, reason: str) -> None:
    scene = Scene(CANARY)
    await scene.look()
    scene.decide()
    scene.cluster.broken["create", "deployments"] = error
    await scene.until("Canary")
    await scene.until("Scheduled")
    assert scene.reason("GatesPassed") == reason
    assert scene.args == list(ARGS)


async def test_one_of_an_earlier_plan_makes_room() -> None:
    scene = await tried()
    document = copy.deepcopy(canary_of(scene))
    assert document is not None
    document["metadata"]["labels"]["inferplan.dev/canary"] = "0000"
    scene.cluster.put(document)
    await scene.look()
    await scene.look()
    made = canary_of(scene)
    assert made is not None
    assert made["metadata"]["labels"]["inferplan.dev/canary"] == scene.plan["spec"]["planHash"][:16]
    assert scene.cluster.one(DEPLOYMENTS, NAMESPACE, "llama")
