"""Text of an engine's /metrics page → readings."""

import math
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from inferplan.api.instance import InstanceSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.readings import Gauge, Histogram, Readings, ReplicaReadings
from inferplan.engine.planner import plan
from inferplan.observe.assemble import Sources, assemble, policy_of
from inferplan.observe.exposition import PAGE_MAX_CHARACTERS, parse_scrape, readings_of
from inferplan.observe.metric_names import metric_names
from inferplan.observe.reduce import reduce
from inferplan.observe.scrape import Scrape, ScrapeError

FULL = """\
# HELP vllm:num_requests_running Requests in a batch.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 15.0
vllm:num_requests_waiting{engine="0",model_name="m"} 24.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 20.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="deferred"} 4.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 1.0
vllm:num_preemptions_total{engine="0",model_name="m"} 48.0
vllm:num_preemptions_created{engine="0",model_name="m"} 1.795e+09
vllm:request_success_total{engine="0",finished_reason="stop"} 30.0
vllm:request_success_total{engine="0",finished_reason="length"} 10.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.01"} 0.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.02"} 90.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.04"} 100.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf"} 100.0
vllm:inter_token_latency_seconds_count{engine="0"} 100.0
vllm:inter_token_latency_seconds_sum{engine="0"} 1.5
vllm:cache_config_info{block_size="128",num_gpu_blocks="64",engine="0"} 1.0
python_gc_objects_collected_total{generation="0"} 13970.0
process_start_time_seconds 1000.0
"""
NAMES = metric_names(Engine.VLLM, "0.33.0")
AT_1100 = "# scraped-at: 1970-01-01T00:18:20Z\n"  # 1100 s after the epoch, 100 s after the start
AT_1200 = "# scraped-at: 1970-01-01T00:20:00+00:00\n"
AT_1300 = "# scraped-at: 1970-01-01T00:21:40Z\n"
PREEMPTIONS = 'preemptions_total{engine="0",model_name="m"} 48.0'


def pages(*texts: str) -> tuple[Scrape, ...]:
    return tuple(parse_scrape(text) for text in texts)


def read(*texts: str, interval: float | None = None, engine: Engine = Engine.VLLM, **options: Any) -> ReplicaReadings:
    (replica,) = readings_of(engine, {"p-1": pages(*texts)}, interval, **options).replicas
    return replica


def preempted(number: float) -> str:
    return FULL.replace(PREEMPTIONS, PREEMPTIONS.replace("48.0", str(number)))


def second_engine(page: str = FULL) -> str:
    return "".join(f"{line}\n" for line in page.replace('engine="0"', 'engine="1"').splitlines() if "engine" in line)


def test_one_page_gives_the_gauges_of_the_moment() -> None:
    found = read(FULL)
    assert found.gauges == {"running": Gauge(15, 15), "waiting": Gauge(24, 24), "kv_usage": Gauge(1, 1)}
    assert found.split("waiting_by_reason") == {"capacity": 20, "deferred": 4}
    assert found.kv_cache_tokens == 8192  # 64 blocks x 128 tokens
    assert found.cache_labels["block_size"] == "128"
    assert found.name == "p-1"


def test_one_page_gives_no_rates() -> None:
    found = read(FULL)
    assert found.seconds is None
    assert (found.rates, found.histograms, dict(found.split("requests"))) == ({}, {}, {})
    assert readings_of(Engine.VLLM, {"p-1": pages(FULL)}).window_seconds == 0


def test_one_page_that_says_its_time_gives_rates_since_the_process_started() -> None:
    both = readings_of(Engine.VLLM, {"p-1": pages(AT_1100 + FULL)})
    (found,) = both.replicas
    assert (found.seconds, found.uptime_seconds, found.restarts) == (100, 100, 0)
    assert found.rates == pytest.approx({"preemptions": 0.48, "requests": 0.4})  # 48, and 30 + 10, in 100 s
    assert found.split("requests") == pytest.approx({"stop": 0.3, "length": 0.1})
    assert both.sources["preemptions"] == "vllm:num_preemptions_total, since the process started"
    assert both.sources["running"] == "vllm:num_requests_running"
    assert read(AT_1100 + FULL, since_start=False).seconds is None


def test_a_single_page_beside_a_replica_with_two_gives_no_rates() -> None:
    both = {"p-1": pages(AT_1100 + FULL, AT_1200 + FULL), "p-2": pages(AT_1200 + FULL)}
    assert [replica.seconds for replica in readings_of(Engine.VLLM, both).replicas] == [100, None]


