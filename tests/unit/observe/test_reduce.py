"""From readings to measurements."""

import math
from dataclasses import astuple, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.build import an
from tests.support.readings import a_gauge, a_histogram, a_replica, readings

from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import METRIC_FIELDS, Metrics, ReplicaMetrics
from inferplan.domain.readings import Gauge, Histogram, ReplicaReadings
from inferplan.observe.metric_kinds import ALL_GAUGES, CACHE_LABELS, COUNTERS, GAUGES, HISTOGRAMS, SPLITS, cache_tokens
from inferplan.observe.metric_names import KEYS, metric_names
from inferplan.observe.reduce import Measurements, reduce

NAMES = metric_names(Engine.VLLM, "0.33.0")
SLOS = tuple(an.slo(metric, 95, 100) for metric in SLOMetric)
QUERY = 'sum by (pod, le) (increase(vllm:time_to_first_token_seconds_bucket{namespace="serving"}[900s]))'


def look(*replicas: ReplicaReadings, slos: tuple[SLO, ...] = (), **changes: Any) -> Metrics:
    found = reduce(readings(*replicas, **changes), NAMES, slos)
    assert found.problem is None, found.problem
    return found.metrics


def value(measurement: Measurement) -> float:
    assert isinstance(measurement, Measured), measurement
    return measurement.value


def missing(measurement: Measurement, code: Reason) -> str:
    assert isinstance(measurement, Missing), measurement
    assert measurement.code is code
    return measurement.reason


def problem(found: Measurements) -> Missing:
    assert found.problem is not None
    return found.problem


def test_every_key_is_of_a_kind_and_the_kinds_know_no_other_keys() -> None:
    single = {"cache_info", "kv_tokens", "process_start"}
    assert {*ALL_GAUGES, *COUNTERS, *HISTOGRAMS, *SPLITS, *single} == set(KEYS)


def test_every_field_but_the_gpus_is_measured_of_a_busy_engine() -> None:
    drafts = {"draft_tokens": 100.0, "accepted_tokens": 60.0}
    metrics = look(a_replica(rates=drafts, histograms={"tpot": a_histogram((0.05, 3600))}), slos=SLOS)
    absent = {name for name in METRIC_FIELDS if not isinstance(getattr(metrics, name), Measured)}
    assert absent == {"gpu_memory_busy_share", "gpu_tensor_busy_share"}
    assert [name for name, _ in metrics.slo_milliseconds] == ["ttft p95", "itl p95", "tpot p95", "e2e p95"]
    assert [name for name, _ in metrics.slo_missed_share] == ["ttft p95", "itl p95", "tpot p95", "e2e p95"]


def test_gauges_are_means_of_replicas_and_peaks_the_highest_of_any() -> None:
    first = a_replica(gauges={"running": a_gauge(10, 12), "kv_usage": a_gauge(0.2, 0.3, 0.25)})
    second = a_replica("p-2", gauges={"running": a_gauge(30, 32), "kv_usage": a_gauge(0.6, 0.9, 0.8)})
    metrics = look(first, second)
    assert value(metrics.num_requests_running) == 20
    assert value(metrics.num_requests_running_peak) == 32
    assert value(metrics.num_requests_waiting) == 2
    assert value(metrics.num_requests_waiting_peak) == 6
    assert value(metrics.waiting_for_capacity) == 1.5
    assert value(metrics.kv_cache_usage) == 0.9
    assert value(metrics.kv_cache_usage_mean) == pytest.approx(0.4)
    assert value(metrics.kv_cache_usage_p99) == 0.8


def test_rates_are_per_replica_and_zero_is_a_value() -> None:
    metrics = look(a_replica(rates={"preemptions": 1.0}), a_replica("p-2", rates={"preemptions": 3.0}))
    assert value(metrics.preemptions_per_second) == 2
    assert value(metrics.requests_per_second) == 4
    assert value(metrics.prompt_tokens_per_second) == 2000
    assert value(metrics.generation_tokens_per_second) == 400
    assert value(metrics.rejected_requests_per_second) == 0


def test_a_replica_that_has_not_counted_anything_yet_counts_as_zero() -> None:
    metrics = look(a_replica(), a_replica("p-2", rates={"requests": None}, splits={"requests": None}))
    assert value(metrics.requests_per_second) == 2


def test_a_counters_parts_are_enough() -> None:
    assert value(look(a_replica(rates={"requests": None})).requests_per_second) == 4


