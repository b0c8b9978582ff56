"""A client of Prometheus on a server of a test: opened as the operator opens it, with a short time."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from tests.support.raw_server import RawServer

from inferplan.observe.prometheus import HttpPrometheus, Prometheus, PrometheusError, Watch
from inferplan.observe.prometheus_session import open_prometheus
from inferplan.settings import PrometheusSource

SECRET = "secret-of-the-server"
GENEROUS_SECONDS = 20.0  # far above any time that is expected: the machine may be busy
SERIES = {"metric": {"pod": "a"}, "value": [1_000.5, "2"]}


def vector(*series: dict[str, Any]) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": "vector", "result": series}}).encode()


FINE = vector(SERIES)


@asynccontextmanager
async def client(url: str, **fields: Any) -> AsyncIterator[HttpPrometheus]:
    source = PrometheusSource(url=url, **({"timeout_seconds": 1} | fields))
    async with AsyncExitStack() as stack:
        yield await open_prometheus(stack, "team", source, Watch(time.monotonic, lambda low, _: low))


async def refused(prometheus: Prometheus) -> str:
    """What the query's error says; it comes in time, is one line, and has none of the server's words."""
    async with asyncio.timeout(GENEROUS_SECONDS):
        with pytest.raises(PrometheusError) as error:
            await prometheus.query("up")
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


async def refused_by(server: RawServer, **fields: Any) -> str:
    async with client(server.url, **fields) as prometheus:
        return await refused(prometheus)
