"""The function of the project: what was seen, and what is wanted, to one decision."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inferplan.api.instance import OptimizerName
from inferplan.api.plan import AbstentionNote, Alternative, Decision, Rejected
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, ImpactLevel, Optimization
from inferplan.diagnose.bottlenecks import Diagnosis, diagnose
from inferplan.domain.lever import Answer, Lever
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy
from inferplan.engine.budget import looked_at, memory_budget
from inferplan.engine.declared import DeclaredLook, ask, declared_advice, declared_look
from inferplan.engine.explain import (
    ResultingConfig,
    effects_basis,
    resulting_configs,
    summarize,
    total_improvement,
    whole_effects,
)
from inferplan.engine.guardrails import ALONE, TOGETHER, Deed, objection
from inferplan.engine.ownership import with_owners
from inferplan.engine.replicas import more_replicas
from inferplan.engine.search import Found, Known, Standing, search
from inferplan.engine.wording import alternative_of, optimization_of, with_defaults, with_outage, with_undo
from inferplan.estimate.learning import OperatingPoint
from inferplan.optimizers import OPTIMIZERS
from inferplan.optimizers.base import Optimizer

_REASON_MAX = 1024
"""Letters of a reason: it may quote what others wrote, at any length."""

_OPTIMIZATIONS_MAX, _ALTERNATIVES_MAX, _REJECTED_MAX = 8, 8, 16


@dataclass(frozen=True)
class Outcome:
    """A decision and the diagnosis behind it.

    Attributes:
        decision: What to change.
        diagnosis: What limits the instance.
        score: Logarithm of the gain of what was searched, in what the owner wants (wish.Wish); 0 for none.
    """

    decision: Decision
    diagnosis: Diagnosis
    score: float = 0.0


@dataclass(frozen=True)
class Before:
    """What is known from before this look.

    Attributes:
        points: Windows of earlier looks at what runs now.
        standing: Settings of the plan that stands.
        measured: Whether the instance was ever measured: then a look without numbers waits for the next one, whatever
            load is declared.
    """

    points: Sequence[OperatingPoint] = ()
    standing: Standing | None = None
    measured: bool = False


@dataclass(frozen=True)
class _Kept:
    """An optimization with the optimizers behind it."""

    optimization: Optimization
    optimizers: frozenset[OptimizerName]


def plan(
    observation: Observation,
    policy: Policy,
    before: Before | None = None,
    optimizers: Sequence[Optimizer] = OPTIMIZERS,
) -> Outcome:
    """Diagnoses, asks every optimizer, searches, guards, ranks and composes. The same input gives the same outcome."""
    diagnosis, known = diagnose(observation), before or Before()
    declared = None if known.measured else declared_look(observation, diagnosis)
    seen = (observation, diagnosis)
    answers = {optimizer.name: _ask(optimizer, seen, policy, declared) for optimizer in optimizers}
    alone, refused = _accepted(_by_impact(answers.values()), Deed(()), observation, policy)
    levers = _free(answers.values(), alone)
    first = [one for one in alone if one.optimization.expected_impact is ImpactLevel.CRITICAL]
    settled = Known(known.points, known.standing, _changes(first))
    found = search(observation, diagnosis, policy, levers, settled) if levers or policy.slo else None
    searched = _searched(found, observation)
    sure = Deed(_changes((*first, *searched)), card=found.card if isinstance(found, Found) else None)
    rest, collided = _accepted(alone[len(first) :], sure, observation, policy)
    kept = _ranked((*first, *searched, *rest), observation, sure.card)
    notes = tuple(_notes(answers, kept, levers, found))
    more = more_replicas(observation, policy, diagnosis, found)
    advice = (*((more,) if more is not None else ()), *declared_advice(declared, _advice(answers.values())))
    decision = _compose(observation, kept, found, ((*refused, *collided), notes, advice))
    return Outcome(decision, diagnosis, found.score if isinstance(found, Found) else 0.0)


def _ask(
    optimizer: Optimizer,
    seen: tuple[Observation, Diagnosis],
    policy: Policy,
    declared: DeclaredLook | Missing | None,
) -> Answer:
    if optimizer.name not in policy.optimizers:
        why = "spec.constraints.optimizers leaves it out"
        return Answer(abstentions=(Abstention(optimizer.name, Reason.NOT_SELECTED, why),))
    return ask(optimizer, seen, policy, declared)


def _by_impact(answers: Iterable[Answer]) -> list[_Kept]:
    """Changes that no forecast prices: first what keeps the engine from starting, then the rest by impact."""
    found = [
        _Kept(proposal.optimization, frozenset({proposal.optimizer}))
        for answer in answers
        for proposal in answer.proposals
    ]
    return sorted(found, key=lambda one: -tuple(ImpactLevel).index(one.optimization.expected_impact))


def _accepted(
    ones: Iterable[_Kept], settled: Deed, observation: Observation, policy: Policy
) -> tuple[list[_Kept], list[Rejected]]:
    """Those that are safe alone, and together with what is settled and with those before them."""
    kept, refused = list[_Kept](), list[Rejected]()
    for one in ones:
        made = one.optimization
        own = Deed(made.config_changes, one.optimizers | {made.type})
        whole = Deed((*settled.changes, *_changes(kept), *own.changes), card=settled.card)
        against = objection(ALONE + TOGETHER, own, observation, policy)
        against = against or objection(TOGETHER, whole, observation, policy)
        if against is None:
            kept.append(one)
        else:
            refused.append(Rejected(option=made.title, code=against.code, reason=against.reason[:_REASON_MAX]))
    return kept, refused


def _searched(found: Found | Missing | None, observation: Observation) -> list[_Kept]:
    if not isinstance(found, Found):
        return []
    return [
        _Kept(optimization_of(draft, found, observation), frozenset(lever.optimizer for lever, _ in draft.moves))
        for draft in found.drafts
    ]


def _changes(ones: Iterable[_Kept]) -> tuple[ConfigChange, ...]:
    return tuple(change for one in ones for change in one.optimization.config_changes)


def _free(answers: Iterable[Answer], alone: Sequence[_Kept]) -> tuple[Lever, ...]:
    """Levers whose settings no other change touches."""
    taken = {change.parameter for one in alone for change in one.optimization.config_changes}
    return tuple(
        lever
        for answer in answers
        for lever in answer.levers
        if not taken & {change.parameter for option in lever.options for change in option.changes}
    )


def _ranked(ordered: Sequence[_Kept], observation: Observation, card: ModelCard | None) -> tuple[_Kept, ...]:
    """As many as a plan holds, each with all that is said of it beside its gain, and an id of type and rank."""
    first = ordered[:_OPTIMIZATIONS_MAX]
    told = (_told(one.optimization, observation, card) for one in first)
    owned = with_owners(with_outage(told, observation.replicas), observation.owners)
    return tuple(
        replace(one, optimization=made.model_copy(update={"id": f"{made.type}_{rank}"}))
        for rank, (one, made) in enumerate(zip(first, owned, strict=True))
    )


def _told(made: Optimization, observation: Observation, card: ModelCard | None) -> Optimization:
    """With the defaults that move, and how it is undone."""
    other = card if any(change.parameter == "model" for change in made.config_changes) else None
    after = looked_at(observation, made.config_changes, other)
    return with_undo(with_defaults(made, observation.config, after), observation.config)


def _notes(
    answers: dict[OptimizerName, Answer], kept: Sequence[_Kept], levers: Sequence[Lever], found: Found | Missing | None
) -> Iterable[AbstentionNote]:
    """One or more notes for each optimizer that is not in the plan."""
    acting = frozenset(name for one in kept for name in one.optimizers)
    for name, answer in answers.items():
        if name in acting:
            continue
        own = [lever for lever in levers if lever.optimizer is name]
        notes = answer.abstentions or ((_left_alone(name, own, found),) if own else ())
        yield from map(_note, notes)


def _left_alone(name: OptimizerName, levers: Sequence[Lever], found: Found | Missing | None) -> Abstention:
    """Why none of an optimizer's levers is moved."""
    if isinstance(found, Missing):
        return Abstention(name, found.code, f"what a change would bring cannot be forecast: {found.reason}")
    tried = sum(len(lever.options) for lever in levers)
    why = f"none of the {tried} settings that were looked at gains enough, together with any others"
    return Abstention(name, Reason.GAIN_TOO_SMALL, why)


