"""Of several operators one acts: whoever holds a Lease, by client-go's rules (tools/leaderelection).

No two machines' clocks are compared. A lease runs out for others when they have seen it unchanged for its whole
duration, by their own clock; its holder gives it up sooner, counted from before it asked for the last renewal.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from inferplan.kube.errors import ConflictError, KubeError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import LEASES, Document

LEASE_NAME = "inferplan-operator"

logger = logging.getLogger(__name__)


class LostError(RuntimeError):
    """The lease was not renewed in time, or somebody else has it; one line for people."""


@dataclass(frozen=True)
class Terms:
    """How long what lasts; client-go's defaults.

    Attributes:
        lease_seconds: Others take a lease over that they saw unchanged for so long.
        renew_seconds: The holder stops acting when it could not renew it for so long.
        retry_seconds: Pause between two tries to take or to renew it.
    """

    lease_seconds: float = 15.0
    renew_seconds: float = 10.0
    retry_seconds: float = 2.0


@dataclass(frozen=True)
class Bid:
    """What one look at the lease comes to.

    Attributes:
        spec: What to write; None where somebody else holds it.
        holder: Who holds it.
    """

    spec: Mapping[str, Any] | None
    holder: str


class Election:
    """What one candidate knows: who holds the lease, since when it has seen no change, until when it may act itself.

    Args:
        identity: Its own name, unlike every other's.
        terms: How long what lasts.
    """

    def __init__(self, identity: str, terms: Terms) -> None:
        self.identity = identity
        self.terms = terms
        self._seen: tuple[object, ...] | None = None
        self._seen_at = 0.0
        self._renewed_at: float | None = None

    def bid(self, lease: Mapping[str, Any] | None, now: datetime, monotonic: float) -> Bid:
        """What follows from the lease as it is stored.

        Args:
            lease: Its spec; None where there is no lease.
            now: Present time, for people who read the lease.
            monotonic: Seconds of this machine.
        """
        held = lease or {}
        holder = str(held.get("holderIdentity") or "")
        record = (holder, held.get("renewTime"), held.get("leaseTransitions"))
        if record != self._seen:
            self._seen, self._seen_at = record, monotonic
        if holder not in {"", self.identity} and monotonic < self._seen_at + self._duration(held):
            return Bid(None, holder)
        return Bid(self._held(held, holder, now), self.identity)

    def renewed(self, asked_at: float) -> None:
        """A write that was asked for at this time, monotonic, went through."""
        self._renewed_at = asked_at

    def lost(self) -> None:
        """Somebody else has it, or it was given back."""
        self._renewed_at = None

    def seconds_left(self, monotonic: float) -> float:
        """How long it may still act; 0 where it may not."""
        if self._renewed_at is None:
            return 0.0
        return max(0.0, self._renewed_at + self.terms.renew_seconds - monotonic)

    def released(self, lease: Mapping[str, Any]) -> Mapping[str, Any]:
        """The lease given back: the next candidate need not wait."""
        return {**lease, "holderIdentity": "", "leaseDurationSeconds": 1}

    def _duration(self, held: Mapping[str, Any]) -> float:
        """What its holder goes by, which may be another version."""
        told = held.get("leaseDurationSeconds")
        return float(told) if isinstance(told, int) and told > 0 else self.terms.lease_seconds

    def _held(self, held: Mapping[str, Any], holder: str, now: datetime) -> Mapping[str, Any]:
        stamp = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        own = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": round(self.terms.lease_seconds),
            "renewTime": stamp,
        }
        if holder == self.identity:
            return {**held, **own}
        transitions = held.get("leaseTransitions")
        count = transitions + 1 if isinstance(transitions, int) else 0
        return {**held, **own, "acquireTime": stamp, "leaseTransitions": count}


@dataclass(frozen=True)
class Timing:
    """Clocks.

    Attributes:
        now: Present time.
        monotonic: Seconds of this machine.
        sleep: Waits.
    """

    now: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Elector:
    """Takes the lease, keeps it, and gives it back.

    Args:
        cluster: The API server, over connections of its own: renewing must not wait behind other requests.
        namespace: Where the lease is.
        election: What this candidate knows.
        timing: Clocks.
    """

    def __init__(self, cluster: Cluster, namespace: str, election: Election, timing: Timing) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._election = election
        self._timing = timing

    @property
    def leads(self) -> bool:
        """Whether this operator may act now."""
        return self._election.seconds_left(self._timing.monotonic()) > 0.0

    async def acquire(self) -> None:
        """Returns when the lease is this operator's; waits as long as it takes."""
        told = ""
        while True:
            holder = await self._tried(self._election.terms.renew_seconds)
            if holder == self._election.identity:
                logger.info("this operator acts: it holds the lease", extra={"identity": holder})
                return
            if holder not in {"", told}:
                logger.info("another operator acts; this one stands by", extra={"holder": holder})
                told = holder
            await self._timing.sleep(self._election.terms.retry_seconds)

    async def renew(self) -> None:
        """Keeps the lease for as long as that works.

        Raises:
            LostError: It does not any more: this operator must not act from now on.
        """
        while self.leads:
            await self._timing.sleep(self._election.terms.retry_seconds)
            holder = await self._tried(self._election.seconds_left(self._timing.monotonic()))
            if holder not in {"", self._election.identity}:
                self._election.lost()
                raise LostError(f'the Lease "{LEASE_NAME}" was taken over by {holder}')
        told = self._election.terms.renew_seconds
        raise LostError(f'the Lease "{LEASE_NAME}" could not be renewed for {told:.0f} s')

    async def release(self) -> None:
        """Gives the lease back, if this operator still holds it; a courtesy to the next one."""
        if not self.leads:
            return
        self._election.lost()
        with suppress(KubeError, TimeoutError):
            async with asyncio.timeout(self._election.terms.retry_seconds):
                lease = await self._cluster.get(LEASES, self._namespace, LEASE_NAME)
                held = lease.get("spec") or {}
                if held.get("holderIdentity") == self._election.identity:
                    await self._write(lease, self._election.released(held))

    async def _tried(self, most_seconds: float) -> str:
        """One look, and one write where the lease can be had; who holds it then, "" where that is not known."""
        try:
            async with asyncio.timeout(most_seconds):
                return await self._try()
        except ConflictError:
            return ""  # somebody else wrote it just now: the next look tells
        except (KubeError, TimeoutError) as error:
            logger.warning("the lease: %s", str(error) or "no answer in time")
            return ""

    async def _try(self) -> str:
        asked_at = self._timing.monotonic()
        try:
            lease = await self._cluster.get(LEASES, self._namespace, LEASE_NAME)
        except NotFoundError:
            lease = None
        now, monotonic = self._timing.now(), self._timing.monotonic()
        bid = self._election.bid((lease or {}).get("spec"), now, monotonic)
        if bid.spec is not None:
            await self._write(lease, bid.spec)
            self._election.renewed(asked_at)
        return bid.holder

    async def _write(self, lease: Document | None, spec: Mapping[str, Any]) -> None:
        """Creates the lease, or replaces exactly the version that was read."""
        if lease is not None:
            await self._cluster.replace(LEASES, self._namespace, {**lease, "spec": spec})
            return
        meta = {"name": LEASE_NAME, "namespace": self._namespace}
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": spec}
        await self._cluster.create(LEASES, self._namespace, body)
