"""One look at one instance: read, gather, plan, write. The sequence and nothing else."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from inferplan.api.instance import InstanceSpec
from inferplan.api.kinds import API_VERSION, INFERENCE_INSTANCE, OPTIMIZATION_PLAN
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.apply.window import over_verify_window
from inferplan.apply.windows import unreadable_window
from inferplan.diagnose.analyze import analyze
from inferplan.domain.units import timestamp
from inferplan.engine.document import name_of
from inferplan.engine.identity import context_digest
from inferplan.engine.planner import Before, plan
from inferplan.kube.errors import ConflictError, ForbiddenError, InvalidError, KubeError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import EVENTS, INSTANCES, PLANS, Document
from inferplan.observe.assemble import SpecError, policy_of
from inferplan.observe.gather import Gathered, Gatherer
from inferplan.observe.target import TargetError
from inferplan.reconcile.application import Advanced, Applier
from inferplan.reconcile.calibrating import kept_points
from inferplan.reconcile.conditions import Held, Standing, conditions, readable
from inferplan.reconcile.controller import Looked, Result
from inferplan.reconcile.events import Note, PlanRef, condition_notes, event_bodies, phase_notes, plan_notes
from inferplan.reconcile.feed import Feed, Target
from inferplan.reconcile.instance import Instance, Key, read_instance
from inferplan.reconcile.ledger import newest_first
from inferplan.reconcile.look import Look, invalid_spec, no_target, seen
from inferplan.reconcile.plans import Steps, StoredPlan, own_plans, standing, steps, undone, wanted_spec
from inferplan.reconcile.seen import LastLooks
from inferplan.reconcile.status import instance_status, status_patch
from inferplan.telemetry import Telemetry

UID_LABEL = "inferplan.dev/instance-uid"
MANAGED_BY = {"app.kubernetes.io/managed-by": "inferplan"}

_STAYS = frozenset({"attempt"})
_ANEW = MappingProxyType(
    {field.alias or name: None for name, field in PlanStatus.model_fields.items() if name not in _STAYS}
)
"""A plan that comes back is a new one: what was measured and refused was at another time. What was tried stays: its
number, and the pull request that InferPlan itself closed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """What a look uses.

    Attributes:
        cluster: The API server.
        gatherer: Reads everything about an instance.
        applier: Brings plans onto workloads.
    """

    cluster: Cluster
    gatherer: Gatherer
    applier: Applier