def test_a_series_that_is_missing_is_missing_and_not_zero() -> None:
    metrics = look(a_replica(rates={"preemptions": None}, gauges={"kv_usage": None}, histograms={"ttft": None}))
    told = missing(metrics.preemptions_per_second, Reason.METRICS_MISSING)
    assert told == "no series of vllm:num_preemptions_total"
    assert "vllm:kv_cache_usage_perc" in missing(metrics.kv_cache_usage, Reason.METRICS_MISSING)
    assert "vllm:time_to_first" in missing(metrics.ttft_mean_milliseconds, Reason.METRICS_MISSING)


def test_what_the_version_does_not_have_is_told_as_such() -> None:
    tgi = a_replica(gauges={"kv_usage": None}, kv_cache_tokens=None, rates=dict.fromkeys(COUNTERS), splits={})
    tgi = replace(tgi, splits={}, histograms={})
    metrics = reduce(readings(tgi), metric_names(Engine.TGI, None), ()).metrics
    for field in ("preemptions_per_second", "prefix_cache_hit_share", "ttft_p99_milliseconds"):
        assert "no release of the engine has such a series" in missing(getattr(metrics, field), Reason.NOT_EXPOSED)
    assert "tgi_batch_current_max_tokens" in missing(metrics.kv_cache_usage, Reason.METRICS_MISSING)
    assert "does not report" in missing(metrics.kv_cache_tokens, Reason.METRICS_MISSING)
    missing(metrics.requests_per_second, Reason.METRICS_MISSING)
    old = reduce(readings(tgi), metric_names(Engine.SGLANG, "0.5.4"), ()).metrics
    assert "version has no such series" in missing(old.preemptions_per_second, Reason.NOT_EXPOSED_BY_VERSION)
    missing(old.kv_cache_tokens, Reason.NOT_EXPOSED_BY_VERSION)


def of(engine: Engine, replica: ReplicaReadings, version: str | None = None, **sources: str) -> Metrics:
    return reduce(readings(replica, sources=sources), metric_names(engine, version), ()).metrics


def test_tgis_cache_is_used_as_far_as_the_running_requests_hold_it() -> None:
    gauges = {"kv_usage": None, "kv_used": a_gauge(3000, 6000, 4500)}
    tgi = a_replica(gauges=gauges, kv_cache_tokens=8000.0)
    metrics = of(Engine.TGI, tgi, kv_used_peak="peak of held", kv_used="held", kv_tokens="all")
    assert value(metrics.kv_cache_usage_mean) == 0.375
    assert value(metrics.kv_cache_usage) == 0.75
    assert value(metrics.kv_cache_usage_p99) == 0.5625
    assert isinstance(metrics.kv_cache_usage, Measured)
    assert metrics.kv_cache_usage.source == "peak of held / all"
    more = of(Engine.TGI, replace(tgi, kv_cache_tokens=4000.0)).kv_cache_usage
    assert "is 1.5, which is no share" in missing(more, Reason.METRICS_CONTRADICTORY)
    for wrong in ("kv_used", "kv_tokens"):
        missing(of(Engine.TGI, replace(tgi, impossible={wrong: -1.0})).kv_cache_usage, Reason.METRICS_CONTRADICTORY)
    missing(of(Engine.TGI, replace(tgi, kv_cache_tokens=None)).kv_cache_usage, Reason.METRICS_MISSING)
    without_p99 = replace(tgi, gauges={**tgi.gauges, "kv_used": a_gauge(3000)})
    missing(of(Engine.TGI, without_p99).kv_cache_usage_p99, Reason.METRICS_MISSING)


def test_swapped_requests_wait() -> None:
    swapped = a_replica(gauges={"swapped": a_gauge(40, 44)})
    metrics = of(Engine.VLLM, swapped, "0.8.5", waiting="a", swapped="b", waiting_peak="c", swapped_peak="d")
    assert (value(metrics.num_requests_waiting), value(metrics.num_requests_waiting_peak)) == (42, 50)
    assert isinstance(metrics.num_requests_waiting, Measured)
    assert metrics.num_requests_waiting.source == "a + b"
    wrong = replace(swapped, impossible={"swapped": -1.0})
    missing(of(Engine.VLLM, wrong).num_requests_waiting, Reason.METRICS_CONTRADICTORY)


