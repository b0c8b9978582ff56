"""A decision in words and as whole settings."""

from collections.abc import Sequence

from inferplan.api.plan import PlanSummary
from inferplan.api.values import (
    BatchingConfig,
    Confidence,
    ConfigChange,
    ImpactLevel,
    KVCacheConfig,
    Optimization,
    QuantizationConfig,
    QuantizationMethod,
    Source,
)
from inferplan.domain.serving import ServingConfig

_CONFIDENCE_ORDER = (Confidence.LOW, Confidence.MEDIUM, Confidence.HIGH)
_WEIGHT_FORMATS = {
    # recommended value → method, bits, activations quantized too
    "int8": (QuantizationMethod.INT8, 8, False),
    "fp8_per_tensor": (QuantizationMethod.FP8, 8, True),
}
_LENGTH_MAX = 256


def total_improvement(optimizations: Sequence[Optimization]) -> str:
    """The whole plan in a sentence; parts are never summed."""
    if not optimizations:
        return "Nothing to change."
    if len(optimizations) == 1:
        return optimizations[0].estimated_improvement
    if any(optimization.source is Source.RULE_OF_THUMB for optimization in optimizations):
        return "Not known: the changes rest on rules of thumb; nothing was measured."
    return "Together not known: the changes act on one another, and there is no step-time model yet."


def summarize(optimizations: Sequence[Optimization]) -> PlanSummary:
    """The plan in a line, for `kubectl get`."""
    if not optimizations:
        return PlanSummary(
            changes="none",
            impact=ImpactLevel.LOW,
            gain="none",
            confidence=Confidence.LOW,
            restart=False,
            risk="none",
        )
    changes = [change for optimization in optimizations for change in optimization.config_changes]
    return PlanSummary(
        changes=", ".join(_arrow(change) for change in changes)[:_LENGTH_MAX],
        impact=optimizations[0].expected_impact,
        gain=_gain(optimizations),
        confidence=min((entry.confidence for entry in optimizations), key=_CONFIDENCE_ORDER.index),
        restart=any(optimization.restart_required for optimization in optimizations),
        risk=_risk(optimizations),
    )


def resulting_configs(
    after: ServingConfig, changes: Sequence[ConfigChange]
) -> tuple[KVCacheConfig | None, QuantizationConfig | None, BatchingConfig | None]:
    """The whole resulting setting of each kind that the plan touches; None for the others.

    A value that is no number where one belongs (max_model_len auto) is left out, like one that is not known.
    """
    touched = {change.parameter for change in changes}
    kv_cache = KVCacheConfig(
        kv_cache_dtype=(after.text("kv_cache_dtype") or "")[:_LENGTH_MAX] or None,
        gpu_memory_utilization=after.fraction("gpu_memory_utilization"),
        block_size=after.integer("block_size"),
        max_model_len=after.integer("max_model_len"),
        enable_prefix_caching=after.flag("enable_prefix_caching"),
    )
    batching = BatchingConfig(
        max_batch_size=after.integer("max_batch_size"),
        max_num_batched_tokens=after.integer("max_num_batched_tokens"),
        enable_chunked_prefill=after.flag("enable_chunked_prefill"),
    )
    return (
        kv_cache if touched & set(KVCacheConfig.model_fields) else None,
        _quantization(after) if "quantization" in touched else None,
        batching if touched & set(BatchingConfig.model_fields) else None,
    )


def _quantization(after: ServingConfig) -> QuantizationConfig | None:
    known = _WEIGHT_FORMATS.get(after.text("quantization") or "")
    if known is None:
        return None
    method, bits, activations = known
    return QuantizationConfig(method=method, target_bits=bits, quantize_weights=True, quantize_activations=activations)


def _arrow(change: ConfigChange) -> str:
    new = "removed" if change.removes_flag else change.recommended_value
    before = "" if change.current_value is None else change.current_value
    return f"{change.parameter} {before}→{new}"


def _gain(optimizations: Sequence[Optimization]) -> str:
    """The first effect that has an interval, relative to today: "throughput 1-2x"; "not known" without one."""
    effects = [effect for effect in optimizations[0].effects if effect.current]
    if len(optimizations) > 1 or not effects:
        return "not known"
    best = next((effect for effect in effects if effect.metric == "output_tokens_per_second"), effects[0])
    low, high = best.low / (best.current or 1.0), best.high / (best.current or 1.0)
    label = {"output_tokens_per_second": "throughput", "kv_cache_tokens": "KV tokens"}.get(best.metric, best.metric)
    return f"{label} {low:.2g}-{high:.2g}x"


def _risk(optimizations: Sequence[Optimization]) -> str:
    accuracy = [entry.accuracy_risk for entry in optimizations if entry.accuracy_risk is not None]
    risks = [risk for entry in optimizations for risk in entry.risks]
    return (accuracy or risks or ["none"])[0][:_LENGTH_MAX]
