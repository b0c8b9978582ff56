"""A cluster of one workload in memory, for the steps of an application: what is written is there, pods follow."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.build import a

from inferplan.api.apply import ApplySpec
from inferplan.api.attempt import WindowStatus
from inferplan.api.instance import InstanceSpec
from inferplan.api.plan import Approval, Patch, PlanSpec, PlanStatus
from inferplan.apply.case import Act, Case, Step, Write
from inferplan.apply.live import Live
from inferplan.apply.machine import next_step
from inferplan.apply.pods import PodState
from inferplan.dialects.container import Container
from inferplan.engine.identity import args_digest

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
OLD = a.container("--model=llama", "--max-num-seqs=32")
NEW = a.container("--model=llama", "--max-num-seqs=64")
FOREIGN = a.container("--model=llama", "--max-num-seqs=48")
HASH = "ab" * 32


def digest(container: Container) -> str:
    return args_digest(container.command, container.args)


def window(
    throughput: float = 1000.0, requests: float = 4500.0, ended_at: str = "2026-03-01T12:00:00Z", **values: float
) -> WindowStatus:
    base = {
        "prompt_tokens_mean": 500.0,
        "generation_tokens_mean": 200.0,
        "arrivals_per_second": 5.0,
        "generation_tokens_per_second": throughput,
    }
    return WindowStatus(ended_at=ended_at, seconds=900, requests=requests, values={**base, **values})


def plan_spec(approval: Approval | None = None, **changes: Any) -> PlanSpec:
    """Raises max_num_seqs from 32 to 64."""
    optimization = {
        "id": "batching_0",
        "type": "batching",
        "title": "Raise the running requests",
        "description": "More run at once.",
        "config_changes": [
            {"parameter": "max_batch_size", "current_value": 32, "recommended_value": 64, "reason": "r"}
        ],
        "expected_impact": "high",
        "estimated_improvement": "throughput",
        "confidence": "medium",
        "source": "calibratedHere",
        "implementation_effort": "low",
        **changes.pop("optimization", {}),
    }
    base: dict[str, Any] = {
        "instance_ref": {"name": "llama"},
        "engine": {"name": "vllm", "version": "0.33.0"},
        "observed_at": "2026-03-01T11:00:00Z",
        "observation_digest": "0" * 64,
        "plan_hash": HASH,
        "optimizations": [optimization],
        "priority_order": ["batching_0"],
        "estimated_total_improvement": "throughput +70%",
        "summary": {
            "changes": "max_batch_size 32 -> 64",
            "impact": "high",
            "gain": "throughput +70%",
            "confidence": "medium",
            "restart": True,
            "risk": "none",
        },
        "target": {
            "kind": "Deployment",
            "name": "llama",
            "container": "vllm",
            "generation": 1,
            "args_digest": digest(OLD),
        },
        "patch": Patch(applicable=True, diff="-", server_side_apply="{}", command="kubectl"),
        "approval": approval,
    }
    return PlanSpec.model_validate({**base, **changes})


def approved(**changes: Any) -> PlanSpec:
    return plan_spec(Approval(approved=True, by="ada", plan_hash=HASH), **changes)


@dataclass
class Stage:
    """One plan and one workload; time is moved by hand.

    Attributes:
        container: What the workload's template says.
        running: What each pod runs.
        fails: Why a pod with the new arguments cannot run; "" where it can.
        frozen: Whether the rollout stands still.
        writes: Containers that were written, in order.
    """

    plan: PlanSpec = field(default_factory=approved)
    apply: dict[str, Any] = field(default_factory=lambda: {"mode": "Approve"})
    status: PlanStatus = field(default_factory=PlanStatus)
    container: Container | None = OLD
    running: list[Container] = field(default_factory=lambda: [OLD, OLD])
    window: WindowStatus | None = field(default_factory=window)
    now: datetime = START
    uid: str = "uid-1"
    version: int = 1
    fails: str = ""
    frozen: bool = False
    stuck: str = ""
    live_changes: dict[str, Any] = field(default_factory=dict)
    case_changes: dict[str, Any] = field(default_factory=dict)
    writes: list[Container] = field(default_factory=list)
    gone: bool = False
    attempt: str = ""

    def live(self) -> Live | None:
        if self.gone:
            return None
        updated = sum(self.container is not None and digest(entry) == digest(self.container) for entry in self.running)
        healthy = sum(not self._failing(entry) for entry in self.running)
        base: dict[str, Any] = {
            "kind": "Deployment",
            "name": "llama",
            "uid": self.uid,
            "resource_version": str(self.version),
            "generation": self.version,
            "observed_generation": self.version,
            "container": self.container,
            "attempt": self.attempt,
            "paused_by_owner": False,
            "rollout_paused": False,
            "rolls": True,
            "replicas": len(self.running),
            "updated": updated,
            "ready": healthy,
            "available": healthy,
            "total": len(self.running),
            "takes_down": False,
            "stuck": self.stuck,
            "selector": {},
            "pod_labels": {},
        }
        return Live(**{**base, **self.live_changes})

    def _failing(self, container: Container) -> bool:
        return bool(self.fails) and digest(container) == digest(NEW)

    def case(self) -> Case:
        pods = tuple(
            PodState(
                name=f"llama-{number}",
                uid=str(number),
                args_digest=digest(entry),
                ready=not self._failing(entry),
                waiting=self.fails if self._failing(entry) else "",
            )
            for number, entry in enumerate(self.running)
        )
        base: dict[str, Any] = {
            "namespace": "serving",
            "name": "llama-abababab",
            "generation": 1,
            "instance": InstanceSpec.model_validate(
                {"engine": "vllm", "target_ref": {"name": "llama"}, "apply": ApplySpec.model_validate(self.apply)}
            ),
            "plan": self.plan,
            "status": self.status,
            "live": self.live(),
            "wanted": NEW,
            "now": self.now,
            "pods": pods,
            "window": self.window,
        }
        return Case(**{**base, **self.case_changes})

    def step(self, *, killed: bool = False) -> Step:
        """One look: the status is written, then what is to be done is done, unless the operator is killed between."""
        step = next_step(self.case())
        self.status = PlanStatus.from_kube(step.status.to_kube())  # as the API server gives it back
        if step.act is not None and not killed:
            self.do(step.act)
        return step

    def do(self, act: Act) -> None:
        if isinstance(act, Write):
            self.write(act)

    def write(self, act: Write) -> None:
        """As a server-side apply that is bound to a resource version."""
        if self.gone or act.resource_version != str(self.version):
            return
        self.put(act.container)
        self.attempt = act.attempt
        self.writes.append(act.container)

    def put(self, container: Container) -> None:
        self.container = container
        self.version += 1

    def roll(self) -> None:
        """One pod is replaced; a new one that fails keeps the others where they are."""
        if self.frozen or self.container is None or any(self._failing(entry) for entry in self.running):
            if self.container is not None and digest(self.container) != digest(NEW):
                self.running = [self.container for _ in self.running]
            return
        for number, entry in enumerate(self.running):
            if digest(entry) != digest(self.container):
                self.running[number] = self.container
                return

    def pass_time(self, **amount: float) -> None:
        self.now += timedelta(**amount)

    def run_until(self, *phases: str, looks: int = 60, minutes: float = 5.0) -> None:
        """Looks, with pods that follow and time that passes, until one of the phases is there."""
        for _ in range(looks):
            self.step()
            if self.status.phase in phases:
                return
            self.roll()
            self.pass_time(minutes=minutes)
        raise AssertionError(f"{self.status.phase}: {self.status.message}")
