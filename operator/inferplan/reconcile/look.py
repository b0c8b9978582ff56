"""What one look at an instance gave, as far as it came: the input of conditions, status and plans. Pure."""

from dataclasses import dataclass

from inferplan.api.analysis import Analysis
from inferplan.api.conditions import Status
from inferplan.api.instance import InstanceSpec
from inferplan.api.reasons import Reason
from inferplan.engine.planner import Outcome
from inferplan.observe.gather import Gathered
from inferplan.observe.target import TargetError
from inferplan.reconcile.instance import Instance, Key


@dataclass(frozen=True)
class Finding:
    """One aspect: whether it holds, why, and a sentence for people."""

    status: Status
    reason: Reason
    message: str

    @property
    def holds(self) -> bool:
        """Whether it is surely so."""
        return self.status is Status.TRUE


@dataclass(frozen=True)
class Look:
    """One look.

    Attributes:
        instance: The instance.
        target: Whether the workload was read.
        metrics: Whether it was measured.
        problem: What keeps the spec itself from being used, or None.
        gathered: What was read; None when the look failed.
        outcome: What the engine decided; None when it was not asked.
        shared_with: Other instances that name the same workload.
        analysis: What limits the instance and whether its targets hold; None when the look failed.
    """

    instance: Instance
    target: Finding
    metrics: Finding
    problem: Finding | None = None
    gathered: Gathered | None = None
    outcome: Outcome | None = None
    analysis: Analysis | None = None
    shared_with: tuple[Key, ...] = ()

    @property
    def spec(self) -> InstanceSpec | None:
        """The spec, where it can be used."""
        return self.instance.spec if isinstance(self.instance.spec, InstanceSpec) else None

    @property
    def args_digest(self) -> str | None:
        """Digest of the engine's present arguments; None where no workload was read."""
        return self.gathered.args_digest if self.gathered is not None else None

    @property
    def complete(self) -> bool:
        """Whether nothing is missing that somebody has to supply."""
        asked_for_metrics = self.metrics.status is not Status.UNKNOWN
        return (
            self.problem is None
            and self.target.status is not Status.FALSE
            and (self.metrics.holds or not asked_for_metrics)
        )

    @property
    def contradictory(self) -> str | None:
        """What was measured and cannot be true; None where all can."""
        if self.gathered is None:
            return None
        found = next(iter(self.gathered.measured.metrics.contradictory().items()), None)
        return f"{found[0]}: {found[1].reason}" if found is not None else None

    @property
    def settled(self) -> bool:
        """Whether another look makes sense only when something changes; a spec must be changed by its owner."""
        return self.complete or (self.problem is not None and self.problem.reason is Reason.SPEC_INVALID)


def invalid_spec(instance: Instance, message: str) -> Look:
    """The spec cannot be used, so nothing was looked at."""
    unknown = Finding(Status.UNKNOWN, Reason.SPEC_INVALID, "not looked at: the spec cannot be used")
    return Look(instance, unknown, unknown, Finding(Status.FALSE, Reason.SPEC_INVALID, message))


def no_target(instance: Instance, error: TargetError) -> Look:
    """The workload cannot be used, so nothing was measured."""
    unknown = Finding(Status.UNKNOWN, Reason.WAITING, "not looked at: the workload could not be read")
    return Look(instance, Finding(Status.FALSE, error.reason, error.message), unknown)


def seen(instance: Instance, gathered: Gathered, outcome: Outcome, analysis: Analysis) -> Look:
    """The instance was read; a start of the engine that could not be read leaves it without a plan."""
    target = _target(gathered)
    readable = target.status is not Status.FALSE
    return Look(
        instance=instance,
        target=target,
        metrics=_metrics(instance, gathered),
        problem=_model_problem(gathered),
        gathered=gathered,
        outcome=outcome if readable else None,
        analysis=analysis,
    )


def _model_problem(gathered: Gathered) -> Finding | None:
    if gathered.model_problem is None:
        return None
    return Finding(Status.FALSE, Reason.MODEL_CONFIG_MISSING, gathered.model_problem)


def _target(gathered: Gathered) -> Finding:
    workload = gathered.workload
    if workload is None:
        return Finding(Status.UNKNOWN, Reason.NO_TARGET, "the spec names no workload; the plan rests on the spec alone")
    assembled = gathered.assembled
    place = f'{workload.kind} "{workload.name}", container "{workload.container.name}"'
    if assembled.unread is not None:
        return Finding(Status.FALSE, Reason.ARGUMENTS_UNREADABLE, f"{place}: {assembled.unread.reason}")
    unreadable = (f"not readable: {entry.reason}" for entry in assembled.unreadable)
    remarks = (*gathered.notes, *assembled.notes, *unreadable)
    pods = f"{len(gathered.pods)} ready pods" if len(gathered.pods) != 1 else "1 ready pod"
    return Finding(Status.TRUE, Reason.TARGET_FOUND, "; ".join((f"{place}, {pods}", *remarks)))


def _metrics(instance: Instance, gathered: Gathered) -> Finding:
    problem = gathered.measured.problem
    spec = instance.spec
    if problem is None:
        of_pods = f" of {len(gathered.pods)} ready pods" if gathered.workload is not None else " replicas"
        return Finding(Status.TRUE, Reason.METRICS_FOUND, f"series of {gathered.measured.replicas}{of_pods}")
    asked = isinstance(spec, InstanceSpec) and (spec.target_ref is not None or spec.metrics.selector)
    return Finding(Status.FALSE if asked else Status.UNKNOWN, problem.code, problem.reason)
