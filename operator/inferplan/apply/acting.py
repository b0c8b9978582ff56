"""A plan on its way: written, rolled out, measured. Pure.

Each look at the workload says where the way stands; nothing is remembered but the plan's status. So a killed operator
goes on where the workload is: it adopts what it wrote itself, writes what it had not, and leaves alone what somebody
else changed meanwhile.
"""

from datetime import timedelta

from inferplan.api.apply import Undecided
from inferplan.api.conditions import Status
from inferplan.api.plan import Phase, PlanStatus
from inferplan.api.reasons import PlanConditionType, Reason
from inferplan.apply.case import (
    ELSEWHERE,
    LOOK_SECONDS,
    UNDECIDED_SECONDS,
    Case,
    Said,
    Step,
    Write,
    attempt_id,
    moved,
    rejected,
)
from inferplan.apply.live import Live
from inferplan.apply.pods import PodState
from inferplan.apply.restoring import undo
from inferplan.apply.starting import held_back
from inferplan.apply.through_git import delivered, delivering, withdrawn
from inferplan.apply.verdict import Judgement, Verdict, judge, verification_of, wanted_of
from inferplan.apply.window import over_after, windows_over
from inferplan.domain.units import timestamp


def applying(case: Case) -> Step:
    """The workload carries the plan already, or still what was before it, or something else."""
    live, git = case.live, case.attempt.git
    gone = _gone(case)
    if live is None or gone is not None:
        return withdrawn(case, gone.status if gone is not None else case.status)
    if live.args_digest == case.attempt.applied_digest:
        return _with_another_image(case, live) or _patched(case)
    if git is not None:
        return delivering(case, git)
    return _written(case, live)


def _with_another_image(case: Case, live: Live) -> Step | None:
    """Somebody changed that too, as in the pull request."""
    image = case.plan.target.image if case.plan.target is not None else None
    if live.container is None or image in {None, live.container.image}:
        return None
    why = "the image was changed along with the arguments, so what follows says nothing of the plan"
    return Step(_left(case, Reason.CHANGED_BY_OTHER, why))


def _written(case: Case, live: Live) -> Step:
    """The plan is written, where nothing has happened to workload or plan since that was noted."""
    if live.attempt == attempt_id(case, case.attempt.number):  # it was written, and is not there any more
        return Step(_taken_back_by(case, live))
    if case.plan.approval is not None and not case.plan.approval.approved:
        return Step(rejected(case))
    if case.plan.target is None or live.args_digest != case.plan.target.args_digest:
        return Step(_left(case, Reason.CHANGED_BY_OTHER, "somebody changed the arguments before the plan was written"))
    if case.wanted is None:
        return Step(_left(case, Reason.NOT_APPLICABLE, "the arguments cannot be edited with certainty any more"))
    write = Write(case.wanted, attempt_id(case, case.attempt.number), live.resource_version)
    return held_back(case) or Step(case.status, write, case.now + timedelta(seconds=LOOK_SECONDS))


def rolling_out(case: Case) -> Step:
    """All pods run the plan, one of them cannot, or it takes too long."""
    lost = _gone(case) or _taken_back(case)
    if lost is not None:
        return lost
    trouble = _trouble(case)
    if trouble is not None:
        return undo(case, *trouble)
    live = case.live
    if live is not None and live.rolled_out:
        attempt = case.attempt.model_copy(update={"rolled_out_at": timestamp(case.now)})
        said = Said(
            PlanConditionType.ROLLED_OUT,
            Status.TRUE,
            Reason.ROLLOUT_COMPLETE,
            f"{live.replicas} of {live.replicas} pods run it",
        )
        measuring = Said(PlanConditionType.VERIFIED, Status.UNKNOWN, Reason.MEASURING, _measures(case))
        status = moved(case, Phase.VERIFYING, f"All pods run it. {_measures(case)}", said, measuring, attempt=attempt)
        return Step(status, again_at=case.now)
    return Step(_progressed(case), again_at=case.now + timedelta(seconds=LOOK_SECONDS))


