"""Arguments that the running release refuses, or that do nothing. Pure."""

from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Code, finding
from inferplan.domain.drift import Drift, DriftFinding
from inferplan.domain.drift import Severity as DriftSeverity


def arguments(case: Case) -> Iterator[Bottleneck]:
    """One finding for what is refused, one for what deceives; what stands at its default is none."""
    drift = case.observation.drift
    if not isinstance(drift, Drift):
        return
    refused = [found for found in drift.findings if found.severity is DriftSeverity.ERROR]
    deceiving = [found for found in drift.findings if found.severity is DriftSeverity.WARNING]
    if refused:
        yield finding(
            Code.ARGUMENTS_REFUSED,
            Severity.CRITICAL,
            f"The engine's next start fails: {_listed(refused)}",
            recommendation="Change these arguments before anything restarts; the version optimizer writes how.",
        )
    if deceiving:
        yield finding(
            Code.ARGUMENTS_WITHOUT_EFFECT,
            Severity.LOW,
            f"Arguments do not do what they say: {_listed(deceiving)}",
            recommendation="Take them out, or write what takes their place in this version.",
        )


def _listed(found: list[DriftFinding]) -> str:
    return "; ".join(entry.reason for entry in found)
