"""Scores of TTFT, TPOT, ranks and intervals, each beside what needs no model."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.accuracy.baselines import ConstantRatio, median_at_point, median_of_all, nearest, repeated
from benchmarks.accuracy.lines import Line, Target
from benchmarks.accuracy.scores import coverage, median, median_width, percentile, relative_error, spearman
from benchmarks.accuracy.serving import Row
from benchmarks.accuracy.serving_answers import TPOT, TTFT, Answered, Asked, Grouping, folds, measured

QUANTITIES = (TPOT, TTFT)
AICONFIGURATOR = {TPOT: 0.17, TTFT: 0.36}
"""Median error of AIConfigurator 0.12 against the vLLM rows of this file, n = 462 (performance-model, introduction)."""
_NEVER = {TPOT: Target(most=0.12), TTFT: Target(most=0.25)}
_SEEN = {TPOT: Target(most=0.06), TTFT: Target(most=0.15)}
_COVERED = Target(least=0.75, most=0.90)
_RANKED = Target(least=0.97)
_FEWEST = 3


def unmarked(answers: Sequence[Answered]) -> list[Answered]:
    """Those whose measurement is a plain one."""
    return [one for one in answers if not one.row.marks]


def error_lines(
    key: str, what: str, answers: Sequence[Answered], beside: Mapping[str, Mapping[str, float | None]], *, target: bool
) -> Iterator[Line]:
    """Median and 90th percentile of the error of TPOT and TTFT, all rows and those without marks."""
    for quantity in QUANTITIES:
        wanted = (_SEEN if "seen_one" in key else _NEVER)[quantity] if target else None
        plain = unmarked(answers)
        named = f"{quantity.upper()}, {what}"
        yield _median(f"{quantity}.{key}", f"{named}, median error, all rows", answers, quantity, wanted, beside)
        yield _median(f"{quantity}.{key}.plain", f"{named}, rows without marks", plain, quantity, wanted, {})
        errors = _errors(plain, quantity)
        worst = percentile(errors, 0.9)
        yield Line(f"{quantity}.{key}.p90", f"{named}, 90th percentile, without marks", worst, len(errors), len(plain))


def _median(
    key: str,
    what: str,
    answers: Sequence[Answered],
    quantity: str,
    target: Target | None,
    beside: Mapping[str, Mapping[str, float | None]],
) -> Line:
    errors = _errors(answers, quantity)
    others = {name: values[quantity] for name, values in beside.items() if quantity in values}
    return Line(key, what, median(errors), len(errors), len(answers), target, beside=others)


def _errors(answers: Sequence[Answered], quantity: str) -> list[float]:
    return [error for one in answers if (error := one.error(quantity)) is not None]


def naive_never_seen(asked: Sequence[Asked], grouping: Grouping) -> dict[str, dict[str, float | None]]:
    """Median errors of the median over the other groups' rows: over all, and over those at the operating point."""
    overall: dict[str, list[float]] = defaultdict(list)
    at_point: dict[str, list[float]] = defaultdict(list)
    for rest, group in folds(asked, grouping):
        rows = [one.row for one in rest]
        for quantity in QUANTITIES:
            middle = median_of_all(rows, lambda row, quantity=quantity: measured(row, quantity))
            points = median_at_point(rows, lambda row, quantity=quantity: measured(row, quantity))
            for one in group:
                truth = measured(one.row, quantity)
                overall[quantity].append(relative_error(middle, truth))
                at_point[quantity].append(relative_error(points.get(one.row.point, middle), truth))
    return {
        "median of all": {quantity: median(overall[quantity]) for quantity in QUANTITIES},
        "median at the point": {quantity: median(at_point[quantity]) for quantity in QUANTITIES},
    }


def naive_nearest(rows: Sequence[Row]) -> dict[str, float | None]:
    """Median errors of the value at the nearest other operating point of the deployment, carried over."""
    found = {}
    for quantity in QUANTITIES:
        pairs = [(row, nearest(row, rows)) for row in rows]
        errors = [
            relative_error(measured(by, quantity), measured(row, quantity)) for row, by in pairs if by is not None
        ]
        found[quantity] = median(errors)
    return found


def noise_lines(rows: Sequence[Row]) -> Iterator[Line]:
    """How far two runs of one deployment at one operating point are apart: nobody can be better than that."""
    pairs = repeated(row for row in rows if not set(row.marks) - {"speculation", "outlier"})
    for quantity in QUANTITIES:
        apart = [relative_error(measured(one, quantity), measured(other, quantity)) for one, other in pairs]
        named = f"{quantity.upper()}, two runs of one deployment at one load (noise of the data)"
        size = (len(apart), len(apart))
        yield Line(f"{quantity}.noise", f"{named}: median difference", median(apart), *size)
        yield Line(f"{quantity}.noise.p90", f"{named}: 90th percentile", percentile(apart, 0.9), *size)


