"""The whole analysis: order, advice, bounds."""

from dataclasses import replace

import pytest
from tests.support.build import an

from inferplan.api.analysis import Analysis
from inferplan.api.instance import SLOMetric
from inferplan.api.reasons import Reason
from inferplan.diagnose.analyze import analyze
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Observation

CAPPED = {"num_requests_waiting": 12.0, "queue_time_mean_milliseconds": None, "num_requests_running": 32.0}


def with_target(seen: Observation, name: str, value: Measurement) -> Observation:
    return replace(seen, metrics=replace(seen.metrics, slo_milliseconds=((name, value),)))


def missed(metric: SLOMetric, load: dict[str, float | None]) -> Analysis:
    name = f"{metric} p95"
    seen = with_target(an.serving(load=load), name, Measured(900.0, "ms", "q", 900))
    return analyze(seen, (an.slo(metric, 95, 100),))


def test_findings_come_worst_first_and_recommendations_most_urgent_first() -> None:
    load = {**CAPPED, "restarts": 1.0, "failed_requests_share": 0.3, "prefix_cache_hit_share": 0.0}
    seen = missed(SLOMetric.TTFT, load)
    assert [entry.type for entry in seen.bottlenecks] == [
        "FailedRequests",
        "SchedulerCapped",
        "Restarted",
        "PrefixCacheUseless",
    ]
    assert [entry.code for entry in seen.recommendations] == [
        "FailedRequests",
        "SchedulerCapped",
        "SloMissed",
        "Restarted",
        "PrefixCacheUseless",
    ]


@pytest.mark.parametrize(
    ("metric", "load", "advice"),
    [
        (SLOMetric.TTFT, CAPPED, "mend what makes requests wait first (SchedulerCapped)"),
        (SLOMetric.TTFT, {}, "no queue explains it"),
        (SLOMetric.E2E, {}, "no queue explains it"),
        (SLOMetric.ITL, CAPPED, "a lower --max-num-batched-tokens where prompts interrupt answers"),
        (SLOMetric.TPOT, {}, "shorter steps"),
    ],
)
def test_advice_on_a_missed_target_follows_its_latency(
    metric: SLOMetric, load: dict[str, float | None], advice: str
) -> None:
    texts = [entry.text for entry in missed(metric, load).recommendations if entry.code == "SloMissed"]
    assert len(texts) == 1
    assert advice in texts[0]


def test_the_same_advice_is_given_once() -> None:
    overload = analyze(an.observation(load={"kv_cache_usage": 1.0}), ())
    assert [entry.type for entry in overload.bottlenecks] == ["KvBound", "SchedulerCapped"]
    assert [entry.code for entry in overload.recommendations] == ["KvBound"]


def test_targets_that_cannot_be_judged_are_listed_as_unknown() -> None:
    target = (an.slo(SLOMetric.TTFT, 95, 300),)
    wide = Measured(290.0, "ms", "q", 900, low=250.0, high=500.0)
    (edge,) = analyze(with_target(an.serving(), "ttft p95", wide), target).unknowns
    assert edge.reason == ("ttft p95: the histogram's buckets (250 to 500 ms) cannot tell whether it is below 300 ms.")
    gone = Missing(Reason.NOT_EXPOSED_BY_VERSION, "no such series")
    (missing,) = analyze(with_target(an.serving(), "ttft p95", gone), target).unknowns
    assert (missing.code, missing.reason) == ("NotExposedByVersion", "ttft p95: no such series")
    assert missing.needs == "A newer engine version."


def test_a_reason_without_its_own_need_asks_for_another_look() -> None:
    idle = Missing(Reason.IDLE, "no request finished in the window")
    seen = analyze(with_target(an.serving(), "ttft p95", idle), (an.slo(SLOMetric.TTFT, 95, 300),))
    assert seen.unknowns[0].needs == "The same look again, later."


def test_both_wires_carry_the_analysis() -> None:
    seen = missed(SLOMetric.TTFT, CAPPED)
    assert Analysis.from_kube(seen.to_kube()).to_http()["cause"] == "SchedulerCapped"
    assert seen.to_kube()["sloStatuses"][0]["deviationPercent"] == 800