class Planner:
    """Looks at instances and writes what follows.

    Args:
        means: What a look uses.
        feed: Learns which workload an instance refers to.
        looks: Keeps what was seen last.
        telemetry: Where counts go.
        clock: Present time, UTC.
    """

    def __init__(
        self, means: Means, feed: Feed, looks: LastLooks, telemetry: Telemetry, clock: Callable[[], datetime]
    ) -> None:
        self._cluster = means.cluster
        self._gatherer = means.gatherer
        self._applier = means.applier
        self._feed = feed
        self._looks = looks
        self._telemetry = telemetry
        self._clock = clock

    async def reconcile(self, key: Key) -> Looked:
        """One look. Writes only what changed.

        Raises:
            KubeError: The API server gave no proper answer; nothing is half-done that the next look would not mend.
        """
        try:
            document = await self._cluster.get(INSTANCES, key.namespace, key.name)
        except NotFoundError:
            document = None
        if document is None or document["metadata"].get("deletionTimestamp"):
            self._feed.forget(key)
            self._looks.forget(key)
            self._telemetry.observe_plan(key, None)
            return Looked(Result.GONE)
        instance = read_instance(document)
        self._feed.refer(key, *_target_of(instance))
        stored = await self._stored_plans(instance)
        look = replace(await self._look(instance, stored), shared_with=self._feed.sharing(key))
        moment = self._clock()
        self._looks.remember(look, moment)
        again_at = await self._write(look, stored, timestamp(moment))
        result = Result.SETTLED if look.settled else Result.WAITING
        return Looked(result, None if again_at is None else max(0.0, (again_at - self._clock()).total_seconds()))

    async def _look(self, instance: Instance, stored: tuple[StoredPlan, ...]) -> Look:
        spec = instance.spec
        if isinstance(spec, str):
            return invalid_spec(instance, spec)
        unread = unreadable_window(spec.apply.maintenance_windows)
        if unread is not None:
            return invalid_spec(instance, unread)
        try:
            gathered = await self._gatherer.gather(instance.key.namespace, _measured_as(spec, stored))
        except SpecError as error:
            return invalid_spec(instance, str(error))
        except TargetError as error:
            return no_target(instance, error)
        observation = gathered.assembled.observation
        policy = policy_of(spec, rules_of_thumb=spec.target_ref is None)
        context = _context(gathered)
        policy = replace(policy, failed=tuple(plan.moved for plan in undone(stored, context)))
        outcome = plan(observation, policy, _before(instance, gathered, stored))
        return seen(instance, gathered, outcome, analyze(observation, spec.slo, outcome.diagnosis))

    async def _stored_plans(self, instance: Instance) -> tuple[StoredPlan, ...]:
        documents = await self._cluster.list(PLANS, instance.key.namespace, f"{UID_LABEL}={instance.uid}")
        return own_plans(documents, instance.uid)

    async def _write(self, look: Look, stored: tuple[StoredPlan, ...], now: str) -> datetime | None:
        """Plans, what becomes of them, and the instance's status; when to look again because of a plan."""
        wanted, past = _wanted(look, now), newest_first(plan.entry for plan in stored)
        todo = steps(look, stored, wanted)
        try:
            uids = {plan.name: plan.uid for plan in stored} | await self._write_plans(look.instance, todo, stored)
        except ConflictError:
            told = f'OptimizationPlan "{todo.current}" exists and is not of this instance; delete it'
            await self._tell(look, Standing(refused=told, ledger=past), (), now)
            return None
        except (ForbiddenError, InvalidError) as error:
            await self._tell(look, Standing(refused=f"the API server refuses the plan: {error}", ledger=past), (), now)
            return None
        renewing = wanted if wanted is not None and name_of(wanted) == todo.current else None
        advanced = await self._advance(look, stored, todo.current)
        held = _held(todo, stored, renewing, advanced.get(todo.current or ""))
        self._telemetry.observe_plan(look.instance.key, held.phase if held is not None else None)
        changes = held.changes if held is not None else ""
        notes = [note for name, step in advanced.items() for note in phase_notes(PlanRef(name, uids[name]), step)]
        notes = [*plan_notes(todo, changes, now, uids), *notes]
        await self._tell(look, Standing(held, ledger=past), notes, now)
        return min((step.again_at for step in advanced.values() if step.again_at is not None), default=None)

    async def _advance(self, look: Look, stored: tuple[StoredPlan, ...], current: str | None) -> dict[str, Advanced]:
        """One step of what is to be undone, of what is on its way, and of the plan that holds: in this order."""
        names = [plan.name for plan in stored if plan.asked_back]
        names += [plan.name for plan in stored if plan.acting]
        names += [current] if current is not None else []
        done: dict[str, Advanced] = {}
        for name in dict.fromkeys(names):
            document = await self._cluster.get(PLANS, look.instance.key.namespace, name)
            step = await self._applier.advance(look, stored, document)
            if step is not None:
                done[name] = step
                if step.status.phase is not step.before:
                    self._telemetry.plan_transitions.labels(step.status.phase).inc()
        return done

    async def _write_plans(self, instance: Instance, todo: Steps, stored: tuple[StoredPlan, ...]) -> dict[str, str]:
        """Writes the plan, then marks and prunes others: at no time is there none that should be.

        Each mark is bound to the version that was read: another operator may have begun the plan meanwhile.

        Returns:
            metadata.uid of the plan that was made, by its name.
        """
        made: dict[str, str] = {}
        versions = {plan.name: plan.version for plan in stored}
        if todo.create is not None:
            document = await self._cluster.create(PLANS, instance.key.namespace, plan_body(instance, todo.create))
            made[document["metadata"]["name"]] = document["metadata"]["uid"]
            versions[document["metadata"]["name"]] = document["metadata"]["resourceVersion"]
        if todo.propose is not None:
            proposed = {**_ANEW, "phase": Phase.PROPOSED, "message": "Waits for a person; nothing is applied."}
            await self._mark(instance, todo.propose, proposed, versions[todo.propose])
            self._telemetry.plans_written.inc()
        for name in todo.supersede:
            await self._mark(instance, name, {"phase": Phase.SUPERSEDED, "message": todo.why}, versions[name])
        for name in todo.prune:
            await self._cluster.delete(PLANS, instance.key.namespace, name)
        return made

    async def _mark(self, instance: Instance, name: str, status: Mapping[str, str | None], version: str) -> None:
        try:
            await self._cluster.patch_status(PLANS, instance.key.namespace, name, status, version)
        except (NotFoundError, ConflictError) as error:  # the next look reads what became of it
            logger.info("plan %s: %s", name, error, extra={"namespace": instance.key.namespace})
        else:
            self._telemetry.plan_transitions.labels(status["phase"]).inc()

    async def _tell(self, look: Look, standing: Standing, notes: Sequence[Note], now: str) -> None:
        """Events first: a look that ends between the two repeats them under the same names."""
        instance = look.instance
        before = instance.status.get("conditions") or ()
        after = conditions(look, standing, before, now)
        for note in (*notes, *condition_notes(readable(before), after)):
            for body in event_bodies(instance, note, now):
                await self._post(instance, body)
        patch = status_patch(instance.status, instance_status(look, standing, after, now))
        if patch:
            await self._cluster.patch_status(INSTANCES, instance.key.namespace, instance.key.name, patch)

    async def _post(self, instance: Instance, body: Mapping[str, Any]) -> None:
        """An event is a courtesy: one that cannot be posted holds nothing up."""
        try:
            await self._cluster.create(EVENTS, instance.key.namespace, body)
        except ConflictError:
            return
        except KubeError as error:
            logger.warning("event %s: %s", body["reason"], error, extra={"instance": instance.key.name})


