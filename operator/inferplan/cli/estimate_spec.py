"""What of an instance is spelled loosely and can be estimated all the same. Pure.

An estimate changes nothing, so it takes documents that the API server would not: without a name, without any
setting, with a version that is written as a range. What is taken for what is told.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferplan.cli.documents import Document
from inferplan.dialects.version_order import version_number

_NUMBERS = re.compile(r"\d{1,4}\.\d{1,4}(?:\.\d{1,4})?(?:\.post\d{1,3}|rc\d{1,3})?")
_MOVING = re.compile(r"\b(?:nightly|latest|main|master|head|dev|unknown)\b", re.IGNORECASE)
_EXACT = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?([.+-][0-9A-Za-z.+-]+)?")  # as spec.engineVersion allows
_LENGTH_MAX = 32
_NAME = "instance"


@dataclass(frozen=True)
class Loose:
    """A document as the API server would take it, and what was assumed for that."""

    document: Document
    assumptions: tuple[str, ...]


def strict(document: Document) -> Loose:
    """The document with name, settings and version as the spec's model wants them."""
    content, metadata = document.content, document.metadata
    named = {**content, "metadata": {"name": _NAME, "namespace": _namespace(metadata)}}
    spec = content.get("spec")
    if not isinstance(spec, dict):
        return Loose(Document(document.place, named), ())
    version, about_version = _version(spec.get("engineVersion"))
    settings, about_settings = _settings(spec)
    named["spec"] = {**spec, **version, **settings}
    return Loose(Document(document.place, named), (*about_version, *about_settings))


def _namespace(metadata: Mapping[str, Any]) -> str:
    return str(metadata.get("namespace") or "default")


def _version(stated: object) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """A range's or a remark's first number; nothing for a build that moves. What is neither stays as it is."""
    if not isinstance(stated, str) or _is_exact(stated):
        return {}, ()
    found = _NUMBERS.search(stated)
    if found is not None and version_number(found.group()) is not None:
        return {"engineVersion": found.group()}, (f'spec.engineVersion "{stated}" is read as {found.group()}',)
    if _MOVING.search(stated):
        return {"engineVersion": None}, (f'spec.engineVersion "{stated}" names no release',)
    return {}, ()


def _is_exact(version: str) -> bool:
    return len(version) <= _LENGTH_MAX and _EXACT.fullmatch(version) is not None


def _settings(spec: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """An empty currentConfig where neither it nor a workload is there: all defaults."""
    if spec.get("targetRef") is not None or spec.get("currentConfig") is not None:
        return {}, ()
    return {"currentConfig": {}}, ("spec.currentConfig is not given: every setting is the release's default",)
