"""A workload's documents, read: its engine container, its pods that run the present template. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from inferplan.api.instance import TargetRef
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.dialects.container import Container, read_container, required_config_maps
from inferplan.dialects.images import engine_of_image
from inferplan.dialects.launch import Launch, launch_of
from inferplan.dialects.untyped import mapping, mappings, scalar
from inferplan.domain.owner import Owner
from inferplan.observe.owners import owners_of

ConfigMaps = Mapping[str, Mapping[str, str]]
"""Data of ConfigMaps by name; one that could not be read is not here."""


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
        config_maps: ConfigMaps that the container was read with.
        owners: Who else keeps it as it is.
    """

    kind: str
    name: str
    generation: int
    container: Container
    selector: str
    config_maps: ConfigMaps = field(default_factory=dict)
    owners: tuple[Owner, ...] = ()


def config_maps_of(document: Mapping[str, Any], ref: TargetRef) -> Mapping[str, bool]:
    """Names of the ConfigMaps that may say something of the engine, and whether its pods start without each.

    Those of containers that start no engine, with whatever these hold, are not asked for.
    """
    pod_spec = _pod_spec(document)
    found: dict[str, bool] = {}
    for template in pod_spec.get("containers") or ():
        chosen = template.get("name") == ref.container
        if chosen or (ref.container is None and launch_of(read_container(template, pod_spec)) is not None):
            for name, optional in required_config_maps(template, pod_spec).items():
                found[name] = found.get(name, True) and optional
    return found


def read_workload(
    document: Mapping[str, Any], ref: TargetRef, engine: Engine, config_maps: ConfigMaps | None = None
) -> Workload:
    """The workload as the operator uses it.

    Raises:
        TargetError: No container, or more than one, runs the engine.
    """
    spec, pod_spec, maps = document.get("spec") or {}, _pod_spec(document), config_maps or {}
    containers = tuple(read_container(template, pod_spec, maps) for template in pod_spec.get("containers") or ())
    container = _engine_container(containers, ref, engine)
    return Workload(
        kind=ref.kind,
        name=ref.name,
        generation=int((document.get("metadata") or {}).get("generation") or 0),
        container=container,
        selector=selector_text(spec.get("selector") or {}),
        config_maps=maps,
        owners=owners_of(document, container.name),
    )


def _pod_spec(document: Mapping[str, Any]) -> Mapping[str, Any]:
    template: Mapping[str, Any] = (document.get("spec") or {}).get("template") or {}
    pod_spec: Mapping[str, Any] = template.get("spec") or {}
    return pod_spec


def _engine_container(containers: Sequence[Container], ref: TargetRef, engine: Engine) -> Container:
    """The container that runs the engine, else the only one of which it cannot be told what it runs."""
    place = f'{ref.kind} "{ref.name}"'
    if ref.container is not None:
        return _named(containers, ref.container, engine, place)
    runs = [(container, *_runs(container)) for container in containers]
    own = [container for container, other, sure in runs if other is engine and sure]
    candidates = own or [container for container, other, sure in runs if not sure and other in {None, engine}]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        several, what = ", ".join(container.name for container in candidates), "all run" if own else "may all run"
        raise TargetError(
            Reason.CONTAINER_AMBIGUOUS,
            f"{place}: containers {several} {what} {engine}; set spec.targetRef.container to one of them",
        )
    others = [(container.name, other) for container, other, _ in runs if other is not None]
    if others:
        raise _mismatch(place, *others[0], engine)
    names = ", ".join(container.name for container in containers) or "none"
    raise TargetError(
        Reason.CONTAINER_NOT_FOUND,
        f"{place}: no container is seen to run {engine} (there are: {names}); set spec.targetRef.container",
    )


def _runs(container: Container) -> tuple[Engine | None, bool]:
    """The engine that a container runs, and whether that is sure; else the image's name speaks."""
    found = launch_of(container)
    if isinstance(found, Launch):
        return found.engine, True
    return (None, True) if found is None else (engine_of_image(container.image), False)


def _named(containers: Sequence[Container], name: str, engine: Engine, place: str) -> Container:
    """The container that the owner names; where it does not say itself what it runs, the owner's word holds."""
    found = next((container for container in containers if container.name == name), None)
    if found is None:
        names = ", ".join(container.name for container in containers) or "none"
        raise TargetError(
            Reason.CONTAINER_NOT_FOUND, f'{place}: spec.targetRef.container "{name}" is none of its containers: {names}'
        )
    launch = launch_of(found)
    if not isinstance(launch, Launch):
        return replace(found, engine_hint=engine)
    if launch.engine is not engine:
        raise _mismatch(place, name, launch.engine, engine)
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


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector picks an object with these labels; an empty one picks everything."""
    stated = mapping(selector.get("matchLabels")).items() <= labels.items()
    return stated and all(_holds(entry, labels) for entry in mappings(selector.get("matchExpressions")))


def _holds(entry: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, values = scalar(entry.get("key")), entry.get("values") or ()
    match entry.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels


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
    pod_spec = document.get("spec") or {}
    found = next(
        (entry for entry in pod_spec.get("containers") or () if entry.get("name") == workload.container.name), None
    )
    return found is not None and _same(read_container(found, pod_spec, workload.config_maps), workload.container)


def _same(running: Container, template: Container) -> bool:
    """Whether a pod's container is the template's.

    Admission may have added variables and mounted files, or set CPU and memory.
    """
    words = (running.image, running.command, running.args) == (template.image, template.command, template.args)
    variables = _variables(running).items() >= _variables(template).items()
    files = running.files.items() >= template.files.items()
    return words and variables and files and _devices(running) == _devices(template)


def _variables(container: Container) -> dict[str, tuple[tuple[str, str], ...]]:
    """Each variable's known texts and the names of what is not known in it."""
    entries = container.environment.variables.items()
    return {name: tuple((piece.text, piece.unknown) for piece in variable.pieces) for name, variable in entries}


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
