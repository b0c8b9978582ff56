"""What keeps a plan from being applied now, in order: each gate says why, and when to look again. Pure.

Order: what a person must change comes first, then what passes by itself, so that the reason shown is the one that
matters. The first gate that is closed speaks; the last ones are checked on every look again, up to the write itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from inferplan.api.plan import Phase
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import UNDECIDED_SECONDS, Case
from inferplan.apply.verdict import Verdict
from inferplan.apply.windows import closes_at, opens_at, unreadable_window
from inferplan.domain.units import timestamp


@dataclass(frozen=True)
class Closed:
    """A gate that is closed.

    Attributes:
        reason: Its code.
        message: Why, and what would open it.
        again_at: When it may open by itself; None where that is not known.
    """

    reason: Reason
    message: str
    again_at: datetime | None = None


def closed_gate(case: Case) -> Closed | None:
    """The first gate that is closed; None where the plan may be applied, or proposed in Git, now."""
    gates = PROPOSAL_GATES if case.by_pull_request else GATES
    return next((found for gate in gates if (found := gate(case)) is not None), None)


def _not_applicable(case: Case) -> Closed | None:
    patch = case.plan.patch
    if case.plan.target is None or patch is None:
        return Closed(
            Reason.NOT_APPLICABLE, "the spec names no workload (targetRef), so there is nothing to write into"
        )
    if not patch.applicable or (case.wanted is None and case.live is not None):
        return Closed(
            Reason.NOT_APPLICABLE, f"{patch.reason or 'the arguments cannot be edited with certainty'}: do it by hand"
        )
    return None


def _failed_before(case: Case) -> Closed | None:
    return Closed(Reason.FAILED_BEFORE, case.failed_before) if case.failed_before else None


def _target_changed(case: Case) -> Closed | None:
    """The plan holds for exactly these arguments and this image."""
    if case.live is None and not case.elsewhere:
        return Closed(Reason.TARGET_GONE, "the workload does not exist")
    return Closed(Reason.TARGET_CHANGED, case.void) if case.void else None


def _shared(case: Case) -> Closed | None:
    """Each would change what the other measures, and rest only after its own changes."""
    if not case.shared_with:
        return None
    why = f'InferenceInstance "{case.shared_with}" names the same workload, and only one of them can be its own'
    return Closed(
        Reason.TARGET_SHARED, f"{why}: delete one, or let it name another container (spec.targetRef.container)"
    )


def kept_still(case: Case) -> str:
    """Why nothing may be changed at all, there or back, until somebody takes it away; "" where something may."""
    if not case.paused and case.live is not None and case.live.paused_by_owner:
        return "the workload's annotation inferplan.dev/paused is set"
    return case.paused


def passed_lately(case: Case) -> bool:
    """Whether a canary of this plan has passed in the last day: none has to again."""
    canary = case.status.canary
    if canary is None or canary.verification is None or canary.verification.verdict != Verdict.KEEP:
        return False
    return timedelta() <= case.since(canary.ready_at) < timedelta(seconds=UNDECIDED_SECONDS)


def _paused(case: Case) -> Closed | None:
    why = kept_still(case)
    if why:
        return Closed(Reason.PAUSED, why)
    if case.live is not None and case.live.rollout_paused:
        return Closed(Reason.PAUSED, "the workload's rollout is paused (spec.paused): resume it")
    return None


def _does_not_roll(case: Case) -> Closed | None:
    if case.live is None or case.live.rolls:
        return None
    why = "its updateStrategy is OnDelete, or has a partition: pods keep the old arguments until a person replaces them"
    return Closed(Reason.DOES_NOT_ROLL, why)


def _canary(case: Case) -> Closed | None:
    if not case.apply.canary or case.live is None or case.live.kind == "Deployment":
        return None
    return Closed(Reason.CANARY_IMPOSSIBLE, f"apply.canary works with Deployments, not with a {case.live.kind}")


def _git_ops(case: Case) -> Closed | None:
    """A tool that puts back what Git says, or a controller that owns the workload."""
    keeper = next((owner for owner in case.owners if owner.reconciles and owner.owned != "replicas"), None)
    if keeper is None or case.apply.allow_under_git_ops or case.through_git is not None:
        return None
    return Closed(
        Reason.GIT_OPS_MANAGED,
        f"{keeper.name} keeps this workload as its source has it ({keeper.basis}) and would take the change back:"
        " use apply.mode GitOps, or make it ignore the arguments and set apply.allowUnderGitOps",
    )


def _rolling(case: Case) -> Closed | None:
    if case.live is None or case.live.rolled_out:
        return None
    live = case.live
    return Closed(
        Reason.ROLLOUT_IN_PROGRESS,
        f"{live.updated} of {live.replicas} pods run the present template, {live.available} are available"
        + (f"; {live.stuck}" if live.stuck else ""),
    )


def _baseline(case: Case) -> Closed | None:
    """By itself nothing is changed that could not be judged afterwards; a person may want it all the same."""
    enough = case.status.baseline is not None and case.status.baseline.requests >= case.apply.verify.min_requests
    if enough or not case.by_itself:
        return None
    return Closed(
        Reason.BASELINE_MISSING,
        f"no window with {case.apply.verify.min_requests} requests (apply.verify.minRequests) was measured since the"
        " plan was made, so what follows could not be held against anything",
    )


def _window(case: Case) -> Closed | None:
    """A canary begins inside a window; how long it is measured is not the window's matter: what was begun goes on."""
    windows = case.apply.maintenance_windows
    begun = case.status.phase in {Phase.CANARY, Phase.APPLYING} and passed_lately(case)
    if begun:
        return None
    unread = unreadable_window(windows)
    if unread is not None:
        return Closed(Reason.OUTSIDE_WINDOW, unread)
    if not windows or closes_at(windows, case.now) is not None:
        return None
    opening = opens_at(windows, case.now)
    when = f"; the next one opens at {timestamp(opening)}" if opening is not None else ""
    return Closed(Reason.OUTSIDE_WINDOW, f"no maintenance window is open{when}", opening)