def test_requests_that_failed_may_be_counted_for_themselves() -> None:
    apart = a_replica(splits={"requests": None}, rates={"requests": 3.0, "failed": 1.0})
    for engine in (Engine.TGI, Engine.SGLANG):
        assert value(of(engine, apart).failed_requests_share) == 0.25
    (one,) = reduce(readings(apart), metric_names(Engine.TGI, None), ()).replica_metrics
    assert one.failed_requests_share == 0.25
    none = replace(apart, rates={"requests": 3.0})
    told = missing(of(Engine.TGI, none).failed_requests_share, Reason.METRICS_MISSING)
    assert told == "no series of tgi_request_failure"
    wrong = replace(apart, impossible={"failed": -1.0})
    missing(of(Engine.TGI, wrong).failed_requests_share, Reason.METRICS_CONTRADICTORY)


def test_acceptance_may_be_a_gauge_which_is_0_where_nothing_is_speculated() -> None:
    sglang = a_replica(gauges={"accepted_share": a_gauge(0.6)})
    assert value(of(Engine.SGLANG, sglang).speculation_accepted_share) == 0.6
    unused = a_replica(gauges={"accepted_share": a_gauge(0)})
    told = missing(of(Engine.SGLANG, unused).speculation_accepted_share, Reason.METRICS_MISSING)
    assert told.endswith("sglang:spec_accept_rate is 0: nothing was speculated")
    counted = a_replica(gauges={"accepted_share": a_gauge(0.6)}, rates={"draft_tokens": 100.0, "accepted_tokens": 50.0})
    assert value(of(Engine.VLLM, counted).speculation_accepted_share) == 0.5
    told = missing(of(Engine.SGLANG, a_replica()).speculation_accepted_share, Reason.METRICS_MISSING)
    assert told == "no series of sglang:spec_accept_rate"


def test_hits_of_prefixes_may_be_a_gauge() -> None:
    gauges = {"prefix_hit_share": a_gauge(0.3)}
    uncounted = a_replica(gauges=gauges, rates={"prefix_hits": None, "prefix_queries": None})
    assert value(of(Engine.VLLM, uncounted, "0.8.5").prefix_cache_hit_share) == 0.3
    assert value(of(Engine.VLLM, a_replica(gauges=gauges)).prefix_cache_hit_share) == 0.25  # 500 of 2,000 tokens


def test_shares_are_of_all_replicas_together() -> None:
    drafts = {"draft_tokens": 100.0, "accepted_tokens": 60.0, "prefix_hits": 1500.0}
    metrics = look(a_replica(), a_replica("p-2", rates=drafts))
    assert value(metrics.prefix_cache_hit_share) == 0.5  # 2,000 of 4,000
    assert value(metrics.speculation_accepted_share) == 0.6
    assert value(metrics.failed_requests_share) == pytest.approx(0.025)  # 0.06 + 0.04 of 4


def test_how_requests_ended_is_not_known_where_they_are_not_split() -> None:
    found = look(a_replica(splits={"requests": None})).failed_requests_share
    assert "how its requests ended" in missing(found, Reason.NOT_EXPOSED)


def test_more_hits_than_lookups_are_contradictory() -> None:
    found = look(a_replica(rates={"prefix_hits": 2001.0})).prefix_cache_hit_share
    assert "no share" in missing(found, Reason.METRICS_CONTRADICTORY)


@pytest.mark.parametrize(
    ("key", "sample", "fields"),
    [
        ("running", -5.0, ("num_requests_running", "num_requests_running_peak")),
        ("waiting", -5.0, ("num_requests_waiting", "num_requests_waiting_peak")),
        ("waiting_by_reason", -5.0, ("waiting_for_capacity",)),
        ("kv_usage", 1.5, ("kv_cache_usage", "kv_cache_usage_mean", "kv_cache_usage_p99")),
        ("kv_tokens", -1.0, ("kv_cache_tokens",)),
        ("requests", -1.0, ("requests_per_second", "arrivals_per_second", "failed_requests_share")),
        ("prefix_queries", -1.0, ("prefix_cache_hit_share",)),
        ("prefix_hits", -1.0, ("prefix_cache_hit_share",)),
        ("step_tokens", -1.0, ("tokens_per_step", "tokens_per_step_p95")),
        ("process_start", -3.0, ("uptime_seconds",)),
    ],
)
def test_an_impossible_sample_of_one_replica_is_not_averaged_away(
    key: str, sample: float, fields: tuple[str, ...]
) -> None:
    metrics = look(a_replica(), a_replica("p-2", impossible={key: sample}))
    for field in fields:
        told = missing(getattr(metrics, field), Reason.METRICS_CONTRADICTORY)
        assert f" of p-2: a sample is {sample:g}, which is no {'share' if key == 'kv_usage' else 'measured'}" in told
    others = [name for name in METRIC_FIELDS if name not in fields and "gpu" not in name and "specul" not in name]
    assert all(isinstance(getattr(metrics, name), Measured) for name in others)


