"""Makes, reads and takes away canaries. No decisions."""

from collections.abc import Mapping
from typing import Any

from inferplan.api.attempt import WindowStatus
from inferplan.api.instance import TargetRef
from inferplan.api.kinds import API_VERSION, OPTIMIZATION_PLAN
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import Reason
from inferplan.apply.canary import LABEL, MakeCanary, canary_body, canary_label
from inferplan.apply.case import Beside, Case
from inferplan.apply.live import read_live
from inferplan.apply.refusal import refused
from inferplan.apply.window import over_verify_window, window_of
from inferplan.dialects.untyped import mapping, mappings
from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import DEPLOYMENTS, Document
from inferplan.observe.gather import Gatherer
from inferplan.observe.target import TargetError
from inferplan.reconcile.look import Look
from inferplan.reconcile.rollout import read_pods

_RIGHTS = "the component deploy/canary gives it that right"


class Canaries:
    """Deployments of one replica beside workloads.

    Args:
        cluster: The API server.
        gatherer: Measures them.
    """

    def __init__(self, cluster: Cluster, gatherer: Gatherer) -> None:
        self._cluster = cluster
        self._gatherer = gatherer

    async def beside(self, case: Case, look: Look) -> Beside:
        """The plan's canary as it stands; nothing where the plan is not at that point, or its Deployment is not there.

        Raises:
            KubeError: The API server gave no proper answer.
        """
        target = case.plan.target
        if case.status.phase is not Phase.CANARY or target is None:
            return Beside()
        name = case.canary.name
        try:
            document = await self._cluster.get(DEPLOYMENTS, case.namespace, name)
        except NotFoundError:
            return Beside()
        if not _is_ours(document, case):  # of an earlier plan: it makes room
            await self.drop(case.namespace, name)
            return Beside()
        live = read_live(document, target.container)
        pods = await read_pods(self._cluster, case.namespace, live, target.container)
        return Beside(live, pods, await self._window(case, look, name), case.window)

    async def make(self, case: Case, act: MakeCanary, plan: Document) -> PlanStatus | None:
        """Makes it; the plan's status where that was refused."""
        target = case.plan.target
        if target is None:
            return None
        try:
            workload = await self._cluster.get(DEPLOYMENTS, case.namespace, target.name)
            await self._cluster.create(DEPLOYMENTS, case.namespace, canary_body(workload, act, _owner(plan)))
        except ForbiddenError as error:
            return refused(
                case, Reason.ACCESS_DENIED, f"the operator may not make a Deployment for a canary ({error}): {_RIGHTS}"
            )
        except InvalidError as error:
            return refused(case, Reason.NOT_APPLICABLE, f"the API server refuses a canary: {error}")
        except (ConflictError, NotFoundError):
            return None  # it is there already, or the workload is not: the next look says which
        return None

    async def drop(self, namespace: str, name: str) -> None:
        """Takes it away; nothing where it is not there, or is no canary: the name is read from a status.

        Raises:
            KubeError: The API server gave no proper answer.
        """
        try:
            document = await self._cluster.get(DEPLOYMENTS, namespace, name)
            if _is_canary(document):
                await self._cluster.delete(DEPLOYMENTS, namespace, name)
        except NotFoundError:
            return

    async def _window(self, case: Case, look: Look, name: str) -> WindowStatus | None:
        target = case.plan.target
        if look.spec is None or look.gathered is None or target is None:
            return None
        ref = TargetRef(kind="Deployment", name=name, container=target.container)
        try:
            measured = await self._gatherer.beside(case.namespace, over_verify_window(look.spec), look.gathered, ref)
        except TargetError:
            return None
        if measured.problem is not None:
            return None
        return window_of(measured.metrics, measured.replicas, case.now)


def _is_ours(document: Mapping[str, Any], case: Case) -> bool:
    labels = (document.get("metadata") or {}).get("labels") or {}
    return labels.get(LABEL) == canary_label(case)


def _is_canary(document: Mapping[str, Any]) -> bool:
    """Whether a plan made it."""
    meta = mapping(document.get("metadata"))
    owned = any(owner.get("kind") == OPTIMIZATION_PLAN.kind for owner in mappings(meta.get("ownerReferences")))
    return owned and LABEL in mapping(meta.get("labels"))


def _owner(plan: Document) -> Mapping[str, Any]:
    meta = plan["metadata"]
    return {
        "apiVersion": API_VERSION,
        "kind": OPTIMIZATION_PLAN.kind,
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": False,
    }
