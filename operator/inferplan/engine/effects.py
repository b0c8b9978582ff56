"""What a combination is expected to do, as a plan says it: values, intervals, and a sentence. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp

from inferplan.api.values import Confidence, Effect, ImpactLevel, Source
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.units import significant
from inferplan.engine.wish import Target
from inferplan.estimate.forecast import Forecast, Place, Ratios, Span
from inferplan.estimate.memory_observed import sizes

_HIGH, _MEDIUM = 1.25, 1.10
"""A quarter more is what a person sees without measuring, a tenth what a dashboard shows. Choices."""

_EFFECTS_MAX = 8  # what a plan holds
STILL = 0.005
"""A ratio that differs from 1 by less is no effect to speak of."""

_TOKENS = "output_tokens_per_second"
_NAMES = {_TOKENS: "output", "itl_mean": "mean time between tokens", "ttft_mean": "mean TTFT"}
_OTHERS = {"kv_cache_tokens": "KV cache"}
_RATIO = "times today's"
NOT_KNOWN = "What it brings is not known."


@dataclass(frozen=True)
class Expected:
    """A combination against today.

    Attributes:
        ratios: By what throughput and latencies are multiplied.
        place: The configuration.
    """

    ratios: Ratios
    place: Place


def effects_of(
    expected: Expected, observation: Observation, forecast: Forecast, targets: tuple[Target, ...]
) -> tuple[Effect, ...]:
    """The metrics that move, throughput first; what is measured as values, what is not as times today's."""
    seen, ratios = observation.metrics, expected.ratios
    found = [
        _effect(_TOKENS, (seen.generation_tokens_per_second, "tokens/s per replica"), ratios.throughput, forecast),
        _effect("itl_mean", (seen.itl_mean_milliseconds, "ms"), ratios.itl, forecast),
        _effect("ttft_mean", (seen.ttft_mean_milliseconds, "ms"), ratios.ttft, forecast),
        *_targets(ratios, forecast, targets),
        _cache(expected, observation),
    ]
    return tuple(effect for effect in found if effect is not None)[:_EFFECTS_MAX]


def sentence(effects: tuple[Effect, ...]) -> str:
    """Effects in a sentence: value before → value after (its interval); of the cache only where nothing else moves."""
    main = [effect for effect in effects if effect.metric in _NAMES or effect.target is not None]
    text = "; ".join(told(effect) for effect in main or effects)
    return f"{text[:1].upper()}{text[1:]}." if text else NOT_KNOWN


def told(effect: Effect) -> str:
    """One effect: "mean TTFT 3,000 → 51 ms (28.1 to 99.6)"; its ends alone where no more has a basis."""
    ratio = effect.unit == _RATIO
    number = _two_places if ratio else _number
    ends = f"{number(effect.low)} to {number(effect.high)}"
    before = "" if ratio or effect.current is None else f"{number(effect.current)} → "
    after = f"{ends} {effect.unit}" if effect.expected is None else f"{number(effect.expected)} {effect.unit} ({ends})"
    target = "" if effect.target is None else f", target {number(effect.target)} {effect.unit}"
    return f"{_name(effect)} {before}{after}{target}"


def in_percent(span: Span) -> str:
    """A ratio as a change: "+36% (+31% to +41%)", or its ends alone where no more has a basis."""
    ends = f"{span.low - 1:+z.0%} to {span.high - 1:+z.0%}"
    return ends if span.expected is None else f"{span.expected - 1:+z.0%} ({ends})"


def impact(score: float) -> ImpactLevel:
    """How much it matters to what the owner wants.

    Args:
        score: Logarithm of the gain (Wish.scores).
    """
    gain = exp(score)
    if gain >= _HIGH:
        return ImpactLevel.HIGH
    return ImpactLevel.MEDIUM if gain >= _MEDIUM else ImpactLevel.LOW


def confidence(ratios: Ratios, forecast: Forecast, most: Confidence) -> Confidence:
    """How sure: high where several of the instance's own windows speak and the interval keeps clear of no effect.

    Args:
        ratios: The forecast.
        forecast: What made it.
        most: No surer than this.
    """
    own = forecast.source in {Source.MEASURED_HERE, Source.CALIBRATED_HERE}
    several = forecast.windows >= 3  # noqa: PLR2004  slope, intercept and a check
    found = Confidence.HIGH if own and several and _clear(ratios) else Confidence.MEDIUM if own else Confidence.LOW
    return min(found, most, key=tuple(Confidence).index)


def _clear(ratios: Ratios) -> bool:
    """Whether the interval keeps clear of no effect: of throughput, or of a latency at the same throughput."""
    served = ratios.throughput
    if served.expected is None:
        return False
    latencies = (span for span in (ratios.itl, ratios.ttft) if span is not None)
    same = served.low > 1 - STILL and served.high < 1 + STILL  # all that comes is served, before and after
    return served.low > 1 or (same and any(span.high < 1 for span in latencies))


def _effect(name: str, measured: tuple[Measurement, str], span: Span | None, forecast: Forecast) -> Effect | None:
    if span is None or max(abs(span.low - 1), abs(span.high - 1)) < STILL:
        return None
    value, unit = measured
    current = value.value if isinstance(value, Measured) and value.value > 0 else None
    base = 1.0 if current is None else current
    return Effect(
        metric=name,
        current=significant(base),
        low=significant(base * span.low),
        expected=None if span.expected is None else significant(base * span.expected),
        high=significant(base * span.high),
        unit=_RATIO if current is None else unit,
        source=forecast.source,
    )


def _targets(ratios: Ratios, forecast: Forecast, targets: tuple[Target, ...]) -> Iterator[Effect]:
    for target in targets:
        span = target.span(ratios)
        if target.measured is None or span is None:
            continue
        yield Effect(
            metric=target.name.replace(" ", "_"),
            current=significant(target.measured),
            low=significant(target.measured * span.low),
            expected=None if span.expected is None else significant(target.measured * span.expected),
            high=significant(target.measured * span.high),
            unit="ms",
            target=target.slo.target_milliseconds,
            source=forecast.source,
        )


def _cache(expected: Expected, observation: Observation) -> Effect | None:
    """The KV cache, where its size changes."""
    sized = sizes(observation, expected.place.config, expected.place.card)
    if isinstance(sized, Missing):
        return None
    before, after = sized.before.kv_cache_tokens, sized.after.kv_cache_tokens
    if isinstance(before, Missing) or isinstance(after, Missing) or not before.expected:
        return None
    if abs(after.expected / before.expected - 1) < STILL:
        return None
    return Effect(
        metric="kv_cache_tokens",
        current=before.expected,
        low=after.low,
        expected=after.expected,
        high=after.high,
        unit="tokens",
        source=sized.after.source,
        basis="The memory of one GPU, term by term, before and after.",
    )


def _name(effect: Effect) -> str:
    """As people call it: "mean TTFT", and of a target "ITL p95"."""
    if effect.target is not None:
        metric, _, percentile = effect.metric.partition("_")
        return f"{metric.upper()} {percentile}"
    return (_NAMES | _OTHERS).get(effect.metric, effect.metric.replace("_", " "))


def _two_places(value: float) -> str:
    return f"{value:.2f}"


def _number(value: float) -> str:
    """A number for people: 2847.08 → 2,850; 11.04 → 11; 0.358 → 0.36."""
    if value >= 100:  # noqa: PLR2004  three digits are enough to read
        return f"{significant(value, 3):,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}"
