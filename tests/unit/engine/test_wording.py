"""Drafts in words: what is joined, cut, and told of the share of a gain."""

from dataclasses import replace
from math import log
from typing import Any

import pytest
from tests.support.build import H100, a
from tests.support.levers import STILL, Priced, capped, caps, lever, option

from inferplan.api.instance import Objective, OptimizerName
from inferplan.api.values import Confidence, Effort, ImpactLevel, Optimization, OptimizationType, Source
from inferplan.dialects.effective import effective
from inferplan.domain.lever import Lever, Option
from inferplan.domain.measurement import Missing
from inferplan.engine.budget import after_changes
from inferplan.engine.search import Draft, Found, Other
from inferplan.engine.wish import Wish
from inferplan.engine.wording import alternative_of, optimization_of, with_defaults, with_outage, with_undo
from inferplan.estimate.forecast import Place, Ratios, Span

SEEN = capped()
GAIN = Ratios(Span(1.2, 1.3, 1.4), STILL, STILL)
CAP = (caps(64), caps(64).options[0])
EAGER = lever(OptimizerName.BATCHING, "enforce_eager", True, None)
LONG = "x" * 5000


def place() -> Place:
    assert not isinstance(SEEN.model, Missing)
    return Place(SEEN.config, SEEN.model)


def found(windows: int = 3) -> Found:
    forecast: Any = Priced({})
    forecast.windows = windows
    return Found(forecast, Wish(Objective.BALANCED, (), 200.0), (), GAIN, place(), 0.2, (), ())


def one(**fields: Any) -> tuple[Lever, Option]:
    kind = fields.pop("kind", OptimizationType.KV_CACHE)
    made = replace(option("kv_cache_dtype", "auto", "fp8"), **fields)
    return Lever(OptimizerName.KV_CACHE, kind, (made,)), made


def worded(*moves: tuple[Lever, Option], share: float = 1.0, windows: int = 3, score: float = 0.2) -> Optimization:
    return optimization_of(Draft(moves, GAIN, place(), score, share), found(windows), SEEN)


def test_one_change_is_told_with_what_it_brings_and_how_it_is_undone() -> None:
    made = worded(CAP, score=log(1.3))
    assert made.type is OptimizationType.BATCHING
    assert made.title == "max_batch_size from 32 to 64"
    assert made.description == "max_batch_size is changed."
    assert made.config_changes == CAP[1].changes
    assert made.expected_impact is ImpactLevel.HIGH
    assert made.estimated_improvement == "Output 2,900 → 3,770 tokens/s per replica (3,480 to 4,060)."
    assert [effect.metric for effect in made.effects] == ["output_tokens_per_second"]
    assert (made.confidence, made.source) == (Confidence.HIGH, Source.CALIBRATED_HERE)
    assert made.implementation_effort is Effort.LOW
    assert (made.risks, made.prerequisites, made.raises_confidence) == ((), (), ())
    assert (made.capability_loss, made.accuracy_risk) == (None, None)


def test_changes_that_work_together_are_one_with_all_of_their_caveats() -> None:
    first = replace(CAP[1], risks=("Slower.", "Full."), prerequisites=("Look.",), effort=Effort.MEDIUM)
    second = one(
        risks=("Full.", "Worse."),
        prerequisites=("Evaluate.",),
        raises_confidence=("An evaluation.",),
        accuracy_risk="Less precise.",
        capability_loss="Shorter.",
        confidence_most=Confidence.MEDIUM,
    )
    made = worded((CAP[0], first), second)
    assert made.type is OptimizationType.BATCHING
    assert made.title == "max_batch_size from 32 to 64 and kv_cache_dtype from auto to fp8"
    assert "These go together: one without the other brings nothing, or is not safe." in made.description
    assert [change.parameter for change in made.config_changes] == ["max_batch_size", "kv_cache_dtype"]
    assert made.risks == ("Slower.", "Full.", "Worse.")
    assert made.prerequisites == ("Look.", "Evaluate.")
    assert made.raises_confidence == ("An evaluation.",)
    assert (made.accuracy_risk, made.capability_loss) == ("Less precise.", "Shorter.")
    assert made.confidence is Confidence.MEDIUM
    assert made.implementation_effort is Effort.MEDIUM


