"""What becomes of pull requests, and of which branch one is. Pure."""

from inferplan.api.attempt import GitStatus
from inferplan.apply.case import Case
from inferplan.apply.pull_text import branch_name

OPEN, MERGED, CLOSED, WITHDRAWN = "open", "merged", "closed", "withdrawn"


def begun_in_git(case: Case) -> GitStatus | None:
    """What is noted before anything is pushed; None where the plan is written into the workload.

    A pull request that InferPlan itself closed is not opened again, but another one, of another branch.
    """
    git = case.through_git
    if git is None:
        return None
    own, before = branch_name(case, git), None if case.status.attempt is None else case.status.attempt.git
    branch = before.branch if before is not None and before.branch.startswith(own) else own
    pull = None if before is None else before.pull_request
    if pull is not None and pull.state == WITHDRAWN:
        branch = f"{own}-{pull.number}"
    return GitStatus(branch=branch, repository=git.repository)
