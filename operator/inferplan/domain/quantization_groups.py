"""Readers of quantization configs with several schemes for several modules: compressed-tensors, ModelOpt, Quark."""

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from inferplan.domain.module_patterns import CUT_AT, ModulePattern, read_patterns
from inferplan.domain.quantization import NumberFormat, Part, Quantization, Scaling, Scheme
from inferplan.domain.quantization_fields import QuantizationConfig, cut_patterns, mapping, names, short
from inferplan.domain.quantization_simple import (
    FP8_PER_BLOCK,
    FP8_PER_CHANNEL,
    FP8_PER_TENSOR,
    MXFP4,
    MXFP8,
    NVFP4,
    grouped,
)

_LOW_BITS = 4
_BYTE_BITS = 8
_NVFP4_GROUP = 16
_MX_GROUP = 32
_EVERY_LINEAR = frozenset({"Linear", "FusedMoE", "MoE"})
_NVFP4_WEIGHT_ONLY = Scheme(NumberFormat.NVFP4, None, Scaling.GROUP, _NVFP4_GROUP, scale_bits=8)
_INT8_PER_CHANNEL = Scheme(NumberFormat.INT8, NumberFormat.INT8, Scaling.CHANNEL)
_MODELOPT: Mapping[str, Scheme] = MappingProxyType(
    # vllm/model_executor/layers/quantization/modelopt.py LINEAR_ALGOS, 0.33.0, and TensorRT-LLM's integer kinds
    {
        "FP8": FP8_PER_TENSOR,
        "FP8_PER_CHANNEL_PER_TOKEN": FP8_PER_CHANNEL,
        "FP8_PB_WO": FP8_PER_BLOCK,
        "FP8_BLOCK_SCALES": FP8_PER_BLOCK,
        "NVFP4": NVFP4,
        "NVFP4_AWQ": NVFP4,
        "W4A16_NVFP4": _NVFP4_WEIGHT_ONLY,
        "W4A8_NVFP4_FP8": Scheme(NumberFormat.NVFP4, NumberFormat.FP8, Scaling.GROUP, _NVFP4_GROUP, scale_bits=8),
        "MXFP8": MXFP8,
        "MXFP4": MXFP4,
        "W4A8_MXFP4_FP8": Scheme(NumberFormat.MXFP4, NumberFormat.FP8, Scaling.GROUP, _MX_GROUP, scale_bits=8),
        "W4A16_AWQ": grouped(NumberFormat.INT4, 128, zero_points=False),
        "W4A8_AWQ": grouped(NumberFormat.INT4, 128, zero_points=False),
        "W8A8_SQ_PER_CHANNEL": _INT8_PER_CHANNEL,
        "W8A16": Scheme(NumberFormat.INT8, None, Scaling.CHANNEL),
    }
)
_FORMATS: Mapping[str, Scheme] = MappingProxyType(
    # What llm-compressor writes by `format` (compressed-tensors, CompressionFormat)
    {
        "float-quantized": FP8_PER_CHANNEL,
        "naive-quantized": FP8_PER_CHANNEL,
        "int-quantized": _INT8_PER_CHANNEL,
        "pack-quantized": grouped(NumberFormat.INT4, 128, zero_points=False),
        "nvfp4-pack-quantized": NVFP4,
        "mxfp4-pack-quantized": MXFP4,
    }
)
_FORMAT_SPREAD = 0.04
_KV_FORMATS: Mapping[str, NumberFormat] = MappingProxyType(
    {"FP8": NumberFormat.FP8, "NVFP4": NumberFormat.NVFP4, "INT8": NumberFormat.INT8}
)


def read_compressed_tensors(config: QuantizationConfig) -> Quantization:
    """config_groups: each with targets ("Linear" for all) and a description of weights and inputs.

    Raises:
        ValueError: A group cannot be sized, or there is none.
    """
    groups = config.fields.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        return _by_format(config)
    found: list[tuple[tuple[str, ...], Scheme]] = []
    for name, group in groups.items():
        found += [_group(f"quantization_config.config_groups.{name}", group)]
    return _assembled(config, found)


def read_modelopt(config: QuantizationConfig) -> Quantization:
    """ModelOpt: one quant_algo, or MIXED_PRECISION with quantized_layers naming an algorithm per module.

    Raises:
        ValueError: An algorithm is not known.
    """
    algorithm = str(config.fields.get("quant_algo") or "").upper()
    if algorithm == "MIXED_PRECISION":
        return _mixed(config)
    if not algorithm and "config_groups" in config.fields:
        return read_compressed_tensors(config)
    scheme = _modelopt_scheme("quant_algo", algorithm, config.fields.get("group_size"))
    return Quantization(
        config.method, scheme, config.kept("lm_head"), _kv_format(config), assumptions=config.cut_lists()
    )


