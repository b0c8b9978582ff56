"""From cards, formats, ranks and GPUs to shapes: the numbers of known models by hand."""

import pytest
from tests.support.build import a

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    DenseMLP,
    Indexer,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    MixtureOfExperts,
)
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.estimate.number_formats import WeightFormat, served_format
from inferplan.estimate.placement import Layout
from inferplan.estimate.step_building import Deployment, step_shape
from inferplan.estimate.step_shape import KERNELS, LayerGroup, StepShape


def shape(card: ModelCard, product: str = "NVIDIA-H100-80GB-HBM3", **changes: object) -> StepShape:
    found = attempt(card, product, **changes)
    assert isinstance(found, StepShape)
    return found


def attempt(card: ModelCard, product: str, **changes: object) -> StepShape | Missing:
    gpu = from_catalogue(product, 1).gpu
    assert gpu is not None
    served = changes.pop("served", WeightFormat(16, None))
    layout = changes.pop("layout", Layout(capability=gpu.compute_capability))
    return step_shape(Deployment(card, served, layout, gpu, cache_bytes=2.0, **changes))  # type: ignore[arg-type]


def of(mixer: object, part: object = DenseMLP(1024)) -> LayerGroup:
    (group,) = shape(a.model(layers=(Layer(mixer, part),) * 4)).groups  # type: ignore[arg-type]
    assert group.count == 4
    return group


def kernels(group: LayerGroup) -> dict[str, float]:
    return {kind: count for kind, count in zip(KERNELS, group.kernels, strict=True) if count}


def test_a_dense_model_is_one_group() -> None:
    found = shape(a.model())
    (group,) = found.groups
    assert group.count == 32
    # 4096 x 6144 + 4096^2 + 3 x 4096 x 14336 = 218,103,808 parameters in 16 bits, and two norms.
    assert group.linear_bytes == pytest.approx(2 * 218_103_808, rel=2e-3)
    assert group.linear_flops == pytest.approx(2 * 218_103_808, rel=1e-3)
    assert group.linear_flops_per_second == pytest.approx(989e12)
    assert group.cache_bytes == 8 * 256 * 2
    assert group.attention_flops == 2 * 32 * 256
    assert found.head_bytes == pytest.approx(128_256 * 4096 * 2)
    assert kernels(group) == {"plain": 4, "attention": 1}
    assert group.reductions == 0


def test_ranks_share_the_layer_and_exchange_after_each_part() -> None:
    (group,) = shape(a.model(), layout=Layout(tensor=4, capability=90)).groups
    assert group.linear_flops == pytest.approx(2 * 218_103_808 / 4, rel=1e-3)
    assert group.cache_bytes == 2 * 256 * 2  # two of eight heads
    assert group.reductions == 2


def test_fewer_heads_than_ranks_are_repeated() -> None:
    (group,) = shape(a.model(kv_heads=2), layout=Layout(tensor=8, capability=90)).groups
    assert group.cache_bytes == 256 * 2


def test_fp8_halves_the_bytes_and_doubles_the_peak() -> None:
    config = a.config(quantization="fp8_per_tensor")
    served = served_format(config, a.model())
    assert isinstance(served, WeightFormat)
    (plain,), (group,) = shape(a.model()).groups, shape(a.model(), served=served).groups
    assert group.linear_bytes == pytest.approx(plain.linear_bytes / 2, rel=0.01)
    assert group.linear_flops_per_second == pytest.approx(2 * plain.linear_flops_per_second, rel=0.01)
    assert kernels(group) == {"plain": 4, "attention": 1, "quantize": 2}


def test_block_scaled_fp8_waits_for_its_kernels_on_some_gpus() -> None:
    served = served_format(a.config(quantization="fp8_block"), a.model())
    assert isinstance(served, WeightFormat)
    (slow,) = shape(a.model(), "AMD-Instinct-MI300X", served=served).groups
    (fast,) = shape(a.model(), "AMD-Instinct-MI355X", served=served).groups
    assert kernels(slow)["plain"] == kernels(fast)["plain"] + 2 * 25  # attention's products, and the MLP's


