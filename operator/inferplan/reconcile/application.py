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

from inferplan.api.apply import ApplyMode
from inferplan.api.attempt import WindowStatus
from inferplan.api.instance import InstanceSpec
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.api.reasons import Reason
from inferplan.apply.canary import DropCanary, MakeCanary
from inferplan.apply.case import MESSAGE_LENGTH, Case, ClosePull, HandBack, Propose, Step, Write
from inferplan.apply.live import ATTEMPT_ANNOTATION, Live, is_paused, read_live
from inferplan.apply.machine import ACTING, ENDED, next_step
from inferplan.apply.ownership import handed_back
from inferplan.apply.refusal import refused
from inferplan.apply.through_git import LOOK_SECONDS, not_closed
from inferplan.apply.window import window_of
from inferplan.apply.words import applied_words, with_words
from inferplan.domain.owner import OWN_MANAGER, told_manager
from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, OwnedError
from inferplan.kube.merge import merge_patch
from inferplan.kube.port import ApplyOptions, Cluster
from inferplan.kube.resources import DISRUPTION_BUDGETS, PLANS, WORKLOADS, Document
from inferplan.observe.owners import owners_of
from inferplan.observe.target import selects
from inferplan.reconcile.canaries import Canaries
from inferplan.reconcile.delivery import Delivery
from inferplan.reconcile.group import Group
from inferplan.reconcile.look import Look
from inferplan.reconcile.plans import StoredPlan, failed_settings, last_change, names
from inferplan.reconcile.rollout import read_pods

_RIGHTS = "the component deploy/apply gives it that right"

_BEGUN = frozenset({Phase.ROLLING_OUT, Phase.VERIFYING, Phase.ROLLING_BACK})
"""Phases in which the workload carries the plan: what could keep it from being begun is not asked any more."""

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
        paused: Why nothing is to be applied by this operator at all; "" where something may.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], ways: Ways, paused: str = "") -> None:
        self._cluster = cluster
        self._clock = clock
        self._delivery, self._canaries = ways.delivery, ways.canaries
        self._paused = paused
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
            case = await self._case(look, stored, document, plan, status)
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
        workload = await self._workload(case.namespace, case.plan)
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
        try:
            holder = await self._group.acquire(namespace, case.name, case.model, case.now)
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

    async def _case(
        self, look: Look, stored: Sequence[StoredPlan], document: Document, plan: PlanSpec, status: PlanStatus
    ) -> Case:
        spec, meta, now = _spec_of(look), document["metadata"], self._clock()
        workload = await self._workload(meta["namespace"], plan)
        live = read_live(workload, plan.target.container) if workload and plan.target else None
        words = applied_words(plan)
        acting = status.phase in ACTING
        may_begin = spec.apply.mode is not ApplyMode.OFF and status.phase not in ENDED | _BEGUN
        return Case(
            namespace=meta["namespace"],
            name=meta["name"],
            generation=int(meta.get("generation") or 0),
            instance=spec,
            instance_generation=look.instance.generation,
            plan=plan,
            status=status,
            live=live,
            wanted=with_words(live.container, words) if live and live.container and words else None,
            now=now,
            pods=await read_pods(self._cluster, meta["namespace"], live, plan.target.container if plan.target else "")
            if acting and live
            else (),
            owners=owners_of(workload, plan.target.container) if workload and plan.target else (),
            window=_window(look, now),
            paused=self._paused or _paused_instance(look),
            disruption=await self._disruption(meta["namespace"], live) if live and may_begin else "",
            shared_with=next((other.name for other in look.shared_with), ""),
            elsewhere=plan.target is not None
            and not names(spec, plan.target.kind, plan.target.name, plan.target.container),
            model=_model(look, plan, meta["name"]),
            rests_until=_rests_until(stored, spec),
            failed_before=_failed_before(stored, plan, meta["name"]),
        )

    async def _workload(self, namespace: str, plan: PlanSpec) -> Document | None:
        if plan.target is None or plan.target.kind not in WORKLOADS:
            return None
        try:
            return await self._cluster.get(WORKLOADS[plan.target.kind], namespace, plan.target.name)
        except NotFoundError:
            return None

    async def _disruption(self, namespace: str, live: Live) -> str:
        """Why a budget lets no pod go; "" where none covers the pods, or budgets may not be read."""
        if not live.takes_down:
            return ""
        try:
            budgets = await self._cluster.list(DISRUPTION_BUDGETS, namespace)
        except ForbiddenError:
            return ""
        for budget in budgets:
            wanted = (budget.get("spec") or {}).get("selector")
            allowed = (budget.get("status") or {}).get("disruptionsAllowed")
            if wanted is not None and selects(wanted, live.pod_labels) and allowed == 0:
                return f'PodDisruptionBudget "{budget["metadata"]["name"]}" allows no pod to go now'
        return ""


def _model(look: Look, plan: PlanSpec, name: str) -> str:
    """What makes workloads one group: the model that they serve, as the spec or else their arguments name it.

    A workload of which that is not known is its own, and so is one whose model is a path: many mount theirs alike.
    """
    spec, gathered = _spec_of(look), look.gathered
    stated = spec.model.id if spec.model is not None else None
    read = gathered.assembled.observation.config.model if gathered is not None else None
    named = stated or (read if read is not None and not read.startswith(("/", ".")) else None)
    return named or (plan.target.name if plan.target is not None else name)


def _rests_until(stored: Sequence[StoredPlan], spec: InstanceSpec) -> datetime | None:
    changed = last_change(stored)
    return None if changed is None else datetime.fromisoformat(changed) + timedelta(seconds=spec.apply.cooldown_seconds)


def _failed_before(stored: Sequence[StoredPlan], plan: PlanSpec, name: str) -> str:
    """The plan that did harm with the same changes on the same image, model and GPUs."""
    context = plan.target.context_digest if plan.target is not None else None
    own = next((entry.settings for entry in stored if entry.name == name), None)
    if own is None or own not in failed_settings([entry for entry in stored if entry.name != name], context):
        return ""
    return "the same changes were undone before, on the same image, model and GPUs"


def _spec_of(look: Look) -> InstanceSpec:
    if look.spec is None:
        raise AssertionError("plans of an instance whose spec cannot be used are not advanced")
    return look.spec


def _window(look: Look, now: datetime) -> WindowStatus | None:
    """What was measured over the last window; None where nothing was."""
    if look.gathered is None or look.gathered.measured.problem is not None:
        return None
    measured = look.gathered.measured
    return window_of(measured.metrics, measured.replicas, now)


def _paused_instance(look: Look) -> str:
    paused = is_paused({"metadata": {"annotations": look.instance.annotations}})
    return "the instance's annotation inferplan.dev/paused is set" if paused else ""


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
