"""Plans applied live: a real API server and its controllers, pods that run, the operator with what deploy/apply grants.

What takes minutes (windows of measurements) is begun for all trials at once, and asked for at the end.
"""

import dataclasses
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from tests.support.ground import Ground, applying, prepared
from tests.support.lab import Cluster, random_namespace
from tests.support.operator_process import Operator
from tests.support.trial import OWNER, QUICK, Trial

from inferplan_lab.lab import own_environment
from inferplan_lab.processes import Process

ONE_CYCLE_SECONDS = 10.0
"""A look at the workload every five seconds, on a machine that has other things to do."""
UNDONE = 3
"""Writes on a workload whose plan is undone: there, back, and its arguments given to their owner again."""
MINUTES = 240.0
"""A window before, one after, and what lies between them."""


@pytest.fixture(scope="module")
def ground(control_plane: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with prepared(control_plane, tmp_path_factory.mktemp("ground")) as ground:
        yield ground


@pytest.fixture(scope="module")
def operator(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with applying(ground, tmp_path_factory.mktemp("operator")) as operator:
        yield operator


@pytest.fixture(scope="module", autouse=True)
def long(ground: Ground, operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Trial]]:
    """The trials that take minutes, on their way while the others run."""
    slow_pace = {"TRIAL_ENGINE": "simulator", "INFERPLAN_SIM_SPEED": "0.25"}
    with ExitStack() as stack:

        def trial(**changes: Any) -> Trial:
            namespace = stack.enter_context(random_namespace(ground.cluster))
            return Trial(ground.cluster, namespace, ground.fake, operator, MINUTES, **changes)

        trials = {
            "better": trial(limit=8, source="default", extra=slow_pace),
            "slower": trial(limit=8, source="default", extra={**slow_pace, "TRIAL_FAULT": "slow"}),
            "approved": trial(),
            "canary": trial(limit=8, source="default", extra=slow_pace),
            "silent": trial(extra={"TRIAL_FAULT": "silent"}),
        }
        for name in ("better", "slower", "canary"):
            trials[name].make(probe=True)
            warm = {**QUICK, "warmUpSeconds": 15}  # the load is broken off and begun anew
            trials[name].instance(verify=warm, canary=name == "canary")
            stack.enter_context(load(trials[name], tmp_path_factory.mktemp(name)))
        trials["silent"].make(probe=True)
        trials["silent"].instance("Auto", rolloutTimeoutSeconds=60)
        trials["approved"].begin("Approve")
        trials["approved"].approve()
        yield trials


class load:  # noqa: N801  a context manager in lower case, as contextlib's own
    """Twenty clients of a trial's pods, which follow them through restarts."""

    def __init__(self, trial: Trial, folder: Path) -> None:
        self._process = Process("traffic", folder)
        self._argv = (
            *(sys.executable, "-m", "inferplan_lab.demo.traffic", "--kubeconfig", str(trial.cluster.kubeconfig)),
            *("--kubectl", str(trial.cluster.programs["kubectl"]), "-n", trial.namespace, "-l", f"app={trial.name}"),
            *("--concurrency", "20", "--input-tokens", "128", "--output-tokens", "64"),
        )

    def __enter__(self) -> None:
        self._process.start(self._argv, env=own_environment())

    def __exit__(self, *_exception: object) -> None:
        self._process.stop()


@pytest.fixture
def trial(ground: Ground, namespace: str, operator: Operator) -> Trial:
    return Trial(ground.cluster, namespace, ground.fake, operator)


# -- what keeps a plan from being applied


def test_it_waits_for_a_person_and_a_wrong_hash_is_no_approval(trial: Trial) -> None:
    trial.begin("Approve")
    trial.until_phase("AwaitingApproval")
    assert trial.of_plan("Approved")[1] == "AwaitingApproval"
    trial.decide(plan_hash="0" * 64)
    three_more_looks(trial)
    assert trial.phase() == "AwaitingApproval"
    assert trial.engine()["args"] == trial.args
    trial.decide(approved=False)
    trial.until_phase("Rejected")
    assert "PlanRejected" in trial.events()


def test_what_risks_answers_is_never_done_by_itself(trial: Trial) -> None:
    trial.make()
    trial.stands()
    trial.instance(spec={"constraints": {}})
    trial.until_phase("AwaitingApproval")
    assert "fp8" in trial.plan()["spec"]["summary"]["changes"]
    assert "may take something from clients, or change answers" in trial.of_plan("Approved")[2]
    assert trial.engine()["args"] == trial.args


@pytest.mark.parametrize("manager", ["terraform", "helm"])
def test_arguments_that_another_manager_applied_are_left_to_it_unless_named(manager: str, trial: Trial) -> None:
    trial.begin(manager=manager, takeOverFrom=[])
    told = trial.until_waits_for("FieldsOwned")
    assert f"its arguments belong to {manager}" in told
    assert f'apply.takeOverFrom: ["{manager}"]' in told
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, 0)
    trial.instance(takeOverFrom=[manager])
    trial.until_phase("RollingOut", "Verifying")
    assert (trial.engine()["args"], trial.own_writes()) == (trial.changed, 1)


