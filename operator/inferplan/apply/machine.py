"""A plan's next step, from its phase and what is there. Pure.

    Proposed -> AwaitingApproval -> Scheduled (-> Canary) -> Applying -> RollingOut -> Verifying -> Verified
                      |                            |            |           |             |
                   Rejected                   RolledBack     Failed         +-- RollingBack --> RolledBack | Failed

A person's no (spec.approval.approved: false) rejects what was not begun, and undoes what the workload carries, also
when it was kept long ago. Superseded comes from outside: a plan that was not begun gives way to a newer one
(reconcile.plans).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from inferplan.api.plan import Phase
from inferplan.api.reasons import Reason
from inferplan.apply.acting import applying, kept, rolling_out, verifying
from inferplan.apply.case import Case, Step
from inferplan.apply.restoring import rolling_back, undo
from inferplan.apply.starting import trying_canary, waiting
from inferplan.apply.through_git import on_branch

ACTING = frozenset({Phase.CANARY, Phase.APPLYING, Phase.ROLLING_OUT, Phase.VERIFYING, Phase.ROLLING_BACK})
"""Phases in which the workload is, or may be, touched: no other plan of the instance may begin or take its place."""

ENDED = frozenset({Phase.VERIFIED, Phase.ROLLED_BACK, Phase.REJECTED, Phase.SUPERSEDED, Phase.FAILED})
"""Phases in which a plan does nothing by itself any more."""

_UNDOABLE = frozenset({Phase.APPLYING, Phase.ROLLING_OUT, Phase.VERIFYING, Phase.VERIFIED})

_STEPS: Mapping[Phase, Callable[[Case], Step]] = MappingProxyType(
    {
        Phase.PROPOSED: waiting,
        Phase.AWAITING_APPROVAL: waiting,
        Phase.SCHEDULED: waiting,
        Phase.CANARY: trying_canary,
        Phase.APPLYING: applying,
        Phase.ROLLING_OUT: rolling_out,
        Phase.VERIFYING: verifying,
        Phase.VERIFIED: kept,
        Phase.ROLLING_BACK: rolling_back,
    }
)


def next_step(case: Case) -> Step:
    """What follows now; the status stays where nothing does.

    Raises:
        ValueError: The status was written by somebody else and contradicts itself.
    """
    if _asked_back(case):
        return undo(case, Reason.ROLLBACK_ASKED, _asked(case))
    step = _STEPS.get(case.status.phase)
    return step(case) if step is not None else Step(case.status)


def _asked(case: Case) -> str:
    approval = case.plan.approval
    who = approval.by if approval is not None and approval.by else "somebody"
    why = f": {approval.note}" if approval is not None and approval.note else ""
    return f"{who} asked for it{why}"


def _asked_back(case: Case) -> bool:
    """A person's no, where the workload carries the plan, or is about to: before that nothing is begun."""
    approval, live, attempt = case.plan.approval, case.live, case.status.attempt
    if approval is None or approval.approved or case.status.phase not in _UNDOABLE:
        return False
    carries = live is not None and attempt is not None and live.args_digest == attempt.applied_digest
    return (carries or on_branch(case)) and case.status.rollback is not None
