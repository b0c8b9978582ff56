"""Makes operator/inferplan/dialects/data/attention_backends.json out of runs of vLLM's own backend selector.

Usage: generate_attention_backends.py OUTPUT.json SELECTOR_RUN.jsonl...

Each line of a run is one question: {"release", "gpu", "mla", "head", "kv", "valid"}: which attention backends the
selector of that release (get_valid_backends, vllm/platforms/cuda.py, from 0.11.1 on) allows on that GPU, for that
number format of the KV cache and that head width (MLA: 576), in its order. Releases before it are in `OLDER`.
"""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HEADS = (64, 128, 256, 576)
"""Head widths that are looked at; the first answer for the first three must be the same."""

CAPABILITIES = {
    # The GPUs that were asked for → compute capability times 10 (NVIDIA's CUDA GPU list).
    "v100": 70,
    "t4": 75,
    "a100": 80,
    "a10": 86,
    "l4": 89,
    "l40s": 89,
    "h100": 90,
    "h200": 90,
    "b200": 100,
    "b300": 103,
    "rtx6000": 120,
}
_FP8_TRITON_SINCE = 89
"""Triton compiles no fp8 (fp8e4nv) below SM89 although the selector allows its backends: they raise from 0.24 on
(vllm/v1/attention/backends/triton_attn.py; mla/triton_mla.py from 0.26 on), and fail to compile before."""

_AMPERE_AND_LATER = (80, 86, 89, 90, 100, 103, 120)
_FP8 = ("fp8", "fp8_e4m3")
_LATENT_ELSEWHERE = {**dict.fromkeys((80, 86, 89, 103, 120), "TRITON_MLA"), 90: "FLASHMLA"}
"""What runs latent attention of 16 bits, but on 10.0, where it was not read before 0.10.2."""


def _older(auto: dict[int, str], fp8: dict[int, str], elsewhere: str, latent_fp8: dict[int, str]) -> dict[str, Any]:
    """A table of a release without the selector.

    Args:
        auto: Capability → backends of a 16-bit cache.
        fp8: Capability → backends of an fp8 cache.
        elsewhere: What an fp8 cache gets on other GPUs.
        latent_fp8: Capability → the backend that reads a latent cache in fp8 as in 16 bits; elsewhere none does.
    """
    latent = {**_LATENT_ELSEWHERE, **latent_fp8}
    return {
        str(gpu): {
            "mha": {
                "auto": auto[gpu],
                **dict.fromkeys(_FP8, fp8.get(gpu, elsewhere)),
                "int8_per_token_head": "",
            },
            "mla": {
                **({"auto": latent[gpu]} if gpu in latent else {}),
                **dict.fromkeys(_FP8, latent_fp8.get(gpu, "")),
                "int8_per_token_head": "",
            },
        }
        for gpu in _AMPERE_AND_LATER
    }


_FLASH = dict.fromkeys(_AMPERE_AND_LATER, "FLASH_ATTN")
_BLACKWELL = {**_FLASH, 100: "FLASHINFER FLASH_ATTN"}
_LATENT = {90: "FLASHMLA", 100: "CUTLASS_MLA"}
OLDER = {
    # No backend of latent attention takes fp8 in the first four: their constructors raise (mla/*.py).
    "0.8.5": _older(_FLASH, {90: "FLASH_ATTN"}, "V0", {}),
    "0.9.2": _older(_BLACKWELL, {90: "FLASH_ATTN"}, "V0", {}),
    # From here on capability 10.0 counts as supported; FlashAttention there is not, so FlashInfer it must be.
    "0.10.0": _older(_BLACKWELL, {90: "FLASH_ATTN", 100: "FLASHINFER"}, "V0", {}),
    "0.10.1.1": _older(_BLACKWELL, {90: "FLASH_ATTN", 100: "FLASHINFER"}, "V0", {}),
    # FlashMLA and CUTLASS_MLA read fp8 from here on (mla/flashmla.py, cutlass_mla.py); mla/triton_mla.py raises.
    "0.10.2": _older(_BLACKWELL, {90: "FLASH_ATTN", 100: "FLASHINFER"}, "V0", _LATENT),
    # V0 is gone: fp8 goes to Triton but on Hopper, which does not compile it on Ampere.
    "0.11.0": _older(
        _BLACKWELL,
        {90: "FLASH_ATTN", 100: "FLASHINFER", 80: "", 86: ""},
        "TRITON_ATTN",
        _LATENT,
    ),
}
"""Releases whose source was read: get_attn_backend_cls and is_kv_cache_dtype_supported (vllm/platforms/cuda.py),
_is_v1_supported_oracle (vllm/engine/arg_utils.py), flash_attn_supports_fp8 (vllm/attention/utils/fa_utils.py: FA3, so
Hopper only), vllm/v1/attention/backends."""


def usable(backends: list[str], kv_dtype: str, capability: int) -> list[str]:
    """The selector's backends without those that refuse to start afterwards."""
    if not kv_dtype.startswith("fp8") or capability >= _FP8_TRITON_SINCE:
        return backends
    return [name for name in backends if not name.startswith("TRITON")]


def table(lines: Iterable[dict[str, Any]]) -> dict[str, dict[str, dict[str, str]]]:
    """Compute capability → "mha" or "mla" → KV dtype → usable backends, in one string.

    Raises:
        ValueError: Two GPUs of one capability, or two head widths, would run different backends.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for line in sorted(lines, key=lambda line: CAPABILITIES[line["gpu"]]):
        capability = CAPABILITIES[line["gpu"]]
        formats = found.setdefault(str(capability), {}).setdefault("mla" if line["mla"] else "mha", {})
        formats[line["kv"]] = _common(formats.get(line["kv"]), usable(line["valid"], line["kv"], capability), line)
    return found


def _common(before: str | None, backends: list[str], line: dict[str, Any]) -> str:
    """What every question was answered with: 0.28.0 takes fp8 with heads of 256 to no FLASH_ATTN on a B200.

    Raises:
        ValueError: The backend that would run is another one.
    """
    if before is None:
        return " ".join(backends)
    if before.split()[:1] != backends[:1]:
        raise ValueError(f"{line['gpu']}, heads of {line['head']}: {line['kv']} differs: {backends}, not {before}")
    return " ".join(name for name in before.split() if name in backends)


def main(output: str, *runs: str) -> None:
    """Reads the runs, of which a later one corrects the earlier, and writes the tables, one for all that share it."""
    texts = (Path(run).read_text(encoding="utf-8") for run in runs)
    asked = [json.loads(line) for text in texts for line in text.splitlines() if line.strip()]
    latest = {tuple(line[key] for key in ("release", "gpu", "mla", "head", "kv")): line for line in asked}
    kept = [line for line in latest.values() if line["gpu"] in CAPABILITIES and line["head"] in HEADS]
    tables: dict[str, Any] = dict(OLDER)
    for release in dict.fromkeys(line["release"] for line in kept):
        tables[release] = table(line for line in kept if line["release"] == release)
    names: dict[str, str] = {}
    releases = {release: names.setdefault(json.dumps(found), release) for release, found in tables.items()}
    data = {"releases": releases, "tables": {name: tables[name] for name in names.values()}}
    Path(output).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
