"""A plan that is undone: what was there is written back, and that is watched too. Pure."""

from dataclasses import replace
from datetime import datetime, timedelta

from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import LOOK_SECONDS, MESSAGE_LENGTH, Case, HandBack, Said, Step, Write, attempt_id, moved
from inferplan.apply.gates import kept_still
from inferplan.apply.live import Live
from inferplan.apply.ownership import owned_by_us
from inferplan.apply.refusal import AWAY_SECONDS
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
    asked = (Said(PlanConditionType.APPROVED, Status.FALSE, Reason.REJECTED_BY_PERSON, why),)
    aspect = PlanConditionType.VERIFIED if case.status.phase is Phase.VERIFYING else PlanConditionType.ROLLED_OUT
    status = moved(
        case,
        Phase.ROLLING_BACK,
        f"Undone: {why}.",
        Said(aspect, Status.FALSE, reason, why),
        Said(PlanConditionType.ROLLED_BACK, Status.UNKNOWN, Reason.RESTORING, "the arguments from before are written"),
        *(asked if reason is Reason.ROLLBACK_ASKED else ()),
        rollback=rollback,
        failures=0,
        retry_at=None,
        **fields,
    )
    return Step(status, again_at=case.now)


def rolling_back(case: Case) -> Step:
    """What was there is there again and runs, or is written, or somebody else wrote something.

    A plan that only the branch has may come to the workload at any moment: it is taken back there all the same.
    """
    live = case.live
    if live is None or live.uid != case.attempt.target_uid or live.container is None:
        return Step(_failed(case, Reason.TARGET_GONE, "the workload does not exist any more"))
    before = args_digest(case.rollback.command, case.rollback.args)
    unshown = case.attempt.git is not None and case.attempt.patched_at is None
    if live.args_digest == before and not unshown:
        return _restored(case, live) if live.rolled_out else _watched(case)
    if live.args_digest not in {before, case.attempt.applied_digest}:
        return Step(
            _failed(case, Reason.CHANGED_BY_OTHER, "somebody changed the arguments meanwhile; they are left alone")
        )
    held = _not_now(case, before)
    if held is not None:
        return held
    if case.attempt.git is not None:
        return undoing(_shown(case, live))
    old = replace(live.container, command=case.rollback.command, args=case.rollback.args)
    write = Write(old, attempt_id(case, case.attempt.number), live.resource_version, undo=True)
    return Step(case.status, write, case.now + timedelta(seconds=LOOK_SECONDS))


def _not_now(case: Case, before: str) -> Step | None:
    """Why nothing is written: never, or not yet."""
    target, again = case.plan.target, case.now + timedelta(seconds=LOOK_SECONDS)
    if target is None or before != target.args_digest:  # a plan's spec cannot be changed, its status can
        why = "status.rollback does not hold the arguments that the plan was made for; restore them by hand"
        return Step(_failed(case, Reason.ROLLBACK_FAILED, why))
    if case.status.failures >= TRIES_MOST:
        return Step(_failed(case, Reason.ROLLBACK_FAILED, f"{TRIES_MOST} writes failed: {case.status.message}"))
    still = kept_still(case)
    if still:  # the harm goes on, and who paused it has been told so
        message = f"It is to be undone ({case.rollback.message}), and waits: {still}."
        return Step(moved(case, Phase.ROLLING_BACK, message), again_at=again)
    return Step(case.status, again_at=again) if _pauses(case) else None


def _pauses(case: Case) -> bool:
    """Whether the API server, or Git, refused it just now; a time that lies further ahead is of a clock that jumped."""
    until = case.status.retry_at
    return until is not None and case.now < datetime.fromisoformat(until) <= case.now + timedelta(seconds=AWAY_SECONDS)


def _shown(case: Case, live: Live) -> Case:
    """Noted that the workload carried the plan, if only after it was to be undone."""
    if case.attempt.patched_at is not None or live.args_digest != case.attempt.applied_digest:
        return case
    attempt = case.attempt.model_copy(update={"patched_at": timestamp(case.now)})
    return replace(case, status=case.status.model_copy(update={"attempt": attempt}))


def _watched(case: Case) -> Step:
    """Pods come back with what they ran before; that takes as long as a start takes, once it is written.

    A pull request that takes it back may have been merged days after it was opened.
    """
    again = case.now + timedelta(seconds=LOOK_SECONDS)
    if case.rollback.patched_at is None:
        rollback = case.rollback.model_copy(update={"patched_at": timestamp(case.now)})
        return Step(case.status.model_copy(update={"rollback": rollback}), again_at=again)
    most = 2 * case.apply.rollout_timeout_seconds
    if case.since(case.rollback.patched_at) > timedelta(seconds=most):
        why = f"the old arguments are written, and not all pods run them after {most} s"
        return Step(_failed(case, Reason.ROLLBACK_FAILED, why))
    return Step(case.status, again_at=again)


def _restored(case: Case, live: Live) -> Step:
    git = delivered(case, case.rollback.git)
    rollback = case.rollback.model_copy(update={"restored_at": timestamp(case.now), "git": git})
    why = "all pods run the arguments from before"
    said = Said(PlanConditionType.ROLLED_BACK, Status.TRUE, Reason.RESTORED, why)
    applied = Said(PlanConditionType.APPLIED, Status.FALSE, Reason.RESTORED, why)
    message = f"Undone, {why}: {case.rollback.message}."
    status = moved(case, Phase.ROLLED_BACK, message, said, applied, rollback=rollback)
    if live.container is None or not owned_by_us(live.argument_owners):
        return Step(status)
    return Step(status, HandBack(live.container.name, case.rollback.owners))


def _failed(case: Case, reason: Reason, why: str) -> PlanStatus:
    said = Said(PlanConditionType.ROLLED_BACK, Status.FALSE, reason, why)
    return moved(case, Phase.FAILED, f"It was to be undone ({case.rollback.message}), but {why}.", said)
