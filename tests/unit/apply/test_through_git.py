"""A plan that goes through Git: proposed, merged, shown by the workload, measured; and back."""

from datetime import timedelta
from typing import Any

import pytest
from tests.support.application import FOREIGN, NEW, OLD, START, digest, plan_spec, window
from tests.support.git_stage import GitStage, git_apply

from inferplan.api.attempt import GitStatus
from inferplan.api.plan import Approval, Phase
from inferplan.apply.case import ClosePull, Propose
from inferplan.apply.through_git import DELIVERY_SECONDS
from inferplan.domain.owner import OwnedField, Owner
from inferplan.domain.units import timestamp
from inferplan.engine.ownership import with_owners

COMMIT = git_apply(strategy="Commit")
ACCURACY = {"accuracy_risk": "Recovery 99.5 %."}


def reason(stage: GitStage, kind: str) -> str:
    return next((entry.reason for entry in stage.status.conditions if entry.type == kind), "")


def proposed(**changes: object) -> GitStage:
    stage = GitStage(**changes)  # type: ignore[arg-type]
    for _ in range(3):
        stage.step()
        stage.pass_time(seconds=30)
    return stage


def test_a_plan_is_proposed_merged_shown_by_the_workload_and_kept() -> None:
    stage = proposed()
    assert stage.status.phase is Phase.APPLYING
    assert reason(stage, "Applied") == "PullRequestOpen"
    assert "https://git.example/team/apps/pulls/1" in stage.status.message
    assert stage.running == [OLD, OLD]
    stage.decide("merged")
    stage.step()
    assert reason(stage, "Applied") == "Committed"
    stage.window = window(1600.0)
    stage.run_until(Phase.VERIFIED)
    assert stage.running == [NEW, NEW]
    assert stage.writes == []  # the workload itself is never written
    assert len(stage.proposals) == 1
    assert stage.status.attempt is not None
    assert stage.status.attempt.git is not None
    assert stage.status.attempt.git.branch == "inferplan/serving/llama-abababab-1a8c8c"


def test_what_is_deployed_before_git_is_asked_again_is_noted_as_merged_and_so_is_its_undoing() -> None:
    stage = proposed()
    stage.decide("merged")
    stage.roll()
    stage.step()
    assert stage.status.phase is Phase.ROLLING_OUT
    assert stage.status.attempt is not None
    assert merged(stage.status.attempt.git)
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    stage.step()
    stage.decide("merged")
    stage.roll()
    stage.roll()
    stage.step()
    assert stage.status.phase is Phase.ROLLED_BACK
    assert stage.status.rollback is not None
    assert merged(stage.status.rollback.git)


def merged(note: GitStatus | None) -> bool:
    assert note is not None
    assert note.pull_request is not None
    return note.pull_request.state == "merged" and note.merged_at is not None


def test_the_proposal_says_what_changes_and_why() -> None:
    stage = proposed()
    act = stage.proposals[0]
    assert act.title == "serving/llama: max_batch_size 32 -> 64"
    assert "| max_batch_size |  | 32 | 64 | r |" in act.body
    assert "**throughput +70%**" in act.body
    assert "Closing" in act.body
    assert (digest(act.before), digest(act.after)) == (digest(OLD), digest(NEW))


def test_a_reviewer_is_not_told_to_make_the_change_in_git() -> None:
    flux = Owner("Flux", OwnedField.ALL, reconciles=True, basis="kustomize.toolkit.fluxcd.io/name: apps")
    plan = plan_spec(optimization={"prerequisites": ["Free a GPU."]})
    plan = plan.model_copy(update={"optimizations": with_owners(plan.optimizations, (flux,))})
    body = proposed(plan=plan, case_changes={"owners": (flux,)}).proposals[0].body
    assert "**Before merging**\n\n- Free a GPU.\n" in body
    assert "Flux" not in body


def test_harm_is_taken_back_by_a_pull_request_of_its_own() -> None:
    stage = proposed()
    stage.decide("merged")
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    for _ in range(3):
        stage.step()
        stage.pass_time(seconds=30)
    assert stage.running == [NEW, NEW]  # until somebody merges it
    assert [act.undo for act in stage.proposals] == [False, True]
    assert stage.proposals[1].branch == "inferplan/serving/llama-abababab-1a8c8c-undo"
    assert stage.proposals[1].title == "Undo serving/llama: max_batch_size 32 -> 64"
    told = "Taking it back is proposed, merge it: https://git.example/team/apps/pulls/2."
    assert stage.status.message.startswith(told)
    stage.case_changes = {"git_silent": "git.example does not answer"}
    stage.step()
    assert stage.status.message.startswith(f"{told} What became of it is not known now: git.example does not answer.")
    stage.case_changes = {}
    stage.decide("merged")
    stage.step()
    assert stage.status.message.startswith("Undone on the branch (commit c0ffeec0ffee); the workload does not show it")
    stage.run_until(Phase.ROLLED_BACK)
    assert stage.running == [OLD, OLD]
    assert [entry.args for entry in stage.commits] == [NEW.args, OLD.args]


