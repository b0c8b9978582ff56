"""How much time and memory an estimate takes: cold, warm, and for thousands of candidates.

    PYTHONPATH=operator:. .venv/bin/python benchmarks/estimate_speed.py

Cold: a whole process of `inferplan estimate` and of `inferplan plan` on examples/estimate/one.yaml, next to
`python -c pass`: median wall time of seven, and the highest resident memory. Added: what importing the model (numpy
too) and one estimate add to the resident memory of a process that has loaded what `inferplan plan` needs.
Documents: 1,000 documents through the command, in one process. Candidates: 4,000 configurations of one instance
(running requests x tokens per step) in one call, warm, median of 21.
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
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "estimate_speed.json"
EXAMPLE = ROOT / "examples" / "estimate" / "one.yaml"
COLD_RUNS = 7
WARM_RUNS = 21
DOCUMENTS = 1000
ADDED = """
import sys
import inferplan.cli.plan
from inferplan.cli import main
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
before = resident()
main(["estimate", "-f", sys.argv[1], "-o", "jsonl"])
print(resident() - before, file=sys.stderr)
"""


def cold(words: Sequence[str]) -> dict[str, float]:
    """Median wall time of a process in milliseconds, and its highest resident memory in MiB."""
    times, peaks = [], []
    for _ in range(COLD_RUNS):
        started = time.perf_counter()
        process = subprocess.Popen((sys.executable, *words), stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        times.append((time.perf_counter() - started) * 1000)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
        peaks.append(usage.ru_maxrss / 1024)
    return {"milliseconds": round(statistics.median(times)), "peakResidentMiB": round(max(peaks), 1)}


def added_mib() -> float:
    """Resident memory that the model and one estimate add to a process that has what planning needs, MiB."""
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
        seconds = cold(("-m", "inferplan", "estimate", "-f", file.name, "-o", "jsonl"))["milliseconds"] / 1000
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


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ["PYTHONPATH"] = str(ROOT / "operator")
    found = {
        "machine": {"cpu": platform.processor() or platform.machine(), "python": platform.python_version(), "cores": 1},
        "cold": {
            "python -c pass": cold(("-c", "pass")),
            "inferplan estimate": cold(("-m", "inferplan", "estimate", "-f", str(EXAMPLE), "-o", "json")),
            "inferplan plan": cold(("-m", "inferplan", "plan", "-f", str(EXAMPLE), "-o", "json")),
        },
        "addedResidentMiB": added_mib(),
        "documents": many(),
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