def test_two_pages_give_rates_over_the_time_between() -> None:
    both = readings_of(Engine.VLLM, {"p-1": pages(AT_1100 + FULL, AT_1200 + preempted(98))})
    (found,) = both.replicas
    assert both.window_seconds == 100
    assert found.rates == pytest.approx({"preemptions": 0.5, "requests": 0.0})  # 50 in 100 s
    assert found.histograms["itl"].count == 0
    assert found.uptime_seconds == 200
    assert both.sources["preemptions"] == "vllm:num_preemptions_total, between two pages"
    assert both.sources["running"] == "vllm:num_requests_running, two pages"
    assert both.sources["process_start"] == "process_start_time_seconds"


def test_the_time_between_pages_can_be_given() -> None:
    assert read(FULL, preempted(58), interval=20).rates["preemptions"] == pytest.approx(0.5)  # 10 in 20 s
    three = read(AT_1100 + FULL, FULL, preempted(58), interval=20)
    assert three.rates["preemptions"] == pytest.approx(0.25)  # 10 in 40 s
    assert three.seconds == 40


def test_what_pages_say_of_their_time_comes_before_what_is_given() -> None:
    assert read(AT_1100 + FULL, AT_1200 + preempted(98), interval=95).seconds == 100


def test_gauges_of_several_pages_have_mean_and_peak() -> None:
    later = FULL.replace('running{engine="0",model_name="m"} 15.0', 'running{engine="0",model_name="m"} 18.0')
    later = later.replace('usage_perc{engine="0",model_name="m"} 1.0', 'usage_perc{engine="0",model_name="m"} 0.4')
    found = read(FULL, FULL, later, interval=20)
    assert found.gauges["running"] == Gauge(16, 18)
    assert found.gauges["kv_usage"] == Gauge(pytest.approx(0.8), 1)  # type: ignore[arg-type]


def test_a_histogram_is_what_was_seen_between_the_pages() -> None:
    later = FULL.replace('le="0.04"} 100', 'le="0.04"} 120').replace('le="+Inf"} 100', 'le="+Inf"} 130')
    later = later.replace('seconds_count{engine="0"} 100', 'seconds_count{engine="0"} 130').replace("} 1.5", "} 4.5")
    found = read(FULL, later, interval=20).histograms["itl"]
    assert found == Histogram(30, 3, ((0.01, 0), (0.02, 0), (0.04, 20), (math.inf, 30)))


def test_names_of_old_releases_are_found_and_the_newest_counts() -> None:
    page = FULL.replace("kv_cache_usage_perc", "gpu_cache_usage_perc")
    page = page.replace("inter_token_latency_seconds", "time_per_output_token_seconds")
    found = read(AT_1100 + page)
    assert found.gauges["kv_usage"].peak == 1
    assert found.histograms["itl"].count == 100
    assert read(FULL + "vllm:gpu_cache_usage_perc 0.5\n").gauges["kv_usage"].peak == 1


def test_schedulers_on_a_page_are_one_replica() -> None:
    second = second_engine().replace(" 15.0", " 5.0").replace('num_gpu_blocks="64"', 'num_gpu_blocks="32"')
    second = second.replace('usage_perc{engine="1",model_name="m"} 1.0', 'usage_perc{engine="1",model_name="m"} 0.2')
    found = read(AT_1100 + FULL + second)
    assert found.ranks == 2
    assert found.gauges["running"] == Gauge(20, 20)
    assert found.gauges["kv_usage"] == Gauge(1, 1)  # the fuller one
    assert found.rates["preemptions"] == pytest.approx(0.96)
    assert found.histograms["itl"].count == 200
    assert found.kv_cache_tokens == 96 * 128
    assert found.split("waiting_by_reason") == {"capacity": 40, "deferred": 8}


def test_a_cache_whose_size_one_scheduler_does_not_say_has_none() -> None:
    second = second_engine().replace('num_gpu_blocks="64"', 'num_gpu_blocks="None"')
    assert read(FULL + second).kv_cache_tokens is None


def test_a_restart_that_the_process_tells_is_mended() -> None:
    restarted = preempted(60).replace("seconds 1000.0", "seconds 1150.0")
    found = read(AT_1100 + FULL, AT_1200 + restarted)
    assert found.restarts == 1
    assert found.rates["preemptions"] == pytest.approx(0.6)  # 60 since the start, not 12
    assert found.histograms["itl"].count == 100
    assert found.uptime_seconds == 50


