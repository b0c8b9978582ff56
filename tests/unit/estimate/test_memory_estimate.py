"""Whole estimates against start-up logs, candidates by the thousand, and what an instance's own cache teaches."""

from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from tests.support.build import LLAMA, a

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import Accelerator, from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard, Tower
from inferplan.domain.serving import ServingConfig, SettingValue
from inferplan.domain.units import GIB
from inferplan.estimate.memory_calibration import Seen
from inferplan.estimate.memory_estimate import (
    MemoryEstimate,
    calibrate_memory,
    estimate_memory,
    least_of,
    memory_model,
)
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.result import Interval

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
RTX_3090 = from_catalogue("NVIDIA GeForce RTX 3090", 1)
T4 = from_catalogue("Tesla T4", 1)
A_SHORT = {"max_model_len": 16_000, "block_size": 128}


def configured(
    accelerator: Accelerator = H100, version: str | None = "0.11.2", engine: Engine = Engine.VLLM, **settings: Any
) -> ServingConfig:
    stated: dict[str, SettingValue | None] = {"tensor_parallel_size": 1, **settings}
    return effective(a.config(engine, version, **stated), accelerator, model=LLAMA)


def sized(
    accelerator: Accelerator = H100,
    version: str | None = "0.11.2",
    engine: Engine = Engine.VLLM,
    card: ModelCard = LLAMA,
    **settings: Any,
) -> MemoryEstimate:
    found = estimate_memory(configured(accelerator, version, engine, **settings), accelerator, card)
    assert isinstance(found, MemoryEstimate), found
    return found


def gib(estimate: MemoryEstimate) -> dict[str, float]:
    return {term.name: round(term.bytes / GIB, 2) for term in estimate.terms}


def expected(value: Interval | Missing) -> float:
    assert isinstance(value, Interval), value
    return value.expected


def test_llama_on_an_h100_is_as_its_log_says() -> None:
    # kv-llmd-05: weights 14.99, activations 4.76, others 0.13, KV cache 51.38 GiB of 79.18 x 0.9
    found = sized(gpu_memory_utilization=0.9, **A_SHORT)
    assert gib(found) == {"weights": 14.99, "activations": 4.76, "non_torch": 0.13, "kv_cache": 51.39}
    assert round(found.total_bytes / GIB, 2) == 71.26
    assert found.kv_cache_bytes.low < 51.38 * GIB < found.kv_cache_bytes.high
    assert found.fits
    assert found.surely_fits
    assert [round(term.bytes / GIB, 2) for term in found.outside] == [0.75]  # 102 graphs, not counted yet


def test_the_first_engine_core_runs_whole_prompts_at_once() -> None:
    # kv-gh10517-1: activations 2.07, others 0.35, KV cache 3.81 GiB, 31,232 tokens
    found = sized(RTX_3090, "0.6.4", max_model_len=20_000, max_num_batched_tokens=20_000, max_batch_size=256)
    assert gib(found)["activations"] == 2.07
    assert expected(found.kv_cache_tokens) == pytest.approx(31_232, rel=0.01)
    assert found.outside != ()


def test_what_does_not_fit_is_told_with_the_longest_that_would() -> None:
    # kv-gh10517-2: 1478 blocks are 0.82 requests of 29,000 tokens; vLLM did not start
    found = sized(RTX_3090, "0.6.4", max_model_len=29_000, max_num_batched_tokens=29_000, max_batch_size=256)
    assert not found.fits
    assert found.why_not is not None
    assert found.why_not.startswith("one request of 29,000 tokens needs 3.54 GiB of KV cache")
    assert "the longest that fits is 23," in found.why_not


def test_a_model_that_is_larger_than_the_gpu_leaves_nothing() -> None:
    found = sized(T4, "0.33.0", max_model_len=4096)
    assert (found.kv_cache_bytes.expected, expected(found.kv_cache_tokens), found.num_blocks) == (0, 0, 0)
    assert not found.fits
    assert found.why_not is not None
    assert found.why_not.startswith("no memory is left for the KV cache")


def test_an_automatic_length_takes_what_fits() -> None:
    fits = sized(RTX_3090, "0.33.0", max_model_len="auto", max_batch_size=16)
    refused = sized(RTX_3090, "0.33.0", max_model_len=131_072, max_batch_size=16)
    assert (fits.fits, refused.fits) == (True, False)