def _progressed(case: Case) -> PlanStatus:
    """A fleet rolls pod by pod: what is waited for is the next one, not all of them."""
    ready = sum(pod.ready for pod in _new_pods(case))
    if ready <= case.attempt.ready_pods:
        return case.status
    attempt = case.attempt.model_copy(update={"ready_pods": ready, "progressed_at": timestamp(case.now)})
    return case.status.model_copy(update={"attempt": attempt})


def verifying(case: Case) -> Step:
    """The window afterwards is over, or not yet; meanwhile a pod may still fall over."""
    lost = _gone(case) or _taken_back(case)
    if lost is not None:
        return lost
    failing = next((pod.trouble for pod in _new_pods(case) if pod.trouble), "")
    if failing:
        return undo(case, Reason.PODS_FAIL, failing)
    attempt = case.attempt
    done = over_after(case, attempt.windows + 1)
    passed = case.since(attempt.rolled_out_at)
    if passed < done:
        return Step(case.status, again_at=case.now + (done - passed))
    return _judged(case)


def kept(case: Case) -> Step:
    """What was kept stays, until somebody writes the arguments from before again: then nothing says that it holds."""
    live, target = case.live, case.plan.target
    if case.elsewhere or live is None or target is None or live.args_digest != target.args_digest:
        return Step(case.status)
    return Step(_taken_back_by(case, live, "; delete the plan to have it made anew"))


def _judged(case: Case) -> Step:
    before, after = case.status.baseline, case.window
    if before is None or after is None:
        missing = "before the change" if before is None else "after the change"
        return _another_window(case, Judgement(Verdict.INCONCLUSIVE, f"nothing was measured {missing}"))
    found = judge(before, after, wanted_of(case))
    if found.verdict is Verdict.INCONCLUSIVE:
        return _another_window(case, found)
    verification = verification_of(case.plan.summary.gain, found, after)
    if found.verdict is Verdict.ROLL_BACK:
        return undo(case, Reason.REGRESSION, found.reason, verification=verification)
    said = Said(PlanConditionType.VERIFIED, Status.TRUE, Reason.IMPROVEMENT_KEPT, found.reason)
    return Step(moved(case, Phase.VERIFIED, f"Kept: {found.reason}.", said, verification=verification))


def _another_window(case: Case, found: Judgement) -> Step:
    """The load may come back to what it was; after a day nobody waits for that any more."""
    verification = verification_of(case.plan.summary.gain, found, case.window)
    said = Said(PlanConditionType.VERIFIED, Status.UNKNOWN, Reason.INCONCLUSIVE, found.reason)
    if case.since(case.attempt.rolled_out_at) >= timedelta(seconds=UNDECIDED_SECONDS):
        if case.apply.verify.on_inconclusive is Undecided.ROLL_BACK:
            why = f"a day could not tell whether it helps ({found.reason})"
            return undo(case, Reason.INCONCLUSIVE, why, verification=verification)
        message = f"Left as it is; no harm was seen, and no gain could be shown: {found.reason}."
        return Step(moved(case, Phase.VERIFIED, message, said, verification=verification))
    attempt = case.attempt.model_copy(update={"windows": windows_over(case, case.attempt.rolled_out_at)})
    message = f"Measured again: {found.reason}."
    status = moved(case, Phase.VERIFYING, message, said, verification=verification, attempt=attempt)
    return Step(status, again_at=case.now + timedelta(seconds=case.apply.verify.window_seconds))


