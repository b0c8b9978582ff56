"""vLLM's rules for memory, the KV cache, lengths and CUDA graphs. Pure.

vllm/config/cache.py, model.py (before 0.10.1 vllm/config.py); each was confirmed by giving the releases from
0.7.3 to 0.33.0 such a configuration.
"""

from inferplan.dialects.attention import HEAD_DIMS_READ, SELECTOR_SINCE, is_shipped, kv_cache_backends
from inferplan.dialects.engine_core import EngineCore, engine_core
from inferplan.dialects.keys import spelling_of
from inferplan.dialects.rules.case import Case, Rule, Violation, ignored, refused, risky
from inferplan.dialects.situation import NotKnownError, Situation, at

_CHOSEN = ("kv_cache_dtype", "block_size", "scheduling_policy", "dtype", "performance_mode")
"""Keys whose values a release lists; some releases look at them only after parsing."""

_GRAPH_KEYS = ("cudagraph_capture_sizes", "max_cudagraph_capture_size", "cuda_graph_sizes", "max_seq_len_to_capture")
_SIXTEEN_BITS = {"half": "float16", "float16": "float16", "bfloat16": "bfloat16"}


def utilization_range(case: Case) -> Violation | None:
    """A share of the GPU's memory; 0 is refused from 0.11.1 on."""
    share = case.situation.config.fraction("gpu_memory_utilization")
    lowest_allowed = case.situation.release < at(0, 11, 1)
    if share is None or 0 < share <= 1 or (share == 0 and lowest_allowed):
        return None
    why = f"gpu_memory_utilization {share:g} must be above 0 and at most 1"
    return refused(("gpu_memory_utilization",), why, "vllm/config/cache.py CacheConfig, 0.6.6 to 0.33.0")


def offload_range(case: Case) -> Violation | None:
    """GiB of weights in CPU memory."""
    gib = case.situation.config.fraction("cpu_offload_gb")
    if gib is None or gib >= 0:
        return None
    why = f"cpu_offload_gb {gib:g} must not be negative"
    return refused(("cpu_offload_gb",), why, "vllm/config/cache.py, vllm/config/offload.py, 0.6.6 to 0.33.0")


def utilization_without_effect(case: Case) -> Violation | None:
    """The cache's size is stated in bytes."""
    stated = case.situation.get("kv_cache_memory_bytes") is not None
    if not stated or not case.explicit("gpu_memory_utilization"):
        return None
    why = "gpu_memory_utilization has no effect on the KV cache: kv_cache_memory_bytes states its size"
    keys = ("gpu_memory_utilization", "kv_cache_memory_bytes")
    return ignored(keys, why, "vllm/v1/worker/gpu_worker.py determine_available_memory, 0.10.2 to 0.33.0")


def length_above_the_models(case: Case) -> Violation | None:
    """Longer than the positions that the model knows."""
    situation = case.situation
    longest, own = situation.need("max_model_len"), situation.card.max_position_embeddings
    if own is None or longest <= own:
        return None
    source = "vllm/config/model.py _get_and_verify_max_len, 0.6.6 to 0.33.0"
    why = f"max_model_len {longest} is greater than the model's own {own}"
    if situation.variable("VLLM_ALLOW_LONG_MAX_MODEL_LEN") in {"1", "true", "True", "TRUE"}:
        return risky(("max_model_len",), f"{why}: positions beyond it give wrong answers or crash", source)
    return refused(("max_model_len",), f"{why}, and VLLM_ALLOW_LONG_MAX_MODEL_LEN is not 1", source)


def listed_values(key: str) -> Rule:
    """A rule for a key whose values the release lists."""

    def value_not_listed(case: Case) -> Violation | None:
        spelling = spelling_of(case.situation.config.engine, key)
        flag = case.release.named(spelling.dest) if case.release is not None and spelling is not None else None
        value = case.situation.get(key)
        allowed = (*flag.choices, *flag.late_choices) if flag is not None else ()
        if value is None or not allowed or not case.explicit(key) or str(value) in allowed:
            return None
        why = f"{key} {value} is none of this release's values: {', '.join(allowed)}"
        return refused((key,), why, "the release's own parser or config (dialects/data)")

    value_not_listed.__name__ = f"{key}_not_listed"
    return value_not_listed


