"""What a configuration gives where more replicas share the load. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.estimate.forecast import Forecast, Place, Ratios
from inferplan.estimate.forecast_steps import StepForecast


def shared_load(
    forecast: Forecast, places: tuple[Place, Place], share: float, percentiles: Sequence[int] = ()
) -> Ratios | Missing:
    """A configuration under a share of the load against another one under all of it.

    Requests in flight, or those that come, are taken to spread evenly. 3 replicas instead of 2: a share of 2 / 3.

    Args:
        forecast: What was seen.
        places: What is compared with, and what is compared.
        share: Of today's load per replica, above 0 and at most 1.
        percentiles: Percentiles of the time between tokens that are asked for.
    """
    if not isinstance(forecast, StepForecast):
        return Missing(Reason.METRICS_MISSING, "only the step model tells what a lighter load gives")
    before, after = places
    first, second = forecast.side(before, tuple(percentiles)), _under(forecast, share).side(after, tuple(percentiles))
    if isinstance(first, Missing):
        return first
    return second if isinstance(second, Missing) else forecast.compared(second - first, after.doubt, percentiles)


def _under(forecast: StepForecast, share: float) -> StepForecast:
    load, anchor = forecast.seen.load, forecast.anchor
    lighter = replace(
        load,
        concurrency=None if load.concurrency is None else load.concurrency * share,
        requests_per_second=None if load.requests_per_second is None else load.requests_per_second * share,
    )
    if anchor is not None:
        anchor = replace(anchor, served=anchor.served * share, served_in_cases=anchor.served_in_cases * share)
    return replace(forecast, seen=replace(forecast.seen, load=lighter), anchor=anchor)
