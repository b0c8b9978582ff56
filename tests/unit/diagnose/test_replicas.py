"""Replicas side by side."""

from dataclasses import replace

import pytest
from tests.support.build import an

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.analyze import analyze
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import ReplicaMetrics


def replica(name: str, **numbers: float | None) -> ReplicaMetrics:
    """2 requests per second, 8 run, a token each 20 ms, the first after 100 ms."""
    base: dict[str, float | None] = {
        "num_requests_running": 8.0,
        "num_requests_waiting": 0.0,
        "requests_per_second": 2.0,
        "ttft_mean_milliseconds": 100.0,
        "itl_mean_milliseconds": 20.0,
    }
    return ReplicaMetrics(name, **{**base, **numbers})


def found(*replicas: ReplicaMetrics) -> list[Bottleneck]:
    return list(analyze(an.serving(replica_metrics=replicas), ()).bottlenecks)


@pytest.mark.parametrize(
    ("odd", "is_bad"),
    [
        ({"itl_mean_milliseconds": 40.0}, True),
        ({"itl_mean_milliseconds": 39.9}, False),
        ({"ttft_mean_milliseconds": 300.0}, True),
        ({"ttft_mean_milliseconds": 299.0}, False),
        ({"itl_mean_milliseconds": 40.0, "requests_per_second": 1.0}, True),  # less load explains nothing
        ({"itl_mean_milliseconds": 60.0, "requests_per_second": 3.0}, True),  # 1.5 x the others': 2 x 1.5 x 20 ms
        ({"itl_mean_milliseconds": 59.9, "requests_per_second": 3.0}, False),
        ({"itl_mean_milliseconds": 80.0, "requests_per_second": 4.0}, True),
        ({"itl_mean_milliseconds": 900.0, "requests_per_second": 4.1}, False),  # too much more to compare
        ({"itl_mean_milliseconds": 40.0, "requests_per_second": None}, False),
        ({"itl_mean_milliseconds": None}, False),
    ],
)
@pytest.mark.parametrize("others", [1, 2, 4])
def test_a_replica_that_is_slow_at_the_same_load_is_bad(
    odd: dict[str, float | None], is_bad: bool, others: int
) -> None:
    rest = [replica(f"good-{number}") for number in range(others)]
    assert [entry.type for entry in found(*rest, replica("odd", **odd))] == (["BadReplica"] if is_bad else [])


def test_a_bad_replica_is_named_with_its_number_and_the_others() -> None:
    (bad,) = found(replica("a"), replica("b", itl_mean_milliseconds=100.0), replica("c"))
    assert bad.description.startswith(
        "Replica b is slow: its time between tokens is 100 ms on average, the others' is 20"
    )
    assert (bad.metric, bad.value, bad.threshold, bad.unit) == ("itl_mean_milliseconds", 100.0, 40.0, "ms")
    assert (bad.evidence[0].formula, bad.evidence[0].value) == (
        "median of the other replicas' itl_mean_milliseconds",
        20.0,
    )


def test_milliseconds_and_the_others_spread_must_be_passed_too() -> None:
    quick = [replica(name, itl_mean_milliseconds=4.0) for name in "ab"]
    assert found(*quick, replica("c", itl_mean_milliseconds=8.9)) == []  # 4.9 ms more
    assert len(found(*quick, replica("c", itl_mean_milliseconds=9.0))) == 1
    # 10, 20, 30, 40 ms: median 25, absolute deviations 5 5 15 15, robust deviation 1.4826 x 10; 3.5 of them are 51.9 ms
    spread = [
        replica(name, itl_mean_milliseconds=value) for name, value in zip("abcd", (10.0, 20.0, 30.0, 40.0), strict=True)
    ]
    assert found(*spread, replica("e", itl_mean_milliseconds=76.0)) == []
    assert len(found(*spread, replica("e", itl_mean_milliseconds=77.0))) == 1


STILL = {"requests_per_second": 0.0, "generation_tokens_per_second": 0.0}


