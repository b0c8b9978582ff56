"""The application: routes, probes, documentation pages that need no internet."""

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inferplan import __version__
from inferplan.api.exchange import AnalyzeRequest, OptimizeRequest
from inferplan.web.bodies import body_of
from inferplan.web.cluster_routes import INSTANCES, PLAN, PLANS, add_cluster_routes
from inferplan.web.errors import add_refusals
from inferplan.web.gate import Gate
from inferplan.web.looking import Analyst
from inferplan.web.memory import InstanceId, SightingMemory
from inferplan.web.openapi import ANALYZE_OPERATION, DESCRIPTION, OPTIMIZE_OPERATION, components
from inferplan.web.optimize import optimize
from inferplan.web.outermost import Outermost
from inferplan.web.ports import Clock, Health, Parts
from inferplan.web.requests import read_request
from inferplan.web.word_routes import WORDS, add_word_routes

_OPTIMIZE = "/api/v1/optimize"
_ANALYZE = "/api/v1/analyze"
_PATHS = (
    _OPTIMIZE, _ANALYZE, INSTANCES, PLANS, PLAN, *WORDS, "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs",
)  # fmt: skip


def create_app(clock: Clock, parts: Parts | None = None) -> FastAPI:
    """The HTTP service.

    Args:
        clock: Gives the present time, with a zone.
        parts: What it stands on; by default it is alone, and may connect to nothing.
    """
    own = Parts() if parts is None else parts
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="InferPlan",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/openapi.json",
    )
    memory = SightingMemory()
    gate = Gate(own)
    _add_analyze(app, Analyst(clock, own, memory), gate)
    _add_optimize(app, clock, memory, gate)
    add_cluster_routes(app, own, gate)
    add_word_routes(app, own, gate)
    _add_probes(app, own.health)
    _add_metrics(app, own)
    add_refusals(app, _PATHS)
    app.add_middleware(Outermost, metrics=own.metrics, new_id=own.new_id, paths=frozenset(_PATHS))
    _use_own_schemas(app)
    return app


def _add_analyze(app: FastAPI, analyst: Analyst, gate: Gate) -> None:
    @app.post(
        _ANALYZE,
        summary="See what limits one instance",
        description=(
            "Findings with evidence, latency targets, a health score with its derivation, and what cannot be told."
            " A `host:port` without metrics is asked for its /metrics pages, if the administrator allows it."
        ),
        tags=["analysis"],
        openapi_extra=ANALYZE_OPERATION,
        response_model=None,
    )
    async def post_analyze(request: Request) -> Response:
        asked = read_request(await body_of(request), AnalyzeRequest)
        await gate.to_ask_of(request, asked.instance_id)
        answer = await analyst.answer(asked)
        return JSONResponse(answer.to_http())


def _add_optimize(app: FastAPI, clock: Clock, memory: SightingMemory, gate: Gate) -> None:
    @app.post(
        _OPTIMIZE,
        summary="Plan what to change in one instance",
        description=(
            "Only `instance_id` and `instance_type` are needed; the more is given, the surer the answer. Without"
            " metrics, what `analyze` saw of the same instance in the last 15 minutes is used. Unknown fields and"
            " settings are refused, so that a misspelt one is not silently ignored."
        ),
        tags=["plans"],
        openapi_extra=OPTIMIZE_OPERATION,
        response_model=None,
    )
    async def post_optimize(request: Request) -> Response:
        asked = read_request(await body_of(request), OptimizeRequest)
        await gate.to_ask_of(request, asked.instance_id)
        now = clock()
        seen = memory.get(InstanceId(asked.instance_id, asked.instance_type), now)
        answer = await asyncio.to_thread(optimize, asked, now, seen)
        return JSONResponse(answer.to_http())


_PROBE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "ok"},
    503: {"description": "What is wrong, one line.", "content": {"text/plain": {"schema": {"type": "string"}}}},
}


def _add_probes(app: FastAPI, health: Health) -> None:
    @app.get(
        "/healthz", summary="Whether the process need not be restarted", tags=["probes"],
        response_class=PlainTextResponse, responses=_PROBE_ANSWERS,
    )  # fmt: skip
    async def healthz() -> PlainTextResponse:
        return _probed(health.unhealthy())

    @app.get(
        "/readyz", summary="Whether requests are answered", tags=["probes"],
        response_class=PlainTextResponse, responses=_PROBE_ANSWERS,
    )  # fmt: skip
    async def readyz() -> PlainTextResponse:
        return _probed(health.unready())


def _probed(problem: str | None) -> PlainTextResponse:
    return PlainTextResponse("ok\n") if problem is None else PlainTextResponse(f"{problem}\n", 503)


def _add_metrics(app: FastAPI, parts: Parts) -> None:
    @app.get("/metrics", summary="Metrics for Prometheus", tags=["probes"], response_class=PlainTextResponse)
    async def own_metrics() -> Response:
        parts.health.refresh()
        return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)


def _use_own_schemas(app: FastAPI) -> None:
    """FastAPI writes schemas by alias, which is camelCase here; the HTTP API is snake_case."""
    written_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = written_by_fastapi()
        document["components"] = components()
        _without_its_own_refusal(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _without_its_own_refusal(document: dict[str, Any]) -> None:
    """FastAPI describes a 422 for every path with parameters; here such a path is text, and unknown ones are 404."""
    for operations in document["paths"].values():
        for operation in operations.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
