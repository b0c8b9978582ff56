"""From a model, its number formats, the ranks and the GPU to what a step works on (step_shape.py)."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    DenseMLP,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
    MixtureOfExperts,
)
from inferplan.domain.gpu import GPU, Interconnect
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat, Scaling
from inferplan.estimate.gpu_reach import (
    PLAIN_KERNELS,
    block_kernels,
    bytes_per_second,
    gemm_share,
    is_fp4,
    launch_share,
    older,
    peak,
    vector_flops,
)
from inferplan.estimate.number_formats import WeightFormat
from inferplan.estimate.placement import Layout
from inferplan.estimate.step_mixers import with_mixer
from inferplan.estimate.step_shape import KERNELS, LayerGroup, StepShape
from inferplan.estimate.tensors import Role
from inferplan.estimate.weights import WeightEntry, weight_table

_GIGA = 1e9
_OUTSIDE = frozenset({Role.EMBEDDING, Role.LM_HEAD, Role.TOWER})
_ACTIVATION_BYTES = 2

DENSE_KERNELS = 4
"""Norm, gate and up, activation, down: what a dense MLP launches."""

SHARED_KERNELS = 3
"""Gate and up, activation, down of the shared experts."""

INDEX_KERNELS = 8
"""An indexer with fused kernels: query and weights, rotation, its compressor's two, scores, choice, translation."""

CHOICE_KERNELS = 4
"""MiniMax M3's choice of blocks: index queries and keys, scores, choice, blocks (vllm/models/minimax_m3, 0.33.0)."""

COMPRESS_KERNELS = 2
"""DeepSeek V4's compressor: values and gates, and the compression (vllm/models/deepseek_v4/compressor.py, 0.33.0)."""

CONNECTION_KERNELS = 2
"""DeepSeek V4's hyper-connections: one fused kernel before each part of a layer (nvidia/model.py there)."""

_NO_PEERS = "GeForce"  # NVIDIA's driver has no peer-to-peer access over PCIe for GeForce cards

_HASHING = 1.5
"""V0's CPU work with prefix caching on, against without: with nothing to reuse 8 runs of 1,000 requests for
Llama-3.1-70B on MI300X serve 0.91 of it (improvement_pairs.json, vllm-blog-2024-10-23-amd-mi300x)."""


@dataclass(frozen=True)
class Deployment:
    """What decides how long a step takes, apart from the load.

    Attributes:
        card: The model.
        served: The formats of its weights.
        layout: How ranks share it.
        gpu: The GPU.
        cache_bytes: Bytes of one value in the KV cache.
        attention_ranks: Data-parallel copies of the attention.
        engine_is_sglang: SGLang instead of vLLM.
        first_engine: vLLM's first engine (V0).
        hashes_prompts: Prefix caching is on.
        eager: CUDA graphs are off.
        prefill_apart: Prompts have steps of their own.
        receive_interval: SGLang's scheduler_recv_interval where it is stated.
        attention_by_head: Each query head reads its keys and values anew: V0 without FlashAttention.
        plain_kernels: "awq" or "gptq" where these run in kernels of their own, not in Marlin's; "" elsewhere.
    """

    card: ModelCard
    served: WeightFormat
    layout: Layout
    gpu: GPU = field(hash=False)  # it holds a mapping; equality tells two GPUs apart
    cache_bytes: float
    attention_ranks: int = 1
    engine_is_sglang: bool = False
    first_engine: bool = False
    hashes_prompts: bool = False
    eager: bool = False
    prefill_apart: bool = False
    receive_interval: int | None = None
    attention_by_head: bool = False
    plain_kernels: str = ""


