"""What is known of a plan when its next step is decided: the workload, its pods, who owns it, what keeps it still."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from inferplan.api.apply import ApplyMode
from inferplan.api.attempt import WindowStatus
from inferplan.api.instance import InstanceSpec
from inferplan.api.plan import Phase, PlanSpec, PlanStatus
from inferplan.apply.case import Case
from inferplan.apply.live import Live, is_paused, read_live
from inferplan.apply.machine import ACTING, ENDED
from inferplan.apply.window import window_of
from inferplan.apply.words import applied_words, with_words
from inferplan.kube.errors import ForbiddenError, NotFoundError
from inferplan.kube.port import Cluster
from inferplan.kube.resources import DISRUPTION_BUDGETS, WORKLOADS, Document
from inferplan.observe.owners import owners_of
from inferplan.observe.target import selects
from inferplan.reconcile.look import Look
from inferplan.reconcile.plans import StoredPlan, last_change, names, undone
from inferplan.reconcile.rollout import read_pods

_BEGUN = frozenset({Phase.ROLLING_OUT, Phase.VERIFYING, Phase.ROLLING_BACK})
"""Phases in which the workload carries the plan: what could keep it from being begun is not asked any more."""


@dataclass(frozen=True)
class OperatorWide:
    """What holds for all plans of an operator.

    Attributes:
        paused: Why nothing is to be applied at all; "" where something may.
        lag_seconds: How old measurements may be.
    """

    paused: str = ""
    lag_seconds: float = 0.0


class Circumstances:
    """Reads them.

    Args:
        cluster: The API server.
        clock: Present time, UTC.
        wide: What holds for all plans of this operator.
    """

    def __init__(self, cluster: Cluster, clock: Callable[[], datetime], wide: OperatorWide) -> None:
        self._cluster = cluster
        self._clock = clock
        self._wide = wide

    async def case(
        self, look: Look, stored: Sequence[StoredPlan], document: Document, plan: PlanSpec, status: PlanStatus
    ) -> Case:
        """The plan as it stands now.

        Raises:
            ValueError: A time in a status is none.
            KubeError: The API server gave no proper answer.
        """
        spec, meta, now = _spec_of(look), document["metadata"], self._clock()
        workload = await self.workload(meta["namespace"], plan)
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
            paused=self._wide.paused or _paused_instance(look),
            disruption=await self._disruption(meta["namespace"], live) if live and may_begin else "",
            shared_with=next((other.name for other in look.shared_with), ""),
            elsewhere=plan.target is not None
            and not names(spec, plan.target.kind, plan.target.name, plan.target.container),
            lag_seconds=self._wide.lag_seconds,
            model=_model(look, plan, meta["name"]),
            rests_until=_rests_until(stored, spec),
            failed_before=_failed_before(stored, plan, meta["name"]),
        )

    async def workload(self, namespace: str, plan: PlanSpec) -> Document | None:
        """The plan's workload; None where it does not exist."""
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
    others = undone([entry for entry in stored if entry.name != name], context)
    if own is None or own not in [entry.settings for entry in others]:
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
