"""Text of an engine's /metrics page → Metrics."""

import pytest

from inferplan.api.instance import SLO, InstanceSpec, SLOMetric
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Metrics
from inferplan.engine.planner import plan
from inferplan.observe.assemble import Sources, assemble, policy_of
from inferplan.observe.exposition import metrics_of, parse_scrape
from inferplan.observe.exposition_window import ScrapeError

FULL = """\
# HELP vllm:num_requests_running Requests in a batch.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 15.0
vllm:num_requests_waiting{engine="0",model_name="m"} 24.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 1.0
vllm:num_preemptions_total{engine="0",model_name="m"} 48.0
vllm:request_success_total{engine="0",finished_reason="stop"} 30.0
vllm:request_success_total{engine="0",finished_reason="length"} 10.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.01"} 0.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.02"} 90.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="0.04"} 100.0
vllm:inter_token_latency_seconds_bucket{engine="0",le="+Inf"} 100.0
vllm:inter_token_latency_seconds_count{engine="0"} 100.0
vllm:inter_token_latency_seconds_sum{engine="0"} 1.5
vllm:cache_config_info{block_size="128",num_gpu_blocks="64",engine="0"} 1.0
process_start_time_seconds 1000.0
"""
AT_1100 = "# scraped-at: 1970-01-01T00:18:20Z\n"  # 1100 s after the epoch, 100 s after the start
AT_1200 = "# scraped-at: 1970-01-01T00:20:00+00:00\n"


def read(*pages: str, interval: float | None = None, slo: tuple[SLO, ...] = ()) -> Metrics:
    return metrics_of(Engine.VLLM, [parse_scrape(page) for page in pages], interval_seconds=interval, slo=slo)


def value(measurement: Measurement) -> float:
    assert isinstance(measurement, Measured), measurement
    return measurement.value


def test_one_page_gives_the_gauges_of_the_moment() -> None:
    metrics = read(FULL)
    assert metrics.num_requests_running == Measured(15.0, "requests", "vllm:num_requests_running")
    assert value(metrics.num_requests_waiting) == 24
    assert value(metrics.kv_cache_usage) == 1
    assert value(metrics.kv_cache_tokens) == 8192  # 64 blocks x 128 tokens


def test_one_page_gives_no_rates_and_says_how_to_get_them() -> None:
    metrics = read(FULL)
    for rate in (metrics.preemptions_per_second, metrics.requests_per_second, metrics.itl_p99_milliseconds):
        assert isinstance(rate, Missing)
        assert "take a second one later" in rate.reason


def test_one_page_that_says_its_time_gives_rates_since_the_process_started() -> None:
    metrics = read(AT_1100 + FULL)
    assert value(metrics.preemptions_per_second) == pytest.approx(0.48)  # 48 in 100 s
    assert value(metrics.requests_per_second) == pytest.approx(0.4)  # 30 + 10 in 100 s
    assert isinstance(metrics.preemptions_per_second, Measured)
    assert metrics.preemptions_per_second.window_seconds == 100
    assert "since the process started" in metrics.preemptions_per_second.source


def test_two_pages_give_rates_over_the_time_between() -> None:
    later = FULL.replace('total{engine="0",model_name="m"} 48.0', 'total{engine="0",model_name="m"} 98.0')
    metrics = read(AT_1100 + FULL, AT_1200 + later)
    assert value(metrics.preemptions_per_second) == pytest.approx(0.5)  # 50 in 100 s
    assert value(metrics.requests_per_second) == 0


def test_the_time_between_two_pages_can_be_given() -> None:
    later = FULL.replace('_total{engine="0",model_name="m"} 48.0', '_total{engine="0",model_name="m"} 58.0')
    assert value(read(FULL, later, interval=20).preemptions_per_second) == pytest.approx(0.5)  # 10 in 20 s


def test_gauges_of_two_pages_are_averaged_and_the_cache_takes_the_highest() -> None:
    later = FULL.replace('running{engine="0",model_name="m"} 15.0', 'running{engine="0",model_name="m"} 17.0')
    later = later.replace('usage_perc{engine="0",model_name="m"} 1.0', 'usage_perc{engine="0",model_name="m"} 0.4')
    metrics = read(FULL, later, interval=20)
    assert value(metrics.num_requests_running) == 16
    assert value(metrics.kv_cache_usage) == 1


def test_percentiles_are_interpolated_within_their_bucket() -> None:
    target = SLO(metric=SLOMetric.ITL, percentile=45, target_milliseconds=50)
    metrics = read(AT_1100 + FULL, slo=(target,))
    assert value(dict(metrics.slo_milliseconds)["itl p45"]) == pytest.approx(15.0)  # half of the 90 from 10 to 20 ms
    assert value(metrics.itl_mean_milliseconds) == pytest.approx(15.0)  # 1.5 s / 100
    assert value(metrics.itl_p99_milliseconds) == pytest.approx(38.0)  # 20 + 20 x 9/10


def test_a_percentile_above_the_largest_bucket_is_missing() -> None:
    page = FULL.replace('le="+Inf"} 100.0', 'le="+Inf"} 200.0')
    p99 = read(AT_1100 + page).itl_p99_milliseconds
    assert isinstance(p99, Missing)
    assert "above its largest bucket" in p99.reason


