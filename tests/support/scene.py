"""A workload that stands, in a cluster in memory, and what a person does with its plans."""

import copy
from typing import Any

from tests.support.world import NAMESPACE, World, instance, pod

from inferplan.kube.resources import DEPLOYMENTS, EVENTS, PLANS, Document

APPROVE = {"mode": "Approve"}
POD = "llama-abc-1"
BATCHING = {"optimizers": ["batching"]}
"""One optimizer's plans come onto workloads as all of them do, and each look takes a third of the time."""


class Scene(World):
    """A world whose workload stands, and which a person works in."""

    def __init__(self, apply: dict[str, Any] | None = None, *documents: Document) -> None:
        super().__init__(instance(apply=apply or APPROVE, constraints=BATCHING), *documents)
        self.roll_out()

    @property
    def workload(self) -> Document:
        return self.cluster.one(DEPLOYMENTS, NAMESPACE, "llama")

    @property
    def args(self) -> list[str]:
        args: list[str] = self.workload["spec"]["template"]["spec"]["containers"][0]["args"]
        return args

    @property
    def plan(self) -> Document:
        (document,) = [entry for entry in self.cluster.all(PLANS) if entry["status"]["phase"] != "Superseded"]
        return document

    @property
    def phase(self) -> str:
        phase: str = self.plan["status"]["phase"]
        return phase

    def reason(self, kind: str) -> str:
        found = [entry for entry in self.plan["status"]["conditions"] if entry["type"] == kind]
        reason: str = found[0]["reason"]
        return reason

    def decide(self, *, approved: bool = True) -> None:
        """A person's word, as kubectl patches it."""
        document = copy.deepcopy(self.plan)
        plan_hash = document["spec"]["planHash"]
        document["spec"]["approval"] = {"approved": approved, "by": "ada", "planHash": plan_hash}
        self.cluster.put(document)

    def roll_out(self, **status: Any) -> None:
        """The controller and the kubelet have done their work: all pods run the template."""
        document = copy.deepcopy(self.workload)
        counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
        document["status"] = {"observedGeneration": document["metadata"]["generation"], **counts, **status}
        document["spec"]["replicas"] = 1
        self.cluster.put(document)
        self.workload["status"]["observedGeneration"] = self.workload["metadata"]["generation"]
        self.cluster.put(pod(POD, document))

    async def until(self, *phases: str, looks: int = 12) -> None:
        for _ in range(looks):
            await self.look()
            if self.phase in phases:
                return
        raise AssertionError(f"{self.phase}: {self.plan['status']['message']}")

    def reasons(self) -> list[str]:
        return [document["reason"] for document in self.cluster.all(EVENTS)]


async def applied(**world: Any) -> Scene:
    """An approved plan that the workload carries."""
    scene = Scene(**world)
    await scene.look()
    scene.decide()
    await scene.until("RollingOut")
    return scene


async def verifying() -> Scene:
    """One whose pods all run it, and which is measured."""
    scene = await applied()
    scene.roll_out()
    await scene.until("Verifying")
    return scene
