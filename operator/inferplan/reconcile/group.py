"""One workload of a model at a time: a Lease that the plan holds which is on its way."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from inferplan.apply.machine import ACTING
from inferplan.kube.errors import ConflictError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import LEASES, PLANS, Document

YOUNG = timedelta(seconds=150)
"""A look is given up after 120 s: by then its plan's status is written, or never will be."""


class Group:
    """Leases by model and namespace.

    Args:
        cluster: The API server.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def acquire(self, namespace: str, plan: str, model: str, now: datetime) -> str:
        """Takes the model's lease for a plan; the plan that holds it, "" where that is this one now.

        A lease whose holder is not on its way any more is taken over: nothing has to be cleaned up after a crash. One
        that was taken just now counts, as its plan's status is about to be written.

        Raises:
            KubeError: The API server gave no proper answer.
        """
        name = _name(model)
        try:
            lease = await self._cluster.get(LEASES, namespace, name)
        except NotFoundError:
            return await self._create(namespace, name, plan, now)
        holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
        if holder == plan:
            return ""
        if holder and (_is_young(lease, now) or await self.on_its_way(namespace, holder)):
            return holder
        return await self._take(namespace, lease, plan, now)

    async def release(self, namespace: str, plan: str, model: str, now: datetime) -> None:
        """Gives the lease back, if the plan holds it.

        Raises:
            KubeError: The API server gave no proper answer.
        """
        try:
            lease = await self._cluster.get(LEASES, namespace, _name(model))
        except NotFoundError:
            return
        if (lease.get("spec") or {}).get("holderIdentity") == plan:
            await self._take(namespace, lease, "", now)

    async def on_its_way(self, namespace: str, plan: str) -> bool:
        """Whether a plan changes its workload now.

        Raises:
            KubeError: The API server gave no proper answer.
        """
        try:
            document = await self._cluster.get(PLANS, namespace, plan)
        except NotFoundError:
            return False
        return (document.get("status") or {}).get("phase") in set(ACTING)

    async def _create(self, namespace: str, name: str, plan: str, now: datetime) -> str:
        meta = {"name": name, "namespace": namespace}
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": meta, "spec": _held(plan, now)}
        try:
            await self._cluster.create(LEASES, namespace, body)
        except ConflictError:
            return "another plan"
        return ""

    async def _take(self, namespace: str, lease: Document, plan: str, now: datetime) -> str:
        body = {**lease, "spec": {**(lease.get("spec") or {}), **_held(plan, now)}}
        try:
            await self._cluster.replace(LEASES, namespace, body)
        except ConflictError:
            return "another plan"
        return ""


def _name(model: str) -> str:
    return f"inferplan-{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def _held(plan: str, now: datetime) -> dict[str, Any]:
    return {"holderIdentity": plan, "acquireTime": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")}


def _is_young(lease: Document, now: datetime) -> bool:
    """Whether it was taken so recently that its plan may not say so yet."""
    taken = (lease.get("spec") or {}).get("acquireTime")
    try:
        return abs(now - datetime.fromisoformat(str(taken))) < YOUNG  # a clock that was ahead by hours says nothing
    except (ValueError, TypeError):
        return False
