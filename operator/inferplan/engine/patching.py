"""A decision as an edit of the container: a diff to read, a body to apply, a line to paste. Pure."""

import difflib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.api.plan import Patch
from inferplan.api.values import ConfigChange, Engine
from inferplan.dialects.arguments import NotEditable, edit_arguments
from inferplan.dialects.container import Container

_LENGTH_MAX = 32_768
"""What a plan's text fields hold (api.plan.LongText)."""


@dataclass(frozen=True)
class Place:
    """The workload that a patch is for."""

    kind: str
    namespace: str
    name: str
    api_version: str = "apps/v1"


def build_patch(engine: Engine, place: Place, container: Container, changes: Sequence[ConfigChange]) -> Patch:
    """How `changes` are written into the container, or why that is left to a person."""
    values = {change.parameter: change.recommended_value for change in changes if change.recommended_value is not None}
    if len(values) < len(changes):
        return Patch(applicable=False, reason="a change has no value that could be written into the arguments")
    edited = edit_arguments(engine, container, values)
    if isinstance(edited, NotEditable):
        return Patch(applicable=False, reason=edited.reason)
    body = json.dumps(_body(place, container, edited), separators=(",", ":"))
    patch = (_diff(place, container, edited), body, _command(place, body))
    if max(map(len, patch)) > _LENGTH_MAX:
        return Patch(applicable=False, reason=f"the arguments are longer than {_LENGTH_MAX} characters")
    return Patch(applicable=True, diff=patch[0], server_side_apply=patch[1], command=patch[2])


def _body(place: Place, before: Container, after: Container) -> dict[str, Any]:
    """Only what changes: `args`, and `command` where it carries the flags. Both are atomic lists."""
    container: dict[str, Any] = {"name": after.name}
    if after.command != before.command:
        container["command"] = list(after.command)
    if after.args != before.args:
        container["args"] = list(after.args)
    return {
        "apiVersion": place.api_version,
        "kind": place.kind,
        "metadata": {"name": place.name, "namespace": place.namespace},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def _diff(place: Place, before: Container, after: Container) -> str:
    name = f"{place.kind.lower()}/{place.name}/{after.name}"
    lines = difflib.unified_diff(_lines(before), _lines(after), f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(lines) + "\n"


def _lines(container: Container) -> list[str]:
    """One word a line, as YAML writes a list."""
    lines: list[str] = []
    for title, words in (("command", container.command), ("args", container.args)):
        lines += [f"{title}:", *(f"- {json.dumps(word, ensure_ascii=False)}" for word in words)] if words else []
    return lines


def _command(place: Place, body: str) -> str:
    """A strategic merge patch, which finds the container by its name."""
    target = f"{place.kind.lower()} {place.name} --namespace {place.namespace}"
    return f"kubectl patch {target} --type strategic --patch {shlex.quote(body)}"