def read_quark(config: QuantizationConfig) -> Quantization:
    """AMD Quark: global_quant_config, and layer_quant_config by module pattern (quantization/quark/quark.py, 0.33.0).

    Raises:
        ValueError: A description cannot be sized.
    """
    whole = _quark_scheme("global_quant_config", config.fields.get("global_quant_config"))
    others = config.fields.get("layer_quant_config")
    parts = tuple(
        Part(read_patterns((name,)), _quark_scheme(f"layer_quant_config.{name}", rule))
        for name, rule in (others.items() if isinstance(others, Mapping) else ())
    )
    return Quantization(
        config.method, whole, config.kept("lm_head"), _kv_format(config), parts=parts, assumptions=config.cut_lists()
    )


def _assembled(config: QuantizationConfig, found: list[tuple[tuple[str, ...], Scheme]]) -> Quantization:
    """Groups for all linear layers give the scheme, others parts."""
    whole = next((scheme for targets, scheme in found if not targets or _EVERY_LINEAR & {*targets}), None)
    parts = tuple(
        Part(cut_patterns(targets), scheme) for targets, scheme in found if targets and not _EVERY_LINEAR & {*targets}
    )
    assumed = tuple(
        f"quantization_config.config_groups has a list of {CUT_AT} targets, which may be cut: "
        "what it names in three layers or more is taken for all layers"
        for targets, _ in found
        if len(targets) == CUT_AT
    )
    return Quantization(
        config.method,
        whole,
        config.kept("lm_head"),
        _kv_format(config),
        parts=parts,
        assumptions=(*config.cut_lists(), *assumed),
    )


def _by_format(config: QuantizationConfig) -> Quantization:
    """A compressed-tensors config without its groups: `format` tells the formats, not their scales."""
    name = str(config.fields.get("format") or "")
    scheme = _FORMATS.get(name)
    if scheme is None:
        known = ", ".join(_FORMATS)
        raise ValueError(
            f"quantization_config.config_groups must describe a group, or format be one of {known}, not {short(name)}"
        )
    sentence = f"quantization_config has no config_groups: the usual shape of {name} assumed"
    return Quantization(
        config.method,
        scheme,
        config.kept("lm_head"),
        _kv_format(config),
        assumptions=(*config.cut_lists(), sentence),
        spread=_FORMAT_SPREAD,
    )


def _group(where: str, group: object) -> tuple[tuple[str, ...], Scheme]:
    described = mapping(group, where)
    targets, inputs = names(described.get("targets"), f"{where}.targets"), described.get("input_activations")
    weights = mapping(described.get("weights"), f"{where}.weights")
    return targets, _described(where, weights, inputs if isinstance(inputs, Mapping) else None)


def _described(where: str, weights: Mapping[str, Any], inputs: Mapping[str, Any] | None) -> Scheme:
    """A scheme from num_bits, type, strategy, group_size and symmetric."""
    bits, floating = weights.get("num_bits"), weights.get("type", "int") == "float"
    size = weights.get("group_size")
    size = size if type(size) is int and size > 0 else None
    activations = _format(inputs.get("num_bits"), inputs.get("type", "int") == "float", inputs) if inputs else None
    stored = _format(bits, floating, weights)
    if stored is None:
        raise ValueError(f"{where}.weights: {short(weights.get('type'))} of {short(bits)} bits is not known")
    if stored in {NumberFormat.NVFP4, NumberFormat.MXFP4, NumberFormat.MXFP8}:
        return Scheme(stored, activations, Scaling.GROUP, size or _mx_group(stored), scale_bits=8)
    return _scaled(stored, activations, weights, size)


def _scaled(
    stored: NumberFormat, activations: NumberFormat | None, weights: Mapping[str, Any], size: int | None
) -> Scheme:
    """Scales of integers and of plain FP8: float32 beside quantized inputs, 16 bits in groups."""
    zero = 0 if weights.get("symmetric", True) is not False else stored.bits
    block = weights.get("block_structure")
    if weights.get("strategy") == "block" and isinstance(block, list | tuple) and block:
        side = block[-1] if type(block[-1]) is int and block[-1] > 0 else 128
        return Scheme(stored, activations, Scaling.BLOCK, side)
    if size is not None:
        return Scheme(stored, activations, Scaling.GROUP, size, scale_bits=16, zero_bits=zero)
    scaling = Scaling.CHANNEL if weights.get("strategy") == "channel" else Scaling.TENSOR
    return Scheme(stored, activations, scaling, zero_bits=zero)


def _format(bits: object, floating: bool, fields: Mapping[str, Any]) -> NumberFormat | None:
    size = fields.get("group_size")
    if floating and bits == _LOW_BITS:
        return NumberFormat.MXFP4 if size == _MX_GROUP else NumberFormat.NVFP4
    if floating and bits == _BYTE_BITS:
        return NumberFormat.MXFP8 if size == _MX_GROUP else NumberFormat.FP8
    integers = {8: NumberFormat.INT8, 4: NumberFormat.INT4, 3: NumberFormat.INT3, 2: NumberFormat.INT2}
    return None if floating or type(bits) is not int else integers.get(bits)


