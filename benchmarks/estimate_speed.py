"""How much time and memory an estimate takes: cold, warm, and for thousands of candidates.

    PYTHONPATH=operator:. .venv/bin/python benchmarks/estimate_speed.py

Cold: a whole process of `inferplan estimate` and of `inferplan plan` on examples/estimate/one.yaml, next to
`python -c pass`: median wall time of seven, and the highest resident memory. Added: what importing the model (numpy
and the catalogues too) and one estimate add to a process that has loaded everything below it: pydantic, YAML, the CRs'
models, the engines' flags.
Documents: 1,000 documents through the command, in one process. Candidates: 4,000 configurations of one instance
(2 TP degrees x 2 number formats of the cache x 4 shares of memory x 25 running requests x 10 tokens per step): for each
the memory budget, the cache's plan by the engine's own arithmetic, latency and throughput; warm, median of 21.
Raw results go to results/estimate_speed.json. Seconds are those of the machine named in it, kept to one core.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from inferplan.api.instance import InstanceSpec
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.estimate.candidates import Candidates as Limits
from inferplan.estimate.candidates import evaluate
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.observe.assemble import Sources, assemble

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "estimate_speed.json"
EXAMPLE = ROOT / "examples" / "estimate" / "one.yaml"
CANDIDATES = ROOT / "examples" / "estimate" / "candidates.yaml"
SHARES = np.array([0.85, 0.88, 0.91, 0.94])
SEQUENCES = np.arange(8, 208, 8)
TOKENS = np.arange(1024, 11264, 1024)
COLD_RUNS = 7
WARM_RUNS = 21
DOCUMENTS = 1000
PEAK = """
import sys
if sys.argv[1:]:
    from inferplan.cli import main
    main(sys.argv[1:])
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1], file=sys.stderr)
"""
ADDED = """
import sys
import yaml, inferplan.api.estimate, inferplan.api.plan, inferplan.dialects.report, inferplan.web.checks
from inferplan.api.instance import Engine
from inferplan.cli import main
from inferplan.dialects.registry import releases, release
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
for engine in Engine:
    release(engine, releases(engine)[-1])
before = resident()
main(["estimate", "-f", sys.argv[1], "-o", "jsonl"])
print(resident() - before, file=sys.stderr)
"""


def cold(words: Sequence[str]) -> dict[str, float]:
    """Median wall time of `python -m inferplan` in milliseconds, and its highest resident memory in MiB.

    Without words: of a Python that does nothing. The memory is VmHWM, as ru_maxrss counts the process that forked.
    """
    command = ("-m", "inferplan", *words) if words else ("-c", "pass")
    times = []
    for _ in range(COLD_RUNS):
        started = time.perf_counter()
        subprocess.run((sys.executable, *command), check=True, stdout=subprocess.DEVNULL)
        times.append((time.perf_counter() - started) * 1000)
    done = subprocess.run((sys.executable, "-c", PEAK, *words), check=True, capture_output=True, text=True)
    return {"milliseconds": round(statistics.median(times)), "peakResidentMiB": round(int(done.stderr) / 1024, 1)}


def added_mib() -> float:
    """Resident memory that the model and one estimate add to a process that has what lies below, MiB."""
    done = subprocess.run(
        (sys.executable, "-c", ADDED, str(EXAMPLE)), check=True, capture_output=True, text=True, timeout=60
    )
    return round(int(done.stderr) / 1024, 1)


def many() -> dict[str, float]:
    """1,000 documents, no two alike, through the command."""
    document = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        for number in range(DOCUMENTS):
            document["spec"]["currentConfig"]["max_model_len"] = 2048 + number
            file.write("---\n" + yaml.safe_dump(document))
        file.flush()
        seconds = cold(("estimate", "-f", file.name, "-o", "jsonl"))["milliseconds"] / 1000
    return {"documents": DOCUMENTS, "seconds": round(seconds, 2)}


def warm(call: Callable[[], Any]) -> dict[str, float]:
    """Median and longest time of a call that was made before, milliseconds."""
    call()
    times = []
    for _ in range(WARM_RUNS):
        started = time.perf_counter()
        call()
        times.append((time.perf_counter() - started) * 1000)
    return {"milliseconds": round(statistics.median(times), 2), "longestMilliseconds": round(max(times), 2)}


class Candidates:
    """The first instance of examples/estimate/candidates.yaml in 4,000 ways."""

    def __init__(self) -> None:
        content = next(iter(yaml.safe_load_all(CANDIDATES.read_text(encoding="utf-8"))))
        seen = assemble(Sources(spec=InstanceSpec.from_kube(content["spec"]))).observation
        if isinstance(seen.model, Missing):
            raise SystemExit(seen.model.reason)
        self.card, self.accelerator, self.load = seen.model, seen.accelerator, Load(64, None, 2000, 400)
        self.configs = [
            seen.config.with_settings({"tensor_parallel_size": chosen(ranks), "kv_cache_dtype": chosen(cache)})
            for ranks, cache in product((1, 2), ("auto", "fp8"))
        ]
        grid = np.meshgrid(SHARES, SEQUENCES, TOKENS, indexing="ij")
        self.shares, self.sequences, self.tokens = (axis.ravel() for axis in grid)

    def evaluate(self) -> tuple[int, float]:
        """How many of the candidates start, and the highest throughput of those, output tokens per second."""
        found = [self._under(config) for config in self.configs]
        return sum(count for count, _ in found), max(best for _, best in found)

    def _under(self, config: ServingConfig) -> tuple[int, float]:
        context = np.full_like(self.sequences, config.integer("max_model_len") or 0)
        situation = EstimateInput(config, self.accelerator, self.card)
        found = evaluate(situation, self.load, Limits(self.shares, self.sequences, self.tokens, context))
        if isinstance(found, Missing):
            raise SystemExit(f"the candidates cannot be estimated: {found.reason}")
        rates = np.where(found.starts, found.flow.requests_per_second * self.load.output_tokens, 0.0)
        return int(found.starts.sum()), float(rates.max())


def chosen(value: int | str) -> Setting:
    return Setting(value, Origin.ARGUMENT)


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["PYTHONPATH"] = str(ROOT / "operator")
    candidates = Candidates()
    best = candidates.evaluate()
    found = {
        "machine": {"cpu": platform.processor() or platform.machine(), "python": platform.python_version(), "cores": 1},
        "cold": {
            "python -c pass": cold(()),
            "inferplan estimate": cold(("estimate", "-f", str(EXAMPLE), "-o", "json")),
            "inferplan plan": cold(("plan", "-f", str(EXAMPLE), "-o", "json")),
        },
        "addedResidentMiB": added_mib(),
        "documents": many(),
        "candidates": {**warm(candidates.evaluate), **dict(zip(("start", "bestTokensPerSecond"), best, strict=True))},
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
