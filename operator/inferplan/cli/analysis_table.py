"""An analysis as text for people. Pure: the same analysis gives the same text."""

from collections.abc import Iterator

from inferplan.api.analysis import Analysis, Bottleneck, HealthScore, SLOStatus, Unknown
from inferplan.api.instance_status import ReplicaStatus
from inferplan.cli.layout import DEEP_INDENT, INDENT, counted, evidence, labelled, number, over, section, wrapped
from inferplan.cli.render import Heading, head
from inferplan.diagnose.finding import Cause
from inferplan.diagnose.slo import slo_name
from inferplan.domain.measurement import Measured
from inferplan.domain.observation import Metrics, Observation

_CAUSES: dict[str, str] = {
    Cause.KV_BOUND: "the KV cache is full",
    Cause.SCHEDULER_CAPPED: "as many requests run as the scheduler may run at once, and others wait",
    Cause.PREFILL_BOUND: "prompts take the steps' tokens",
    Cause.OVERLOAD: "more arrives than the hardware can serve",
    Cause.COLD_START: "the engine has just started",
    Cause.IDLE: "nothing: no request runs or waits",
    Cause.NONE: "nothing that was measured",
    Cause.UNKNOWN: "the data cannot tell",
}


def analysis_table(analysis: Analysis, heading: Heading, observation: Observation) -> str:
    """The whole text, ending with a newline."""
    cause = _CAUSES.get(analysis.cause)
    sections = (
        head(heading),
        section("What limits it", wrapped(f"{analysis.cause}: {cause}" if cause is not None else analysis.cause)),
        _health(analysis.health),
        section("Targets", [line for status in analysis.slo_statuses for line in _target(status)]),
        _findings(analysis.bottlenecks),
        section("What to do", [line for entry in _numbered(analysis) for line in wrapped(entry)]),
        section("Cannot be told", [line for entry in _grouped(analysis.unknowns) for line in wrapped(entry)]),
        section("Measured", list(_measured(observation.metrics))),
        section("Replicas", list(_replicas(observation.side_by_side()))),
    )
    return "\n\n".join("\n".join(part) for part in sections if part) + "\n"


def _health(health: HealthScore) -> list[str]:
    if health.score is None and health.at_most is None:
        return section("Health", wrapped(f"not judged: {health.reason or 'nothing to judge by'}"))
    lines = [f"{INDENT}100 at first"] if health.deductions else []
    lines += (
        line for entry in health.deductions for line in wrapped(f"-{entry.points:g} {entry.code}: {entry.reason}")
    )
    lines += wrapped(health.reason) if health.reason is not None else ()
    score = f"at most {health.at_most:g}" if health.score is None else f"{health.score:g}"
    return [f"Health {score} of 100", *lines]


def _target(status: SLOStatus) -> Iterator[str]:
    target = status.target
    yield from wrapped(f"{slo_name(target)}: {_compared(status)}{_budget(status)}")
    if status.reason is not None:
        yield from wrapped(status.reason, INDENT * 2)


def _compared(status: SLOStatus) -> str:
    target = f"target {status.target.target_milliseconds} {status.unit}"
    verdict = {True: "holds", False: "is missed", None: "is not known to hold"}[status.is_compliant]
    if status.current_value is not None:
        deviation = f" ({status.deviation_percent:+.0f} %)" if status.deviation_percent is not None else ""
        return f"{number(status.current_value)} {status.unit}, {target} {verdict}{deviation}"
    if status.at_least is not None:
        return f"above {number(status.at_least)} {status.unit}, {target} {verdict}"
    return f"not measured, {target} {verdict}"


def _budget(status: SLOStatus) -> str:
    if status.missed_share is None or status.error_budget_used_percent is None:
        return ""
    used, allowed = status.error_budget_used_percent, status.allowed_share
    return f"; {status.missed_share:.1%} miss it of {allowed:.0%} allowed ({number(used)} % of the error budget)"


def _findings(found: tuple[Bottleneck, ...]) -> list[str]:
    lines: list[str] = []
    for rank, entry in enumerate(found, 1):
        lines += wrapped(f"{rank}. {entry.type} ({entry.severity}): {entry.description}", "")
        lines += labelled("seen", [*_shown(entry), *map(evidence, entry.evidence)])
    return section("Findings, worst first", lines)


def _shown(entry: Bottleneck) -> Iterator[str]:
    if entry.metric is None:
        return
    unit = f" {entry.unit}" if entry.unit else ""
    if entry.value is not None:
        value = f"{number(entry.value)}{unit}"
    elif entry.at_least is not None:
        value = f"above {number(entry.at_least)}{unit}"
    else:
        return
    counts = f", {counted(entry)}" if entry.threshold is not None else ""
    query = f": {entry.query}" if entry.query is not None else ""
    yield f"{entry.metric} = {value}{counts}{over(entry.window_seconds)}{query}"


def _numbered(analysis: Analysis) -> Iterator[str]:
    for rank, entry in enumerate(analysis.recommendations, 1):
        yield f"{rank}. {entry.text} ({entry.code})"


def _grouped(unknowns: tuple[Unknown, ...]) -> Iterator[str]:
    """What the same thing would make known stands together."""
    by_needs: dict[str, list[str]] = {}
    for entry in unknowns:
        by_needs.setdefault(entry.needs, []).append(f"{entry.reason} ({entry.code})")
    for needs, reasons in by_needs.items():
        yield from reasons
        yield f"{DEEP_INDENT}needs: {needs}"


def _measured(metrics: Metrics) -> Iterator[str]:
    values = metrics.measured()
    width = max(map(len, values), default=0)
    for name, entry in values.items():
        value = f"{number(entry.value)} {entry.unit}{_range(entry)}{over(entry.window_seconds)}{_age(entry)}"
        yield f"{INDENT}{name:<{width}}  {value}"


_COLUMNS = (
    ("running", "num_requests_running"),
    ("waiting", "num_requests_waiting"),
    ("KV use", "kv_cache_usage"),
    ("requests/s", "requests_per_second"),
    ("tokens/s", "generation_tokens_per_second"),
    ("TTFT ms", "ttft_mean_milliseconds"),
    ("ITL ms", "itl_mean_milliseconds"),
    ("failed", "failed_requests_share"),
)


def _replicas(replicas: tuple[ReplicaStatus, ...]) -> Iterator[str]:
    """A line each, under the names of the columns."""
    if not replicas:
        return
    rows = [tuple(_cell(getattr(replica, name)) for _, name in _COLUMNS) for replica in replicas]
    heads = tuple(head for head, _ in _COLUMNS)
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    longest = max(len(replica.name) for replica in replicas)
    for name, cells in zip(("", *(replica.name for replica in replicas)), (heads, *rows), strict=True):
        padded = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        yield f"{INDENT}{name:<{longest}}  {padded}"


def _cell(value: float | None) -> str:
    return "-" if value is None else number(value)


def _age(entry: Measured) -> str:
    """How old the newest sample was, where that is not of the moment."""
    return f", {entry.age_seconds:.0f} s old" if (entry.age_seconds or 0.0) >= 1 else ""


def _range(entry: Measured) -> str:
    if entry.low is None or entry.high is None:
        return ""
    return f" ({number(entry.low)} to {number(entry.high)})"
