"""A plan that is undone: what was there is written back, and that is watched too. Pure."""

from dataclasses import replace
from datetime import timedelta

from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import LOOK_SECONDS, MESSAGE_LENGTH, Case, Said, Step, Write, attempt_id, moved
from inferplan.apply.through_git import delivered, undoing
from inferplan.domain.units import timestamp
from inferplan.engine.identity import args_digest

TRIES_MOST = 5
"""Writes that may fail before a person is called."""


def undo(case: Case, reason: Reason, why: str, **fields: object) -> Step:
    """The plan did harm, or a person wants it undone: noted first, written with the next look."""
    rollback = case.rollback.model_copy(
        update={"reason": reason, "message": why[:MESSAGE_LENGTH], "started_at": timestamp(case.now)}
    )
    aspect = PlanConditionType.VERIFIED if case.status.phase is Phase.VERIFYING else PlanConditionType.ROLLED_OUT
    status = moved(
        case,
        Phase.ROLLING_BACK,
        f"Undone: {why}.",
        Said(aspect, Status.FALSE, reason, why),
        Said(PlanConditionType.ROLLED_BACK, Status.UNKNOWN, Reason.RESTORING, "the arguments from before are written"),
        rollback=rollback,
        failures=0,
        **fields,
    )
    return Step(status, again_at=case.now)


def rolling_back(case: Case) -> Step:
    """What was there is there again and runs, or is written, or somebody else wrote something."""
    live = case.live
    if live is None or live.uid != case.attempt.target_uid or live.container is None:
        return Step(_failed(case, Reason.TARGET_GONE, "the workload does not exist any more"))
    before = args_digest(case.rollback.command, case.rollback.args)
    if live.args_digest == before:
        return _restored(case) if live.rolled_out else _watched(case)
    if live.args_digest != case.attempt.applied_digest:
        return Step(
            _failed(case, Reason.CHANGED_BY_OTHER, "somebody changed the arguments meanwhile; they are left alone")
        )
    if case.status.failures >= TRIES_MOST:
        return Step(_failed(case, Reason.ROLLBACK_FAILED, f"{TRIES_MOST} writes failed: {case.status.message}"))
    if case.attempt.git is not None:
        return undoing(case)
    old = replace(live.container, command=case.rollback.command, args=case.rollback.args)
    write = Write(old, attempt_id(case, case.attempt.number), live.resource_version, undo=True)
    return Step(case.status, write, case.now + timedelta(seconds=LOOK_SECONDS))


def _watched(case: Case) -> Step:
    """Pods come back with what they ran before; that takes as long as a start takes."""
    most = timedelta(seconds=2 * case.apply.rollout_timeout_seconds)
    if case.since(case.rollback.started_at) > most:
        why = f"the old arguments are written, and not all pods run them after {most.seconds} s"
        return Step(_failed(case, Reason.ROLLBACK_FAILED, why))
    return Step(case.status, again_at=case.now + timedelta(seconds=LOOK_SECONDS))


def _restored(case: Case) -> Step:
    git = delivered(case, case.rollback.git)
    rollback = case.rollback.model_copy(update={"restored_at": timestamp(case.now), "git": git})
    said = Said(PlanConditionType.ROLLED_BACK, Status.TRUE, Reason.RESTORED, "all pods run the arguments from before")
    message = f"Undone, all pods run the arguments from before: {case.rollback.message}."
    return Step(moved(case, Phase.ROLLED_BACK, message, said, rollback=rollback))


def _failed(case: Case, reason: Reason, why: str) -> PlanStatus:
    said = Said(PlanConditionType.ROLLED_BACK, Status.FALSE, reason, why)
    return moved(case, Phase.FAILED, f"It was to be undone ({case.rollback.message}), but {why}.", said)
