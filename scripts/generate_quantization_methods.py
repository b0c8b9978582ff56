"""Makes operator/inferplan/dialects/data/quantization_methods.json out of what vLLM's releases say of themselves.

Usage: generate_quantization_methods.py OUTPUT.json DUMP.json...

Each dump is of one release: {"release", "deprecated", "methods"}: DEPRECATED_QUANTIZATION_METHODS of
vllm/model_executor/layers/quantization, and each name in QUANTIZATION_METHODS with what its config class answers to
get_min_capability() on CUDA (compute capability times 10; anything else where it answers nothing there).
"""

import json
import sys
from pathlib import Path
from typing import Any

GONE = "gone"


def history(dumps: list[dict[str, Any]]) -> dict[str, list[list[Any]]]:
    """Method → [release, minimum capability or None, deprecated], one entry for each change, oldest first."""
    found: dict[str, list[list[Any]]] = {}
    for dump in sorted(dumps, key=lambda dump: _order(dump["release"])):
        for name in sorted({*dump["methods"], *found}):
            state = _state(dump, name)
            entries = found.setdefault(name, [])
            if not entries or entries[-1][1:] != state:
                entries.append([dump["release"], *state])
    return dict(sorted(found.items()))


def _state(dump: dict[str, Any], name: str) -> list[Any]:
    if name not in dump["methods"]:
        return [GONE]
    minimum = dump["methods"][name]
    return [minimum if isinstance(minimum, int) else None, name in dump["deprecated"]]


def _order(release: str) -> list[int]:
    return [int(number) for number in release.split(".")]


def main(output: str, *dumps: str) -> None:
    """Reads the dumps, writes the table: one line for each method."""
    found = history([json.loads(Path(dump).read_text(encoding="utf-8")) for dump in dumps])
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(entries)}" for name, entries in found.items())
    Path(output).write_text("{\n" + lines + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
