"""Health and metrics, asked without sockets."""

from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from inferplan.handlers.health import application
from inferplan.reconcile.feed import Feed
from inferplan.settings import Settings
from inferplan.telemetry import Telemetry
from inferplan.wiring import Context


@dataclass
class FakeController:
    """As much of a controller as health looks at."""

    ready: bool = True
    oldest_age_seconds: float = 0.0
    refreshed: int = 0

    def refresh_gauges(self) -> None:
        self.refreshed += 1


async def ask(path: str, controller: FakeController) -> web.Response:
    telemetry = Telemetry()
    telemetry.observe_kube("get", "pods", "200")
    context: Any = Context(Settings(), telemetry, controller, Feed(lambda _: None))  # type: ignore[arg-type]
    app = application(context)
    app.freeze()
    request = make_mocked_request("GET", path, app=app)
    match = await app.router.resolve(request)
    response = await match.handler(request)
    assert isinstance(response, web.Response)
    return response


@pytest.mark.parametrize(("age", "status"), [(0.0, 200), (600.0, 200), (601.0, 503)])
async def test_a_key_that_is_due_for_ten_minutes_is_unhealthy(age: float, status: int) -> None:
    assert (await ask("/healthz", FakeController(oldest_age_seconds=age))).status == status


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_the_first_list_makes_it_ready(ready: bool, status: int) -> None:
    assert (await ask("/readyz", FakeController(ready=ready))).status == status


async def test_metrics_are_refreshed_and_shown() -> None:
    controller = FakeController()
    response = await ask("/metrics", controller)
    body = response.body
    assert isinstance(body, bytes)
    assert controller.refreshed == 1
    assert b'inferplan_kube_requests_total{code="200",resource="pods",verb="get"} 1.0' in body
    assert b"inferplan_oldest_key_age_seconds" in body