def test_graphs_come_out_of_the_share_from_0_20_2_on() -> None:
    before, since = (sized(version=version, gpu_memory_utilization=0.9, **A_SHORT) for version in ("0.19.1", "0.20.2"))
    assert "cuda_graphs" not in gib(before)
    assert gib(since)["cuda_graphs"] > 0.5
    assert "cuda_graphs" not in gib(sized(version="0.20.2", enforce_eager=True, **A_SHORT))
    assert (before.outside != (), since.outside) == (True, ())


@pytest.mark.parametrize("version", ["0.8.5", "0.11.0", "0.16.0", "0.20.2", "0.24.0", "0.28.0", "0.33.0"])
def test_the_terms_sum_to_the_engines_share(version: str) -> None:
    found = sized(version=version, gpu_memory_utilization=0.85, **A_SHORT)
    assert sum(term.bytes for term in found.terms) == found.total_bytes
    assert found.total_bytes == pytest.approx(0.85 * 79.18 * GIB, rel=0.001)


def test_a_stated_cache_is_what_it_is() -> None:
    found = sized(kv_cache_memory_bytes=10 * GIB, max_model_len=8192)
    assert found.kv_cache_bytes == Interval(10 * GIB, 10 * GIB, 10 * GIB)
    assert expected(found.kv_cache_tokens) == 81_920
    assert expected(sized(num_gpu_blocks_override=100, max_model_len=1024).kv_cache_tokens) == 1600


def test_weights_on_the_host_leave_more() -> None:
    plain, offloaded = (sized(cpu_offload_gb=size, **A_SHORT).kv_cache_bytes.expected for size in (0, 4))
    assert offloaded - plain == 4 * GIB


def test_extras_take_their_part() -> None:
    vision = replace(LLAMA, towers=(Tower("vision", 400_000_000, "test"),))
    assert gib(sized(card=vision, **A_SHORT))["encoder_profile"] == 0.31  # 8192 x 4096 x 2 bytes and a quarter GiB
    assert "encoder_profile" not in gib(sized(card=vision, language_model_only=True, **A_SHORT))
    assert gib(sized(enable_lora=True, max_lora_rank=64, **A_SHORT))["lora_slots"] == 0.31
    drafted = sized(speculative_config='{"method": "eagle3", "model": "x", "num_speculative_tokens": 3}', **A_SHORT)
    assert gib(drafted)["draft_model"] > 0.4
    assert drafted.source is Source.RULE_OF_THUMB


def test_the_last_stage_samples_and_the_first_embeds() -> None:
    two = sized(version="0.16.0", pipeline_parallel_size=2, **A_SHORT)
    # 16 layers, the head and final norm; its sampler makes it the fuller one
    assert gib(two)["weights"] == 7.51
    assert gib(two)["activations"] > 4.7


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"accelerator": Accelerator()}, Reason.ACCELERATOR_UNKNOWN),
        ({"version": None}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"version": "0.5.3"}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"engine": Engine.TGI}, Reason.ENGINE_END_OF_LIFE),
        ({"engine": Engine.SGLANG, "version": None}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"engine": Engine.SGLANG, "version": "0.5.8", "accelerator": Accelerator()}, Reason.ACCELERATOR_UNKNOWN),
        ({"tensor_parallel_size": None}, Reason.SETTING_UNKNOWN),
        ({"quantization": "somehow"}, Reason.SETTING_UNKNOWN),
        ({"speculative_config": "[1]"}, Reason.SETTING_UNKNOWN),
    ],
)
def test_what_cannot_be_sized_is_refused(changes: dict[str, Any], code: Reason) -> None:
    accelerator = changes.pop("accelerator", H100)
    engine, version = changes.pop("engine", Engine.VLLM), changes.pop("version", "0.33.0")
    config = a.config(engine, version, **{"tensor_parallel_size": 1, **changes})
    found = estimate_memory(config, accelerator, LLAMA)
    assert isinstance(found, Missing)
    assert found.code is code


def test_thousands_of_candidates_take_no_time_and_equal_each_alone() -> None:
    model = memory_model(configured(version="0.33.0", **A_SHORT), H100, LLAMA)
    assert not isinstance(model, Missing)
    rng = np.random.default_rng(1)
    many = Limits(
        rng.uniform(0.5, 0.95, 4000),
        rng.integers(1, 1025, 4000),
        rng.integers(1024, 16_385, 4000),
        rng.integers(1024, 131_072, 4000),
    )
    started = perf_counter()
    together, plans = model.model.kv_bytes(many), model.model.plans(many)
    assert perf_counter() - started < 0.5  # 10 ms on an idle core
    assert not isinstance(plans, Missing)
    for index in (0, 1999, 3999):
        alone = Limits(*(getattr(many, name)[index] for name in ("utilization", "sequences", "tokens", "context")))
        assert float(model.model.kv_bytes(alone)) == np.asarray(together)[index]
        one = model.model.plans(alone)
        assert not isinstance(one, Missing)
        assert int(one.tokens) == plans.tokens[index]


