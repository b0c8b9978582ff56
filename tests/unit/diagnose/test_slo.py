"""Latency targets: met, missed, or beyond what buckets can tell."""

from typing import Any

import pytest
from tests.support.build import an, measured

from inferplan.api.instance import SLOMetric
from inferplan.api.reasons import Reason
from inferplan.diagnose.slo import SLOState, slo_name, slo_states, slo_status
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Metrics

TTFT = an.slo(SLOMetric.TTFT, 95, 300)


def state(value: Measurement, missed: Measurement | None = None) -> SLOState:
    shares = (("ttft p95", missed),) if missed is not None else ()
    (only,) = slo_states((TTFT,), Metrics(slo_milliseconds=(("ttft p95", value),), slo_missed_share=shares))
    return only


def between(low: float | None, value: float, high: float | None) -> Measured:
    return Measured(value, "ms", "p95 of ttft", 900, low, high)


def share(value: float, low: float | None = None, high: float | None = None) -> Measured:
    return Measured(value, "share", "above", 900, low, high)


def test_a_target_is_met_up_to_its_bound() -> None:
    slos = (an.slo(SLOMetric.TTFT, 95, 812), an.slo(SLOMetric.TTFT, 95, 811))
    states = slo_states(slos, Metrics(slo_milliseconds=(("ttft p95", measured("ttft", 812)),)))
    assert [state.met for state in states] == [True, False]
    assert states[1].sentence == "ttft p95 is 812 ms, target 811 ms"


def test_a_target_that_is_not_measured_is_neither_met_nor_missed() -> None:
    (only,) = slo_states((an.slo(),), Metrics())
    assert (only.met, only.sentence, only.is_measured) == (None, "itl p95: not measured", False)
    assert only.deviation_percent is None
    assert slo_name(an.slo()) == "itl p95"


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (between(250, 280, 300), True),  # all of the bucket is below
        (between(250, 290, 301), None),
        (between(299, 310, 350), None),
        (between(300, 310, 350), False),  # all of it above
        (between(None, 300, None), True),  # exact
        (between(None, 300.1, None), False),
        (Missing(Reason.ABOVE_LAST_BUCKET, "above", at_least=300.0), False),
        (Missing(Reason.ABOVE_LAST_BUCKET, "above", at_least=299.0), None),
    ],
)
def test_buckets_tell_what_they_can(value: Measurement, met: bool | None) -> None:
    assert state(value).met is met


@pytest.mark.parametrize(
    ("missed", "met"),
    [
        (share(0.03, 0.01, 0.05), True),  # 5 % may miss it
        (share(0.03, 0.01, 0.051), None),
        (share(0.06, 0.05, 0.09), None),
        (share(0.06, 0.051, 0.09), False),
        (share(0.05), True),
        (share(0.06), False),
        (Missing(Reason.METRICS_MISSING, "gone"), None),
    ],
)
def test_where_the_bucket_holds_the_target_the_missed_share_tells(missed: Measurement, met: bool | None) -> None:
    assert state(between(250, 290, 500), missed).met is met


def test_a_target_inside_a_bucket_is_not_known() -> None:
    undecided = state(between(250, 290, 500))
    assert undecided.sentence == (
        "ttft p95: the histogram's buckets (250 to 500 ms) cannot tell whether it is below 300 ms"
    )
    shown = slo_status(undecided)
    assert (shown.is_compliant, shown.current_value, shown.low, shown.high) == (None, 290, 250, 500)
    assert shown.reason == "the histogram's buckets (250 to 500 ms) cannot tell whether it is below 300 ms"


def test_a_percentile_above_the_last_bucket_is_told_from_below() -> None:
    above = state(Missing(Reason.ABOVE_LAST_BUCKET, "above 400 ms, the last bound", at_least=400.0))
    assert (above.sentence, above.is_measured) == ("ttft p95 is above 400 ms, target 300 ms", True)
    shown = slo_status(above)
    assert (shown.is_compliant, shown.current_value, shown.at_least, shown.deviation_percent) == (
        False,
        None,
        400,
        None,
    )
    assert shown.reason == "above 400 ms, the last bound"


@pytest.mark.parametrize(
    ("value", "missed", "expected"),
    [
        (450, 0.10, {"deviation_percent": 50.0, "error_budget_used_percent": 200.0, "is_compliant": False}),
        (240, 0.01, {"deviation_percent": -20.0, "error_budget_used_percent": 20.0, "is_compliant": True}),
        (240, None, {"missed_share": None, "error_budget_used_percent": None, "allowed_share": 0.05}),
        (450, 1.5, {"missed_share": 1.0}),
        (450, -0.5, {"missed_share": 0.0}),
    ],
)
def test_deviation_and_error_budget(value: float, missed: float | None, expected: dict[str, Any]) -> None:
    shown = slo_status(state(between(None, value, None), None if missed is None else share(missed)))
    assert {name: getattr(shown, name) for name in expected} == expected
    assert (shown.query, shown.window_seconds, shown.unit) == ("p95 of ttft", 900, "ms")
