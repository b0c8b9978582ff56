"""How much memory an engine takes on one GPU, what is left for the KV cache, and whether it starts. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.kv_plan import LENGTH_MAX, CachePlan, CacheStructure
from inferplan.estimate.memory_calibration import MeasuredOverhead, Seen, measured_overhead
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_model import MemoryModel, in_gib
from inferplan.estimate.memory_terms import (
    ACTIVATIONS,
    CUDA_GRAPHS,
    DIFFERENCE,
    KV_CACHE,
    NON_TORCH,
    WEIGHTS,
    Term,
    term,
    weakest,
)
from inferplan.estimate.result import Interval
from inferplan.estimate.sglang_cache import PoolCache
from inferplan.estimate.sglang_memory import sglang_memory
from inferplan.estimate.vllm_memory import Sized, vllm_memory

_SIZERS: dict[Engine, Callable[[ServingConfig, Accelerator, ModelCard], Sized | Missing]] = {
    Engine.VLLM: vllm_memory,
    Engine.SGLANG: sglang_memory,
}
UNKNOWN_RELEASES: dict[Engine, tuple[str, ...]] = {Engine.VLLM: ("0.11.2", "0.19.1"), Engine.SGLANG: ()}
"""Releases that stand beside the newest where an engine's version is not known: since 0.8, sampling and graphs were
counted in three ways. The estimates of all of them go through `least_of`."""

_GIVING = (NON_TORCH, ACTIVATIONS, CUDA_GRAPHS, WEIGHTS)
"""Terms that a negative difference is taken from, the least certain first."""


@dataclass(frozen=True)
class MemoryEstimate:
    """The memory of one GPU. Intervals hold 80 % of real values.

    Attributes:
        terms: What takes the engine's share, the KV cache last; they sum to total_bytes.
        outside: What is taken beyond it.
        total_bytes: The engine's share.
        kv_cache_bytes: Left for the KV cache.
        kv_cache_tokens: Tokens as the engine prints them.
        max_concurrency: Requests of max_model_len at once, as the engine prints it.
        num_blocks: Blocks as expected; None where the cache's layout is not known.
        block_size: Tokens per block, likewise.
        fits: Whether the engine starts, as expected.
        surely_fits: Whether it does so at the low end as well.
        why_not: Why it would not, as the engine says it.
        source: The weakest basis of any term.
        assumptions: What was assumed, each a sentence.
        notes: What a reader should know, each a sentence.
        cache: How the cache is laid out; None where that is not known.
    """

    terms: tuple[Term, ...]
    outside: tuple[Term, ...]
    total_bytes: int
    kv_cache_bytes: Interval
    kv_cache_tokens: Interval | Missing
    max_concurrency: Interval | Missing
    num_blocks: int | None
    block_size: int | None
    fits: bool
    surely_fits: bool
    why_not: str | None
    source: Source
    assumptions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    cache: CacheStructure | PoolCache | None = None


def estimate_memory(
    config: ServingConfig, accelerator: Accelerator, card: ModelCard, overhead: MeasuredOverhead | None = None
) -> MemoryEstimate | Missing:
    """The memory of one GPU; why not where a part of it cannot be sized.

    Args:
        config: Engine, version and settings, defaults filled in.
        accelerator: GPUs of one replica.
        card: The model.
        overhead: What this instance showed of its memory with other settings (`calibrate_memory`).
    """
    sized = memory_model(config, accelerator, card, overhead)
    return sized if isinstance(sized, Missing) else _estimate(sized, takes_what_fits=_fits_itself(config))


def memory_model(
    config: ServingConfig, accelerator: Accelerator, card: ModelCard, overhead: MeasuredOverhead | None = None
) -> Sized | Missing:
    """The arithmetic behind the estimate, to be asked for many limits."""
    sizer = _SIZERS.get(config.engine)
    if sizer is None:
        return Missing(Reason.ENGINE_END_OF_LIFE, f"how {config.engine} shares memory was not read")
    sized = sizer(config, accelerator, card)
    if isinstance(sized, Missing):
        return sized
    absurd = _absurd(sized.limits)
    if absurd is not None or overhead is None:
        return absurd or sized
    known = replace(
        sized.model, learned_bytes=overhead.size_bytes, learned_peak_bytes=overhead.peak_bytes, learned=True
    )
    return replace(sized, model=known)


def _absurd(limits: Limits) -> Missing | None:
    """Lengths that the cache's planner does not take: no engine serves them, and nothing is to be computed of them."""
    lengths = {"max_model_len": int(limits.context), "max_num_batched_tokens": int(limits.tokens)}
    found = next((name for name, length in lengths.items() if not 0 < length < LENGTH_MAX), None)
    return None if found is None else Missing(Reason.SETTING_UNKNOWN, f"{found} {lengths[found]} is no real length")


def calibrate_memory(
    config: ServingConfig, accelerator: Accelerator, card: ModelCard, seen: Seen
) -> MeasuredOverhead | Missing:
    """What an instance's own cache says of the arithmetic; why nothing where the two contradict each other."""
    sized = memory_model(config, accelerator, card)
    return sized if isinstance(sized, Missing) else measured_overhead(sized.model, sized.limits, seen)


def least_of(estimates: Sequence[MemoryEstimate | Missing]) -> MemoryEstimate | Missing:
    """The estimate that leaves least for the cache, its intervals widened to all of them: the version is not known.

    Args:
        estimates: Of the same instance as several releases would run it, the one that is assumed first; that one is
            taken where the instance's own cache was seen.
    """
    first = estimates[0]
    if isinstance(first, MemoryEstimate) and first.source is Source.CALIBRATED_HERE:
        return first
    known = [each for each in estimates if not isinstance(each, Missing)]
    if not known:
        return first
    planned = [each for each in known if not isinstance(each.kv_cache_tokens, Missing)]
    least = min(planned or known, key=lambda each: each.kv_cache_bytes.expected)
    return replace(
        least,
        kv_cache_bytes=_widened(least.kv_cache_bytes, [each.kv_cache_bytes for each in known]),
        kv_cache_tokens=_widened(least.kv_cache_tokens, [each.kv_cache_tokens for each in known]),
        max_concurrency=_widened(least.max_concurrency, [each.max_concurrency for each in known]),
    )


