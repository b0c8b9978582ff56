"""What the model says of a configuration as the object that is printed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from inferplan.api.estimate import (
    Estimate,
    EstimatedGPUs,
    EstimatedInstance,
    EstimatedLoad,
    EstimatedMemory,
    EstimatedPerformance,
    EstimatedTerm,
    EstimatedValue,
    MemoryIntervals,
    Unavailable,
)
from inferplan.api.values import Confidence, Source
from inferplan.cli.output import encodable
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import significant
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import MemoryEstimate
from inferplan.estimate.memory_terms import ACTIVATIONS, KV_CACHE, WEIGHTS, Term, weakest
from inferplan.estimate.result import Interval, Performance

_DIGITS = 6
_SENTENCE_MAX = 4096  # as api.base.Sentence
_SURE = frozenset({Source.MEASURED_HERE, Source.CALIBRATED_HERE})


@dataclass(frozen=True)
class Answer:
    """Everything that is known of one configuration.

    Attributes:
        instance: Which document it is for.
        config: Engine, version, settings.
        accelerator: GPUs of one replica.
        load: The load, or why there is none.
        memory: The memory budget, or why there is none.
        performance: The speed, or why there is none.
        assumptions: What was assumed where nothing is stated.
        notes: What a reader should know.
    """

    instance: EstimatedInstance
    config: ServingConfig
    accelerator: Accelerator
    load: Load | Missing
    memory: MemoryEstimate | Missing
    performance: Performance | Missing
    assumptions: tuple[str, ...]
    notes: tuple[str, ...]


def estimate_document(answer: Answer) -> Estimate:
    """The object that is printed.

    Raises:
        ValueError: Neither memory nor performance is known.
    """
    source = weakest(part.source for part in (answer.memory, answer.performance) if not isinstance(part, Missing))
    return Estimate(
        memory=None if isinstance(answer.memory, Missing) else _memory(answer.memory),
        performance=None if isinstance(answer.performance, Missing) else _performance(answer.performance),
        source=source,
        confidence=_confidence(source, answer.assumptions),
        unavailable=_unavailable(answer),
        assumptions=tuple(map(_sentence, answer.assumptions)),
        notes=tuple(map(_sentence, answer.notes)),
        instance=answer.instance,
        engine=answer.config.engine,
        engine_version=_text(answer.config.version),
        model=_text(answer.config.model),
        accelerator=EstimatedGPUs(
            product=_text(answer.accelerator.product),
            count=answer.accelerator.count,
            memory_mib=answer.accelerator.memory_mib,
            usable_mib=answer.accelerator.usable_mib,
        ),
        load=None if isinstance(answer.load, Missing) else _load(answer.load),
    )


def _confidence(source: Source, assumptions: tuple[str, ...]) -> Confidence:
    """High for what was measured or calibrated here, low for rules of thumb and where something was assumed."""
    if source is Source.RULE_OF_THUMB or assumptions:
        return Confidence.LOW
    return Confidence.HIGH if source in _SURE else Confidence.MEDIUM


def _memory(memory: MemoryEstimate) -> EstimatedMemory:
    sizes = {WEIGHTS: 0, ACTIVATIONS: 0, KV_CACHE: 0}
    overhead = 0
    for term in memory.terms:
        if term.name in sizes:
            sizes[term.name] += term.bytes
        else:
            overhead += term.bytes
    tokens, concurrency = memory.kv_cache_tokens, memory.max_concurrency
    return EstimatedMemory(
        weights_bytes=sizes[WEIGHTS],
        activation_bytes=sizes[ACTIVATIONS],
        overhead_bytes=overhead,
        kv_cache_bytes=round(memory.kv_cache_bytes.expected),
        kv_cache_tokens=None if isinstance(tokens, Missing) else round(tokens.expected),
        max_concurrency=None if isinstance(concurrency, Missing) else _rounded(concurrency.expected),
        total_bytes=memory.total_bytes,
        fits=memory.fits,
        surely_fits=memory.surely_fits,
        why_not=None if memory.why_not is None else _sentence(memory.why_not),
        intervals=MemoryIntervals(
            kv_cache_bytes=_value(memory.kv_cache_bytes),
            kv_cache_tokens=_value(tokens),
            max_concurrency=_value(concurrency),
        ),
        terms=tuple(map(_term, memory.terms)),
        outside=tuple(map(_term, memory.outside)),
        source=memory.source,
    )


def _term(term: Term) -> EstimatedTerm:
    return EstimatedTerm(
        name=term.name,
        bytes=term.bytes,
        low=term.low,
        high=term.high,
        source=term.source,
        basis=_sentence(term.basis),
    )


def _performance(performance: Performance) -> EstimatedPerformance:
    return EstimatedPerformance(
        ttft_milliseconds=_value(performance.ttft_milliseconds),
        itl_milliseconds=_value(performance.itl_milliseconds),
        output_tokens_per_second=_value(performance.output_tokens_per_second),
        requests_per_second=_value(performance.requests_per_second),
        saturated=performance.saturated,
        source=performance.source,
    )


def _value(interval: Interval | Missing) -> EstimatedValue | None:
    if isinstance(interval, Missing):
        return None
    low, expected, high = map(_rounded, (interval.low, interval.expected, interval.high))
    return EstimatedValue(low=low, expected=expected, high=high)


def _rounded(value: float) -> float:
    return significant(float(value), _DIGITS)


def _text(text: str | None) -> str | None:
    """What a manifest holds, as any output can hold it."""
    return None if text is None else encodable(text)


def _sentence(text: str) -> str:
    return encodable(text)[:_SENTENCE_MAX]


def _unavailable(answer: Answer) -> dict[str, Unavailable]:
    """Every value that is null, by its path in the printed object."""
    missing = {"memory": answer.memory, "performance": answer.performance, **_parts(answer)}
    return {
        path: Unavailable(code=value.code, reason=_sentence(value.reason))
        for path, value in missing.items()
        if isinstance(value, Missing)
    }


def _parts(answer: Answer) -> Mapping[str, object]:
    parts: dict[str, object] = {}
    if not isinstance(answer.memory, Missing):
        parts["memory.kvCacheTokens"] = answer.memory.kv_cache_tokens
        parts["memory.maxConcurrency"] = answer.memory.max_concurrency
    if not isinstance(answer.performance, Missing):
        parts["performance.ttftMilliseconds"] = answer.performance.ttft_milliseconds
        parts["performance.itlMilliseconds"] = answer.performance.itl_milliseconds
        parts["performance.outputTokensPerSecond"] = answer.performance.output_tokens_per_second
        parts["performance.requestsPerSecond"] = answer.performance.requests_per_second
    return parts


def _load(load: Load) -> EstimatedLoad:
    return EstimatedLoad(
        concurrency=load.concurrency,
        requests_per_second=load.requests_per_second,
        input_tokens=load.input_tokens,
        output_tokens=load.output_tokens,
        prefix_share=load.prefix_share,
    )
