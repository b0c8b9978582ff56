"""What one layer keeps in the KV cache, as vLLM's planner sees it, and the kinds of caches. Pure data.

KVCacheSpec and its kinds, vllm/v1/kv_cache_interface.py (0.8.5 to 0.33.0).
"""

from dataclasses import dataclass
from enum import StrEnum


class CacheKind(StrEnum):
    """Kinds of caches that vLLM tells apart."""

    FULL = "full attention"
    LATENT = "latent attention"
    COMPRESSED = "compressed attention"
    SLIDING = "sliding window"
    CHUNKED = "chunked local attention"
    STATE = "recurrent state"


FULL_KINDS = frozenset({CacheKind.FULL, CacheKind.LATENT, CacheKind.COMPRESSED})
"""Kinds that keep every token; all others are one type each."""


@dataclass(frozen=True)
class CacheSpec:
    """One layer's cache. Equal ones can share a group.

    Attributes:
        kind: Kind of cache.
        block_size: Tokens per block; 0: one block per request, whatever its length (states).
        token_bytes: Bytes of one token; of a state all of it; of compressed attention one vector, for several tokens.
        shape: What must agree within a group: heads, widths, format and whether half bytes are packed.
        window: Tokens of the window or chunk.
        padded_bytes: Bytes that the page is padded to.
        pages: Pages beside those for the request's length (a state's own, speculated ones, checkpoints).
        full_bytes: Bytes of one token of a window where it is allocated in full.
    """

    kind: CacheKind
    block_size: int
    token_bytes: int
    shape: tuple[int | str, ...]
    window: int | None = None
    padded_bytes: int | None = None
    pages: int = 0
    full_bytes: int = 0

    @property
    def page_bytes(self) -> int:
        """Bytes of one block of this layer."""
        if self.padded_bytes is not None:
            return self.padded_bytes
        return self.token_bytes if self.kind is CacheKind.STATE else self.token_bytes * self.block_size

    @property
    def is_full(self) -> bool:
        """Whether every token is kept."""
        return self.kind in FULL_KINDS

    @property
    def growing_bytes(self) -> float:
        """Bytes that one more token takes at any length; of compressed attention its part of a page, 37,440 / 256."""
        if self.kind is CacheKind.COMPRESSED:
            return self.page_bytes / self.block_size
        return self.token_bytes if self.is_full else 0


class UnsizedError(ValueError):
    """A layer whose cache is not sized; the message says why."""
