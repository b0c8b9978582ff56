"""How many requests a KV cache holds at once, in the middle of their answers. Pure.

The engine prints tokens: those of requests of max_model_len, all of whose prompt may be in one step. A request that
decodes holds only its last tokens in windows, and as much of a recurrent state however short it is.
"""

import numpy as np

from inferplan.estimate.kv_plan import CacheStructure
from inferplan.estimate.sglang_cache import PoolCache
from inferplan.estimate.step_shape import Floats


def held_at_once(cache: CacheStructure | PoolCache, available_bytes: Floats, tokens: float) -> Floats:
    """Requests that hold so many tokens each.

    Llama-3.1-8B in 16 bit, 40 GiB: 1,000 tokens are 63 blocks of 2 MiB; 325 requests. Qwen3.5-397B, TP 8: a request of
    600 tokens takes 97 MB, nearly all of it states, as much as 6,300 more tokens do.

    Args:
        cache: The cache's layout.
        available_bytes: Its size on the fullest GPU, an entry for each candidate.
        tokens: Of a request, mean.
    """
    available = np.maximum(np.asarray(available_bytes, dtype=np.float64), 0.0)
    if isinstance(cache, CacheStructure):
        override = cache.settings.blocks_override
        if override is not None:
            available = np.full_like(available, float(override) * cache.block_bytes)
        each = float(cache.request_bytes(max(1, round(tokens)), 1))
        requests: Floats = available / max(each, 1.0)
        return requests
    whole = available.astype(np.int64)
    by_tokens: Floats = cache.pool.tokens(whole) / tokens
    return np.minimum(by_tokens, cache.pool.states(whole)) if cache.pool.state_bytes else by_tokens
