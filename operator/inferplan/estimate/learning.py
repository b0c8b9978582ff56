"""From an instance's own measured windows to a calibration: which windows are kept, and what they teach. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing, value_of
from inferplan.domain.observation import HourlyWindow, Metrics
from inferplan.domain.units import timestamp
from inferplan.estimate.calibration import Calibration, Window, calibrate
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import question
from inferplan.estimate.service import Limits, Loads, Parts, Service
from inferplan.estimate.speed_constants import SpeedFit, shipped
from inferplan.estimate.step_shape import StepColumns

POINTS_MAX = 12
"""Operating points that are kept: enough to tell the four parts apart three times over, few enough for a status."""

_SAME_LOAD = 0.25
"""Loads that differ by less, in each of running requests, prompt and output length, are one operating point."""

_SAME_VALUE = 0.10
"""A point is measured anew when its latency moved by more: less is noise, and a write for each look."""

_QUEUED = 0.5
"""From this many waiting requests on, on average, the TTFT is queueing and says nothing of the engine's work."""

_LEAST_RUNNING = 0.05
"""Below this many running requests, on average, nearly all of the window is idle."""

_MOST_RUNNING = 1_000_000
_MOST_TOKENS = 100_000_000
"""What the status takes at most (CalibrationPoint)."""

_MILLISECONDS = 1e3


@dataclass(frozen=True)
class OperatingPoint:
    """One measured window: a load, and the latencies under it. Per replica.

    Attributes:
        running: Requests that ran at once, mean.
        input_tokens: Mean prompt length.
        output_tokens: Mean output length.
        itl_milliseconds: Mean time between tokens, None where it was not measured.
        ttft_milliseconds: Mean time to the first token, None where it was not measured or requests queued.
        observed_at: When, RFC 3339 in UTC.
    """

    running: float
    input_tokens: float
    output_tokens: float
    itl_milliseconds: float | None
    ttft_milliseconds: float | None
    observed_at: str

    def is_same_load(self, other: "OperatingPoint") -> bool:
        """Whether both are one operating point."""
        return (
            _near(self.running, other.running, _SAME_LOAD)
            and _near(self.input_tokens, other.input_tokens, _SAME_LOAD)
            and _near(self.output_tokens, other.output_tokens, _SAME_LOAD)
        )

    def says_the_same(self, other: "OperatingPoint") -> bool:
        """Whether the latencies of both differ by no more than noise."""
        return _near(self.itl_milliseconds, other.itl_milliseconds, _SAME_VALUE) and _near(
            self.ttft_milliseconds, other.ttft_milliseconds, _SAME_VALUE
        )


def operating_point(metrics: Metrics, observed_at: str) -> OperatingPoint | Missing:
    """The point that a look at the metrics saw; why it is none where something is missing."""
    seen = _Seen(
        running=value_of(metrics.num_requests_running),
        waiting=value_of(metrics.num_requests_waiting),
        inputs=value_of(metrics.prompt_tokens_mean),
        outputs=value_of(metrics.generation_tokens_mean),
        itl=value_of(metrics.itl_mean_milliseconds),
        ttft=value_of(metrics.ttft_mean_milliseconds),
    )
    return _point(seen, observed_at)


def past_points(windows: Sequence[HourlyWindow]) -> tuple[OperatingPoint, ...]:
    """The points of past hours, newest first: of those alone that were measured wholly on what runs now."""
    own = sorted((window for window in windows if window.same_pods), key=lambda window: -window.ended_at)
    points = (_point(_past(window), timestamp(datetime.fromtimestamp(window.ended_at, UTC))) for window in own)
    return tuple(point for point in points if not isinstance(point, Missing))


@dataclass(frozen=True)
class _Seen:
    """What a window saw, per replica; None where it was not measured."""

    running: float | None
    waiting: float | None
    inputs: float | None
    outputs: float | None
    itl: float | None
    ttft: float | None


def _past(window: HourlyWindow) -> _Seen:
    return _Seen(
        running=window.num_requests_running,
        waiting=window.num_requests_waiting,
        inputs=window.prompt_tokens_mean,
        outputs=window.generation_tokens_mean,
        itl=window.itl_mean_milliseconds,
        ttft=window.ttft_mean_milliseconds,
    )


