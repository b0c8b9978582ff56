"""A workload's documents, read: its engine container, its pods that run the present template. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inferplan.api.instance import TargetRef
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.dialects.container import Container, engine_containers, engine_of, read_container


class TargetError(Exception):
    """The workload cannot be used; a reason and a sentence for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


@dataclass(frozen=True)
class Pod:
    """A ready pod that runs the workload's present template.

    Attributes:
        name: Its name.
        uid: Its identity.
        address: Its IP.
        node: The node that runs it.
        started: When the engine's container started; None when that is not known.
    """

    name: str
    uid: str
    address: str
    node: str
    started: datetime | None


@dataclass(frozen=True)
class Workload:
    """The target and its engine container.

    Attributes:
        kind: Deployment or StatefulSet.
        name: Its name.
        generation: metadata.generation that was read.
        container: The engine's container.
        selector: Label selector of its pods, as the API takes it.
    """

    kind: str
    name: str
    generation: int
    container: Container
    selector: str


def read_workload(document: Mapping[str, Any], ref: TargetRef, engine: Engine) -> Workload:
    """The workload as the operator uses it.

    Raises:
        TargetError: No container, or more than one, runs the engine.
    """
    spec = document.get("spec") or {}
    pod_spec = (spec.get("template") or {}).get("spec") or {}
    containers = tuple(read_container(container) for container in pod_spec.get("containers") or ())
    return Workload(
        kind=ref.kind,
        name=ref.name,
        generation=int((document.get("metadata") or {}).get("generation") or 0),
        container=_engine_container(containers, ref, engine),
        selector=selector_text(spec.get("selector") or {}),
    )


def _engine_container(containers: Sequence[Container], ref: TargetRef, engine: Engine) -> Container:
    place = f'{ref.kind} "{ref.name}"'
    names = ", ".join(container.name for container in containers) or "none"
    if ref.container is not None:
        return _named(containers, ref.container, engine, place)
    found = engine_containers(containers, engine)
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(container.name for container in found)
        raise TargetError(
            Reason.CONTAINER_AMBIGUOUS,
            f"{place}: containers {several} all run {engine}; set spec.targetRef.container to one of them",
        )
    other = [(container.name, runs) for container in containers if (runs := engine_of(container)) is not None]
    if other:
        raise _mismatch(place, *other[0], engine)
    raise TargetError(
        Reason.CONTAINER_NOT_FOUND,
        f"{place}: no container is seen to run {engine} (there are: {names}); set spec.targetRef.container",
    )


def _named(containers: Sequence[Container], name: str, engine: Engine, place: str) -> Container:
    found = next((container for container in containers if container.name == name), None)
    if found is None:
        names = ", ".join(container.name for container in containers) or "none"
        raise TargetError(
            Reason.CONTAINER_NOT_FOUND, f'{place}: spec.targetRef.container "{name}" is none of its containers: {names}'
        )
    runs = engine_of(found)
    if runs is not None and runs is not engine:
        raise _mismatch(place, name, runs, engine)
    return found


def _mismatch(place: str, name: str, runs: Engine, engine: Engine) -> TargetError:
    return TargetError(Reason.ENGINE_MISMATCH, f'{place}: container "{name}" runs {runs}, but spec.engine is {engine}')


def selector_text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector in the form of a query parameter: "app=a,tier in (x,y),!old"."""
    parts = [f"{label}={value}" for label, value in sorted((selector.get("matchLabels") or {}).items())]
    for entry in selector.get("matchExpressions") or ():
        key, values = entry["key"], ",".join(entry.get("values") or ())
        match entry["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)


def ready_pods(documents: Sequence[Mapping[str, Any]], workload: Workload) -> tuple[Pod, ...]:
    """Ready pods of the workload whose engine container is that of its present template, by name.

    During a rollout, pods of the template before run other arguments: what they measure is not this.
    """
    own = [document for document in documents if _is_ready(document) and _belongs(document, workload)]
    return tuple(sorted((_pod(document, workload.container.name) for document in own), key=lambda pod: pod.name))


def _is_ready(document: Mapping[str, Any]) -> bool:
    if (document.get("metadata") or {}).get("deletionTimestamp"):
        return False
    conditions = (document.get("status") or {}).get("conditions") or ()
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def _belongs(document: Mapping[str, Any], workload: Workload) -> bool:
    """Owned by the workload (a Deployment's ReplicaSet carries the template's hash), and of its present template."""
    meta = document.get("metadata") or {}
    owner: Mapping[str, Any] = next(
        (entry for entry in meta.get("ownerReferences") or () if entry.get("controller")), {}
    )
    pod_hash = (meta.get("labels") or {}).get("pod-template-hash", "")
    expected = {
        "Deployment": ("ReplicaSet", f"{workload.name}-{pod_hash}"),
        "StatefulSet": ("StatefulSet", workload.name),
    }
    if (owner.get("kind"), owner.get("name")) != expected[workload.kind]:
        return False
    containers = (document.get("spec") or {}).get("containers") or ()
    running = next((entry for entry in containers if entry.get("name") == workload.container.name), None)
    return running is not None and _same(read_container(running), workload.container)


def _same(running: Container, template: Container) -> bool:
    """Whether a pod's container is the template's; admission may have added variables, or set CPU and memory."""
    words = (running.image, running.command, running.args) == (template.image, template.command, template.args)
    added = running.environment.items() >= template.environment.items()
    return words and added and _devices(running) == _devices(template)


def _devices(container: Container) -> dict[str, str]:
    """Limits of extended resources, such as GPUs: those with a domain in their name."""
    return {name: amount for name, amount in container.limits.items() if "/" in name}


def _pod(document: Mapping[str, Any], container: str) -> Pod:
    meta, status = document.get("metadata") or {}, document.get("status") or {}
    states = (
        entry.get("state") or {} for entry in status.get("containerStatuses") or () if entry.get("name") == container
    )
    started = next(((state.get("running") or {}).get("startedAt") for state in states), None)
    return Pod(
        name=meta.get("name", ""),
        uid=meta.get("uid", ""),
        address=status.get("podIP") or "",
        node=(document.get("spec") or {}).get("nodeName") or "",
        started=datetime.fromisoformat(started) if started else None,
    )