def test_a_share_above_1_of_one_replica_is_not_averaged_away() -> None:
    busy = {"gpu_memory_busy": a_gauge(0.2)}
    metrics = look(a_replica(gauges=busy), a_replica("p-2", gauges={"gpu_memory_busy": a_gauge(1.5)}))
    assert "is 1.5, which is no share" in missing(metrics.gpu_memory_busy_share, Reason.METRICS_CONTRADICTORY)


def test_a_replica_with_an_impossible_sample_is_not_compared_by_it() -> None:
    keys = ("running", "waiting", "kv_usage", "requests", "decode_tokens", "ttft", "itl")
    odd = a_replica(impossible=dict.fromkeys(keys, -1.0))
    (found,) = reduce(readings(odd), NAMES, ()).replica_metrics
    assert found == ReplicaMetrics("p-1", uptime_seconds=7200.0)


def test_a_cache_that_nobody_asked_is_told_apart_from_an_idle_engine() -> None:
    unasked = {"prefix_queries": 0.0, "prefix_hits": 0.0}
    told = missing(look(a_replica(rates=unasked)).prefix_cache_hit_share, Reason.METRICS_MISSING)
    assert "although requests finished" in told
    missing(look(a_replica(rates={**unasked, "requests": 0.0})).prefix_cache_hit_share, Reason.IDLE)


def test_capacity_is_that_of_the_smallest_replica() -> None:
    tokens = look(a_replica(), a_replica("p-2", kv_cache_tokens=1440.0)).kv_cache_tokens
    assert value(tokens) == 1440
    assert isinstance(tokens, Measured)
    assert tokens.window_seconds is None


def test_schedulers_of_a_replica_are_counted_where_its_series_tell_them() -> None:
    ranks = look(a_replica(ranks=4), a_replica("p-2", ranks=2)).data_parallel_ranks
    assert (value(ranks), isinstance(ranks, Measured) and ranks.unit) == (3, "ranks")
    assert "tells schedulers apart" in missing(look(a_replica(ranks=None)).data_parallel_ranks, Reason.METRICS_MISSING)


@pytest.mark.parametrize("tokens", [None, 0.0])
def test_capacity_that_is_not_reported_is_missing(tokens: float | None) -> None:
    found = look(a_replica(kv_cache_tokens=tokens)).kv_cache_tokens
    assert "does not report" in missing(found, Reason.METRICS_MISSING)


@pytest.mark.parametrize(
    ("labels", "tokens"),
    [
        ({"num_gpu_blocks": "10", "block_size": "16"}, 160),
        ({"num_gpu_blocks": "10", "block_size": "16", "effective_attention_block_size": "128"}, 1280),
        ({"num_gpu_blocks": "10", "block_size": "16", "effective_attention_block_size": "None"}, 160),
        ({"num_gpu_blocks": "10", "block_size": "16", "kv_cache_size_tokens": "80"}, 80),
        ({}, None),
        ({"num_gpu_blocks": "None", "block_size": "16"}, None),
        ({"num_gpu_blocks": "0", "block_size": "16"}, None),
        ({"num_gpu_blocks": "9" * 13, "block_size": "16"}, None),
        ({"num_gpu_blocks": "²", "block_size": "16"}, None),
        ({"kv_cache_size_tokens": "1" + "0" * 12}, None),
    ],
)
def test_a_caches_labels_give_its_tokens(labels: dict[str, str], tokens: int | None) -> None:
    assert cache_tokens(labels) == tokens
    assert set(labels) <= set(CACHE_LABELS)