@pytest.mark.parametrize(
    ("odd", "others", "is_bad"),
    [
        ({}, 400.0, True),
        ({"num_requests_running": 1.0}, 400.0, True),
        ({"num_requests_running": 0.9}, 400.0, False),
        ({"num_requests_running": None}, 400.0, False),
        ({"generation_tokens_per_second": 0.1}, 400.0, False),  # it moves
        ({"requests_per_second": 0.1}, 400.0, False),
        ({"generation_tokens_per_second": None}, 400.0, False),
        ({}, 0.0, False),  # none of them moves: that is no replica's matter
        ({}, None, False),
    ],
)
def test_a_replica_that_stands_still_beside_others_is_bad(
    odd: dict[str, float | None], others: float | None, is_bad: bool
) -> None:
    rest = [replica(name, generation_tokens_per_second=others) for name in "ac"]
    seen = found(*rest, replica("b", **{**STILL, **odd}))
    assert [entry.type for entry in seen] == (["BadReplica"] if is_bad else [])


def test_a_replica_that_stands_still_is_told_with_its_numbers_and_not_as_unbalanced() -> None:
    rest = [replica(name, generation_tokens_per_second=400.0) for name in "ac"]
    (bad,) = found(*rest, replica("b", num_requests_running=32.0, **STILL))
    assert bad.severity is Severity.CRITICAL
    assert bad.description == (
        "Replica b stands still: 32 requests run in it, and for 900 s no token came out and none ended; the others give"
        " 400 tokens per second."
    )
    assert (bad.metric, bad.value, bad.threshold, bad.counts) == ("generation_tokens_per_second", 0.0, None, None)
    assert bad.evidence[0].value == 400.0


@pytest.mark.parametrize(("seconds", "is_bad"), [(29, False), (30, True)])
def test_half_a_minute_without_a_token_tells_it_beside_others(seconds: int, is_bad: bool) -> None:
    both = (replica("a", generation_tokens_per_second=400.0), replica("b", **STILL))
    seen = an.serving(replica_metrics=both)
    running = Measured(8.0, "requests", "q", seconds)
    seen = replace(seen, metrics=replace(seen.metrics, num_requests_running=running))
    assert [entry.type for entry in analyze(seen, ()).bottlenecks] == (["BadReplica"] if is_bad else [])


@pytest.mark.parametrize(
    ("mine", "others", "is_bad"),
    [
        (0.05, (0.0, 0.0), True),
        (0.049, (0.0, 0.0), False),
        (0.09, (0.03, 0.03), True),
        (0.089, (0.03, 0.03), False),  # three times theirs
        (0.9, (0.4, 0.4), False),  # clients give up everywhere
        # 0, 0.02, 0.04, 0.1: median 0.03, absolute deviations 0.01 0.01 0.03 0.07: 3.5 x 1.4826 x 0.02 = 0.104 more
        (0.13, (0.0, 0.02, 0.04, 0.1), False),
        (0.135, (0.0, 0.02, 0.04, 0.1), True),
        (None, (0.0,), False),
        (0.5, (None,), False),
    ],
)
def test_a_replica_whose_requests_fail_beside_others_is_bad(
    mine: float | None, others: tuple[float | None, ...], is_bad: bool
) -> None:
    rest = [replica(f"good-{number}", failed_requests_share=share) for number, share in enumerate(others)]
    seen = found(*rest, replica("odd", failed_requests_share=mine))
    assert [entry.type for entry in seen] == (["BadReplica"] if is_bad else [])
    few = replica("odd", failed_requests_share=mine, requests_per_second=0.02)  # 18 requests in 900 s
    assert "BadReplica" not in [entry.type for entry in found(*rest, few)]


def test_a_failing_replica_is_told_with_its_share() -> None:
    (bad,) = found(replica("a", failed_requests_share=0.0), replica("b", failed_requests_share=0.4))
    assert bad.description == (
        "Replica b fails: 40.0% of its requests ended by error or were aborted, 0.0% of the others'."
    )
    assert (bad.severity, bad.metric, bad.value, bad.threshold) == (
        Severity.HIGH,
        "failed_requests_share",
        0.4,
        0.05,
    )


