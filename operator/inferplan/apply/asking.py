"""What a person may say of a plan, by its phase and its owner's mode. Pure.

The same words stand behind `kubectl inferplan approve` and `POST …/approve`: a word that would change nothing, or
would come too late, is refused in a sentence instead of being written down and ignored.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from inferplan.api.apply import ApplyMode, GitStrategy
from inferplan.api.plan import Approval, Phase, PlanSpec, PlanStatus
from inferplan.dialects.untyped import mapping, scalar


class Word(StrEnum):
    """What a person says of a plan."""

    APPROVE = "approve"
    REJECT = "reject"
    ROLLBACK = "rollback"


_NONE: frozenset[Word] = frozenset()
_WAITS = frozenset({Word.APPROVE, Word.REJECT})
_CARRIED = frozenset({Word.ROLLBACK})
_UNDECIDED = frozenset({Phase.PROPOSED, Phase.AWAITING_APPROVAL, Phase.SCHEDULED, Phase.APPLYING})

POSSIBLE: Mapping[Phase, frozenset[Word]] = MappingProxyType(
    {
        Phase.PROPOSED: _WAITS,
        Phase.AWAITING_APPROVAL: _WAITS,
        Phase.SCHEDULED: _WAITS,
        Phase.CANARY: frozenset({Word.REJECT}),  # the canary goes, and nothing else was touched
        Phase.APPLYING: frozenset({Word.REJECT, Word.ROLLBACK}),  # it may be written in this very moment
        Phase.ROLLING_OUT: _CARRIED,
        Phase.VERIFYING: _CARRIED,
        Phase.VERIFIED: _CARRIED,
        Phase.ROLLING_BACK: _NONE,
        Phase.ROLLED_BACK: _NONE,
        Phase.REJECTED: _NONE,
        Phase.SUPERSEDED: _NONE,
        Phase.FAILED: _NONE,
    }
)
"""Words that change something in a phase."""


def possible_words(phase: Phase, *, by_merging: bool) -> frozenset[Word]:
    """What changes something in a phase.

    Args:
        phase: The plan's phase.
        by_merging: Whether who merges a pull request decides.
    """
    return POSSIBLE[phase] - ({Word.APPROVE} if by_merging else set())


def refusal(word: Word, plan: PlanSpec, status: PlanStatus, mode: ApplyMode, *, by_merging: bool) -> str | None:
    """Why the word cannot be taken, and what can be done instead; None where it can.

    Args:
        word: What the person says.
        plan: The plan's spec.
        status: What became of it.
        mode: spec.apply.mode of its instance.
        by_merging: Whether who merges a pull request decides (`decided_by_merging`).
    """
    possible = possible_words(status.phase, by_merging=by_merging)
    if by_merging and word is Word.APPROVE and status.phase in _UNDECIDED:
        return _by_merging(status)
    if word not in possible:
        return _too_late(word, status, possible)
    return _in_vain(plan, mode) if word is Word.APPROVE else None


def nothing_to_undo(status: PlanStatus, args_digest: str | None) -> str | None:
    """Why a roll-back would change nothing: the workload does not run the plan; None where it does.

    A no that is written down all the same would undo the plan much later, should its arguments ever come back.

    Args:
        status: What became of the plan.
        args_digest: SHA-256 of the arguments that run now; None where there is no such workload.
    """
    attempt = status.attempt
    if attempt is not None and args_digest == attempt.applied_digest:
        return None
    instead = "; use reject" if Word.REJECT in POSSIBLE[status.phase] else ""
    return f"the workload runs other arguments than the plan's, so there is nothing to undo{instead}"


def approval(word: Word, plan: PlanSpec, by: str, note: str | None) -> Approval:
    """The word as spec.approval has it; a roll-back is a no to what the workload carries (decision 0016)."""
    return Approval(approved=word is Word.APPROVE, by=by, plan_hash=plan.plan_hash, note=note)


def is_said(word: Word, plan: PlanSpec) -> bool:
    """Whether spec.approval says so already: it is not written again, and keeps who said it first."""
    given = plan.approval
    if given is None or given.approved is not (word is Word.APPROVE):
        return False
    return not given.approved or given.plan_hash == plan.plan_hash


def mode_of(instance: Mapping[str, Any]) -> ApplyMode:
    """spec.apply.mode of an InferenceInstance as it is stored; a mode that is not known applies nothing."""
    mode = scalar(mapping(mapping(instance.get("spec")).get("apply")).get("mode"))
    return ApplyMode(mode) if mode in set(ApplyMode) else ApplyMode.OFF


def decided_by_merging(instance: Mapping[str, Any]) -> bool:
    """Whether an InferenceInstance, as it is stored, has its plans proposed by pull requests."""
    apply = mapping(mapping(instance.get("spec")).get("apply"))
    strategy = scalar(mapping(apply.get("git")).get("strategy")) or GitStrategy.PULL_REQUEST
    return mode_of(instance) is ApplyMode.GITOPS and strategy == GitStrategy.PULL_REQUEST


def _by_merging(status: PlanStatus) -> str:
    note = status.attempt.git if status.attempt is not None else None
    pull = note.pull_request if note is not None and status.phase is Phase.APPLYING else None
    where = (
        f"merge {pull.url} instead"
        if pull is not None
        else f"it waits ({status.message.rstrip('.') or 'not seen yet'})"
    )
    return (
        f"spec.apply.mode is GitOps, so whoever merges the pull request decides, and approving changes nothing: {where}"
    )


def _too_late(word: Word, status: PlanStatus, possible: frozenset[Word]) -> str:
    told = f"the plan is {status.phase}" + (f" ({status.message.rstrip('.')})" if status.message else "")
    if word is Word.ROLLBACK and possible:
        return f"{told}: the workload does not carry it, so there is nothing to undo; use reject"
    if word is Word.REJECT and possible:
        return f"{told}: it was begun; use rollback to undo it"
    instead = f"possible now: {', '.join(sorted(possible))}" if possible else "nothing can be said of it any more"
    return f"{told}: {word} comes too late; {instead}"


def _in_vain(plan: PlanSpec, mode: ApplyMode) -> str | None:
    if mode is ApplyMode.OFF:
        name = plan.instance_ref.name
        return (
            f'spec.apply.mode of InferenceInstance "{name}" is Off, so nothing would be applied: set it to Approve,'
            " Auto or GitOps first"
        )
    if plan.target is None:
        return "the plan names no workload (spec.targetRef), so there is nothing to write into"
    if plan.patch is None or not plan.patch.applicable:
        why = plan.patch.reason if plan.patch is not None and plan.patch.reason else "the arguments cannot be edited"
        return f"the plan has to be carried out by hand: {why}"
    return None
