"""The real command on a file of all documents: one line each, the same as in process."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.accuracy.documents import Document
from benchmarks.accuracy.lines import Line, Target
from benchmarks.accuracy.model import Output

_SAID_ANYWHERE = ("memory", "performance", "error")


def command_line(documents: Sequence[Document], expected: Sequence[Output]) -> Line:
    """How many lines of `inferplan estimate -o jsonl` say what was scored."""
    told = _run(documents)
    same = sum(_same(line, output) for line, output in zip(told, expected, strict=False))
    what = "lines of `inferplan estimate -o jsonl`, all documents in one file, that say what was scored"
    return Line("command_line", what, same / len(documents), len(told), len(documents), Target(least=1.0))


def _run(documents: Sequence[Document]) -> list[Output]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "documents.yaml"
        path.write_text("\n---\n".join(json.dumps(document) for document in documents))
        words = [sys.executable, "-m", "inferplan", "estimate", "-f", str(path), "-o", "jsonl"]
        done = subprocess.run(words, check=False, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _same(line: Output, output: Output) -> bool:
    """Equal but for the place in the file that errors name."""
    if "error" in line or "error" in output:
        return "error" in line and "error" in output
    return all(line.get(part) == output.get(part) for part in _SAID_ANYWHERE)
