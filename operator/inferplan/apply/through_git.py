"""A plan that goes through Git: proposed, merged by a person or committed, shown by the workload; and back. Pure.

Git is not watched for what is deployed: the workload itself says when the change is there. A pull request that is
closed without being merged is a person's no. Once the change is on the branch that is deployed, it can come to the
workload at any moment: from then on a plan is not just given up, but taken back.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from inferplan.api.apply import GitSpec, GitStrategy
from inferplan.api.attempt import AttemptStatus, GitStatus, PullStatus
from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.baseline import with_baseline
from inferplan.apply.case import MESSAGE_LENGTH, Case, ClosePull, Propose, Said, Step, moved, rejected
from inferplan.apply.pull_text import body, branch_name, title, undo_body, undo_title
from inferplan.apply.pulls import CLOSED, MERGED, OPEN, WITHDRAWN
from inferplan.apply.starting import held_back
from inferplan.dialects.container import Container
from inferplan.domain.units import timestamp

LOOK_SECONDS = 30
"""A pull request is looked at this often at first."""

LOOK_LATER_SECONDS = 300
"""And later: forges limit the requests of a token (GitHub: 5,000 an hour), and the workload itself tells at once."""

FRESH_SECONDS = 3600
"""A pull request is fresh so long."""

TAKEN_BACK_SECONDS = 300
"""What is on the branch for so long and on no workload is looked for on the branch again: each time a fetch."""

DELIVERY_SECONDS = 86_400
"""What is on the branch for a day and on no workload is not deployed from there."""


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
    note, _ = _seen(case, note)
    if note.merged_at is not None:
        return _deploying(case, note)
    git = case.through_git
    if case.plan.approval is not None and not case.plan.approval.approved:
        return withdrawn(case, rejected(case))
    if case.void:
        return withdrawn(case, _superseded(case, _sentence(case.void)))
    if git is None:
        message = "spec.apply is not GitOps any more, while the plan was on its way through Git."
        return withdrawn(case, _superseded(case, message, Reason.NOT_APPLICABLE))
    if _is_elsewhere(git, note):
        message = f"It is proposed in {note.repository}, and spec.apply.git names another repository now."
        return withdrawn(case, _superseded(case, message, Reason.NOT_APPLICABLE))
    if note.pull_request is not None and not note.branch.startswith(branch_name(case, git)):
        message = "It is proposed for another file than the one that spec.apply.git.path names now."
        return withdrawn(case, _superseded(case, message, Reason.NOT_APPLICABLE))
    case = replace(case, status=with_baseline(case))
    if note.commit is None:
        return _proposed_now(case, git, case.wanted)
    return _awaited(case, note)


def _sentence(why: str) -> str:
    return f"{why[:1].upper()}{why[1:]}."


def _superseded(case: Case, message: str, reason: Reason = Reason.TARGET_CHANGED) -> PlanStatus:
    """Not wanted as it is; the next look may want it again, and then proposes it anew."""
    return _ended(case, Phase.SUPERSEDED, reason, message)


def is_elsewhere(case: Case, note: GitStatus) -> bool:
    """Whether the change is in another repository than the one that spec.apply.git names now."""
    return case.apply.git is None or _is_elsewhere(case.apply.git, note)


def _is_elsewhere(git: GitSpec, note: GitStatus) -> bool:
    return note.repository not in {None, git.repository}


def _proposed_now(case: Case, git: GitSpec, wanted: Container | None) -> Step:
    live, note = case.live, case.attempt.git
    if live is None or live.container is None or wanted is None:
        why = "Left alone: the arguments cannot be edited with certainty any more."
        return Step(_ended(case, Phase.FAILED, Reason.NOT_APPLICABLE, why))
    held = held_back(case)
    if held is not None:
        return held
    branch = branch_name(case, git) if note is None else note.branch
    act = Propose(git, branch, git.strategy, live.container, wanted, title(case), body(case))
    return Step(case.status, act, case.now + timedelta(seconds=LOOK_SECONDS))


def _awaited(case: Case, note: GitStatus) -> Step:
    """It is proposed: a person merges or closes it."""
    pull = note.pull_request
    if pull is None:
        raise ValueError(f'OptimizationPlan "{case.name}": status.attempt.git has a commit that nothing proposes')
    if pull.state == CLOSED:
        why = f"pull request {pull.number} was closed without being merged"
        said = Said(PlanConditionType.APPROVED, Status.FALSE, Reason.PULL_REQUEST_CLOSED, why)
        return Step(moved(case, Phase.REJECTED, f"Rejected: {why}.", said, attempt=_with(case, note)))
    message = f"Proposed: {pull.url}. It is applied when somebody merges it, and rejected when somebody closes it."
    if case.git_silent:
        message += f" What became of it is not known now: {case.git_silent}."
    return Step(_waits(case, note, Reason.PULL_REQUEST_OPEN, message), again_at=_later(case, case.attempt.started_at))


def _deploying(case: Case, note: GitStatus) -> Step:
    """It is on the branch: what deploys from there brings it to the workload, unless it is taken back before."""
    case = replace(case, status=case.status.model_copy(update={"attempt": _with(case, note)}))
    live, target = case.live, case.plan.target
    if live is None or target is None or live.args_digest != target.args_digest:
        return Step(_superseded(case, _sentence(case.void)))
    if case.taken_back:
        why = (
            "no workload showed the change, and the branch says again what was before: taken back, or merged elsewhere"
        )
        return Step(_ended(case, Phase.FAILED, Reason.REVERTED_BY_OTHER, f"Left alone: {why}."))
    if case.since(note.merged_at) >= timedelta(seconds=DELIVERY_SECONDS):
        why = f"the change is on the branch since {note.merged_at}, and the workload never showed it: is it deployed"
        return Step(_ended(case, Phase.FAILED, Reason.NOT_DELIVERED, f"Given up: {why} from there?"))
    case = replace(case, status=with_baseline(case))
    message = f"The change is on the branch (commit {(note.commit or '')[:12]}); the workload does not show it yet."
    return Step(_waits(case, note, Reason.COMMITTED, message), again_at=_later(case, note.merged_at))


def _later(case: Case, since: str | None) -> datetime:
    fresh = case.since(since) < timedelta(seconds=FRESH_SECONDS)
    return case.now + timedelta(seconds=LOOK_SECONDS if fresh else LOOK_LATER_SECONDS)


def undoing(case: Case) -> Step:
    """The branch says the plan, which is to be undone: that is brought to Git, or looked for there."""
    git, live, undo = case.apply.git, case.live, case.rollback.git
    again = case.now + timedelta(seconds=LOOK_SECONDS)
    shown = live is not None and live.args_digest == case.attempt.applied_digest
    new = live.container if live is not None and shown else case.wanted
    if git is None or new is None:
        why = "spec.apply.git is gone: put the old arguments back by hand (status.rollback has them)"
        return Step(_not_undone(case, why))
    if undo is None or undo.commit is None:
        return _undone_now(case, git, new)
    undo, pull = _seen(case, undo)
    if pull is not None and pull.state == CLOSED:
        return Step(_not_undone(case, f"pull request {pull.number}, which takes it back, was closed"))
    rollback = case.rollback.model_copy(update={"git": undo})
    if undo.merged_at is not None and not shown:
        why = f"{case.rollback.message}; it was taken back on the branch before any workload showed it"
        said = Said(PlanConditionType.APPROVED, Status.FALSE, Reason.REJECTED_BY_PERSON, why)
        return Step(moved(case, Phase.REJECTED, f"Rejected: {why}.", said, rollback=rollback))
    message = f"{_where_undone(case, undo)} {case.rollback.message}."
    said = Said(PlanConditionType.ROLLED_BACK, Status.UNKNOWN, Reason.RESTORING, message)
    return Step(moved(case, Phase.ROLLING_BACK, message, said, rollback=rollback), again_at=again)


def _undone_now(case: Case, git: GitSpec, new: Container) -> Step:
    old = replace(new, command=case.rollback.command, args=case.rollback.args)
    texts = (undo_title(case), undo_body(case, case.rollback.message))
    branch = branch_name(case, git, undo=True)
    act = Propose(git, branch, git.undo_strategy, new, old, *texts, undo=True)
    return Step(case.status, act, case.now + timedelta(seconds=LOOK_SECONDS))


def _where_undone(case: Case, undo: GitStatus) -> str:
    pull = undo.pull_request
    if undo.merged_at is not None:
        return f"Undone on the branch (commit {(undo.commit or '')[:12]}); the workload does not show it yet."
    silent = f" What became of it is not known now: {case.git_silent}." if case.git_silent else ""
    return f"Taking it back is proposed, merge it: {pull.url if pull is not None else undo.branch}.{silent}"


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
        repository=None if case.apply.git is None else case.apply.git.repository,
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


def on_branch(case: Case) -> bool:
    """Whether the branch that is deployed has the plan, and the workload, unchanged, does not show it yet."""
    attempt, live, target = case.status.attempt, case.live, case.plan.target
    if case.status.phase is not Phase.APPLYING or attempt is None or attempt.git is None or attempt.git.commit is None:
        return False
    unchanged = live is not None and target is not None and live.args_digest == target.args_digest
    return unchanged and not case.taken_back and _seen(case, attempt.git)[0].merged_at is not None


def _seen(case: Case, note: GitStatus) -> tuple[GitStatus, PullStatus | None]:
    """With what Git says now of the pull request."""
    pull = case.pull if case.pull is not None else note.pull_request
    merged = note.merged_at
    if note.commit is None:
        return note, pull
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
    if note is None or git is None or _is_elsewhere(git, note):
        return Step(_left_open(status, note))
    pull = case.pull if case.pull is not None else note.pull_request
    if pull is None:  # it may have been proposed in the moment before this one, and not been noted
        lost = git.strategy is GitStrategy.PULL_REQUEST and note.commit is None
        return Step(status, ClosePull(git, note.branch, None, "", status.message) if lost else None)
    if pull.state != OPEN:
        return Step(status)
    if status.phase is Phase.SUPERSEDED and status.attempt is not None:
        ours = pull.model_copy(update={"state": WITHDRAWN})
        git_note = note.model_copy(update={"pull_request": ours})
        status = status.model_copy(
            update={"attempt": status.attempt.model_copy(update={"git": git_note})},
        )
    return Step(status, ClosePull(git, note.branch, pull.number, pull.url, status.message))


def not_closed(status: PlanStatus, url: str, why: str) -> PlanStatus:
    """How the plan ends where its pull request could not be closed."""
    where = url or "its pull request"
    message = f"{status.message} {where} could not be closed ({why}): close it, lest somebody merges it."
    return status.model_copy(update={"message": message[:MESSAGE_LENGTH]})


def _left_open(status: PlanStatus, note: GitStatus | None) -> PlanStatus:
    pull = None if note is None else note.pull_request
    if pull is None or pull.state != OPEN:
        return status
    return not_closed(status, pull.url, "spec.apply.git does not name its repository any more")


def _ended(case: Case, phase: Phase, reason: Reason, message: str, **fields: object) -> PlanStatus:
    return moved(case, phase, message, Said(PlanConditionType.APPLIED, Status.FALSE, reason, message), **fields)


def _not_undone(case: Case, why: str) -> PlanStatus:
    said = Said(PlanConditionType.ROLLED_BACK, Status.FALSE, Reason.ROLLBACK_FAILED, why)
    return moved(case, Phase.FAILED, f"It was to be undone ({case.rollback.message}), but {why}.", said)
