"""What the operator needs of Git and its forges; `host.py` does it over the network, tests in memory."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from inferplan.api.apply import GitSpec
from inferplan.api.reasons import Reason
from inferplan.dialects.container import Container


@dataclass(frozen=True)
class Proposal:
    """A change of one container's words that is to reach a repository.

    Attributes:
        namespace: Namespace of the workload.
        kind: Its kind.
        name: Its name.
        container: Name of its container.
        branch: Branch for the change where it gets one of its own; the same proposal always names the same one.
        title: Title of the pull request, and first line of the commit.
        body: Text of the pull request, and of the commit below its title.
        before: The container as the plan found it.
        after: The container as it shall be; differs from `before` in command and args only.
        trailers: Names and values at the commit's end, such as Plan-UID.
    """

    namespace: str
    kind: str
    name: str
    container: str
    branch: str
    title: str
    body: str
    before: Container
    after: Container
    trailers: tuple[tuple[str, str], ...] = ()


class PullState(StrEnum):
    """What became of a pull request."""

    OPEN = "open"
    MERGED = "merged"
    CLOSED = "closed"


@dataclass(frozen=True)
class PullRequest:
    """A pull request, or GitLab's merge request.

    Attributes:
        number: Its number in the repository.
        url: Its page, for people.
        state: What became of it; closed means without having been merged.
        merge_commit: The commit that it was merged as; "" while it was not, or where the forge does not say.
    """

    number: int
    url: str
    state: PullState
    merge_commit: str = ""


@dataclass(frozen=True)
class Proposed:
    """Where a proposal stands in Git.

    Attributes:
        branch: Branch that has the change.
        commit: Commit on it; of a pull request that is there already, "" where the forge does not say.
        pull_request: The pull request; None where the branch that is deployed from has the change.
    """

    branch: str
    commit: str
    pull_request: PullRequest | None


class GitOpsError(Exception):
    """A proposal cannot reach its repository, or cannot be looked up there.

    Attributes:
        reason: Why, as a code.
        message: Why, in one line for people; holds no secret.
        passes: Whether it may pass by itself, so that trying again later makes sense.
    """

    def __init__(self, reason: Reason, message: str, *, passes: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.passes = passes


class GitHost(Protocol):
    """Repositories and their forges. Every method raises GitOpsError.

    A namespace is where the Secret with the credentials is; it is read each time, and not kept.
    """

    async def propose(self, namespace: str, git: GitSpec, proposal: Proposal) -> Proposed:
        """Brings a proposal into its repository. Done twice, it is there once.

        With strategy PullRequest, a pull request of the proposal's branch is adopted, open, merged or closed; a closed
        one means no, and is never opened again. With strategy Commit, and wherever the branch that is deployed from
        says it already, there is no pull request.
        """
        ...

    async def look(self, namespace: str, git: GitSpec, number: int) -> PullRequest:
        """A pull request as it is now."""
        ...

    async def close(self, namespace: str, git: GitSpec, branch: str, number: int | None, comment: str) -> PullState:
        """Closes a pull request with a comment where it is open; what became of it, closed too where there is none.

        Args:
            namespace: Where its Secret is.
            git: The repository.
            branch: Its branch.
            number: Its number; None where it is not known: then it is found by its branch.
            comment: Why.
        """
        ...

    async def says(self, namespace: str, git: GitSpec, proposal: Proposal) -> bool | None:
        """Whether the branch that is deployed from says what a proposal asks for; None for neither that nor the old."""
        ...
