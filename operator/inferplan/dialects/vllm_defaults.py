"""What a vLLM release does with what is not set, on that hardware: its API server's defaults. Pure.

vllm/engine/arg_utils.py of every release in the registry: `get_batch_defaults`, `_set_default_args*`,
`create_engine_config`; vllm/config*: async scheduling, block size. Checked by running these releases' own config
resolution with faked GPUs (T4, V100, L4, A100, H100, H200, B200, RTX PRO 6000, GB10) and a small Llama.

A default that depends on something unknown is absent. The model is taken to be a decoder that generates text, with
attention only: in prefix caching of hybrid ones releases differ, and nothing is said.
"""

from collections.abc import Callable

from inferplan.dialects.engine_core import EngineCore, engine_core
from inferplan.dialects.keys import spelling_of
from inferplan.dialects.registry import FlagKind, Release, ValueType
from inferplan.dialects.situation import NotKnownError, Situation, at
from inferplan.dialects.vllm_batch import batch_defaults
from inferplan.domain.serving import SettingValue

Values = dict[str, SettingValue]

_PARSER_KEYS = (
    # Keys whose default is the parser's, whatever the hardware.
    *("gpu_memory_utilization", "kv_cache_dtype", "dtype", "scheduling_policy", "enforce_eager"),
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "enable_expert_parallel"),
    "cpu_offload_gb",
)
_LONG_CONTEXT = 32_768
"""V0 chunks prefills by default where max_model_len is larger (arg_utils.py, 0.6.6 to 0.10.2)."""


def vllm_defaults(situation: Situation, release: Release) -> Values:
    """Value by key of everything that is not set and whose default is certain."""
    values: Values = {"quantization": "none", **_parser_defaults(release)}
    for rule in _RULES:
        try:
            values |= rule(situation, release)
        except NotKnownError:
            continue
    return values


def parser_default(release: Release, key: str) -> SettingValue | None:
    """The parser's default of a key; None where the release has no such flag, or its default is none."""
    spelling = spelling_of(release.engine, key)
    flag = release.named(spelling.dest) if spelling is not None else None
    if flag is None or flag.default is None:
        return None
    if flag.kind is not FlagKind.VALUE:
        return flag.default == "True"
    if flag.type is ValueType.NUMBER:
        return float(flag.default)
    return int(flag.default) if flag.type is ValueType.INTEGER else flag.default


def _parser_defaults(release: Release) -> Values:
    found = {key: parser_default(release, key) for key in _PARSER_KEYS}
    return {key: value for key, value in found.items() if value is not None}


def _swap_space(situation: Situation, release: Release) -> Values:
    """GiB of CPU memory for swapped requests: only V0 has it (vllm/v1 of 0.8.5 to 0.17.1 never reads it)."""
    value = parser_default(release, "swap_space")
    return {"swap_space": value} if value is not None and engine_core(situation) is EngineCore.V0 else {}


def _model_length(situation: Situation, _release: Release) -> Values:
    """The model's longest context (config/model.py, _get_and_verify_max_len): Llama-3.1-8B 131,072.

    tokenizer_config.json counts for pooling models with absolute positions only (0.11.0 and later).
    """
    situation.generates()
    longest = situation.card.max_position_embeddings
    return {"max_model_len": longest} if longest is not None else {}


def _caching(situation: Situation, _release: Release) -> Values:
    """Prefix caching: off on V0, on on V1; with states of constant size releases differ."""
    situation.generates()
    if situation.model is not None and situation.model.has_states:
        raise NotKnownError("model")
    if situation.release < at(0, 11, 1) and situation.any_set(("enable_prompt_embeds",)):
        raise NotKnownError("enable_prompt_embeds")
    _no_context_parallelism(situation)
    return {"enable_prefix_caching": engine_core(situation) is EngineCore.V1}


def _chunking(situation: Situation, _release: Release) -> Values:
    situation.generates()
    _no_context_parallelism(situation)
    if engine_core(situation) is EngineCore.V1:
        return {"enable_chunked_prefill": True}
    return {"enable_chunked_prefill": chunks_on_v0(situation)}


