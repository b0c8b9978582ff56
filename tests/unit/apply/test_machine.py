"""A plan's way to the workload and back, step by step."""

import random
from dataclasses import replace
from typing import Any

import pytest
from tests.support.application import FOREIGN, HASH, NEW, OLD, Stage, approved, digest, plan_spec, window

from inferplan.api.plan import Approval, Phase, PlanStatus
from inferplan.apply.machine import ACTING, ENDED, next_step
from inferplan.apply.pods import PodState
from inferplan.domain.owner import OwnedField, Owner

REJECTION = Approval(approved=False, by="bob")


def reason(stage: Stage, kind: str) -> str:
    return next((entry.reason for entry in stage.status.conditions if entry.type == kind), "")


def put_in(phase: Phase, **changes: Any) -> Stage:
    stage = Stage(**changes)
    stage.run_until(phase)
    return stage


def test_every_phase_is_one_that_waits_one_that_acts_or_an_end() -> None:
    waits = {Phase.PROPOSED, Phase.AWAITING_APPROVAL, Phase.SCHEDULED}
    assert waits | ACTING | ENDED == set(Phase)


def test_an_approved_plan_is_written_rolled_out_measured_and_kept() -> None:
    promise = {
        "metric": "output_tokens_per_second",
        "current": 900.0,
        "low": 1350.0,
        "expected": 1530.0,
        "high": 1620.0,
        "unit": "tokens/s",
        "source": "calibratedHere",
        "basis": "a test",
    }
    stage = Stage(plan=approved(effects=[promise]))
    stage.step()
    assert stage.status.phase is Phase.APPLYING
    assert stage.writes == []  # the status first
    assert stage.status.rollback is not None
    assert stage.status.rollback.args == OLD.args
    stage.step()
    assert [entry.args for entry in stage.writes] == [NEW.args]
    stage.window = window(1600.0, arrivals_per_second=5.5)
    stage.run_until(Phase.VERIFIED)
    verification = stage.status.verification
    assert verification is not None
    assert (verification.verdict, verification.predicted) == ("Keep", "throughput +70%")
    assert (verification.realized, verification.error) == ("output tokens per second +60%", "-10 percentage points")
    kinds = ("Approved", "GatesPassed", "Applied", "RolledOut", "Verified")
    assert [reason(stage, kind) for kind in kinds] == [
        "ApprovedByPerson",
        "AllGatesPassed",
        "Patched",
        "RolloutComplete",
        "ImprovementKept",
    ]
    assert len(stage.writes) == 1


def test_what_was_there_is_restored_where_it_got_worse() -> None:
    stage = put_in(Phase.VERIFYING)
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLED_BACK)
    assert [entry.args for entry in stage.writes] == [NEW.args, OLD.args]
    assert stage.running == [OLD, OLD]
    assert reason(stage, "Verified") == "Regression"
    assert reason(stage, "RolledBack") == reason(stage, "Applied") == "Restored"
    assert reason(stage, "Approved") == "ApprovedByPerson"
    assert stage.status.verification is not None
    assert stage.status.verification.verdict == "RollBack"
    assert stage.status.message.startswith("Undone, all pods run the arguments from before: output tokens per second")


def test_pods_that_cannot_run_undo_it() -> None:
    stage = Stage(fails="CrashLoopBackOff: back-off 10s")
    stage.run_until(Phase.ROLLED_BACK)
    assert reason(stage, "RolledOut") == "PodsFail"
    assert "CrashLoopBackOff" in stage.status.message


def test_a_pod_that_falls_over_later_undoes_it_too() -> None:
    stage = put_in(Phase.VERIFYING)
    stage.fails = "CrashLoopBackOff"
    stage.step()
    assert stage.status.phase is Phase.ROLLING_BACK
    assert reason(stage, "Verified") == "PodsFail"


def test_a_controller_that_gives_up_undoes_it_where_no_pod_comes_up() -> None:
    stage = put_in(Phase.ROLLING_OUT, frozen=True)
    stage.stuck = "FailedCreate: exceeded quota"
    stage.step()
    assert stage.status.rollback is not None
    assert stage.status.rollback.message == "FailedCreate: exceeded quota"


