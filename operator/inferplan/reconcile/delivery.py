"""Brings what a plan's step asks for to Git, and what Git says to the plan. No decisions."""

import logging
from dataclasses import dataclass, replace
from datetime import timedelta

from inferplan.api.apply import GitSpec
from inferplan.api.attempt import GitStatus, PullStatus
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.apply.case import Case, ClosePull, Propose
from inferplan.apply.pull_text import plain
from inferplan.apply.pulls import OPEN
from inferplan.apply.refusal import refused
from inferplan.apply.through_git import TAKEN_BACK_SECONDS, InGit, is_elsewhere, recorded
from inferplan.gitops.port import GitHost, GitOpsError, Proposal, PullRequest, PullState

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Closing:
    """How closing a pull request went.

    Attributes:
        done: Whether it is closed, or never will be.
        why: Why it is not closed; "" where it is.
    """

    done: bool
    why: str = ""


class Delivery:
    """Plans in Git.

    Args:
        host: The repositories that the administrator allows.
    """

    def __init__(self, host: GitHost) -> None:
        self._host = host

    async def told(self, case: Case) -> Case:
        """With what Git says now of the plan, or why it says nothing."""
        try:
            return replace(case, pull=await self._pull(case), taken_back=await self._taken_back(case))
        except GitOpsError as error:
            logger.warning("pull request of plan %s: %s", case.name, error, extra={"namespace": case.namespace})
            return replace(case, git_silent=error.message)

    async def _pull(self, case: Case) -> PullStatus | None:
        """The pull request that is open as far as is known.

        One that was closed counts as merged where the branch says the change: somebody picked or squashed it by hand.
        """
        note, git = _open_note(case.status), case.apply.git
        if note is None or note.pull_request is None or git is None or is_elsewhere(case, note):
            return None
        found = await self._host.look(case.namespace, git, note.pull_request.number)
        if found.state is PullState.CLOSED and await self._says(case, git):
            found = replace(found, state=PullState.MERGED)
        return _status_of(found)

    async def _taken_back(self, case: Case) -> bool:
        """Whether the branch that had the change says again what was before, long after it could have been deployed."""
        note, git = None if case.status.attempt is None else case.status.attempt.git, case.apply.git
        if case.status.phase is not Phase.APPLYING or note is None or git is None or is_elsewhere(case, note):
            return False
        if note.merged_at is None or case.since(note.merged_at) < timedelta(seconds=TAKEN_BACK_SECONDS):
            return False
        return await self._says(case, git) is False

    async def _says(self, case: Case, git: GitSpec) -> bool | None:
        """Whether the branch says what the plan, or its undoing, asks for; None for neither that nor the old."""
        live, new = case.live, case.wanted
        if live is None or live.container is None or new is None:
            return None
        old = replace(new, command=case.rollback.command, args=case.rollback.args)
        ends = (new, old) if case.status.phase is Phase.ROLLING_BACK else (old, new)
        act = Propose(git, "", git.strategy, *ends, title="", body="")
        return await self._host.says(case.namespace, git, _proposal(case, act))

    async def propose(self, case: Case, act: Propose) -> PlanStatus:
        """The plan's status once Git has the change, or with why it has not."""
        git = act.git.model_copy(update={"strategy": act.strategy})
        try:
            found = await self._host.propose(case.namespace, git, _proposal(case, act))
        except GitOpsError as error:
            return refused(case, error.reason, error.message, passes=error.passes)
        pull = None if found.pull_request is None else _status_of(found.pull_request)
        return recorded(case, InGit(found.branch, found.commit, pull), undo=act.undo)

    async def close(self, case: Case, act: ClosePull) -> Closing:
        """Closes a pull request; one that was merged a moment ago is for the next look, which sees it."""
        try:
            state = await self._host.close(case.namespace, act.git, act.branch, act.number, plain(act.comment))
        except GitOpsError as error:
            logger.warning("pull request of plan %s: %s", case.name, error, extra={"namespace": case.namespace})
            return Closing(done=not error.passes, why=error.message)
        return Closing(done=state is not PullState.MERGED or act.number is None)


def _proposal(case: Case, act: Propose) -> Proposal:
    target = _target(case.plan)
    return Proposal(
        namespace=case.namespace,
        kind=target[0],
        name=target[1],
        container=target[2],
        branch=act.branch,
        title=act.title,
        body=act.body,
        before=act.before,
        after=act.after,
        trailers=(("InferPlan-Plan", f"{case.namespace}/{case.name}"), ("InferPlan-Plan-Hash", case.plan.plan_hash)),
    )


def _target(plan: PlanSpec) -> tuple[str, str, str]:
    if plan.target is None:
        raise AssertionError("a plan without a workload is never proposed: the gates let none through")
    return plan.target.kind, plan.target.name, plan.target.container


def _open_note(status: PlanStatus) -> GitStatus | None:
    """What is in Git and not decided: undoing, where that was begun."""
    found = {
        Phase.APPLYING: None if status.attempt is None else status.attempt.git,
        Phase.ROLLING_BACK: None if status.rollback is None else status.rollback.git,
    }
    note = found.get(status.phase)
    if note is None or note.pull_request is None or note.pull_request.state != OPEN:
        return None
    return note


def _status_of(found: PullRequest) -> PullStatus:
    return PullStatus(number=found.number, url=found.url, state=found.state)
