"""The joint search: what is chosen, what is stopped and at what cost, and that a plan that stands is left alone."""

from collections.abc import Sequence
from dataclasses import replace
from math import log
from types import SimpleNamespace

import pytest
from tests.support.build import an
from tests.support.levers import Moved, Priced, capped, caps, lever, option, risky, without_a_sized_cache

from inferplan.api.instance import SLO, Objective, OptimizerName, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import OptimizationType
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.domain.lever import Lever
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import SettingValue
from inferplan.engine.search import Found, Known, Standing, search
from inferplan.estimate.forecast import Place, Ratios

THROUGHPUT = Policy(objective=Objective.THROUGHPUT)
ITL = SLO(metric=SLOMetric.ITL, percentile=50, target_milliseconds=15)


def found(
    policy: Policy = THROUGHPUT,
    *levers: Lever,
    observation: Observation | None = None,
    standing: Standing | None = None,
) -> Found:
    seen = observation or capped()
    made = search(seen, diagnose(seen), policy, levers or (caps(16, 40, 48, 64),), Known(standing=standing))
    assert isinstance(made, Found)
    return made


def changed(made: Found) -> dict[str, object]:
    changes = [change for draft in made.drafts for _, one in draft.moves for change in one.changes]
    return {change.parameter: change.recommended_value for change in changes}


def with_target(milliseconds: float | None) -> Observation:
    seen = capped()
    value = (
        Missing(Reason.METRICS_MISSING, "it was not measured")
        if milliseconds is None
        else Measured(milliseconds, "ms", "vllm:inter_token_latency_seconds", 900)
    )
    return replace(seen, metrics=replace(seen.metrics, slo_milliseconds=(("itl p50", value),)))


def test_the_cap_that_holds_it_back_is_raised_and_the_gain_told_with_its_interval() -> None:
    made = found()
    assert changed(made) == {"max_batch_size": 64}
    assert made.ratios is not None
    assert 1.2 < made.ratios.throughput.low < (made.ratios.throughput.expected or 0) < made.ratios.throughput.high < 1.6
    assert [draft.share for draft in made.drafts] == [1.0]


def test_nothing_is_moved_where_nothing_gains_what_the_owner_asks_for() -> None:
    made = found(replace(THROUGHPUT, minimum_gain_percent=90))
    assert made.drafts == ()
    assert made.ratios is None
    (small,) = made.rejected
    assert (small.option, small.code) == ("max_batch_size from 32 to 64", Reason.GAIN_TOO_SMALL)
    assert small.reason.endswith("minimumGainPercent asks for 90%, as every pod restarts for it")


def test_one_change_that_does_it_is_taken_rather_than_two_that_do_no_better() -> None:
    tokens = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, 16_384)
    assert changed(found(THROUGHPUT, caps(64), tokens)) == {"max_batch_size": 64}


def test_changes_that_add_up_are_taken_together_and_share_the_gain() -> None:
    eager = an.observation(settings={"enforce_eager": True}).config
    seen = capped()
    seen = replace(seen, config=seen.config.with_settings({"enforce_eager": eager.settings["enforce_eager"]}))
    graphs = lever(OptimizerName.BATCHING, "enforce_eager", True, None)
    made = found(THROUGHPUT, caps(48, 64), graphs, observation=seen)
    assert set(changed(made)) == {"max_batch_size", "enforce_eager"}
    assert sum(draft.share for draft in made.drafts) == pytest.approx(1.0)


def test_what_the_owner_forbids_is_left_out_and_its_cost_told() -> None:
    made = found(replace(THROUGHPUT, forbid=("--max-num-seqs",)), caps(48, 64))
    assert made.drafts == ()
    costs = {entry.option: entry.cost for entry in made.rejected}
    assert {entry.code for entry in made.rejected} == {Reason.FORBIDDEN}
    assert costs["max_batch_size from 32 to 64"] is not None
    assert "throughput +" in (costs["max_batch_size from 32 to 64"] or "")


