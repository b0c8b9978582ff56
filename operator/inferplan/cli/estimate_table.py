"""An estimate as text for people. Pure: the same estimate gives the same text."""

import textwrap
from collections.abc import Iterator, Sequence

from inferplan.api.estimate import Estimate, EstimatedMemory, EstimatedPerformance, EstimatedTerm, EstimatedValue
from inferplan.cli.output import one_line
from inferplan.domain.units import GIB, MIB, in_gib

_WIDTH = 130
_INDENT = "  "
_LABEL = 28
_VALUE = 11
_RANGE = 21
_BASIS = len(_INDENT) + _LABEL + _VALUE + _RANGE
_WHOLE = 100  # from here on a number is printed without a fraction


def estimate_table(estimate: Estimate) -> str:
    """The whole estimate, ending with a newline."""
    sections = [
        [_title(estimate), *_facts(estimate)],
        _memory(estimate),
        _performance(estimate),
        [f"Rests on {estimate.source.value}; confidence {estimate.confidence.value}."],
        _listed("Assumed", estimate.assumptions),
        _listed("Notes", estimate.notes),
    ]
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def _title(estimate: Estimate) -> str:
    instance = estimate.instance
    return one_line(f"InferenceInstance {instance.namespace}/{instance.name or '(no name)'}  ({instance.place})")


def _facts(estimate: Estimate) -> Iterator[str]:
    facts = {
        "engine": f"{estimate.engine} {estimate.engine_version or '(version not known)'}",
        "model": estimate.model or "not named",
        "GPU": _gpus(estimate),
        "load": _load(estimate),
    }
    return (f"{_INDENT}{name:<8} {one_line(text)}" for name, text in facts.items())


def _gpus(estimate: Estimate) -> str:
    gpus = estimate.accelerator
    count = f"{gpus.count} x" if gpus.count is not None else "number not known:"
    memory = f", {in_gib(gpus.usable_mib * MIB)} usable each" if gpus.usable_mib is not None else ""
    return f"{count} {gpus.product or 'unknown product'}{memory}"


def _load(estimate: Estimate) -> str:
    load = estimate.load
    if load is None:
        return "not stated"
    traffic = (
        f"{load.concurrency:,.0f} requests at once"
        if load.concurrency is not None
        else f"{load.requests_per_second:,g} requests per second"
    )
    cached = f", {load.prefix_share:.0%} of prompts cached" if load.prefix_share else ""
    return f"{traffic}, {load.input_tokens:,.0f} tokens in, {load.output_tokens:,.0f} out{cached}"


def _memory(estimate: Estimate) -> list[str]:
    memory = estimate.memory
    if memory is None:
        return _missing("Memory per GPU", estimate, "memory")
    lines = [f"Memory per GPU: {in_gib(memory.total_bytes)} that the engine may use"]
    lines += [line for term in memory.terms for line in _term(term)]
    lines += _cache(memory)
    if memory.outside:
        lines += [f"{_INDENT}Beyond it", *(line for term in memory.outside for line in _term(term))]
    return lines


def _term(term: EstimatedTerm) -> list[str]:
    """One term: value, interval, and behind them what it rests on."""
    interval = f"({_gib(term.low)} to {_gib(term.high)})" if term.low < term.high else ""
    name = term.name.replace("_", " ")
    start = f"{_INDENT}{name:<{_LABEL}}{_gib(term.bytes) + ' GiB':>{_VALUE}}  {interval:<{_RANGE - 2}}"
    return _wrapped(start, f"{term.basis} [{term.source.value}]")


def _gib(size_bytes: float) -> str:
    return f"{size_bytes / GIB:.2f}"


def _cache(memory: EstimatedMemory) -> Iterator[str]:
    if not memory.fits:
        yield from _wrapped(f"{_INDENT}Does not fit: ", memory.why_not or "the engine would not start")
    elif not memory.surely_fits:
        yield f"{_INDENT}Tight: at the low end of the interval the engine would not start."
    if memory.intervals.kv_cache_tokens is not None:
        yield _value("KV cache holds", memory.intervals.kv_cache_tokens, "tokens")
    if memory.intervals.max_concurrency is not None:
        yield _value("  requests of full length", memory.intervals.max_concurrency, "")


def _performance(estimate: Estimate) -> list[str]:
    speed = estimate.performance
    if speed is None:
        return _missing("Speed per replica", estimate, "performance")
    title = f"Speed per replica [{speed.source}]" + (": more arrives than it can serve" if speed.saturated else "")
    return [title, *(line for row in _rows(speed) for line in _row(estimate, *row))]


def _rows(speed: EstimatedPerformance) -> tuple[tuple[str, str, EstimatedValue | None, str], ...]:
    return (
        ("ttftMilliseconds", "time to first token", speed.ttft_milliseconds, "ms"),
        ("itlMilliseconds", "time between tokens", speed.itl_milliseconds, "ms"),
        ("outputTokensPerSecond", "output tokens", speed.output_tokens_per_second, "per second"),
        ("requestsPerSecond", "requests", speed.requests_per_second, "per second"),
    )


def _row(estimate: Estimate, field: str, label: str, value: EstimatedValue | None, unit: str) -> list[str]:
    if value is not None:
        return [_value(label, value, unit)]
    missing = estimate.unavailable.get(f"performance.{field}")
    return _wrapped(f"{_INDENT}{label:<{_LABEL}}", f"no number: {missing.reason if missing else 'not estimated'}")


def _value(label: str, value: EstimatedValue, unit: str) -> str:
    interval = f"({_number(value.low)} to {_number(value.high)})"
    return f"{_INDENT}{label:<{_LABEL}}{_number(value.expected):>{_VALUE}}  {interval} {unit}".rstrip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= _WHOLE else f"{value:.3g}"


def _missing(title: str, estimate: Estimate, part: str) -> list[str]:
    missing = estimate.unavailable.get(part)
    return [title, *_wrapped(_INDENT, f"No number: {missing.reason if missing else 'not estimated'}")]


def _listed(title: str, sentences: Sequence[str]) -> list[str]:
    lines = [line for sentence in sentences for line in _wrapped(f"{_INDENT}- ", sentence)]
    return [title, *lines] if lines else []


def _wrapped(start: str, text: str) -> list[str]:
    indent = " " * min(_BASIS, len(start))
    return textwrap.wrap(
        one_line(text),
        _WIDTH,
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