def test_arguments_of_a_plain_kubectl_apply_too(trial: Trial) -> None:
    trial.kubectl("apply", "--filename=-", stdin=json.dumps(trial.document()))
    trial.stands()
    trial.instance()
    assert 'takeOverFrom: ["trial", "kubectl-client-side-apply"]' in trial.until_waits_for("FieldsOwned")
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, 0)


def test_a_workload_that_argo_cd_keeps_is_not_touched(trial: Trial) -> None:
    document = trial.document()
    document["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "llm:apps/Deployment:ns/llama"}
    trial.put(document, "argocd-controller")
    trial.stands()
    trial.instance(takeOverFrom=["argocd-controller"])
    assert "Argo CD keeps this workload as its source has it" in trial.until_waits_for("GitOpsManaged")
    assert trial.own_writes() == 0


def test_a_paused_deployment_is_left_until_it_is_resumed(trial: Trial) -> None:
    trial.make()
    trial.stands()
    trial.kubectl("rollout", "pause", f"deployment/{trial.name}")
    trial.instance()
    trial.until_waits_for("Paused")
    trial.kubectl("rollout", "resume", f"deployment/{trial.name}")
    trial.until_phase("RollingOut", "Verifying")


def test_a_disruption_budget_without_room_is_respected(trial: Trial) -> None:
    trial.make(strategy={"type": "Recreate"})
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "keep"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": trial.name}}},
    }
    trial.apply(budget)
    trial.stands()
    trial.until(lambda: trial.cluster.get("pdb", "keep", trial.namespace)["status"].get("currentHealthy") == 1, "it")
    trial.instance()
    assert 'PodDisruptionBudget "keep" allows no pod to go now' in trial.until_waits_for("DisruptionBudget")
    assert trial.own_writes() == 0
    trial.kubectl("delete", "pdb", "keep")
    trial.until_phase("RollingOut", "Verifying")


def test_outside_its_windows_it_waits(trial: Trial) -> None:
    month = datetime.fromtimestamp(time.time() + 90 * 86_400, UTC).month
    trial.begin(maintenanceWindows=[{"schedule": f"0 3 1 {month} *", "durationSeconds": 3600}])
    assert "the next one opens at" in trial.until_waits_for("OutsideWindow")
    assert trial.own_writes() == 0


def test_a_target_that_was_edited_supersedes_the_plan(trial: Trial) -> None:
    trial.begin("Approve")
    old = trial.until_phase("AwaitingApproval")["metadata"]["name"]
    trial.limit = 30
    trial.make()
    trial.until(lambda: trial.phases() == ["AwaitingApproval", "Superseded"], "a plan for the new arguments")
    assert trial.plan()["metadata"]["name"] != old
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, 0)


def test_a_target_that_was_deleted_is_told(trial: Trial) -> None:
    trial.begin("Approve")
    trial.until_phase("AwaitingApproval")
    trial.kubectl("delete", "deployment", trial.name)
    trial.decide()
    trial.until_waits_for("TargetGone")


