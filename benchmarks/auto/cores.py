"""How much of the machine processes took that this one did not start."""

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (1, 2, 3, 6, 7)
"""Fields of /proc/stat's first line that are work: user, nice, system, irq, softirq (proc(5))."""
_PARENT, _TIMES = 1, slice(11, 13)
"""Fields of /proc/PID/stat behind the name: parent; utime, stime (proc(5))."""


class Others:
    """A look at the machine's cores from its making on.

    What this process started is looked at again and again, as what has ended cannot be asked any more; of what lives
    shorter than that, its parent's count of its children tells where that is this process.
    """

    def __init__(self) -> None:
        self._began, self._busy, self._children = time.monotonic(), _busy_seconds(), _children_seconds()
        self._seen = _own_ticks()
        self._ticks = 0

    def look(self) -> None:
        """Counts what was used since the last look."""
        now = _own_ticks()
        self._ticks += sum(ticks - self._seen.get(pid, 0) for pid, ticks in now.items())
        self._seen = now

    def share(self) -> float:
        """Share of all cores' time that others took until now."""
        self.look()
        own = self._ticks / _TICKS + _children_seconds() - self._children
        seconds = time.monotonic() - self._began
        return max(0.0, _busy_seconds() - self._busy - own) / (seconds * (os.cpu_count() or 1))


def _busy_seconds() -> float:
    fields = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()
    return sum(int(fields[place]) for place in _BUSY) / _TICKS


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _own_ticks() -> dict[int, int]:
    """CPU time of this process, of what it started, and of what that started, by process."""
    processes = dict(_processes())
    own, found = {os.getpid()}, 0
    while len(own) > found:
        found = len(own)
        own |= {pid for pid, (parent, _) in processes.items() if parent in own}
    return {pid: processes[pid][1] for pid in own if pid in processes}


def _processes() -> list[tuple[int, tuple[int, int]]]:
    """Of each process its parent and its ticks."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended meanwhile
        found.append((int(stat.parent.name), (int(fields[_PARENT]), sum(map(int, fields[_TIMES])))))
    return found