def _patched(case: Case) -> Step:
    git = delivered(case, case.attempt.git)
    rest = case.live.template_digest if case.live is not None else None
    noted = {"patched_at": timestamp(case.now), "git": git, "template_digest": rest}
    attempt = case.attempt.model_copy(update=noted)
    applied = Said(PlanConditionType.APPLIED, Status.TRUE, Reason.PATCHED, "the workload carries the plan's arguments")
    rolling = Said(PlanConditionType.ROLLED_OUT, Status.UNKNOWN, Reason.ROLLOUT_IN_PROGRESS, "pods are replaced")
    message = "The workload carries the plan; its pods are replaced."
    status = moved(
        case,
        Phase.ROLLING_OUT,
        message,
        applied,
        rolling,
        attempt=attempt,
        applied_at=timestamp(case.now),
        failures=0,
    )
    return Step(status, again_at=case.now)


def _gone(case: Case) -> Step | None:
    live = case.live
    if case.elsewhere:
        return Step(_left(case, Reason.TARGET_CHANGED, ELSEWHERE))
    if live is None or live.uid != case.attempt.target_uid:
        why = "the workload does not exist any more" if live is None else "the workload was deleted and made anew"
        return Step(_left(case, Reason.TARGET_GONE, why))
    if live.container is None:
        return Step(_left(case, Reason.CHANGED_BY_OTHER, "the workload has no such container any more"))
    return None


def _taken_back(case: Case) -> Step | None:
    """Somebody else wrote the arguments: that is not fought, and nothing is undone that is not ours."""
    live = case.live
    if live is None or live.args_digest != case.attempt.applied_digest:
        return None if live is None else Step(_taken_back_by(case, live))
    if case.attempt.template_digest in {None, live.template_digest}:
        return None
    why = "somebody changed the pods' template otherwise (their image, say) after the plan was written, so what follows"
    return Step(_left(case, Reason.CHANGED_BY_OTHER, f"{why} says nothing of the plan; it keeps the plan's arguments"))


def _taken_back_by(case: Case, live: Live, way_out: str = "") -> PlanStatus:
    before = case.plan.target.args_digest if case.plan.target is not None else None
    if live.args_digest == before:
        keepers = ", ".join(owner.name for owner in case.owners) or "somebody"
        why = f"the arguments are again those from before: {keepers} took the change back{way_out}"
        return _left(case, Reason.REVERTED_BY_OTHER, why)
    return _left(case, Reason.CHANGED_BY_OTHER, "somebody changed the arguments after the plan was written")


def _left(case: Case, reason: Reason, why: str) -> PlanStatus:
    said = Said(PlanConditionType.APPLIED, Status.FALSE, reason, why)
    return moved(case, Phase.FAILED, f"Left alone: {why}.", said)


def _new_pods(case: Case) -> tuple[PodState, ...]:
    return tuple(pod for pod in case.pods if pod.args_digest == case.attempt.applied_digest)


def _trouble(case: Case) -> tuple[Reason, str] | None:
    """Why the rollout will not end well."""
    new = _new_pods(case)
    failing = next((pod.trouble for pod in new if pod.trouble), "")
    if failing:
        return Reason.PODS_FAIL, failing
    waits = next((f"; pod {pod.name}: {pod.unscheduled}" for pod in new if pod.unscheduled), "")
    stuck = case.live.stuck if case.live is not None else ""
    if stuck and not any(pod.ready or pod.coming_up for pod in new):
        return Reason.NO_ROOM if waits or not new else Reason.PODS_FAIL, stuck + waits
    most, attempt = case.apply.rollout_timeout_seconds, case.attempt
    if case.since(attempt.progressed_at or attempt.patched_at) <= timedelta(seconds=most):
        return None
    ready = f"{sum(pod.ready for pod in new)} pods are ready with it"
    why = f"{ready}, and no further one has become so in {most} s (apply.rolloutTimeoutSeconds){waits}"
    return Reason.NO_ROOM if waits else Reason.ROLLOUT_TIMED_OUT, why


def _measures(case: Case) -> str:
    verify = case.apply.verify
    return f"It is measured for {verify.window_seconds} s, after {verify.warm_up_seconds} s to warm up."
