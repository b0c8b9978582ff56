"""Number formats as improvement_pairs.json words them, as a checkpoint's config.json and flags have them.

The shapes of the quantization_config are those of published checkpoints: compressed-tensors (RedHatAI), GPTQ and AWQ
(Qwen), block FP8 (Qwen3-*-FP8), ModelOpt (nvidia).
"""

import re
from typing import Any

Settings = dict[str, Any]


class NotExpressibleError(ValueError):
    """What the source measured cannot be written as an instance; the message says why."""


def _compressed(bits: int, kind: str, activations: int | None) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "strategy": "channel", "symmetric": True, "dynamic": False}
    inputs = {"num_bits": activations, "type": kind, "strategy": "token", "symmetric": True, "dynamic": True}
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs if activations else None}
    layout = "pack-quantized" if activations is None else f"{kind}-quantized"
    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "ignore": ["lm_head"],
        "config_groups": {"group_0": group},
    }


def _gptq(bits: int) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": bits, "group_size": 128, "desc_act": False, "sym": True}


_AWQ = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": 128,
    "zero_point": True,
    "version": "gemm",
    "modules_to_not_convert": None,
}
_BLOCK_FP8 = {
    "quant_method": "fp8",
    "fmt": "e4m3",
    "weight_block_size": [128, 128],
    "activation_scheme": "dynamic",
}
_FP8 = _compressed(8, "float", 8)
_FORMATS: tuple[tuple[str, dict[str, Any] | None, Settings], ...] = (
    (r"^(bf16|fp16|auto|off|original)", None, {}),
    (r"^int8 w8a16", _compressed(8, "int", None), {}),
    (r"^(int8 w8a8|w8a8$)", _compressed(8, "int", 8), {}),
    (r'quantization="gptq" forced', _gptq(4), {"quantization": "gptq", "dtype": "float16"}),
    (r"^gptq.?int8", _gptq(8), {}),
    (r"^(gptq.?int4|w4a16$)", _gptq(4), {}),
    (r"^awq int4 \(default AWQ", _AWQ, {"quantization": "awq"}),
    (r"^(awq|int4_awq)", _AWQ, {}),
    (r"^fp8 \((block|Qwen3-8B-FP8)", _BLOCK_FP8, {}),
    (r"^fp8", _FP8, {}),
)


def checkpoint_format(text: str) -> tuple[dict[str, Any] | None, Settings]:
    """quantization_config and settings of a format; no quantization_config where it is 16 bit.

    Raises:
        NotExpressibleError: vLLM has no such format.
    """
    for pattern, found, settings in _FORMATS:
        if re.search(pattern, text):
            return found, settings
    raise NotExpressibleError(f"no checkpoint format of vLLM: {text}")
