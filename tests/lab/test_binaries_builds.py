"""Builds of the lab's programs when something comes between: a second run, a kill, a slow compiler."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from inferplan_lab import binaries
from inferplan_lab.building import Builder
from inferplan_lab.cache import Cache, cache_of
from inferplan_lab.catalog import Build, Download, Program
from inferplan_lab.processes import Identity, wait_until

PATIENCE_SECONDS = 20
# `go version` at once; `go build` writes half a file, says so, waits for the gate, writes the rest.
FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo go version go9.9.9 linux/amd64; exit; fi
echo $$ >> {root}/builds
while [ "$1" != -o ]; do shift; done
printf '#!/bin/sh\\n' > "$2"
until [ -e {root}/gate ]; do sleep 0.02; done
echo 'echo tool 1.2.3' >> "$2"
chmod +x "$2"
"""
# A whole run in a process of its own, to be killed.
RUN = """
import sys
from test_binaries_builds import ensure
from pathlib import Path
print(ensure(Path(sys.argv[1]), []))
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine with a fake Go whose builds wait for the file `gate`."""
    (tmp_path / "bin").mkdir()
    go = tmp_path / "bin" / "go"
    go.write_text(FAKE_GO.format(root=tmp_path))
    go.chmod(0o755)
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.26.0\n")
    (tmp_path / "go.sum").write_text("")
    return tmp_path


def program(root: Path) -> Program:
    build = Build(root, "example.org/tool v1.2.3", "example.org/tool", (), "no time")
    return Program("tool", "1.2.3", ("--version",), Download("", ""), build)


def environment(root: Path) -> dict[str, str]:
    path = f"{root / 'bin'}:/usr/bin:/bin"
    return {"PATH": path, "XDG_CACHE_HOME": str(root / "cache"), "INFERPLAN_DOWNLOADS": "off"}


def ensure(root: Path, lines: list[str]) -> Path:
    catalog = {"tool": program(root)}
    return binaries.ensure(["tool"], lines.append, environment=environment(root), catalog=catalog)["tool"]


def builds(root: Path) -> list[int]:
    """The process ids of the builds so far."""
    path = root / "builds"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def hidden(root: Path) -> list[Path]:
    return list(cache_of(environment(root)).root.glob(".tool*"))


def test_two_runs_at_once_build_once_and_the_second_says_that_it_waits(root: Path) -> None:
    found: list[Path] = []
    lines: list[str] = []
    runs = [threading.Thread(target=lambda: found.append(ensure(root, lines))) for _ in range(2)]
    for run in runs:
        run.start()
    wait_until(lambda: any("waiting" in line for line in lines), PATIENCE_SECONDS, "the second run's word")
    (root / "gate").touch()
    for run in runs:
        run.join()
    assert len(builds(root)) == 1
    assert found[0] == found[1]


def test_a_killed_run_leaves_no_compiler_and_nothing_half_done(root: Path) -> None:
    place = os.pathsep.join([*sys.path, str(Path(__file__).parent)])
    run = subprocess.Popen([sys.executable, "-c", RUN, str(root)], env={**os.environ, "PYTHONPATH": place})
    wait_until(lambda: bool(builds(root)) and bool(hidden(root)), PATIENCE_SECONDS, "the build to begin")
    compiler = Identity.of(builds(root)[0], "go")
    run.send_signal(signal.SIGKILL)
    run.wait()
    wait_until(lambda: not compiler.is_alive(), PATIENCE_SECONDS, "the compiler's end")
    assert hidden(root), "the kill came too late to leave anything"

    (root / "gate").touch()
    path = ensure(root, [])
    assert subprocess.run([path], capture_output=True, text=True, check=True).stdout == "tool 1.2.3\n"
    assert len(builds(root)) == 2
    assert hidden(root) == []


def test_ctrl_c_in_a_build_ends_the_compiler_and_removes_its_folder(root: Path) -> None:
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if "…" in line and builds(root):
            raise KeyboardInterrupt

    cache = Cache(root / "cache")
    with pytest.raises(KeyboardInterrupt), cache.workspace("tool") as folder:
        Builder(cache, environment(root), report, progress_seconds=0.05).build(program(root), folder)
    assert not Identity.of(builds(root)[0], "go").is_alive()
    assert list(cache.root.iterdir()) == []


def test_a_long_build_says_how_long_it_has_taken_so_far(root: Path, tmp_path: Path) -> None:
    lines: list[str] = []

    def report(line: str) -> None:
        lines.append(line)
        if sum("…" in line for line in lines) >= 2:
            (root / "gate").touch()

    Builder(Cache(root / "cache"), environment(root), report, progress_seconds=0.05).build(program(root), tmp_path)
    assert lines[0] == "building tool from Go module example.org/tool v1.2.3 (took no time on 2 cores)"
    assert lines[1] == "building tool from Go module example.org/tool v1.2.3 … 0 s"