@pytest.mark.parametrize("start", [990.0, 700.0, 1050.0, 1085.0])
def test_pages_of_two_processes_are_no_restart(start: float) -> None:
    """A Service in front of two pods: the other one had started before the first page was taken, at 1100."""
    other = FULL.replace("seconds 1000.0", f"seconds {start}")
    with pytest.raises(ScrapeError, match="the pages are of different processes"):
        read(AT_1100 + FULL, AT_1200 + other)
    with pytest.raises(ScrapeError, match="the pages are of different processes"):
        read(FULL, AT_1200 + other, interval=100)


def test_a_clock_may_be_seconds_off() -> None:
    other = FULL.replace("seconds 1000.0", "seconds 1095.0")
    assert read(AT_1100 + FULL, AT_1200 + other).restarts == 1


def test_without_times_a_restart_is_not_told_from_another_process() -> None:
    with pytest.raises(ScrapeError, match="only with a line"):
        read(FULL, FULL.replace("seconds 1000.0", "seconds 1150.0"), interval=100)


@pytest.mark.parametrize("start", ["-3", "0", "NaN", "+Inf", "1e300", "5000"])
def test_an_impossible_start_is_not_known(start: str) -> None:
    odd = preempted(98).replace("seconds 1000.0", f"seconds {start}")
    found = read(AT_1100 + FULL, AT_1200 + odd)
    assert (found.restarts, found.uptime_seconds, found.rates["preemptions"]) == (0, None, 0.5)


def test_a_counter_that_falls_started_again() -> None:
    three = (AT_1100 + preempted(48), AT_1200 + preempted(3), AT_1300 + preempted(10))
    found = read(*three)
    assert found.rates["preemptions"] == pytest.approx(10 / 200)
    assert found.restarts == 1


def test_a_histogram_of_which_a_bucket_falls_started_again_as_a_whole() -> None:
    slow = FULL.replace('le="0.02"} 90', 'le="0.02"} 10').replace('le="0.04"} 100', 'le="0.04"} 150')
    slow = slow.replace('le="+Inf"} 100', 'le="+Inf"} 150').replace('count{engine="0"} 100', 'count{engine="0"} 150')
    found = read(FULL, slow, interval=20)
    assert found.histograms["itl"] == Histogram(150, 1.5, ((0.01, 0), (0.02, 10), (0.04, 150), (math.inf, 150)))
    assert found.restarts == 1


def test_a_series_that_appears_with_its_first_event_counts_from_zero() -> None:
    later = FULL + 'vllm:request_success_total{engine="0",finished_reason="error"} 20.0\n'
    found = read(FULL, later, interval=20)
    assert found.split("requests") == {"stop": 0, "length": 0, "error": 1}
    assert found.rates["requests"] == 1
    between = read(FULL, FULL.replace("num_preemptions_total", "x"), FULL, interval=20)
    assert between.rates["preemptions"] == 0  # it was only not told for a while


CREATED = 'vllm:num_preemptions_created{{engine="0",model_name="m"}} {}\n'
"""When the counter of preemptions was created."""


def preemptions_that_came(page: str, *, created: float | None = None, end: bool = True) -> Readings:
    """Of a page and one 100 s later that has the counter of preemptions, at 48, and what may stand behind it."""
    without = FULL.replace(CREATED.format("1.795e+09"), "")
    later = (
        without if created is None else without.replace(f"{PREEMPTIONS}\n", f"{PREEMPTIONS}\n{CREATED.format(created)}")
    )
    later = later if end else later.partition("vllm:request_success_total")[0]
    return readings_of(Engine.VLLM, {"p-1": pages(AT_1100 + page, AT_1200 + later)})


CUT_AT_A_LINE = FULL.partition("vllm:num_preemptions_total")[0]


@pytest.mark.parametrize(
    ("page", "created", "end", "rate"),
    [
        (FULL.replace("num_preemptions_total", "x"), None, True, 0.48),  # what follows it was there
        (CUT_AT_A_LINE, None, True, None),
        (CUT_AT_A_LINE, 1001.0, True, None),
        (FULL.replace("num_preemptions_total", "x"), 1001.0, True, None),
        (CUT_AT_A_LINE, 1150.0, True, 0.48),
        (CUT_AT_A_LINE, 1150.0, False, 0.48),
        (CUT_AT_A_LINE, None, False, None),  # nothing follows it that the first page could have
        (second_engine(), None, False, 0.48),  # another scheduler's was there
        (second_engine(), 1001.0, False, None),
    ],
)
def test_a_series_counts_from_zero_only_if_it_was_not_there_before(
    page: str, created: float | None, end: bool, rate: float | None
) -> None:
    (found,) = preemptions_that_came(page, created=created, end=end).replicas
    assert found.rates.get("preemptions") == rate