def test_of_two_workloads_of_a_model_one_waits_for_the_other(trial: Trial) -> None:
    other = dataclasses.replace(trial, name="other")
    model = {"model": {"id": "meta-llama/Llama-3.1-8B"}}
    for one in (trial, other):
        one.make()
    for one in (trial, other):
        one.stands()
        one.instance("Approve", spec=model)
    for one in (trial, other):
        one.approve()
    trial.until(lambda: {trial.phase(), other.phase()} & {"RollingOut", "Verifying"} != set(), "one of them")
    first, second = (trial, other) if trial.phase() in {"RollingOut", "Verifying"} else (other, trial)
    assert first.plan()["metadata"]["name"] in second.until_waits_for("GroupBusy")
    assert second.engine()["args"] == second.args
    first.decide(approved=False)  # what is in the way is undone
    first.until_phase("RolledBack")
    second.until_phase("RollingOut", "Verifying")


# -- what is applied


def test_a_stateful_set_is_applied_and_a_person_undoes_it(trial: Trial) -> None:
    trial.make(kind="StatefulSet")
    trial.stands()
    trial.instance(spec={"targetRef": {"kind": "StatefulSet", "name": trial.name}})
    trial.until_phase("Verifying")
    assert trial.engine()["args"] == trial.changed
    trial.decide(approved=False)
    trial.until_phase("RolledBack")
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, UNDONE)
    trial.limit = 30  # and the arguments are their owner's again: no conflict with a later change of theirs
    owner = ("apply", "--server-side", f"--field-manager={OWNER}", "--filename=-")
    trial.kubectl(*owner, stdin=json.dumps(trial.document("StatefulSet")))
    assert trial.engine()["args"] == trial.args


def test_what_an_autoscaler_wrote_stays(trial: Trial) -> None:
    trial.begin("Approve")
    trial.until_phase("AwaitingApproval")
    scaled = ("--subresource=scale", "--type=merge", '--patch={"spec":{"replicas":2}}')
    trial.kubectl("patch", "deployment", trial.name, *scaled, "--field-manager=kube-controller-manager")
    trial.approve()
    trial.until_phase("Verifying")
    assert trial.live()["spec"]["replicas"] == 2
    assert trial.live()["status"]["updatedReplicas"] == 2
    assert trial.engine()["args"] == trial.changed


@pytest.mark.parametrize(
    ("fault", "told"),
    [("refuse", "this engine takes no other number"), ("oom", "its engine ran out of memory (OOMKilled")],
)
def test_an_engine_that_does_not_run_with_it_gets_back_what_it_had(fault: str, told: str, trial: Trial) -> None:
    trial.extra = {"TRIAL_FAULT": fault}
    trial.make()
    trial.stands()
    before = trial.engine()
    trial.instance()
    plan = trial.until_phase("RolledBack")
    assert told in plan["status"]["rollback"]["message"]
    assert trial.of_plan("RolledBack")[1] == "Restored"
    assert (trial.engine(), trial.own_writes()) == (before, UNDONE)
    three_more_looks(trial)
    assert trial.plan()["metadata"]["name"] == plan["metadata"]["name"]  # the same is not proposed again
    assert {"PlanUndone", "PlanRestored"} <= trial.events()


def test_a_canary_that_does_not_run_keeps_the_plan_from_the_workload(trial: Trial) -> None:
    trial.extra = {"TRIAL_FAULT": "refuse"}
    trial.begin(canary=True)
    plan = trial.until_phase("RolledBack")  # it fails within seconds: nobody can count on seeing it
    assert f"pod {trial.name}-canary-" in plan["status"]["message"]
    assert "this engine takes no other number" in plan["status"]["message"]
    assert trial.of_plan("CanaryPassed")[1] == "CanaryWorse"
    assert deployments(trial) == [trial.name]
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, 0)


def deployments(trial: Trial) -> list[str]:
    return trial.kubectl("get", "deployments", "--output=jsonpath={.items[*].metadata.name}").split()