def test_a_seen_cache_corrects_every_other_setting() -> None:
    # logs of Qwen2-7B at 0.25 and 0.5 differ by a quarter of the GPU exactly: what is learned at one holds at the other
    seen_at, asked = (
        configured(gpu_memory_utilization=0.5, **A_SHORT),
        configured(gpu_memory_utilization=0.8, **A_SHORT),
    )
    plain = estimate_memory(seen_at, H100, LLAMA)
    assert not isinstance(plain, Missing)
    truth = plain.kv_cache_bytes.expected - 0.7 * GIB
    overhead = calibrate_memory(seen_at, H100, LLAMA, Seen(kv_bytes=truth))
    assert not isinstance(overhead, Missing)
    assert overhead.size_bytes == pytest.approx(0.7 * GIB)
    other = estimate_memory(asked, H100, LLAMA, overhead)
    assert not isinstance(other, Missing)
    assert other.kv_cache_bytes.expected == pytest.approx(truth + 0.3 * H100_BYTES, rel=1e-5)
    assert gib(other)["measured_difference"] == 0.7
    assert sum(term.bytes for term in other.terms) == other.total_bytes
    assert other.source is Source.CALIBRATED_HERE


def test_what_was_seen_is_surer_but_for_whether_a_start_compiles() -> None:
    def width(*, seen: bool, **settings: Any) -> float:
        config = configured(gpu_memory_utilization=0.8, **A_SHORT, **settings)
        plain = estimate_memory(config, H100, LLAMA)
        assert not isinstance(plain, Missing)
        overhead = calibrate_memory(config, H100, LLAMA, Seen(kv_bytes=plain.kv_cache_bytes.expected))
        assert not isinstance(overhead, Missing)
        sized = estimate_memory(config, H100, LLAMA, overhead if seen else None)
        assert not isinstance(sized, Missing)
        return gib_of(sized.kv_cache_bytes.high - sized.kv_cache_bytes.low)

    assert width(seen=True, enforce_eager=True) < width(seen=False, enforce_eager=True)
    # 0.51 GiB more at the peak with a cold compile cache than with a warm one (H100, vLLM 0.26): either way
    assert width(seen=True) == pytest.approx(2 * 0.5 + width(seen=True, enforce_eager=True), abs=0.01)


def gib_of(size: float) -> float:
    return size / GIB


H100_BYTES = 79.18 * GIB


@pytest.mark.parametrize(
    "seen", [Seen(tokens=300_000.0), Seen(blocks=2344.0), Seen(concurrency=18.75), Seen(kv_bytes=300_000.0 * 131_072)]
)
def test_a_cache_may_be_seen_in_tokens_blocks_requests_or_bytes(seen: Seen) -> None:
    config = configured(gpu_memory_utilization=0.8, **A_SHORT)
    overhead = calibrate_memory(config, H100, LLAMA, seen)
    assert not isinstance(overhead, Missing)
    found = estimate_memory(config, H100, LLAMA, overhead)
    assert not isinstance(found, Missing)
    assert expected(found.kv_cache_tokens) == pytest.approx(300_000, abs=128)


def test_an_engine_that_needs_less_gives_from_its_least_certain_terms() -> None:
    config = configured(gpu_memory_utilization=0.5, **A_SHORT)
    plain = estimate_memory(config, H100, LLAMA)
    assert not isinstance(plain, Missing)
    overhead = calibrate_memory(config, H100, LLAMA, Seen(kv_bytes=plain.kv_cache_bytes.expected + 0.2 * GIB))
    assert not isinstance(overhead, Missing)
    found = estimate_memory(config, H100, LLAMA, overhead)
    assert not isinstance(found, Missing)
    assert gib(found)["non_torch"] == 0
    assert gib(found)["activations"] == 4.69  # 4.76 - (0.2 - 0.13)
    assert sum(term.bytes for term in found.terms) == found.total_bytes


