"""Builds the operator out of its parts; the only place that reads the clocks and the dice."""

import random
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial

from inferplan.domain.seen import Seen
from inferplan.gitops.host import open_git_host
from inferplan.gitops.port import GitHost
from inferplan.kube.client import HttpCluster
from inferplan.kube.connection import Connection
from inferplan.kube.election import Election, Elector, Terms, Timing
from inferplan.kube.port import Cluster
from inferplan.kube.resources import INSTANCES
from inferplan.observe.engine_pages import EnginePages, new_session
from inferplan.observe.fleet import FleetReader
from inferplan.observe.fleet_meter import FleetMeter
from inferplan.observe.gather import Gatherer
from inferplan.observe.history import HistoryClock, HistoryReader
from inferplan.observe.measuring import Measurer
from inferplan.observe.prometheus import Prometheus, Watch
from inferplan.observe.prometheus_session import open_prometheus
from inferplan.observe.scraping import ScrapeMeter
from inferplan.observe.series_labels import SeriesLabels
from inferplan.reconcile.application import Applier, Ways
from inferplan.reconcile.canaries import Canaries
from inferplan.reconcile.circumstances import OperatorWide
from inferplan.reconcile.controller import Controller, Looked
from inferplan.reconcile.delivery import Delivery
from inferplan.reconcile.feed import Feed
from inferplan.reconcile.instance import Key
from inferplan.reconcile.planning import Means, Planner
from inferplan.reconcile.schedule import Pace
from inferplan.reconcile.seen import LastLooks
from inferplan.settings import Settings
from inferplan.telemetry import Telemetry


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

NAMESPACE = "inferplan-system"
"""Where deploy/ puts the operator."""


@dataclass(frozen=True)
class Context:
    """The operator's parts that others hold on to.

    Attributes:
        settings: As they were set.
        telemetry: Its own metrics.
        controller: The queue.
        feed: Takes what the watches see.
        cluster: The API server, for whoever may use it whether or not this operator acts.
        clocks: Time and chance.
        seen: What was seen last.
        elector: Says whether this operator is the one that acts; None where there is only one.
    """

    settings: Settings
    telemetry: Telemetry
    controller: Controller
    feed: Feed
    cluster: Cluster
    clocks: Clocks
    seen: Seen
    elector: Elector | None = None


@dataclass(frozen=True)
class Outside:
    """What it reaches beyond the API server.

    Attributes:
        sources: Each Prometheus by name.
        pages: Engines' own pages.
        host: Repositories and their forges.
    """

    sources: Mapping[str, Prometheus]
    pages: EnginePages
    host: GitHost


@asynccontextmanager
async def operator_context(
    settings: Settings, connection: Connection, clocks: Clocks = CLOCKS
) -> AsyncIterator[Context]:
    """The operator, ready to run; closes every connection on the way out.

    Raises:
        SettingsError: A file of a Prometheus source, or an entry of git_hosts, cannot be used.
    """
    telemetry = Telemetry()
    async with AsyncExitStack() as stack:
        observe, uniform = telemetry.observe_kube, clocks.uniform
        cluster = await stack.enter_async_context(HttpCluster(connection, observe, uniform=uniform))
        elector = _elector(settings, connection, cluster, clocks)

        def acts() -> bool:
            return elector is None or elector.leads

        acting = await stack.enter_async_context(HttpCluster(connection, observe, may_write=acts, uniform=uniform))
        sources = {
            name: await open_prometheus(stack, name, source, _watch(name, telemetry, clocks))
            for name, source in settings.prometheus_sources.items()
        }
        pages = EnginePages(await stack.enter_async_context(new_session()))
        host = await stack.enter_async_context(
            open_git_host(settings, acting, clocks.now, clocks.monotonic, may_write=acts)
        )
        context = build(settings, telemetry, acting, Outside(sources, pages, host), clocks)
        yield replace(context, cluster=cluster, elector=elector)


def _elector(settings: Settings, connection: Connection, cluster: Cluster, clocks: Clocks) -> Elector | None:
    if not settings.leader_election:
        return None
    namespace = settings.lease_namespace or connection.namespace or NAMESPACE
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"  # as client-go's examples: a pod that restarts is another one
    return Elector(cluster, namespace, Election(identity, Terms()), Timing(clocks.now, clocks.monotonic))


def build(
    settings: Settings,
    telemetry: Telemetry,
    cluster: Cluster,
    outside: Outside,
    clocks: Clocks,
) -> Context:
    """Puts the parts together."""
    pace = Pace(settings.resync_seconds, clocks.uniform)

    async def list_keys() -> tuple[Key, ...]:
        return await _list_keys(cluster, settings.namespaces)

    async def reconcile(key: Key) -> Looked:
        return await planner.reconcile(key)

    controller = Controller(reconcile, list_keys, pace, telemetry, clocks.monotonic)
    feed = Feed(controller.add)
    meters = {
        name: _meter(name, prometheus, settings, controller, clocks) for name, prometheus in outside.sources.items()
    }
    gatherer = Gatherer(cluster, Measurer(meters, clocks.now, ScrapeMeter(outside.pages)), outside.pages)
    looks = LastLooks(cluster, settings.namespaces)
    paused = "" if settings.apply else "INFERPLAN_APPLY is false: this operator changes no workload"
    ways = Ways(Delivery(outside.host), Canaries(cluster, gatherer))
    wide = OperatorWide(paused, settings.metrics_seconds if meters else 0.0)
    applier = Applier(cluster, clocks.now, ways, wide)
    planner = Planner(Means(cluster, gatherer, applier), feed, looks, telemetry, clocks.now)
    return Context(settings, telemetry, controller, feed, cluster, clocks, looks)


async def _list_keys(cluster: Cluster, namespaces: tuple[str, ...]) -> tuple[Key, ...]:
    """Every instance in the watched namespaces; none named means all."""
    keys: list[Key] = []
    for namespace in namespaces or (None,):
        documents = await cluster.list_metadata(INSTANCES, namespace)
        keys += (Key(document["metadata"]["namespace"], document["metadata"]["name"]) for document in documents)
    return tuple(keys)


def _meter(name: str, prometheus: Prometheus, settings: Settings, controller: Controller, clocks: Clocks) -> FleetMeter:
    """A source with its fleet's present and its past hours."""
    source = settings.prometheus_sources[name]
    labels = SeriesLabels(source.namespace_label, source.pod_label)
    timing = HistoryClock(lambda: clocks.now().timestamp(), clocks.monotonic, clocks.uniform)
    reader = FleetReader(
        prometheus,
        labels,
        clock=clocks.now,
        monotonic=clocks.monotonic,
        cycle_seconds=settings.metrics_seconds,
        namespaces=lambda: controller.namespaces,
    )
    return FleetMeter(name, reader, HistoryReader(prometheus, name, timing, labels, source.history_hours))


def _watch(name: str, telemetry: Telemetry, clocks: Clocks) -> Watch:
    return Watch(clocks.monotonic, clocks.uniform, partial(telemetry.observe_prometheus, name))
