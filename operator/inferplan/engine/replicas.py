"""Replicas for the latency targets that no flag reaches, as advice. Pure."""

from collections.abc import Callable, Iterator, Sequence

from inferplan.api.plan import Alternative
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.owner import keeps_replicas
from inferplan.domain.proposal import Policy
from inferplan.engine.search import Found
from inferplan.engine.wish import Target, wish_of
from inferplan.estimate.forecast import Place, Ratios, Span
from inferplan.estimate.forecast_replicas import shared_load

_TIMES_MOST = 4
"""Replicas are looked at up to so many times today's: a forecast is good near what was measured. A choice."""

_COUNTS_MOST = 32
"""So many numbers of replicas at most: each takes a few milliseconds."""

Looked = Sequence[tuple[int, Ratios]]
"""Numbers of replicas, and what each gives against today."""


def more_replicas(
    observation: Observation, policy: Policy, diagnosis: Diagnosis, found: Found | Missing | None
) -> Alternative | None:
    """Replicas where a target is missed after the plan too; None where none is, or where they would not help.

    Of overload the batching optimizer speaks, which knows what is refused.

    Args:
        observation: What was seen.
        policy: What the owner wants.
        diagnosis: What limits the instance.
        found: What the search brought.
    """
    planned = found if isinstance(found, Found) else None
    missed = [target for target in wish_of(observation, policy).targets if _stays_missed(target, planned)]
    if not missed or diagnosis.cause is Cause.OVERLOAD:
        return None
    today = observation.replicas or 0
    looked = list(_forecasts(today, planned)) if planned is not None else []
    told = _number(missed, today, looked) if looked else _no_number(queued=diagnosis.queued)
    if not told:
        return None
    names = "; ".join(f"{one.name} is {one.measured:.0f} ms, target {one.slo.target_milliseconds} ms" for one in missed)
    text = f"{names}, and no flag that was looked at reaches it. {told}{keeps_replicas(observation.owners)}"
    return Alternative(title="More replicas", description=text)


def _stays_missed(target: Target, found: Found | None) -> bool:
    if not target.missed or target.measured is None:
        return False
    span = target.span(found.ratios) if found is not None and found.ratios is not None else None
    return target.measured * (1.0 if span is None else span.middle) > target.slo.target_milliseconds


def _no_number(*, queued: bool) -> str:
    """With a queue, more replicas surely shorten it; without one, that they help has no basis."""
    return "Requests wait, and more replicas share them; how many it takes cannot be forecast." if queued else ""


def _forecasts(today: int, found: Found) -> Iterator[tuple[int, Ratios]]:
    """The plan's settings under less load each."""
    now = Place(found.forecast.ground.before, found.forecast.ground.model)
    for count in range(today + 1, min(_TIMES_MOST * today, today + _COUNTS_MOST) + 1):
        ratios = shared_load(found.forecast, (now, found.place), today / count, found.wish.percentiles)
        if isinstance(ratios, Missing):
            return
        yield count, ratios


def _number(missed: Sequence[Target], today: int, looked: Looked) -> str:
    """How many the step model says; empty where no number that was looked at would do."""
    likely = _fewest(missed, looked, lambda span: span.middle)
    if likely is None:
        return ""
    surely = _fewest(missed, looked, lambda span: span.high)
    sure = f"{surely} do" if surely is not None else f"{looked[-1][0]} do not yet"
    return (
        f"With {likely} replicas instead of {today} each has {today / likely:.0%} of the load, and by the step model"
        f" that holds; at the high end of its 80 % interval {sure}."
    )


def _fewest(missed: Sequence[Target], looked: Looked, end: Callable[[Span], float]) -> int | None:
    """The fewest replicas with which every target holds."""
    return next((count for count, ratios in looked if all(_holds(one, ratios, end) for one in missed)), None)


def _holds(target: Target, ratios: Ratios, end: Callable[[Span], float]) -> bool:
    span = target.span(ratios)
    return span is not None and (target.measured or 0.0) * end(span) <= target.slo.target_milliseconds