def test_a_rollout_that_takes_too_long_is_undone() -> None:
    stage = put_in(Phase.ROLLING_OUT, frozen=True)
    stage.pass_time(seconds=1801)
    stage.step()
    assert reason(stage, "RolledOut") == "RolloutTimedOut"
    assert (
        stage.status.message
        == "Undone: 0 pods are ready with it, and no further one has become so in 1800 s (apply.rolloutTimeoutSeconds)."
    )


def test_a_fleet_has_that_time_for_each_pod() -> None:
    stage = put_in(Phase.ROLLING_OUT)
    stage.running = [OLD] * 4
    for ready in (1, 2, 3):
        stage.running = [NEW] * ready + [OLD] * (4 - ready)
        stage.pass_time(seconds=1700)
        stage.step()
        assert stage.status.phase is Phase.ROLLING_OUT
    assert stage.status.attempt is not None
    assert stage.status.attempt.ready_pods == 3
    stage.pass_time(seconds=1801)
    stage.step()
    assert reason(stage, "RolledOut") == "RolloutTimedOut"
    assert stage.status.message.startswith(
        "Undone: 3 pods are ready with it, and no further one has become so in 1800 s"
    )


def test_no_room_for_a_pod_says_nothing_against_the_plan() -> None:
    pending = PodState(name="llama-9", uid="9", args_digest=digest(NEW), ready=False, unscheduled="no GPU is free")
    stage = put_in(Phase.ROLLING_OUT, frozen=True)
    stage.case_changes = {"pods": (pending,)}
    stage.pass_time(seconds=1801)
    stage.step()
    assert reason(stage, "RolledOut") == "NoRoom"
    assert "; pod llama-9: no GPU is free" in stage.status.message
    gives_up = put_in(Phase.ROLLING_OUT, frozen=True)
    gives_up.case_changes = {"pods": (pending,)}
    gives_up.stuck = "ProgressDeadlineExceeded: it has timed out"
    gives_up.step()
    assert reason(gives_up, "RolledOut") == "NoRoom"


def test_a_load_that_is_another_one_is_measured_again_until_a_day_is_over() -> None:
    stage = put_in(Phase.VERIFYING)
    stage.window = window(1600.0, prompt_tokens_mean=5000.0)
    stage.run_until(Phase.VERIFIED, looks=400)
    assert reason(stage, "Verified") == "Inconclusive"
    assert stage.status.verification is not None
    assert stage.status.verification.verdict == "Inconclusive"
    assert stage.status.attempt is not None
    assert stage.status.attempt.windows > 50


def test_no_window_reaches_back_to_before_the_change() -> None:
    """What is measured may have been read a while ago, and a StatefulSet's pods keep their names."""
    stage = put_in(Phase.VERIFYING, case_changes={"lag_seconds": 600.0})
    stage.window = window(1600.0)
    stage.pass_time(seconds=120 + 900 + 599)
    stage.step()
    assert stage.status.phase is Phase.VERIFYING
    stage.pass_time(seconds=1)
    stage.step()
    assert stage.status.phase is Phase.VERIFIED


def test_windows_that_passed_while_the_operator_was_away_are_judged_once() -> None:
    """Each look would be another throw of the dice with the same minutes."""
    stage = put_in(Phase.VERIFYING)
    stage.window = window(1600.0, prompt_tokens_mean=5000.0)
    stage.pass_time(hours=5)
    stage.step()
    assert stage.status.attempt is not None
    assert stage.status.attempt.windows == 19  # 5 h less 120 s
    stage.window = window(700.0)
    stage.pass_time(minutes=1)
    stage.step()
    assert stage.status.phase is Phase.VERIFYING
    stage.pass_time(minutes=15)
    stage.step()
    assert stage.status.phase is Phase.ROLLING_BACK


def test_or_is_undone_where_its_owner_wants_no_plan_that_nothing_speaks_for() -> None:
    stage = put_in(Phase.VERIFYING)
    stage.apply = {**stage.apply, "verify": {"on_inconclusive": "RollBack"}}
    stage.window = window(1600.0, prompt_tokens_mean=5000.0)
    stage.run_until(Phase.ROLLED_BACK, looks=400)
    assert (reason(stage, "Verified"), stage.container) == ("Inconclusive", OLD)
    assert stage.status.rollback is not None
    assert stage.status.rollback.message.startswith("a day could not tell whether it helps (")
    assert stage.status.verification is not None
    assert stage.status.verification.verdict == "Inconclusive"


