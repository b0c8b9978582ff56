"""What the owner wants as one number for each combination, worked by hand."""

from dataclasses import replace
from math import inf, log, nan
from typing import Any

import numpy as np
import pytest
from tests.support.build import an, measured

from inferplan.api.instance import SLO, Objective, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Measurement, Missing
from inferplan.domain.proposal import Policy
from inferplan.engine.wish import Target, Wish, wish_of
from inferplan.estimate.forecast import Outlook, Ratios, Span

ITL_P50 = an.slo(SLOMetric.ITL, 50, 10)
RATIOS = Ratios(
    throughput=Span(1.2, 1.3, 1.4),
    itl=Span(0.9, 1.0, 1.1),
    ttft=Span(0.3, 0.4, 0.5),
    tails={95: Span(0.7, 0.8, 0.9)},
)


def outlook(**columns: list[float]) -> Outlook:
    """Today, then what is compared; all alike but for the columns that are named."""
    size = len(next(iter(columns.values())))
    base: dict[str, Any] = {name: [1.0] * size for name in Outlook.__annotations__}
    base |= {"starts": [True] * size, "saturated": [False] * size, "chunk": [0.0] * size, "chunk_share": [0.0] * size}
    flags = {"starts", "saturated"}
    return Outlook(
        **{name: np.array(value, dtype=bool if name in flags else float) for name, value in {**base, **columns}.items()}
    )


def scores(objective: Objective, *targets: Target, answer_tokens: float = 0.0, **columns: list[float]) -> list[float]:
    found: list[float] = Wish(objective, targets, answer_tokens).scores(outlook(**columns)).tolist()
    return found


def missed(metric: SLOMetric, measured_milliseconds: float, target: int = 100, percentile: int = 50) -> Target:
    return Target(an.slo(metric, percentile, target), measured_milliseconds)


def test_throughput_counts_in_full_and_latency_a_twentieth() -> None:
    found = scores(Objective.THROUGHPUT, throughput=[100.0, 150.0, 150.0], itl=[1.0, 1.0, 1.2], ttft=[1.0, 1.0, 0.9])
    assert found == pytest.approx([0.0, log(1.5), log(1.5) - 0.05 * (log(1.2) + log(0.9)) / 2])


def test_balanced_is_the_mean_of_both_sides() -> None:
    found = scores(Objective.BALANCED, throughput=[1.0, 1.5], itl=[1.0, 1.2], ttft=[1.0, 0.8])
    assert found == pytest.approx([0.0, (log(1.5) - (log(1.2) + log(0.8)) / 2) / 2])


def test_latency_gains_nothing_by_serving_less() -> None:
    found = scores(Objective.LATENCY, throughput=[1.0, 0.8, 1.2], itl=[1.0, 0.7, 0.7], ttft=[1.0, 1.0, 1.0])
    gain = -log(0.7) / 2
    assert found == pytest.approx([0.0, gain + 1.05 * log(0.8), gain + 0.05 * log(1.2)])


def test_a_latency_that_more_than_halves_counts_as_one_that_does() -> None:
    found = scores(Objective.LATENCY, ttft=[1.0, 0.01, 100.0])
    assert found == pytest.approx([0.0, 0.35, -0.35])


def test_a_ttft_that_nothing_is_known_of_counts_as_the_same() -> None:
    assert scores(Objective.LATENCY, ttft=[nan, nan], itl=[1.0, 0.9]) == pytest.approx([0.0, -log(0.9) / 2])


def test_what_does_not_start_or_cannot_serve_what_is_served_today_is_impossible() -> None:
    one = [1.0, 1.0, 1.0]
    assert scores(Objective.BALANCED, throughput=one, starts=[True, False, True]) == [0.0, -inf, 0.0]
    assert scores(Objective.BALANCED, throughput=one, saturated=[False, True, False]) == [0.0, -inf, 0.0]
    assert scores(Objective.BALANCED, throughput=one, saturated=[True, True, False]) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("target", "columns"),
    [
        (missed(SLOMetric.TPOT, 200.0), {"itl": [1.0, 0.9, 0.5, 0.25]}),
        (missed(SLOMetric.ITL, 200.0), {"itl": [1.0, 0.9, 0.5, 0.25]}),
        (missed(SLOMetric.TTFT, 200.0), {"ttft": [1.0, 0.9, 0.5, 0.25]}),
    ],
)
def test_a_missed_target_weighs_six_times_and_no_further_than_it_holds(
    target: Target, columns: dict[str, list[float]]
) -> None:
    free, bound = scores(Objective.THROUGHPUT, **columns), scores(Objective.THROUGHPUT, target, **columns)
    relief = [0.0, -log(0.9), log(2.0), log(2.0)]  # 200 ms against 100: nothing counts beyond a half
    assert [after - before for before, after in zip(free, bound, strict=True)] == pytest.approx([6 * x for x in relief])


