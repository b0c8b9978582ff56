"""How much of the machine others took meanwhile: a run that shares its cores with something else measures that too."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (1, 2, 3, 6, 7)
"""Fields of /proc/stat's first line that are work: user, nice, system, irq, softirq (proc(5))."""
_GROUP, _TIMES = 2, slice(11, 15)
"""Fields of /proc/PID/stat behind the name: process group; utime, stime, cutime, cstime (proc(5))."""


def _busy_seconds() -> float:
    """CPU time of everything since boot."""
    fields = Path("/proc/stat").read_text("utf-8").split("\n", 1)[0].split()
    return sum(int(fields[place]) for place in _BUSY) / _TICKS


def _own_seconds(group: int) -> float:
    """CPU time of this process and of a process group."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text("utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue  # ended meanwhile
        ticks += sum(map(int, fields[_TIMES])) if int(fields[_GROUP]) == group else 0
    return ticks / _TICKS + time.process_time()


@dataclass(frozen=True)
class Watch:
    """A look at the machine's cores from its making on.

    Attributes:
        group: process group of the engine, which with this process is no other.
    """

    group: int
    _began: tuple[float, float, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_began", self._now())

    def others(self) -> float:
        """Share of all cores' time that others took until now."""
        seconds, busy, own = (now - then for now, then in zip(self._now(), self._began, strict=True))
        return max(0.0, busy - own) / (seconds * (os.cpu_count() or 1))

    def _now(self) -> tuple[float, float, float]:
        return time.monotonic(), _busy_seconds(), _own_seconds(self.group)
