"""The step model's arithmetic against numbers worked by hand, and what must hold for any shape."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.speed import IDEAL, kernels

from inferplan.estimate.speed_constants import SpeedConstants
from inferplan.estimate.step_shape import KERNELS, LayerGroup, StepColumns, StepShape
from inferplan.estimate.step_time import StepTimer

# A GPU that moves 1e12 bytes and multiplies 1e14 operations in a second, and a model of ten equal layers.
DENSE = LayerGroup(
    count=10, linear_bytes=1e9, linear_flops=2e9, linear_flops_per_second=1e14, cache_bytes=1e3, attention_flops=1e4
)
SHAPE = StepShape((DENSE,), 0.0, 8192.0, 1e12, float("inf"), 1e14)


def seconds(shape: StepShape, constants: SpeedConstants = IDEAL, **step: float) -> float:
    values = {"decode": 0.0, "context": 0.0, "prompt": 0.0, "prompt_context": 0.0} | step
    timer = StepTimer(StepColumns([shape]), constants)
    return float(timer.seconds(*(np.array([values[name]]) for name in values))[0])


def of_layer(**changes: float) -> StepShape:
    return replace(SHAPE, groups=(replace(DENSE, **changes),))


def test_one_token_reads_the_weights() -> None:
    # 10 layers x 1e9 bytes / 1e12 = 10 ms; the operations, 10 x 2e9 / 1e14 = 0.2 ms, hide behind them.
    assert seconds(SHAPE, decode=1.0) == pytest.approx(0.010, rel=1e-4)


def test_many_tokens_are_bound_by_the_operations() -> None:
    # 10,000 tokens: 10 x 2e13 / 1e14 = 2 s, against 10 ms of reading.
    assert seconds(SHAPE, decode=10_000.0) == pytest.approx(2.0, rel=1e-4)


def test_equal_times_give_a_quarter_more() -> None:
    # 50 tokens: 10 ms of reading and 10 ms of multiplying; (2 x 10^3)^(1/3) = 12.6 ms.
    assert seconds(SHAPE, decode=50.0) == pytest.approx(0.0126, rel=1e-3)


def test_the_caches_of_all_sequences_are_read() -> None:
    # 4 sequences x 1,000 tokens x 1,000 bytes x 10 layers / 1e12 = 40 us more than without context.
    assert seconds(SHAPE, decode=4.0, context=1000.0) - seconds(SHAPE, decode=4.0) == pytest.approx(4e-5, rel=1e-6)


def test_a_window_bounds_what_is_read() -> None:
    narrow = of_layer(window=100.0)
    # 4 x 100 x 1,000 x 10 / 1e12 = 4 us.
    assert seconds(narrow, decode=4.0, context=1000.0) - seconds(narrow, decode=4.0) == pytest.approx(4e-6, rel=1e-6)


def test_a_prompt_sees_its_context() -> None:
    plain, seen = seconds(SHAPE, prompt=100.0), seconds(SHAPE, prompt=100.0, prompt_context=50.0)
    # 100 tokens x 50 x 1e4 operations x 10 layers / 1e14 = 5 us.
    assert seen - plain == pytest.approx(5e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("tokens", "touched"),
    [
        (1.0, 2.0),  # top 2 of 8
        (4.0, 8 * (1 - 0.75**4)),  # 5.47 of 8
        (1e6, 8.0),  # all
    ],
)
def test_a_step_reads_the_experts_that_its_tokens_touch(tokens: float, touched: float) -> None:
    layer = LayerGroup(count=1, expert_bytes=8e9, experts=8, top_k=2)
    # 8e9 bytes are 8 experts of 1e9: each touched one takes 1 ms.
    assert seconds(replace(SHAPE, groups=(layer,)), decode=tokens) == pytest.approx(touched * 1e-3, rel=1e-6)


def test_whole_experts_on_a_gpu_are_uneven() -> None:
    layer = LayerGroup(count=1, expert_bytes=8e9, experts=8, top_k=2)
    shape, uneven = replace(SHAPE, groups=(layer,)), replace(IDEAL, expert_imbalance=1.5)
    apart = replace(shape, expert_parallel=True)
    assert seconds(apart, uneven, decode=8.0) == pytest.approx(1.5 * seconds(shape, uneven, decode=8.0))


def test_collectives_cost_their_latency_and_their_bytes() -> None:
    shape = replace(of_layer(reductions=2), ranks=4, link_bytes_per_second=1e9)
    constants = replace(IDEAL, reduction_seconds=1e-5, slow_reduction_seconds=5e-5)
    # 10 layers x 2 x (10 us + 100 x 8,192 x 2 x 3 / 4 / 1e9) = 0.2 ms + 24.576 ms.
    more = seconds(shape, constants, decode=100.0) - seconds(SHAPE, constants, decode=100.0)
    assert more == pytest.approx(2e-4 + 0.024576, rel=1e-6)
    pcie = replace(shape, fast_link=False)
    # Around a ring of four: 20 x (3 x 50 us - 10 us).
    assert seconds(pcie, constants, decode=100.0) - seconds(shape, constants, decode=100.0) == pytest.approx(2.8e-3)


def test_kernels_are_counted_by_kind() -> None:
    shape = of_layer(kernels=kernels(plain=4, attention=1, quantize=2))
    constants = replace(IDEAL, kernel_seconds=1e-6, attention_kernels=6.0, quantize_kernels=1.5)
    # 10 layers x (4 + 6 + 2 x 1.5) x 1 us.
    assert seconds(shape, constants, decode=1.0) - seconds(SHAPE, constants, decode=1.0) == pytest.approx(1.3e-4)


def test_every_kind_of_kernel_has_a_constant() -> None:
    assert len(IDEAL.kernel_counts()) == len(KERNELS)


def test_attention_ranks_share_the_sequences() -> None:
    two = replace(SHAPE, attention_ranks=2)
    more = seconds(two, decode=4.0, context=1000.0) - seconds(two, decode=4.0)
    assert more == pytest.approx(2e-5, rel=1e-6)


def test_the_first_engine_schedules_while_the_gpu_waits() -> None:
    constants = replace(IDEAL, serial_step_seconds=1e-3, serial_sequence_seconds=1e-5)
    more = seconds(replace(SHAPE, serial_cpu=1.0), constants, decode=10.0) - seconds(SHAPE, constants, decode=10.0)
    assert more == pytest.approx(1.1e-3)


def test_pcie_has_a_share_of_its_own() -> None:
    shape = replace(of_layer(reductions=2), ranks=2, link_bytes_per_second=1e10)
    slow = replace(IDEAL, slow_link_share=0.25)
    fast, pcie = (
        seconds(replace(shape, fast_link=link), slow, decode=1000.0) - seconds(SHAPE, decode=1000.0)
        for link in (True, False)
    )
    # 1,000 x 8,192 bytes x 2 x 1 / 2 each way, 10 layers x 2: 16.4 ms over the one, four times that over the other.
    assert fast == pytest.approx(0.01638, rel=1e-3)
    assert pcie == pytest.approx(4 * 0.01638, rel=1e-3)


def test_near_tokens_are_read_beside_compressed_ones() -> None:
    near = of_layer(near=100.0, near_bytes=2e3, near_flops=3e4)
    # 4 x 100 tokens x 2,000 bytes x 10 layers / 1e12 = 8 us; a shorter context has fewer.
    for context, more in ((1000.0, 8e-6), (50.0, 4e-6)):
        plain = seconds(SHAPE, decode=4.0, context=context)
        assert seconds(near, decode=4.0, context=context) - plain == pytest.approx(more, rel=1e-6)
    # 100 tokens x 50 x 3e4 operations x 10 layers / 1e14 = 15 us.
    plain = seconds(SHAPE, prompt=100.0, prompt_context=50.0)
    assert seconds(near, prompt=100.0, prompt_context=50.0) - plain == pytest.approx(1.5e-5, rel=1e-6)


def test_the_first_engines_steps_with_prompts_have_no_graphs() -> None:
    constants = replace(IDEAL, kernel_seconds=1e-6, eager_kernel_seconds=5e-6)
    shape = of_layer(kernels=kernels(plain=3.0))
    first = replace(shape, serial_cpu=1.0)
    assert seconds(first, constants, decode=1.0) == pytest.approx(seconds(shape, constants, decode=1.0))
    more = seconds(first, constants, decode=1.0, prompt=1.0) - seconds(shape, constants, decode=1.0, prompt=1.0)
    assert more == pytest.approx(10 * 3 * 4e-6)


def test_few_tokens_take_slow_kernels_and_many_write_the_weights_out() -> None:
    own = replace(of_layer(vector_flops_per_second=1e13, wide_bytes=4e9), vector_tokens=50)
    # 50 tokens: 10 x 50 x 2e9 / 1e13 = 100 ms of multiplying without tensor cores.
    assert seconds(own, decode=50.0) == pytest.approx(0.1, rel=1e-3)
    # 51: 1e9 bytes read and 4e9 written, then 4e9 read again: 10 x 9 ms; multiplying hides behind it.
    assert seconds(own, decode=51.0) == pytest.approx(0.09, rel=1e-2)


def test_shapes_side_by_side_time_as_each_alone() -> None:
    wide = replace(SHAPE, groups=(DENSE, replace(DENSE, count=3, window=10.0)), sglang=True)
    steps = [np.array([5.0, 5.0]), np.array([700.0, 700.0]), np.array([64.0, 64.0]), np.array([32.0, 32.0])]
    both = StepTimer(StepColumns([SHAPE, wide]), IDEAL).seconds(*steps)
    alone = [StepTimer(StepColumns([one]), IDEAL).seconds(*(s[:1] for s in steps))[0] for one in (SHAPE, wide)]
    assert both.tolist() == pytest.approx(alone)
