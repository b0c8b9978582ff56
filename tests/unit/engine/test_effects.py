"""Effects of a combination in numbers and in a sentence, worked by hand."""

from dataclasses import replace
from math import log
from typing import Any

import pytest
from tests.support.build import an
from tests.support.levers import STILL, Priced, capped

from inferplan.api.instance import SLOMetric
from inferplan.api.values import Confidence, Effect, ImpactLevel, Source
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.serving import Origin, Setting, SettingValue
from inferplan.engine.effects import Expected, confidence, effects_of, impact, sentence
from inferplan.engine.wish import Target
from inferplan.estimate.forecast import Forecast, Place, Ratios, Span

FORECAST: Any = Priced({})
MORE = Ratios(Span(1.2, 1.3, 1.4), Span(1.0, 1.1, 1.2), Span(0.1, 0.2, 0.4))
BOUNDS = Ratios(Span(1.0, None, 2.0), Span(1.0, None, 2.0), None)


def place(observation: Observation, **settings: SettingValue) -> Place:
    changes = {key: Setting(value, Origin.ARGUMENT) for key, value in settings.items()}
    assert not isinstance(observation.model, Missing)
    return Place(observation.config.with_settings(changes), observation.model)


def effects(
    ratios: Ratios, *targets: Target, observation: Observation | None = None, **settings: SettingValue
) -> dict[str, Effect]:
    seen = observation or capped()
    found = effects_of(Expected(ratios, place(seen, **settings)), seen, FORECAST, targets)
    return {effect.metric: effect for effect in found}


def numbers(effect: Effect) -> tuple[float | None, float, float | None, float, str]:
    return effect.current, effect.low, effect.expected, effect.high, effect.unit


def test_what_is_measured_is_told_as_values() -> None:
    found = effects(MORE)
    assert {name: numbers(effect) for name, effect in found.items()} == {
        "output_tokens_per_second": (2900.0, 3480.0, 3770.0, 4060.0, "tokens/s per replica"),
        "itl_mean": (11.0, 11.0, 12.1, 13.2, "ms"),
        "ttft_mean": (2500.0, 250.0, 500.0, 1000.0, "ms"),
    }
    assert {(effect.source, effect.basis) for effect in found.values()} == {(Source.CALIBRATED_HERE, None)}


@pytest.mark.parametrize("value", [None, 0.0])
def test_what_is_not_measured_is_told_as_times_todays(value: float | None) -> None:
    seen = capped({"itl_mean_milliseconds": value})
    assert numbers(effects(MORE, observation=seen)["itl_mean"]) == (1.0, 1.0, 1.1, 1.2, "times today's")


def test_bounds_have_no_expected_value_and_what_nothing_is_said_of_is_left_out() -> None:
    found = effects(BOUNDS)
    assert found.keys() == {"output_tokens_per_second", "itl_mean"}
    assert numbers(found["itl_mean"]) == (11.0, 11.0, None, 22.0, "ms")


@pytest.mark.parametrize(
    ("span", "told"), [(STILL, False), (Span(0.996, 1.0, 1.004), False), (Span(0.994, 1.0, 1.0), True)]
)
def test_what_does_not_move_is_no_effect(span: Span, told: bool) -> None:
    assert ("output_tokens_per_second" in effects(replace(MORE, throughput=span))) is told


def test_targets_follow_with_their_bounds() -> None:
    tails = replace(MORE, tails={95: Span(1.1, 1.2, 1.3), 50: Span(1.0, None, 1.5)})
    found = effects(
        tails,
        Target(an.slo(SLOMetric.ITL, 95, 60), 40.0),
        Target(an.slo(SLOMetric.ITL, 50, 50), 30.0),
        Target(an.slo(SLOMetric.ITL, 99, 50), 30.0),  # not forecast
        Target(an.slo(SLOMetric.TTFT, 95, 50), None),  # not measured
    )
    assert [*found][3:] == ["itl_p95", "itl_p50"]
    assert numbers(found["itl_p95"]) == (40.0, 44.0, 48.0, 52.0, "ms")
    assert numbers(found["itl_p50"]) == (30.0, 30.0, None, 45.0, "ms")
    assert (found["itl_p95"].target, found["itl_mean"].target) == (60.0, None)


