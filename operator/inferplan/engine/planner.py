"""The function of the project: what was seen, and what is wanted, to one decision."""

from collections.abc import Sequence
from dataclasses import dataclass

from inferplan.api.plan import AbstentionNote, Decision, Rejected
from inferplan.api.reasons import Reason
from inferplan.api.values import ImpactLevel, Optimization
from inferplan.diagnose.bottlenecks import Diagnosis, diagnose
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.engine.budget import after_changes, memory_budget
from inferplan.engine.explain import resulting_configs, summarize, total_improvement
from inferplan.engine.guardrails import guard
from inferplan.optimizers import OPTIMIZERS
from inferplan.optimizers.base import Optimizer

_RANK = {ImpactLevel.CRITICAL: 0, ImpactLevel.HIGH: 1, ImpactLevel.MEDIUM: 2, ImpactLevel.LOW: 3}


_REASON_MAX = 1024


@dataclass(frozen=True)
class Outcome:
    """A decision and the diagnosis behind it."""

    decision: Decision
    diagnosis: Diagnosis


def plan(observation: Observation, policy: Policy, optimizers: Sequence[Optimizer] = OPTIMIZERS) -> Outcome:
    """Diagnoses, asks every optimizer, guards, ranks and composes. The same input gives the same outcome."""
    diagnosis = diagnose(observation)
    answers = [_ask(optimizer, observation, diagnosis, policy) for optimizer in optimizers]
    proposals = [answer for answer in answers if isinstance(answer, Proposal)]
    verdicts = [(proposal, guard(proposal, observation, policy)) for proposal in proposals]
    kept = _ranked([proposal for proposal, objection in verdicts if objection is None])
    rejected = tuple(objection for _, objection in verdicts if objection is not None)
    notes = tuple(_note(answer) for answer in answers if isinstance(answer, Abstention))
    return Outcome(_compose(observation, kept, rejected, notes), diagnosis)


def _ask(optimizer: Optimizer, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Proposal | Abstention:
    if optimizer.name not in policy.optimizers:
        return Abstention(optimizer.name, Reason.NOT_SELECTED, "spec.constraints.optimizers leaves it out")
    return optimizer.propose(observation, diagnosis, policy)


def _ranked(proposals: Sequence[Proposal]) -> tuple[Optimization, ...]:
    """Highest impact first, the optimizers' own order among equals; ids carry type and rank."""
    ordered = sorted(proposals, key=lambda proposal: _RANK[proposal.optimization.expected_impact])
    return tuple(
        proposal.optimization.model_copy(update={"id": f"{proposal.optimization.type}_{rank}"})
        for rank, proposal in enumerate(ordered)
    )


def _note(abstention: Abstention) -> AbstentionNote:
    reason = abstention.reason[:_REASON_MAX]  # it may quote what others wrote, at any length
    return AbstentionNote(optimizer=abstention.optimizer, code=abstention.code, reason=reason)


def _compose(
    observation: Observation,
    optimizations: tuple[Optimization, ...],
    rejected: tuple[Rejected, ...],
    abstentions: tuple[AbstentionNote, ...],
) -> Decision:
    changes = [change for optimization in optimizations for change in optimization.config_changes]
    after = after_changes(observation.config, changes)
    kv_cache, quantization, batching = resulting_configs(after, changes)
    return Decision(
        optimizations=optimizations,
        kv_cache_config=kv_cache,
        quantization_config=quantization,
        batching_config=batching,
        priority_order=tuple(optimization.id for optimization in optimizations),
        estimated_total_improvement=total_improvement(optimizations),
        effects=optimizations[0].effects if len(optimizations) == 1 else (),
        memory_budget=memory_budget(observation, after) if optimizations else None,
        rejected=rejected,
        abstentions=abstentions,
        summary=summarize(optimizations),
    )