def test_names_of_old_releases_are_found() -> None:
    page = FULL.replace("kv_cache_usage_perc", "gpu_cache_usage_perc")
    page = page.replace("inter_token_latency_seconds", "time_per_output_token_seconds")
    metrics = read(AT_1100 + page)
    assert value(metrics.kv_cache_usage) == 1
    assert value(metrics.itl_mean_milliseconds) == pytest.approx(15.0)


def test_several_engines_on_a_page_count_each_for_itself() -> None:
    second = "".join(f"{line}\n" for line in FULL.replace('engine="0"', 'engine="1"').splitlines() if "engine" in line)
    metrics = read(
        AT_1100 + FULL + second.replace(" 15.0", " 5.0").replace('num_gpu_blocks="64"', 'num_gpu_blocks="32"')
    )
    assert value(metrics.num_requests_running) == 10  # (15 + 5) / 2
    assert value(metrics.preemptions_per_second) == pytest.approx(0.48)  # 96 / 100 s / 2 engines
    assert value(metrics.kv_cache_tokens) == 4096  # the smaller of the two


def test_a_restart_between_two_pages_gives_no_rates() -> None:
    restarted = FULL.replace("process_start_time_seconds 1000.0", "process_start_time_seconds 1150.0")
    for later in (restarted, FULL.replace(" 48.0", " 3.0")):
        rate = read(FULL, later, interval=20).preemptions_per_second
        assert isinstance(rate, Missing)
        assert "restarted" in rate.reason


def test_sglang_has_its_own_names() -> None:
    page = (
        "sglang:num_running_reqs 8\nsglang:num_queue_reqs 2\nsglang:token_usage 0.5\nsglang:max_total_num_tokens 999\n"
    )
    metrics = metrics_of(Engine.SGLANG, [parse_scrape(page)])
    assert value(metrics.num_requests_running) == 8
    assert value(metrics.num_requests_waiting) == 2
    assert value(metrics.kv_cache_usage) == 0.5
    assert value(metrics.kv_cache_tokens) == 999


def test_a_page_of_another_engine_leaves_everything_missing_and_names_what_was_looked_for() -> None:
    metrics = metrics_of(Engine.SGLANG, [parse_scrape(FULL)])
    assert not metrics.measured()
    assert isinstance(metrics.num_requests_running, Missing)
    assert "sglang:num_running_reqs is not on the page" in metrics.num_requests_running.reason


def test_nan_counts_as_absent() -> None:
    usage = read(FULL.replace('usage_perc{engine="0",model_name="m"} 1.0', 'usage_perc{engine="0"} NaN'))
    assert isinstance(usage.kv_cache_usage, Missing)


def test_a_value_beyond_any_real_one_is_missing() -> None:
    metrics = read(FULL.replace(" 15.0", " 1e300"))
    assert isinstance(metrics.num_requests_running, Missing)
    assert "no measured value" in metrics.num_requests_running.reason


def test_a_full_cache_is_named_as_the_cause_and_never_answered_with_a_larger_batch() -> None:
    spec = InstanceSpec(engine=Engine.VLLM, engine_version="0.33.0", current_config={"max_batch_size": 16})
    outcome = plan(assemble(Sources(spec, metrics=read(FULL))).observation, policy_of(spec, rules_of_thumb=True))
    assert outcome.diagnosis.cause in {Cause.KV_BOUND, Cause.OVERLOAD}
    changed = {change.parameter for entry in outcome.decision.optimizations for change in entry.config_changes}
    assert "max_batch_size" not in changed


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no samples"),
        ("# just a comment\n", "no samples"),
        ("<html><body>404</body></html>", "Prometheus text format"),
        ('a{b="c" 1\n', "Prometheus text format"),
        ("# scraped-at: yesterday\na 1\n", "is no time with a zone"),
        ("# scraped-at: 2026-01-01T00:00:00\na 1\n", "is no time with a zone"),
    ],
)
def test_what_is_no_page_is_refused(text: str, told: str) -> None:
    with pytest.raises(ScrapeError, match=told):
        parse_scrape(text)


@pytest.mark.parametrize(
    ("pages", "interval", "told"),
    [
        ((), None, "one or two pages"),
        ((FULL, FULL, FULL), 10, "one or two pages"),
        ((FULL, FULL), None, "give --interval"),
        ((FULL, FULL), 0, "at least 1 s younger"),
        ((FULL, FULL), float("nan"), "at least 1 s younger"),
        ((AT_1200 + FULL, AT_1100 + FULL), None, "at least 1 s younger"),
    ],
)
def test_pages_whose_time_is_not_known_are_refused(pages: tuple[str, ...], interval: float | None, told: str) -> None:
    with pytest.raises(ScrapeError, match=told):
        read(*pages, interval=interval)


@pytest.mark.parametrize("start", ["", "process_start_time_seconds 1100.0\n", "process_start_time_seconds 5000.0\n"])
def test_an_uptime_that_makes_no_sense_gives_no_rates(start: str) -> None:
    page = AT_1100 + FULL.replace("process_start_time_seconds 1000.0\n", start)
    assert isinstance(read(page).preemptions_per_second, Missing)
