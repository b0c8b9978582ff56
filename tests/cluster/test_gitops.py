"""Plans through Git: a real Gitea, Flux's kustomize-controller, a real API server, pods that run, and the operator.

Nobody but Flux changes the workload. What takes minutes (windows of measurements) is begun first, and asked for at the
end.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from tests.support.git_trial import BASE, FOLDER, PATH, GitGround, GitTrial, Site
from tests.support.ground import Ground, applying, prepared
from tests.support.lab import Cluster, random_namespace
from tests.support.operator_process import Operator

from inferplan_lab.flux import Flux
from inferplan_lab.gitea import Gitea

MINUTES = 240.0
"""A window after the change, and what lies before it."""
ONE_CYCLE_SECONDS = 10.0
"""A look at the workload every five seconds, on a machine that has other things to do."""


@pytest.fixture(scope="module")
def ground(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with prepared(control_plane, tmp_path_factory.mktemp("ground"), scraped=False) as ground:
        yield GitGround.on(ground)


@pytest.fixture(scope="module")
def site(gitea: Gitea, ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    cluster = ground.cluster
    with Flux(tmp_path_factory.mktemp("flux"), cluster.kubeconfig, cluster.kubectl, lambda _line: None) as flux:
        yield Site.of(gitea, flux)


@pytest.fixture(scope="module")
def operator(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with applying(ground, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture(scope="module", autouse=True)
def long(ground: Ground, site: Site, operator: Operator) -> Iterator[dict[str, GitTrial]]:
    """The trials that take minutes, on their way while the others run: merged as soon as they are proposed."""
    with ExitStack() as stack:

        def trial(**changes: Any) -> GitTrial:
            namespace = stack.enter_context(random_namespace(ground.cluster))
            return GitTrial(ground.cluster, namespace, ground.fake, operator, MINUTES, site=site, **changes)

        trials = {"better": trial(over_ssh=True), "worse": trial(extra={"TRIAL_GAIN": "0.5"})}
        for one in trials.values():
            one.deploy()
            one.git_instance()
        for one in trials.values():
            one.repository.merge(one.until_pull().number)
        yield trials


@pytest.fixture
def trial(ground: Ground, namespace: str, site: Site, operator: Operator) -> GitTrial:
    return GitTrial(ground.cluster, namespace, ground.fake, operator, site=site)


def test_a_pull_request_that_is_closed_rejects_the_plan_for_good(trial: GitTrial) -> None:
    trial.deploy()
    trial.git_instance()
    pull = trial.until_pull()
    trial.until(lambda: trial.of_plan("Applied")[1] == "PullRequestOpen", "it to be told")
    assert pull.url in trial.of_plan("Applied")[2]
    trial.repository.close(pull.number)
    plan = trial.until_phase("Rejected")
    assert trial.of_plan("Approved")[1] == "PullRequestClosed"
    three_more_looks(trial)
    assert [one["metadata"]["uid"] for one in trial.plans()] == [plan["metadata"]["uid"]]
    assert [one.state for one in trial.pulls()] == ["closed"]
    assert (trial.read(), trial.engine()["args"]) == (trial.text, trial.args)


def test_somebody_elses_commit_gives_another_plan_and_closes_the_pull_request(trial: GitTrial) -> None:
    trial.deploy()
    trial.git_instance()
    first = trial.until_pull()
    theirs = replace(trial, limit=30)
    trial.repository.commit({PATH: theirs.text}, "Fewer at once")
    trial.until(lambda: "Superseded" in trial.phases(), "the first plan to be superseded")
    second = trial.until_pull(2)
    assert [one.state for one in trial.pulls()] == ["closed", "open"]
    assert "other arguments" in trial.repository.comments(first.number)[-1]
    assert "-        - --max-num-seqs=30   # why: incident 7\n" in trial.repository.diff(second.number)
    assert trial.read() == theirs.text


def test_a_no_to_what_is_merged_and_not_deployed_takes_it_back_in_git(trial: GitTrial) -> None:
    trial.deploy()
    trial.git_instance()
    trial.suspend(suspended=True)
    trial.repository.merge(trial.until_pull().number, "squash")
    trial.until(lambda: trial.of_plan("Applied")[1] == "Committed", "the merge to be seen")
    trial.decide(approved=False)
    undo = trial.until_pull(2)
    assert (trial.phase(), undo.state) == ("RollingBack", "open")
    trial.repository.merge(undo.number, "squash")
    plan = trial.until_phase("Rejected")
    assert "before any workload showed it" in plan["status"]["message"]
    trial.suspend(suspended=False)
    trial.site.flux.until_applied(trial.namespace, trial.repository.head())
    three_more_looks(trial)
    assert (trial.read(), trial.engine()["args"], trial.own_writes()) == (trial.text, trial.args, 0)


def test_an_overlay_gets_a_patch_of_its_own_and_the_base_stays_as_it_is(trial: GitTrial) -> None:
    trial.overlay = True
    trial.deploy()
    trial.git_instance()
    pull = trial.until_pull()
    changed = [line for line in trial.repository.diff(pull.number).splitlines() if line.startswith("diff --git")]
    assert len(changed) == 2
    assert all(f" b/{FOLDER}/" in line for line in changed)
    trial.repository.merge(pull.number)
    trial.until_phase("Verifying")
    assert (trial.repository.read(BASE), trial.engine()["args"]) == (trial.text, trial.changed)


def test_a_commit_over_ssh_whose_engine_does_not_start_is_taken_back_by_a_commit(trial: GitTrial) -> None:
    trial.extra, trial.over_ssh = {"TRIAL_FAULT": "refuse"}, True
    trial.deploy()
    trial.git_instance("Commit")
    plan = trial.until_phase("RolledBack")
    assert "this engine takes no other number" in plan["status"]["rollback"]["message"]
    undone, changed, first = trial.repository.messages()
    where = f"{trial.namespace}/llama: max_batch_size 32→64"
    assert changed.startswith(f"{where}\n\n")
    assert f"InferPlan-Plan: {trial.namespace}/{plan['metadata']['name']}" in changed
    assert undone.startswith(f"Undo {where}\n\n")
    assert first == "What is deployed\n"
    assert (trial.read(), trial.engine()["args"]) == (trial.text, trial.args)
    assert (trial.pulls(), trial.own_writes()) == ((), 0)
    three_more_looks(trial)
    assert (changes(trial).count("max_batch_size 32→64"), len(trial.repository.messages())) == (1, 3)


def test_what_flux_keeps_is_not_written_into_the_cluster(trial: GitTrial) -> None:
    trial.deploy()
    trial.instance(takeOverFrom=["kustomize-controller"])
    told = trial.until_waits_for("GitOpsManaged")
    assert "Flux keeps this workload as its source has it" in told
    assert "use apply.mode GitOps" in told
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, 0)


def test_what_flux_takes_back_is_seen_at_once_and_not_fought(trial: GitTrial) -> None:
    trial.deploy()
    trial.instance(takeOverFrom=["kustomize-controller"], allowUnderGitOps=True)
    plan = trial.until_phase("Failed")
    (failed,) = (entry for entry in plan["status"]["conditions"] if entry["type"] == "Applied")
    assert failed["reason"] == "RevertedByOther"
    assert "Flux" in failed["message"]
    assert moment(failed["lastTransitionTime"]) - moment(written_by_flux(trial)) < ONE_CYCLE_SECONDS
    three_more_looks(trial)
    assert (trial.phase(), trial.engine()["args"], trial.own_writes()) == ("Failed", trial.args, 1)


def written_by_flux(trial: GitTrial) -> str:
    """When Flux changed the workload last, by the API server's own record."""
    text = trial.kubectl("get", "deployment", trial.name, "--show-managed-fields", "--output=json")
    fields = json.loads(text)["metadata"]["managedFields"]
    (time,) = (entry["time"] for entry in fields if entry["manager"] == "kustomize-controller")
    return str(time)


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