def _before(instance: Instance, gathered: Gathered, stored: tuple[StoredPlan, ...]) -> Before:
    """What earlier looks know: windows at other loads, the plan that stands, and whether there were numbers at all."""
    measured = bool(instance.status.get("measuredAt"))
    return Before(kept_points(instance, gathered), standing(stored, gathered.args_digest), measured)


def plan_body(instance: Instance, spec: PlanSpec) -> Document:
    """The OptimizationPlan, owned by its instance: deleting the instance collects it; nothing waits for it."""
    return {
        "apiVersion": API_VERSION,
        "kind": OPTIMIZATION_PLAN.kind,
        "metadata": {
            "name": name_of(spec),
            "namespace": instance.key.namespace,
            "labels": {**MANAGED_BY, UID_LABEL: instance.uid},
            "ownerReferences": [
                {
                    "apiVersion": API_VERSION,
                    "kind": INFERENCE_INSTANCE.kind,
                    "name": instance.key.name,
                    "uid": instance.uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "spec": spec.to_kube(),
    }


def _wanted(look: Look, now: str) -> PlanSpec | None:
    """The plan that follows from the look; None when nothing is to be changed or nothing is known."""
    if look.gathered is None or look.outcome is None or not look.outcome.decision.optimizations:
        return None
    return wanted_spec(look.instance, look.gathered, look.outcome.decision, now)


def _held(
    todo: Steps, stored: tuple[StoredPlan, ...], wanted: PlanSpec | None, advanced: Advanced | None
) -> Held | None:
    if todo.current is None:
        return None
    present = next((entry for entry in stored if entry.name == todo.current), None)
    phase = Phase.PROPOSED.value if todo.propose is not None or present is None else present.phase
    if advanced is not None:
        phase = advanced.status.phase.value
    changes = wanted.summary.changes if wanted is not None else ""
    if present is not None:  # what it promised when it was written; each look's own numbers would only be noise
        return Held(todo.current, phase, present.gain, changes, present.confidence, renewed=wanted is not None)
    gain, confidence = (wanted.summary.gain, wanted.summary.confidence) if wanted is not None else ("", "")
    return Held(todo.current, phase, gain, changes, confidence, renewed=wanted is not None)


def _context(gathered: Gathered) -> str | None:
    """What a change's success depends on besides itself; None without a workload."""
    workload = gathered.workload
    return None if workload is None else context_digest(gathered.assembled.observation, workload.container.image)


def _measured_as(spec: InstanceSpec, stored: tuple[StoredPlan, ...]) -> InstanceSpec:
    """What is being judged is measured over its own window."""
    judged = any(plan.phase in {Phase.VERIFYING, Phase.CANARY} for plan in stored)
    return over_verify_window(spec) if judged else spec


def _target_of(instance: Instance) -> tuple[Target | None, str | None]:
    """The workload that the instance names, and the container of it where it names one."""
    ref = instance.spec.target_ref if isinstance(instance.spec, InstanceSpec) else None
    return (None, None) if ref is None else (Target(instance.key.namespace, ref.kind, ref.name), ref.container)