def _cool_down(case: Case) -> Closed | None:
    until = case.rests_until
    if until is None or until <= case.now:
        return None
    return Closed(
        Reason.COOLING_DOWN, f"the last change was less than its cool-down ago, until {timestamp(until)}", until
    )


def _back_off(case: Case) -> Closed | None:
    """After a failure; an owner who changed the instance may have mended what it was."""
    if case.status.refused_generation not in {None, case.instance_generation}:
        return None
    if case.status.retry_at is None or (until := datetime.fromisoformat(case.status.retry_at)) <= case.now:
        return None
    failed = next((entry for entry in case.status.conditions if entry.type == PlanConditionType.APPLIED), None)
    reason, why = (failed.reason, failed.message) if failed is not None else (Reason.BACKING_OFF, "a try failed")
    return Closed(Reason(reason), f"{why}; tried again at {timestamp(until)}", until)


def _disruption(case: Case) -> Closed | None:
    """Only where the rollout itself takes pods down before others are ready; else no budget is touched."""
    if not case.disruption or case.live is None or not case.live.takes_down:
        return None
    return Closed(Reason.DISRUPTION_BUDGET, case.disruption)


def _busy(case: Case) -> Closed | None:
    if not case.busy:
        return None
    return Closed(Reason.GROUP_BUSY, f"{case.busy} changes a workload of the same model, or this one: one at a time")


GATES: tuple[Callable[[Case], Closed | None], ...] = (
    _not_applicable,
    _failed_before,
    _target_changed,
    _shared,
    _paused,
    _does_not_roll,
    _canary,
    _git_ops,
    _rolling,
    _baseline,
    _window,
    _cool_down,
    _back_off,
    _disruption,
    _busy,
)
"""In this order."""

PROPOSAL_GATES: tuple[Callable[[Case], Closed | None], ...] = (
    _not_applicable,
    _failed_before,
    _target_changed,
    _shared,
    _paused,
    _does_not_roll,
    _cool_down,
    _back_off,
)
"""Before a pull request: whoever merges it decides when pods are replaced. It rests all the same: right after a plan
that was undone nobody wants to review the next."""
