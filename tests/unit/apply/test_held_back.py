"""What was begun and is not written yet is held back by what would have kept it from being begun."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.application import NEW, OLD, START, Stage, plan_spec, window
from tests.support.canary_stage import CanaryStage
from tests.support.git_stage import GitStage

from inferplan.api.plan import Approval, Phase, PlanStatus
from inferplan.api.reasons import Reason
from inferplan.apply.machine import next_step
from inferplan.apply.refusal import refused

NIGHT = [{"schedule": "0 2 * * *", "durationSeconds": 3600}]
SWITCH = "INFERPLAN_APPLY is false: this operator changes no workload"


def reason(stage: Stage, kind: str) -> str:
    return next((entry.reason for entry in stage.status.conditions if entry.type == kind), "")


def begun(**changes: Any) -> Stage:
    """Noted, and the operator was killed before it wrote anything."""
    stage = Stage(**changes)
    stage.step(killed=True)
    assert stage.status.phase is Phase.APPLYING
    return stage


HELD: list[tuple[dict[str, Any], Phase, str]] = [
    ({"case_changes": {"paused": SWITCH}}, Phase.SCHEDULED, "INFERPLAN_APPLY is false"),
    ({"live_changes": {"paused_by_owner": True}}, Phase.SCHEDULED, "inferplan.dev/paused"),
    ({"live_changes": {"rollout_paused": True}}, Phase.SCHEDULED, "spec.paused"),
    ({"apply": {"mode": "Off"}}, Phase.PROPOSED, "spec.apply.mode is Off"),
    ({"plan": plan_spec()}, Phase.AWAITING_APPROVAL, "A person has to approve it"),
]


OUTSIDE = {"apply": {"mode": "Approve", "maintenanceWindows": NIGHT}}


@pytest.mark.parametrize(
    ("changes", "phase", "told"), [*HELD, (OUTSIDE, Phase.SCHEDULED, "no maintenance window is open")]
)
def test_between_the_note_and_the_write(changes: dict[str, Any], phase: Phase, told: str) -> None:
    stage = begun()
    for name, value in changes.items():
        setattr(stage, name, value)
    stage.step()
    assert (stage.status.phase, stage.writes) == (phase, [])
    assert told in stage.status.message


def test_it_is_begun_anew_once_nothing_holds_it_back() -> None:
    stage = begun()
    stage.case_changes = {"paused": SWITCH}
    stage.step()
    stage.case_changes = {}
    stage.run_until(Phase.ROLLING_OUT)
    assert [entry.args for entry in stage.writes] == [NEW.args]
    assert stage.status.attempt is not None
    assert stage.status.attempt.number == 2


def test_nothing_is_proposed_in_git_either() -> None:
    stage = GitStage()
    stage.step(killed=True)
    stage.case_changes = {"paused": SWITCH}
    stage.step()
    assert (stage.status.phase, stage.proposals) == (Phase.SCHEDULED, [])


@pytest.mark.parametrize("phase", [Phase.ROLLING_OUT, Phase.VERIFYING])
@pytest.mark.parametrize("held", [{"case_changes": {"paused": SWITCH}}, {"live_changes": {"paused_by_owner": True}}])
def test_nothing_is_undone_while_it_is_paused(phase: Phase, held: dict[str, Any]) -> None:
    """The switch and the annotation promise that nothing is changed: the harm is told, and undone afterwards."""
    stage = Stage()
    stage.run_until(phase)
    stage.fails = "CrashLoopBackOff"
    stage.running = [NEW, NEW]
    stage.live_changes, stage.case_changes = held.get("live_changes", {}), held.get("case_changes", {})
    for _ in range(30):
        stage.step()
        stage.pass_time(minutes=30)
    assert (stage.status.phase, [entry.args for entry in stage.writes]) == (Phase.ROLLING_BACK, [NEW.args])
    assert "CrashLoopBackOff" in stage.status.message
    assert "paused" in stage.status.message or "INFERPLAN_APPLY" in stage.status.message
    stage.live_changes, stage.case_changes = {}, {}
    stage.run_until(Phase.ROLLED_BACK)
    assert [entry.args for entry in stage.writes] == [NEW.args, OLD.args]


def test_a_restore_that_is_refused_is_tried_once_a_minute() -> None:
    """A policy, or a quota, that refuses for some seconds is no reason to leave the harm there."""
    stage = Stage()
    stage.run_until(Phase.ROLLING_OUT)
    stage.fails = "CrashLoopBackOff"
    stage.running = [NEW, NEW]
    stage.step()
    tries = 0
    for _ in range(100):
        step = next_step(stage.case())
        if step.act is not None:
            tries += 1
            stage.status = refused(stage.case(), Reason.ACCESS_DENIED, "denied by a policy")
        else:
            stage.status = step.status
        if stage.status.phase is Phase.FAILED:
            break
        stage.pass_time(seconds=5)
    assert (tries, reason(stage, "RolledBack")) == (5, "RollbackFailed")
    assert stage.now - START > timedelta(minutes=4)
    assert stage.status.message.endswith("5 writes failed: denied by a policy.")


# -- with a canary


def tried(**changes: Any) -> CanaryStage:
    stage = CanaryStage(**changes)
    stage.step()
    stage.step()
    assert stage.status.phase is Phase.CANARY
    return stage


@pytest.mark.parametrize(("changes", "phase", "told"), HELD)
def test_what_its_canary_let_through_is_held_back_all_the_same(
    changes: dict[str, Any], phase: Phase, told: str
) -> None:
    stage = tried()
    for name, value in changes.items():
        setattr(stage, name, {**value, "canary": True} if name == "apply" else value)
    for _ in range(12):
        stage.step()
        stage.pass_time(minutes=5)
    assert stage.writes == []
    assert told in stage.status.message
    if stage.status.phase is not Phase.CANARY:
        assert (stage.status.phase, stage.canary) == (phase, None)


def test_no_canary_is_made_while_it_is_paused() -> None:
    stage = CanaryStage()
    stage.step()
    stage.case_changes = {"paused": SWITCH}
    stage.step()
    assert (stage.status.phase, stage.made) == (Phase.SCHEDULED, 0)


def test_a_canary_stays_as_it_is_while_it_is_paused() -> None:
    stage = tried(case_changes={})
    stage.case_changes = {"paused": SWITCH}
    for _ in range(12):
        stage.step()
        stage.pass_time(minutes=30)
    assert (stage.status.phase, stage.made, stage.canary) == (Phase.CANARY, 1, NEW)
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    stage.step()
    assert (stage.status.phase, stage.canary) == (Phase.REJECTED, None)


def test_a_canary_that_passed_need_not_pass_again_on_the_same_day() -> None:
    stage = tried()
    stage.step()
    stage.pass_time(minutes=20)
    stage.live_changes = {"rollout_paused": True}
    stage.step()
    assert (stage.status.phase, stage.canary, stage.writes) == (Phase.SCHEDULED, None, [])
    stage.pass_time(hours=22)
    stage.live_changes = {}
    stage.run_until(Phase.APPLYING)
    assert stage.made == 1


def test_a_day_later_it_has_to() -> None:
    stage = tried()
    stage.step()
    stage.pass_time(minutes=20)
    stage.live_changes = {"rollout_paused": True}
    stage.step()
    stage.pass_time(hours=24)
    stage.live_changes = {}
    stage.step()
    assert stage.status.phase is Phase.CANARY


def test_a_window_that_closes_while_a_canary_is_measured_keeps_nothing_back() -> None:
    """Else a window shorter than the measuring would let no plan through, and begin a canary each day."""
    noon = [{"schedule": "0 12 * * *", "durationSeconds": 600}]
    stage = tried(apply={"mode": "Approve", "canary": True, "maintenanceWindows": noon})
    stage.run_until(Phase.ROLLING_OUT)
    assert stage.now > START + timedelta(seconds=600)
    assert (stage.made, [entry.args for entry in stage.writes]) == (1, [NEW.args])


def test_a_canary_that_somebody_takes_away_again_and_again_is_given_up() -> None:
    stage = tried()
    for _ in range(60):
        stage.canary = None
        stage.step()
        stage.pass_time(minutes=1)
    assert stage.status.phase is Phase.FAILED
    assert reason(stage, "CanaryPassed") == "CanaryUnschedulable"


def test_a_canary_that_is_made_anew_is_measured_anew() -> None:
    stage = tried()
    stage.step()
    stage.pass_time(minutes=16)
    stage.canary = None  # as where the operator was killed between taking it away and noting that
    stage.step()
    assert (stage.made, stage.status.canary.ready_at) == (2, None)  # type: ignore[union-attr]
    stage.pass_time(minutes=10)
    stage.step()
    stage.step()
    assert stage.status.phase is Phase.CANARY


# -- the next try


def test_a_plan_made_anew_knows_its_own_write_from_that_of_its_namesake() -> None:
    """The way out of FailedBefore is to delete the plan; the same decision has the same name then."""
    first = Stage(fails="CrashLoopBackOff")
    first.run_until(Phase.ROLLED_BACK)
    assert first.attempt == "llama-abababab.1"
    again = Stage(attempt=first.attempt, version=first.version)
    again.window = window(1600.0)
    again.run_until(Phase.VERIFIED)
    assert [entry.args for entry in again.writes] == [NEW.args]


@pytest.mark.parametrize("forged", ["llama-abababab.9" + "9" * 40, "llama-abababab.x", "llama-abababab.-1", "other.7"])
def test_an_annotation_that_means_nothing_is_none(forged: str) -> None:
    stage = Stage(attempt=forged)
    stage.step()
    assert stage.status.attempt is not None
    assert stage.status.attempt.number == 1
    assert PlanStatus.from_kube(stage.status.to_kube()) == stage.status
