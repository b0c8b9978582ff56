"""The workers around the queue."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from inferplan.kube.errors import UnreachableError
from inferplan.reconcile.controller import Controller, Looked, Result
from inferplan.reconcile.instance import Key
from inferplan.reconcile.schedule import Pace
from inferplan.telemetry import Telemetry

KEYS = tuple(Key("ns", f"i{number}") for number in range(20))


class Rig:
    """A controller whose looks are recorded."""

    def __init__(self, look: Callable[[Key], Awaitable[Looked]], keys: tuple[Key, ...] = KEYS) -> None:
        self.telemetry = Telemetry()

        async def list_keys() -> tuple[Key, ...]:
            return keys

        pace = Pace(3600.0, lambda low, _high: low)
        self.controller = Controller(look, list_keys, pace, self.telemetry, asyncio.get_running_loop().time)

    async def until(self, done: asyncio.Event, concurrency: int = 8) -> None:
        await self.controller.prime()
        work = asyncio.create_task(self.controller.run(concurrency))
        waits = asyncio.create_task(done.wait())
        await asyncio.wait({work, waits}, timeout=1.5, return_when=asyncio.FIRST_COMPLETED)
        assert done.is_set()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    def count(self, result: str) -> float | None:
        return self.telemetry.registry.get_sample_value("inferplan_reconciles_total", {"result": result})


async def test_every_listed_instance_is_looked_at_with_bounded_concurrency() -> None:
    seen: list[Key] = []
    done, busy, most = asyncio.Event(), 0, 0

    async def look(key: Key) -> Looked:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        seen.append(key)
        if len(seen) == len(KEYS):
            done.set()
        return Looked(Result.SETTLED)

    rig = Rig(look)
    assert not rig.controller.ready
    await rig.until(done, concurrency=3)
    assert rig.controller.ready
    assert sorted(seen) == sorted(KEYS)
    assert most == 3


@pytest.mark.parametrize("trouble", [UnreachableError("down"), ValueError("a bug")])
async def test_one_instances_trouble_stays_its_own(trouble: Exception) -> None:
    seen: set[Key] = set()
    done = asyncio.Event()

    async def look(key: Key) -> Looked:
        seen.add(key)
        if len(seen) == len(KEYS):
            done.set()
        if key == KEYS[0]:
            raise trouble
        return Looked(Result.SETTLED)

    rig = Rig(look)
    await rig.until(done)
    assert seen == set(KEYS)
    assert rig.count("error") == 1


async def test_a_change_during_a_look_gives_another_look() -> None:
    looks = 0
    done = asyncio.Event()

    async def look(key: Key) -> Looked:
        nonlocal looks
        looks += 1
        if looks == 1:
            rig.controller.add(key)
        else:
            done.set()
        return Looked(Result.SETTLED)

    rig = Rig(look, KEYS[:1])
    await rig.until(done)
    assert looks == 2


async def test_gauges_show_the_queue() -> None:
    async def look(_: Key) -> Looked:
        return Looked(Result.SETTLED)

    rig = Rig(look)
    await rig.controller.prime()
    rig.controller.refresh_gauges()
    assert rig.telemetry.registry.get_sample_value("inferplan_instances") == len(KEYS)
    assert rig.telemetry.registry.get_sample_value("inferplan_queue_depth") == len(KEYS)


async def test_a_stop_in_the_moment_of_a_change_is_not_lost() -> None:
    """Python 3.11's `asyncio.wait_for` swallows a cancellation that comes together with what it waits for."""

    async def look(_: Key) -> Looked:
        return Looked(Result.SETTLED)

    rig = Rig(look, keys=KEYS[:1])
    await rig.controller.prime()
    work = asyncio.create_task(rig.controller.run(1))
    await asyncio.sleep(0.05)  # one look; the instance comes again in an hour, and until then it waits for a change
    assert rig.count("settled") == 1
    rig.controller.add(KEYS[0])
    work.cancel()
    await asyncio.wait({work}, timeout=0.5)
    assert work.cancelled()
