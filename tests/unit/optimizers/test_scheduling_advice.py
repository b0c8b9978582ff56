"""What a person could try in scheduling and in what the prefix cache keeps."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import LLAMA, a, an, measured

from inferplan.api.instance import Objective, SLOMetric, WorkloadSpec
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.effective import effective
from inferplan.domain.architecture import Attention, Layer
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import Origin, Setting
from inferplan.optimizers.advice import advice
from inferplan.optimizers.batching_look import Look
from inferplan.optimizers.scheduling_advice import scheduling_advice

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
LATENCY = Policy(objective=Objective.LATENCY)
WIDE = {"max_batch_size": 256}
FULL = {"kv_cache_usage": 1.0, "num_requests_running": 64.0, "kv_cache_tokens": 100_000.0}
WINDOWED = replace(LLAMA, layers=(Layer(Attention(32, 8, 128, 128, window=1024), LLAMA.layers[0].feed_forward),) * 32)
GRAPHS, MODE, FIRST = "CUDA graphs for every small batch", "Without the mode for throughput", "Requests whose start"
POINTS, BLOCKS = "More points at which", "The engine's own block size"


def look(observation: Observation, policy: Policy | None = None) -> Look:
    return Look(observation, diagnose(observation), policy or Policy())


def said(seen: Look) -> dict[str, str]:
    return {entry.title: entry.description for entry in scheduling_advice(seen)}


def titles(seen: Look) -> tuple[str, ...]:
    return tuple(said(seen))


def sglang(load: dict[str, float | None], **settings: Any) -> Look:
    config = effective(a.config(Engine.SGLANG, "0.5.12", max_batch_size=32, **settings), H100, model=LLAMA)
    return look(an.observation(config=config, load={"prefix_cache_hit_share": 0.5, **load}))


def test_it_comes_after_the_other_advice() -> None:
    seen = look(an.serving(), LATENCY)
    assert [entry.title for entry in advice(seen)] == [f"{GRAPHS} (--performance-mode interactivity)"]
    assert advice(look(an.serving())) == ()


def test_graphs_of_every_size_where_a_small_batch_runs_and_latency_counts() -> None:
    ((title, text),) = said(look(an.serving(), LATENCY)).items()
    assert title == f"{GRAPHS} (--performance-mode interactivity)"
    assert text.startswith("14 requests run at once")


def test_a_missed_target_between_tokens_makes_latency_count() -> None:
    itl = (("itl p95", measured("itl_p95_milliseconds", 120.0)),)
    metrics = replace(an.serving().metrics, slo_milliseconds=itl)
    policy = Policy(slo=(an.slo(SLOMetric.ITL, 95, 100),))
    assert titles(look(an.serving(metrics=metrics), policy)) == (f"{GRAPHS} (--performance-mode interactivity)",)


@pytest.mark.parametrize(
    "changes",
    [
        {"load": {"num_requests_running": 33.0}},  # larger than what the mode captures
        {"load": {"num_requests_running": 1.0}},  # a graph of 1 is there
        {"load": {"num_requests_running": None}},
        {"settings": {"enforce_eager": True}},
        {"settings": {"performance_mode": "interactivity"}},
        {"config": effective(a.config(version="0.16.0", max_batch_size=32), H100)},
    ],
)
def test_no_graphs_where_they_are_there_or_cannot_be(changes: dict[str, Any]) -> None:
    assert titles(look(an.serving(**changes), LATENCY)) == ()


def test_no_graphs_for_a_queue() -> None:
    assert titles(look(an.observation(), LATENCY)) == ()


def test_a_mode_for_throughput_does_not_go_with_latency() -> None:
    own = Setting(1024, Origin.VERSION_DEFAULT)
    observation = an.serving(settings={"performance_mode": "throughput"})
    observation = replace(observation, config=observation.config.with_settings({"max_batch_size": own}))
    text = said(look(observation, LATENCY))[f"{MODE} (--performance-mode throughput)"]
    assert "It doubles what the release takes for --max-num-seqs and --max-num-batched-tokens." in text
    both = {"performance_mode": "throughput", "max_num_batched_tokens": 4096}
    text = said(look(an.serving(settings=both), LATENCY))[f"{MODE} (--performance-mode throughput)"]
    assert "doubles" not in text
    assert titles(look(an.serving(settings=both))) == ()


def test_sglang_takes_what_is_cached_first() -> None:
    text = said(sglang({}))[f"{FIRST} is cached go first (--schedule-policy lpm)"]
    assert text.startswith("12 requests wait, and 50% of the prompts' tokens are found")
    assert "more than 128" not in text
    assert (
        "more than 128"
        in said(sglang({"num_requests_waiting": 200.0}))[f"{FIRST} is cached go first (--schedule-policy lpm)"]
    )


@pytest.mark.parametrize(
    ("load", "settings"),
    [
        ({"prefix_cache_hit_share": 0.1}, {}),
        ({"prefix_cache_hit_share": None}, {}),
        ({"num_requests_waiting": 0.0, "num_requests_running": 10.0}, {}),
        ({}, {"scheduling_policy": "lpm"}),
        ({}, {"enable_prefix_caching": False}),
    ],
)
def test_no_other_order_where_nothing_waits_or_nothing_is_shared(
    load: dict[str, float | None], settings: dict[str, Any]
) -> None:
    assert titles(sglang(load, **settings)) == ()


def test_vllm_has_no_order_by_cached_start() -> None:
    assert titles(look(an.observation(load={"prefix_cache_hit_share": 0.5}))) == ()


def declared(share: float | None, **changes: Any) -> Look:
    workload = WorkloadSpec(prefix_share=share) if share is not None else None
    return look(an.serving(**{"model": WINDOWED, **changes}, declared=workload))


def test_more_of_a_window_is_kept_where_prompts_share_more_than_is_found() -> None:
    ((title, text),) = said(declared(0.8)).items()
    assert title == f"{POINTS} a prompt can be resumed (--prefix-cache-retention-interval)"
    assert text.startswith("spec.workload says that prompts share 80% of their tokens, and 30% are found.")


@pytest.mark.parametrize(
    ("share", "changes"),
    [
        (None, {}),
        (0.4, {}),
        (0.8, {"load": {"prefix_cache_hit_share": None}}),
        (0.8, {"model": LLAMA}),
        (0.8, {"settings": {"enable_prefix_caching": False}}),
        (0.8, {"settings": {"prefix_cache_retention_interval": 1024}}),
        (0.8, {"config": effective(a.config(version="0.28.0", max_batch_size=32), H100)}),
    ],
)
def test_nothing_more_is_kept_where_it_is_no_use(share: float | None, changes: dict[str, Any]) -> None:
    assert titles(declared(share, **changes)) == ()


def test_half_empty_blocks_of_a_full_cache() -> None:
    text = said(look(an.observation(load=FULL, settings={"block_size": 256, **WIDE})))[
        f"{BLOCKS} (without --block-size 256)"
    ]
    assert "64 x 256 / 2 of 100000 tokens are 8% of it" in text


@pytest.mark.parametrize(
    ("load", "settings"),
    [
        (FULL, {"block_size": 128}),
        (FULL, {}),
        ({**FULL, "kv_cache_usage": 0.3}, {"block_size": 256}),
        ({**FULL, "num_requests_running": None}, {"block_size": 256}),
        ({**FULL, "kv_cache_tokens": None}, {"block_size": 256}),
    ],
)
def test_blocks_are_left_where_they_waste_little(load: dict[str, float | None], settings: dict[str, Any]) -> None:
    assert titles(look(an.observation(load=load, settings={**WIDE, **settings}))) == ()
