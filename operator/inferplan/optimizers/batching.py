"""Batching: the scheduler's cap on running requests.

Table: running at the cap, a queue, KV cache low → raise max_num_seqs, at most to twice, as far as the KV
cache, the tokens of a step and the latency targets provably allow. KV cache full, or anything preempted →
never raise. Objective latency → never raise. Idle or unmeasured → abstains; no load measured and rules of
thumb asked for → twice the batch, marked as such.
"""

import math

from inferplan.api.instance import Objective, OptimizerName, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.domain.serving import Origin, Setting
from inferplan.estimate.memory_observed import sizes
from inferplan.estimate.result import Interval
from inferplan.estimate.running import fixing_key, is_single_engine
from inferplan.optimizers.base import cannot_judge, load_is_measured
from inferplan.optimizers.batching_report import STEP_MAX, Room, doubled_cap, raised_cap

KV_USE_MAX = 0.90
"""Predicted use of the KV cache may not exceed this: room for longer requests than those seen. A guard."""

STEP_MIN = 1.10
"""Below a tenth more there is nothing worth a restart."""

_STEP_METRICS = frozenset({SLOMetric.ITL, SLOMetric.TPOT})
"""Latencies that grow with the time of a step."""


class Batching:
    """Proposes a larger batch where only the scheduler's cap is in the way."""

    name = OptimizerName.BATCHING

    def propose(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Proposal | Abstention:
        """See the module's table."""
        if _only_a_rule(observation, diagnosis, policy):
            return _rule_of_thumb(self.name, observation, policy)
        blocked = cannot_judge(self.name, observation, diagnosis) or _no_reason(self.name, diagnosis, policy)
        blocked = blocked or _preempting(self.name, observation)
        return blocked if blocked is not None else _raise_cap(self.name, observation, policy)


def _only_a_rule(observation: Observation, diagnosis: Diagnosis, policy: Policy) -> bool:
    asked = policy.rules_of_thumb and diagnosis.cause is Cause.UNKNOWN and not load_is_measured(observation)
    return asked and observation.config.engine is not Engine.TGI


def _no_reason(name: OptimizerName, diagnosis: Diagnosis, policy: Policy) -> Abstention | None:
    if diagnosis.kv_cache_full:
        why = "the KV cache is full: more requests at once would only be preempted more often"
        return Abstention(name, Reason.KV_BOUND, why)
    if diagnosis.cause is not Cause.SCHEDULER_CAPPED:
        return Abstention(name, Reason.NOT_LIMITED, "running requests stay below max_num_seqs, or none wait")
    return _latency_first(name, policy)


def _latency_first(name: OptimizerName, policy: Policy) -> Abstention | None:
    if policy.objective is not Objective.LATENCY:
        return None
    return Abstention(
        name, Reason.OBJECTIVE_LATENCY, "a larger batch makes every step longer; the objective is latency"
    )


def _preempting(name: OptimizerName, observation: Observation) -> Abstention | None:
    """The engine preempts only when no block is left: then the cache was full between two samples of its use."""
    rate = observation.metrics.preemptions_per_second
    if isinstance(rate, Missing) or rate.value <= 0:
        return None
    why = f"{rate.value:.2g} requests per second were preempted: the KV cache was full at times"
    return Abstention(name, Reason.KV_BOUND, why)


def _raise_cap(name: OptimizerName, observation: Observation, policy: Policy) -> Proposal | Abstention:
    config = observation.config
    cap = config.integer("max_batch_size")
    limit = _limit(observation, cap)
    if cap is None or limit is None:
        why = "max_batch_size or max_num_batched_tokens is unknown"
        return Abstention(name, Reason.SETTING_UNKNOWN, why)
    if limit < STEP_MIN * cap:
        why = f"max_batch_size is {cap}, and vLLM takes no more than max_num_batched_tokens, {limit}"
        return Abstention(name, Reason.ALREADY_SET, why)
    fixed = fixing_key(config)
    if fixed is not None:
        why = (
            f"{fixed} fixes the KV cache: what a larger batch needs would have to come from memory that nobody measured"
        )
        return Abstention(name, Reason.MEMORY_UNPROVEN, why)
    if not is_single_engine(config):
        return Abstention(name, Reason.SETTING_UNKNOWN, "the parallel layout is unknown, or not sized")
    return _within_memory(name, observation, policy, (cap, limit))


def _limit(observation: Observation, cap: int | None) -> int | None:
    """The highest cap to look at: twice today's, and in vLLM at most the tokens of a step (else it does not start)."""
    tokens = observation.config.integer("max_num_batched_tokens")
    if cap is None or observation.config.engine is not Engine.VLLM:
        return None if cap is None else STEP_MAX * cap
    return None if tokens is None else min(STEP_MAX * cap, tokens)


def _cache_with(observation: Observation, cap: int) -> Interval | Missing:
    """Tokens that the cache would hold with another cap, as the plan's memory budget has them."""
    after = observation.config.with_settings({"max_batch_size": Setting(cap, Origin.ARGUMENT)})
    sized = sizes(observation, after)
    return sized if isinstance(sized, Missing) else sized.after.kv_cache_tokens


def _within_memory(
    name: OptimizerName, observation: Observation, policy: Policy, bounds: tuple[int, int]
) -> Proposal | Abstention:
    seen = observation.metrics
    values = (seen.num_requests_running, seen.num_requests_waiting, seen.kv_cache_usage, seen.kv_cache_tokens)
    missing = next((value for value in values if isinstance(value, Missing)), None)
    if missing is not None:
        return Abstention(name, missing.code, f"the KV cache's capacity is needed: {missing.reason}")
    room = _room(observation, bounds, tuple(value for value in values if isinstance(value, Measured)))
    if isinstance(room, Missing):
        return Abstention(name, room.code, f"what a larger batch costs in memory cannot be bounded: {room.reason}")
    if room is None:
        why = f"a larger batch would use more than {KV_USE_MAX:.0%} of the KV cache"
        return Abstention(name, Reason.MEMORY_UNPROVEN, why)
    risk = _slo_risk(observation, policy, room)
    if risk is not None:
        return Abstention(name, Reason.SLO_AT_RISK, risk)
    return Proposal(name, raised_cap(observation, room))


def _room(observation: Observation, bounds: tuple[int, int], values: tuple[Measured, ...]) -> Room | Missing | None:
    """The largest cap up to the limit that keeps predicted KV use below KV_USE_MAX; None below a tenth more.

    Bounds are today's cap and the limit, whose batch leaves the cache least. Cap 32, limit 64, and 399,000 of 400,000
    tokens left: use 0.30 gives 64, where it is 0.60. Use 0.60: 0.9 x 399,000 x 32 / 240,000 = 47.9, rounded to 40.
    """
    cap, limit = bounds
    running, waiting, usage, tokens = values
    least = _cache_with(observation, limit)
    if isinstance(least, Missing):
        return least
    fits = KV_USE_MAX * least.low * running.value / max(usage.value * tokens.value, 1.0)
    proposed = _rounded(min(limit, math.floor(fits)), cap)
    after = _cache_with(observation, proposed)
    if proposed < STEP_MIN * cap or isinstance(after, Missing):
        return None
    return Room(cap, running, waiting, usage, tokens, after.expected, proposed)


def _rounded(value: int, cap: int) -> int:
    """Down to a quarter of today's cap, so that noise does not give another plan each time: 61 of 32 → 56."""
    step = max(1, cap // 4)
    return cap + (value - cap) // step * step


def _slo_risk(observation: Observation, policy: Policy, room: Room) -> str | None:
    """Why an inter-token target could break; None when the bound shows that it holds.

    A step's time grows at most in proportion to the batch (weights are read once, KV bytes and FLOPs are
    linear), and steps that carry a prefill become at most `ratio` times as frequent. So the percentile p
    after is at most ratio x the percentile 1 - (1 - p) / ratio before; p95 at ratio 2 needs p97.5, and p99
    stands for it. p99 itself would need p99.5, which is not measured.
    """
    for slo in policy.slo:
        if slo.metric not in _STEP_METRICS:
            continue
        p99 = observation.metrics.itl_p99_milliseconds
        if isinstance(p99, Missing):
            return f"{slo.metric} p{slo.percentile}: the effect cannot be bounded: {p99.reason}"
        if (100 - slo.percentile) / room.ratio < 1:
            return f"{slo.metric} p{slo.percentile}: percentiles above 99 are not measured, so it cannot be bounded"
        bound = p99.value * room.ratio
        if bound > slo.target_milliseconds:
            return (
                f"{slo.metric} p{slo.percentile} could rise to {bound:.0f} ms, target {slo.target_milliseconds} ms;"
                " a step-time model would tell more exactly"
            )
    return None


def _rule_of_thumb(name: OptimizerName, observation: Observation, policy: Policy) -> Proposal | Abstention:
    cap = observation.config.integer("max_batch_size")
    if cap is None:
        return Abstention(name, Reason.SETTING_UNKNOWN, "max_batch_size is not known")
    unwanted = _latency_first(name, policy)
    if unwanted is not None:
        return unwanted
    steps = [slo for slo in policy.slo if slo.metric in _STEP_METRICS]
    if steps:
        why = f"{steps[0].metric} p{steps[0].percentile}: the effect cannot be bounded: the load was not measured"
        return Abstention(name, Reason.SLO_AT_RISK, why)
    tokens = observation.config.integer("max_num_batched_tokens")
    if observation.config.engine is Engine.VLLM and tokens is not None and tokens < STEP_MAX * cap:
        why = f"vLLM takes no more sequences than max_num_batched_tokens, {tokens}"
        return Abstention(name, Reason.ALREADY_SET, why)
    return Proposal(name, doubled_cap(observation, cap))
