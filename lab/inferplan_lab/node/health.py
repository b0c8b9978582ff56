"""Watch over a running container with its three probes: startup first, then readiness and liveness together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from inferplan_lab.node.launch import Launch
from inferplan_lab.node.probes import Probe, Verdict, parse_probe
from inferplan_lab.node.probing import follow


@dataclass(frozen=True)
class Probes:
    """The probes of one container."""

    startup: Probe | None
    readiness: Probe | None
    liveness: Probe | None


@dataclass(frozen=True)
class Reactions:
    """What the results of probes lead to.

    Attributes:
        started: the startup probe has succeeded.
        ready: the readiness probe has changed its verdict.
        kill: startup or liveness has failed; takes the probe's own grace period, None for the pod's.
    """

    started: Callable[[], None]
    ready: Callable[[bool], None]
    kill: Callable[[float | None], Awaitable[None]]


def parse_probes(container: Mapping[str, Any], pod_ip: str, scale: float) -> Probes:
    """Return a container's probes.

    Raises:
        ValueError: one of them can't be carried out.
    """
    startup, readiness, liveness = (
        parse_probe(container, field, pod_ip, scale) for field in ("startupProbe", "readinessProbe", "livenessProbe")
    )
    return Probes(startup, readiness, liveness)


async def watch_health(probes: Probes, launch: Launch, began: datetime, reactions: Reactions) -> None:
    """Probe until cancelled; with no probe there is nothing to do.

    Args:
        probes: the container's probes.
        launch: the container.
        began: when it was started; initial delays count from then.
        reactions: what to do.
    """
    if probes.startup is not None:
        await _pass_startup(probes.startup, launch, reactions)
    age_seconds = (datetime.now(UTC) - began).total_seconds()
    loops = []
    if (readiness := probes.readiness) is not None:
        loops.append(follow(readiness, launch, age_seconds, _ready_reporter(reactions)))
    if (liveness := probes.liveness) is not None:
        loops.append(follow(liveness, launch, age_seconds, _kill_reporter(liveness, reactions)))
    await asyncio.gather(*loops)


async def _pass_startup(probe: Probe, launch: Launch, reactions: Reactions) -> None:
    """Probe until the first success; a failure kills the container, which cancels this."""
    passed = asyncio.Event()
    kill = _kill_reporter(probe, reactions)

    async def report(verdict: Verdict) -> None:
        await kill(verdict)
        if verdict is Verdict.SUCCESS:
            passed.set()

    probing = asyncio.create_task(follow(probe, launch, 0.0, report))
    try:
        await passed.wait()
    finally:
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
    reactions.started()


def _ready_reporter(reactions: Reactions) -> Callable[[Verdict], Awaitable[None]]:
    async def report(verdict: Verdict) -> None:
        reactions.ready(verdict is Verdict.SUCCESS)

    return report


def _kill_reporter(probe: Probe, reactions: Reactions) -> Callable[[Verdict], Awaitable[None]]:
    async def report(verdict: Verdict) -> None:
        if verdict is Verdict.FAILURE:
            await reactions.kill(probe.grace_seconds)

    return report
