"""A decision in words and as whole settings."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import LLAMA, an
from tests.support.levers import STILL, Priced, capped, caps

from inferplan.api.instance import Objective, SLOMetric
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    ImpactLevel,
    Optimization,
    OptimizationType,
    QuantizationMethod,
    Source,
)
from inferplan.domain.quantization_scheme import NumberFormat, Quantization, Scheme
from inferplan.domain.serving import SettingValue
from inferplan.engine.explain import (
    ResultingConfig,
    resulting_configs,
    summarize,
    total_improvement,
    whole_effects,
)
from inferplan.engine.search import Draft, Found
from inferplan.engine.wish import Target, Wish
from inferplan.estimate.forecast import Place, Ratios, Span

SEEN = capped()
GAIN = Ratios(Span(1.2, 1.3, 1.4), Span(1.0, 1.1, 1.2), Span(0.1, 0.2, 0.3), {95: Span(0.7, 0.8, 0.9)})
MISSED = Target(an.slo(SLOMetric.ITL, 95, 10), 20.0)


def found(
    ratios: Ratios | None = GAIN, *targets: Target, objective: Objective = Objective.THROUGHPUT, drafts: int = 1
) -> Found:
    forecast: Any = Priced({})
    place = Place(SEEN.config, LLAMA)
    draft = Draft(((caps(64), caps(64).options[0]),), GAIN, place, 0.2, 1.0)
    return Found(forecast, Wish(objective, targets, 0.0), (draft,) * drafts, ratios, place, 0.2, (), ())


def change(parameter: str = "max_batch_size", value: SettingValue | None = 64) -> ConfigChange:
    return ConfigChange(parameter=parameter, recommended_value=value, removes_flag=value is None, reason="test")


def optimization(*changes: ConfigChange, **fields: Any) -> Optimization:
    base: dict[str, Any] = {
        "type": OptimizationType.BATCHING,
        "title": "Title",
        "description": "Description",
        "expected_impact": ImpactLevel.MEDIUM,
        "estimated_improvement": "Better.",
        "confidence": Confidence.MEDIUM,
        "source": Source.MEASURED_HERE,
        "implementation_effort": Effort.LOW,
    }
    return Optimization(config_changes=changes or (change(),), **{**base, **fields})


class TestTotal:
    """The whole plan in a sentence."""

    def test_nothing_is_nothing(self) -> None:
        assert total_improvement((), None, ()) == "Nothing to change."
        assert whole_effects(None, SEEN, SEEN.config) == ()
        assert whole_effects(found(None), SEEN, SEEN.config) == ()

    def test_it_is_that_of_the_whole_forecast(self) -> None:
        told = total_improvement(
            (optimization(), optimization()), found(drafts=2), whole_effects(found(drafts=2), SEEN, SEEN.config)
        )
        assert told.startswith("Output 2,900 → 3,770 tokens/s per replica (3,480 to 4,060); mean time between tokens")

    def test_what_no_forecast_prices_is_told(self) -> None:
        told = total_improvement((optimization(),) * 3, found(), whole_effects(found(), SEEN, SEEN.config))
        assert told.endswith(". Not counted: what no forecast prices (2 of 3).")

    def test_of_one_change_alone_it_is_its_own(self) -> None:
        assert total_improvement((optimization(),), None, ()) == "Better."
        still = Ratios(STILL, STILL, STILL)
        assert (
            total_improvement((optimization(),), found(still), whole_effects(found(still), SEEN, SEEN.config))
            == "Better."
        )

    @pytest.mark.parametrize(
        ("sources", "told"),
        [
            ((Source.RULE_OF_THUMB, Source.RULE_OF_THUMB), "Not known: the changes rest on rules of thumb."),
            (
                (Source.RULE_OF_THUMB, Source.MEASURED_HERE),
                "Together not known: nothing that was measured says how the changes act on one another.",
            ),
        ],
    )
    def test_of_several_without_a_forecast_it_is_not_known(self, sources: tuple[Source, ...], told: str) -> None:
        assert total_improvement([optimization(source=source) for source in sources], None, ()) == told


class TestSummary:
    """The plan in a line."""

    def test_no_change_is_none(self) -> None:
        summary = summarize((), found())
        assert (summary.changes, summary.gain, summary.risk, summary.restart) == ("none", "none", "none", False)
        assert (summary.impact, summary.confidence) == (ImpactLevel.LOW, Confidence.LOW)

    def test_changes_are_arrows(self) -> None:
        raised = ConfigChange(parameter="a", current_value=32, recommended_value=64, reason="test")
        assert summarize((optimization(raised, change("b", True), change("c", None)),), None).changes == (
            "a 32→64, b →True, c →removed"
        )
        assert len(summarize((optimization(change("x" * 256), change()),), None).changes) == 256

    def test_impact_is_the_highest_and_confidence_the_lowest(self) -> None:
        mixed = (
            optimization(expected_impact=ImpactLevel.LOW, confidence=Confidence.HIGH),
            optimization(expected_impact=ImpactLevel.HIGH, confidence=Confidence.LOW, restart_required=False),
        )
        summary = summarize(mixed, found())
        assert (summary.impact, summary.confidence, summary.restart) == (ImpactLevel.HIGH, Confidence.LOW, True)
        assert not summarize((mixed[1],), found()).restart

    def test_the_gravest_risk_is_the_answers_then_the_first(self) -> None:
        assert summarize((optimization(risks=("Slow.",)),), None).risk == "Slow."
        both = (optimization(risks=("Slow.",)), optimization(accuracy_risk="Worse."))
        assert summarize(both, None).risk == "Worse."
        assert summarize((optimization(risks=("x" * 300,)),), None).risk == "x" * 256
        assert summarize((optimization(),), None).risk == "none"

    @pytest.mark.parametrize(
        ("told_of", "gain"),
        [
            (None, "not known"),
            (found(None), "not known"),
            (found(), "throughput +30% (+20% to +40%)"),
            (found(replace(GAIN, throughput=Span(1.0, None, 1.375))), "throughput 1-1.4x"),
            (found(GAIN, MISSED), "itl p95 -20% (-30% to -10%)"),  # a missed target that gets nearer
            (found(replace(GAIN, tails={95: Span(0.9, 0.999, 1.1)}), MISSED), "throughput +30% (+20% to +40%)"),
            (found(replace(GAIN, tails={95: Span(0.6, None, 1.0)}), MISSED), "itl p95 0.6-1x"),
            (found(replace(GAIN, tails={95: Span(0.8, None, 1.3)}), MISSED), "throughput +30% (+20% to +40%)"),
            (found(replace(GAIN, tails={}), MISSED), "throughput +30% (+20% to +40%)"),
            (found(GAIN, replace(MISSED, measured=9.0)), "throughput +30% (+20% to +40%)"),  # it holds
            (found(GAIN, objective=Objective.LATENCY), "TTFT -80% (-90% to -70%)"),
            (found(replace(GAIN, throughput=STILL)), "TTFT -80% (-90% to -70%)"),
            (found(replace(GAIN, throughput=Span(1.01, 1.1, 1.2))), "throughput +10% (+1% to +20%)"),
            (found(replace(GAIN, ttft=None), objective=Objective.LATENCY), "ITL +10% (+0% to +20%)"),
            (found(Ratios(Span(0.9, 0.999, 1.1), None, None)), "throughput +0% (-10% to +10%)"),
            (
                found(Ratios(Span(1.2, 1.3, 1.4), None, None), objective=Objective.LATENCY),
                "throughput +30% (+20% to +40%)",
            ),
        ],
    )
    def test_the_gain_is_that_of_what_was_wanted(self, told_of: Found | None, gain: str) -> None:
        assert summarize((optimization(),), told_of).gain == gain


class TestWholeSettings:
    """The whole resulting setting of each kind."""

    def test_only_kinds_that_are_touched_are_told(self) -> None:
        after = ResultingConfig(an.observation(settings={"max_batch_size": 64}).config, None)
        kv_cache, quantization, batching = resulting_configs(after, (change(),), 90)
        assert (kv_cache, quantization) == (None, None)
        assert batching is not None
        assert (batching.max_batch_size, batching.max_num_batched_tokens) == (64, 8192)
        kv_cache, _, _ = resulting_configs(after, (change("kv_cache_dtype", "fp8"),), 90)
        assert kv_cache is not None
        assert (kv_cache.gpu_memory_utilization, kv_cache.max_model_len) == (0.92, 8192)

    @pytest.mark.parametrize(
        ("settings", "field"),
        [
            ({"gpu_memory_utilization": 0.0}, "gpu_memory_utilization"),
            ({"gpu_memory_utilization": 1.01}, "gpu_memory_utilization"),
            ({"block_size": 0}, "block_size"),
            ({"max_model_len": -1}, "max_model_len"),
            ({"max_model_len": "auto"}, "max_model_len"),
            ({"max_batch_size": 0}, "max_batch_size"),
            ({"max_num_batched_tokens": -5}, "max_num_batched_tokens"),
        ],
    )
    def test_what_no_engine_runs_with_is_not_known(self, settings: dict[str, SettingValue], field: str) -> None:
        after = ResultingConfig(an.observation(settings=settings).config, None)
        kv_cache, _, batching = resulting_configs(after, (change(), change("block_size", 32)), 90)
        assert getattr(kv_cache, field, None) is None
        assert getattr(batching, field, None) is None

    @pytest.mark.parametrize(
        ("settings", "share", "count"),
        [
            ({"gpu_memory_utilization": 1.0, "block_size": 1}, 1.0, 1),
            ({"gpu_memory_utilization": 0.01, "block_size": 16}, 0.01, 16),
        ],
    )
    def test_what_is_at_the_edge_is_told(self, settings: dict[str, SettingValue], share: float, count: int) -> None:
        after = ResultingConfig(an.observation(settings=settings).config, None)
        kv_cache, _, _ = resulting_configs(after, (change("block_size", 32),), 90)
        assert kv_cache is not None
        assert (kv_cache.gpu_memory_utilization, kv_cache.block_size) == (share, count)

    def test_a_format_of_any_length_fits(self) -> None:
        after = ResultingConfig(an.observation(settings={"kv_cache_dtype": "x" * 999}).config, None)
        kv_cache, _, _ = resulting_configs(after, (change("block_size", 32),), 90)
        assert kv_cache is not None
        assert kv_cache.kv_cache_dtype == "x" * 256

    def test_a_format_that_is_not_known_is_none(self) -> None:
        bare = ResultingConfig(an.observation(drop=("kv_cache_dtype", "quantization")).config, None)
        kv_cache, quantization, _ = resulting_configs(bare, (change("block_size"), change("quantization", None)), 90)
        assert kv_cache is not None
        assert kv_cache.kv_cache_dtype is None
        assert quantization is None

    @pytest.mark.parametrize(("flag", "method"), [("fp8_per_tensor", QuantizationMethod.FP8), ("somehow", None)])
    def test_weights_are_told_by_the_flag(self, flag: str, method: QuantizationMethod | None) -> None:
        after = ResultingConfig(an.observation(settings={"quantization": flag}).config, LLAMA)
        _, quantization, _ = resulting_configs(after, (change("quantization", flag),), 90)
        assert (None if quantization is None else quantization.method) == method

    def test_weights_of_another_checkpoint_are_told_by_what_it_holds(self) -> None:
        twin = replace(LLAMA, quantization=Quantization("awq", Scheme(NumberFormat.INT4)))
        config = an.observation(settings={"quantization": "fp8_per_tensor"}).config
        served = change("model", "twin")
        _, quantization, _ = resulting_configs(ResultingConfig(config, twin), (served,), 90)
        assert quantization is not None
        assert (quantization.method, quantization.target_bits) == (QuantizationMethod.AWQ, 4)
        for card in (None, LLAMA):  # what it holds is not known, or nothing special
            assert resulting_configs(ResultingConfig(config, card), (served,), 90)[1] is None
