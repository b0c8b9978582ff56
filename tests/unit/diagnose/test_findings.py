"""Findings beside the cause: each threshold from both sides, and when nothing is said."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import an, measured

from inferplan.api.analysis import Analysis, Bottleneck, Counts, Severity
from inferplan.api.reasons import Reason
from inferplan.diagnose.analyze import analyze
from inferplan.domain.drift import Drift, DriftFinding
from inferplan.domain.drift import Severity as DriftSeverity
from inferplan.domain.measurement import Measured, Missing


def found(load: dict[str, float | None] | None = None, **changes: Any) -> Analysis:
    return analyze(an.serving(load=load, **changes), ())


def types(seen: Analysis) -> list[str]:
    return [entry.type for entry in seen.bottlenecks]


def the(seen: Analysis, name: str) -> Bottleneck:
    return next(entry for entry in seen.bottlenecks if entry.type == name)


def test_nothing_is_found_of_an_instance_that_serves_with_ease() -> None:
    seen = found()
    assert (seen.cause, seen.bottlenecks, seen.unknowns) == ("None", (), ())
    assert seen.health.score == 100


WASTED = {"kv_cache_usage": 0.05, "kv_cache_usage_mean": 0.03, "kv_cache_usage_p99": 0.05}


@pytest.mark.parametrize(
    ("load", "changes", "is_waste"),
    [
        (WASTED, {}, True),
        ({**WASTED, "kv_cache_usage_p99": 0.099, "kv_cache_usage": 0.099}, {}, True),
        ({**WASTED, "kv_cache_usage_p99": 0.10, "kv_cache_usage": 0.10}, {}, False),
        ({**WASTED, "kv_cache_usage_p99": None}, {}, True),  # the highest sample then
        ({**WASTED, "kv_cache_usage_p99": None, "kv_cache_usage": 0.10}, {}, False),
        ({**WASTED, "kv_cache_tokens": 32_768.0}, {}, True),  # 4 x 8192
        ({**WASTED, "kv_cache_tokens": 32_767.0}, {}, False),
        ({**WASTED, "kv_cache_tokens": None}, {}, False),
        ({**WASTED, "requests_per_second": 0.02}, {}, False),  # 18 requests
        (WASTED, {"drop": ("max_model_len",)}, False),
        ({**WASTED, "kv_cache_usage": None, "kv_cache_usage_p99": None}, {}, False),
        ({**WASTED, "num_requests_waiting": 5.0, "queue_time_mean_milliseconds": None}, {}, False),  # a queue
    ],
)
def test_memory_is_wasted_where_a_large_cache_stays_empty(
    load: dict[str, float | None], changes: dict[str, Any], is_waste: bool
) -> None:
    assert ("MemoryWaste" in types(found(load, **changes))) is is_waste


def test_waste_says_how_many_tokens_lie_idle() -> None:
    waste = the(found(WASTED), "MemoryWaste")
    assert waste.description == "The KV cache is never fuller than 5.0%: 380,000 of its 400,000 tokens lie idle."
    assert (waste.metric, waste.value, waste.threshold) == ("kv_cache_usage_p99", 0.05, 0.1)


SHORT = {"prompt_tokens_p99": 800.0, "generation_tokens_p99": 224.0}  # 1024 = 8192 / 8


@pytest.mark.parametrize(
    ("load", "changes", "is_found"),
    [
        (SHORT, {}, True),
        ({**SHORT, "prompt_tokens_p99": 801.0}, {}, False),
        ({**SHORT, "prompt_tokens_p99": None}, {}, False),
        ({**SHORT, "generation_tokens_p99": None}, {}, False),
        ({**SHORT, "requests_per_second": 0.112}, {}, True),  # 100.8 requests
        ({**SHORT, "requests_per_second": 0.111}, {}, False),  # 99.9
        (SHORT, {"drop": ("max_model_len",)}, False),
        ({**SHORT, "uptime_seconds": 10.0}, {}, False),
    ],
)
def test_context_far_above_what_requests_take_is_a_notice(
    load: dict[str, float | None], changes: dict[str, Any], is_found: bool
) -> None:
    assert ("ContextOverProvisioned" in types(found(load, **changes))) is is_found


def test_the_upper_end_of_a_bucket_counts_as_taken() -> None:
    seen = an.serving(load=SHORT)
    wide = Measured(700.0, "tokens", "q", 900, low=500.0, high=1000.0)
    assert types(analyze(replace(seen, metrics=replace(seen.metrics, prompt_tokens_p99=wide)), ())) == []


@pytest.mark.parametrize(
    ("load", "is_found"),
    [
        ({"prefix_cache_hit_share": 0.0099}, True),
        ({"prefix_cache_hit_share": 0.01}, False),
        ({"prefix_cache_hit_share": 0.0, "requests_per_second": 0.056}, True),  # 50.4 requests
        ({"prefix_cache_hit_share": 0.0, "requests_per_second": 0.055}, False),  # 49.5
        ({"prefix_cache_hit_share": 0.0, "requests_per_second": None}, False),
        ({"prefix_cache_hit_share": 0.0, "uptime_seconds": 10.0}, False),
    ],
)
def test_a_prefix_cache_without_hits_is_useless(load: dict[str, float | None], is_found: bool) -> None:
    assert ("PrefixCacheUseless" in types(found(load))) is is_found


@pytest.mark.parametrize(
    ("load", "is_told"),
    [
        ({"kv_cache_usage": 0.94, "prompt_tokens_mean": None}, True),
        ({"kv_cache_usage": 0.95, "prompt_tokens_mean": None}, False),  # at times
        ({"preemptions_per_second": 0.01}, False),
        ({"kv_cache_usage": 1.0, "kv_cache_usage_mean": 0.99, "num_requests_waiting": 9.0}, False),
    ],
)
def test_a_full_cache_has_no_hits_whatever_prompts_share(load: dict[str, float | None], is_told: bool) -> None:
    seen = found({"prefix_cache_hit_share": 0.0, "queue_time_mean_milliseconds": None, **load})
    assert ("PrefixCacheUseless" in types(seen)) is is_told
    open_questions = [entry.reason for entry in seen.unknowns if "thrown out" in entry.reason]
    assert len(open_questions) == (0 if is_told else 1)


def test_a_prefix_cache_that_is_off_is_an_open_question() -> None:
    seen = found({"prefix_cache_hit_share": None}, settings={"enable_prefix_caching": False})
    assert types(seen) == []
    (question,) = seen.unknowns
    assert (question.code, "--enable-prefix-caching" in question.needs) == ("PrefixCacheOff", True)


FOUR = '{"method": "ngram", "num_speculative_tokens": 4}'
ONE = '{"method": "mtp", "num_speculative_tokens": 1}'


@pytest.mark.parametrize(
    ("share", "config", "is_found"),
    [
        (0.099, FOUR, True),  # 0.4 / 4 = 0.1
        (0.10, FOUR, False),
        (0.39, ONE, True),  # 0.4 / 1
        (0.40, ONE, False),
        (0.099, "", True),
        (0.10, "", False),
        (0.099, "[1]", True),
        (0.10, '{"num_speculative_tokens": 0}', False),
        (0.10, "null", False),
        (0.10, "{broken", False),
        (0.10, "[" * 100_000, False),
    ],
)
def test_speculation_that_hardly_holds_is_found(share: float, config: str, is_found: bool) -> None:
    seen = found({"speculation_accepted_share": share}, settings={"speculative_config": config})
    assert ("LowSpeculationAcceptance" in types(seen)) is is_found


def test_speculation_says_what_it_gives() -> None:
    low = the(
        found({"speculation_accepted_share": 0.05}, settings={"speculative_config": FOUR}), "LowSpeculationAcceptance"
    )
    assert (
        low.description == "5% of the speculated tokens hold, 1.20 tokens per step: drafting costs more than it gives."
    )
    few = {"speculation_accepted_share": 0.05, "requests_per_second": 0.01}
    assert types(found(few, settings={"speculative_config": FOUR})) == []


@pytest.mark.parametrize(
    ("share", "severity"),
    [
        (0.0099, None),
        (0.01, Severity.MEDIUM),
        (0.049, Severity.MEDIUM),
        (0.05, Severity.HIGH),
        (0.199, Severity.HIGH),
        (0.2, Severity.CRITICAL),
    ],
)
def test_failed_requests_are_as_bad_as_they_are_many(share: float, severity: Severity | None) -> None:
    seen = found({"failed_requests_share": share})
    assert [entry.severity for entry in seen.bottlenecks] == ([severity] if severity else [])
    assert types(found({"failed_requests_share": share, "requests_per_second": 0.02})) == []  # 18 requests


@pytest.mark.parametrize(
    ("load", "severity"),
    [
        ({"rejected_requests_per_second": 0.0}, None),
        ({"rejected_requests_per_second": None}, None),
        ({"rejected_requests_per_second": 0.01}, Severity.LOW),  # 0.5 %
        ({"rejected_requests_per_second": 0.03}, Severity.MEDIUM),
        ({"rejected_requests_per_second": 2.0}, Severity.CRITICAL),
        ({"rejected_requests_per_second": 0.1, "requests_per_second": None}, Severity.CRITICAL),
    ],
)
def test_rejected_requests_are_a_finding(load: dict[str, float | None], severity: Severity | None) -> None:
    seen = found(load)
    assert [(entry.type, entry.severity) for entry in seen.bottlenecks] == (
        [("RejectedRequests", severity)] if severity else []
    )


def test_why_requests_are_rejected_is_said_only_where_they_queue() -> None:
    queued = {"rejected_requests_per_second": 2.0, "num_requests_waiting": 9.0, "queue_time_mean_milliseconds": None}
    assert the(found(queued), "RejectedRequests").description.endswith(", 50.0% of all: its queue is full.")
    none_waits = the(found({"rejected_requests_per_second": 2.0}), "RejectedRequests")
    assert none_waits.description.endswith(", 50.0% of all.")
    assert "Read the engine's log" in str(none_waits.recommendation)


@pytest.mark.parametrize(
    ("waiting", "for_room", "severity"),
    [
        (1.0, 0.0, Severity.LOW),
        (0.9, 0.0, None),
        (14.0, 0.0, Severity.LOW),  # as many as run
        (15.0, 0.5, Severity.MEDIUM),
        (50.0, None, None),
        (None, 0.0, None),
    ],
)
def test_requests_that_wait_for_something_of_their_own_are_a_finding(
    waiting: float | None, for_room: float | None, severity: Severity | None
) -> None:
    load = {"num_requests_waiting": waiting, "waiting_for_capacity": for_room, "queue_time_mean_milliseconds": None}
    seen = [entry for entry in found(load).bottlenecks if entry.type == "DeferredRequests"]
    assert [entry.severity for entry in seen] == ([severity] if severity else [])


def test_deferred_requests_are_counted() -> None:
    load = {"num_requests_waiting": 50.0, "waiting_for_capacity": 0.0, "queue_time_mean_milliseconds": None}
    seen = found(load)
    entry = the(seen, "DeferredRequests")
    assert (seen.cause, seen.health.score) == ("None", 90)
    assert (entry.metric, entry.value, entry.threshold) == ("num_requests_deferred", 50.0, 1.0)
    assert entry.description.startswith("50 requests wait for something of their own")


@pytest.mark.parametrize(
    ("memory", "tensor", "expected"),
    [
        (0.60, 0.49, ["MemoryBandwidthBound"]),
        (0.59, 0.49, []),
        (0.59, 0.50, ["ComputeBound"]),
        (0.60, 0.50, []),
        (None, 0.9, []),
        (0.9, None, []),
    ],
)
def test_the_gpu_waits_for_memory_or_computes(memory: float | None, tensor: float | None, expected: list[str]) -> None:
    load = {"gpu_memory_busy_share": memory, "gpu_tensor_busy_share": tensor}
    assert types(found(load)) == expected
    assert types(found({**load, "uptime_seconds": 10.0})) == ["ColdStart"]


def drift(*severities: DriftSeverity) -> Drift:
    return Drift(tuple(DriftFinding("Refused", level, "--x", f"--x is {level}") for level in severities), "0.33.0")


def test_arguments_that_are_refused_are_the_worst() -> None:
    seen = found(drift=drift(DriftSeverity.NOTICE, DriftSeverity.WARNING, DriftSeverity.ERROR), load={"restarts": 1.0})
    assert [(entry.type, entry.severity) for entry in seen.bottlenecks] == [
        ("ArgumentsRefused", Severity.CRITICAL),
        ("Restarted", Severity.MEDIUM),
        ("ArgumentsWithoutEffect", Severity.LOW),
    ]
    assert seen.bottlenecks[0].description == "The engine's next start fails: --x is error"
    assert seen.bottlenecks[2].description == "Arguments do not do what they say: --x is warning"
    assert types(found(drift=drift(DriftSeverity.NOTICE))) == []


def test_a_percentile_beyond_the_last_bucket_is_known_from_one_side() -> None:
    above = Missing(Reason.ABOVE_LAST_BUCKET, "above 2560000 ms, the histogram's last bound", at_least=2_560_000.0)
    seen = an.serving()
    (only,) = analyze(replace(seen, metrics=replace(seen.metrics, ttft_p99_milliseconds=above)), ()).bottlenecks
    assert (only.type, only.value, only.at_least) == ("AboveLastBucket", None, 2_560_000.0)
    assert only.description.startswith("ttft p99 is above 2.56e+06 ms")
    plain = replace(above, at_least=None)
    assert analyze(replace(seen, metrics=replace(seen.metrics, ttft_p99_milliseconds=plain)), ()).bottlenecks == ()


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        (Reason.METRICS_MISSING, "MetricsMissing"),
        (Reason.PROMETHEUS_ERROR, "MetricsMissing"),
        (Reason.METRICS_STALE, "MetricsStale"),
        (Reason.METRICS_CONTRADICTORY, "MetricsContradictory"),
        (Reason.NOT_EXPOSED_BY_VERSION, None),
        (Reason.NOT_EXPOSED, None),
    ],
)
def test_metrics_that_are_not_there_are_a_finding(code: Reason, finding: str | None) -> None:
    seen = an.serving()
    gone = replace(seen.metrics, num_requests_running=Missing(code, "gone"))
    answer = analyze(replace(seen, metrics=gone), ())
    assert types(answer) == ([finding] if finding else [])
    assert answer.unknowns[0].code == code
    assert answer.unknowns[0].reason == "what limits the instance: gone"
    assert len(answer.unknowns[0].needs.split()) >= 4
    assert ("newer" in answer.unknowns[0].needs) == (code is Reason.NOT_EXPOSED_BY_VERSION)


def with_missing(code: Reason, **reasons: str) -> Analysis:
    """An instance that serves with ease, of which these are missing, each for its reason."""
    seen = an.serving()
    gone: dict[str, Any] = {name: Missing(code, reason) for name, reason in reasons.items()}
    return analyze(replace(seen, metrics=replace(seen.metrics, **gone)), ())


def test_measurements_that_cannot_be_true_are_one_finding_and_cost_something() -> None:
    seen = with_missing(
        Reason.METRICS_CONTRADICTORY,
        kv_cache_usage="vllm:kv_cache_usage_perc is 7, which is no share",
        kv_cache_usage_mean="vllm:kv_cache_usage_perc is 7, which is no share",
        requests_per_second="vllm:request_success_total is inf, which is no measured value",
    )
    (only,) = seen.bottlenecks
    assert (only.type, only.severity) == ("MetricsContradictory", Severity.MEDIUM)
    assert only.description == (
        "Measurements that cannot be true are left out. kv_cache_usage, kv_cache_usage_mean:"
        " vllm:kv_cache_usage_perc is 7, which is no share; requests_per_second: vllm:request_success_total is inf,"
        " which is no measured value."
    )
    assert (seen.cause, seen.health.score) == ("None", 90)
    assert "KV cache use: vllm:kv_cache_usage_perc is 7, which is no share" in [entry.reason for entry in seen.unknowns]


def test_what_the_cause_rests_on_and_cannot_be_true_is_told_once() -> None:
    seen = with_missing(Reason.METRICS_CONTRADICTORY, num_requests_running="is -5")
    assert types(seen) == ["MetricsContradictory"]
    both = with_missing(Reason.METRICS_CONTRADICTORY, num_requests_running="is -5", itl_mean_milliseconds="is 1e300")
    assert types(both) == ["MetricsContradictory", "MetricsContradictory"]
    assert types(with_missing(Reason.NOT_EXPOSED_BY_VERSION, itl_mean_milliseconds="no such series")) == []


def test_an_impossible_percentile_of_a_target_is_a_finding_too() -> None:
    wrong = Missing(Reason.METRICS_CONTRADICTORY, "buckets fall")
    seen = an.serving()
    answer = analyze(replace(seen, metrics=replace(seen.metrics, slo_milliseconds=(("e2e p90", wrong),))), ())
    assert answer.bottlenecks[0].description.endswith("left out. e2e p90: buckets fall.")


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("kv_cache_usage", "KV cache use"),
        ("ttft_mean_milliseconds", "time to first token"),
        ("itl_mean_milliseconds", "time between tokens"),
        ("queue_time_mean_milliseconds", "queue time"),
    ],
)
def test_latencies_and_the_caches_use_that_are_not_there_are_listed(name: str, subject: str) -> None:
    gone = {"kv_cache_usage_mean": None} if name == "kv_cache_usage" else {}
    seen = found({name: None, **gone})
    assert [entry.reason for entry in seen.unknowns] == [f"{subject}: not measured"]


def test_a_percentile_is_enough_to_know_a_latency() -> None:
    assert found({"ttft_mean_milliseconds": None, "ttft_p95_milliseconds": 300.0}).unknowns == ()


def test_what_was_looked_for_and_is_not_there_is_listed() -> None:
    seen = found({"tokens_per_step": None, "failed_requests_share": None})
    assert [entry.reason for entry in seen.unknowns] == ["tokens per step, failed requests: not measured"]
    other = Missing(Reason.NOT_EXPOSED_BY_VERSION, "no such series")
    mixed = an.serving(load={"failed_requests_share": None})
    mixed = replace(mixed, metrics=replace(mixed.metrics, tokens_per_step=other))
    assert [entry.code for entry in analyze(mixed, ()).unknowns] == ["NotExposedByVersion", "MetricsMissing"]
    gone = found({"num_requests_running": None, "tokens_per_step": None})
    assert [entry.reason for entry in gone.unknowns] == ["what limits the instance: not measured"]
    idle = found(
        {"tokens_per_step": None, "num_requests_running": 0.0, "num_requests_running_peak": 0.0}
        | {"requests_per_second": 0.0, "generation_tokens_per_second": 0.0}
    )
    assert (idle.cause, idle.unknowns) == ("Idle", ())


def test_a_window_of_no_length_and_a_query_without_end_do_no_harm() -> None:
    seen = an.observation()
    long = Measured(12.0, "requests" * 100, "q" * 10_000, 0)
    answer = analyze(replace(seen, metrics=replace(seen.metrics, num_requests_waiting=long)), ())
    assert answer.bottlenecks[0].evidence[0].window_seconds is None
    assert measured("x", 1.0) != long


def test_every_number_behind_a_finding_is_named() -> None:
    full = analyze(an.observation(load={"kv_cache_usage": 1.0, "kv_cache_usage_mean": 0.97}), ()).bottlenecks[0]
    assert [entry.metric for entry in full.evidence] == [
        "kv_cache_usage",  # the mean is the finding's own number
        "preemptions_per_second",
        "num_requests_waiting",
    ]
    for_room = analyze(an.observation(load={"waiting_for_capacity": 12.0}), ()).bottlenecks[0]
    assert [entry.metric for entry in for_room.evidence] == ["waiting_for_capacity", "kv_cache_usage"]


@pytest.mark.parametrize(
    ("load", "name", "shown"),
    [
        (WASTED, "MemoryWaste", ("kv_cache_usage_p99", 0.05, Counts.BELOW, 0.1)),
        ({"prefix_cache_hit_share": 0.0}, "PrefixCacheUseless", ("prefix_cache_hit_share", 0, Counts.BELOW, 0.01)),
        ({"uptime_seconds": 10.0}, "ColdStart", ("uptime_seconds", 10, Counts.BELOW, 300)),
        # 8 x (500 + 100) tokens
        (
            {"prompt_tokens_p99": 500.0, "generation_tokens_p99": 100.0},
            "ContextOverProvisioned",
            ("max_model_len", 8192, Counts.AT_LEAST, 4800),
        ),
        ({"restarts": 1.0}, "Restarted", ("restarts", 1, Counts.AT_LEAST, 1)),
        # 0.03 of 2.03 per second; below 1 % any counts
        (
            {"rejected_requests_per_second": 0.03},
            "RejectedRequests",
            ("rejected_requests_share", 0.01478, Counts.AT_LEAST, 0.01),
        ),
        (
            {"rejected_requests_per_second": 0.01},
            "RejectedRequests",
            ("rejected_requests_share", 0.004975, None, None),
        ),
    ],
)
def test_a_finding_says_what_its_number_was_compared_with_and_on_which_side_it_counts(
    load: dict[str, float | None], name: str, shown: tuple[Any, ...]
) -> None:
    entry = the(found(load), name)
    assert (entry.metric, entry.value, entry.counts, entry.threshold) == shown
    if entry.value is not None and entry.threshold is not None:
        assert (entry.value < entry.threshold) is (entry.counts is Counts.BELOW)


def test_a_context_of_any_length_does_no_harm() -> None:
    seen = found({"prompt_tokens_p99": 1.0, "generation_tokens_p99": 1.0}, settings={"max_model_len": 10**18})
    assert the(seen, "ContextOverProvisioned").value == 1e15