def test_a_window_that_was_not_measured_tells_nothing() -> None:
    stage = put_in(Phase.VERIFYING)
    stage.window = None
    stage.pass_time(seconds=1100)
    stage.step()
    assert stage.status.message == "Measured again: nothing was measured after the change."
    without = put_in(Phase.VERIFYING, window=None)
    without.window = window()
    without.pass_time(seconds=1100)
    without.step()
    assert without.status.message == "Measured again: nothing was measured before the change."


# -- who decides


def test_off_only_proposes() -> None:
    stage = Stage(apply={"mode": "Off"})
    stage.step()
    assert stage.status.phase is Phase.PROPOSED


def test_approve_waits_for_a_person() -> None:
    stage = Stage(plan=plan_spec())
    stage.step()
    assert (stage.status.phase, reason(stage, "Approved")) == (Phase.AWAITING_APPROVAL, "AwaitingApproval")


def test_an_approval_of_another_plan_is_none() -> None:
    stage = Stage(plan=plan_spec(Approval(approved=True, by="ada", plan_hash="cd" * 32)))
    stage.step()
    assert stage.status.phase is Phase.AWAITING_APPROVAL


def test_auto_needs_nobody() -> None:
    stage = Stage(plan=plan_spec(), apply={"mode": "Auto"})
    stage.run_until(Phase.APPLYING)
    assert reason(stage, "Approved") == "ApprovedByPolicy"


@pytest.mark.parametrize("taken", [{"capability_loss": "long prompts are refused"}, {"accuracy_risk": "fp8"}])
def test_auto_takes_nothing_from_clients(taken: dict[str, str]) -> None:
    stage = Stage(plan=plan_spec(optimization=taken), apply={"mode": "Auto"})
    stage.step()
    assert stage.status.phase is Phase.AWAITING_APPROVAL
    assert "may take something from clients" in stage.status.message


def test_a_no_ends_what_was_not_begun() -> None:
    stage = Stage(plan=plan_spec(REJECTION))
    stage.step()
    assert (stage.status.phase, stage.status.message) == (Phase.REJECTED, "Rejected: bob rejected it.")
    assert next_step(stage.case()).act is None


def test_a_no_between_the_note_and_the_write_ends_it() -> None:
    stage = put_in(Phase.APPLYING)
    stage.plan = plan_spec(REJECTION)
    stage.step()
    assert (stage.status.phase, stage.writes) == (Phase.REJECTED, [])


@pytest.mark.parametrize("phase", [Phase.ROLLING_OUT, Phase.VERIFYING, Phase.VERIFIED])
def test_a_no_undoes_what_the_workload_carries(phase: Phase) -> None:
    stage = put_in(phase)
    stage.plan = plan_spec(REJECTION)
    stage.step()
    assert stage.status.phase is Phase.ROLLING_BACK
    assert stage.status.rollback is not None
    assert (stage.status.rollback.reason, stage.status.rollback.message) == ("RollbackAsked", "bob asked for it")
    assert reason(stage, "Approved") == "RejectedByPerson"
    stage.run_until(Phase.ROLLED_BACK)
    assert {entry.type: entry.status.value for entry in stage.status.conditions}["Applied"] == "False"
    assert stage.running == [OLD, OLD]


# -- somebody else


@pytest.mark.parametrize("phase", [Phase.ROLLING_OUT, Phase.VERIFYING])
def test_what_somebody_takes_back_is_not_fought(phase: Phase) -> None:
    argo = Owner("Argo CD", OwnedField.ALL, reconciles=True, basis="a label")
    stage = put_in(phase)
    stage.put(OLD)
    stage.case_changes = {"owners": (argo,)}
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "RevertedByOther")
    assert "Argo CD took the change back" in stage.status.message
    stage.step()
    assert len(stage.writes) == 1


def test_nor_what_is_taken_back_before_it_was_looked_at_again() -> None:
    stage = put_in(Phase.APPLYING)
    stage.step()
    assert len(stage.writes) == 1
    stage.put(OLD)
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "RevertedByOther")
    assert len(stage.writes) == 1


@pytest.mark.parametrize("phase", [Phase.APPLYING, Phase.ROLLING_OUT, Phase.VERIFYING, Phase.ROLLING_BACK])
def test_what_somebody_else_wrote_is_left_alone(phase: Phase) -> None:
    stage = Stage()
    if phase is Phase.ROLLING_BACK:
        stage = put_in(Phase.VERIFYING)
        stage.window = window(700.0)
    stage.run_until(phase)
    writes = len(stage.writes)
    stage.put(FOREIGN)
    stage.step()
    assert stage.status.phase is Phase.FAILED
    assert "ChangedByOther" in {entry.reason for entry in stage.status.conditions}
    assert (stage.container, len(stage.writes)) == (FOREIGN, writes)


