"""The rule of thumb of the batching optimizer, in words. Pure."""

from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.dialects.keys import flag_name
from inferplan.domain.observation import Observation
from inferplan.optimizers.batching_caps import STEP_MAX


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