def test_a_target_that_holds_today_must_hold_at_the_high_end_too() -> None:
    free = found(observation=with_target(12.0))
    made = found(replace(THROUGHPUT, slo=(ITL,)), observation=with_target(12.0))
    assert changed(free) == {"max_batch_size": 64}
    assert changed(made)["max_batch_size"] != 64
    (risk,) = (entry for entry in made.rejected if entry.code == Reason.SLO_AT_RISK)
    assert "target 15 ms" in risk.reason
    assert risk.cost is not None


def test_a_target_that_was_not_measured_cannot_be_risked() -> None:
    made = found(replace(THROUGHPUT, slo=(ITL,)), observation=with_target(None))
    assert made.drafts == ()
    assert any("cannot be bounded: it was not measured" in entry.reason for entry in made.rejected)


def test_a_missed_target_comes_before_the_objective() -> None:
    made = found(replace(THROUGHPUT, slo=(replace_target(11),)), caps(24, 28, 64), observation=with_target(12.0))
    assert changed(made)["max_batch_size"] in {24, 28}
    assert made.ratios is not None
    assert made.ratios.itl is not None
    assert (made.ratios.itl.expected or 1) < 1


def replace_target(milliseconds: int) -> SLO:
    return ITL.model_copy(update={"target_milliseconds": milliseconds})


def test_a_bet_that_may_lose_more_than_half_its_gain_is_not_taken() -> None:
    format_change = Lever(
        OptimizerName.QUANTIZATION,
        OptimizationType.QUANTIZATION,
        (option("quantization", "none", "fp8_per_tensor", doubt=0.6),),
    )
    made = found(THROUGHPUT, format_change)
    assert made.drafts == ()
    (doubt,) = made.rejected
    assert doubt.code == Reason.GAIN_UNCERTAIN


def test_a_risk_has_its_price() -> None:
    eager = replace(THROUGHPUT, minimum_gain_percent=1)
    assert changed(found(eager, caps(34))) == {"max_batch_size": 34}
    made = found(eager, risky(caps(34), accuracy_risk="Answers may differ."))
    assert made.drafts == ()
    (dear,) = made.rejected
    assert (dear.option, dear.code) == ("max_batch_size from 32 to 34", Reason.RISK_NOT_WORTH)
    assert dear.reason.endswith("must bring 10% beyond the rest")
    assert dear.cost is not None
    assert found(replace(eager, forbid=("--max-num-seqs",)), risky(caps(34), accuracy_risk="Worse.")).drafts == ()


