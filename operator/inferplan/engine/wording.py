"""Drafts as a plan's optimizations, in words and numbers. Pure."""

from collections.abc import Iterable, Iterator

from inferplan.api.base import SHORT_TEXT_MAX, TEXT_MAX
from inferplan.api.plan import Alternative
from inferplan.api.values import Confidence, ConfigChange, Effort, Optimization
from inferplan.domain.lever import Option
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.engine.budget import moves
from inferplan.engine.effects import Expected, confidence, effects_of, impact, sentence
from inferplan.engine.search import Draft, Found, Other

_LIST_MAX = 8
_CONFIDENCE, _EFFORT = tuple(Confidence), tuple(Effort)
_WHOLE = 0.995
"""A share from here on is the whole gain, and is not mentioned."""
_SHARE_LEAST = 0.01
_OUTAGE = (
    "There is one replica: nobody is served while it starts again, unless the rollout starts the new pod first, which"
    " takes free GPUs."
)


def optimization_of(draft: Draft, found: Found, observation: Observation) -> Optimization:
    """One optimization; its id comes with its rank."""
    options = [option for _, option in draft.moves]
    effects = effects_of(Expected(draft.ratios, draft.place), observation, found.forecast, found.wish.targets)
    most = min((option.confidence_most for option in options), key=_CONFIDENCE.index)
    return Optimization(
        type=draft.moves[0][0].type,
        title=_joined((option.title for option in options), " and ", SHORT_TEXT_MAX),
        description=_described(draft, options),
        config_changes=tuple(change for option in options for change in option.changes),
        expected_impact=impact(draft.score),
        estimated_improvement=f"{'Alone: ' if len(found.drafts) > 1 else ''}{sentence(effects)}"[:TEXT_MAX],
        effects=effects,
        confidence=confidence(draft.ratios, found.forecast, most),
        source=found.forecast.source,
        implementation_effort=max((option.effort for option in options), key=_EFFORT.index),
        risks=_listed(option.risks for option in options),
        prerequisites=_listed(option.prerequisites for option in options),
        raises_confidence=_listed((*(option.raises_confidence for option in options), _surer(found))),
        capability_loss=_one(option.capability_loss for option in options),
        accuracy_risk=_one(option.accuracy_risk for option in options),
    )


def alternative_of(other: Other, found: Found, observation: Observation) -> Alternative:
    """Another point of the frontier."""
    effects = effects_of(Expected(other.ratios, other.place), observation, found.forecast, found.wish.targets)
    moves = _joined((option.title for _, option in other.moves), "; ", SHORT_TEXT_MAX - 20)
    return Alternative(
        title=f"{other.wanted}: {moves}"[:SHORT_TEXT_MAX],
        description=sentence(effects)[:TEXT_MAX],
        effects=effects,
    )


def with_undo(optimization: Optimization, config: ServingConfig) -> Optimization:
    """The optimization with how its changes are taken back.

    Args:
        optimization: The optimization.
        config: What runs now, and where each setting comes from.
    """
    back = ", ".join(_back(change, config) for change in optimization.config_changes)
    restart = "; the pods restart once more" if optimization.restart_required else ""
    return optimization.model_copy(update={"undo": f"{back[:1].upper()}{back[1:]}{restart}."[-TEXT_MAX:]})


def with_defaults(optimization: Optimization, before: ServingConfig, after: ServingConfig) -> Optimization:
    """The optimization with what the release does otherwise because of it, though nobody set it.

    Args:
        optimization: The optimization.
        before: What runs.
        after: What would run with it.
    """
    named = {change.parameter for change in optimization.config_changes}
    moved = [
        f"{key} from {old} to {new}"
        for key, old, new in moves(before, after)
        if key not in named and old is not None and new is not None
    ]
    if not moved:
        return optimization
    told = f"{optimization.description} With it the release's own default moves: {', '.join(moved)}."
    return optimization.model_copy(update={"description": told[-TEXT_MAX:]})


def with_outage(optimizations: Iterable[Optimization], replicas: int | None) -> Iterator[Optimization]:
    """The optimizations, the first that restarts pods with what that means where there is but one.

    Args:
        optimizations: The plan's.
        replicas: Ready replicas; None without a workload.
    """
    told = replicas != 1
    for entry in optimizations:
        if told or not entry.restart_required:
            yield entry
            continue
        told = True
        yield entry.model_copy(update={"risks": (_OUTAGE, *entry.risks)[:_LIST_MAX]})


def _back(change: ConfigChange, config: ServingConfig) -> str:
    """What nobody set is not set afterwards either."""
    name = change.flag or change.parameter
    if not change.removes_flag and not config.is_stated(change.parameter):
        return f"take {name} out again"
    if change.current_value is None or isinstance(change.current_value, bool):
        return f"put {name} back as it was"
    return f"set {name} back to {change.current_value}"


def _described(draft: Draft, options: list[Option]) -> str:
    parts = [option.description for option in options]
    if len(options) > 1:
        parts.append("These go together: one without the other brings nothing, or is not safe.")
    if draft.share < _WHOLE:
        share = "less than 1%" if draft.share < _SHARE_LEAST else f"{draft.share:.0%}"
        parts.append(f"It accounts for {share} of the plan's gain.")
    return " ".join(parts)[:TEXT_MAX]


def _surer(found: Found) -> tuple[str, ...]:
    if found.forecast.windows >= 3:  # noqa: PLR2004  effects.confidence counts from here
        return ()
    return ("Measurements at other loads, to fit the step model to this instance.",)


def _listed(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All of them, each once."""
    return tuple(dict.fromkeys(text for texts in lists for text in texts))[:_LIST_MAX]


def _one(texts: Iterable[str | None]) -> str | None:
    found = [text for text in texts if text is not None]
    return " ".join(found)[:TEXT_MAX] if found else None


def _joined(texts: Iterable[str], between: str, longest: int) -> str:
    return between.join(texts)[:longest]