def test_means_are_sums_over_counts_of_all_requests_in_milliseconds() -> None:
    slow = a_histogram((0.1, 0), (0.25, 0), (0.5, 1200), total=480)
    metrics = look(a_replica(), a_replica("p-2", histograms={"ttft": slow}))
    own = 1800 * 0.05 + 1440 * 0.175 + 360 * 0.375  # 477 s of 3,600 requests
    assert value(metrics.ttft_mean_milliseconds) == pytest.approx((own + 480) / 4800 * 1000)
    assert value(metrics.itl_mean_milliseconds) == pytest.approx(17.5)
    assert value(metrics.prompt_tokens_mean) == pytest.approx(550)
    assert value(metrics.tokens_per_step) == pytest.approx((30_000 * 4 + 6_000 * 12) / 36_000)


def test_percentiles_come_with_the_bounds_of_their_bucket() -> None:
    found = look(a_replica()).ttft_p95_milliseconds
    assert isinstance(found, Measured)
    assert found.value == pytest.approx(375)  # 3,420 of 3,600: half of the 360 between 250 and 500 ms
    assert (found.low, found.high) == (250, 500)


def test_a_percentile_in_the_last_bucket_is_only_bounded() -> None:
    found = look(a_replica(histograms={"prompt_tokens": a_histogram((500, 10), above=90)})).prompt_tokens_p50
    assert found == Missing(
        Reason.ABOVE_LAST_BUCKET, "p50 lies above 500 tokens, the histogram's last bound", at_least=500
    )


def test_the_longest_request_is_bounded_by_the_highest_bucket_that_holds_one() -> None:
    metrics = look(a_replica(histograms={"prompt_tokens": a_histogram((500, 10), (1000, 2), (2000, 0))}))
    longest = metrics.prompt_tokens_max
    assert isinstance(longest, Measured)
    assert (longest.value, longest.low, longest.high) == (1000, 500, 1000)
    beyond = look(a_replica(histograms={"generation_tokens": a_histogram((500, 10), above=1)})).generation_tokens_max
    assert "above 500 tokens" in missing(beyond, Reason.ABOVE_LAST_BUCKET)


def test_a_target_is_measured_and_so_is_the_share_that_misses_it() -> None:
    slos = (an.slo(SLOMetric.TTFT, 95, 250), an.slo(SLOMetric.TTFT, 50, 175), an.slo(SLOMetric.TPOT, 50))
    metrics = look(a_replica(), slos=slos)
    exact, between, absent = (missed for _, missed in metrics.slo_missed_share)
    assert value(dict(metrics.slo_milliseconds)["ttft p95"]) == pytest.approx(375)
    assert isinstance(exact, Measured)
    assert (exact.value, exact.low, exact.high) == pytest.approx((0.1, 0.1, 0.1))  # 360 of 3,600; 250 ms is a bound
    assert isinstance(between, Measured)
    assert (between.value, between.low, between.high) == pytest.approx((0.3, 0.1, 0.5))
    missing(absent, Reason.METRICS_MISSING)


def test_a_target_above_the_last_bound_is_measured_only_if_all_lie_below() -> None:
    slo = an.slo(SLOMetric.E2E, 95, 60_000)
    slow = a_replica(histograms={"e2e": a_histogram((2.5, 10), above=5)})
    assert value(dict(look(a_replica(), slos=(slo,)).slo_missed_share)["e2e p95"]) == 0
    missing(dict(look(slow, slos=(slo,)).slo_missed_share)["e2e p95"], Reason.ABOVE_LAST_BUCKET)


def test_count_and_sum_alone_give_a_mean_and_no_percentile() -> None:
    metrics = look(a_replica(histograms={"ttft": Histogram(10, 2.0)}), slos=(an.slo(SLOMetric.TTFT),))
    assert value(metrics.ttft_mean_milliseconds) == 200
    assert "no buckets" in missing(metrics.ttft_p99_milliseconds, Reason.METRICS_MISSING)
    assert "no buckets" in missing(dict(metrics.slo_missed_share)["ttft p95"], Reason.METRICS_MISSING)


def test_an_idle_instance_has_load_but_no_latency() -> None:
    quiet = {key: a_histogram((1, 0)) for key in HISTOGRAMS}
    idle = a_replica(gauges={"running": a_gauge(0)}, rates={"requests": 0.0}, histograms=quiet)
    idle = replace(idle, splits={"requests": {"stop": 0.0}})
    metrics = look(idle, slos=SLOS)
    assert value(metrics.num_requests_running) == 0
    assert value(metrics.requests_per_second) == 0
    for name in ("itl_p99_milliseconds", "prompt_tokens_mean", "tokens_per_step", "failed_requests_share"):
        assert "no request finished" in missing(getattr(metrics, name), Reason.IDLE)
    assert {entry.code for _, entry in metrics.slo_missed_share if isinstance(entry, Missing)} == {Reason.IDLE}


