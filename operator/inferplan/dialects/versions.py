"""Engine versions: comparing them, and the defaults that a version has on a piece of hardware."""

import re
from collections.abc import Mapping

from inferplan.api.values import Engine
from inferplan.domain.hardware import Accelerator
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue

Version = tuple[int, int, int]

_VERSION = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?")
_MIB_PER_GIB = 1024
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


def effective(config: ServingConfig, accelerator: Accelerator) -> ServingConfig:
    """What really runs: explicit settings, and this version's defaults where they are known.

    A performance mode changes the batch defaults (0.17 and later), so these stay unknown under one.
    """
    known = defaults(config.engine, config.version, accelerator)
    if config.text("performance_mode") not in {None, "balanced"}:
        known = {key: value for key, value in known.items() if key not in _BATCH_KEYS}
    return config.with_defaults(known)


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
    gib = accelerator.memory_mib / _MIB_PER_GIB
    if gib >= 160 and version >= (0, 29, 0):  # noqa: PLR2004  the release and size of the docstring's rule
        return {"max_num_batched_tokens": 16_384, "max_batch_size": 1024}
    if gib >= 70 and "a100" not in accelerator.product.lower():  # noqa: PLR2004  likewise
        return {"max_num_batched_tokens": 8192, "max_batch_size": 1024}
    return {"max_num_batched_tokens": 2048, "max_batch_size": 256}
