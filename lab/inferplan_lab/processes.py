"""Child processes of the lab: a log file, a pid file, and a stop that leaves nothing behind.

Two modes. An *attached* process dies when the thread that started it ends, however it ends: tests use
it, so that a killed test run leaves no API server. A *detached* one outlives the command that started it
and is stopped by a later command through its pid file: `make demo` uses it. Linux only: identity is read
from /proc, and the attached mode is the kernel's parent-death signal.
"""

import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

POLL_SECONDS = 0.05
KILL_SECONDS = 5  # how long the kernel may take to end a killed process
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# Below net.ipv4.ip_local_port_range (32768-60999), so that no outgoing connection can take the port first.
PORT_RANGE = range(20_000, 32_000)


class AlreadyRunningError(RuntimeError):
    """The process of this pid file is running already."""


@dataclass(frozen=True)
class Identity:
    """Which process a pid file means: a pid alone may belong to another program by now.

    Attributes:
        pid: The process id; it is also its process group.
        start_ticks: Field 22 of /proc/PID/stat, clock ticks between boot and the process's start.
        program: The program's path as it was started, for people who read the pid file.
    """

    pid: int
    start_ticks: int
    program: str

    @classmethod
    def of(cls, pid: int, program: str) -> Self:
        """Return the identity of a process that exists (a zombie included)."""
        stat = _stat(pid)
        return cls(pid=pid, start_ticks=int(stat[19]) if stat else -1, program=program)

    def is_alive(self) -> bool:
        """Tell whether exactly this process exists and is more than a zombie."""
        stat = _stat(self.pid)
        return stat is not None and stat[0] not in {"Z", "X"} and int(stat[19]) == self.start_ticks


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat from the third (the state) on; None for no such process."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return line.rpartition(")")[2].split()  # the second field, the name, may hold spaces and parentheses


class Process:
    """One program that the lab runs.

    Args:
        name: The stem of its log and pid files.
        folder: Where these files go; created on start.
        detached: Whether it outlives the command that starts it.
    """

    def __init__(self, name: str, folder: Path, *, detached: bool = False) -> None:
        self.name = name
        self.detached = detached
        self.log_path = folder / f"{name}.log"
        self._pid_path = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None
        self._started: Identity | None = None  # what we started, should the pid file be deleted

    def start(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        """Start the program; its output is appended to the log file.

        Args:
            argv: The program and its arguments.
            env: The whole environment of the program; None inherits ours.
            cwd: Its working folder; None inherits ours.

        Raises:
            AlreadyRunningError: The one of the pid file runs.
            OSError: The program cannot be started.
        """
        if self.is_running():
            raise AlreadyRunningError(f"{self.name}: runs already, with pid {self.pid} ({self._pid_path})")
        self._pid_path.parent.mkdir(parents=True, exist_ok=True)
        hook = None if self.detached else dying_with_parent()
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                argv,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone: we stop the parts in their order
                preexec_fn=hook,  # noqa: PLW1509  # one system call, no lock
            )
        self._started = Identity.of(self._child.pid, argv[0])
        _write_whole(self._pid_path, json.dumps(asdict(self._started)) + "\n")

    @property
    def pid(self) -> int | None:
        """The pid of the running process; None when it does not run."""
        identity = self._identity()
        return identity.pid if identity and identity.is_alive() else None

    @property
    def exit_code(self) -> int | None:
        """How it ended (negative: by that signal); None while it runs or when another command started it."""
        return self._child.poll() if self._child else None

    def is_running(self) -> bool:
        """Tell whether the process of the pid file runs, whoever started it."""
        return self.pid is not None

    def log_tail(self, lines: int = 15) -> str:
        """Return the last lines of the log, or a note that it is empty."""
        with suppress(FileNotFoundError):
            text = self.log_path.read_text(encoding="utf-8", errors="replace")
            return "\n".join(text.splitlines()[-lines:]) or f"({self.log_path} is empty)"
        return f"({self.log_path} does not exist)"

    def stop(self, grace_seconds: float = 10) -> None:
        """End the process and its children: TERM, and KILL when the grace is over. Fine when it is gone."""
        identity = self._identity()
        if identity and identity.is_alive():
            _signal_group(identity, signal.SIGTERM)
            _gone_within(identity, grace_seconds)
            _signal_group(identity, signal.SIGKILL)  # also for children that its own end left behind
            _gone_within(identity, KILL_SECONDS)
        if self._child:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(KILL_SECONDS)
        self._pid_path.unlink(missing_ok=True)

    def _identity(self) -> Identity | None:
        """Return what the pid file says, else what we started ourselves; None for neither."""
        try:
            return Identity(**json.loads(self._pid_path.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return self._started


def dying_with_parent() -> Callable[[], None]:
    """Return a pre-exec hook after which the kernel kills the child when the starting thread ends."""
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: the child must not import or allocate
    parent = os.getpid()

    def hook() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died between the fork and the line above
            os._exit(1)

    return hook


def free_port(address: str = "127.0.0.1") -> int:
    """Return a TCP port that nothing listens on now.

    Raises:
        RuntimeError: No free one was found in 100 tries.
    """
    for _ in range(100):
        port = secrets.choice(PORT_RANGE)
        if is_free(address, port):
            return port
    raise RuntimeError(f"no free port at {address} in {PORT_RANGE.start}-{PORT_RANGE.stop - 1}")


def is_free(address: str, port: int) -> bool:
    """Tell whether a server could listen on this port now."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT does not count
        try:
            candidate.bind((address, port))
        except OSError:
            return False
    return True


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll until the condition holds.

    Raises:
        TimeoutError: It did not within the seconds; the message names what was waited for.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(POLL_SECONDS)


def _gone_within(identity: Identity, seconds: float) -> None:
    with suppress(TimeoutError):
        wait_until(lambda: not identity.is_alive(), seconds, "its end")


def _signal_group(identity: Identity, number: signal.Signals) -> None:
    """Signal the process's group (its session's leader is itself), so that children end too."""
    with suppress(ProcessLookupError):
        os.killpg(identity.pid, number)


def _write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader sees all of it or the old one."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
