"""Whether speed has a meaning: the server must start, and take requests of that length. Pure."""

import numpy as np

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig
from inferplan.domain.units import MIB
from inferplan.estimate.cache_room import held_at_once
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import MemoryEstimate
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.question import attention_ranks
from inferplan.estimate.result import Interval


def no_speed(situation: EstimateInput, memory: MemoryEstimate | Missing, load: Load) -> Missing | None:
    """Why the server would not serve the load at all; None where it does, or may."""
    refused = _too_long(situation.config, load)
    if refused is not None or isinstance(memory, Missing) or memory.fits or _may_start(situation, memory, load):
        return refused
    return Missing(Reason.DOES_NOT_FIT, memory.why_not or "the engine would not start")


def cache_tokens(config: ServingConfig, memory: MemoryEstimate | Missing, load: Load) -> Interval | None:
    """Tokens of requests as the load has them, in the caches of all data-parallel ranks; None where that is not known.

    A cache that does not hold one of the load's requests is not that of a server which serves them. What the engine
    prints is that of one rank, and of requests of max_model_len.
    """
    tokens, least = None if isinstance(memory, Missing) else memory.kv_cache_tokens, _length(load)
    if tokens is None or isinstance(tokens, Missing) or tokens.expected < least:
        return None
    ends = (tokens.low, tokens.expected, tokens.high) if isinstance(memory, Missing) else _held(memory, tokens, load)
    ranks = attention_ranks(config)
    low, expected, high = (max(end, least) * ranks for end in ends)
    return Interval(low, expected, high)


def _held(memory: MemoryEstimate, tokens: Interval, load: Load) -> tuple[float, float, float]:
    if memory.cache is None:
        return tokens.low, tokens.expected, tokens.high
    size = memory.kv_cache_bytes
    requests = held_at_once(memory.cache, np.array([size.low, size.expected, size.high]), load.held_tokens)
    low, expected, high = (float(number) * load.held_tokens for number in requests)
    return low, expected, high


def doubt(memory: MemoryEstimate | Missing) -> tuple[str, ...]:
    """What to say beside a speed of a server that may not start."""
    if isinstance(memory, Missing) or memory.surely_fits:
        return ()
    if memory.fits:
        return ("memory is tight: at the low end of its interval the engine would not start",)
    why = memory.why_not or "the engine would not start"
    return (f"as it stands the engine may not start ({why}); the speed is that of one which does",)


def _too_long(config: ServingConfig, load: Load) -> Missing | None:
    """An engine refuses requests longer than the max_model_len that somebody set."""
    longest = config.integer("max_model_len")
    if longest is None or not config.is_stated("max_model_len") or _length(load) <= longest:
        return None
    why = f"a request of {load.input_tokens:,.0f} + {load.output_tokens:,.0f} tokens is longer than max_model_len"
    return Missing(Reason.DOES_NOT_FIT, f"{why} {longest:,}, so the engine refuses it")


def _may_start(situation: EstimateInput, memory: MemoryEstimate, load: Load) -> bool:
    """Whether something that does not fit as it stands may be what runs in earnest.

    Limits that nobody stated are the release's, and are often not what runs: the model's own length is too long for
    many GPUs, the engine's share of the memory too small for the largest models. The load's own requests have to
    fit, or the weights into the whole GPU. What is stated may be off by the interval.
    """
    config, tokens, requests = situation.config, memory.kv_cache_tokens, memory.max_concurrency
    whole = (situation.accelerator.usable_mib or 0) * MIB
    if not config.is_stated("gpu_memory_utilization") and memory.total_bytes < whole and not memory.kv_cache_bytes.high:
        return True
    if config.is_stated("max_model_len"):
        return not isinstance(requests, Missing) and requests.high >= 1
    return not isinstance(tokens, Missing) and tokens.high >= _length(load)


def _length(load: Load) -> float:
    return load.input_tokens + load.output_tokens
