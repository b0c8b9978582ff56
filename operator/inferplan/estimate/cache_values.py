"""How wide one value of the KV cache is while the engine runs: what decoding reads per value. Pure."""

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.kv_formats import head_bytes

_HEAD = 128
_BITS_PER_BYTE = 8
_SHORT = {"bf16": "bfloat16", "fp16": "float16", "half": "float16"}


def cache_value_bytes(config: ServingConfig, card: ModelCard, running_bits: int) -> float | Missing:
    """Mean bytes of a cached value, scales included.

    "auto" is the checkpoint's own KV format where it brings one, else the running dtype
    (resolve_kv_cache_dtype_string, vllm/utils/torch_utils.py, 0.33.0). int8_per_token_head: 264 / 256 = 1.03.
    """
    name = (config.text("kv_cache_dtype") or "auto").lower()
    if name == "auto":
        brought = card.quantization.kv_cache if card.quantization is not None else None
        return (brought.bits if brought is not None else running_bits) / _BITS_PER_BYTE
    try:
        return head_bytes(_SHORT.get(name, name), _HEAD, _HEAD) / (2 * _HEAD)
    except (KeyError, ValueError):
        return Missing(Reason.SETTING_UNKNOWN, f"kv_cache_dtype {name[:64]}: how wide its values are is not known")
