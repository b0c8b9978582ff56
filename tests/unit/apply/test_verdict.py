"""Whether a change helped."""

from typing import Any

import pytest

from inferplan.api.apply import VerifySpec
from inferplan.api.attempt import ComparedStatus, WindowStatus
from inferplan.api.instance import SLO, Objective, SLOMetric
from inferplan.api.values import Effect, Source
from inferplan.apply.verdict import Judgement, Verdict, Wanted, judge, verification_of

BEFORE = {
    "prompt_tokens_mean": 500.0,
    "generation_tokens_mean": 200.0,
    "num_requests_running": 32.0,
    "num_requests_waiting": 32.0,
    "arrivals_per_second": 5.0,
    "requests_per_second": 5.0,
    "generation_tokens_per_second": 1000.0,
    "ttft_mean_milliseconds": 4000.0,
    "itl_mean_milliseconds": 30.0,
    "e2e_mean_milliseconds": 10_000.0,
    "failed_requests_share": 0.0,
}
BETTER = {
    "generation_tokens_per_second": 1600.0,
    "requests_per_second": 8.0,
    "arrivals_per_second": 8.0,
    "num_requests_running": 62.0,
    "num_requests_waiting": 2.0,
    "ttft_mean_milliseconds": 500.0,
    "itl_mean_milliseconds": 40.0,
    "e2e_mean_milliseconds": 8000.0,
}
TARGET = SLO(metric=SLOMetric.ITL, percentile=95, target_milliseconds=50)


def window(requests: float = 4500.0, **values: float | None) -> WindowStatus:
    kept = {name: value for name, value in {**BEFORE, **values}.items() if value is not None}
    return WindowStatus(ended_at="2026-03-01T12:00:00Z", seconds=900, requests=requests, values=kept)


def effect(metric: str, current: float, low: float, expected: float, high: float) -> Effect:
    return Effect(
        metric=metric,
        current=current,
        low=low,
        expected=expected,
        high=high,
        unit="1",
        source=Source.CALIBRATED_HERE,
        basis="a test",
    )


FORECAST = (
    effect("output_tokens_per_second", 900.0, 1350.0, 1530.0, 1620.0),
    effect("itl_mean", 30.0, 36.0, 39.0, 42.0),
)


def judged(after: WindowStatus, before: WindowStatus | None = None, **wanted: Any) -> Judgement:
    base: dict[str, Any] = {
        "objective": Objective.THROUGHPUT,
        "slos": (),
        "verify": VerifySpec(),
        "effects": FORECAST,
    }
    return judge(before or window(), after, Wanted(**{**base, **wanted}))


def test_a_change_that_did_what_it_should_is_kept() -> None:
    found = judged(window(**BETTER))
    assert found.verdict is Verdict.KEEP
    assert found.reason == "output tokens per second went from 1000 to 1600 tokens/s, and nothing got worse"
    first = found.compared[0]
    # the plan's ratios, on what the window before says: 1530/900 of 1000
    assert (first.before, first.after) == (1000.0, 1600.0)
    assert first.predicted_low == pytest.approx(1500.0)
    assert first.predicted == pytest.approx(1700.0)
    assert first.predicted_high == pytest.approx(1800.0)


def test_less_throughput_is_harm() -> None:
    found = judged(window(generation_tokens_per_second=850.0))
    assert found.verdict is Verdict.ROLL_BACK
    assert found.reason == "output tokens per second went from 1000 to 850 tokens/s"


def test_what_chance_does_is_no_harm() -> None:
    few = {"before": window(250.0)}
    assert judged(window(250.0, generation_tokens_per_second=900.0), **few).verdict is Verdict.KEEP
    assert judged(window(250.0, generation_tokens_per_second=800.0), **few).verdict is Verdict.ROLL_BACK


def test_slower_tokens_are_no_harm_where_throughput_is_wanted() -> None:
    assert judged(window(**{**BETTER, "itl_mean_milliseconds": 60.0})).verdict is Verdict.KEEP


def test_slower_tokens_are_harm_where_latency_is_wanted_and_nobody_said_so() -> None:
    worse = window(itl_mean_milliseconds=36.0)
    assert judged(worse, objective=Objective.LATENCY, effects=()).verdict is Verdict.ROLL_BACK
    assert judged(worse, objective=Objective.LATENCY).verdict is Verdict.KEEP  # up to 42 was said


def test_a_target_that_holds_may_come_nearer() -> None:
    before = window(1000.0, **{"itl p95": 17.0})
    assert judged(window(**{**BETTER, "itl p95": 40.0}), before, slos=(TARGET,)).verdict is Verdict.KEEP


