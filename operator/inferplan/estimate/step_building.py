"""From a model, its number formats, the ranks and the GPU to what a step works on (step_shape.py)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import (
    Attention,
    DenseMLP,
    FeedForward,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
    MixtureOfExperts,
)
from inferplan.domain.gpu import GPU, Interconnect, Precision, Vendor
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat
from inferplan.estimate.number_formats import WeightFormat
from inferplan.estimate.placement import Layout
from inferplan.estimate.step_mixers import with_mixer
from inferplan.estimate.step_shape import KERNELS, LayerGroup, StepShape
from inferplan.estimate.tensors import Role
from inferplan.estimate.weights import WeightEntry, weight_table

_TERA, _GIGA = 1e12, 1e9
_OUTSIDE = frozenset({Role.EMBEDDING, Role.LM_HEAD, Role.TOWER})
_PEAK: Mapping[NumberFormat, Precision] = {
    NumberFormat.BF16: Precision.BF16,
    NumberFormat.FP8: Precision.FP8,
    NumberFormat.MXFP8: Precision.FP8,
    NumberFormat.INT8: Precision.INT8,
    NumberFormat.NVFP4: Precision.FP4,
    NumberFormat.MXFP4: Precision.FP4,
}
_HALVES = (Precision.BF16, Precision.FP16)
_FP32_SHARE = 0.5  # TF32 runs at half the rate of BF16 on every tensor core (NVIDIA A100, H100 datasheets)
_ACTIVATION_BYTES = 2

DENSE_KERNELS = 4
"""Norm, gate and up, activation, down: what a dense MLP launches."""

SHARED_KERNELS = 3
"""Gate and up, activation, down of the shared experts."""

_HOPPER = 90
_NO_PEERS = "GeForce"  # NVIDIA's driver has no peer-to-peer access over PCIe for GeForce cards

_GEMM_SHARE = {Vendor.NVIDIA: 1.0, Vendor.AMD: 0.64}
"""Share of the peak that large matrix products reach, against NVIDIA's: MI300X 668 of 1,307 TFLOP/s, H100 794 of 989
in BF16 (stas00/ml-engineering, compute/accelerator): 0.511 / 0.803 = 0.64."""

_HALF_RATE = re.compile(r"GeForce-RTX-[345]\d|NVIDIA-(?:L40|L20|A10G)$")
_HALF_RATE_SHARE = 1.2
"""Cards whose tensor cores accumulate in 32 bit at half rate (domain/data/gpus.csv) come closer to that rate: an A10G
reaches 67.1 of 70 TFLOP/s (baseten.co, as quoted there), 0.96 / 0.803 of what an H100 does. INT8 has the full rate."""

_CAPPED_SHARE = {"Tesla-T4": 0.46, "NVIDIA-L4": 0.61}
"""The same of cards that their power limit keeps below the datasheet's clock. T4 (70 W): 24 of 65 TFLOP/s in FP16
(forums.developer.nvidia.com, topic 264462, where NVIDIA confirms the cause): 0.37 / 0.803. L4 (72 W): its 121 TFLOP/s
would be 1.68 per watt, where L40S, the same architecture, has 362 / 350 W = 1.03: 0.61."""


_VECTOR: Mapping[int, tuple[int, float]] = {
    # Compute capability → FP16 operations per clock and multiprocessor without tensor cores (CUDA C++ Programming
    # Guide, arithmetic throughput: results per clock, times 2 for multiply-add), and the usual boost clock, Hz.
    70: (256, 1.53e9),
    75: (256, 1.59e9),
    80: (512, 1.41e9),
    86: (256, 1.70e9),
    89: (256, 2.50e9),
    90: (512, 1.83e9),
    100: (512, 1.85e9),
    120: (256, 2.40e9),
}
_UNKNOWN_VECTOR = (256, 1.70e9)  # the usual of them
_PLAIN: Mapping[str, tuple[float, int]] = {"gptq": (0.66, 50), "awq": (0.18, 255)}
"""GPTQ's (ExLlama) and AWQ's own kernels. They do without tensor cores, and reach this share of the above in units of
SpeedConstants.linear_peak (AWQ: 9 of 91 TFLOP/s on an L40, improvement_pairs.json, nebius). From so many tokens on, the
weights are written out in 16 bit and multiplied as such (vllm/csrc/quantization/gptq/q_gemm.cu, MAX_Q_GEMM_ROWS;
vllm/model_executor/layers/quantization/awq.py, FP16_MATMUL_HEURISTIC_CONDITION)."""

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
    half = _peak(gpu, NumberFormat.BF16)
    if gpu.bandwidth_gb_per_second is None or half is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, f"the memory bandwidth or peak of {gpu.name} is not known")
    link = gpu.interconnect_gb_per_second
    several = layout.tensor * deployment.attention_ranks > 1
    if several and link is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, f"how fast several {gpu.name} exchange data is not known")
    table = weight_table(deployment.card, deployment.served, layout)
    try:
        groups = tuple(_groups(deployment, table.entries))
    except ValueError as error:
        return Missing(Reason.MODEL_UNSUPPORTED, f"model config: {error}")
    return StepShape(
        groups=groups,
        head_bytes=_head_bytes(table.entries),
        hidden_bytes=deployment.card.hidden_size * _ACTIVATION_BYTES,
        bytes_per_second=gpu.bandwidth_gb_per_second * _GIGA,
        link_bytes_per_second=link * _GIGA if several and link is not None else float("inf"),
        attention_flops_per_second=half,
        ranks=layout.tensor * deployment.attention_ranks,
        hops=2 if _NO_PEERS in gpu.name else 1,
        older=gpu.compute_capability is None or gpu.compute_capability < _HOPPER,
        fast_link=gpu.interconnect is not Interconnect.PCIE,
        expert_parallel=layout.expert_groups > 1,
        attention_ranks=deployment.attention_ranks,
        stages=layout.pipeline,
        gemm_share=_gemm_share(gpu),
        sglang=deployment.engine_is_sglang,
        serial_cpu=(_HASHING if deployment.hashes_prompts else 1.0) if deployment.first_engine else 0.0,
        vector_tokens=_PLAIN[deployment.plain_kernels][1] if deployment.plain_kernels else 0,
        eager=deployment.eager,
        prefill_apart=deployment.prefill_apart,
        receive_interval=deployment.receive_interval,
    )


def _gemm_share(gpu: GPU) -> float:
    vendor = 1.0 if gpu.vendor is None else _GEMM_SHARE[gpu.vendor]
    return _CAPPED_SHARE.get(gpu.name, vendor)


def _head_bytes(entries: Iterable[WeightEntry]) -> float:
    """Bytes of the output head on one GPU; the embedding's where it is the same matrix."""
    sizes = {entry.role: entry.size_bytes for entry in entries}
    return float(sizes.get(Role.LM_HEAD, sizes.get(Role.EMBEDDING, 0)))


