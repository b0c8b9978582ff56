"""A pod's status as the kubelet would write it, out of the pod and what its containers do. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from inferplan_lab.node.documents import (
    JsonObject,
    entries,
    is_sidecar,
    metadata,
    spec_of,
    status_of,
    timestamp,
)
from inferplan_lab.node.records import Record, Terminated, Waiting, record_status


@dataclass(frozen=True)
class PodFacts:
    """What the node knows about a pod beside its spec.

    Attributes:
        pod_ip: its address, empty before it has one.
        host_ip: its node's address.
        started_at: when the node first saw it.
        init: a record for each init container, in order.
        main: a record for each container, in order.
    """

    pod_ip: str
    host_ip: str
    started_at: datetime
    init: tuple[Record, ...]
    main: tuple[Record, ...]


def pod_status(pod: JsonObject, facts: PodFacts, now: datetime) -> JsonObject:
    """Return the fields of the pod's status which the node owns."""
    phase = pod_phase(pod, facts)
    status: JsonObject = {
        "phase": phase,
        "startTime": status_of(pod).get("startTime") or timestamp(facts.started_at),
        "hostIP": facts.host_ip,
        "hostIPs": [{"ip": facts.host_ip}],
        "conditions": _conditions(pod, facts, phase, now),
        "containerStatuses": [record_status(record) for record in facts.main],
    }
    if facts.init:
        # An init container that has done its work counts as ready.
        init = [replace(record, ready=record.ready or record.succeeded) for record in facts.init]
        status["initContainerStatuses"] = [record_status(record) for record in init]
    if facts.pod_ip:
        status["podIP"] = facts.pod_ip
        status["podIPs"] = [{"ip": facts.pod_ip}]
    observed = metadata(pod).get("generation")
    if observed is not None:
        status["observedGeneration"] = observed
    return status


def pod_phase(pod: JsonObject, facts: PodFacts) -> str:
    """Return the pod's phase by the kubelet's rules (Kubernetes, "Pod Lifecycle")."""
    policy = spec_of(pod).get("restartPolicy", "Always")
    if policy == "Never" and _init_failed(pod, facts):
        return "Failed"
    if not _is_initialized(pod, facts):
        return "Pending"
    if any(isinstance(record.state, Waiting) and not record.has_ended for record in facts.main):
        return "Pending"
    exits = [record.latest_exit for record in facts.main if record.has_ended]
    if len(exits) < len(facts.main) or policy == "Always":
        return "Running"
    failed = any(ended is not None and ended.exit_code != 0 for ended in exits)
    if not failed:
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def final_phase(facts: PodFacts) -> str:
    """Return the phase of a pod whose containers the node has stopped for good."""
    exits = [record.latest_exit for record in facts.main]
    return "Succeeded" if all(ended is not None and ended.exit_code == 0 for ended in exits) else "Failed"


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> JsonObject:
    """Return the fields of `new` that differ from `old`: the body of a merge patch."""
    return {name: value for name, value in new.items() if old.get(name) != value}


def unschedulable_condition(pod: JsonObject, message: str, now: datetime) -> list[JsonObject]:
    """Return the pod's conditions with PodScheduled=False added, the others as they are."""
    verdict = _Verdict("PodScheduled", ok=False, reason="Unschedulable", message=message)
    return _merge(status_of(pod).get("conditions") or [], [verdict], now)


@dataclass(frozen=True)
class _Verdict:
    kind: str
    ok: bool
    reason: str = ""
    message: str = ""


def _conditions(pod: JsonObject, facts: PodFacts, phase: str, now: datetime) -> list[JsonObject]:
    initialized = _is_initialized(pod, facts)
    done = phase in {"Succeeded", "Failed"}
    sidecars = [
        record
        for record, container in zip(facts.init, entries(spec_of(pod), "initContainers"), strict=True)
        if is_sidecar(container)
    ]
    unready = [record.name for record in (*sidecars, *facts.main) if not record.ready]
    reason = "PodCompleted" if phase == "Succeeded" else "ContainersNotReady"
    message = "" if done else f"containers with unready status: [{' '.join(unready)}]"
    containers = _Verdict("ContainersReady", not unready and not done, reason, message)
    pending = [record.name for record in facts.init if not record.has_ended and not record.started]
    verdicts = [
        _Verdict("PodScheduled", ok=True),
        _Verdict("PodReadyToStartContainers", ok=bool(facts.pod_ip) and not done),
        _Verdict(
            "Initialized",
            initialized,
            "ContainersNotInitialized",
            f"containers with incomplete status: [{' '.join(pending)}]",
        ),
        containers,
        _pod_ready(pod, containers),
    ]
    return _merge(status_of(pod).get("conditions") or [], verdicts, now)


def _pod_ready(pod: JsonObject, containers: _Verdict) -> _Verdict:
    """Return the Ready condition: ready containers and every readiness gate's condition true."""
    true = {
        condition["type"] for condition in entries(status_of(pod), "conditions") if condition.get("status") == "True"
    }
    gates = [gate["conditionType"] for gate in entries(spec_of(pod), "readinessGates")]
    closed = [gate for gate in gates if gate not in true]
    if containers.ok and closed:
        message = f"corresponding condition of pod readiness gate {closed[0]!r} is not True"
        return _Verdict("Ready", ok=False, reason="ReadinessGatesNotReady", message=message)
    return _Verdict("Ready", containers.ok, containers.reason, containers.message)


def _merge(existing: Sequence[Mapping[str, Any]], verdicts: Sequence[_Verdict], now: datetime) -> list[JsonObject]:
    """Return our conditions, with new times only where a status changed, and everyone else's untouched."""
    before = {condition["type"]: condition for condition in existing}
    ours = []
    for verdict in verdicts:
        status = "True" if verdict.ok else "False"
        condition: JsonObject = {"type": verdict.kind, "status": status, "lastProbeTime": None}
        if not verdict.ok and verdict.reason:
            condition |= {"reason": verdict.reason, "message": verdict.message}
        old = before.pop(verdict.kind, {})
        same = old.get("status") == status and "lastTransitionTime" in old
        condition["lastTransitionTime"] = old["lastTransitionTime"] if same else timestamp(now)
        ours.append(condition)
    return [*ours, *(dict(condition) for condition in before.values())]


def _is_initialized(pod: JsonObject, facts: PodFacts) -> bool:
    """Say whether each init container has succeeded, or has started where it is a sidecar."""
    containers = entries(spec_of(pod), "initContainers")
    return all(
        record.started or record.has_ended if is_sidecar(container) else record.succeeded
        for container, record in zip(containers, facts.init, strict=True)
    )


def _init_failed(pod: JsonObject, facts: PodFacts) -> bool:
    containers = entries(spec_of(pod), "initContainers")
    return any(
        isinstance(record.state, Terminated) and record.state.exit_code != 0
        for container, record in zip(containers, facts.init, strict=True)
        if not is_sidecar(container)
    )
