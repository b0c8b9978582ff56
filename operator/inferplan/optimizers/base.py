"""The interface of an optimizer, and what all of them check alike."""

from typing import Protocol

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.lever import Answer
from inferplan.domain.measurement import Measured, value_of
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.proposal import Abstention, Policy

KV_NEARLY_FULL = 0.7
"""99th percentile of the KV cache's use from which on memory is worth looking for: a larger batch would fill the rest
soon. A choice."""


class Optimizer(Protocol):
    """One idea of what to change: levers to search, changes that stand alone, abstentions with a code, advice."""

    name: OptimizerName

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """What follows from what was seen.

        An abstention beside levers is what holds if the planner moves none of them.
        """
        ...


def highest_use(metrics: Metrics) -> float | None:
    """The KV cache's use at its 99th percentile, else at its peak; None where neither was measured."""
    p99 = value_of(metrics.kv_cache_usage_p99)
    return value_of(metrics.kv_cache_usage) if p99 is None else p99


def load_is_measured(observation: Observation) -> bool:
    """Whether anything is known of the load; where it is, no rule of thumb speaks."""
    seen = observation.metrics
    load = (seen.num_requests_running, seen.num_requests_waiting, seen.kv_cache_usage, seen.preemptions_per_second)
    return any(isinstance(value, Measured) for value in load)


def end_of_life(name: OptimizerName, observation: Observation) -> Abstention | None:
    """The abstention that every optimizer owes an engine that is no longer developed."""
    if observation.config.engine is not Engine.TGI:
        return None
    why = "TGI is in maintenance mode and is not tuned; plan the move to vLLM or SGLang"
    return Abstention(name, Reason.ENGINE_END_OF_LIFE, why)


def cannot_judge(name: OptimizerName, observation: Observation, diagnosis: Diagnosis) -> Abstention | None:
    """The abstention of an optimizer that rests on metrics, where engine or metrics give nothing to go on."""
    ended = end_of_life(name, observation)
    if ended is not None:
        return ended
    if diagnosis.cause is Cause.UNKNOWN:
        first = diagnosis.missing[0]
        return Abstention(name, first.code, f"cannot tell what limits the instance: {first.reason}")
    if diagnosis.cause is Cause.IDLE:
        return Abstention(name, Reason.IDLE, "no request ran or waited in the window; nothing can be said")
    if diagnosis.cause is Cause.COLD_START:
        return Abstention(name, Reason.COLD_START, "the engine has just started; what was measured tells of its start")
    return None
