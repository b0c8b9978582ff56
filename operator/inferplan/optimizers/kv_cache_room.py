"""More memory for the KV cache: a larger share of the GPU, or the release of a cache that a flag holds small. Pure."""

from inferplan.api.reasons import Reason
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
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.units import MIB
from inferplan.estimate.memory_model import in_gib
from inferplan.estimate.memory_observed import Sizes, sizes
from inferplan.estimate.running import fixing_key
from inferplan.optimizers.kv_cache_pressure import Pressure
from inferplan.optimizers.kv_cache_share import share_options, without

BLOCKS, BYTES = "num_gpu_blocks_override", "kv_cache_memory_bytes"

GROWTH_LEAST = 1.1
"""A cache that would become less than a tenth larger is not held small by the flag."""

_STEP_BYTES = 256 * MIB
_ALONE = "Nothing else needs the GPU's memory that the flag may have been meant to keep free."
_RUNS_OUT = "Peaks that the engine did not foresee find less free memory: it can run out and restart."


def room_options(observation: Observation, pressure: Pressure) -> tuple[Option, ...] | Optimization | Missing:
    """What gives the cache more memory: options to forecast, or a change that none prices; why there is neither."""
    fixed = BLOCKS if observation.config.value(BLOCKS) is not None else fixing_key(observation.config)
    if fixed is None:
        return share_options(observation, pressure.seen, pressure.evidence)
    if observation.accelerator.shared:
        why = f"{fixed} fixes the KV cache, and other containers use the same GPU: it may be meant for them"
        return Missing(Reason.MEMORY_UNPROVEN, why)
    found = sizes(observation, without(observation.config, fixed))
    if isinstance(found, Missing):
        small = pressure.full and fixed == BLOCKS  # stated bytes may be more than the engine's share would leave
        return _released(observation, pressure, found.reason) if small else found
    return (
        _raised_bytes(observation, pressure, found) if fixed == BYTES else _freed_blocks(observation, pressure, found)
    )


def _raised_bytes(observation: Observation, pressure: Pressure, found: Sizes) -> tuple[Option, ...] | Missing:
    """The low end of what the engine's share would leave: the engine takes a stated size unasked."""
    today = observation.config.integer(BYTES) or 0
    room = int(found.after.kv_cache_bytes.low // _STEP_BYTES) * _STEP_BYTES
    told = f"{BYTES} fixes the KV cache at {in_gib(today)}"
    if room < GROWTH_LEAST * today:
        return _no_more(f"{told}, and the GPU's memory leaves {in_gib(room)}")
    basis = Evidence(formula="low end of what the engine's share leaves without the flag", value=room, unit="bytes")
    change = ConfigChange(
        parameter=BYTES,
        flag=flag_name(observation.config.engine, BYTES),
        current_value=today,
        recommended_value=room,
        reason=f"{pressure.seen}; {told}, and each GPU's memory leaves {in_gib(room)}.",
        evidence=(*pressure.evidence, basis),
    )
    option = Option(
        changes=(change,),
        title=f"Raise {BYTES} from {in_gib(today)} to {in_gib(room)}",
        description=f"{pressure.seen}. {told}, whatever memory is free; there is more.",
        risks=(_RUNS_OUT,),
        prerequisites=(_ALONE,),
    )
    return (option,)


def _freed_blocks(observation: Observation, pressure: Pressure, found: Sizes) -> tuple[Option, ...] | Missing:
    before, then = found.before.kv_cache_tokens, found.after.kv_cache_tokens
    missing = [tokens for tokens in (before, then) if isinstance(tokens, Missing)]
    if isinstance(before, Missing) or isinstance(then, Missing):
        return missing[0]
    blocks = observation.config.integer(BLOCKS)
    if then.low < GROWTH_LEAST * before.expected:
        why = f"{BLOCKS} is {blocks}, which is {before.expected:,.0f} tokens; memory leaves {then.low:,.0f}"
        return _no_more(why)
    basis = Evidence(formula="low end of the KV cache without the flag", value=int(then.low), unit="tokens")
    option = Option(
        changes=(_taken_out(observation, pressure, (basis,)),),
        title=f"Take out {BLOCKS}",
        description=f"{pressure.seen}. {_held(observation)}; without it the engine takes what it has.",
        risks=(_RUNS_OUT,),
        prerequisites=(_ALONE,),
    )
    return (option,)


def _released(observation: Observation, pressure: Pressure, why: str) -> Optimization:
    """The flag taken out where nothing can be sized: the engine measures what is left by itself."""
    return Optimization(
        type=OptimizationType.KV_CACHE,
        title=f"Take out {BLOCKS}",
        description=(
            f"{pressure.seen}. {_held(observation)}; without it the engine measures what its share of the memory"
            " leaves."
        ),
        config_changes=(_taken_out(observation, pressure, ()),),
        expected_impact=ImpactLevel.HIGH,
        estimated_improvement=(
            f"The KV cache becomes as large as the engine's memory allows; how large that is cannot be told: {why}."
        ),
        confidence=Confidence.MEDIUM,
        source=Source.MEASURED_HERE,
        implementation_effort=Effort.LOW,
        risks=(_RUNS_OUT,),
        prerequisites=(_ALONE,),
        raises_confidence=("The accelerator (product and count) and the model's config.json.",),
    )


def _taken_out(observation: Observation, pressure: Pressure, basis: tuple[Evidence, ...]) -> ConfigChange:
    return ConfigChange(
        parameter=BLOCKS,
        flag=flag_name(observation.config.engine, BLOCKS),
        current_value=observation.config.value(BLOCKS),
        removes_flag=True,
        reason=f"{pressure.seen}; {_held(observation)}.",
        evidence=(*pressure.evidence, *basis),
    )


def _held(observation: Observation) -> str:
    held = f"{BLOCKS} {observation.config.value(BLOCKS)} holds the KV cache at that size, whatever memory is free"
    return f"{held} (vLLM has the flag to test preemption)"


def _no_more(why: str) -> Missing:
    return Missing(Reason.ALREADY_SET, why)