@pytest.mark.parametrize(
    ("odd", "is_unbalanced"),
    [
        ({"num_requests_running": 16.0, "requests_per_second": 3.0}, True),
        ({"num_requests_running": 15.9, "requests_per_second": 3.0}, False),  # below twice
        ({"num_requests_waiting": 8.0, "requests_per_second": 3.0}, True),
        ({"num_requests_running": 16.0}, True),  # it finishes what it can
        ({"num_requests_waiting": 8.0, "ttft_mean_milliseconds": 900.0}, True),  # its requests wait
        ({"num_requests_running": 16.0, "itl_mean_milliseconds": 39.0}, True),
        ({"num_requests_running": 16.0, "requests_per_second": None}, False),
        ({"num_requests_running": None, "requests_per_second": 3.0}, False),
    ],
)
def test_a_replica_that_gets_more_requests_is_a_matter_of_balance(
    odd: dict[str, float | None], is_unbalanced: bool
) -> None:
    seen = found(replica("a"), replica("b", **odd))
    assert [entry.type for entry in seen] == (["UnbalancedLoad"] if is_unbalanced else [])


def test_a_slow_replica_is_fuller_because_it_is_slow() -> None:
    slow = replica("b", itl_mean_milliseconds=60.0, num_requests_running=24.0)
    assert [entry.type for entry in found(replica("a"), slow)] == ["BadReplica"]


def test_a_few_requests_more_are_chance() -> None:
    few = replica("a", num_requests_running=1.0)
    assert found(few, replica("b", num_requests_running=4.9, requests_per_second=4.0)) == []
    (more,) = found(few, replica("b", num_requests_running=5.0, requests_per_second=4.0))
    assert (more.value, more.threshold, more.unit) == (5.0, 2.0, "requests")


def test_one_replica_or_one_that_has_just_started_is_not_compared() -> None:
    assert found(replica("a", itl_mean_milliseconds=900.0)) == []
    young = replica("b", itl_mean_milliseconds=100.0, uptime_seconds=5.0)
    seen = analyze(an.serving(replica_metrics=(replica("a", uptime_seconds=5.0), young)), ())
    assert [entry.type for entry in seen.bottlenecks] == ["ColdStart"]


UNEVEN = {"num_requests_running": 20.0, "num_requests_waiting": 8.0}  # means of a busy and a quiet one


@pytest.mark.parametrize(
    ("busy", "cause"),
    [
        ({"num_requests_running": 32.0, "num_requests_waiting": 16.0}, "SchedulerCapped"),
        ({"num_requests_running": 16.0, "num_requests_waiting": 16.0, "kv_cache_usage": 0.97}, "KvBound"),
        ({"num_requests_running": 32.0, "num_requests_waiting": 16.0, "kv_cache_usage": 0.97}, "Overload"),
        ({"num_requests_running": 16.0, "num_requests_waiting": 16.0}, "Unknown"),
        ({"num_requests_running": None, "num_requests_waiting": 16.0}, "Unknown"),
        ({"num_requests_running": 32.0, "num_requests_waiting": None}, "Unknown"),
    ],
)
def test_where_means_fit_nothing_the_longest_queue_is_looked_at_alone(
    busy: dict[str, float | None], cause: str
) -> None:
    both = (replica("quiet", kv_cache_usage=0.2), replica("busy", **{"kv_cache_usage": 0.3, **busy}))
    load = {**UNEVEN, "queue_time_mean_milliseconds": None, "kv_cache_usage": 0.94}
    seen = analyze(an.serving(load=load, replica_metrics=both), ())
    assert seen.cause == cause
    limits = [entry.description for entry in seen.bottlenecks if entry.type in {"SchedulerCapped", "KvBound"}]
    assert all(text.startswith("Replica busy: ") for text in limits)
    assert bool(limits) is (cause != "Unknown")