@lru_cache(maxsize=512)
def step_shape(deployment: Deployment) -> StepShape | Missing:
    """What a step of the deployment works on; why not where a number that it needs is not known."""
    gpu, layout = deployment.gpu, deployment.layout
    half, bandwidth = peak(gpu, NumberFormat.BF16), bytes_per_second(gpu)
    if bandwidth is None or half is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, f"the memory bandwidth or peak of {gpu.name} is not known")
    link = gpu.interconnect_gb_per_second
    several = layout.tensor * deployment.attention_ranks > 1
    if several and link is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, f"how fast several {gpu.name} exchange data is not known")
    table = weight_table(deployment.card, deployment.served, layout)
    return StepShape(
        groups=tuple(_groups(deployment, table.entries)),
        head_bytes=_head_bytes(table.entries),
        hidden_bytes=deployment.card.hidden_size * _ACTIVATION_BYTES,
        bytes_per_second=bandwidth,
        link_bytes_per_second=link * _GIGA if several and link is not None else float("inf"),
        attention_flops_per_second=half,
        ranks=layout.tensor * deployment.attention_ranks,
        hops=2 if _NO_PEERS in gpu.name else 1,
        older=older(gpu),
        launch=launch_share(gpu),
        fast_link=gpu.interconnect is not Interconnect.PCIE,
        expert_parallel=layout.expert_groups > 1,
        attention_ranks=deployment.attention_ranks,
        stages=layout.pipeline,
        gemm_share=gemm_share(gpu),
        sglang=deployment.engine_is_sglang,
        serial_cpu=(_HASHING if deployment.hashes_prompts else 1.0) if deployment.first_engine else 0.0,
        vector_tokens=PLAIN_KERNELS[deployment.plain_kernels][1] if deployment.plain_kernels else 0,
        eager=deployment.eager,
        prefill_apart=deployment.prefill_apart,
        receive_interval=deployment.receive_interval,
    )


def _head_bytes(entries: Iterable[WeightEntry]) -> float:
    """Bytes of the output head on one GPU; the embedding's where it is the same matrix."""
    sizes = {entry.role: entry.size_bytes for entry in entries}
    return float(sizes.get(Role.LM_HEAD, sizes.get(Role.EMBEDDING, 0)))


def _groups(deployment: Deployment, entries: Iterable[WeightEntry]) -> Iterable[LayerGroup]:
    """Layers with the same parts in the same formats, together."""
    of_layer: dict[int, list[WeightEntry]] = {number: [] for number in range(len(deployment.card.layers))}
    for entry in entries:
        for number in entry.layers if entry.role not in _OUTSIDE else ():
            of_layer.get(number, []).append(entry)
    kinds: dict[tuple[int, ...], list[int]] = {}
    for number, members in of_layer.items():
        key = (id(deployment.card.layers[number]), *map(id, members))
        kinds.setdefault(key, []).append(number)
    for numbers in kinds.values():
        layer = deployment.card.layers[numbers[0]]
        yield replace(_group(deployment, layer, of_layer[numbers[0]]), count=len(numbers))


def _group(deployment: Deployment, layer: Layer, entries: list[WeightEntry]) -> LayerGroup:
    linear = [entry for entry in entries if entry.role is not Role.EXPERTS]
    experts = [entry for entry in entries if entry.role is Role.EXPERTS]
    moe = layer.feed_forward if isinstance(layer.feed_forward, MixtureOfExperts) else None
    group = LayerGroup(
        count=1,
        linear_bytes=float(sum(entry.size_bytes for entry in linear)),
        linear_flops=sum(2.0 * entry.parameters for entry in linear),
        linear_flops_per_second=_mixed_peak(deployment, linear),
        linear_widened=_widened(deployment, linear),
        vector_flops_per_second=vector_flops(deployment.gpu, deployment.plain_kernels),
        wide_bytes=_wide_bytes(deployment, linear),
        expert_bytes=float(sum(entry.size_bytes for entry in experts)),
        experts=moe.experts if moe is not None else 0,
        top_k=moe.top_k if moe is not None else 0,
        expert_flops=sum(2.0 * entry.parameters * entry.active for entry in experts),
        expert_flops_per_second=_mixed_peak(deployment, experts),
        expert_widened=_widened(deployment, experts),
        kernels=_kernels(layer, entries, blocks=block_kernels(deployment.gpu)),
        reductions=_reductions(deployment, layer),
    )
    mixed = with_mixer(group, layer.mixer, deployment.layout.tensor, deployment.cache_bytes)
    if not deployment.attention_by_head or not isinstance(layer.mixer, Attention):
        return mixed
    return replace(mixed, cache_bytes=mixed.cache_bytes * layer.mixer.heads / layer.mixer.kv_heads)


