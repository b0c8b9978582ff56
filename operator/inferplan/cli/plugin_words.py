"""`kubectl inferplan approve|reject|rollback`: says what will be done, asks back, and writes spec.approval."""

import sys
from collections.abc import Iterator

from pydantic import ValidationError

from inferplan.api.apply import ApplyMode, ApplySpec
from inferplan.api.plan import Phase
from inferplan.api.reasons import PlanConditionType
from inferplan.apply.asking import Word, approval, is_said, nothing_to_undo, refusal
from inferplan.cli.errors import BadInputError, CannotRunError, ChangedMeanwhileError
from inferplan.cli.kube import PLANS, Kubectl
from inferplan.cli.layout import INDENT, wrapped
from inferplan.cli.output import one_line, write
from inferplan.cli.plugin_diff import live_of
from inferplan.cli.plugin_find import Found, again

_LABEL = 11
_NOTE_LENGTH = 1024
_TRIES = 5
"""The operator itself writes the plan's status meanwhile; each try reads what is there now."""
_DONE = {Word.APPROVE: "approved", Word.REJECT: "rejected", Word.ROLLBACK: "roll-back asked for"}
_ASKED = {Word.APPROVE: "Approve it", Word.REJECT: "Reject it", Word.ROLLBACK: "Roll it back"}


def say(kubectl: Kubectl, found: Found, word: Word, *, note: str | None, yes: bool) -> int:
    """Says it, once the user has said yes; returns the exit code: 1 where the user said no.

    Args:
        kubectl: The cluster.
        found: The plan.
        word: What is said of it.
        note: Why.
        yes: Whether the user is not to be asked.

    Raises:
        BadInputError: It cannot be said of the plan as it stands, or nobody can be asked.
        CannotRunError: The cluster does not let the user.
    """
    _check(kubectl, found, word, note)
    if _told_already(found, word):
        return 0
    user = kubectl.user()
    write("\n".join(summary(found, word)) + "\n")
    if not yes and not _agreed(f"{_ASKED[word]} as {user}? [y/N] "):
        write("nothing was changed\n")
        return 1
    _write(kubectl, found, word, user, note)
    return 0


def _write(kubectl: Kubectl, found: Found, word: Word, user: str, note: str | None) -> None:
    """Says it of the plan as it is now: since it was shown it may have been begun, or somebody else may have spoken."""
    for _ in range(_TRIES):
        now = again(kubectl, found)
        _check(kubectl, now, word, note)
        if _told_already(now, word):
            return
        given = {"note": None, **approval(word, now.spec, user, note).to_kube()}
        try:
            kubectl.patch(PLANS, now.document, {"spec": {"approval": given}})
        except ChangedMeanwhileError:
            continue
        write(f"{now.name}: {_DONE[word]} by {user}; `kubectl inferplan status {now.name} -n {now.namespace}`\n")
        return
    raise CannotRunError(f'OptimizationPlan "{found.name}" is being changed; try again')


def _told_already(found: Found, word: Word) -> bool:
    given = found.spec.approval
    if given is None or not is_said(word, found.spec):
        return False
    write(f"{found.name}: it was said already, nothing was changed ({one_line(given.told)})\n")
    return True


def summary(found: Found, word: Word) -> list[str]:
    """What is said yes or no to, and what will be done."""
    spec = found.spec
    lines = [f"{found.namespace}/{found.name} for {spec.instance_ref.name}"]
    lines += _line("changes", spec.summary.changes)
    lines += _line("expected", f"{spec.summary.gain} (confidence {spec.summary.confidence})")
    if word is not Word.APPROVE:
        return [*lines, *_line("done", _undoing(found, word))]
    lines += _line("risk", spec.summary.risk) if spec.summary.risk else []
    for entry in spec.optimizations:
        lines += _line("loses", entry.capability_loss) if entry.capability_loss is not None else []
        lines += _line("accuracy", entry.accuracy_risk) if entry.accuracy_risk is not None else []
    for text in _steps(found):
        lines += _line("done", text)
    closed = _closed_gate(found)
    return [*lines, *(_line("waits for", closed) if closed else [])]


def _check(kubectl: Kubectl, found: Found, word: Word, note: str | None) -> None:
    why = refusal(word, found.spec, found.status, found.mode, by_merging=found.by_merging)
    if why is not None:
        raise BadInputError(f'OptimizationPlan "{found.name}": {why}', *_way_out(found, word))
    if note is not None and not 1 <= len(note) <= _NOTE_LENGTH:
        raise BadInputError(f"--note: {len(note)} characters; allowed: 1 to {_NOTE_LENGTH}")
    if word is Word.ROLLBACK and not is_said(word, found.spec):
        live, _ = live_of(kubectl, found)
        why = nothing_to_undo(found.status, live.args_digest)
        if why is not None:
            raise BadInputError(f'OptimizationPlan "{found.name}": {why}')


def _way_out(found: Found, word: Word) -> Iterator[str]:
    if word is Word.APPROVE and found.mode is ApplyMode.OFF:
        name = found.spec.instance_ref.name
        patch = '{"spec":{"apply":{"mode":"Approve"}}}'
        yield f"kubectl patch ii {name} -n {found.namespace} --type=merge -p '{patch}'"


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise BadInputError("standard input is no terminal, so nobody can be asked: add --yes")
    try:
        return input(question).strip().lower() in {"y", "yes"}
    except (EOFError, KeyboardInterrupt):
        write("\n")
        return False


def _steps(found: Found) -> Iterator[str]:
    try:
        apply = found.apply
    except ValidationError:
        raise BadInputError(
            f'spec.apply of InferenceInstance "{found.spec.instance_ref.name}" cannot be read by this version'
        ) from None
    yield _way(found, apply)
    if apply.canary:
        yield "it is tried on one replica beside the others first"
    for window in apply.maintenance_windows:
        yield f'only in the maintenance window "{window.schedule}" {window.time_zone}, {window.duration_seconds} s long'
    verify = apply.verify
    yield (
        f"it is measured over {verify.window_seconds} s, and undone where something is worse than before by more than"
        f" {verify.max_regression_percent} %"
    )


def _way(found: Found, apply: ApplySpec) -> str:
    target = found.spec.target
    place = f"{target.kind} {target.name}, container {target.container}" if target is not None else "the workload"
    if found.mode is ApplyMode.GITOPS and apply.git is not None:
        where = f"a commit on {apply.git.branch} of {apply.git.repository}"
        return f"{where} changes the arguments of {place}; its pods restart"
    return f"{place} gets the arguments that `kubectl inferplan diff {found.name}` shows; its pods are replaced"


def _undoing(found: Found, word: Word) -> str:
    if word is Word.REJECT and found.by_merging and found.status.phase is Phase.APPLYING:
        return "its pull request is closed; where it was merged already, the change is taken back in Git"
    if word is Word.REJECT:
        return "it is not applied, and not proposed again while the same follows from what is seen"
    target = found.spec.target
    place = f"{target.kind} {target.name}" if target is not None else "the workload"
    return f"{place} gets back the arguments from before; its pods are replaced"


def _closed_gate(found: Found) -> str:
    """Why it is not applied at once."""
    gates = (entry for entry in found.status.conditions if entry.type == PlanConditionType.GATES_PASSED)
    return next((f"{entry.reason}: {one_line(entry.message)}" for entry in gates if entry.status == "False"), "")


def _line(label: str, text: str) -> list[str]:
    return wrapped(f"{label:<{_LABEL}} {one_line(text)}", INDENT)
