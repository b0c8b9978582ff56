"""Which combination is taken, and what is told of those that are not; gains by a price list."""

from collections.abc import Mapping
from dataclasses import replace
from math import log
from typing import Any

import pytest
from tests.support.build import an
from tests.support.levers import NO_FORECAST, Moved, Priced, capped, caps, lever, option, risky

from inferplan.api.instance import SLO, Objective, OptimizerName, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Effort, OptimizationType
from inferplan.domain.lever import Lever
from inferplan.domain.measurement import Missing
from inferplan.domain.proposal import Policy
from inferplan.engine.choose import Choice, Search, loses, standing_in
from inferplan.engine.guardrails import Objection
from inferplan.engine.space import Positions, Space, Table
from inferplan.engine.wish import Target, Wish
from inferplan.estimate.forecast import Place, Ratios, Span

FORMAT = lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8")
WEIGHTS = lever(OptimizerName.QUANTIZATION, "quantization", "none", "fp8_per_tensor")
SHARE = lever(OptimizerName.KV_CACHE, "gpu_memory_utilization", 0.92, 0.95)
FREE = Policy(objective=Objective.THROUGHPUT, minimum_gain_percent=0)
ITL = an.slo(SLOMetric.ITL, 50, 100)


def search(
    brings: Mapping[Moved, float | None],
    *levers: Lever,
    policy: Policy = FREE,
    targets: tuple[Target, ...] = (),
    standing: Positions | None = None,
    **fields: Any,
) -> Search:
    seen, told = capped(), {key: fields.pop(key) for key in ("low", "itl") if key in fields}
    forecast: Any = fields.pop("kind", Priced)(brings, **told)
    assert not isinstance(seen.model, Missing)
    today = Place(seen.config, seen.model)
    space, wish = Space(seen, forecast, today, levers), Wish(policy.objective, targets, 200.0)
    return Search(seen, policy, forecast, space, wish, today, standing, **fields)


def chosen(made: Search) -> Choice:
    table = made.space.table()
    assert isinstance(table, Table)
    return made.choose(table)


def test_the_best_combination_is_taken() -> None:
    made = chosen(search({("max_batch_size", 64): 1.3, ("kv_cache_dtype", "fp8"): 1.2}, caps(48, 64), FORMAT))
    assert made.positions == (2, 1)
    assert made.score == pytest.approx(log(1.3 * 1.2))
    assert made.ratios is not None
    assert made.ratios.throughput.expected == pytest.approx(1.56)
    assert made.stopped == ()


def test_nothing_is_taken_where_nothing_gains() -> None:
    made = chosen(search({("max_batch_size", 64): 0.9}, caps(64)))
    assert (made.positions, made.score, made.ratios) == ((0,), 0.0, None)


@pytest.mark.parametrize(
    ("one", "gain", "taken"),
    [
        (caps(64), 0.016, True),  # 0.015 for a change
        (caps(64), 0.014, False),
        (risky(caps(64), accuracy_risk="Worse."), 0.116, True),  # and 0.1 for a risk
        (risky(caps(64), accuracy_risk="Worse."), 0.114, False),
        (risky(caps(64), capability_loss="Shorter."), 0.114, False),
        (risky(caps(64), effort=Effort.HIGH), 0.114, False),
        (risky(caps(64), effort=Effort.MEDIUM), 0.016, True),
        (risky(caps(64), accuracy_risk="W", capability_loss="S", effort=Effort.HIGH), 0.316, True),
        (risky(caps(64), accuracy_risk="W", capability_loss="S", effort=Effort.HIGH), 0.314, False),
    ],
)
def test_every_change_and_every_risk_has_its_price(one: Lever, gain: float, taken: bool) -> None:
    made = chosen(search({("max_batch_size", 64): 2.718281828**gain}, one))
    assert (made.ratios is not None) is taken


@pytest.mark.parametrize(("percent", "taken"), [(29, True), (30, True), (31, False)])
def test_a_gain_below_what_the_owner_asks_for_is_none(percent: int, taken: bool) -> None:
    asked = replace(FREE, minimum_gain_percent=percent)
    made = chosen(search({("max_batch_size", 64): 1.3000001}, caps(64), policy=asked))
    assert (made.ratios is not None) is taken


def test_a_plan_that_gains_enough_is_not_hidden_by_a_better_one_that_does_not() -> None:
    """With its price the cap alone is worth 0.0246, with the format 0.0209, yet only both gain 5 %."""
    brings: dict[Moved, float | None] = {("max_batch_size", 64): 1.04, ("gpu_memory_utilization", 0.95): 1.0114}
    assert chosen(search(brings, caps(64), SHARE)).positions == (1, 0)
    asked = replace(FREE, minimum_gain_percent=5)
    assert chosen(search(brings, caps(64), SHARE, policy=asked)).positions == (1, 1)


