"""What of an engine's settings DeepSeek V4's cache depends on, and those that it is not sized under. Pure.

_select_dsv4_attn_cls, vllm/models/deepseek_v4/nvidia/model.py, and _resolve_dsv4_kv_cache_dtype,
vllm/models/deepseek_v4/attention.py (0.23.0 to 0.33.0); DeepseekV4MLAAttention (0.20.2 to 0.22.1).
"""

import json
from collections.abc import Mapping
from dataclasses import replace

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import CompressedAttention, Layer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.release import Release

_FAMILIES = frozenset({9, 10, 12})
"""Compute capabilities' first figures that the kernels are for: Hopper and Blackwell."""

_FIRST_DESKTOP = (0, 24, 0)
"""First release with FlashInfer's kernels for compute capability 12.x, which take the same layout."""

_FIRST_AUTO = (0, 30, 0)
"""First release that takes "auto" for FP8; before, DeepSeek V4 does not start without --kv-cache-dtype fp8."""

_FLASHMLA = frozenset({"", "auto", "flashmla_sparse", "flashmla_sparse_dsv4"})
_DESKTOP = 12


def is_compressed(card: ModelCard) -> bool:
    """Whether a layer is DeepSeek V4's."""
    return any(isinstance(layer.mixer, CompressedAttention) for layer in card.layer_counts)


def refuse_compressed(
    config: ServingConfig, release: Release, capability: int | None, kv_format: str
) -> Missing | None:
    """Why the cache of such a model is not sized under these settings; None where it is.

    Args:
        config: The engine's settings.
        release: vLLM's version.
        capability: Compute capability times 10; None for another vendor, and where it is not known.
        kv_format: --kv-cache-dtype, "auto" where it is not set.
    """
    family = None if capability is None else capability // 10
    if family not in _FAMILIES or (family == _DESKTOP and release < _FIRST_DESKTOP):
        return _unknown("DeepSeek V4's cache is sized on NVIDIA's Hopper and Blackwell only, as vLLM's kernels are")
    attention = _attention_config(config)
    backend = str(config.text("attention_backend") or attention.get("backend") or "").lower()
    if backend not in _FLASHMLA:
        return _unknown(f"DeepSeek V4's cache is sized with FlashMLA's layout only, not for {backend[:64]!r}")
    if attention.get("hisparse_config"):
        return _unknown("hisparse_config: a cache that is partly in host memory is not sized")
    return _refuse_format(release, kv_format)


def _refuse_format(release: Release, kv_format: str) -> Missing | None:
    if kv_format == "auto" and release < _FIRST_AUTO:
        return _unknown("this release starts DeepSeek V4 with --kv-cache-dtype fp8 only, which is not set")
    if kv_format != "auto" and not kv_format.startswith("fp8"):
        return _unknown(f"DeepSeek V4's kernels take an FP8 cache, not kv_cache_dtype {kv_format[:64]}")
    return None


def has_narrow_index(config: ServingConfig) -> bool:
    """Whether the indexer's keys are kept in MXFP4 (AttentionConfig, vllm/config/attention.py, 0.20.2 to 0.33.0)."""
    attention = _attention_config(config)
    return attention.get("indexer_kv_dtype") == "mxfp4" or attention.get("use_fp4_indexer_cache") is True


def prediction_layer(card: ModelCard) -> Layer:
    """The layer that multi-token prediction adds: one with a window only, whatever compress_ratios say of it.

    DeepseekV4Attention.__init__ (layer_id >= num_hidden_layers), vllm/models/deepseek_v4/attention.py, 0.33.0.

    Raises:
        ValueError: The model has no such layers.
    """
    for layer in card.layers:
        if isinstance(layer.mixer, CompressedAttention):
            return replace(layer, mixer=replace(layer.mixer, compress_ratio=1, indexer=None))
    raise ValueError("no layer has compressed attention")


def _attention_config(config: ServingConfig) -> Mapping[str, object]:
    try:
        found = json.loads(config.text("attention_config") or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _unknown(why: str) -> Missing:
    return Missing(Reason.SETTING_UNKNOWN, why)