@pytest.mark.parametrize("phase", [Phase.APPLYING, Phase.ROLLING_OUT, Phase.VERIFYING])
def test_a_workload_that_is_gone_ends_it(phase: Phase) -> None:
    stage = put_in(phase)
    stage.gone = True
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "TargetGone")


def test_a_workload_that_was_made_anew_is_another_one() -> None:
    stage = put_in(Phase.ROLLING_OUT)
    stage.uid = "uid-2"
    stage.step()
    assert stage.status.message == "Left alone: the workload was deleted and made anew."


def test_a_workload_without_the_container_is_another_one() -> None:
    stage = put_in(Phase.ROLLING_OUT)
    stage.container = None
    stage.step()
    assert stage.status.message == "Left alone: the workload has no such container any more."


def test_nothing_is_restored_of_a_workload_that_is_gone() -> None:
    stage = put_in(Phase.VERIFYING)
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    stage.gone = True
    stage.step()
    assert (stage.status.phase, reason(stage, "RolledBack")) == (Phase.FAILED, "TargetGone")


def test_arguments_that_cannot_be_edited_any_more_end_it() -> None:
    stage = put_in(Phase.APPLYING)
    stage.case_changes = {"wanted": None}
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "NotApplicable")


@pytest.mark.parametrize("phase", [Phase.ROLLING_OUT, Phase.VERIFYING])
def test_another_image_on_the_way_is_not_judged_as_the_plan(phase: Phase) -> None:
    """It crashes, or is faster: neither is the plan's doing, and neither is undone in its name."""
    stage = put_in(phase, live_changes={"template_digest": "a"})
    stage.live_changes = {"template_digest": "b"}
    stage.fails = "CrashLoopBackOff"
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "ChangedByOther")
    assert "their image, say" in stage.status.message
    assert [entry.args for entry in stage.writes] == [NEW.args]


def imaged(image: str, **changes: Any) -> Any:
    target = {"kind": "Deployment", "name": "llama", "container": "vllm", "generation": 1, "args_digest": digest(OLD)}
    return approved(target={**target, "image": image}, **changes)


def test_an_image_that_is_changed_together_with_the_arguments_is_not_either() -> None:
    stage = Stage(plan=imaged("vllm:old"), live_changes={"container": replace(OLD, image="vllm:old")})
    stage.step()
    stage.live_changes = {"container": replace(NEW, image="vllm:new")}
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "ChangedByOther")
    assert stage.writes == []


@pytest.mark.parametrize("begun", [False, True])
def test_a_plan_for_another_image_is_not_begun_and_not_written(begun: bool) -> None:
    stage = Stage(plan=imaged("vllm:old"), live_changes={"container": replace(OLD, image="vllm:old")})
    if begun:
        stage.step()
    stage.live_changes = {"container": replace(OLD, image="vllm:new")}
    stage.step()
    assert (stage.status.phase, reason(stage, "GatesPassed")) == (Phase.SCHEDULED, "TargetChanged")
    assert stage.writes == []


def test_what_is_taken_back_long_after_it_was_kept_is_told() -> None:
    """Else the same decision, which has the same name, would be held for applied, and never be proposed again."""
    stage = put_in(Phase.VERIFIED)
    stage.step()
    assert stage.status.phase is Phase.VERIFIED
    stage.put(FOREIGN)  # as where a later plan was applied
    stage.step()
    assert stage.status.phase is Phase.VERIFIED
    stage.put(OLD)
    stage.step()
    assert (stage.status.phase, reason(stage, "Applied")) == (Phase.FAILED, "RevertedByOther")
    assert "delete the plan to have it made anew" in stage.status.message
    assert len(stage.writes) == 1


# -- trouble with undoing


def rolling_back() -> Stage:
    stage = put_in(Phase.VERIFYING)
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    return stage


def test_a_restore_that_cannot_be_written_calls_a_person() -> None:
    stage = rolling_back()
    stage.status = stage.status.model_copy(update={"failures": 5, "message": "forbidden"})
    stage.step()
    assert (stage.status.phase, reason(stage, "RolledBack")) == (Phase.FAILED, "RollbackFailed")
    assert stage.status.message.endswith("but 5 writes failed: forbidden.")


