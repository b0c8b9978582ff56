"""Many candidates at once say what each says alone, and better limits are never worse."""

from dataclasses import replace

import numpy as np
import pytest
from tests.support.build import a

from inferplan.domain.architecture import DenseMLP, Layer, LinearAttention
from inferplan.domain.hardware import Accelerator, from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import SettingValue
from inferplan.estimate.cache_room import held_at_once
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.candidates import Candidates, Evaluated, Learned, evaluate, evaluate_sized
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import estimate_memory, memory_model
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval
from inferplan.estimate.speed import StepTimeEstimator
from inferplan.estimate.speed_constants import MultiplierCases, Multipliers, SpeedFit, shipped

LOAD = Load(128.0, None, 2000.0, 300.0)
FIT = SpeedFit(shipped().constants, shipped().spreads)  # nothing measured elsewhere


def situation(**settings: SettingValue) -> EstimateInput:
    base: dict[str, SettingValue] = {"tensor_parallel_size": 1, "max_model_len": 8192}
    return EstimateInput(a.config(**(base | settings)), from_catalogue("NVIDIA-L40S", 1), a.model())


def limits(*entries: tuple[float, int, int]) -> Candidates:
    share, sequences, tokens = (np.array(values) for values in zip(*entries, strict=True))
    return Candidates(share, sequences, tokens, np.full(len(entries), 8192))


def evaluated(entries: Candidates, learned: Learned | None = None, **settings: SettingValue) -> Evaluated:
    found = evaluate(situation(**settings), LOAD, entries, learned)
    assert isinstance(found, Evaluated)
    return found


@pytest.mark.parametrize("entry", [(0.9, 64, 2048), (0.85, 256, 8192), (0.95, 16, 512)])
def test_each_candidate_says_what_it_says_alone(entry: tuple[float, int, int]) -> None:
    share, sequences, tokens = entry
    found = evaluated(limits((0.7, 8, 1024), entry))
    own = situation(gpu_memory_utilization=share, max_batch_size=sequences, max_num_batched_tokens=tokens)
    memory = estimate_memory(own.config, own.accelerator, own.model)
    assert not isinstance(memory, Missing)
    assert isinstance(memory.kv_cache_tokens, Interval)
    assert found.cache_tokens[1] == memory.kv_cache_tokens.expected
    assert memory.cache is not None
    held = held_at_once(memory.cache, np.array([memory.kv_cache_bytes.expected]), LOAD.held_tokens) * LOAD.held_tokens
    told = StepTimeEstimator(FIT).performance(replace(own, cache_tokens=float(held[0])), LOAD)
    assert not isinstance(told, Missing)
    assert isinstance(told.itl_milliseconds, Interval)
    assert found.flow.itl_seconds[1] * 1e3 == pytest.approx(told.itl_milliseconds.expected)


def test_a_cache_without_a_layout_gives_no_candidates() -> None:
    states = a.model(layers=(Layer(LinearAttention(16, 32, 128, 128, 4), DenseMLP(14_336)),) * 32)
    old = replace(situation(), config=a.config(version="0.9.2", tensor_parallel_size=1), model=states)
    assert isinstance(evaluate(old, LOAD, limits((0.9, 64, 2048))), Missing)


def test_more_memory_is_never_worse() -> None:
    found = evaluated(limits(*((share, 128, 2048) for share in (0.6, 0.7, 0.8, 0.9))))
    assert sorted(found.cache_tokens) == list(found.cache_tokens)
    assert sorted(found.flow.requests_per_second) == list(found.flow.requests_per_second)


def test_what_does_not_fit_does_not_start() -> None:
    found = evaluated(limits((0.3, 128, 2048), (0.9, 128, 2048)))
    assert found.starts.tolist() == [False, True]


