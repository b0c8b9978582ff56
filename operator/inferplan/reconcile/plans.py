"""Which plan is to be there, and what that means for those that are. Pure."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from inferplan.api.instance import InstanceSpec, OptimizerName
from inferplan.api.instance_status import LedgerEntry
from inferplan.api.plan import Decision, Phase, PlanSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import OptimizationType
from inferplan.apply.machine import ACTING, ENDED
from inferplan.dialects.untyped import mapping, scalar
from inferplan.domain.proposal import Undone
from inferplan.domain.serving import SettingValue
from inferplan.engine.document import Target, name_of, plan_spec
from inferplan.engine.patching import Place
from inferplan.engine.search import Standing
from inferplan.observe.gather import Gathered
from inferplan.reconcile.instance import Instance
from inferplan.reconcile.ledger import ledger_entry
from inferplan.reconcile.look import Look

PLANS_KEPT = 5
"""Plans of one instance that stay: the one that holds and the latest superseded ones."""

UNDECIDED = frozenset(
    {
        Reason.METRICS_MISSING,
        Reason.METRICS_STALE,
        Reason.PROMETHEUS_ERROR,
        Reason.IDLE,
        Reason.ENGINE_VERSION_UNKNOWN,
        Reason.SETTING_UNKNOWN,
        Reason.MODEL_CONFIG_MISSING,
        Reason.MODEL_UNSUPPORTED,
        Reason.ACCELERATOR_UNKNOWN,
    }
)
"""Abstentions that say nothing: neither that a change is needed, nor that none is."""

_OPEN = frozenset({"", Phase.PROPOSED, Phase.AWAITING_APPROVAL, Phase.SCHEDULED})
ENDED_KEPT = 20
"""Plans that were applied, or tried, and stay: what happened with them is what later ones are judged by."""
_OPTIMIZER_OF = {
    OptimizationType.KV_CACHE: OptimizerName.KV_CACHE,
    OptimizationType.QUANTIZATION: OptimizerName.QUANTIZATION,
    OptimizationType.BATCHING: OptimizerName.BATCHING,
    OptimizationType.VERSION: OptimizerName.VERSION,
}


@dataclass(frozen=True)
class StoredPlan:
    """A plan of the instance as it is stored; read with care, as an older version may have written it.

    Attributes:
        name: Its name.
        phase: status.phase; "" before a status was written.
        created: metadata.creationTimestamp.
        args_digest: Digest of the arguments it was made for; None without a workload.
        optimizers: Optimizers that its changes came from.
        gain: spec.summary.gain.
        confidence: spec.summary.confidence.
        moved: Each setting that it changes.
        context: Digest of the image, model and GPUs that it was made for; None where it is not known.
        changed_at: When it last changed the workload, there or back; None where it never did.
        refused: Whether a person said no to it.
        target: Kind, name and container of its workload; None without one.
        image: Image that it was made for; None where it does not say.
        version: Its metadata.resourceVersion.
        undone_for: Reason why it was, or was to be, undone; "" where it was not.
        entry: What it promised, and what came of it; None where it never came as far as to a pod.
        uid: metadata.uid.
    """

    name: str
    phase: str
    created: str
    args_digest: str | None
    optimizers: frozenset[str]
    gain: str
    confidence: str
    moved: Mapping[str, Undone] = field(default_factory=dict)
    context: str | None = None
    changed_at: str | None = None
    refused: bool = False
    target: tuple[str, str, str] | None = None
    image: str | None = None
    undone_for: str = ""
    version: str = ""
    entry: LedgerEntry | None = None
    uid: str = ""

    @property
    def settings(self) -> Standing:
        """Recommended value of each setting that it changes; None for a flag that it takes out."""
        return {key: moved.after for key, moved in self.moved.items()}

    @property
    def acting(self) -> bool:
        """Whether it is on its way to the workload or back: nothing else may begin."""
        return self.phase in ACTING

    @property
    def harmful(self) -> bool:
        """Whether it did harm, or a person wanted it undone, even if somebody else had to do that."""
        if self.undone_for == Reason.NO_ROOM:
            return False
        return self.phase == Phase.ROLLED_BACK or (self.phase == Phase.FAILED and self.undone_for != "")

    @property
    def asked_back(self) -> bool:
        """Whether a person wants what was kept undone."""
        return self.phase == Phase.VERIFIED and self.refused


@dataclass(frozen=True)
class Steps:
    """What is to be done to the instance's plans.

    Attributes:
        current: Name of the plan that holds afterwards; None when none does.
        create: The plan to write.
        propose: Name of the plan whose status is to say Proposed (new, revived, or left without a status).
        revived: Whether that plan was superseded before.
        supersede: Names of plans that hold no longer.
        why: The sentence that goes into their status.
        prune: Names of superseded plans to delete.
    """

    current: str | None
    create: PlanSpec | None = None
    propose: str | None = None
    revived: bool = False
    supersede: tuple[str, ...] = ()
    why: str = ""
    prune: tuple[str, ...] = ()


def own_plans(documents: Sequence[Mapping[str, Any]], uid: str) -> tuple[StoredPlan, ...]:
    """The plans that this very instance controls, newest first; a label alone proves nothing."""
    own = [document for document in documents if _controller_uid(document) == uid]
    return tuple(
        sorted((_stored(document) for document in own), key=lambda plan: (plan.created, plan.name), reverse=True)
    )


def wanted_spec(instance: Instance, gathered: Gathered, decision: Decision, observed_at: str) -> PlanSpec:
    """The plan as it is written for this decision."""
    workload = gathered.workload
    target = None
    if workload is not None:
        place = Place(workload.kind, instance.key.namespace, workload.name)
        target = Target(place, workload.generation, workload.container)
    return plan_spec(instance.key.name, target, gathered.assembled.observation, decision, observed_at)


def steps(look: Look, stored: Sequence[StoredPlan], wanted: PlanSpec | None) -> Steps:
    """From what is there and what follows from the look to what is to be done."""
    acting = next((plan for plan in stored if plan.acting), None)
    if acting is not None:  # it is on its way, whatever the look would decide now
        return Steps(current=acting.name)
    kept = _kept(look, stored)
    if wanted is not None and (kept is None or kept.name == name_of(wanted)):
        name = name_of(wanted)
        present = next((plan for plan in stored if plan.name == name), None)
        unproposed = present is None or present.phase in {"", Phase.SUPERSEDED}
        plan = Steps(
            current=name,
            create=wanted if present is None else None,
            propose=name if unproposed else None,
            revived=present is not None and present.phase == Phase.SUPERSEDED,
            why=f"{name} takes its place.",
        )
    else:
        plan = Steps(current=kept.name if kept is not None else None, why=_why_not(look, stored))
    return _with_leftovers(plan, stored)


def _with_leftovers(plan: Steps, stored: Sequence[StoredPlan]) -> Steps:
    """Supersedes every other open plan, and prunes the oldest superseded ones."""
    others = [entry for entry in stored if entry.name != plan.current]
    superseded = [entry.name for entry in others if entry.phase in _OPEN]
    closed = [entry.name for entry in others if entry.phase in _OPEN or entry.phase == Phase.SUPERSEDED]
    ended = [entry.name for entry in others if entry.phase in ENDED and entry.phase != Phase.SUPERSEDED]
    room = PLANS_KEPT - (plan.current is not None)
    prune = (*closed[room:], *ended[ENDED_KEPT:])
    return Steps(plan.current, plan.create, plan.propose, plan.revived, tuple(superseded), plan.why, prune)


def undecided(look: Look) -> str | None:
    """Why the look says nothing about the plan; None when every optimizer could judge, by numbers that can be true."""
    if look.outcome is None:
        finding = look.problem if look.problem is not None else look.target
        return finding.message
    notes = [note for note in look.outcome.decision.abstentions if note.code in UNDECIDED]
    return notes[0].reason if notes else look.contradictory


def standing(stored: Sequence[StoredPlan], args: str | None) -> Standing | None:
    """Settings of the plan that is open for these very arguments; None where there is none.

    Args:
        stored: The instance's plans.
        args: Digest of the engine's present arguments; None without a workload.
    """
    return next((plan.settings for plan in stored if plan.phase in _OPEN and plan.args_digest == args), None)


def undone(stored: Sequence[StoredPlan], context: str | None) -> tuple[StoredPlan, ...]:
    """Plans that did harm with this image, model and hardware: their changes are not proposed again.

    Args:
        stored: The instance's plans.
        context: Digest of image, model and GPUs now; None without a workload.
    """
    harmful = (plan for plan in stored if plan.harmful and plan.context is not None)
    return tuple(plan for plan in harmful if plan.context == context)


def last_change(stored: Sequence[StoredPlan]) -> str | None:
    """When a plan last changed the workload, there or back."""
    return max((plan.changed_at for plan in stored if plan.changed_at is not None), default=None)


def _kept(look: Look, stored: Sequence[StoredPlan]) -> StoredPlan | None:
    """The open plan, if the look says nothing against it and its workload still has the same arguments.

    A look in which some numbers cannot be true says nothing against it either, whatever follows from the rest: a source
    that begins to fail in the middle of a look answers a part of it well.
    """
    plan = next((entry for entry in stored if entry.phase in _OPEN), None)
    if plan is None or _not_for(look, plan) is not None:
        return None
    if look.outcome is None or look.contradictory is not None:
        return plan
    codes = {note.optimizer: note.code for note in look.outcome.decision.abstentions}
    return plan if any(codes.get(name) in UNDECIDED for name in plan.optimizers) else None


def names(spec: InstanceSpec, kind: str, name: str, container: str) -> bool:
    """Whether an instance's spec names this workload, and no other container of it.

    Args:
        spec: The instance's.
        kind: Of the workload.
        name: Of the workload.
        container: The engine's, as it was when a plan was made.
    """
    ref = spec.target_ref
    return ref is not None and (ref.kind, ref.name, ref.container or container) == (kind, name, container)


def _not_for(look: Look, plan: StoredPlan) -> str | None:
    """Why a plan is not for what the instance's workload is now; None where it is, or that is not known."""
    if look.spec is not None and plan.target is not None and not names(look.spec, *plan.target):
        return "The instance names another workload now."
    workload = look.gathered.workload if look.gathered is not None else None
    if workload is not None and plan.image not in {None, workload.container.image}:
        return "Its workload runs another image now."
    if look.args_digest is not None and plan.args_digest != look.args_digest:
        return "Its workload runs with other arguments now."
    return None


