"""The score's arithmetic (docs/diagnosis.md), and when there is none."""

from dataclasses import replace

import pytest
from tests.support.build import an

from inferplan.api.analysis import Analysis
from inferplan.api.instance import SLO, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.diagnose.analyze import analyze
from inferplan.domain.drift import Drift, DriftFinding, Severity
from inferplan.domain.measurement import Measured, Measurement, Missing

TTFT = an.slo(SLOMetric.TTFT, 95, 500)
REFUSED = Drift((DriftFinding("Refused", Severity.ERROR, "--x", "--x is refused"),), "0.33.0")
QUEUE = {"num_requests_waiting": 12.0, "queue_time_mean_milliseconds": None}
CAPPED = {**QUEUE, "num_requests_running": 32.0}


def judged(value: Measurement | None = None, slos: tuple[SLO, ...] = (), **observed: object) -> Analysis:
    seen = an.serving(**observed)  # type: ignore[arg-type]
    if value is not None:
        seen = replace(seen, metrics=replace(seen.metrics, slo_milliseconds=(("ttft p95", value),)))
    return analyze(seen, slos)


def ttft(milliseconds: float) -> Measured:
    return Measured(milliseconds, "ms", "p95 of ttft", 900)


@pytest.mark.parametrize(
    ("observed", "score"),
    [
        ({}, 100.0),
        ({"load": CAPPED}, 75.0),  # high: 25
        ({"load": {**CAPPED, "kv_cache_usage_mean": 0.99}}, 50.0),  # overload: two of them
        ({"load": {"restarts": 1.0}}, 90.0),  # medium: 10
        ({"load": {"prefix_cache_hit_share": 0.0}}, 100.0),  # low: nothing
        ({"drift": REFUSED}, 60.0),  # critical: 40
        ({"drift": REFUSED, "load": {**CAPPED, "failed_requests_share": 0.3}}, 0.0),  # 40 + 40 + 25
    ],
)
def test_findings_cost_by_severity(observed: dict[str, object], score: float) -> None:
    health = judged(**observed).health
    assert health.score == score
    points = sum(entry.points for entry in health.deductions)
    assert max(0.0, 100 - points) == score
    assert (health.reason is None) is (points <= 100)


def test_points_beyond_a_hundred_are_said() -> None:
    health = judged(drift=REFUSED, load={**CAPPED, "failed_requests_share": 0.3}).health
    assert health.reason == "105 points were taken off, and no score is below 0"
    assert [entry.code for entry in health.deductions] == ["ArgumentsRefused", "FailedRequests", "SchedulerCapped"]
    assert health.deductions[0].reason == "a finding of severity critical costs 40"


@pytest.mark.parametrize(
    ("value", "slos", "observed", "at_most", "codes"),
    [
        (None, (TTFT,), {}, None, []),  # the target is not measured, and nothing costs
        # two critical findings and a target that is not measured: 100 - 40 - 40
        (
            None,
            (TTFT,),
            {"drift": REFUSED, "load": {"failed_requests_share": 0.3}},
            20.0,
            ["ArgumentsRefused", "FailedRequests"],
        ),
        (ttft(1000), (TTFT,), {"load": QUEUE}, 70.0, ["SloMissed"]),  # the cause is not known
        (None, (), {"drift": REFUSED, "load": {"num_requests_running": None}}, 60.0, ["ArgumentsRefused"]),
        (ttft(1000), (TTFT,), {"load": {"uptime_seconds": 5.0}}, None, []),  # what a start misses says nothing
        (None, (), {"drift": REFUSED, "load": {"uptime_seconds": 5.0}}, 60.0, ["ArgumentsRefused"]),
    ],
)
def test_without_a_score_it_is_told_what_it_is_at_most(
    value: Measurement | None,
    slos: tuple[SLO, ...],
    observed: dict[str, object],
    at_most: float | None,
    codes: list[str],
) -> None:
    health = judged(value, slos, **observed).health
    assert (health.score, health.at_most) == (None, at_most)
    assert [entry.code for entry in health.deductions] == codes
    assert health.reason


@pytest.mark.parametrize(
    ("value", "points"),
    [
        (ttft(500), None),
        (ttft(501), 15.0),  # 15 + 15 x 0.002
        (ttft(700), 21.0),  # 40 % above: 15 + 6
        (ttft(1000), 30.0),
        (ttft(9000), 30.0),
        (Missing(Reason.ABOVE_LAST_BUCKET, "above", at_least=600.0), 18.0),  # 20 % above, at least
    ],
)
def test_a_missed_target_costs_by_how_far_it_is_missed(value: Measurement, points: float | None) -> None:
    health = judged(value, (TTFT,)).health
    assert [entry.points for entry in health.deductions] == ([points] if points is not None else [])
    assert health.score == 100 - (points or 0)


def test_a_target_missed_by_share_alone_costs_the_least() -> None:
    wide = Measured(490.0, "ms", "q", 900, low=250.0, high=1000.0)
    seen = an.serving()
    metrics = replace(
        seen.metrics,
        slo_milliseconds=(("ttft p95", wide),),
        slo_missed_share=(("ttft p95", Measured(0.2, "share", "q", 900)),),
    )
    (cost,) = analyze(replace(seen, metrics=metrics), (TTFT,)).health.deductions
    assert (cost.code, cost.points) == ("SloMissed", 15.0)


def test_a_target_that_buckets_cannot_judge_costs_nothing_and_is_named() -> None:
    health = judged(Measured(490.0, "ms", "q", 900, low=250.0, high=1000.0), (TTFT,)).health
    assert (health.score, health.reason) == (100.0, "not judged, as buckets cannot tell: ttft p95")


@pytest.mark.parametrize(
    ("observed", "slos", "reason"),
    [
        ({"load": {"num_requests_running": None}}, (), "what limits the instance is not known: not measured"),
        ({"load": QUEUE}, (), "what limits the instance is not known: 12 requests wait"),
        ({"load": {"uptime_seconds": 5.0}}, (TTFT,), "the engine has just started"),
        (
            {
                "load": {
                    "num_requests_running": 0.0,
                    "num_requests_running_peak": 0.0,
                    "requests_per_second": 0.0,
                    "generation_tokens_per_second": 0.0,
                }
            },
            (TTFT,),
            "no request ran or waited",
        ),
        ({}, (TTFT,), "a target is not measured: ttft p95: not measured"),
    ],
)
def test_without_something_to_judge_by_there_is_no_score(
    observed: dict[str, object], slos: tuple[SLO, ...], reason: str
) -> None:
    health = judged(slos=slos, **observed).health
    assert (health.score, health.deductions) == (None, ())
    assert str(health.reason).startswith(reason)
