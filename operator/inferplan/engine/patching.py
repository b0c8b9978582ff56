"""A decision as an edit of the container: a diff to read, a body to apply, a line to paste. Pure."""

import difflib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.api.plan import Patch
from inferplan.api.values import ConfigChange
from inferplan.dialects.container import Container
from inferplan.dialects.editing import edit
from inferplan.dialects.words import NotEditable
from inferplan.domain.serving import SettingValue

_LENGTH_MAX = 32_768
"""What a plan's text fields hold (api.plan.LongText)."""


@dataclass(frozen=True)
class Place:
    """The workload that a patch is for."""

    kind: str
    namespace: str
    name: str
    api_version: str = "apps/v1"


def build_patch(place: Place, container: Container, version: str | None, changes: Sequence[ConfigChange]) -> Patch:
    """How `changes` are written into the container, or why that is left to a person.

    Args:
        place: The workload.
        container: Its engine's container.
        version: The engine's version, as far as it is known.
        changes: What to change.
    """
    wanted: dict[str, SettingValue | None] = {}
    for change in changes:
        if change.recommended_value is None and not change.removes_flag:
            return Patch(applicable=False, reason="a change has no value that could be written into the arguments")
        if wanted.setdefault(change.parameter, change.recommended_value) != change.recommended_value:
            return Patch(applicable=False, reason=f"{change.parameter} would be changed twice, to different values")
    edited = edit(container, wanted, version)
    if isinstance(edited, NotEditable):
        return Patch(applicable=False, reason=edited.reason)
    body = json.dumps(_body(place, container, edited), separators=(",", ":"))
    patch = (diff_text(place, container, edited), body, _command(place, body))
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


def diff_text(place: Place, before: Container, after: Container) -> str:
    """Command and args before and after, as a unified diff; a newline alone where they are the same."""
    name = f"{place.kind.lower()}/{place.name}/{after.name}"
    lines = difflib.unified_diff(list(_lines(before)), list(_lines(after)), f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(lines) + "\n"


def _lines(container: Container) -> Iterator[str]:
    """One word a line, as YAML writes a list; a script line by line, so that a diff shows the lines that change."""
    for title, words in (("command", container.command), ("args", container.args)):
        yield from (f"{title}:",) if words else ()
        for word in words:
            yield from _script(word) if "\n" in word.strip() else (f"- {json.dumps(word, ensure_ascii=False)}",)


def _script(text: str) -> Iterator[str]:
    yield "- |"
    yield from (f"  {_printable(line)}".rstrip() for line in text.rstrip("\n").split("\n"))


def _printable(line: str) -> str:
    """A line without letters that a terminal would act on."""
    return "".join(letter if letter.isprintable() or letter == "\t" else "\N{REPLACEMENT CHARACTER}" for letter in line)


def _command(place: Place, body: str) -> str:
    """A strategic merge patch, which finds the container by its name."""
    target = f"{place.kind.lower()} {place.name} --namespace {place.namespace}"
    return f"kubectl patch {target} --type strategic --patch {shlex.quote(body)}"