def _why_not(look: Look, stored: Sequence[StoredPlan]) -> str:
    """Why the plans that were open hold no longer, in a sentence."""
    found = (_not_for(look, plan) for plan in stored if plan.phase in _OPEN)
    return next((why for why in found if why is not None), "Nothing is to be changed any more.")


def _controller_uid(document: Mapping[str, Any]) -> str | None:
    owners = (document.get("metadata") or {}).get("ownerReferences") or ()
    return next((owner.get("uid") for owner in owners if owner.get("controller")), None)


def _stored(document: Mapping[str, Any]) -> StoredPlan:
    meta, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    summary = spec.get("summary") or {}
    types = {entry.get("type") for entry in spec.get("optimizations") or ()}
    return StoredPlan(
        name=meta["name"],
        phase=status.get("phase") or "",
        created=meta.get("creationTimestamp") or "",
        args_digest=(spec.get("target") or {}).get("argsDigest"),
        optimizers=frozenset(name for kind, name in _OPTIMIZER_OF.items() if kind in types),
        gain=summary.get("gain") or "",
        confidence=summary.get("confidence") or "",
        moved=MappingProxyType(dict(_moved(spec))),
        context=(spec.get("target") or {}).get("contextDigest"),
        changed_at=_changed_at(status),
        refused=mapping(spec.get("approval")).get("approved") is False,
        target=_target(mapping(spec.get("target"))),
        image=(spec.get("target") or {}).get("image"),
        undone_for=scalar(mapping(status.get("rollback")).get("reason")),
        version=meta.get("resourceVersion") or "",
        entry=ledger_entry(document),
        uid=meta.get("uid") or "",
    )


def _target(target: Mapping[str, Any]) -> tuple[str, str, str] | None:
    found = (scalar(target.get("kind")), scalar(target.get("name")), scalar(target.get("container")))
    return found if target else None


def _changed_at(status: Mapping[str, Any]) -> str | None:
    """Times of RFC 3339 in UTC sort as text."""
    times = (mapping(status.get("attempt")).get("patchedAt"), mapping(status.get("rollback")).get("restoredAt"))
    return max((time for time in times if isinstance(time, str) and _is_moment(time)), default=None)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _moved(spec: Mapping[str, Any]) -> Iterator[tuple[str, Undone]]:
    for optimization in spec.get("optimizations") or ():
        for change in optimization.get("configChanges") or ():
            values = (_as_decided(change.get(key)) for key in ("recommendedValue", "currentValue"))
            yield change.get("parameter") or "", Undone(*values)


def _as_decided(value: SettingValue | None) -> SettingValue | None:
    """The value as it was decided: a CRD holds fractions and booleans as text ("0.95", "true")."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, bool | float) else value
