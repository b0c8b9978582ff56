"""SGLang's memory per GPU: mem_fraction_static of what was free before loading holds weights and KV cache. Pure.

profile_max_num_token, sglang/srt/model_executor/model_runner.py (0.4.6 to 0.5.5), model_runner_kv_cache_mixin.py
(0.5.10), mem_cache/kv_cache_configurator.py (0.5.23): rest = free after loading - free before x (1 - fraction).
"""

from dataclasses import replace

from inferplan.api.reasons import Reason
from inferplan.api.values import Source
from inferplan.domain.gpu import Interconnect
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import GIB, MIB
from inferplan.estimate.kv_sglang import pool_structure
from inferplan.estimate.kv_sglang_config import pool_settings
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_model import MemoryModel, Overhead, Usable
from inferplan.estimate.memory_overheads import Span
from inferplan.estimate.memory_setting import read_ranks, read_speculation
from inferplan.estimate.memory_terms import NON_TORCH
from inferplan.estimate.number_formats import served_format
from inferplan.estimate.placement import Layout, layout_for
from inferplan.estimate.release import Release, release_of
from inferplan.estimate.sglang_cache import PoolCache
from inferplan.estimate.sglang_fraction import FractionInput, default_fraction
from inferplan.estimate.vllm_memory import Sized, stage_memory, usable_memory
from inferplan.estimate.weights import weight_table

_ONE_CONTEXT: Span = (0.3 * GIB, 0.5 * GIB, 0.8 * GIB)
_MANY_CONTEXT: Span = (0.5 * GIB, 1.0 * GIB, 1.8 * GIB)
_LOADING: Span = (0.02 * GIB, 0.10 * GIB, 0.30 * GIB)
_SEQUENCES = 256
_LARGEST_GRAPH = ("cuda_graph_max_bs_decode", "cuda_graph_max_bs")
"""Keys of the largest captured batch: as every release's --cuda-graph-max-bs(-decode) is read, and SGLang's own name up
to 0.5.12, which an owner may state."""
_LARGE_CHUNK, _MIDDLE_CHUNK, _SMALL_CHUNK = 16_384, 8192, 2048


def sglang_memory(config: ServingConfig, accelerator: Accelerator, card: ModelCard) -> Sized | Missing:
    """The model of an SGLang engine; why there is none where a part cannot be sized."""
    release, usable = release_of(config.version), usable_memory(accelerator)
    if release is None:
        return Missing(Reason.ENGINE_VERSION_UNKNOWN, f"SGLang's version {config.version} is not known")
    if isinstance(usable, Missing):
        return usable
    ranks, layout, served = (
        read_ranks(config),
        layout_for(config, accelerator.compute_capability, card),
        served_format(config, card),
    )
    if isinstance(ranks, Missing):
        return ranks
    if isinstance(layout, Missing):
        return layout
    if isinstance(served, Missing):
        return served
    table = weight_table(card, served, layout)
    limits, assumed = _limits(config, card, accelerator, release)
    model = MemoryModel(
        usable=_before_loading(usable, accelerator, layout),
        rounds_up=False,
        stages=stage_memory(table, config),
        weights_basis=table.basis,
        run=None,
        experts=not card.is_dense,
        graphs=None,
        graphs_counted=False,
        overheads=(_loading(),),
        cache=_cache(config, card, accelerator),
    )
    return Sized(model, limits, (*assumed, *table.assumptions))


def _before_loading(usable: Usable, accelerator: Accelerator, layout: Layout) -> Usable:
    """What is free when weights begin to load: less the CUDA context, and NCCL's buffers where ranks talk."""
    gpu = accelerator.gpu
    talks = layout.tensor * layout.pipeline * layout.expert_groups > 1
    linked = gpu is not None and gpu.interconnect in {Interconnect.NVLINK, Interconnect.XGMI}
    context = _MANY_CONTEXT if talks and linked else _ONE_CONTEXT
    size = max(0, usable.size_bytes - int(context[1]))
    return replace(
        usable,
        size_bytes=size,
        measured=False,
        basis=f"{usable.basis}, less {context[1] / GIB:.1f} GiB of CUDA and NCCL",
    )


def _loading() -> Overhead:
    basis = "what loading takes beside weights: kernels and fragments"
    return Overhead(NON_TORCH, _LOADING, Source.RULE_OF_THUMB, basis)


def _limits(
    config: ServingConfig, card: ModelCard, accelerator: Accelerator, release: Release
) -> tuple[Limits, tuple[str, ...]]:
    assumed: list[str] = []
    memory_mib = float(accelerator.memory_mib or accelerator.usable_mib or 0)
    chunk = config.integer("max_num_batched_tokens") or _chunk(memory_mib)
    share = config.fraction("gpu_memory_utilization")
    if share is None:
        share = default_fraction(_fraction_input(config, card, release, memory_mib, chunk))
        assumed.append(f"mem_fraction_static is not set; SGLang's own arithmetic gives {share:g}")
    context = config.integer("max_model_len") or card.max_position_embeddings or _MIDDLE_CHUNK
    return Limits(share, config.integer("max_batch_size") or _SEQUENCES, chunk, context), tuple(assumed)


def _chunk(memory_mib: float) -> int:
    gib = memory_mib * MIB / GIB
    return _SMALL_CHUNK if gib < 35 else _MIDDLE_CHUNK if gib < 160 else _LARGE_CHUNK  # noqa: PLR2004  SGLang's steps


def _fraction_input(
    config: ServingConfig, card: ModelCard, release: Release, memory_mib: float, chunk: int
) -> FractionInput:
    speculation = read_speculation(config)
    algorithm = config.text("speculative_algorithm")
    drafts = not isinstance(speculation, Missing) and (speculation.has_draft or speculation.predicts)
    groups = config.integer("data_parallel_size") if config.flag("enable_dp_attention") is True else None
    stated = next((found for found in map(config.integer, _LARGEST_GRAPH) if found is not None), None)
    return FractionInput(
        release=release,
        memory_mib=max(1.0, memory_mib),
        tensor=config.integer("tensor_parallel_size") or 1,
        pipeline=config.integer("pipeline_parallel_size") or 1,
        chunk=chunk,
        largest_graph=0 if config.flag("enforce_eager") is True else stated,
        attention_groups=groups or 1,
        speculates=drafts or (algorithm is not None and algorithm.upper() not in {"NGRAM", "NONE"}),
        latent=card.is_latent,
    )


def _cache(config: ServingConfig, card: ModelCard, accelerator: Accelerator) -> PoolCache | Missing:
    settings = pool_settings(config, card, accelerator)
    if isinstance(settings, Missing):
        return settings
    pool = pool_structure(card, settings)
    return pool if isinstance(pool, Missing) else PoolCache(pool)