def test_what_larger_activations_gave_is_not_promised_to_smaller_ones() -> None:
    """An engine that needed 2 GiB less than 4.8 GiB of activations does not need 2 GiB less than 0.4 GiB of them."""
    wide = configured(gpu_memory_utilization=0.5, **A_SHORT)
    narrow = configured(gpu_memory_utilization=0.5, **{**A_SHORT, "max_num_batched_tokens": 512, "max_batch_size": 8})
    plain, plain_narrow = estimate_memory(wide, H100, LLAMA), estimate_memory(narrow, H100, LLAMA)
    assert not isinstance(plain, Missing)
    assert not isinstance(plain_narrow, Missing)
    overhead = calibrate_memory(wide, H100, LLAMA, Seen(kv_bytes=plain.kv_cache_bytes.expected + 2 * GIB))
    assert not isinstance(overhead, Missing)
    found = estimate_memory(narrow, H100, LLAMA, overhead)
    assert not isinstance(found, Missing)
    assert gib(found)["weights"] == gib(plain_narrow)["weights"]
    assert found.kv_cache_bytes.expected - plain_narrow.kv_cache_bytes.expected < 0.5 * GIB
    more = calibrate_memory(narrow, H100, LLAMA, Seen(kv_bytes=plain_narrow.kv_cache_bytes.expected - 1 * GIB))
    assert not isinstance(more, Missing)
    again = estimate_memory(wide, H100, LLAMA, more)
    assert not isinstance(again, Missing)
    assert plain.kv_cache_bytes.expected - again.kv_cache_bytes.expected == pytest.approx(1 * GIB)


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (Seen(), Reason.METRICS_MISSING),
        (Seen(tokens=0.0), Reason.MEMORY_UNPROVEN),
        (Seen(tokens=1e7), Reason.MEMORY_UNPROVEN),
    ],
)
def test_of_what_contradicts_nothing_is_learned(seen: Seen, code: Reason) -> None:
    found = calibrate_memory(configured(gpu_memory_utilization=0.8, **A_SHORT), H100, LLAMA, seen)
    assert isinstance(found, Missing)
    assert found.code is code


def test_of_an_unknown_release_the_least_is_expected() -> None:
    each = [sized(version=version, gpu_memory_utilization=0.9, **A_SHORT) for version in ("0.33.0", "0.11.2", "0.19.1")]
    found = least_of([*each, Missing(Reason.SETTING_UNKNOWN, "test")])
    assert isinstance(found, MemoryEstimate)
    assert found.kv_cache_bytes.expected == each[1].kv_cache_bytes.expected  # it sorts while it samples
    assert found.kv_cache_bytes.high == max(one.kv_cache_bytes.high for one in each)
    assert isinstance(least_of([Missing(Reason.SETTING_UNKNOWN, "test")]), Missing)
    seen = replace(each[0], source=Source.CALIBRATED_HERE)
    assert least_of([seen, *each]) == seen


def test_sglang_shares_what_was_free_before_loading() -> None:
    found = sized(version="0.5.8", engine=Engine.SGLANG, gpu_memory_utilization=0.835, max_model_len=16_000)
    # (79.18 - 0.5) x 0.835 - 14.99 - 0.1
    assert found.kv_cache_bytes.expected / GIB == pytest.approx(50.61, abs=0.02)
    assert expected(found.kv_cache_tokens) == int(found.kv_cache_bytes.expected) // 131_072
    assert found.surely_fits
    default = sized(version="0.5.8", engine=Engine.SGLANG, max_model_len=16_000)
    assert default.kv_cache_bytes == found.kv_cache_bytes  # 0.835 is its default on an H100
    assert default.assumptions[0] == "mem_fraction_static is not set; SGLang's own arithmetic gives 0.835"


@pytest.mark.parametrize("key", ["cuda_graph_max_bs_decode", "cuda_graph_max_bs"])
def test_sglang_keeps_memory_free_for_the_graphs_that_are_asked_for(key: str) -> None:
    found = sized(version="0.5.8", engine=Engine.SGLANG, max_model_len=16_000, **{key: 1000})
    # (81,559 - 512 - 8192 x 1.5 - 1000 x 2 - 128) / 81,559
    assert found.assumptions[0] == "mem_fraction_static is not set; SGLang's own arithmetic gives 0.817"


@pytest.mark.parametrize("key", ["max_model_len", "max_num_batched_tokens"])
def test_of_lengths_that_no_engine_serves_nothing_is_computed(key: str) -> None:
    found = memory_model(configured(**{key: 2**40}), H100, LLAMA)
    assert isinstance(found, Missing)
    assert (found.code, key in found.reason) == (Reason.SETTING_UNKNOWN, True)
    assert not isinstance(memory_model(configured(**{key: 2**40 - 1}), H100, LLAMA), Missing)
