"""From series to measurements."""

import math
from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import an
from tests.support.prometheus import FakePrometheus, Series, vllm_series

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Metrics
from inferplan.observe.metric_names import metric_names
from inferplan.observe.queries import all_queries, scope
from inferplan.observe.reduce import Asked, Measurements, measurements, percentile_of

PODS = ("p-1", "p-2")


def look(
    fake: FakePrometheus,
    pods: tuple[str, ...] | None = PODS,
    slos: tuple[SLO, ...] = (),
    engine: Engine = Engine.VLLM,
    version: str | None = "0.33.0",
) -> Measurements:
    names = metric_names(engine, version)
    where = scope("serving", {}, pods or (), 900)
    asked = Asked(all_queries(names, where, slos), names, slos, 900, pods)
    return measurements(asked, {key: fake.answer(query) for key, query in asked.queries.items()})


def fake(pods: tuple[str, ...] = PODS, **values: float) -> FakePrometheus:
    return FakePrometheus(vllm_series(pods, "serving", **values))


def value(measurement: Measurement) -> float:
    assert isinstance(measurement, Measured), measurement
    return measurement.value


def why(measurement: Measurement) -> str:
    assert isinstance(measurement, Missing), measurement
    return measurement.reason


def set_values(prometheus: FakePrometheus, name: str, *values: float) -> None:
    old = prometheus.series[name]
    prometheus.series[name] = [(labels, new) for (labels, _), new in zip(old, values, strict=True)]


def test_gauges_are_means_and_the_cache_the_highest_of_replicas() -> None:
    prometheus = fake()
    set_values(prometheus, "vllm:num_requests_running", 10, 30)
    set_values(prometheus, "vllm:kv_cache_usage_perc", 0.2, 0.9)
    metrics = look(prometheus).metrics
    assert value(metrics.num_requests_running) == 20
    assert value(metrics.kv_cache_usage) == 0.9


def test_rates_are_per_replica_and_zero_is_a_value() -> None:
    prometheus = fake(requests=6, preemptions=0)
    metrics = look(prometheus).metrics
    assert value(metrics.requests_per_second) == 6
    assert value(metrics.preemptions_per_second) == 0
    set_values(prometheus, "vllm:num_preemptions_total", 1, 3)
    assert value(look(prometheus).metrics.preemptions_per_second) == 2


def test_a_series_that_is_missing_is_missing_and_not_zero() -> None:
    prometheus = fake()
    prometheus.series["vllm:num_preemptions_total"] = []
    assert "no series for preemptions" in why(look(prometheus).metrics.preemptions_per_second)


def test_capacity_is_that_of_the_smallest_replica() -> None:
    prometheus = fake()
    set_blocks(prometheus, {"num_gpu_blocks": "100", "block_size": "16"}, {"num_gpu_blocks": "90", "block_size": "16"})
    tokens = look(prometheus).metrics.kv_cache_tokens
    assert value(tokens) == 1440  # 90 x 16
    assert isinstance(tokens, Measured)
    assert tokens.window_seconds is None


def set_blocks(prometheus: FakePrometheus, *labels: dict[str, str]) -> None:
    prometheus.series["vllm:cache_config_info"] = [
        ({"namespace": "serving", "pod": pod, **own}, 1.0) for pod, own in zip(PODS, labels, strict=False)
    ]


def test_capacity_uses_the_attention_blocks_own_size() -> None:
    prometheus = fake()
    set_blocks(prometheus, {"num_gpu_blocks": "10", "block_size": "16", "effective_attention_block_size": "128"})
    assert value(look(prometheus).metrics.kv_cache_tokens) == 1280
    set_blocks(prometheus, {"num_gpu_blocks": "10", "block_size": "16", "effective_attention_block_size": "None"})
    assert value(look(prometheus).metrics.kv_cache_tokens) == 160


@pytest.mark.parametrize(
    "labels", [{}, {"num_gpu_blocks": "None", "block_size": "16"}, {"num_gpu_blocks": "0", "block_size": "16"}]
)
def test_capacity_that_is_not_reported_is_missing(labels: dict[str, str]) -> None:
    prometheus = fake()
    set_blocks(prometheus, labels)
    assert "does not report" in why(look(prometheus).metrics.kv_cache_tokens)


def test_sglang_states_its_capacity_in_tokens() -> None:
    labels = {"namespace": "serving", "pod": "p-1"}
    names = ("num_running_reqs", "num_queue_reqs", "token_usage", "num_retracted_requests_total", "num_requests_total")
    series: dict[str, list[Series]] = {f"sglang:{name}": [(labels, 0.5)] for name in names}
    series["sglang:max_total_num_tokens"] = [(labels, 400_000.0)]
    metrics = look(FakePrometheus(series), ("p-1",), engine=Engine.SGLANG, version="0.5.23").metrics
    assert value(metrics.kv_cache_tokens) == 400_000
    assert value(metrics.kv_cache_usage) == 0.5
    assert "no request finished" in why(metrics.ttft_mean_milliseconds)


def test_means_are_sums_over_counts_in_milliseconds() -> None:
    metrics = look(fake(ttft=0.25, itl=0.02)).metrics
    assert value(metrics.ttft_mean_milliseconds) == 250
    assert value(metrics.itl_mean_milliseconds) == 20
    assert value(metrics.prompt_tokens_mean) == 500