def test_nothing_is_restored_but_what_the_plan_was_made_for() -> None:
    """Who writes a status must not come by a workload's arguments."""
    stage = rolling_back()
    forged = stage.status.rollback.model_copy(update={"args": ("--middleware=x",)})  # type: ignore[union-attr]
    stage.status = stage.status.model_copy(update={"rollback": forged})
    stage.step()
    assert (stage.status.phase, reason(stage, "RolledBack")) == (Phase.FAILED, "RollbackFailed")
    assert [entry.args for entry in stage.writes] == [NEW.args]


def test_a_restore_whose_pods_do_not_come_calls_a_person() -> None:
    stage = rolling_back()
    stage.live_changes = {"available": 0}
    stage.step()
    stage.step()
    assert stage.status.phase is Phase.ROLLING_BACK
    stage.pass_time(seconds=3601)
    stage.step()
    assert (stage.status.phase, reason(stage, "RolledBack")) == (Phase.FAILED, "RollbackFailed")


@pytest.mark.parametrize("phase", [Phase.APPLYING, Phase.ROLLING_BACK])
def test_a_status_that_contradicts_itself_is_told(phase: Phase) -> None:
    stage = Stage(status=PlanStatus(phase=phase))
    with pytest.raises(ValueError, match=f"status.phase is {phase} without an attempt"):
        stage.step()
    begun = put_in(Phase.VERIFYING)
    begun.status = begun.status.model_copy(update={"rollback": None, "phase": Phase.ROLLING_BACK})
    with pytest.raises(ValueError, match="without a rollback"):
        begun.step()


# -- the baseline


def test_the_busiest_window_is_what_is_held_against() -> None:
    stage = Stage(plan=plan_spec(), window=window(requests=100.0))
    stage.step()
    stage.window = window(requests=110.0)
    stage.step()
    assert stage.status.baseline is not None
    assert stage.status.baseline.requests == 100.0  # a tenth more is no write
    stage.window = window(requests=4000.0)
    stage.step()
    assert stage.status.baseline.requests == 4000.0
    stage.window = None
    stage.step()
    assert stage.status.baseline.requests == 4000.0


# -- killed at any moment


@pytest.mark.parametrize("seed", range(300))
def test_killed_at_any_moment_and_disturbed_it_ends_well(seed: int) -> None:
    """Whatever happens between two steps: no half-written workload, no second try, nothing of others overwritten."""
    chance = random.Random(seed)
    stage = Stage(window=window(), fails="CrashLoopBackOff" if chance.random() < 0.2 else "")
    foreign = False
    for _ in range(400):
        before = digest(stage.container) if stage.container is not None else ""
        stage.step(killed=chance.random() < 0.3)
        if foreign:
            assert stage.container is not None
            assert digest(stage.container) == before, "somebody else's arguments were written over"
        if stage.status.phase in ENDED:
            break
        if chance.random() < 0.7:
            stage.roll()
        if stage.status.phase is Phase.VERIFYING and chance.random() < 0.3:
            stage.window = window(chance.choice((700.0, 1600.0)))
        if not foreign and chance.random() < 0.02:
            stage.put(FOREIGN)
            foreign = True
        stage.pass_time(minutes=chance.choice((0.1, 1.0, 10.0)))
    assert stage.status.phase in ENDED, stage.status.message
    words = [entry.args for entry in stage.writes]
    assert words in ([], [NEW.args], [NEW.args, OLD.args])
    assert stage.container is not None
    allowed = {Phase.VERIFIED: NEW, Phase.ROLLED_BACK: OLD}
    if not foreign and stage.status.phase in allowed:
        assert digest(stage.container) == digest(allowed[stage.status.phase])
    assert stage.status.attempt is None or stage.status.attempt.number == 1


def test_a_plan_that_cannot_be_written_is_never_begun() -> None:
    stage = Stage(live_changes={"container": None}, plan=approved(target=None))
    stage.step()
    assert (stage.status.phase, reason(stage, "GatesPassed")) == (Phase.SCHEDULED, "NotApplicable")


def test_the_same_case_gives_the_same_step() -> None:
    stage = Stage(plan=approved())
    assert next_step(stage.case()) == next_step(replace(stage).case())
    assert stage.plan.plan_hash == HASH
