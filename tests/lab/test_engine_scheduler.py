"""The simulator's scheduler, driven step by step without a clock."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferplan_lab.engine.events import BatchShape, Request, StepResult
from inferplan_lab.engine.limits import Batching
from inferplan_lab.engine.prefix_cache import BlockPool, prompt_keys
from inferplan_lab.engine.scheduler import Scheduler

BLOCK = 4


def step_seconds(shape: BatchShape) -> float:
    return 0.01 + 0.001 * shape.tokens


def scheduler(batching: Batching, blocks: int, *, caching: bool = True) -> Scheduler:
    return Scheduler(batching, BlockPool(blocks, caching=caching), BLOCK, step_seconds)


def request(name: str, tokens: Sequence[int] | int, output: int, arrival: float = 0.0) -> Request:
    prompt = [hash((name, at)) for at in range(tokens)] if isinstance(tokens, int) else list(tokens)
    return Request(name, len(prompt), output, arrival, keys=list(prompt_keys(prompt, BLOCK)))


def run(engine: Scheduler, most_steps: int = 5000) -> list[StepResult]:
    results: list[StepResult] = []
    now = 0.0
    while engine.busy:
        assert len(results) < most_steps, "the scheduler makes no progress"
        results.append(engine.step(now))
        now = results[-1].ended_seconds
    return results


def finished(results: Iterable[StepResult]) -> list[Request]:
    return [done for result in results for done in result.finished]


def test_no_more_requests_run_than_max_num_seqs() -> None:
    engine = scheduler(Batching(3, 100), 100)
    for number in range(8):
        engine.add(request(f"r{number}", 5, 4))
    engine.step(0.0)
    assert (len(engine.running), len(engine.waiting)) == (3, 5)
    assert len(finished(run(engine))) == 8


def test_a_long_prompt_is_cut_into_steps() -> None:
    engine = scheduler(Batching(2, 8), 100)
    engine.add(request("a", 20, 2))
    shapes = [result.shape for result in run(engine)]
    assert [shape.prefill_tokens for shape in shapes] == [8, 8, 4, 0]
    assert [shape.decode_tokens for shape in shapes] == [0, 0, 0, 1]


def test_without_chunked_prefill_a_prompt_waits_for_a_whole_step() -> None:
    engine = scheduler(Batching(4, 20, chunked_prefill=False), 100)
    for name in ("a", "b"):
        engine.add(request(name, 12, 3))
    assert engine.step(0.0).shape == BatchShape(12, 0, 12)
    assert engine.step(1.0).shape == BatchShape(12, 1, 25)  # a reads 13 tokens, b 12


def test_a_long_prefill_threshold_leaves_room_for_others() -> None:
    engine = scheduler(Batching(4, 20, long_prefill_tokens=6), 100)
    for name in ("a", "b"):
        engine.add(request(name, 12, 1))
    assert engine.step(0.0).shape.prefill_tokens == 12


def test_the_last_running_request_is_preempted_and_waits_in_front() -> None:
    # 6 usable blocks of 4. Each prompt takes 2 blocks and each request ends with 4.
    engine = scheduler(Batching(3, 100), 7, caching=False)
    for name in ("a", "b", "c"):
        engine.add(request(name, 8, 9))
    results = [engine.step(0.0), engine.step(1.0)]
    assert results[1].preempted == 1
    assert [waiting.request_id for waiting in engine.waiting] == ["c"]
    assert (engine.waiting[0].computed_tokens, engine.waiting[0].generated_tokens) == (0, 1)
    assert [done.request_id for done in finished(run(engine))] == ["a", "b", "c"]


def test_nobody_is_admitted_in_a_step_that_preempts() -> None:
    engine = scheduler(Batching(3, 24, long_prefill_tokens=8, reserve_full_prompt=False), 7, caching=False)
    engine.add(request("a", 8, 9))
    engine.add(request("b", 16, 5))
    engine.step(0.0)  # two blocks each of six
    assert engine.step(1.0).preempted == 1  # a takes a third one; b needs two
    assert [running.request_id for running in engine.running] == ["a"]
    engine.step(2.0)
    assert [running.request_id for running in engine.running] == ["a", "b"]


def test_nobody_is_preempted_while_there_are_enough_blocks() -> None:
    engine = scheduler(Batching(10, 100), 10 * 5 + 1)
    for number in range(10):
        engine.add(request(f"r{number}", 8, 12))  # 19 tokens with KV: 5 blocks
    assert sum(result.preempted for result in run(engine)) == 0


def test_a_known_beginning_is_not_computed_again() -> None:
    engine = scheduler(Batching(4, 100), 100)
    prompt = list(range(10))
    engine.add(request("a", prompt, 1))
    run(engine)
    engine.add(request("b", [*prompt, 10, 11], 1))
    engine.add(request("c", [99, *prompt], 1))
    (result,) = run(engine)
    # b has two full blocks (8 tokens) in common with a and computes 4; c begins otherwise and computes all 11
    assert (result.cache_queries_tokens, result.cache_hits_tokens) == (12 + 11, 8)
    assert result.shape.tokens == 4 + 11


def test_the_last_token_of_a_known_prompt_is_computed() -> None:
    engine = scheduler(Batching(4, 100), 100)
    for name in ("a", "b"):
        engine.add(request(name, list(range(8)), 1))
        result = run(engine)[-1]
    assert (result.cache_hits_tokens, result.shape.tokens) == (4, 4)


def test_without_caching_nothing_is_found() -> None:
    engine = scheduler(Batching(4, 100), 100, caching=False)
    for name in ("a", "b"):
        engine.add(request(name, list(range(12)), 1))
        result = run(engine)[-1]
    assert result.cache_hits_tokens == 0


def test_the_oldest_free_block_is_forgotten_first() -> None:
    engine = scheduler(Batching(4, 100), 5)  # 4 usable blocks
    old, new = list(range(8)), list(range(100, 108))
    for name, prompt in (("a", old), ("b", new)):
        engine.add(request(name, prompt, 1))
        run(engine)
    engine.add(request("c", list(range(200, 204)), 1))  # takes one of the old prompt's blocks
    run(engine)
    engine.add(request("d", [*new, 1], 1))
    assert run(engine)[-1].cache_hits_tokens == 8
    engine.add(request("e", [*old, 1], 1))
    assert run(engine)[-1].cache_hits_tokens < 8


def test_the_end_of_a_prompt_is_forgotten_before_its_beginning() -> None:
    engine = scheduler(Batching(4, 100), 4)  # 3 usable blocks
    prompt = list(range(12))
    engine.add(request("a", prompt, 1))
    run(engine)
    engine.add(request("b", [100], 1))  # takes one of a's blocks
    run(engine)
    engine.add(request("c", prompt, 1))
    assert run(engine)[-1].cache_hits_tokens == 8


def test_a_preempted_request_finds_its_own_blocks_again() -> None:
    engine = scheduler(Batching(2, 100), 9)
    engine.add(request("a", 12, 20))
    engine.add(request("b", 12, 20))
    results = run(engine)
    computed = sum(result.shape.prefill_tokens for result in results)
    assert sum(result.preempted for result in results) >= 1
    assert computed < 2 * 12 + 12 + 20  # less than computing the preempted one anew


def test_a_reserved_prompt_waits_until_it_fits_as_a_whole() -> None:
    for reserve, running in ((True, 1), (False, 2)):
        engine = scheduler(Batching(4, 8, reserve_full_prompt=reserve), 7, caching=False)  # 6 usable blocks
        engine.add(request("a", 4, 2))
        engine.add(request("b", 23, 1))  # 6 blocks
        engine.step(0.0)
        assert len(engine.running) == running


def test_the_watermark_keeps_blocks_free_at_admission() -> None:
    for watermark, running in ((0.0, 2), (0.5, 1)):
        engine = scheduler(Batching(4, 100, watermark=watermark), 9, caching=False)  # 8 usable blocks
        for name in ("a", "b"):
            engine.add(request(name, 12, 4))  # 3 blocks at first
        engine.step(0.0)
        assert len(engine.running) == running


def test_a_request_that_can_never_fit_is_refused() -> None:
    engine = scheduler(Batching(4, 100), 4)
    with pytest.raises(ValueError, match="do not fit 3 blocks of 4 tokens"):
        engine.add(request("a", 12, 2))
    engine.add(request("b", 12, 1))
    assert [done.request_id for done in finished(run(engine))] == ["b"]


def test_an_aborted_request_leaves_nothing_behind() -> None:
    engine = scheduler(Batching(1, 100), 10)
    first, second = request("a", 8, 5), request("b", 8, 5)
    engine.add(first)
    engine.add(second)
    engine.step(0.0)
    assert engine.abort(second)
    assert engine.abort(first)
    assert not engine.abort(first)
    assert (engine.busy, engine.pool.used_blocks, engine.pool.usage) == (False, 0, 0.0)


def test_times_are_kept_for_the_metrics() -> None:
    engine = scheduler(Batching(1, 100), 10)
    first, second = request("a", 4, 3), request("b", 4, 1)
    engine.add(first)
    engine.add(second)
    results = run(engine)
    ends = [result.ended_seconds for result in results]
    assert (first.first_token_seconds, first.last_token_seconds) == (ends[0], ends[2])
    assert (first.admitted_seconds, second.admitted_seconds) == (0.0, ends[2])
    assert [emission.gap_seconds for emission in results[1].emitted] == [ends[1] - ends[0]]


BATCHINGS = st.builds(
    Batching,
    max_num_seqs=st.integers(1, 6),
    max_num_batched_tokens=st.integers(6, 40),
    chunked_prefill=st.booleans(),
    reserve_full_prompt=st.booleans(),
    watermark=st.sampled_from([0.0, 0.3]),
)
PROMPTS = st.lists(st.integers(0, 1), min_size=1, max_size=30)


@settings(max_examples=150, deadline=None)
@given(BATCHINGS, st.integers(2, 20), st.booleans(), st.lists(st.tuples(PROMPTS, st.integers(1, 15)), max_size=8))
def test_blocks_are_conserved_and_every_request_gets_its_tokens(
    batching: Batching,
    blocks: int,
    caching: bool,
    wanted: list[tuple[list[int], int]],
) -> None:
    engine = scheduler(batching, blocks, caching=caching)
    requests = [request(f"r{at}", prompt, output) for at, (prompt, output) in enumerate(wanted)]
    fitting = [one for one in requests if engine.fits(one)]
    for one in fitting:
        engine.add(one)
    now, done, steps = 0.0, list[Request](), 0
    while engine.busy:
        result = engine.step(now)
        now, done, steps = result.ended_seconds, [*done, *result.finished], steps + 1
        assert steps < 5000
        held = {block for one in engine.running for block in one.blocks}
        assert len(held) == engine.pool.used_blocks
        assert engine.pool.used_blocks + engine.pool.free_blocks == engine.pool.usable_blocks
        assert all(len(set(one.blocks)) == len(one.blocks) for one in engine.running)
        assert all(len(one.blocks) * BLOCK >= one.computed_tokens for one in engine.running)
        assert len(engine.running) <= batching.max_num_seqs
        assert 0 < result.shape.tokens <= batching.max_num_batched_tokens
    assert {one.request_id for one in done} == {one.request_id for one in fitting}
    assert all(one.generated_tokens == one.output_tokens for one in done)
    admitted = [one.admitted_seconds or 0.0 for one in fitting]
    assert admitted == sorted(admitted), "first come, first served"
    assert engine.pool.free_blocks == engine.pool.usable_blocks


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(PROMPTS, st.integers(1, 10)), min_size=1, max_size=8), st.integers(1, 6))
def test_enough_blocks_mean_no_preemption_and_hits_only_for_equal_beginnings(
    wanted: list[tuple[list[int], int]],
    most: int,
) -> None:
    blocks = sum(-(-(len(prompt) + output) // BLOCK) for prompt, output in wanted) + 1
    engine = scheduler(Batching(most, 64), blocks)
    requests = [request(f"r{at}", prompt, output) for at, (prompt, output) in enumerate(wanted)]
    for one in requests:
        engine.add(one)
    results = run(engine)
    assert sum(result.preempted for result in results) == 0
    assert sum(result.cache_hits_tokens for result in results) == sum(one.cached_tokens for one in requests)
    prompts = [prompt for prompt, _ in wanted]
    for one, prompt in zip(requests, prompts, strict=True):
        start = prompt[: one.cached_tokens]
        assert sum(other[: one.cached_tokens] == start for other in prompts) >= (2 if start else 1)