def _mx_group(stored: NumberFormat) -> int:
    return _NVFP4_GROUP if stored is NumberFormat.NVFP4 else _MX_GROUP


def _mixed(config: QuantizationConfig) -> Quantization:
    """Modules by algorithm, in the order in which the algorithms come first."""
    layers = config.fields.get("quantized_layers")
    if not isinstance(layers, Mapping) or not layers:
        if isinstance(config.fields.get("config_groups"), Mapping):
            return read_compressed_tensors(config)
        raise ValueError("quantization_config.quantized_layers must name modules, as quant_algo is MIXED_PRECISION")
    modules: dict[Scheme, list[str]] = defaultdict(list)
    for name, rule in layers.items():
        described = mapping(rule, f"quantization_config.quantized_layers.{short(name)}")
        algorithm = str(described.get("quant_algo") or "").upper()
        modules[_modelopt_scheme("quantized_layers", algorithm, described.get("group_size"))].append(str(name))
    parts = tuple(Part(read_patterns(listed), scheme) for scheme, listed in modules.items())
    rest = FP8_PER_BLOCK if config.fields.get("quant_method") == "fp8" else None  # DeepSeek-V4: the rest is fp8
    return Quantization(config.method, rest, _head(config), _kv_format(config), parts=parts)


def _head(config: QuantizationConfig) -> tuple[ModulePattern, ...]:
    """With fp8 for the rest, `ignore` says what the FP4 part leaves, not what stays in 16 bit."""
    return read_patterns(("lm_head",)) if config.fields.get("quant_method") == "fp8" else config.kept("lm_head")


def _modelopt_scheme(where: str, algorithm: str, group: object) -> Scheme:
    scheme = _MODELOPT.get(algorithm)
    if scheme is None:
        known = ", ".join(_MODELOPT)
        raise ValueError(f"quantization_config.{where}: quant_algo {short(algorithm)} is not known; known are {known}")
    if scheme.scaling is Scaling.GROUP and type(group) is int and group > 0:
        return Scheme(scheme.weights, scheme.activations, Scaling.GROUP, group, scheme.scale_bits, scheme.zero_bits)
    return scheme


def _kv_format(config: QuantizationConfig) -> NumberFormat | None:
    """kv_cache_quant_algo (ModelOpt), kv_cache_scheme (compressed-tensors), kv_cache_quant_config (Quark)."""
    named = config.fields.get("kv_cache_quant_algo") or config.fields.get("kv_cache_scheme")
    if isinstance(named, str):
        return _KV_FORMATS.get(named.upper())
    if isinstance(named, Mapping):
        return _format(named.get("num_bits"), named.get("type", "float") == "float", {})
    quark = config.fields.get("kv_cache_quant_config")
    first = next(iter(quark.values()), None) if isinstance(quark, Mapping) else None
    outputs = first.get("output_tensors") if isinstance(first, Mapping) else None
    dtype = str(outputs.get("dtype", "")) if isinstance(outputs, Mapping) else ""
    return NumberFormat.FP8 if dtype.startswith("fp8") else None


def _quark_scheme(where: str, rule: object) -> Scheme:
    described = mapping(rule, f"quantization_config.{where}")
    weight = mapping(_last(described.get("weight")), f"quantization_config.{where}.weight")
    inputs, stored = _last(described.get("input_tensors")), _quark_format(weight)
    if stored is None:
        raise ValueError(f"quantization_config.{where}.weight.dtype {short(weight.get('dtype'))} is not known")
    activations = _quark_format(inputs) if isinstance(inputs, Mapping) else None
    if stored in {NumberFormat.MXFP4, NumberFormat.MXFP8, NumberFormat.FP6}:
        return Scheme(stored, activations, Scaling.GROUP, _MX_GROUP, scale_bits=8)
    size = weight.get("group_size")
    if stored.bits < _BYTE_BITS:
        return grouped(stored, size if type(size) is int and size > 0 else -1, zero_points=True)
    channel = weight.get("qscheme") == "per_channel"
    return Scheme(stored, activations, Scaling.CHANNEL if channel else Scaling.TENSOR)


def _last(described: object) -> object:
    """Quark lists the steps of a double quantization; the last one is what is stored."""
    return described[-1] if isinstance(described, list) and described else described


def _quark_format(fields: Mapping[str, Any]) -> NumberFormat | None:
    dtype = str(fields.get("dtype", ""))
    grouped_by = fields.get("group_size")
    starts = {
        "fp8": NumberFormat.MXFP8 if grouped_by == _MX_GROUP else NumberFormat.FP8,
        "fp4": NumberFormat.MXFP4,
        "mxfp4": NumberFormat.MXFP4,
        "fp6": NumberFormat.FP6,
        "int8": NumberFormat.INT8,
        "uint8": NumberFormat.INT8,
        "int4": NumberFormat.INT4,
        "uint4": NumberFormat.INT4,
    }
    return next((found for start, found in starts.items() if dtype.startswith(start)), None)