def naive_after_one(answers: Sequence[Answered], rows: Sequence[Row]) -> dict[str, dict[str, float | None]]:
    """Median errors of carrying the seen value over, as it is and times the other deployments' median ratio."""
    carried: dict[str, float | None] = {}
    scaled: dict[str, float | None] = {}
    for quantity in QUANTITIES:
        ratios = ConstantRatio(rows, lambda row, quantity=quantity: measured(row, quantity))
        ways = [(one.seen, one.row) for one in answers if one.seen is not None]
        last = [relative_error(measured(seen, quantity), measured(row, quantity)) for seen, row in ways]
        times = [
            relative_error(measured(seen, quantity) * ratios.ratio(seen, row), measured(row, quantity))
            for seen, row in ways
        ]
        carried[quantity], scaled[quantity] = median(last), median(times)
    return {"last value": carried, "constant ratio": scaled}


def interval_lines(key: str, what: str, answers: Sequence[Answered], *, target: bool) -> Iterator[Line]:
    """Coverage and median width of the 80 % intervals."""
    for quantity in QUANTITIES:
        found = [pair for one in answers if (pair := one.estimated(quantity)) is not None]
        wanted = _COVERED if target else None
        named = f"{quantity.upper()}, {what}"
        size = (len(found), len(answers))
        yield Line(f"{quantity}.{key}.coverage", f"{named}: 80 % intervals cover", coverage(found), *size, wanted)
        yield Line(f"{quantity}.{key}.width", f"{named}: their median width", median_width(found), *size)


def rank_lines(key: str, what: str, answers: Sequence[Answered]) -> Iterator[Line]:
    """Mean rank correlation within (model, GPU, lengths) groups of three or more configurations."""
    groups: dict[object, list[Answered]] = defaultdict(list)
    layouts: dict[object, list[Answered]] = defaultdict(list)
    for one in answers:
        if one.ttft is not None and one.tpot is not None:
            row = one.row
            groups[row.model, row.gpu, row.input_tokens, row.output_tokens].append(one)
            layouts[row.model, row.gpu, row.point].append(one)
    yield from _rank(f"rank.{key}.throughput", f"output tokens/s per GPU, {what}", groups, _per_gpu, _RANKED)
    yield from _rank(f"rank.{key}.tpot", f"TPOT, {what}", groups, _tpot, _RANKED)
    yield from _rank(f"rank.{key}.layout", f"tokens/s per GPU at one concurrency, {what}", layouts, _per_gpu, None)


def _rank(
    key: str,
    what: str,
    groups: Mapping[object, Sequence[Answered]],
    ranked: Callable[[Answered], tuple[float, float]],
    target: Target | None,
) -> Iterator[Line]:
    """Means over groups: every row alike, and every group alike, in which four rows count as much as sixty."""
    large = [group for group in groups.values() if len(group) >= _FEWEST]
    found = [(spearman(*zip(*map(ranked, group), strict=True)), len(group)) for group in large]
    told = [(value, rows) for value, rows in found if value is not None]
    size = (len(told), len(large))
    by_row = sum(value * rows for value, rows in told) / sum(rows for _, rows in told) if told else None
    by_group = sum(value for value, _ in told) / len(told) if told else None
    yield Line(key, f"Spearman of {what}, mean over groups by their rows", by_row, *size, target, share=False)
    yield Line(f"{key}.groups", f"Spearman of {what}, each group alike", by_group, *size, target, share=False)


def _per_gpu(one: Answered) -> tuple[float, float]:
    """Output tokens per second and GPU, estimated and measured: concurrency x tokens over a request's duration."""
    row, ttft, tpot = one.row, one.ttft, one.tpot
    if ttft is None or tpot is None:
        raise ValueError("a row without an estimate has no rank")
    return _throughput(row, ttft.expected, tpot.expected), _throughput(row, row.ttft, row.tpot)


def _tpot(one: Answered) -> tuple[float, float]:
    if one.tpot is None:
        raise ValueError("a row without an estimate has no rank")
    return one.tpot.expected, one.row.tpot


def _throughput(row: Row, ttft: float, tpot: float) -> float:
    """Closed loop: concurrency x output tokens / (TTFT + tokens x TPOT), per second and GPU."""
    return row.concurrency * row.output_tokens * 1000 / (ttft + (row.output_tokens - 1) * tpot) / row.gpus