class TestStanding:
    """The plan that stands."""

    BRINGS: Mapping[Moved, float | None] = {("max_batch_size", 48): 1.25, ("max_batch_size", 64): 1.28}

    @pytest.mark.parametrize(("best", "kept"), [(1.28, True), (1.30, False)])
    def test_it_stays_where_another_is_better_by_noise(self, best: float, kept: bool) -> None:
        brings = {**self.BRINGS, ("max_batch_size", 64): best}
        made = chosen(search(brings, caps(48, 64), standing=(1,)))
        assert made.positions == ((1,) if kept else (2,))

    def test_it_falls_where_it_is_stopped(self) -> None:
        brings = {**self.BRINGS, ("max_batch_size", 80): 1.28}  # more than twice 32
        assert chosen(search(brings, caps(48, 64, 80), standing=(3,))).positions == (2,)

    def test_one_that_gains_too_little_hides_no_better_one(self) -> None:
        asked = replace(FREE, minimum_gain_percent=27)
        made = chosen(search(self.BRINGS, caps(48, 64), standing=(1,), policy=asked))
        assert made.positions == (2,)

    def test_one_that_has_no_forecast_is_none(self) -> None:
        brings = {**self.BRINGS, ("kv_cache_dtype", "fp8"): None}
        assert chosen(search(brings, caps(48, 64), FORMAT, standing=(1, 1))).positions == (2, 0)

    def test_it_is_found_by_its_settings(self) -> None:
        switch = lever(OptimizerName.BATCHING, "enforce_eager", True, None)
        space = search({}, caps(48, 64), FORMAT, switch).space
        assert standing_in(space, {"max_batch_size": 64}) == (2, 0, 0)
        assert standing_in(space, {"max_batch_size": 48, "enforce_eager": None}) == (1, 0, 1)
        assert standing_in(space, {"max_batch_size": 56}) is None
        assert standing_in(space, {"max_batch_size": 64, "block_size": 32}) is None
        assert standing_in(space, {}) is None


