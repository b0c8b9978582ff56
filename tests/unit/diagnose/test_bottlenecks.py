"""The causes of a queue (performance-model section 4)."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import a, an, measured

from inferplan.api.analysis import Counts
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, diagnose
from inferplan.domain.measurement import Measured, Missing


@pytest.mark.parametrize(
    ("load", "cause"),
    [
        ({}, Cause.SCHEDULER_CAPPED),  # 32 of 32 run, 12 wait, cache at 30 %
        ({"num_requests_running": 30.4}, Cause.SCHEDULER_CAPPED),  # 0.95 x 32 = 30.4
        ({"num_requests_running": 30.3}, Cause.UNKNOWN),  # nothing else explains the queue
        ({"num_requests_waiting": 0.9}, Cause.NONE),
        ({"num_requests_running": 20.0, "num_requests_waiting": 0.0}, Cause.NONE),
        ({"num_requests_running": 20.0, "kv_cache_usage": 0.95}, Cause.KV_BOUND),
        ({"num_requests_running": 20.0, "kv_cache_usage": 0.949}, Cause.UNKNOWN),
        (
            {"num_requests_running": 20.0, "num_requests_waiting": 0.0, "kv_cache_usage": 0.99},
            Cause.NONE,  # full, and nobody waits
        ),
        (
            {
                "num_requests_running": 20.0,
                "num_requests_waiting": 0.0,
                "kv_cache_usage": 0.99,
                "preemptions_per_second": 0.1,
            },
            Cause.KV_BOUND,
        ),
        ({"kv_cache_usage": 1.0}, Cause.OVERLOAD),
        ({"kv_cache_usage": 1.0, "preemptions_per_second": None}, Cause.OVERLOAD),
        ({"num_requests_running": 0.0, "num_requests_waiting": 0.0}, Cause.IDLE),
        ({"num_requests_running": None}, Cause.UNKNOWN),
        ({"num_requests_waiting": None}, Cause.UNKNOWN),
        ({"kv_cache_usage": None}, Cause.UNKNOWN),
        ({"kv_cache_usage": None, "num_requests_waiting": 0.0}, Cause.NONE),
    ],
)
def test_causes_are_told_apart(load: dict[str, float | None], cause: Cause) -> None:
    found = diagnose(an.observation(load=load))
    assert found.cause is cause
    assert bool(found.missing) is (cause is Cause.UNKNOWN)


QUEUE = {"num_requests_waiting": 12.0, "queue_time_mean_milliseconds": 6000.0}  # 2/s x 6 s = 12


@pytest.mark.parametrize(
    ("load", "cause"),
    [
        ({}, Cause.UNKNOWN),  # 14 of 32 run, the cache is at a quarter, steps hold 100 tokens
        # steps: 8192 tokens x 0.8 = 6553.6
        ({"tokens_per_step": 6553.6}, Cause.PREFILL_BOUND),
        ({"tokens_per_step": 4095.0}, Cause.UNKNOWN),
        ({"tokens_per_step": 4096.0}, Cause.PREFILL_BOUND),  # half full on average, and nothing else: at times
        ({"tokens_per_step": 4096.0, "num_requests_running_peak": 32.0}, Cause.UNKNOWN),  # at times both
        ({"tokens_per_step": 7000.0, "num_requests_running": 31.0}, Cause.OVERLOAD),
        ({"tokens_per_step": 7000.0, "kv_cache_usage_mean": 0.95}, Cause.OVERLOAD),
        # the next prompt: 0.90 + 0.7 x 40,000 / 400,000 = 0.97
        ({"kv_cache_usage_mean": 0.90, "prompt_tokens_mean": 40_000.0}, Cause.KV_BOUND),
        ({"kv_cache_usage_mean": 0.87, "prompt_tokens_mean": 40_000.0}, Cause.UNKNOWN),
        # preemptions: 0.1 / 2 = 0.05 of the requests
        ({"preemptions_per_second": 0.1}, Cause.KV_BOUND),
        ({"preemptions_per_second": 0.1, "kv_cache_usage": None, "kv_cache_usage_mean": None}, Cause.KV_BOUND),
        ({"preemptions_per_second": 0.09}, Cause.KV_BOUND),  # at times, and nothing else explains it
        ({"preemptions_per_second": 0.09, "num_requests_running_peak": 32.0}, Cause.UNKNOWN),
        ({"kv_cache_usage": 0.96}, Cause.KV_BOUND),  # at times
        # the cap, by time: 2/s x (20.5 - 6) s = 29 of 32
        ({"num_requests_running_peak": 32.0, "e2e_mean_milliseconds": 20_500.0}, Cause.SCHEDULER_CAPPED),
        ({"num_requests_running_peak": 32.0}, Cause.SCHEDULER_CAPPED),  # at times, and nothing else explains it
        ({"num_requests_running_peak": 30.3}, Cause.UNKNOWN),
        ({"num_requests_running_peak": 30.3, "e2e_mean_milliseconds": 20_500.0}, Cause.UNKNOWN),
        ({"num_requests_running_peak": 32.0, "tokens_per_step": None}, Cause.UNKNOWN),  # it could be the steps
        ({"kv_cache_usage": 0.96, "tokens_per_step": None}, Cause.KV_BOUND),
    ],
)
def test_a_queue_is_explained_by_what_is_full(load: dict[str, float | None], cause: Cause) -> None:
    found = diagnose(an.serving(load={**QUEUE, **load}))
    assert found.cause is cause
    assert bool(found.bottlenecks) is (cause is not Cause.UNKNOWN)


@pytest.mark.parametrize(
    ("load", "cause"),
    [
        ({"num_requests_waiting": 12.0, "queue_time_mean_milliseconds": 400.0}, Cause.UNKNOWN),  # 2/s x 0.4 s = 0.8
        ({"num_requests_waiting": 12.0, "queue_time_mean_milliseconds": 500.0}, Cause.SCHEDULER_CAPPED),
        ({"num_requests_waiting": 0.0, "queue_time_mean_milliseconds": 500.0}, Cause.SCHEDULER_CAPPED),
        ({"num_requests_waiting": 0.0, "queue_time_mean_milliseconds": 499.0}, Cause.NONE),
        # 18 requests in 900 s, or some that live for more than half of it, say nothing by time
        ({"num_requests_waiting": 12.0, "requests_per_second": 0.02}, Cause.SCHEDULER_CAPPED),
        ({"num_requests_waiting": 12.0, "e2e_mean_milliseconds": 451_000.0}, Cause.SCHEDULER_CAPPED),
        ({"num_requests_waiting": 12.0, "e2e_mean_milliseconds": None}, Cause.SCHEDULER_CAPPED),
        # 12 wait, 11.5 of them for KV transfers
        ({"num_requests_waiting": 12.0, "waiting_for_capacity": 0.5}, Cause.NONE),
    ],
)
def test_a_queue_is_one_by_gauge_and_by_time(load: dict[str, float | None], cause: Cause) -> None:
    assert diagnose(an.serving(load={"num_requests_running": 32.0, **load})).cause is cause


@pytest.mark.parametrize(
    ("gauge", "e2e", "cause"),
    [
        (7.0, 9700.0, Cause.SCHEDULER_CAPPED),  # one below the cap of 8; 2/s x (9.7 - 6) s = 7.4 of 8
        (7.0, 9500.0, Cause.UNKNOWN),  # 7.0, below 0.9 x 8
        (6.0, 9700.0, Cause.UNKNOWN),
    ],
)
def test_a_gauge_may_miss_a_small_cap_by_one(gauge: float, e2e: float, cause: Cause) -> None:
    load = {"num_requests_running": gauge, "num_requests_running_peak": gauge, "e2e_mean_milliseconds": e2e}
    assert diagnose(an.serving(load={**QUEUE, **load}, settings={"max_batch_size": 8})).cause is cause


def test_a_queue_that_nothing_explains_is_told_with_its_numbers() -> None:
    found = diagnose(an.serving(load=QUEUE))
    assert found.missing[0].code is Reason.CAUSE_UNCLEAR
    assert "12 requests wait although 14 of 32 run, the KV cache is at 25% and steps are 1% full" in (
        found.missing[0].reason
    )
    both = diagnose(an.serving(load={**QUEUE, "tokens_per_step": 4096.0, "num_requests_running_peak": 32.0}))
    assert both.missing[0].reason.endswith("at times it was SchedulerCapped and PrefillBound")
    unmeasured = diagnose(an.serving(load={**QUEUE, "tokens_per_step": None}))
    assert [entry.code for entry in unmeasured.missing] == [Reason.CAUSE_UNCLEAR, Reason.METRICS_MISSING]
    unset = diagnose(an.serving(load=QUEUE, drop=("max_num_batched_tokens",)))
    assert [entry.code for entry in unset.missing] == [Reason.CAUSE_UNCLEAR, Reason.SETTING_UNKNOWN]
    assert "tokens per step are not known" in unset.missing[0].reason


@pytest.mark.parametrize("cap", [{"drop": ("max_batch_size",)}, {"settings": {"max_batch_size": 0}}])
def test_a_queue_without_a_known_cap_cannot_be_judged(cap: dict[str, Any]) -> None:
    found = diagnose(an.observation(**cap))
    assert (found.cause, found.missing[0].code) == (Cause.UNKNOWN, Reason.SETTING_UNKNOWN)
    assert diagnose(an.observation(load={"kv_cache_usage": 1.0}, **cap)).cause is Cause.KV_BOUND
    assert diagnose(an.observation(load={"num_requests_waiting": 0.0}, **cap)).cause is Cause.NONE


def test_every_data_parallel_rank_has_its_own_cap() -> None:
    two = {"data_parallel_size": 2}  # 2 x 32 = 64
    assert diagnose(an.observation(settings=two)).cause is Cause.UNKNOWN
    assert diagnose(an.observation(settings=two, load={"num_requests_running": 64.0})).cause is Cause.SCHEDULER_CAPPED


def test_ranks_that_the_series_tell_come_before_those_of_the_configuration() -> None:
    assert diagnose(an.observation(load={"num_requests_running": 126.0, "data_parallel_ranks": 4.0})).cause is (
        Cause.SCHEDULER_CAPPED
    )  # of 4 x 32
    one_of_four = an.observation(settings={"data_parallel_size": 4}, load={"data_parallel_ranks": 1.0})
    assert diagnose(one_of_four).cause is Cause.SCHEDULER_CAPPED  # a pod with one rank of four: 32 of 32
    # a prompt lies in one rank's cache: 0.7 x 15,000 / (400,000 / 4) = 10.5 %
    long = {**QUEUE, "kv_cache_usage_mean": 0.85, "prompt_tokens_mean": 15_000.0, "data_parallel_ranks": 4.0}
    assert diagnose(an.serving(load=long)).cause is Cause.KV_BOUND


@pytest.mark.parametrize(
    ("settings", "tokens", "cause"),
    [
        # a prompt of 5,000 does not fit into the rest of a step that is 55 % full: 0.55 + 5000 / 8192 = 1.16
        ({"enable_chunked_prefill": False}, 4506.0, Cause.PREFILL_BOUND),
        ({"enable_chunked_prefill": False}, 4000.0, Cause.UNKNOWN),  # below half
        ({"enable_chunked_prefill": True}, 4506.0, Cause.UNKNOWN),
    ],
)
def test_without_chunked_prefill_a_prompt_waits_for_a_step_that_holds_it(
    settings: dict[str, Any], tokens: float, cause: Cause
) -> None:
    load = {**QUEUE, "tokens_per_step": tokens, "prompt_tokens_mean": 5000.0, "kv_cache_usage": 0.95}
    load["num_requests_running_peak"] = 32.0  # the cap at times, too: only what holds on average counts
    assert diagnose(an.serving(load=load, settings=settings)).cause is cause


@pytest.mark.parametrize(
    ("version", "cause"),
    [("0.32.0", Cause.PREFILL_BOUND), ("0.31.1", Cause.UNKNOWN), (None, Cause.UNKNOWN), ("nightly", Cause.UNKNOWN)],
)
def test_older_releases_count_tokens_of_the_prefix_cache_into_steps(version: str | None, cause: Cause) -> None:
    """7,000 tokens per step less 60 % of 1000 / 1400 = 4,000, below half of 8,192."""
    load = {**QUEUE, "tokens_per_step": 7000.0, "prefix_cache_hit_share": 0.6}
    seen = an.serving(load=load)
    assert diagnose(replace(seen, config=replace(seen.config, version=version))).cause is cause


def test_step_tokens_of_an_old_release_count_without_rates_too() -> None:
    load = {**QUEUE, "tokens_per_step": 7000.0, "prompt_tokens_per_second": None, "generation_tokens_per_second": None}
    seen = an.serving(load=load)  # 7000 x (1 - 0.3) = 4900 of 8192: at times
    assert diagnose(replace(seen, config=replace(seen.config, version="0.10.0"))).cause is Cause.PREFILL_BOUND
    sglang = an.serving(load=QUEUE, config=a.config(engine=Engine.SGLANG, version="0.5.23", max_batch_size=32))
    assert diagnose(sglang).cause is Cause.UNKNOWN


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        ({"kv_cache_usage": 1.01}, "(kv_cache_usage) is 1.01, which is no share"),
        ({"kv_cache_usage_mean": -0.1}, "(kv_cache_usage_mean) is -0.1, which is no share"),
        ({"num_requests_waiting": -1.0}, "num_requests_waiting is -1, below nothing"),
        ({"num_requests_running": 34.0}, "34 requests run, and the configuration that was read allows 32"),
        (
            {"num_requests_running": 0.0, "num_requests_running_peak": 0.0},
            "no request runs, by the gauge, and 14.0 ran at once",
        ),
        (
            {"kv_cache_usage": 0.1, "kv_cache_usage_mean": 0.99},
            "kv_cache_usage_mean is 0.99, and the highest sample (kv_cache_usage) is 0.1",
        ),
        ({"num_requests_running_peak": 13.0}, "num_requests_running is 14, and the highest sample (num_requests"),
        ({"num_requests_waiting": 2.0, "num_requests_waiting_peak": 1.0}, "num_requests_waiting is 2, and the highest"),
        (
            {"ttft_p50_milliseconds": 900.0, "ttft_p99_milliseconds": 100.0},
            "ttft_p99_milliseconds is 100, below ttft_p50_milliseconds, which is 900",
        ),
        ({"itl_p95_milliseconds": 9.0, "itl_p99_milliseconds": 8.9}, "itl_p99_milliseconds is 8.9, below itl_p95"),
        (
            {"num_requests_waiting": 2.0, "num_requests_waiting_peak": None, "waiting_for_capacity": 50.0},
            "50 requests wait for room (waiting_for_capacity), and 2 wait in all",
        ),
        (
            {"tokens_per_step": 17_400.0},  # above 2 x (8192 + 500)
            "a step holds 17400 tokens on average, and the configuration that was read allows 8192",
        ),
        ({"tokens_per_step": 16_400.0, "prompt_tokens_mean": None}, "a step holds 16400 tokens on average"),
    ],
)
def test_numbers_that_cannot_be_true_are_not_judged(load: dict[str, float | None], reason: str) -> None:
    found = diagnose(an.serving(load=load))
    assert (found.cause, found.missing[0].code) == (Cause.UNKNOWN, Reason.METRICS_CONTRADICTORY)
    assert reason in found.missing[0].reason


@pytest.mark.parametrize(
    "load",
    [
        {"num_requests_running_peak": 13.4},  # 14 is within what samples are off: 13.4 x 1.05 = 14.07
        {"ttft_p50_milliseconds": 100.0, "ttft_p95_milliseconds": 100.0, "ttft_p99_milliseconds": 100.0},
        {"waiting_for_capacity": 0.9},  # a series that came a moment later
        {"tokens_per_step": 17_000.0},  # prompts of two steps, and nothing else
    ],
)
def test_numbers_that_may_be_true_are_judged(load: dict[str, float | None]) -> None:
    assert diagnose(an.serving(load=load)).cause in {Cause.NONE, Cause.PREFILL_BOUND}


def test_a_light_load_that_no_sample_met_is_no_contradiction_and_not_idle() -> None:
    few = {"num_requests_running": 0.0, "num_requests_running_peak": 0.0, "requests_per_second": 0.1}
    assert diagnose(an.serving(load=few)).cause is Cause.NONE  # 0.1/s x 7 s = 0.7 at once
    two_pages = {**few, "requests_per_second": 2.0, "kv_cache_usage_p99": None}
    assert diagnose(an.serving(load=two_pages)).cause is Cause.NONE
    assert diagnose(an.serving(load={"num_requests_running": 33.0})).cause is Cause.NONE  # within what gauges are off


def test_idle_is_nothing_in_gauges_and_rates() -> None:
    still = {
        "num_requests_running": 0.0,
        "num_requests_running_peak": 0.0,
        "requests_per_second": 0.0,
        "generation_tokens_per_second": 0.0,
    }
    assert diagnose(an.serving(load=still)).cause is Cause.IDLE
    for busy in ({"generation_tokens_per_second": 0.1}, {"num_requests_waiting_peak": 1.0}):
        assert diagnose(an.serving(load={**still, **busy})).cause is Cause.NONE


def test_who_is_rejected_by_an_engine_that_does_nothing_is_not_idle() -> None:
    still = {
        "num_requests_running": 0.0,
        "num_requests_running_peak": 0.0,
        "requests_per_second": 0.0,
        "generation_tokens_per_second": 0.0,
        "rejected_requests_per_second": 5.0,
    }
    found = diagnose(an.serving(load=still))
    assert (found.cause, found.missing[0].code) == (Cause.UNKNOWN, Reason.CAUSE_UNCLEAR)
    assert found.missing[0].reason == "5 requests per second are rejected although none runs or waits"


@pytest.mark.parametrize(
    ("load", "causes"),
    [
        ({"tokens_per_step": 6553.6}, ["PrefillBound"]),  # 0.8 x 8192
        ({"tokens_per_step": 6553.0}, []),
        (
            {"tokens_per_step": 8192.0, "kv_cache_usage_mean": 0.96, "preemptions_per_second": 0.1},
            ["KvBound", "PrefillBound"],
        ),
    ],
)
def test_full_steps_limit_without_a_queue_too(load: dict[str, float | None], causes: list[str]) -> None:
    seen = diagnose(an.serving(load={**load, "itl_mean_milliseconds": 900.0}))
    assert [entry.type for entry in seen.bottlenecks] == causes
    if causes == ["PrefillBound"]:
        (found,) = seen.bottlenecks
        assert found.description == (
            "Steps are full of prompts (80% of 8192 tokens on average), and each token of the 14 requests that run"
            " waits for such a step."
        )
        assert "or lower --max-num-batched-tokens" in str(found.recommendation)


def test_a_window_of_seconds_says_nothing() -> None:
    for seconds, cause in ((19, Cause.UNKNOWN), (20, Cause.NONE), (None, Cause.NONE)):
        seen = an.serving()
        running = Measured(14.0, "requests", "q", seconds)
        short = replace(seen, metrics=replace(seen.metrics, num_requests_running=running))
        assert diagnose(short).cause is cause


def test_why_a_metric_is_missing_is_carried_on() -> None:
    stale = Missing(Reason.METRICS_STALE, "old")
    seen = an.observation()
    found = diagnose(replace(seen, metrics=replace(seen.metrics, kv_cache_usage=stale)))
    assert found.missing == (stale,)
    mean = replace(seen.metrics, kv_cache_usage=measured("kv_cache_usage", None), kv_cache_usage_mean=stale)
    assert diagnose(replace(seen, metrics=mean)).missing[0].code is Reason.METRICS_MISSING


def test_a_finding_names_metric_value_and_threshold() -> None:
    full, capped = diagnose(an.observation(load={"kv_cache_usage": 0.99, "preemptions_per_second": 0.5})).bottlenecks
    assert (full.type, full.value, full.threshold) == ("KvBound", 0.99, 0.95)
    assert "0.5 preemptions per second" in full.description
    assert (capped.type, capped.value, capped.threshold) == ("SchedulerCapped", 32.0, 30.4)
    assert "32 requests run, of 32 that may, while 12 wait" in capped.description
    assert (
        full.recommendation
        == capped.recommendation
        == ("Add replicas, or send less: more than one limit is reached, and a flag moves only one.")
    )
    unmeasured = diagnose(an.observation(load={"kv_cache_usage": 0.99, "preemptions_per_second": None}))
    assert "preemptions" not in unmeasured.bottlenecks[0].description


def test_findings_say_what_was_not_read_off_a_gauge() -> None:
    (capped,) = diagnose(
        an.serving(load={**QUEUE, "num_requests_running_peak": 32.0, "e2e_mean_milliseconds": 20_500.0})
    ).bottlenecks
    assert "29 requests run by the time that they spend (14 by the gauge), of 32 that may, while 12 wait" in (
        capped.description
    )
    blind = {**QUEUE, "preemptions_per_second": 0.1, "kv_cache_usage": None, "kv_cache_usage_mean": None}
    (full,) = diagnose(an.serving(load=blind)).bottlenecks
    assert (full.metric, full.value, full.threshold) == ("preemptions_per_request", 0.05, 0.05)
    assert full.description == (
        "Requests are preempted for lack of KV cache (its use is not measured, 0.1 preemptions per second); requests"
        " wait."
    )
    large = {**QUEUE, "kv_cache_usage_mean": 0.9, "prompt_tokens_mean": 40_000.0}
    assert "; one more prompt takes 7%" in diagnose(an.serving(load=large)).bottlenecks[0].description


@pytest.mark.parametrize(
    ("load", "shown"),
    [
        ({"kv_cache_usage_mean": 0.96, "prompt_tokens_mean": None}, ("kv_cache_usage_mean", 0.96, 0.95)),
        (
            {"kv_cache_usage_mean": 0.90, "prompt_tokens_mean": 40_000.0},
            ("kv_cache_usage_mean_with_next_prompt", 0.97, 0.95),  # 0.90 + 0.7 x 40,000 / 400,000
        ),
        ({"kv_cache_usage": 0.96, "prompt_tokens_mean": None}, ("kv_cache_usage", 0.96, 0.95)),  # at times
        ({"preemptions_per_second": 0.2}, ("preemptions_per_request", 0.1, 0.05)),
        ({"preemptions_per_second": 0.09}, ("preemptions_per_second", 0.09, None)),  # any counts
        ({"num_requests_running": 31.0}, ("num_requests_running", 31.0, 30.4)),
        # 2/s x (20.5 - 6) s = 29, and 0.9 x 32
        (
            {"num_requests_running_peak": 32.0, "e2e_mean_milliseconds": 20_500.0},
            ("num_requests_running_by_time", 29.0, 28.8),
        ),
        ({"num_requests_running_peak": 32.0}, ("num_requests_running_peak", 32.0, 30.4)),
        ({"tokens_per_step": 7000.0}, ("tokens_per_step", 7000.0, 6554.0)),
        ({"tokens_per_step": 5000.0}, ("tokens_per_step", 5000.0, 4096.0)),  # at times
    ],
)
def test_a_finding_shows_the_number_that_was_compared(
    load: dict[str, float | None], shown: tuple[str, float, float | None]
) -> None:
    (found,) = diagnose(an.serving(load={**QUEUE, **load})).bottlenecks
    assert (found.metric, found.value, found.threshold) == shown
    assert found.counts == (None if shown[2] is None else Counts.AT_LEAST)
    assert found.threshold is None or (found.value or 0) >= found.threshold
    assert found.metric not in {entry.metric for entry in found.evidence}


def test_steps_are_shown_without_what_the_prefix_cache_gave_to_an_old_release() -> None:
    seen = an.serving(load={**QUEUE, "tokens_per_step": 9000.0, "prefix_cache_hit_share": 0.14})
    (found,) = diagnose(replace(seen, config=replace(seen.config, version="0.31.1"))).bottlenecks
    assert (found.metric, found.value, found.threshold) == (
        "computed_tokens_per_step",
        8100.0,
        6554.0,
    )  # 0.9 x 9000; 0.8 x 8192, as four digits


def test_requests_wait_only_where_some_do() -> None:
    thrown_out = {"preemptions_per_second": 0.2, "kv_cache_usage": 0.4, "kv_cache_usage_mean": None}
    alone = {**thrown_out, "num_requests_waiting": 0.0, "requests_per_second": 1.0}
    (none,) = diagnose(an.observation(load=alone)).bottlenecks
    assert none.description == (
        "Requests are preempted for lack of KV cache (40% of its blocks at most, 0.2 preemptions per second);"
        " requests that ran are thrown out."
    )
    missed = {"num_requests_waiting": 0.0, "queue_time_mean_milliseconds": 30_000.0, "e2e_mean_milliseconds": 34_000.0}
    found = diagnose(an.serving(load={**missed, "num_requests_running": 8.0}))  # 2/s x 30 s
    assert found.missing[0].reason.startswith(
        "60 requests wait by the time that they spend so (0 by the gauge) although 8 of 32 run"
    )
    (capped,) = diagnose(an.serving(load={**missed, "num_requests_running": 31.5})).bottlenecks
    assert capped.description == (
        "31.5 requests run, of 32 that may, while 60 wait by the time that they spend so (0 by the gauge)."
    )


def test_a_recommendation_names_a_flag_only_where_the_version_has_it() -> None:
    assert "--max-num-seqs" in str(diagnose(an.observation()).bottlenecks[0].recommendation)
    seen = an.observation()
    unknown = replace(seen, config=replace(seen.config, version=None))
    assert "Raise max_batch_size" in str(diagnose(unknown).bottlenecks[0].recommendation)
