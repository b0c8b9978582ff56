"""Queueing, fixed point and limits: what must hold whatever the constants are, and numbers worked by hand."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.speed import IDEAL, kernels

from inferplan.estimate.load import Load
from inferplan.estimate.service import Flow, Limits, Loads, Service
from inferplan.estimate.speed_constants import Multipliers, SpeedConstants
from inferplan.estimate.step_shape import LayerGroup, StepColumns, StepShape

# 10 ms to read the weights, 0.2 ms per token to multiply; the cache costs nothing.
LAYER = LayerGroup(count=10, linear_bytes=1e9, linear_flops=2e9, linear_flops_per_second=1e14)
SHAPE = StepShape((LAYER,), 0.0, 8192.0, 1e12, float("inf"), 1e14)
APART = replace(SHAPE, prefill_apart=True)
ENDLESS = (float("inf"), 1e9, float("inf"))


def flow(
    load: Load,
    limits: tuple[float, float, float] = ENDLESS,
    constants: SpeedConstants = IDEAL,
    shape: StepShape = SHAPE,
    times: Multipliers | None = None,
) -> Flow:
    bounds = Limits(*(np.array([value]) for value in limits))
    return Service(StepColumns([shape]), constants, times).under(Loads([load]), bounds)


def closed(clients: float, inputs: float = 100.0, outputs: float = 100.0, **more: float) -> Load:
    return Load(clients, None, inputs, outputs, **more)


def opened(rate: float, inputs: float = 100.0, outputs: float = 100.0) -> Load:
    return Load(None, rate, inputs, outputs)


def one(values: np.ndarray) -> float:
    assert values.shape == (1,)
    return float(values[0])


def test_one_request_takes_its_prefill_and_then_a_step_for_each_token() -> None:
    found = flow(closed(1.0, inputs=1.0, outputs=1000.0))
    assert one(found.itl_seconds) == pytest.approx(0.010, rel=1e-3)
    # Little: one request in TTFT + 1,000 x 10 ms.
    assert one(found.requests_per_second) == pytest.approx(1.0 / (one(found.ttft_seconds) + 10.0), rel=1e-3)


def test_littles_law_holds() -> None:
    found = flow(closed(16.0))
    residence = one(found.ttft_seconds) + 100.0 * one(found.itl_seconds)
    assert one(found.requests_per_second) * residence == pytest.approx(16.0, rel=1e-9)


def test_prompts_of_others_delay_every_token() -> None:
    short, long = flow(closed(16.0, inputs=1.0)), flow(closed(16.0, inputs=2000.0))
    # A prompt of 2,000 tokens is 400 ms of multiplying; at most 16 / 100 of them come per step.
    extra = one(long.itl_seconds) - one(short.itl_seconds)
    assert 0.8 * 0.064 < extra <= 0.064


def test_prompts_and_decoding_share_the_tokens_of_a_step() -> None:
    tight = flow(closed(1000.0, inputs=215.0, outputs=198.0), (1000.0, 512.0, float("inf")))
    assert one(tight.running) == pytest.approx(512 / (1 + 215 / 198))
    apart = flow(closed(1000.0, inputs=215.0, outputs=198.0), (1000.0, 512.0, float("inf")), shape=APART)
    assert one(apart.running) == 1000.0


def test_prompts_that_come_in_one_step_are_processed_together() -> None:
    costly = replace(IDEAL, eager_kernel_seconds=1e-3)
    first = replace(SHAPE, groups=(replace(LAYER, kernels=kernels(plain=1.0)),), serial_cpu=1.0)
    slow, fast = (flow(closed(400.0, 1.0, 100.0), constants=with_, shape=first) for with_ in (costly, IDEAL))
    # Some four prompts come per step: their step launches ten kernels from the CPU once, 10 ms, not four times.
    assert one(slow.itl_seconds) - one(fast.itl_seconds) == pytest.approx(0.010, rel=0.05)


def test_more_clients_than_places_queue() -> None:
    crowded = flow(closed(64.0), (16.0, 1e9, float("inf")))
    alone = flow(closed(16.0))
    assert one(crowded.running) == 16.0
    assert one(crowded.itl_seconds) == pytest.approx(one(alone.itl_seconds), rel=1e-6)
    residence = one(alone.ttft_seconds) + 100.0 * one(alone.itl_seconds)
    # Three times as many wait as run: three residences.
    assert one(crowded.ttft_seconds) - one(alone.ttft_seconds) == pytest.approx(3.0 * residence, rel=1e-6)


def test_the_cache_bounds_what_runs() -> None:
    # 150 tokens per running request (100 + half of 100): 1,500 tokens hold 10.
    assert one(flow(closed(64.0), (1000.0, 1e9, 1500.0)).running) == pytest.approx(10.0)


def test_longer_outputs_that_vary_hold_more_cache() -> None:
    varied = closed(64.0, output_variation=1.0)
    # 100 + 100 x (1 + 1) / 2 = 200 tokens each.
    assert one(flow(varied, (1000.0, 1e9, 1500.0)).running) == pytest.approx(7.5)


def test_a_cached_prefix_is_not_computed_again() -> None:
    fresh, cached = flow(closed(8.0, inputs=4000.0)), flow(closed(8.0, inputs=4000.0, prefix_share=0.9))
    assert one(cached.ttft_seconds) < 0.2 * one(fresh.ttft_seconds)
    assert one(cached.itl_seconds) < one(fresh.itl_seconds)


def test_a_prompt_in_chunks_waits_for_a_step_each() -> None:
    chunked = flow(closed(1.0), (8.0, 11.0, float("inf")))
    # Ten chunks of 10 tokens hide in ten steps of 10 ms; nine of them come before the one that gives the first token.
    assert one(chunked.ttft_seconds) == pytest.approx(0.090, rel=0.02)


@pytest.mark.parametrize("rate", [0.1, 5.0, 20.0])
def test_an_open_loop_serves_what_arrives(rate: float) -> None:
    found = flow(opened(rate), (256.0, 1e9, float("inf")))
    assert not found.saturated.any()
    assert one(found.requests_per_second) == rate


def test_an_open_loop_past_what_is_served_is_saturated() -> None:
    most = one(flow(closed(256.0), (256.0, 1e9, float("inf"))).requests_per_second)
    found = flow(opened(2.0 * most), (256.0, 1e9, float("inf")))
    assert found.saturated.all()
    assert one(found.requests_per_second) == pytest.approx(most, rel=1e-3)


def test_latency_grows_with_what_arrives() -> None:
    found = [flow(opened(rate), (32.0, 1e9, float("inf"))) for rate in (1.0, 4.0, 8.0, 12.0)]
    assert [one(each.itl_seconds) for each in found] == sorted(one(each.itl_seconds) for each in found)
    assert [one(each.ttft_seconds) for each in found] == sorted(one(each.ttft_seconds) for each in found)


def test_sglang_prefills_while_decoding_waits() -> None:
    apart = replace(SHAPE, prefill_apart=True, sglang=True)
    mixed = flow(closed(16.0, inputs=10.0))
    alone = flow(closed(16.0, inputs=10.0), shape=apart)
    # A prompt of 10 tokens hides in a mixed step, and is a step of its own (10 ms) apart.
    assert one(alone.itl_seconds) > one(mixed.itl_seconds) * 1.1


def test_a_stated_receive_interval_is_waited_for() -> None:
    apart = replace(SHAPE, prefill_apart=True, sglang=True, receive_interval=30)
    often = replace(apart, receive_interval=1)
    late = one(flow(closed(4.0), shape=apart).ttft_seconds) - one(flow(closed(4.0), shape=often).ttft_seconds)
    assert late == pytest.approx(14.5 * 0.010, rel=0.05)  # (30 - 1) / 2 steps of 10 ms


def test_stages_are_filled_by_parts_of_the_batch() -> None:
    two = replace(SHAPE, stages=2)
    # 100 sequences in two halves: 50 tokens a step, 12.6 ms instead of 20.8.
    assert one(flow(closed(100.0, inputs=1.0, outputs=1e4), shape=two).itl_seconds) == pytest.approx(0.0126, rel=0.02)


def test_multipliers_scale_their_parts() -> None:
    load = closed(16.0, inputs=2000.0)
    plain, doubled = flow(load), flow(load, times=Multipliers(2.0, 2.0, 2.0, 2.0))
    assert one(doubled.itl_seconds) == pytest.approx(2.0 * one(plain.itl_seconds), rel=1e-6)
    assert one(doubled.ttft_seconds) == pytest.approx(2.0 * one(plain.ttft_seconds), rel=1e-6)


def test_the_parts_are_the_whole() -> None:
    found = flow(closed(64.0), (16.0, 1e9, float("inf")), replace(IDEAL, request_seconds=0.02, burst_share=0.1))
    fixed, growing, prompts, prefill, waiting = found.parts
    assert one(fixed + growing + prompts) == pytest.approx(one(found.itl_seconds))
    assert one(prefill + waiting) == pytest.approx(one(found.ttft_seconds))


def test_candidates_side_by_side_flow_as_each_alone() -> None:
    bounds = Limits(np.array([8.0, 64.0, 16.0]), np.array([2048.0, 512.0, 1e4]), np.array([1e9, 3e3, 1e6]))
    both = Service(StepColumns([SHAPE]), IDEAL).under(Loads([opened(6.0)]), bounds)
    for index in range(3):
        alone = flow(opened(6.0), (bounds.running[index], bounds.batched_tokens[index], bounds.cache_tokens[index]))
        assert both.ttft_seconds[index] == pytest.approx(one(alone.ttft_seconds))
        assert both.requests_per_second[index] == pytest.approx(one(alone.requests_per_second))


def test_a_load_tests_client_delays_its_own_requests_only() -> None:
    slow = replace(IDEAL, request_seconds=0.01, tester_seconds=0.03, client_seconds=0.001)
    test, plain = (one(flow(closed(10.0), constants=each).ttft_seconds) for each in (slow, IDEAL))
    assert test - plain == pytest.approx(0.01 + 0.03 + 10 * 0.001, rel=0.02)
    traffic, ideal = (one(flow(opened(0.1), constants=each).ttft_seconds) for each in (slow, IDEAL))
    assert traffic - ideal == pytest.approx(0.01, rel=0.02)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("tokens", [1e9, 64.0])
def test_what_chunks_add_to_steps_is_what_prompts_add_to_the_time_between_tokens(stages: int, tokens: float) -> None:
    found = flow(closed(16.0), (float("inf"), tokens, float("inf")), shape=replace(SHAPE, stages=stages))
    assert one(found.chunk_share) < 1.0
    assert one(found.chunk_seconds * found.chunk_share) == pytest.approx(one(found.parts[2]), rel=0.01)


def test_every_step_has_a_chunk_where_more_come_than_there_are_steps() -> None:
    found = flow(closed(64.0, inputs=4000.0, outputs=4.0), (float("inf"), 64.0, float("inf")), shape=APART)
    assert one(found.chunk_share) == 1.0


def test_a_loop_that_is_nearly_full_serves_no_more_than_comes() -> None:
    most = one(flow(closed(8.0)).requests_per_second)
    for busy in (0.9, 0.985, 0.999):
        found = flow(opened(busy * most), (8.0, 1e9, float("inf")))
        assert one(found.requests_per_second) == pytest.approx(busy * most)
