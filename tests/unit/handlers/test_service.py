"""The operator's HTTP service, asked without sockets."""

from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from tests.support.asgi import Answer, call
from tests.support.cluster import FakeCluster

from inferplan.handlers.runner import StartError, operate
from inferplan.handlers.service import parts_of
from inferplan.observe.allow_list import DEFAULT, allow_list
from inferplan.observe.engine_pages import EngineAccess
from inferplan.reconcile.feed import Feed
from inferplan.reconcile.seen import LastLooks
from inferplan.settings import Settings
from inferplan.telemetry import Telemetry
from inferplan.web.app import create_app
from inferplan.wiring import CLOCKS, Context


@dataclass
class FakeController:
    """As much of a controller as health looks at."""

    ready: bool = True
    oldest_age_seconds: float = 0.0
    refreshed: int = 0

    def refresh_gauges(self) -> None:
        self.refreshed += 1


@dataclass
class FakeElector:
    """As much of an elector as health looks at."""

    leads: bool = True


def operators_app(controller: FakeController, namespaces: str = "", elector: FakeElector | None = None) -> FastAPI:
    telemetry = Telemetry()
    telemetry.observe_kube("get", "pods", "200")
    settings = Settings(namespaces=namespaces)  # type: ignore[arg-type]  # as the environment gives it
    anything: Any = controller
    cluster = FakeCluster()
    looks = LastLooks(cluster, settings.namespaces)
    one_of_several: Any = elector
    context = Context(settings, telemetry, anything, Feed(lambda _: None), cluster, CLOCKS, looks, one_of_several)
    nothing: Any = None  # no page is fetched here
    return create_app(CLOCKS.now, parts_of(context, EngineAccess(allow_list(DEFAULT), nothing)))


async def ask(path: str, controller: FakeController) -> Answer:
    return await call(operators_app(controller), "GET", path)


@pytest.mark.parametrize(("age", "status"), [(0.0, 200), (600.0, 200), (601.0, 503)])
async def test_a_key_that_is_due_for_ten_minutes_is_unhealthy(age: float, status: int) -> None:
    answer = await ask("/healthz", FakeController(oldest_age_seconds=age))
    assert answer.status == status
    assert answer.body == (b"ok\n" if status == 200 else b"an instance is due for 601 s\n")


@pytest.mark.parametrize(("ready", "status"), [(True, 200), (False, 503)])
async def test_the_first_list_makes_it_ready(ready: bool, status: int) -> None:
    assert (await ask("/readyz", FakeController(ready=ready))).status == status


@pytest.mark.parametrize(("leads", "status", "gauge"), [(False, 200, b"0.0"), (True, 503, b"1.0")])
async def test_one_that_stands_by_is_ready_and_says_so(leads: bool, status: int, gauge: bytes) -> None:
    app = operators_app(FakeController(ready=False), elector=FakeElector(leads))
    assert (await call(app, "GET", "/readyz")).status == status
    assert b"\ninferplan_leader " + gauge in (await call(app, "GET", "/metrics")).body


async def test_metrics_are_refreshed_and_shown_together_with_those_of_http() -> None:
    controller = FakeController()
    app = operators_app(controller)
    await call(app, "GET", "/readyz")
    body = (await call(app, "GET", "/metrics")).body
    assert controller.refreshed == 1
    assert b'inferplan_kube_requests_total{code="200",resource="pods",verb="get"} 1.0' in body
    assert b"inferplan_oldest_key_age_seconds" in body
    assert b'inferplan_http_requests_total{code="200",method="GET",path="/readyz"} 1.0' in body


async def test_the_operator_has_a_cluster_to_list() -> None:
    assert (await ask("/api/v1/instances", FakeController())).json == {"items": []}


async def test_an_engine_outside_of_the_pod_is_refused_by_default() -> None:
    app = operators_app(FakeController())
    answer = await call(app, "POST", "/api/v1/analyze", b'{"instance_id": "10.0.0.1:8000", "instance_type": "vllm"}')
    assert answer.status == 403


async def test_an_allow_list_that_cannot_be_used_is_told_before_anything_else() -> None:
    with pytest.raises(StartError, match=r'^INFERPLAN_SCRAPE_ALLOW: "10\.0\.0\.0/40" is no address, CIDR or host name'):
        await operate(Settings(scrape_allow=("10.0.0.0/40",)))