def test_fp8_without_fp8_kernels_saves_bytes_only() -> None:
    served = served_format(a.config(quantization="fp8"), a.model())
    assert isinstance(served, WeightFormat)
    (group,) = shape(a.model(), "NVIDIA-A100-SXM4-80GB", served=served).groups
    assert group.linear_flops_per_second == pytest.approx(312e12)
    assert group.linear_bytes < 1.1 * 218_103_808


def test_kernels_of_their_own_are_slow_or_write_the_weights_out() -> None:
    served = served_format(a.config(quantization="gptq"), a.model())
    assert isinstance(served, WeightFormat)
    marlin, own = (shape(a.model(), served=served, plain_kernels=plain) for plain in ("", "gptq"))
    (fused,), (group,) = marlin.groups, own.groups
    assert group.vector_flops_per_second == pytest.approx(132 * 512 * 1.83e9 * 0.66, rel=1e-3)  # no tensor cores
    assert group.wide_bytes == pytest.approx(2 * 218_103_808, rel=1e-3)
    assert (marlin.vector_tokens, own.vector_tokens) == (0, 50)
    assert (fused.vector_flops_per_second, fused.wide_bytes) == (float("inf"), 0.0)
    assert (fused.linear_widened, group.linear_widened) == (pytest.approx(1.0, rel=1e-3), 0.0)


def test_a_gpu_whose_vector_units_are_not_known_has_usual_ones() -> None:
    served = served_format(a.config(quantization="awq"), a.model())
    (group,) = shape(a.model(), "AMD-Instinct-MI300X", served=served, plain_kernels="awq").groups
    assert group.vector_flops_per_second == pytest.approx(304 * 256 * 1.7e9 * 0.18, rel=1e-3)


def test_without_flash_attention_every_head_reads_its_own_keys() -> None:
    (group,) = shape(a.model(), "Tesla-T4", attention_by_head=True).groups
    assert group.cache_bytes == 32 * 256 * 2  # 32 query heads share 8 of keys and values


def test_the_first_engine_hashes_prompts_on_the_cpu() -> None:
    cpu = [shape(a.model(), first_engine=True, hashes_prompts=hashes).serial_cpu for hashes in (False, True)]
    assert cpu == [1.0, 1.5]
    assert shape(a.model(), hashes_prompts=True).serial_cpu == 0.0


def test_experts_are_counted_apart() -> None:
    group = of(Attention(32, 8, 128, 128), MixtureOfExperts(64, 4, 512, shared_intermediate_size=512))
    assert (group.experts, group.top_k) == (64, 4)
    assert group.expert_bytes == pytest.approx(64 * 3 * 4096 * 512 * 2, rel=0.01)
    assert group.expert_flops == pytest.approx(4 * 2 * 3 * 4096 * 512)
    assert kernels(group) == {"plain": 3, "attention": 1, "expert": 1}


def test_blackwell_fuses_fp4_experts() -> None:
    layers = (Layer(Attention(32, 8, 128, 128), MixtureOfExperts(64, 4, 512)),) * 4
    card = a.model(layers=layers)
    served = served_format(a.config(quantization="nvfp4"), card)
    assert isinstance(served, WeightFormat)
    (group,) = shape(card, "NVIDIA-B200", served=served, layout=Layout(capability=100)).groups
    assert "fused_expert" in kernels(group)
    assert group.expert_flops_per_second > 5e15


def test_a_window_bounds_what_is_seen() -> None:
    assert of(Attention(32, 8, 128, 128, window=1024)).window == 1024
    assert of(Attention(32, 8, 128, 128, chunk=8192)).window == 8192


def test_latent_attention_reads_one_vector() -> None:
    group = of(LatentAttention(128, 1536, 512, 128, 64, 128))
    assert group.cache_bytes == 576 * 2
    assert group.attention_flops == 2 * 128 * 320
    assert kernels(group)["latent"] == 1


