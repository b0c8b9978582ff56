"""Bytes that one token takes in one head of the KV cache, by number format. Pure."""

from math import ceil

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.estimate.release import Release

SCALE_BYTES = 4
"""One fp32 scale per head and token (vllm/v1/attention/backends/triton_attn.py, customize_spec, 0.33.0)."""

PACKED_LATENT_BYTES = {"fp8_ds_mla": 656, "nvfp4_ds_mla": 352}
"""Bytes of one token of sparse MLA with 512 + 64 values: 512 in FP8, 4 scales of 4 bytes and 64 x 2 bytes with
position (vllm/model_executor/layers/attention/mla_attention.py, get_kv_cache_spec, 0.33.0)."""

_BYTES_PER_VALUE = {
    "bfloat16": 2,
    "float16": 2,
    "float32": 4,
    "fp8": 1,
    "fp8_e4m3": 1,
    "fp8_e5m2": 1,
    "fp8_inc": 1,
}
_SCALED = {"int8_per_token_head": 1, "fp8_per_token_head": 1, "int4_per_token_head": 2}
"""Format with a scale per token and head → values per byte."""

_TURBOQUANT = {
    # Format → bits of a key and of a value (vllm/model_executor/layers/quantization/turboquant/config.py, 0.20.2).
    "turboquant_k8v4": (8, 4),
    "turboquant_4bit_nc": (4, 4),
    "turboquant_k3v4_nc": (3, 4),
    "turboquant_3bit_nc": (3, 3),
}
_NVFP4 = ("nvfp4", "nvfp4_4over6")
_SINCE: dict[str, Release] = {
    # First release that takes the format (CacheDType, vllm/config*).
    **dict.fromkeys(("fp8_ds_mla", "bfloat16"), (0, 11, 0)),
    **dict.fromkeys((*_TURBOQUANT, "int8_per_token_head", "fp8_per_token_head", "nvfp4"), (0, 20, 0)),
    "int4_per_token_head": (0, 25, 0),
    "nvfp4_4over6": (0, 28, 0),
    "nvfp4_ds_mla": (0, 30, 0),
}


def is_boundary_kept(kv_format: str) -> bool:
    """Whether the first and last two layers of a model without states keep the model's own format.

    TurboQuantConfig.get_boundary_skip_layers (0.20.2 to 0.33.0).
    """
    return kv_format in _TURBOQUANT


def has_half_bytes(kv_format: str) -> bool:
    """Whether values take half a byte, which not every kind of cache packs in every release."""
    return kv_format in _NVFP4 or _SCALED.get(kv_format) == 2  # noqa: PLR2004  values per byte


def is_scaled(kv_format: str) -> bool:
    """Whether scales are kept beside the values."""
    return kv_format in _NVFP4 or kv_format in _SCALED


def check_format(kv_format: str, release: Release, *, latent: bool) -> Missing | None:
    """Why a format is not sized; None for one that is.

    Bare "bfloat16" as what "auto" resolves to is older than its name on the command line.
    """
    known = kv_format in PACKED_LATENT_BYTES if latent else kv_format in {*_TURBOQUANT, *_NVFP4}
    if not (known or kv_format in _BYTES_PER_VALUE or kv_format in _SCALED):
        return _unsized(f"KV cache format {kv_format!r} is not sized for this attention")
    if kv_format != "bfloat16" and release < _SINCE.get(kv_format, release):
        since = ".".join(map(str, _SINCE[kv_format]))
        return _unsized(f"KV cache format {kv_format!r} came with vLLM {since}")
    return None


def head_bytes(kv_format: str, key: int, value: int, *, packs: bool = True) -> int:
    """Bytes of one token's key and value in one head.

    Head 128 (engine-facts section 3b): bf16 2 x 256 = 512; fp8 256; int8_per_token_head 2 x (128 + 4) = 264;
    int4_per_token_head 2 x (64 + 4) = 136; nvfp4 2 x (64 + 8) = 144; turboquant_k8v4 128 + 64 + 4 = 196,
    4bit_nc 64 + 2 + 64 + 4 = 134, k3v4_nc 48 + 2 + 64 + 4 = 118, 3bit_nc 48 + 2 + 48 + 4 = 102.

    Args:
        kv_format: A format that `check_format` takes.
        key: Width of a key head.
        value: Width of a value head.
        packs: Whether values of half a byte are packed; where they are not, one takes a byte.
    """
    if kv_format in _TURBOQUANT:
        return _turboquant_bytes(kv_format, key)
    if kv_format in _NVFP4:
        return _nvfp4_bytes(key) + _nvfp4_bytes(value) if packs else key + value
    if kv_format in _SCALED:
        density = _SCALED[kv_format] if packs else 1
        return key // density + value // density + 2 * SCALE_BYTES
    return (key + value) * _BYTES_PER_VALUE[kv_format]


def latent_bytes(kv_format: str, width: int) -> int:
    """Bytes of one token's compressed vector: 576 values are 1,152 bytes in bf16, 576 in fp8, 656 in fp8_ds_mla.

    Formats with a scale per token and head keep two, as for keys and values (MLACommonBackend.customize_spec, 0.33.0).
    """
    if kv_format in PACKED_LATENT_BYTES:
        return PACKED_LATENT_BYTES[kv_format]
    if kv_format in _SCALED:
        return width // _SCALED[kv_format] + 2 * SCALE_BYTES
    return width * _BYTES_PER_VALUE[kv_format]


def _nvfp4_bytes(width: int) -> int:
    """Half a byte a value and an FP8 scale for 16 (nvfp4_kv_cache_full_dim, vllm/utils/torch_utils.py, 0.33.0)."""
    return width // 2 + width // 16


def _turboquant_bytes(kv_format: str, width: int) -> int:
    """Packed key (a norm of 2 bytes unless it is FP8), packed value (scale and zero, 4 bytes), made even."""
    key_bits, value_bits = _TURBOQUANT[kv_format]
    eight = key_bits == 8  # noqa: PLR2004  bits of FP8, which has no norm
    slot = ceil(width * key_bits / 8) + (0 if eight else 2) + ceil(width * value_bits / 8) + 4
    return slot + slot % 2


def _unsized(why: str) -> Missing:
    return Missing(Reason.SETTING_UNKNOWN, why)
