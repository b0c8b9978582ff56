"""Scores of earlier runs, one line each: date, commit, every score."""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.accuracy.lines import Line


def last_scores(path: Path) -> dict[str, float]:
    """The scores of the last run; {} before the first."""
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    found: dict[str, float] = json.loads(lines[-1])["scores"] if lines else {}
    return found


def append(path: Path, lines: Sequence[Line]) -> None:
    """Adds this run."""
    scores = {line.key: round(line.value, 5) for line in lines if line.value is not None}
    now = datetime.now(tz=UTC).isoformat(timespec="seconds")
    with path.open("a") as file:
        file.write(json.dumps({"date": now, "commit": commit(), "scores": scores}) + "\n")


def commit() -> str:
    """The commit that was scored, "+" behind it where operator/ or scripts/ had changes."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", "operator", "scripts", "benchmarks/accuracy")
    return head + ("+" if changed else "")


def _git(*words: str) -> str:
    done: Any = subprocess.run(["git", *words], check=True, capture_output=True, text=True)
    return str(done.stdout).strip()
