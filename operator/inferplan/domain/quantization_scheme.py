"""Reads how a checkpoint is quantized out of its config.json."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from inferplan.domain.quantization import NumberFormat, Part, Quantization, Reach, Scaling, Scheme
from inferplan.domain.quantization_fields import QuantizationConfig, mapping, short
from inferplan.domain.quantization_groups import read_compressed_tensors, read_modelopt, read_quark
from inferplan.domain.quantization_simple import (
    read_auto_round,
    read_awq,
    read_bitsandbytes,
    read_experts_int8,
    read_fbgemm_fp8,
    read_fp8,
    read_gptq,
    read_hqq,
    read_mxfp4,
    read_torchao,
)

__all__ = ["NumberFormat", "Part", "Quantization", "Reach", "Scaling", "Scheme", "read_quantization"]

_READERS: Mapping[str, Callable[[QuantizationConfig], Quantization]] = MappingProxyType(
    {
        **dict.fromkeys(("awq", "awq_marlin", "auto_awq"), read_awq),
        **dict.fromkeys(("gptq", "gptq_marlin", "auto_gptq", "gptq_marlin_24", "marlin"), read_gptq),
        **dict.fromkeys(("auto-round", "auto_round", "intel/auto-round", "inc"), read_auto_round),
        **dict.fromkeys(("bitsandbytes", "bnb"), read_bitsandbytes),
        **dict.fromkeys(("fp8", "deepseek_v4_fp8"), read_fp8),
        **dict.fromkeys(("fbgemm_fp8", "ptpc_fp8"), read_fbgemm_fp8),
        **dict.fromkeys(("compressed-tensors", "compressed_tensors"), read_compressed_tensors),
        **dict.fromkeys(("mxfp4", "gpt_oss_mxfp4"), read_mxfp4),
        **dict.fromkeys(("modelopt", "modelopt_fp4", "modelopt_mxfp8", "modelopt_mixed"), read_modelopt),
        "quark": read_quark,
        "torchao": read_torchao,
        "experts_int8": read_experts_int8,
        "hqq": read_hqq,
    }
)
_PLACES = ("quantization_config", "compression_config", "hf_quant_config")


def read_quantization(config: Mapping[str, Any]) -> Quantization | None:
    """The checkpoint's quantization, None where config.json names none.

    Where vLLM looks for it too: quantization_config or compression_config, on top or in text_config
    (vllm/config/model.py _parse_quant_hf_config, 0.33.0), and the content of ModelOpt's hf_quant_config.json.

    Raises:
        ValueError: It names a method that is not known, or lacks what sizes it; the message names the field.
    """
    found = _find(config)
    if found is None:
        return None
    settings = QuantizationConfig.of(mapping(found, "quantization_config"), config)
    reader = _READERS.get(settings.method)
    if reader is None:
        known = ", ".join(sorted(_READERS))
        raise ValueError(f"quantization_config.quant_method {short(settings.method)} is not known; known are {known}")
    return reader(settings)


def _find(config: Mapping[str, Any]) -> object:
    for place in (config, config.get("text_config"), config.get("llm_config")):
        if isinstance(place, Mapping):
            for key in _PLACES:
                if place.get(key):
                    return place[key]
    return None