def cache_format_needs_a_kernel(case: Case) -> Violation | None:
    """The KV cache's number format, the GPU and the attention backend must fit (0.11.1 and later were asked)."""
    situation, kv_dtype = case.situation, str(case.situation.get("kv_cache_dtype"))
    backends = _backends(case, kv_dtype)
    chosen = _chosen_backend(situation)
    source = "vllm/v1/attention/backends, selector and what Triton compiles, 0.11.1 to 0.33.0"
    gpu = f"compute capability {situation.capability / 10:.1f}"
    if not backends:
        why = f"kv_cache_dtype {kv_dtype}: no attention backend reads it on {gpu}"
        return refused(("kv_cache_dtype",), why, source)
    if chosen is not None:
        if chosen in backends:
            return None
        why = f"attention_backend {chosen} does not read kv_cache_dtype {kv_dtype} on {gpu}"
        return refused(("attention_backend", "kv_cache_dtype"), f"{why}; {', '.join(backends)} would", source)
    if kv_dtype == "auto" or any(map(is_shipped, backends)) or not any(name in _PACKAGED for name in backends):
        return None
    why = f"kv_cache_dtype {kv_dtype} on {gpu} needs {', '.join(backends)}, which the image must have as a package"
    return risky(("kv_cache_dtype",), why, source)


_PACKAGED = frozenset({"FLASHINFER", "FLASHINFER_MLA"})


def _backends(case: Case, kv_dtype: str) -> tuple[str, ...]:
    """Usable backends; of a model that is not known, those of both kinds of attention.

    Raises:
        NotKnownError: The release, the GPU, the format or such heads were not asked for.
    """
    situation = case.situation
    if case.release is None or situation.release < SELECTOR_SINCE:
        raise NotKnownError("release")
    if situation.model is not None and situation.model.head_dim not in HEAD_DIMS_READ:
        raise NotKnownError("head_dim")
    kinds = (False,) if situation.model is not None else (False, True)
    version, capability = case.release.version, situation.capability
    found = [kv_cache_backends(version, capability, kv_dtype, mla=mla) for mla in kinds]
    known = [backends for backends in found if backends is not None]
    if len(known) < len(found) or (situation.model is None and any(known)):
        raise NotKnownError("attention_backends")
    return tuple(name for backends in known for name in backends)


def _chosen_backend(situation: Situation) -> str | None:
    chosen = situation.get("attention_backend")
    return None if chosen in {None, "auto"} else str(chosen).upper()


def cache_format_is_the_models(case: Case) -> Violation | None:
    """A 16-bit cache format must be the model's own (0.33.0)."""
    situation = case.situation
    cache = str(situation.get("kv_cache_dtype"))
    model = _SIXTEEN_BITS.get(str(situation.get("dtype")))
    if situation.release < at(0, 33) or cache not in {"float16", "bfloat16"} or model is None or model == cache:
        return None
    why = f"kv_cache_dtype {cache} does not fit dtype {model}: a 16-bit cache has the model's format"
    return refused(("kv_cache_dtype", "dtype"), why, "vllm/config/vllm.py VllmConfig, 0.33.0")


def graphs_without_effect(case: Case) -> Violation | None:
    """No CUDA graphs are captured in eager mode."""
    given = tuple(key for key in _GRAPH_KEYS if case.explicit(key))
    if case.situation.get("enforce_eager") is not True or not given:
        return None
    why = f"{', '.join(given)}: no effect with enforce_eager, which captures no CUDA graphs"
    return ignored((*given, "enforce_eager"), why, "vllm/config/vllm.py VllmConfig.__post_init__, 0.6.6 to 0.33.0")


def without_effect_on_v1(key: str, why: str) -> Rule:
    """A rule for a setting that V1 accepts and never reads (vllm/v1 of 0.8.5 to 0.17.1 does not name it)."""

    def not_read_by_v1(case: Case) -> Violation | None:
        accepted = case.release is not None and case.release.named(key) is not None
        if not accepted or not case.explicit(key) or engine_core(case.situation) is not EngineCore.V1:
            return None
        return ignored((key,), f"{key} has no effect: {why}", "vllm/v1, 0.8.5 to 0.17.1")

    not_read_by_v1.__name__ = f"{key}_without_effect"
    return not_read_by_v1


_V0_ONLY: tuple[tuple[str, str], ...] = (
    ("swap_space", "V1 never moves requests to CPU memory"),
    ("num_lookahead_slots", "V1 plans slots for speculation itself"),
    ("max_seq_len_to_capture", "V1 captures CUDA graphs by batch size"),
)
MEMORY_RULES: tuple[Rule, ...] = (
    utilization_range,
    offload_range,
    utilization_without_effect,
    length_above_the_models,
    *map(listed_values, _CHOSEN),
    cache_format_needs_a_kernel,
    cache_format_is_the_models,
    graphs_without_effect,
    *(without_effect_on_v1(key, why) for key, why in _V0_ONLY),
)