def test_harm_is_taken_back_by_a_commit_where_the_owner_wants_that() -> None:
    stage = proposed(apply=git_apply(undo="Commit"))
    stage.decide("merged")
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLED_BACK)
    assert [entry.args for entry in stage.commits] == [NEW.args, OLD.args]
    assert len(stage.pulls) == 1


def test_an_undo_that_is_merged_days_later_has_its_time_all_the_same() -> None:
    stage = GitStage()
    stage.step()
    stage.step()
    stage.decide("merged")
    stage.run_until(Phase.VERIFYING)
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    stage.step()
    stage.pass_time(days=2)
    stage.step()
    stage.decide("merged")
    stage.put(stage.file)  # what deploys has written it, and no pod is replaced yet
    stage.step()
    assert stage.status.phase is Phase.ROLLING_BACK
    stage.run_until(Phase.ROLLED_BACK)


def test_an_undo_that_somebody_closes_calls_for_a_person() -> None:
    stage = proposed()
    stage.decide("merged")
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    stage.step()
    stage.decide("closed")
    stage.step()
    assert stage.status.phase is Phase.FAILED
    assert reason(stage, "RolledBack") == "RollbackFailed"
    assert "was closed" in stage.status.message


def test_a_pull_request_that_is_closed_rejects_the_plan_for_good() -> None:
    stage = proposed()
    stage.decide("closed")
    stage.step()
    assert stage.status.phase is Phase.REJECTED
    assert reason(stage, "Approved") == "PullRequestClosed"
    stage.step()
    assert stage.status.phase is Phase.REJECTED
    assert len(stage.proposals) == 1


def test_a_persons_no_closes_the_pull_request() -> None:
    stage = proposed()
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    stage.step()
    assert stage.status.phase is Phase.REJECTED
    assert stage.closed_with == ["Rejected: bob rejected it."]


def test_other_arguments_make_the_proposal_void() -> None:
    stage = proposed()
    stage.put(FOREIGN)
    stage.step()
    assert stage.status.phase is Phase.SUPERSEDED
    assert stage.closed_with == ["The workload runs other arguments than those that the plan was made for."]


def test_a_workload_that_is_gone_makes_it_void_too() -> None:
    stage = proposed()
    stage.gone = True
    stage.step()
    assert stage.status.phase is Phase.FAILED
    assert stage.closed_with == ["Left alone: the workload does not exist any more."]


def test_what_is_merged_and_never_deployed_is_given_up() -> None:
    stage = proposed(deploys=False)
    stage.decide("merged")
    stage.step()
    stage.pass_time(seconds=DELIVERY_SECONDS)
    stage.step()
    assert stage.status.phase is Phase.FAILED
    assert reason(stage, "Applied") == "NotDelivered"


def test_no_pull_request_waits_for_windows_baselines_or_approval() -> None:
    never = [{"schedule": "0 2 * * 0", "durationSeconds": 60}]
    stage = proposed(
        apply={**git_apply(), "maintenanceWindows": never},
        window=None,
        plan=plan_spec(optimization=ACCURACY),
    )
    assert len(stage.proposals) == 1
    assert reason(stage, "Approved") == "ApprovedByPolicy"
    assert "- Recovery 99.5 %." in stage.proposals[0].body


def test_a_pull_request_rests_after_the_last_change_all_the_same() -> None:
    stage = proposed(case_changes={"rests_until": START + timedelta(hours=1)})
    assert (stage.proposals, stage.status.phase) == ([], Phase.SCHEDULED)
    assert reason(stage, "GatesPassed") == "CoolingDown"


def test_a_commit_is_as_careful_as_a_patch() -> None:
    stage = proposed(apply=COMMIT, window=None)
    assert stage.proposals == []
    assert reason(stage, "GatesPassed") == "BaselineMissing"
    risky = proposed(apply=COMMIT, plan=plan_spec(optimization=ACCURACY))
    assert risky.status.phase is Phase.AWAITING_APPROVAL


def test_a_commit_is_shown_by_the_workload_and_undone_by_a_commit() -> None:
    stage = GitStage(apply=COMMIT)
    stage.run_until(Phase.VERIFYING)
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLED_BACK)
    assert [entry.args for entry in stage.commits] == [NEW.args, OLD.args]
    assert stage.pulls == {}


