"""How often the forecast's 80 % interval of a ratio holds the ratio that was measured, and how wide it is.

    PYTHONPATH=operator:lab:. .venv/bin/python benchmarks/ratio_intervals/run.py [--data DIR] [--dry-run]

The deployment before a change is calibrated on its own window as the operator does it, and asked for throughput and ITL
after the change (StepForecast.ratios). limits.py and changes.py say what the cases are. For
serving_measurements.csv the step model's constants are fitted without the model that is tested; for
improvement_pairs.json they are the shipped ones, and some of those measurements are in the fit. Nothing is added for
what the step model does not see of a format (Option.doubt): the last column says what would have to be. Results:
results/ratio_intervals.md; --dry-run prints and writes nothing.
"""

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.measurements import measurement
from benchmarks.accuracy.serving import read_rows
from benchmarks.accuracy.situations import situation
from benchmarks.ratio_intervals.asked import ITL, THROUGHPUT, Answer, answer
from benchmarks.ratio_intervals.changes import change_cases
from benchmarks.ratio_intervals.limits import CAPS, Run, cap_cases, format_cases, several_cases
from benchmarks.ratio_intervals.scores import (
    Told,
    bias,
    coverage,
    coverage_by_source,
    doubt_for,
    root_mean_square,
    width,
)
from scripts.fit_speed import Measurement, fit_constants

from inferplan.domain.measurement import Missing
from inferplan.estimate.speed_constants import SpeedFit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TABLE = HERE.parent / "results" / "ratio_intervals.md"
_FEWEST = 10
_LISTED = 12
_HEAD = (
    "| what | ratio of | pairs | sources | covered | each source alike | width | bias | error, r.m.s. "
    "| doubt for 80 % |"
)


def runs_of(data: Path, configs: Configs) -> list[tuple[Run, Measurement]]:
    """Rows that the command can put to the estimator of speed, each with what the constants are fitted on."""
    found = []
    for row in read_rows(data / "serving_measurements.csv"):
        at = situation(of_row(row, configs))
        fitted = measurement(at, row)
        if at.asked is not None and fitted is not None:
            found.append((Run(row, *at.asked), fitted))
    return found


def answers_of_rows(runs: Sequence[tuple[Run, Measurement]]) -> Iterator[Answer]:
    """Cases of each model's rows, asked with constants that were fitted to the other models' rows."""
    for model in dict.fromkeys(run.row.model for run, _ in runs):
        fit = SpeedFit(fit_constants([fitted for run, fitted in runs if run.row.model != model]), {})
        own = [run for run, _ in runs if run.row.model == model and not run.row.marks]
        for case in (*cap_cases(own), *several_cases(own), *format_cases(own)):
            yield answer(case, fit)


def table(answers: Sequence[Answer], *, by_source: bool = False) -> Iterator[str]:
    """A line for each category and quantity."""
    yield _HEAD
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    groups: dict[str, list[Answer]] = defaultdict(list)
    for one in answers:
        groups[f"{one.case.category}, {one.case.source}" if by_source else one.case.category].append(one)
    if not by_source:
        caps = [one for one in answers if one.case.category.startswith(CAPS)]
        groups = {**({"max_num_seqs, all steps": caps} if caps else {}), **groups}
    for name in groups:
        for quantity in (THROUGHPUT, ITL):
            told = told_of(groups[name], quantity)
            if told:
                yield _line(name, quantity, told)


def least_covered(answers: Sequence[Answer]) -> Iterator[str]:
    """The deployments whose ratios of throughput are covered least."""
    yield "| deployment | pairs | covered | error, r.m.s. |"
    yield "|---|---:|---:|---:|"
    groups: dict[str, list[Answer]] = defaultdict(list)
    for one in answers:
        if one.case.category.startswith(CAPS):
            groups[one.case.source].append(one)
    told = {name: told_of(group, THROUGHPUT) for name, group in groups.items()}
    known = {name: values for name, values in told.items() if len(values) >= _FEWEST}
    for name in sorted(known, key=lambda name: coverage(known[name]))[:_LISTED]:
        shares = f"{coverage(known[name]):.0%} | {root_mean_square(known[name]):.3f}"
        yield f"| {name} | {len(known[name])} | {shares} |"


def told_of(answers: Sequence[Answer], quantity: str) -> list[Told]:
    """What was measured beside what was said, where both are."""
    found = []
    for one in answers:
        if isinstance(one.ratios, Missing) or quantity not in one.case.measured:
            continue
        span = one.ratios.throughput if quantity == THROUGHPUT else one.ratios.itl
        if span is not None and span.expected is not None:
            found.append(Told(one.case.source, one.case.measured[quantity], span))
    return found


def _line(name: str, quantity: str, told: Sequence[Told]) -> str:
    sources, doubt = len({one.source for one in told}), doubt_for(told)
    shares = f"{coverage(told):.0%} | {coverage_by_source(told):.0%} | {width(told):.0%} | {bias(told):+.1%}"
    needed = "above 1" if doubt is None else f"{doubt:.2f}"
    return f"| {name} | {quantity} | {len(told)} | {sources} | {shares} | {root_mean_square(told):.3f} | {needed} |"


def report(rows: Sequence[Answer], changes: Sequence[Answer], left: Counter[str]) -> str:
    """The whole result as markdown."""
    silent = Counter(one.ratios.reason for one in (*rows, *changes) if isinstance(one.ratios, Missing))
    steady, rated = ([one for one in changes if ("at a rate" in one.case.source) is so] for so in (False, True))
    parts = [
        "# Intervals of ratios",
        (HERE / "notes.md").read_text().strip(),
        "## One deployment, limits moved; deployments that differ in one thing (serving_measurements.csv)",
        "\n".join(table(rows)),
        "### Deployments that are covered least, one limit moved",
        "\n".join(least_covered(rows)),
        "## One change (improvement_pairs.json), closed loops",
        "\n".join(table(steady)),
        "## The same by source",
        "\n".join(table(steady, by_source=True)),
        "## At a rate: medians of AccelMark's and Nebius' online runs",
        "\n".join(table(rated)),
        "## Not asked",
        "\n".join(f"- {reason} ({count})" for reason, count in (*left.most_common(), *silent.most_common())),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Scores, prints, writes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    options = parser.parse_args()
    configs = Configs(options.data / "model_configs")
    cases = list(change_cases(options.data / "improvement_pairs.json", configs))
    changes = [answer(case) for case in cases if not isinstance(case, str)]
    rows = list(answers_of_rows(runs_of(options.data, configs)))
    text = report(rows, changes, Counter(case for case in cases if isinstance(case, str)))
    sys.stdout.write(text)
    if not options.dry_run:
        TABLE.write_text(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
