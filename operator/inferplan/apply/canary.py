"""One replica with the plan's arguments beside the others, before the workload carries them. Pure.

A canary is a Deployment of its own whose pods have the workload's labels, so that the same Service sends them requests.
It is made after it is noted, and taken away before its end is noted: killed anywhere, the next look finds it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from inferplan.api.attempt import CanaryStatus, VerificationStatus
from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import (
    LOOK_SECONDS,
    UNDECIDED_SECONDS,
    Act,
    Beside,
    Case,
    Said,
    Step,
    moved,
    rejected,
)
from inferplan.apply.gates import kept_still
from inferplan.apply.verdict import Judgement, Verdict, judge, verification_of, wanted_of
from inferplan.apply.window import over_after, windows_over
from inferplan.dialects.container import Container
from inferplan.dialects.untyped import mapping, mappings, scalar
from inferplan.domain.units import timestamp

LABEL = "inferplan.dev/canary"
"""On the canary, its pods and in its selector: the first letters of the plan's hash."""

_NAME_MOST = 50
_HASH_LETTERS = 16


@dataclass(frozen=True)
class MakeCanary(Act):
    """A Deployment of one replica.

    Attributes:
        name: Its name.
        label: Value of LABEL.
        container: The engine's container as it is to be.
    """

    name: str
    label: str
    container: Container


@dataclass(frozen=True)
class DropCanary(Act):
    """The canary is taken away; the plan's status is written after that.

    Attributes:
        name: Its name.
    """

    name: str


def canary_name(case: Case) -> str:
    """Of the workload's name, short enough for pods' names: "llama-70b-canary-3f9c1d20"."""
    target = case.plan.target
    name = target.name if target is not None else case.name
    return f"{name[:_NAME_MOST].rstrip('-.')}-canary-{hashlib.sha256(case.name.encode()).hexdigest()[:8]}"


def begun(case: Case, *said: Said) -> PlanStatus:
    """A canary comes first: noted before it is made."""
    canary = _fresh(case)
    message = "One replica with the plan comes up beside the others."
    starting = Said(PlanConditionType.CANARY_PASSED, Status.UNKNOWN, Reason.CANARY_STARTING, message)
    return moved(case, Phase.CANARY, message, *said, starting, canary=canary, retry_at=None)


def trying(case: Case, held: Step | None = None) -> Step | None:
    """What follows while the canary is there; None where it passed, and the workload's turn is.

    Args:
        case: What is known.
        held: Where the plan waits instead, as its owner, or who approved it, does not want it any more.

    Raises:
        ValueError: The status was written by somebody else and contradicts itself.
    """
    canary, beside = case.canary, case.beside
    refused = _not_wanted(case) or (held.status if held is not None else None)
    if refused is not None:
        return Step(refused, DropCanary(canary.name))
    still = kept_still(case)
    if still:
        return Step(moved(case, Phase.CANARY, f"Waits: {still}."), again_at=case.now + timedelta(seconds=LOOK_SECONDS))
    if beside.live is None:
        return _made(case, canary)
    trouble = _trouble(case, canary, beside)
    if trouble is not None:
        return Step(trouble, DropCanary(canary.name))
    if canary.ready_at is None:
        return _coming_up(case, canary, beside)
    done = over_after(case, canary.windows + 1)
    passed = case.since(canary.ready_at)
    if passed < done:
        return Step(case.status, again_at=case.now + (done - passed))
    return _judged(case, canary, beside)


def passed(case: Case) -> PlanStatus:
    """The status with what the canary showed, before the workload is changed."""
    found = _judgement(case, case.beside)
    why = f"one replica with the plan, beside the others: {found.reason}"
    said = Said(PlanConditionType.CANARY_PASSED, Status.TRUE, Reason.CANARY_BETTER, why)
    canary = case.canary.model_copy(update={"verification": _verification(case, found, case.beside)})
    return moved(case, Phase.CANARY, why, said, canary=canary)


def canary_body(workload: Mapping[str, Any], act: MakeCanary, owner: Mapping[str, Any]) -> dict[str, Any]:
    """The canary's Deployment: the workload's own pods, with other arguments and one label more.

    Args:
        workload: The Deployment as the API server answers it.
        act: What is wanted.
        owner: The plan, as an owner reference: the canary goes with it at the latest.
    """
    meta, template = mapping(workload.get("metadata")), mapping(mapping(workload.get("spec")).get("template"))
    pod_meta, pod = mapping(template.get("metadata")), mapping(template.get("spec"))
    labels = {LABEL: act.label}
    own = [_with_words(entry, act.container) for entry in mappings(pod.get("containers"))]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": act.name,
            "namespace": scalar(meta.get("namespace")),
            "labels": {**labels, "app.kubernetes.io/managed-by": "inferplan"},
            "ownerReferences": [dict(owner)],
        },
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {
                    "labels": {**mapping(pod_meta.get("labels")), **labels},
                    "annotations": dict(mapping(pod_meta.get("annotations"))),
                },
                "spec": {**pod, "containers": own},
            },
        },
    }


def canary_label(case: Case) -> str:
    """Value of LABEL."""
    return case.plan.plan_hash[:_HASH_LETTERS]


def _with_words(entry: Mapping[str, Any], container: Container) -> dict[str, Any]:
    if entry.get("name") != container.name:
        return dict(entry)
    words = {"command": list(container.command), "args": list(container.args)}
    return {**entry, **{name: value for name, value in words.items() if value}}


