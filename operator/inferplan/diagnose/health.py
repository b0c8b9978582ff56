"""The health score: 100 less what findings and missed targets cost, or what it is at most. Pure. docs/diagnosis.md."""

from collections.abc import Iterable, Sequence

from inferplan.api.analysis import Bottleneck, Deduction, HealthScore, Severity
from inferplan.api.base import TEXT_MAX
from inferplan.diagnose.finding import Cause, Code, Diagnosis
from inferplan.diagnose.slo import SLOState, slo_name

POINTS = {Severity.CRITICAL: 40, Severity.HIGH: 25, Severity.MEDIUM: 10, Severity.LOW: 0}
"""What a finding costs. Two critical ones leave a fifth, one high one leaves three quarters; a notice costs nothing, as
an instance that wastes memory serves its requests all the same. The ratios are a judgement: they order instances."""

MISSED_POINTS = 15
"""What a missed target costs, however little it is missed: its owner said that it must hold."""

MISSED_POINTS_MORE = 15
"""What it costs more, in proportion to how far it is missed, up to twice the target (100 % above it)."""

_PERFECT = 100.0

_OF_METRICS = frozenset({Code.METRICS_MISSING, Code.METRICS_STALE, Code.METRICS_CONTRADICTORY})
"""Findings that say that something is not known: where there is no score for that, they cost nothing besides."""

_NO_SCORE = {
    Cause.IDLE: "no request ran or waited: there is nothing to judge",
    Cause.COLD_START: "the engine has just started: what was measured tells of its start",
}


def health_score(diagnosis: Diagnosis, found: Sequence[Bottleneck], states: Sequence[SLOState]) -> HealthScore:
    """The score with its derivation; where something that it rests on is not known, what it is at most."""
    why = _no_score(diagnosis, states)
    left_out = _OF_METRICS if why is not None else frozenset()
    costs = [_finding_cost(entry) for entry in found if POINTS[entry.severity] and entry.type not in left_out]
    if diagnosis.cause not in _NO_SCORE:
        costs += _slo_costs(states)
    ordered = tuple(sorted(costs, key=lambda cost: -cost.points))
    total = sum(cost.points for cost in ordered)
    score = max(0.0, round(_PERFECT - total, 1))
    if why is not None:
        return HealthScore(at_most=score if ordered else None, reason=why, deductions=ordered)
    return HealthScore(score=score, reason=_note(total, states), deductions=ordered)


def _no_score(diagnosis: Diagnosis, states: Iterable[SLOState]) -> str | None:
    if diagnosis.cause is Cause.UNKNOWN:
        return f"what limits the instance is not known: {diagnosis.missing[0].reason}"[:TEXT_MAX]
    unmeasured = next((state for state in states if not state.is_measured), None)
    if diagnosis.cause not in _NO_SCORE and unmeasured is not None:
        return f"a target is not measured: {unmeasured.sentence}"[:TEXT_MAX]
    return _NO_SCORE.get(diagnosis.cause)


def _finding_cost(found: Bottleneck) -> Deduction:
    points = POINTS[found.severity]
    return Deduction(code=found.type, points=points, reason=f"a finding of severity {found.severity} costs {points}")


def _slo_costs(states: Iterable[SLOState]) -> Iterable[Deduction]:
    return (_slo_cost(state) for state in states if state.met is False)


def _slo_cost(state: SLOState) -> Deduction:
    """15 points, and up to 15 more: 40 % above the target costs 15 + 15 x 0.4 = 21."""
    above = min(1.0, max(0.0, (state.deviation_percent or 0.0) / 100))
    points = round(MISSED_POINTS + MISSED_POINTS_MORE * above, 1)
    far = f"{MISSED_POINTS} and {MISSED_POINTS_MORE} x {above:.2f}, as it is {above:.0%} above its target or more"
    return Deduction(code=Code.SLO_MISSED, points=points, reason=f"{slo_name(state.slo)} is missed: {far}")


def _note(total: float, states: Iterable[SLOState]) -> str | None:
    """What the score does not show."""
    open_states = [slo_name(state.slo) for state in states if state.met is None]
    notes = (
        f"{total:g} points were taken off, and no score is below 0" if total > _PERFECT else "",
        f"not judged, as buckets cannot tell: {', '.join(open_states)}" if open_states else "",
    )
    return "; ".join(note for note in notes if note) or None
