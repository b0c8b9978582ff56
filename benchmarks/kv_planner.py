r"""Holds this project's sizes of the KV cache against vLLM releases' own planners.

    PYTHONPATH=operator .venv/bin/python benchmarks/kv_planner.py \
        --python ENGINE_VENV/bin/python --vllm TREES [--release 0.32.0 …] [--family compressed] [--cases 400] [--seed 1]

TREES and ENGINE_VENV as for real_parsers.py. For each release, models of every kind are drawn (kv_models.py:
grouped-query, latent and compressed attention, windows, chunks, shared caches, recurrent states; ranks, stages,
formats, block sizes, speculation) with amounts of memory and lengths; the release's own code plans them (kv_worker.py).
Compared are blocks, tokens as printed, concurrency, the block size, whether the start-up check passes and which length
it would pass. The result holds the counts by release and by family, and every disagreement.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    LatentAttention,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.domain.measurement import Missing
from inferplan.estimate.kv_formats import is_boundary_kept
from inferplan.estimate.kv_plan import CacheStructure
from inferplan.estimate.kv_settings import CacheSettings
from inferplan.estimate.kv_structure import cache_structure
from inferplan.estimate.placement import Layout, Remainder, stages

sys.path.insert(0, str(Path(__file__).resolve().parent))

from kv_models import Drawn, drawn

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "kv_planner.json"


def as_json(case: Drawn) -> str:
    """A case as kv_worker.py reads it."""
    settings, count = case.settings, case.card.num_layers
    remainder = Remainder.ALL_LAST if settings.release < (0, 8, 0) else Remainder.BEFORE_LAST
    spans = stages(count, Layout(pipeline=settings.pipeline_parallel, remainder=remainder))
    members = [list(range(start, end)) for start, end in spans]
    members[-1] += range(count, count + len(settings.drafts))
    ends = min(2, count // 2)
    edge = [*range(ends), *range(count - ends, count)]
    skipped = edge if is_boundary_kept(settings.kv_format) and not case.card.has_states else []
    given = {
        "kv_format": settings.kv_format,
        "model_format": settings.model_format,
        "block_size": case.stated_block,
        "tensor_parallel": settings.tensor_parallel,
        "pipeline_parallel": settings.pipeline_parallel,
        "context_parallel": settings.context_parallel,
        "concurrent_batches": settings.concurrent_batches,
        "hybrid_manager": settings.hybrid_manager,
        "state_mode": settings.states.mode.value,
        "speculative_tokens": settings.states.speculative_tokens,
        "chunk": settings.states.chunk,
        "state_bits": settings.states.state_bits,
        "blocks_override": settings.blocks_override,
        "narrow_index": settings.narrow_index,
        "skipped": sorted({str(index) for index in skipped}),
        "stages": members,
    }
    layers = [_layer(layer.mixer) for layer in (*case.card.layers, *settings.drafts)]
    return json.dumps({"layers": layers, "settings": given, "asked": case.asked})


def _layer(mixer: Mixer | None) -> dict[str, Any]:
    if isinstance(mixer, Attention):
        names = ("kv_heads", "head_dim", "v_head_dim", "window", "chunk", "shares_kv")
        width = mixer.indexer.head_dim if mixer.indexer is not None else 0
        return {"kind": "attention", "index_width": width, **{name: getattr(mixer, name) for name in names}}
    if isinstance(mixer, CompressedAttention):
        index_width = mixer.indexer.head_dim if mixer.indexer is not None else 0
        sizes = {"ratio": mixer.compress_ratio, "window": mixer.window, "width": mixer.head_dim}
        return {"kind": "compressed", "index_width": index_width, **sizes}
    if isinstance(mixer, LatentAttention):
        indexer = mixer.indexer.head_dim if mixer.indexer is not None else 0
        return {"kind": "latent", "rank": mixer.kv_lora_rank, "rope": mixer.qk_rope_head_dim, "index_width": indexer}
    if isinstance(mixer, LinearAttention):
        dims = {"key_heads": mixer.key_heads, "value_heads": mixer.value_heads, "key_dim": mixer.key_head_dim}
        more = {"value_dim": mixer.value_head_dim, "kernel": mixer.conv_kernel}
        return {"kind": mixer.kind, **dims, **more}
    if isinstance(mixer, Mamba):
        sizes = {"heads": mixer.heads, "head_dim": mixer.head_dim, "state": mixer.state_size, "groups": mixer.groups}
        return {"kind": "mamba2", **sizes, "kernel": mixer.conv_kernel}
    return {"kind": "none"}


def differences(case: Drawn, answer: Mapping[str, Any]) -> Iterator[str]:
    """Where this project and the release disagree; "refused" counts as agreement where both refuse."""
    structure = cache_structure(case.card, case.settings)
    if isinstance(structure, Missing):
        if "error" not in answer and not all("refused" in one for one in answer["answers"]):
            yield f"not sized: {structure.reason}"
        return
    if "error" in answer:
        yield f"the release stops: {answer['error']}"
        return
    for asked, real in zip(case.asked, answer["answers"], strict=True):
        found = _of_refusal(structure, asked, real) if "refused" in real else _of_plan(structure, asked, real)
        if found:
            yield f"{asked}: {found}"


def _of_refusal(structure: CacheStructure, asked: tuple[int, int, int], real: Mapping[str, Any]) -> str:
    longest = int(structure.longest(*asked))
    if structure.plan(*asked).fits:
        return f"fits here, there {real['refused']}"
    if _longest_differs(structure.settings, longest, real["longest"]):
        return f"longest {longest}, there {real['longest']}: {real['refused']}"
    return ""


def _of_plan(structure: CacheStructure, asked: tuple[int, int, int], real: Mapping[str, Any]) -> str:
    plan = structure.plan(*asked)
    if not plan.fits:
        return f"does not fit here ({plan.request_bytes})"
    names = ("num_blocks", "tokens", "max_concurrency", "block_size")
    wrong = {name: (getattr(plan, name), real[name]) for name in names if getattr(plan, name) != real[name]}
    return f"(ours, theirs) {wrong}" if wrong else ""


def _longest_differs(settings: CacheSettings, ours: int, theirs: int) -> bool:
    """Of several stages the release tells the first one's that fails; 0.8.5 tells none."""
    if settings.release < (0, 9, 0):
        return False
    return ours > theirs if settings.pipeline_parallel > 1 else ours != theirs


