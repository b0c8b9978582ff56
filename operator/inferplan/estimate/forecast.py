"""What an instance would do with other settings, by the step model as its own windows calibrate it. Pure.

Only ratios are told, of a configuration against today's: what the model has wrong alike on both sides falls out, and
the measured value is what the ratio is of.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, hypot
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from inferplan.api.values import Source
from inferplan.domain.lever import LimitKey
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.calibration import PRIOR_AXES, Calibration
from inferplan.estimate.candidates import Candidates, Evaluated, Learned, Whole, evaluate_sized
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.observed_load import Seen
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import attention_ranks
from inferplan.estimate.speed_constants import MultiplierCases, Multipliers, SpeedFit, shipped
from inferplan.estimate.step_shape import Flags, Floats
from inferplan.estimate.vllm_memory import Sized

Moves = Mapping[LimitKey, NDArray[np.float64]]
"""Values of limits that are tried, arrays of one length; a limit that is not named stays."""

_Z80 = 1.2816  # standard normal quantile of 90 %: an 80 % interval
_RATIO_NOISE = 0.06
"""Standard deviation of the logarithm of what a ratio is off by beside the uncertain directions: two means that are
measured, a load whose shape is never quite the same, and what the step model has wrong of one deployment at two batch
sizes. A choice: with it 80 % intervals hold 79 % of the ratios of public measurements in which one deployment runs more
or fewer requests, after one window (benchmarks/results/ratio_intervals.md)."""

_TINY = 1e-12
"""Below what any latency or rate is; keeps logarithms finite."""

_LOSS_MAX = 0.5
"""Of the time, what recomputing preempted requests is taken to cost at most: beyond, the metrics tell of a storm that
no steady rate describes."""


@dataclass(frozen=True)
class Outlook:
    """What configurations are expected to give, per replica: arrays, an entry for each.

    Attributes:
        starts: Whether the engine starts.
        cache_tokens: Tokens that the KV cache holds; NaN where it is not known.
        throughput: Output tokens per second.
        ttft: Mean time to the first token, seconds, queueing included; NaN where it has no basis.
        itl: Mean time between tokens, seconds.
        running: Requests that run at once.
        saturated: More requests come than are served.
        chunk: What a step with a chunk of prompts takes more than one without, seconds.
        chunk_share: Share of the steps that have one.
        queue: What of the TTFT is waiting for a place, seconds.
    """

    starts: Flags
    cache_tokens: Floats
    throughput: Floats
    ttft: Floats
    itl: Floats
    running: Floats
    saturated: Flags
    chunk: Floats
    chunk_share: Floats
    queue: Floats

    def itl_tail(self, percentile: float) -> Floats:
        """A percentile of the time between tokens: a step with a chunk of prompts where enough steps have one.

        Steps of 10 ms, in one of ten a chunk of 40 ms more: the mean is 14 ms, p95 is 50 ms and p50 10 ms. Where just
        about as many have one, between half and all of 1 - percentile, the percentile lies between the two.
        """
        plain = np.maximum(self.itl - self.chunk * self.chunk_share, 0.0)
        over = self.chunk_share / (1.0 - percentile / 100.0)
        tail: Floats = plain + self.chunk * np.clip(2.0 * over - 1.0, 0.0, 1.0)
        return tail


@dataclass(frozen=True)
class Span:
    """A ratio to today's value with its 80 % interval; expected is None where only the ends have a basis."""

    low: float
    expected: float | None
    high: float


_ALL_SERVED = Span(1.0, 1.0, 1.0)
"""In an open loop what comes is served, by either configuration: nothing is uncertain of that unless in some case more
comes than one of them serves."""


@dataclass(frozen=True)
class Ratios:
    """A configuration against today's. A latency is None where the forecast says nothing of it.

    Attributes:
        throughput: Output tokens per second.
        itl: Mean time between tokens.
        ttft: Mean time to the first token.
        tails: Percentiles of the time between tokens.
    """

    throughput: Span
    itl: Span | None
    ttft: Span | None
    tails: Mapping[int, Span] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """A configuration as a forecast is asked about it.

    Attributes:
        config: Its settings.
        card: The model that runs.
        doubt: Standard deviation of the logarithm of what the step model does not see of its speed.
    """

    config: ServingConfig
    card: ModelCard
    doubt: float = 0.0


class Forecast(Protocol):
    """Forecasts configurations of one instance under the load that it was seen under."""

    @property
    def ground(self) -> Ground:
        """What memory is sized by."""
        ...

    @property
    def source(self) -> Source:
        """What the ratios rest on."""
        ...

    @property
    def basis(self) -> str:
        """The same in a sentence."""
        ...

    @property
    def windows(self) -> int:
        """Windows of this very instance that the step model was calibrated on."""
        ...

    def outlook(self, place: Place, moves: Moves) -> Outlook | Missing:
        """What a configuration gives with each of the limits."""
        ...

    def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
        """One configuration against another, with intervals.

        Args:
            before: What is compared with.
            after: What is compared.
            percentiles: Percentiles of the time between tokens that are asked for.
        """
        ...


