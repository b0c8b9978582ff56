"""From a look and the plan that holds to the instance's conditions. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from inferplan.api.conditions import Condition, Status, set_condition
from inferplan.api.instance_status import LedgerEntry
from inferplan.api.plan import Decision, Phase
from inferplan.api.reasons import ConditionType, Reason
from inferplan.api.values import Confidence
from inferplan.apply.machine import ACTING
from inferplan.diagnose.slo import slo_states
from inferplan.reconcile.look import Finding, Look
from inferplan.reconcile.plans import undecided

_MESSAGE_LENGTH = 4000


@dataclass(frozen=True)
class Held:
    """The plan that holds after this look.

    Attributes:
        name: Its name.
        phase: Its phase.
        gain: spec.summary.gain.
        changes: Settings that change; "" for a plan that was kept.
        confidence: spec.summary.confidence.
        renewed: Whether it follows from this look, rather than from an earlier one.
    """

    name: str
    phase: str
    gain: str
    changes: str
    confidence: str
    renewed: bool


@dataclass(frozen=True)
class Standing:
    """What is to be said about plans: the one that holds, or why it could not be written, and what became of others."""

    held: Held | None = None
    refused: str | None = None
    ledger: tuple[LedgerEntry, ...] = ()


def conditions(look: Look, standing: Standing, stored: Iterable[Any], now: str) -> tuple[Condition, ...]:
    """All six conditions; a transition time stays while its status stays."""
    result = readable(stored)
    for kind, finding in findings(look, standing).items():
        condition = Condition(
            type=kind,
            status=finding.status,
            reason=finding.reason,
            message=finding.message[:_MESSAGE_LENGTH],
            last_transition_time=now,
            observed_generation=look.instance.generation,
        )
        result = set_condition(result, condition)
    return result


def readable(stored: Iterable[Any]) -> tuple[Condition, ...]:
    """The stored conditions of the kinds that are ours; what is garbled is left out."""
    kept: list[Condition] = []
    for entry in stored:
        try:
            condition = Condition.from_kube(entry)
        except ValidationError:
            continue
        if condition.type in set(ConditionType):
            kept.append(condition)
    return tuple(kept)


def findings(look: Look, standing: Standing) -> Mapping[ConditionType, Finding]:
    """What each condition says."""
    return {
        ConditionType.READY: _ready(look),
        ConditionType.TARGET_RESOLVED: look.target,
        ConditionType.METRICS_AVAILABLE: look.metrics,
        ConditionType.SLOS_MET: _slos_met(look),
        ConditionType.PLAN_CURRENT: _plan_current(look, standing),
        ConditionType.LOW_CONFIDENCE: _low_confidence(standing.held),
    }


def _ready(look: Look) -> Finding:
    if look.problem is not None:
        return look.problem
    if look.complete:
        return Finding(Status.TRUE, Reason.PLANNED, "the instance was read and the engine ran")
    first = look.target if look.target.status is Status.FALSE else look.metrics
    return Finding(Status.FALSE, Reason.WAITING, first.message)


def _slos_met(look: Look) -> Finding:
    spec = look.spec
    if spec is not None and not spec.slo:
        return Finding(Status.UNKNOWN, Reason.NO_SLO, "the spec sets no target")
    if spec is None or look.gathered is None:
        return Finding(Status.UNKNOWN, Reason.SLO_UNKNOWN, "nothing was measured")
    states = slo_states(spec.slo, look.gathered.measured.metrics)
    missed = [state.sentence for state in states if state.met is False]
    if missed:
        return Finding(Status.FALSE, Reason.SLO_VIOLATED, "; ".join(missed))
    unknown = [state.sentence for state in states if state.met is None]
    if unknown:
        return Finding(Status.UNKNOWN, Reason.SLO_UNKNOWN, "; ".join(unknown))
    return Finding(Status.TRUE, Reason.SLOS_MET, "; ".join(state.sentence for state in states))


def _plan_current(look: Look, standing: Standing) -> Finding:
    held, why = standing.held, undecided(look)
    if standing.refused is not None:
        return Finding(Status.FALSE, Reason.NO_PLAN, standing.refused)
    if held is not None and held.renewed:
        return Finding(Status.TRUE, Reason.PLAN_WRITTEN, f"{held.name}: {held.changes}{_whereabouts(held)}")
    if held is not None and held.phase in ACTING:
        return Finding(Status.TRUE, Reason.PLAN_WRITTEN, f"{held.name} is on its way{_whereabouts(held)}")
    if held is not None:
        return Finding(Status.FALSE, Reason.PLAN_KEPT, f"{held.name} was not renewed: {why}")
    if why is not None:
        return Finding(Status.FALSE, Reason.NO_PLAN, why)
    judged = judgements(look.outcome.decision) if look.outcome is not None else ""
    return Finding(Status.TRUE, Reason.NOTHING_TO_CHANGE, judged)


def judgements(decision: Decision) -> str:
    """Why each optimizer, or a guard, sees nothing to change; what several say is said once."""
    by_reason: dict[str, list[str]] = {}
    for note in decision.abstentions:
        by_reason.setdefault(note.reason, []).append(note.optimizer)
    abstained = (f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    return "; ".join((*abstained, *(f"{entry.option}: {entry.reason}" for entry in decision.rejected)))


def _whereabouts(held: Held) -> str:
    """Where a plan is on its way, beyond that it was written."""
    return "" if held.phase in {"", Phase.PROPOSED} else f" ({held.phase})"


def _low_confidence(held: Held | None) -> Finding:
    if held is None:
        return Finding(Status.UNKNOWN, Reason.NO_PLAN, "there is no plan")
    if held.confidence == Confidence.LOW:
        return Finding(Status.TRUE, Reason.CONFIDENCE_LOW, "the plan rests on rules of thumb or on little data")
    return Finding(
        Status.FALSE, Reason.CONFIDENCE_FAIR, "the plan rests on measurements, or on what the release is known to do"
    )
