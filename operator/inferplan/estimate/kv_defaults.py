"""Defaults of a vLLM release that the size of the KV cache depends on. Pure.

Block sizes: check_and_update_config, vllm/platforms/cuda.py (0.8.5 to 0.17.1), update_block_size_for_backend,
vllm/platforms/interface.py (0.18.1 to 0.33.0), with the attention backend that the release takes first on the GPU.
States: MambaModelConfig, vllm/model_executor/models/config.py, and is_prefix_caching_supported, vllm/config/model.py.
"""

from dataclasses import dataclass

from inferplan.domain.architecture import Attention, CompressedAttention, LatentAttention, LinearAttention, Mamba
from inferplan.domain.model_card import ModelCard
from inferplan.estimate.kv_compressed import COMPRESSED_BLOCK
from inferplan.estimate.kv_formats import head_bytes, is_boundary_kept
from inferplan.estimate.kv_settings import StateMode
from inferplan.estimate.release import Release

USUAL_BLOCK = 16
"""CacheConfig.DEFAULT_BLOCK_SIZE on NVIDIA GPUs."""

_HOPPER = 90
_BLACKWELL = 10
_DESKTOP_BLACKWELL = 12
_DELTA = "gdn"
_LATENT_BLOCK = 64
_CUTLASS_BLOCK = 128
_SPARSE_BLOCK = 128
"""MiniMax M3: one block of its sparse attention (the only size its backend takes)."""

_FLASHINFER_BLOCK = 32
_FLASHINFER_NOPE = 128
_WIDE_HEAD = 256
_CHECKPOINT_STEP = 64
_FULL_STATE_PREFIXES = ("Nemotron", "Jamba", "Mamba", "Zamba2", "GraniteMoeHybrid", "FalconH1", "Bamba")


@dataclass(frozen=True)
class Situation:
    """What the defaults depend on.

    Attributes:
        release: vLLM's version.
        card: The model.
        kv_format: The cache's number format.
        capability: Compute capability times 10; None for another vendor, and where it is not known.
    """

    release: Release
    card: ModelCard
    kv_format: str
    capability: int | None


def block_size(now: Situation, stated: int | None) -> int:
    """Tokens per block before a hybrid model's are raised; the stated one, where the backend takes it.

    Latent attention on Hopper to 0.17: 64 (FlashMLA). Llama-3.1-8B: 16.
    """
    latent = next((layer.mixer for layer in now.card.layer_counts if isinstance(layer.mixer, LatentAttention)), None)
    if latent is None:
        mixers = [layer.mixer for layer in now.card.layer_counts]
        if any(isinstance(mixer, CompressedAttention) for mixer in mixers):
            return stated or COMPRESSED_BLOCK
        indexed = any(isinstance(mixer, Attention) and mixer.indexer is not None for mixer in mixers)
        return _packed_block(now, stated or (_SPARSE_BLOCK if indexed else USUAL_BLOCK))
    if now.release < (0, 8, 0):
        return stated or USUAL_BLOCK
    if now.release < (0, 18, 0):
        return _forced(stated or USUAL_BLOCK, _latent_step(now, latent))
    return stated or _latent_block(now, latent)


def _latent_step(now: Situation, latent: LatentAttention) -> int:
    """Tokens that blocks of latent attention are made a multiple of, to 0.17."""
    if latent.indexer is not None:
        return _LATENT_BLOCK
    if _is_blackwell(now) and now.release >= (0, 10, 1):
        flashinfer = now.release >= (0, 15, 0) and latent.qk_nope_head_dim == _FLASHINFER_NOPE
        return _LATENT_BLOCK if flashinfer else _CUTLASS_BLOCK
    return _LATENT_BLOCK if now.capability == _HOPPER else 1


def _forced(size: int, step: int) -> int:
    return size if size % step == 0 else step


def _latent_block(now: Situation, latent: LatentAttention) -> int:
    """The block of the backend that 0.18 and later take: FlashAttention and Triton 16, FlashMLA 64, FlashInfer 32."""
    if latent.indexer is not None:
        return _LATENT_BLOCK
    if _is_blackwell(now):
        return _FLASHINFER_BLOCK if latent.qk_nope_head_dim == _FLASHINFER_NOPE else _CUTLASS_BLOCK
    quantized = now.kv_format.startswith("fp8")
    return _LATENT_BLOCK if now.capability == _HOPPER and quantized else USUAL_BLOCK


