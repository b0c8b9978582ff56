"""Whether a change helped: a window before against one after, under the same load. Pure.

Two windows tell something of each other only where the same kind of requests came, about as many of them: lengths and
load moved by less than a fifth. What then got worse by more than the owner allows, by more than chance, and by more
than the plan itself said it would, is harm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from math import sqrt

from inferplan.api.apply import VerifySpec
from inferplan.api.attempt import ComparedStatus, VerificationStatus, WindowStatus
from inferplan.api.instance import SLO, Objective
from inferplan.api.values import Effect
from inferplan.apply.case import Case
from inferplan.apply.window import FAILED, IN_FLIGHT, LENGTHS, THROUGHPUT
from inferplan.diagnose.slo import slo_name

MOVED_MOST = 0.2
"""Lengths and load may differ by this share; more, and the windows are not alike (issue F)."""

FAILED_MOST = 0.01
"""Requests of a hundred that may fail beyond those that failed before."""

COVERED_LEAST = 3
"""A third of the window at least: where pods were replaced in it, or a clock jumped, the rest is of nobody. Windows are
taken down to the next of a row (observe.meter.WINDOWS), by half at most, and a scrape is missing at either end."""

CHANCE = 1.64
"""Standard errors by which two windows differ by chance in one case of twenty, one-sided."""


class Verdict(StrEnum):
    """What follows from the comparison."""

    KEEP = "Keep"
    ROLL_BACK = "RollBack"
    INCONCLUSIVE = "Inconclusive"


@dataclass(frozen=True)
class Judgement:
    """A verdict, why, and the numbers.

    Attributes:
        verdict: What follows.
        reason: Why, in a sentence.
        compared: Metric by metric.
    """

    verdict: Verdict
    reason: str
    compared: tuple[ComparedStatus, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """What the owner looks at.

    Attributes:
        objective: What the plan was to favour.
        slos: Latency targets.
        verify: What counts as worse, and how much must have been seen.
        effects: What the plan said of the combination.
    """

    objective: Objective
    slos: tuple[SLO, ...]
    verify: VerifySpec
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class _Metric:
    """One that is compared.

    Attributes:
        name: In a window's values.
        effect: The metric's name among a plan's effects.
        title: For people.
        unit: Of its values.
        rises: Whether more of it is better.
        guarded: Whether getting worse is harm.
        target: The most that it may be, where the owner named that.
    """

    name: str
    effect: str
    title: str
    unit: str
    rises: bool = False
    guarded: bool = True
    target: float | None = None


def wanted_of(case: Case) -> Wanted:
    """What the owner of the plan's instance looks at."""
    return Wanted(case.instance.objective, case.instance.slo, case.apply.verify, case.plan.effects)


def judge(before: WindowStatus, after: WindowStatus, wanted: Wanted) -> Judgement:
    """The verdict on a change.

    Args:
        before: A window before it.
        after: A window after all pods ran with it, warmed up.
        wanted: What the owner looks at.
    """
    compared = tuple(_compared(metric, before, after, wanted.effects) for metric in _metrics(wanted))
    rows = tuple(row for row in compared if row is not None)
    why = _unlike(before, after, wanted.verify)
    broken = _failures(before, after) if _enough(after, wanted.verify) else None
    if broken is not None:
        return Judgement(Verdict.ROLL_BACK, broken, rows)
    if why is not None:
        return Judgement(Verdict.INCONCLUSIVE, why, rows)
    if not rows:
        return Judgement(Verdict.INCONCLUSIVE, "no metric was measured both before and after")
    harm = tuple(_harm(before, after, wanted))
    if harm:
        return Judgement(Verdict.ROLL_BACK, "; ".join(harm), rows)
    half = _half_measured(before, after, wanted)
    if half is not None:
        return Judgement(Verdict.INCONCLUSIVE, f"{half} was not measured both before and after", rows)
    return Judgement(Verdict.KEEP, _kept(rows[0]), rows)


def verification_of(promised: str, found: Judgement, after: WindowStatus | None) -> VerificationStatus:
    """A judgement as a status has it: the first metric that was promised says what came of it.

    Args:
        promised: What the plan promised, in words.
        found: The judgement.
        after: What was measured with the plan.
    """
    first = next((row for row in found.compared if row.predicted_low is not None), None)
    realized = f"{first.metric} {first.after / first.before - 1.0:+.0%}" if first is not None and first.before else None
    error = None
    if first is not None and first.predicted and first.before:
        apart = 100.0 * (first.after - first.predicted) / first.before  # 170 promised, 160 came, of 100: -10 points
        error = f"{apart:+.0f} percentage points"
    return VerificationStatus(
        predicted=promised,
        realized=realized,
        error=error,
        verdict=found.verdict,
        reason=found.reason,
        window=after,
        compared=found.compared,
    )


def _metrics(wanted: Wanted) -> Iterator[_Metric]:
    """The objective's own first."""
    throughput = _Metric(THROUGHPUT, "output_tokens_per_second", "output tokens per second", "tokens/s", rises=True)
    latency = wanted.objective is Objective.LATENCY
    latencies = (
        _Metric("itl_mean_milliseconds", "itl_mean", "mean time between tokens", "ms", guarded=latency),
        _Metric("ttft_mean_milliseconds", "ttft_mean", "mean TTFT", "ms", guarded=latency),
        _Metric("e2e_mean_milliseconds", "", "mean time of a request", "ms"),
    )
    yield from (*latencies[:2], throughput, latencies[2]) if latency else (throughput, *latencies)
    for slo in wanted.slos:
        name = slo_name(slo)
        yield _Metric(name, name.replace(" ", "_"), name, "ms", target=float(slo.target_milliseconds))


