"""An engine in which requests run and from which nothing comes out."""

from dataclasses import replace

import pytest
from tests.support.build import an

from inferplan.api.analysis import Severity
from inferplan.api.instance import SLOMetric
from inferplan.api.reasons import Reason
from inferplan.diagnose.analyze import analyze
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.diagnose.finding import Cause
from inferplan.domain.measurement import Measured

STUCK: dict[str, float | None] = {
    "generation_tokens_per_second": 0.0,
    "prompt_tokens_per_second": 0.0,
    "requests_per_second": 0.0,
}


@pytest.mark.parametrize(
    "load",
    [
        {},  # 14 of 32 run, nothing waits
        {"num_requests_running": 32.0, "num_requests_waiting": 24.0},  # at the cap, and a larger one would help nobody
        {"kv_cache_usage": 1.0, "kv_cache_usage_mean": 1.0, "num_requests_waiting": 5.0},
    ],
)
def test_nothing_comes_out_although_requests_run(load: dict[str, float | None]) -> None:
    seen = diagnose(an.serving(load={**STUCK, **load}))
    (found,) = seen.bottlenecks
    assert (seen.cause, seen.missing[0].code) == (Cause.UNKNOWN, Reason.STALLED)
    assert (found.type, found.severity) == ("Stalled", Severity.CRITICAL)
    assert "requests run, and for 900 s no token came out, no prompt was read and no request ended" in found.description


@pytest.mark.parametrize(
    "load",
    [
        {"generation_tokens_per_second": 0.1},
        {"prompt_tokens_per_second": 0.1},  # a long prompt is read
        {"requests_per_second": 0.1},
        {"prompt_tokens_per_second": None},  # not known
        {"num_requests_running": 0.9},
    ],
)
def test_what_moves_or_may_have_moved_is_not_stuck(load: dict[str, float | None]) -> None:
    seen = diagnose(an.serving(load={**STUCK, **load}))
    assert "Stalled" not in [entry.type for entry in seen.bottlenecks]


@pytest.mark.parametrize(("seconds", "stuck"), [(59, False), (60, True), (None, False)])
def test_a_step_may_take_seconds_and_not_a_minute(seconds: int | None, *, stuck: bool) -> None:
    seen = an.serving(load=STUCK)
    rate = Measured(0.0, "tokens/s", "q", seconds)
    short = replace(seen, metrics=replace(seen.metrics, generation_tokens_per_second=rate))
    assert bool(diagnose(short).bottlenecks) is stuck


def test_a_young_engine_is_starting_and_not_stuck() -> None:
    assert diagnose(an.serving(load={**STUCK, "uptime_seconds": 20.0})).cause is Cause.COLD_START


def test_a_missed_target_is_the_stall_s_and_no_score_is_made_of_what_is_not_known() -> None:
    seen = an.serving(load=STUCK)
    late = replace(seen.metrics, slo_milliseconds=(("ttft p95", Measured(900.0, "ms", "q", 900)),))
    answer = analyze(replace(seen, metrics=late), (an.slo(SLOMetric.TTFT, 95, 100),))
    assert answer.bottlenecks[0].type == "Stalled"
    assert "mend what makes requests wait first (Stalled)" in answer.recommendations[1].text
    assert answer.health.score is None
    assert answer.unknowns[0].needs == "The same look once something comes out again."
