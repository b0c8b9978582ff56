"""What is known when a plan's next step is decided, and what a step is. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from inferplan.api.apply import ApplyMode, ApplySpec, GitSpec, GitStrategy
from inferplan.api.attempt import AttemptStatus, CanaryStatus, FieldOwner, PullStatus, RollbackStatus, WindowStatus
from inferplan.api.conditions import Condition, Status, set_condition
from inferplan.api.instance import InstanceSpec
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.live import Live
from inferplan.apply.pods import PodState
from inferplan.dialects.container import Container
from inferplan.domain.owner import Owner
from inferplan.domain.units import timestamp

MESSAGE_LENGTH = 4000

ELSEWHERE = "the instance names another workload now (spec.targetRef)"
"""What was measured since is of that one, and says nothing of the plan."""

LOOK_SECONDS = 5
"""While something moves, it is looked at this often, watch or not."""

_DIGITS_MOST = 10

UNDECIDED_SECONDS = 86_400
"""A day has all loads: what could not be judged in it is not judged any more."""


@dataclass(frozen=True)
class Beside:
    """A canary as it stands: one replica with the plan beside the workload's own.

    Attributes:
        live: Its Deployment; None where there is none.
        pods: Its pods.
        window: What was measured of it.
        others: What was measured of the workload's own replicas in the same time.
    """

    live: Live | None = None
    pods: tuple[PodState, ...] = ()
    window: WindowStatus | None = None
    others: WindowStatus | None = None


@dataclass(frozen=True)
class Case:
    """One plan at one moment.

    Attributes:
        namespace: Where the plan, its instance and its workload are.
        name: The plan's name.
        generation: Its metadata.generation.
        instance: The instance's spec.
        instance_generation: metadata.generation of the instance.
        plan: What was decided.
        status: What became of it until now.
        live: The workload; None where it does not exist.
        wanted: The engine's container with the plan; None where it cannot be written.
        pods: The workload's pods.
        owners: Who else keeps the workload as it is.
        window: What was measured over the last `apply.verify.windowSeconds`; None where nothing was.
        paused: Why nothing is to be changed at all; "" where something may.
        disruption: Why a disruption budget lets no pod go; "" where it does, or there is none.
        busy: The plan that changes a workload of the same model now; "" where none does.
        rests_until: When the instance's cool-down ends; None where it rests not.
        pull: What Git says now of the pull request that the status names; None where it names none, or Git is silent.
        git_silent: Why Git could not be asked; "" where it was, or nothing is to be asked.
        taken_back: Whether the branch that is deployed had the plan, and says again what was before.
        beside: The canary; nothing where none is wanted.
        shared_with: Another instance that names the same workload; "" where none does.
        elsewhere: Whether the instance names another workload by now than the one that the plan is for.
        model: What the workload serves; workloads of one model are changed one at a time.
        lag_seconds: How old measurements may be.
        failed_before: Why the same change was rolled back before, on the same image, model and GPU; "" where not.
        now: The present time.
    """

    namespace: str
    name: str
    generation: int
    instance: InstanceSpec
    plan: PlanSpec
    status: PlanStatus
    live: Live | None
    wanted: Container | None
    now: datetime
    pods: tuple[PodState, ...] = ()
    owners: tuple[Owner, ...] = ()
    window: WindowStatus | None = None
    paused: str = ""
    disruption: str = ""
    busy: str = ""
    rests_until: datetime | None = None
    failed_before: str = ""
    pull: PullStatus | None = None
    git_silent: str = ""
    taken_back: bool = False
    beside: Beside = Beside()
    instance_generation: int = 0
    shared_with: str = ""
    elsewhere: bool = False
    model: str = ""
    lag_seconds: float = 0.0

    @property
    def apply(self) -> ApplySpec:
        """The owner's wishes."""
        return self.instance.apply

    @property
    def mode(self) -> ApplyMode:
        """How plans are applied."""
        return self.instance.apply.mode

    @property
    def through_git(self) -> GitSpec | None:
        """Where plans go to instead of to the workload; None where they are written into the workload."""
        return self.apply.git if self.mode is ApplyMode.GITOPS else None

    @property
    def by_pull_request(self) -> bool:
        """Whether a person merges it, and so decides that it is done, and when."""
        git = self.through_git
        return git is not None and git.strategy is GitStrategy.PULL_REQUEST

    @property
    def void(self) -> str:
        """Why the workload is not what the plan was made for any more; "" while it is."""
        live, target = self.live, self.plan.target
        if self.elsewhere:
            return ELSEWHERE
        if live is None or live.container is None or target is None:
            return "the workload, or its engine's container, does not exist any more"
        if live.args_digest != target.args_digest:
            return "the workload runs other arguments than those that the plan was made for"
        if target.image not in {None, live.container.image}:
            return "the workload runs another image than the one that the plan was made for"
        return ""

    @property
    def by_itself(self) -> bool:
        """Whether a plan may be applied without anybody's word: Auto, or commits to the branch that is deployed."""
        return self.mode is ApplyMode.AUTO or (self.through_git is not None and not self.by_pull_request)

    @property
    def attempt(self) -> AttemptStatus:
        """The try that runs.

        Raises:
            ValueError: None does; the status was written by somebody else.
        """
        if self.status.attempt is None:
            raise ValueError(f'OptimizationPlan "{self.name}": status.phase is {self.status.phase} without an attempt')
        return self.status.attempt

    @property
    def canary(self) -> CanaryStatus:
        """The canary that runs.

        Raises:
            ValueError: None does; the status was written by somebody else.
        """
        if self.status.canary is None:
            raise ValueError(f'OptimizationPlan "{self.name}": status.phase is {self.status.phase} without a canary')
        return self.status.canary

    @property
    def rollback(self) -> RollbackStatus:
        """What to restore.

        Raises:
            ValueError: Nothing is noted; the status was written by somebody else.
        """
        if self.status.rollback is None:
            raise ValueError(f'OptimizationPlan "{self.name}": status.phase is {self.status.phase} without a rollback')
        return self.status.rollback

    def since(self, moment: str | None) -> timedelta:
        """Time that has passed since a moment of the status; none where there is no such moment."""
        return self.now - datetime.fromisoformat(moment) if moment is not None else timedelta()


