"""What a person may say of a plan, phase by phase."""

import pytest
from tests.support.application import plan_spec

from inferplan.api.apply import ApplyMode
from inferplan.api.plan import Approval, Patch, Phase, PlanSpec, PlanStatus
from inferplan.apply.asking import (
    POSSIBLE,
    Word,
    approval,
    decided_by_merging,
    is_said,
    mode_of,
    possible_words,
    refusal,
)
from inferplan.apply.machine import ACTING, ENDED
from inferplan.apply.starting import WAITING


def asked(
    word: Word, phase: Phase, *, mode: ApplyMode = ApplyMode.APPROVE, plan: PlanSpec | None = None, message: str = ""
) -> str | None:
    return refusal(word, plan or plan_spec(), PlanStatus(phase=phase, message=message), mode, by_merging=False)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (PlanStatus(phase=Phase.SCHEDULED, message="Waits: it rests."), "changes nothing: it waits (Waits: it rests)"),
        (PlanStatus(), "changes nothing: it waits (not seen yet)"),
        (
            PlanStatus.from_kube(
                {
                    "phase": "Applying",
                    "attempt": {
                        "number": 1,
                        "startedAt": "2026-03-01T12:00:00Z",
                        "targetUid": "u",
                        "appliedDigest": "d",
                        "git": {"branch": "b", "pullRequest": {"number": 7, "url": "https://x/7", "state": "open"}},
                    },
                }
            ),
            "changes nothing: merge https://x/7 instead",
        ),
        (PlanStatus(phase=Phase.VERIFYING), "approve comes too late; possible now: rollback"),
    ],
)
def test_what_is_merged_is_not_approved(status: PlanStatus, told: str) -> None:
    refused = refusal(Word.APPROVE, plan_spec(), status, ApplyMode.GITOPS, by_merging=True)
    assert refused is not None
    assert refused.endswith(told)
    if status.phase is not Phase.VERIFYING:
        assert refusal(Word.REJECT, plan_spec(), status, ApplyMode.GITOPS, by_merging=True) is None
        assert possible_words(status.phase, by_merging=True) == POSSIBLE[status.phase] - {Word.APPROVE}


@pytest.mark.parametrize(
    ("apply", "merging"),
    [
        ({"mode": "GitOps", "git": {}}, True),
        ({"mode": "GitOps", "git": {"strategy": "PullRequest"}}, True),
        ({"mode": "GitOps", "git": {"strategy": "Commit"}}, False),
        ({"mode": "Approve", "git": {}}, False),
        ({}, False),
    ],
)
def test_who_decides(apply: dict[str, object], *, merging: bool) -> None:
    assert decided_by_merging({"spec": {"apply": apply}}) is merging


@pytest.mark.parametrize("phase", Phase)
def test_each_phase_has_its_words(phase: Phase) -> None:
    taken = {word for word in Word if asked(word, phase) is None}
    assert taken == POSSIBLE[phase]
    if phase in WAITING:
        assert taken == {Word.APPROVE, Word.REJECT}
    elif phase is Phase.CANARY:
        assert taken == {Word.REJECT}
    elif phase in ENDED - {Phase.VERIFIED} or phase is Phase.ROLLING_BACK:
        assert taken == set()
    else:
        assert phase in ACTING | {Phase.VERIFIED}
        assert Word.ROLLBACK in taken


@pytest.mark.parametrize(
    ("word", "phase", "message", "told"),
    [
        (
            Word.APPROVE,
            Phase.SUPERSEDED,
            "a-2 takes its place.",
            "the plan is Superseded (a-2 takes its place): approve comes too late; nothing can be said of it any more",
        ),
        (Word.APPROVE, Phase.VERIFYING, "", "the plan is Verifying: approve comes too late; possible now: rollback"),
        (
            Word.ROLLBACK,
            Phase.SCHEDULED,
            "",
            "the plan is Scheduled: the workload does not carry it, so there is nothing to undo; use reject",
        ),
        (Word.REJECT, Phase.VERIFIED, "", "the plan is Verified: it was begun; use rollback to undo it"),
    ],
)
def test_a_word_that_comes_too_late_is_refused_with_the_way_out(
    word: Word, phase: Phase, message: str, told: str
) -> None:
    assert asked(word, phase, message=message) == told


def test_nothing_is_approved_that_would_not_be_applied() -> None:
    refused = asked(Word.APPROVE, Phase.PROPOSED, mode=ApplyMode.OFF)
    assert refused is not None
    assert "is Off, so nothing would be applied: set it to Approve, Auto or GitOps first" in refused
    assert asked(Word.REJECT, Phase.PROPOSED, mode=ApplyMode.OFF) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"target": None}, "names no workload"),
        ({"patch": None}, "carried out by hand: the arguments cannot be edited"),
        ({"patch": Patch(applicable=False, reason="a script sets them")}, "by hand: a script sets them"),
    ],
)
def test_nothing_is_approved_that_cannot_be_written(changes: dict[str, object], told: str) -> None:
    refused = asked(Word.APPROVE, Phase.AWAITING_APPROVAL, plan=plan_spec(**changes))
    assert refused is not None
    assert told in refused


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, set()),
        (Approval(approved=True, by="ada", plan_hash="ab" * 32), {Word.APPROVE}),
        (Approval(approved=True, by="ada", plan_hash="cd" * 32), set()),
        (Approval(approved=False), {Word.REJECT, Word.ROLLBACK}),
    ],
)
def test_what_was_said_is_not_said_again(given: Approval | None, said: set[Word]) -> None:
    assert {word for word in Word if is_said(word, plan_spec(given))} == said


def test_a_word_names_who_and_which_plan() -> None:
    plan = plan_spec()
    yes = approval(Word.APPROVE, plan, "ada", None)
    assert (yes.approved, yes.by, yes.plan_hash, yes.told) == (True, "ada", plan.plan_hash, "ada approved it")
    no = approval(Word.ROLLBACK, plan, "ada", "answers look odd")
    assert (no.approved, no.told) == (False, "ada rejected it: answers look odd")


@pytest.mark.parametrize(
    ("document", "mode"),
    [
        ({"spec": {"apply": {"mode": "Auto"}}}, ApplyMode.AUTO),
        ({"spec": {"apply": {"mode": "Sometimes"}}}, ApplyMode.OFF),
        ({"spec": {}}, ApplyMode.OFF),
        ({}, ApplyMode.OFF),
    ],
)
def test_a_mode_that_is_not_known_applies_nothing(document: dict[str, object], mode: ApplyMode) -> None:
    assert mode_of(document) is mode
