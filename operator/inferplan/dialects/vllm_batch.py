"""Batch limits that a vLLM release's V1 engine takes where they are not set. Pure.

vllm/engine/arg_utils.py: `_set_default_args_v1` (0.8.5 to 0.10.2), `_set_default_args` (0.11.0 to 0.11.2),
`get_batch_defaults` and `_set_default_max_num_seqs_and_batched_tokens_args` (0.12.0 to 0.33.0).
"""

from dataclasses import dataclass

from inferplan.dialects.situation import NotKnownError, Situation, at
from inferplan.domain.serving import SettingValue

_SHORTEST_CONTEXT = 512
"""No model that generates text and is served has a shorter one; only then would an unknown length bind more."""

_BATCHED_EXPERTS = frozenset({"deepep_low_latency", "nixl_ep"})
_GB10 = 121


@dataclass(frozen=True)
class _Limits:
    tokens: int
    sequences: int


_LARGEST = _Limits(16_384, 1024)
_LARGE = _Limits(8192, 1024)
_SMALL = _Limits(2048, 256)


def batch_defaults(situation: Situation) -> dict[str, SettingValue]:
    """The limits that are not set: 8192 tokens and 1024 sequences on an H100-80, 2048 and 256 on an L4.

    Raises:
        NotKnownError: They depend on the GPU or on a setting that is not known.
    """
    found: dict[str, SettingValue] = {}
    start = _start(situation)
    sequences, tokens = situation.get("max_batch_size"), situation.get("max_num_batched_tokens")
    limit = start.sequences if sequences is None else situation.need("max_batch_size")
    if tokens is None:
        default = _tokens(situation, start.tokens, limit)
        if default is not None:
            found["max_num_batched_tokens"] = default
    else:
        default = situation.need("max_num_batched_tokens")
    if sequences is None:
        found["max_batch_size"] = _sequences(situation, limit, default)
    return found


def _start(situation: Situation) -> _Limits:
    """By hardware, twice as much in performance mode "throughput" (0.17.1 and later)."""
    limits = _by_hardware(situation)
    if (
        situation.release >= at(0, 20, 2)
        and situation.get("all2all_backend") in _BATCHED_EXPERTS
        and situation.get("enable_expert_parallel") is True
        and situation.count("data_parallel_size") > 1
    ):
        limits = _Limits(256, limits.sequences)  # DEFAULT_MAX_NUM_BATCHED_TOKENS_FOR_BATCHED_DP
    if situation.release >= at(0, 17) and situation.get("performance_mode") == "throughput":
        return _Limits(2 * limits.tokens, 2 * limits.sequences)
    return limits


def _by_hardware(situation: Situation) -> _Limits:
    """By the memory of one GPU: H100-80 has 79.6 GiB, A100-80 80.0, B200 179.1, L4 22.5."""
    gib = situation.memory_gib
    if situation.release >= at(0, 28) and gib >= 160:  # noqa: PLR2004  the rule's own number
        return _LARGEST
    if gib < 70:  # noqa: PLR2004  likewise
        return _SMALL
    if situation.release < at(0, 9, 2):
        return _LARGE
    return _SMALL if _is_excepted(situation) else _LARGE


def _is_excepted(situation: Situation) -> bool:
    """A100 from 0.9.2 on; GB10, which shares its memory with the CPU, in 0.33.0."""
    product = situation.accelerator.product
    if product is None:
        raise NotKnownError("product")
    capability = situation.accelerator.compute_capability
    is_gb10 = product.lower().endswith("gb10") if capability is None else capability == _GB10
    return "a100" in product.lower() or (is_gb10 and situation.release >= at(0, 33))


def _tokens(situation: Situation, start: int, sequences: int) -> int | None:
    """Tokens of a step; None where they depend on a model length that is not known.

    Without chunked prefill at least max_model_len (0.11.1 and later; before, V1 always chunks); at most
    sequences x max_model_len: 4 x 1024 = 4096 instead of 8192.
    """
    if situation.release < at(0, 11, 1):
        return start
    chunked = situation.get("enable_chunked_prefill") is not False
    longest = _length(situation)
    if longest is None:
        return start if chunked and sequences * _SHORTEST_CONTEXT >= start else None
    return min(start if chunked else max(start, longest), sequences * longest)


def _length(situation: Situation) -> int | None:
    stated = situation.get("max_model_len")
    if stated is not None:
        return stated if type(stated) is int else None
    return situation.model.max_position_embeddings if situation.model is not None else None


def _sequences(situation: Situation, limit: int, tokens: int | None) -> int:
    """Sequences of a step: no more than tokens from 0.10.1.1 on; unknown tokens are more than that by then."""
    if tokens is None or situation.release < at(0, 10, 1):
        return limit
    return min(limit, tokens)
