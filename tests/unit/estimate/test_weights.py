"""Weights per rank against published parameter counts and the "Model loading took" of public logs."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.build import LLAMA, a

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    DenseMLP,
    LatentAttention,
    Layer,
    Mamba,
    MixtureOfExperts,
)
from inferplan.domain.model_card import ModelCard, Tower
from inferplan.domain.module_patterns import read_patterns
from inferplan.domain.quantization import Part, Quantization, Reach
from inferplan.domain.quantization_simple import FP8_PER_BLOCK, MXFP4, NVFP4
from inferplan.domain.units import GIB
from inferplan.estimate.number_formats import WeightFormat
from inferplan.estimate.placement import Layout, Remainder, allocated, stages
from inferplan.estimate.tensors import Role
from inferplan.estimate.weights import WeightTable, weight_table

PLAIN = WeightFormat(16, None)
HEAD = read_patterns(["lm_head"])
QWEN2_7B = ModelCard(
    "Qwen2ForCausalLM", 3584, 152_064, False, (Layer(Attention(28, 4, 128, 128, bias=True), DenseMLP(18_944)),) * 28, 16
)
QWEN25_14B = ModelCard(
    "Qwen2ForCausalLM", 5120, 152_064, False, (Layer(Attention(40, 8, 128, 128, bias=True), DenseMLP(13_824)),) * 48, 16
)
_MLA = LatentAttention(128, 1536, 512, 128, 64, 128)
DEEPSEEK_V3 = ModelCard(
    "DeepseekV3ForCausalLM",
    7168,
    129_280,
    False,
    (Layer(_MLA, DenseMLP(18_432)),) * 3 + (Layer(_MLA, MixtureOfExperts(256, 8, 2048, 2048)),) * 58,
    16,
    mtp_layers=1,
)
QWEN3_235B = ModelCard(
    "Qwen3MoeForCausalLM",
    4096,
    151_936,
    False,
    (Layer(Attention(64, 4, 128, 128), MixtureOfExperts(128, 8, 1536)),) * 94,
    16,
)


def gpt_oss(layers: int, experts: int) -> ModelCard:
    mixer = Attention(64, 8, 64, 64, bias=True)
    layer = Layer(mixer, MixtureOfExperts(experts, 4, 2880))
    return ModelCard("GptOssForCausalLM", 2880, 201_088, False, (layer,) * layers, 16, 131_072)


def quantized(scheme: Any, **changes: Any) -> WeightFormat:
    return WeightFormat(16, Quantization("test", scheme, HEAD, **changes))


def gib(table: WeightTable) -> float:
    return table.size_bytes / GIB


def test_llama_3_1_8b_takes_what_its_logs_say() -> None:
    table = weight_table(LLAMA, PLAIN, Layout())
    assert table.parameters == 8_030_261_248
    assert gib(table) == pytest.approx(
        14.9888, abs=2e-4
    )  # vLLM issue 10517; 14.9575 of parameters, 32 MiB of rotary table
    assert table.low < table.size_bytes < table.high
    assert "8.03 billion parameters" in table.basis


@pytest.mark.parametrize(
    ("card", "ranks", "logged"),
    [
        (QWEN2_7B, 1, 14.25),  # engine-facts section 3f, Qwen2-7B on an A100: 14.185 of parameters, 2 MiB a layer
        (QWEN2_7B, 2, 7.12),
        (QWEN25_14B, 2, 13.9476 - 0.03125),  # vLLM issue 13061, rotary table of 131,072 positions taken off
    ],
)
def test_the_allocators_rounding_is_in_the_logs(card: ModelCard, ranks: int, logged: float) -> None:
    assert gib(weight_table(card, PLAIN, Layout(ranks))) == pytest.approx(logged, abs=0.01)


@pytest.mark.parametrize(
    ("card", "total", "active"),
    [
        (DEEPSEEK_V3, 671.03e9, 36.6e9),  # 671B and 37B in its technical report (arXiv 2412.19437)
        (QWEN3_235B, 235.09e9, 21.57e9),  # 235B and 22B, embedding included (arXiv 2505.09388)
        (gpt_oss(36, 128), 116.8e9, 5.13e9),  # 116.83B and 5.13B without the embedding (arXiv 2508.10925)
        (gpt_oss(24, 32), 20.9e9, 3.61e9),  # 20.91B and 3.61B
    ],
)
def test_published_parameter_counts_come_out(card: ModelCard, total: float, active: float) -> None:
    table = weight_table(card, PLAIN, Layout())
    assert table.parameters == pytest.approx(total, rel=0.002)
    assert table.active_parameters == pytest.approx(active, rel=0.01)


def test_kv_heads_below_the_ranks_are_repeated() -> None:
    split, repeated = weight_table(LLAMA, PLAIN, Layout(8)), weight_table(LLAMA, PLAIN, Layout(16))
    rows = {8: 4096 // 8 + 256, 16: 4096 // 16 + 256}  # one KV head of 2 x 128 rows on each rank
    for ranks, table in ((8, split), (16, repeated)):
        qkv = next(entry for entry in table.entries if entry.module == "self_attn.qkv_proj")
        assert qkv.parameters == rows[ranks] * 4096


def test_latent_projections_are_whole_on_every_rank() -> None:
    table = weight_table(DEEPSEEK_V3, PLAIN, Layout(8, expert_shards=8))
    sizes = {entry.module: entry.parameters for entry in table.entries}
    assert sizes["self_attn.q_a_proj"] == 1536 * 7168
    assert sizes["self_attn.kv_b_proj"] == 32_768 // 8 * 512


@pytest.mark.parametrize("layout", [Layout(8, expert_shards=8), Layout(8, expert_groups=8)])
def test_experts_are_cut_or_dealt_out_in_the_same_bytes(layout: Layout) -> None:
    table = weight_table(DEEPSEEK_V3, quantized(FP8_PER_BLOCK), layout)
    # 58 x 256 x 3 x 7168 x 2048 / 8 values, and a float32 scale per 128 x 128 of them
    assert table.by_role()[Role.EXPERTS] == pytest.approx(58 * 11_274_289_152 / 8 * (1 + 4 / 128**2), rel=1e-4)
    assert table.bytes_per_expert * 256 == pytest.approx(
        11_274_289_152 / 8 * (8 if layout.expert_groups == 8 else 1), rel=1e-3
    )


def test_quantized_mla_keeps_a_16_bit_copy_of_kv_b() -> None:
    kv_b = next(e for e in weight_table(DEEPSEEK_V3, quantized(FP8_PER_BLOCK), Layout(8)).entries if "kv_b" in e.module)
    assert kv_b.size_bytes == pytest.approx(4096 * 512 * (1 + 2), rel=0.01)


@pytest.mark.parametrize(
    ("card", "layout", "logged"),
    [
        (gpt_oss(24, 32), Layout(capability=80), 13.72),  # A100, vLLM 0.19.0: Marlin, 2944 and 3072 (kv-myoceane-1)
        (gpt_oss(24, 32), Layout(capability=90), 13.47),  # H100: Triton, 3072 inputs (kv-llmd-01)
        (gpt_oss(36, 128), Layout(4, expert_shards=4, capability=80), 17.22),  # A100, TP 4: 720 becomes 768
    ],
)
def test_gpt_oss_takes_what_its_logs_say_after_padding(card: ModelCard, layout: Layout, logged: float) -> None:
    table = weight_table(card, quantized(MXFP4, reach=Reach.EXPERTS), layout)
    assert gib(table) == pytest.approx(logged, rel=0.005)


def test_fp8_of_llama_70b_takes_what_its_log_says() -> None:
    card = a.model(hidden_size=8192, heads=64, intermediate_size=28_672, num_layers=80, weight_bits=16)
    scheme = replace(FP8_PER_BLOCK, group_size=None)
    assert gib(weight_table(card, quantized(scheme), Layout())) == pytest.approx(67.7, abs=0.02)  # kv-idx-01


def test_fp8_blocks_have_wider_scales_where_marlin_unpacks_them() -> None:
    served = quantized(FP8_PER_BLOCK)
    ada, ampere = (weight_table(LLAMA, served, Layout(capability=value)) for value in (89, 86))
    more = 6_979_321_856 * (2 / 128 - 4 / 128**2)  # 16 bit per 128 inputs instead of 32 per 128 x 128
    assert ampere.size_bytes - ada.size_bytes == pytest.approx(more, rel=0.01)


@pytest.mark.parametrize(
    ("capability", "compute"), [(None, "fp8"), (90, "fp8"), (89, "fp8"), (86, "bf16"), (75, "bf16")]
)
def test_fp8_runs_in_16_bit_where_there_are_no_kernels(capability: int | None, compute: str) -> None:
    table = weight_table(LLAMA, quantized(FP8_PER_BLOCK), Layout(capability=capability))
    by_format = table.active_by_compute()
    linear = 6_979_321_856  # of 32 layers
    rest = 128_256 * 4096 + 65 * 4096  # head and norms
    expected = {"fp8": linear, "bf16": rest} if compute == "fp8" else {"bf16": linear + rest}
    assert by_format == expected


def test_kept_modules_and_parts_have_their_own_formats() -> None:
    mixed = Quantization(
        "test",
        NVFP4,
        read_patterns(["lm_head", "model.layers.0.self_attn*"]),
        parts=(Part(read_patterns(["re:.*down_proj"]), FP8_PER_BLOCK),),
    )
    table = weight_table(LLAMA, WeightFormat(16, mixed), Layout())
    found = {(entry.module, str(entry.weights)): len(entry.layers) for entry in table.entries if entry.layers}
    assert found["self_attn.qkv_proj", "bf16"] == 1
    assert found["self_attn.qkv_proj", "nvfp4"] == 31
    assert found["mlp.down_proj", "fp8"] == 32
    assert found["mlp.gate_proj", "nvfp4"] == 32


def test_gemma_4s_experts_lie_beside_its_mlp() -> None:
    layer = Layer(Attention(16, 8, 256, 256), MixtureOfExperts(128, 8, 704, 2112))
    card = ModelCard("Gemma4ForConditionalGeneration", 2816, 262_144, True, (layer,) * 30, 16)
    ignore = read_patterns(["lm_head", *(f"model.language_model.layers.{number}.mlp*" for number in range(30))])
    table = weight_table(card, WeightFormat(16, Quantization("modelopt", NVFP4, ignore)), Layout())
    formats = {entry.role: entry.weights for entry in table.entries}
    assert (formats[Role.EXPERTS], formats[Role.SHARED_EXPERTS]) == ("nvfp4", "bf16")


def test_other_weights_are_shared_and_count_as_parameters() -> None:
    more = replace(LLAMA, extra_parameters=100_000_000)
    table = weight_table(more, PLAIN, Layout(2))
    assert table.parameters == 8_030_261_248 + 100_000_000
    rotary = 131_072 * 128 * 2
    assert table.by_role()[Role.OTHER] == rotary + allocated(100_000_000)  # half of them, 2 bytes each


@pytest.mark.parametrize(
    ("mixer", "architecture", "values"),
    [
        (Attention(32, 8, 128, 128), "LlamaForCausalLM", 4096 * 128),
        (Attention(32, 8, 128, 128), "Qwen3VLForConditionalGeneration", 4 * 4096 * 128),  # positions of images
        (Attention(16, 2, 256, 256, output_gate=True), "Qwen3NextForCausalLM", 4096 * 64),  # a quarter is rotated
        (_MLA, "DeepseekV3ForCausalLM", 4096 * 64),
        (CompressedAttention(64, 512, 64, 1024, 8, 1024, 128, 128), "DeepseekV4ForCausalLM", 4096 * 64),
        (Mamba(64, 64, 128, 8, 4), "NemotronHForCausalLM", 0),
    ],
)
def test_the_rotary_table_has_a_row_per_position(mixer: Any, architecture: str, values: int) -> None:
    card = ModelCard(architecture, 4096, 1000, False, (Layer(mixer, DenseMLP(1024)),), 16, 4096)
    entries = weight_table(card, PLAIN, Layout()).entries
    assert next(entry.parameters for entry in entries if entry.module == "rotary_emb") == values


def test_a_head_that_a_part_names_is_quantized() -> None:
    served = WeightFormat(16, Quantization("test", None, HEAD, parts=(Part(HEAD, NVFP4),)))
    assert weight_table(LLAMA, served, Layout()).by_role()[Role.LM_HEAD] == pytest.approx(
        128_256 * 4096 * 4.5 / 8, rel=5e-3
    )


def test_pipeline_stages_take_their_layers_and_ends() -> None:
    assert stages(61, Layout(pipeline=4)) == ((0, 15), (15, 30), (30, 46), (46, 61))
    assert stages(61, Layout(pipeline=4, remainder=Remainder.ALL_LAST))[-1] == (45, 61)
    assert stages(62, Layout(pipeline=4, remainder=Remainder.LAST_ONES)) == ((0, 15), (15, 30), (30, 46), (46, 62))
    first, last = weight_table(LLAMA, PLAIN, Layout(pipeline=2)).stage_bytes
    assert dict(first)[Role.EMBEDDING] == dict(last)[Role.LM_HEAD] == 128_256 * 4096 * 2
    assert dict(first)[Role.LM_HEAD] == dict(last)[Role.EMBEDDING] == 0


def test_a_tied_head_takes_bytes_on_the_last_of_several_stages_only() -> None:
    tied = a.model(tied_embeddings=True)
    alone = weight_table(tied, PLAIN, Layout())
    assert Role.LM_HEAD not in alone.by_role()
    assert alone.active_by_compute() == weight_table(LLAMA, PLAIN, Layout()).active_by_compute()
    assert weight_table(tied, PLAIN, Layout(pipeline=2)).by_role(1)[Role.LM_HEAD] > 0
    assert weight_table(tied, PLAIN, Layout()).parameters == 8_030_261_248 - 128_256 * 4096


def test_prediction_layers_are_loaded_to_speculate_only() -> None:
    without, within = (weight_table(DEEPSEEK_V3, PLAIN, Layout(speculation=flag)) for flag in (False, True))
    assert within.size_bytes - without.size_bytes == pytest.approx(2 * 11.6e9, rel=0.01)  # one layer and 2 x 7168²


def test_towers_are_shared_repeated_or_left_out() -> None:
    seeing = replace(LLAMA, towers=(Tower("vision", 400_000_000, "test"),))
    sizes = [weight_table(seeing, PLAIN, Layout(2, towers=ranks)).by_role().get(Role.TOWER) for ranks in (2, 1, 0)]
    assert sizes == [allocated(400_000_000), allocated(800_000_000), None]


def test_blackwell_pads_gpt_oss_more_in_older_releases() -> None:
    served = quantized(MXFP4, reach=Reach.EXPERTS)
    wide, narrow = (
        weight_table(gpt_oss(24, 32), served, Layout(capability=100, blackwell_step=step)) for step in (256, 128)
    )
    experts = 24 * 32 * 3 * 3072 * 4.25 / 8  # times an intermediate size of 3072 or 2944
    assert wide.by_role()[Role.EXPERTS] == pytest.approx(experts * 3072, rel=1e-3)
    assert narrow.by_role()[Role.EXPERTS] == pytest.approx(experts * 2944, rel=2e-3)
