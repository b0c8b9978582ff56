"""Read Kubernetes objects as plain JSON: the few helpers that every part of the node needs."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]


def metadata(thing: Mapping[str, Any]) -> JsonObject:
    """Return the object's metadata, empty where it has none."""
    return dict(thing.get("metadata") or {})


def spec_of(thing: Mapping[str, Any]) -> JsonObject:
    """Return the object's spec, empty where it has none."""
    return dict(thing.get("spec") or {})


def status_of(thing: Mapping[str, Any]) -> JsonObject:
    """Return the object's status, empty where it has none."""
    return dict(thing.get("status") or {})


def uid_of(thing: Mapping[str, Any]) -> str:
    """Return the object's uid, empty where it has none."""
    return str(metadata(thing).get("uid", ""))


def pod_label(pod: Mapping[str, Any]) -> str:
    """Return `namespace/name`, for messages."""
    meta = metadata(pod)
    return f"{meta.get('namespace', '')}/{meta.get('name', '')}"


def entries(thing: Mapping[str, Any], field: str) -> tuple[JsonObject, ...]:
    """Return the list of objects in `field`, empty where it is absent or null."""
    return tuple(thing.get(field) or ())


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Say whether an init container is a native sidecar (it keeps running beside the main containers)."""
    return container.get("restartPolicy") == "Always"


def timestamp(moment: datetime) -> str:
    """Return the moment as the API writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def is_finished(pod: Mapping[str, Any]) -> bool:
    """Say whether the pod has reached a phase that it never leaves."""
    return status_of(pod).get("phase") in {"Succeeded", "Failed"}


def is_being_deleted(pod: Mapping[str, Any]) -> bool:
    """Say whether somebody asked for the pod's deletion."""
    return metadata(pod).get("deletionTimestamp") is not None