def test_an_idle_instance_has_load_but_no_latency() -> None:
    found = look(fake(running=0, waiting=0, requests=0))
    assert found.problem is None
    assert value(found.metrics.num_requests_running) == 0
    assert "no request finished" in why(found.metrics.itl_p99_milliseconds)
    assert "no request finished" in why(found.metrics.prompt_tokens_mean)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_no_number_never_becomes_a_measurement(odd: float) -> None:
    prometheus = fake()
    for name, series in prometheus.series.items():
        if name != "vllm:num_requests_running":
            prometheus.series[name] = [(labels, odd) for labels, _ in series]
    found = look(prometheus, slos=(an.slo(),)).metrics
    assert set(found.measured()) <= {"num_requests_running", "kv_cache_tokens"}


@pytest.mark.parametrize("odd", [30.0, -1.0])
def test_a_cache_use_that_is_no_share_is_missing(odd: float) -> None:
    assert "no share" in why(look(fake(kv_usage=odd)).metrics.kv_cache_usage)


def test_series_of_foreign_pods_do_not_count() -> None:
    prometheus = fake(("p-1", "p-2", "old-1"))
    set_values(prometheus, "vllm:num_requests_running", 10, 10, 100)
    assert look(prometheus, None).replicas == 3
    names = metric_names(Engine.VLLM, "0.33.0")
    where = scope("serving", {"engine": "0"}, (), 900)
    asked = Asked(all_queries(names, where, ()), names, (), 900, PODS)
    found = measurements(asked, {key: prometheus.answer(query) for key, query in asked.queries.items()})
    assert found.replicas == 2
    assert value(found.metrics.num_requests_running) == 10


def test_series_without_a_pod_label_count_by_instance() -> None:
    prometheus = fake()
    for name, series in prometheus.series.items():
        prometheus.series[name] = [({k: v for k, v in labels.items() if k != "pod"}, v) for labels, v in series]
    names = metric_names(Engine.VLLM, "0.33.0")
    asked = Asked(all_queries(names, scope("serving", {"engine": "0"}, (), 900), ()), names, (), 900, PODS)
    found = measurements(asked, {key: prometheus.answer(query) for key, query in asked.queries.items()})
    assert found.replicas == 2


def test_no_series_is_missing() -> None:
    found = look(FakePrometheus({}), slos=(an.slo(),))
    assert found.problem == Missing(Reason.METRICS_MISSING, "no series")
    assert found.metrics.measured() == {}
    assert [name for name, _ in found.metrics.slo_milliseconds] == ["itl p95"]


@pytest.mark.parametrize("age", [151.0, None])
def test_old_samples_are_stale(age: float | None) -> None:
    prometheus = replace(fake(), age_seconds=age)
    problem = look(prometheus).problem
    assert problem is not None
    assert problem.code == "MetricsStale"


def test_one_fresh_replica_is_enough() -> None:
    assert look(replace(fake(), age_seconds=149.0)).problem is None


def test_too_little_history_is_missing() -> None:
    problem = look(replace(fake(), history_seconds=41.7)).problem
    assert problem is not None
    assert "only 42 s of data" in problem.reason
    assert look(replace(fake(), history_seconds=60.0)).problem is None


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        # half of 10 lie up to 1 s: linear inside of the bucket, as histogram_quantile
        ([(1.0, 5.0), (2.0, 10.0), (math.inf, 10.0)], 0.5, 1.0),
        ([(1.0, 5.0), (2.0, 10.0), (math.inf, 10.0)], 0.75, 1.5),  # 1 + (7.5 - 5) / 5
        ([(1.0, 5.0), (2.0, 10.0), (math.inf, 10.0)], 0.25, 0.5),  # 0 + 2.5 / 5
        ([(1.0, 0.0), (2.0, 10.0), (math.inf, 10.0)], 0.5, 1.5),
    ],
)
def test_percentiles_are_those_of_histogram_quantile(buckets: Any, share: float, expected: float) -> None:
    assert percentile_of(buckets, share) == pytest.approx(expected)


def test_a_percentile_beyond_the_last_bound_is_only_bounded() -> None:
    found = percentile_of([(1.0, 5.0), (80.0, 8.0), (math.inf, 10.0)], 0.99)
    assert isinstance(found, Missing)
    assert found.reason.startswith("above 80000 ms")


@pytest.mark.parametrize("buckets", [[], [(1.0, 0.0), (math.inf, 0.0)], [(1.0, 5.0)]])
def test_a_histogram_without_observations_has_no_percentile(buckets: Any) -> None:
    assert isinstance(percentile_of(buckets, 0.5), Missing)


def test_each_target_is_measured_by_its_own_histogram() -> None:
    slos = tuple(an.slo(metric, 50) for metric in (SLOMetric.TTFT, SLOMetric.E2E, SLOMetric.TPOT))
    seen = dict(look(fake(), slos=slos).metrics.slo_milliseconds)
    assert value(seen["ttft p50"]) == pytest.approx(200)
    assert value(seen["e2e p50"]) == pytest.approx(4000)
    assert "no request finished" in why(seen["tpot p50"])


def test_every_measurement_says_its_query_and_window() -> None:
    for name, measured in look(fake(), slos=(an.slo(),)).metrics.measured().items():
        assert "vllm:" in measured.source, name
        assert measured.window_seconds == (None if name == "kv_cache_tokens" else 900)


def test_metrics_of_a_problem_are_all_missing_for_it() -> None:
    found = look(replace(fake(), age_seconds=None)).metrics
    fields = [getattr(found, name) for name in Metrics.__dataclass_fields__ if name != "slo_milliseconds"]
    assert {entry.code for entry in fields} == {"MetricsStale"}
