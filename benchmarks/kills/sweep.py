"""An operator that is killed again and again while it applies plans, and what must hold all the same.

Workloads come in waves, half of them better and half of them worse off with their plans. While a wave is on its way,
the operator is started, killed (SIGKILL) at a random moment, and started again. Then a last one ends what was begun.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kills.lives import Lives
from benchmarks.kills.watching import Watch
from tests.support import operator_process
from tests.support.ground import Ground
from tests.support.lab import random_namespace
from tests.support.operator_process import Operator
from tests.support.trial import ENDED, Trial

from inferplan_lab.processes import wait_until

READY_SECONDS = 60.0
WAVE_SECONDS = 600.0
EARLY_SHARE = 0.2
"""Of the kills, those that come while the operator starts."""


@dataclass(frozen=True)
class Kind:
    """What becomes of a workload with its plan.

    Attributes:
        name: In the workload's name.
        told: What its engine is told about it.
        ends: Phase in which its plan ends.
    """

    name: str
    told: Mapping[str, str]
    ends: str


BETTER = Kind("better", {"TRIAL_GAIN": "1.3"}, "Verified")
WORSE = Kind("worse", {"TRIAL_GAIN": "0.5"}, "RolledBack")
REFUSES = Kind("refuses", {"TRIAL_FAULT": "refuse"}, "RolledBack")


@dataclass(frozen=True)
class Options:
    """What a sweep does.

    Attributes:
        kills: How often the operator is killed.
        seed: Of the moments.
        kinds: Workloads of a wave.
        most_seconds: A kill comes at most so long after the operator is ready.
    """

    kills: int
    seed: int
    kinds: tuple[Kind, ...]
    most_seconds: float = 6.0


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        wave: Of which wave.
        seconds: How long the operator had run.
        ready: Whether it was ready by then.
        phases: How many plans were in which phase.
    """

    wave: int
    seconds: float
    ready: bool
    phases: Mapping[str, int]


@dataclass(frozen=True)
class Outcome:
    """What became of one workload.

    Attributes:
        wave: Of which wave.
        kind: Its kind.
        phase: Phase in which its plan ended.
        tries: Attempts that its annotation ever named.
        arguments: How its arguments changed: "before", "after", or what else was seen.
        versions: Versions that the watch told of.
        wrong: What must not be.
    """

    wave: int
    kind: str
    phase: str
    tries: tuple[str, ...]
    arguments: tuple[str, ...]
    versions: int
    wrong: tuple[str, ...]


