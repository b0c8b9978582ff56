r"""Holds the defaults that this project says a vLLM release takes against what the release itself resolves.

    PYTHONPATH=operator .venv/bin/python benchmarks/effective_defaults.py \
        --python ENGINE_VENV/bin/python --vllm TREES [--release 0.32.0 …]

TREES and ENGINE_VENV as for real_parsers.py. For each release, GPU and argument list AsyncEngineArgs of that release
builds its configuration on a faked GPU (effective_worker.py), for a model of Llama-3.2-1B's shape with 40,960
positions; `inferplan.dialects.effective` says what it thinks will run. The result holds what the releases resolve, by
list (a value by GPU where GPUs differ; behind the first list only what it changes), and every value that this project
says otherwise; what it does not say counts as unsaid.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.effective import effective
from inferplan.dialects.reading import Reading, read_engine
from inferplan.dialects.registry import FlagKind, release, releases
from inferplan.domain.hardware import Accelerator
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config
from inferplan.domain.serving import Origin

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "effective_defaults.json"
GPUS_PER_NODE = 8

GPUS = {
    # name as NVML has it → compute capability, MiB as nvidia-smi prints them (B200, RTX PRO 6000: their data sheets)
    "NVIDIA H100 80GB HBM3": ((9, 0), 81_559),
    "NVIDIA H200": ((9, 0), 143_771),
    "NVIDIA A100-SXM4-80GB": ((8, 0), 81_920),
    "NVIDIA A100-SXM4-40GB": ((8, 0), 40_960),
    "NVIDIA L4": ((8, 9), 23_034),
    "NVIDIA L40S": ((8, 9), 46_068),
    "Tesla T4": ((7, 5), 15_360),
    "NVIDIA B200": ((10, 0), 183_359),
    "NVIDIA RTX PRO 6000 Blackwell Server Edition": ((12, 0), 97_887),
}

MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "vocab_size": 128_256,
    "max_position_embeddings": 40_960,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500_000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "torch_dtype": "float16",  # every GPU of the table can compute it
    "bos_token_id": 0,
    "eos_token_id": 2,
}

LISTS = (
    "",
    "--max-num-batched-tokens=512",
    "--max-num-seqs=16",
    "--max-num-seqs=2048",
    "--max-model-len=1024",
    "--max-model-len=1024 --max-num-seqs=4",
    "--enable-chunked-prefill",
    "--enable-chunked-prefill=False",
    "--no-enable-chunked-prefill",
    "--no-enable-chunked-prefill --max-model-len=1024",
    "--no-enable-chunked-prefill --max-num-seqs=16 --max-num-batched-tokens=65536",
    "--enable-prefix-caching",
    "--no-enable-prefix-caching",
    "--performance-mode=throughput",
    "--performance-mode=throughput --max-num-seqs=64",
    "--performance-mode=interactivity",
    "--tensor-parallel-size=2",
    "--pipeline-parallel-size=2",
    "--tensor-parallel-size=16",
    "--enforce-eager",
    "--kv-cache-dtype=fp8",
    "--block-size=32",
    "--async-scheduling",
    "--gpu-memory-utilization=0.8",
    """--speculative-config={"method":"ngram","num_speculative_tokens":3,"prompt_lookup_max":4}""",
    "--num-scheduler-steps=8",
)

NAMES = {
    "max_batch_size": "max_num_seqs",
    "kv_cache_dtype": "cache_dtype",
    "scheduling_policy": "policy",
}
"""Engine-neutral key → what the release's configuration calls it, where that differs."""

Values = Mapping[str, Any]


def lists_for(version: str) -> Iterator[list[str]]:
    """The argument lists that a release's parser takes."""
    known = release(Engine.VLLM, version)
    for text in LISTS:
        words = text.split()
        found = [known.find(word.partition("=")[0]) for word in words]
        stated = [hit is not None and hit[0].kind is FlagKind.BOOLEAN for hit in found]
        if all(found) and all(fits or not word.endswith("=False") for fits, word in zip(stated, words, strict=True)):
            yield words