def test_a_missed_target_that_gets_worse_counts_against() -> None:
    assert scores(Objective.THROUGHPUT, missed(SLOMetric.TPOT, 200.0), itl=[1.0, 1.1])[1] < -6 * log(1.1)


def test_a_whole_request_is_its_start_and_all_of_its_tokens() -> None:
    target, columns = missed(SLOMetric.E2E, 1000.0), {"ttft": [1.0, 2.0], "itl": [0.01, 0.005]}
    free = scores(Objective.THROUGHPUT, **columns)
    bound = scores(Objective.THROUGHPUT, target, answer_tokens=300.0, **columns)
    assert bound[1] - free[1] == pytest.approx(6 * log(4.0 / 3.5))  # 1 + 300 x 0.01 to 2 + 300 x 0.005


def test_a_percentile_of_the_itl_moves_with_the_steps_that_carry_prompts() -> None:
    """10 ms, and 40 ms more in every other step: p95 is 50 ms. It becomes 10 ms and 20 ms more."""
    target = missed(SLOMetric.ITL, 200.0, percentile=95)
    columns = {"itl": [0.03, 0.02], "chunk": [0.04, 0.02], "chunk_share": [0.5, 0.5]}
    free, bound = scores(Objective.THROUGHPUT, **columns), scores(Objective.THROUGHPUT, target, **columns)
    assert bound[1] - free[1] == pytest.approx(6 * log(0.05 / 0.03))


@pytest.mark.parametrize("target", [missed(SLOMetric.TPOT, 90.0), Target(an.slo(SLOMetric.TPOT, 50, 100), None)])
def test_a_target_that_holds_or_is_not_known_weighs_nothing(target: Target) -> None:
    assert scores(Objective.BALANCED, target, itl=[1.0, 0.5]) == scores(Objective.BALANCED, itl=[1.0, 0.5])


@pytest.mark.parametrize(
    ("slo", "span"),
    [
        (an.slo(SLOMetric.ITL, 95, 10), RATIOS.tails[95]),
        (an.slo(SLOMetric.ITL, 50, 10), None),  # was not asked for
        (an.slo(SLOMetric.TPOT, 95, 10), RATIOS.itl),
        (an.slo(SLOMetric.TTFT, 95, 10), RATIOS.ttft),
        (an.slo(SLOMetric.E2E, 95, 10), Span(0.3, None, 1.1)),
    ],
)
def test_a_target_moves_with_what_it_is_of(slo: SLO, span: Span | None) -> None:
    assert Target(slo, 12.0).span(RATIOS) == span


@pytest.mark.parametrize("part", [replace(RATIOS, itl=None), replace(RATIOS, ttft=None)])
def test_nothing_is_said_of_a_whole_request_of_which_a_part_is_not_known(part: Ratios) -> None:
    assert Target(an.slo(SLOMetric.E2E, 95, 10), 12.0).span(part) is None


@pytest.mark.parametrize(
    ("value", "measured_milliseconds", "why", "is_missed"),
    [
        (measured("itl", 12.0), 12.0, "", True),
        (measured("itl", 10.0), 10.0, "", False),
        (Missing(Reason.METRICS_MISSING, "no series"), None, "no series", False),
        (Missing(Reason.ABOVE_LAST_BUCKET, "above 2560 ms", 2560.0), 2560.0, "above 2560 ms", True),
    ],
)
def test_targets_are_those_of_the_policy_with_what_was_measured(
    value: Measurement, measured_milliseconds: float | None, why: str, is_missed: bool
) -> None:
    seen = an.serving({"generation_tokens_mean": 200.0})
    seen = replace(seen, metrics=replace(seen.metrics, slo_milliseconds=(("itl p50", value),)))
    wish = wish_of(seen, Policy(objective=Objective.LATENCY, slo=(ITL_P50,)))
    (target,) = wish.targets
    assert (wish.objective, wish.answer_tokens, target.name) == (Objective.LATENCY, 200.0, "itl p50")
    assert (target.measured, target.why, target.missed) == (measured_milliseconds, why, is_missed)


def test_without_measured_answers_a_request_is_its_start() -> None:
    assert wish_of(an.observation(), Policy()).answer_tokens == 0.0


def test_percentiles_of_the_itl_are_asked_for_once_each() -> None:
    slos = [(SLOMetric.ITL, 95), (SLOMetric.TTFT, 90), (SLOMetric.ITL, 50), (SLOMetric.ITL, 95)]
    targets = tuple(Target(an.slo(metric, percentile, 10), 1.0) for metric, percentile in slos)
    assert Wish(Objective.BALANCED, targets, 0.0).percentiles == (95, 50)
