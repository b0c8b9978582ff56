"""The application: routes, refusals, documentation pages that need no internet."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import uuid4

from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from inferplan import __version__
from inferplan.web.answers import invalid, refusal
from inferplan.web.openapi import DESCRIPTION, OPTIMIZE_OPERATION, component_schemas
from inferplan.web.optimize import InvalidRequestError, UnknownEngineError, allowed_engines, optimize, read_request
from inferplan.web.outermost import HttpMetrics, Outermost

Clock = Callable[[], datetime]

BODY_BYTES_MAX = 1024 * 1024
_OPTIMIZE = "/api/v1/optimize"
_PATHS = (_OPTIMIZE, "/healthz", "/readyz", "/metrics", "/openapi.json", "/docs")


class BodyTooLargeError(ValueError):
    """The request's body exceeds BODY_BYTES_MAX."""


def random_id() -> str:
    """An id for an error report: 12 hex digits."""
    return uuid4().hex[:12]


def create_app(clock: Clock, *, new_id: Callable[[], str] = random_id) -> FastAPI:
    """The HTTP service.

    Args:
        clock: Gives the present time, with a zone.
        new_id: Gives the ids under which internal errors are logged.
    """
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="InferPlan",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/openapi.json",
    )
    metrics = HttpMetrics()
    _add_optimize(app, clock)
    _add_probes(app, metrics)
    app.add_exception_handler(HTTPException, _no_such_page)
    app.add_middleware(Outermost, metrics=metrics, new_id=new_id, paths=frozenset(_PATHS))
    _use_own_schemas(app)
    return app


def _add_optimize(app: FastAPI, clock: Clock) -> None:
    @app.post(
        _OPTIMIZE,
        summary="Plan what to change in one instance",
        description=(
            "Only `instance_id` and `instance_type` are needed; the more is given, the surer the answer."
            " Unknown fields and settings are refused, so that a misspelt one is not silently ignored."
        ),
        tags=["plans"],
        openapi_extra=OPTIMIZE_OPERATION,
        response_model=None,
    )
    async def post_optimize(request: Request) -> Response:
        return answer_optimize(await _body(request), clock)

    app.add_exception_handler(BodyTooLargeError, _body_too_large)


def answer_optimize(body: bytes, clock: Clock) -> JSONResponse:
    """The answer to a body of POST /api/v1/optimize."""
    try:
        return JSONResponse(optimize(read_request(body), clock()).to_http())
    except UnknownEngineError as error:
        allowed = allowed_engines()
        why = f'instance_type: "{error}" is no engine; allowed: {", ".join(allowed)}'
        return refusal(400, why, "instance_type", allowed)
    except InvalidRequestError as error:
        return invalid(error.problems)


async def _body(request: Request) -> bytes:
    """The body, refused as soon as it is known to be too large.

    Raises:
        BodyTooLargeError: It is larger than BODY_BYTES_MAX.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > BODY_BYTES_MAX:
        raise BodyTooLargeError
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES_MAX:
            raise BodyTooLargeError
    return bytes(body)


async def _body_too_large(request: Request, error: Exception) -> JSONResponse:
    del request, error
    answer = refusal(413, f"the body is larger than {BODY_BYTES_MAX} bytes")
    answer.headers["connection"] = "close"  # the rest of the body is not read
    return answer


def _add_probes(app: FastAPI, metrics: HttpMetrics) -> None:
    @app.get("/healthz", summary="Whether the process lives", tags=["probes"], response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/readyz", summary="Whether requests are answered", tags=["probes"], response_class=PlainTextResponse)
    async def readyz() -> PlainTextResponse:
        return PlainTextResponse("ok\n")

    @app.get("/metrics", summary="Metrics for Prometheus", tags=["probes"], response_class=PlainTextResponse)
    async def own_metrics() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _no_such_page(request: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    if status == 405:  # noqa: PLR2004  method not allowed
        answer = refusal(status, f"{request.method} is not allowed for {request.url.path}")
    else:
        answer = refusal(status, f"there is nothing at {request.url.path}", allowed=_PATHS)
    answer.headers.update(headers or {})
    return answer


def _use_own_schemas(app: FastAPI) -> None:
    """FastAPI writes schemas by alias, which is camelCase here; the HTTP API is snake_case."""
    written_by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = written_by_fastapi()
        document["components"] = {"schemas": component_schemas()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