def test_one_idle_replica_takes_nothing_from_the_others_latencies() -> None:
    idle = a_replica("p-2", histograms={"ttft": a_histogram((0.1, 0), (0.25, 0), (0.5, 0))})
    assert look(a_replica(), idle).ttft_p50_milliseconds == look(a_replica()).ttft_p50_milliseconds


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, -1.0])
def test_no_number_never_becomes_a_measurement(odd: float) -> None:
    odd_replica = a_replica(
        "p-2",
        gauges=dict.fromkeys(GAUGES, Gauge(odd, odd, odd)),
        rates=dict.fromkeys(COUNTERS, odd),
        splits={key: {"abort": odd, "capacity": odd} for key in SPLITS},
        histograms=dict.fromkeys(HISTOGRAMS, Histogram(odd, odd, ((1.0, odd), (math.inf, odd)))),
        kv_cache_tokens=odd,
        uptime_seconds=odd,
    )
    found = reduce(readings(a_replica(), odd_replica), NAMES, SLOS)
    assert set(found.metrics.measured()) == {"restarts", "data_parallel_ranks"}
    assert found.replica_metrics[1] == ReplicaMetrics("p-2")
    told = {entry.code for name in METRIC_FIELDS if isinstance(entry := getattr(found.metrics, name), Missing)}
    assert told == {Reason.METRICS_CONTRADICTORY, Reason.METRICS_MISSING}  # missing: speculation and GPUs


@pytest.mark.parametrize("odd", [30.0, 1.1])
def test_a_cache_use_that_is_no_share_is_contradictory(odd: float) -> None:
    metrics = look(a_replica(gauges={"kv_usage": a_gauge(odd, odd, odd)}))
    for found in (metrics.kv_cache_usage, metrics.kv_cache_usage_mean, metrics.kv_cache_usage_p99):
        assert "which is no share" in missing(found, Reason.METRICS_CONTRADICTORY)


def test_a_cache_use_above_one_by_rounding_is_one() -> None:
    assert value(look(a_replica(gauges={"kv_usage": a_gauge(1.0000000002)})).kv_cache_usage) == 1


def test_a_contradictory_histogram_is_told_with_its_replica() -> None:
    falling = Histogram(5, 1, ((0.1, 5.0), (0.25, 3.0), (math.inf, 5.0)))
    metrics = look(a_replica(), a_replica("p-2", histograms={"ttft": falling}), slos=SLOS)
    told = missing(metrics.ttft_mean_milliseconds, Reason.METRICS_CONTRADICTORY)
    assert told.endswith("of p-2: a bucket holds less than the one below it")
    missing(dict(metrics.slo_milliseconds)["ttft p95"], Reason.METRICS_CONTRADICTORY)


def test_requests_that_took_no_time_are_contradictory_and_answers_of_no_token_are_not() -> None:
    nothing = Histogram(5, 0.0)
    metrics = look(a_replica(histograms={"itl": nothing, "generation_tokens": nothing}))
    missing(metrics.itl_mean_milliseconds, Reason.METRICS_CONTRADICTORY)
    assert value(metrics.generation_tokens_mean) == 0


def test_uptime_is_that_of_the_youngest_and_restarts_those_of_all() -> None:
    metrics = look(a_replica(restarts=1), a_replica("p-2", uptime_seconds=60.0, restarts=2))
    assert value(metrics.uptime_seconds) == 60
    assert value(metrics.restarts) == 3
    missing(look(a_replica(uptime_seconds=None)).uptime_seconds, Reason.METRICS_MISSING)


def test_gpus_busy_shares_come_with_the_dcgm_exporter() -> None:
    metrics = look(a_replica(gauges={"gpu_memory_busy": a_gauge(0.8), "gpu_tensor_busy": a_gauge(0.2)}))
    assert value(metrics.gpu_memory_busy_share) == 0.8
    assert value(metrics.gpu_tensor_busy_share) == 0.2
    assert "DCGM" in missing(look(a_replica()).gpu_memory_busy_share, Reason.METRICS_MISSING)


