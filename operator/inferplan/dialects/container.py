"""A container of a pod template as the engine sees it: its command line, its image, its environment."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inferplan.api.values import Engine

_VARIABLE = re.compile(r"\$(\$?)\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh"})
_MARKS = {
    # Words that only the engine's own start command has.
    Engine.VLLM: ("vllm serve", "vllm.entrypoints.openai.api_server", "vllm.entrypoints.api_server"),
    Engine.SGLANG: ("sglang.launch_server", "sglang serve"),
    Engine.TGI: ("text-generation-launcher",),
}
_IMAGES = {
    # Last part of the image's repository, for containers that rely on the image's entrypoint.
    Engine.VLLM: ("vllm-openai", "vllm-cpu", "vllm"),
    Engine.SGLANG: ("sglang",),
    Engine.TGI: ("text-generation-inference",),
}
_RELEASE_REPOSITORIES = {
    # Only here a tag is the engine's version; elsewhere tags name other things (engine-facts section 5).
    "vllm/vllm-openai": Engine.VLLM,
    "lmsysorg/sglang": Engine.SGLANG,
    "ghcr.io/huggingface/text-generation-inference": Engine.TGI,
}
_RELEASE_TAG = re.compile(r"^v?(\d+\.\d+\.\d+(?:\.post\d+)?)$")


@dataclass(frozen=True)
class Container:
    """The part of a container that decides what its engine does.

    Attributes:
        name: Container name.
        image: Image reference.
        command: `command`, empty when the image's entrypoint is used.
        args: `args`.
        environment: Variables whose value stands in the template; others are not here.
        limits: Resource limits, as written.
        ports: Container ports by name ("" for unnamed).
    """

    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[tuple[str, int], ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Command and args as one list, `$(VAR)` expanded where the value is known."""
        return tuple(expand(word, self.environment) for word in (*self.command, *self.args))

    @property
    def runs_in_shell(self) -> bool:
        """Whether a shell script starts the engine: a shell is called, or the start command is one long word."""
        called = any(word.rsplit("/", 1)[-1] in _SHELLS for word in self.command)
        sentences = [word for word in self.words if len(word.split()) > 1]
        return called or any(mark in word for word in sentences for marks in _MARKS.values() for mark in marks)

    @property
    def starts_otherwise(self) -> bool:
        """Whether the command is a program of its own, whose arguments need not be the engine's."""
        line = " ".join(self.words)
        return bool(self.command) and not any(mark in line for marks in _MARKS.values() for mark in marks)


def read_container(template: Mapping[str, Any]) -> Container:
    """Reads a container of a pod template."""
    limits = (template.get("resources") or {}).get("limits") or {}
    ports = tuple((port.get("name") or "", int(port["containerPort"])) for port in template.get("ports") or ())
    return Container(
        name=template.get("name", ""),
        image=template.get("image") or "",
        command=tuple(map(str, template.get("command") or ())),
        args=tuple(map(str, template.get("args") or ())),
        environment=_environment(template.get("env") or ()),
        limits={name: str(amount) for name, amount in limits.items()},
        ports=ports,
    )


def _environment(entries: Sequence[Mapping[str, Any]]) -> Mapping[str, str]:
    """Variables whose value is known; as in the kubelet, later ones win and may refer to earlier ones."""
    known: dict[str, str] = {}
    for entry in entries:
        name = entry["name"]
        if "valueFrom" in entry:
            known.pop(name, None)
        else:
            known[name] = expand(str(entry.get("value") or ""), known)
    return known


def expand(word: str, environment: Mapping[str, str]) -> str:
    """Kubernetes' own expansion: `$(VAR)` if known, else left as it is; `$$(VAR)` gives `$(VAR)`."""

    def replace(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        return f"$({name})" if escaped else environment.get(name, match.group(0))

    return _VARIABLE.sub(replace, word)


def has_variable(text: str) -> bool:
    """Whether an unexpanded `$(VAR)` is left in the text."""
    return _VARIABLE.search(text) is not None


def engine_of(container: Container) -> Engine | None:
    """The engine that the container runs, None where it runs none."""
    line = " ".join(container.words)
    for engine, marks in _MARKS.items():
        if any(mark in line for mark in marks):
            return engine
    if container.command:
        return None
    return _engine_of_image(container.image)


def engine_containers(containers: Sequence[Container], engine: Engine) -> tuple[Container, ...]:
    """The containers that run this engine."""
    return tuple(container for container in containers if engine_of(container) is engine)


def version_of_image(image: str) -> tuple[Engine, str] | None:
    """Engine and version that a release image's tag states: "vllm/vllm-openai:v0.33.0" → (vllm, "0.33.0")."""
    repository, _, tag = image.partition("@")[0].rpartition(":")
    engine = _RELEASE_REPOSITORIES.get(repository.removeprefix("docker.io/"))
    match = _RELEASE_TAG.match(tag)
    return (engine, match.group(1)) if engine is not None and match is not None else None


def _engine_of_image(image: str) -> Engine | None:
    path = image.partition("@")[0]
    repository = path.rpartition(":")[0] if ":" in path.rsplit("/", 1)[-1] else path
    last = repository.rsplit("/", 1)[-1]
    return next((engine for engine, names in _IMAGES.items() if last in names), None)
