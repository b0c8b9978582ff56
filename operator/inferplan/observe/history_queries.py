"""The range queries for past hours: a handful for a whole fleet, whatever engines it runs. Pure.

Each query is a union of tagged expressions: the label `inferplan_key` says which quantity a series is. They are
grouped by pod; all schedulers (data-parallel ranks) of a pod are added up by Prometheus itself, and a series that two
monitors scrape counts once. Histograms are read as sum and count: a mean is all that a past hour is needed for.
"""

from collections.abc import Iterator, Sequence

from inferplan.observe.metric_kinds import RANK_LABELS, SPLITS
from inferplan.observe.metric_names import spellings
from inferplan.observe.series_labels import KUBERNETES_LABELS, SeriesLabels, is_label_name, tagged

STEP_SECONDS = 3_600
"""One value an hour, over that hour: each sample is read once."""

PRESENT_MINUTES = 60
"""What `present` counts to in a full hour."""

GAUGES = ("running", "waiting", "present")
COUNTERS = ("requests",)
HISTOGRAMS = ("prompt_tokens", "generation_tokens", "ttft", "itl")
COLUMNS = (*GAUGES, *COUNTERS, *(f"{key}_{part}" for key in HISTOGRAMS for part in ("sum", "count")))
"""The quantities of an hour and a pod, in the order of a table's columns.

running and waiting are means over the time in which the pod was there, `present` is that time in minutes, all others
are increases per second over the whole hour.
"""

_QUERIES = (
    ("running", "waiting", "present", "requests"),
    ("prompt_tokens_sum", "prompt_tokens_count", "generation_tokens_sum", "generation_tokens_count"),
    ("ttft_sum", "ttft_count", "itl_sum", "itl_count"),
)


def history_queries(labels: SeriesLabels = KUBERNETES_LABELS, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """Every query that past hours need; each is evaluated at the end of each hour.

    Args:
        labels: What the source calls its labels.
        extra: Further labels to group by; series without one of them are left out.

    Raises:
        ValueError: A label's name is none.
    """
    group = labels.group(extra)
    for name in group:
        if not is_label_name(name):
            raise ValueError(f'"{name}" is no label name; allowed are letters, digits and _')
    matchers = ", ".join(f'{name}!=""' for name in dict.fromkeys((labels.namespace, *extra)))
    return tuple("\nor\n".join(_tagged(columns, group, matchers)) for columns in _QUERIES)


def _tagged(columns: Sequence[str], group: Sequence[str], matchers: str) -> Iterator[str]:
    """Expressions with their tag. `or` takes the first where two spellings of one quantity are there."""
    for column in columns:
        for name in _series_of(column):
            yield tagged(_expression(column, f"{name}{{{matchers}}}", group), column)


def _series_of(column: str) -> tuple[str, ...]:
    """Names of the series that give a column."""
    if column == "present":
        return spellings("running")
    for key in HISTOGRAMS:
        if column.startswith(f"{key}_"):
            return tuple(name + column.removeprefix(key) for name in spellings(key))
    return spellings(column)


def _expression(column: str, series: str, group: Sequence[str]) -> str:
    by, each = ", ".join(group), ", ".join((*group, *RANK_LABELS))
    match column:
        case "present":  # by the minute, so that it does not depend on how often the source scrapes
            return f"max by ({by}) (count_over_time({series}[1h:1m]))"
        case "running" | "waiting":  # beside a sample below 0 a mean is none: it becomes infinite, which nobody takes
            mean = f"avg_over_time({series}[1h]) / (min_over_time({series}[1h]) >= bool 0)"
            return f"sum by ({by}) (max by ({each}) ({mean}))"
        case "requests":
            return f"sum by ({by}) (max by ({each}, {SPLITS['requests']}) (rate({series}[1h])))"
        case _:
            return f"sum by ({by}) (max by ({each}) (rate({series}[1h])))"
