"""A real vLLM on a real H100 against what InferPlan says of it, before it saw anything and after one window.

    PYTHONPATH=operator:. .venv/bin/python benchmarks/real_gpu/run.py

h100_qwen3_8b.json holds what was measured on 2026-11-26 (a lent machine, 15 minutes): loads of one server, and two
cases of ../closed_loop/gpu.yaml whose pages `inferplan plan` read there. This estimates the same loads without any of
it, and puts both side by side into ../results/real_gpu.md. The planned case was not run again with its plan (the time
was over): what was promised is held against the load of as many clients as would then run, where all of them may.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULT = HERE.parent / "results" / "real_gpu.md"
Row = dict[str, Any]


def main() -> int:
    """Writes the report."""
    seen = json.loads((HERE / "h100_qwen3_8b.json").read_text("utf-8"))
    loads = [row for row in seen["loads"] if row["load"]["output"] > 1]
    loads.append({**seen["cases"]["already-good"]["before"], "load": seen["cases"]["already-good"]})
    loads.sort(key=lambda row: (row["load"]["input"], row["load"]["clients"]))
    said = _estimates([row["load"] for row in loads])
    RESULT.write_text("\n".join(_report(seen, loads, said)) + "\n", "utf-8")
    return 0


def _estimates(loads: list[Row]) -> list[Row]:
    text = "---\n".join(json.dumps(_instance(number, load)) + "\n" for number, load in enumerate(loads))
    command = [sys.executable, "-m", "inferplan", "estimate", "-f", "-", "-o", "jsonl"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _instance(number: int, load: Row) -> Row:
    return {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": f"load-{number}"},
        "spec": {
            "engine": "vllm",
            "engineVersion": "0.26.0",
            "model": {"id": "Qwen/Qwen3-8B"},
            "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 1},
            "currentConfig": {"max_model_len": 8192, "max_batch_size": 128, "dtype": "bfloat16"},
            "workload": {
                "concurrency": load["clients"],
                "inputTokens": load["input"],
                "outputTokens": load["output"],
                "prefixShare": 0,
            },
        },
    }


def _report(seen: Row, loads: list[Row], said: list[Row]) -> Iterator[str]:
    memory = said[0]["memory"]
    started = "; ".join(line for line in seen["engine"]["started"] if "Free memory" not in line)
    yield "# A real vLLM on a real H100\n"
    engine, machine = seen["engine"], seen["machine"]
    yield f"{engine['model']}, vLLM {engine['version']}, {machine['gpu']}, {machine['date']}."
    yield "Rerun: `benchmarks/real_gpu/run.py`; raw: `benchmarks/real_gpu/h100_qwen3_8b.json`.\n"
    yield "## Memory, from the arguments alone\n"
    yield "| what | InferPlan | the engine's log |\n|---|--:|--:|"
    tokens = memory["intervals"]["kvCacheTokens"]
    yield f"| KV cache, tokens | {_span(tokens, 0)} | 408,256 |"
    yield f"| weights, GiB | {_gib(memory['weightsBytes'])} | 15.27 |"
    yield f"| activations, GiB | {_gib(memory['activationBytes'])} | 1.29 |"
    yield f"\nThe engine's own words: {started}.\n"
    yield "## Speed, before anything was seen\n"
    yield "| clients | in/out | ITL, ms | measured | output tokens/s | measured | TTFT, ms | measured by clients |"
    yield "|--:|---|--:|--:|--:|--:|--:|--:|"
    for row, one in zip(loads, said, strict=True):
        load, speed = row["load"], one["performance"]
        yield (
            f"| {load['clients']} | {load['input']}/{load['output']} | {_span(speed['itlMilliseconds'], 1)} |"
            f" {row['itl_mean']:.1f} | {_span(speed['outputTokensPerSecond'], 0)} |"
            f" {row['output_tokens_per_second']:,.0f} | {_span(speed['ttftMilliseconds'], 0)} |"
            f" {row['client_ttft_mean']:.0f} |"
        )
    yield from _planned(seen)


def _planned(seen: Row) -> Iterator[str]:
    case, as_planned = seen["cases"]["too-few-sequences"], seen["cases"]["already-good"]["before"]
    yield "\n## A plan, after one window of 24 s\n"
    yield f"128 clients, {case['args']}: `inferplan plan` said {case['plan']['changes']}; 32 clients all running say:\n"
    yield "| metric | before | promised | with as many running |\n|---|--:|--:|--:|"
    for effect in case["plan"]["effects"]:
        if effect["metric"] in {"output_tokens_per_second", "itl_mean"}:  # there was no run with a queue for the TTFT
            realized = as_planned[effect["metric"]]
            yield f"| {effect['metric']} | {effect['current']:,.4g} | {_span(effect, 1)} | {realized:,.4g} |"
    yield "\nAlready good (32 clients, 128 may run): no plan, as it should be."


def _span(span: Row, digits: int) -> str:
    return f"{span['expected']:,.{digits}f} ({span['low']:,.{digits}f} to {span['high']:,.{digits}f})"


def _gib(span: Row | float) -> str:
    size = span["expected"] if isinstance(span, dict) else span
    return f"{size / 2**30:.2f}"


if __name__ == "__main__":
    sys.exit(main())
