"""A decision in words and as whole settings."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferplan.api.base import SHORT_TEXT_MAX
from inferplan.api.instance import Objective
from inferplan.api.plan import PlanSummary
from inferplan.api.values import (
    BatchingConfig,
    Confidence,
    ConfigChange,
    Effect,
    ImpactLevel,
    KVCacheConfig,
    Optimization,
    QuantizationConfig,
    Source,
)
from inferplan.dialects.weight_formats import weight_format
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.engine.effects import STILL, Expected, effects_of, in_percent, sentence
from inferplan.engine.search import Found
from inferplan.estimate.forecast import Place, Ratios, Span

_THROUGHPUT_FIRST = 10
"""Throughput that moves at all is what a plan is told by: a latency moves by more when a queue ends. A choice."""


@dataclass(frozen=True)
class ResultingConfig:
    """What would run.

    Attributes:
        config: The settings.
        card: The model; None where it is not known.
    """

    config: ServingConfig
    card: ModelCard | None


def whole_effects(found: Found | None, observation: Observation, after: ServingConfig) -> tuple[Effect, ...]:
    """What all searched changes do together; composed by the forecast, never summed from the parts.

    Args:
        found: What the search brought.
        observation: What runs.
        after: What would run with all of the plan's changes, whose KV cache is told.
    """
    if found is None or found.ratios is None:
        return ()
    place = Place(after, found.card)
    return effects_of(Expected(found.ratios, place), observation, found.forecast, found.wish.targets)


def total_improvement(optimizations: Sequence[Optimization], found: Found | None, effects: tuple[Effect, ...]) -> str:
    """The whole plan in a sentence or two; parts are never summed.

    Args:
        optimizations: The plan's changes.
        found: What the search brought.
        effects: What all searched changes do together.
    """
    if not optimizations:
        return "Nothing to change."
    searched = len(found.drafts) if found is not None else 0
    if effects and found is not None:
        told = sentence(effects)
        left = len(optimizations) - searched
        return f"{told} Not counted: what no forecast prices ({left} of {len(optimizations)})." if left else told
    if len(optimizations) == 1:
        return optimizations[0].estimated_improvement
    if all(optimization.source is Source.RULE_OF_THUMB for optimization in optimizations):
        return "Not known: the changes rest on rules of thumb."
    return "Together not known: nothing that was measured says how the changes act on one another."


def effects_basis(found: Found | None) -> str | None:
    """What all numbers of a search rest on; None where it has none."""
    if found is None or not (found.drafts or found.others or any(entry.cost for entry in found.rejected)):
        return None
    spans = [*(draft.ratios.throughput for draft in found.drafts), *(one.ratios.throughput for one in found.others)]
    bounds = bool(spans) and all(span.expected is None for span in spans)
    return found.forecast.basis if bounds else f"{found.forecast.basis} In brackets: 80 % intervals."


def summarize(optimizations: Sequence[Optimization], found: Found | None) -> PlanSummary:
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
        changes=", ".join(_arrow(change) for change in changes)[:SHORT_TEXT_MAX],
        impact=max((entry.expected_impact for entry in optimizations), key=tuple(ImpactLevel).index),
        gain=_gain(found),
        confidence=min((entry.confidence for entry in optimizations), key=tuple(Confidence).index),
        restart=any(optimization.restart_required for optimization in optimizations),
        risk=_risk(optimizations),
    )


def resulting_configs(
    after: ResultingConfig, changes: Sequence[ConfigChange], capability: int | None
) -> tuple[KVCacheConfig | None, QuantizationConfig | None, BatchingConfig | None]:
    """The whole resulting setting of each kind that the plan touches; None for the others.

    A value that is no number where one belongs (max_model_len auto), or none that an engine could run with
    (max_model_len -1), is left out, like one that is not known.

    Args:
        after: The configuration that would run, and the model where it is known.
        changes: What the plan changes.
        capability: Compute capability of the GPU times 10.
    """
    config = after.config
    touched = {change.parameter for change in changes}
    kv_cache = KVCacheConfig(
        kv_cache_dtype=(config.text("kv_cache_dtype") or "")[:SHORT_TEXT_MAX] or None,
        gpu_memory_utilization=_share(config.fraction("gpu_memory_utilization")),
        block_size=_count(config.integer("block_size")),
        max_model_len=_count(config.integer("max_model_len")),
        enable_prefix_caching=config.flag("enable_prefix_caching"),
    )
    batching = BatchingConfig(
        max_batch_size=_count(config.integer("max_batch_size")),
        max_num_batched_tokens=_count(config.integer("max_num_batched_tokens")),
        enable_chunked_prefill=config.flag("enable_chunked_prefill"),
    )
    return (
        kv_cache if touched & set(KVCacheConfig.model_fields) else None,
        _quantization(after, touched, capability),
        batching if touched & set(BatchingConfig.model_fields) else None,
    )


def _count(value: int | None) -> int | None:
    return value if value is not None and value >= 1 else None


def _share(value: float | None) -> float | None:
    return value if value is not None and 0 < value <= 1 else None


def _quantization(after: ResultingConfig, touched: set[str], capability: int | None) -> QuantizationConfig | None:
    """The format of the weights, by the flag or by the checkpoint that would run."""
    if "model" in touched and after.card is not None and after.card.quantization is not None:
        return weight_format(after.card.quantization, capability)
    return weight_format(after.config.text("quantization") or "", capability) if "quantization" in touched else None


def _arrow(change: ConfigChange) -> str:
    new = "removed" if change.removes_flag else change.recommended_value
    before = "" if change.current_value is None else change.current_value
    return f"{change.parameter} {before}→{new}"


def _gain(found: Found | None) -> str:
    """What the plan brings to what was wanted: "ITL -36% (-41% to -31%)", "throughput 1-2x"; else "not known"."""
    if found is None or found.ratios is None:
        return "not known"
    name, span = _main(found, found.ratios)
    if span.expected is None:
        return f"{name} {span.low:.2g}-{span.high:.2g}x"
    return f"{name} {in_percent(span)}"


def _main(found: Found, ratios: Ratios) -> tuple[str, Span]:
    """What the plan is for: a missed target that gets nearer, else throughput where it moves, else a latency."""
    for target in found.wish.targets:
        span = target.span(ratios)
        if target.missed and span is not None and _moved(target.name, span) >= STILL:
            return target.name, span
    spans = {"throughput": ratios.throughput, "ITL": ratios.itl, "TTFT": ratios.ttft}
    known = {name: span for name, span in spans.items() if span is not None}
    if found.wish.objective is Objective.LATENCY:
        known.pop("throughput")
    return max(known.items(), key=lambda entry: _moved(entry[0], entry[1]), default=("throughput", ratios.throughput))


def _moved(name: str, span: Span) -> float:
    """How much better a metric gets; throughput wins over latencies that move as much as a queue's end lets them."""
    return _THROUGHPUT_FIRST * (span.middle - 1) if name == "throughput" else 1 - span.middle


def _risk(optimizations: Sequence[Optimization]) -> str:
    accuracy = [entry.accuracy_risk for entry in optimizations if entry.accuracy_risk is not None]
    risks = [risk for entry in optimizations for risk in entry.risks]
    return (accuracy or risks or ["none"])[0][:SHORT_TEXT_MAX]
