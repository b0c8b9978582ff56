"""Which attention backends of a release read a KV cache of a number format on a GPU. Pure.

vLLM's data from 0.11.1 on is an answer of its own backend selector (get_valid_backends, vllm/platforms/cuda.py), less
what Triton cannot compile; before that it was read from get_attn_backend_cls, is_kv_cache_dtype_supported and the
backends themselves (scripts/generate_attention_backends.py). Of most minor releases one patch release was read.
Packages that the selector asks for were taken to be installed: FLASHINFER needs flashinfer in the image, while
FLASH_ATTN, TRITON_ATTN and the MLA kernels FLASHMLA and CUTLASS_MLA are vLLM's own. Full attention, and the engine's
own block size.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from inferplan.dialects.situation import at
from inferplan.dialects.version_order import VersionNumber, known_version, version_number

HEAD_DIMS_READ = (64, 128, 256)
"""The head widths that the selector was asked for; it gave the same answer for all three. Latent attention: 576."""

SELECTOR_SINCE = at(0, 11, 1)
"""From here on vLLM's answer has every backend that reads a format; before, the one that runs unasked."""

V0 = "V0"
"""vLLM up to 0.10.2 falls back to its old engine (_raise_or_fallback, vllm/engine/arg_utils.py): not only the kernels
become others."""

SHIPPED = ("FLASH_ATTN", "TRITON", "FLASHMLA", "CUTLASS_MLA")
"""Beginnings of the backends that vLLM itself ships; others need a package of their own."""

_SGLANG_LAST = known_version("0.5.23")
_SGLANG_READ = (
    # GPUs, the first release, and backends of which one runs there, with fp8_e4m3 as with 16 bits.
    (frozenset({80, 86, 89, 120}), known_version("0.4.6.post5"), ("flashinfer",)),
    (frozenset({90}), known_version("0.4.9.post3"), ("fa3", "flashinfer")),
    (frozenset({100, 103}), known_version("0.5.8"), ("trtllm_mha", "flashinfer")),
)
"""SGLang's default for attention that is not latent: model_specific_adjustment (model_executor/model_runner.py, 0.4.6
to 0.5.2), server_args.py (0.5.5 to 0.5.18), get_default_attn_backend (arg_groups/model_override_base.py, 0.5.20 and
0.5.23).

fa3 casts the query to the cache's format, flashinfer_backend.py gives it to FlashInfer's kernels, trtllm_mha casts the
query from 0.5.5 on. In 0.4.6 fa3 left the query as it was where the checkpoint has no scales; on Blackwell the default
changed between 0.5.5 and 0.5.8. fp8_e5m2 is not here: with it fa3 gives way to triton in all of them.
"""

_Table = Mapping[str, Mapping[str, Mapping[str, str]]]


def kv_cache_backends(
    version: str | None, compute_capability: int | None, kv_dtype: str, *, mla: bool = False
) -> tuple[str, ...] | None:
    """Usable backends of vLLM in the order in which the engine prefers them; empty where there is none.

    vLLM 0.33.0, fp8: FLASH_ATTN, FLASHINFER, TRITON_ATTN on an H100 (90); FLASHINFER on an A100 (80); none on a
    T4 (75).

    Args:
        version: vLLM's version. Between two that were read it is what both say, else what the older one says if it is
            of the same minor release: a patch release is taken to lose nothing.
        compute_capability: Of the GPU, times 10.
        kv_dtype: As --kv-cache-dtype takes it.
        mla: Whether the model has multi-head latent attention.

    Returns:
        None where this release, GPU or format was not asked for.
    """
    wanted = version_number(version)
    if wanted is None:
        return None
    kind = "mla" if mla else "mha"
    read = [(number, table.get(str(compute_capability), {}).get(kind, {}).get(kv_dtype)) for number, table in _data()]
    found = _between(read, wanted)
    return None if found is None else tuple(found.split())


def sglang_backends(version: str | None, compute_capability: int | None) -> tuple[str, ...] | None:
    """Backends of SGLang of which one runs full attention, with a KV cache of fp8_e4m3 as without; None: not read."""
    wanted = version_number(version)
    if wanted is None or wanted > _SGLANG_LAST:
        return None
    known = (names for gpus, first, names in _SGLANG_READ if compute_capability in gpus and first <= wanted)
    return next(known, None)


def is_shipped(backend: str) -> bool:
    """Whether vLLM itself ships the backend."""
    return backend.startswith(SHIPPED)


def _between(read: list[tuple[VersionNumber, str | None]], wanted: VersionNumber) -> str | None:
    """The answer for a release out of those that were read, oldest first."""
    older = [(number, answer) for number, answer in read if number <= wanted]
    newer = [answer for number, answer in read if number >= wanted]
    if not older:
        return None
    number, answer = older[-1]
    same = number == wanted or (bool(newer) and newer[0] == answer)
    return answer if same or wanted.shared(number) > 1 else None


@cache
def _data() -> tuple[tuple[VersionNumber, _Table], ...]:
    """Releases, oldest first, each with compute capability → kind of attention → format → backends."""
    text = resources.files("inferplan.dialects").joinpath("data", "attention_backends.json").read_text("utf-8")
    data = json.loads(text)
    numbered = (
        (known_version(release), MappingProxyType(data["tables"][table])) for release, table in data["releases"].items()
    )
    return tuple(sorted(numbered, key=lambda entry: entry[0]))
