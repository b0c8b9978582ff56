"""Speed where it is not sure how much the KV cache holds: the interval spans that of both ends. Pure."""

from dataclasses import replace

from inferplan.domain.measurement import Missing
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput, Estimator
from inferplan.estimate.result import Interval, Performance

_UNBOUND = "with the smallest KV cache of its interval more requests arrive than are served"


def performance_between(
    estimator: Estimator, situation: EstimateInput, load: Load, ends: tuple[float, float]
) -> Performance | Missing:
    """What the estimator says; where a smaller or larger KV cache would bound the running requests, of all of them.

    Args:
        estimator: Who is asked.
        situation: What is asked about, with the expected size of the cache.
        load: Under which load.
        ends: Tokens of the cache at the low and the high end of its interval.
    """
    expected = estimator.performance(situation, load)
    if isinstance(expected, Missing) or situation.cache_tokens is None or _holds_all(load, ends[0]):
        return expected
    others = [estimator.performance(replace(situation, cache_tokens=tokens), load) for tokens in ends]
    told = [other for other in others if isinstance(other, Performance)]
    unbound = not expected.saturated and any(other.saturated for other in told)
    return replace(
        expected,
        ttft_milliseconds=_span(expected.ttft_milliseconds, [other.ttft_milliseconds for other in told]),
        itl_milliseconds=_span(expected.itl_milliseconds, [other.itl_milliseconds for other in told]),
        output_tokens_per_second=_span(
            expected.output_tokens_per_second, [other.output_tokens_per_second for other in told]
        ),
        requests_per_second=_span(expected.requests_per_second, [other.requests_per_second for other in told]),
        notes=(*expected.notes, _UNBOUND) if unbound else expected.notes,
    )


def _holds_all(load: Load, tokens: float) -> bool:
    """Whether a cache of so many tokens holds every request in flight."""
    return load.concurrency is not None and load.concurrency * load.held_tokens <= tokens


def _span(expected: Interval | Missing, others: list[Interval | Missing]) -> Interval | Missing:
    if isinstance(expected, Missing):
        return expected
    known = [expected, *(other for other in others if isinstance(other, Interval))]
    return Interval(min(one.low for one in known), expected.expected, max(one.high for one in known))
