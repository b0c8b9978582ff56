"""Carries out a plan's steps: reads what there is, asks `apply` what follows, notes it, does it. No decisions.

Order of one advance: read the workload, its pods and what else matters; decide; write the plan's status, bound to the
version of the plan that was read; then touch the workload, bound to the version of the workload that was read. Killed
anywhere, or run twice at once, at most one of them gets each write through, and the next look finds where it stands.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.api.reasons import Reason
from inferplan.apply.canary import DropCanary, MakeCanary
from inferplan.apply.case import MESSAGE_LENGTH, Case, ClosePull, HandBack, Propose, Step, Write
from inferplan.apply.live import ATTEMPT_ANNOTATION, Live
from inferplan.apply.machine import ACTING, next_step
from inferplan.apply.ownership import handed_back
from inferplan.apply.refusal import refused
from inferplan.apply.through_git import LOOK_SECONDS, not_closed
from inferplan.domain.owner import OWN_MANAGER, told_manager
from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, OwnedError
from inferplan.kube.merge import merge_patch
from inferplan.kube.port import ApplyOptions, Cluster
from inferplan.kube.resources import PLANS, WORKLOADS, Document
from inferplan.reconcile.canaries import Canaries
from inferplan.reconcile.circumstances import Circumstances, OperatorWide
from inferplan.reconcile.delivery import Delivery
from inferplan.reconcile.group import Group
from inferplan.reconcile.look import Look
from inferplan.reconcile.plans import StoredPlan

_RIGHTS = "the component deploy/apply gives it that right"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Advanced:
    """How far a plan came in one look.

    Attributes:
        before: Its phase before.
        status: What became of it.
        again_at: When to look again at the latest; None: with the next change, or resync.
    """

    before: Phase
    status: PlanStatus
    again_at: datetime | None = None


@dataclass(frozen=True)
class Ways:
    """What plans are brought about by, besides the workload itself.

    Attributes:
        delivery: Brings them to Git.
        canaries: Tries them first.
    """

    delivery: Delivery
    canaries: Canaries


class Applier:
    """Advances plans.

    Args:
        cluster: The API server.
        clock: Present time, UTC.
        ways: What else plans are brought about by.
        wide: What holds for all plans of this operator.
    """

    def __init__(
        self, cluster: Cluster, clock: Callable[[], datetime], ways: Ways, wide: OperatorWide | None = None
    ) -> None:
        self._cluster = cluster
        self._circumstances = Circumstances(cluster, clock, wide or OperatorWide())
        self._delivery, self._canaries = ways.delivery, ways.canaries
        self._group = Group(cluster)

    async def advance(self, look: Look, stored: Sequence[StoredPlan], document: Document) -> Advanced | None:
        """One step of a plan; None where its documents cannot be read.

        Raises:
            KubeError: The API server gave no proper answer; the next look finds where the plan stands.
        """
        spec = look.spec
        if spec is None:
            return None
        try:
            plan = PlanSpec.from_kube(document.get("spec") or {})
            status = PlanStatus.from_kube(document.get("status") or {})
        except ValidationError as error:
            logger.warning("plan %s cannot be read: %s", document["metadata"]["name"], error)
            return None
        try:
            case = await self._circumstances.case(look, stored, document, plan, status)
            case = replace(await self._delivery.told(case), beside=await self._canaries.beside(case, look))
            return await self._step(case, document)
        except ForbiddenError as error:
            why = f"Waits: the operator may not ({error}); deploy/apply and deploy/canary have its rights."
            return await self._told(document, status, why)
        except (ValueError, OverflowError) as error:  # the status was written by somebody else
            why = f"Left alone: its status cannot be ({error}); delete the plan to have it made anew."
            return await self._told(document, status, why)

    async def _told(self, document: Document, status: PlanStatus, why: str) -> Advanced:
        """The plan stays where it is; why is told in its status, and holds nothing else of its instance up."""
        logger.warning("plan %s: %s", document["metadata"]["name"], why)
        told = status.model_copy(update={"message": why[:MESSAGE_LENGTH]})
        await self._note(document, status, told)
        return Advanced(status.phase, told)

    async def _step(self, case: Case, document: Document) -> Advanced:
        namespace, before = document["metadata"]["namespace"], case.status.phase
        step = next_step(case)
        if step.status.phase in ACTING and before not in ACTING and not case.by_pull_request:
            step = await self._alone(case, namespace, step)
        cleared = await self._cleared(case, step)
        if cleared is None:
            return Advanced(before, case.status, case.now + timedelta(seconds=LOOK_SECONDS))
        step = cleared
        written = await self._note(document, case.status, step.status)
        outcome = await self._done(case, document, step)
        if outcome is not None:
            await self._note(written, step.status, outcome)
            return Advanced(before, outcome, case.now + timedelta(seconds=1))
        if step.status.phase not in ACTING and before in ACTING:
            await self._group.release(namespace, case.name, case.model, case.now)
        return Advanced(before, step.status, step.again_at)

    async def _cleared(self, case: Case, step: Step) -> Step | None:
        """Takes away what is not wanted any more before that is noted, lest it be forgotten; None: not gone yet."""
        if isinstance(step.act, DropCanary):
            await self._canaries.drop(case.namespace, step.act.name)
        if isinstance(step.act, HandBack):
            return step if await self._hand_back(case, step.act) else None
        if not isinstance(step.act, ClosePull):
            return step
        closing = await self._delivery.close(case, step.act)
        if closing.done and closing.why:
            return replace(step, status=not_closed(step.status, step.act.url, closing.why))
        return step if closing.done else None

    async def _hand_back(self, case: Case, act: HandBack) -> bool:
        """Whether others own again what they owned before the plan, or will not: a roll-back does not hang on it."""
        workload = await self._circumstances.workload(case.namespace, case.plan)
        fields = handed_back(workload, act.container, act.owners) if workload is not None else None
        if workload is None or fields is None:
            return True
        meta, body = workload["metadata"], {"metadata": {"managedFields": fields}}
        try:
            await self._cluster.patch(
                WORKLOADS[workload["kind"]], case.namespace, meta["name"], body, meta["resourceVersion"]
            )
        except ConflictError:
            return False  # it was changed since it was read
        except (ForbiddenError, InvalidError, NotFoundError) as error:
            place = {"namespace": case.namespace, "plan": case.name}
            logger.warning("the arguments' owners are not put back: %s", error, extra=place)
        return True

    async def _done(self, case: Case, document: Document, step: Step) -> PlanStatus | None:
        """Does what the step asks for; the plan's status where that is another one then."""
        if isinstance(step.act, Write):
            return await self._write(case, case.namespace, step.act)
        if isinstance(step.act, MakeCanary):
            return await self._canaries.make(case, step.act, document)
        if isinstance(step.act, Propose):
            return await self._delivery.propose(replace(case, status=step.status), step.act)
        return None

    async def _alone(self, case: Case, namespace: str, step: Step) -> Step:
        """The step, if no other workload of the model is on its way; else to wait, but for what is to be undone."""
        undoes = step.status.phase is Phase.ROLLING_BACK
        writer = case.live.attempt.rpartition(".")[0] if case.live is not None else ""
        try:
            busy = writer not in {"", case.name} and await self._group.on_its_way(namespace, writer)
            holder = writer if busy else await self._group.acquire(namespace, case.name, case.model, case.now)
        except ForbiddenError as error:
            if undoes:
                return step
            return Step(refused(case, Reason.ACCESS_DENIED, f"the operator may not hold a lease ({error}): {_RIGHTS}"))
        return next_step(replace(case, busy=holder)) if holder else step

    async def _note(self, document: Document, old: PlanStatus, new: PlanStatus) -> Document:
        """Writes what changed of the plan's status, bound to the version that was read."""
        patch = merge_patch(old.to_kube(), new.to_kube())
        if not patch:
            return document
        meta = document["metadata"]
        return await self._cluster.patch_status(
            PLANS, meta["namespace"], meta["name"], patch, meta.get("resourceVersion")
        )

    async def _write(self, case: Case, namespace: str, act: Write) -> PlanStatus | None:
        """Tries the write dry, then does it; what the plan's status says of a refusal, None where it went through."""
        live = case.live
        if live is None:
            return None
        resource, body = WORKLOADS[live.kind], _body(live, namespace, act)
        try:
            options = await self._options(resource.kind, namespace, body, case.apply.take_over_from)
            await self._cluster.apply(resource, namespace, body, options)
        except OwnedError as error:
            return refused(case, Reason.FIELDS_OWNED, _owned(error, case))
        except ConflictError:
            return None  # it was changed since it was read: the next look reads it again
        except NotFoundError:
            return None
        except ForbiddenError as error:
            return refused(case, Reason.ACCESS_DENIED, f"the operator may not change the workload ({error}): {_RIGHTS}")
        except InvalidError as error:
            return refused(case, Reason.NOT_APPLICABLE, f"the API server refuses the change: {error}")
        return None

    async def _options(
        self, kind: str, namespace: str, body: Mapping[str, Any], may_take: Sequence[str]
    ) -> ApplyOptions:
        """A dry run says who owns the arguments; they are forced only over those whom the owner named."""
        plain = ApplyOptions(OWN_MANAGER)
        try:
            await self._cluster.apply(WORKLOADS[kind], namespace, body, replace(plain, dry_run=True))
        except OwnedError as error:
            if not set(error.managers) <= set(may_take):
                raise
            forced = replace(plain, force=True)
            await self._cluster.apply(WORKLOADS[kind], namespace, body, replace(forced, dry_run=True))
            return forced
        return plain


def _body(live: Live, namespace: str, act: Write) -> Mapping[str, Any]:
    """Command and args of one container, and who wrote them; lists that are empty are left out, which removes ours."""
    container: dict[str, Any] = {"name": act.container.name}
    if act.container.command:
        container["command"] = list(act.container.command)
    if act.container.args:
        container["args"] = list(act.container.args)
    return {
        "apiVersion": "apps/v1",
        "kind": live.kind,
        "metadata": {
            "name": live.name,
            "namespace": namespace,
            "resourceVersion": act.resource_version,
            "annotations": {ATTEMPT_ANNOTATION: act.attempt},
        },
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def _owned(error: OwnedError, case: Case) -> str:
    managers = ", ".join(told_manager(manager) for manager in error.managers)
    named = json.dumps([*case.apply.take_over_from, *error.managers])
    return (
        f"its arguments belong to {managers}: make the change there, or let InferPlan write over it with"
        f" apply.takeOverFrom: {named}"
    )
