"""Makes operator/inferplan/dialects/data/attention_backends.json out of a run of vLLM's own backend selector.

Usage: generate_attention_backends.py SELECTOR_RUN.jsonl RELEASE OUTPUT.json

Each line of the run is one question: {"gpu", "mla", "kv", "valid"}: which attention backends the selector of that
release allows on that GPU, for that number format of the KV cache, heads of 128 (MLA: 576), in its order.
"""

import json
import sys
from pathlib import Path
from typing import Any

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
"""The Triton backends raise for an fp8 KV cache below SM89 although the selector allows them
(vllm/v1/attention/backends/triton_attn.py and mla/triton_mla.py, 0.33.0)."""


def usable(backends: list[str], kv_dtype: str, capability: int) -> list[str]:
    """The selector's backends without those that refuse to start afterwards."""
    if not kv_dtype.startswith("fp8") or capability >= _FP8_TRITON_SINCE:
        return backends
    return [name for name in backends if not name.startswith("TRITON")]


def table(lines: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, str]]]:
    """Compute capability → "mha" or "mla" → KV dtype → usable backends, in one string.

    Raises:
        ValueError: Two GPUs of one capability have different answers.
    """
    found: dict[str, dict[str, dict[str, str]]] = {}
    for line in sorted(lines, key=lambda line: CAPABILITIES[line["gpu"]]):
        capability = CAPABILITIES[line["gpu"]]
        formats = found.setdefault(str(capability), {}).setdefault("mla" if line["mla"] else "mha", {})
        answer = " ".join(usable(line["valid"], line["kv"], capability))
        if formats.setdefault(line["kv"], answer) != answer:
            raise ValueError(f"{line['gpu']}: {line['kv']} differs from another GPU of capability {capability}")
    return found


def main(run: str, release: str, output: str) -> None:
    """Reads the run, writes the table."""
    lines = [json.loads(line) for line in Path(run).read_text(encoding="utf-8").splitlines() if line.strip()]
    Path(output).write_text(json.dumps({release: table(lines)}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
