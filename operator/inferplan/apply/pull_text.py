"""What a commit and a pull request say: the branch, the title, and the plan for somebody who reviews it. Pure."""

import hashlib
from collections.abc import Iterator

from inferplan.api.apply import GitSpec
from inferplan.api.plan import PlanSpec
from inferplan.api.values import ConfigChange, Effect
from inferplan.apply.case import Case

_TITLE_MOST = 200
_PATH_DIGITS = 6
_NAME_MOST = 140
"""Forges and file systems take 255 bytes of a branch's name; a namespace has 63 at most."""
_BODY_MOST = 30_000
"""GitHub takes 65,536 characters in a pull request; GitLab and Gitea more."""


def branch_name(case: Case, git: GitSpec, *, undo: bool = False) -> str:
    """The change's own branch: the plan's name has its hash, so the same plan always comes to the same branch.

    "inferplan/serving/llama-3f9c1d20-5d41b2", and with "-undo" what takes it back. The last six digits are of the path:
    two clusters may have the same plan, for a file each of one repository.
    """
    file = hashlib.sha256(git.path.encode()).hexdigest()[:_PATH_DIGITS]
    name = case.name if len(case.name) <= _NAME_MOST else f"{case.name[: _NAME_MOST - 9]}-{case.name[-8:]}"
    return f"inferplan/{case.namespace}/{name}-{file}" + ("-undo" if undo else "")


def title(case: Case) -> str:
    """First line of the commit that brings the plan."""
    return plain(f"{_where(case)}: {case.plan.summary.changes}")[:_TITLE_MOST]


def undo_title(case: Case) -> str:
    """First line of the commit that takes it back."""
    return f"Undo {title(case)}"[:_TITLE_MOST]


def body(case: Case) -> str:
    """The plan for whoever reviews it."""
    return "\n".join(_lines(case))[:_BODY_MOST]


def undo_body(case: Case, why: str) -> str:
    """Why it is taken back."""
    lines = [
        f"{plain(case.plan.summary.changes)} was to run on {_where(case)} and is taken back: {plain(why)}.",
        "",
        "The arguments are exactly those from before.",
        "InferPlan does not propose the same change again for this image, model and GPU.",
        "",
        f"Plan: `kubectl --namespace {case.namespace} describe optimizationplan {case.name}`",
    ]
    return "\n".join(lines)[:_BODY_MOST]


def _lines(case: Case) -> Iterator[str]:
    plan = case.plan
    yield f"InferPlan proposes for {_where(case)}: **{plain(plan.estimated_total_improvement)}**"
    yield ""
    yield "| setting | flag | now | then | why |"
    yield "|---|---|---|---|---|"
    for entry in plan.optimizations:
        for change in entry.config_changes:
            yield _change(change)
    yield from _effects(plan)
    yield from _listed("What could go wrong", (risk for entry in plan.optimizations for risk in entry.risks))
    yield from _listed("Before merging", _prerequisites(case))
    yield from _listed("It takes something", _losses(plan))
    verify = case.apply.verify
    yield ""
    yield (
        f"**After merging** every pod restarts. InferPlan waits until the workload runs the change, measures"
        f" {verify.window_seconds} s of it and, if it did harm, proposes to take it back. **Closing** this without"
        " merging rejects the plan for good."
    )
    yield ""
    yield (
        f"Confidence: {plan.summary.confidence}. All of it:"
        f" `kubectl --namespace {case.namespace} describe optimizationplan {case.name}`"
    )


def _change(change: ConfigChange) -> str:
    then = "taken out" if change.removes_flag else change.recommended_value
    cells = (change.parameter, change.flag or "", change.current_value, then, change.reason)
    return "| " + " | ".join(_cell(value) for value in cells) + " |"


def _effects(plan: PlanSpec) -> Iterator[str]:
    if not plan.effects:
        return
    yield ""
    yield "| metric | now | expected | 80 % interval | unit | basis |"
    yield "|---|--:|--:|--:|---|---|"
    for effect in plan.effects:
        yield _effect(effect)


def _effect(effect: Effect) -> str:
    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    interval = f"{number(effect.low)} to {number(effect.high)}"
    cells = (effect.metric, number(effect.current), number(effect.expected), interval, effect.unit, effect.source)
    return "| " + " | ".join(_cell(value) for value in cells) + " |"


def _prerequisites(case: Case) -> Iterator[str]:
    """What has to be done first; that the change has to be made in Git, too, goes without saying here."""
    known = tuple(f"({owner.basis})" for owner in case.owners)
    for entry in case.plan.optimizations:
        yield from (text for text in entry.prerequisites if not any(basis in text for basis in known))


def _losses(plan: PlanSpec) -> Iterator[str]:
    for entry in plan.optimizations:
        yield from (text for text in (entry.capability_loss, entry.accuracy_risk) if text)


def _listed(heading: str, texts: Iterator[str]) -> Iterator[str]:
    found = tuple(dict.fromkeys(texts))
    if not found:
        return
    yield ""
    yield f"**{heading}**"
    yield ""
    yield from (f"- {plain(text)}" for text in found)


def _where(case: Case) -> str:
    target = case.plan.target
    return f"{case.namespace}/{case.plan.instance_ref.name if target is None else target.name}"


def _cell(value: object) -> str:
    return plain("" if value is None else str(value)).replace("|", "\\|")


def plain(text: str) -> str:
    """On one line, and nobody is called by it (@name), no issue referred to (#1), no page put in (<...>)."""
    one_line = " ".join(text.split())
    return one_line.replace("<", "&lt;").replace("@", "@\u200b").replace("#", "#\u200b")