def chunks_on_v0(situation: Situation) -> bool:
    """Whether V0 chunks prefills by default: for long contexts on NVIDIA, unless another feature speaks against it.

    Raises:
        NotKnownError: That depends on what is not known.
    """
    if model_length(situation) <= _LONG_CONTEXT:
        return False
    if situation.any_set(("speculative_config", "speculative_model", "enable_lora", "enable_prompt_adapter")):
        raise NotKnownError("speculative_config")
    if not situation.card.is_plain:  # multimodal models, MLA and sliding windows decide otherwise
        raise NotKnownError("model")
    return situation.capability > 0  # known: no ROCm


def model_length(situation: Situation) -> int:
    """max_model_len that is set, else the model's own.

    Raises:
        NotKnownError: Neither is known.
    """
    if situation.get("max_model_len") is not None:
        return situation.need("max_model_len")
    longest = situation.card.max_position_embeddings
    if longest is None:
        raise NotKnownError("max_model_len")
    return longest


def _no_context_parallelism(situation: Situation) -> None:
    """In 0.12.0 alone prefill context parallelism switched both off by default."""
    if situation.release == at(0, 12) and situation.count("prefill_context_parallel_size") > 1:
        raise NotKnownError("prefill_context_parallel_size")


def _async_scheduling(situation: Situation, release: Release) -> Values:
    """Off by default up to 0.13.0; from 0.14.1 on unless something cannot do it."""
    if situation.release < at(0, 14):
        value = parser_default(release, "async_scheduling")
        return {} if value is None else {"async_scheduling": value}
    situation.generates()
    if situation.get("distributed_executor_backend") not in {None, "mp", "uni"}:
        raise NotKnownError("distributed_executor_backend")
    _fits_the_pod(situation)
    return {"async_scheduling": _async_possible(situation)}


def _async_possible(situation: Situation) -> bool:
    method = situation.speculative_method()
    if method is not None:
        if method == "ngram" and situation.release < at(0, 33):  # later it depends on which model runner is used
            return False
        raise NotKnownError("speculative_config")
    if situation.count("pipeline_parallel_size") > 1:
        if situation.release < at(0, 15):
            return False
        raise NotKnownError("pipeline_parallel_size")
    return True


def _fits_the_pod(situation: Situation) -> None:
    """More ranks than GPUs: then Ray may run them, which is not known."""
    ranks = situation.count("tensor_parallel_size") * situation.count("pipeline_parallel_size")
    if ranks > 1 and (situation.accelerator.count is None or ranks > situation.accelerator.count):
        raise NotKnownError("distributed_executor_backend")


def _block_size(situation: Situation, _release: Release) -> Values:
    """16 tokens on NVIDIA, where no other attention backend than the usual one for full attention may be chosen."""
    card = situation.card
    plain = card.is_plain and card.head_dim in _PLAIN_HEADS and situation.capability >= _TURING
    chosen = situation.any_set(("attention_backend", "attention_config", "speculative_config", "kv_transfer_config"))
    cache = situation.get("kv_cache_dtype")
    if not plain or chosen or cache not in {None, "auto"} or "VLLM_ATTENTION_BACKEND" in situation.environment:
        raise NotKnownError("block_size")
    return {"block_size": 16}


_PLAIN_HEADS = frozenset({64, 128})
_TURING = 75


def _attention_backend(_situation: Situation, release: Release) -> Values:
    """Chosen by the engine ("auto") where there is a flag for it."""
    return {"attention_backend": "auto"} if release.named("attention_backend") is not None else {}


def _batch(situation: Situation, _release: Release) -> Values:
    situation.generates()
    if engine_core(situation) is EngineCore.V1:
        return batch_defaults(situation)
    return {"max_batch_size": 256} | _v0_tokens(situation)  # arg_utils.py, 0.6.6 to 0.10.2


def _v0_tokens(situation: Situation) -> Values:
    """2048 tokens with chunked prefill, else the model's length and at least 2048 (SchedulerConfig of V0)."""
    try:
        if situation.any_set(("num_scheduler_steps",)) or not situation.card.is_plain:
            return {}
        stated = situation.get("enable_chunked_prefill")
        chunked = chunks_on_v0(situation) if stated is None else stated is True
        return {"max_num_batched_tokens": 2048 if chunked else max(2048, model_length(situation))}
    except NotKnownError:
        return {}


_RULES: tuple[Callable[[Situation, Release], Values], ...] = (
    _swap_space,
    _model_length,
    _caching,
    _chunking,
    _async_scheduling,
    _block_size,
    _attention_backend,
    _batch,
)