def _note(abstention: Abstention) -> AbstentionNote:
    return AbstentionNote(optimizer=abstention.optimizer, code=abstention.code, reason=abstention.reason[:_REASON_MAX])


def _advice(answers: Iterable[Answer]) -> tuple[Alternative, ...]:
    return tuple(entry for answer in answers for entry in answer.advice)


def _compose(
    observation: Observation,
    kept: Sequence[_Kept],
    found: Found | Missing | None,
    beside: tuple[tuple[Rejected, ...], tuple[AbstentionNote, ...], tuple[Alternative, ...]],
) -> Decision:
    optimizations, (refused, notes, advice) = tuple(one.optimization for one in kept), beside
    changes = _changes(kept)
    searched = found if isinstance(found, Found) else None
    card = searched.card if searched is not None else None
    after = looked_at(observation, changes, card)
    effects = whole_effects(searched, observation, after)
    kv_cache, quantization, batching = resulting_configs(
        ResultingConfig(after, card), changes, observation.accelerator.compute_capability
    )
    others = [alternative_of(other, searched, observation) for other in searched.others] if searched else []
    others = [other for other in others if other.effects]  # what cannot be told is no choice
    return Decision(
        optimizations=optimizations,
        kv_cache_config=kv_cache,
        quantization_config=quantization,
        batching_config=batching,
        priority_order=tuple(optimization.id for optimization in optimizations),
        estimated_total_improvement=total_improvement(optimizations, searched, effects),
        effects=effects,
        effects_basis=effects_basis(searched),
        memory_budget=memory_budget(observation, after, card) if changes else None,
        alternatives=(*others, *advice)[:_ALTERNATIVES_MAX],
        rejected=(*refused, *(searched.rejected if searched else ()))[:_REJECTED_MAX],
        abstentions=notes[:_REJECTED_MAX],
        summary=summarize(optimizations, searched),
    )
