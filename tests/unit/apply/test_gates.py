"""What keeps a plan from being applied now."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.support.application import START, Stage, digest, plan_spec, window

from inferplan.api.conditions import Condition, Status
from inferplan.api.plan import Patch, Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.gates import GATES, closed_gate
from inferplan.domain.owner import OwnedField, Owner

FLUX = Owner("Flux", OwnedField.ALL, reconciles=True, basis="a label")
HPA = Owner("an autoscaler", OwnedField.REPLICAS, reconciles=True, basis="scale")
HELM = Owner("Helm", OwnedField.ALL, reconciles=False, basis="an annotation")
REFUSED = PlanStatus(
    retry_at="2026-03-01T12:10:00Z",
    refused_generation=7,
    baseline=window(),
    conditions=(
        Condition(
            type=PlanConditionType.APPLIED,
            status=Status.FALSE,
            reason=Reason.ACCESS_DENIED,
            message="no right to it",
            last_transition_time="2026-03-01T12:00:00Z",
            observed_generation=1,
        ),
    ),
)
NIGHT = [{"schedule": "0 2 * * *", "durationSeconds": 3600}]


def stage(**changes: Any) -> Stage:
    return Stage(**{"status": PlanStatus(baseline=window()), **changes})


CLOSED = [
    ("NotApplicable", {"plan": plan_spec(patch=Patch(applicable=False, reason="a script"))}, "a script: do it by hand"),
    ("NotApplicable", {"plan": plan_spec(target=None)}, "the spec names no workload"),
    ("NotApplicable", {"case_changes": {"wanted": None}}, "the arguments cannot be edited with certainty"),
    ("FailedBefore", {"case_changes": {"failed_before": "it made things worse"}}, "it made things worse"),
    ("TargetGone", {"gone": True}, "does not exist"),
    ("TargetChanged", {"container": Stage().case().wanted}, "runs other arguments"),
    (
        "TargetShared",
        {"case_changes": {"shared_with": "llama-2"}},
        'InferenceInstance "llama-2" names the same workload',
    ),
    ("Paused", {"case_changes": {"paused": "the operator is told to apply nothing"}}, "the operator is told"),
    ("Paused", {"live_changes": {"paused_by_owner": True}}, "inferplan.dev/paused"),
    ("Paused", {"live_changes": {"rollout_paused": True}}, "spec.paused"),
    ("DoesNotRoll", {"live_changes": {"rolls": False}}, "OnDelete"),
    (
        "CanaryImpossible",
        {"apply": {"mode": "Approve", "canary": True}, "live_changes": {"kind": "StatefulSet"}},
        "not with a StatefulSet",
    ),
    ("GitOpsManaged", {"case_changes": {"owners": (HPA, HELM, FLUX)}}, "Flux keeps this workload"),
    ("RolloutInProgress", {"live_changes": {"updated": 1, "stuck": "Deadline: slow"}}, "1 of 2 pods"),
    ("RolloutInProgress", {"live_changes": {"observed_generation": 0}}, "2 of 2 pods run the present template"),
    ("BaselineMissing", {"apply": {"mode": "Auto"}, "status": PlanStatus()}, "no window with 200 requests"),
    ("BaselineMissing", {"apply": {"mode": "Auto"}, "status": PlanStatus(baseline=window(requests=9.0))}, "200"),
    ("OutsideWindow", {"apply": {"mode": "Auto", "maintenanceWindows": NIGHT}}, "opens at 2026-03-02T02:00:00Z"),
    ("CoolingDown", {"case_changes": {"rests_until": START + timedelta(hours=1)}}, "until 2026-03-01T13:00:00Z"),
    ("BackingOff", {"status": PlanStatus(retry_at="2026-03-01T12:10:00Z")}, "a try failed; tried again at"),
    (
        "AccessDenied",
        {"status": REFUSED, "case_changes": {"instance_generation": 7}},
        "no right to it; tried again at 2026-03-01T12:10:00Z",
    ),
    ("DisruptionBudget", {"live_changes": {"takes_down": True}, "case_changes": {"disruption": "pdb"}}, "pdb"),
    ("GroupBusy", {"case_changes": {"busy": "a/b-12345678"}}, "a/b-12345678 changes a workload of the same model"),
]


@pytest.mark.parametrize(("reason", "changes", "told"), CLOSED)
def test_each_gate_closes_and_says_why(reason: str, changes: dict[str, Any], told: str) -> None:
    found = closed_gate(stage(**changes).case())
    assert found is not None
    assert found.reason == reason
    assert told in found.message


def test_every_gate_is_tried_above() -> None:
    # TargetGone and TargetChanged are one gate, BackingOff and what it tells of are another
    assert len({reason for reason, _, _ in CLOSED}) == len(GATES) + 2


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"case_changes": {"owners": (HPA, HELM)}},
        {"case_changes": {"owners": (FLUX,)}, "apply": {"mode": "Approve", "allowUnderGitOps": True}},
        {"case_changes": {"rests_until": START}},
        {"case_changes": {"disruption": "pdb"}},  # a surge takes nobody down
        {"status": PlanStatus(retry_at="2026-03-01T12:00:00Z")},
        {"status": REFUSED, "case_changes": {"instance_generation": 8}},  # the owner changed something since
        {"status": PlanStatus()},  # a person may want it without a baseline
        {"apply": {"mode": "Auto", "maintenanceWindows": [{"schedule": "0 12 * * *", "durationSeconds": 60}]}},
    ],
)
def test_what_keeps_nothing_back(changes: dict[str, Any]) -> None:
    assert closed_gate(stage(**changes).case()) is None


def test_a_closed_gate_is_told_and_looked_at_again_when_it_opens() -> None:
    held = stage(case_changes={"rests_until": START + timedelta(hours=1)})
    step = held.step()
    assert held.status.phase is Phase.SCHEDULED
    assert held.status.message == "Waits: the last change was less than its cool-down ago, until 2026-03-01T13:00:00Z."
    assert step.again_at == datetime.fromisoformat("2026-03-01T13:00:00Z")
    assert digest(held.container or Stage().case().wanted) == digest(Stage().container)  # type: ignore[arg-type]
    held.case_changes = {}
    held.run_until(Phase.VERIFIED)
