"""Everything that people, clocks and clusters do to a plan on its way, in any order: what must hold all the same."""

import random
from datetime import timedelta
from typing import Any

import pytest
from tests.support.application import FOREIGN, NEW, OLD, Stage, approved, digest, plan_spec, window
from tests.support.canary_stage import CanaryStage

from inferplan.api.plan import Approval, Phase, PlanStatus
from inferplan.apply.canary import DropCanary
from inferplan.apply.case import Act, Step, Write
from inferplan.apply.machine import ENDED, next_step

SEEDS = 300
LOOKS = 250
_HALF = 0.5
_DONE = 0.8
"""How often the operator lives to do what it noted."""


class Disturbed:
    """One plan whose surroundings are changed by chance between looks."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        kind = CanaryStage if self.chance.random() < 0.5 else Stage
        self.stage: Stage = kind(live_changes={"template_digest": "a"}, case_changes={})
        self.mode = "Approve"
        self.writes = 0

    def disturb(self) -> None:
        """One thing happens; some only now and then."""
        happens, often = self.chance.choice(
            (
                (self._mode, 1.0),
                (lambda: self._case(paused=self.chance.choice(("", "the switch"))), 1.0),
                (lambda: self._live(paused_by_owner=self.chance.random() < _HALF), 1.0),
                (self._word, 1.0),
                (self._clock, 1.0),
                (self._traffic, 1.0),
                (self._pods, 1.0),
                (lambda: self.stage.put(self.chance.choice((FOREIGN, OLD))), 0.3),
                (lambda: self._live(template_digest="b"), 0.2),
                (lambda: setattr(self.stage, "uid", "uid-2"), 0.2),
                (lambda: setattr(self.stage, "gone", not self.stage.gone), 0.1),
                (lambda: self._case(elsewhere=self.chance.random() < _HALF), 0.3),
                (lambda: setattr(self.stage, "canary", None), 1.0),
            )
        )
        if self.chance.random() < often:
            happens()

    def _mode(self) -> None:
        self.mode = self.chance.choice(("Off", "Approve", "Auto"))
        self.stage.apply = {**self.stage.apply, "mode": self.mode}

    def _case(self, **changes: Any) -> None:
        self.stage.case_changes = {**self.stage.case_changes, **changes}

    def _live(self, **changes: Any) -> None:
        self.stage.live_changes = {**self.stage.live_changes, **changes}

    def _word(self) -> None:
        self.stage.plan = self.chance.choice((approved(), plan_spec(), plan_spec(Approval(approved=False, by="bob"))))

    def _clock(self) -> None:
        self.stage.now += self.chance.choice((-1, 1)) * timedelta(hours=1)

    def _traffic(self) -> None:
        windows = (None, window(700.0), window(1600.0), window(prompt_tokens_mean=9000.0))
        self.stage.window = self.chance.choice(windows)

    def _pods(self) -> None:
        self.stage.fails = self.chance.choice(("", "CrashLoopBackOff"))
        self.stage.frozen = self.chance.random() < _HALF

    def look(self) -> None:
        """One look, now and then killed before it does anything, with what must hold of it."""
        stage = self.stage
        before, case = stage.container, stage.case()
        step = next_step(case)
        if isinstance(step.act, DropCanary) or self.chance.random() < _DONE:
            self._done(step)
        else:
            self._noted(step)
        self.check(step.act, case.paused or (case.live is not None and case.live.paused_by_owner))
        if before is not None and stage.container is not None and digest(before) == digest(FOREIGN):
            assert digest(stage.container) == digest(FOREIGN), "somebody else's arguments were written over"

    def _noted(self, step: Step) -> None:
        """The operator is killed before it does what it noted."""
        self.stage.status = PlanStatus.from_kube(step.status.to_kube())

    def _done(self, step: Step) -> None:
        """A canary is taken away before that is noted; the operator may be killed between the two."""
        first = isinstance(step.act, DropCanary)
        if first and step.act is not None:
            self.stage.do(step.act)
        if not first or self.chance.random() < _DONE:
            self._noted(step)
        if not first and step.act is not None:
            self.stage.do(step.act)

    def check(self, act: Act | None, paused: Any) -> None:
        """A write is one that may be."""
        if not isinstance(act, Write):
            return
        assert not paused, "written while it is paused"
        if act.undo:
            return
        self.writes += 1
        assert self.mode != "Off", "written in mode Off"
        approval = self.stage.plan.approval
        assert approval is None or approval.approved, "written after a no"
        assert approval is not None or self.mode == "Auto", "written without a word"

    def settle(self) -> None:
        """Nothing happens any more, and an owner wants plans applied."""
        stage = self.stage
        stage.apply = {**stage.apply, "mode": "Approve"}
        stage.case_changes, stage.frozen, stage.gone = {}, False, False
        stage.live_changes = {**stage.live_changes, "paused_by_owner": False}
        if stage.plan.approval is None:
            stage.plan = approved()
        self.mode = "Approve"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_nothing_is_done_that_must_not_be_and_it_ends(seed: int) -> None:
    world = Disturbed(seed)
    for _ in range(60):
        if world.chance.random() < 0.4:
            world.disturb()
        world.look()
        if world.chance.random() < 0.7:
            world.stage.roll()
        world.stage.pass_time(minutes=world.chance.choice((0.1, 1.0, 10.0)))
    world.settle()
    stage = world.stage
    for _ in range(LOOKS):
        world.look()
        stage.roll()
        stage.pass_time(minutes=10)
        if stage.status.phase in ENDED:
            break
    waits = {Phase.SCHEDULED}  # for arguments that are not those that it was made for: the planner supersedes it
    changed = stage.container is None or digest(stage.container) != digest(OLD)
    assert stage.status.phase in ENDED or (stage.status.phase in waits and changed), stage.status.message
    assert stage.container is not None
    assert digest(stage.container) in {digest(entry) for entry in (OLD, NEW, FOREIGN)}
    if stage.status.phase is Phase.ROLLED_BACK and isinstance(stage, CanaryStage):
        assert stage.canary is None