class TestStopped:
    """What stops a better combination."""

    def test_of_what_is_forbidden_the_best_is_told(self) -> None:
        forbidden = replace(FREE, forbid=("--max-num-seqs",))
        brings: dict[Moved, float | None] = {
            ("max_batch_size", 64): 1.4,
            ("max_batch_size", 48): 1.2,
            ("kv_cache_dtype", "fp8"): 1.1,
        }
        made = chosen(search(brings, caps(64, 48), FORMAT, policy=forbidden))
        assert made.positions == (0, 1)
        (one,) = made.stopped
        assert one.objection.code is Reason.FORBIDDEN
        assert (one.positions, one.score) == ((1, 1), pytest.approx(log(1.4 * 1.1)))
        assert one.option == caps(64).options[0]

    def test_each_forbidden_option_is_weighed_without_the_others(self) -> None:
        forbidden = replace(FREE, forbid=("--max-num-seqs", "--kv-cache-dtype"))
        brings: dict[Moved, float | None] = {("max_batch_size", 64): 1.4, ("kv_cache_dtype", "fp8"): 1.1}
        made = chosen(search(brings, caps(64), FORMAT, policy=forbidden))
        assert {entry.positions: entry.objection.reason for entry in made.stopped} == {
            (1, 0): "spec.constraints.forbid names max_batch_size",
            (0, 1): "spec.constraints.forbid names kv_cache_dtype",
        }

    def test_of_what_has_no_forecast_nothing_is_told(self) -> None:
        forbidden = replace(FREE, forbid=("--kv-cache-dtype",))
        made = chosen(search({("kv_cache_dtype", "fp8"): None}, FORMAT, policy=forbidden))
        assert made == Choice((0,), 0.0, None, ())

    def test_too_long_a_step_is_told_with_its_score(self) -> None:
        made = chosen(search({("max_batch_size", 65): 1.5, ("max_batch_size", 64): 1.4}, caps(64, 65)))
        assert made.positions == (1,)
        (one,) = made.stopped
        assert (one.objection.code, one.positions) == (Reason.STEP_TOO_LARGE, (2,))

    def test_what_the_engine_refuses_together_is_stopped_and_the_next_best_taken(self) -> None:
        tokens = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, 48)
        brings: dict[Moved, float | None] = {("max_batch_size", 64): 1.4, ("max_num_batched_tokens", 48): 1.1}
        made = chosen(search(brings, caps(64), tokens))
        assert made.positions == (1, 0)
        (one,) = made.stopped
        assert (one.objection.code, one.positions, one.option) == (Reason.ENGINE_REFUSES, (1, 1), None)

    def test_what_loses_its_forecast_on_a_second_look_is_stopped(self) -> None:
        class Once(Priced):
            def ratios(self, before: Place, after: Place, percentiles: Any = ()) -> Ratios | Missing:
                del before, after, percentiles
                return NO_FORECAST

        (one,) = chosen(search({("max_batch_size", 64): 1.4}, caps(64), kind=Once)).stopped
        assert (one.objection.code, one.objection.reason) == (NO_FORECAST.code, NO_FORECAST.reason)

    @pytest.mark.parametrize(
        ("gain", "low", "taken"),
        [
            (1.2, 0.75, True),  # 0.9 of today's: 0.105 < 0.03 + 0.182 / 2
            (1.2, 0.72, False),  # 0.864: 0.146 > 0.121
            (1.02, 0.97, True),  # 0.989
            (1.02, 0.92, False),  # 0.938: 0.064 > 0.03 + 0.0099
        ],
    )
    def test_a_gain_that_may_be_a_loss_of_more_than_half_of_it_is_not_taken(
        self, gain: float, low: float, taken: bool
    ) -> None:
        made = chosen(search({("max_batch_size", 64): gain}, caps(64), low=low))
        assert (made.ratios is not None) is taken
        if not taken:
            (one,) = made.stopped
            assert one.objection.code is Reason.GAIN_UNCERTAIN
            assert one.objection.reason == (
                f"throughput could fall to {gain * low:.0%} of today's (low end of the interval)"
            )

    def test_throughput_that_is_given_up_for_a_latency_is_no_uncertain_gain(self) -> None:
        target = Target(an.slo(SLOMetric.TPOT, 50, 100), 200.0)
        made = search({("max_batch_size", 24): 0.8}, caps(24), targets=(target,), itl=Span(0.5, 0.5, 0.5))
        assert isinstance(made.passed((1,), 0.3), Ratios)

    @pytest.mark.parametrize(
        ("slo", "milliseconds", "span", "why"),
        [
            (ITL, 90.0, Span(1.0, 1.05, 1.11), None),  # 99.9 ms at most
            (ITL, 90.0, Span(1.0, 1.05, 1.12), "itl p50 could rise to 101 ms, target 100 ms"),
            (ITL, 150.0, Span(0.8, 0.9, 1.1), None),  # missed, and most likely better
            (ITL, 150.0, Span(0.9, 1.01, 1.1), "itl p50 could rise to 165 ms, target 100 ms"),
            (ITL, 150.0, Span(0.9, None, 1.1), "itl p50 could rise to 165 ms, target 100 ms"),
            (ITL, 150.0, Span(0.9, 1.01, 1.02), None),  # a window's noise
            (ITL, None, Span(0.9, 0.9, 1.02), None),
            (ITL, None, Span(0.9, 0.9, 1.03), "itl p50: the effect cannot be bounded: no series"),
            (an.slo(SLOMetric.TTFT, 50, 100), 90.0, Span(2.0, 2.0, 2.0), None),  # the TTFT stays
        ],
    )
    def test_a_target_is_not_risked(self, slo: SLO, milliseconds: float | None, span: Span, why: str | None) -> None:
        target = Target(slo, milliseconds, "no series")
        made = chosen(search({("max_batch_size", 64): 1.4}, caps(64), targets=(target,), itl=span))
        assert [entry.objection.reason for entry in made.stopped] == ([] if why is None else [why])
        assert all(entry.objection.code is Reason.SLO_AT_RISK for entry in made.stopped)
        assert (made.ratios is not None) is (why is None)

    @pytest.mark.parametrize(
        ("throughput", "itl", "milliseconds", "stopped"),
        [
            (0.7, 0.9, 120.0, True),  # 108 ms, and 100 are wanted
            (0.7, 0.8, 120.0, False),  # 96 ms
            (0.85, 0.9, 120.0, False),  # a little may be given up for a step nearer
            (0.7, 0.9, 90.0, False),  # nothing is missed: the objective alone decides
        ],
    )
    def test_much_throughput_is_only_given_up_for_a_target_that_is_reached(
        self, throughput: float, itl: float, milliseconds: float, stopped: bool
    ) -> None:
        target, span = Target(ITL, milliseconds), Span(itl, itl, itl)
        made = search({("max_batch_size", 64): throughput}, caps(64), targets=(target,), itl=span)
        found = made._checked((1,), 1.0)
        code = found.code if isinstance(found, Objection) else None
        assert code == (Reason.THROUGHPUT_GIVEN_UP if stopped else None)

    @pytest.mark.parametrize(("low", "stopped"), [(0.3, True), (0.7, False)])
    def test_of_bounds_their_middle_counts(self, low: float, stopped: bool) -> None:
        made = search({}, caps(64), targets=(Target(ITL, 700.0),))
        found = made._harm(Ratios(Span(low, None, 1.0), Span(0.1, None, 1.0), None), 6.0)
        assert (found is not None and found.code is Reason.THROUGHPUT_GIVEN_UP) is stopped

    def test_what_nothing_is_said_of_is_not_reached(self) -> None:
        target = Target(an.slo(SLOMetric.TTFT, 95, 100), 120.0)
        assert not target.reached(Ratios(Span(1.0, 1.0, 1.0), Span(0.5, 0.5, 0.5), None))
        assert not replace(target, measured=None).reached(Ratios(*[Span(0.5, 0.5, 0.5)] * 3))
        assert target.reached(Ratios(*[Span(0.5, 0.5, 0.5)] * 3))

    @pytest.mark.parametrize(("most", "positions"), [(3, (0, 0)), (4, (2, 0))])
    def test_only_so_many_are_looked_at(self, most: int, positions: Positions, monkeypatch: pytest.MonkeyPatch) -> None:
        """A step of 16 tokens is refused with each of three caps."""
        monkeypatch.setattr("inferplan.engine.choose.TRIES_MAX", most)
        tokens = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, 16)
        brings: dict[Moved, float | None] = {
            ("max_batch_size", 48): 1.1,
            ("max_batch_size", 64): 1.2,
            ("max_num_batched_tokens", 16): 1.5,
        }
        assert chosen(search(brings, caps(48, 64), tokens)).positions == positions