def test_a_target_that_held_must_hold() -> None:
    before = window(**{"itl p95": 48.0})
    found = judged(window(**{**BETTER, "itl p95": 52.0}), before, slos=(TARGET,))
    assert found.verdict is Verdict.ROLL_BACK
    assert found.reason == "itl p95 went from 48 to 52 ms, beyond its target of 50"
    missed = window(**{"itl p95": 60.0})
    assert judged(window(**{**BETTER, "itl p95": 61.0}), missed, slos=(TARGET,)).verdict is Verdict.KEEP


def test_requests_that_fail_are_harm_whatever_the_load() -> None:
    found = judged(window(failed_requests_share=0.05, prompt_tokens_mean=5000.0))
    assert found.verdict is Verdict.ROLL_BACK
    assert found.reason == "5.0% of the requests fail, 0.0% did before"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (window(100.0, **BETTER), "100 requests finished in the window after the change"),
        (window(prompt_tokens_mean=700.0), "the traffic is another one: prompt_tokens_mean was 500 and is 700"),
        (window(generation_tokens_mean=None), "generation_tokens_mean was not measured both before and after"),
        (
            window(arrivals_per_second=2.0, num_requests_running=10.0, num_requests_waiting=0.0),
            "the load is another one: requests per second and in flight went from 5 to 2 and 64 to 10",
        ),
        (
            window(arrivals_per_second=None, requests_per_second=None, num_requests_running=None),
            "neither the rate of requests nor those in flight were measured both before and after",
        ),
    ],
)
def test_windows_that_are_not_alike_tell_nothing(after: WindowStatus, told: str) -> None:
    found = judged(after)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason.startswith(told)


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(60, Verdict.INCONCLUSIVE), (299, Verdict.INCONCLUSIVE), (300, Verdict.KEEP)]
)
def test_a_window_of_pods_that_are_young_tells_nothing(seconds: int, verdict: Verdict) -> None:
    """All were replaced a minute ago, or the clock jumped: what starts is slow, and nobody's doing."""
    found = judged(window(**BETTER).model_copy(update={"seconds": seconds}))
    assert found.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert found.reason == f"only {seconds} of 900 s were measured after it: its pods are young"


def test_failures_that_were_not_measured_before_are_not_taken_for_none() -> None:
    before = window(failed_requests_share=None)
    assert judged(window(failed_requests_share=0.05), before).verdict is not Verdict.ROLL_BACK


def test_all_targets_that_an_instance_may_have_are_told() -> None:
    slos = tuple(
        SLO(metric=metric, percentile=percentile, target_milliseconds=50_000)
        for metric in SLOMetric
        for percentile in (50, 75, 90, 95, 98, 99)
    )[:16]
    values = {f"{slo.metric.value} p{slo.percentile}": 100.0 for slo in slos}
    found = judged(window(**BETTER, **values), window(**values), slos=slos)
    assert found.verdict is Verdict.KEEP
    assert len(verification_of("x", found, window()).compared) == 20


def test_too_few_before_tell_nothing_either() -> None:
    assert judged(window(), window(10.0)).reason.startswith("10 requests finished in the window before the change")


def test_nothing_to_compare_tells_nothing() -> None:
    bare: dict[str, Any] = {
        "generation_tokens_per_second": None,
        "ttft_mean_milliseconds": None,
        "itl_mean_milliseconds": None,
        "e2e_mean_milliseconds": None,
    }
    assert judged(window(**bare)).reason == "no metric was measured both before and after"


def test_what_one_window_lacks_is_not_taken_for_unharmed() -> None:
    found = judged(window(generation_tokens_per_second=None))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "output tokens per second was not measured both before and after"
    slow = judged(window(ttft_mean_milliseconds=None, generation_tokens_per_second=850.0))
    assert slow.verdict is Verdict.ROLL_BACK  # what was seen is harm enough
    never = {"before": window(itl_mean_milliseconds=None)}
    assert judged(window(**{**BETTER, "itl_mean_milliseconds": None}), **never).verdict is Verdict.KEEP


def test_the_objective_s_metric_comes_first() -> None:
    assert judged(window(), objective=Objective.LATENCY).compared[0].metric == "mean time between tokens"


def test_what_was_nothing_cannot_get_worse() -> None:
    nothing = window(ttft_mean_milliseconds=0.0, generation_tokens_per_second=0.0)
    assert judged(window(), nothing).verdict is Verdict.KEEP
    assert judged(window(), nothing, objective=Objective.LATENCY).verdict is Verdict.KEEP


def test_what_was_promised_between_two_ends_alone_is_realized_without_an_error() -> None:
    row = ComparedStatus(
        metric="output tokens per second",
        unit="tokens/s",
        before=739.0,
        predicted_low=739.0,
        predicted_high=1477.0,
        after=1454.0,
    )
    told = verification_of("throughput 1-2x", Judgement(Verdict.KEEP, "it got better", (row,)), None)
    assert (told.realized, told.error) == ("output tokens per second +97%", None)
