"""A fleet's queries: few, grouped, and with nothing of a user's but quoted values."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferplan.observe.fleet_matchers import own_matchers
from inferplan.observe.fleet_own import Own
from inferplan.observe.fleet_queries import (
    BUCKETED,
    LABELS_LENGTH,
    NAMESPACES_LENGTH,
    ON_DEMAND,
    PART_LABELS,
    Scope,
    fleet_queries,
    label_problem,
    step_seconds,
)
from inferplan.observe.metric_kinds import ALL_GAUGES, COUNTERS, HISTOGRAMS, SPLITS
from inferplan.observe.metric_names import spellings
from inferplan.observe.series_labels import KUBERNETES_LABELS, SeriesLabels

STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
"""A PromQL string; a raw newline cannot be inside of one."""

HOSTILE = [
    'x"} or vector(1) or up{a="',
    "back\\slash",
    '\\"',
    "two\nlines",
    "} and { and [5m]",
    "\\",
    '"',
    "🚀 \u202e",
    "",
]


EVERYTHING = Scope(900, demanded=frozenset(ON_DEMAND))


def outside_of_strings(promql: str) -> str:
    return STRING.sub("S", promql)


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_label_value_stays_inside_its_string(value: str) -> None:
    matchers = own_matchers(KUBERNETES_LABELS, value, {"app": value}, [value], [value])
    assert outside_of_strings(matchers) == "namespace=S, app=S, pod=~S, instance=~S"


@given(st.text(), st.text())
def test_no_label_value_or_namespace_breaks_out(namespace: str, value: str) -> None:
    matchers = own_matchers(KUBERNETES_LABELS, namespace, {"app": value})
    assert outside_of_strings(matchers) == "namespace=S, app=S"
    assert outside_of_strings(Scope(60, namespaces=frozenset({namespace or "a"})).matchers) in {
        "namespace=~S",
        "namespace!=S",
    }


@pytest.mark.parametrize(
    "name",
    ["a/b", "app.kubernetes.io/name", 'x="1", y', "", "1a", "é", "__name__", "namespace", *sorted(PART_LABELS)],
)
def test_what_cannot_tell_instances_apart_is_no_label_of_a_selector(name: str) -> None:
    assert f'"{name}" cannot be used' in (label_problem(name) or "")


@pytest.mark.parametrize("name", ["app", "pod", "instance", "engine", "model_name", "job"])
def test_other_labels_can_be_selected_by(name: str) -> None:
    assert label_problem(name) is None


def test_the_sources_own_label_of_the_namespace_is_not_for_the_owner() -> None:
    labels = SeriesLabels("kubernetes_namespace", "kubernetes_pod_name")
    assert label_problem("kubernetes_namespace", labels) is not None
    assert label_problem("namespace", labels) is None


def test_fifteen_queries_are_all_that_a_fleet_costs() -> None:
    assert len(fleet_queries(Scope(900))) == len(fleet_queries(EVERYTHING)) == 15


def test_buckets_that_only_a_target_needs_are_read_for_one() -> None:
    assert "e2e_request_latency_seconds_bucket" not in "".join(fleet_queries(Scope(900)))
    assert "e2e_request_latency_seconds_sum" in "".join(fleet_queries(Scope(900)))
    demanded = "".join(fleet_queries(Scope(900, demanded=frozenset({"e2e"}))))
    assert "e2e_request_latency_seconds_bucket" in demanded
    assert "request_time_per_output_token_seconds_bucket" not in demanded


def test_everything_that_is_read_is_asked_for_under_every_name() -> None:
    text = "\n".join(fleet_queries(EVERYTHING))
    for key in (*ALL_GAUGES, *COUNTERS, *SPLITS, "cache_info", "kv_tokens"):
        assert all(f"{name}{{" in text for name in spellings(key)), key
    for key in HISTOGRAMS:
        assert all(f"{name}_count{{" in text and f"{name}_sum{{" in text for name in spellings(key)), key
    for key in (*BUCKETED, *ON_DEMAND):
        assert all(f"{name}_bucket{{" in text and f"(rate({name}{{" in text for name in spellings(key)), key
    assert len(re.findall(r'"inferplan_key", "([\w:]+)"', text)) == len(set(re.findall(r'"([\w]+:\w+:\d)"', text)))


def test_a_query_stays_below_the_least_limit_of_any_server() -> None:
    longest = frozenset({"n" * 63, "m" * 63, "o" * 63, "pppppppp"})  # 200 characters
    extra = ("app_kubernetes_io_name", "app_kubernetes_io_instance")
    scope = Scope(86_400, extra=extra, namespaces=longest, demanded=frozenset(ON_DEMAND))
    assert scope.asked_namespaces == longest
    assert len(fleet_queries(scope)) == 15
    assert max(map(len, fleet_queries(scope))) < 16_384


def test_long_labels_are_asked_for_in_more_queries_and_none_is_too_long() -> None:
    extra = tuple("l" * 126 + f"_{number}" for number in range(LABELS_LENGTH // 128))
    few = Scope(86_400, namespaces=frozenset({"n" * 63}), demanded=frozenset(ON_DEMAND))
    scope = replace(few, extra=extra)
    queries = fleet_queries(scope)
    assert max(len(query.encode()) for query in queries) < 16_384
    assert 15 < len(queries) < 60
    tags = re.compile(r'"inferplan_key", "([\w:]+)"')
    assert sorted(tags.findall("\n".join(queries))) == sorted(tags.findall("\n".join(fleet_queries(few))))
    assert all(query.startswith("label_replace(") and query.endswith(")") for query in queries)


def test_many_namespaces_are_not_listed() -> None:
    many = frozenset(f"team-{number:03d}" for number in range(NAMESPACES_LENGTH // 9 + 1))
    assert Scope(900, namespaces=many).asked_namespaces == frozenset()
    assert Scope(900, namespaces=many).matchers == 'namespace!=""'
    assert Scope(900, namespaces=frozenset({"b", "a"})).matchers == 'namespace=~"a|b"'


def test_the_sources_own_labels_and_those_of_selectors_are_grouped_by() -> None:
    scope = Scope(900, SeriesLabels("kubernetes_namespace", "kubernetes_pod_name"), ("app",))
    query = fleet_queries(scope)[0].splitlines()[-1]
    assert "avg by (kubernetes_namespace, kubernetes_pod_name, instance, model_name, app, engine, dp_rank)" in query
    assert '{kubernetes_namespace!=""}' in query


def test_the_start_of_a_series_is_looked_for_in_sixty_steps() -> None:
    assert [step_seconds(window) for window in (12, 60, 100, 900, 86_400)] == [1, 1, 2, 15, 1440]


def test_a_person_is_given_the_query_of_one_instance() -> None:
    own = Own(900, own_matchers(KUBERNETES_LABELS, "a", {}, ["llama-7f-b", "llama-7f-a.b"]))
    assert own.query("mean", "running", "vllm:num_requests_running") == (
        "avg by (pod, instance, engine, dp_rank) (avg_over_time(vllm:num_requests_running"
        '{namespace="a", pod=~"llama-7f-a\\\\.b|llama-7f-b"}[900s]))'
    )
    assert own.query("rate", "requests", "vllm:request_success_total").startswith(
        "sum by (pod, instance, engine, dp_rank) (max by (pod, instance, engine, dp_rank, finished_reason) (rate("
    )
    assert own.gpu_query("DCGM_FI_PROF_DRAM_ACTIVE", ["p-0"], exported=True) == (
        'avg by (exported_pod) (avg_over_time(DCGM_FI_PROF_DRAM_ACTIVE{exported_pod=~"p-0"}[900s]))'
    )


def test_very_many_pods_are_asked_for_by_their_common_prefix() -> None:
    matchers = own_matchers(KUBERNETES_LABELS, "a", {}, [f"llama-7f-{number:04}" for number in range(1000)])
    assert matchers == 'namespace="a", pod=~"llama-7f-0.*"'


def test_a_mean_of_two_long_queries_fits_into_a_plan() -> None:
    pods = [f"llama-7f9c6d5b4-{number:05}" for number in range(60)]
    own = Own(86_400, own_matchers(KUBERNETES_LABELS, "n" * 63, {}, pods))
    assert 2 * len(own.query("sum", "ttft", "vllm:time_to_first_token_seconds")) < 4096
