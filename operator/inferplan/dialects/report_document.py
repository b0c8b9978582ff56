"""A report as the JSON document that the command line prints (contract: `inferplan config`). Pure."""

from collections.abc import Mapping
from typing import Any

from inferplan.dialects.drift import Finding
from inferplan.dialects.manifests import Path
from inferplan.dialects.masking import MASK, is_secret, masked
from inferplan.dialects.reading import Reading
from inferplan.dialects.report import EngineContainer, Report
from inferplan.dialects.setting_values import json_value
from inferplan.dialects.words import Unreadable
from inferplan.domain.hardware import Accelerator
from inferplan.domain.serving import Setting


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
        "findings": [remark_document(entry) for entry in found.remarks],
    }


def unreadable_document(entry: Unreadable) -> dict[str, Any]:
    """One thing that could not be read."""
    key = {} if entry.key is None else {"key": entry.key}
    return {"where": entry.where, "code": str(entry.code), "reason": entry.reason, **key}


def remark_document(entry: Finding) -> dict[str, Any]:
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


def path_text(path: Path) -> str:
    """A path for people: spec.template.spec.containers[0]."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _accelerator(gpus: Accelerator) -> Mapping[str, Any] | None:
    if gpus.product is None and gpus.count is None:
        return None
    return {"product": gpus.product, "count": gpus.count, "memoryMib": gpus.memory_mib}