def test_a_block_that_is_taken_away_while_it_is_undone_calls_for_a_person() -> None:
    stage = proposed()
    stage.decide("merged")
    stage.window = window(700.0)
    stage.run_until(Phase.ROLLING_BACK)
    stage.apply = {"mode": "Approve"}
    stage.step()
    assert stage.status.phase is Phase.FAILED


def test_another_mode_closes_the_pull_request_and_the_plan_may_come_again() -> None:
    stage = proposed()
    stage.apply = {**git_apply(), "mode": "Approve"}
    stage.step()
    assert stage.status.phase is Phase.SUPERSEDED
    assert stage.closed_with == ["spec.apply is not GitOps any more, while the plan was on its way through Git."]


@pytest.mark.parametrize("apply", [{"mode": "Approve"}, git_apply(repository="https://git.example/team/other")])
def test_a_pull_request_of_a_repository_that_is_not_named_any_more_is_left_and_told(apply: dict[str, Any]) -> None:
    stage = proposed()
    stage.apply = apply
    stage.step()
    assert stage.status.phase is Phase.SUPERSEDED
    assert stage.closed_with == []
    assert "https://git.example/team/apps/pulls/1 could not be closed" in stage.status.message


def test_what_was_merged_is_watched_whatever_the_mode_says_by_then() -> None:
    stage = proposed(deploys=False)
    stage.decide("merged")
    stage.apply = {"mode": "Off"}
    stage.step()
    assert reason(stage, "Applied") == "Committed"
    stage.deploys = True
    stage.run_until(Phase.VERIFYING)


def again(stage: GitStage) -> GitStage:
    """The workload had other arguments for a while, and the plan is wanted again (reconcile.planning)."""
    stage.status = stage.status.model_copy(update={"phase": Phase.PROPOSED})
    for _ in range(3):
        stage.step()
        stage.pass_time(seconds=30)
    return stage


def test_a_pull_request_that_inferplan_itself_closed_is_no_persons_no() -> None:
    stage = proposed()
    stage.put(FOREIGN)
    stage.step()
    assert stage.status.phase is Phase.SUPERSEDED
    stage.put(OLD)
    again(stage)
    assert stage.status.phase is Phase.APPLYING
    assert list(stage.pulls) == ["inferplan/serving/llama-abababab-1a8c8c", "inferplan/serving/llama-abababab-1a8c8c-1"]
    assert [pull.state for pull, _ in stage.pulls.values()] == ["closed", "open"]
    stage.status = stage.status.model_copy(update={"phase": Phase.SCHEDULED})  # as after a push that was refused
    again(stage)
    assert len(stage.pulls) == 2


def test_what_somebody_else_closed_stays_closed_when_the_plan_comes_again() -> None:
    stage = proposed()
    stage.decide("closed")
    stage.put(FOREIGN)
    stage.step()
    stage.put(OLD)
    again(stage)
    assert (stage.status.phase, len(stage.pulls)) == (Phase.REJECTED, 1)


def test_a_no_to_what_was_merged_and_is_not_deployed_takes_it_back_in_git() -> None:
    stage = proposed(deploys=False)
    stage.decide("merged")
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    for _ in range(3):
        stage.step()
        stage.pass_time(seconds=30)
    assert stage.status.phase is Phase.ROLLING_BACK
    undo = stage.proposals[1]
    assert (undo.undo, digest(undo.before), digest(undo.after)) == (True, digest(NEW), digest(OLD))
    stage.decide("merged")
    stage.step()
    assert stage.status.phase is Phase.REJECTED
    assert "before any workload showed it" in stage.status.message
    assert stage.status.attempt is not None
    assert (stage.status.attempt.patched_at, stage.running) == (None, [OLD, OLD])


def test_what_is_deployed_while_it_is_taken_back_is_watched_until_it_is_gone() -> None:
    stage = proposed(deploys=False)
    stage.decide("merged")
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    for _ in range(2):
        stage.step()
        stage.pass_time(seconds=30)
    stage.deploys = True
    stage.roll()
    stage.roll()
    stage.step()
    assert stage.status.attempt is not None
    assert stage.status.attempt.patched_at is not None
    stage.decide("merged")
    stage.run_until(Phase.ROLLED_BACK)
    assert stage.running == [OLD, OLD]


def test_a_no_to_a_commit_that_is_not_deployed_takes_it_back_too() -> None:
    stage = GitStage(apply=COMMIT, deploys=False)
    stage.run_until(Phase.APPLYING)
    for _ in range(2):
        stage.step()
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    stage.run_until(Phase.REJECTED)
    assert [entry.args for entry in stage.commits] == [NEW.args, OLD.args]


