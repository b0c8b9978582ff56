"""The bundled estimator of speed: a step model under a load (performance-model section 2)."""

from dataclasses import dataclass

import numpy as np

from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.measurement import Missing
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import Question, question
from inferplan.estimate.result import Interval, Performance
from inferplan.estimate.service import Flow, Limits, Loads, Service
from inferplan.estimate.speed_constants import Multipliers, SpeedFit, Spread, shipped
from inferplan.estimate.step_shape import StepColumns

_MILLISECONDS = 1e3
_FITTED_CAPABILITIES = frozenset({90, 100, 103})
"""Compute capabilities of the GPUs that the constants were fitted on: H100, H200, B200, B300."""

_ELSEWHERE_WIDER = 1.5
"""On other GPUs, intervals are widened by this power: the leave-one-GPU-out errors between Hopper and Blackwell are
that much larger than the errors in sample (benchmarks/results/accuracy.md)."""

LENGTHS = "latencies are means; a closed loop is a load test of ten requests per client that all start at once"


@dataclass(frozen=True)
class _Basis:
    """What an answer rests on."""

    times: Multipliers
    source: Source
    itl: Spread
    ttft: Spread
    note: str = ""


class StepTimeEstimator:
    """Implements port.Estimator.

    Args:
        fit: Constants and spreads; the shipped ones by default.
        calibration: What was learned of the instance that is asked about.
    """

    def __init__(self, fit: SpeedFit | None = None, calibration: Calibration | None = None) -> None:
        self._fit = fit or shipped()
        self._calibration = calibration

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        """How fast the replica serves the load; why not where that has no basis. Never raises."""
        asked = question(situation)
        if isinstance(asked, Missing):
            return asked
        if asked.unmeasured is not None and self._calibration is None:
            return asked.unmeasured
        flow = self.flow(asked, situation, load)
        if not np.isfinite(flow.ttft_seconds).all() or not np.isfinite(flow.itl_seconds).all():
            return Missing(Reason.SETTING_UNKNOWN, "the settings and the load together are beyond any real server")
        return self._told(flow, situation, asked, load)

    def flow(self, asked: Question, situation: EstimateInput, load: Load) -> Flow:
        """The expected flow under a load."""
        times = self._basis(asked, situation).times
        cache = situation.cache_tokens if situation.cache_tokens is not None else float("inf")
        limits = Limits(np.array([asked.running]), np.array([asked.batched_tokens]), np.array([cache]))
        computed = load if asked.prefix_caching is not False else load.without_prefixes()
        return Service(StepColumns([asked.shape]), self._fit.constants, times).under(Loads([computed]), limits)

    def _told(self, flow: Flow, situation: EstimateInput, asked: Question, load: Load) -> Performance:
        served, basis = float(flow.requests_per_second[0]), self._basis(asked, situation)
        saturated = bool(flow.saturated[0])
        late = Missing(Reason.SATURATED, "more requests arrive than are served: the queue, and latency, have no bound")
        open_loop = load.concurrency is None and not saturated
        speed = Spread(1.0, 1.0) if open_loop else Spread(1.0 / basis.itl.high, 1.0 / basis.itl.low)
        return Performance(
            ttft_milliseconds=late if saturated else _interval(flow.ttft_seconds[0] * _MILLISECONDS, basis.ttft),
            itl_milliseconds=late if saturated else _interval(flow.itl_seconds[0] * _MILLISECONDS, basis.itl),
            output_tokens_per_second=_interval(served * load.output_tokens, speed),
            requests_per_second=_interval(served, speed),
            source=basis.source,
            saturated=saturated,
            assumptions=asked.assumptions,
            notes=(LENGTHS, basis.note) if basis.note else (LENGTHS,),
        )

    def _basis(self, asked: Question, situation: EstimateInput) -> _Basis:
        """The best rung of the ladder: this instance's own windows, the same thing measured elsewhere, the model."""
        engine, spreads = situation.config.engine, self._fit.spreads
        if self._calibration is not None:
            own = self._calibration
            itl, ttft = (own.spread(spreads[f"{engine} {what} seen"], what) for what in ("itl", "ttft"))
            return _Basis(own.multipliers, Source.CALIBRATED_HERE, itl, ttft)
        found = self._fit.elsewhere.get(asked.served)
        if found is not None:
            note = f"fitted to {found.measurements} public measurements of this model on this GPU ({found.citation})"
            return _Basis(found.multipliers, Source.MEASURED_ELSEWHERE, found.itl, found.ttft, note)
        fitted = situation.accelerator.compute_capability in _FITTED_CAPABILITIES and not asked.unfitted
        itl, ttft = (spreads[f"{engine} {what}"] for what in ("itl", "ttft"))
        if not fitted:
            itl, ttft = _widened(itl), _widened(ttft)
        return _Basis(Multipliers(), Source.ROOFLINE, itl, ttft)


def _widened(spread: Spread) -> Spread:
    """The spread on GPUs, and of kinds of attention, that no constant was fitted on."""
    return Spread(spread.low**_ELSEWHERE_WIDER, spread.high**_ELSEWHERE_WIDER)


def _interval(value: float, spread: Spread) -> Interval:
    expected = float(value)
    return Interval(min(expected, expected * spread.low), expected, max(expected, expected * spread.high))
