"""GET /api/v1/instances and /api/v1/plans: what the cluster holds, for reading."""

import re

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.responses import JSONResponse

from inferplan.api.listing import InstanceList, PlanList
from inferplan.web.answers import refusal
from inferplan.web.errors import NotHereError
from inferplan.web.openapi import answers_of
from inferplan.web.ports import Objects, Parts

INSTANCES = "/api/v1/instances"
PLANS = "/api/v1/plans"
PLAN = "/api/v1/plans/{namespace}/{name}"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_UNREACHABLE = (503, "The cluster does not answer.", "ErrorResponse")
_NO_CLUSTER = (404, "The service has no cluster.", "ErrorResponse")


def add_cluster_routes(app: FastAPI, parts: Parts) -> None:
    """Adds the routes; without a cluster they answer 404 and say so."""

    def objects() -> Objects:
        if parts.objects is None:
            raise NotHereError("this service has no cluster; the operator's own service has")
        return parts.objects

    @app.get(
        INSTANCES,
        summary="Every instance that the operator watches",
        tags=["cluster"],
        response_model=None,
        openapi_extra=answers_of((200, "As `kubectl get ii -o wide`.", "InstanceList"), _NO_CLUSTER, _UNREACHABLE),
    )
    async def instances() -> JSONResponse:
        return JSONResponse(InstanceList(items=await objects().instances()).to_http())

    @app.get(
        PLANS,
        summary="Every plan for them",
        tags=["cluster"],
        response_model=None,
        openapi_extra=answers_of((200, "As `kubectl get oplan -o wide`.", "PlanList"), _NO_CLUSTER, _UNREACHABLE),
    )
    async def plans() -> JSONResponse:
        return JSONResponse(PlanList(items=await objects().plans()).to_http())

    @app.get(
        PLAN,
        summary="One plan, whole",
        tags=["cluster"],
        response_model=None,
        openapi_extra=answers_of(
            (200, "The plan as it is stored.", "PlanResource"),
            (404, "There is no such plan, or no cluster.", "ErrorResponse"),
            (409, "Another version of InferPlan wrote it.", "ErrorResponse"),
            _UNREACHABLE,
        ),
    )
    async def plan(namespace: str, name: str) -> JSONResponse:
        return await _plan(objects(), namespace, name)


async def _plan(objects: Objects, namespace: str, name: str) -> JSONResponse:
    try:
        known = _NAME.fullmatch(namespace) and _NAME.fullmatch(name)
        found = await objects.plan(namespace, name) if known else None
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        return refusal(409, f"plan {namespace}/{name} was written by another version: {place} cannot be read")
    if found is None:
        raise NotHereError(f"there is no plan {namespace}/{name} in the namespaces that the operator watches")
    return JSONResponse(found.to_http())
