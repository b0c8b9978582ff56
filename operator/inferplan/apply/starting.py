"""A plan that waits: for a person, for a gate, or for its turn. Pure."""

from dataclasses import replace

from inferplan.api.apply import ApplyMode
from inferplan.api.attempt import AttemptStatus, RollbackStatus
from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.baseline import with_baseline
from inferplan.apply.canary import DropCanary, begun, passed, trying
from inferplan.apply.case import Case, Said, Step, attempt_of, moved, rejected
from inferplan.apply.gates import closed_gate, kept_still, passed_lately
from inferplan.apply.live import Live
from inferplan.apply.pulls import begun_in_git
from inferplan.dialects.container import Container
from inferplan.domain.units import timestamp
from inferplan.engine.identity import args_digest

WAITING = frozenset({Phase.PROPOSED, Phase.AWAITING_APPROVAL, Phase.SCHEDULED})


def waiting(case: Case) -> Step:
    """The next step of a plan that was not applied."""
    if case.plan.approval is not None and not case.plan.approval.approved:
        return Step(rejected(case))
    case = replace(case, status=with_baseline(case))
    return held_back(case) or _scheduled(case)


def held_back(case: Case) -> Step | None:
    """Where a plan waits that may not be begun, or, having been begun, may not be written; None where it may.

    Between the two there may be hours, as where the operator was away, or a canary was measured.
    """
    if case.mode is ApplyMode.OFF:
        return Step(moved(case, Phase.PROPOSED, "Waits for a person; nothing is applied (spec.apply.mode is Off)."))
    if not _is_approved(case):
        return Step(_awaiting(case))
    closed = closed_gate(case)
    if closed is None:
        return None
    said = Said(PlanConditionType.GATES_PASSED, Status.FALSE, closed.reason, closed.message)
    return Step(
        moved(case, Phase.SCHEDULED, f"Waits: {closed.message}.", _approved(case), said), again_at=closed.again_at
    )


def _is_approved(case: Case) -> bool:
    approval = case.plan.approval
    by_person = approval is not None and approval.approved and approval.plan_hash == case.plan.plan_hash
    return by_person or case.by_pull_request or (case.by_itself and not needs_a_person(case.plan))


def needs_a_person(plan: PlanSpec) -> str:
    """What the plan takes from clients, or risks of the answers: never done without a person's word; "" for nothing."""
    taken = [entry.title for entry in plan.optimizations if entry.capability_loss or entry.accuracy_risk]
    return f"it may take something from clients, or change answers ({'; '.join(taken)})" if taken else ""


def _awaiting(case: Case) -> PlanStatus:
    why = needs_a_person(case.plan) if case.by_itself else "spec.apply.mode is Approve"
    message = f"A person has to approve it: {why}."
    said = Said(PlanConditionType.APPROVED, Status.FALSE, Reason.AWAITING_APPROVAL, message)
    return moved(case, Phase.AWAITING_APPROVAL, message, said)


def _approved(case: Case) -> Said:
    approval = case.plan.approval
    if approval is not None and approval.approved:
        return Said(PlanConditionType.APPROVED, Status.TRUE, Reason.APPROVED_BY_PERSON, approval.told)
    why = f"spec.apply.mode is {case.mode}, and the plan takes nothing from clients"
    if case.by_pull_request:
        why = "spec.apply.mode is GitOps: whoever merges the pull request decides"
    return Said(PlanConditionType.APPROVED, Status.TRUE, Reason.APPROVED_BY_POLICY, why)


def _scheduled(case: Case) -> Step:
    live, wanted = case.live, case.wanted
    if live is None or live.container is None or wanted is None:  # the gates let none through: this is for the types
        raise AssertionError(f'OptimizationPlan "{case.name}": the gates passed what cannot be written')
    if case.apply.canary and not case.by_pull_request and not passed_lately(case):
        return Step(begun(case, _approved(case), _gates_passed()), again_at=case.now)
    return Step(_begun(case, live, live.container, wanted, _approved(case), _gates_passed()), again_at=case.now)


def trying_canary(case: Case) -> Step:
    """The canary goes on, or has passed: then it is taken away, and the workload's turn is, if nothing came between."""
    unwanted = case.mode is ApplyMode.OFF or not _is_approved(case)
    held = held_back(case) if unwanted or (kept_still(case) and case.beside.live is None) else None
    step = trying(case, held)
    if step is not None:
        return step
    after = replace(case, status=passed(case))
    held = held_back(after)
    if held is not None:
        return replace(held, act=DropCanary(case.canary.name))
    live, wanted = case.live, case.wanted
    if live is None or live.container is None or wanted is None:  # trying() has said so already: this is for the types
        raise AssertionError(f'OptimizationPlan "{case.name}": the canary passed what cannot be written')
    return Step(_begun(after, live, live.container, wanted), DropCanary(case.canary.name), case.now)


def _gates_passed() -> Said:
    return Said(
        PlanConditionType.GATES_PASSED, Status.TRUE, Reason.ALL_GATES_PASSED, "nothing kept it from being applied"
    )


def _begun(case: Case, live: Live, old: Container, wanted: Container, *said: Said) -> PlanStatus:
    """Everything that is needed to go on or back is written before the workload is touched."""
    number = max(case.status.attempt.number if case.status.attempt is not None else 0, attempt_of(live, case.name)) + 1
    attempt = AttemptStatus(
        number=number,
        started_at=timestamp(case.now),
        target_uid=live.uid,
        applied_digest=args_digest(wanted.command, wanted.args),
        git=begun_in_git(case),
    )
    rollback = RollbackStatus(command=old.command, args=old.args, owners=live.argument_owners)
    return moved(
        case,
        Phase.APPLYING,
        "The plan is written into the workload." if case.through_git is None else "The plan is written into Git.",
        *said,
        Said(PlanConditionType.APPLIED, Status.UNKNOWN, Reason.WRITING, "about to be written"),
        attempt=attempt,
        rollback=rollback,
        retry_at=None,
    )
