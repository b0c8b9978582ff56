"""Brings what a plan's step asks for to Git, and what Git says to the plan. No decisions."""

import logging

from inferplan.api.attempt import GitStatus, PullStatus
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.apply.case import Case, ClosePull, Propose
from inferplan.apply.refusal import refused
from inferplan.apply.through_git import OPEN, InGit, recorded
from inferplan.gitops.port import GitHost, GitOpsError, Proposal, PullRequest

logger = logging.getLogger(__name__)


class Delivery:
    """Plans in Git.

    Args:
        host: The repositories that the administrator allows.
    """

    def __init__(self, host: GitHost) -> None:
        self._host = host

    async def pull(self, case: Case) -> PullStatus | None:
        """What Git says now of the pull request that is open; None where none is, or Git does not say."""
        note, git = _open_note(case.status), case.apply.git
        if note is None or note.pull_request is None or git is None:
            return None
        try:
            found = await self._host.look(case.namespace, git, note.pull_request.number)
        except GitOpsError as error:
            logger.warning("pull request of plan %s: %s", case.name, error, extra={"namespace": case.namespace})
            return None
        return _status_of(found)

    async def propose(self, case: Case, act: Propose) -> PlanStatus:
        """The plan's status once Git has the change, or with why it has not."""
        git = act.git.model_copy(update={"strategy": act.strategy})
        try:
            found = await self._host.propose(case.namespace, git, _proposal(case, act))
        except GitOpsError as error:
            return refused(case, error.reason, error.message, passes=error.passes)
        pull = None if found.pull_request is None else _status_of(found.pull_request)
        return recorded(case, InGit(found.branch, found.commit, pull), undo=act.undo)

    async def close(self, case: Case, act: ClosePull) -> bool:
        """Whether the pull request is closed, or never will be."""
        try:
            await self._host.close(case.namespace, act.git, act.number, act.comment)
        except GitOpsError as error:
            logger.warning("pull request of plan %s: %s", case.name, error, extra={"namespace": case.namespace})
            return not error.passes
        return True


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
