"""Who keeps a workload, by what the tools write into it."""

from typing import Any

import pytest

from inferplan.domain.owner import OwnedField
from inferplan.observe.owners import owners_of

ARGS = {"f:template": {"f:spec": {"f:containers": {'k:{"name":"vllm"}': {"f:args": {}}}}}}


def workload(**meta: Any) -> dict[str, Any]:
    return {"metadata": meta}


@pytest.mark.parametrize(
    ("meta", "name", "reconciles"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "llama:apps/Deployment:serving/llama"}}, "Argo CD", True),
        ({"annotations": {"argocd.argoproj.io/installation-id": "prod"}}, "Argo CD", True),
        ({"labels": {"argocd.argoproj.io/instance": "llama"}}, "Argo CD", True),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}, "Flux", True),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "llama"}}, "Flux", True),
        ({"annotations": {"meta.helm.sh/release-name": "llama"}}, "Helm", False),
        (
            {"ownerReferences": [{"kind": "InferenceService", "name": "llama", "controller": True}]},
            "InferenceService llama",
            True,
        ),
    ],
)
def test_a_tool_is_told_by_what_it_writes(meta: dict[str, Any], name: str, *, reconciles: bool) -> None:
    (owner,) = owners_of(workload(**meta), "vllm")
    assert (owner.name, owner.owned, owner.reconciles) == (name, OwnedField.ALL, reconciles)
    assert owner.basis


def test_one_tool_is_named_once() -> None:
    marks = {"labels": {"argocd.argoproj.io/instance": "a"}, "annotations": {"argocd.argoproj.io/tracking-id": "b"}}
    (owner,) = owners_of(workload(**marks), "vllm")
    assert owner.basis == "argocd.argoproj.io/tracking-id: b"


@pytest.mark.parametrize(
    ("manager", "name"),
    [
        ("kube-controller-manager", "A HorizontalPodAutoscaler (KEDA's, if it made one)"),
        ("keda", "KEDA"),
        ("own-autoscaler", "own-autoscaler"),
        ("kubectl", None),  # a person, once
    ],
)
def test_an_autoscaler_shows_by_the_scale_subresource(manager: str, name: str | None) -> None:
    entry = {
        "manager": manager,
        "subresource": "scale",
        "fieldsV1": {"f:spec": {"f:replicas": {}}},
    }
    owners = owners_of(workload(managedFields=[entry]), "vllm")
    assert [(owner.name, owner.owned) for owner in owners] == ([(name, OwnedField.REPLICAS)] if name else [])
    entry["fieldsV1"] = {"f:status": {}}
    assert owners_of(workload(managedFields=[entry]), "vllm") == ()


@pytest.mark.parametrize(
    ("manager", "name"),
    [
        ("argocd-controller", "Argo CD"),
        ("argocd-application-controller", "Argo CD"),
        ("kustomize-controller", "Flux"),
        ("helm-controller", "Flux"),
    ],
)
def test_a_tool_that_leaves_no_mark_of_its_own_is_told_by_its_writes(manager: str, name: str) -> None:
    entry = {"manager": manager, "fieldsV1": {"f:spec": ARGS}}
    keeper, writer = owners_of(workload(managedFields=[entry], labels={"app.kubernetes.io/instance": "llama"}), "vllm")
    assert (keeper.name, keeper.owned, keeper.reconciles) == (name, OwnedField.ALL, True)
    assert (writer.name, writer.owned) == (manager, OwnedField.ARGUMENTS)
    entry["fieldsV1"] = {"f:spec": {"f:replicas": {}}}
    assert owners_of(workload(managedFields=[entry]), "vllm") == ()


def test_who_wrote_the_arguments_of_this_container_is_named() -> None:
    entry = {"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": ARGS}}
    (owner,) = owners_of(workload(managedFields=[entry]), "vllm")
    assert (owner.name, owner.owned, owner.reconciles) == ("kubectl-client-side-apply", OwnedField.ARGUMENTS, False)
    assert owners_of(workload(managedFields=[entry]), "sidecar") == ()
    assert owners_of(workload(managedFields=[{**entry, "manager": "inferplan"}]), "vllm") == ()


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"labels": ["a"], "annotations": 3, "ownerReferences": "x", "managedFields": [None, {"fieldsV1": []}]},
        {"ownerReferences": [{"kind": "ReplicaSet", "name": "a"}]},
        {"managedFields": [{"manager": "kubelet", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
    ],
)
def test_a_workload_that_nobody_keeps_has_no_owner(meta: dict[str, Any]) -> None:
    assert owners_of(workload(**meta), "vllm") == ()
    assert owners_of({"metadata": None}, "vllm") == ()
