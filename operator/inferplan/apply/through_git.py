"""A plan that goes through Git: proposed, merged by a person or committed, shown by the workload; and back. Pure.

Git is not watched for what is deployed: the workload itself says when the change is there. A pull request that is
closed without being merged is a person's no.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from inferplan.api.apply import GitSpec
from inferplan.api.attempt import AttemptStatus, GitStatus, PullStatus
from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import Case, ClosePull, Propose, Said, Step, moved, rejected
from inferplan.apply.pull_text import body, branch_name, title, undo_body, undo_title
from inferplan.apply.starting import held_back, with_baseline
from inferplan.dialects.container import Container
from inferplan.domain.units import timestamp

LOOK_SECONDS = 30
"""A pull request is looked at this often."""

DELIVERY_SECONDS = 86_400
"""What is on the branch for a day and on no workload is not deployed from there."""

OPEN, MERGED, CLOSED = "open", "merged", "closed"


@dataclass(frozen=True)
class InGit:
    """What Git answered to a proposal.

    Attributes:
        branch: Branch that holds the change.
        commit: The commit with it.
        pull: What proposes it; None where it was committed to the branch that is deployed.
    """

    branch: str
    commit: str
    pull: PullStatus | None


def delivering(case: Case, note: GitStatus) -> Step:
    """The workload does not carry the plan yet: it is brought to Git, or looked for there."""
    git, live, target = case.through_git, case.live, case.plan.target
    if git is None:
        why = "spec.apply is not GitOps any more, while the plan was on its way through Git"
        return withdrawn(case, _ended(case, Phase.FAILED, Reason.NOT_APPLICABLE, f"Left alone: {why}."))
    if case.plan.approval is not None and not case.plan.approval.approved:
        return withdrawn(case, rejected(case))
    if live is None or target is None or live.args_digest != target.args_digest:
        message = "The workload runs other arguments now than those that the plan was made for."
        return withdrawn(case, _ended(case, Phase.SUPERSEDED, Reason.TARGET_CHANGED, message))
    case = replace(case, status=with_baseline(case))  # it may wait for days until somebody merges it
    if note.commit is None:
        return _proposed_now(case, git, case.wanted)
    return _awaited(case, note)


def _proposed_now(case: Case, git: GitSpec, wanted: Container | None) -> Step:
    live = case.live
    if live is None or live.container is None or wanted is None:
        why = "Left alone: the arguments cannot be edited with certainty any more."
        return Step(_ended(case, Phase.FAILED, Reason.NOT_APPLICABLE, why))
    held = held_back(case)
    if held is not None:
        return held
    act = Propose(git, branch_name(case), git.strategy, live.container, wanted, title(case), body(case))
    return Step(case.status, act, case.now + timedelta(seconds=LOOK_SECONDS))


def _awaited(case: Case, note: GitStatus) -> Step:
    """It is in Git: a person merges or closes it, and what deploys brings it to the workload."""
    note, pull = _seen(case, note)
    again = case.now + timedelta(seconds=LOOK_SECONDS)
    if pull is not None and pull.state == CLOSED:
        why = f"pull request {pull.number} was closed without being merged"
        said = Said(PlanConditionType.APPROVED, Status.FALSE, Reason.PULL_REQUEST_CLOSED, why)
        return Step(moved(case, Phase.REJECTED, f"Rejected: {why}.", said, attempt=_with(case, note)))
    if note.merged_at is None and pull is not None:
        message = f"Proposed: {pull.url}. It is applied when somebody merges it, and rejected when somebody closes it."
        return Step(_waits(case, note, Reason.PULL_REQUEST_OPEN, message), again_at=again)
    if case.since(note.merged_at) >= timedelta(seconds=DELIVERY_SECONDS):
        why = f"the change is on the branch since {note.merged_at}, and the workload never showed it: is it deployed"
        message = f"Given up: {why} from there?"
        return Step(_ended(case, Phase.FAILED, Reason.NOT_DELIVERED, message, attempt=_with(case, note)))
    message = f"The change is on the branch (commit {(note.commit or '')[:12]}); the workload does not show it yet."
    return Step(_waits(case, note, Reason.COMMITTED, message), again_at=again)


def undoing(case: Case) -> Step:
    """The workload carries the plan, which is to be undone: that is brought to Git, or looked for there."""
    git, live = case.apply.git, case.live
    again = case.now + timedelta(seconds=LOOK_SECONDS)
    if git is None or live is None or live.container is None:
        why = "spec.apply.git is gone: put the old arguments back by hand (status.rollback has them)"
        return Step(_not_undone(case, why))
    undo = case.rollback.git
    if undo is None or undo.commit is None:
        old = replace(live.container, command=case.rollback.command, args=case.rollback.args)
        texts = (undo_title(case), undo_body(case, case.rollback.message))
        act = Propose(git, branch_name(case, undo=True), git.undo_strategy, live.container, old, *texts, undo=True)
        return Step(case.status, act, again)
    undo, pull = _seen(case, undo)
    if pull is not None and pull.state == CLOSED:
        return Step(_not_undone(case, f"pull request {pull.number}, which takes it back, was closed"))
    where = pull.url if pull is not None else f"commit {undo.commit}"
    message = f"Undone in Git: {where}. {case.rollback.message}."
    said = Said(PlanConditionType.ROLLED_BACK, Status.UNKNOWN, Reason.RESTORING, message)
    rollback = case.rollback.model_copy(update={"git": undo})
    return Step(moved(case, Phase.ROLLING_BACK, message, said, rollback=rollback), again_at=again)


def recorded(case: Case, found: InGit, *, undo: bool) -> PlanStatus:
    """The status once Git has a change.

    Args:
        case: When it was asked for.
        found: What Git answered.
        undo: Whether it takes the plan back.
    """
    merged = found.pull is None or found.pull.state == MERGED
    note = GitStatus(
        branch=found.branch,
        commit=found.commit,
        pull_request=found.pull,
        merged_at=timestamp(case.now) if merged else None,
    )
    if undo:
        update = {"rollback": case.rollback.model_copy(update={"git": note}), "failures": 0}
    else:
        update = {"attempt": _with(case, note), "failures": 0}
    return case.status.model_copy(update=update)


def delivered(case: Case, note: GitStatus | None) -> GitStatus | None:
    """The note once the workload shows the change, which may be before Git was asked again."""
    return note if note is None or note.commit is None else _seen(case, note)[0]


def _seen(case: Case, note: GitStatus) -> tuple[GitStatus, PullStatus | None]:
    """With what Git says now of the pull request."""
    pull = case.pull if case.pull is not None else note.pull_request
    merged = note.merged_at
    if merged is None and (pull is None or pull.state == MERGED):
        merged = timestamp(case.now)
    return note.model_copy(update={"pull_request": pull, "merged_at": merged}), pull


def _with(case: Case, note: GitStatus) -> AttemptStatus:
    return case.attempt.model_copy(update={"git": note})


def _waits(case: Case, note: GitStatus, reason: Reason, message: str) -> PlanStatus:
    said = Said(PlanConditionType.APPLIED, Status.UNKNOWN, reason, message)
    return moved(case, Phase.APPLYING, message, said, attempt=_with(case, note))


def withdrawn(case: Case, status: PlanStatus) -> Step:
    """The plan ends here: nobody should merge it any more.

    Args:
        case: What is known.
        status: How it ends.
    """
    note, git = case.attempt.git, case.apply.git
    pull = case.pull if case.pull is not None or note is None else note.pull_request
    if git is None or pull is None or pull.state != OPEN:
        return Step(status)
    return Step(status, ClosePull(git, pull.number, status.message))


def _ended(case: Case, phase: Phase, reason: Reason, message: str, **fields: object) -> PlanStatus:
    return moved(case, phase, message, Said(PlanConditionType.APPLIED, Status.FALSE, reason, message), **fields)


def _not_undone(case: Case, why: str) -> PlanStatus:
    said = Said(PlanConditionType.ROLLED_BACK, Status.FALSE, Reason.ROLLBACK_FAILED, why)
    return moved(case, Phase.FAILED, f"It was to be undone ({case.rollback.message}), but {why}.", said)
