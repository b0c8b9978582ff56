"""A container of a pod template as the engine sees it: its command line, its image, its environment. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.environment import Environment, read_environment
from inferplan.dialects.mounts import mounted_files
from inferplan.dialects.untyped import mapping, scalar

_PORT = re.compile(r"[0-9]{1,5}")
NO_ENVIRONMENT = Environment({}, ())


@dataclass(frozen=True)
class Container:
    """The part of a container that decides what its engine does.

    Attributes:
        name: Container name.
        image: Image reference.
        command: `command`, empty when the image's entrypoint is used.
        args: `args`.
        environment: Variables of its process.
        files: Files that ConfigMaps put into it, by path; None where the content is not known.
        limits: Resource limits, as written.
        ports: Container ports by name ("" for unnamed).
        engine_hint: The engine that the object around it names.
        model_hint: The model that the object around it names.
        completed_by: Whose controller adds arguments to those that stand here; empty where none does.
    """

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    environment: Environment = NO_ENVIRONMENT
    files: Mapping[str, str | None] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[tuple[str, int], ...] = ()
    engine_hint: Engine | None = None
    model_hint: str | None = None
    completed_by: str = ""

    @property
    def strings(self) -> tuple[str, ...]:
        """Command and args as one list: what a Piece's `source` counts."""
        return (*self.command, *self.args)

    @property
    def words_without_image(self) -> bool:
        """Whether it has arguments, and neither image nor command that say of what."""
        return bool(self.args) and not self.image and not self.command

    @property
    def asks_for_gpus(self) -> bool:
        """Whether it is limited to a number of GPUs or other accelerators."""
        return any("gpu" in name or name.endswith(("/tpu", "/neuron", "/gaudi")) for name in self.limits)


def read_container(
    template: Mapping[str, Any],
    pod_spec: Mapping[str, Any] | None = None,
    config_maps: Mapping[str, Mapping[str, str]] | None = None,
) -> Container:
    """Reads a container of a pod template.

    Args:
        template: The container.
        pod_spec: The pod spec around it, for its volumes.
        config_maps: Data of the ConfigMaps that can be read, by name.
    """
    maps = config_maps or {}
    limits = mapping(mapping(template.get("resources")).get("limits"))
    return Container(
        name=scalar(template.get("name")),
        image=scalar(template.get("image")),
        command=_strings(template.get("command")),
        args=_strings(template.get("args")),
        environment=read_environment(template, maps),
        files=mounted_files(pod_spec or {}, template, maps),
        limits={scalar(name).strip(): scalar(amount) for name, amount in limits.items()},
        ports=tuple(_ports(template.get("ports"))),
    )


def _strings(value: object) -> tuple[str, ...]:
    """A list of strings; what YAML made a number of is what its author wrote, as far as that can be told."""
    if isinstance(value, str):
        return (value,)
    return tuple(map(scalar, value)) if isinstance(value, list | tuple) else ()


def _ports(value: object) -> list[tuple[str, int]]:
    entries = value if isinstance(value, Sequence) and not isinstance(value, str) else ()
    found = [(entry, scalar(entry.get("containerPort"))) for entry in entries if isinstance(entry, Mapping)]
    return [(scalar(entry.get("name")), int(port)) for entry, port in found if _PORT.fullmatch(port)]


def required_config_maps(template: Mapping[str, Any], pod_spec: Mapping[str, Any]) -> Mapping[str, bool]:
    """Names of the ConfigMaps that a container's variables and files come from, and whether it starts without each."""
    mounted = {mount.get("name") for mount in _list(template.get("volumeMounts")) if isinstance(mount, Mapping)}
    volumes = [mapping(volume) for volume in _list(pod_spec.get("volumes"))]
    references = [
        *(mapping(mapping(entry).get("configMapRef")) for entry in _list(template.get("envFrom"))),
        *(_key_ref(entry) for entry in _list(template.get("env"))),
        *(reference for volume in volumes if volume.get("name") in mounted for reference in _volume_maps(volume)),
    ]
    found: dict[str, bool] = {}
    for reference in references:
        name = reference.get("name")
        if isinstance(name, str) and name:
            found[name] = found.get(name, True) and reference.get("optional") is True
    return found


def _key_ref(entry: object) -> Mapping[str, Any]:
    return mapping(mapping(mapping(entry).get("valueFrom")).get("configMapKeyRef"))


def _volume_maps(volume: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    projected = _list(mapping(volume.get("projected")).get("sources"))
    return [
        mapping(volume.get("configMap")),
        *(mapping(mapping(source).get("configMap")) for source in projected),
    ]


def _list(value: object) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()
