"""A decision in words."""

from tests.support.build import an

from inferplan.api.values import Effect, Source
from inferplan.domain.proposal import Policy
from inferplan.engine.explain import resulting_configs, summarize
from inferplan.engine.planner import plan


def test_gain_names_the_first_effect_where_throughput_is_not_known() -> None:
    (optimization,) = plan(an.observation(), Policy()).decision.optimizations
    tokens = Effect(
        metric="kv_cache_tokens", current=100, low=150, high=200, unit="tokens", source=Source.ROOFLINE, basis="test"
    )
    assert summarize((optimization.model_copy(update={"effects": (tokens,)}),)).gain == "KV tokens 1.5-2x"
    other = tokens.model_copy(update={"metric": "itl_mean"})
    assert summarize((optimization.model_copy(update={"effects": (other,)}),)).gain == "itl_mean 1.5-2x"
    bare = tokens.model_copy(update={"current": None})
    assert summarize((optimization.model_copy(update={"effects": (bare,)}),)).gain == "not known"


def test_the_gravest_risk_is_the_answers_then_the_first() -> None:
    (optimization,) = plan(an.observation(), Policy()).decision.optimizations
    assert summarize((optimization,)).risk.startswith("Every step gets longer")
    assert summarize((optimization.model_copy(update={"accuracy_risk": "Worse."}),)).risk == "Worse."
    assert summarize((optimization.model_copy(update={"risks": ()}),)).risk == "none"


def test_a_weight_format_that_is_not_described_has_no_whole_setting() -> None:
    (optimization,) = plan(an.observation(), Policy()).decision.optimizations
    change = optimization.config_changes[0].model_copy(update={"parameter": "quantization"})
    config = an.observation(settings={"quantization": "awq"}).config
    assert resulting_configs(config, (change,)) == (None, None, None)


def test_a_format_of_any_length_fits_the_whole_setting() -> None:
    (optimization,) = plan(an.observation(), Policy()).decision.optimizations
    change = optimization.config_changes[0].model_copy(update={"parameter": "block_size"})
    config = an.observation(settings={"kv_cache_dtype": "x" * 999}).config
    kv_cache, _, _ = resulting_configs(config, (change,))
    assert kv_cache is not None
    assert kv_cache.kv_cache_dtype == "x" * 256
