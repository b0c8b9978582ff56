"""Builds the operator out of its parts; the only place that reads the clocks and the dice."""

import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from inferplan.domain.seen import Seen
from inferplan.kube.client import HttpCluster
from inferplan.kube.connection import Connection
from inferplan.kube.port import Cluster
from inferplan.kube.resources import INSTANCES
from inferplan.observe.engine_endpoint import EngineEndpoint
from inferplan.observe.gather import Gatherer
from inferplan.observe.prometheus import Prometheus, Watch
from inferplan.observe.prometheus_session import foreign_session, open_prometheus
from inferplan.reconcile.controller import Controller, Result
from inferplan.reconcile.feed import Feed
from inferplan.reconcile.instance import Key
from inferplan.reconcile.planning import Planner
from inferplan.reconcile.schedule import Pace
from inferplan.reconcile.seen import LastLooks
from inferplan.settings import Settings
from inferplan.telemetry import Telemetry

ENGINE_CONNECTIONS = 32


def utc_now() -> datetime:
    """Present time."""
    return datetime.now(UTC)  # noqa: TID251  wiring is where the clock is read


@dataclass(frozen=True)
class Clocks:
    """Time and chance, for tests to replace."""

    now: Callable[[], datetime] = utc_now
    monotonic: Callable[[], float] = time.monotonic
    uniform: Callable[[float, float], float] = random.uniform


CLOCKS = Clocks()


@dataclass(frozen=True)
class Context:
    """The operator's parts that others hold on to."""

    settings: Settings
    telemetry: Telemetry
    controller: Controller
    feed: Feed
    cluster: Cluster
    clocks: Clocks
    seen: Seen


@asynccontextmanager
async def operator_context(
    settings: Settings, connection: Connection, clocks: Clocks = CLOCKS
) -> AsyncIterator[Context]:
    """The operator, ready to run; closes every connection on the way out.

    Raises:
        SettingsError: A file of a Prometheus source cannot be used.
    """
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            HttpCluster(connection, telemetry.observe_kube, uniform=clocks.uniform)
        )
        sources = {
            name: await open_prometheus(stack, name, source, _watch(name, telemetry, clocks))
            for name, source in settings.prometheus_sources.items()
        }
        engines = EngineEndpoint(await stack.enter_async_context(foreign_session(ENGINE_CONNECTIONS)))
        yield build(settings, telemetry, cluster, sources, engines, clocks)


def build(
    settings: Settings,
    telemetry: Telemetry,
    cluster: Cluster,
    sources: Mapping[str, Prometheus],
    engines: EngineEndpoint,
    clocks: Clocks,
) -> Context:
    """Puts the parts together."""
    pace = Pace(settings.resync_seconds, clocks.uniform)

    async def list_keys() -> tuple[Key, ...]:
        return await _list_keys(cluster, settings.namespaces)

    async def reconcile(key: Key) -> Result:
        return await planner.reconcile(key)

    controller = Controller(reconcile, list_keys, pace, telemetry, clocks.monotonic)
    feed = Feed(controller.add)
    gatherer = Gatherer(cluster, sources, engines, clocks.now)
    looks = LastLooks(cluster, settings.namespaces)
    planner = Planner(cluster, gatherer, feed, looks, telemetry, clocks.now)
    return Context(settings, telemetry, controller, feed, cluster, clocks, looks)


async def _list_keys(cluster: Cluster, namespaces: tuple[str, ...]) -> tuple[Key, ...]:
    """Every instance in the watched namespaces; none named means all."""
    keys: list[Key] = []
    for namespace in namespaces or (None,):
        documents = await cluster.list_metadata(INSTANCES, namespace)
        keys += (Key(document["metadata"]["namespace"], document["metadata"]["name"]) for document in documents)
    return tuple(keys)


def _watch(name: str, telemetry: Telemetry, clocks: Clocks) -> Watch:
    return Watch(clocks.monotonic, clocks.uniform, partial(telemetry.observe_prometheus, name))
