"""How many tokens SGLang's KV pool holds. Pure.

profile_max_num_token and set_num_tokens_hybrid*, srt/model_executor/model_runner*.py (0.4.6 to 0.5.10), then
srt/model_executor/pool_configurator.py (0.5.12 to 0.5.23); states: handle_max_mamba_cache. A token takes a cell in
each layer; layers with windows and recurrent states may have pools of their own, of a fixed share.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import Attention, LatentAttention, LinearAttention, Mamba, Mixer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.estimate.cache_spec import UnsizedError
from inferplan.estimate.kv_formats import PACKED_LATENT_BYTES, head_bytes, latent_bytes
from inferplan.estimate.kv_plan import Whole
from inferplan.estimate.kv_releases import V0_RULES
from inferplan.estimate.kv_settings import CacheSettings, StateSettings
from inferplan.estimate.kv_specs import SpecMaker
from inferplan.estimate.placement import Layout, Remainder, stages
from inferplan.estimate.release import Release

WINDOW_SHARE = 0.8
"""--swa-full-tokens-ratio: tokens of the windows' pool per token of the full one."""

STATE_SHARE = 0.9
"""--mamba-full-memory-ratio: bytes of states per byte of keys and values."""

_FORMATS = {"bfloat16": "bfloat16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "fp8": "fp8", "float32": "float32"}
_WINDOWED: tuple[tuple[str, Release], ...] = (
    # Architectures with a pool for windows → since when (is_hybrid_swa_model, srt/configs/model_config.py).
    ("GptOss", (0, 5, 6)),
    ("Llama4", (0, 5, 6)),
    ("MiMoV2", (0, 5, 6)),
    ("Step3p5", (0, 5, 10)),
    ("Gemma4", (0, 5, 12)),
    ("Laguna", (0, 5, 12)),
)
_LAST_BY_WINDOW = (0, 5, 6)
"""Before, every model with sliding windows had a pool for them (from 0.4.9), and Llama 4 none unasked."""

_FIRST_WINDOW_POOL = (0, 4, 9)
_BY_BYTES = (0, 5, 12)
"""From here on a cell counts windows by their share; before, tokens were shared out again afterwards."""

_FIRST_VALUE_WIDTH = (0, 5, 6)
_FIRST_STATE_SHARE = (0, 5, 5)
_FIRST_PACKED = (0, 5, 10)
_INDEX_SCALE_GROUP = 128
_INDEX_SCALE_BYTES = 4
_BLACKWELL = 10


@dataclass(frozen=True)
class PoolSettings:
    """What SGLang's pools depend on beside the model and the memory.

    Attributes:
        release: SGLang's version.
        kv_format: --kv-cache-dtype as it resolves: bfloat16, fp8_e4m3, fp8_e5m2.
        attention_ranks: Ranks that share attention's heads: tp_size / dp_size with DP attention, else tp_size.
        pipeline_parallel: Stages that share layers.
        page_size: Tokens per page.
        window_share: See `WINDOW_SHARE`; 0 where windows get no pool of their own (--disable-hybrid-swa-memory).
        state_share: See `STATE_SHARE`.
        fixed_states: States that the pool holds where a number is set, or without a radix cache; None: by share.
        state_bits: Bits of a value of a state, where a flag or variable says so.
        capability: Compute capability times 10; None for another vendor, and where it is not known.
    """

    release: Release
    kv_format: str = "bfloat16"
    attention_ranks: int = 1
    pipeline_parallel: int = 1
    page_size: int = 1
    window_share: float = WINDOW_SHARE
    state_share: float = STATE_SHARE
    fixed_states: int | None = None
    state_bits: int | None = None
    capability: int | None = None


@dataclass(frozen=True)
class PoolStructure:
    """How one model's pools are laid out on the stage with the largest cells.

    Attributes:
        settings: The settings that it was made for.
        full_bytes: Bytes of one token in all layers that keep every token.
        window_bytes: Bytes of one token in all layers of the windows' pool.
        full_layers: Layers that keep every token.
        window_layers: Layers of the windows' pool.
        state_bytes: Bytes of one request's states.
    """

    settings: PoolSettings
    full_bytes: int
    window_bytes: int
    full_layers: int
    window_layers: int
    state_bytes: int

    def tokens(self, available_bytes: int | Whole) -> Whole:
        """max_total_num_tokens: tokens of the full pool, in whole pages.

        Llama-3.1-8B, bf16: a cell is 32 x 8 x 2 x 128 x 2 = 131,072 bytes; 40 GiB hold 327,680 tokens.
        """
        settings = self.settings
        rest = np.asarray(available_bytes, dtype=np.int64) - self.states(available_bytes) * self.state_bytes
        if not self.window_layers or not self.full_layers:
            return _pages(rest // max(1, self.full_bytes + self.window_bytes), settings)
        if settings.release >= _BY_BYTES:
            cell = self.full_bytes + settings.window_share * self.window_bytes
            return _pages((rest // cell).astype(np.int64), settings)
        even = _pages(rest // (self.full_bytes + self.window_bytes), settings)
        total = even * (self.full_layers + self.window_layers)
        return _pages(
            (total / (settings.window_share * self.window_layers + self.full_layers)).astype(np.int64), settings
        )

    def states(self, available_bytes: int | Whole) -> Whole:
        """Requests whose states the pool holds; 0 without states.

        0.9 bytes of states per byte of keys and values: 40 GiB leave 18.9 GiB for states.
        """
        available = np.asarray(available_bytes, dtype=np.int64)
        if not self.state_bytes:
            return np.zeros_like(available)
        if self.settings.fixed_states is not None:
            return np.full_like(available, self.settings.fixed_states)
        share = self.settings.state_share / (1 + self.settings.state_share)
        return (available * share // self.state_bytes).astype(np.int64)


@lru_cache(maxsize=256)
def pool_structure(card: ModelCard, settings: PoolSettings) -> PoolStructure | Missing:
    """The layout of a model's pools under these settings, or why it is not known."""
    if settings.kv_format not in _FORMATS:
        return Missing(Reason.SETTING_UNKNOWN, f"KV cache format {settings.kv_format[:64]!r} is not sized for SGLang")
    if card.has_states and settings.release < _FIRST_STATE_SHARE:
        return _unsupported("states have a share of the memory from SGLang 0.5.5 on; before, it is not sized")
    remainder = Remainder.LAST_ONES if settings.release >= (0, 5, 8) else Remainder.ALL_LAST
    spans = stages(card.num_layers, Layout(pipeline=settings.pipeline_parallel, remainder=remainder))
    try:
        found = [_stage(card, settings, [layer.mixer for layer in card.layers[start:end]]) for start, end in spans]
    except UnsizedError as error:
        return _unsupported(str(error))
    return max(found, key=lambda stage: stage.full_bytes + stage.window_bytes)


def _stage(card: ModelCard, settings: PoolSettings, mixers: list[Mixer | None]) -> PoolStructure:
    full = [_cell(mixer, settings) for mixer in mixers if not _in_window_pool(card, settings, mixer)]
    windows = [_cell(mixer, settings) for mixer in mixers if _in_window_pool(card, settings, mixer)]
    return PoolStructure(
        settings,
        full_bytes=sum(full),
        window_bytes=sum(windows),
        full_layers=sum(size > 0 for size in full),
        window_layers=len(windows),
        state_bytes=sum(_state(mixer, settings) for mixer in mixers),
    )


def _in_window_pool(card: ModelCard, settings: PoolSettings, mixer: Mixer | None) -> bool:
    if not isinstance(mixer, Attention) or not settings.window_share:
        return False
    if settings.release < _LAST_BY_WINDOW:
        return mixer.window is not None and settings.release >= _FIRST_WINDOW_POOL
    known = any(card.architecture.startswith(name) and settings.release >= since for name, since in _WINDOWED)
    return known and (mixer.window is not None or mixer.chunk is not None)


def _cell(mixer: Mixer | None, settings: PoolSettings) -> int:
    """Bytes of one token in a layer; 0 where it keeps none."""
    kv_format = _FORMATS[settings.kv_format]
    if isinstance(mixer, Attention):
        if mixer.indexer is not None:
            raise UnsizedError("the cache of an indexer beside keys and values is not sized")
        value = mixer.v_head_dim if settings.release >= _FIRST_VALUE_WIDTH else mixer.head_dim
        heads = max(1, mixer.kv_heads // settings.attention_ranks)
        return 0 if mixer.shares_kv else heads * head_bytes(kv_format, mixer.head_dim, value)
    if isinstance(mixer, LatentAttention):
        return _latent_cell(mixer, settings, kv_format)
    if mixer is None or isinstance(mixer, LinearAttention | Mamba):
        return 0
    raise UnsizedError("DeepSeek V4's compressed attention has pools of its own in SGLang, which are not sized")


def _latent_cell(mixer: LatentAttention, settings: PoolSettings, kv_format: str) -> int:
    """One compressed vector, with the indexer's key; from 0.5.10 sparse FP8 is packed unless TensorRT computes it."""
    size = latent_bytes(kv_format, mixer.kv_lora_rank + mixer.qk_rope_head_dim)
    if mixer.indexer is None:
        return size
    tensorrt = settings.capability is not None and settings.capability // 10 == _BLACKWELL
    if kv_format == "fp8" and settings.release >= _FIRST_PACKED and not tensorrt:
        size = PACKED_LATENT_BYTES["fp8_ds_mla"]
    own = mixer.indexer.head_dim
    return size + (0 if mixer.indexer.shared else own + own // _INDEX_SCALE_GROUP * _INDEX_SCALE_BYTES)


def _state(mixer: Mixer | None, settings: PoolSettings) -> int:
    """Bytes of one request's state in a layer: as in vLLM, its own values in float32 unless something else is asked."""
    if not isinstance(mixer, LinearAttention | Mamba):
        return 0
    states = StateSettings(state_bits=settings.state_bits or mixer.state_bits or 32)
    shapes = CacheSettings((0, 33, 0), tensor_parallel=settings.attention_ranks, states=states)
    return SpecMaker(shapes, V0_RULES, 0, keeps_boundary=False).state_bytes(mixer)


def _pages(tokens: Whole, settings: PoolSettings) -> Whole:
    return np.maximum(tokens // settings.page_size * settings.page_size, 0)


def _unsupported(why: str) -> Missing:
    return Missing(Reason.MODEL_UNSUPPORTED, why)