def test_no_more_effects_than_a_plan_holds() -> None:
    tails = {percentile: Span(1.1, 1.2, 1.3) for percentile in range(90, 99)}
    targets = [Target(an.slo(SLOMetric.ITL, percentile, 60), 40.0) for percentile in tails]
    assert len(effects(replace(MORE, tails=tails), *targets)) == 8


def test_a_cache_that_changes_its_size_is_an_effect() -> None:
    found = effects(MORE, kv_cache_dtype="fp8")["kv_cache_tokens"]
    assert (found.current, found.expected, found.unit) == (400_000, 800_016, "tokens")
    assert found.low <= 800_016 <= found.high
    assert found.source is Source.CALIBRATED_HERE


@pytest.mark.parametrize(
    ("observation", "settings"),
    [
        (capped(), {"max_batch_size": 34}),  # the graphs stay; less than half a percent
        (capped(), {"kv_cache_dtype": "somehow"}),  # cannot be sized
        (capped(drop=("tensor_parallel_size",)), {"kv_cache_dtype": "fp8"}),
        (capped({"kv_cache_tokens": None}, settings={"gpu_memory_utilization": 0.2}), {"kv_cache_dtype": "fp8"}),
    ],
)
def test_a_cache_that_stays_or_cannot_be_sized_is_none(
    observation: Observation, settings: dict[str, SettingValue]
) -> None:
    assert "kv_cache_tokens" not in effects(MORE, observation=observation, **settings)


def told(*found: Effect) -> str:
    return sentence(found)


def effect(metric: str, values: tuple[float | None, float, float | None, float], unit: str = "ms") -> Effect:
    current, low, expected, high = values
    return Effect(
        metric=metric,
        current=current,
        low=low,
        expected=expected,
        high=high,
        unit=unit,
        source=Source.ROOFLINE,
        basis="b",
    )


def test_a_sentence_has_values_before_and_after_with_their_interval() -> None:
    assert told(*effects(MORE).values()) == (
        "Output 2,900 → 3,770 tokens/s per replica (3,480 to 4,060);"
        " mean time between tokens 11 → 12.1 ms (11 to 13.2); mean TTFT 2,500 → 500 ms (250 to 1,000)."
    )


def test_a_sentence_of_ratios_says_so() -> None:
    ratio = effect("itl_mean", (1.0, 0.8, 0.9, 1.0), "times today's")
    assert told(ratio) == "Mean time between tokens 0.90 times today's (0.80 to 1.00)."
    bounds = effect("itl_mean", (1.0, 1.0, None, 2.0), "times today's")
    assert told(bounds) == "Mean time between tokens 1.00 to 2.00 times today's."


def test_a_sentence_of_bounds_has_their_ends_alone() -> None:
    assert told(*effects(BOUNDS).values()) == (
        "Output 2,900 → 2,900 to 5,800 tokens/s per replica; mean time between tokens 11 → 11 to 22 ms."
    )


def test_what_was_not_measured_has_no_value_before() -> None:
    assert told(effect("itl_mean", (None, 9.0, 10.0, 11.0))) == "Mean time between tokens 10 ms (9 to 11)."


def test_the_cache_is_told_only_where_nothing_else_moves_and_targets_always() -> None:
    cache = effect("kv_cache_tokens", (400_000.0, 790_000.0, 800_016.0, 810_000.0), "tokens")
    target = effect("itl_p95", (40.0, 30.0, 35.0, 50.0)).model_copy(update={"target": 45.0})
    assert told(cache) == "KV cache 400,000 → 800,016 tokens (790,000 to 810,000)."
    assert told(cache, target) == "ITL p95 40 → 35 ms (30 to 50), target 45 ms."
    assert told(effect("computed_prompt_tokens", (1.0, 0.4, None, 1.0), "times today's")) == (
        "Computed prompt tokens 0.40 to 1.00 times today's."
    )