def test_an_indexer_reads_everything_and_lets_a_part_through() -> None:
    group = of(LatentAttention(64, 2048, 512, 192, 64, 256, Indexer(32, 128, 2048)))
    assert (group.window, group.index_bytes) == (2048, 132)
    assert group.index_flops == 2 * 32 * 128
    assert kernels(group)["indexed"] == 1


def test_a_borrowed_index_costs_nothing() -> None:
    group = of(LatentAttention(64, 2048, 512, 192, 64, 256, Indexer(32, 128, 2048, shared=True)))
    assert (group.window, group.index_bytes, group.index_flops) == (2048, 0, 0)
    assert kernels(group)["latent"] == 1


@pytest.mark.parametrize(
    ("mixer", "cells"),
    [
        (LinearAttention(16, 64, 128, 128, 4), 64 * 128 * 128),
        (Mamba(128, 64, 128, 8, 4), 128 * 64 * 128),
    ],
)
def test_states_are_read_and_written(mixer: LinearAttention | Mamba, cells: int) -> None:
    group = of(mixer)
    assert group.state_bytes == 2 * cells * 4
    assert group.state_flops == 6 * cells
    assert group.cache_bytes == 0


def test_layers_with_one_part_have_one_part() -> None:
    alone = of(None, MixtureOfExperts(64, 4, 512))
    assert alone.cache_bytes == 0
    assert "attention" not in kernels(alone)
    assert of(Mamba(128, 64, 128, 8, 4), None).expert_bytes == 0


def compressed(ratio: int, indexer: Indexer | None = None) -> LayerGroup:
    """A layer of DeepSeek-V4-Flash."""
    return of(CompressedAttention(64, 512, 64, 1024, 8, 1024, 128, ratio, indexer))


def test_compressed_attention_reads_a_window_and_one_vector_for_several_tokens() -> None:
    vector, flops = 584, 64 * 4 * 512  # 448 in fp8, 64 in bf16, scales; queries times keys, and values
    near = compressed(1)
    assert (near.cache_bytes, near.window, near.attention_flops) == (vector, 128, flops)
    assert kernels(near)["plain"] == 4 + 2  # the MLP's, and hyper-connections
    wide = compressed(128)
    assert (wide.cache_bytes, wide.window, wide.attention_flops) == (vector / 128, float("inf"), flops / 128)
    assert (wide.near, wide.near_bytes, wide.near_flops) == (128, vector, flops)
    assert kernels(wide)["plain"] == 4 + 2 + 2
    chosen = compressed(4, Indexer(64, 128, 512))
    assert (chosen.cache_bytes, chosen.window) == (vector / 4, 2048)
    assert (chosen.index_bytes, chosen.index_flops) == (132 / 4, 2 * 64 * 128 / 4)
    assert kernels(chosen)["plain"] == 4 + 2 + 2 + 8


def test_chosen_blocks_are_read_and_all_index_keys() -> None:
    group = of(Attention(64, 4, 128, 128, indexer=Indexer(4, 128, 2048)))
    assert (group.cache_bytes, group.window) == (4 * 256 * 2, 2048)
    assert (group.index_bytes, group.index_flops) == (256, 2 * 4 * 128)
    assert kernels(group) == {"plain": 4 + 4, "attention": 1}


@pytest.mark.parametrize(
    ("product", "fast", "older", "share"),
    [
        ("NVIDIA-H100-80GB-HBM3", True, 0.0, 1.0),
        ("NVIDIA-H100-PCIe", False, 1.0, 1.0),
        ("NVIDIA-A100-SXM4-80GB", True, 1.0, 1.0),
        ("NVIDIA-L4", False, 0.5, 0.61),
        ("NVIDIA-L40S", False, 0.5, 0.80),
        ("NVIDIA-GeForce-RTX-5090", False, 0.0, 1.0),
        ("AMD Instinct MI300X", True, 1.0, 0.64),
    ],
)
def test_gpus_differ_in_what_they_reach(product: str, *, fast: bool, older: float, share: float) -> None:
    found = shape(a.model(), product)
    assert (found.fast_link, found.older, found.gemm_share) == (fast, older, share)