def test_a_no_in_the_moment_of_proposing_closes_what_may_be_there_already() -> None:
    stage = GitStage()
    stage.step()
    stage.step(killed=True)
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    step = stage.step()
    assert isinstance(step.act, ClosePull)
    assert (step.act.branch, step.act.number) == ("inferplan/serving/llama-abababab-1a8c8c", None)


def test_the_same_plan_for_another_file_of_the_repository_is_another_proposal() -> None:
    branches = {next(iter(proposed(apply=git_apply(path=path)).pulls)) for path in ("staging/a.yaml", "prod/a.yaml")}
    assert len(branches) == 2


def test_a_long_name_gives_a_branch_that_every_server_takes() -> None:
    name = "a" * 244 + "-abababab"
    stage = proposed(case_changes={"name": name, "namespace": "n" * 63})
    (branch,) = stage.pulls
    assert len(branch) < 240
    assert "-abababab-" in branch


def test_a_proposal_for_another_file_than_is_named_by_now_is_closed() -> None:
    stage = proposed()
    stage.apply = git_apply(path="moved.yaml")
    stage.step()
    assert stage.status.phase is Phase.SUPERSEDED
    assert stage.closed_with == ["It is proposed for another file than the one that spec.apply.git.path names now."]
    again(stage)
    assert [pull.state for pull, _ in stage.pulls.values()] == ["closed", "open"]


def test_what_was_taken_back_on_the_branch_is_not_waited_for() -> None:
    stage = proposed(deploys=False)
    stage.decide("merged")
    stage.step()
    stage.case_changes = {"taken_back": True}
    stage.step()
    assert stage.status.phase is Phase.FAILED
    assert reason(stage, "Applied") == "RevertedByOther"


def test_while_a_pull_request_is_open_the_busiest_window_of_the_last_day_counts() -> None:
    stage = proposed()

    def seen(hours: float, requests: float) -> float:
        stage.pass_time(hours=hours)
        stage.window = window(requests=requests, ended_at=timestamp(stage.now))
        stage.step()
        assert stage.status.baseline is not None
        return stage.status.baseline.requests

    assert seen(1, 6000.0) == 6000.0
    assert seen(1, 5000.0) == 6000.0
    assert seen(23, 5000.0) == 6000.0
    assert seen(1, 100.0) == 6000.0  # too few to judge by
    assert seen(1, 4000.0) == 4000.0
    stage.decide("merged")
    stage.deploys = False
    assert seen(1, 9000.0) == 9000.0  # merged, and the workload runs as before
    stage.roll()
    stage.put(NEW)
    stage.window = window(requests=20_000.0)
    stage.step()
    assert stage.status.phase is Phase.ROLLING_OUT
    assert stage.status.baseline is not None
    assert stage.status.baseline.requests == 9000.0


def test_an_old_pull_request_is_looked_at_less_often() -> None:
    stage = proposed()
    first = stage.step().again_at
    stage.pass_time(hours=2)
    later = stage.step().again_at
    assert (first, later) == (START + timedelta(seconds=90 + 30), stage.now + timedelta(seconds=300))


def test_what_git_does_not_tell_is_said() -> None:
    stage = proposed()
    stage.case_changes = {"git_silent": "api.github.com: answers with status 401"}
    stage.step()
    assert stage.status.message.endswith("What became of it is not known now: api.github.com: answers with status 401.")


def test_a_container_that_cannot_be_edited_any_more_is_left() -> None:
    stage = GitStage()
    stage.step()
    stage.case_changes = {"wanted": None}
    stage.step()
    assert stage.status.phase is Phase.FAILED
    assert reason(stage, "Applied") == "NotApplicable"


def test_a_killed_operator_proposes_again_on_the_same_branch() -> None:
    stage = GitStage()
    for _ in range(4):
        stage.step(killed=True)
    assert stage.proposals == []
    stage.step()
    stage.step()
    assert list(stage.pulls) == ["inferplan/serving/llama-abababab-1a8c8c"]


def test_nobody_is_called_by_what_a_plan_says() -> None:
    text = "ask @ada about #12 <script> and `a|b`\nnow"
    changes = [{"parameter": "max_batch_size", "current_value": 32, "recommended_value": 64, "reason": text}]
    act = proposed(plan=plan_spec(optimization={"config_changes": changes, "risks": [text]})).proposals[0]
    assert isinstance(act, Propose)
    for bad in ("@ada", "#12", "<script>", "a|b`\n"):
        assert bad not in act.body.replace("- ask", "")
    assert "a\\|b" in act.body
