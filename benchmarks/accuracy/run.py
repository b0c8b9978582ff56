"""Scores the estimates on ../shared/data: every row of performance-model section 5 that is about numbers.

    PYTHONPATH=operator:. .venv/bin/python benchmarks/accuracy/run.py [--data DIR] [--dry-run] [--flags]

Everything goes through InferenceInstances (documents.py), as `inferplan estimate -o jsonl` answers them; the command
itself is run once on all of them. Constants of the speed model are fitted anew for each fold by scripts/fit_speed.py:
no row of the model (or the GPU) that is tested is in the fit. What the data holds and what was done about it stands in
serving.py, kv_cases.py, pairs.py and loads.py. Results: results/accuracy.md and a line in
results/accuracy_history.jsonl. --dry-run prints and writes nothing; so does --flags, which tells what the flags are
worth that the measured servers were started with and serving_measurements.csv omits (recipes.py).
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.accuracy.breakdown import kv_table, pair_table, serving_table, wrong_table
from benchmarks.accuracy.command_line import command_line
from benchmarks.accuracy.documents import Configs, of_row
from benchmarks.accuracy.elsewhere import Placed, Point, elsewhere_lines, elsewhere_table, placed, read_points
from benchmarks.accuracy.history import append, commit, last_scores
from benchmarks.accuracy.kv_cases import Case, read_cases
from benchmarks.accuracy.lines import Line
from benchmarks.accuracy.model import Model
from benchmarks.accuracy.package import Package
from benchmarks.accuracy.pairs import Left, Pair, read_pairs
from benchmarks.accuracy.recipes import settings_of
from benchmarks.accuracy.report import note_list, read_notes, score_table
from benchmarks.accuracy.score_kv import Sized, after_seeing_lines, capacity_lines, sized
from benchmarks.accuracy.score_pairs import Judged, effect_lines, judged
from benchmarks.accuracy.score_serving import (
    AICONFIGURATOR,
    error_lines,
    interval_lines,
    naive_after_one,
    naive_nearest,
    naive_never_seen,
    noise_lines,
    rank_lines,
)
from benchmarks.accuracy.serving import read_rows
from benchmarks.accuracy.serving_answers import (
    Answered,
    Asked,
    after_extreme,
    as_shipped,
    fitted_folds,
    never_seen,
    seen_once,
)

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TABLE = HERE.parent / "results" / "accuracy.md"
HISTORY = HERE.parent / "results" / "accuracy_history.jsonl"


@dataclass(frozen=True)
class Data:
    """What is scored on."""

    asked: list[Asked]
    cases: list[Case]
    pairs: list[Pair]
    left: list[Left]
    points: list[Point]

    @property
    def documents(self) -> list[dict[str, object]]:
        """Every document, in one order."""
        both = [document for pair in self.pairs for document in (pair.before, pair.after)]
        return [*(one.document for one in self.asked), *(case.document for case in self.cases), *both]


@dataclass(frozen=True)
class Found:
    """Lines of the table, and what they rest on."""

    lines: list[Line]
    unseen: list[Answered]
    sized: list[Sized]
    judged: list[Judged]
    placed: list[Placed]


def read_data(folder: Path, *, flags: bool = False) -> Data:
    configs = Configs(folder / "model_configs")
    rows = read_rows(folder / "serving_measurements.csv")
    found = list(read_pairs(folder / "improvement_pairs.json", configs))
    return Data(
        asked=[Asked(row, of_row(row, configs, settings_of(row) if flags else None)) for row in rows],
        cases=read_cases(folder / "kv_capacity_cases.json"),
        pairs=[pair for pair in found if isinstance(pair, Pair)],
        left=[pair for pair in found if isinstance(pair, Left)],
        points=read_points(folder / "improvement_pairs.json", configs),
    )


def scored(model: Model, data: Data) -> Found:
    spoken = command_line(data.documents, model.estimate(data.documents))
    capacities = sized(data.cases, model.estimate([case.document for case in data.cases]))
    without_model = fitted_folds(model, data.asked, lambda row: row.model)
    by_model = never_seen(without_model)
    before = model.estimate([pair.before for pair in data.pairs])
    effects = judged(data.pairs, before, model.estimate([pair.after for pair in data.pairs]))
    points = placed(data.points, model.estimate([point.document for point in data.points]))
    lines = [
        *capacity_lines(capacities),
        *after_seeing_lines(model, data.cases),
        *_unseen_lines(model, data, by_model),
        *_seen_lines(seen_once(without_model), data),
        *noise_lines([one.row for one in data.asked]),
        *_effect_lines(effects),
        *elsewhere_lines(points),
        spoken,
    ]
    return Found(lines, by_model, capacities, effects, points)


def _unseen_lines(model: Model, data: Data, by_model: Sequence[Answered]) -> Iterator[Line]:
    rows = [one.row for one in data.asked]
    others = {"AIConfigurator 0.12 (vLLM, n = 462)": AICONFIGURATOR, "nearest other point": naive_nearest(rows)}
    naive = naive_never_seen(data.asked, lambda row: row.model)
    yield from error_lines("unseen_model", "model never seen", by_model, {**naive, **others}, target=True)
    by_gpu = never_seen(fitted_folds(model, data.asked, lambda row: row.gpu))
    naive = naive_never_seen(data.asked, lambda row: row.gpu)
    yield from error_lines("unseen_gpu", "GPU never seen", by_gpu, {**naive, **others}, target=True)
    large = [one for one in by_model if one.row.concurrency > 128]  # noqa: PLR2004  as AIConfigurator's figure
    yield from error_lines("large_batch", "model never seen, above 128", large, _ABOVE_128, target=False)
    yield from interval_lines("unseen_model", "model never seen", by_model, target=True)
    yield from interval_lines("unseen_gpu", "GPU never seen", by_gpu, target=True)
    yield from rank_lines("unseen_model", "model never seen", by_model)
    shipped = as_shipped(model, data.asked)
    yield from error_lines("in_sample", "constants as shipped (in sample, no test)", shipped, {}, target=False)


_ABOVE_128 = {"AIConfigurator 0.12": {"ttft": 0.67}}


def _seen_lines(answers: Sequence[Answered], data: Data) -> Iterator[Line]:
    rows = [one.row for one in data.asked]
    naive = naive_after_one(answers, rows)
    yield from error_lines("seen_one", "after one operating point, each in turn", answers, naive, target=True)
    for highest in (False, True):
        end = "highest" if highest else "lowest"
        found = after_extreme(answers, highest=highest)
        naive = naive_after_one(found, rows)
        yield from error_lines(f"seen_one_{end}", f"after the {end} concurrency", found, naive, target=True)
    yield from interval_lines("seen_one", "after one operating point", answers, target=True)


def _effect_lines(effects: Sequence[Judged]) -> Iterator[Line]:
    own = [one for one in effects if not one.pair.transferred and not one.pair.doubtful]
    yield from effect_lines("effect", "one change", own, target=True)
    yield from effect_lines("effect_all", "one change, weak sources and TensorRT-LLM too", effects, target=False)


_HEAD = """Targets: performance-model section 5. Errors are shares of what was
measured. Constants that are tested were fitted without the model (or GPU) that they are tested on. Not scored here:
causes of queues, arguments, and the speed of one plan, which have benchmarks of their own."""


def report(found: Found, data: Data, seconds: float) -> str:
    notes = read_notes(HERE / "notes.toml")
    head = f"Written by `benchmarks/accuracy/run.py` at {commit()}, in {seconds:.0f} s of one core. {_HEAD}"
    parts = [
        "# Accuracy of the estimates",
        head,
        "\n".join(score_table(found.lines, last_scores(HISTORY))),
        "## Targets that are missed, why, and what would close it",
        "\n".join(note_list(found.lines, notes)) or "None.",
        "## The data",
        "\n".join(_about(data, found)),
        "## TPOT and TTFT, model never seen: median errors",
        "\n".join(serving_table(found.unseen)),
        "## KV capacity, case by case",
        "\n".join(kv_table(found.sized)),
        "## Effect of one change",
        "\n".join(pair_table(found.judged)),
        "## Changes that were got wrong",
        "\n".join(wrong_table(found.judged)),
        "## Absolute speeds of other sources and GPUs",
        "\n".join(elsewhere_table(found.placed)),
    ]
    return "\n\n".join(parts) + "\n"


def _about(data: Data, found: Found) -> Iterator[str]:
    rows = [one.row for one in data.asked]
    marks = Counter(mark for row in rows for mark in row.marks)
    deployments = len({row.deployment for row in rows})
    sizes = f"{sum(row.copies for row in rows)} rows are {len(rows)} measurements of {deployments} deployments"
    yield f"- serving_measurements.csv: {sizes}; marked: {_counts(marks)} (serving.py says how and why)"
    yield f"- kv_capacity_cases.json: {len(data.cases)} with a number that can be compared"
    whys = Counter(f"{one.source}: {one.reason}" for one in data.left)
    yield f"- improvement_pairs.json: {len(data.pairs)} written as two instances; not expressible: {_counts(whys)}"
    silent = Counter(one.reason[:160] for one in found.unseen if one.reason)
    yield f"- no speed for {sum(silent.values())} of {len(found.unseen)} measurements: {_counts(silent)}"
    pairs = Counter(one.reason[:160] for one in found.judged if one.effect is None)
    yield f"- no effect for {sum(pairs.values())} of {len(found.judged)} pairs: {_counts(pairs)}"


def _counts(found: Counter[str]) -> str:
    return "; ".join(f"{name} ({count})" for name, count in found.most_common()) or "none"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--flags", action="store_true", help="with the flags that the data omits; writes nothing")
    options = parser.parse_args()
    started = time.process_time()
    data = read_data(options.data, flags=options.flags)
    found = scored(Package(), data)
    text = report(found, data, time.process_time() - started)
    sys.stdout.write(text)
    if not (options.dry_run or options.flags):
        TABLE.write_text(text)
        append(HISTORY, found.lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
