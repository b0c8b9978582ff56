"""Which of vLLM's two engines a configuration runs on: V0 (up to 0.10.2) or V1. Pure.

vllm/engine/arg_utils.py: envs.VLLM_USE_V1 (0.6.6, 0.7.3), `_is_v1_supported_oracle` (0.8.5 to 0.10.2); 0.11.0 has no
other rules than those of V1. Confirmed by running the releases' own config resolution on faked GPUs.
"""

from enum import StrEnum

from inferplan.dialects.situation import NotKnownError, Situation, at

FIRST_CHOOSING = at(0, 8)
"""From here on V1 runs unless something speaks against it; before, only with VLLM_USE_V1=1."""

V1_ONLY = at(0, 11)

_VOLTA_TO_AMPERE = at(0, 10, 2)
"""From here on V1 runs below compute capability 8.0 too."""

_AMPERE = 80
_ALL_AMPERE_GIB = 70
"""No NVIDIA GPU below compute capability 8.0 has this much memory."""

_MAY_FALL_BACK = (
    # Settings that one of the releases cannot do on V1, or only in part: which engine runs is not certain.
    *("scheduler_delay_factor", "num_scheduler_steps", "preemption_mode", "disable_async_output_proc"),
    *("logits_processor_pattern", "guided_decoding_backend", "speculative_config", "speculative_model"),
    *("max_num_partial_prefills", "max_long_partial_prefills", "otlp_traces_endpoint", "collect_detailed_traces"),
    *("enable_prompt_adapter", "enable_prompt_embeds", "load_format", "task", "runner", "distributed_executor_backend"),
)


class EngineCore(StrEnum):
    """vLLM's engines."""

    V0 = "v0"
    V1 = "v1"


def engine_core(situation: Situation) -> EngineCore:
    """The engine that runs.

    Raises:
        NotKnownError: That depends on what is not known.
    """
    if situation.release >= V1_ONLY:
        return EngineCore.V1
    wish = situation.variable("VLLM_USE_V1")
    if situation.release < FIRST_CHOOSING:
        return EngineCore.V1 if wish == "1" else EngineCore.V0
    if wish == "0":
        return EngineCore.V0
    return _preferred(situation)


def _preferred(situation: Situation) -> EngineCore:
    if situation.release < _VOLTA_TO_AMPERE and not _is_ampere(situation):
        return EngineCore.V0
    if _may_fall_back(situation):
        raise NotKnownError("VLLM_USE_V1")
    return EngineCore.V1


def _is_ampere(situation: Situation) -> bool:
    """Whether the GPU is Ampere or later; ROCm is asked for no capability."""
    capability = situation.accelerator.compute_capability
    if capability is not None:
        return capability >= _AMPERE
    if situation.memory_gib < _ALL_AMPERE_GIB or situation.release < at(0, 9, 2):  # ROCm: V0 by default in 0.8.5
        raise NotKnownError("compute_capability")
    return True


def _may_fall_back(situation: Situation) -> bool:
    if situation.any_set(_MAY_FALL_BACK) or "VLLM_ATTENTION_BACKEND" in situation.environment:
        return True
    if situation.get("kv_cache_dtype") not in {None, "auto"} or situation.get("quantization") == "gguf":
        return True
    return situation.release < at(0, 9, 2) and (
        situation.get("dtype") in {"float", "float32"}
        or situation.get("scheduling_policy") not in {None, "fcfs"}
        or situation.count("pipeline_parallel_size") > 1
    )