def test_a_reconciler_that_takes_it_back_is_seen_at_once_and_not_fought(trial: Trial) -> None:
    document = trial.document()
    document["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "llm:apps/Deployment:ns/llama"}
    trial.put(document, "argocd-controller")
    trial.stands()
    with Reconciler(trial, document) as reconciler:
        trial.instance(takeOverFrom=["argocd-controller"], allowUnderGitOps=True)
        plan = trial.until_phase("Failed")
        failed = next(entry for entry in plan["status"]["conditions"] if entry["type"] == "Applied")
        assert failed["reason"] == "RevertedByOther"
        assert "Argo CD" in failed["message"]
        (reverted,) = reconciler.reverted
        seen = datetime.fromisoformat(failed["lastTransitionTime"]).timestamp()
        assert seen - reverted < ONE_CYCLE_SECONDS
        three_more_looks(trial)
        assert len(reconciler.reverted) == 1
    assert (trial.phase(), trial.engine()["args"], trial.own_writes()) == ("Failed", trial.args, 1)


class Reconciler:
    """Puts back what Git says every two seconds, as Argo CD's self-heal does: server-side apply, forced."""

    def __init__(self, trial: Trial, document: dict[str, Any]) -> None:
        self._trial = trial
        self._document = document
        self._generation = trial.live()["metadata"]["generation"]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.reverted: list[float] = []
        """When it changed something."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(2.0):
            generation = self._trial.put(self._document, "argocd-controller")["metadata"]["generation"]
            if generation != self._generation:
                self.reverted.append(time.time())
            self._generation = generation


# -- what takes minutes


def test_an_approved_plan_is_applied_measured_and_kept(long: dict[str, Trial]) -> None:
    trial = long["approved"]
    plan = trial.until_phase("Verified")
    assert (trial.engine()["args"], trial.own_writes()) == (trial.changed, 1)
    kinds = ("Approved", "GatesPassed", "Applied", "RolledOut", "Verified")
    assert [trial.of_plan(kind)[1] for kind in kinds] == [
        "ApprovedByPerson",
        "AllGatesPassed",
        "Patched",
        "RolloutComplete",
        "ImprovementKept",
    ]
    assert {"PlanApplying", "PlanApplied", "PlanMeasured", "PlanVerified"} <= trial.events()
    assert 'inferplan_plan_transitions_total{phase="Verified"}' in trial.operator.metrics()
    described = trial.kubectl("describe", "oplan", plan["metadata"]["name"])
    assert "Kept: output tokens per second went from 1600 to 2080 tokens/s, and nothing got worse" in described
    events = described.partition("Events:")[2]
    assert all(reason in events for reason in ("PlanProposed", "PlanApplied", "PlanVerified"))


def test_pods_that_never_get_ready_are_given_up(long: dict[str, Trial]) -> None:
    trial = long["silent"]
    plan = trial.until_phase("RolledBack")
    assert plan["status"]["rollback"]["reason"] == "RolloutTimedOut"
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, UNDONE)


def test_an_engine_that_gets_better_keeps_it(long: dict[str, Trial]) -> None:
    trial = long["better"]
    plan = trial.until_phase("Verified")
    verification = plan["status"]["verification"]
    assert verification["verdict"] == "Keep"
    assert verification["predicted"].startswith("throughput +")
    assert verification["realized"].startswith("output tokens per second +")
    assert "percentage points" in verification["error"]
    assert (trial.engine()["args"], trial.own_writes()) == (trial.changed, 1)


def test_an_engine_that_gets_worse_gets_back_what_it_had(long: dict[str, Trial]) -> None:
    trial = long["slower"]
    plan = trial.until_phase("RolledBack")
    assert plan["status"]["rollback"]["reason"] == "Regression"
    assert plan["status"]["verification"]["verdict"] == "RollBack"
    assert (trial.engine()["args"], trial.own_writes()) == (trial.args, UNDONE)


def test_a_canary_that_does_no_worse_lets_the_plan_onto_the_workload(long: dict[str, Trial]) -> None:
    trial = long["canary"]
    plan = trial.until_phase("RollingOut", "Verifying", "Verified")
    assert plan["status"]["canary"]["verification"]["verdict"] == "Keep"
    assert trial.of_plan("CanaryPassed")[1] == "CanaryBetter"
    assert deployments(trial) == [trial.name]
    assert (trial.engine()["args"], trial.own_writes()) == (trial.changed, 1)


def three_more_looks(trial: Trial) -> None:
    looks = trial.looks()
    trial.until(lambda: trial.looks() >= looks + 3, "three more looks")
