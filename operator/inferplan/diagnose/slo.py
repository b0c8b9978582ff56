"""Whether the latency targets hold, by what was measured."""

from dataclasses import dataclass

from inferplan.api.instance import SLO
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import NOT_MEASURED, Metrics


@dataclass(frozen=True)
class SLOState:
    """One target against its measurement; met is None when it is not measured."""

    slo: SLO
    measured: Measurement
    met: bool | None

    @property
    def sentence(self) -> str:
        """The state for people: "ttft p95 is 812 ms, target 500 ms"."""
        name = slo_name(self.slo)
        if isinstance(self.measured, Missing):
            return f"{name}: {self.measured.reason}"
        return f"{name} is {self.measured.value:.0f} ms, target {self.slo.target_milliseconds} ms"


def slo_name(slo: SLO) -> str:
    """Name of a target: "ttft p95"."""
    return f"{slo.metric} p{slo.percentile}"


def slo_states(slos: tuple[SLO, ...], metrics: Metrics) -> tuple[SLOState, ...]:
    """State of every target, in the order of the spec."""
    measured = dict(metrics.slo_milliseconds)
    return tuple(_state(slo, measured.get(slo_name(slo), NOT_MEASURED)) for slo in slos)


def _state(slo: SLO, value: Measurement) -> SLOState:
    met = value.value <= slo.target_milliseconds if isinstance(value, Measured) else None
    return SLOState(slo, value, met)
