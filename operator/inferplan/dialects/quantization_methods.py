"""Quantization methods of vLLM's releases: where they run, what they need, when they came and went. Pure.

The data is what the releases say of themselves (scripts/generate_quantization_methods.py). Which methods quantize
while loading was found by giving each release a plain checkpoint (engine-facts section 2b).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from inferplan.dialects.situation import at
from inferplan.dialects.version_order import VersionNumber, version_number

ONLINE = frozenset(
    # Methods that quantize a plain checkpoint while it is loaded, wherever a release has them.
    {
        *("fp8", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "mxfp8", "mxfp4", "experts_int8", "humming"),
        *("int8_per_channel_weight_only", "nvfp4_per_token", "online", "bitsandbytes", "rtn", "ptpc_fp8"),
        "gpt_oss_mxfp4",
    }
)
NEEDING_CHECKPOINT = frozenset(
    # Methods that refuse a plain checkpoint: "Cannot find the config file for awq".
    {
        *("awq", "awq_marlin", "auto_awq", "gptq", "gptq_marlin", "auto_gptq", "gptq_marlin_24", "gptq_bitblas"),
        *("marlin", "bitblas", "hqq", "qqq", "moe_wna16", "modelopt", "modelopt_fp4", "modelopt_mxfp8"),
        *("modelopt_mixed", "compressed-tensors", "quark", "fbgemm_fp8", "auto-round", "petit_nvfp4", "nvfp4"),
        *("aqlm", "deepspeedfp", "ipex", "torchao", "cpu_awq", "inc"),
    }
)
EXPERTS_ONLY = frozenset({"int8_per_channel_weight_only", "nvfp4_per_token", "experts_int8"})
"""Online methods that quantize the experts of a mixture and nothing else (engine-facts section 2b)."""

ONLINE_METHODS = frozenset(
    {
        *("online", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel", "int8_per_channel_weight_only"),
        *("mxfp8", "mxfp4", "nvfp4_per_token"),
    }
)
"""Methods that --quantization-config describes: _ONLINE_SHORTHANDS of vllm/config/quantization.py, 0.22.1 to 0.33.0
(mxfp4 from 0.28.0 on)."""

_FAMILIES: tuple[frozenset[str], ...] = (
    # Names for the same kind of checkpoint: the engine takes one for another.
    frozenset({"awq", "awq_marlin", "auto_awq", "cpu_awq"}),
    frozenset({"gptq", "gptq_marlin", "auto_gptq", "gptq_bitblas", "gptq_marlin_24", "marlin", "cpu_gptq"}),
    frozenset({"fp8", "deepseek_v4_fp8"}),
    frozenset({"compressed-tensors"}),
    frozenset({"bitsandbytes"}),
    frozenset({"quark"}),
    frozenset({"mxfp4", "gpt_oss_mxfp4"}),
)
_NO_CHECKPOINTS_NAME = frozenset(
    # Methods that no checkpoint of another kind is taken for.
    {
        *("modelopt", "modelopt_fp4", "moe_wna16", "fp8_per_tensor", "fp8_per_block", "fp8_per_channel"),
        *("experts_int8", "int8_per_channel_weight_only", "nvfp4_per_token"),
    }
)
_ALSO_READ = {"moe_wna16": frozenset({"awq", "gptq"})}
OVERRIDING_CHECKPOINTS = frozenset({"modelopt", "modelopt_fp4"})
"""Checkpoints that decide alone, whatever --quantization says (0.10.2, 0.14.1, 0.33.0; all but humming)."""

GONE_WITH_CHECKPOINTS = frozenset({"bitsandbytes", "aqlm", "hqq", "qqq", "deepspeedfp"})
"""Methods that no other one took over: a release without them does not load such checkpoints."""

_SHORTHANDS = frozenset({"mxfp8", "mxfp4"})
_SHORTHANDS_SINCE = at(0, 20)
_ONLINE_MINIMUM = 75
"""OnlineQuantizationConfig.get_min_capability (0.20.2 to 0.33.0); of a checkpoint the same names need 8.0."""


@dataclass(frozen=True)
class QuantizationMethod:
    """A method as one release has it.

    Attributes:
        name: As --quantization takes it.
        minimum_capability: Least compute capability times 10; None where it is not known, below 0 for no minimum.
        deprecated: Whether it needs --allow-deprecated-quantization.
        needs_checkpoint: Whether it refuses a plain checkpoint; False for one that it quantizes while loading, None
            where that was not tried.
    """

    name: str
    minimum_capability: int | None
    deprecated: bool
    needs_checkpoint: bool | None


def method_in(release: VersionNumber, name: str, *, checkpoint: bool = False) -> QuantizationMethod | None:
    """The method in a known release, None where that release has none of that name.

    Args:
        release: The release.
        name: The method.
        checkpoint: Whether the checkpoint is quantized with it already.
    """
    current: tuple[Any, ...] | None = None
    for since, state in _data().get(name, ()):
        if since <= release:
            current = state
    if current is None or current == ("gone",):
        return None
    minimum, deprecated = current
    if name in _SHORTHANDS and release >= _SHORTHANDS_SINCE and not checkpoint:
        minimum = _ONLINE_MINIMUM
    needs = True if name in NEEDING_CHECKPOINT else False if name in ONLINE else None
    return QuantizationMethod(name, minimum, deprecated, needs)


def methods_in(release: VersionNumber) -> tuple[str, ...]:
    """Names of all methods of a known release, sorted."""
    return tuple(name for name in _data() if method_in(release, name) is not None)


def contradict(flag: str, checkpoint: str) -> bool:
    """Whether a --quantization is refused for a checkpoint of that quant_method; False where that is not known.

    Found by giving 0.10.2, 0.14.1 and 0.33.0 checkpoints of each kind.
    """
    theirs = next((family for family in _FAMILIES if checkpoint in family), None)
    mine = next((family for family in _FAMILIES if flag in family), None)
    if theirs is None or checkpoint in _ALSO_READ.get(flag, ()):
        return False
    return mine is not theirs if mine is not None else flag in _NO_CHECKPOINTS_NAME


@cache
def _data() -> Mapping[str, tuple[tuple[VersionNumber, tuple[Any, ...]], ...]]:
    """Method → from which release on, minimum capability and whether deprecated, or gone."""
    text = resources.files("inferplan.dialects").joinpath("data", "quantization_methods.json").read_text("utf-8")
    return MappingProxyType({name: tuple(map(_entry, entries)) for name, entries in json.loads(text).items()})


def _entry(entry: list[Any]) -> tuple[VersionNumber, tuple[Any, ...]]:
    number = version_number(entry[0])
    if number is None:
        raise ValueError(f"quantization data: {entry[0]!r} is no version")
    return number, tuple(entry[1:])
