"""Where the cap on running requests may be moved to."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import a, an, measured

from inferplan.api.instance import SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, diagnose
from inferplan.domain.lever import Option
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.optimizers.batching_caps import cannot_rise, caps_lever, short, tokens_bound
from inferplan.optimizers.batching_look import Look

ITL = Policy(slo=(an.slo(SLOMetric.ITL, 95, 100),))


def look(observation: Observation, policy: Policy | None = None) -> Look:
    return Look(observation, diagnose(observation), policy or Policy())


def options(seen: Look) -> tuple[Option, ...]:
    lever = caps_lever(seen)
    return () if lever is None else lever.options


def caps(seen: Look) -> list[Any]:
    return [option.changes[0].recommended_value for option in options(seen)]


def slow(load: dict[str, float | None] | None = None, **changes: Any) -> Observation:
    """Serving with ease, but for 120 ms between tokens at the 95th percentile."""
    itl = (("itl p95", measured("itl_p95_milliseconds", 120.0)),)
    metrics = replace(an.serving(load).metrics, slo_milliseconds=itl)
    return an.serving(**{**changes, "metrics": metrics})


@pytest.mark.parametrize(
    ("cap", "offered"),
    [
        (32, [64, 48, 56, 40]),
        (10, [20, 14, 16, 12]),  # quarters of 10 are 2
        (3, [6, 4, 5]),
        (1, [2]),
    ],
)
def test_the_cap_rises_by_quarters_up_to_twice(cap: int, offered: list[int]) -> None:
    assert caps(look(an.observation(settings={"max_batch_size": cap}, load={"num_requests_running": float(cap)}))) == (
        offered
    )


def test_a_raise_says_what_was_seen_and_what_it_trades() -> None:
    first = options(look(an.observation()))[0]
    (change,) = first.changes
    assert (change.parameter, change.flag) == ("max_batch_size", "--max-num-seqs")
    assert (change.current_value, change.recommended_value) == (32, 64)
    assert change.reason == "32 requests run under a cap of 32 and 12 wait: the cap holds them back."
    assert [fact.query for fact in change.evidence] == [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage",
        "vllm:preemptions_per_second",
    ]
    assert first.title == "Raise the running requests from 32 to 64"
    assert "first token sooner" in first.description
    assert "time between tokens" in first.description
    assert any("at most in proportion to the batch" in risk for risk in first.risks)
    assert first.prerequisites == ()
    assert (first.doubt, first.accuracy_risk, first.capability_loss) == (0.0, None, None)


def test_sglang_has_its_own_flag() -> None:
    layout = {"tensor_parallel_size": 1, "pipeline_parallel_size": 1, "kv_cache_dtype": "auto"}
    config = a.config(Engine.SGLANG, "0.5.23", max_batch_size=32, max_model_len=8192, **layout)
    change = options(look(an.observation(config=config)))[0].changes[0]
    assert (change.flag, change.recommended_value) == ("--max-running-requests", 64)


def test_a_full_cache_may_get_a_larger_batch_only_with_other_changes() -> None:
    full = look(an.observation(load={"kv_cache_usage": 1.0, "num_requests_running": 20.0}))
    assert full.diagnosis.cause is Cause.KV_BOUND
    assert caps(full) == [64, 48, 56, 40]  # 20 run and 12 wait: a cap of 32 would be reached
    assert "once memory and steps have room" in options(full)[0].changes[0].reason


def test_a_cap_that_not_even_all_requests_reach_is_left_alone() -> None:
    full = {"kv_cache_usage": 1.0, "num_requests_running": 9.0}
    assert caps(look(an.observation(load=full))) == []
    assert caps(look(an.serving())) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"drop": ("max_batch_size",)}, Reason.SETTING_UNKNOWN),
        ({"drop": ("max_num_batched_tokens",)}, Reason.SETTING_UNKNOWN),
        ({"settings": {"max_num_active_seqs": 8}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 500}}, Reason.MEMORY_UNPROVEN),
        ({}, None),
    ],
)
def test_what_hinders_a_raise(changes: dict[str, Any], code: Reason | None) -> None:
    seen = Look(an.observation(**changes), diagnose(an.observation()), Policy())
    hindered = cannot_rise(seen)
    assert (hindered.code if hindered is not None else None) is code
    assert bool(caps(seen)) is (code is None)


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"settings": {"max_num_batched_tokens": 35}}, True),  # 1.1 x 32 = 35.2
        ({"settings": {"max_num_batched_tokens": 36}}, False),
        ({"drop": ("max_num_batched_tokens",)}, False),
        ({"drop": ("max_batch_size",)}, False),
        ({"config": a.config(Engine.SGLANG, "0.5.23", max_batch_size=32, max_num_batched_tokens=32)}, False),
    ],
)
def test_vllm_takes_no_more_sequences_than_tokens_of_a_step(changes: dict[str, Any], bound: bool) -> None:
    assert (tokens_bound(look(an.observation(**changes))) is not None) is bound


def test_requests_that_lose_their_places_may_get_a_lower_cap() -> None:
    preempted = look(an.observation(load={"preemptions_per_second": 0.5}))
    assert caps(preempted) == [64, 48, 56, 40, 24, 16, 8]
    lowest = options(preempted)[-1]
    assert lowest.title == "Lower the running requests from 32 to 8"
    assert lowest.changes[0].reason.startswith("0.5 requests per second lose their places in the KV cache")
    assert "waits longer for its first token" in lowest.description
    assert any("first token rises" in risk for risk in lowest.risks)


def test_below_the_cap_what_runs_is_what_a_lower_cap_starts_from() -> None:
    storm = {"preemptions_per_second": 0.5, "num_requests_running": 38.0, "kv_cache_usage": 1.0}
    seen = look(an.observation(load=storm, settings={"max_batch_size": 256}))
    assert caps(seen) == [32, 28, 16, 8]  # 38, 28.5, 19, 9.5, three leading bits of each
    ranks = look(an.observation(load=storm, settings={"max_batch_size": 256, "data_parallel_size": 2}))
    assert caps(ranks) == [16, 14, 8, 4]  # 19 on each rank


def test_a_missed_target_between_tokens_may_get_a_lower_cap() -> None:
    missed = look(slow(), ITL)
    assert caps(missed) == [14, 10, 7, 3]  # 14 run
    assert options(missed)[0].changes[0].reason.startswith("itl p95 is 120 ms, target 100 ms")
    assert caps(look(slow())) == []


def test_a_replica_without_a_running_request_has_nothing_to_lower() -> None:
    empty = look(slow({"num_requests_running": 0.5}), ITL)
    assert caps(empty) == []


@pytest.mark.parametrize(
    ("settings", "captured"),
    [
        ({"max_cudagraph_capture_size": 32}, 64),
        ({"max_cudagraph_capture_size": 64}, None),
        ({"max_cudagraph_capture_size": 32, "enforce_eager": True}, None),
        ({}, None),
    ],
)
def test_graphs_that_somebody_bounded_below_the_new_cap_follow_it(
    settings: dict[str, Any], captured: int | None
) -> None:
    changes = options(look(an.observation(settings=settings)))[0].changes
    graphs = [change.recommended_value for change in changes[1:]]
    assert graphs == ([] if captured is None else [captured])


def test_graphs_follow_no_further_than_vllm_captures_by_itself() -> None:
    settings = {"max_batch_size": 512, "max_cudagraph_capture_size": 256}
    changes = options(look(an.observation(settings=settings, load={"num_requests_running": 512.0})))[0].changes
    assert [change.recommended_value for change in changes] == [1024, 512]
    assert changes[1].flag == "--max-cudagraph-capture-size"
    assert "captured up to 256 requests" in changes[1].reason
    assert [fact.query for fact in changes[1].evidence] == ["vllm:num_requests_running", "vllm:num_requests_waiting"]


def test_a_list_of_graphs_is_left_to_a_person() -> None:
    listed = {"cudagraph_capture_sizes": "[1, 2, 4, 32]"}
    (by_hand,) = options(look(an.observation(settings=listed)))[0].prerequisites
    assert by_hand.startswith("By hand: the new batch among cudagraph_capture_sizes")
    assert options(look(an.observation(settings={**listed, "enforce_eager": True})))[0].prerequisites == ()


@pytest.mark.parametrize(
    ("value", "shortened"), [(38, 32), (28.5, 28), (5000, 4096), (8192, 8192), (7, 7), (9.5, 8), (0.4, 0)]
)
def test_numbers_are_cut_to_three_leading_bits(value: float, shortened: int) -> None:
    assert short(value) == shortened