_Value = TypeVar("_Value", Interval, Interval | Missing)


def _widened(one: _Value, others: Sequence[Interval | Missing]) -> _Value:
    if isinstance(one, Missing):
        return one
    known = [each for each in others if isinstance(each, Interval)]
    return Interval(min(each.low for each in known), one.expected, max(one.expected, *(each.high for each in known)))


def _fits_itself(config: ServingConfig) -> bool:
    """Whether the engine takes the longest max_model_len that fits (--max-model-len auto, vLLM from 0.14)."""
    return config.text("max_model_len") in {"auto", "-1"} or config.engine is Engine.SGLANG


def _estimate(sized: Sized, *, takes_what_fits: bool) -> MemoryEstimate:
    model, limits = sized.model, sized.limits
    expected = float(model.kv_bytes(limits))
    below, above = model.width(limits)
    ends = (max(0.0, expected - below), max(0.0, expected), max(0.0, expected + above))
    plans = [_plan(model, limits, end) for end in ends]
    why_not = _why_not(model, limits, expected, plans[1], takes_what_fits=takes_what_fits)
    terms = _with_difference(model.terms(limits), model, limits)
    source = Source.CALIBRATED_HERE if model.learned else weakest(each.source for each in terms)
    cache = term(KV_CACHE, ends, source, _cache_basis(model, limits))
    return MemoryEstimate(
        terms=(*terms, cache),
        outside=model.outside(limits),
        total_bytes=sum(each.bytes for each in terms) + cache.bytes,
        kv_cache_bytes=Interval(*ends),
        kv_cache_tokens=_interval(plans, lambda plan: float(plan.tokens)),
        max_concurrency=_interval(plans, lambda plan: plan.max_concurrency),
        num_blocks=None if isinstance(plans[1], Missing) else plans[1].num_blocks,
        block_size=None if isinstance(plans[1], Missing) else plans[1].block_size,
        fits=why_not is None,
        surely_fits=_why_not(model, limits, ends[0], plans[0], takes_what_fits=takes_what_fits) is None,
        why_not=why_not,
        source=source,
        assumptions=(*sized.assumptions, *_cache_assumptions(model)),
        notes=sized.notes,
        cache=None if isinstance(model.cache, Missing) else model.cache,
    )


def _plan(model: MemoryModel, limits: Limits, kv_bytes: float) -> CachePlan | Missing:
    if isinstance(model.cache, Missing):
        return model.cache
    return model.cache.plan(int(kv_bytes), int(limits.context), int(limits.tokens))


def _cache_assumptions(model: MemoryModel) -> tuple[str, ...]:
    return model.cache.settings.assumptions if isinstance(model.cache, CacheStructure) else ()


def _interval(plans: list[CachePlan | Missing], value: Callable[[CachePlan], float]) -> Interval | Missing:
    values = []
    for plan in plans:
        if isinstance(plan, Missing):
            return plan
        values.append(value(plan))
    low, expected, high = values
    return Interval(min(low, expected), expected, max(high, expected))


def _cache_basis(model: MemoryModel, limits: Limits) -> str:
    if model.fixed_bytes is not None:
        return "kv_cache_memory_bytes"
    share = f"{model.usable.basis}, x {float(limits.utilization):g}, less the other terms"
    return f"{share}, as this instance showed" if model.learned else share


def _why_not(
    model: MemoryModel, limits: Limits, kv_bytes: float, plan: CachePlan | Missing, *, takes_what_fits: bool
) -> str | None:
    """Why the engine would not start (check_enough_kv_cache_memory, vllm/v1/core, 0.9.2 to 0.33.0)."""
    if kv_bytes <= 0:
        return f"no memory is left for the KV cache: {in_gib(-kv_bytes)} are missing at this gpu_memory_utilization"
    if isinstance(plan, Missing) or plan.fits or isinstance(model.cache, Missing):
        return None
    longest = int(model.cache.longest(int(kv_bytes), int(limits.context), int(limits.tokens)))
    if takes_what_fits and longest > 0:
        return None
    need = in_gib(plan.request_bytes)
    return (
        f"one request of {int(limits.context):,} tokens needs {need} of KV cache, {in_gib(kv_bytes)} are available;"
        f" the longest that fits is {longest:,} tokens"
    )


def _with_difference(terms: tuple[Term, ...], model: MemoryModel, limits: Limits) -> tuple[Term, ...]:
    """The terms with what was learned: as a term of its own, or taken off where the engine needs less."""
    extra = round(float(model.difference_bytes(limits)))
    if not model.learned or model.fixed_bytes is not None or not extra:
        return terms
    if extra > 0:
        basis = "what this instance's own KV cache shows beyond the arithmetic"
        return (*terms, term(DIFFERENCE, (extra, extra, extra), Source.CALIBRATED_HERE, basis))
    found = {each.name: each for each in terms}
    for name in _GIVING:
        if name in found and extra < 0:
            given = min(-extra, found[name].bytes)
            found[name] = _smaller(found[name], given)
            extra += given
    return tuple(found.values())


def _smaller(old: Term, by: int) -> Term:
    size = old.bytes - by
    basis = f"{old.basis}; less by what this instance showed"
    return Term(old.name, size, size, size, Source.CALIBRATED_HERE, basis)
