"""Instances and plans out of the cluster, for reading over HTTP. Knows no framework.

Anybody may ask again and again, so a request must cost little: lists are the printed columns, not the objects, and one
list serves everybody who asks within a few seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar

from inferplan.api.listing import InstanceSummary, ListedObject, PlanResource, PlanRow
from inferplan.api.plan import PlanSpec, PlanStatus
from inferplan.kube.errors import NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import INSTANCES, PLANS, Document, Resource, Row

FRESH_SECONDS = 5.0
"""As long as a list serves everybody who asks."""

_Listed = TypeVar("_Listed", bound=ListedObject)


class ClusterObjects:
    """Reads with the operator's own credentials, in the namespaces that it watches. Implements `Objects`.

    Args:
        cluster: The API server.
        namespaces: Watched namespaces; none means all.
        monotonic: Gives seconds that only grow.

    Attributes:
        namespaces: Watched namespaces.
    """

    def __init__(self, cluster: Cluster, namespaces: Sequence[str], monotonic: Callable[[], float]) -> None:
        self._cluster = cluster
        self.namespaces = tuple(namespaces)
        self._instances = _Shared(lambda: self._list(INSTANCES, InstanceSummary), monotonic)
        self._plans = _Shared(lambda: self._list(PLANS, PlanRow), monotonic)

    async def instances(self) -> tuple[InstanceSummary, ...]:
        """Every watched instance."""
        return await self._instances.get()

    async def plans(self) -> tuple[PlanRow, ...]:
        """Every plan of them."""
        return await self._plans.get()

    async def plan(self, namespace: str, name: str) -> PlanResource | None:
        """One plan.

        Raises:
            pydantic.ValidationError: Another version wrote it, and this one cannot read it.
        """
        if self.namespaces and namespace not in self.namespaces:
            return None
        try:
            document = await self._cluster.get(PLANS, namespace, name)
        except NotFoundError:
            return None
        return plan_of(document)

    async def _list(self, resource: Resource, model: type[_Listed]) -> tuple[_Listed, ...]:
        found: list[Row] = []
        for namespace in self.namespaces or (None,):
            found += await self._cluster.list_table(resource, namespace)
        listed = [_summary(row, model) for row in found]
        return tuple(sorted(listed, key=lambda entry: (entry.namespace, entry.name)))


def plan_of(document: Document) -> PlanResource:
    """A plan as the API server answers it.

    Raises:
        pydantic.ValidationError: Another version wrote it, and this one cannot read it.
    """
    return PlanResource(
        **_identity(document["metadata"]),
        spec=PlanSpec.from_kube(document["spec"]),
        status=PlanStatus.from_kube(document.get("status") or {}),
    )


class _Shared(Generic[_Listed]):
    """One list for all who ask at about the same time."""

    def __init__(self, read: Callable[[], Awaitable[tuple[_Listed, ...]]], monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._kept: tuple[_Listed, ...] = ()
        self._until = float("-inf")

    async def get(self) -> tuple[_Listed, ...]:
        async with self._lock:
            if self._monotonic() >= self._until:
                self._kept = await self._read()
                self._until = self._monotonic() + FRESH_SECONDS
            return self._kept


def _summary(row: Row, model: type[_Listed]) -> _Listed:
    """Columns that the model has; those of another version's CRD are left out."""
    cells = {name.lower(): value for name, value in row.cells.items()}
    known = {name: cells[name] for name in model.model_fields if cells.get(name) not in {None, ""}}
    return model.model_validate({**known, **_identity(row.metadata)})


def _identity(metadata: Any) -> dict[str, Any]:  # noqa: ANN401  whatever the API server answered
    return {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "created_at": metadata.get("creationTimestamp"),
    }
