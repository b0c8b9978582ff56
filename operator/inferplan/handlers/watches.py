"""The watches: every handler only hands what it saw to the feed. No handler decides, waits or writes.

kopf's own timers, and handlers that return or patch, lose work for good when a write fails; a watch that feeds
our own queue does not (measured: docs/decisions).
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import kopf

from inferplan.handlers.credentials import log_in
from inferplan.kube.resources import INSTANCES, PLANS, WORKLOADS, Resource
from inferplan.reconcile.feed import Feed

Handler = Callable[..., Awaitable[None]]

REQUEST_SECONDS = 30
ERROR_BACKOFFS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0, 60.0, 60.0, 60.0)
"""Five minutes of an unreachable API server; then a watch gives up, and the process ends and is started again."""


def kopf_settings() -> kopf.OperatorSettings:
    """What is left of kopf: watching. No peering, no scanning of the cluster, no events, no annotations."""
    settings = kopf.OperatorSettings()
    settings.scanning.disabled = True
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.watching.server_timeout = 600
    settings.watching.connect_timeout = 10
    settings.watching.inactivity_timeout = 70
    settings.watching.chunk_size = 500
    settings.networking.connect_timeout = 5
    settings.networking.request_timeout = REQUEST_SECONDS
    settings.networking.error_backoffs = ERROR_BACKOFFS
    settings.queueing.error_delays = (1, 2, 5, 10, 30, 60)
    return settings


def registry_of(feed: Feed, settings: kopf.OperatorSettings) -> kopf.OperatorRegistry:
    """The handlers, in a registry of their own."""
    registry = kopf.OperatorRegistry()
    _register_login(registry, settings)

    async def instance(event: kopf.RawEvent, **_: object) -> None:
        feed.instance(event["type"], _body(event))

    async def plan(event: kopf.RawEvent, **_: object) -> None:
        feed.plan(event["type"], _body(event))

    _watch(registry, INSTANCES, instance)
    _watch(registry, PLANS, plan)
    for kind, resource in WORKLOADS.items():
        _register_workload(registry, feed, kind, resource)
    return registry


def _register_login(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings) -> None:
    @kopf.on.login(registry=registry)
    def login(**_: object) -> kopf.ConnectionInfo:
        return log_in(settings)


def _register_workload(registry: kopf.OperatorRegistry, feed: Feed, kind: str, resource: Resource) -> None:
    async def workload(event: kopf.RawEvent, **_: object) -> None:
        feed.workload(event["type"], kind, _body(event))

    _watch(registry, resource, workload)


def _watch(registry: kopf.OperatorRegistry, resource: Resource, handler: Handler) -> None:
    kopf.on.event(resource.group, resource.version, resource.plural, registry=registry)(handler)


def _body(event: kopf.RawEvent) -> Mapping[str, Any]:
    return event["object"]
