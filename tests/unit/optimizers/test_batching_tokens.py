"""Where the tokens of a step may be moved to."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import LLAMA, a, an, measured

from inferplan.api.instance import Objective, SLOMetric
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, Diagnosis, diagnose
from inferplan.domain.lever import Option
from inferplan.domain.model_card import Tower
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Policy
from inferplan.optimizers.batching_look import Look
from inferplan.optimizers.batching_tokens import tokens_lever

ITL = Policy(slo=(an.slo(SLOMetric.ITL, 95, 100),))
TTFT = Policy(slo=(an.slo(SLOMetric.TTFT, 95, 500),))
STEPS_FULL = {"num_requests_running": 9.0, "tokens_per_step": 8000.0, "prompt_tokens_mean": 500.0}
STALLS = {"itl_mean_milliseconds": 20.0, "itl_p99_milliseconds": 900.0}
IMAGES = replace(LLAMA, towers=(Tower("vision", 10**8, "its config"),))


def look(observation: Observation, policy: Policy | None = None) -> Look:
    return Look(observation, diagnose(observation), policy or Policy())


def options(seen: Look) -> tuple[Option, ...]:
    lever = tokens_lever(seen)
    return () if lever is None else lever.options


def tokens(seen: Look) -> list[Any]:
    return [option.changes[0].recommended_value for option in options(seen)]


def missing(slo: str, load: dict[str, float | None] | None = None, **changes: Any) -> Observation:
    """Serving with ease, but for a percentile of 900 ms."""
    metrics = replace(an.serving(load).metrics, slo_milliseconds=((slo, measured("latency", 900.0)),))
    return an.serving(**{**changes, "metrics": metrics})


def test_full_steps_may_get_twice_and_four_times_as_long() -> None:
    full = look(an.observation(load=STEPS_FULL))
    assert full.diagnosis.cause is Cause.PREFILL_BOUND
    assert tokens(full) == [16_384, 32_768]
    first = options(full)[0]
    (change,) = first.changes
    assert (change.flag, change.current_value) == ("--max-num-batched-tokens", 8192)
    assert change.reason.startswith("Steps are 98% full on average while requests wait")
    assert [fact.query for fact in change.evidence] == [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:tokens_per_step",
        "vllm:prompt_tokens_mean",
    ]
    assert "first token comes earlier" in first.description
    assert "highest times between tokens rise" in first.description
    assert len(first.risks) == 2


@pytest.mark.parametrize(
    ("present", "offered"),
    [
        (64, [128, 256]),
        (4096, [8192, 16_384]),
        (5000, [8192, 16_384]),  # 10,000 and 20,000, three leading bits
    ],
)
def test_numbers_are_round(present: int, offered: list[int]) -> None:
    load = {**STEPS_FULL, "tokens_per_step": float(present)}
    assert tokens(look(an.observation(load=load, settings={"max_num_batched_tokens": present}))) == offered


def test_prompts_that_take_several_steps_speak_for_longer_ones() -> None:
    capped = look(an.observation(load={"prompt_tokens_mean": 9000.0}))
    assert tokens(capped) == [16_384, 32_768]
    assert options(capped)[0].changes[0].reason.startswith("Prompts have 9000 tokens on average")
    assert tokens(look(an.serving({"prompt_tokens_mean": 9000.0}))) == []
    assert tokens(look(missing("ttft p95", {"prompt_tokens_mean": 9000.0}), TTFT)) == [16_384, 32_768]


def test_a_missed_first_token_speaks_for_longer_steps() -> None:
    missed = look(missing("ttft p95"), TTFT)
    assert tokens(missed) == [16_384, 32_768]
    assert options(missed)[0].changes[0].reason.startswith("ttft p95 is 900 ms, target 500 ms")


def test_steps_that_nobody_measured_are_full_by_the_diagnosis() -> None:
    seen = Look(an.observation(), Diagnosis(Cause.OVERLOAD), Policy())
    assert options(seen)[0].description.startswith("Requests wait while steps are full of prompts.")


def test_a_cap_that_would_run_into_the_tokens_of_a_step_may_move_with_them() -> None:
    held = look(an.observation(settings={"max_num_batched_tokens": 48}))
    assert tokens(held) == [96, 192]
    assert "no more requests at once than a step has tokens, 48" in options(held)[0].description
    assert tokens(look(an.observation(settings={"max_num_batched_tokens": 64}))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"drop": ("max_batch_size",)},
        {"config": a.config(Engine.SGLANG, "0.5.23", max_batch_size=32, max_num_batched_tokens=48)},
        {"settings": {"max_num_batched_tokens": 48, "max_num_active_seqs": 8}},
    ],
)
def test_nor_where_no_cap_would(changes: dict[str, Any]) -> None:
    seen = Look(an.observation(**changes), Diagnosis(Cause.SCHEDULER_CAPPED), Policy())
    assert tokens(seen) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"drop": ("max_num_batched_tokens",)},
        {"settings": {"max_num_scheduled_tokens": 512}},
        {"settings": {"num_gpu_blocks_override": 500}},
    ],
)
def test_steps_that_something_else_bounds_are_left_alone(changes: dict[str, Any]) -> None:
    seen = Look(an.observation(load=STEPS_FULL, **changes), Diagnosis(Cause.PREFILL_BOUND), Policy())
    assert tokens(seen) == []


def test_a_missed_target_between_tokens_may_get_shorter_steps() -> None:
    missed = look(missing("itl p95"), ITL)
    assert tokens(missed) == [4096, 2048, 1024, 512]
    first = options(missed)[0]
    assert first.title == "Lower the tokens of a step from 8192 to 4096"
    assert first.changes[0].reason.startswith("itl p95 is 900 ms, target 100 ms")
    assert "holds up the answers beside it for less time" in first.description
    assert "first token comes later" in first.description
    assert len(first.risks) == 1


@pytest.mark.parametrize(
    ("load", "objective", "offered"),
    [
        (STALLS, Objective.BALANCED, True),
        (STALLS, Objective.LATENCY, True),
        (STALLS, Objective.THROUGHPUT, False),
        ({**STALLS, "itl_p99_milliseconds": 59.0}, Objective.BALANCED, False),
        ({**STALLS, "itl_p99_milliseconds": None}, Objective.BALANCED, False),
        ({**STALLS, "itl_mean_milliseconds": None}, Objective.BALANCED, False),
    ],
)
def test_steps_that_stand_out_may_get_shorter(
    load: dict[str, float | None],
    objective: Objective,
    offered: bool,
) -> None:
    seen = look(an.serving(load), Policy(objective=objective))
    assert bool(tokens(seen)) is offered
    if offered:
        assert options(seen)[0].description.startswith("The time between tokens is 20 ms on average and 900 ms")


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({"settings": {"max_batch_size": 1024}}, [4096, 2048, 1024]),  # all sequences fit into a step
        ({"settings": {"max_num_batched_tokens": 65_536}}, [32_768, 16_384, 8192, 4096]),
        ({"settings": {"max_num_batched_tokens": 512}}, []),
        ({"drop": ("max_batch_size",)}, [4096, 2048, 1024, 512]),
        ({"model": IMAGES}, []),
        ({"model": IMAGES, "settings": {"language_model_only": True}}, [4096, 2048, 1024, 512]),
        ({"model": NO_MODEL_CONFIG}, []),
        ({"settings": {"enable_chunked_prefill": False, "max_num_batched_tokens": 32_768}}, [16_384, 8192]),
        (
            {
                "settings": {"enable_chunked_prefill": False, "max_num_batched_tokens": 32_768},
                "drop": ("max_model_len",),
            },
            [],
        ),
    ],
)
def test_a_step_holds_what_it_must(changes: dict[str, Any], offered: list[int]) -> None:
    assert tokens(look(an.serving(STALLS, **changes))) == offered


def test_sglang_decodes_outside_of_its_chunks() -> None:
    config = a.config(Engine.SGLANG, "0.5.23", max_batch_size=1024, max_num_batched_tokens=8192, max_model_len=8192)
    seen = look(an.serving(STALLS, config=config))
    assert tokens(seen) == [4096, 2048, 1024, 512]
    assert options(seen)[0].changes[0].flag == "--chunked-prefill-size"
