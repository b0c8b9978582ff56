"""Owners of a workload, from its labels, annotations and managedFields. Pure.

Labels and annotations are those that the tools' own documents name: Argo CD (resource tracking), Flux (kustomize- and
helm-controller), Helm (release annotations). An autoscaler shows by its writes to the scale subresource; a
VerticalPodAutoscaler writes no workload, only its pods' CPU and memory, and shows nowhere here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from inferplan.dialects.untyped import mapping, mappings
from inferplan.domain.owner import OWN_MANAGER, OwnedField, Owner

_ARGO_ANNOTATIONS = ("argocd.argoproj.io/tracking-id", "argocd.argoproj.io/installation-id")
_ARGO_LABEL = "argocd.argoproj.io/instance"
_FLUX = ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name")
_HELM = "meta.helm.sh/release-name"
_CONTROLLERS = "kube-controller-manager"
_CLUSTER_MANAGERS = frozenset({_CONTROLLERS, OWN_MANAGER})
_KEEPERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
}
"""Field managers that put back what Git says. An Argo CD may track by a label that anybody uses, or one of its own
choosing (application.instanceLabelKey): then nothing else shows it."""
_BY_HAND = "kubectl"
"""`kubectl scale` writes once, and puts nothing back."""


def owners_of(document: Mapping[str, Any], container: str) -> tuple[Owner, ...]:
    """Who keeps the workload, its engine's arguments or its replicas, beside this operator.

    Args:
        document: The workload.
        container: Name of the engine's container.
    """
    meta = mapping(document.get("metadata"))
    owners = (*_tools(meta), *_controllers(meta), *_managers(meta, container))
    return tuple({(owner.name, owner.owned): owner for owner in reversed(owners)}.values())[::-1]


def _tools(meta: Mapping[str, Any]) -> Iterator[Owner]:
    labels, annotations = mapping(meta.get("labels")), mapping(meta.get("annotations"))
    for key, found in (*((name, annotations) for name in _ARGO_ANNOTATIONS), (_ARGO_LABEL, labels)):
        if found.get(key):
            yield Owner("Argo CD", OwnedField.ALL, reconciles=True, basis=f"{key}: {found[key]}")
    for key in _FLUX:
        if labels.get(key):
            yield Owner("Flux", OwnedField.ALL, reconciles=True, basis=f"{key}: {labels[key]}")
    if annotations.get(_HELM):
        yield Owner("Helm", OwnedField.ALL, reconciles=False, basis=f"{_HELM}: {annotations[_HELM]}")


def _controllers(meta: Mapping[str, Any]) -> Iterator[Owner]:
    """An object that made the workload: KServe's InferenceService, AIBrix's StormService, an operator's own kind."""
    for owner in mappings(meta.get("ownerReferences")):
        if owner.get("controller"):
            kind = f"{owner.get('kind')} {owner.get('name')}"
            yield Owner(kind, OwnedField.ALL, reconciles=True, basis=f"metadata.ownerReferences: {kind}")


def _managers(meta: Mapping[str, Any], container: str) -> Iterator[Owner]:
    for entry in mappings(meta.get("managedFields")):
        manager = str(entry.get("manager") or "")
        spec = mapping(mapping(entry.get("fieldsV1")).get("f:spec"))
        if entry.get("subresource") == "scale":
            if "f:replicas" in spec and not manager.startswith(_BY_HAND):
                basis = f"managedFields: scale, {manager}"
                yield Owner(_autoscaler(manager), OwnedField.REPLICAS, reconciles=True, basis=basis)
        elif manager not in _CLUSTER_MANAGERS and _writes_arguments(spec, container):
            basis = f"managedFields: {manager}"
            if manager in _KEEPERS:
                yield Owner(_KEEPERS[manager], OwnedField.ALL, reconciles=True, basis=basis)
            yield Owner(manager, OwnedField.ARGUMENTS, reconciles=False, basis=basis)


def _autoscaler(manager: str) -> str:
    """KEDA writes the scale itself between none and one replica, and else has a HorizontalPodAutoscaler of its own."""
    if "keda" in manager:
        return "KEDA"
    return "A HorizontalPodAutoscaler (KEDA's, if it made one)" if manager == _CONTROLLERS else manager


def _writes_arguments(spec: Mapping[str, Any], container: str) -> bool:
    pod = mapping(mapping(spec.get("f:template")).get("f:spec"))
    own = mapping(mapping(pod.get("f:containers")).get(f'k:{{"name":"{container}"}}'))
    return "f:args" in own or "f:command" in own