def test_a_page_that_is_cut_off_between_two_lines_is_noted_and_what_it_lacks_not_told() -> None:
    found = preemptions_that_came(CUT_AT_A_LINE, created=1001.0)
    (replica,) = found.replicas
    assert (replica.rates, replica.histograms, replica.restarts) == ({}, {}, 0)
    assert replica.gauges["running"].mean == 15
    told = (
        "p-1: one of its pages lacks vllm:inter_token_latency_seconds and 2 others, so what they counted is not known"
    )
    assert found.notes == (told,)


def test_what_the_last_page_lacks_did_not_stand_still() -> None:
    found = readings_of(Engine.VLLM, {"p": pages(AT_1100 + FULL, AT_1200 + preempted(98), AT_1300 + CUT_AT_A_LINE)})
    assert found.replicas[0].rates == {}
    assert len(found.notes) == 1


def test_after_a_restart_all_counts_from_zero() -> None:
    new = FULL.replace("seconds 1000.0", "seconds 1150.0")
    assert (
        read(AT_1100 + CUT_AT_A_LINE + "process_start_time_seconds 1000.0\n", AT_1200 + new).rates["preemptions"]
        == 0.48
    )


def test_a_page_without_labels_of_schedulers_does_not_tell_how_many_there_are() -> None:
    assert read(AT_1100 + FULL).ranks == 1
    assert read("vllm:num_requests_running 8\nvllm:num_requests_waiting 0\n").ranks is None


def test_sglang_has_its_own_names_ranks_and_copies() -> None:
    rank = (
        'sglang:num_running_reqs{dp_rank="N",tp_rank="0"} 8\nsglang:num_running_reqs{dp_rank="N",tp_rank="1"} 8\n'
        'sglang:num_queue_reqs{dp_rank="N",tp_rank="0"} 2\nsglang:token_usage{dp_rank="N",tp_rank="0"} 0.5\n'
        'sglang:max_total_num_tokens{dp_rank="N",tp_rank="0"} 999\n'
    )
    counters = 'sglang:prompt_tokens_total 100\nsglang:cached_tokens_total{cache_source="device"} 40\n'
    found = read(rank.replace("N", "0") + rank.replace("N", "1"), engine=Engine.SGLANG)
    assert found.ranks == 2
    assert found.gauges == {"running": Gauge(16, 16), "waiting": Gauge(4, 4), "kv_usage": Gauge(0.5, 0.5)}
    assert found.kv_cache_tokens == 1998
    rates = read(AT_1100 + counters + "process_start_time_seconds 1000\n", engine=Engine.SGLANG).rates
    assert rates == {"prefill_tokens": 1, "prefix_queries": 1, "prefix_hits": 0.4}


def test_tgi_has_its_own_names() -> None:
    page = "tgi_batch_current_size 3\ntgi_queue_size 1\ntgi_request_duration_count 5\ntgi_request_duration_sum 9\n"
    found = read(page, page.replace("count 5", "count 15").replace("sum 9", "sum 29"), interval=10, engine=Engine.TGI)
    assert found.gauges == {"running": Gauge(3, 3), "waiting": Gauge(1, 1)}
    assert found.histograms == {"e2e": Histogram(10, 20)}


V0 = """\
vllm:num_requests_running 8
vllm:num_requests_waiting 2
vllm:num_requests_swapped 40
vllm:gpu_prefix_cache_hit_rate 0.3
vllm:time_in_queue_requests_count 10
vllm:time_in_queue_requests_sum 5
"""


def test_the_first_engine_of_vllm_tells_what_waits_swapped_out() -> None:
    later = V0.replace("swapped 40", "swapped 45").replace("count 10", "count 12").replace("sum 5", "sum 9")
    found = read(V0, later, interval=10)
    assert found.gauges["swapped"] == Gauge(42.5, 45)
    assert found.gauges["prefix_hit_share"].mean == 0.3
    assert found.histograms["queue_time"] == Histogram(2, 4)
    assert found.growth == 5
    metrics = reduce(
        readings_of(Engine.VLLM, {"p": pages(V0, later)}, 10),
        metric_names(Engine.VLLM, "0.8.5"),
        (),
        history_min_seconds=10,
    ).metrics
    assert isinstance(metrics.num_requests_waiting, Measured)
    assert metrics.num_requests_waiting.value == 44.5


def test_a_prefix_cache_that_is_off_has_no_hits_to_tell() -> None:
    found = read(V0.replace("rate 0.3", "rate -1"))
    assert "prefix_hit_share" not in found.gauges
    assert found.impossible == {}
    assert read(V0.replace("rate 0.3", "rate -0.5")).impossible == {"prefix_hit_share": -0.5}


