"""Findings as text, JSON, or annotations of a pull request. Pure."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from inferplan.cli.config_table import remark_text
from inferplan.cli.output import one_line
from inferplan.dialects.drift import Finding
from inferplan.dialects.reading import Reading
from inferplan.dialects.report import EngineContainer
from inferplan.dialects.report_document import remark_document


@dataclass(frozen=True)
class Located:
    """A finding and where it stands.

    Attributes:
        remark: The finding.
        file: The file; empty for arguments of a command line.
        line: The line in it, counted from 1; None where it is not known.
        container: The container; None for arguments of a command line.
        reading: What was read of a command line; None for a file.
    """

    remark: Finding
    file: str = ""
    line: int | None = None
    container: EngineContainer | None = None
    reading: Reading | None = None


def printed(found: Sequence[Located], output: str) -> str:
    """The findings in a format: text, json or github."""
    if output == "json":
        return json.dumps([_document(entry) for entry in found], indent=2, ensure_ascii=False) + "\n"
    line = _annotation if output == "github" else _line
    return "".join(f"{line(entry)}\n" for entry in found)


def _line(entry: Located) -> str:
    """`deployment.yaml:12: error: --swap-space: …`, as compilers write it."""
    number = f":{entry.line}" if entry.line is not None else ""
    place = f"{one_line(entry.file)}{number}: " if entry.file else ""
    return place + remark_text(entry.remark)


def _annotation(entry: Located) -> str:
    """A workflow command (docs.github.com/actions, "Workflow commands for GitHub Actions"): ::error file=…::message."""
    remark = entry.remark
    named = {
        "file": entry.file,
        "line": "" if entry.line is None else str(entry.line),
        "title": f"{remark.flag} ({remark.code})",
    }
    properties = ",".join(f"{name}={_property(value)}" for name, value in named.items() if value)
    return f"::{remark.severity} {properties}::{_data(remark.reason)}"


def _data(text: str) -> str:
    """Escapes of actions/toolkit, packages/core/src/command.ts, escapeData."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """The same file, escapeProperty."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _document(entry: Located) -> dict[str, Any]:
    container = entry.container
    reading = entry.reading if container is None else container.reading
    return {
        "file": entry.file or None,
        "line": entry.line,
        "kind": container.site.kind if container is not None else None,
        "name": container.site.name if container is not None else None,
        "container": container.site.container_name if container is not None else None,
        "engine": str(reading.launch.engine) if reading is not None else None,
        "version": reading.config.version if reading is not None else None,
        **remark_document(entry.remark),
    }
