"""The settings of SGLang's KV pools out of what the engine is told to do, with its defaults filled in. Pure."""

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import LatentAttention
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.kv_sglang import STATE_SHARE, WINDOW_SHARE, PoolSettings
from inferplan.estimate.memory_setting import read_ranks, read_speculation
from inferplan.estimate.release import release_of

_BITS = {"float32": 32, "bfloat16": 16, "float16": 16}
_UNSHARED_STATES = 512
"""States without a radix cache and without --max-running-requests (handle_max_mamba_cache, 0.5.5 to 0.5.8)."""

_HOPPER = 90
_LATENT_PAGE = 64


def pool_settings(config: ServingConfig, card: ModelCard, accelerator: Accelerator) -> PoolSettings | Missing:
    """The settings that SGLang would size its pools with; what of them is not known, where it cannot be assumed."""
    release, ranks, speculation = release_of(config.version), read_ranks(config), read_speculation(config)
    if release is None:
        return _unknown(f"SGLang's version {config.version} is not known: how it sizes the cache is not, either")
    if isinstance(ranks, Missing):
        return ranks
    if not isinstance(speculation, Missing) and speculation.method and card.has_states:
        return _unknown("speculation: what SGLang keeps for it beside states is not known")
    with_attention = config.flag("enable_dp_attention") is True
    sharing = max(1, ranks.tensor // ranks.data) if with_attention else ranks.tensor
    share = 0.0 if config.flag("disable_hybrid_swa_memory") else config.fraction("swa_full_tokens_ratio")
    return PoolSettings(
        release=release,
        kv_format=_kv_format(config, card),
        attention_ranks=sharing,
        pipeline_parallel=ranks.pipeline,
        page_size=config.integer("block_size") or _page(card, accelerator),
        window_share=WINDOW_SHARE if share is None else share,
        state_share=config.fraction("mamba_full_memory_ratio") or STATE_SHARE,
        fixed_states=_fixed_states(config) if card.has_states else None,
        state_bits=_BITS.get(config.text("mamba_ssm_dtype") or ""),
        capability=accelerator.compute_capability,
    )


def _kv_format(config: ServingConfig, card: ModelCard) -> str:
    """The format that is set; "auto" is the checkpoint's FP8 where it brings it, else the model's 16 bits."""
    name = ((config.text("kv_cache_dtype") or "auto").lower().split() or ["auto"])[0]
    if name not in {"auto", "bf16", "fp16", "float16"}:
        return name
    quantization = card.quantization
    brings = name == "auto" and quantization is not None and quantization.kv_cache is NumberFormat.FP8
    return (
        "fp8_e4m3" if brings and quantization is not None and quantization.method.startswith("modelopt") else "bfloat16"
    )


def _page(card: ModelCard, accelerator: Accelerator) -> int:
    """Tokens per page: one, 64 where sparse attention's or FlashMLA's kernels want it. Rounds tokens, no more."""
    mixers = (layer.mixer for layer in card.layer_counts)
    sparse = any(isinstance(mixer, LatentAttention) and mixer.indexer is not None for mixer in mixers)
    capability = accelerator.compute_capability
    newer = capability is not None and capability > _HOPPER
    return _LATENT_PAGE if sparse or (newer and card.is_latent) else 1


def _fixed_states(config: ServingConfig) -> int | None:
    """How many states are set, or follow from the number of requests without a radix cache; None: a share."""
    stated = config.integer("max_mamba_cache_size")
    if stated is not None or config.flag("enable_prefix_caching") is not False:
        return stated
    return config.integer("max_batch_size") or _UNSHARED_STATES


def _unknown(why: str) -> Missing:
    return Missing(Reason.SETTING_UNKNOWN, why)
