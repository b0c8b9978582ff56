"""The same errors by model, GPU, engine and setting, so that a weak spot has a name."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from benchmarks.accuracy.score_kv import Sized
from benchmarks.accuracy.score_pairs import Judged
from benchmarks.accuracy.scores import median, share
from benchmarks.accuracy.serving import Row
from benchmarks.accuracy.serving_answers import TPOT, TTFT, Answered

_SERVING: dict[str, Callable[[Row], str]] = {
    "model": lambda row: row.model,
    "GPU": lambda row: row.gpu,
    "engine": lambda row: f"{row.engine} {row.version or 'unknown'}",
    "setting": lambda row: f"{row.precision}, {_layout(row)}",
    "lengths": lambda row: f"{row.input_tokens} in, {row.output_tokens} out",
    "concurrency": lambda row: _band(row.concurrency),
    "mark": lambda row: row.marks[0] if row.marks else "none",
}
_BANDS = (8, 32, 128)


def _layout(row: Row) -> str:
    data = f" x DP{row.data_parallel}" if row.data_parallel > 1 else ""
    expert = f", EP{row.expert_parallel}" if row.expert_parallel > 1 else ""
    return f"TP{row.tensor_parallel}{data}{expert}"


def _band(concurrency: int) -> str:
    below = next((band for band in _BANDS if concurrency <= band), None)
    return f"to {below}" if below is not None else f"above {_BANDS[-1]}"


def serving_table(answers: Sequence[Answered]) -> Iterator[str]:
    """Median errors of TPOT and TTFT, rows of markdown."""
    yield "| by | | rows | TPOT | TTFT |"
    yield "|---|---|---:|---:|---:|"
    for name, of in _SERVING.items():
        groups: dict[str, list[Answered]] = defaultdict(list)
        for one in answers:
            groups[of(one.row)].append(one)
        for group in sorted(groups, key=_natural):
            tpot, ttft = (_middle(one.error(quantity) for one in groups[group]) for quantity in (TPOT, TTFT))
            yield f"| {name} | {group} | {len(groups[group])} | {tpot} | {ttft} |"


def kv_table(found: Sequence[Sized]) -> Iterator[str]:
    """Each case: there are few, and each is a story of its own."""
    yield "| case | model | GPU | engine | setting | compared | log | estimate | error |"
    yield "|---|---|---|---|---|---|---:|---:|---:|"
    for one in sorted(found, key=lambda one: (not one.case.known, one.case.key)):
        groups = one.case.groups
        facts = " | ".join((groups["model"], groups["GPU"], groups["engine"], groups["setting"]))
        kind = one.case.quantity + ("" if one.case.known else " (utilization not stated)")
        yield f"| {one.case.key} | {facts} | {kind} | {_number(one.case.measured)} | {_told(one)} |"


def _told(one: Sized) -> str:
    if one.expected is None:
        return f"none: {one.reason[:80]} | "
    error = "" if one.error is None else f"{one.error:.1%}"
    return f"{_number(one.expected)} | {error}"


def pair_table(found: Sequence[Judged]) -> Iterator[str]:
    """Effects by source, category and engine."""
    yield "| by | | pairs | told | right direction | median error | promised too much |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    for name in ("source", "category", "engine", "gpu"):
        groups: dict[str, list[Judged]] = defaultdict(list)
        for one in found:
            groups[getattr(one.pair, name)].append(one)
        for group in sorted(groups):
            yield f"| {name} | {group} | {_effects(groups[group])} |"


def wrong_table(found: Sequence[Judged]) -> Iterator[str]:
    """Pairs with a wrong direction, a promise that was not kept, or no prediction: the ones to learn from."""
    yield "| pair | change | engine, GPU | metric | measured | predicted | |"
    yield "|---|---|---|---|---:|---:|---|"
    for one in found:
        complaint = _complaint(one)
        if complaint:
            pair, predicted = one.pair, "" if one.effect is None else f"{one.effect.predicted:.2f}"
            facts = f"{pair.key} | {pair.category} | {pair.engine}, {pair.gpu} | {pair.metric}"
            yield f"| {facts} | {pair.ratios[pair.metric]:.2f} | {predicted} | {complaint} |"


def _complaint(one: Judged) -> str:
    if one.effect is None:
        return one.reason[:100]
    wrong = "wrong direction" if one.effect.notable and not one.effect.right_direction else ""
    over = "promised too much" if one.effect.overpromised else ""
    return ", ".join(text for text in (wrong, over) if text)


def _effects(found: Sequence[Judged]) -> str:
    effects = [one.effect for one in found if one.effect is not None]
    right = _share(effect.right_direction for effect in effects if effect.notable)
    over = _share(effect.overpromised for effect in effects)
    return f"{len(found)} | {len(effects)} | {right} | {_middle(effect.error for effect in effects)} | {over}"


def _share(answers: Iterable[bool]) -> str:
    found = share(answers)
    return "" if found is None else f"{found:.0%}"


def _middle(errors: Iterable[float | None]) -> str:
    found = median(error for error in errors if error is not None)
    return "" if found is None else f"{found:.1%}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"  # noqa: PLR2004  a matter of looks


def _natural(text: str) -> tuple[object, ...]:
    """Sorts numbers as numbers: "to 8" before "to 32" before "above 128"."""
    words = text.replace(",", " ").split()
    return ("above" in words, [int(word) if word.isdigit() else 0 for word in words], text)
