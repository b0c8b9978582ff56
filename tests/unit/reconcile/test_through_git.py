"""Plans brought to Git, look by look, with Git and its forge in memory."""

import copy
from typing import Any

from tests.support.scene import Scene
from tests.support.world import ARGS, NAMESPACE

from inferplan.api.reasons import Reason
from inferplan.apply.through_git import TAKEN_BACK_SECONDS
from inferplan.gitops.port import GitOpsError, PullState
from inferplan.kube.resources import INSTANCES, PLANS

GIT = {"repository": "https://git.example/team/apps", "path": "llama.yaml", "forge": "Gitea"}


def git_ops(**git: Any) -> dict[str, Any]:
    return {"mode": "GitOps", "git": {**GIT, **git}}


async def proposed() -> Scene:
    scene = Scene(git_ops())
    await scene.look()
    await scene.look()
    return scene


async def test_a_plan_becomes_a_pull_request_that_says_what_it_is_for() -> None:
    scene = await proposed()
    await scene.look()
    assert (scene.phase, scene.reason("Applied")) == ("Applying", "PullRequestOpen")
    (asked,) = scene.git.asked
    assert asked.branch == f"inferplan/serving/{scene.plan['metadata']['name']}-1a8c8c"
    assert (asked.kind, asked.name, asked.container) == ("Deployment", "llama", "vllm")
    assert (list(asked.before.args), "--max-num-seqs=64" in asked.after.args) == (list(ARGS), True)
    assert ("InferPlan-Plan-Hash", scene.plan["spec"]["planHash"]) in asked.trailers
    assert scene.plan["status"]["attempt"]["git"]["pullRequest"]["url"] == "https://git.example/pulls/1"
    assert scene.args == list(ARGS)
    assert not [write for write in scene.cluster.writes if write[1] == "deployments"]


async def test_what_was_merged_is_looked_for_on_the_workload() -> None:
    scene = await proposed()
    scene.git.decide(PullState.MERGED)
    await scene.look()
    assert (scene.phase, scene.reason("Applied")) == ("Applying", "Committed")
    scene.workload["spec"]["template"]["spec"]["containers"][0]["args"] = list(scene.git.asked[0].after.args)
    await scene.until("RollingOut")
    scene.roll_out()
    await scene.until("Verifying")


async def test_a_pull_request_that_somebody_closes_rejects_the_plan_for_good() -> None:
    scene = await proposed()
    scene.git.decide(PullState.CLOSED)
    await scene.until("Rejected")
    for _ in range(3):
        await scene.look()
    assert (scene.phase, len(scene.git.asked)) == ("Rejected", 1)


async def test_a_persons_no_closes_the_pull_request() -> None:
    scene = await proposed()
    scene.decide(approved=False)
    await scene.until("Rejected")
    assert scene.git.comments == ["Rejected: ada rejected it."]


async def test_a_pull_request_that_cannot_be_closed_now_is_closed_later() -> None:
    scene = await proposed()
    scene.decide(approved=False)
    scene.git.fails = GitOpsError(Reason.GIT_UNREACHABLE, "git.example does not answer", passes=True)
    await scene.look()
    assert scene.phase == "Applying"
    scene.git.fails = None
    await scene.until("Rejected")
    assert len(scene.git.comments) == 1


async def test_a_repository_that_is_away_is_tried_again_later() -> None:
    scene = Scene(git_ops())
    scene.git.fails = GitOpsError(Reason.GIT_UNREACHABLE, "git.example does not answer", passes=True)
    await scene.until("Applying")
    await scene.until("Scheduled")
    assert "git.example does not answer" in scene.plan["status"]["message"]
    assert scene.plan["status"]["retryAt"]
    assert scene.args == list(ARGS)


async def test_a_server_that_is_away_for_long_is_asked_each_minute_and_not_given_up() -> None:
    scene = Scene(git_ops())
    scene.git.fails = GitOpsError(Reason.GIT_UNREACHABLE, "git.example does not answer", passes=True)
    for _ in range(5):
        await scene.look()
    assert scene.phase in {"Scheduled", "Applying"}
    assert not scene.plan["status"].get("failures")
    scene.git.fails = None
    await scene.until("Applying", looks=4)
    await scene.look()
    assert len(scene.git.asked) == 1


