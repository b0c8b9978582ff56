"""A workload as it stands: whether it rolls, and what its engine's container is told. Pure."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.api.attempt import FieldOwner
from inferplan.apply.ownership import argument_owners
from inferplan.dialects.container import Container, read_container
from inferplan.dialects.untyped import mapping, mappings, scalar
from inferplan.engine.identity import args_digest

ATTEMPT_ANNOTATION = "inferplan.dev/attempt"
"""On the workload itself, not on its pods: which attempt of which plan wrote the arguments."""

PAUSED_ANNOTATION = "inferplan.dev/paused"
"""On the workload or on the instance: "true" keeps InferPlan from changing anything."""


@dataclass(frozen=True)
class Live:
    """A Deployment or StatefulSet.

    Attributes:
        kind: Which of the two.
        name: Its name.
        uid: Its identity.
        resource_version: What a write may be bound to.
        generation: metadata.generation.
        observed_generation: What its controller has acted on.
        container: The engine's container; None where it has none of that name.
        attempt: Value of ATTEMPT_ANNOTATION; "" where there is none.
        paused_by_owner: Whether PAUSED_ANNOTATION is set.
        rollout_paused: spec.paused: a template that is written does not roll.
        rolls: Whether a changed template makes new pods by itself (not OnDelete, no partition).
        replicas: Pods that are wanted.
        updated: Pods of the present template.
        ready: Pods that are ready, of whatever template.
        available: Pods that are available.
        total: All its pods.
        takes_down: Whether a rollout may take a pod down before another one is ready.
        stuck: Why its controller says that the rollout does not get on; "" where it does not say so.
        selector: Its label selector, as it stands.
        pod_labels: Labels of its pods.
        argument_owners: Who holds the container's command and args by server-side apply.
        template_digest: Digest of its pods' spec without the engine's command and args.
    """

    kind: str
    name: str
    uid: str
    resource_version: str
    generation: int
    observed_generation: int
    container: Container | None
    attempt: str
    paused_by_owner: bool
    rollout_paused: bool
    rolls: bool
    replicas: int
    updated: int
    ready: int
    available: int
    total: int
    takes_down: bool
    stuck: str
    selector: Mapping[str, Any]
    pod_labels: Mapping[str, str]
    argument_owners: tuple[FieldOwner, ...] = ()
    template_digest: str = ""

    @property
    def args_digest(self) -> str | None:
        """Digest of the engine's command and args; None where its container is not there."""
        return None if self.container is None else args_digest(self.container.command, self.container.args)

    @property
    def rolled_out(self) -> bool:
        """Whether its controller has acted on the template, and all pods are of it and available."""
        return (
            self.observed_generation >= self.generation
            and self.updated == self.replicas == self.total
            and self.available >= self.replicas
        )


def read_live(document: Mapping[str, Any], container: str) -> Live:
    """The workload as the API server answers it.

    Args:
        document: A Deployment or StatefulSet.
        container: Name of the engine's container.
    """
    meta, spec, status = (mapping(document.get(name)) for name in ("metadata", "spec", "status"))
    template = mapping(spec.get("template"))
    annotations = mapping(meta.get("annotations"))
    replicas = _count(spec.get("replicas"), default=1)
    deployment = document.get("kind") == "Deployment"
    return Live(
        kind=scalar(document.get("kind")),
        name=scalar(meta.get("name")),
        uid=scalar(meta.get("uid")),
        resource_version=scalar(meta.get("resourceVersion")),
        generation=_count(meta.get("generation")),
        observed_generation=_count(status.get("observedGeneration")),
        container=_container(mapping(template.get("spec")), container),
        attempt=scalar(annotations.get(ATTEMPT_ANNOTATION)),
        paused_by_owner=is_paused(document),
        rollout_paused=spec.get("paused") is True,
        rolls=_rolls(spec),
        replicas=replicas,
        updated=_count(status.get("updatedReplicas")),
        ready=_count(status.get("readyReplicas")),
        available=_count(status.get("availableReplicas")),
        total=_count(status.get("replicas")),
        takes_down=not deployment or _takes_down(mapping(spec.get("strategy")), replicas),
        stuck=_stuck(status),
        selector=mapping(spec.get("selector")),
        pod_labels=mapping(mapping(template.get("metadata")).get("labels")),
        argument_owners=argument_owners(document, container),
        template_digest=_rest(mapping(template.get("spec")), container),
    )


def is_paused(document: Mapping[str, Any]) -> bool:
    """Whether an owner says that InferPlan changes nothing here; anything but "false" counts as yes."""
    annotations = mapping(mapping(document.get("metadata")).get("annotations"))
    return scalar(annotations.get(PAUSED_ANNOTATION, "false")).strip().lower() != "false"


def _container(pod_spec: Mapping[str, Any], name: str) -> Container | None:
    found = (entry for entry in mappings(pod_spec.get("containers")) if entry.get("name") == name)
    return next((read_container(entry, pod_spec) for entry in found), None)


def _rest(pod_spec: Mapping[str, Any], name: str) -> str:
    """Labels and annotations are left out: `kubectl rollout restart` changes nothing that pods run."""
    own = {"command", "args"}
    containers = [
        {key: value for key, value in entry.items() if entry.get("name") != name or key not in own}
        for entry in mappings(pod_spec.get("containers"))
    ]
    text = json.dumps({**pod_spec, "containers": containers}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _rolls(spec: Mapping[str, Any]) -> bool:
    """A StatefulSet with OnDelete, or with a partition, keeps old pods whatever its template says."""
    update = mapping(spec.get("updateStrategy"))
    partition = _count(mapping(update.get("rollingUpdate")).get("partition"))
    return update.get("type") != "OnDelete" and partition == 0


def _takes_down(strategy: Mapping[str, Any], replicas: int) -> bool:
    """Whether maxUnavailable lets a pod go before its successor is ready (default 25 %, rounded down)."""
    if strategy.get("type") == "Recreate":
        return True
    most = mapping(strategy.get("rollingUpdate")).get("maxUnavailable", "25%")
    text = scalar(most)
    share = text.removesuffix("%")
    if text.endswith("%") and share.isdigit():
        return replicas * int(share) // 100 > 0
    return text != "0"


def _stuck(status: Mapping[str, Any]) -> str:
    """What the controller says of a rollout that does not get on, or of pods that it may not make."""
    for entry in mappings(status.get("conditions")):
        kind, state, reason = (scalar(entry.get(name)) for name in ("type", "status", "reason"))
        if (kind, state) in {("Progressing", "False"), ("ReplicaFailure", "True")}:
            return f"{reason}: {scalar(entry.get('message'))}"
    return ""


def _count(value: object, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
