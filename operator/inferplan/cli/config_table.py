"""What containers run, as text for people. Pure: the same report gives the same text."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from inferplan.cli.output import one_line
from inferplan.dialects.drift import Finding
from inferplan.dialects.report import EngineContainer, Report, VersionSource
from inferplan.dialects.report_document import setting_document
from inferplan.dialects.words import Unreadable
from inferplan.domain.hardware import Accelerator
from inferplan.domain.serving import Origin
from inferplan.domain.units import MIB, in_gib

_WIDTH = 110
_VALUE_WIDTH_MAX = 44
_INDENT = "  "
_ENTRIES = {
    "serve": "by `vllm serve`",
    "apiServer": "by the module vllm.entrypoints.openai.api_server",
    "legacyApiServer": "by the module vllm.entrypoints.api_server, which has no OpenAI API",
    "image": "by the image's entrypoint",
    "sglang": "by SGLang's launch_server",
    "tgi": "by text-generation-launcher",
    "otherFront": "by a front end that passes the engine's flags on",
}
_COLUMNS = ("KEY", "VALUE", "ORIGIN", "FLAG")


def config_table(report: Report) -> str:
    """The whole report, ending with a newline."""
    sections = [_container(found, _inside(report, found)) for found in report.containers]
    inside = {entry for found in report.containers for entry in _inside(report, found)}
    outside = [entry for entry in report.unreadable if entry not in inside]
    sections.append(_section("Not read", [line for entry in outside for line in _wrapped(_outside_text(entry))]))
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [title, *lines] if lines else []


def _inside(report: Report, found: EngineContainer) -> list[Unreadable]:
    """What is unreadable in this container."""
    place = f"{found.place}: containers[{found.site.container_name}] "
    return [entry for entry in report.unreadable if entry.where.startswith(place)]


def _container(found: EngineContainer, unreadable: Sequence[Unreadable]) -> list[str]:
    namespace = f"{found.site.namespace}/" if found.site.namespace else ""
    title = f"{found.site.kind} {namespace}{found.site.name}, container {found.site.container_name}"
    lines = [one_line(f"{title}  ({found.source.place})")]
    lines += [f"{_INDENT}{name:<8} {one_line(text)}" for name, text in _facts(found)]
    lines += ["", *_settings(found)]
    if unreadable:
        lines += ["", f"{_INDENT}Cannot be read"]
        prefix = f"{found.place}: containers[{found.site.container_name}] "
        lines += [f"{_INDENT}{line}" for entry in unreadable for line in _wrapped(_inside_text(entry, prefix))]
    if found.remarks:
        lines += ["", f"{_INDENT}Findings"]
        lines += [f"{_INDENT}{line}" for entry in found.remarks for line in _wrapped(remark_text(entry))]
    return lines


def _facts(found: EngineContainer) -> Iterator[tuple[str, str]]:
    launch = found.reading.launch
    if found.site.role:
        yield "role", found.site.role
    yield "engine", f"{launch.engine} {_version(found)}"
    yield "model", found.running.model or "not known"
    yield "started", _ENTRIES[launch.entry] + (f", {launch.condition}" if launch.condition else "")
    if found.accelerator.product or found.accelerator.count:
        yield "GPU", _gpu(found.accelerator)


def _version(found: EngineContainer) -> str:
    if found.running.version is None:
        return f"(version not known: {found.version_reason})"
    source = "the image's tag" if found.version_source is VersionSource.IMAGE_TAG else "--engine-version"
    basis = found.reading.grammar.basis
    if basis is None:
        return f"{found.running.version} ({source}; older than all releases that are known)"
    near = "" if basis.exact else f"; read as {basis.release.version}, the nearest that is known"
    return f"{found.running.version} ({source}{near})"


def _gpu(gpus: Accelerator) -> str:
    count = "number not known:" if gpus.count is None else f"{gpus.count} x"
    memory = f", {in_gib(gpus.memory_mib * MIB)} each" if gpus.memory_mib is not None else ""
    return f"{count} {gpus.product or 'unknown product'}{memory}"


def _settings(found: EngineContainer) -> list[str]:
    """One line for each setting: what is set first, defaults behind it."""
    settings = sorted(found.running.items(), key=lambda item: item[1].origin is Origin.VERSION_DEFAULT)
    rows = [_row(key, setting_document(found.reading, key, setting)) for key, setting in settings]
    if not rows:
        return [f"{_INDENT}No argument is set, and no default is known."]
    widths = [
        max(len(row[column]) for row in (*rows, _COLUMNS) if len(row[column]) <= _VALUE_WIDTH_MAX)
        for column in range(len(_COLUMNS))
    ]
    return [
        _INDENT + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (_COLUMNS, *rows)
    ]


def _row(key: str, document: Mapping[str, Any]) -> tuple[str, str, str, str]:
    through = document.get("variables", ())
    flag = document.get("flag", "") + (f" from ${', $'.join(through)}" if through else "")
    return one_line(key), value_text(document["value"]), document["origin"], one_line(flag)


def value_text(value: Any) -> str:  # noqa: ANN401  any JSON value
    """A value as the table shows it: texts as they are, the rest as JSON."""
    return one_line(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) or '""'


def _inside_text(entry: Unreadable, prefix: str) -> str:
    """Flag or word, and why; most reasons name it themselves."""
    what = entry.where.removeprefix(prefix)
    return f"{entry.reason} ({entry.code})" if what in entry.reason else f"{what}: {entry.reason} ({entry.code})"


def remark_text(entry: Finding) -> str:
    """Severity, flag and reason; many reasons begin with the flag."""
    flag = "" if entry.reason.startswith(entry.flag) else f"{entry.flag}: "
    return one_line(f"{entry.severity}: {flag}{entry.reason}")


def _outside_text(entry: Unreadable) -> str:
    return f"{entry.where}: {entry.reason} ({entry.code})"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        one_line(text),
        _WIDTH,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT * 2,
        break_long_words=False,
        break_on_hyphens=False,
    )