class Act:
    """What is done to the workload, or to a lease."""


@dataclass(frozen=True)
class Write(Act):
    """The container's command and args are to be these.

    Attributes:
        container: The engine's container as it is to be.
        attempt: Value of ATTEMPT_ANNOTATION.
        resource_version: The workload is written only if this is still its version.
        undo: Whether these are the arguments from before.
    """

    container: Container
    attempt: str
    resource_version: str
    undo: bool = False


@dataclass(frozen=True)
class HandBack(Act):
    """What was forced over others for a plan that is undone belongs to them again.

    Attributes:
        container: Name of the engine's container.
        owners: Who owned its command and args before the plan.
    """

    container: str
    owners: tuple[FieldOwner, ...]


@dataclass(frozen=True)
class Propose(Act):
    """The manifest in Git is to say other arguments.

    Attributes:
        git: Where it is.
        branch: Branch for the change, where it is proposed.
        strategy: How it reaches the branch that is deployed.
        before: The engine's container as the manifest must have it.
        after: As it is to have it.
        title: First line of the commit, and the pull request's title.
        body: The rest, in Markdown.
        undo: Whether these are the arguments from before.
    """

    git: GitSpec
    branch: str
    strategy: GitStrategy
    before: Container
    after: Container
    title: str
    body: str
    undo: bool = False


@dataclass(frozen=True)
class ClosePull(Act):
    """A pull request that is not wanted any more is closed.

    Attributes:
        git: Where it is.
        branch: Its branch.
        number: Its number; None where it may be there, and was not noted.
        url: Its page, "" where it was not noted.
        comment: Why.
    """

    git: GitSpec
    branch: str
    number: int | None
    url: str
    comment: str


@dataclass(frozen=True)
class Step:
    """What follows.

    Attributes:
        status: The plan's status from now on; written before anything is done.
        act: What is done then; None where there is nothing.
        again_at: When to look again at the latest; None: with the next change, or resync.
    """

    status: PlanStatus
    act: Act | None = None
    again_at: datetime | None = None


@dataclass(frozen=True)
class Said:
    """One condition."""

    kind: PlanConditionType
    status: Status
    reason: Reason
    message: str


def moved(case: Case, phase: Phase, message: str, *said: Said, **fields: object) -> PlanStatus:
    """The status in a phase, with conditions set and fields changed."""
    conditions = case.status.conditions
    for entry in said:
        conditions = set_condition(
            conditions,
            Condition(
                type=entry.kind,
                status=entry.status,
                reason=entry.reason,
                message=entry.message[:MESSAGE_LENGTH],
                last_transition_time=timestamp(case.now),
                observed_generation=case.generation,
            ),
        )
    update = {
        "observed_generation": case.generation,
        "phase": phase,
        "message": message[:MESSAGE_LENGTH],
        "conditions": conditions,
        **fields,
    }
    return case.status.model_copy(update=update)


def attempt_id(case: Case, number: int) -> str:
    """Names one try of one plan: the annotation that the workload carries."""
    return f"{case.name}.{number}"


def attempt_of(live: Live, name: str) -> int:
    """Number of the last try of a plan of that name that wrote to the workload; 0 where none did.

    A plan that is deleted and made anew has the same name, and is not to take its namesake's writing for its own.
    """
    plan, _, number = live.attempt.rpartition(".")
    return int(number) if plan == name and number.isascii() and number.isdigit() and len(number) < _DIGITS_MOST else 0


def rejected(case: Case) -> PlanStatus:
    """A person's no to what the workload does not carry."""
    why = case.plan.approval.told if case.plan.approval is not None else "somebody rejected it"
    said = Said(PlanConditionType.APPROVED, Status.FALSE, Reason.REJECTED_BY_PERSON, why)
    return moved(case, Phase.REJECTED, f"Rejected: {why}.", said)