def resolve(python: Path, tree: Path, model: Path, lists: Sequence[list[str]]) -> dict[str, list[Values]]:
    """What one release resolves, by GPU.

    Raises:
        SystemExit: The release does not answer; its own last words say why.
    """
    runs = [
        {
            "gpu": {"name": name, "capability": capability, "bytes": mib * 2**20, "count": GPUS_PER_NODE},
            "lists": lists,
        }
        for name, (capability, mib) in GPUS.items()
    ]
    command = [str(python), str(HERE / "effective_worker.py"), str(tree), str(model)]
    asked = "".join(json.dumps(run) + "\n" for run in runs)
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(runs) or None in answers:
        sys.exit(f"{tree.name} does not answer\n{done.stderr[-2000:]}")
    return dict(zip(GPUS, answers, strict=True))


def said(version: str, words: Sequence[str], gpu: str, card: ModelCard) -> dict[str, Any]:
    """The defaults that this project says the release takes, by the release's own names."""
    container = Container("engine", f"vllm/vllm-openai:v{version}", ("vllm", "serve"), ("model", *words))
    reading = read_engine(container, version)
    if not isinstance(reading, Reading) or reading.unreadable:
        sys.exit(f"{version} {' '.join(words)}: not readable: {reading}")
    (major, minor), mib = GPUS[gpu]
    accelerator = Accelerator(gpu.replace(" ", "-"), GPUS_PER_NODE, mib, 10 * major + minor)
    running = effective(reading.config, accelerator, reading.unknown, model=card).settings
    return {
        NAMES.get(key, key): None if (key, setting.value) == ("quantization", "none") else setting.value
        for key, setting in running.items()
        if setting.origin is Origin.VERSION_DEFAULT and key not in {"dtype", "swap_space", "cpu_offload_gb"}
    }


def compare(
    version: str, lists: Sequence[list[str]], resolved: Mapping[str, list[Values]], card: ModelCard
) -> tuple[Counter[str], list[Values]]:
    """Numbers of values that are said rightly, wrongly and not at all, and the wrong ones."""
    counts: Counter[str] = Counter()
    wrong: list[Values] = []
    for gpu, answers in resolved.items():
        for words, real in zip(lists, answers, strict=True):
            if "error" in real:
                counts["refused"] += 1
                continue
            ours = said(version, words, gpu, card)
            stated = {word.partition("=")[0].removeprefix("--").replace("-", "_") for word in words}
            for name, value in real.items():
                if name in ours and ours[name] != value:
                    wrong.append({"gpu": gpu, "args": words, "name": name, "said": ours[name], "runs": value})
                counts[_verdict(name, ours, value, stated)] += 1
    return counts, wrong


def _verdict(name: str, ours: Values, value: object, stated: set[str]) -> str:
    if name in ours:
        return "right" if ours[name] == value else "wrong"
    return "stated" if name in stated or f"no_{name}" in stated else "unsaid"


def compact(lists: Sequence[list[str]], resolved: Mapping[str, list[Values]]) -> dict[str, Any]:
    """What runs by list, of all lists but the first only what is otherwise; a value by GPU where GPUs differ."""
    found = [_across({gpu: answers[at] for gpu, answers in resolved.items()}) for at in range(len(lists))]
    base = found[0]
    rest = [{name: value for name, value in one.items() if base.get(name) != value} for one in found[1:]]
    return {" ".join(words): values for words, values in zip(lists, [base, *rest], strict=True)}


def _across(answers: Mapping[str, Values]) -> dict[str, Any]:
    names = dict.fromkeys(name for answer in answers.values() for name in answer)
    found: dict[str, Any] = {}
    for name in names:
        values = {gpu: answer.get(name) for gpu, answer in answers.items()}
        first, *others = values.values()
        found[name] = first if all(other == first for other in others) else values
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--vllm", type=Path, required=True)
    parser.add_argument("--release", nargs="+", default=releases(Engine.VLLM))
    parser.add_argument("--result", type=Path, default=RESULT)
    options = parser.parse_args()
    card = read_model_config(MODEL)
    if not isinstance(card, ModelCard):
        sys.exit(f"the model cannot be sized: {card}")
    stored = json.loads(options.result.read_text("utf-8")) if options.result.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(MODEL), encoding="utf-8")
        for version in options.release:
            lists = list(lists_for(version))
            resolved = resolve(options.python, options.vllm / version, Path(folder), lists)
            counts, wrong = compare(version, lists, resolved, card)
            stored[version] = {"values": dict(counts), "wrong": wrong, "resolved": compact(lists, resolved)}
            print(f"{version}: {dict(counts)}", flush=True)
            options.result.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
