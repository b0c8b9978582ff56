"""Operators one after the other, each a process of its own that has read its modules already.

A process reads them once and forks for each life: two seconds of importing, in which an operator does nothing that a
kill could disturb, are not spent again for each of hundreds.

Run as a program, it is that process: for each port on stdin it forks an operator and writes its process id.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from tests.support.ground import Ground
from tests.support.lab import ROOT
from tests.support.operator_process import Operator

from inferplan_lab.processes import Process, dying_with_parent, free_port

_OK = 200


class Lives:
    """One operator at a time.

    Args:
        ground: Where it works.
        folder: For its log.
        credentials: Its kubeconfig.
        user: Its name on the API server.
    """

    def __init__(self, ground: Ground, folder: Path, credentials: Path, user: str) -> None:
        self.user = user
        self.log = Process("operator", folder)
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("operator", "lab", ".")),
            "KUBECONFIG": str(credentials),
            "INFERPLAN_LISTEN_ADDRESS": "127.0.0.1",
            "INFERPLAN_LEADER_ELECTION": "false",
            "OPENBLAS_NUM_THREADS": "1",  # no threads before a fork
            **ground.environment,
        }
        self._forker: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.log.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log.log_path.open("ab") as log:
            self._forker = subprocess.Popen(
                (sys.executable, "-m", "benchmarks.kills.lives"),
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._forker is not None:
            with self._forker:
                self._forker.terminate()

    @contextmanager
    def one(self) -> Iterator["Life"]:
        """A life that ends with the block, by a kill at the latest."""
        life = self._born()
        try:
            yield life
        finally:
            life.kill()

    def _born(self) -> "Life":
        port = free_port()
        if self._forker is None or self._forker.stdin is None or self._forker.stdout is None:
            raise AssertionError("it was not entered")
        self._forker.stdin.write(f"{port}\n")
        pid = int(self._forker.stdout.readline())
        return Life(pid, Operator(self.log, f"http://127.0.0.1:{port}", self.user))


class Life:
    """One operator.

    Args:
        pid: Its process.
        operator: How it is asked.
    """

    def __init__(self, pid: int, operator: Operator) -> None:
        self._pid = pid
        self._operator = operator

    @property
    def ready(self) -> bool:
        """Whether it says that it is."""
        return self._operator.status("/readyz") == _OK

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        try:
            while True:
                os.kill(self._pid, signal.SIGKILL)
                time.sleep(0.01)
        except ProcessLookupError:
            return


def main() -> None:
    """Forks an operator for each port on stdin."""
    from inferplan.cli import main as inferplan  # noqa: PLC0415  only this process needs it

    _read_modules()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    dies_with_us = dying_with_parent()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _live(line.strip(), dies_with_us, inferplan)
        print(pid, flush=True)


def _read_modules() -> None:
    """Those of the operator."""
    import inferplan.handlers.runner  # noqa: F401, PLC0415


def _live(port: str, dies_with_parent: Callable[[], None], inferplan: Callable[[list[str]], int]) -> None:
    dies_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ["INFERPLAN_LISTEN_PORT"] = port
    os._exit(inferplan(["operator"]))


if __name__ == "__main__":
    main()