# -- what takes minutes


def test_a_merged_plan_is_deployed_measured_and_kept(long: dict[str, GitTrial]) -> None:
    trial = long["better"]
    plan = trial.until_phase("Verified")
    name = plan["metadata"]["name"]
    (pull,) = trial.pulls()
    assert (pull.head, pull.base, pull.state) == (f"inferplan/{trial.namespace}/{name}-3b5d2d", "main", "merged")
    assert pull.title == f"{trial.namespace}/llama: max_batch_size 32→64"
    assert "| max_batch_size | --max-num-seqs | 32 | 64 |" in pull.body
    assert "**Closing** this without merging rejects the plan for good." in pull.body
    lines = trial.repository.diff(pull.number).splitlines()
    assert [line for line in lines if line.startswith(("- ", "+ "))] == [
        "-        - --max-num-seqs=32   # why: incident 7",
        "+        - --max-num-seqs=64   # why: incident 7",
    ]
    assert trial.read() == trial.text.replace("--max-num-seqs=32 ", "--max-num-seqs=64 ")
    assert (trial.engine()["args"], trial.own_writes()) == (trial.changed, 0)
    kinds = ("Approved", "Applied", "RolledOut", "Verified")
    assert [trial.of_plan(kind)[1] for kind in kinds] == [
        "ApprovedByPolicy",
        "Patched",
        "RolloutComplete",
        "ImprovementKept",
    ]
    assert plan["status"]["attempt"]["git"]["pullRequest"] == {"number": 1, "url": pull.url, "state": "merged"}


def test_what_does_harm_is_taken_back_by_a_pull_request(long: dict[str, GitTrial]) -> None:
    trial = long["worse"]
    undo = trial.until_pull(2)
    assert trial.phase() == "RollingBack"
    assert undo.head.endswith("-undo")
    assert undo.title == f"Undo {trial.namespace}/llama: max_batch_size 32→64"
    assert trial.plan()["status"]["rollback"]["reason"] == "Regression"
    trial.repository.merge(undo.number)
    plan = trial.until_phase("RolledBack")
    assert (trial.read(), trial.engine()["args"], trial.own_writes()) == (trial.text, trial.args, 0)
    assert plan["status"]["rollback"]["git"]["pullRequest"]["state"] == "merged"
    three_more_looks(trial)
    assert (changes(trial).count("max_batch_size 32→64"), len(trial.pulls())) == (1, 2)


def test_no_secret_is_told(long: dict[str, GitTrial], site: Site, operator: Operator) -> None:
    for trial in long.values():
        told = trial.secrets_told().out + operator.log() + "".join(pull.body for pull in trial.pulls())
        assert trial.namespace in told
        assert site.token not in told


def changes(trial: GitTrial) -> list[str]:
    return [plan["spec"]["summary"]["changes"] for plan in trial.plans()]


def three_more_looks(trial: GitTrial) -> None:
    looks = trial.looks()
    trial.until(lambda: trial.looks() >= looks + 3, "three more looks")
