"""The table as markdown: targets, scores, what changed, why a target is missed."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.accuracy.lines import Line

_SMALL = 0.0005  # a change below the last digit that is printed


def read_notes(path: Path) -> dict[str, str]:
    """Hand-written notes by the key of a line, or the start of it."""
    notes: dict[str, str] = tomllib.loads(path.read_text())["notes"]
    return notes


def score_table(lines: Sequence[Line], last: Mapping[str, float]) -> Iterator[str]:
    """All lines, with the change against the last run."""
    yield "| what | score | target | | change | scored | beside it |"
    yield "|---|---:|---:|---|---:|---:|---|"
    for line in lines:
        scored = f"{line.scored}" if line.scored == line.asked else f"{line.scored} of {line.asked}"
        cells = (line.what, _value(line, line.value), _target(line), line.verdict, _change(line, last), scored)
        yield f"| {' | '.join(cells)} | {_beside(line)} |"


def note_list(lines: Sequence[Line], notes: Mapping[str, str]) -> Iterator[str]:
    """Why a target is missed and what would close it, for each line that misses."""
    for line in lines:
        if line.verdict not in ("", "met"):
            yield f"- **{line.what}** ({line.key}): {_note(line.key, notes)}"


def _note(key: str, notes: Mapping[str, str]) -> str:
    starts = [start for start in notes if key == start or key.startswith(f"{start}.")]
    return notes[max(starts, key=len)] if starts else "no note yet."


def _value(line: Line, value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.1%}" if line.share else f"{value:.3f}"


def _target(line: Line) -> str:
    target = line.target
    if target is None:
        return ""
    bounds = [("≥ ", target.least), ("≤ ", target.most)]
    return " ".join(f"{sign}{bound:.0%}" if line.share else f"{sign}{bound}" for sign, bound in bounds if bound)


def _change(line: Line, last: Mapping[str, float]) -> str:
    if line.value is None or line.key not in last:
        return ""
    change = line.value - last[line.key]
    if abs(change) < _SMALL:
        return "="
    return f"{change * 100:+.1f} points" if line.share else f"{change:+.3f}"


def _beside(line: Line) -> str:
    return ", ".join(f"{name} {_value(line, value)}" for name, value in line.beside.items() if value is not None)
