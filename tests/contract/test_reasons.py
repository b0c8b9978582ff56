"""Reasons are spelled once: what is used is declared, what is declared is used, and each has its meaning."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferplan.api.plan import Phase
from inferplan.api.reasons import ConditionType, PlanConditionType, Reason
from inferplan.telemetry import Telemetry
from inferplan.web.outermost import HttpMetrics

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "operator" / "inferplan"
DECLARED_IN = PACKAGE / "api" / "reasons.py"
DOCS = ROOT / "docs"


def used(enum_name: str) -> Iterator[tuple[str, str]]:
    """Member and place of every `<enum_name>.MEMBER` in the package, its declaration excepted."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path == DECLARED_IN:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == enum_name:
                yield node.attr, f"{path.relative_to(PACKAGE)}:{node.lineno}"


@pytest.mark.parametrize("enum", [Reason, ConditionType], ids=lambda enum: enum.__name__)
def test_every_declared_member_is_used(enum: type[Reason] | type[ConditionType]) -> None:
    seen = {member for member, _ in used(enum.__name__)}
    assert sorted(set(enum.__members__) - seen) == []


@pytest.mark.parametrize("enum", [Reason, ConditionType], ids=lambda enum: enum.__name__)
def test_every_used_member_is_declared(enum: type[Reason] | type[ConditionType]) -> None:
    undeclared = [place for member, place in used(enum.__name__) if not hasattr(enum, member)]
    assert undeclared == []


@pytest.mark.parametrize("reason", Reason, ids=str)
def test_every_reason_has_a_meaning_in_a_sentence(reason: Reason) -> None:
    assert len(reason.meaning.split()) >= 3
    assert reason.meaning.endswith(".")


def test_codes_are_camel_case_and_none_stands_for_two_reasons() -> None:
    codes = [reason.value for reason in Reason]
    assert all(code.isalnum() and code[0].isupper() for code in codes)
    assert len(codes) == len(Reason.__members__)


HEAD = """\
# Reasons
Every reason of a condition, an event, an abstention or an option that was left out. What to do: for plans on their way
[apply.md](apply.md#phases), for instances [operations.md](operations.md#reading-an-instance).

| reason | meaning |
|---|---|
"""


def test_the_table_of_reasons_is_complete(update_goldens: bool) -> None:
    rows = (f"| {reason} | {reason.meaning} |\n" for reason in sorted(Reason))
    file, text = DOCS / "reasons.md", HEAD + "".join(rows)
    if update_goldens:
        file.write_text(text, "utf-8")
    assert text == file.read_text("utf-8"), "run pytest with --update-goldens"


def phase_table() -> list[list[str]]:
    """Cells of the rows under `## Phases` in docs/apply.md."""
    text = (DOCS / "apply.md").read_text("utf-8").split("\n## Phases\n")[1].split("\n## ")[0]
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_table_of_phases_names_each_phase_and_only_reasons_and_conditions_that_there_are() -> None:
    table = phase_table()
    assert {cells[0].strip("`") for cells in table if cells[0]} == set(Phase)
    told = {word for cells in table for word in re.findall(r"\b(?:[A-Z][a-z]+){2,}\b", cells[2].split(":")[0])}
    assert told <= {*Reason, *PlanConditionType}


def test_each_gate_is_in_the_table_of_phases() -> None:
    text = " ".join(cells[2] for cells in phase_table())
    names = set(re.findall(r"Reason\.([A-Z_]+)", (PACKAGE / "apply" / "gates.py").read_text("utf-8")))
    assert {"PAUSED", "OUTSIDE_WINDOW"} <= names
    shown = {Reason[name].value for name in names} - {Reason.BACKING_OFF}  # the try before tells its own reason
    assert sorted(shown - set(re.findall(r"\w+", text))) == []


def test_the_metrics_in_the_docs_are_those_that_there_are() -> None:
    text = (DOCS / "operations.md").read_text("utf-8").split("## Health and metrics of the operator")[1]
    told = set(re.findall(r"`(inferplan_\w+)", text.split("### Alerts")[0]))
    telemetry = Telemetry()
    HttpMetrics(telemetry.registry)
    families = list(telemetry.registry.collect())
    assert told == {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    alerts = set(re.findall(r"inferplan_\w+", text.split("### Alerts")[1].split("\n## ")[0]))
    assert alerts <= told