def _peak(gpu: GPU, number_format: NumberFormat) -> float | None:
    """Operations per second in a format; of 16 bits where the GPU has none for it."""
    half = next((gpu.tflops[name] for name in _HALVES if name in gpu.tflops), None)
    if number_format is NumberFormat.FP32:
        return None if half is None else half * _TERA * _FP32_SHARE
    precision = _PEAK.get(number_format)
    found = half if precision is None else gpu.tflops.get(precision, half)
    share = _HALF_RATE_SHARE if _HALF_RATE.search(gpu.name) and precision is not Precision.INT8 else 1.0
    return None if found is None else found * _TERA * share


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
        vector_flops_per_second=_vector_flops(deployment),
        wide_bytes=_wide_bytes(deployment, linear),
        expert_bytes=float(sum(entry.size_bytes for entry in experts)),
        experts=moe.experts if moe is not None else 0,
        top_k=moe.top_k if moe is not None else 0,
        expert_flops=sum(2.0 * entry.parameters * entry.active for entry in experts),
        expert_flops_per_second=_mixed_peak(deployment, experts),
        expert_widened=_widened(deployment, experts),
        kernels=_kernels(layer, entries),
        reductions=_reductions(deployment, layer),
    )
    mixed = with_mixer(group, layer.mixer, deployment.layout.tensor, deployment.cache_bytes)
    if not deployment.attention_by_head or not isinstance(layer.mixer, Attention):
        return mixed
    return replace(mixed, cache_bytes=mixed.cache_bytes * layer.mixer.heads / layer.mixer.kv_heads)


def _mixed_peak(deployment: Deployment, entries: Iterable[WeightEntry]) -> float:
    """The peak of matrices in several formats: all operations over the time that they take at their own peaks."""
    peaks = {entry.compute: _peak(deployment.gpu, entry.compute) or 1.0 for entry in entries}
    parts = [(2.0 * entry.parameters * entry.active, peaks[entry.compute]) for entry in entries]
    seconds = sum(flops / peak for flops, peak in parts)
    return sum(flops for flops, _ in parts) / seconds if seconds > 0 else 1.0


def _vector_flops(deployment: Deployment) -> float:
    """Operations per second of the kernels that do without tensor cores; infinite where there are none."""
    gpu = deployment.gpu
    if not deployment.plain_kernels or gpu.multiprocessors is None:
        return float("inf")
    per_clock, clock = _VECTOR.get(gpu.compute_capability or 0, _UNKNOWN_VECTOR)
    return gpu.multiprocessors * per_clock * clock * _PLAIN[deployment.plain_kernels][0]


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


def _kernels(layer: Layer, entries: list[WeightEntry]) -> tuple[float, ...]:
    """Kernels that a layer launches, by kind."""
    quantized = {entry.role for entry in entries if entry.scheme is not None}
    found = Counter[str](_mixer_kind(layer.mixer))
    found["quantize"] += int(layer.mixer is not None and Role.ATTENTION in quantized)
    found.update(_feed_forward_kinds(layer.feed_forward, entries, quantized))
    return tuple(float(found[kind]) for kind in KERNELS)


def _mixer_kind(mixer: Mixer | None) -> tuple[str, ...]:
    match mixer:
        case None:
            return ()
        case Attention() if mixer.indexer is None:
            return ("attention",)
        case LatentAttention():
            return ("latent",) if mixer.indexer is None or mixer.indexer.shared else ("indexed",)
        case LinearAttention() | Mamba():
            return ("state",)
        case _:
            raise ValueError(f"the speed of {type(mixer).__name__} is not modelled")


def _feed_forward_kinds(part: FeedForward | None, entries: list[WeightEntry], quantized: set[Role]) -> dict[str, int]:
    if part is None:
        return {}
    if isinstance(part, DenseMLP):
        return {"plain": DENSE_KERNELS, "quantize": int(Role.MLP in quantized)}
    shared = SHARED_KERNELS if part.shared_intermediate_size else 0
    if any(entry.role is Role.EXPERTS and _PEAK.get(entry.compute) is Precision.FP4 for entry in entries):
        return {"plain": shared, "fused_expert": 1}
    return {"plain": shared, "expert": 1, "quantize": int(Role.EXPERTS in quantized)}
