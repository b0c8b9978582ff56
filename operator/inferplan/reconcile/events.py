"""Events for people, on transitions only; the same transition has the same name and is never posted twice. Pure."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.api.conditions import Condition, Status
from inferplan.api.kinds import API_VERSION, INFERENCE_INSTANCE, OPTIMIZATION_PLAN
from inferplan.api.plan import Phase
from inferplan.api.reasons import ConditionType, Reason
from inferplan.reconcile.application import Advanced
from inferplan.reconcile.instance import Instance
from inferplan.reconcile.plans import Steps

COMPONENT = "inferplan"
_MESSAGE_LENGTH = 1000  # the API server takes 1024
_NAME_MAX = 253 - 17
_TOLD = (ConditionType.READY, ConditionType.TARGET_RESOLVED, ConditionType.METRICS_AVAILABLE, ConditionType.SLOS_MET)
"""Conditions whose turn to False is news. PlanCurrent follows from them."""


@dataclass(frozen=True)
class PlanRef:
    """A plan that stands.

    Attributes:
        name: Its name.
        uid: Its identity, by which `kubectl describe` finds its events.
    """

    name: str
    uid: str


@dataclass(frozen=True)
class Note:
    """One event.

    Attributes:
        reason: Its reason.
        message: Its sentence.
        warning: Warning rather than Normal.
        since: What the transition left: with it, reason and message the event is told apart from a later one.
        plan: The plan that it is about, which it is posted on too; None for the instance alone.
    """

    reason: Reason
    message: str
    warning: bool
    since: str
    plan: PlanRef | None = None


def condition_notes(before: Iterable[Condition], after: Iterable[Condition]) -> tuple[Note, ...]:
    """A note for each condition that is newly False, or False for another reason."""
    old = {condition.type: condition for condition in before}
    return tuple(
        _condition_note(condition, old.get(condition.type))
        for condition in after
        if condition.type in _TOLD and _is_news(condition, old.get(condition.type))
    )


def _is_news(new: Condition, old: Condition | None) -> bool:
    if new.status is not Status.FALSE or new.reason == Reason.WAITING:
        return False
    return old is None or old.status is not Status.FALSE or old.reason != new.reason


def _condition_note(new: Condition, old: Condition | None) -> Note:
    since = f"{old.status} {old.reason} {old.last_transition_time}" if old is not None else ""
    return Note(Reason(new.reason), new.message, warning=True, since=since)


def plan_notes(steps: Steps, changes: str, stamp: str, uids: Mapping[str, str]) -> tuple[Note, ...]:
    """Notes about plans that came, came back or went.

    Args:
        steps: What was done.
        changes: What the plan that came changes.
        stamp: Tells one revival from the next.
        uids: metadata.uid of the plans by name.
    """
    plans = {name: PlanRef(name, uid) for name, uid in uids.items()}
    notes: list[Note] = []
    if steps.propose is not None:
        reason = Reason.PLAN_REVIVED if steps.revived else Reason.PLAN_PROPOSED
        since, about = stamp if steps.revived else "", plans.get(steps.propose)
        notes.append(Note(reason, f"{steps.propose}: {changes}", warning=False, since=since, plan=about))
    notes += [
        Note(Reason.PLAN_SUPERSEDED, f"{name}: {steps.why}", warning=False, since=stamp, plan=plans.get(name))
        for name in steps.supersede
    ]
    return tuple(notes)


_OF_PHASE = {
    Phase.SCHEDULED: Reason.PLAN_WAITS,
    Phase.CANARY: Reason.PLAN_TRIED,
    Phase.APPLYING: Reason.PLAN_APPLYING,
    Phase.ROLLING_OUT: Reason.PLAN_APPLIED,
    Phase.VERIFYING: Reason.PLAN_MEASURED,
    Phase.VERIFIED: Reason.PLAN_VERIFIED,
    Phase.ROLLING_BACK: Reason.PLAN_UNDONE,
    Phase.ROLLED_BACK: Reason.PLAN_RESTORED,
    Phase.REJECTED: Reason.PLAN_REJECTED,
    Phase.FAILED: Reason.PLAN_FAILED,
}
_WARNINGS = frozenset({Phase.ROLLING_BACK, Phase.FAILED})


def phase_notes(plan: PlanRef, advanced: Advanced) -> tuple[Note, ...]:
    """A note when a plan came into another phase."""
    status = advanced.status
    reason = _OF_PHASE.get(status.phase)
    if reason is None or status.phase is advanced.before:
        return ()
    number = status.attempt.number if status.attempt is not None else 0
    since = f"{plan.name} {number} {advanced.before}"
    warning = status.phase in _WARNINGS
    return (Note(reason, f"{plan.name}: {status.message}", warning=warning, since=since, plan=plan),)


def event_bodies(instance: Instance, note: Note, now: str) -> tuple[Mapping[str, Any], ...]:
    """The core/v1 Events: on the instance, which is where its owner looks, and on the plan that it is about."""
    about = [(INFERENCE_INSTANCE.kind, instance.key.name, instance.uid)]
    if note.plan is not None:
        about.append((OPTIMIZATION_PLAN.kind, note.plan.name, note.plan.uid))
    return tuple(_event_body(instance.key.namespace, kind, name, uid, note, now) for kind, name, uid in about)


def _event_body(namespace: str, kind: str, name: str, uid: str, note: Note, now: str) -> Mapping[str, Any]:
    identity = f"{uid}\n{note.reason}\n{note.message}\n{note.since}"
    digest = hashlib.sha256(identity.encode()).hexdigest()
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{name[:_NAME_MAX].rstrip('-.')}.{digest[:16]}",
            "namespace": namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": kind,
            "namespace": namespace,
            "name": name,
            "uid": uid,
        },
        "type": "Warning" if note.warning else "Normal",
        "reason": note.reason,
        "message": note.message[:_MESSAGE_LENGTH],
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
