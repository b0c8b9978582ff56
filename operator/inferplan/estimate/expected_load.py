"""What an instance that nobody measured would show under the load that its owner declares, by the step model. Pure.

Means, by the model as it is shipped: what would be measured is off by what the model is off by, and by how requests
really come. It says which limit is met first; it is never a finding of what was seen.
"""

from dataclasses import dataclass, replace

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.estimate.candidates import Evaluated, Learned, evaluate_sized
from inferplan.estimate.forecast import candidates_of
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_observed import ground_of
from inferplan.estimate.observed_load import Seen, declared_load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import Question, question
from inferplan.estimate.speed_constants import shipped

_NO_START = Missing(Reason.DOES_NOT_FIT, "by the memory estimate the engine does not start with its present arguments")


@dataclass(frozen=True)
class ExpectedLoad:
    """What would be seen, per replica; estimated.

    Attributes:
        seen: The declared load.
        running: Requests that run at once, mean.
        waiting: Requests that wait for a place, mean; of a load that is more than can be served, at least so many.
        kv_cache_usage: Share of the KV cache that is taken, mean.
        step_tokens: Tokens of a step, mean; None where prompts are processed in steps of their own (SGLang).
        requests_per_second: Requests that finish.
        saturated: More requests come than can be served.
    """

    seen: Seen
    running: float
    waiting: float
    kv_cache_usage: float
    step_tokens: float | None
    requests_per_second: float
    saturated: bool


def expected_load(observation: Observation) -> ExpectedLoad | Missing:
    """What the declared load would show; what lacks for an estimate where something does."""
    seen, ground = declared_load(observation), ground_of(observation, observation.config)
    if isinstance(seen, Missing):
        return seen
    if isinstance(ground, Missing):
        return ground
    situation = EstimateInput(ground.before, ground.accelerator, ground.model)
    sized = memory_model(ground.before, ground.accelerator, ground.model, ground.overhead)
    asked = question(situation)
    if isinstance(asked, Missing):
        return asked
    if isinstance(sized, Missing):
        return sized
    # A running deployment has no first wave, and its own clock starts behind the client's part.
    constants = replace(shipped().constants, burst_share=0.0, tester_seconds=0.0, client_seconds=0.0)
    known = Learned(replace(shipped(), constants=constants), overhead=ground.overhead)
    found = evaluate_sized(situation, seen.load, candidates_of(sized, {}), known, sized)
    if isinstance(found, Missing):
        return found
    return _told(seen, asked, found) if bool(found.starts.flat[0]) else _NO_START


def _told(seen: Seen, asked: Question, found: Evaluated) -> ExpectedLoad:
    flow, load = found.flow, seen.load
    computed = load.without_prefixes() if asked.prefix_caching is False else load
    running, served = float(flow.running[0]), float(flow.requests_per_second[0])
    saturated = load.concurrency is None and bool(flow.saturated[0])
    waiting = load.concurrency - running if load.concurrency is not None else served * float(flow.queue_seconds[0])
    return ExpectedLoad(
        seen=seen,
        running=running,
        waiting=max(1.0 if saturated else 0.0, waiting),
        kv_cache_usage=min(1.0, running / max(float(found.held_at_once.flat[0]), 1e-9)),
        step_tokens=None if asked.shape.prefill_apart else _step_tokens(running, computed, asked),
        requests_per_second=served,
        saturated=saturated,
    )


def _step_tokens(running: float, computed: Load, asked: Question) -> float:
    """Tokens of a step: one of each running request, and the prompts that take the places of those that end.

    245 running, prompts of 215 tokens, answers of 198: 245 x (1 + 215 / 198) = 511 (Service bounds them the same way).
    """
    each = running / (asked.shape.attention_ranks * asked.shape.stages)
    return min(each * (1.0 + computed.computed_tokens / computed.output_tokens), asked.batched_tokens)
