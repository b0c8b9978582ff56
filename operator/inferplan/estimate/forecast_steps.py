"""What an instance would do with other settings, by the step model as its own windows calibrate it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp, hypot

import numpy as np

from inferplan.api.values import Source
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.estimate.calibration import PRIOR_AXES, Calibration
from inferplan.estimate.candidates import Candidates, Evaluated, Learned, Whole, evaluate_sized
from inferplan.estimate.forecast import Moves, Outlook, Place, Ratios, Span, candidates_of
from inferplan.estimate.forecast_today import TINY, Anchor, prompts_together, queue_left, tail
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_observed import Ground
from inferplan.estimate.memory_terms import weakest
from inferplan.estimate.observed_load import Seen
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import attention_ranks
from inferplan.estimate.result import Z80
from inferplan.estimate.service import Flow
from inferplan.estimate.speed_constants import MultiplierCases, Multipliers, SpeedFit, shipped
from inferplan.estimate.step_shape import Floats
from inferplan.estimate.vllm_memory import Sized

_RATIO_NOISE = 0.06
"""Standard deviation of the logarithm of what a ratio is off by beside the uncertain directions: two means that are
measured, a load whose shape is never quite the same, and what the step model has wrong of one deployment at two batch
sizes. A choice: with it 80 % intervals hold 79 % of the ratios of public measurements in which one deployment runs more
or fewer requests, after one window (benchmarks/results/ratio_intervals.md)."""

_LOSS_MAX = 0.5
"""Of the time, what recomputing preempted requests is taken to cost at most: beyond, the metrics tell of a storm that
no steady rate describes."""

_ALL_SERVED = Span(1.0, 1.0, 1.0)
"""In an open loop what comes is served, by either configuration: nothing is uncertain of that unless in some case more
comes than one of them serves."""


@dataclass(frozen=True)
class StepForecast:
    """Implements Forecast by the step model.

    Attributes:
        observation: What was seen.
        ground: What memory is sized by.
        seen: The load.
        calibration: What the instance's own windows taught; None where they taught nothing.
        fit: The step model's constants.
        anchor: Today's queue as it was measured; None without one.
        together: Prompts that steps with a chunk carry together, as today's percentile of the time between tokens says.
    """

    observation: Observation
    ground: Ground
    seen: Seen
    calibration: Calibration | None = None
    fit: SpeedFit | None = None
    anchor: Anchor | None = None
    together: float = 1.0
    _sides: "dict[tuple[int, tuple[int, ...]], tuple[Place, Floats]]" = field(
        init=False, default_factory=dict, compare=False, repr=False
    )

    @property
    def source(self) -> Source:
        """Calibrated by own windows, else the model as it is shipped; never better than the load's own source."""
        own = Source.CALIBRATED_HERE if self.calibration is not None else Source.ROOFLINE
        return weakest((own, self.seen.source))

    @property
    def basis(self) -> str:
        """How the ratios were found."""
        taught = "not calibrated"
        if self.calibration is not None:
            taught = f"calibrated on {_windows(self.calibration)} of this instance"
        if self.seen.source is Source.RULE_OF_THUMB:
            return f"Estimated for the declared load, not measured: the step model, {taught}, at {self.seen.basis}."
        return f"The step model, {taught}, at {self.seen.basis}."

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
        first, second = self.side(before, tuple(percentiles)), self.side(after, tuple(percentiles))
        if isinstance(first, Missing):
            return first
        return second if isinstance(second, Missing) else self.compared(second - first, after.doubt, percentiles)

    def compared(self, logs: Floats, own_doubt: float, percentiles: Sequence[int]) -> Ratios:
        """Ratios with their intervals from the differences of two sides.

        Args:
            logs: One side less the other (side).
            own_doubt: Place.doubt of the configuration that is compared.
            percentiles: Of the time between tokens, in the order of the rows.
        """
        doubt = hypot(_RATIO_NOISE, own_doubt) * Z80
        expected, moved = logs[:, 0], logs - logs[:, :1]
        down = np.sqrt(doubt**2 + (np.minimum(moved, 0.0) ** 2).sum(axis=1))
        up = np.sqrt(doubt**2 + (np.maximum(moved, 0.0) ** 2).sum(axis=1))
        spans = [
            Span(exp(middle - below), exp(middle), exp(middle + above))
            for middle, below, above in zip(expected, down, up, strict=True)
        ]
        all_served = self.seen.load.concurrency is None and np.allclose(logs[0], 0.0)
        tails = dict(zip(percentiles, spans[3:], strict=True))
        ttft = None if np.isnan(expected[2]) else spans[2]
        return Ratios(_ALL_SERVED if all_served else spans[0], spans[1], ttft, tails)

    def side(self, place: Place, percentiles: tuple[int, ...]) -> Floats | Missing:
        """Logarithms of what a configuration gives; a column for each case, the expected first.

        Rows: throughput, ITL, TTFT, then the percentiles of the ITL. Kept, as today's is one side of every comparison.
        """
        kept = self._sides.get((id(place), percentiles))
        if kept is not None and kept[0] is place:
            return kept[1]
        sized = self._sized(place)
        if isinstance(sized, Missing):
            return sized
        found = [self._outlook(sized, {}, *self._cases())]
        if self.seen.share_declared:
            found.append(self._without_prefixes()._outlook(sized, {}, None, np.array([self._loss()])))  # noqa: SLF001
        parts: list[Floats] = []
        for outlook in found:
            if isinstance(outlook, Missing):
                return outlook
            parts.append(self._logs(outlook, percentiles))
        logs: Floats = np.hstack([parts[0], *(part[:, :1] for part in parts[1:])])
        self._sides[id(place), percentiles] = (place, logs)
        return logs

    def _logs(self, found: Outlook, percentiles: tuple[int, ...]) -> Floats:
        """Logarithms, a row for each metric. Where more comes than is served, a declared load's TTFT has no bound."""
        endless = found.saturated[:1] if self.seen.source is Source.RULE_OF_THUMB else np.zeros(1, dtype=bool)
        ttft = np.where(endless, np.nan, found.ttft)
        means = [np.append(each, each[[0, 0]]) for each in (found.throughput, found.itl, ttft)]
        logs: Floats = np.log(np.maximum(np.stack([*means, *(tail(found, each) for each in percentiles)]), TINY))
        return logs

    def _without_prefixes(self) -> "StepForecast":
        """The same where the cache finds nothing of what the owner says that prompts share."""
        return replace(self, seen=replace(self.seen, load=self.seen.load.without_prefixes()))

    def _cases(self) -> tuple[MultiplierCases, Floats]:
        """What is expected, and cases in which one thing is otherwise: a direction of the fit, or the loss."""
        axes = self.calibration.axes if self.calibration is not None and self.calibration.axes else PRIOR_AXES
        loss, times = self._loss(), self._multipliers()
        moved = [tuple(sign * part for part in axis) for axis in axes for sign in (-Z80, Z80)]
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
        sized = self._sized(Place(self.ground.before, self.ground.model))
        if isinstance(sized, Missing):
            return sized
        today = self._outlook(sized, {}, *self._cases())
        measured = self.observation.metrics.ttft_mean_milliseconds
        if isinstance(today, Missing):
            return today
        queue, own = float(today.queue[0]), float(today.ttft[0] - today.queue[0])
        known = replace(self, together=prompts_together(today, self.observation.metrics))
        if queue <= 0:
            return known
        seconds = max(0.0, measured.value / 1e3 - own) if isinstance(measured, Measured) else queue
        if self.seen.load.concurrency is None and seconds >= queue:  # what is more may be anything, and no queue
            return known
        served = today.throughput / self.seen.load.output_tokens  # a queue means that no more requests are served
        return replace(known, anchor=Anchor(seconds, seconds / queue, served[:1], served))

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
        queue = self._queue(of, candidates, known, found)
        room = candidates.batched_tokens / self.seen.load.input_tokens  # 8,192 over 2,500: three prompts fit a step
        together = np.clip(self.together, 1.0, np.maximum(room, 1.0))
        return _told(found, self.seen.load, (caps, losses, queue, together))

    def _queue(self, of: "_SizedPlace", candidates: Candidates, known: Learned, found: Evaluated) -> Floats:
        """What of the TTFT is waiting for a place, seconds.

        Whether the requests in flight stay as many, or come at the rate that is served today, is not known: the longer
        wait of the two is taken. In the second case a place that serves no more than today keeps today's queue.
        """
        anchor = self.anchor
        if anchor is None:
            return found.flow.queue_seconds
        modelled: Floats = found.flow.queue_seconds * anchor.scale
        if self.seen.load.concurrency is None:
            return modelled
        here = self._served_at_most(of, candidates, known)
        served = anchor.served if known.cases is None else anchor.served_in_cases
        left = 0.0 if here is None else queue_left(served / here.requests_per_second, here.running)
        longer: Floats = np.maximum(modelled, anchor.queue_seconds * left)
        return longer

    def _served_at_most(self, of: "_SizedPlace", candidates: Candidates, known: Learned) -> Flow | None:
        """The flow where there are always more requests than places."""
        situation = EstimateInput(of.place.config, self.ground.accelerator, of.place.card)
        flooded = replace(self.seen.load, concurrency=_FLOOD)
        found = evaluate_sized(situation, flooded, candidates, known, of.sized)
        return None if isinstance(found, Missing) else found.flow


@dataclass(frozen=True)
class _SizedPlace:
    """A configuration whose memory was sized."""

    place: Place
    sized: Sized


_FLOOD = 1e5
"""Requests in flight that fill every engine."""


def _told(found: Evaluated, load: Load, beside: tuple[Whole, Floats, Floats, Floats]) -> Outlook:
    """The flow less what preempted requests take, where the cache holds fewer than may run.

    It takes time; and throughput where all of the time is used.
    """
    flow, (caps, losses, queue, together) = found.flow, beside
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
        flow.chunk_seconds / kept * together,
        flow.chunk_share / together,
        queue / kept,
    )
    return Outlook(*values)


def _windows(calibration: Calibration) -> str:
    return "one window" if calibration.windows == 1 else f"{calibration.windows} windows"