def test_no_replica_is_a_problem() -> None:
    found = reduce(readings(), NAMES, (an.slo(),))
    assert found.problem == Missing(Reason.METRICS_MISSING, "no series of vllm:num_requests_running")
    assert found.metrics.measured() == {}
    assert [name for name, _ in found.metrics.slo_milliseconds] == ["itl p95"]
    assert [name for name, _ in found.metrics.slo_missed_share] == ["itl p95"]


def test_replicas_without_any_series_are_a_problem_too() -> None:
    found = reduce(readings(ReplicaReadings("p-1", 900.0, uptime_seconds=5.0)), NAMES, ())
    assert problem(found).code is Reason.METRICS_MISSING


@pytest.mark.parametrize("age", [151.0, math.nan, math.inf])
def test_old_samples_are_stale(age: float) -> None:
    found = problem(reduce(readings(a_replica(age_seconds=age)), NAMES, ()))
    assert found == Missing(Reason.METRICS_STALE, "the newest sample is older than 150 s")


@pytest.mark.parametrize("age", [-61.0, -math.inf])
def test_samples_of_the_future_are_stale_because_a_clock_is_wrong(age: float) -> None:
    found = problem(reduce(readings(a_replica(age_seconds=age)), NAMES, ()))
    assert found.code is Reason.METRICS_STALE
    assert "in the future: a clock is wrong" in found.reason
    assert value(look(a_replica(age_seconds=-59.0)).num_requests_running) == 8


def test_one_fresh_replica_is_enough_and_the_stale_one_is_left_out() -> None:
    stale = a_replica("p-2", gauges={"running": a_gauge(100)}, age_seconds=151.0)
    found = reduce(readings(a_replica(age_seconds=149.0), stale), NAMES, ())
    assert found.problem is None
    assert found.replicas == 1
    assert value(found.metrics.num_requests_running) == 8
    assert [entry.name for entry in found.replica_metrics] == ["p-1"]
    assert found.notes == ("replica p-2 is left out: the newest sample is older than 150 s",)


def test_too_little_history_is_missing() -> None:
    found = problem(reduce(readings(a_replica(seconds=41.7)), NAMES, ()))
    assert found == Missing(Reason.METRICS_MISSING, "only 41 s of data, at least 45 s are needed")
    assert reduce(readings(a_replica(seconds=45.0)), NAMES, ()).problem is None
    assert reduce(readings(a_replica(seconds=41.7)), NAMES, (), history_min_seconds=10).problem is None


@pytest.mark.parametrize("odd", [math.nan, math.inf, -1.0])
def test_what_is_no_time_covers_nothing(odd: float) -> None:
    assert reduce(readings(a_replica(seconds=odd)), NAMES, ()).problem is not None
    assert reduce(readings(a_replica(seconds=odd), a_replica("p-2")), NAMES, ()).problem is None
    found = reduce(readings(a_replica(seconds=odd)), NAMES, (), history_min_seconds=0).metrics.requests_per_second
    assert isinstance(found, Measured)
    assert found.window_seconds == 1


def test_one_page_has_gauges_and_no_rates() -> None:
    page = a_replica(seconds=None, rates=dict.fromkeys(COUNTERS), histograms=dict.fromkeys(HISTOGRAMS))
    page = replace(page, splits={"waiting_by_reason": {"capacity": 2.0}})
    metrics = look(page, slos=(an.slo(),), window_seconds=0)
    running = metrics.num_requests_running
    assert isinstance(running, Measured)
    assert (running.value, running.window_seconds) == (8, None)
    for found in (metrics.requests_per_second, metrics.restarts, metrics.ttft_p50_milliseconds):
        assert "one page gives no rates" in missing(found, Reason.METRICS_MISSING)
    assert "one page" in missing(dict(metrics.slo_milliseconds)["itl p95"], Reason.METRICS_MISSING)


def test_the_window_is_the_time_that_was_really_covered() -> None:
    metrics = look(a_replica(seconds=600.4), a_replica("p-2", seconds=300.0))
    assert isinstance(metrics.requests_per_second, Measured)
    assert metrics.requests_per_second.window_seconds == 600
    lifetime = look(a_replica(seconds=86_400.0))
    assert isinstance(lifetime.num_requests_running, Measured)
    assert isinstance(lifetime.requests_per_second, Measured)
    assert lifetime.num_requests_running.window_seconds == 900  # what was asked for
    assert lifetime.requests_per_second.window_seconds == 86_400


