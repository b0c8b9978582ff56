"""A report as the JSON document that the command line prints (contract: `inferplan config`). Pure."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

from inferplan.dialects.drift import Finding
from inferplan.dialects.keys import spelling_of
from inferplan.dialects.manifests import Path
from inferplan.dialects.masking import MASK, is_secret, masked
from inferplan.dialects.reading import Reading
from inferplan.dialects.registry import FlagKind, FlagSpec, ValueType, every_flag
from inferplan.dialects.report import EngineContainer, Report
from inferplan.dialects.words import Unreadable
from inferplan.domain.hardware import Accelerator
from inferplan.domain.serving import Setting, SettingValue

_STRUCTURED = frozenset({ValueType.JSON, ValueType.OBJECT, ValueType.LIST, ValueType.INTEGERS, ValueType.PAIRS})
_STRUCTURED_IN_BRACES = frozenset({ValueType.OBJECT_OR_TEXT, ValueType.OBJECT_OR_LEVEL})
_LISTS = frozenset({"+", "*"})
_EXACT_MAX = 2.0**53  # up to here every whole number is a float of its own


def report_document(report: Report) -> dict[str, Any]:
    """The whole report."""
    return {
        "containers": [container_document(found) for found in report.containers],
        "unreadable": [unreadable_document(entry) for entry in report.unreadable],
    }


def container_document(found: EngineContainer) -> dict[str, Any]:
    """One container. What is not known, or not there, is None."""
    launch, basis = found.reading.launch, found.reading.grammar.basis
    return {
        "file": found.source.place,
        "kind": found.site.kind,
        "name": found.site.name,
        "namespace": found.site.namespace or None,
        "role": found.site.role or None,
        "container": found.site.container_name,
        "path": path_text(found.site.path),
        "image": found.reading.container.image or None,
        "engine": str(launch.engine),
        "version": found.running.version,
        "versionSource": str(found.version_source),
        "versionReason": found.version_reason or None,
        "nearestRelease": None if basis is None or basis.exact else basis.release.version,
        "entry": str(launch.entry),
        "condition": launch.condition or None,
        "model": found.running.model,
        "accelerator": _accelerator(found.accelerator),
        "settings": {key: setting_document(found.reading, key, setting) for key, setting in found.running.items()},
        "findings": [finding_document(entry) for entry in found.findings],
    }


def unreadable_document(entry: Unreadable) -> dict[str, Any]:
    """One thing that could not be read."""
    key = {} if entry.key is None else {"key": entry.key}
    return {"where": entry.where, "code": str(entry.code), "reason": entry.reason, **key}


def finding_document(entry: Finding) -> dict[str, Any]:
    """One finding."""
    return {
        "severity": str(entry.severity),
        "code": str(entry.code),
        "flag": entry.flag,
        "key": entry.key,
        "reason": entry.reason,
        "fix": dict(entry.fix) or None,
    }


def setting_document(reading: Reading, key: str, setting: Setting) -> dict[str, Any]:
    """One setting; a secret's value is not shown."""
    value = masked(key, json_value(reading, key, setting.value))
    if any(map(is_secret, setting.variables)) and isinstance(value, str | list | dict):
        value = MASK
    document: dict[str, Any] = {"value": value, "origin": str(setting.origin)}
    if setting.flag:
        document["flag"] = setting.flag
    if setting.variables:
        document["variables"] = list(setting.variables)
    return document


def json_value(reading: Reading, key: str, value: SettingValue) -> Any:  # noqa: ANN401  any JSON value
    """A setting's value; lists and objects as what they are, decided by the flag and not by the text's looks."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_MAX:
        return int(value)
    if not isinstance(value, str) or not _is_structured(_flag(reading, key), value):
        return value
    try:
        return json.loads(value, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return value


def path_text(path: Path) -> str:
    """A path for people: spec.template.spec.containers[0]."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _is_structured(flag: FlagSpec | None, text: str) -> bool:
    if flag is None:
        return False
    if flag.nargs in _LISTS or flag.kind is FlagKind.APPEND or flag.type in _STRUCTURED:
        return True
    return flag.type in _STRUCTURED_IN_BRACES and text.lstrip().startswith("{")


def _flag(reading: Reading, key: str) -> FlagSpec | None:
    """The flag of a key, as the release that runs has it, else as the newest one that has it."""
    spelling = spelling_of(reading.launch.engine, key)
    dest = spelling.dest if spelling is not None else key
    own = (entry.named(dest) for entry in reading.grammar.releases)
    found = next((flag for flag in own if flag is not None), None)
    return found or next((flag for flag in every_flag(reading.launch.engine) if flag.dest == dest), None)


def _accelerator(gpus: Accelerator) -> Mapping[str, Any] | None:
    if gpus.product is None and gpus.count is None:
        return None
    return {"product": gpus.product, "count": gpus.count, "memoryMib": gpus.memory_mib}