def _point(seen: _Seen, observed_at: str) -> OperatingPoint | Missing:
    if seen.running is None or seen.inputs is None or seen.outputs is None:
        return Missing(Reason.METRICS_MISSING, "running requests or their lengths were not measured")
    if seen.running < _LEAST_RUNNING or seen.inputs < 1 or seen.outputs < 1:
        return Missing(Reason.METRICS_MISSING, "next to nothing ran in the window")
    if seen.running > _MOST_RUNNING or max(seen.inputs, seen.outputs) > _MOST_TOKENS:
        return Missing(Reason.METRICS_CONTRADICTORY, "no engine runs so many requests, or such long ones")
    queued = seen.waiting is None or seen.waiting >= _QUEUED
    itl, ttft = _positive(seen.itl), None if queued else _positive(seen.ttft)
    if itl is None and ttft is None:
        return Missing(Reason.METRICS_MISSING, "neither ITL nor TTFT was measured")
    return OperatingPoint(seen.running, seen.inputs, seen.outputs, itl, ttft, observed_at)


def _positive(latency: float | None) -> float | None:
    """A latency of nothing is none: a histogram whose sum stands still."""
    return latency if latency is not None and latency > 0 else None


def remembered(points: Sequence[OperatingPoint], new: OperatingPoint) -> tuple[OperatingPoint, ...]:
    """The points with the new one: in the place of the same load, and without the oldest where there are too many.

    Unchanged where the new one says what a kept one says already.
    """
    same = next((point for point in points if point.is_same_load(new)), None)
    if same is not None:
        newer = same if same.says_the_same(new) else new
        return tuple(newer if point is same else point for point in points)
    newest = sorted((*points, new), key=lambda point: point.observed_at)[-POINTS_MAX:]
    return tuple(newest)


def with_past(points: Sequence[OperatingPoint], past: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """The points with those of past hours, at loads that none of them is at, as long as there is room.

    What a look measured stays: a past hour neither takes the place of a point nor makes room for itself. The same
    past hours again change nothing.
    """
    found = list(points)
    for new in past:
        if len(found) < POINTS_MAX and not any(point.is_same_load(new) for point in found):
            found.append(new)
    added = len(found) > len(points)
    return tuple(sorted(found, key=lambda point: point.observed_at) if added else found)


def windows_known(
    kept: Sequence[OperatingPoint], new: OperatingPoint | Missing, past: Sequence[OperatingPoint]
) -> tuple[OperatingPoint, ...]:
    """All windows that a calibration rests on: for the forecast and for the status alike.

    Args:
        kept: Those of earlier looks.
        new: This look's; why it tells nothing where it does not.
        past: Those of past hours.
    """
    return with_past(tuple(kept) if isinstance(new, Missing) else remembered(kept, new), past)


def learn(
    situation: EstimateInput, points: Sequence[OperatingPoint], fit: SpeedFit | None = None, prefix_share: float = 0.0
) -> Calibration | Missing:
    """What the points teach about the model of this deployment; why not where they or the model tell nothing.

    Args:
        situation: The deployment.
        points: Its windows.
        fit: The model's constants; the shipped ones by default.
        prefix_share: Share of the prompts' tokens that its prefix cache finds, of all windows alike: what was not
            computed must not be taken for a faster engine.
    """
    asked = question(situation)
    if isinstance(asked, Missing):
        return asked
    if not points:
        return Missing(Reason.METRICS_MISSING, "nothing was measured yet")
    # A running deployment has no first wave, and its own clock starts behind the client's part.
    constants = replace((fit or shipped()).constants, burst_share=0.0, tester_seconds=0.0, client_seconds=0.0)
    loads = Loads(
        [Load(point.running, None, point.input_tokens, point.output_tokens, prefix_share) for point in points]
    )
    none = np.full(len(points), np.inf)
    limits = Limits(none, np.full(len(points), asked.batched_tokens), none)
    parts = Service(StepColumns([asked.shape]), constants).under(loads, limits).parts
    found = calibrate([_window(point, parts, index) for index, point in enumerate(points)])
    return found if found is not None else Missing(Reason.METRICS_MISSING, "no window has a latency")


def _window(point: OperatingPoint, parts: Parts, index: int) -> Window:
    fixed, growing, prompts, prefill, waiting = (float(part[index if part.size > 1 else 0]) for part in parts)
    itl, ttft = _seconds(point.itl_milliseconds), _seconds(point.ttft_milliseconds)
    return Window(itl, ttft, (fixed, growing, prompts, prefill, waiting))


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / _MILLISECONDS


def _near(one: float | None, other: float | None, share: float) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= share * max(one, other)
