"""A version with defects that a later release mends. Pure: advice, which no plan applies."""

from collections.abc import Iterator, Sequence

from inferplan.api.analysis import EVIDENCE_MAX, Bottleneck, Severity
from inferplan.api.base import TEXT_MAX
from inferplan.api.values import Evidence
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Code
from inferplan.dialects.known_defects import FoundDefects, KnownDefect


def version_with_known_fix(case: Case) -> Iterator[Bottleneck]:
    """One finding for all defects that the configuration meets. Needs no metrics: it speaks of idle instances too."""
    found, running = case.known_defects, f"{case.config.engine} {case.config.version}"
    if not found.present:
        return
    told = "; ".join(f"{each.effect} ({each.releases}; {each.source})" for each in found.present)
    yield Bottleneck(
        type=Code.VERSION_WITH_KNOWN_FIX,
        severity=Severity.LOW,
        description=f"{running} has defects that this configuration meets: {told}."[:TEXT_MAX],
        evidence=tuple(_evidence(running, each) for each in found.present[:EVIDENCE_MAX]),
        recommendation=upgrade_advice(case.config.engine, found),
    )


def _evidence(running: str, defect: KnownDefect) -> Evidence:
    met = " and ".join(condition.words for condition in defect.where)
    return Evidence(formula=f"{running} is {defect.releases}, and runs with {met}", value="affected")


def upgrade_advice(engine: str, found: FoundDefects) -> str:
    """Which release mends what is there, and what lies in between."""
    ahead = f"; and does not bring what releases in between do: {_names(found.ahead)}" if found.ahead else ""
    return f"Try an upgrade to {engine} {found.upgrade} or later, which fixes {_names(found.present)}{ahead}."[
        :TEXT_MAX
    ]


def _names(defects: Sequence[KnownDefect]) -> str:
    return "; ".join(f"{each.name} (source: {each.source})" for each in defects)
