"""The bundled estimator of speed: a step model under a load (performance-model section 2)."""

from dataclasses import dataclass, replace

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
_FITTED = frozenset({"NVIDIA-H100-80GB-HBM3", "NVIDIA-H200", "NVIDIA-B200", "NVIDIA-B300-SXM6-AC"})
"""GPUs that the constants were fitted on."""

_ITL_WIDER, _TTFT_WIDER = 1.5, 2.5
"""On other GPUs, intervals are widened by these powers: the leave-one-GPU-out errors between Hopper and Blackwell are
that much larger than the errors in sample (benchmarks/results/accuracy.md). Of the TTFT more, since hosts and clients
are others too: what a request costs beside the GPU is 10 to 80 ms in public load tests of short prompts."""

_NEARLY = "if the engine is as slow as the interval allows, more requests arrive than are served"
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
        told = self._told(flow, situation, asked, load)
        return told if load.concurrency is not None or told.saturated else self._arriving(told, asked, situation, load)

    def flow(self, asked: Question, situation: EstimateInput, load: Load, slower: float = 1.0) -> Flow:
        """The expected flow under a load.

        Args:
            asked: The deployment and its bounds.
            situation: What is asked about.
            load: The load.
            slower: Factor on all times.
        """
        times = self._basis(asked, situation).times.times(slower)
        cache = situation.cache_tokens if situation.cache_tokens is not None else float("inf")
        limits = Limits(np.array([asked.running]), np.array([asked.batched_tokens]), np.array([cache]))
        computed = load if asked.prefix_caching is not False else load.without_prefixes()
        return Service(StepColumns([asked.shape]), self._fit.constants, times).under(Loads([computed]), limits)

    def _told(self, flow: Flow, situation: EstimateInput, asked: Question, load: Load) -> Performance:
        served, basis = float(flow.requests_per_second[0]), self._basis(asked, situation)
        saturated = bool(flow.saturated[0])
        late = Missing(Reason.SATURATED, "more requests arrive than are served: the queue, and latency, have no bound")
        bound = load.concurrency is None and not saturated
        speed = Spread(1.0, 1.0) if bound else Spread(1.0 / basis.itl.high, 1.0 / basis.itl.low)
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

    def _arriving(self, told: Performance, asked: Question, situation: EstimateInput, load: Load) -> Performance:
        """Requests come whatever runs: a slower engine also has more of them, up to more than it serves."""
        spread = self._basis(asked, situation).itl
        fast, slow = (self.flow(asked, situation, load, factor) for factor in (spread.low, spread.high))
        served = float(slow.requests_per_second[0])
        late = bool(slow.saturated[0])
        return replace(
            told,
            ttft_milliseconds=_reaching(told.ttft_milliseconds, fast.ttft_seconds[0], slow.ttft_seconds[0]),
            itl_milliseconds=_reaching(told.itl_milliseconds, fast.itl_seconds[0], slow.itl_seconds[0]),
            output_tokens_per_second=_down_to(told.output_tokens_per_second, served * load.output_tokens),
            requests_per_second=_down_to(told.requests_per_second, served),
            notes=(*told.notes, _NEARLY) if late else told.notes,
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
        itl, ttft = (spreads[f"{engine} {what}"] for what in ("itl", "ttft"))
        if asked.unfitted or asked.gpu not in _FITTED:
            itl, ttft = _widened(itl, _ITL_WIDER), _widened(ttft, _TTFT_WIDER)
        return _Basis(Multipliers(), Source.ROOFLINE, itl, ttft)


def _widened(spread: Spread, power: float) -> Spread:
    """The spread on GPUs, and of kinds of attention, that no constant was fitted on."""
    return Spread(spread.low**power, spread.high**power)


def _reaching(told: Interval | Missing, low_seconds: float, high_seconds: float) -> Interval | Missing:
    """The interval, at least as wide as these ends."""
    if isinstance(told, Missing):
        return told
    low, high = float(low_seconds) * _MILLISECONDS, float(high_seconds) * _MILLISECONDS
    return Interval(min(told.low, low), told.expected, max(told.high, high))


def _down_to(told: Interval | Missing, low: float) -> Interval | Missing:
    return told if isinstance(told, Missing) else Interval(min(told.low, low), told.expected, told.high)


def _interval(value: float, spread: Spread) -> Interval:
    expected = float(value)
    return Interval(min(expected, expected * spread.low), expected, max(expected, expected * spread.high))
