"""An engine that cannot start for want of KV cache memory: what lets it. Pure.

vLLM refuses to start unless one request of max_model_len fits (check_enough_kv_cache_memory, 0.9.2 to 0.33.0). Spoken
of only where nothing was ever measured, as an engine that serves has started, and where even the high end of the
estimate is too little.
"""

from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effort,
    Engine,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
)
from inferplan.dialects.keys import flag_name
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy
from inferplan.domain.serving import Origin, Setting
from inferplan.estimate.kv_plan import CacheStructure
from inferplan.estimate.memory_estimate import MemoryEstimate, estimate_memory, memory_model
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_observed import Ground, ground_of
from inferplan.estimate.running import fixing_key
from inferplan.optimizers.kv_cache_length import KEY, LENGTH_MARGIN, LENGTH_STEP, capability_loss, stepped
from inferplan.optimizers.kv_cache_share import share_options


@dataclass(frozen=True)
class _Refusal:
    """A start that fails.

    Attributes:
        estimate: The memory as it is set.
        cache: The cache's layout.
        limits: The configured limits.
        ground: What memory is sized by.
        why: Why it fails, as the engine says it.
    """

    estimate: MemoryEstimate
    cache: CacheStructure
    limits: Limits
    ground: Ground
    why: str

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The arithmetic."""
        available = Evidence(
            formula="high end of the KV cache's memory", value=int(self.estimate.kv_cache_bytes.high), unit="bytes"
        )
        return (Evidence(formula=self.why, value="does not start"), available)


def what_starts(observation: Observation, policy: Policy) -> Optimization | Missing | None:
    """The change with which the engine starts: more of the GPU's memory, else the longest requests that fit.

    Returns:
        None where the engine starts, or where that is not known; why not where no such change helps.
    """
    refusal = _refusal(observation)
    if refusal is None:
        return None
    return _larger_share(observation, refusal) or _shorter(observation, policy, refusal)


def _refusal(observation: Observation) -> _Refusal | None:
    """Why the engine surely does not start as it is set; None where it may."""
    ground = _ground(observation)
    if ground is None:
        return None
    estimate = estimate_memory(ground.before, ground.accelerator, ground.model, ground.overhead)
    sized = memory_model(ground.before, ground.accelerator, ground.model, ground.overhead)
    if isinstance(estimate, Missing) or isinstance(sized, Missing) or estimate.why_not is None:
        return None
    high, cache, limits = int(estimate.kv_cache_bytes.high), estimate.cache, sized.limits
    if not isinstance(cache, CacheStructure) or cache.plan(high, int(limits.context), int(limits.tokens)).fits:
        return None
    return _Refusal(estimate, cache, limits, ground, estimate.why_not)


def _ground(observation: Observation) -> Ground | None:
    """What is sized, of a vLLM of which nothing shows that it ever ran."""
    seen, config = observation.metrics, observation.config
    ran = [value for value in (seen.num_requests_running, seen.kv_cache_tokens) if not isinstance(value, Missing)]
    if config.engine is not Engine.VLLM or ran or observation.replicas or fixing_key(config) is not None:
        return None
    ground = ground_of(observation, config)
    return None if isinstance(ground, Missing) else ground


def _larger_share(observation: Observation, refusal: _Refusal) -> Optimization | None:
    """The least share of the GPU's memory with which it surely starts; nobody loses anything by it."""
    options = share_options(observation, "One request of max_model_len does not fit", refusal.evidence)
    for option in () if isinstance(options, Missing) else options:
        (change,) = option.changes
        if _starts(refusal, change):
            return _optimization(refusal, option)
    return None


def _shorter(observation: Observation, policy: Policy, refusal: _Refusal) -> Optimization | Missing:
    low, limits = int(refusal.estimate.kv_cache_bytes.low), refusal.limits
    today = int(limits.context)
    fits = int(refusal.cache.longest(low, today, int(limits.tokens))) // LENGTH_STEP * LENGTH_STEP
    least = max(policy.min_max_model_len or 0, _declared(observation))
    if fits < max(least, LENGTH_STEP):
        why = f"the engine does not start: {refusal.why}; {least:,} are needed, {fits:,} surely fit"
        return Missing(Reason.DOES_NOT_FIT, why)
    change = ConfigChange(
        parameter=KEY,
        flag=flag_name(observation.config.engine, KEY),
        current_value=observation.config.value(KEY),
        recommended_value=fits,
        reason=f"{refusal.why}; {fits:,} surely fit.",
        evidence=refusal.evidence,
    )
    option = Option(
        changes=(change,),
        title=f"Shorten {KEY} from {today:,} to {fits:,}",
        description="The longest requests that surely fit are the most that can be kept of what was allowed.",
        capability_loss=capability_loss(today, fits),
    )
    return _optimization(refusal, option)


def _declared(observation: Observation) -> int:
    """What the owner's requests need, where the spec declares their lengths; 0 where it does not."""
    declared = observation.declared
    if declared is None:
        return 0
    prompt, answer = declared.input_tokens_p95 or declared.input_tokens, declared.output_tokens_p95
    return stepped(((prompt or 0) + (answer or declared.output_tokens or 0)) * LENGTH_MARGIN)


def _starts(refusal: _Refusal, change: ConfigChange) -> bool:
    """Whether it surely does with a change of one value."""
    ground = refusal.ground
    moved = {} if change.recommended_value is None else {change.parameter: change.recommended_value}
    then = ground.before.with_settings({key: Setting(value, Origin.ARGUMENT) for key, value in moved.items()})
    estimate = estimate_memory(then, ground.accelerator, ground.model, ground.overhead)
    return not isinstance(estimate, Missing) and estimate.surely_fits


def _optimization(refusal: _Refusal, option: Option) -> Optimization:
    return Optimization(
        type=OptimizationType.KV_CACHE,
        title=f"{option.title}, so that the engine starts",
        description=f"By its memory the engine does not start: {refusal.why}. {option.description}",
        config_changes=option.changes,
        expected_impact=ImpactLevel.CRITICAL,
        estimated_improvement="The engine starts.",
        confidence=Confidence.MEDIUM,
        source=refusal.estimate.source,
        implementation_effort=Effort.LOW,
        risks=option.risks,
        prerequisites=(
            "The engine does not start today, and its log says so; where it serves, this is wrong.",
            *option.prerequisites,
        ),
        raises_confidence=("Metrics of the running instance, or the engine's log.",),
        capability_loss=option.capability_loss,
    )
