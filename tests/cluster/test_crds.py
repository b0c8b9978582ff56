"""The committed CRDs on the real API server: names, columns, defaults, manual, and objects that come back whole."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.cel_cases import FULL_PLAN_SPEC, FULL_SPEC, HASH, INSTANCE, PLAN, changed
from tests.support.lab import Cluster

from inferplan.api.instance import InstanceSpec
from inferplan.api.kinds import KINDS, Kind
from inferplan.api.plan import PlanSpec

INSTANCE_STATUS = {
    "model": "meta-llama/Llama-3.1-70B-Instruct",
    "engineVersion": "0.33.0",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Planned",
            "message": "The instance was read.",
            "lastTransitionTime": "2026-11-24T12:00:00Z",
        }
    ],
    "cause": "SchedulerCapped",
    "bottlenecks": [
        {
            "type": "SchedulerCapped",
            "severity": "high",
            "description": "Requests wait.",
            "metric": "num_requests_waiting",
            "value": 12.5,
            "threshold": 1.0,
        }
    ],
    "plan": {"name": "llama-3f9c1d20", "phase": "Proposed", "gain": "+10 to +50 %"},
}
PLAN_STATUS = {"phase": "Verified", "verification": {"realized": "+31 %"}}


@pytest.fixture(scope="module")
def shop(control_plane: Cluster, module_namespace: str) -> str:
    """A namespace with one instance and its plan, both with a status."""
    plan = {**PLAN, "spec": FULL_PLAN_SPEC}
    control_plane.apply({**INSTANCE, "spec": FULL_SPEC}, plan, namespace=module_namespace)
    for kind, name, status in (("ii", "llama", INSTANCE_STATUS), ("oplan", f"llama-{HASH[:8]}", PLAN_STATUS)):
        patch = json.dumps({"status": status})
        target = (kind, name, f"--namespace={module_namespace}")
        control_plane.kubectl("patch", *target, "--subresource=status", "--type=merge", f"--patch={patch}")
    return module_namespace


def table(cluster: Cluster, *arguments: str) -> tuple[list[str], list[str]]:
    """Header and first row of `kubectl get`, split where kubectl leaves three blanks."""
    header, row = cluster.kubectl("get", *arguments).splitlines()[:2]
    return header.split(), [cell.strip() for cell in row.split("   ") if cell.strip()]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_the_api_server_finds_no_fault_with_the_schema(kind: Kind, control_plane: Cluster) -> None:
    definition = control_plane.get("crd", kind.crd_name)
    conditions = {condition["type"]: condition["status"] for condition in definition["status"]["conditions"]}
    assert conditions.get("NonStructuralSchema", "False") == "False"
    assert conditions["NamesAccepted"] == "True"
    assert conditions["Established"] == "True"


@pytest.mark.parametrize("name", ["ii", "infinst", "oplan", "inferplan"])
def test_short_names_and_category_work(name: str, control_plane: Cluster, shop: str) -> None:
    assert "llama" in control_plane.kubectl("get", name, f"--namespace={shop}", "--output=name")


def test_kubectl_get_shows_the_columns_of_an_instance(control_plane: Cluster, shop: str) -> None:
    header, row = table(control_plane, "ii", f"--namespace={shop}")
    assert header == ["NAME", *["MODEL", "ENGINE", "READY", "BOTTLENECK", "PLAN", "GAIN", "MODE", "AGE"]]
    model = "meta-llama/Llama-3.1-70B-Instruct"
    seen = ["llama", model, "vllm", "True", "SchedulerCapped", "llama-3f9c1d20", "+10 to +50 %", "GitOps"]
    assert row[:-1] == seen


def test_kubectl_get_shows_the_columns_of_a_plan(control_plane: Cluster, shop: str) -> None:
    header, row = table(control_plane, "oplan", f"--namespace={shop}")
    assert header == ["NAME", *["INSTANCE", "PHASE", "CHANGES", "IMPACT", "GAIN", "CONFIDENCE", "AGE"]]
    seen = ["llama-3f9c1d20", "llama", "Verified", "max_batch_size 32 → 64", "medium", "+10 to +50 %", "medium"]
    assert row[:-1] == seen


def test_the_wide_columns_of_a_plan_are_restart_risk_and_realized(control_plane: Cluster, shop: str) -> None:
    header, row = table(control_plane, "oplan", f"--namespace={shop}", "--output=wide")
    assert header[-4:] == ["RESTART", "RISK", "REALIZED", "AGE"]
    assert row[-4:-1] == ["true", "latency between tokens", "+31 %"]


def test_a_fresh_instance_shows_its_mode_and_no_bottleneck(control_plane: Cluster, namespace: str) -> None:
    control_plane.apply(INSTANCE, namespace=namespace)
    columns = "--output=custom-columns=MODE:.spec.apply.mode"
    assert control_plane.kubectl("get", "ii", "llama", f"--namespace={namespace}", columns).split() == ["MODE", "Off"]
    patch = ("--subresource=status", "--type=merge", '--patch={"status":{"model":"m"}}')
    control_plane.kubectl("patch", "ii", "llama", f"--namespace={namespace}", *patch)
    assert table(control_plane, "ii", f"--namespace={namespace}")[1][:3] == ["llama", "m", "vllm"]


def test_the_server_fills_in_what_the_models_fill_in(control_plane: Cluster, namespace: str) -> None:
    control_plane.apply(INSTANCE, namespace=namespace)
    stored = control_plane.get("ii", "llama", namespace)["spec"]
    filled = {
        "warmUpSeconds": 120,
        "windowSeconds": 900,
        "minRequests": 200,
        "maxRegressionPercent": 5,
        "onInconclusive": "Keep",
    }
    assert stored["apply"]["verify"] == filled
    assert "currentConfig" not in stored
    assert InstanceSpec.from_kube(stored) == InstanceSpec.from_kube(INSTANCE["spec"])


def test_a_full_instance_comes_back_whole(control_plane: Cluster, shop: str) -> None:
    stored = control_plane.get("ii", "llama", shop)["spec"]
    assert InstanceSpec.from_kube(stored).to_kube() == FULL_SPEC


def test_a_full_plan_comes_back_whole(control_plane: Cluster, shop: str) -> None:
    stored = control_plane.get("oplan", f"llama-{HASH[:8]}", shop)["spec"]
    assert PlanSpec.from_kube(stored) == PlanSpec.from_kube(FULL_PLAN_SPEC)


def test_what_the_operator_writes_is_taken_without_a_warning(control_plane: Cluster, namespace: str) -> None:
    body = changed(PLAN, {"spec": PlanSpec.from_kube(FULL_PLAN_SPEC).to_kube()})
    path = f"/apis/inferplan.dev/v1alpha1/namespaces/{namespace}/optimizationplans?fieldValidation=Strict"
    answer = control_plane.send("create", path, body)
    assert (answer.code, answer.err) == (0, "")


def test_the_spec_is_not_changed_through_the_status(control_plane: Cluster, shop: str) -> None:
    patch = json.dumps({"spec": {"engine": "sglang"}, "status": {"engineVersion": "0.34.0"}})
    target = ("ii", "llama", f"--namespace={shop}", "--subresource=status", "--type=merge")
    control_plane.kubectl("patch", *target, f"--patch={patch}")
    stored = control_plane.get("ii", "llama", shop)
    assert stored["spec"]["engine"] == "vllm"
    assert stored["status"]["engineVersion"] == "0.34.0"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("ii", "One LLM serving deployment as its owner sees it."),
        ("ii.spec.apply", "Whether and how plans are applied."),
        ("ii.spec.apply.mode", "Off: plans are written, nothing is applied."),
        ("ii.spec.slo.metric", "ttft: to the first token."),
        ("ii.status.bottlenecks", "Findings, worst first."),
        ("oplan", "Ranked changes to one InferenceInstance"),
        ("oplan.spec.optimizations.configChanges", "Settings that change together."),
        ("oplan.status.phase", "What became of the plan."),
    ],
)
def test_kubectl_explain_reads_as_a_manual(path: str, said: str, control_plane: Cluster) -> None:
    assert said in " ".join(control_plane.kubectl("explain", path).split())


def test_kubectl_explain_shows_every_field_with_a_description(control_plane: Cluster) -> None:
    text = control_plane.kubectl("get", "--raw", "/openapi/v3/apis/inferplan.dev/v1alpha1")
    served = json.loads(text)["components"]["schemas"]
    bare = [
        f"{name}.{field}"
        for name in ("InferenceInstance", "OptimizationPlan")
        for field in _without_description(served[f"dev.inferplan.v1alpha1.{name}"]["properties"])
    ]
    assert bare == []


def _without_description(properties: Mapping[str, Any]) -> list[str]:
    bare = []
    for name, node in properties.items():
        if "description" not in node and name != "metadata":
            bare.append(name)
        inner = node.get("items", node.get("additionalProperties", node))
        deeper = inner.get("properties", {}) if isinstance(inner, dict) else {}
        bare += [f"{name}.{field}" for field in _without_description(deeper)]
    return bare