def test_what_was_learned_counts() -> None:
    slower = Learned(FIT, Calibration(Multipliers(1.5, 1.5, 1.5, 1.5), 3))
    plain, learned = evaluated(limits((0.9, 64, 2048)), Learned(FIT)), evaluated(limits((0.9, 64, 2048)), slower)
    assert learned.flow.itl_seconds[0] == pytest.approx(1.5 * plain.flow.itl_seconds[0], rel=0.02)


@pytest.mark.parametrize("settings", [{"speculative_config": '{"method": "ngram"}'}, {"quantization": "unheard of"}])
def test_what_cannot_be_told_is_refused(settings: dict[str, SettingValue]) -> None:
    assert isinstance(evaluate(situation(**settings), LOAD, limits((0.9, 64, 2048))), Missing)


def test_an_unknown_gpu_is_refused() -> None:
    unknown = replace(situation(), accelerator=Accelerator("Nobody's GPU", 1))
    assert isinstance(evaluate(unknown, LOAD, limits((0.9, 64, 2048))), Missing)


def test_memory_that_was_sized_already_says_the_same() -> None:
    asked, entries = situation(), limits((0.9, 64, 2048), (0.5, 64, 2048))
    sized = memory_model(asked.config, asked.accelerator, asked.model)
    assert not isinstance(sized, Missing)
    found = evaluate_sized(asked, LOAD, entries, Learned(), sized)
    assert isinstance(found, Evaluated)
    plain = evaluated(entries)
    assert found.cache_tokens.tolist() == plain.cache_tokens.tolist()
    assert found.flow.itl_seconds.tolist() == plain.flow.itl_seconds.tolist()


def test_cases_of_multipliers_are_what_each_says_alone() -> None:
    each = [Multipliers(), Multipliers(1.3, 1.0, 1.0, 1.0), Multipliers(1.0, 0.7, 1.2, 2.0)]
    cases = MultiplierCases(
        *(np.array([getattr(one, name) for one in each]) for name in ("fixed", "growing", "prompts", "waiting"))
    )
    entry = limits((0.9, 64, 2048))
    together = evaluated(entry, Learned(FIT, cases=cases))
    for number, one in enumerate(each):
        alone = evaluated(entry, Learned(FIT, Calibration(one, 1)))
        for name in ("itl_seconds", "ttft_seconds", "requests_per_second"):
            assert getattr(together.flow, name)[number] == pytest.approx(getattr(alone.flow, name)[0])


def test_cases_stand_in_the_place_of_the_calibration() -> None:
    still = MultiplierCases(*(np.ones(1) for _ in range(4)))
    learned = Learned(FIT, Calibration(Multipliers(3.0, 3.0, 3.0, 3.0), 2), cases=still)
    assert evaluated(limits((0.9, 64, 2048)), learned).flow.itl_seconds[0] == pytest.approx(
        evaluated(limits((0.9, 64, 2048)), Learned(FIT)).flow.itl_seconds[0]
    )


def test_data_parallel_ranks_hold_and_run_together() -> None:
    one = evaluated(limits((0.9, 16, 2048)))
    four = evaluated(limits((0.9, 16, 2048)), data_parallel_size=4)
    assert four.cache_tokens[0] == pytest.approx(4 * one.cache_tokens[0], rel=0.02)
    assert four.held_at_once[0] == pytest.approx(4 * one.held_at_once[0], rel=0.02)
    assert (one.flow.running[0], four.flow.running[0]) == (16.0, 64.0)


def test_prefixes_that_are_not_cached_are_computed() -> None:
    shared = replace(LOAD, prefix_share=0.5)
    on, off = (
        evaluate(situation(enable_prefix_caching=cached), shared, limits((0.9, 64, 2048))) for cached in (True, False)
    )
    assert isinstance(on, Evaluated)
    assert isinstance(off, Evaluated)
    assert on.held_at_once[0] > 1.5 * off.held_at_once[0]
    assert on.flow.ttft_seconds[0] < off.flow.ttft_seconds[0]
