"""The proposals of the batching optimizer in words and numbers."""

from dataclasses import dataclass

from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effect,
    Effort,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.dialects.keys import flag_name
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.units import significant

STEP_MAX = 2
"""A plan raises the cap to twice at most; the next plan looks again at what then happens."""


@dataclass(frozen=True)
class Room:
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


def raised_cap(observation: Observation, room: Room) -> Optimization:
    """The raise that the measurements bear."""
    change = ConfigChange(
        parameter="max_batch_size",
        flag=flag_name(observation.config.engine, "max_batch_size"),
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
            f" {room.ratio - 1:.0%}: how much in between is not known without a step-time model."
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


def _evidence(room: Room) -> tuple[Evidence, ...]:
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


def _effects(observation: Observation, room: Room) -> tuple[Effect, ...]:
    admitted = min(float(room.proposed), room.running.value + room.waiting.value)
    linear = "A step takes at most in proportion to its batch, and at least as long as before."
    concurrency = Effect(
        metric="num_requests_running",
        current=significant(room.running.value),
        low=significant(room.running.value),
        expected=significant(admitted),
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
        current=significant(itl.value),
        low=significant(itl.value),
        high=significant(itl.value * room.ratio),
        unit="ms",
        source=Source.MEASURED_HERE,
        basis=linear,
    )
    return (concurrency, relative, latency)


def doubled_cap(observation: Observation, cap: int) -> Optimization:
    """Twice the cap, by a rule of thumb and marked as such."""
    change = ConfigChange(
        parameter="max_batch_size",
        flag=flag_name(observation.config.engine, "max_batch_size"),
        current_value=cap,
        recommended_value=STEP_MAX * cap,
        reason="A larger batch reads the weights once for more requests, as long as the KV cache has room.",
        evidence=(Evidence(formula=f"{cap} x {STEP_MAX}", value=STEP_MAX * cap, unit="requests"),),
    )
    return Optimization(
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