def test_a_risk_that_is_stopped_anyway_is_told_by_what_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    prices: dict[Moved, float | None] = {("kv_cache_dtype", "fp8"): 1.05}
    forecast = Priced(prices, low=0.5)
    forecast.ground = SimpleNamespace(before=capped().config, model=capped().model)  # type: ignore[attr-defined]
    monkeypatch.setattr("inferplan.engine.search.forecast_of", lambda *_, **__: forecast)
    one = risky(lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8"), accuracy_risk="Worse.")
    assert found(replace(THROUGHPUT, minimum_gain_percent=1), one).rejected == ()


def test_other_objectives_are_alternatives() -> None:
    made = found(Policy(objective=Objective.LATENCY), caps(40, 64))
    others = {other.wanted: [option.title for _, option in other.moves] for other in made.others}
    assert "For latency" not in others
    assert all(titles for titles in others.values())


def test_the_plan_that_stands_is_kept_where_another_is_better_by_noise() -> None:
    best = found(THROUGHPUT, caps(52, 56, 60, 64))
    for value in (52, 56, 60, 64):
        kept = found(THROUGHPUT, caps(52, 56, 60, 64), standing={"max_batch_size": value})
        assert abs(kept.score - best.score) < 0.05
        assert changed(kept) == {"max_batch_size": value}


def test_a_plan_that_stands_and_is_no_longer_good_is_not_kept() -> None:
    assert changed(found(standing={"max_batch_size": 16})) == {"max_batch_size": 64}
    assert changed(found(standing={"max_model_len": 1024})) == {"max_batch_size": 64}


def test_without_a_model_bounds_choose() -> None:
    seen = an.observation()
    made = found(THROUGHPUT, observation=seen)
    assert made.ratios is not None
    assert made.ratios.throughput.expected is None
    assert made.ratios.throughput.low == 1.0
    assert made.score == pytest.approx(log(made.ratios.throughput.high) / 2, abs=0.02)


def test_without_any_forecast_there_is_a_reason() -> None:
    seen = an.observation(model=Missing(Reason.MODEL_CONFIG_MISSING, "no config.json was given"))
    made = search(seen, diagnose(seen), THROUGHPUT, (caps(64),))
    assert isinstance(made, Missing)
    assert made.code is Reason.MODEL_CONFIG_MISSING


def test_a_configuration_that_has_no_forecast_is_never_chosen_and_stops_nothing() -> None:
    unknown = lever(OptimizerName.QUANTIZATION, "quantization", "none", "somehow")
    forbidden = replace(THROUGHPUT, forbid=("--quantization",))
    for policy, standing in ((THROUGHPUT, None), (forbidden, None), (THROUGHPUT, {"quantization": "somehow"})):
        made = found(policy, unknown, caps(64), standing=standing)
        assert changed(made) == {"max_batch_size": 64}
        assert made.rejected == ()


@pytest.mark.parametrize("settings", [{}, {"num_gpu_blocks_override": 1000}])
def test_where_todays_cache_cannot_be_sized_there_is_a_reason(settings: dict[str, SettingValue]) -> None:
    """All that bounds need is measured."""
    seen = without_a_sized_cache(settings=settings)
    made = search(seen, diagnose(seen), THROUGHPUT, (caps(64),))
    assert isinstance(made, Missing)
    assert made.code is Reason.MODEL_UNSUPPORTED


def test_what_loses_nothing_comes_first_and_stands_as_a_plan_of_its_own() -> None:
    weights = risky(lever(OptimizerName.QUANTIZATION, "quantization", "none", "fp8_per_tensor"), accuracy_risk="Worse.")
    made = found(THROUGHPUT, weights, caps(40))
    assert [draft.moves[0][1].title for draft in made.drafts] == [
        "max_batch_size from 32 to 40",
        "quantization from none to fp8_per_tensor",
    ]
    assert made.drafts[0].share < made.drafts[1].share
    assert made.others[0].wanted == "Without any loss"
    assert [option.title for _, option in made.others[0].moves] == ["max_batch_size from 32 to 40"]


def test_what_is_stopped_is_told_without_a_cost_that_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The combination cannot be compared, whatever its expected values are."""

    class Partly(Priced):
        ground = SimpleNamespace(before=capped().config, model=capped().model)

        def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
            if after.config.text("kv_cache_dtype") == "fp8":
                return Missing(Reason.METRICS_MISSING, "cannot be compared")
            return super().ratios(before, after, percentiles)

    prices: dict[Moved, float | None] = {("kv_cache_dtype", "fp8"): 1.5, ("max_batch_size", 64): 1.2}
    monkeypatch.setattr("inferplan.engine.search.forecast_of", lambda *_, **__: Partly(prices))
    made = found(THROUGHPUT, lever(OptimizerName.KV_CACHE, "kv_cache_dtype", "auto", "fp8"), caps(64))
    assert changed(made) == {"max_batch_size": 64}
    (stopped,) = made.rejected
    assert (stopped.code, stopped.reason, stopped.cost) == (Reason.METRICS_MISSING, "cannot be compared", None)


def test_a_constraint_that_costs_nothing_to_speak_of_is_told_without_a_cost() -> None:
    forbidden = replace(THROUGHPUT, forbid=("--max-num-batched-tokens",))
    tokens = lever(OptimizerName.BATCHING, "max_num_batched_tokens", 8192, 16_384)
    (stopped,) = found(forbidden, caps(64), tokens).rejected
    assert (stopped.code, stopped.cost) == (Reason.FORBIDDEN, None)


def test_the_cost_of_bounds_is_told_as_bounds() -> None:
    forbidden = replace(THROUGHPUT, forbid=("--max-num-seqs",))
    (stopped,) = found(forbidden, observation=an.observation(load={"num_requests_waiting": 400.0})).rejected
    assert stopped.cost == (
        "Without this: throughput +0% to +100%, time between tokens +0% to +100% against this plan."
    )
