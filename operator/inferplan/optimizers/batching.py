"""Batching: the scheduler's cap on running requests.

Table: running at the cap, a queue, KV cache low → raise max_num_seqs, at most to twice, as far as the KV
cache and the latency targets provably allow. KV cache full → never raise. Idle or unmeasured → abstains;
nothing measured and rules of thumb asked for → twice the batch, marked as such.
"""

import math
from dataclasses import dataclass

from inferplan.api.instance import Objective, OptimizerName, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effect,
    Effort,
    Engine,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.dialects.flags import flag_of
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.estimate.memory import batch_cost, kv_bytes_per_token
from inferplan.optimizers.base import cannot_judge

STEP_MAX = 2
"""A plan raises the cap to twice at most; the next plan looks again at what then happens."""

KV_USE_MAX = 0.90
"""Predicted use of the KV cache may not exceed this: room for longer requests than those seen. A guard."""

STEP_MIN = 1.10
"""Below a tenth more there is nothing worth a restart."""


class Batching:
    """Proposes a larger batch where only the scheduler's cap is in the way."""

    name = OptimizerName.BATCHING

    def propose(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Proposal | Abstention:
        """See the module's table."""
        if policy.rules_of_thumb and diagnosis.cause is Cause.UNKNOWN and observation.config.engine is not Engine.TGI:
            return _rule_of_thumb(self.name, observation)
        blocked = cannot_judge(self.name, observation, diagnosis) or _no_reason(self.name, diagnosis, policy)
        return blocked if blocked is not None else _raise_cap(self.name, observation, policy)


def _no_reason(name: OptimizerName, diagnosis: Diagnosis, policy: Policy) -> Abstention | None:
    if diagnosis.cause in {Cause.KV_BOUND, Cause.OVERLOAD}:
        why = "the KV cache is full: more requests at once would only be preempted more often"
        return Abstention(name, Reason.KV_BOUND, why)
    if diagnosis.cause is not Cause.SCHEDULER_CAPPED:
        return Abstention(name, Reason.NOT_LIMITED, "running requests stay below max_num_seqs, or none wait")
    if policy.objective is Objective.LATENCY:
        why = "a larger batch makes every step longer; the objective is latency"
        return Abstention(name, Reason.OBJECTIVE_LATENCY, why)
    return None


@dataclass(frozen=True)
class _Room:
    """How far the cap may go, and what that rests on."""

    cap: int
    running: Measured
    waiting: Measured
    usage: Measured
    tokens: Measured
    tokens_after: float
    proposed: int

    @property
    def ratio(self) -> float:
        """Proposed cap over today's running requests."""
        return self.proposed / self.running.value

    @property
    def usage_after(self) -> float:
        """Predicted highest use of the KV cache: use grows with running requests of the same lengths."""
        return self.usage.value * self.tokens.value * self.ratio / self.tokens_after


def _raise_cap(name: OptimizerName, observation: Observation, policy: Policy) -> Proposal | Abstention:
    cap = observation.config.integer("max_batch_size")
    per_token, model = _kv_bytes(observation), observation.model
    if isinstance(model, Missing):
        return Abstention(name, model.code, f"what a larger batch costs in memory cannot be bounded: {model.reason}")
    if cap is None or per_token is None:
        return Abstention(name, Reason.SETTING_UNKNOWN, "max_num_seqs, the KV format or the parallel layout is unknown")
    seen = observation.metrics
    values = (seen.num_requests_running, seen.num_requests_waiting, seen.kv_cache_usage, seen.kv_cache_tokens)
    missing = next((value for value in values if isinstance(value, Missing)), None)
    if missing is not None:
        return Abstention(name, missing.code, f"the KV cache's capacity is needed: {missing.reason}")
    room = _room(cap, tuple(value for value in values if isinstance(value, Measured)), model, per_token)
    return _within_memory(name, observation, policy, room)


def _within_memory(
    name: OptimizerName, observation: Observation, policy: Policy, room: _Room | None
) -> Proposal | Abstention:
    if room is None:
        why = f"a larger batch would use more than {KV_USE_MAX:.0%} of the KV cache"
        return Abstention(name, Reason.MEMORY_UNPROVEN, why)
    risk = _slo_risk(observation, policy, room)
    if risk is not None:
        return Abstention(name, Reason.SLO_AT_RISK, risk)
    return Proposal(name, _optimization(observation, room))


def _kv_bytes(observation: Observation) -> int | None:
    config = observation.config
    ranks, dtype = config.integer("tensor_parallel_size"), config.text("kv_cache_dtype")
    if ranks is None or dtype is None or isinstance(observation.model, Missing):
        return None
    return kv_bytes_per_token(observation.model, dtype, ranks)


def _room(cap: int, values: tuple[Measured, ...], model: ModelCard, per_token: int) -> _Room | None:
    """The largest cap up to twice today's that keeps predicted KV use below KV_USE_MAX; None below a tenth more.

    Cap 32, use 0.30 of 400,000 tokens: twice, 64, uses 0.60. Use 0.60: 0.9 / 0.6 = 1.5 times, 48.
    """
    running, waiting, usage, tokens = values
    cost = batch_cost(model, cap, STEP_MAX * cap).total_bytes / per_token
    tokens_after = tokens.value - cost
    if tokens_after <= 0:
        return None
    fits = KV_USE_MAX * tokens_after * running.value / max(usage.value * tokens.value, 1.0)
    proposed = _rounded(min(STEP_MAX * cap, math.floor(fits)), cap)
    if proposed < STEP_MIN * cap:
        return None
    return _Room(cap, running, waiting, usage, tokens, tokens_after, proposed)


def _rounded(value: int, cap: int) -> int:
    """Down to a quarter of today's cap, so that noise does not give another plan each time: 61 of 32 → 56."""
    step = max(1, cap // 4)
    return cap + (value - cap) // step * step


def _slo_risk(observation: Observation, policy: Policy, room: _Room) -> str | None:
    """Why an inter-token target could break; None when the bound shows that it holds.

    A step's time grows at most in proportion to the batch (weights are read once, KV bytes and FLOPs are
    linear), and steps that carry a prefill become at most `ratio` times as frequent. So the percentile p
    after is at most ratio x the percentile 1 - (1 - p) / ratio before; p95 at ratio 2 needs p97.5, and p99
    stands for it. p99 itself would need p99.5, which is not measured.
    """
    for slo in policy.slo:
        if slo.metric not in {SLOMetric.ITL, SLOMetric.TPOT}:
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


def _optimization(observation: Observation, room: _Room) -> Optimization:
    flag = flag_of(observation.config.engine, "max_batch_size")
    change = ConfigChange(
        parameter="max_batch_size",
        flag=flag.name if flag is not None else None,
        current_value=room.cap,
        recommended_value=room.proposed,
        reason=(
            f"{room.running.value:.0f} requests run, the cap is {room.cap}, {room.waiting.value:.0f} wait, and the"
            f" KV cache is at {room.usage.value:.0%} at most: the cap alone holds them back."
        ),
        evidence=_evidence(room),
    )
    return Optimization(
        type=OptimizationType.BATCHING,
        title=f"Raise the running requests from {room.cap} to {room.proposed}",
        description=(
            "Requests queue because the scheduler may not run more of them, while the KV cache has room."
            f" With {room.proposed} at once the cache would be at {room.usage_after:.0%}."
        ),
        config_changes=(change,),
        expected_impact=ImpactLevel.HIGH if room.proposed >= STEP_MAX * room.cap else ImpactLevel.MEDIUM,
        estimated_improvement=(
            f"Up to {room.proposed} requests run at once instead of {room.cap}. Throughput gains between nothing and"
            f" {room.proposed / room.cap - 1:.0%}: how much in between is not known without a step-time model."
        ),
        effects=_effects(observation, room),
        confidence=Confidence.MEDIUM,
        source=Source.MEASURED_HERE,
        implementation_effort=Effort.LOW,
        risks=(
            "Every step gets longer: time between tokens rises, at most in proportion to the batch.",
            "Longer requests than those seen could fill the KV cache; vLLM then preempts and recomputes.",
        ),
        prerequisites=("A restart of the engine's pods.",),
        raises_confidence=("Measurements at other batch sizes, to fit the step time.",),
    )


def _evidence(room: _Room) -> tuple[Evidence, ...]:
    formula = (
        f"{room.usage.value:.3f} x {room.tokens.value:.0f} tokens x {room.proposed} / {room.running.value:.1f}"
        f" requests / {room.tokens_after:.0f} tokens"
    )
    return (
        room.running.as_evidence(),
        room.waiting.as_evidence(),
        room.usage.as_evidence(),
        room.tokens.as_evidence(),
        Evidence(formula=formula, value=round(room.usage_after, 3), unit="share of KV cache, predicted"),
    )


def _effects(observation: Observation, room: _Room) -> tuple[Effect, ...]:
    admitted = min(float(room.proposed), room.running.value + room.waiting.value)
    linear = "A step takes at most in proportion to its batch, and at least as long as before."
    concurrency = Effect(
        metric="num_requests_running",
        current=room.running.value,
        low=room.running.value,
        expected=admitted,
        high=float(room.proposed),
        unit="requests",
        source=Source.MEASURED_HERE,
        basis="Running plus waiting requests, up to the new cap, if the load stays as it was.",
    )
    relative = Effect(
        metric="output_tokens_per_second",
        current=1.0,
        low=1.0,
        high=round(room.ratio, 3),
        unit="times today's",
        source=Source.MEASURED_HERE,
        basis=linear,
    )
    itl = observation.metrics.itl_mean_milliseconds
    if isinstance(itl, Missing):
        return (concurrency, relative)
    latency = Effect(
        metric="itl_mean",
        current=itl.value,
        low=itl.value,
        high=itl.value * room.ratio,
        unit="ms",
        source=Source.MEASURED_HERE,
        basis=linear,
    )
    return (concurrency, relative, latency)


def _rule_of_thumb(name: OptimizerName, observation: Observation) -> Proposal | Abstention:
    cap = observation.config.integer("max_batch_size")
    if cap is None:
        return Abstention(name, Reason.SETTING_UNKNOWN, "max_batch_size is not known")
    flag = flag_of(observation.config.engine, "max_batch_size")
    change = ConfigChange(
        parameter="max_batch_size",
        flag=flag.name if flag is not None else None,
        current_value=cap,
        recommended_value=STEP_MAX * cap,
        reason="A larger batch reads the weights once for more requests, as long as the KV cache has room.",
        evidence=(Evidence(formula=f"{cap} x {STEP_MAX}", value=STEP_MAX * cap, unit="requests"),),
    )
    optimization = Optimization(
        type=OptimizationType.BATCHING,
        title=f"Raise the running requests from {cap} to {STEP_MAX * cap}",
        description="Nothing was measured. As a rule, a small batch leaves the GPU idle while it reads weights.",
        config_changes=(change,),
        expected_impact=ImpactLevel.MEDIUM,
        estimated_improvement=(
            "More requests run at once if they wait today and the KV cache has room; neither was measured."
        ),
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
        risks=(
            "If the KV cache is full already, requests are preempted more often and everything gets slower.",
            "Every step gets longer: time between tokens rises.",
        ),
        prerequisites=("Requests wait today, and the KV cache is not full: check both in the engine's metrics.",),
        raises_confidence=(
            "metrics of the running instance (running, waiting, KV cache use)",
            "the model (spec.model.config, the config.json)",
            "the accelerator (product and count)",
        ),
    )
    return Proposal(name, optimization)
