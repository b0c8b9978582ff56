"""Processes of the lab: what ends with whom, and what a pid file may kill."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inferplan_lab.processes import AlreadyRunningError, Identity, Process, free_port, is_free, wait_until

PATIENCE_SECONDS = 20
SLEEP = ("/bin/sleep", "60")
# Starts a process in a Python of its own and says its pid; then waits for the end of its stdin.
STARTER = """
import sys
from pathlib import Path
from inferplan_lab.processes import Process
process = Process("part", Path(sys.argv[1]), detached=sys.argv[2] == "detached")
process.start(("/bin/sleep", "60"))
print(process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def part(tmp_path: Path) -> Iterator[Process]:
    process = Process("part", tmp_path)
    yield process
    process.stop(grace_seconds=0)


def started_elsewhere(folder: Path, mode: str) -> tuple["subprocess.Popen[str]", Identity]:
    """Start a process from another Python; returns that Python and the process."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder), mode],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout is not None
    return starter, Identity.of(int(starter.stdout.readline()), "part")


def end(starter: "subprocess.Popen[str]") -> None:
    starter.kill()
    starter.communicate()


def test_output_goes_to_the_log_and_the_exit_code_is_known(part: Process) -> None:
    part.start(("/bin/sh", "-c", "echo one; echo two >&2; exit 3"))
    wait_until(lambda: part.exit_code is not None, PATIENCE_SECONDS, "the end")
    assert part.exit_code == 3
    assert part.log_tail(lines=1) == "two"
    assert not part.is_running()


def test_a_second_start_is_refused_while_the_first_runs(part: Process, tmp_path: Path) -> None:
    part.start(SLEEP)
    with pytest.raises(AlreadyRunningError, match=f"part: runs already, with pid {part.pid}"):
        Process("part", tmp_path).start(SLEEP)


def test_the_environment_and_the_folder_are_what_was_given(part: Process, tmp_path: Path) -> None:
    part.start(("/bin/sh", "-c", "echo $A in $(pwd)"), env={"A": "b"}, cwd=tmp_path)
    wait_until(lambda: part.exit_code is not None, PATIENCE_SECONDS, "the end")
    assert part.log_tail() == f"b in {tmp_path}"


def test_a_stop_ends_the_children_too(part: Process, tmp_path: Path) -> None:
    part.start(("/bin/sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"))
    wait_until(lambda: bool(_text(tmp_path / "child")), PATIENCE_SECONDS, "the child")
    child = Identity.of(int(_text(tmp_path / "child")), "sleep")
    part.stop()
    wait_until(lambda: not child.is_alive(), PATIENCE_SECONDS, "the child's end")
    assert not part.is_running()


def test_a_process_that_ignores_the_request_is_killed_after_the_grace(part: Process) -> None:
    part.start(("/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"))
    wait_until(lambda: part.log_tail() == "ready", PATIENCE_SECONDS, "its trap")
    part.stop(grace_seconds=0.1)
    assert part.exit_code == -signal.SIGKILL


def test_a_stop_without_the_pid_file_still_ends_what_was_started_here(part: Process, tmp_path: Path) -> None:
    part.start(SLEEP)
    (tmp_path / "part.pid").unlink()
    part.stop()
    assert part.exit_code == -signal.SIGTERM


def test_an_attached_process_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter, identity = started_elsewhere(tmp_path, "attached")
    assert identity.is_alive()
    end(starter)
    wait_until(lambda: not identity.is_alive(), PATIENCE_SECONDS, "its end")


def test_a_detached_process_outlives_its_starter_and_another_one_stops_it(tmp_path: Path) -> None:
    starter, identity = started_elsewhere(tmp_path, "detached")
    end(starter)
    later = Process("part", tmp_path, detached=True)
    assert later.pid == identity.pid
    later.stop()
    assert not identity.is_alive()
    assert not (tmp_path / "part.pid").exists()


def test_a_pid_that_now_belongs_to_another_program_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, start_new_session=True) as other:
        now = Identity.of(other.pid, "other")
        old = {"pid": now.pid, "start_ticks": now.start_ticks - 1, "program": "part"}
        (tmp_path / "part.pid").write_text(json.dumps(old))
        part = Process("part", tmp_path)
        assert not part.is_running()
        part.stop()
        assert other.poll() is None
        other.kill()


def test_a_half_written_pid_file_means_not_running(tmp_path: Path) -> None:
    (tmp_path / "part.pid").write_text('{"pid": 1')
    assert not Process("part", tmp_path).is_running()


def test_a_taken_port_is_not_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not is_free("127.0.0.1", taken.getsockname()[1])
    assert is_free("127.0.0.1", free_port())


def test_waiting_in_vain_names_what_was_waited_for() -> None:
    with pytest.raises(TimeoutError, match=r"waited 0\.01 s for the end of the world"):
        wait_until(lambda: False, 0.01, "the end of the world")


def _text(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""
