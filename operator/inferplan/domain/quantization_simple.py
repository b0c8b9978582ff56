"""Readers of quantization configs that describe one scheme: fp8, awq, gptq, bitsandbytes, mxfp4, torchao and kin."""

from collections.abc import Mapping
from typing import Any

from inferplan.domain.module_patterns import ModulePattern, read_patterns
from inferplan.domain.quantization import NumberFormat, Part, Quantization, Reach, Scaling, Scheme
from inferplan.domain.quantization_fields import QuantizationConfig, short

_ALL_INPUTS = -1
_GPTQ_INDEX_BITS = 32
FP8_PER_TENSOR = Scheme(NumberFormat.FP8, NumberFormat.FP8)
FP8_PER_CHANNEL = Scheme(NumberFormat.FP8, NumberFormat.FP8, Scaling.CHANNEL)
FP8_PER_BLOCK = Scheme(NumberFormat.FP8, NumberFormat.FP8, Scaling.BLOCK, 128)
MXFP8 = Scheme(NumberFormat.MXFP8, NumberFormat.MXFP8, Scaling.GROUP, 32, scale_bits=8)
MXFP4 = Scheme(NumberFormat.MXFP4, None, Scaling.GROUP, 32, scale_bits=8)
NVFP4 = Scheme(NumberFormat.NVFP4, NumberFormat.NVFP4, Scaling.GROUP, 16, scale_bits=8)
INT8_WEIGHT_ONLY = Scheme(NumberFormat.INT8, None, Scaling.CHANNEL)
NF4 = Scheme(NumberFormat.NF4, None, Scaling.GROUP, 64, scale_bits=32)
"""bitsandbytes: one float32 absmax per 64 values; vLLM widens doubly quantized ones while loading
(model_loader/bitsandbytes_loader.py _dequantize_dq, 0.10.2 to 0.26.0): 4 + 32 / 64 = 4.5 bits."""


def grouped(bits: NumberFormat, group: int, *, zero_points: bool) -> Scheme:
    """Weight-only integers with a 16-bit scale per group of inputs, and a packed zero point of the same width.

    AWQ and GPTQ store them so (auto_awq.py, auto_gptq.py create_weights, vLLM 0.33.0). A group of -1 is a channel.
    """
    scaling = Scaling.CHANNEL if group == _ALL_INPUTS else Scaling.GROUP
    size = None if group == _ALL_INPUTS else group
    return Scheme(bits, None, scaling, size, scale_bits=16, zero_bits=bits.bits if zero_points else 0)


def read_fp8(config: QuantizationConfig) -> Quantization:
    """Of quant_method fp8: per tensor, or in blocks (weight_block_size). DeepSeek-V4's experts are FP4 inside."""
    quantization = Quantization(
        config.method, _fp8_scheme(config), config.kept("lm_head"), assumptions=config.cut_lists()
    )
    if config.model.get("expert_dtype") != "fp4":
        return quantization
    experts = Part(read_patterns(("experts",)), MXFP4)
    return Quantization(
        config.method, quantization.scheme, quantization.kept, parts=(experts,), assumptions=quantization.assumptions
    )


def read_fbgemm_fp8(config: QuantizationConfig) -> Quantization:
    """FP8 with a scale per output channel (Meta's Llama-3.1-405B-Instruct-FP8)."""
    return Quantization(config.method, FP8_PER_CHANNEL, config.kept("lm_head"), assumptions=config.cut_lists())


def read_awq(config: QuantizationConfig) -> Quantization:
    """4 bit weights in groups, with zero points."""
    bits = config.integer_format("bits" if "bits" in config.fields else "w_bit", 4)
    group = _group(config, "group_size" if "group_size" in config.fields else "q_group_size")
    scheme = grouped(bits, group, zero_points=config.fields.get("zero_point", True) is not False)
    head = () if config.fields.get("lm_head") is True else ("lm_head",)
    named = {"w_bit", "q_group_size"} & {*config.fields}
    assumptions = (*config.cut_lists(), *(() if named else _unstated(config, bits=4, group_size=128)))
    return Quantization(config.method, scheme, config.kept(*head), assumptions=assumptions)


def read_gptq(config: QuantizationConfig) -> Quantization:
    """Integer weights in groups. Zero points are stored for symmetric ones too; `dynamic` has rules per module."""
    scheme = grouped(config.integer_format("bits", 4), _group(config, "group_size"), zero_points=True)
    head = () if config.fields.get("lm_head") is True else ("lm_head",)
    kept, parts = _dynamic(config, scheme)
    assumptions = (*config.cut_lists(), *_unstated(config, bits=4, group_size=128))
    return Quantization(config.method, scheme, (*config.kept(*head), *kept), parts=parts, assumptions=assumptions)


def read_auto_round(config: QuantizationConfig) -> Quantization:
    """AutoRound: as GPTQ, with `extra_config` per module."""
    scheme = grouped(config.integer_format("bits", 4), _group(config, "group_size"), zero_points=True)
    extra = _object(config, "extra_config")
    kept = [name for name, rule in extra.items() if _bits_of(rule, scheme.weights.bits) >= NumberFormat.BF16.bits]
    parts = tuple(
        Part(read_patterns((name,)), INT8_WEIGHT_ONLY)
        for name, rule in extra.items()
        if _bits_of(rule, scheme.weights.bits) == NumberFormat.INT8.bits
    )
    assumptions = (*config.cut_lists(), *_unstated(config, bits=4, group_size=128))
    return Quantization(
        config.method, scheme, (*config.kept("lm_head"), *read_patterns(kept)), parts=parts, assumptions=assumptions
    )


