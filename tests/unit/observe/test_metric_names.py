"""Names of series by engine and release."""

import pytest

from inferplan.api.values import Engine
from inferplan.observe.metric_names import KEYS, metric_names, spellings


@pytest.mark.parametrize(
    ("version", "usage", "itl", "tpot"),
    [
        ("0.8.5", "gpu_cache_usage_perc", "time_per_output_token_seconds", None),
        ("0.9.2", "kv_cache_usage_perc", "time_per_output_token_seconds", None),
        ("0.10.2", "kv_cache_usage_perc", "inter_token_latency_seconds", None),
        ("0.33.0", "kv_cache_usage_perc", "inter_token_latency_seconds", "request_time_per_output_token_seconds"),
        (None, "kv_cache_usage_perc", "inter_token_latency_seconds", "request_time_per_output_token_seconds"),
    ],
)
def test_series_have_the_names_of_the_release(version: str | None, usage: str, itl: str, tpot: str | None) -> None:
    names = metric_names(Engine.VLLM, version)
    expected = (f"vllm:{usage}", f"vllm:{itl}", f"vllm:{tpot}" if tpot else None)
    assert (names.kv_usage, names.itl, names.tpot) == expected


def test_sglang_reports_its_capacity_since_0_5_8() -> None:
    assert metric_names(Engine.SGLANG, "0.5.23").kv_tokens == "sglang:max_total_num_tokens"
    assert metric_names(Engine.SGLANG, "0.5.2").kv_tokens is None


@pytest.mark.parametrize(
    ("version", "name"),
    [("0.5.8", "num_retracted_requests_total"), ("0.5.7", "num_retractions_sum"), ("0.5.2", "total_retracted_reqs")],
)
def test_sglang_has_told_its_retractions_under_three_names(version: str, name: str) -> None:
    assert metric_names(Engine.SGLANG, version).preemptions == f"sglang:{name}"
    assert f"sglang:{name}" in spellings("preemptions")


def test_what_only_newer_releases_have_is_told_apart_from_what_none_has() -> None:
    between = metric_names(Engine.SGLANG, "0.5.4")
    assert between.preemptions is None
    assert between.newer == {"preemptions", "kv_tokens"}
    assert metric_names(Engine.VLLM, "0.8.5").newer == {"waiting_by_reason", "tpot", "rejected"}
    assert metric_names(Engine.VLLM, None).newer == metric_names(Engine.TGI, "3.0.0").newer == frozenset()


def test_tgi_tells_the_tokens_that_it_holds_and_may_hold() -> None:
    names = metric_names(Engine.TGI, "3.0.0")
    assert (names.kv_usage, names.cache_info, names.preemptions) == (None, None, None)
    assert (names.kv_used, names.kv_tokens) == ("tgi_batch_current_max_tokens", "tgi_batch_total_tokens")


def test_the_first_engine_of_vllm_has_series_of_its_own() -> None:
    names = metric_names(Engine.VLLM, "0.8.5")
    assert (names.swapped, names.prefix_hit_share) == (
        "vllm:num_requests_swapped",
        "vllm:gpu_prefix_cache_hit_rate",
    )
    assert metric_names(Engine.VLLM, "0.9.0").swapped is None
    assert spellings("queue_time")[3] == "vllm:time_in_queue_requests"


def test_spellings_are_those_of_all_releases_and_engines_the_newest_first() -> None:
    own = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage")
    assert spellings("kv_usage") == (*own, *(name.replace(":", "_") for name in own))
    assert spellings("waiting")[2:] == ("tgi_queue_size", "vllm_num_requests_waiting", "sglang_num_queue_reqs")
    assert spellings("itl")[:2] == ("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds")
    for engine, version in ((Engine.VLLM, "0.33.0"), (Engine.VLLM, "0.8.5"), (Engine.SGLANG, None), (Engine.TGI, None)):
        names = metric_names(engine, version)
        own = {key: getattr(names, key) for key in KEYS if getattr(names, key) is not None}
        assert all(name in spellings(key) for key, name in own.items())
