"""What an optimizer answers: levers that the planner may move together, and what stands outside that search."""

from dataclasses import dataclass
from enum import StrEnum

from inferplan.api.instance import OptimizerName
from inferplan.api.plan import Alternative
from inferplan.api.values import Confidence, ConfigChange, Effort, OptimizationType
from inferplan.domain.model_card import ModelCard
from inferplan.domain.proposal import Abstention, Proposal


class LimitKey(StrEnum):
    """Settings that only move limits: thousands of their values are forecast at once. All others change shapes."""

    UTILIZATION = "gpu_memory_utilization"
    SEQUENCES = "max_batch_size"
    TOKENS = "max_num_batched_tokens"
    CONTEXT = "max_model_len"


@dataclass(frozen=True)
class Option:
    """One place that a lever may be moved to.

    All its words are known before anything is searched: what was seen, and why the change follows. What it brings is
    said by the forecast.

    Attributes:
        changes: Settings that change, each with its reason and evidence; at least one.
        title: One line for people.
        description: What was seen and why the change follows, without numbers of the effect.
        risks: What could go wrong, and how it would show.
        prerequisites: What must hold first.
        raises_confidence: What to supply for a surer answer.
        effort: Work to carry it out.
        capability_loss: What clients could no longer do; None where nothing is lost.
        accuracy_risk: What could make answers worse; None where numerics stay the same.
        doubt: Standard deviation of the logarithm of the speed ratio that the step model does not see (kernels of
            another number format); 0 where only limits move.
        confidence_most: No surer than this, however good the forecast.
        card: The model that would run, where it is another one.
    """

    changes: tuple[ConfigChange, ...]
    title: str
    description: str
    risks: tuple[str, ...] = ()
    prerequisites: tuple[str, ...] = ()
    raises_confidence: tuple[str, ...] = ()
    effort: Effort = Effort.LOW
    capability_loss: str | None = None
    accuracy_risk: str | None = None
    doubt: float = 0.0
    confidence_most: Confidence = Confidence.HIGH
    card: ModelCard | None = None


@dataclass(frozen=True)
class Lever:
    """One thing that can be moved, and where to. Staying where it is needs no option.

    Two levers never change the same setting.

    Attributes:
        optimizer: Whose idea it is.
        type: What kind of setting it changes.
        options: Places to move to, in an order of its own; the planner chooses one or none.
    """

    optimizer: OptimizerName
    type: OptimizationType
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Answer:
    """All that an optimizer has to say.

    Attributes:
        levers: What may be searched.
        proposals: Changes that no forecast prices and that stand on their own: what keeps the engine from starting,
            rules of thumb where nothing is known, defaults that somebody switched off.
        abstentions: What it does not propose, and why.
        advice: What is not a flag of this workload: replicas, parallelism, another release.
    """

    levers: tuple[Lever, ...] = ()
    proposals: tuple[Proposal, ...] = ()
    abstentions: tuple[Abstention, ...] = ()
    advice: tuple[Alternative, ...] = ()