def read_bitsandbytes(config: QuantizationConfig) -> Quantization:
    """NF4 (or FP4, as large), or LLM.int8 with a float32 scale per output channel."""
    scheme = INT8_WEIGHT_ONLY if config.fields.get("load_in_8bit") is True else NF4
    return Quantization(config.method, scheme, config.kept("lm_head"), assumptions=config.cut_lists())


def read_mxfp4(config: QuantizationConfig) -> Quantization:
    """gpt-oss: vLLM quantizes the experts alone (quantization/mxfp4.py get_quant_method, 0.10.2 to 0.33.0)."""
    return Quantization(config.method, MXFP4, config.kept("lm_head"), reach=Reach.EXPERTS)


def read_experts_int8(config: QuantizationConfig) -> Quantization:
    """Experts in INT8 with a scale per output channel."""
    return Quantization(config.method, INT8_WEIGHT_ONLY, config.kept("lm_head"), reach=Reach.EXPERTS)


def read_hqq(config: QuantizationConfig) -> Quantization:
    """HQQ: integers in groups with a 16-bit scale and a 16-bit zero point (quantization/hqq_marlin.py, 0.14.1)."""
    inner = _object(config, "quant_config").get("weight_quant_params")
    fields = {**config.fields, **inner} if isinstance(inner, Mapping) else config.fields
    weights = QuantizationConfig(config.method, fields, config.model)
    bits, group = weights.integer_format("nbits" if "nbits" in fields else "bits"), weights.integer("group_size", 64)
    scheme = Scheme(bits, None, Scaling.GROUP, group, scale_bits=16, zero_bits=16)
    return Quantization(config.method, scheme, config.kept("lm_head"))


_TORCHAO = {
    "int4weightonly": grouped(NumberFormat.INT4, 128, zero_points=True),
    "int8weightonly": INT8_WEIGHT_ONLY,
    "int8dynamicactivationint8weight": Scheme(NumberFormat.INT8, NumberFormat.INT8, Scaling.CHANNEL),
    "float8weightonly": Scheme(NumberFormat.FP8, None, Scaling.CHANNEL),
    "float8dynamicactivationfloat8weight": FP8_PER_CHANNEL,
    "int8dynamicactivationint4weight": grouped(NumberFormat.INT4, 32, zero_points=False),
}


def read_torchao(config: QuantizationConfig) -> Quantization:
    """torchao: the kind of its default config; other kinds are refused.

    Raises:
        ValueError: The kind is not known.
    """
    kind = config.fields.get("quant_type")
    if isinstance(kind, Mapping):
        kind = kind.get("default", kind)
    name = kind.get("_type") if isinstance(kind, Mapping) else kind
    scheme = _TORCHAO.get(str(name).lower().replace("_", "").removesuffix("config"))
    if scheme is None:
        raise ValueError(f"quantization_config.quant_type {short(name)} is not known; known are {', '.join(_TORCHAO)}")
    data = kind.get("_data") if isinstance(kind, Mapping) else None
    group = data.get("group_size") if isinstance(data, Mapping) else None
    if type(group) is int and group > 0 and scheme.scaling is Scaling.GROUP:
        scheme = grouped(scheme.weights, group, zero_points=scheme.zero_bits > 0)
    return Quantization(config.method, scheme, config.kept("lm_head"))


def _fp8_scheme(config: QuantizationConfig) -> Scheme:
    block = config.fields.get("weight_block_size")
    if block is None:
        return FP8_PER_TENSOR
    pair = isinstance(block, list | tuple) and len(block) == 2  # noqa: PLR2004  rows and columns
    if not pair or not all(type(side) is int and side > 0 for side in block):
        raise ValueError(f"quantization_config.weight_block_size must hold two whole numbers, not {short(block)}")
    return MXFP8 if tuple(block) == (1, 32) else Scheme(NumberFormat.FP8, NumberFormat.FP8, Scaling.BLOCK, block[-1])


def _unstated(config: QuantizationConfig, **usual: int) -> tuple[str, ...]:
    """A sentence for each field that the config leaves out."""
    return tuple(
        f"quantization_config has no {key}: {value} assumed" for key, value in usual.items() if key not in config.fields
    )


def _group(config: QuantizationConfig, key: str) -> int:
    return config.integer(key, 128, least=_ALL_INPUTS) or _ALL_INPUTS


def _object(config: QuantizationConfig, key: str) -> Mapping[str, Any]:
    value = config.fields.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"quantization_config.{key} must be an object, not {short(value)}")
    return value or {}


def _bits_of(rule: object, default: int) -> int:
    bits = rule.get("bits", default) if isinstance(rule, Mapping) else default
    return bits if type(bits) is int else default


def _dynamic(config: QuantizationConfig, scheme: Scheme) -> tuple[tuple[ModulePattern, ...], tuple[Part, ...]]:
    """GPTQModel's rules: "-:expression" keeps modules, "+:expression" gives them other bits or groups."""
    kept: list[str] = []
    parts: list[Part] = []
    for name, rule in _object(config, "dynamic").items():
        expression = f"re:{name.removeprefix('-:').removeprefix('+:')}"
        if name.startswith("-:"):
            kept.append(expression)
        elif isinstance(rule, Mapping):
            other = QuantizationConfig(config.method, {**config.fields, **rule}, config.model)
            mine = grouped(other.integer_format("bits"), _group(other, "group_size"), zero_points=True)
            parts += [Part(read_patterns((expression,)), mine)] if mine != scheme else []
    return read_patterns(kept), tuple(parts)
