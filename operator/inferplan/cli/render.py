"""A decision as text for people. Pure: the same decision gives the same text, on a terminal or in a file."""

from collections.abc import Iterator
from dataclasses import dataclass

from inferplan.api.plan import Alternative, Decision, MemoryBudget, PlanSpec, Rejected
from inferplan.api.values import ConfigChange, Optimization
from inferplan.cli.layout import DEEP_INDENT, INDENT, counted, evidence, labelled, number, pairs, section, wrapped
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.hardware import Accelerator
from inferplan.domain.observation import Observation
from inferplan.domain.units import MIB, in_gib
from inferplan.engine.effects import told

_CAUSES = {
    Cause.IDLE: "Nothing: no request runs or waits.",
    Cause.NONE: "Nothing that was measured: the KV cache has room and the scheduler's cap is not reached.",
}


@dataclass(frozen=True)
class Heading:
    """What the summary says before the changes.

    Attributes:
        instance: "namespace/name" of the instance.
        facts: Label and text: engine, model, GPU, target.
        limits: What limits the instance, in sentences; empty where only the plan is at hand.
    """

    instance: str
    facts: tuple[tuple[str, str], ...]
    limits: tuple[str, ...] = ()


def heading_of(instance: str, observation: Observation, diagnosis: Diagnosis, target: str | None) -> Heading:
    """Heading of a plan that was just made."""
    return Heading(instance, facts_of(observation, target), tuple(_limits(diagnosis)))


def facts_of(observation: Observation, target: str | None) -> tuple[tuple[str, str], ...]:
    """What was looked at: engine, model, GPU, target."""
    config = observation.config
    return (
        ("engine", f"{config.engine} {config.version or '(version not known)'}"),
        ("model", config.model or "not known"),
        ("GPU", _gpu(observation.accelerator)),
        *((("target", target),) if target is not None else ()),
    )


def heading_of_plan(instance: str, spec: PlanSpec, phase: str | None) -> Heading:
    """Heading of a plan that was read from a file or a cluster; a plan that was never written has no phase."""
    engine = f"{spec.engine.name} {spec.engine.version or '(version not known)'}"
    target = spec.target
    facts = (
        ("engine", engine),
        *((("target", f"{target.kind} {target.name}, container {target.container}"),) if target is not None else ()),
        ("observed", spec.observed_at),
        *((("phase", phase),) if phase is not None else ()),
    )
    return Heading(instance, facts)


def render(decision: Decision, heading: Heading) -> str:
    """The whole summary, ending with a newline."""
    sections = (
        head(heading),
        section("What limits it", [line for text in heading.limits for line in wrapped(text, INDENT)]),
        _changes(decision),
        section("Memory per GPU", _memory(decision.memory_budget)),
        section("Instead", [line for entry in decision.alternatives for line in _alternative(entry)]),
        section("Left out", pairs((entry.option, entry.code, _reason(entry)) for entry in decision.rejected)),
        section("No change by", pairs((note.optimizer, note.code, note.reason) for note in decision.abstentions)),
    )
    return "\n\n".join("\n".join(section) for section in sections if section) + "\n"


def head(heading: Heading) -> list[str]:
    """The instance and its facts."""
    return [f"InferenceInstance {heading.instance}", *(f"  {label:<9} {text}" for label, text in heading.facts)]


