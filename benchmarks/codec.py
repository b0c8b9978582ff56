"""Ten thousand generated command lines: read to what they say, edited, and put back.

    PYTHONPATH=operator:. .venv/bin/python benchmarks/codec.py

The lines come from tests/support/command_lines.py: every known release of vLLM and SGLang in turn, ten shapes
(lists, variables, one-line and many-line scripts, arrays, parameters, functions, branches), flags and values drawn
from the release's own. Counted are lines that were read to exactly what they say, edits that were made and verified,
edits that were refused, and edits whose opposite gave the very same strings back. Raw results go to results/codec.json.
"""

import json
import statistics
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.support.command_lines import Variant, variant

from inferplan.api.values import Engine
from inferplan.dialects.editing import edit
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import releases
from inferplan.dialects.words import NotEditable
from inferplan.domain.serving import SettingValue

RESULTS = Path(__file__).resolve().parent / "results" / "codec.json"
LINES = 10_000
RELEASES = [(engine, version) for engine in (Engine.VLLM, Engine.SGLANG) for version in releases(engine)]
VALUES: dict[str, tuple[SettingValue, ...]] = {
    "max_batch_size": (8, 64, 1000),
    "max_num_batched_tokens": (512, 8192),
    "max_model_len": (4096, 32768),
    "gpu_memory_utilization": (0.85, 0.95),
    "enable_prefix_caching": (True, False),
    "enforce_eager": (True, False),
    "tensor_parallel_size": (2, 4),
}


def is_right(made: Variant) -> bool:
    reading = read_engine(made.container, made.version)
    if not isinstance(reading, Reading) or reading.unreadable or reading.config.model != made.model:
        return False
    return {key: setting.value for key, setting in reading.config.items()} == dict(made.expected)


def edited_and_back(made: Variant, random: Random) -> str:
    keys = random.sample(sorted(VALUES), k=random.randint(1, 3))
    changes = {key: random.choice(VALUES[key]) for key in keys}
    edited = edit(made.container, changes, made.version)
    if isinstance(edited, NotEditable):
        return "refused"
    back = edit(edited, {key: made.expected.get(key) for key in changes}, made.version)
    if isinstance(back, NotEditable):
        return "edited, opposite refused"
    return "edited, same strings back" if back == made.container else "edited, same settings back"


def generated() -> dict[str, object]:
    wrong: list[int] = []
    edits: Counter[str] = Counter()
    shapes: Counter[str] = Counter()
    read_seconds, edit_seconds = [], []
    for seed in range(LINES):
        made = variant(seed, *RELEASES[seed % len(RELEASES)])
        shapes[made.shape] += 1
        start = time.perf_counter()
        right = is_right(made)
        middle = time.perf_counter()
        edits[edited_and_back(made, Random(seed))] += 1  # noqa: S311  samples, no secrets
        read_seconds.append(middle - start)
        edit_seconds.append(time.perf_counter() - middle)
        if not right:
            wrong.append(seed)
    return {
        "lines": LINES,
        "read_right": LINES - len(wrong),
        "wrong_seeds": wrong[:20],
        "shapes": dict(sorted(shapes.items())),
        "edits": dict(sorted(edits.items())),
        "read_ms": quantiles(read_seconds),
        "edit_and_back_ms": quantiles(edit_seconds),
    }


def quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": round(1000 * statistics.median(ordered), 3),
        "p99": round(1000 * ordered[int(0.99 * len(ordered))], 3),
        "max": round(1000 * ordered[-1], 3),
    }


def main() -> None:
    text = json.dumps(generated(), indent=2)
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