def test_retractions_of_old_sglang_are_counted() -> None:
    for name in ("num_retractions_sum", "total_retracted_reqs"):
        page = f"sglang:num_running_reqs 1\nsglang:{name} 4\n"
        found = read(page, page.replace(" 4", " 9"), interval=10, engine=Engine.SGLANG)
        assert found.rates == {"preemptions": 0.5}


def test_a_page_of_another_engine_has_nothing_and_names_what_was_looked_for() -> None:
    found = readings_of(Engine.SGLANG, {"p-1": pages(FULL)})
    problem = reduce(found, metric_names(Engine.SGLANG, None), ()).problem
    assert problem is not None
    assert problem.reason == "no series of sglang:num_running_reqs"


@pytest.mark.parametrize("odd", ["NaN", "+Inf", "-5"])
def test_no_possible_number_stays_what_it_is(odd: str) -> None:
    page = FULL.replace('usage_perc{engine="0",model_name="m"} 1.0', f'usage_perc{{engine="0"}} {odd}')
    found = read(FULL, page, FULL, interval=20).gauges["kv_usage"]
    assert str(found.peak) == ("nan" if odd == "NaN" else "inf" if odd == "+Inf" else "1.0")
    assert read(page.replace(" 48.0", f" {odd}"), page.replace(" 48.0", f" {odd}"), interval=20).rates


@pytest.mark.parametrize(
    ("series", "value", "key"),
    [
        ('num_requests_running{engine="0",model_name="m"} 15.0', "-5", "running"),
        ('num_requests_waiting_by_reason{engine="0",model_name="m",reason="deferred"} 4.0', "-1", "waiting_by_reason"),
        ('kv_cache_usage_perc{engine="0",model_name="m"} 1.0', "1.01", "kv_usage"),
        ('kv_cache_usage_perc{engine="0",model_name="m"} 1.0', "-0.1", "kv_usage"),
        (PREEMPTIONS, "-48.0", "preemptions"),
        ('request_success_total{engine="0",finished_reason="stop"} 30.0', "NaN", "requests"),
        ('inter_token_latency_seconds_bucket{engine="0",le="0.02"} 90.0', "-90", "itl"),
        ('inter_token_latency_seconds_sum{engine="0"} 1.5', "-Inf", "itl"),
        ('inter_token_latency_seconds_count{engine="0"} 100.0', "-1", "itl"),
    ],
)
def test_an_impossible_sample_on_one_of_several_pages_is_not_averaged_away(series: str, value: str, key: str) -> None:
    assert series in FULL
    odd = FULL.replace(series, f"{series.rpartition(' ')[0]} {value}")
    found = read(FULL, odd, FULL, interval=20)
    assert str(found.impossible) == str({key: float(value)})
    assert found.restarts == 0  # a counter that is below 0 has not started anew
    metrics = reduce(readings_of(Engine.VLLM, {"p": pages(FULL, odd, FULL)}, 30), NAMES, ()).metrics
    told = [entry for entry in vars(metrics).values() if isinstance(entry, Missing)]
    wrong = {entry.reason for entry in told if entry.code is Reason.METRICS_CONTRADICTORY}
    assert len(wrong) == 1
    assert f" of p: a sample is {float(value):g}, which is no " in wrong.pop()
    assert read(FULL, FULL, interval=20).impossible == {}


def test_an_impossible_sample_of_one_scheduler_is_not_added_away() -> None:
    odd = second_engine().replace('running{engine="1",model_name="m"} 15.0', 'running{engine="1",model_name="m"} -1')
    assert read(FULL + odd).impossible == {"running": -1}


def test_rounding_is_no_contradiction() -> None:
    page = FULL.replace('usage_perc{engine="0",model_name="m"} 1.0', 'usage_perc{engine="0"} 1.0000001')
    assert read(page, FULL, interval=20).impossible == {}


def test_several_models_on_a_page_are_an_error_unless_one_is_wanted() -> None:
    two = FULL + FULL.replace('model_name="m"', 'model_name="other"').replace(" 15.0", " 3.0")
    with pytest.raises(ScrapeError, match='several models, "m", "other", and which one is meant is not known'):
        read(two)
    with pytest.raises(ScrapeError, match='several models, "m", "other", but none of "third"'):
        read(two, model_names=frozenset({"third"}))
    assert read(two, model_names=frozenset({"other", "third"})).gauges["running"].mean == 3


OTHER = FULL.replace('model_name="m"', 'model_name="other"')


