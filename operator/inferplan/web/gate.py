"""Who may ask for what: the rights that each route needs, as Kubernetes names them."""

from fastapi import Request

from inferplan.kube.resources import INSTANCES, PLANS, Resource
from inferplan.web.callers import Caller, Callers, Right
from inferplan.web.errors import NotHereError
from inferplan.web.looking import named_instance
from inferplan.web.ports import Parts

NO_CLUSTER = "this service has no cluster; the operator's own service has"


class Gate:
    """Lets requests through, or raises.

    Args:
        parts: What the service stands on.
    """

    def __init__(self, parts: Parts) -> None:
        self._callers = parts.callers
        self._guarded = parts.guarded

    async def to_list(self, request: Request, resource: Resource, namespaces: tuple[str, ...]) -> None:
        """Objects of namespaces; none named means the whole cluster.

        Raises:
            UnauthenticatedError: Nobody knows the caller.
            NotPermittedError: They may not.
            KubeError: The API server does not answer.
        """
        if not self._guarded:
            return
        for namespace in namespaces or ("",):
            await self._require(request, Right("list", resource, namespace))

    async def to_read_plan(self, request: Request, namespace: str, name: str) -> None:
        """One plan; raises as `to_list`."""
        if self._guarded:
            await self._require(request, Right("get", PLANS, namespace, name))

    async def to_ask_of(self, request: Request, instance_id: str) -> None:
        """Whatever is known of an instance; only those of the cluster are somebody's. Raises as `to_list`."""
        named = named_instance(instance_id)
        if self._guarded and named is not None:
            await self._require(request, Right("get", INSTANCES, *named))

    async def to_decide(self, request: Request, namespace: str, name: str) -> Caller:
        """Who approves or rejects a plan: asked for always, as their name is written down. Raises as `to_list`."""
        return await self._require(request, Right("approve", PLANS, namespace, name))

    async def _require(self, request: Request, right: Right) -> Caller:
        callers: Callers | None = self._callers
        if callers is None:
            raise NotHereError(NO_CLUSTER)
        caller = await callers.caller(request.headers.get("authorization"))
        await callers.require(caller, right)
        return caller
