"""What the owner wants, as a number for each combination: objective first among what the latency targets allow. Pure.

Scores are logarithms of ratios to today: 0.1 is about 10 % better. A target that is missed today weighs more than the
objective; one that holds today is a condition (choose.py), not a weight.
"""

from dataclasses import dataclass

import numpy as np

from inferplan.api.instance import SLO, Objective, SLOMetric
from inferplan.diagnose.slo import SLOState, slo_name, slo_states
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.estimate.forecast import Outlook, Ratios, Span
from inferplan.estimate.step_shape import Floats

_RELIEF_WEIGHT = 6.0
"""A missed target against the objective: a tenth nearer to it is worth half of the throughput, as a target is a
promise. A choice."""

_LATENCY_MOST = 0.7
"""A latency that halves counts in full; what a queue's end makes of the TTFT beyond says nothing more of the change."""

_ASIDE = 0.05
"""What the other side of the trade weighs where the objective names one: enough to choose between equals."""


@dataclass(frozen=True)
class Target:
    """A latency target and what was measured of it.

    Attributes:
        slo: The target.
        measured: Its percentile in milliseconds; None where it was not measured.
        why: Why it was not measured.
    """

    slo: SLO
    measured: float | None
    why: str = ""

    @property
    def missed(self) -> bool:
        """Whether it is known not to hold today."""
        return self.measured is not None and self.measured > self.slo.target_milliseconds

    @property
    def name(self) -> str:
        """As status and evidence name it: "itl p95"."""
        return slo_name(self.slo)

    def span(self, ratios: Ratios) -> Span | None:
        """By what the forecast multiplies it; None where nothing is said.

        Of the time between tokens percentiles are forecast. One of the TTFT, or of a request's own mean, moves as the
        mean does.
        """
        if self.slo.metric is SLOMetric.ITL:
            return ratios.tails.get(self.slo.percentile)
        if self.slo.metric is SLOMetric.TPOT:
            return ratios.itl
        if self.slo.metric is SLOMetric.TTFT:
            return ratios.ttft
        return _whole(ratios)

    def reached(self, ratios: Ratios) -> bool:
        """Whether it is expected to hold then; no where nothing is said of it."""
        span = self.span(ratios)
        expected = None if span is None else span.expected
        return (
            expected is not None
            and self.measured is not None
            and (self.measured * expected <= self.slo.target_milliseconds)
        )


@dataclass(frozen=True)
class Wish:
    """What to favour.

    Attributes:
        objective: Throughput, latency or both.
        targets: Latency targets.
        answer_tokens: Mean length of answers, tokens: what a request's whole time is made of.
    """

    objective: Objective
    targets: tuple[Target, ...]
    answer_tokens: float

    @property
    def percentiles(self) -> tuple[int, ...]:
        """Percentiles of the time between tokens that targets name."""
        named = (target.slo.percentile for target in self.targets if target.slo.metric is SLOMetric.ITL)
        return tuple(dict.fromkeys(named))

    def scores(self, outlook: Outlook) -> Floats:
        """One number for each combination, the first being today's; -inf where it does not start or cannot serve."""
        served, itl, ttft = _log(outlook.throughput), _log(outlook.itl), _log(outlook.ttft)
        score = self._objective(served, itl, ttft) + _RELIEF_WEIGHT * self._relief(outlook)
        lost = outlook.saturated & ~outlook.saturated[:1]
        possible: Floats = np.where(outlook.starts & ~lost, score, -np.inf)
        return possible

    def _objective(self, served: Floats, itl: Floats, ttft: Floats) -> Floats:
        latency = -(_clipped(itl) + _clipped(ttft)) / 2.0
        if self.objective is Objective.THROUGHPUT:
            return served + _ASIDE * latency
        if self.objective is Objective.LATENCY:
            return latency + _ASIDE * served + np.minimum(served, 0.0)
        return (served + latency) / 2.0

    def _relief(self, outlook: Outlook) -> Floats:
        """How much nearer to the targets that are missed; nothing for what goes beyond a target."""
        total = np.zeros(outlook.itl.shape)
        for target in self.targets:
            if target.missed and target.measured is not None:
                over = np.log(target.measured / target.slo.target_milliseconds)
                total = total + over - np.maximum(over + _log(self._of(target, outlook)), 0.0)
        return total

    def _of(self, target: Target, outlook: Outlook) -> Floats:
        """What a target's percentile moves with."""
        if target.slo.metric is SLOMetric.ITL:
            return outlook.itl_tail(target.slo.percentile)
        if target.slo.metric is SLOMetric.TPOT:
            return outlook.itl
        return outlook.ttft if target.slo.metric is SLOMetric.TTFT else outlook.ttft + self.answer_tokens * outlook.itl


def wish_of(observation: Observation, policy: Policy) -> Wish:
    """The owner's wish, and what was measured of its targets."""
    answer = observation.metrics.generation_tokens_mean
    return Wish(
        objective=policy.objective,
        targets=tuple(map(_target, slo_states(policy.slo, observation.metrics))),
        answer_tokens=answer.value if isinstance(answer, Measured) else 0.0,
    )


def _target(state: SLOState) -> Target:
    """A percentile above a histogram's last bound counts as that bound: it is missed at least so far."""
    found = state.measured
    if isinstance(found, Measured):
        return Target(state.slo, found.value)
    return Target(state.slo, found.at_least, found.reason)


def _log(values: Floats) -> Floats:
    """Logarithm of the ratio to the first; 0 where the forecast says nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(values / values[:1])
    found: Floats = np.nan_to_num(logs, nan=0.0, posinf=0.0, neginf=0.0)
    return found


def _clipped(logs: Floats) -> Floats:
    return np.clip(logs, -_LATENCY_MOST, _LATENCY_MOST)


def _whole(ratios: Ratios) -> Span | None:
    """Of a whole request's time no more than the worse of its two parts, and no less than the better."""
    if ratios.itl is None or ratios.ttft is None:
        return None
    return Span(min(ratios.itl.low, ratios.ttft.low), None, max(ratios.itl.high, ratios.ttft.high))
