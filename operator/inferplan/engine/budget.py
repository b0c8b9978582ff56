"""Memory per GPU before and after a set of changes, every term printed; and the gate that rests on it.

The measured KV capacity is the anchor: what model and measurement do not explain is one term, carried over
unchanged. Changes move terms by known arithmetic only.
"""

from collections.abc import Iterable

from inferplan.api.plan import MemoryBudget, MemoryState, MemoryTerm
from inferplan.api.values import ConfigChange, Source
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.domain.units import MIB
from inferplan.estimate.memory import batch_cost, fp8_weight_savings_bytes, kv_bytes_per_token, weight_bytes

_KEYS = ("tensor_parallel_size", "kv_cache_dtype", "gpu_memory_utilization")
_ONLINE_FP8 = "fp8_per_tensor"


def after_changes(config: ServingConfig, changes: Iterable[ConfigChange]) -> ServingConfig:
    """The configuration with the recommended values."""
    return config.with_settings(
        {
            change.parameter: Setting(change.recommended_value, Origin.ARGUMENT)
            for change in changes
            if change.recommended_value is not None
        }
    )


def memory_budget(observation: Observation, after: ServingConfig) -> MemoryBudget | None:
    """The budget before and after; None where a term has no basis."""
    model, tokens = observation.model, observation.metrics.kv_cache_tokens
    if isinstance(model, Missing) or isinstance(tokens, Missing) or observation.accelerator.memory_mib is None:
        return None
    before = _before(observation, model, tokens)
    kv_after = _kv_after(observation, after, model, tokens)
    per_token = _per_token(after, model)
    if before is None or kv_after is None or per_token is None:
        return None
    return MemoryBudget(before=before, after=_after(before, observation, after, model, max(0, kv_after) // per_token))


def holds_one_request(observation: Observation, after: ServingConfig) -> str | None:
    """Why the KV cache might not hold one request of max_model_len after the change; None when it does.

    Only what the changes cost counts: with no model or capacity known, a change that takes no memory from the
    cache passes, as an unmeasured instance has nothing to compare with.
    """
    model, tokens = observation.model, observation.metrics.kv_cache_tokens
    if isinstance(model, Missing) or isinstance(tokens, Missing):
        return None
    needed = after.integer("max_model_len") or model.max_position_embeddings
    kv_after, per_token = _kv_after(observation, after, model, tokens), _per_token(after, model)
    if needed is None or kv_after is None or per_token is None:
        return "max_model_len or the KV cache's size is not known, so one request may not fit"
    if kv_after // per_token >= needed:
        return None
    return f"the KV cache would hold {max(0, kv_after) // per_token:,} tokens, one request may need {needed:,}"


def _per_token(config: ServingConfig, model: ModelCard) -> int | None:
    ranks, dtype = config.integer("tensor_parallel_size"), config.text("kv_cache_dtype")
    return None if ranks is None or dtype is None else kv_bytes_per_token(model, dtype, ranks)


def _kv_after(observation: Observation, after: ServingConfig, model: ModelCard, tokens: Measured) -> int | None:
    """Bytes of the KV cache per GPU after the change: measured bytes, less the larger batch, plus freed weights."""
    per_token = _per_token(observation.config, model)
    ranks = after.integer("tensor_parallel_size")
    if per_token is None or ranks is None:
        return None
    freed = fp8_weight_savings_bytes(model, ranks) if _turns_fp8(observation.config, after) else 0
    return int(tokens.value * per_token) - _batch_bytes(observation.config, after, model) + freed


def _batch_bytes(before: ServingConfig, after: ServingConfig, model: ModelCard) -> int:
    old, new = before.integer("max_batch_size"), after.integer("max_batch_size")
    return batch_cost(model, old, new).total_bytes if old is not None and new is not None else 0


def _turns_fp8(before: ServingConfig, after: ServingConfig) -> bool:
    return after.text("quantization") == _ONLINE_FP8 and before.text("quantization") != _ONLINE_FP8


def _before(observation: Observation, model: ModelCard, tokens: Measured) -> MemoryState | None:
    """Weights by the model, KV cache by measurement, the rest of the engine's share as one term."""
    config, memory_mib = observation.config, observation.accelerator.memory_mib
    per_token, share = _per_token(config, model), config.fraction("gpu_memory_utilization")
    ranks = config.integer("tensor_parallel_size")
    if per_token is None or share is None or ranks is None or memory_mib is None:
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


def _after(
    before: MemoryState, observation: Observation, after: ServingConfig, model: ModelCard, kv_tokens: int
) -> MemoryState:
    per_token = _per_token(after, model) or 0
    ranks = after.integer("tensor_parallel_size") or 1
    freed = fp8_weight_savings_bytes(model, ranks) if _turns_fp8(observation.config, after) else 0
    batch = _batch_bytes(observation.config, after, model)
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
