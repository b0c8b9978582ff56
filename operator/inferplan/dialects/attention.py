"""Which attention backends of a vLLM release read a KV cache of a number format on a GPU. Pure.

The data is an answer of vLLM's own backend selector, less what the Triton backends refuse afterwards
(scripts/generate_attention_backends.py); heads of 128, full attention. Packages that the selector asks for were
taken to be installed: FLASHINFER needs flashinfer in the image, while FLASH_ATTN and TRITON_ATTN are vLLM's own.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from inferplan.dialects.version_order import version_number

HEAD_DIM_READ = 128
"""The head width that the selector was asked for."""

SHIPPED = ("FLASH_ATTN", "TRITON")
"""Beginnings of the backends that vLLM itself ships; others need a package of their own."""


def kv_cache_backends(
    version: str | None, compute_capability: int | None, kv_dtype: str, *, mla: bool = False
) -> tuple[str, ...] | None:
    """Usable backends in the order in which the engine prefers them; empty where there is none.

    vLLM 0.33.0, fp8: FLASH_ATTN, FLASHINFER, TRITON_ATTN on an H100 (90); FLASHINFER on an A100 (80); none on a
    T4 (75).

    Args:
        version: vLLM's version; patch releases are taken to have the same kernels.
        compute_capability: Of the GPU, times 10.
        kv_dtype: As --kv-cache-dtype takes it.
        mla: Whether the model has multi-head latent attention.

    Returns:
        None where this release, GPU or format was not asked for.
    """
    number = version_number(version)
    capabilities = _data().get(number.numbers[:2], {}) if number is not None else {}
    formats = capabilities.get(str(compute_capability), {}).get("mla" if mla else "mha", {})
    found = formats.get(kv_dtype)
    return None if found is None else tuple(found.split())


def is_shipped(backend: str) -> bool:
    """Whether vLLM itself ships the backend."""
    return backend.startswith(SHIPPED)


@cache
def _data() -> Mapping[tuple[int, ...], Mapping[str, Mapping[str, Mapping[str, str]]]]:
    """Major and minor version → compute capability → kind of attention → format → backends."""
    text = resources.files("inferplan.dialects").joinpath("data", "attention_backends.json").read_text("utf-8")
    numbered = {version_number(release): found for release, found in json.loads(text).items()}
    return MappingProxyType({number.numbers[:2]: found for number, found in numbered.items() if number is not None})
