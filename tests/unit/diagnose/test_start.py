"""Cold starts and restarts."""

from dataclasses import replace

import pytest
from tests.support.build import an

from inferplan.api.analysis import Severity
from inferplan.diagnose.analyze import analyze
from inferplan.diagnose.bottlenecks import Cause, diagnose
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import Observation, ReplicaMetrics


def over(seconds: int | None, uptime: float) -> Observation:
    """A window of so many seconds on an engine of that age."""
    seen = an.serving(load={"uptime_seconds": uptime})
    return replace(seen, metrics=replace(seen.metrics, num_requests_running=Measured(14, "requests", "q", seconds)))


@pytest.mark.parametrize(
    ("seconds", "uptime", "cause"),
    [
        (30, 89.9, Cause.COLD_START),  # a start takes 90 s
        (30, 90.0, Cause.NONE),
        (None, 89.9, Cause.COLD_START),
        (200, 199.0, Cause.COLD_START),  # the window holds the start
        (200, 200.0, Cause.NONE),
        (900, 299.0, Cause.COLD_START),  # five minutes, however long the window
        (900, 300.0, Cause.NONE),
    ],
)
def test_an_engine_younger_than_its_window_is_cold(seconds: int | None, uptime: float, cause: Cause) -> None:
    assert diagnose(over(seconds, uptime)).cause is cause


def test_a_cold_engine_is_not_blamed_for_its_queue() -> None:
    found = diagnose(an.observation(load={"uptime_seconds": 100.0, "kv_cache_usage": 1.0}))
    assert found.cause is Cause.COLD_START
    assert not found.kv_cache_full
    (cold,) = found.bottlenecks
    assert cold.description == "The engine started 100 s ago: what was measured tells of the start."
    assert (cold.value, cold.threshold) == (100.0, 300.0)


def replicas(*uptimes: float | None) -> tuple[ReplicaMetrics, ...]:
    return tuple(ReplicaMetrics(f"pod-{number}", uptime_seconds=age) for number, age in enumerate(uptimes))


@pytest.mark.parametrize(
    ("uptimes", "cause"),
    [
        ((100.0, 9000.0), Cause.NONE),  # half of them
        ((100.0, 120.0, 9000.0), Cause.COLD_START),
        ((100.0, None), Cause.COLD_START),
        ((None, None), Cause.NONE),
        ((), Cause.COLD_START),
    ],
)
def test_one_new_replica_of_several_makes_no_cold_start(uptimes: tuple[float | None, ...], cause: Cause) -> None:
    assert diagnose(an.serving(load={"uptime_seconds": 100.0}, replica_metrics=replicas(*uptimes))).cause is cause


def test_the_youngest_of_replicas_that_are_not_told_apart_says_nothing_of_the_others() -> None:
    assert diagnose(an.serving(load={"uptime_seconds": 100.0}, replicas=3)).cause is Cause.NONE


def test_several_young_replicas_are_counted() -> None:
    seen = an.serving(load={"uptime_seconds": 100.0}, replica_metrics=replicas(100.0, 120.0, 9000.0))
    assert diagnose(seen).bottlenecks[0].description.startswith("2 of 3 replicas started 100 s ago")


@pytest.mark.parametrize(
    ("count", "severity"),
    [(0.0, None), (0.99, None), (1.0, Severity.MEDIUM), (2.9, Severity.MEDIUM), (3.0, Severity.HIGH)],
)
def test_restarts_are_a_finding_and_many_a_crash_loop(count: float, severity: Severity | None) -> None:
    found = analyze(an.serving(load={"restarts": count}), ()).bottlenecks
    assert [(entry.type, entry.severity) for entry in found] == ([("Restarted", severity)] if severity else [])


def test_how_often_it_restarted_is_said() -> None:
    (once,) = analyze(an.serving(load={"restarts": 1.0}), ()).bottlenecks
    assert once.description.startswith("The engine restarted 1 time in")
    assert once.evidence[0].query == "vllm:uptime_seconds"
    (often,) = analyze(an.serving(load={"restarts": 4.0}), ()).bottlenecks
    assert often.description.startswith("The engine restarted 4 times in")