def test_two_risks_of_accuracy_are_told_both() -> None:
    assert worded(one(accuracy_risk="A."), one(accuracy_risk="B.")).accuracy_risk == "A. B."


@pytest.mark.parametrize(
    ("share", "told"),
    [
        (1.0, ""),
        (0.996, ""),
        (0.62, "It accounts for 62% of the plan's gain."),
        (0.01, "It accounts for 1% of the plan's gain."),
        (0.004, "It accounts for less than 1% of the plan's gain."),
        (-0.02, "It accounts for less than 1% of the plan's gain."),
    ],
)
def test_a_share_of_the_gain_is_told_where_it_is_not_all(share: float, told: str) -> None:
    made = worded(CAP, share=share)
    assert ("accounts for" in made.description) is bool(told)
    assert told in made.description


def test_with_few_windows_more_measurements_would_make_it_surer() -> None:
    assert worded(CAP, windows=2).raises_confidence == (
        "Measurements at other loads, to fit the step model to this instance.",
    )


def test_what_is_too_long_for_a_plan_is_cut() -> None:
    made = worded(
        one(title="t" * 200, description=LONG, accuracy_risk=LONG, risks=tuple("abcdefghij")), one(title="u" * 200)
    )
    assert (len(made.title), len(made.description), len(made.risks)) == (256, 4000, 8)
    assert len(made.accuracy_risk or "") == 4000


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        (option("max_batch_size", 32, 64), "Set --max-num-seqs back to 32; the pods restart once more."),
        (option("kv_cache_dtype", "auto", "fp8"), "Take --kv-cache-dtype out again; the pods restart once more."),
        (option("quantization", None, "fp8"), "Take --quantization out again; the pods restart once more."),
        (option("enforce_eager", True, None), "Put --enforce-eager back as it was; the pods restart once more."),
    ],
)
def test_a_flag_goes_back_to_where_it_was_and_what_nobody_set_goes_out(moved: Option, told: str) -> None:
    made = worded((CAP[0], moved))
    assert with_undo(made, SEEN.config).undo == told


def test_several_go_back_together_and_what_needs_no_restart_has_none() -> None:
    made = worded(CAP, one()).model_copy(update={"restart_required": False})
    assert with_undo(made, SEEN.config).undo == "Set --max-num-seqs back to 32, take --kv-cache-dtype out again."


def test_another_plan_is_told_by_what_would_be_wanted() -> None:
    made = alternative_of(Other("For latency", (CAP, one()), GAIN, place()), found(), SEEN)
    assert made.title == "For latency: max_batch_size from 32 to 64; kv_cache_dtype from auto to fp8"
    assert made.description.startswith("Output 2,900 → 3,770 tokens/s")
    assert [effect.metric for effect in made.effects] == ["output_tokens_per_second"]
    endless = Other("Without any loss", (one(title="t" * 256), CAP), GAIN, place())
    assert len(alternative_of(endless, found(), SEEN).title) <= 256


def test_one_of_several_is_told_as_what_it_brings_alone() -> None:
    draft = Draft((CAP,), GAIN, place(), 0.2, 0.5)
    two = replace(found(), drafts=(draft, draft))
    assert optimization_of(draft, two, SEEN).estimated_improvement.startswith("Alone: Output 2,900 → 3,770")


def test_a_default_that_moves_with_a_change_is_told() -> None:
    before = effective(a.config(max_model_len=1024), H100, model=a.model())
    after = after_changes(before, option("max_batch_size", 1024, 4).changes, H100, a.model())
    made = with_defaults(worded(CAP), before, after)
    assert made.description.endswith(
        " With it the release's own default moves: max_num_batched_tokens from 8192 to 4096."
    )
    assert with_defaults(worded(CAP), before, before) == worded(CAP)


def test_one_replica_alone_is_out_while_it_restarts_and_that_is_told_once() -> None:
    idle = worded(CAP).model_copy(update={"restart_required": False})
    made = tuple(with_outage((idle, worded(CAP), worded(CAP)), 1))
    assert [len(entry.risks) for entry in made] == [0, 1, 0]
    assert made[1].risks[0].startswith("There is one replica: nobody is served")
    for replicas in (None, 2):
        assert [entry.risks for entry in with_outage((worded(CAP),), replicas)] == [()]
