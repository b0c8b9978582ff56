"""Git and its forge in memory: one file, one branch that is deployed, pull requests."""

from dataclasses import dataclass, field, replace

from inferplan.api.apply import GitSpec, GitStrategy
from inferplan.dialects.container import Container
from inferplan.gitops.port import GitOpsError, Proposal, Proposed, PullRequest, PullState

COMMIT = "c0ffee" * 6


@dataclass
class FakeGitHost:
    """Implements GitHost.

    Attributes:
        pulls: Pull requests by branch.
        commits: What the branch that is deployed got, in order.
        asked: Proposals, in order.
        comments: With what pull requests were closed.
        fails: What every call raises; None where nothing fails.
        says_it: What the branch that is deployed says, if asked.
        meanwhile: What somebody makes of a pull request just before it is closed.
    """

    pulls: dict[str, PullRequest] = field(default_factory=dict)
    commits: list[Container] = field(default_factory=list)
    asked: list[Proposal] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    fails: GitOpsError | None = None
    says_it: bool | None = False
    meanwhile: PullState | None = None

    async def propose(self, namespace: str, git: GitSpec, proposal: Proposal) -> Proposed:
        self._check()
        assert namespace == proposal.namespace
        self.asked.append(proposal)
        if git.strategy is GitStrategy.COMMIT:
            self.commits.append(proposal.after)
            return Proposed(git.branch, COMMIT, None)
        number = len(self.pulls) + 1
        url = f"https://git.example/pulls/{number}"
        pull = self.pulls.setdefault(proposal.branch, PullRequest(number, url, PullState.OPEN))
        return Proposed(proposal.branch, COMMIT, pull)

    async def look(self, namespace: str, git: GitSpec, number: int) -> PullRequest:
        del namespace, git
        self._check()
        return next(pull for pull in self.pulls.values() if pull.number == number)

    async def close(self, namespace: str, git: GitSpec, branch: str, number: int | None, comment: str) -> PullState:
        del namespace, git
        self._check()
        pull = self.pulls.get(branch)
        if pull is None:
            return PullState.CLOSED
        assert number in {None, pull.number}
        if self.meanwhile is not None:
            self.decide(self.meanwhile, pull.number)
            return self.meanwhile
        self.comments.append(comment)
        self.decide(PullState.CLOSED, pull.number)
        return PullState.CLOSED

    async def says(self, namespace: str, git: GitSpec, proposal: Proposal) -> bool | None:
        del git
        self._check()
        assert namespace == proposal.namespace
        return self.says_it

    def decide(self, state: PullState, number: int = 1) -> None:
        """Somebody merges or closes a pull request."""
        branch = next(name for name, pull in self.pulls.items() if pull.number == number)
        self.pulls[branch] = replace(self.pulls[branch], state=state)

    def _check(self) -> None:
        if self.fails is not None:
            raise self.fails