@pytest.mark.parametrize("wanted", [None, frozenset({"other"}), frozenset({"third"})])
def test_pages_of_two_models_are_refused(wanted: frozenset[str] | None) -> None:
    with pytest.raises(ScrapeError, match='the pages are of several models, "m", "other": give those of one'):
        read(AT_1100 + FULL, AT_1200 + OTHER, model_names=wanted)
    with pytest.raises(ScrapeError, match='the pages are of several models, "m", "other": give those of one'):
        readings_of(Engine.VLLM, {"p-1": pages(FULL), "p-2": pages(OTHER)}, model_names=wanted)


def test_pages_of_another_model_than_the_configuration_serves_are_read_and_noted() -> None:
    found = readings_of(Engine.VLLM, {"p-1": pages(FULL), "p-2": pages(FULL)}, model_names=frozenset({"third"}))
    assert found.replicas[0].gauges["running"].mean == 15  # the pod's own, whatever its name
    assert found.notes == ('the pages are of the model "m", and "third" is what the configuration serves',)


@pytest.mark.parametrize("wanted", [None, frozenset({"m"}), frozenset({"m", "other"})])
def test_pages_of_the_model_that_is_served_are_not_noted(wanted: frozenset[str] | None) -> None:
    found = readings_of(Engine.VLLM, {"p-1": pages(FULL)}, model_names=wanted)
    assert found.notes == ()
    nameless = FULL.replace(',model_name="m"', "")
    assert readings_of(Engine.VLLM, {"p-1": pages(nameless)}, model_names=wanted).notes == ()


def test_several_replicas_are_read_each_for_itself() -> None:
    found = readings_of(Engine.VLLM, {"p-2": pages(FULL.replace(" 15.0", " 5.0")), "p-1": pages(FULL)})
    assert [(each.name, each.gauges["running"].mean) for each in found.replicas] == [("p-1", 15), ("p-2", 5)]