async def test_a_forge_that_is_away_changes_nothing_about_an_open_pull_request() -> None:
    scene = await proposed()
    scene.git.fails = GitOpsError(Reason.GIT_UNREACHABLE, "git.example does not answer", passes=True)
    await scene.look()
    await scene.look()
    assert (scene.phase, scene.reason("Applied")) == ("Applying", "PullRequestOpen")
    assert scene.plan["status"]["message"].endswith("What became of it is not known now: git.example does not answer.")


async def test_a_pull_request_that_was_merged_by_hand_and_closed_is_merged() -> None:
    scene = await proposed()
    scene.git.says_it = True
    scene.git.decide(PullState.CLOSED)
    await scene.look()
    assert (scene.phase, scene.reason("Applied")) == ("Applying", "Committed")


async def test_a_pull_request_that_is_merged_in_the_moment_of_a_persons_no_is_taken_back() -> None:
    scene = await proposed()
    scene.git.meanwhile = PullState.MERGED
    scene.decide(approved=False)
    await scene.until("RollingBack")
    assert scene.git.comments == []
    await scene.look()
    assert [asked.branch.endswith("-undo") for asked in scene.git.asked] == [False, True]


async def test_one_that_may_not_be_closed_is_told() -> None:
    scene = await proposed()
    scene.decide(approved=False)
    scene.git.fails = GitOpsError(Reason.GIT_DENIED, "git.example: answers with status 403")
    await scene.until("Rejected")
    message = scene.plan["status"]["message"]
    assert "https://git.example/pulls/1 could not be closed (git.example: answers with status 403)" in message


async def test_a_repository_that_is_not_named_any_more_is_not_asked_about_numbers_of_the_other() -> None:
    scene = await proposed()
    document = copy.deepcopy(scene.cluster.one(INSTANCES, NAMESPACE, "llama"))
    document["spec"]["apply"] = git_ops(repository="https://git.example/team/other")
    scene.cluster.put(document)
    scene.git.decide(PullState.MERGED)  # the other repository's pull request of that number
    await scene.look()
    (plan,) = scene.cluster.all(PLANS)
    assert plan["status"]["phase"] == "Superseded"
    assert "https://git.example/pulls/1 could not be closed" in plan["status"]["message"]
    scene.git.pulls.clear()
    await scene.until("Applying")
    await scene.look()
    await scene.look()
    assert (scene.reason("Applied"), len(scene.git.asked), scene.git.comments) == ("PullRequestOpen", 2, [])


async def test_what_is_taken_back_on_the_branch_is_seen_after_minutes_not_days() -> None:
    scene = await proposed()
    scene.git.decide(PullState.MERGED)
    await scene.look()
    assert scene.reason("Applied") == "Committed"
    scene.git.says_it = None  # somebody made something else of it: the workload will tell
    await scene.look(seconds=TAKEN_BACK_SECONDS)
    assert scene.reason("Applied") == "Committed"
    scene.git.says_it = False
    await scene.until("Failed")
    assert scene.reason("Applied") == "RevertedByOther"


async def test_a_server_that_does_not_take_the_undoing_is_asked_again_each_minute() -> None:
    scene = await proposed()
    scene.git.decide(PullState.MERGED)
    scene.workload["spec"]["template"]["spec"]["containers"][0]["args"] = list(scene.git.asked[0].after.args)
    await scene.until("RollingOut")
    scene.git.fails = GitOpsError(Reason.GIT_STALE, "llama.yaml: says something else")
    scene.decide(approved=False)
    await scene.until("RollingBack")
    for _ in range(20):
        await scene.look(seconds=1)
    assert scene.phase == "RollingBack"
    assert scene.plan["status"]["failures"] == 1
    await scene.until("Failed")
    assert scene.reason("RolledBack") == "RollbackFailed"


async def test_what_follows_again_is_proposed_again_though_its_pull_request_was_withdrawn() -> None:
    """InferPlan closed it itself: that is no person's no, also once the plan comes back."""
    scene = await proposed()
    first = scene.plan["metadata"]["name"]
    container = scene.workload["spec"]["template"]["spec"]["containers"][0]
    container["args"] = [*ARGS, "--seed=1"]
    scene.roll_out()
    await scene.look()
    assert scene.plans()[first] == "Superseded"
    branch = scene.git.asked[0].branch
    assert scene.git.pulls[branch].state is PullState.CLOSED
    scene.workload["spec"]["template"]["spec"]["containers"][0]["args"] = list(ARGS)
    scene.roll_out()
    for _ in range(4):
        await scene.look()
    assert scene.plans()[first] == "Applying"
    assert scene.git.asked[-1].branch == f"{branch}-1"