@dataclass
class Result:
    """A whole sweep."""

    kills: list[Kill] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Everything that must not be."""
        return [f"wave {one.wave}, {one.kind}: {told}" for one in self.outcomes for told in one.wrong]

    def document(self) -> dict[str, Any]:
        """For a file."""
        phases = Counter[str]()
        for kill in self.kills:
            phases.update(kill.phases)
        return {
            "kills": len(self.kills),
            "kills_by_phase_of_a_plan": dict(sorted(phases.items())),
            "kills_before_ready": sum(not kill.ready for kill in self.kills),
            "workloads": len(self.outcomes),
            "ends": dict(sorted(Counter(f"{one.kind}: {one.phase}" for one in self.outcomes).items())),
            "wrong": self.wrong,
            "each_kill": [asdict(kill) for kill in self.kills],
            "each_workload": [asdict(one) for one in self.outcomes],
        }


@dataclass(frozen=True)
class Sweep:
    """One sweep on one ground.

    Attributes:
        ground: Where it happens.
        folder: For the operator's log.
        options: What it does.
        report: Told of progress.
    """

    ground: Ground
    folder: Path
    options: Options
    report: Callable[[str], None]

    def run(self) -> Result:
        """Waves until the operator was killed often enough; each wave comes to its end."""
        result, chance = Result(), random.Random(self.options.seed)  # noqa: S311  repeatable moments, no secret
        with (
            operator_process.service_account(self.ground.cluster, self.folder, applies=True) as (credentials, user),
            Watch(self.ground.cluster, "deployments") as workloads,
            Watch(self.ground.cluster, "oplan") as plans,
            Lives(self.ground, self.folder, credentials, user) as lives,
        ):
            while len(result.kills) < self.options.kills:
                wave = 1 + max((one.wave for one in result.outcomes), default=0)
                with self._wave(lives) as trials:
                    self._kill(lives, (chance, wave, trials, plans), result)
                    self._end(lives, trials, plans)
                    own = _own(trials, plans)
                    result.outcomes += [_outcome(wave, one, workloads, own.get(one[0])) for one in trials.items()]
                if workloads.lost or plans.lost:
                    raise RuntimeError("a watch ended: versions are missing")
                self.report(f"wave {wave}: {len(result.kills)} kills, {len(result.outcomes)} workloads, {result.wrong}")
        return result

    @contextmanager
    def _wave(self, lives: Lives) -> Iterator[dict[str, tuple[Kind, Trial]]]:
        """Each workload in a namespace of its own: of those of one model in a namespace one is changed at a time."""
        with ExitStack() as stack:
            trials: dict[str, tuple[Kind, Trial]] = {}
            for number, kind in enumerate(self.options.kinds):
                namespace = stack.enter_context(random_namespace(self.ground.cluster, "wave"))
                operator = Operator(lives.log, "", lives.user)
                name = f"{kind.name}-{number}"
                trial = Trial(self.ground.cluster, namespace, self.ground.fake, operator, name=name)
                trial.extra = dict(kind.told)
                trial.make()
                trials[name] = (kind, trial)
            for _, trial in trials.values():
                trial.stands()
                trial.instance("Approve")
            yield trials

    def _kill(
        self, lives: Lives, of: tuple[random.Random, int, dict[str, tuple[Kind, Trial]], Watch], result: Result
    ) -> None:
        chance, wave, trials, plans = of
        while len(result.kills) < self.options.kills and not _ended(trials, plans):
            early = chance.random() < EARLY_SHARE
            born = time.monotonic()
            with lives.one() as life:
                if not early:
                    wait_until(lambda of=life: of.ready, READY_SECONDS, "a ready operator")  # type: ignore[misc]
                time.sleep(chance.uniform(0.0, self.options.most_seconds))
                was_ready, seconds = life.ready, time.monotonic() - born
                phases = Counter(map(_phase, _own(trials, plans).values()))
            result.kills.append(Kill(wave, round(seconds, 3), was_ready, dict(phases)))
            _approve(trials, plans)

    def _end(self, lives: Lives, trials: dict[str, tuple[Kind, Trial]], plans: Watch) -> None:
        """A last operator, which nobody kills."""
        with lives.one():
            deadline = time.monotonic() + WAVE_SECONDS
            while not _ended(trials, plans):
                if time.monotonic() > deadline:
                    return  # what did not end is told as wrong
                time.sleep(1.0)
                _approve(trials, plans)


def _own(trials: dict[str, tuple[Kind, Trial]], plans: Watch) -> dict[str, dict[str, Any]]:
    """The first plan of each workload; what is proposed once it has ended, nobody approves."""
    found: dict[str, dict[str, Any]] = {}
    for name, (_, trial) in trials.items():
        own = sorted(plans.latest(trial.namespace), key=lambda plan: str(plan["metadata"]["creationTimestamp"]))
        found |= {name: own[0]} if own else {}
    return found


def _phase(plan: Mapping[str, Any]) -> str:
    return str((plan.get("status") or {}).get("phase") or "none")


def _ended(trials: dict[str, tuple[Kind, Trial]], plans: Watch) -> bool:
    own = _own(trials, plans)
    return all(name in own and _phase(own[name]) in ENDED for name in trials)


def _approve(trials: dict[str, tuple[Kind, Trial]], plans: Watch) -> None:
    """A person's word on every plan that waits for one."""
    for name, plan in _own(trials, plans).items():
        if _phase(plan) == "AwaitingApproval" and "approval" not in plan["spec"]:
            trials[name][1].decide()


def _outcome(
    wave: int, entry: tuple[str, tuple[Kind, Trial]], workloads: Watch, plan: Mapping[str, Any] | None
) -> Outcome:
    name, (kind, trial) = entry
    versions = [version.document for version in workloads.versions(trial.namespace, name)]
    arguments = tuple(_changes([_named(document, trial) for document in versions]))
    tries = tuple(_changes([_attempt(document) for document in versions if _attempt(document)]))
    phase = _phase(plan) if plan is not None else "none"
    return Outcome(wave, kind.name, phase, tries, arguments, len(versions), tuple(_wrong(kind, plan, tries, arguments)))


def _wrong(kind: Kind, plan: Mapping[str, Any] | None, tries: Sequence[str], arguments: Sequence[str]) -> Iterator[str]:
    """No lost plan, the right end, no half-applied workload, nothing applied twice."""
    if plan is None:
        yield "its plan is lost"
    elif _phase(plan) != kind.ends:
        yield f"ended in {_phase(plan)}: {plan['status'].get('message')}"
    wanted = ("before", "after") if kind.ends == "Verified" else ("before", "after", "before")
    if tuple(arguments) != wanted:
        yield f"arguments went {' > '.join(arguments)}"
    if plan is not None and list(tries) != [f"{plan['metadata']['name']}.1"]:
        yield f"tries {', '.join(tries)}"


def _changes(values: Sequence[str]) -> list[str]:
    """Without repetitions in a row."""
    return [value for place, value in enumerate(values) if place == 0 or values[place - 1] != value]


def _named(document: Mapping[str, Any], trial: Trial) -> str:
    args = document["spec"]["template"]["spec"]["containers"][0]["args"]
    return {tuple(trial.args): "before", tuple(trial.changed): "after"}.get(tuple(args), " ".join(args))


def _attempt(document: Mapping[str, Any]) -> str:
    return str((document["metadata"].get("annotations") or {}).get("inferplan.dev/attempt") or "")
