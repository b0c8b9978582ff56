"""Makes the caches of a layer: vLLM's KVCacheSpec of each kind of attention, on one rank. Pure.

vllm/v1/kv_cache_interface.py and the layers' get_kv_cache_spec of 0.8.5 to 0.33.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import lcm

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.estimate.cache_spec import CacheKind, CacheSpec, UnsizedError
from inferplan.estimate.kv_compressed import compressed_specs
from inferplan.estimate.kv_formats import has_half_bytes, head_bytes, is_boundary_kept, is_scaled, latent_bytes
from inferplan.estimate.kv_releases import PlannerRules
from inferplan.estimate.kv_settings import CacheSettings, StateMode

WINDOW_BLOCK = 16
"""Smallest block of FlashAttention's, FlashInfer's and Triton's kernels (get_supported_kernel_block_sizes)."""

_INDEX_SCALE_GROUP = 128
_INDEX_SCALE_BYTES = 4
_BITS_PER_BYTE = 8
_KDA = "kda"
_FLOAT_BITS = 32
_BOUNDARY = 2


@dataclass(frozen=True)
class SpecMaker:
    """Makes specs of one model's layers.

    Attributes:
        settings: The engine's settings.
        rules: The release's rules.
        layers: Layers of the model, without drafts.
        keeps_boundary: Whether TurboQuant leaves the first and last layers alone: not with recurrent states.
    """

    settings: CacheSettings
    rules: PlannerRules
    layers: int
    keeps_boundary: bool

    def specs(self, index: int, mixer: Mixer | None, block_size: int, state_page: int | None) -> Iterator[CacheSpec]:
        """The caches of a layer: none without attention, two with a sparse attention's indexer, up to five compressed.

        Args:
            index: The layer's place in the model; drafts follow its last.
            mixer: The layer's mixer.
            block_size: Tokens per block of attention layers.
            state_page: Bytes that state pages are padded to, None as they are.

        Raises:
            UnsizedError: The layer cannot be sized.
        """
        if isinstance(mixer, Attention):
            if not mixer.shares_kv:
                yield self._attention(index, mixer, block_size)
            if mixer.indexer is not None and not mixer.indexer.shared:
                yield _block_index(mixer.indexer, block_size)
        elif isinstance(mixer, LatentAttention):
            yield from self._latent(mixer, block_size)
        elif isinstance(mixer, LinearAttention | Mamba):
            yield self._state(mixer, block_size, state_page)
        elif isinstance(mixer, CompressedAttention):
            yield from compressed_specs(mixer, self.settings, block_size)

    def kv_format(self, index: int) -> str:
        """The number format of a layer's keys and values."""
        settings = self.settings
        at_boundary = index < min(_BOUNDARY, self.layers // 2) or index >= self.layers - min(
            _BOUNDARY, self.layers // 2
        )
        kept = self.keeps_boundary and is_boundary_kept(settings.kv_format) and at_boundary
        return settings.model_format if kept else settings.kv_format

    def _attention(self, index: int, mixer: Attention, block_size: int) -> CacheSpec:
        kind, rules = self._kind(mixer), self.rules
        own_width = {
            CacheKind.SLIDING: rules.window_value_width,
            CacheKind.CHUNKED: rules.chunk_value_width,
        }.get(kind, rules.value_width)
        value = mixer.v_head_dim if own_width else mixer.head_dim
        kv_format, heads = self.kv_format(index), self._kv_heads(mixer.kv_heads)
        packs = self._packs(kind, kv_format)
        if kind is CacheKind.SLIDING and rules.smallest_window_block:
            block_size = WINDOW_BLOCK
        return CacheSpec(
            kind,
            block_size,
            heads * head_bytes(kv_format, mixer.head_dim, value, packs=packs),
            (heads, mixer.head_dim, value, kv_format, packs),
            {CacheKind.SLIDING: mixer.window, CacheKind.CHUNKED: mixer.chunk}.get(kind),
            full_bytes=heads * head_bytes(self._full_format(kind, kv_format), mixer.head_dim, value),
        )

    def _packs(self, kind: CacheKind, kv_format: str) -> bool:
        """Whether values of half a byte are packed: in windows NVFP4 from 0.21, INT4 from 0.28 (in chunks before)."""
        if kind is CacheKind.FULL or not has_half_bytes(kv_format):
            return True
        if kind is CacheKind.SLIDING and kv_format == "int4_per_token_head":
            return self.rules.chunk_value_width
        return self.rules.packs_windows

    def _full_format(self, kind: CacheKind, kv_format: str) -> str:
        """The format that a window is taken for where it is allocated in full.

        unify_hybrid_kv_cache_specs forgets scales and packing, of windows to 0.20, of chunks to 0.27.
        """
        forgets = {CacheKind.SLIDING: not self.rules.packs_windows, CacheKind.CHUNKED: not self.rules.chunk_value_width}
        return "fp8" if forgets.get(kind, False) and is_scaled(kv_format) else kv_format

    def _kind(self, mixer: Attention) -> CacheKind:
        if mixer.window is not None:
            return CacheKind.SLIDING
        return CacheKind.CHUNKED if mixer.chunk is not None and self.rules.has_chunks else CacheKind.FULL

    def _kv_heads(self, kv_heads: int) -> int:
        """Key/value heads of one rank: 8 heads, TP 2: 4; TP 16: one, twice."""
        ranks = self.settings.tensor_parallel
        if kv_heads % ranks and ranks % kv_heads:
            raise UnsizedError(f"{kv_heads} key/value heads cannot be shared among tensor_parallel_size {ranks}")
        return max(1, kv_heads // ranks)

    def _latent(self, mixer: LatentAttention, block_size: int) -> Iterator[CacheSpec]:
        """One compressed vector for all heads, on every rank; the indexer's 128 values are bytes with a scale."""
        width = mixer.kv_lora_rank + mixer.qk_rope_head_dim
        kv_format = self.settings.kv_format
        yield CacheSpec(CacheKind.LATENT, block_size, latent_bytes(kv_format, width), (1, width, kv_format))
        if mixer.indexer is not None and not mixer.indexer.shared:
            own = mixer.indexer.head_dim
            size = own + own // _INDEX_SCALE_GROUP * _INDEX_SCALE_BYTES
            yield CacheSpec(CacheKind.LATENT, block_size, size, (1, size, "indexer"))

    def _state(self, mixer: LinearAttention | Mamba, block_size: int, padded: int | None) -> CacheSpec:
        states, rules = self.settings.states, self.rules
        size = self.state_bytes(mixer)
        by_length = states.mode is StateMode.ALL
        speculated = rules.speculative_states_by_length if by_length else rules.speculative_states
        pages = (0 if by_length else 1) + (states.speculative_tokens if speculated else 0)
        if states.mode is StateMode.ALIGN:
            pages += 1 + states.checkpoints
        return CacheSpec(
            CacheKind.STATE,
            0 if states.mode is StateMode.NONE else block_size,
            size,
            (size, states.conv_bits, states.mode),
            padded_bytes=padded,
            pages=pages,
        )

    def state_bytes(self, mixer: LinearAttention | Mamba) -> int:
        """Bytes of one request's state in one layer (mamba_utils.py, MambaStateShapeCalculator, 0.10.1 to 0.33.0).

        Qwen3-Next, TP 1: (2 x 16 x 128 + 32 x 128) x 3 inputs x 2 + 32 x 128 x 128 x 2 bytes = 1,097,728.

        Raises:
            UnsizedError: The ranks do not divide it.
        """
        states = self.settings.states
        kept = mixer.conv_kernel - 1 + (states.speculative_tokens if self._conv_speculates(mixer) else 0)
        if isinstance(mixer, Mamba):
            channels = mixer.heads * mixer.head_dim + 2 * self._groups(mixer.groups) * mixer.state_size
            values = mixer.heads * mixer.head_dim * mixer.state_size
        else:
            channels = 2 * mixer.key_heads * mixer.key_head_dim + mixer.value_heads * mixer.value_head_dim
            values = mixer.value_heads * mixer.value_head_dim * mixer.key_head_dim
        heads = mixer.heads if isinstance(mixer, Mamba) else mixer.value_heads
        ranks = self.settings.tensor_parallel
        if channels % ranks or heads % ranks:
            raise UnsizedError(f"a state of {heads} heads cannot be shared among tensor_parallel_size {ranks}")
        bits = self._bits(mixer)
        return (channels // ranks * kept * states.conv_bits + values // ranks * bits) // _BITS_PER_BYTE

    def _groups(self, groups: int) -> int:
        """Groups with those that are repeated so that each rank has all that its heads need."""
        ranks = self.settings.tensor_parallel
        return groups if groups % ranks == 0 else ranks

    def _conv_speculates(self, mixer: LinearAttention | Mamba) -> bool:
        """Whether the convolution keeps inputs of speculated tokens: GDN from 0.10.2, Mamba-2 0.17, KDA 0.27."""
        if isinstance(mixer, Mamba):
            return self.settings.release >= (0, 17, 0)
        return mixer.kind != _KDA or self.settings.release >= (0, 27, 0)

    def _bits(self, mixer: LinearAttention | Mamba) -> int:
        """Bits of a value of the state: the flag's, the model config's, else the engine's.

        --mamba-ssm-cache-dtype counts for Mamba-2 from 0.10.1, GDN 0.17 and KDA 0.30; the config for Mamba-2 from 0.12
        and GDN 0.17 (vllm/model_executor/models/config.py); KDA's own is float32, others' that of the convolution.
        """
        states, release = self.settings.states, self.settings.release
        if isinstance(mixer, LinearAttention) and mixer.kind == _KDA:
            return (states.state_bits if release >= (0, 30, 0) else None) or _FLOAT_BITS
        delta = isinstance(mixer, LinearAttention)
        flag = states.state_bits if not delta or release >= (0, 17, 0) else None
        config = mixer.state_bits if release >= ((0, 17, 0) if delta else (0, 12, 0)) else None
        return flag or config or states.conv_bits


def _block_index(indexer: Indexer, block_size: int) -> CacheSpec:
    """One key per token on every rank, as MiniMax M3 keeps: bfloat16 whatever the cache's format.

    MiniMaxM3IndexerCache, vllm/models/minimax_m3/common/indexer.py (0.24.0 to 0.33.0). 128 values: 256 bytes.
    """
    size = latent_bytes("bfloat16", indexer.head_dim)
    return CacheSpec(CacheKind.LATENT, block_size, size, (1, indexer.head_dim, "bfloat16"))


def raised_block(settings: CacheSettings, token_bytes: int, state_bytes: int) -> int:
    """Block size at which a hybrid model's attention page is at least a state page.

    HybridAttentionMambaModelConfig, vllm/model_executor/models/config.py (0.10.0 to 0.19.1), then
    _align_hybrid_block_size, vllm/platforms/interface.py (0.20.2 to 0.33.0). Qwen3-Next, TP 1: 1,097,728 bytes /
    (2 heads x 2 x 256 x 2 bytes = 2,048) = 536 tokens, a multiple of 16 is 544.

    Raises:
        UnsizedError: It depends on the model's chunk size, which is not known.
    """
    states, step = settings.states, settings.kernel_block
    if states.mode is StateMode.ALL:
        if states.chunk is None:
            raise UnsizedError("mamba_cache_mode all needs the model's chunk size, which is not known")
        step = lcm(states.chunk, step)
    elif states.mode is StateMode.ALIGN:
        step = lcm(step, states.alignment)
    return max(settings.block_size, -(-state_bytes // (step * token_bytes)) * step)
