"""The examples in examples/estimate: every one is answered in full."""

import json
from pathlib import Path

import pytest

from inferplan.cli import main

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "estimate"
PATHS = sorted(EXAMPLES.glob("*.yaml"))


def test_there_is_an_example_for_each_use() -> None:
    assert [path.stem for path in PATHS] == ["candidates", "deployment", "one"]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_begins_with_the_command_that_it_is_for(path: Path) -> None:
    first, second = path.read_text("utf-8").splitlines()[:2]
    assert first.startswith("# ")
    assert second.startswith(f"#   inferplan estimate -f examples/estimate/{path.name}")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_an_example_has_memory_and_speed(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--batch", "16", "--input", "800", "--output", "200"] if path.stem == "deployment" else []
    assert main(["estimate", "-f", str(path), "-o", "jsonl", *load]) == 0
    for line in capsys.readouterr().out.splitlines():
        found = json.loads(line)
        assert found["memory"]["kvCacheTokens"] > 0
        assert found["performance"]["itlMilliseconds"]["expected"] > 0
