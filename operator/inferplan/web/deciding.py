"""A caller's word on a plan, written with the operator's own identity. Knows no framework."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from inferplan.api.base import WireModel
from inferplan.api.listing import PlanResource
from inferplan.api.plan import Digest
from inferplan.apply.asking import Word, approval, decided_by_merging, is_said, mode_of, nothing_to_undo, refusal
from inferplan.apply.live import read_live
from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import INSTANCES, PLANS, WORKLOADS, Document
from inferplan.web.callers import NotPermittedError
from inferplan.web.objects import plan_of

TRIES = 5
"""The operator itself writes the plan's status meanwhile; each try reads what is there now."""


class WordRequest(WireModel):
    """Body of POST …/approve, …/reject and …/rollback; it may be empty."""

    plan_hash: Annotated[
        Digest | None, Field(description="spec.plan_hash that is meant; 409 when the plan has another.")
    ] = None
    note: Annotated[
        str | None, Field(min_length=1, max_length=1024, description="Why; it is kept in spec.approval.note.")
    ] = None


class WordRefusedError(Exception):
    """The plan is in no phase for it, or is not the one that is meant; one line for people."""


class Deciding:
    """Writes spec.approval of plans in the namespaces that the operator watches. Implements `web.ports.Words`.

    Args:
        cluster: The API server.
        namespaces: Watched namespaces; none means all.
    """

    def __init__(self, cluster: Cluster, namespaces: Sequence[str]) -> None:
        self._cluster = cluster
        self._namespaces = tuple(namespaces)

    async def say(self, place: tuple[str, str], word: Word, request: WordRequest, by: str) -> PlanResource | None:
        """The plan with the word; None where there is no such plan.

        Args:
            place: The plan's namespace and name.
            word: What the caller says.
            request: What they say beside it.
            by: Their user name, as the API server knows them.

        Raises:
            WordRefusedError: The plan is in no phase for it, or is not the one that is meant.
            NotPermittedError: The API server does not let the operator write it.
            pydantic.ValidationError: Another version wrote the plan, and this one cannot read it.
            KubeError: The API server does not answer.
        """
        namespace, name = place
        if self._namespaces and namespace not in self._namespaces:
            return None
        for _ in range(TRIES):
            try:
                document = await self._cluster.get(PLANS, namespace, name)
                return await self._said(document, word, request, by)
            except NotFoundError:
                return None
            except ConflictError:
                continue
        raise WordRefusedError(f"plan {namespace}/{name} is being changed; try again")

    async def _said(self, document: Document, word: Word, request: WordRequest, by: str) -> PlanResource:
        plan = plan_of(document)
        if request.plan_hash not in {None, plan.spec.plan_hash}:
            raise WordRefusedError(
                f"plan {plan.namespace}/{plan.name} has plan_hash {plan.spec.plan_hash}, not the one that was sent"
            )
        instance = await self._cluster.get(INSTANCES, plan.namespace, plan.spec.instance_ref.name)
        why = refusal(word, plan.spec, plan.status, mode_of(instance), by_merging=decided_by_merging(instance))
        if why is not None:
            raise WordRefusedError(f"plan {plan.namespace}/{plan.name}: {why}")
        if is_said(word, plan.spec):
            return plan
        if word is Word.ROLLBACK:
            why = nothing_to_undo(plan.status, await self._running(plan))
            if why is not None:
                raise WordRefusedError(f"plan {plan.namespace}/{plan.name}: {why}")
        given = {"note": None, **approval(word, plan.spec, by, request.note).to_kube()}
        return plan_of(await self._written(document, given))

    async def _running(self, plan: PlanResource) -> str | None:
        """Digest of the arguments that the plan's workload runs now; None where there is none."""
        target = plan.spec.target
        if target is None or target.kind not in WORKLOADS:
            return None
        try:
            document = await self._cluster.get(WORKLOADS[target.kind], plan.namespace, target.name)
        except NotFoundError:
            return None
        return read_live(document, target.container).args_digest

    async def _written(self, document: Document, given: Mapping[str, Any]) -> Document:
        meta = document["metadata"]
        body = {"spec": {"approval": given}}
        try:
            return await self._cluster.patch(PLANS, meta["namespace"], meta["name"], body, meta["resourceVersion"])
        except (ForbiddenError, InvalidError) as error:
            why = f"the operator itself may not write it ({error}): the component deploy/apply gives it that right"
            raise NotPermittedError(why) from None
