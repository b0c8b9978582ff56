"""Resident memory of the operator: idle, with 100 and with 1,000 instances, on the lab's real API server.

    PYTHONPATH=operator:lab .venv/bin/python benchmarks/operator_memory.py

Each instance names its own Deployment (no replicas) with inline model config; Prometheus is the real one and has no
series of them, so every look goes the whole way and ends in MetricsMissing. Memory is VmRSS of /proc after every
instance has a status of its generation, and after two more rounds of the schedule; the maximum is VmHWM.
Raw results go to results/operator_memory.json.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from inferplan_lab.control_plane import ControlPlane
from inferplan_lab.processes import Process, free_port
from inferplan_lab.prometheus import Prometheus, Targets

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "operator_memory.json"
RESYNC_SECONDS = 30
STATUS_SECONDS = 300
SIZES = (0, 100, 1000)
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "torch_dtype": "bfloat16",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}


def objects(first: int, last: int) -> Iterator[dict[str, Any]]:
    for number in range(first, last):
        name = f"llm-{number:04d}"
        labels = {"app": name}
        container = {
            "name": "vllm",
            "image": "vllm/vllm-openai:v0.33.0",
            "command": ["vllm", "serve", "meta-llama/Llama-3.1-8B-Instruct"],
            "args": ["--max-num-seqs", "64", "--max-model-len", "8192"],
            "resources": {"limits": {"nvidia.com/gpu": "1"}},
        }
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        yield {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
        }
        yield {
            "apiVersion": "inferplan.dev/v1alpha1",
            "kind": "InferenceInstance",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"engine": "vllm", "targetRef": {"name": name}, "model": {"config": MODEL}},
        }


def memory_kib(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) for name in ("VmRSS", "VmHWM")}


def with_status(plane: ControlPlane) -> int:
    path = "{range .items[*]}{.status.observedGeneration}{'\\n'}{end}"
    return len(plane.kubectl("get", "ii", "-A", "-o", f"jsonpath={path}").split())


def wait_for_status(plane: ControlPlane, count: int) -> float:
    started = time.monotonic()
    while with_status(plane) < count:
        if time.monotonic() - started > STATUS_SECONDS:
            raise SystemExit(f"only {with_status(plane)} of {count} instances have a status after {STATUS_SECONDS} s")
        time.sleep(1)
    return time.monotonic() - started


def measure(plane: ControlPlane, operator: Process) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    present = 0
    for size in SIZES:
        documents = {"apiVersion": "v1", "kind": "List", "items": list(objects(present, size))}
        if documents["items"]:
            plane.kubectl("create", "-f", "-", stdin=json.dumps(documents))
        present = size
        waited = wait_for_status(plane, size)
        time.sleep(2 * RESYNC_SECONDS)
        pid = operator.pid
        if pid is None or not operator.is_running():
            raise SystemExit(f"the operator ended:\n{operator.log_tail()}")
        used = memory_kib(pid)
        rows.append({"instances": size, "rss_mib": used["VmRSS"] / 1024, "max_rss_mib": used["VmHWM"] / 1024})
        print(
            f"{size:5} instances: {rows[-1]['rss_mib']:.0f} MiB resident ({rows[-1]['max_rss_mib']:.0f} at most),",
            end=" ",
        )
        print(f"all had a status {waited:.0f} s after the last was created")
    return rows


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="inferplan-bench-") as folder:
        state = Path(folder)
        with ControlPlane(state / "cluster") as plane, Prometheus(state / "prometheus", Targets()) as prometheus:
            plane.kubectl("apply", "-f", str(ROOT / "crds" / "inferenceinstances.inferplan.dev.yaml"))
            plane.kubectl("apply", "-f", str(ROOT / "crds" / "optimizationplans.inferplan.dev.yaml"))
            plane.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
            operator = Process("operator", state / "operator")
            environment = {
                **os.environ,
                "KUBECONFIG": str(plane.kubeconfig),
                "INFERPLAN_PROMETHEUS_SOURCES": json.dumps({"default": prometheus.url}),
                "INFERPLAN_RESYNC_SECONDS": str(RESYNC_SECONDS),
                "INFERPLAN_LISTEN_PORT": str(free_port()),
                "INFERPLAN_LISTEN_ADDRESS": "127.0.0.1",
            }
            operator.start((sys.executable, "-m", "inferplan", "operator"), env=environment)
            try:
                rows = measure(plane, operator)
            finally:
                operator.stop()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    RESULTS.parent.mkdir(exist_ok=True)
    result = {"commit": commit.stdout.strip(), "python": sys.version.split()[0], "rows": rows}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