def _mixed_peak(deployment: Deployment, entries: Iterable[WeightEntry]) -> float:
    """The peak of matrices in several formats: all operations over the time that they take at their own peaks."""
    peaks = {entry.compute: peak(deployment.gpu, entry.compute) or 1.0 for entry in entries}
    parts = [(2.0 * entry.parameters * entry.active, peaks[entry.compute]) for entry in entries]
    seconds = sum(flops / most for flops, most in parts)
    return sum(flops for flops, _ in parts) / seconds if seconds > 0 else 1.0


def _wide_bytes(deployment: Deployment, entries: Iterable[WeightEntry]) -> float:
    """Bytes of the quantized weights in 16 bit, where they are written out in it."""
    if not deployment.plain_kernels:
        return 0.0
    return float(sum(_ACTIVATION_BYTES * entry.parameters for entry in entries if entry.scheme is not None))


def _widened(deployment: Deployment, entries: Iterable[WeightEntry]) -> float:
    """Share of the operations on weights that are stored narrower than they are multiplied."""
    parts = [(entry.parameters * entry.active, entry) for entry in entries]
    total = sum(flops for flops, _ in parts)
    wide = sum(flops for flops, entry in parts if entry.scheme is not None and entry.compute is not entry.weights)
    return wide / total if total > 0 and not deployment.plain_kernels else 0.0


def _reductions(deployment: Deployment, layer: Layer) -> int:
    """One collective after each part of the layer that ranks share."""
    shared = deployment.layout.tensor * deployment.attention_ranks > 1
    return (int(layer.mixer is not None) + int(layer.feed_forward is not None)) if shared else 0


def _kernels(layer: Layer, entries: list[WeightEntry], *, blocks: int) -> tuple[float, ...]:
    """Kernels that a layer launches, by kind."""
    quantized = {entry.role for entry in entries if entry.scheme is not None}
    found = Counter[str](_mixer_kind(layer.mixer))
    found["plain"] += _mixer_kernels(layer.mixer)
    found["quantize"] += int(layer.mixer is not None and Role.ATTENTION in quantized)
    found.update(_feed_forward_kinds(layer.feed_forward, entries, quantized))
    if blocks and any(entry.scheme is not None and entry.scheme.scaling is Scaling.BLOCK for entry in entries):
        found["plain"] += blocks * found["quantize"]
    return tuple(float(found[kind]) for kind in KERNELS)


def _mixer_kernels(mixer: Mixer | None) -> int:
    """Kernels beside those of the mixer's kind."""
    if isinstance(mixer, Attention) and mixer.indexer is not None:
        return CHOICE_KERNELS
    if not isinstance(mixer, CompressedAttention):
        return 0
    compressing = COMPRESS_KERNELS if mixer.compress_ratio > 1 else 0
    return CONNECTION_KERNELS + compressing + (INDEX_KERNELS if mixer.indexer is not None else 0)


def _mixer_kind(mixer: Mixer | None) -> tuple[str, ...]:
    match mixer:
        case None:
            return ()
        case Attention():
            return ("attention",)
        case CompressedAttention():
            return ("latent",)
        case LatentAttention():
            return ("latent",) if mixer.indexer is None or mixer.indexer.shared else ("indexed",)
        case LinearAttention() | Mamba():
            return ("state",)


def _feed_forward_kinds(part: FeedForward | None, entries: list[WeightEntry], quantized: set[Role]) -> dict[str, int]:
    if part is None:
        return {}
    if isinstance(part, DenseMLP):
        return {"plain": DENSE_KERNELS, "quantize": int(Role.MLP in quantized)}
    shared = SHARED_KERNELS if part.shared_intermediate_size else 0
    if any(entry.role is Role.EXPERTS and is_fp4(entry.compute) for entry in entries):
        return {"plain": shared, "fused_expert": 1}
    return {"plain": shared, "expert": 1, "quantize": int(Role.EXPERTS in quantized)}
