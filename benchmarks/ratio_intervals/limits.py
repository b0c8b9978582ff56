"""Cases out of serving_measurements.csv: one deployment at two concurrencies, or two deployments at one point.

A deployment that runs c requests at once does so because its client holds c, or because max_num_seqs is c and more
wait: a step is the same. So two rows of a deployment are a cap that was moved, with as many requests in flight as the
larger of the two. With a queue the operator has no TTFT to calibrate with, without one it has. Throughput is
c / (TTFT + output x TPOT), by Little's law. Rows that are marked (serving.py) are left out.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmarks.accuracy.serving import Row
from benchmarks.ratio_intervals.asked import ITL, THROUGHPUT, Case, window, with_setting

from inferplan.estimate.learning import OperatingPoint
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import attention_ranks

CAPS = "max_num_seqs x"
"""How categories of a cap that is moved begin."""

_STEPS = ((2.0, f"{CAPS} 2 at most"), (4.0, f"{CAPS} 4 at most"), (float("inf"), f"{CAPS} 8 or more"))
SEVERAL = "max_num_seqs to the next point, all others seen"


@dataclass(frozen=True)
class Run:
    """A row and its instance."""

    row: Row
    situation: EstimateInput
    load: Load

    @property
    def throughput(self) -> float:
        """Output tokens per second."""
        return self.row.concurrency * self.row.output_tokens / self._seconds

    @property
    def _seconds(self) -> float:
        return (self.row.ttft + self.row.output_tokens * self.row.tpot) / 1e3

    def seen(self, *, queued: bool = False) -> OperatingPoint:
        """The window that its instance would have seen."""
        return window(self.load, float(self.row.concurrency), self.row.tpot, None if queued else self.row.ttft)


def cap_cases(runs: Sequence[Run]) -> Iterator[Case]:
    """A cap that is moved from each concurrency of a deployment to each other one."""
    for line in _lines(runs):
        for before in line:
            for after in line:
                if before.row.concurrency != after.row.concurrency:
                    yield from _moved(before, after)


def several_cases(runs: Sequence[Run]) -> Iterator[Case]:
    """The same to the next concurrency, after all others of the deployment were seen."""
    for line in _lines(runs):
        for before, after in pairwise(line):
            others = [one for one in line if one.row.concurrency != after.row.concurrency]
            for case in _moved(before, after) if len(others) >= 3 else ():  # noqa: PLR2004  else one of the above
                points = tuple(one.seen() for one in others if one is not before)
                yield replace(case, category=SEVERAL, windows=(*points, *case.windows))


def _lines(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs of one deployment with one pair of lengths, in the order of concurrency, one of each."""
    found: dict[tuple[object, ...], dict[int, Run]] = defaultdict(dict)
    for run in runs:
        key = (run.row.deployment, run.row.input_tokens, run.row.output_tokens)
        found[key].setdefault(run.row.concurrency, run)
    for line in found.values():
        yield [line[concurrency] for concurrency in sorted(line)]


def _moved(before: Run, after: Run) -> Iterator[Case]:
    ranks = attention_ranks(before.situation.config)
    first, second = before.row.concurrency, after.row.concurrency
    if first % ranks or second % ranks:
        return
    factor = max(first, second) / min(first, second)
    yield Case(
        category=next(name for most, name in _STEPS if factor <= most),
        source=before.row.deployment,
        before=with_setting(before.situation, "max_batch_size", first // ranks),
        after=with_setting(before.situation, "max_batch_size", second // ranks),
        load=replace(before.load, concurrency=float(max(first, second))),
        running=float(first),
        windows=(before.seen(queued=second > first),),
        measured=_measured(before, after),
    )


def format_cases(runs: Sequence[Run]) -> Iterator[Case]:
    """Deployments that differ in one thing, at one operating point."""
    found: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in runs:
        found[run.row.model, run.row.gpu, run.row.engine, run.row.version, run.row.image, run.row.point].append(run)
    for group in found.values():
        for before in group:
            for after in group:
                category = _difference(before.row, after.row)
                if category:
                    yield _changed(category, before, after)


def _difference(one: Row, other: Row) -> str:
    layout = {
        "tensor_parallel": one.tensor_parallel < other.tensor_parallel,
        "expert_parallel": one.expert_parallel < other.expert_parallel,
        "data_parallel": one.data_parallel < other.data_parallel,
        "quantization": (one.precision, other.precision) in {("fp8", "fp4"), ("bf16", "fp8"), ("bf16", "fp4")},
    }
    same = (
        (one.tensor_parallel == other.tensor_parallel)
        + (one.expert_parallel == other.expert_parallel)
        + (one.data_parallel == other.data_parallel)
        + (one.precision == other.precision)
    )
    found = [name for name, more in layout.items() if more]
    if same != 3 or not found:  # noqa: PLR2004  all but one
        return ""
    return f"quantization, {one.precision} to {other.precision}" if found[0].startswith("quant") else found[0]


def _changed(category: str, before: Run, after: Run) -> Case:
    return Case(
        category=category,
        source=before.row.model,
        before=before.situation,
        after=after.situation,
        load=before.load,
        running=float(before.row.concurrency),
        windows=(before.seen(),),
        measured=_measured(before, after),
    )


def _measured(before: Run, after: Run) -> dict[str, float]:
    return {THROUGHPUT: after.throughput / before.throughput, ITL: after.row.tpot / before.row.tpot}
