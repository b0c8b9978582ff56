"""A Git repository in memory beside the workload of `application.Stage`: pull requests, and what deploys the branch."""

from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.application import OLD, Stage, digest, plan_spec

from inferplan.api.apply import GitStrategy
from inferplan.api.attempt import PullStatus
from inferplan.api.plan import PlanSpec, PlanStatus
from inferplan.apply.case import Act, Case, ClosePull, Propose
from inferplan.apply.through_git import InGit, recorded
from inferplan.dialects.container import Container

GIT = {"repository": "https://git.example/team/apps", "path": "llama.yaml"}
COMMIT = "c0ffee" * 6


def git_apply(**git: Any) -> dict[str, Any]:
    return {"mode": "GitOps", "git": {**GIT, **git}}


@dataclass
class GitStage(Stage):
    """The same, through Git.

    Attributes:
        file: What the branch that is deployed says.
        pulls: Pull requests by branch, with what each would make of the file.
        commits: What was committed, in order.
        closed_with: Comments of pull requests that were closed by the operator.
        deploys: Whether the branch comes to the workload.
    """

    plan: PlanSpec = field(default_factory=plan_spec)
    apply: dict[str, Any] = field(default_factory=git_apply)
    file: Container = OLD
    pulls: dict[str, tuple[PullStatus, Container]] = field(default_factory=dict)
    commits: list[Container] = field(default_factory=list)
    proposals: list[Propose] = field(default_factory=list)
    closed_with: list[str] = field(default_factory=list)
    deploys: bool = True

    def case(self) -> Case:
        case = super().case()
        attempt, rollback = case.status.attempt, case.status.rollback
        notes = (rollback.git if rollback is not None else None, attempt.git if attempt is not None else None)
        note = next((entry for entry in notes if entry is not None), None)
        found = self.pulls.get(note.branch) if note is not None else None
        return replace(case, pull=found[0]) if found is not None else case

    def do(self, act: Act) -> None:
        if isinstance(act, Propose):
            self.propose(act)
        elif isinstance(act, ClosePull):
            self.closed_with.append(act.comment)
            if act.branch in self.pulls:
                self.decide("closed", self.pulls[act.branch][0].number)
        else:
            super().do(act)

    def propose(self, act: Propose) -> None:
        """Idempotent, as the real one is: an open pull request of that branch is taken as it is."""
        case = self.case()
        self.proposals.append(act)
        assert digest(act.before) == digest(self.file)
        if act.strategy is GitStrategy.COMMIT:
            self.file = act.after
            self.commits.append(act.after)
            found = InGit("main", COMMIT, None)
        else:
            number = len(self.pulls) + 1
            url = f"https://git.example/team/apps/pulls/{number}"
            held = self.pulls.setdefault(act.branch, (PullStatus(number=number, url=url, state="open"), act.after))
            found = InGit(act.branch, COMMIT, held[0])
        self.status = PlanStatus.from_kube(recorded(case, found, undo=act.undo).to_kube())

    def decide(self, state: str, number: int = 0) -> None:
        """Somebody merges, or closes, the latest pull request or the one of that number."""
        branch = next(name for name, (pull, _) in reversed(self.pulls.items()) if number in {0, pull.number})
        pull, after = self.pulls[branch]
        self.pulls[branch] = (pull.model_copy(update={"state": state}), after)
        if state == "merged":
            self.file = after
            self.commits.append(after)

    def roll(self) -> None:
        if self.deploys and self.container is not None and digest(self.container) != digest(self.file):
            self.put(self.file)
        super().roll()
