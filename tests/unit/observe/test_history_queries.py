"""Three queries read every engine's past hours, and no label can end a string early."""

import re

import pytest

from inferplan.observe.history_queries import COLUMNS, history_queries
from inferplan.observe.metric_names import spellings
from inferplan.observe.series_labels import SeriesLabels

QUERIES = history_queries()


def test_three_queries_are_all_that_a_fleet_costs() -> None:
    assert len(QUERIES) == 3


def test_each_quantity_is_asked_for_once() -> None:
    tags = [set(re.findall(r'"inferplan_key", "(\w+)"', query)) for query in QUERIES]
    assert sorted(name for tag in tags for name in tag) == sorted(COLUMNS)


@pytest.mark.parametrize("key", ["running", "waiting", "requests", "ttft", "itl", "prompt_tokens", "generation_tokens"])
def test_every_engines_spelling_is_there(key: str) -> None:
    for name in spellings(key):
        assert any(re.search(rf"\b{name}(_sum)?\{{", query) for query in QUERIES), name


def test_the_newer_of_two_spellings_wins() -> None:
    """vLLM 0.10.2 has both names of the time between tokens; `or` takes the first."""
    query = QUERIES[2]
    assert query.index("vllm:inter_token_latency_seconds_sum") < query.index("vllm:time_per_output_token_seconds_sum")


def test_parentheses_close() -> None:
    for query in QUERIES:
        assert query.count("(") == query.count(")")
        assert query.count("{") == query.count("}")


def test_ranks_are_added_up_and_double_scrapes_are_not() -> None:
    assert (
        "sum by (namespace, pod, instance, model_name) (max by (namespace, pod, instance, model_name, engine, dp_rank) "
        '(avg_over_time(vllm:num_requests_running{namespace!=""}[1h])'
        ' / (min_over_time(vllm:num_requests_running{namespace!=""}[1h]) >= bool 0)))'
    ) in QUERIES[0]


def test_a_source_has_its_own_labels() -> None:
    query = history_queries(SeriesLabels("kubernetes_namespace", "kubernetes_pod_name"), ("app",))[0]
    assert 'running{kubernetes_namespace!="", app!=""}[1h]' in query
    assert "by (kubernetes_namespace, kubernetes_pod_name, instance, model_name, app)" in query


@pytest.mark.parametrize("name", ['app"} or up{a="', "a-b", "", "1a", "ä", "a\n"])
def test_what_is_no_label_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no label name"):
        history_queries(extra=(name,))
