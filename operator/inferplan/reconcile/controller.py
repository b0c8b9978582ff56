"""Runs the schedule: a few workers, one scheduler, and a full list now and then."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from inferplan.kube.errors import KubeError
from inferplan.reconcile.instance import Key
from inferplan.reconcile.schedule import Pace, Schedule
from inferplan.telemetry import Telemetry

LOOK_SECONDS_MAX = 120.0
"""A look at one instance takes a few requests of at most 30 s each; one that hangs must not hold a worker."""

logger = logging.getLogger(__name__)


class Result(Enum):
    """How one look at an instance ended."""

    SETTLED = "settled"
    """Nothing more to do until something changes."""
    WAITING = "waiting"
    """Something is missing; worth another look soon."""
    GONE = "gone"
    """The instance does not exist."""


@dataclass(frozen=True)
class Looked:
    """What one look gave for the queue.

    Attributes:
        result: How it ended.
        again_seconds: When to look again at the latest; None: at the instance's own pace.
    """

    result: Result
    again_seconds: float | None = None


class Controller:
    """The operator's work queue.

    Args:
        reconcile: One look at an instance.
        list_keys: All instances there are.
        pace: When keys come again.
        telemetry: Where counts go.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        reconcile: Callable[[Key], Awaitable[Looked]],
        list_keys: Callable[[], Awaitable[tuple[Key, ...]]],
        pace: Pace,
        telemetry: Telemetry,
        clock: Callable[[], float],
    ) -> None:
        self._reconcile = reconcile
        self._list_keys = list_keys
        self._resync_seconds = pace.resync_seconds
        self._schedule = Schedule(pace)
        self._telemetry = telemetry
        self._clock = clock
        self._changed = asyncio.Event()
        self._ready = False

    @property
    def ready(self) -> bool:
        """Whether the first full list is done."""
        return self._ready

    @property
    def oldest_age_seconds(self) -> float:
        """Time since the longest due key became due."""
        return self._schedule.oldest_age(self._clock())

    @property
    def namespaces(self) -> frozenset[str]:
        """Namespaces of all instances that are known."""
        return self._schedule.namespaces

    def add(self, key: Key) -> None:
        """The instance is to be looked at now."""
        self._schedule.add(key, self._clock())
        self._changed.set()

    async def prime(self) -> None:
        """Adds every instance there is.

        Raises:
            KubeError: They cannot be listed.
        """
        for key in await self._list_keys():
            self._schedule.know(key, self._clock())
        self._ready = True
        self._changed.set()

    async def run(self, concurrency: int) -> None:
        """Works until it is cancelled."""
        slots = asyncio.Semaphore(concurrency)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relist())
            while True:
                await slots.acquire()
                key = await self._next()
                group.create_task(self._work(key, slots))

    def refresh_gauges(self) -> None:
        """Puts the queue's state into the gauges, just before they are read."""
        now = self._clock()
        self._telemetry.queue_depth.set(self._schedule.depth(now))
        self._telemetry.oldest_key_age_seconds.set(self._schedule.oldest_age(now))
        self._telemetry.instances.set(len(self._schedule))

    async def _next(self) -> Key:
        """The next due key; sleeps until there is one."""
        while True:
            self._changed.clear()
            key = self._schedule.take(self._clock())
            if key is not None:
                return key
            due = self._schedule.next_due()
            pause = None if due is None else max(0.0, due - self._clock())
            # Not wait_for: until Python 3.12 it swallows a cancellation that comes together with the change.
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    async def _work(self, key: Key, slots: asyncio.Semaphore) -> None:
        started = self._clock()
        looked = await self._guarded(key)
        result = looked.result if looked is not None else None
        now = self._clock()
        self._telemetry.reconcile_seconds.observe(now - started)
        self._telemetry.reconciles.labels(result.value if result is not None else "error").inc()
        if result is Result.GONE:
            self._schedule.gone(key, now)
        else:
            again = looked.again_seconds if looked is not None else None
            self._schedule.done(key, now, settled=result is Result.SETTLED, again_seconds=again)
        self._changed.set()
        slots.release()

    async def _guarded(self, key: Key) -> Looked | None:
        """What it gave, None for an error: one instance's trouble stays its own."""
        place = {"namespace": key.namespace, "instance": key.name}
        try:
            async with asyncio.timeout(LOOK_SECONDS_MAX):
                return await self._reconcile(key)
        except KubeError as error:
            logger.warning("the API server: %s", error, extra=place)
        except TimeoutError:
            logger.warning("a look took longer than %.0f s and was given up", LOOK_SECONDS_MAX, extra=place)
        except Exception:
            logger.exception("a look failed; this is a bug in InferPlan", extra=place)
        return None

    async def _relist(self) -> None:
        """Every interval, finds instances that no watch told of."""
        while True:
            await asyncio.sleep(self._resync_seconds)
            try:
                await self.prime()
            except KubeError as error:
                logger.warning("the list of all instances: %s", error)