def test_every_measurement_says_its_source_and_age() -> None:
    metrics = look(a_replica(age_seconds=20.0), a_replica("p-2", age_seconds=5.0), slos=SLOS)
    for name, measured in metrics.measured().items():
        assert "vllm:" in measured.source or measured.source == "process_start_time_seconds", name
        assert measured.age_seconds == 5.0


def test_a_query_becomes_evidence_as_promql_and_a_page_in_plain_words() -> None:
    promql = look(a_replica(), sources={"ttft": QUERY}).ttft_p95_milliseconds
    plain = look(a_replica(), sources={"ttft": "vllm:time_to_first_token_seconds, between two pages"})
    assert isinstance(promql, Measured)
    assert promql.source == f"histogram_quantile(0.95, sum by (le) ({QUERY}))"
    assert isinstance(plain.ttft_p95_milliseconds, Measured)
    assert plain.ttft_p95_milliseconds.source == "p95 of vllm:time_to_first_token_seconds, between two pages"


def test_replicas_are_told_apart() -> None:
    slow = a_replica("p-2", gauges={"running": a_gauge(32), "kv_usage": a_gauge(0.8, 0.99)}, uptime_seconds=60.0)
    found = reduce(readings(a_replica(), slow), NAMES, ())
    assert found.replicas == 2
    first, second = (astuple(entry) for entry in found.replica_metrics)
    assert first == ("p-1", *map(pytest.approx, (8, 2, 0.7, 4, 132.5, 17.5, 7200, 400, 0.025)))  # (0.06 + 0.04) / 4
    assert second == ("p-2", *map(pytest.approx, (32, 2, 0.99, 4, 132.5, 17.5, 60, 400, 0.025)))


@pytest.mark.parametrize("ends", [None, {"stop": 0.0}, {"stop": 1.0, "abort": -3.0}])
def test_how_a_replicas_requests_ended_is_not_known_where_it_does_not_say(ends: dict[str, float] | None) -> None:
    (found,) = reduce(readings(a_replica(splits={"requests": ends})), NAMES, ()).replica_metrics
    assert found.failed_requests_share is None


def test_metrics_of_a_problem_are_all_missing_for_it() -> None:
    found = reduce(readings(a_replica(age_seconds=1e4)), NAMES, SLOS)
    plain = [getattr(found.metrics, name) for name in METRIC_FIELDS]
    by_target = [entry for _, entry in (*found.metrics.slo_milliseconds, *found.metrics.slo_missed_share)]
    assert {entry.code for entry in (*plain, *by_target)} == {Reason.METRICS_STALE}
    assert len(by_target) == 8


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
OPTIONAL = st.none() | NUMBERS
GAUGE = st.builds(Gauge, NUMBERS, NUMBERS, OPTIONAL)
HISTOGRAM = st.builds(Histogram, NUMBERS, NUMBERS, st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4).map(tuple))
REPLICA = st.builds(
    ReplicaReadings,
    name=st.sampled_from(["p-1", "p-2"]),
    seconds=OPTIONAL,
    age_seconds=st.just(0.0) | NUMBERS,
    uptime_seconds=OPTIONAL,
    restarts=st.integers(0, 5),
    gauges=st.dictionaries(st.sampled_from(GAUGES), GAUGE),
    rates=st.dictionaries(st.sampled_from(COUNTERS), NUMBERS),
    splits=st.dictionaries(
        st.sampled_from(tuple(SPLITS)), st.dictionaries(st.sampled_from(["abort", "stop", "capacity"]), NUMBERS)
    ),
    histograms=st.dictionaries(st.sampled_from(HISTOGRAMS), HISTOGRAM, max_size=3),
    kv_cache_tokens=OPTIONAL,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(REPLICA, max_size=3))
def test_any_readings_give_measurements_that_can_be_true(replicas: list[ReplicaReadings]) -> None:
    found = reduce(readings(*replicas), NAMES, SLOS, history_min_seconds=0).metrics
    named = [(entry.name, getattr(found, entry.name)) for entry in fields(found) if entry.name in METRIC_FIELDS]
    for name, entry in (*named, *found.slo_milliseconds, *found.slo_missed_share):
        if not isinstance(entry, Measured):
            assert entry.reason
            continue
        assert 0 <= entry.value < math.inf, name
        assert not name.endswith("_share") or entry.value <= 1
        if entry.low is not None and entry.high is not None:
            assert entry.low <= entry.value <= entry.high
