"""How much of the machine processes took that this one did not start."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (1, 2, 3, 6, 7)
"""Fields of /proc/stat's first line that are work: user, nice, system, irq, softirq (proc(5))."""
_PARENT, _TIMES = 1, slice(11, 15)
"""Fields of /proc/PID/stat behind the name: parent; utime, stime, cutime, cstime (proc(5))."""


@dataclass(frozen=True)
class Others:
    """A look at the machine's cores from its making on."""

    _began: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_began", _now())

    def share(self) -> float:
        """Share of all cores' time that others took until now."""
        seconds, busy, own = (now - then for now, then in zip(_now(), self._began, strict=True))
        return max(0.0, busy - own) / (seconds * (os.cpu_count() or 1))


def _now() -> tuple[float, float, float]:
    fields = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()
    return time.monotonic(), sum(int(fields[place]) for place in _BUSY) / _TICKS, _own_seconds()


def _own_seconds() -> float:
    """CPU time of this process, of what it started, and of what that started, as far as it is still there."""
    processes = dict(_processes())
    own, found = {os.getpid()}, 0
    while len(own) > found:
        found = len(own)
        own |= {pid for pid, (parent, _) in processes.items() if parent in own}
    return sum(processes[pid][1] for pid in own if pid in processes) / _TICKS


def _processes() -> list[tuple[int, tuple[int, int]]]:
    """Of each process its parent and its ticks, those of children that have ended included."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended meanwhile
        found.append((int(stat.parent.name), (int(fields[_PARENT]), sum(map(int, fields[_TIMES])))))
    return found
