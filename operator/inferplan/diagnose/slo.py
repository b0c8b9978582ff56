"""Whether the latency targets hold, by what was measured; unknown where a histogram's buckets cannot tell. Pure."""

from dataclasses import dataclass

from inferplan.api.analysis import SLOStatus
from inferplan.api.base import TEXT_MAX
from inferplan.api.instance import SLO
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import NOT_MEASURED, Metrics
from inferplan.domain.units import significant


@dataclass(frozen=True)
class SLOState:
    """One target against its measurement.

    Attributes:
        slo: The target.
        measured: Its percentile.
        met: Whether it holds; None where that is not known.
        missed: Share of requests (for ITL: of tokens) above the target.
    """

    slo: SLO
    measured: Measurement
    met: bool | None
    missed: Measurement = NOT_MEASURED

    @property
    def sentence(self) -> str:
        """The state for people: "ttft p95 is 812 ms, target 500 ms"."""
        name, target = slo_name(self.slo), f"target {self.slo.target_milliseconds} ms"
        if isinstance(self.measured, Missing):
            known = self.measured.at_least
            above = f"{name} is above {known:.0f} ms, {target}" if known is not None else ""
            return above or f"{name}: {self.measured.reason}"
        return f"{name}: {self.undecided}" if self.met is None else f"{name} is {self.measured.value:.0f} ms, {target}"

    @property
    def undecided(self) -> str:
        """Why a percentile that was measured does not tell whether the target holds."""
        low, high = _bounds(self.measured) if isinstance(self.measured, Measured) else (0.0, 0.0)
        target = self.slo.target_milliseconds
        return f"the histogram's buckets ({low:.0f} to {high:.0f} ms) cannot tell whether it is below {target} ms"

    @property
    def is_measured(self) -> bool:
        """Whether anything is known of the percentile: itself, or what it surely exceeds."""
        return isinstance(self.measured, Measured) or self.measured.at_least is not None

    @property
    def deviation_percent(self) -> float | None:
        """How far the percentile, or what it surely exceeds, lies above the target; negative: below."""
        value = self.measured.value if isinstance(self.measured, Measured) else self.measured.at_least
        target = self.slo.target_milliseconds
        return None if value is None else (value - target) / target * 100


def slo_name(slo: SLO) -> str:
    """Name of a target: "ttft p95"."""
    return f"{slo.metric} p{slo.percentile}"


def slo_states(slos: tuple[SLO, ...], metrics: Metrics) -> tuple[SLOState, ...]:
    """State of every target, in the order of the spec."""
    measured, missed = dict(metrics.slo_milliseconds), dict(metrics.slo_missed_share)
    return tuple(
        _state(slo, measured.get(slo_name(slo), NOT_MEASURED), missed.get(slo_name(slo), NOT_MEASURED)) for slo in slos
    )


def _state(slo: SLO, value: Measurement, missed: Measurement) -> SLOState:
    return SLOState(slo, value, _met(slo, value, missed), missed)


def _met(slo: SLO, value: Measurement, missed: Measurement) -> bool | None:
    target = slo.target_milliseconds
    if isinstance(value, Missing):
        return False if value.at_least is not None and value.at_least >= target else None
    low, high = _bounds(value)
    if high <= target:
        return True
    return False if low >= target else _met_by_share(slo, missed)


def _met_by_share(slo: SLO, missed: Measurement) -> bool | None:
    """Where the percentile's bucket holds the target: by the share of requests above it."""
    if isinstance(missed, Missing):
        return None
    low, high = _bounds(missed)
    if high <= allowed_share(slo):
        return True
    return False if low > allowed_share(slo) else None


def _bounds(value: Measured) -> tuple[float, float]:
    """What the value is at least and at most; itself where it is exact."""
    return (
        value.value if value.low is None else value.low,
        value.value if value.high is None else value.high,
    )


def allowed_share(slo: SLO) -> float:
    """The error budget: the share of requests that may miss the target."""
    return (100 - slo.percentile) / 100


def slo_status(state: SLOState) -> SLOStatus:
    """The state as status and HTTP show it."""
    value, missed = state.measured, state.missed
    share = min(1.0, max(0.0, missed.value)) if isinstance(missed, Measured) else None
    deviation = state.deviation_percent if isinstance(value, Measured) else None
    common = SLOStatus(
        target=state.slo,
        is_compliant=state.met,
        deviation_percent=_short(deviation),
        allowed_share=allowed_share(state.slo),
        missed_share=_short(share),
        error_budget_used_percent=_short(None if share is None else share / allowed_share(state.slo) * 100),
        reason=_reason(state),
    )
    return common.model_copy(update=_numbers(value))


def _numbers(value: Measurement) -> dict[str, object]:
    if isinstance(value, Missing):
        return {"at_least": value.at_least}
    return {
        "current_value": _short(value.value),
        "low": _short(value.low),
        "high": _short(value.high),
        "window_seconds": value.window_seconds or None,
        "query": value.source[:TEXT_MAX],
    }


def _reason(state: SLOState) -> str | None:
    if isinstance(state.measured, Missing):
        return state.measured.reason[:TEXT_MAX]
    return state.undecided if state.met is None else None


def _short(value: float | None) -> float | None:
    return None if value is None else significant(float(value))
