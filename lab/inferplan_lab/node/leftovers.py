"""Find and kill every process that a node has started, also after the node itself died.

A process belongs to a state folder if its session is one that the node wrote down, or if its environment carries the
folder's mark. The session finds programs that overwrite their environment (as vLLM does to set its title), the mark
finds those that left the session. Both survive the node.

Run as a program (`python leftovers.py STATE MARK`), it is the node's guardian: it waits until its standard input
closes, which happens when the node ends in whatever way, and then kills what is left. It uses the standard library
only, so that it starts fast and stays small.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

MARK_VARIABLE = "INFERPLAN_LAB_NODE"
_START_TICKS_FIELD = 19  # `starttime`, field 22 of /proc/PID/stat, counted from the state after the name
_SESSION_FIELD = 3  # `session`, field 6
_ROUNDS = 50  # of 20 ms: a killed process can have forked just before


def start_ticks(pid: int) -> int | None:
    """Return when the process started, in clock ticks since boot; None when it is gone or a zombie."""
    fields = _stat(pid)
    return None if fields is None else int(fields[_START_TICKS_FIELD])


def write_down(state: Path, pid: int) -> None:
    """Remember that `pid` leads a session of this node."""
    folder = state / "sessions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(pid)).write_text(f"{_boot_id()} {start_ticks(pid) or 0}")


def forget(state: Path, pid: int) -> None:
    """Forget a session whose processes are all dead."""
    (state / "sessions" / str(pid)).unlink(missing_ok=True)


def session_members(session: int) -> tuple[int, ...]:
    """Return the living processes of a session."""
    return tuple(pid for pid in _processes() if _session(pid) == session)


def kill_session(session: int) -> None:
    """Kill every process of a session."""
    for pid in session_members(session):
        _kill(pid)


def belonging(state: Path, mark: str) -> set[int]:
    """Return the living processes that the node of this state folder has started."""
    sessions = _known_sessions(state)
    line = f"{MARK_VARIABLE}={mark}".encode()
    own = os.getpid()
    return {pid for pid in _processes() if pid != own and (_session(pid) in sessions or line in _environment(pid))}


def kill_all(state: Path, mark: str) -> int:
    """Kill what belongs to the state folder and return how many processes that were."""
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = belonging(state, mark)
        if not found:
            break
        for pid in found:
            _kill(pid)
        killed |= found
        time.sleep(0.02)
    for path in (state / "sessions").glob("*"):
        path.unlink(missing_ok=True)
    return len(killed)


def _known_sessions(state: Path) -> set[int]:
    """Return the sessions that were written down, without numbers that another process has by now."""
    known = set()
    boot = _boot_id()
    for path in (state / "sessions").glob("*"):
        with contextlib.suppress(OSError, ValueError):
            written_boot, ticks = path.read_text().split()
            leader = start_ticks(int(path.name))
            # A number can't be given again while its session has members, so a dead leader's is still ours.
            if written_boot == boot and leader in {None, int(ticks)}:
                known.add(int(path.name))
    return known


def _processes() -> Iterator[int]:
    for name in os.listdir("/proc"):  # noqa: PTH208 - plain names; thousands of Path objects would be wasted
        if name.isdigit() and _stat(int(name)) is not None:
            yield int(name)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the state on; None for a process that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if not fields or fields[0] in {"Z", "X"} else fields


def _session(pid: int) -> int:
    fields = _stat(pid)
    return -1 if fields is None else int(fields[_SESSION_FIELD])


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    kill_all(Path(sys.argv[1]), sys.argv[2])
