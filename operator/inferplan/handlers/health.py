"""Health and metrics of the operator over HTTP."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from inferplan.wiring import Context

STUCK_SECONDS = 600.0
"""An instance that is due for ten minutes is more than load: the queue is stuck, and a restart helps."""

logger = logging.getLogger(__name__)


def application(context: Context) -> web.Application:
    """/healthz, /readyz and /metrics."""

    async def healthz(_: web.Request) -> web.Response:
        age = context.controller.oldest_age_seconds
        if age > STUCK_SECONDS:
            return web.Response(status=503, text=f"an instance is due for {age:.0f} s\n")
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if context.controller.ready:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the first list of all instances is not done\n")

    async def metrics(_: web.Request) -> web.Response:
        context.controller.refresh_gauges()
        body = generate_latest(context.telemetry.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", metrics)])
    return app


@asynccontextmanager
async def serving(context: Context) -> AsyncIterator[None]:
    """Serves while the block runs.

    Raises:
        OSError: The address is taken.
    """
    runner = web.AppRunner(application(context), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, context.settings.listen_address, context.settings.listen_port)
        await site.start()
        for address in runner.addresses:
            logger.info("health and metrics at http://%s:%s", *address[:2])
        yield
    finally:
        await runner.cleanup()
