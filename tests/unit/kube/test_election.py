"""Of several operators one acts."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.cluster import FakeCluster

from inferplan.kube.election import LEASE_NAME, Election, Elector, LostError, Terms, Timing
from inferplan.kube.errors import ConflictError, ForbiddenError, UnreachableError
from inferplan.kube.resources import LEASES

NAMESPACE = "inferplan-system"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Time:
    """A clock that moves when somebody sleeps, and what happens meanwhile."""

    cluster: FakeCluster
    seconds: float = 0.0
    skew: float = 0.0
    later: dict[float, Any] = field(default_factory=dict)

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        for moment in [moment for moment in self.later if moment <= self.seconds]:
            self.later.pop(moment)()
        if self.seconds > 600:
            raise AssertionError("ten minutes have passed")
        await asyncio.sleep(0)

    def elector(self, identity: str) -> Elector:
        timing = Timing(lambda: NOON + timedelta(seconds=self.seconds + self.skew), lambda: self.seconds, self.sleep)
        return Elector(self.cluster, NAMESPACE, Election(identity, Terms()), timing)

    def lease(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.cluster.one(LEASES, NAMESPACE, LEASE_NAME)["spec"]
        return spec

    def hold(self, holder: str, **spec: Any) -> None:
        """Somebody else writes the lease."""
        stamp = (NOON + timedelta(seconds=self.seconds)).isoformat()
        base = {"holderIdentity": holder, "leaseDurationSeconds": 15, "renewTime": stamp, "leaseTransitions": 3}
        meta = {"name": LEASE_NAME, "namespace": NAMESPACE}
        self.cluster.put({"kind": "Lease", "metadata": meta, "spec": {**base, **spec}})


@pytest.fixture
def time() -> Time:
    return Time(FakeCluster())


async def test_the_first_one_acts(time: Time) -> None:
    elector = time.elector("a")
    assert not elector.leads
    await elector.acquire()
    assert elector.leads
    assert time.seconds == 0.0
    lease = time.lease()
    assert (lease["holderIdentity"], lease["leaseDurationSeconds"], lease["leaseTransitions"]) == ("a", 15, 0)
    assert lease["acquireTime"] == lease["renewTime"] == "2026-01-01T12:00:00.000000Z"


async def test_another_waits_until_it_has_seen_no_renewal_for_fifteen_seconds(time: Time) -> None:
    time.hold("b")
    elector = time.elector("a")
    await elector.acquire()
    assert time.seconds == 16.0  # looks come every two seconds
    assert (time.lease()["holderIdentity"], time.lease()["leaseTransitions"]) == ("a", 4)


async def test_each_renewal_that_it_sees_begins_its_wait_anew(time: Time) -> None:
    time.hold("b")
    time.later = {10.0: lambda: time.hold("b")}
    await time.elector("a").acquire()
    assert time.seconds == 26.0


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
async def test_how_the_other_machines_clock_goes_does_not_matter(skew: float, time: Time) -> None:
    time.skew = skew
    time.hold("b")
    await time.elector("a").acquire()
    assert time.seconds == 16.0


@pytest.mark.parametrize(("told", "waits"), [(40, 40.0), (0, 16.0), ("soon", 16.0)])
async def test_a_lease_lasts_as_long_as_its_holder_says(told: Any, waits: float, time: Time) -> None:
    time.hold("b", leaseDurationSeconds=told)
    await time.elector("a").acquire()
    assert time.seconds == waits


async def test_one_that_was_given_back_is_taken_at_once(time: Time) -> None:
    first = time.elector("a")
    await first.acquire()
    await first.release()
    assert not first.leads
    assert time.lease()["holderIdentity"] == ""
    await time.elector("b").acquire()
    assert time.seconds == 0.0


async def test_what_was_never_held_is_not_given_back(time: Time) -> None:
    time.hold("b")
    await time.elector("a").release()
    assert time.lease()["holderIdentity"] == "b"


async def test_nor_what_another_took_meanwhile(time: Time) -> None:
    first = time.elector("a")
    await first.acquire()
    time.hold("b")
    await first.release()
    assert time.lease()["holderIdentity"] == "b"


async def test_an_api_server_that_is_gone_does_not_keep_it_from_ending(time: Time) -> None:
    first = time.elector("a")
    await first.acquire()
    time.cluster.broken[("get", "leases")] = UnreachableError("no route")
    await first.release()
    assert not first.leads


async def test_it_renews_every_two_seconds(time: Time) -> None:
    elector = time.elector("a")
    await elector.acquire()
    time.later = {100.0: lambda: time.hold("b")}
    with pytest.raises(LostError, match="was taken over by b"):
        await elector.renew()
    assert not elector.leads
    assert time.seconds == 100.0
    assert time.cluster.calls.count(("update", "leases")) == 49


async def test_it_stops_before_another_may_start(time: Time) -> None:
    elector, other = time.elector("a"), time.elector("b")
    await elector.acquire()
    time.cluster.broken[("update", "leases")] = UnreachableError("no route")
    with pytest.raises(LostError, match="could not be renewed for 10 s"):
        await elector.renew()
    assert time.seconds == 10.0  # and nobody else takes it before fifteen have passed
    time.cluster.broken.clear()
    time.seconds = 0.0
    await other.acquire()
    assert time.seconds == 16.0


async def test_what_it_may_do_ends_with_time_alone(time: Time) -> None:
    """A process that was stopped for a while finds itself without the lease before it does anything."""
    elector = time.elector("a")
    await elector.acquire()
    time.seconds += 9.9
    assert elector.leads
    time.seconds += 0.2
    assert not elector.leads
    with pytest.raises(LostError):
        await elector.renew()


async def test_a_lease_that_somebody_deleted_is_made_again(time: Time) -> None:
    elector = time.elector("a")
    await elector.acquire()
    time.later = {1.0: lambda: time.cluster.remove(LEASES, NAMESPACE, LEASE_NAME), 30.0: lambda: time.hold("b")}
    with pytest.raises(LostError):
        await elector.renew()
    assert time.seconds == 30.0


@pytest.mark.parametrize("error", [ConflictError("409"), ForbiddenError("403: leases"), UnreachableError("no route")])
async def test_what_cannot_be_had_is_tried_again(error: Any, time: Time, caplog: pytest.LogCaptureFixture) -> None:
    time.cluster.broken[("create", "leases")] = error
    time.later = {5.0: time.cluster.broken.clear}
    await time.elector("a").acquire()
    assert time.seconds == 6.0
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert bool(told) is not isinstance(error, ConflictError)


async def test_the_same_holder_is_named_once(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    time.hold("b")
    time.later = {4.0: lambda: time.hold("c")}
    await time.elector("a").acquire()
    told = [record.__dict__["holder"] for record in caplog.records if "stands by" in record.message]
    assert told == ["b", "c"]