def test_without_effects_nothing_is_known() -> None:
    assert told() == "What it brings is not known."


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2847.08, "2,850"),
        (100.4, "100"),
        (11.04, "11"),
        (12.34, "12.3"),
        (1.0, "1"),
        (0.358, "0.36"),
        (0.0123, "0.012"),
    ],
)
def test_numbers_are_as_short_as_people_read_them(value: float, text: str) -> None:
    assert told(effect("itl_mean", (1.0, value, value, value))).startswith(f"Mean time between tokens 1 → {text} ms")


@pytest.mark.parametrize(
    ("gain", "level"),
    [
        (1.26, ImpactLevel.HIGH),
        (1.25001, ImpactLevel.HIGH),
        (1.249, ImpactLevel.MEDIUM),
        (1.1001, ImpactLevel.MEDIUM),
        (1.09, ImpactLevel.LOW),
        (0.5, ImpactLevel.LOW),
    ],
)
def test_impact_is_how_much_is_gained(gain: float, level: ImpactLevel) -> None:
    assert impact(log(gain)) is level


def told_by(source: Source, windows: int) -> Forecast:
    class Other(Priced):
        pass

    Other.source, Other.windows = source, windows
    made: Any = Other({})
    found: Forecast = made
    return found


@pytest.mark.parametrize(
    ("source", "windows", "throughput", "most", "sure"),
    [
        (Source.CALIBRATED_HERE, 3, Span(1.01, 1.2, 1.4), Confidence.HIGH, Confidence.HIGH),
        (Source.MEASURED_HERE, 4, Span(1.01, 1.2, 1.4), Confidence.HIGH, Confidence.HIGH),
        (Source.CALIBRATED_HERE, 3, Span(1.01, 1.2, 1.4), Confidence.MEDIUM, Confidence.MEDIUM),
        (Source.CALIBRATED_HERE, 3, Span(1.01, 1.2, 1.4), Confidence.LOW, Confidence.LOW),
        (Source.CALIBRATED_HERE, 2, Span(1.01, 1.2, 1.4), Confidence.HIGH, Confidence.MEDIUM),
        (Source.CALIBRATED_HERE, 3, Span(1.0, 1.2, 1.4), Confidence.HIGH, Confidence.MEDIUM),
        (Source.CALIBRATED_HERE, 3, Span(1.01, None, 1.4), Confidence.HIGH, Confidence.MEDIUM),
        (Source.ROOFLINE, 3, Span(1.01, 1.2, 1.4), Confidence.HIGH, Confidence.LOW),
        (Source.MEASURED_ELSEWHERE, 3, Span(1.01, 1.2, 1.4), Confidence.HIGH, Confidence.LOW),
    ],
)
def test_how_sure_it_is(source: Source, windows: int, throughput: Span, most: Confidence, sure: Confidence) -> None:
    assert confidence(replace(MORE, throughput=throughput), told_by(source, windows), most) is sure


SAME = Span(1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("itl", "ttft", "sure"),
    [
        (Span(0.7, 0.8, 0.9), SAME, Confidence.HIGH),
        (SAME, Span(0.7, 0.8, 0.9), Confidence.HIGH),
        (Span(0.7, 0.8, 1.0), None, Confidence.MEDIUM),
    ],
)
def test_a_latency_that_surely_falls_at_the_same_rate_is_sure_too(
    itl: Span, ttft: Span | None, sure: Confidence
) -> None:
    told = told_by(Source.CALIBRATED_HERE, 3)
    assert confidence(Ratios(SAME, itl, ttft), told, Confidence.HIGH) is sure
    assert confidence(Ratios(Span(0.9, 1.0, 1.0), itl, ttft), told, Confidence.HIGH) is Confidence.MEDIUM


def test_an_unknown_model_has_no_cache() -> None:
    seen = capped()
    at = place(seen, kv_cache_dtype="fp8")
    found = effects_of(Expected(MORE, at), replace(seen, model=NO_MODEL_CONFIG), FORECAST, ())
    assert "kv_cache_tokens" not in {each.metric for each in found}
