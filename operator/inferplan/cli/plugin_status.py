"""What `kubectl inferplan status` prints. Pure: the same objects give the same text."""

from collections.abc import Iterator, Sequence

from inferplan.api.attempt import AttemptStatus, ComparedStatus
from inferplan.api.conditions import Condition
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType
from inferplan.apply.asking import is_said, mode_of, possible_words
from inferplan.cli.kube import Document
from inferplan.cli.layout import INDENT, number, section, wrapped
from inferplan.cli.output import one_line
from inferplan.cli.plugin_find import Found, is_of, shown_plan, spec_problem, why_no_plan
from inferplan.dialects.untyped import mapping, mappings, scalar

_WHY_WIDTH = 100
_COLUMNS = ("INSTANCE", "MODE", "PLAN", "PHASE", "GAIN", "REALIZED", "WHY")
_LABEL = 12
_NONE = "-"


def listing(instances: Sequence[Document], plans: Sequence[Document], *, namespaces: bool, place: str) -> str:
    """A line for each instance: its plan, how far it is, and why it waits.

    Args:
        instances: InferenceInstances as they are stored.
        plans: OptimizationPlans of the same namespaces.
        namespaces: Whether the first column is the namespace.
        place: Where they were looked for, in words.
    """
    if not instances:
        return f"No InferenceInstances {place}.\n"
    rows = [_row(instance, [plan for plan in plans if is_of(plan, instance)]) for instance in instances]
    columns = ("NAMESPACE", *_COLUMNS) if namespaces else _COLUMNS
    cut = [row if namespaces else row[1:] for row in sorted(rows)]
    widths = [max(len(row[place]) for row in (*cut, columns)) for place in range(len(columns))]
    lines = ["   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in (columns, *cut)]
    return "".join(f"{line.rstrip()}\n" for line in lines)


def detail(found: Found) -> str:
    """One plan: where it stands and why, what was tried, what came of it, and what can be said now."""
    parts = (
        _head(found),
        section("Conditions", [line for entry in _ordered(found.status) for line in _condition(entry)]),
        section("The last try", list(_attempt(found.status))),
        section("Measured", _measured(found.status)),
        section("Undone", list(_undone(found.status))),
        section("Now", _possible(found)),
    )
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _row(instance: Document, plans: Sequence[Document]) -> tuple[str, ...]:
    meta = instance["metadata"]
    plan = shown_plan(instance, plans)
    names = (scalar(meta.get("namespace")), scalar(meta.get("name")), mode_of(instance).value)
    if plan is None:
        return (*names, _NONE, _NONE, _NONE, _NONE, _cut(why_no_plan(instance)))
    summary, status = mapping(mapping(plan.get("spec")).get("summary")), mapping(plan.get("status"))
    realized = scalar(mapping(status.get("verification")).get("realized"))
    why = spec_problem(instance) or _why(plan)
    name, phase, gain = scalar(plan["metadata"].get("name")), scalar(status.get("phase")), scalar(summary.get("gain"))
    return (*names, name, phase or _NONE, gain or _NONE, realized or _NONE, _cut(why))


def _why(plan: Document) -> str:
    """Why the plan is where it is: of one that waits, the gate that is closed."""
    status = mapping(plan.get("status"))
    gates = (entry for entry in mappings(status.get("conditions")) if entry.get("type") == "GatesPassed")
    closed = next((entry for entry in gates if entry.get("status") == "False"), None)
    if status.get("phase") == Phase.SCHEDULED and closed is not None:
        return f"{scalar(closed.get('reason'))}: {scalar(closed.get('message'))}"
    return scalar(status.get("message"))


def _cut(text: str) -> str:
    line = one_line(text)
    return line if len(line) <= _WHY_WIDTH else f"{line[: _WHY_WIDTH - 1]}…"


def _head(found: Found) -> list[str]:
    spec, status = found.spec, found.status
    instance = f"{spec.instance_ref.name} (spec.apply.mode {found.mode})"
    lines = [f"OptimizationPlan {found.namespace}/{found.name}", *_line("instance", instance)]
    problem = spec_problem(found.instance)
    lines += _line("mend first", problem) if problem else []
    if spec.target is not None:
        lines += _line("target", f"{spec.target.kind} {spec.target.name}, container {spec.target.container}")
    lines += _line("changes", spec.summary.changes)
    lines += _line("gain", spec.summary.gain)
    lines += _line("phase", f"{status.phase}: {status.message}" if status.message else status.phase.value)
    if status.retry_at is not None:
        lines += _line("next try", f"{status.retry_at}, after {status.failures} that failed")
    return lines


def _ordered(status: PlanStatus) -> list[Condition]:
    """Conditions in the order in which a plan passes them; a later version's own come last."""
    order = {kind.value: place for place, kind in enumerate(PlanConditionType)}
    return sorted(status.conditions, key=lambda entry: order.get(entry.type, len(order)))


def _condition(entry: Condition) -> list[str]:
    head = f"{entry.type:<{_LABEL}} {entry.status:<8} {entry.reason}, since {entry.last_transition_time}"
    return [f"{INDENT}{head}", *wrapped(one_line(entry.message), INDENT * 2)]


def _attempt(status: PlanStatus) -> Iterator[str]:
    if status.canary is not None:
        yield from _line("canary", status.canary.name)
    attempt = status.attempt
    if attempt is None:
        return
    yield from _line("begun", f"{attempt.started_at}, try {attempt.number}")
    yield from _git(attempt)
    for label, moment in (("written", attempt.patched_at), ("rolled out", attempt.rolled_out_at)):
        yield from _line(label, moment) if moment is not None else ()
    if attempt.windows:
        times = "once" if attempt.windows == 1 else f"{attempt.windows} times"
        yield from _line("measured", f"{times} without a verdict")


def _git(attempt: AttemptStatus) -> Iterator[str]:
    if attempt.git is None:
        return
    yield from _line("branch", attempt.git.branch)
    pull = attempt.git.pull_request
    if pull is not None:
        yield from _line("pull request", f"#{pull.number} {pull.state}: {pull.url}")


def _measured(status: PlanStatus) -> list[str]:
    found = status.verification
    if found is None:
        return []
    lines = _table([("", "before", "predicted", "after"), *map(_compared, found.compared)]) if found.compared else []
    verdict = f"{found.verdict or 'none yet'}: {found.reason}" if found.reason else found.verdict or "none yet"
    lines += _line("verdict", verdict)
    if found.realized is not None:
        apart = f", {found.error} from what was promised" if found.error is not None else ""
        lines += _line("realized", f"{found.realized}{apart}")
    return lines


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows with names to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = [f"{INDENT}{row[0]:<{widths[0]}}" for row in rows]
    rest = ["".join(f"  {row[place]:>{widths[place]}}" for place in range(1, len(widths))) for row in rows]
    return [f"{name}{numbers}" for name, numbers in zip(first, rest, strict=True)]


def _compared(row: ComparedStatus) -> tuple[str, str, str, str]:
    predicted = _NONE
    if row.predicted is not None:
        predicted = number(row.predicted)
        if row.predicted_low is not None and row.predicted_high is not None:
            predicted += f" ({number(row.predicted_low)} to {number(row.predicted_high)})"
    unit = f" [{row.unit}]" if row.unit else ""
    return f"{row.metric}{unit}", number(row.before), predicted, number(row.after)


def _undone(status: PlanStatus) -> Iterator[str]:
    rollback = status.rollback
    if rollback is None or rollback.started_at is None:
        return
    yield from _line("because", f"{rollback.message or rollback.reason or 'not told'}")
    yield from _line("begun", rollback.started_at)
    yield from _line("restored", rollback.restored_at or "not yet")


def _possible(found: Found) -> list[str]:
    possible = possible_words(found.status.phase, by_merging=found.by_merging)
    words = sorted(word for word in possible if not is_said(word, found.spec))
    return [f"{INDENT}kubectl inferplan {word} {found.name} -n {found.namespace}" for word in words]


def _line(label: str, text: str) -> list[str]:
    return wrapped(f"{label:<{_LABEL}} {one_line(text)}", INDENT)
