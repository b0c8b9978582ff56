"""The memory of an instance that was looked at, calibrated by its own KV cache where that was measured. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.estimate.memory_calibration import MeasuredOverhead, Seen
from inferplan.estimate.memory_estimate import MemoryEstimate, calibrate_memory, estimate_memory
from inferplan.estimate.running import fixing_key, is_single_engine

_SHARE = "gpu_memory_utilization"
_STAND_IN_MIB = 2**20  # 1 TiB holds every model
_STAND_INS = {_SHARE: Setting(1.0, Origin.ASSUMED), "quantization": Setting("none", Origin.ASSUMED)}


@dataclass(frozen=True)
class Sizes:
    """One instance's memory before and after a change.

    Attributes:
        before: As it runs.
        after: As it would run.
        totals_known: Whether the GPU's memory is known; else only the caches mean anything, and their difference.
    """

    before: MemoryEstimate
    after: MemoryEstimate
    totals_known: bool = True


def sizes(observation: Observation, after: ServingConfig, card: ModelCard | None = None) -> Sizes | Missing:
    """Memory before and after; why not where a part cannot be sized, or measurement and arithmetic contradict.

    A measured cache makes up for what is not known and does not change: the GPU, the engine's share, the format of the
    weights. What stands in for them is then the same before and after, and only the totals mean nothing.

    Args:
        observation: What runs.
        after: What would run.
        card: The model that would run; by default the one that does.
    """
    ground = ground_of(observation, after)
    if isinstance(ground, Missing):
        return ground
    before = estimate_memory(ground.before, ground.accelerator, ground.model, ground.overhead)
    then = estimate_memory(ground.after, ground.accelerator, card or ground.model, ground.overhead)
    if isinstance(before, Missing):
        return before
    return then if isinstance(then, Missing) else Sizes(before, then, ground.totals_known)


@dataclass(frozen=True)
class Ground:
    """What the memory of an instance is sized by.

    Attributes:
        before: Settings as they run, with stand-ins for what is not known and does not change.
        after: Settings as they would be, with the same stand-ins.
        accelerator: The GPUs, or their stand-in.
        model: The model.
        overhead: What the instance's own cache says of the arithmetic; None where it was not measured, or says nothing.
        totals_known: Whether the GPU's memory is known.
    """

    before: ServingConfig
    after: ServingConfig
    accelerator: Accelerator
    model: ModelCard
    overhead: MeasuredOverhead | None
    totals_known: bool


def ground_of(observation: Observation, after: ServingConfig) -> Ground | Missing:
    """What `sizes` rests on, to be asked for thousands of limits."""
    model, config = observation.model, observation.config
    if isinstance(model, Missing):
        return model
    unknown = _unknown_settings(observation)
    hidden = [key for key in unknown if key in _STAND_INS and after.value(key) is None]
    no_gpu = observation.accelerator.usable_mib is None
    if not (hidden or no_gpu):
        return _missing(unknown) or _ground(observation, model, after, totals_known=True)
    if not _tells_what_is_left(observation) or (no_gpu and config.value(_SHARE) != after.value(_SHARE)):
        return _missing(unknown) or Missing(Reason.ACCELERATOR_UNKNOWN, "the memory of the GPU is not known")
    refused = _missing([key for key in unknown if key not in hidden])
    if refused is not None:
        return refused
    gpu = replace(observation.accelerator, memory_mib=_STAND_IN_MIB) if no_gpu else observation.accelerator
    stood_in = replace(observation, config=config.with_defaults(_STAND_INS), accelerator=gpu)
    return _ground(stood_in, model, after.with_defaults(_STAND_INS), totals_known=False)


def _missing(unknown: Sequence[str]) -> Missing | None:
    return Missing(Reason.SETTING_UNKNOWN, f"{unknown[0]} is not known") if unknown else None


def _ground(
    observation: Observation, model: ModelCard, after: ServingConfig, *, totals_known: bool
) -> Ground | Missing:
    overhead = _observed_overhead(observation, model)
    if isinstance(overhead, Missing):
        return overhead
    return Ground(observation.config, after, observation.accelerator, model, overhead, totals_known)


def _observed_overhead(observation: Observation, model: ModelCard) -> MeasuredOverhead | Missing | None:
    """What the instance's own cache says of the arithmetic; None where it was not measured, or says nothing."""
    tokens = observation.metrics.kv_cache_tokens
    if isinstance(tokens, Missing) or not _tells_what_is_left(observation):
        return None
    return calibrate_memory(observation.config, observation.accelerator, model, Seen(tokens=tokens.value))


def _tells_what_is_left(observation: Observation) -> bool:
    """Whether the measured cache is what the engine had left.

    A cache that settings fix is not; of several data-parallel ranks the metric may be the sum.
    """
    config, tokens = observation.config, observation.metrics.kv_cache_tokens
    return not isinstance(tokens, Missing) and fixing_key(config) is None and is_single_engine(config)


def _unknown_settings(observation: Observation) -> list[str]:
    """Settings that size memory and are not known; of a live engine nothing is assumed."""
    config, model = observation.config, observation.model
    needed = {"tensor_parallel_size", "kv_cache_dtype"}
    if isinstance(model, Missing) or model.quantization is None:
        needed.add("quantization")
    if config.engine is Engine.VLLM and fixing_key(config) != "kv_cache_memory_bytes":
        needed.add(_SHARE)
    return [key for key in sorted(needed) if config.value(key) is None]