def _limits(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.cause is Cause.UNKNOWN:
        yield from (f"Cannot be told: {reason}." for reason in dict.fromkeys(gap.reason for gap in diagnosis.missing))
        return
    if not diagnosis.bottlenecks:
        yield _CAUSES.get(diagnosis.cause, str(diagnosis.cause))
    for found in diagnosis.bottlenecks:
        yield f"{found.type} ({found.severity}): {found.description}"
        if found.value is not None and found.threshold is not None:
            yield f"{found.metric} is {number(found.value)}, {counted(found)}"


def _gpu(gpu: Accelerator) -> str:
    if gpu.product is None and gpu.memory_mib is None:
        return "not known" if gpu.count is None else f"{gpu.count}, product not known"
    memory = f", {in_gib(gpu.memory_mib * MIB)} each" if gpu.memory_mib is not None else ""
    count = "number not known:" if gpu.count is None else f"{gpu.count} x"
    return f"{count} {gpu.product or 'unknown product'}{memory}"


def _changes(decision: Decision) -> list[str]:
    if not decision.optimizations:
        return ["Nothing to change"]
    lines = ["Changes, best first"]
    for rank, optimization in enumerate(decision.optimizations, 1):
        lines += _optimization(rank, optimization)
    if len(decision.optimizations) > 1:
        lines += ["", *wrapped(f"In all: {decision.estimated_total_improvement}", INDENT)]
    if decision.effects_basis is not None:
        lines += [*wrapped(f"The numbers: {decision.effects_basis}", INDENT)]
    return lines


def _alternative(entry: Alternative) -> Iterator[str]:
    yield from wrapped(entry.title, INDENT)
    yield from wrapped(entry.description, DEEP_INDENT)


def _reason(entry: Rejected) -> str:
    """Why it was left out, and what that costs."""
    return entry.reason if entry.cost is None else f"{entry.reason}. {entry.cost}"


def _optimization(rank: int, entry: Optimization) -> Iterator[str]:
    yield f"{rank}. {entry.title}  [{entry.id}]"
    for change in entry.config_changes:
        yield f"{DEEP_INDENT}{_arrow(change)}"
    yield from labelled("why", [change.reason for change in entry.config_changes])
    yield from labelled("seen", [evidence(fact) for change in entry.config_changes for fact in change.evidence])
    yield from labelled("gain", map(told, entry.effects) if entry.effects else [entry.estimated_improvement])
    yield from labelled("confidence", [f"{entry.confidence} ({entry.source}); impact {entry.expected_impact}"])
    yield from labelled("effort", [f"{entry.implementation_effort}; {_restart(entry)}"])
    yield from labelled("accuracy", [entry.accuracy_risk] if entry.accuracy_risk is not None else ())
    yield from labelled("loses", [entry.capability_loss] if entry.capability_loss is not None else ())
    yield from labelled("risk", entry.risks)
    yield from labelled("undo", [entry.undo] if entry.undo else ())
    yield from labelled("first", entry.prerequisites)
    yield from labelled("surer with", entry.raises_confidence)


def _restart(entry: Optimization) -> str:
    return "the engine's pods restart" if entry.restart_required else "no restart"


def _arrow(change: ConfigChange) -> str:
    before = "not known" if change.current_value is None else change.current_value
    flag = f"  ({change.flag})" if change.flag is not None else "  (no flag)"
    after = "taken out" if change.removes_flag else change.recommended_value
    return f"{change.parameter}: {before} → {after}{flag}"


def _memory(budget: MemoryBudget | None) -> list[str]:
    if budget is None:
        return []
    before = {term.name: term.bytes for term in budget.before.terms}
    after = {term.name: term.bytes for term in budget.after.terms}
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name, 0) + after.get(name, 0) > 0]
    rows = [(name.replace("_", " "), _gib(before.get(name, 0)), _gib(after.get(name, 0))) for name in names]
    rows += [("total", _gib(budget.before.total_bytes), _gib(budget.after.total_bytes))]
    tokens = (budget.before.kv_cache_tokens, budget.after.kv_cache_tokens)
    rows += [("KV cache tokens", _tokens(tokens[0]), _tokens(tokens[1]))]
    width = max(len(name) for name, _, _ in rows)
    return [f"  {name:<{width}}  {left:>12}  {right:>12}" for name, left, right in [("", "before", "after"), *rows]]


def _gib(size_bytes: int) -> str:
    return in_gib(size_bytes) if size_bytes else "-"


def _tokens(count: int | None) -> str:
    return "not known" if count is None else f"{count:,}"
