"""Graphs, buffers beside torch, extras, and what settings say of memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.support.build import LLAMA, a

from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import Tower
from inferplan.domain.units import GIB
from inferplan.estimate.extra_memory import encoder_bytes, lora_bytes, profiles_images
from inferplan.estimate.graph_memory import GraphMemory, capture_sizes, has_full_graphs
from inferplan.estimate.memory_overheads import Process, activation_width, non_torch_bytes
from inferplan.estimate.memory_setting import Speculation, read_limits, read_ranks, read_speculation
from inferplan.estimate.memory_terms import Term, term, weakest
from inferplan.estimate.placement import Layout
from inferplan.estimate.running import fixing_key, is_single_engine, running_bits

VISION = replace(LLAMA, towers=(Tower("vision", 400_000_000, "test"),))
ALONE = Process((0, 16, 0), legacy=False, graphs=False, ranks=1, linked=True, capability=90, multiprocessors=132)


@pytest.mark.parametrize(
    ("release", "capability", "largest", "count", "last"),
    [
        ((0, 33, 0), 90, None, 51, 512),  # 1, 2, 4, every 8 to 248, every 16 from 256
        ((0, 10, 2), 90, None, 67, 512),  # every 8 throughout
        ((0, 33, 0), 100, None, 83, 1024),
        ((0, 27, 1), 100, None, 51, 512),
        ((0, 33, 0), None, 8, 4, 8),
    ],
)
def test_the_captured_sizes_are_vllms(
    release: tuple[int, int, int], capability: int | None, largest: int | None, count: int, last: int
) -> None:
    sizes = capture_sizes(release, capability, largest)
    assert (len(sizes), sizes[-1]) == (count, last)


def test_decode_steps_have_whole_graphs_beside_the_piecewise_ones() -> None:
    graphs = GraphMemory(capture_sizes((0, 33, 0), 90), layers=36, bytes_per_layer=(500.0, 1000.0, 2000.0), full=True)
    assert int(graphs.count(256, 8192)) == 51 + 35
    assert int(graphs.count(32, 8192)) == 11 + 7  # to 64, and to 32
    assert int(graphs.count(256, 64)) == 11 + 11  # no more tokens than a step has
    assert int(replace(graphs, full=False).count(256, 8192)) == 51
    assert np.asarray(graphs.size_bytes(np.array([32, 256]), 8192)).tolist() == [18 * 36_000, 86 * 36_000]
    assert [has_full_graphs(release) for release in ((0, 10, 2), (0, 11, 0))] == [False, True]


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({}, 0.13, 0.14),  # 132 x 1.01 MiB; logs of H100s say 0.13 and 0.14
        ({"multiprocessors": 40, "capability": 75}, 0.03, 0.05),  # a T4's: 0.03 and 0.05
        ({"ranks": 2}, 0.54, 0.56),  # two H100s: 0.54
        ({"ranks": 2, "capability": 80, "multiprocessors": 108}, 0.15, 0.21),  # two A100s: 0.15
        ({"ranks": 8, "capability": 89, "multiprocessors": 142, "linked": False}, 0.20, 0.24),  # eight L40S: 0.21
        ({"release": (0, 6, 4), "legacy": True, "capability": 86, "multiprocessors": 82}, 0.34, 0.37),  # 0.35
        ({"release": (0, 8, 5)}, 0.41, 0.42),  # V1 counted the CUDA context as well
        ({"release": (0, 8, 5), "legacy": True}, 0.13, 0.14),
        ({"release": (0, 19, 1), "graphs": True}, 0.21, 0.22),
        ({"amd": True}, 0.9, 0.9),
        ({"multiprocessors": None, "capability": None}, 0.10, 0.11),
        ({"multiprocessors": None}, 0.13, 0.14),
    ],
)
def test_memory_beside_torch_is_that_of_logs(changes: dict[str, Any], least: float, most: float) -> None:
    low, expected, high = non_torch_bytes(replace(ALONE, **changes))
    assert least <= round(expected / GIB, 2) <= most
    assert 0 <= low < expected < high


def test_the_samplers_share_is_surer_than_the_layers() -> None:
    sure = activation_width(1e9, 1e9, experts=False)
    open_ended = activation_width(1e9, 0.5e9, experts=False)
    assert sum(sure) < sum(open_ended) < sum(activation_width(1e9, 0.5e9, experts=True))
    assert activation_width(1e9, 1e9, experts=False, less=6e8)[0] > 6e8


def test_lora_slots_take_inputs_and_outputs_of_every_matrix() -> None:
    config = a.config(enable_lora=True, max_loras=2, max_lora_rank=8)
    # per layer: qkv 3 x 4096 + 6144, o 4096 + 4096, gate and up 2 x 4096 + 28,672, down 14,336 + 4096
    values = 32 * (18_432 + 8192 + 36_864 + 18_432)
    found = lora_bytes(config, LLAMA, Layout(), 2)
    assert found is not None
    assert found[1] == 2 * 8 * values * 2
    assert lora_bytes(a.config(), LLAMA, Layout(), 2) is None
    assert lora_bytes(a.config(enable_lora=False), LLAMA, Layout(), 2) is None


@pytest.mark.parametrize(
    ("settings", "profiled"),
    [
        ({}, True),
        ({"language_model_only": True}, False),
        ({"skip_mm_profiling": True}, False),
        ({"limit_mm_per_prompt": '{"image": 0, "video":0}'}, False),
        ({"limit_mm_per_prompt": "image=0"}, True),  # not read: the wider interval
        ({"limit_mm_per_prompt": '{"image": 2, "video": 0}'}, True),
    ],
)
def test_images_are_profiled_unless_left_out(settings: dict[str, Any], profiled: bool) -> None:
    assert profiles_images(a.config(**settings), VISION) is profiled
    assert not profiles_images(a.config(**settings), LLAMA)


def test_an_encoders_output_stays_while_the_decoder_runs() -> None:
    low, expected, high = encoder_bytes(VISION, 2048, 2)
    assert (low, expected) == (2048 * 4096, 2048 * 4096 * 2 + 0.25 * GIB)
    assert high > 2 * GIB


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({}, "tensor_parallel_size is not known: how GPUs share the model is not known"),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size is 0: how GPUs share the model is not known"),
        (
            {"tensor_parallel_size": 1, "pipeline_parallel_size": 10**9},
            "pipeline_parallel_size is 1000000000: how GPUs share the model is not known",
        ),
    ],
)
def test_a_layout_that_is_not_known_is_refused(settings: dict[str, Any], reason: str) -> None:
    assert read_ranks(a.config(**settings)) == Missing(Reason.SETTING_UNKNOWN, reason)


@pytest.mark.parametrize("settings", [{"enable_expert_parallel": True}, {"expert_parallel_size": 4}])
def test_expert_parallelism_has_two_spellings(settings: dict[str, Any]) -> None:
    ranks = read_ranks(a.config(tensor_parallel_size=4, pipeline_parallel_size=2, **settings))
    assert not isinstance(ranks, Missing)
    assert (ranks.experts, ranks.of_one_engine, ranks.data) == (True, 8, 1)


@pytest.mark.parametrize(
    ("text", "speculation"),
    [
        (None, Speculation()),
        ("none", Speculation()),
        ('{"method": "ngram", "num_speculative_tokens": 5}', Speculation("ngram", 5)),
        ('{"method": "deepseek_mtp", "num_speculative_tokens": 1}', Speculation("deepseek_mtp", 1)),
        ('{"model": "x/y", "num_speculative_tokens": 3}', Speculation("draft_model", 3, "x/y")),
        ("EAGLE3", Speculation("eagle3", 1)),
    ],
)
def test_speculation_is_read(text: str | None, speculation: Speculation) -> None:
    assert read_speculation(a.config(speculative_config=text)) == speculation


def test_speculation_loads_a_draft_unless_the_model_predicts_itself() -> None:
    assert [Speculation(method).has_draft for method in ("", "ngram", "suffix", "mtp", "eagle", "draft_model")] == [
        *(False, False, False, False),
        *(True, True),
    ]
    assert isinstance(read_speculation(a.config(speculative_config="[1]")), Missing)


def test_limits_that_are_not_set_are_the_engines() -> None:
    limits, assumed = read_limits(a.config(), LLAMA, 80_000, (0, 33, 0), legacy=False)
    assert (limits.utilization, limits.sequences, limits.tokens, limits.context) == (0.92, 1024, 8192, 131_072)
    assert len(assumed) == 3
    small, _ = read_limits(a.config(max_model_len=4096), LLAMA, 23_000, (0, 6, 6), legacy=True)
    assert (small.utilization, small.sequences, small.tokens) == (0.9, 256, 4096)  # one whole prompt, unchunked
    chunked, _ = read_limits(a.config(), LLAMA, 23_000, (0, 6, 6), legacy=True)
    assert chunked.tokens == 2048
    unknown, told = read_limits(
        a.config(), replace(LLAMA, max_position_embeddings=None), 23_000, (0, 33, 0), legacy=False
    )
    assert (unknown.context, told[0]) == (8192, "max_model_len is not known; 8192 assumed")


def test_terms_are_intervals_around_a_size() -> None:
    made = term("weights", (-5.0, 10.4, 9.0), Source.ROOFLINE, "test")
    assert (made.low, made.bytes, made.high) == (0, 10, 10)
    with pytest.raises(ValueError, match="weights: 3, 2, 4 is no interval around a size"):
        Term("weights", 2, 3, 4, Source.ROOFLINE, "test")


def test_the_weakest_source_counts() -> None:
    assert weakest([Source.ROOFLINE, Source.MEASURED_HERE]) is Source.ROOFLINE
    assert weakest([]) is Source.RULE_OF_THUMB


def test_a_float32_checkpoint_runs_in_16_bits_unless_told_otherwise() -> None:
    published = a.model(weight_bits=32)
    assert [running_bits(a.config(dtype=dtype), published) for dtype in (None, "auto", "float32", "half", "fp4")] == [
        *(16, 16, 32, 16),
        None,
    ]


def test_the_key_that_fixes_the_cache_is_named() -> None:
    assert fixing_key(a.config(num_gpu_blocks_override=100)) == "num_gpu_blocks_override"
    assert fixing_key(a.config(kv_cache_memory_bytes=10)) == "kv_cache_memory_bytes"
    assert fixing_key(a.config()) is None


@pytest.mark.parametrize(
    ("settings", "single"),
    [
        ({"tensor_parallel_size": 4, "pipeline_parallel_size": 1}, True),
        ({"tensor_parallel_size": 4, "pipeline_parallel_size": 1, "data_parallel_size": 2}, False),
        ({"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, False),
        ({"pipeline_parallel_size": 1}, False),
    ],
)
def test_only_tensor_parallelism_alone_is_one_pool(settings: dict[str, Any], single: bool) -> None:
    assert is_single_engine(a.config(**settings)) is single