class TestPassed:
    """A combination that is asked for by itself."""

    def test_it_has_ratios_where_nothing_stops_it(self) -> None:
        made = search({("max_batch_size", 64): 1.4}, caps(64), FORMAT)
        found = made.passed((1, 0), 0.3)
        assert found is not None
        assert found.throughput.expected == pytest.approx(1.4)

    @pytest.mark.parametrize("positions", [(1, 0), (1, 1)])
    def test_one_with_a_forbidden_option_has_none(self, positions: Positions) -> None:
        made = search({}, caps(64), FORMAT, policy=replace(FREE, forbid=("maxBatchSize",)))
        assert made.passed(positions, 0.3) is None
        assert made.passed((0, 1), 0.3) is not None

    def test_one_that_could_harm_has_none(self) -> None:
        assert search({("max_batch_size", 64): 1.4}, caps(64), low=0.1).passed((1,), log(1.4)) is None

    def test_the_model_that_would_run_counts_for_memory(self) -> None:
        seen = capped()
        assert not isinstance(seen.model, Missing)
        huge = replace(seen.model, layers=seen.model.layers * 12)
        for card, passes in ((None, True), (huge, False)):
            one = Lever(
                OptimizerName.QUANTIZATION,
                OptimizationType.QUANTIZATION,
                (option("quantization", "none", "fp8_per_tensor", card=card),),
            )
            assert (search({}, one).passed((1,), 0.3) is not None) is passes


def test_without_any_loss_only_what_loses_nothing_is_looked_at() -> None:
    worse = risky(FORMAT, accuracy_risk="Worse.")
    shorter = risky(lever(OptimizerName.KV_CACHE, "max_model_len", 8192, 4096), capability_loss="Shorter.")
    brings: dict[Moved, float | None] = {
        ("max_batch_size", 64): 1.1,
        ("kv_cache_dtype", "fp8"): 1.5,
        ("max_model_len", 4096): 1.5,
    }
    assert chosen(search(brings, caps(64), worse, shorter)).positions == (1, 1, 1)
    made = chosen(search(brings, caps(64), worse, shorter, lossless=True))
    assert made.positions == (1, 0, 0)
    assert made.stopped == ()  # nobody forbids them
    assert [loses(one.options[0]) for one in (caps(64), worse, shorter)] == [False, True, True]


def test_where_today_does_not_start_by_the_model_nothing_is_said() -> None:
    class Never(Priced):
        def outlook(self, place: Place, moves: Any) -> Any:
            found = super().outlook(place, moves)
            assert not isinstance(found, Missing)
            return replace(found, starts=~found.starts)

    found = chosen(search({("max_batch_size", 64): 1.4}, caps(64), kind=Never))
    assert (found.positions, found.ratios) == ((0,), None)
