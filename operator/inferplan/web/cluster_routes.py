"""GET /api/v1/instances and /api/v1/plans: what the cluster holds, for reading."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

from fastapi import FastAPI, Query, Request
from pydantic import ValidationError
from starlette.responses import JSONResponse

from inferplan.api.listing import InstanceList, ListedObject, PlanList
from inferplan.kube.resources import INSTANCES as INSTANCE_RESOURCE
from inferplan.kube.resources import PLANS as PLAN_RESOURCE
from inferplan.web.errors import NotHereError, OtherVersionError
from inferplan.web.gate import NO_CLUSTER, Gate
from inferplan.web.hiding import shown
from inferplan.web.openapi import NO_TOKEN, NOT_PERMITTED, WITH_TOKEN, answers_of
from inferplan.web.ports import Objects, Parts

INSTANCES = "/api/v1/instances"
PLANS = "/api/v1/plans"
PLAN = "/api/v1/plans/{namespace}/{name}"

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NEEDED = (NO_TOKEN, NOT_PERMITTED, (503, "The cluster does not answer.", "ErrorResponse"))
_NO_CLUSTER = (404, "The service has no cluster.", "ErrorResponse")

_Listed = TypeVar("_Listed", bound=ListedObject)

Namespace = Annotated[
    str | None, Query(description="Only this namespace's. Without, the right to list the whole cluster's is needed.")
]


def add_cluster_routes(app: FastAPI, parts: Parts, gate: Gate) -> None:
    """Adds the routes; without a cluster they answer 404 and say so."""

    def objects() -> Objects:
        if parts.objects is None:
            raise NotHereError(NO_CLUSTER)
        return parts.objects

    _add_lists(app, objects, gate)

    @app.get(
        PLAN,
        summary="One plan, whole",
        tags=["cluster"],
        response_model=None,
        openapi_extra={
            **answers_of(
                (200, "The plan as it is stored.", "PlanResource"),
                (404, "There is no such plan, or no cluster.", "ErrorResponse"),
                (409, "Another version of InferPlan wrote it.", "ErrorResponse"),
                *_NEEDED,
            ),
            **WITH_TOKEN,
        },
    )
    async def plan(request: Request, namespace: str, name: str) -> JSONResponse:
        known = objects()
        if not is_place(namespace, name):
            raise no_such_plan(namespace, name)
        await gate.to_read_plan(request, namespace, name)
        with unreadable(namespace, name):
            found = await known.plan(namespace, name)
        if found is None:
            raise no_such_plan(namespace, name)
        return JSONResponse(shown(found))


def is_place(namespace: str, name: str) -> bool:
    """Whether both are names that an object can have."""
    return bool(_NAME.fullmatch(namespace) and _NAME.fullmatch(name))


def no_such_plan(namespace: str, name: str) -> NotHereError:
    """What is raised where there is none."""
    return NotHereError(f"there is no plan {namespace}/{name} in the namespaces that the operator watches")


@contextmanager
def unreadable(namespace: str, name: str) -> Iterator[None]:
    """Turns what cannot be read of a plan into a refusal.

    Raises:
        OtherVersionError: Another version wrote the plan.
    """
    try:
        yield
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))
        why = f"plan {namespace}/{name} was written by another version: {place} cannot be read"
        raise OtherVersionError(why) from None


def _add_lists(app: FastAPI, objects: Callable[[], Objects], gate: Gate) -> None:
    @app.get(
        INSTANCES,
        summary="Every instance that the operator watches",
        tags=["cluster"],
        response_model=None,
        openapi_extra=_listing("As `kubectl get ii -o wide`.", "InstanceList"),
    )
    async def instances(request: Request, namespace: Namespace = None) -> JSONResponse:
        known = objects()
        await gate.to_list(request, INSTANCE_RESOURCE, _asked(namespace, known))
        return JSONResponse(InstanceList(items=_of(namespace, await known.instances())).to_http())

    @app.get(
        PLANS,
        summary="Every plan for them",
        tags=["cluster"],
        response_model=None,
        openapi_extra=_listing("As `kubectl get oplan -o wide`.", "PlanList"),
    )
    async def plans(request: Request, namespace: Namespace = None) -> JSONResponse:
        known = objects()
        await gate.to_list(request, PLAN_RESOURCE, _asked(namespace, known))
        return JSONResponse(PlanList(items=_of(namespace, await known.plans())).to_http())


def _listing(meaning: str, model: str) -> dict[str, Any]:
    return {**answers_of((200, meaning, model), _NO_CLUSTER, *_NEEDED), **WITH_TOKEN}


def _asked(namespace: str | None, objects: Objects) -> tuple[str, ...]:
    """Namespaces of which something is wanted; none means the whole cluster."""
    return objects.namespaces if namespace is None else (namespace,)


def _of(namespace: str | None, listed: tuple[_Listed, ...]) -> tuple[_Listed, ...]:
    return tuple(entry for entry in listed if namespace in {None, entry.namespace})
