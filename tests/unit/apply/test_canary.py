"""One replica with the plan first: made, measured beside the others, taken away."""

from typing import Any

import pytest
from tests.support.application import FOREIGN, NEW, OLD, digest, plan_spec, window
from tests.support.canary_stage import CanaryStage
from tests.support.git_stage import GIT

from inferplan.api.plan import Approval, Phase
from inferplan.apply.canary import LABEL, MakeCanary, canary_body
from inferplan.apply.case import UNDECIDED_SECONDS

WORKLOAD = {
    "metadata": {"name": "llama", "namespace": "serving", "uid": "u"},
    "spec": {
        "replicas": 4,
        "selector": {"matchLabels": {"app": "llama"}},
        "template": {
            "metadata": {"labels": {"app": "llama"}, "annotations": {"prometheus.io/scrape": "true"}},
            "spec": {
                "serviceAccountName": "llama",
                "containers": [
                    {"name": "vllm", "image": "vllm:v0.33.0", "args": ["--max-num-seqs=32"], "env": [{"name": "A"}]},
                    {"name": "proxy", "image": "envoy"},
                ],
            },
        },
    },
}


def reason(stage: CanaryStage, kind: str = "CanaryPassed") -> str:
    return next((entry.reason for entry in stage.status.conditions if entry.type == kind), "")


def tried(**changes: Any) -> CanaryStage:
    stage = CanaryStage(**changes)
    stage.step()
    stage.step()
    assert stage.status.phase is Phase.CANARY
    return stage


def test_a_plan_is_tried_on_one_replica_before_the_workload_carries_it() -> None:
    stage = tried()
    assert (stage.made, stage.writes) == (1, [])
    assert stage.canary is not None
    assert digest(stage.canary) == digest(NEW)
    stage.run_until(Phase.APPLYING)
    assert stage.canary is None
    assert reason(stage) == "CanaryBetter"
    assert stage.status.canary is not None
    assert stage.status.canary.verification is not None
    assert stage.status.canary.verification.verdict == "Keep"
    stage.window = window(1600.0)
    stage.run_until(Phase.VERIFIED)
    assert [entry.args for entry in stage.writes] == [NEW.args]


def test_a_canary_that_does_worse_keeps_the_plan_from_the_workload() -> None:
    stage = tried(shown=window(700.0))
    stage.run_until(Phase.ROLLED_BACK)
    assert (stage.canary, stage.writes) == (None, [])
    assert reason(stage) == "CanaryWorse"
    assert stage.status.message.endswith("The workload was not changed.")
    assert stage.status.canary is not None
    assert stage.status.canary.verification is not None
    assert stage.status.canary.verification.verdict == "RollBack"


def test_a_canary_that_cannot_run_keeps_it_too() -> None:
    stage = tried(trouble="CrashLoopBackOff: back-off 10s")
    stage.run_until(Phase.ROLLED_BACK)
    assert (stage.canary, stage.writes) == (None, [])
    assert "CrashLoopBackOff" in stage.status.message


def test_a_canary_that_is_never_ready_keeps_it_too() -> None:
    stage = tried(slow=True)
    stage.run_until(Phase.ROLLED_BACK)
    assert "not ready after 1800 s" in stage.status.message


def test_no_place_for_one_is_no_harm_that_is_remembered() -> None:
    stage = tried(unplaced="0/3 nodes are available: 3 Insufficient nvidia.com/gpu.")
    stage.run_until(Phase.FAILED)
    assert reason(stage) == "CanaryUnschedulable"
    assert "Insufficient nvidia.com/gpu" in stage.status.message
    assert (stage.canary, stage.writes) == (None, [])


def test_another_load_on_it_is_measured_again_and_given_up_after_a_day() -> None:
    stage = tried(shown=window(1600.0, prompt_tokens_mean=5000.0))
    stage.run_until(Phase.FAILED, looks=400)
    assert reason(stage) == "Inconclusive"
    assert stage.status.canary is not None
    assert stage.status.canary.windows > UNDECIDED_SECONDS // 1000
    assert stage.canary is None


@pytest.mark.parametrize(("missing", "whose"), [("shown", "of the canary"), ("others", "of the others")])
def test_what_was_not_measured_says_nothing(missing: str, whose: str) -> None:
    stage = tried(**{missing: None})
    for _ in range(12):
        stage.step()
        stage.pass_time(minutes=5)
    assert stage.status.phase is Phase.CANARY
    assert whose in stage.status.message


def test_a_persons_no_takes_it_away() -> None:
    stage = tried()
    stage.plan = plan_spec(Approval(approved=False, by="bob"))
    stage.step()
    assert stage.status.phase is Phase.REJECTED
    assert stage.canary is None


@pytest.mark.parametrize("change", ["foreign", "gone", "uneditable"])
def test_another_workload_makes_it_void(change: str) -> None:
    stage = tried()
    if change == "foreign":
        stage.put(FOREIGN)
    elif change == "gone":
        stage.gone = True
    else:
        stage.case_changes = {"wanted": None}
    stage.step()
    assert stage.status.phase is Phase.SUPERSEDED
    assert (stage.canary, stage.writes) == (None, [])


def test_a_canary_that_somebody_deleted_is_made_again() -> None:
    stage = tried()
    stage.canary = None
    stage.step()
    assert stage.made == 2


def test_a_killed_operator_makes_no_second_one() -> None:
    stage = CanaryStage()
    for _ in range(4):
        stage.step(killed=True)
    assert (stage.made, stage.status.phase) == (0, Phase.CANARY)
    stage.step()
    stage.step()
    assert stage.made == 1


def test_stateful_sets_and_pull_requests_have_none() -> None:
    stage = CanaryStage(live_changes={"kind": "StatefulSet"})
    stage.step()
    assert reason(stage, "GatesPassed") == "CanaryImpossible"
    through_git = CanaryStage(apply={"mode": "GitOps", "canary": True, "git": GIT}, plan=plan_spec())
    through_git.step()
    assert through_git.status.phase is Phase.APPLYING


def test_it_is_the_workloads_pod_with_other_arguments_and_one_label_more() -> None:
    owner = {"kind": "OptimizationPlan", "name": "llama-abababab", "uid": "p"}
    body = canary_body(WORKLOAD, MakeCanary("llama-canary-1", "abab", NEW), owner)
    assert body["metadata"]["ownerReferences"] == [owner]
    assert body["spec"]["replicas"] == 1
    assert body["spec"]["selector"] == {"matchLabels": {LABEL: "abab"}}
    template = body["spec"]["template"]
    assert template["metadata"]["labels"] == {"app": "llama", LABEL: "abab"}
    assert template["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    engine, proxy = template["spec"]["containers"]
    words = {"command": ["vllm", "serve"], "args": list(NEW.args)}
    assert engine == {"name": "vllm", "image": "vllm:v0.33.0", **words, "env": [{"name": "A"}]}
    assert proxy == {"name": "proxy", "image": "envoy"}
    assert template["spec"]["serviceAccountName"] == "llama"
    assert WORKLOAD["spec"]["template"]["metadata"]["labels"] == {"app": "llama"}  # type: ignore[index]


def test_its_name_is_short_enough_for_pods_and_the_same_each_time() -> None:
    long = {"kind": "Deployment", "name": "m" * 63, "container": "vllm", "generation": 1, "args_digest": digest(OLD)}
    names = {
        tried(plan=plan_spec(Approval(approved=True, by="a", plan_hash="ab" * 32), target=long)).status.canary.name
        for _ in range(2)
    }  # type: ignore[union-attr]
    assert len(names) == 1
    assert len(names.pop()) <= 67
