"""The memory of an instance that was looked at, calibrated by its own KV cache where that was measured. Pure."""

from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.kv_config import cache_settings
from inferplan.estimate.kv_sglang import pool_structure
from inferplan.estimate.kv_sglang_config import pool_settings
from inferplan.estimate.kv_structure import cache_structure
from inferplan.estimate.memory_calibration import MeasuredOverhead, Seen
from inferplan.estimate.memory_estimate import MemoryEstimate, calibrate_memory, estimate_memory
from inferplan.estimate.running import fixing_key, is_single_engine

_LENGTH, _TOKENS = 8192, 2048
_BLOCKS = 2**20
"""Enough that rounding to whole blocks does not show."""


@dataclass(frozen=True)
class Sizes:
    """One instance's memory before and after a change.

    Attributes:
        before: As it runs.
        after: As it would run.
    """

    before: MemoryEstimate
    after: MemoryEstimate


def observed_overhead(observation: Observation) -> MeasuredOverhead | Missing | None:
    """What the instance's own cache says of the arithmetic; None where it was not measured, or says nothing.

    A cache that settings fix says nothing of what is left; of several data-parallel ranks the metric may be the sum.
    """
    tokens, model = observation.metrics.kv_cache_tokens, observation.model
    config = observation.config
    silent = fixing_key(config) is not None or not is_single_engine(config)
    if isinstance(tokens, Missing) or isinstance(model, Missing) or silent:
        return None
    return calibrate_memory(config, observation.accelerator, model, Seen(tokens=tokens.value))


def sizes(observation: Observation, after: ServingConfig) -> Sizes | Missing:
    """Memory before and after; why not where a part cannot be sized, or measurement and arithmetic contradict."""
    model, unknown = observation.model, _unknown_setting(observation)
    if isinstance(model, Missing):
        return model
    if unknown is not None:
        return Missing(Reason.SETTING_UNKNOWN, f"{unknown} is not known")
    overhead = observed_overhead(observation)
    if isinstance(overhead, Missing):
        return overhead
    before = estimate_memory(observation.config, observation.accelerator, model, overhead)
    then = estimate_memory(after, observation.accelerator, model, overhead)
    if isinstance(before, Missing):
        return before
    return then if isinstance(then, Missing) else Sizes(before, then)


def _unknown_setting(observation: Observation) -> str | None:
    """The first setting that sizes memory and is not known; of a live engine nothing is assumed."""
    config, model = observation.config, observation.model
    known = {"tensor_parallel_size", "kv_cache_dtype"}
    if isinstance(model, Missing) or model.quantization is None:
        known.add("quantization")
    if config.engine is Engine.VLLM and fixing_key(config) != "kv_cache_memory_bytes":
        known.add("gpu_memory_utilization")
    return next((key for key in sorted(known) if config.value(key) is None), None)


def bytes_per_token(config: ServingConfig, accelerator: Accelerator, card: ModelCard) -> float | Missing:
    """Bytes of one GPU's cache per token that the engine prints; why not where the cache is not sized.

    Llama-3.1-8B, bf16, TP 1: 32 x 8 x 256 x 2 = 131,072.
    """
    if config.engine is Engine.SGLANG:
        settings = pool_settings(config, card, accelerator)
        pool = settings if isinstance(settings, Missing) else pool_structure(card, settings)
        return pool if isinstance(pool, Missing) else float(pool.full_bytes + pool.window_bytes)
    planner = cache_settings(config, card, accelerator)
    cache = planner if isinstance(planner, Missing) else cache_structure(card, planner)
    if isinstance(cache, Missing):
        return cache
    length = config.integer("max_model_len") or card.max_position_embeddings or _LENGTH
    plan = cache.plan(_BLOCKS * cache.block_bytes, length, config.integer("max_num_batched_tokens") or _TOKENS)
    return _BLOCKS * cache.block_bytes / max(1, plan.tokens)