def _not_wanted(case: Case) -> PlanStatus | None:
    """A person's no, or a workload that is another one by now."""
    approval = case.plan.approval
    if approval is not None and not approval.approved:
        return rejected(case)
    why = case.void or ("" if case.wanted is not None else "the arguments cannot be edited with certainty any more")
    if why:
        said = Said(PlanConditionType.CANARY_PASSED, Status.FALSE, Reason.TARGET_CHANGED, why)
        return moved(case, Phase.SUPERSEDED, f"Left alone: {why}.", said)
    return None


def _made(case: Case, canary: CanaryStatus) -> Step:
    """It is made, or made anew where somebody took it away; not for ever."""
    wanted = case.wanted
    if wanted is None:  # _not_wanted has said so already: this is for the types
        return Step(case.status)
    if canary.ready_at is None and case.since(canary.started_at) > _longest(case):
        return Step(_unplaced(case, "its Deployment does not stay, or its name is taken"))
    if canary.ready_at is not None:  # what was measured was another pod's
        case = replace(case, status=case.status.model_copy(update={"canary": _fresh(case)}))
    act = MakeCanary(canary.name, canary_label(case), wanted)
    return Step(case.status, act, case.now + timedelta(seconds=LOOK_SECONDS))


def _fresh(case: Case) -> CanaryStatus:
    return CanaryStatus(name=canary_name(case), started_at=timestamp(case.now))


def _longest(case: Case) -> timedelta:
    return timedelta(seconds=case.apply.rollout_timeout_seconds)


def _unplaced(case: Case, why: str) -> PlanStatus:
    told = f"no place was found for a canary in {_longest(case).total_seconds():.0f} s: {why}"
    said = Said(PlanConditionType.CANARY_PASSED, Status.FALSE, Reason.CANARY_UNSCHEDULABLE, told)
    return moved(case, Phase.FAILED, f"Not applied: {told}; without apply.canary it needs none.", said)


def _coming_up(case: Case, canary: CanaryStatus, beside: Beside) -> Step:
    again = case.now + timedelta(seconds=LOOK_SECONDS)
    if beside.live is None or not beside.live.rolled_out:
        return Step(case.status, again_at=again)
    ready = canary.model_copy(update={"ready_at": timestamp(case.now)})
    verify = case.apply.verify
    message = (
        f"One replica runs the plan beside the others; it is measured for {verify.window_seconds} s, after"
        f" {verify.warm_up_seconds} s to warm up."
    )
    said = Said(PlanConditionType.CANARY_PASSED, Status.UNKNOWN, Reason.MEASURING, message)
    return Step(moved(case, Phase.CANARY, message, said, canary=ready), again_at=again)


def _trouble(case: Case, canary: CanaryStatus, beside: Beside) -> PlanStatus | None:
    """The canary cannot run: the change does harm, or only found no place."""
    failing = next((pod.trouble for pod in beside.pods if pod.trouble), "")
    if failing:
        return _worse(case, f"the canary cannot run: {failing}")
    most = case.apply.rollout_timeout_seconds
    if canary.ready_at is not None or case.since(canary.started_at) <= _longest(case):
        return None
    unplaced = next((pod.unscheduled for pod in beside.pods if pod.unscheduled), "")
    if not unplaced and beside.pods:
        return _worse(case, f"the canary is not ready after {most} s (apply.rolloutTimeoutSeconds)")
    return _unplaced(case, unplaced or "it has no pod")


def _worse(case: Case, why: str, verification: VerificationStatus | None = None) -> PlanStatus:
    """Counts as undone: the same change is not proposed again, and the workload never carried it."""
    said = Said(PlanConditionType.CANARY_PASSED, Status.FALSE, Reason.CANARY_WORSE, why)
    canary = case.canary if verification is None else case.canary.model_copy(update={"verification": verification})
    return moved(case, Phase.ROLLED_BACK, f"Not applied: {why}. The workload was not changed.", said, canary=canary)


def _judgement(case: Case, beside: Beside) -> Judgement:
    if beside.others is None or beside.window is None:
        missing = "of the others" if beside.others is None else "of the canary"
        return Judgement(Verdict.INCONCLUSIVE, f"nothing was measured {missing}")
    return judge(beside.others, beside.window, wanted_of(case))


def _verification(case: Case, found: Judgement, beside: Beside) -> VerificationStatus:
    return verification_of(case.plan.summary.gain, found, beside.window)


def _judged(case: Case, canary: CanaryStatus, beside: Beside) -> Step | None:
    found = _judgement(case, beside)
    if found.verdict is Verdict.KEEP:
        return None
    verification = _verification(case, found, beside)
    if found.verdict is Verdict.ROLL_BACK:
        why = f"the canary did worse than the others (before: the others, after: the canary): {found.reason}"
        return Step(_worse(case, why, verification), DropCanary(canary.name))
    if case.since(canary.ready_at) >= timedelta(seconds=UNDECIDED_SECONDS):
        said = Said(PlanConditionType.CANARY_PASSED, Status.FALSE, Reason.INCONCLUSIVE, found.reason)
        message = f"Not applied: the canary could not be held against the others in a day: {found.reason}."
        noted = canary.model_copy(update={"verification": verification})
        return Step(moved(case, Phase.FAILED, message, said, canary=noted), DropCanary(canary.name))
    over = windows_over(case, canary.ready_at)
    again = canary.model_copy(update={"windows": over, "verification": verification})
    said = Said(PlanConditionType.CANARY_PASSED, Status.UNKNOWN, Reason.INCONCLUSIVE, found.reason)
    status = moved(case, Phase.CANARY, f"Measured again: {found.reason}.", said, canary=again)
    return Step(status, again_at=case.now + timedelta(seconds=case.apply.verify.window_seconds))
