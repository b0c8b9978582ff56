"""Engine versions: comparing them, and the defaults that a version has on a piece of hardware."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from inferplan.api.values import Engine
from inferplan.domain.hardware import Accelerator
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.domain.units import MIB_PER_GIB

Version = tuple[int, int, int]

_VERSION = re.compile(r"^v?(\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?!\d)")
_BATCH_KEYS = frozenset({"max_batch_size", "max_num_batched_tokens"})
_OLDEST_READ: Version = (0, 9, 2)  # the oldest release whose default rule was read (A100 exclusion since 0.9)


def parse_version(text: str | None) -> Version | None:
    """Major, minor, patch: "v0.33.0" gives (0, 33, 0); None for None and for what is no version."""
    match = _VERSION.match(text or "")
    if match is None:
        return None
    major, minor, patch = match.groups()
    return int(major), int(minor), int(patch or 0)


def defaults(engine: Engine, version: str | None, accelerator: Accelerator) -> Mapping[str, Setting]:
    """Defaults of this version on this hardware; a key is absent where its default is not known."""
    number = parse_version(version)
    if engine is not Engine.VLLM or number is None or number < _OLDEST_READ:
        return {}
    values: dict[str, SettingValue] = {
        "kv_cache_dtype": "auto",
        "quantization": "none",
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "data_parallel_size": 1,
    }
    values |= _utilization(number) | _batch_defaults(number, accelerator)
    return {key: Setting(value, Origin.VERSION_DEFAULT) for key, value in values.items()}


def effective(config: ServingConfig, accelerator: Accelerator, unknown: frozenset[str] = frozenset()) -> ServingConfig:
    """What really runs: explicit settings, and this version's defaults where they are known.

    A setting in `unknown` is set to something that could not be read: it has no default. A performance mode
    changes the batch defaults (0.17 and later), so these stay unknown under one.
    """
    known = defaults(config.engine, config.version, accelerator)
    if config.text("performance_mode") not in {None, "balanced"} or unknown & {*_BATCH_KEYS, "performance_mode"}:
        unknown |= _BATCH_KEYS
    filled = config.with_defaults({key: value for key, value in known.items() if key not in unknown})
    return _bounded_batch(filled)


def _bounded_batch(config: ServingConfig) -> ServingConfig:
    """Defaulted batch limits give way to what is set (vllm/engine/arg_utils.py, 0.33.0).

    Sequences to the tokens of a step, tokens to sequences x max_model_len; without chunked prefill the tokens
    depend on the model's length and stay unknown. `--max-num-batched-tokens 512` on an H100: 512 sequences.
    """
    sequences, tokens = config.integer("max_batch_size"), config.integer("max_num_batched_tokens")
    if sequences is None or tokens is None:
        return config
    longest = config.integer("max_model_len")
    if _is_default(config, "max_num_batched_tokens"):
        if config.flag("enable_chunked_prefill") is not True:
            return _without(config, "max_num_batched_tokens")
        tokens = min(tokens, sequences * longest) if longest is not None else tokens
    if _is_default(config, "max_batch_size"):
        sequences = min(sequences, tokens)
    bounded = {"max_batch_size": sequences, "max_num_batched_tokens": tokens}
    return config.with_settings({key: Setting(value, config.settings[key].origin) for key, value in bounded.items()})


def _is_default(config: ServingConfig, key: str) -> bool:
    return config.settings[key].origin is Origin.VERSION_DEFAULT


def _without(config: ServingConfig, key: str) -> ServingConfig:
    rest = {name: setting for name, setting in config.settings.items() if name != key}
    return ServingConfig(config.engine, config.version, config.model, MappingProxyType(rest))


def _utilization(version: Version) -> dict[str, SettingValue]:
    """0.9 up to 0.19.1, 0.92 from 0.20.2; in between it was not read."""
    if version <= (0, 19, 1):
        return {"gpu_memory_utilization": 0.9}
    return {"gpu_memory_utilization": 0.92} if version >= (0, 20, 2) else {}


def _batch_defaults(version: Version, accelerator: Accelerator) -> dict[str, SettingValue]:
    """Batch limits of the API server by GPU memory (vllm/engine/arg_utils.py, get_batch_defaults, 0.33.0).

    H100-80 (79.6 GiB): 8192 tokens, 1024 sequences; A100-80 and L4: 2048, 256.
    """
    if accelerator.memory_mib is None or accelerator.product is None:
        return {}
    gib = accelerator.memory_mib / MIB_PER_GIB
    if gib >= 160 and version >= (0, 29, 0):  # noqa: PLR2004  the release and size of the docstring's rule
        return {"max_num_batched_tokens": 16_384, "max_batch_size": 1024}
    if accelerator.product.lower().endswith("gb10"):
        return {}  # one GPU in all vLLM that counts as small although its memory is large; since when was not read
    if gib >= 70 and "a100" not in accelerator.product.lower():  # noqa: PLR2004  likewise
        return {"max_num_batched_tokens": 8192, "max_batch_size": 1024}
    return {"max_num_batched_tokens": 2048, "max_batch_size": 256}