def _unlike(before: WindowStatus, after: WindowStatus, verify: VerifySpec) -> str | None:
    """Why the two windows tell nothing of each other."""
    for when, window in (("before", before), ("after", after)):
        if not _enough(window, verify):
            return (
                f"{window.requests:.0f} requests finished in the window {when} the change, and"
                f" apply.verify.minRequests is {verify.min_requests}"
            )
    if after.seconds * COVERED_LEAST < verify.window_seconds:
        return f"only {after.seconds} of {verify.window_seconds} s were measured after it: its pods are young"
    for name in LENGTHS:
        old, new = before.values.get(name), after.values.get(name)
        if old is None or new is None:
            return f"{name} was not measured both before and after"
        if _moved(old, new):
            return f"the traffic is another one: {name} was {old:.0f} and is {new:.0f}"
    return _other_load(before, after)


def _enough(window: WindowStatus, verify: VerifySpec) -> bool:
    return window.requests >= verify.min_requests


def _other_load(before: WindowStatus, after: WindowStatus) -> str | None:
    """The same load is as many requests that come, or, where clients wait for answers, as many in flight."""
    loads = [
        (old, new)
        for old, new in ((_rate(before), _rate(after)), (_in_flight(before), _in_flight(after)))
        if old is not None and new is not None
    ]
    if not loads:
        return "neither the rate of requests nor those in flight were measured both before and after"
    if any(not _moved(old, new) for old, new in loads):
        return None
    told = " and ".join(f"{old:.3g} to {new:.3g}" for old, new in loads)
    return f"the load is another one: requests per second and in flight went from {told}"


def _rate(window: WindowStatus) -> float | None:
    return window.values.get("arrivals_per_second", window.values.get("requests_per_second"))


def _in_flight(window: WindowStatus) -> float | None:
    found = [window.values[name] for name in IN_FLIGHT if name in window.values]
    return sum(found) if len(found) == len(IN_FLIGHT) else None


def _moved(old: float, new: float) -> bool:
    return abs(new - old) > MOVED_MOST * max(old, new)


def _half_measured(before: WindowStatus, after: WindowStatus, wanted: Wanted) -> str | None:
    """What one window has and the other lacks, as where a query failed: harm to it would not be seen."""
    found = (
        metric.title for metric in _metrics(wanted) if (metric.name in before.values) != (metric.name in after.values)
    )
    return next(found, None)


def _failures(before: WindowStatus, after: WindowStatus) -> str | None:
    old, new = before.values.get(FAILED), after.values.get(FAILED)
    if old is None or new is None or new - old <= FAILED_MOST:
        return None
    return f"{new:.1%} of the requests fail, {old:.1%} did before"


def _harm(before: WindowStatus, after: WindowStatus, wanted: Wanted) -> Iterator[str]:
    """Everything that got worse by more than is allowed, than chance, and than the plan said it would."""
    most = wanted.verify.max_regression_percent / 100.0
    chance = CHANCE * sqrt(1.0 / before.requests + 1.0 / after.requests)  # 1,000 each: 1.64 x 0.045 = 7.3 %
    for metric in _metrics(wanted):
        row = _compared(metric, before, after, wanted.effects)
        if row is None or not metric.guarded or _holds(metric, row):
            continue
        worse = _worse(metric, row)
        breaks = metric.target is not None and row.before <= metric.target < row.after
        if worse > max(most, chance) or (breaks and worse > chance):
            yield (
                f"{metric.title} went from {row.before:.4g} to {row.after:.4g} {metric.unit}"
                + (f", beyond its target of {metric.target:.0f}" if breaks else "")
            )


def _holds(metric: _Metric, row: ComparedStatus) -> bool:
    """Whether the owner named what it may be, and it is: then it may have become worse."""
    return metric.target is not None and row.after <= metric.target


def _worse(metric: _Metric, row: ComparedStatus) -> float:
    """By which share it is worse than before, or than the worst that was predicted, whichever is worse."""
    promised = row.predicted_low if metric.rises else row.predicted_high
    if metric.rises:
        floor = min(row.before, promised if promised is not None else row.before)
        return 1.0 - row.after / floor if floor > 0 else 0.0
    ceiling = max(row.before, promised if promised is not None else row.before)
    return row.after / ceiling - 1.0 if ceiling > 0 else 0.0


def _compared(
    metric: _Metric, before: WindowStatus, after: WindowStatus, effects: tuple[Effect, ...]
) -> ComparedStatus | None:
    old, new = before.values.get(metric.name), after.values.get(metric.name)
    if old is None or new is None:
        return None
    effect = next((entry for entry in effects if entry.metric == metric.effect), None)
    ends = (None, None, None) if effect is None or not effect.current else _predicted(effect, effect.current, old)
    return ComparedStatus(
        metric=metric.title,
        unit=metric.unit,
        before=old,
        predicted_low=ends[0],
        predicted=ends[1],
        predicted_high=ends[2],
        after=new,
    )


def _predicted(effect: Effect, current: float, old: float) -> tuple[float, float | None, float]:
    """The plan's ratios on the window before: the plan was made of another one."""
    scale = old / current
    expected = None if effect.expected is None else effect.expected * scale
    return effect.low * scale, expected, effect.high * scale


def _kept(row: ComparedStatus) -> str:
    return f"{row.metric} went from {row.before:.4g} to {row.after:.4g} {row.unit}, and nothing got worse"