@dataclass(frozen=True)
class StepForecast:
    """Implements Forecast by the step model.

    Attributes:
        observation: What was seen.
        ground: What memory is sized by.
        seen: The load.
        calibration: What the instance's own windows taught; None where they taught nothing.
        fit: The step model's constants.
        queue_scale: The queue's part of the TTFT as it was measured, against what the model makes of today's settings.
    """

    observation: Observation
    ground: Ground
    seen: Seen
    calibration: Calibration | None = None
    fit: SpeedFit | None = None
    queue_scale: float = 1.0

    @property
    def source(self) -> Source:
        """Calibrated by own windows, else the model as it is shipped; never better than the load's own source."""
        own = Source.CALIBRATED_HERE if self.calibration is not None else Source.ROOFLINE
        return max(own, self.seen.source, key=tuple(Source).index)

    @property
    def basis(self) -> str:
        """How the ratios were found."""
        if self.calibration is None:
            return f"The step model, not calibrated, at {self.seen.basis}."
        return f"The step model, calibrated on {_windows(self.calibration)} of this instance, at {self.seen.basis}."

    @property
    def windows(self) -> int:
        """Windows of this very instance that the step model was calibrated on."""
        return self.calibration.windows if self.calibration is not None else 0

    def outlook(self, place: Place, moves: Moves) -> Outlook | Missing:
        """What a configuration gives with each of the limits."""
        sized = self._sized(place)
        return sized if isinstance(sized, Missing) else self._outlook(sized, moves, None, np.array([self._loss()]))

    def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
        """One configuration against another: expected, and what each uncertain direction makes of it."""
        first, second = self._sized(before), self._sized(after)
        if isinstance(first, Missing):
            return first
        if isinstance(second, Missing):
            return second
        logs = self._logs((first, second), percentiles)
        if isinstance(logs, Missing):
            return logs
        doubt = hypot(_RATIO_NOISE, after.doubt) * _Z80
        expected, moved = logs[:, 0], logs - logs[:, :1]
        down = np.sqrt(doubt**2 + (np.minimum(moved, 0.0) ** 2).sum(axis=1))
        up = np.sqrt(doubt**2 + (np.maximum(moved, 0.0) ** 2).sum(axis=1))
        spans = [
            Span(exp(middle - below), exp(middle), exp(middle + above))
            for middle, below, above in zip(expected, down, up, strict=True)
        ]
        all_served = self.seen.load.concurrency is None and np.allclose(logs[0], 0.0)
        tails = dict(zip(percentiles, spans[3:], strict=True))
        return Ratios(_ALL_SERVED if all_served else spans[0], spans[1], spans[2], tails)

    def _logs(self, sides: "_Sides", percentiles: Sequence[int]) -> Floats | Missing:
        """Logarithms of after over before; a column for each case, the expected first.

        Rows: throughput, ITL, TTFT, then the percentiles of the ITL.
        """
        times, losses = self._cases()
        values = []
        for sized in sides:
            found = self._outlook(sized, {}, times, losses)
            if isinstance(found, Missing):
                return found
            tails = [found.itl_tail(percentile) for percentile in percentiles]
            values.append(np.stack([found.throughput, found.itl, found.ttft, *tails]))
        logs: Floats = np.log(np.maximum(values[1], _TINY)) - np.log(np.maximum(values[0], _TINY))
        return logs

    def _cases(self) -> tuple[MultiplierCases, Floats]:
        """What is expected, and cases in which one thing is otherwise: a direction of the fit, or the loss."""
        axes = self.calibration.axes if self.calibration is not None and self.calibration.axes else PRIOR_AXES
        loss, times = self._loss(), self._multipliers()
        moved = [tuple(sign * part for part in axis) for axis in axes for sign in (-_Z80, _Z80)]
        still = (0.0, 0.0, 0.0, 0.0)
        lost = [0.0, min(_LOSS_MAX, 1.5 * loss)]
        factors = np.exp(np.array([still, *moved, still, still]))
        own = np.array([times.fixed, times.growing, times.prompts, times.waiting])
        return MultiplierCases(*(factors * own).T), np.array([loss] * (1 + len(moved)) + lost)

    def _multipliers(self) -> Multipliers:
        return self.calibration.multipliers if self.calibration is not None else Multipliers()

    def _loss(self) -> float:
        """Share of the time that goes into computing preempted requests again: their rate x a prefill.

        0.5 preemptions per second, prefills of 0.4 s: a fifth of the time.
        """
        rate = self.observation.metrics.preemptions_per_second
        prefill = self.observation.metrics.prefill_time_mean_milliseconds
        if not isinstance(rate, Measured) or not isinstance(prefill, Measured):
            return 0.0
        return min(_LOSS_MAX, max(0.0, rate.value * prefill.value / 1e3))

    def anchored(self) -> "StepForecast | Missing":
        """The same, with a queue as long as the measured TTFT says: how long one gets is the least sure of a model.

        Measured 200 ms, modelled 45 ms without a queue and 1,500 ms in it: it is scaled by 155 / 1,500.
        """
        today = self.outlook(Place(self.ground.before, self.ground.model), {})
        measured = self.observation.metrics.ttft_mean_milliseconds
        if isinstance(today, Missing):
            return today
        queue, own = float(today.queue[0]), float(today.ttft[0] - today.queue[0])
        if not isinstance(measured, Measured) or queue <= 0:
            return self
        return replace(self, queue_scale=max(0.0, measured.value / 1e3 - own) / queue)

    def _sized(self, place: Place) -> "_SizedPlace | Missing":
        sized = memory_model(place.config, self.ground.accelerator, place.card, self.ground.overhead)
        return sized if isinstance(sized, Missing) else _SizedPlace(place, sized)

    def _outlook(
        self, of: "_SizedPlace", moves: Moves, cases: MultiplierCases | None, losses: Floats
    ) -> Outlook | Missing:
        situation = EstimateInput(of.place.config, self.ground.accelerator, of.place.card)
        fit = self.fit or shipped()
        # A running deployment has no first wave, and its own clock starts behind the client's part.
        constants = replace(fit.constants, burst_share=0.0, tester_seconds=0.0, client_seconds=0.0)
        known = Learned(replace(fit, constants=constants), self.calibration, self.ground.overhead, cases)
        candidates = candidates_of(of.sized, moves)
        found = evaluate_sized(situation, self.seen.load, candidates, known, of.sized)
        if isinstance(found, Missing):
            return found
        caps = candidates.sequences * attention_ranks(of.place.config)
        return _told(found, self.seen.load, caps, (losses, self.queue_scale))


