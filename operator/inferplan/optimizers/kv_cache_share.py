"""How much of a GPU's memory the engine may be told to take: the ceiling, and the shares below it. Pure."""

from dataclasses import dataclass, replace
from math import floor
from types import MappingProxyType

from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, Engine, Evidence
from inferplan.dialects.keys import flag_name
from inferplan.domain.lever import LimitKey, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import GIB
from inferplan.estimate.memory_estimate import memory_model
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_model import in_gib
from inferplan.estimate.vllm_memory import Sized

KEY = LimitKey.UTILIZATION.value

SHARE_MOST = 0.95
"""No share above this is offered. A choice: of 40 public start-up logs that state it (kv_capacity_cases.json) 37 stay
at 0.92 or below, and of the two above this one did not start."""

STEP_LEAST = 0.01
"""A smaller rise is within what drivers make of difference in a GPU's memory."""

_MARGIN = 0.01
"""Share of the GPU that stays free beside what is known to lie beyond the engine's share: a driver's version moves the
usable memory by up to 1 % (A100-80: 79.14 to 79.33 GiB in public logs), and torch's allocator fragments."""

_CONTEXT_BYTES = 0.8 * GIB
_CONTEXTS_BYTES = 1.8 * GIB
"""CUDA's context, alone and with NCCL's buffers between ranks: the high ends of what SGLang logs as taken before it
loads weights (estimate/sglang_memory.py). vLLM refuses to start unless the share is free beside them (request_memory,
vllm/v1/worker/utils.py, 0.33.0)."""

_MOST_CAPTURED = 512
"""Sequences of the largest batch whose CUDA graphs are captured: a plan may raise the cap as well."""

_GRID = (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, SHARE_MOST)


@dataclass(frozen=True)
class Ceiling:
    """The largest share that is safe.

    Attributes:
        share: The share, rounded down to a hundredth.
        basis: Why it is no larger, a clause.
    """

    share: float
    basis: str


def share_options(observation: Observation, seen: str, evidence: tuple[Evidence, ...]) -> tuple[Option, ...] | Missing:
    """Higher shares of the GPU's memory, lowest first; why there is none.

    Args:
        observation: What was seen.
        seen: Why more memory is looked for, a clause.
        evidence: The numbers behind it.
    """
    config = observation.config
    if observation.accelerator.shared:
        why = "other containers use the same GPU: what they take of its memory is not known"
        return Missing(Reason.MEMORY_UNPROVEN, why)
    share = config.fraction(KEY)
    if share is None and config.engine is Engine.SGLANG and config.complete:
        why = "nothing sets mem_fraction_static: SGLang takes what it holds to be safe"
        return Missing(Reason.ALREADY_SET, why)
    if share is None:
        return Missing(Reason.SETTING_UNKNOWN, f"{KEY} is not known")
    top = ceiling(observation)
    if isinstance(top, Missing):
        return top
    tried = sorted({*(value for value in _GRID if value < top.share), top.share})
    higher = [value for value in tried if value >= share + STEP_LEAST - 1e-9]
    if not higher:
        why = f"{KEY} is {share:g}, and {top.share:g} is as much as is safe: {top.basis}"
        return Missing(Reason.ALREADY_SET, why)
    because = (*evidence, Evidence(formula=top.basis, value=top.share, unit="safe share of a GPU's memory"))
    return tuple(_option(config, (share, value), seen, because) for value in higher)


def ceiling(observation: Observation) -> Ceiling | Missing:
    """The largest share that leaves room for what lies beyond it; why it is not known.

    One H100 with vLLM 0.33: 1 - (0.8 GiB + 0.79 GiB) / 79.19 GiB = 0.979, so 0.95. With 0.19 on an L4 graphs of 1.5 GiB
    lie beyond: 1 - (0.8 + 1.5 + 0.22) / 22.03 = 0.88.
    """
    config, model = observation.config, observation.model
    if isinstance(model, Missing):
        return model
    asked = without(config, KEY) if config.engine is Engine.SGLANG else config
    sized = memory_model(asked, observation.accelerator, model)
    if isinstance(sized, Missing):
        return sized
    if config.engine is Engine.SGLANG:
        own = f"SGLang's own arithmetic gives {float(sized.limits.utilization):g} on this GPU"
        return Ceiling(_floored(float(sized.limits.utilization)), f"{own}; the rest holds activations and CUDA graphs")
    return _vllm_ceiling(config, sized)


def without(config: ServingConfig, key: str) -> ServingConfig:
    """The configuration in which a key is not set."""
    kept = {name: setting for name, setting in config.settings.items() if name != key}
    return replace(config, settings=MappingProxyType(kept))


def _vllm_ceiling(config: ServingConfig, sized: Sized) -> Ceiling:
    usable, limits = sized.model.usable.size_bytes, sized.limits
    ranks = (config.integer("tensor_parallel_size") or 1) * (config.integer("pipeline_parallel_size") or 1)
    context = _CONTEXTS_BYTES if ranks > 1 else _CONTEXT_BYTES
    graphs = sum(term.high for term in sized.model.outside(_with_all_graphs(limits)))
    told = f"{in_gib(context)} for CUDA" + (f", {in_gib(graphs)} for CUDA graphs" if graphs else "")
    free = 1 - (context + graphs) / usable - _MARGIN
    rest = f"of {in_gib(usable)} {told} and a margin of {_MARGIN:.0%} stay free"
    if free >= SHARE_MOST:
        return Ceiling(SHARE_MOST, f"{rest}, and no more than {SHARE_MOST:g} is ever offered")
    return Ceiling(_floored(free), rest)


def _with_all_graphs(limits: Limits) -> Limits:
    return replace(limits, sequences=max(int(limits.sequences), _MOST_CAPTURED))


def _floored(share: float) -> float:
    return floor(share * 100 + 1e-6) / 100


def _option(config: ServingConfig, move: tuple[float, float], seen: str, evidence: tuple[Evidence, ...]) -> Option:
    share, value = move
    flag = flag_name(config.engine, KEY)
    change = ConfigChange(
        parameter=KEY,
        flag=flag,
        current_value=share,
        recommended_value=value,
        reason=f"{seen}; the engine may take {share:.0%} of each GPU's memory, and {value:.0%} is safe.",
        evidence=evidence,
    )
    return Option(
        changes=(change,),
        title=f"Raise {flag} from {share:g} to {value:g}",
        description=f"{seen}. What the engine may take of each GPU's memory beyond the weights goes to the KV cache.",
        risks=("Peaks that the engine did not foresee find less free memory: it can run out and restart.",),
        prerequisites=(
            "Nothing else lives on the GPU: the engine asks at its start that so much of its memory is free.",
        ),
    )
