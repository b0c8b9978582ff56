"""What one change does and what a cache holds, scored on outputs that are written by hand."""

from typing import Any

import pytest
from benchmarks.accuracy.kv_cases import Case
from benchmarks.accuracy.lines import Line, Target
from benchmarks.accuracy.model import Output
from benchmarks.accuracy.pairs import Pair
from benchmarks.accuracy.report import note_list, score_table
from benchmarks.accuracy.score_kv import after_seeing_lines, capacity_lines, sized
from benchmarks.accuracy.score_pairs import effect_lines, judged

_LOAD = {"spec": {"workload": {"outputTokens": 101}}}


def pair(source: str = "a", **ratios: float) -> Pair:
    return Pair("p", _LOAD, _LOAD, ratios, source, "quantization", "vLLM 1", "L4", transferred=False, doubtful=False)


def output(tokens: float = 1.0, ttft: float = 0.0, itl: float = 1.0, **memory: float) -> Output:
    values = {"outputTokensPerSecond": tokens, "ttftMilliseconds": ttft, "itlMilliseconds": itl}
    return {
        "performance": {name: {"low": value, "expected": value, "high": value} for name, value in values.items()},
        "memory": memory,
    }


def lines(found: Any) -> dict[str, Line]:
    return {line.key: line for line in found}


def test_a_ratio_is_after_over_before() -> None:
    found = judged([pair(output_tok_s=1.5)], [output(tokens=10)], [output(tokens=15.9)])
    scores = lines(effect_lines("effect", "x", found, target=True))
    assert scores["effect.direction"].value == pytest.approx(1.0)
    assert scores["effect.error"].value == pytest.approx(0.09 / 1.5)  # 1.59 for 1.5
    assert scores["effect.overpromised"].value == pytest.approx(0.0)  # 59 % promised, 50 % realized: 9 points


def test_a_duration_is_the_first_token_and_the_others() -> None:
    before, after = output(ttft=100, itl=9), output(ttft=100, itl=4)  # 100 + 100 x 9 = 1000; 100 + 100 x 4 = 500
    (one,) = judged([pair(latency_s=0.5)], [before], [after])
    assert one.effect is not None
    assert one.effect.predicted == pytest.approx(0.5)
    assert not one.effect.more_is_better


def test_capacity_is_compared_where_nothing_else_was_measured() -> None:
    (one,) = judged([pair(kv_tokens=2.0)], [output(kvCacheTokens=100)], [output(kvCacheTokens=210)])
    assert one.effect is not None
    assert one.effect.predicted == pytest.approx(2.1)


def test_a_side_without_a_value_is_told_with_its_reason() -> None:
    (one,) = judged([pair(output_tok_s=1.5)], [{"error": "no such model"}], [output()])
    assert (one.effect, one.reason) == (None, "no such model")


def test_sources_count_alike_however_many_pairs_they_have() -> None:
    pairs = [pair("many", output_tok_s=1.5)] * 3 + [pair("one", output_tok_s=1.5)]
    found = judged(pairs, [output(10)] * 4, [output(15)] * 3 + [output(5)])
    scores = lines(effect_lines("effect", "x", found, target=True))
    assert scores["effect.direction"].value == pytest.approx(0.75)
    assert scores["effect.direction.by_source"].value == pytest.approx(0.5)


def case(key: str, measured: float, *, known: bool = True) -> Case:
    groups = {"model": "m", "GPU": "g", "engine": "e", "setting": "s"}
    same = ("m", "fp8", "g", key.split(".", maxsplit=1)[0])
    return Case(key, {"metadata": {"name": key}}, "tokens", measured, known, measured > 0, same, ("m", "g"), groups)


def test_capacity_from_arguments_is_scored_where_the_utilization_is_stated() -> None:
    cases = [case("a", 100), case("b", 200), case("c", 100, known=False), case("d", 0)]
    outputs: list[Output] = [
        output(kvCacheTokens=101),
        output(kvCacheTokens=206),
        output(kvCacheTokens=150),
        {"memory": {"fits": False}},
    ]
    scores = lines(capacity_lines(sized(cases, outputs)))
    assert scores["kv.args.median"].value == pytest.approx(0.02)  # between 1 % and 3 %
    assert scores["kv.assumed.median"].value == pytest.approx(0.5)
    assert scores["kv.does_not_fit"].value == pytest.approx(1.0)
    assert scores["kv.args.coverage"].value == pytest.approx(0.0)  # intervals without width


class Scaled:
    """Says of every case what was seen, times 1.1."""

    def after_seeing(self, seen: Any, documents: Any) -> list[Output]:
        return [output(kvCacheTokens=1.1 * seen[1].kv_cache_tokens) for _ in documents]


def test_each_case_is_estimated_after_each_other_of_its_kind() -> None:
    cases = [case("old.a", 100), case("old.b", 110), case("old.none", 0), case("new.c", 100)]
    same, alike = after_seeing_lines(Scaled(), cases)  # type: ignore[arg-type]
    # 110 for 110: right; 121 for 100: 21 % off
    assert (same.scored, same.value) == (2, pytest.approx(0.105))
    assert same.beside["last value"] == pytest.approx((10 / 110 + 0.1) / 2)
    assert alike.scored == 4  # c and each of a and b, both ways
    assert alike.target is None


@pytest.mark.parametrize(
    ("value", "target", "verdict"),
    [
        (0.03, Target(most=0.03), "met"),
        (0.031, Target(most=0.03), "**missed**"),
        (0.92, Target(least=0.75, most=0.90), "**missed**"),  # intervals that are too wide are no success
        (None, Target(most=0.03), "not scored"),
        (0.5, None, ""),
    ],
)
def test_a_target_is_met_or_missed(value: float | None, target: Target | None, verdict: str) -> None:
    assert Line("k", "w", value, 1, 1, target).verdict == verdict


def test_the_table_tells_the_change_and_the_notes_tell_why() -> None:
    line = Line("kv.args.p90", "capacity", 0.12, 9, 10, Target(most=0.10), beside={"naive": 0.5})
    table = list(score_table([line], {"kv.args.p90": 0.15}))
    assert table[-1] == "| capacity | 12.0% | ≤ 10% | **missed** | -3.0 points | 9 of 10 | naive 50.0% |"
    (note,) = note_list([line], {"kv": "general", "kv.args": "Logs omit flags."})
    assert note.endswith("Logs omit flags.")  # the nearest note wins