def test_a_full_cache_is_named_as_the_cause_and_never_answered_with_a_larger_batch() -> None:
    spec = InstanceSpec(engine=Engine.VLLM, engine_version="0.33.0", current_config={"max_batch_size": 16})
    metrics = reduce(readings_of(Engine.VLLM, {"p": pages(FULL)}), metric_names(Engine.VLLM, "0.33.0"), ()).metrics
    outcome = plan(assemble(Sources(spec, metrics=metrics)).observation, policy_of(spec, rules_of_thumb=True))
    assert outcome.diagnosis.cause in {Cause.KV_BOUND, Cause.OVERLOAD}
    changed = {change.parameter for entry in outcome.decision.optimizations for change in entry.config_changes}
    assert "max_batch_size" not in changed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no samples"),
        ("# just a comment\n", "no samples"),
        ("<html><body>404</body></html>", "line 1 is '<html>"),
        ('{"status":"error","errorType":"bad_data"}\n', "Prometheus text format"),
        ('a{b="c" 1\n', "Prometheus text format"),
        ("a one\n", "line 1 is 'a one'"),
        ("a 1_0\n", "Prometheus text format"),
        ("a 1\nvllm:num_requests_run", "line 2 is"),
        ("a 1\nvllm:num_requests_running 1", "if it does not, end it with a newline"),
        ("x" * 100 + "\n", "x…'"),
        ("# scraped-at: yesterday\na 1\n", "is no time with a zone"),
        ("# scraped-at: 2026-01-01T00:00:00\na 1\n", "is no time with a zone"),
        ("a 1\n" * (PAGE_MAX_CHARACTERS // 4 + 1), "larger than 16 MiB"),
    ],
)
def test_what_is_no_page_is_refused_in_one_line(text: str, told: str) -> None:
    with pytest.raises(ScrapeError) as caught:
        parse_scrape(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


CUT = "# HELP vllm:prompt_tokens_total Number of pre"
HALF_A_SECOND_LATER = "# scraped-at: 1970-01-01T00:18:20.500000+00:00\n"


@pytest.mark.parametrize(
    ("end", "cut_off"),
    [
        ("", False),
        ("  ", False),
        ("#", True),
        (CUT, True),
        (f"{CUT}\n", False),
        ("# EOF", False),
        ("# EO", True),
        ("# scraped-at: 1970-01-01T00:18:20Z", False),
    ],
)
def test_a_page_that_ends_inside_of_a_comment_is_cut_off(end: str, cut_off: bool) -> None:
    assert parse_scrape(FULL + end).cut_off is cut_off


def test_a_page_that_is_cut_off_says_what_it_has_and_that_there_was_more() -> None:
    found = readings_of(Engine.VLLM, {"p-1": pages(FULL + CUT)})
    assert found.replicas[0].gauges["running"].mean == 15
    assert found.notes == ("the page ends inside of a comment: it is cut off, and what followed is not known",)


def test_beside_a_whole_page_one_that_is_cut_off_does_not_count() -> None:
    """Its counters would seem to stand still."""
    cut = FULL.partition("vllm:num_preemptions_total")[0] + CUT
    found = readings_of(Engine.VLLM, {"p-1": pages(FULL, cut, preempted(58), cut)}, 20)
    assert (found.replicas[0].seconds, found.replicas[0].rates["preemptions"]) == (40, 0.25)  # 10 in 40 s
    assert found.notes == ("2 of 4 pages end inside of a comment: cut off, they are left out",)
    one = readings_of(Engine.VLLM, {"p-1": pages(FULL, cut)}, 20)
    assert (one.replicas[0].seconds, len(one.notes)) == (None, 1)
    at_once = readings_of(Engine.VLLM, {"p-1": pages(AT_1100 + FULL, HALF_A_SECOND_LATER + FULL, AT_1200 + cut)})
    assert (at_once.replicas[0].gauges["running"].mean, len(at_once.notes)) == (15, 2)
    none = readings_of(Engine.VLLM, {"p-1": pages(FULL + CUT, cut)}, 20)
    assert (none.replicas[0].seconds, len(none.notes)) == (None, 2)


@pytest.mark.parametrize(
    ("line", "labels", "number"),
    [
        ("vllm:num_requests_running 3", {}, 3),
        ("  vllm:num_requests_running\t3\t ", {}, 3),
        ("vllm:num_requests_running{} 3", {}, 3),
        ('vllm:num_requests_running {a="b" , c = "d",} 3 1395066363000', {"a": "b", "c": "d"}, 3),
        ('vllm:num_requests_running{a="x # {y} z",b="q"} 3 # {trace="t"} 0.6 1.5', {"a": "x # {y} z", "b": "q"}, 3),
        ('vllm:num_requests_running{a="1"} 3 # {trace="t"} 0.6', {"a": "1"}, 3),
        ('vllm:num_requests_running{a="q\\"\\\\\\n, }="} +Inf', {"a": 'q"\\\n, }='}, math.inf),
        ('vllm:num_requests_running{a="1"} 3\r', {"a": "1"}, 3),
        ('{"quoted.name",a="b"} 7\nvllm:num_requests_running 3', {}, 3),
        ("vllm:num_requests_running 3 1395066363000", {}, 3),
    ],
)
def test_lines_in_both_formats_are_read(line: str, labels: dict[str, str], number: float) -> None:
    assert parse_scrape(line + "\n").samples == (("vllm:num_requests_running", labels, number),)


def openmetrics(registry: CollectorRegistry) -> bytes:
    text: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    return text


def test_openmetrics_with_exemplars_is_read() -> None:
    registry = CollectorRegistry()
    counter = Counter("vllm:prompt_tokens", "prompt tokens", ["model_name"], registry=registry)
    counter.labels("m").inc(5, {"trace_id": "abc"})
    whole = openmetrics(registry).decode()
    for text in (whole, whole.rstrip("\n"), generate_latest(registry).decode()):  # the second one ends with # EOF
        first, created = parse_scrape(text).samples
        assert first == ("vllm:prompt_tokens_total", {"model_name": "m"}, 5.0)
        assert created[:2] == ("vllm:prompt_tokens_created", {"model_name": "m"})


@given(labels=st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=30), max_size=4))
@settings(deadline=None, max_examples=40)
def test_labels_are_read_as_the_client_library_reads_them(labels: dict[str, str]) -> None:
    registry = CollectorRegistry()
    names = [name for name in labels if not name.startswith("__")]
    counter = Counter("vllm:prompt_tokens", "prompt tokens", names, registry=registry)
    (counter.labels(*(labels[name] for name in names)) if names else counter).inc(2)
    text = generate_latest(registry).decode("utf-8", "surrogatepass")
    theirs = [
        (sample.name, sample.labels, float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name in {"vllm:prompt_tokens_total", "vllm:prompt_tokens_created"}
    ]
    assert list(parse_scrape(text).samples) == theirs


@pytest.mark.parametrize(
    ("texts", "interval", "told"),
    [
        ((), None, "there is no page"),
        ((FULL, FULL), None, "give --interval"),
        ((AT_1100 + FULL, FULL), None, "give --interval"),
        ((FULL, FULL), 0, "page 2 must be at least 1 s younger"),
        ((FULL, FULL), math.nan, "at least 1 s younger"),
        ((FULL, FULL), math.inf, "at least 1 s younger"),
        ((AT_1100 + FULL, AT_1200 + FULL, AT_1100 + FULL), None, "page 3 must be at least 1 s younger"),
        ((AT_1100 + FULL, AT_1100 + FULL), None, "at least 1 s younger"),
        ((AT_1200 + FULL, AT_1100 + FULL), 100, "at least 1 s younger"),
        ((AT_1100 + FULL, AT_1200 + FULL), 4500, "taken 100 s after the one before, and 4500 s were given"),
        ((AT_1100 + FULL, AT_1200 + FULL), math.nan, "nan s were given"),
    ],
)
def test_pages_whose_time_is_not_known_are_refused(texts: tuple[str, ...], interval: float | None, told: str) -> None:
    with pytest.raises(ScrapeError, match=told):
        read(*texts, interval=interval)


def test_pages_of_the_same_second_are_one_look() -> None:
    first, second = pages(FULL, FULL.replace(" 15.0", " 5.0"))
    both = {"p": (replace(first, scraped_at=1100.0), replace(second, scraped_at=1100.4))}
    found = readings_of(Engine.VLLM, both, since_start=False)
    assert found.replicas[0].seconds is None
    assert found.replicas[0].gauges["running"].mean == 5
    assert found.notes == ("all pages were taken within a second, so the last one counts",)


@pytest.mark.parametrize("start", ["", "process_start_time_seconds 1100.0\n", "process_start_time_seconds 5000.0\n"])
def test_an_uptime_that_makes_no_sense_gives_no_rates(start: str) -> None:
    page = AT_1100 + FULL.replace("process_start_time_seconds 1000.0\n", start)
    assert read(page).seconds is None
    assert read(page).rates == {}


def page_of(counter: float, buckets: list[int], start: float | None, taken: float) -> Scrape:
    counts = [sum(buckets[: at + 1]) for at in range(len(buckets))]
    bounds = ["0.1", "1.0", "+Inf"]
    lines = [f'vllm:time_to_first_token_seconds_bucket{{le="{b}"}} {n}' for b, n in zip(bounds, counts, strict=True)]
    lines += [f"vllm:time_to_first_token_seconds_count {counts[-1]}", "vllm:time_to_first_token_seconds_sum 0.5"]
    lines += [f"vllm:num_preemptions_total {counter!r}", "vllm:num_requests_running 1"]
    lines += [f"process_start_time_seconds {start!r}"] if start is not None else []
    return replace(parse_scrape("\n".join(lines) + "\n"), scraped_at=taken)


STEPS = st.lists(st.tuples(st.booleans(), st.lists(st.integers(0, 50), min_size=4, max_size=4)), min_size=1, max_size=6)


@given(steps=STEPS, told=st.booleans())
@settings(deadline=None, max_examples=50)
def test_whatever_restarts_rises_are_what_was_counted(steps: list[tuple[bool, list[int]]], told: bool) -> None:
    counted, start, truth, as_prometheus = [0, 0, 0, 0], 1000.0, 0, 0
    seen = [page_of(0, counted[1:], start if told else None, 1100.0)]
    for taken, (restart, more) in enumerate(steps, 1):
        before = counted[0]
        counted = more if restart else [old + new for old, new in zip(counted, more, strict=True)]
        start = 1095.0 + 10 * taken if restart else start
        truth += more[0]
        as_prometheus += counted[0] if counted[0] < before else counted[0] - before
        seen.append(page_of(counted[0], counted[1:], start if told else None, 1100.0 + 10 * taken))
    found = readings_of(Engine.VLLM, {"p": seen}).replicas[0]
    assert found.rates["preemptions"] * 10 * len(steps) == pytest.approx(truth if told else as_prometheus)
    if told:
        assert found.histograms["ttft"].count == sum(sum(more[1:]) for _, more in steps)
        assert found.restarts == sum(restart for restart, _ in steps)


def large_page() -> str:
    """A page of 600 lines, as vLLM's."""
    names = [f"vllm:{name}" for name in ("time_to_first_token_seconds", "inter_token_latency_seconds")]
    names += [f"vllm:request_{name}" for name in ("prompt_tokens", "generation_tokens", "queue_time_seconds")]
    buckets = (
        f'{name}_bucket{{engine="0",le="{n / 10}",model_name="m"}} {n}.0\n' for name in names for n in range(116)
    )
    return FULL + "".join(buckets)


def test_three_pages_are_read_quickly() -> None:
    text = large_page()
    took = []
    for _ in range(3):
        begin = time.process_time()
        found: Readings = readings_of(Engine.VLLM, {"p": pages(text, text, text)}, 60)
        took.append(time.process_time() - begin)
    assert found.replicas[0].seconds == 120
    assert min(took) < 0.1