def _packed_block(now: Situation, size: int) -> int:
    """From 0.25 a TurboQuant page is made as large as that of 16 tokens of the layers that are not packed.

    _align_heterogeneous_kv_block_size: the first layer is not packed, so a packed value counts as a byte. Head 128,
    bf16: 16 x 512 bytes / 256 = 32 tokens.
    """
    if now.release < (0, 25, 0) or not is_boundary_kept(now.kv_format) or now.card.has_states:
        return size
    mixer = next((layer.mixer for layer in now.card.layers if isinstance(layer.mixer, Attention)), None)
    if mixer is None:
        return size
    plain = head_bytes("bfloat16", mixer.head_dim, mixer.head_dim)
    packed = head_bytes("fp8", mixer.head_dim, mixer.head_dim)
    return max(size, size * -(-plain * USUAL_BLOCK // (size * packed)))


def kernel_block(now: Situation, size: int) -> int:
    """Tokens that a hybrid model's blocks are a multiple of.

    Qwen3-Next: 16. Kimi Linear: 64 to 0.19, then the backend's own, from 0.27 at least 128.
    """
    latent = now.card.is_latent
    if now.release < (0, 11, 1):
        return USUAL_BLOCK
    if now.release >= (0, 20, 0):
        least = _CUTLASS_BLOCK if latent and now.release >= (0, 27, 0) else USUAL_BLOCK
        return max(size, least)
    if latent:
        return _LATENT_BLOCK
    wide = _is_blackwell(now) and now.card.head_dim == _WIDE_HEAD and now.release < (0, 18, 0)
    return 2 * USUAL_BLOCK if wide else USUAL_BLOCK


def caches_prefixes(release: Release, card: ModelCard) -> bool:
    """Whether V1 caches prefixes unasked: of models with states from 0.26 on, where they also have attention."""
    if not card.has_states:
        return True
    attends = any(isinstance(layer.mixer, Attention | LatentAttention) for layer in card.layer_counts)
    return attends and release >= (0, 26, 0)


def state_mode(release: Release, card: ModelCard, *, caches: bool) -> StateMode:
    """What prefix caching keeps of states unasked: to 0.27 all of Mamba-2's, of others and later block ends.

    Before 0.15 only models that keep all have prefix caching at all.
    """
    keeps_all = card.architecture.startswith(_FULL_STATE_PREFIXES) and release < (0, 28, 0)
    if not caches or not card.has_states or release < (0, 11, 1):
        return StateMode.NONE
    if keeps_all:
        return StateMode.ALL
    return StateMode.ALIGN if release >= (0, 15, 0) else StateMode.NONE


def writes_checkpoints(now: Situation, mode: StateMode) -> bool:
    """Whether a prefill writes a state into a page of its own in align mode: Mamba-2 from 0.32.

    Gated delta nets from 0.33 where FlashInfer computes the prefill: on Hopper, and on Blackwell with heads of 128.
    Kimi K3 from 0.29 where FlashKDA does: on either (resolve_kda_prefill_backend, vllm/models/kimi_k3/nvidia/kda.py).
    """
    if mode is not StateMode.ALIGN:
        return False
    if now.card.architecture.startswith("KimiK3"):
        return now.release >= (0, 29, 0) and (now.capability == _HOPPER or _is_newer(now))
    mixers = [layer.mixer for layer in now.card.layer_counts]
    if any(isinstance(mixer, Mamba) for mixer in mixers):
        return now.release >= (0, 32, 0)
    return now.release >= (0, 33, 0) and _prefills_with_flashinfer(now)


def state_alignment(now: Situation, mode: StateMode) -> int:
    """Tokens that blocks are a multiple of so that a prefill's checkpoints fall on them: gated delta nets, 0.33: 64."""
    delta = any(
        isinstance(layer.mixer, LinearAttention) and layer.mixer.kind == _DELTA for layer in now.card.layer_counts
    )
    return _CHECKPOINT_STEP if delta and writes_checkpoints(now, mode) else 1


def _prefills_with_flashinfer(now: Situation) -> bool:
    widths = {
        layer.mixer.key_head_dim
        for layer in now.card.layer_counts
        if isinstance(layer.mixer, LinearAttention) and layer.mixer.kind == _DELTA
    }
    if not widths or now.capability is None:
        return False
    return now.capability == _HOPPER or (_is_newer(now) and widths == {128})


def _is_newer(now: Situation) -> bool:
    return _is_blackwell(now) or (now.capability is not None and now.capability // 10 == _DESKTOP_BLACKWELL)


def _is_blackwell(now: Situation) -> bool:
    return now.capability is not None and now.capability // 10 == _BLACKWELL
