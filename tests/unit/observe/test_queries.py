"""PromQL from foreign text: nothing in it may end a string early or reach another namespace."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.values import Engine
from inferplan.observe.assemble import SpecError
from inferplan.observe.metric_names import metric_names
from inferplan.observe.queries import Scope, all_queries, scope

STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
"""A PromQL string; a raw newline cannot be inside of one."""

WHERE = Scope('namespace="a"', 900)


def outside_of_strings(promql: str) -> str:
    return STRING.sub("S", promql)


@pytest.mark.parametrize(
    "value",
    [
        'x"} or vector(1) or up{a="',
        "back\\slash",
        '\\"',
        "two\nlines",
        "brace } and { and [5m]",
        "\\",
        '"',
        "emoji 🚀 and \u202e",
        "",
    ],
)
def test_a_hostile_label_value_stays_inside_its_string(value: str) -> None:
    matchers = scope("serving", {"app": value}, [], 900).matchers
    assert outside_of_strings(matchers) == "namespace=S, app=S"


@given(st.text(), st.text())
def test_no_label_value_or_namespace_breaks_out(namespace: str, value: str) -> None:
    matchers = scope(namespace, {"app": value}, [], 900).matchers
    assert outside_of_strings(matchers) == "namespace=S, app=S"


@pytest.mark.parametrize("name", ["a/b", "app.kubernetes.io/name", 'x="1", y', "", "1a", "__name__", "namespace", "é"])
def test_a_label_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(SpecError, match=r"spec\.metrics\.selector"):
        scope("serving", {name: "v"}, [], 900)


def test_the_own_namespace_is_always_asked_for() -> None:
    assert scope("serving", {"app": "x"}, ["p"], 900).matchers == 'namespace="serving", app="x"'
    assert scope("serving", {}, ["p"], 900).matchers == 'namespace="serving", pod=~"p"'
    assert scope("serving", {}, [], 900).matchers == 'namespace="serving"'


def test_pod_names_match_only_themselves() -> None:
    matchers = scope("a", {}, ["llama-7f-b", "llama-7f-a.b"], 900).matchers
    assert matchers == 'namespace="a", pod=~"llama-7f-a\\\\.b|llama-7f-b"'


def test_very_many_pods_are_asked_for_by_their_common_prefix() -> None:
    matchers = scope("a", {}, [f"llama-7f-{number:04}" for number in range(1000)], 900).matchers
    assert matchers == 'namespace="a", pod=~"llama-7f-0.*"'


def test_every_query_is_grouped_by_pod_and_fits_into_a_plan() -> None:
    pods = [f"llama-7f9c6d5b4-{number:05}" for number in range(60)]
    slos = tuple(SLO(metric=metric, percentile=95, target_milliseconds=1) for metric in SLOMetric)
    queries = all_queries(metric_names(Engine.VLLM, "0.33.0"), scope("a", {}, pods, 900), slos)
    assert all("by (pod, instance, engine, dp_rank" in query for query in queries.values())
    assert max(map(len, queries.values())) < 2000  # a mean prints two of them; a sentence in a plan holds 4096


def test_the_queries_of_a_plain_look() -> None:
    queries = all_queries(metric_names(Engine.VLLM, "0.33.0"), WHERE, ())
    assert queries["running"] == (
        'avg by (pod, instance, engine, dp_rank) (avg_over_time(vllm:num_requests_running{namespace="a"}[900s]))'
    )
    assert queries["requests"] == (
        "sum by (pod, instance, engine, dp_rank) (max by (pod, instance, engine, dp_rank, finished_reason)"
        ' (rate(vllm:request_success_total{namespace="a"}[900s])))'
    )
    assert "vllm:e2e_request_latency_seconds_bucket" not in queries


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
def test_renamed_series_are_asked_for_by_version(version: str | None, usage: str, itl: str, tpot: str | None) -> None:
    names = metric_names(Engine.VLLM, version)
    expected = (f"vllm:{usage}", f"vllm:{itl}", f"vllm:{tpot}" if tpot else None)
    assert (names.kv_usage, names.itl, names.tpot) == expected


def test_sglang_reports_its_capacity_since_0_5_8() -> None:
    assert metric_names(Engine.SGLANG, "0.5.23").kv_tokens == "sglang:max_total_num_tokens"
    assert metric_names(Engine.SGLANG, "0.5.2").kv_tokens is None
    assert metric_names(Engine.SGLANG, "0.5.2").preemptions is None


def test_tgi_has_no_kv_cache_series() -> None:
    queries = all_queries(metric_names(Engine.TGI, "3.0.0"), WHERE, ())
    assert {"kv_usage", "cache_info", "kv_tokens", "preemptions"}.isdisjoint(queries)