@dataclass(frozen=True)
class _SizedPlace:
    """A configuration whose memory was sized."""

    place: Place
    sized: Sized


_Sides = tuple[_SizedPlace, _SizedPlace]


def _told(found: Evaluated, load: Load, caps: Whole, scales: tuple[Floats, float]) -> Outlook:
    """The flow less what preempted requests take, where the cache holds fewer than may run.

    It takes time; and throughput where all of the time is used.
    """
    flow, (losses, queue_scale) = found.flow, scales
    queue = flow.queue_seconds * queue_scale
    wanted = np.minimum(caps, load.concurrency if load.concurrency is not None else np.inf)
    preempted = (found.held_at_once < wanted) & found.starts
    kept = np.where(preempted, 1.0 - losses, 1.0)
    full = flow.saturated if load.concurrency is None else True
    values = np.broadcast_arrays(
        found.starts,
        found.cache_tokens,
        flow.requests_per_second * load.output_tokens * np.where(full, kept, 1.0),
        (flow.ttft_seconds - flow.queue_seconds + queue) / kept,
        flow.itl_seconds / kept,
        flow.running,
        flow.saturated,
        flow.chunk_seconds / kept,
        flow.chunk_share,
        queue / kept,
    )
    return Outlook(*values)


def candidates_of(sized: Sized, moves: Moves) -> Candidates:
    """The limits that are tried; the configuration's own where none is."""
    own = _own(sized.limits)
    size = max((len(values) for values in moves.values()), default=1)
    tried = {key: np.asarray(moves.get(key, np.full(size, own[key])), dtype=np.float64) for key in LimitKey}
    whole = {key: values.astype(np.int64) for key, values in tried.items()}
    return Candidates(
        utilization=tried[LimitKey.UTILIZATION],
        sequences=whole[LimitKey.SEQUENCES],
        batched_tokens=whole[LimitKey.TOKENS],
        context=whole[LimitKey.CONTEXT],
    )


def _own(limits: Limits) -> Mapping[LimitKey, float]:
    return {
        LimitKey.UTILIZATION: float(limits.utilization),
        LimitKey.SEQUENCES: float(limits.sequences),
        LimitKey.TOKENS: float(limits.tokens),
        LimitKey.CONTEXT: float(limits.context),
    }


def _windows(calibration: Calibration) -> str:
    return "one window" if calibration.windows == 1 else f"{calibration.windows} windows"
