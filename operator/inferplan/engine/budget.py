"""Memory per GPU before and after a set of changes, every term printed; and the gate that rests on it.

The measured KV capacity is the anchor: what model and measurement do not explain is one term, carried over
unchanged. Changes move terms by known arithmetic only.
"""

from collections.abc import Iterable
from types import MappingProxyType

from inferplan.api.plan import MemoryBudget, MemoryState, MemoryTerm
from inferplan.api.values import ConfigChange, Source
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.domain.units import MIB
from inferplan.estimate.memory import (
    batch_cost,
    fixing_key,
    fp8_weight_savings_bytes,
    graph_limit,
    kv_bytes,
    least_kv_bytes,
    running_bits,
    single_engine_ranks,
    weight_bytes,
)

_ONLINE_FP8 = "fp8_per_tensor"

SIZING_KEYS = frozenset(
    {
        *("max_batch_size", "max_num_batched_tokens", "max_model_len", "gpu_memory_utilization", "block_size"),
        *("kv_cache_dtype", "kv_cache_memory_bytes", "num_gpu_blocks_override", "quantization", "dtype"),
        *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "speculative_config"),
        *("enforce_eager", "max_cudagraph_capture_size", "cpu_offload_gb"),
    }
)
"""Settings that say how much GPU memory anything takes."""


def after_changes(config: ServingConfig, changes: Iterable[ConfigChange]) -> ServingConfig:
    """The configuration with the recommended values; what a flag that is taken out leaves behind is not known."""
    kept = dict(config.settings)
    for change in changes:
        if change.removes_flag:
            kept.pop(change.parameter, None)
        elif change.recommended_value is not None:
            kept[change.parameter] = Setting(change.recommended_value, Origin.ARGUMENT)
    return ServingConfig(config.engine, config.version, config.model, MappingProxyType(kept))


def memory_budget(observation: Observation, after: ServingConfig) -> MemoryBudget | None:
    """The budget before and after; None where a term has no basis, or the terms contradict each other."""
    model, tokens = observation.model, observation.metrics.kv_cache_tokens
    if isinstance(model, Missing) or isinstance(tokens, Missing):
        return None
    before = _before(observation, model, tokens)
    per_token, ranks = kv_bytes(after, model), single_engine_ranks(after)
    if before is None or per_token is None or ranks is None:
        return None
    freed = _freed_bytes(observation.config, after, model, ranks)
    batch = _batch_bytes(observation, after, model)
    kv_tokens = (before.terms[1].bytes - batch + freed) // per_token
    return (
        None
        if kv_tokens < 0
        else MemoryBudget(before=before, after=_after(before, freed, batch, (kv_tokens, per_token)))
    )


def holds_one_request(observation: Observation, after: ServingConfig) -> str | None:
    """Why the KV cache might not hold one request of max_model_len after the change; None when it does.

    Only what the changes cost counts: a change that takes no memory from the cache passes. With no model or
    capacity known there is nothing to compare with, and the optimizers themselves refuse what costs memory.
    """
    model, tokens = observation.model, observation.metrics.kv_cache_tokens
    if isinstance(model, Missing) or isinstance(tokens, Missing):
        return None
    needed = after.integer("max_model_len") or model.max_position_embeddings
    kv_tokens = _tokens_after(observation, after, model, tokens)
    if needed is None or kv_tokens is None:
        return "max_model_len or the KV cache's size is not known, so one request may not fit"
    if kv_tokens >= min(needed, int(tokens.value)):  # what fitted before fits in a cache that did not shrink
        return None
    return f"the KV cache would hold {max(0, kv_tokens):,} tokens, one request may need {needed:,}"


def _tokens_after(observation: Observation, after: ServingConfig, model: ModelCard, tokens: Measured) -> int | None:
    """Tokens in the cache after the change: measured bytes, less the larger batch, plus freed weights; at least."""
    before_bytes, after_bytes = least_kv_bytes(observation.config, model), least_kv_bytes(after, model)
    ranks = single_engine_ranks(after)
    if before_bytes is None or after_bytes is None or ranks is None:
        return None
    freed = _freed_bytes(observation.config, after, model, ranks)
    return (int(tokens.value * before_bytes) - _batch_bytes(observation, after, model) + freed) // after_bytes


def _batch_bytes(observation: Observation, after: ServingConfig, model: ModelCard) -> int:
    old, new = observation.config.integer("max_batch_size"), after.integer("max_batch_size")
    limit = graph_limit(observation.accelerator.compute_capability)
    return batch_cost(model, old, new, limit).total_bytes if old is not None and new is not None else 0


def _freed_bytes(before: ServingConfig, after: ServingConfig, model: ModelCard, ranks: int) -> int:
    turned = after.text("quantization") == _ONLINE_FP8 and before.text("quantization") != _ONLINE_FP8
    return fp8_weight_savings_bytes(model, ranks) if turned else 0


def _before(observation: Observation, model: ModelCard, tokens: Measured) -> MemoryState | None:
    """Weights by the model, KV cache by measurement, the rest of the engine's share as one term."""
    config, memory_mib = observation.config, observation.accelerator.memory_mib
    per_token, share = kv_bytes(config, model), config.fraction("gpu_memory_utilization")
    ranks = single_engine_ranks(config)
    if per_token is None or share is None or ranks is None or memory_mib is None or not _is_sized(config, model):
        return None
    total = int(memory_mib * MIB * share)
    weights, kv_cache = weight_bytes(model, ranks), int(tokens.value * per_token)
    rest = total - weights - kv_cache
    if rest < 0:
        return None  # model and measurement contradict each other: no budget is better than a wrong one
    terms = (
        _term(
            "weights",
            weights,
            Source.ROOFLINE,
            f"shapes in config.json x {model.weight_bits} bits / TP {ranks}",
        ),
        _term("kv_cache", kv_cache, Source.MEASURED_HERE, f"{tokens.value:.0f} tokens x {per_token} bytes"),
        _term("activations_graphs_and_other", rest, Source.MEASURED_HERE, "what is left of the engine's share"),
    )
    return MemoryState(terms=terms, total_bytes=total, kv_cache_tokens=int(tokens.value))


def _is_sized(config: ServingConfig, model: ModelCard) -> bool:
    """Whether the weights are as published, and the KV cache is what is left of the engine's share."""
    plain = model.quantization_method is None and config.text("quantization") == "none"
    return plain and running_bits(config, model) == model.weight_bits and fixing_key(config) is None


def _after(before: MemoryState, freed: int, batch: int, cache: tuple[int, int]) -> MemoryState:
    """The state with freed bytes of weights, the batch's margin, and a cache of (tokens, bytes per token)."""
    kv_tokens, per_token = cache
    weights = before.terms[0].bytes - freed
    kv_cache = kv_tokens * per_token
    rest = before.total_bytes - weights - kv_cache - batch
    terms = (
        _term("weights", weights, before.terms[0].source, "as before, less the linear layers' freed bytes"),
        _term("kv_cache", kv_cache, Source.MEASURED_HERE, f"{kv_tokens} tokens x {per_token} bytes"),
        _term("larger_batch_margin", batch, Source.MEASURED_ELSEWHERE, "upper bound of sampler and CUDA graphs"),
        _term("activations_graphs_and_other", rest, Source.MEASURED_HERE, "as before, and rounding"),
    )
    return MemoryState(terms=terms, total_bytes=before.total_bytes, kv_cache_tokens=kv_tokens)


def _term(name: str, size_bytes: int, source: Source, basis: str) -> MemoryTerm:
    return MemoryTerm(name=name, bytes=size_bytes, source=source, basis=basis)
