"""A cluster in memory behind kubectl, for tests of the plugin: answers what kubectl would print."""

import copy
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.support.application import OLD, plan_spec

from inferplan.cli import kube

NAME = "llama-abababab"
HASH = "ab" * 32
Document = dict[str, Any]


def plan(phase: str = "AwaitingApproval", name: str = NAME, message: str = "", **changes: Any) -> Document:
    """A plan for the instance "llama" that raises max_num_seqs from 32 to 64."""
    status = {"phase": phase, "message": message, **changes.pop("status", {})}
    body = {"spec": {"template": {"spec": {"containers": [
        {"name": "vllm", "args": ["--model=llama", "--max-num-seqs=64"]}]}}}}  # fmt: skip
    patch = {"applicable": True, "diff": "-", "server_side_apply": json.dumps(body), "command": "kubectl"}
    spec = plan_spec(**{"patch": patch, **changes}).to_kube()
    meta = {"name": name, "namespace": "serving", "uid": name, "creationTimestamp": "2026-03-01T11:00:00Z",
            "resourceVersion": "1"}  # fmt: skip
    return {"apiVersion": "inferplan.dev/v1alpha1", "kind": "OptimizationPlan", "metadata": meta, "spec": spec,
            "status": status}  # fmt: skip


def instance(name: str = "llama", current: str | None = NAME, **apply: Any) -> Document:
    """An instance whose plans are applied once they are approved."""
    conditions = [{"type": "PlanCurrent", "status": "False", "reason": "NoPlan", "message": "nothing was measured"}]
    status = {"plan": {"name": current}} if current is not None else {"conditions": conditions}
    meta = {"name": name, "namespace": "serving"}
    return {"kind": "InferenceInstance", "metadata": meta, "status": status,
            "spec": {"engine": "vllm", "apply": {"mode": "Approve", **apply}}}  # fmt: skip


def deployment(*args: str, container: str = "vllm") -> Document:
    """The workload "llama"."""
    containers = [{"name": container, "command": list(OLD.command), "args": list(args or OLD.args)}]
    return {"kind": "Deployment", "metadata": {"name": "llama", "namespace": "serving"},
            "spec": {"template": {"spec": {"containers": containers}}}}  # fmt: skip


@dataclass
class FakeKubectl:
    """kubectl on objects by kind; ada asks."""

    plans: list[Document] = field(default_factory=lambda: [plan()])
    instances: list[Document] = field(default_factory=lambda: [instance()])
    workloads: list[Document] = field(default_factory=lambda: [deployment()])
    calls: list[tuple[str, ...]] = field(default_factory=list)
    fails: dict[str, str] = field(default_factory=dict)
    meanwhile: list[Document] = field(default_factory=list)
    """What the plan becomes, one after the other, just before it is patched."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kube.shutil, "which", lambda name: f"/usr/bin/{name}")
        monkeypatch.setattr(kube.process, "run", self.run)

    def run(self, command: Sequence[str], _: float) -> subprocess.CompletedProcess[str]:
        verb, words = command[1], tuple(command[2:])
        self.calls.append(tuple(command[1:]))
        if verb in self.fails:
            return subprocess.CompletedProcess(command, 1, "", self.fails[verb])
        if verb == "patch" and self.meanwhile:
            self.plans[0] = self.meanwhile.pop(0)
            self.plans[0]["metadata"]["resourceVersion"] = f"1{len(self.meanwhile)}"
        if verb == "patch" and self.version_in(words) != self.plans[0]["metadata"]["resourceVersion"]:
            told = "Error from server (Conflict): the object has been modified"
            return subprocess.CompletedProcess(command, 1, "", told)
        return subprocess.CompletedProcess(command, 0, self.answer(verb, words), "")

    def answer(self, verb: str, words: Sequence[str]) -> str:
        if verb == "auth":
            return json.dumps({"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "ada"}}})
        kind = words[0].split(".")[0]
        there = {"optimizationplans": self.plans, "inferenceinstances": self.instances}.get(kind, self.workloads)
        names = [word for word in words[1:] if not word.startswith("-")]
        if not names:
            return json.dumps({"kind": "List", "items": there})
        found = next((entry for entry in there if entry["metadata"]["name"] == names[0]), None)
        if verb == "patch" and found is not None:
            patch = next(word for word in words if word.startswith("--patch="))
            given = json.loads(patch.removeprefix("--patch="))["spec"]["approval"]
            found["spec"]["approval"] = {key: value for key, value in given.items() if value is not None}
        return "" if found is None else json.dumps(copy.deepcopy(found))

    def version_in(self, words: Sequence[str]) -> Any:
        patch = next(word for word in words if word.startswith("--patch="))
        return json.loads(patch.removeprefix("--patch="))["metadata"]["resourceVersion"]

    @property
    def approval(self) -> Any:
        return self.plans[0]["spec"].get("approval")
