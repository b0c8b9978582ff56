"""SGLang's KV pool as the memory model asks for it: as vLLM's planner answers. Pure."""

from dataclasses import dataclass

import numpy as np

from inferplan.estimate.kv_plan import CachePlan, CachePlans, Whole
from inferplan.estimate.kv_sglang import PoolStructure

_Numbers = int | Whole


@dataclass(frozen=True)
class PoolCache:
    """The pool, in pages instead of blocks. No check at start refuses a pool that is too small for one request.

    Attributes:
        pool: Its layout.
    """

    pool: PoolStructure

    @property
    def block_size(self) -> int:
        """Tokens per page."""
        return self.pool.settings.page_size

    @property
    def block_bytes(self) -> int:
        """Bytes of one page in all layers."""
        return max(1, (self.pool.full_bytes + self.pool.window_bytes) * self.block_size)

    def plan(self, available_bytes: int, max_model_len: int, max_num_batched_tokens: int) -> CachePlan:
        """The plan for one amount of memory per rank."""
        plans = self.plans(available_bytes, max_model_len, max_num_batched_tokens)
        return CachePlan(
            num_blocks=int(plans.num_blocks),
            block_size=plans.block_size,
            tokens=int(plans.tokens),
            max_concurrency=float(plans.max_concurrency),
            request_bytes=int(plans.request_bytes),
            fits=bool(plans.fits),
        )

    def plans(self, available_bytes: _Numbers, max_model_len: _Numbers, max_num_batched_tokens: _Numbers) -> CachePlans:
        """The plans for arrays; the concurrency is tokens over context_length, and no more than states are kept for."""
        del max_num_batched_tokens  # SGLang's windows do not grow with it
        available, length = np.asarray(available_bytes, dtype=np.int64), np.asarray(max_model_len, dtype=np.int64)
        tokens = np.maximum(self.pool.tokens(available), 0)
        share = np.asarray(tokens / length, dtype=np.float64)
        if self.pool.state_bytes:
            share = np.minimum(share, self.pool.states(available).astype(np.float64))
        request = length * (self.pool.full_bytes + self.pool.window_bytes) + self.pool.state_bytes
        return CachePlans(
            num_blocks=tokens // self.block_size,
            block_size=self.block_size,
            tokens=tokens,
            max_concurrency=share,
            request_bytes=np.asarray(request),
            fits=np.asarray(tokens > 0),
        )

    def longest(self, available_bytes: _Numbers, max_model_len: _Numbers, max_num_batched_tokens: _Numbers) -> Whole:
        """Tokens that one request may have: all of the pool."""
        plans = self.plans(available_bytes, max_model_len, max_num_batched_tokens)
        return np.minimum(plans.tokens, np.asarray(max_model_len, dtype=np.int64))
