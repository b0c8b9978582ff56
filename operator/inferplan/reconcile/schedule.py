"""When each instance is looked at next. Time and chance come in as arguments; no asyncio here.

One heap for all instances. A key is in it once. A settled key comes again at its own place in the resync
interval, which spreads all keys evenly; a failed one comes again after a growing, jittered pause.
"""

import heapq
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from inferplan.reconcile.instance import Key

BACKOFF_SECONDS = 5.0
AGAIN_MIN_SECONDS = 0.2
"""A key that asks for itself at once: others get their turn, and what was written is there."""

_DOUBLINGS_MAX = 20


@dataclass(frozen=True)
class Pace:
    """How often keys come again.

    Attributes:
        resync_seconds: Every settled key comes once in this time.
        uniform: Random number between two bounds.
    """

    resync_seconds: float
    uniform: Callable[[float, float], float]

    def resync_at(self, key: Key, now: float) -> float:
        """The key's next place in the interval: the same in every interval, evenly spread over keys."""
        phase = zlib.crc32("/".join(key).encode()) / 2**32 * self.resync_seconds
        rounds = math.floor((now - phase) / self.resync_seconds) + 1
        return phase + rounds * self.resync_seconds

    def backoff(self, failures: int) -> float:
        """5 s, doubling with each failure up to the resync interval, times 1 to 1.5."""
        growing = BACKOFF_SECONDS * 2.0 ** min(failures - 1, _DOUBLINGS_MAX)
        return max(BACKOFF_SECONDS, min(self.resync_seconds, growing)) * self.uniform(1.0, 1.5)


class Schedule:
    """The keyed queue: each key waits at most once and runs at most once at a time.

    Args:
        pace: When keys come again.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._due: dict[Key, float] = {}
        self._heap: list[tuple[float, Key]] = []
        self._running: dict[Key, float] = {}
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}

    def add(self, key: Key, now: float) -> None:
        """The key is due now; one that runs comes again right after."""
        if key in self._running:
            self._again.add(key)
        else:
            self._plan(key, min(now, self._due.get(key, now)))

    def know(self, key: Key, now: float) -> None:
        """As `add`, but only for a key that is not known yet."""
        if key not in self._due and key not in self._running:
            self.add(key, now)

    def take(self, now: float) -> Key | None:
        """The key that is due longest; None when none is. It runs until `done`."""
        while self._heap and self._heap[0][0] <= now:
            due, key = heapq.heappop(self._heap)
            if self._due.get(key) == due:
                del self._due[key]
                self._running[key] = due
                return key
        return None

    def done(self, key: Key, now: float, *, settled: bool, again_seconds: float | None = None) -> None:
        """The key has run: it comes again at its place in the interval, after a pause, or sooner where it asks."""
        self._running.pop(key, None)
        self._failures[key] = 0 if settled else self._failures.get(key, 0) + 1
        if key in self._again:
            self._again.discard(key)
            self._plan(key, now)
            return
        due = self._pace.resync_at(key, now) if settled else now + self._pace.backoff(self._failures[key])
        self._plan(key, due if again_seconds is None else min(due, now + max(AGAIN_MIN_SECONDS, again_seconds)))

    def gone(self, key: Key, now: float) -> None:
        """The key has run and its object does not exist: forgotten, unless it was added meanwhile."""
        self._running.pop(key, None)
        self._failures.pop(key, None)
        if key in self._again:
            self._again.discard(key)
            self._plan(key, now)

    def next_due(self) -> float | None:
        """When the next key is due; None when none waits."""
        while self._heap and self._due.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def depth(self, now: float) -> int:
        """Keys that are due and do not run yet."""
        return sum(due <= now for due in self._due.values())

    def oldest_age(self, now: float) -> float:
        """Seconds since the longest due key, waiting or running, became due."""
        due = [*self._due.values(), *self._running.values()]
        return max(0.0, now - min(due)) if due else 0.0

    @property
    def namespaces(self) -> frozenset[str]:
        """Namespaces of the keys that are known."""
        return frozenset(key.namespace for key in (*self._due, *self._running))

    def __len__(self) -> int:
        """Keys that are known."""
        return len(self._due) + len(self._running)

    def _plan(self, key: Key, due: float) -> None:
        if self._due.get(key) != due:
            self._due[key] = due
            heapq.heappush(self._heap, (due, key))
