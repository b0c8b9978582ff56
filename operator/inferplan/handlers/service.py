"""The operator's HTTP service: the API of `inferplan serve`, and with it what only the operator knows."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from inferplan.kube.election import Elector
from inferplan.observe.allow_list import AllowList
from inferplan.observe.engine_pages import EngineAccess, EnginePages, new_session
from inferplan.reconcile.controller import Controller
from inferplan.telemetry import Telemetry
from inferplan.web.app import create_app
from inferplan.web.callers import Callers
from inferplan.web.deciding import Deciding
from inferplan.web.objects import ClusterObjects
from inferplan.web.outermost import HttpMetrics
from inferplan.web.ports import Parts
from inferplan.web.server import serving
from inferplan.wiring import Context

STUCK_SECONDS = 600.0
"""An instance that is due for ten minutes is more than load: the queue is stuck, and a restart helps."""

logger = logging.getLogger(__name__)


class OperatorHealth:
    """Health of the operator's queue. Implements `web.ports.Health`.

    Args:
        controller: The queue.
        elector: Says whether this operator acts; None where there is only one.
        telemetry: Where it is told.
    """

    def __init__(self, controller: Controller, elector: Elector | None, telemetry: Telemetry) -> None:
        self._controller = controller
        self._elector = elector
        self._telemetry = telemetry

    @property
    def _stands_by(self) -> bool:
        return self._elector is not None and not self._elector.leads

    def unhealthy(self) -> str | None:
        """Why a restart would help."""
        age = self._controller.oldest_age_seconds
        return f"an instance is due for {age:.0f} s" if age > STUCK_SECONDS else None

    def unready(self) -> str | None:
        """Why it does not work yet; one that stands by is as ready as it can be."""
        ready = self._controller.ready or self._stands_by
        return None if ready else "the first list of all instances is not done"

    def refresh(self) -> None:
        """Brings the gauges up to date."""
        self._controller.refresh_gauges()
        self._telemetry.leader.set(0 if self._stands_by else 1)


def parts_of(context: Context, engines: EngineAccess) -> Parts:
    """The operator as the HTTP service sees it."""
    return Parts(
        health=OperatorHealth(context.controller, context.elector, context.telemetry),
        metrics=HttpMetrics(context.telemetry.registry),
        engines=engines,
        seen=context.seen,
        objects=ClusterObjects(context.cluster, context.settings.namespaces, context.clocks.monotonic),
        words=Deciding(context.cluster, context.settings.namespaces),
        callers=Callers(context.cluster, context.clocks.monotonic),
        guarded=bool(context.settings.authentication),
    )


@asynccontextmanager
async def service(context: Context, allowed: AllowList) -> AsyncIterator[None]:
    """Serves while the block runs.

    Args:
        context: The operator.
        allowed: Engines that a request may name.

    Raises:
        OSError: The address is taken.
    """
    settings = context.settings
    async with new_session() as session:
        app = create_app(context.clocks.now, parts_of(context, EngineAccess(allowed, EnginePages(session))))
        async with serving(app, settings.listen_address, settings.listen_port):
            yield