def compare(version: str, options: argparse.Namespace) -> dict[str, Any]:
    """One release's counts and disagreements."""
    tree = options.vllm / version
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    draw = random.Random(f"{options.seed} {version}")  # noqa: S311  # test data
    cases = [drawn((major, minor, patch), draw, options.family) for _ in range(options.cases)]
    command = [str(options.python), str(HERE / "kv_worker.py"), str(tree)]
    lines = "".join(as_json(case) + "\n" for case in cases)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=False)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(cases):
        sys.exit(f"{version} does not answer\n{done.stderr[-2000:]}")
    counts: Counter[str] = Counter()
    wrong: list[dict[str, Any]] = []
    for case, answer in zip(cases, answers, strict=True):
        found = list(differences(case, answer))
        refused = "error" in answer or all("refused" in one for one in answer["answers"])
        counts["different" if found else "refused by both" if refused else "same"] += 1
        if found:
            shown = {"settings": str(case.settings), "layers": str(case.card.layer_counts)}
            wrong.append({"family": case.family, "found": found[:3], **shown})
    return {"counts": dict(counts), "wrong": wrong, "families": dict(Counter(case.family for case in cases))}


def main() -> None:
    """Compare the releases, print a line for each and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--vllm", type=Path, required=True)
    parser.add_argument("--release", nargs="*")
    parser.add_argument("--family")
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    versions: Sequence[str] = options.release or sorted(
        (path.name for path in options.vllm.iterdir()), key=lambda name: [int(part) for part in name.split(".")]
    )
    results = {}
    for version in versions:
        results[version] = compare(version, options)
        print(version, results[version]["counts"], flush=True)
        for one in results[version]["wrong"][:2]:
            print("   ", json.dumps(one)[:900], flush=True)
    if options.release is None and options.family is None:
        RESULT.write_text(
            json.dumps({"cases": options.cases, "seed": options.seed, "releases": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
