"""Version: arguments that the running release refuses or reads otherwise than they say.

Table: flags that the release does not have, values that its parser refuses, and a change that mends them → those
changes, critical: the pods that run keep running, and the next one does not start. Anything that no change can mend
(a flag that no release has, one without effect, at its default, or gone in a newer release) → abstains, and says so.
Version unknown → abstains, unless no release has a flag. Needs no metrics: it speaks of idle instances too.
"""

from collections.abc import Iterable, Sequence

from inferplan.api.base import TEXT_MAX
from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    CHANGES_MAX,
    Confidence,
    ConfigChange,
    Effort,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.diagnose.bottlenecks import Diagnosis
from inferplan.domain.drift import Drift, DriftFinding, Mend, Severity, VersionSource
from inferplan.domain.lever import Answer
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.optimizers.base import end_of_life

_BY_HAND_MAX = 7
"""A plan holds eight prerequisites."""

_NO_HURRY = "Nothing has to restart for it today: pods that run go on; it counts at their next start."
_GRAVEST_FIRST = tuple(Severity)


class Version:
    """Proposes arguments that the running release starts with."""

    name = OptimizerName.VERSION

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """See the module's table."""
        del diagnosis, policy  # whether a server starts depends on neither load nor wishes
        ended, drift = end_of_life(self.name, observation), observation.drift
        if ended is not None:
            return Answer(abstentions=(ended,))
        if isinstance(drift, Missing):
            return Answer(abstentions=(Abstention(self.name, drift.code, drift.reason),))
        changes = _changes(observation, drift)
        if 0 < len(changes) <= CHANGES_MAX:
            return Answer(proposals=(Proposal(self.name, _optimization(observation, drift, changes)),))
        return Answer(abstentions=(_abstention(self.name, observation, drift),))


def _changes(observation: Observation, drift: Drift) -> dict[str, ConfigChange]:
    """Changes that mend errors, by key; what merely deceives is left to its owner."""
    found: dict[str, ConfigChange] = {}
    for finding in _errors(drift.findings):
        for mend in finding.mends:
            found.setdefault(mend.key, _change(observation, drift, finding, mend))
    return found


def _errors(findings: Iterable[DriftFinding]) -> list[DriftFinding]:
    return [finding for finding in findings if finding.severity is Severity.ERROR]


def _change(observation: Observation, drift: Drift, finding: DriftFinding, mend: Mend) -> ConfigChange:
    parser = f"{finding.flag} by the parser of {observation.config.engine} {drift.release}"
    return ConfigChange(
        parameter=mend.key,
        flag=mend.flag,
        current_value=mend.current,
        recommended_value=mend.value,
        removes_flag=mend.value is None,
        reason=finding.reason,
        evidence=(Evidence(formula=parser, value="refused"),),
    )


def _optimization(observation: Observation, drift: Drift, changes: dict[str, ConfigChange]) -> Optimization:
    engine = f"{observation.config.engine} {observation.config.version}"
    left = [finding for finding in _errors(drift.findings) if not finding.mends]
    return Optimization(
        type=OptimizationType.VERSION,
        title=f"Arguments that {engine} starts with",
        description=f"A pod that starts with the present arguments does not come up. {_listed(drift.findings)}",
        config_changes=tuple(changes.values()),
        expected_impact=ImpactLevel.CRITICAL,
        estimated_improvement=_improvement(left),
        confidence=_confidence(drift),
        source=Source.MEASURED_ELSEWHERE,
        implementation_effort=Effort.LOW,
        risks=tuple(_risks(drift, changes.values())),
        prerequisites=(*_by_hand(left), _NO_HURRY),
        raises_confidence=() if drift.exact else (f"The flags of {engine} itself, not those of {drift.release}.",),
    )


def _improvement(left: Sequence[DriftFinding]) -> str:
    return (
        "The server starts again after its next restart."
        if not left
        else "With what is left to a person, the server starts again after its next restart."
    )


def _by_hand(left: Sequence[DriftFinding]) -> Iterable[str]:
    """Errors that no change here mends: each must be gone as well before the server starts."""
    return (f"By hand: {finding.reason}" for finding in left[:_BY_HAND_MAX])


def _confidence(drift: Drift) -> Confidence:
    """High where image and release are the same; a ready pod with these very arguments speaks against the finding."""
    sure = drift.exact and drift.source is VersionSource.IMAGE
    return Confidence.HIGH if sure else Confidence.MEDIUM


def _risks(drift: Drift, changes: Iterable[ConfigChange]) -> Iterable[str]:
    if any(change.removes_flag for change in changes):
        yield "What a flag that is taken out was meant to do is not done; read what took its place."
    if drift.source is VersionSource.ENGINE:
        yield (
            "A ready pod of this version runs with these arguments: what they refer to changed after its start, or its"
            " image takes more than the release does."
        )


def _abstention(name: OptimizerName, observation: Observation, drift: Drift) -> Abstention:
    engine, errors = observation.config.engine, _errors(drift.findings)
    if drift.release is None and not errors:
        why = "which flags exist is not known without the engine's version: set spec.engineVersion"
        return Abstention(name, Reason.ENGINE_VERSION_UNKNOWN, why)
    if not drift.findings:
        return Abstention(name, Reason.NO_DRIFT, f"{engine} {drift.release} takes every argument as it stands")
    return Abstention(name, Reason.DRIFT_FOUND, _listed(drift.findings))


def _listed(findings: Sequence[DriftFinding]) -> str:
    """What was found, the gravest first."""
    ordered = sorted(findings, key=lambda finding: _GRAVEST_FIRST.index(finding.severity))
    return "; ".join(finding.reason for finding in ordered)[:TEXT_MAX]
