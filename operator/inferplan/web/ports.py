"""What the HTTP service stands on. `inferplan serve` has the little that works alone, the operator all of it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import uuid4

from inferplan.api.listing import InstanceSummary, PlanResource, PlanRow
from inferplan.apply.asking import Word
from inferplan.domain.seen import Seen
from inferplan.observe.endpoint import Endpoint
from inferplan.web.callers import Callers
from inferplan.web.deciding import WordRequest
from inferplan.web.outermost import HttpMetrics

Clock = Callable[[], datetime]
"""Gives the present time, with a zone."""


class Health(Protocol):
    """How the process around the service is."""

    def unhealthy(self) -> str | None:
        """Why it must be started again; None while it need not."""
        ...

    def unready(self) -> str | None:
        """Why it is not ready yet; None when it is."""
        ...

    def refresh(self) -> None:
        """Brings gauges up to date before they are read."""
        ...


class Objects(Protocol):
    """What the cluster holds, for reading. Every method raises `kube.errors.KubeError`."""

    async def instances(self) -> tuple[InstanceSummary, ...]:
        """Every instance in the namespaces that the operator watches."""
        ...

    async def plans(self) -> tuple[PlanRow, ...]:
        """Every plan there."""
        ...

    async def plan(self, namespace: str, name: str) -> PlanResource | None:
        """One plan; None where there is none, or the namespace is not watched."""
        ...

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Watched namespaces; none means all."""
        ...


class Words(Protocol):
    """People's words on plans, for writing."""

    async def say(self, place: tuple[str, str], word: Word, request: WordRequest, by: str) -> PlanResource | None:
        """The plan (namespace and name) with the word of this user; None where there is no such plan.

        Raises:
            web.deciding.WordRefusedError: The plan is in no phase for it, or is not the one that is meant.
            kube.errors.KubeError: The cluster does not answer.
        """
        ...


class OpenEngine(Protocol):
    """A running engine that may be asked. `page` raises `observe.engine_pages.PageError`."""

    async def page(self) -> str:
        """Its /metrics page."""
        ...

    async def version(self) -> str | None:
        """What it says on /version; None where it says nothing."""
        ...


class Engines(Protocol):
    """Engines that a request may name."""

    async def open(self, endpoint: Endpoint) -> OpenEngine:
        """Checks that the endpoint may be asked.

        Raises:
            observe.addresses.NotAllowedError: The administrator does not allow it; nothing was connected to.
            observe.engine_pages.PageError: Its name cannot be looked up.
        """
        ...


class _Alone:
    """A service without a process around it is well while it answers."""

    def unhealthy(self) -> str | None:
        return None

    def unready(self) -> str | None:
        return None

    def refresh(self) -> None:
        return


def random_id() -> str:
    """An id for an error report: 12 hex digits."""
    return uuid4().hex[:12]


@dataclass(frozen=True)
class Parts:
    """The service's parts; by default those of a service that is alone and may connect to nothing.

    Attributes:
        health: The process around it.
        metrics: Its own metrics, in the registry that /metrics shows.
        engines: Engines that a request may name; None where none may.
        seen: The operator's memory; None without a cluster.
        objects: The cluster's objects; None without a cluster.
        words: Where words on plans go; None without a cluster.
        callers: Who calls, and what they may do; None without a cluster.
        guarded: Whether those who read the cluster's objects must have the right to.
        new_id: Gives the ids under which internal errors are logged.
        sleep: Waits for some seconds.
    """

    health: Health = field(default_factory=_Alone)
    metrics: HttpMetrics = field(default_factory=HttpMetrics)
    engines: Engines | None = None
    seen: Seen | None = None
    objects: Objects | None = None
    words: Words | None = None
    callers: Callers | None = None
    guarded: bool = False
    new_id: Callable[[], str] = random_id
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
