r"""Holds this project's sizes of the KV cache against vLLM releases' own planners.

    PYTHONPATH=operator .venv/bin/python benchmarks/kv_planner.py \
        --python ENGINE_VENV/bin/python --vllm TREES [--release 0.32.0 …] [--cases 400] [--seed 1]

TREES and ENGINE_VENV as for real_parsers.py. For each release, models of every kind are drawn (grouped-query and latent
attention, windows, chunks, shared caches, recurrent states; ranks, stages, formats, block sizes, speculation) with
amounts of memory and lengths; the release's own code plans them (kv_worker.py). Compared are blocks, tokens as printed,
concurrency, the block size, whether the start-up check passes and which length it would pass. The result holds the
counts by release and every disagreement.
"""

import argparse
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferplan.domain.architecture import Attention, Indexer, LatentAttention, Layer, LinearAttention, Mamba, Mixer
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.estimate import kv_defaults
from inferplan.estimate.kv_formats import is_boundary_kept
from inferplan.estimate.kv_plan import CacheStructure
from inferplan.estimate.kv_settings import CacheSettings, StateMode, StateSettings
from inferplan.estimate.kv_structure import cache_structure
from inferplan.estimate.placement import Layout, Remainder, stages
from inferplan.estimate.release import Release

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "kv_planner.json"
GIB = 2**30
CAPABILITY = 90

FORMATS: tuple[tuple[str, Release], ...] = (
    ("bfloat16", (0, 0, 0)),
    ("fp8", (0, 0, 0)),
    ("int8_per_token_head", (0, 20, 0)),
    ("nvfp4", (0, 20, 0)),
    ("turboquant_k8v4", (0, 20, 0)),
    ("turboquant_3bit_nc", (0, 20, 0)),
    ("int4_per_token_head", (0, 25, 0)),
)
FAMILIES: tuple[tuple[str, Release], ...] = (
    # kind of model → first release that has it
    ("plain", (0, 0, 0)),
    ("windows", (0, 8, 0)),
    ("one_window", (0, 8, 0)),
    ("two_widths", (0, 12, 0)),
    ("any_widths", (0, 24, 0)),
    ("chunks", (0, 10, 0)),
    ("shared", (0, 9, 0)),
    ("values", (0, 8, 0)),
    ("latent", (0, 7, 0)),
    ("sparse", (0, 11, 0)),
    ("delta", (0, 10, 2)),
    ("kimi", (0, 11, 1)),
    ("mamba", (0, 10, 1)),
    ("only_states", (0, 10, 1)),
    ("indexed", (0, 24, 0)),
)


@dataclass(frozen=True)
class Drawn:
    """One model with its settings, and what is asked."""

    family: str
    card: ModelCard
    settings: CacheSettings
    stated_block: int | None
    asked: tuple[tuple[int, int, int], ...]


def mixers(family: str, draw: random.Random) -> list[Mixer]:
    """The layers of a model of that family."""
    count, heads, width = draw.randint(4, 64), draw.choice((1, 2, 4, 8, 16)), draw.choice((64, 96, 128, 256))
    full = Attention(64, heads, width, width)
    window = draw.choice((128, 512, 1024, 4096))
    slide = Attention(64, heads, width, width, window=window)
    ratio = draw.randint(1, 6)
    state = LinearAttention(16, draw.choice((16, 32, 64)), 128, 128, 4)
    kda = LinearAttention(32, 32, 128, 128, 4, kind="kda")
    mamba = Mamba(draw.choice((64, 128)), 64, draw.choice((64, 128)), draw.choice((1, 8)), 4)
    latent = LatentAttention(128, 1536, 512, 128, 64, 128)
    sparse = LatentAttention(128, 1536, 512, 128, 64, 128, indexer=Indexer(64, 128, 2048))
    wide = Attention(64, max(1, heads // 2), 2 * width, 2 * width)
    odd = Attention(64, heads, draw.choice((80, 160, 192)), 192)
    patterns: dict[str, list[Mixer]] = {
        "plain": [full],
        "windows": [slide] * ratio + [full],
        "one_window": [slide],
        "two_widths": [slide] * ratio + [draw.choice((wide, Attention(64, max(1, heads // 4), 2 * width, 2 * width)))],
        "any_widths": [slide] * ratio + [Attention(64, odd.kv_heads, odd.head_dim, odd.head_dim)],
        "chunks": [Attention(64, heads, width, width, chunk=draw.choice((1024, 8192)))] * ratio + [full],
        "shared": [slide] * ratio + [full],
        "values": [Attention(64, heads, width, draw.choice((64, 128)))],
        "latent": [latent],
        "sparse": [sparse],
        "delta": [state] * 3 + [Attention(16, draw.choice((2, 4)), 256, 256)],
        "kimi": [kda] * 3 + [latent],
        "mamba": [mamba] * draw.randint(2, 8) + [full],
        "only_states": [mamba],
        "indexed": [Attention(64, heads, width, width, indexer=Indexer(4, 128, 16))],
    }
    pattern = patterns[family]
    if family == "indexed":
        return [full] * min(3, count) + pattern * count
    layers = (pattern * (count // len(pattern) + 1))[: max(count, len(pattern))]
    if family == "shared":
        return layers[: len(layers) // 2 + len(pattern)] + [
            Attention(m.heads, m.kv_heads, m.head_dim, m.v_head_dim, m.window, shares_kv=True)
            for m in layers[len(layers) // 2 + len(pattern) :]
            if isinstance(m, Attention)
        ]
    return layers


def drawn(release: Release, draw: random.Random) -> Drawn:
    """One case for a release."""
    family = draw.choice([name for name, since in FAMILIES if release >= since])
    layers = tuple(Layer(mixer, None) for mixer in mixers(family, draw))
    card = ModelCard("Qwen3NextForCausalLM", 4096, 32_000, False, layers, 16)
    kv_format = _format(family, release, draw)
    mode = _mode(family, release, draw)
    stated = draw.choice((None, None, 16, 32, 64)) if family not in {"latent", "sparse", "kimi"} else 64
    stated = 128 if family == "indexed" else stated
    now = kv_defaults.Situation(release, card, kv_format, CAPABILITY)
    size = stated or kv_defaults.block_size(now, None)
    if stated is not None:
        size = kv_defaults.block_size(now, stated)
    speculates = family in {"delta", "mamba", "kimi"} and draw.choice((True, False, False))
    settings = CacheSettings(
        release=release,
        kv_format=kv_format,
        block_size=size,
        tensor_parallel=draw.choice((1, 1, 2, 4, 8)),
        pipeline_parallel=draw.choice((1, 1, 1, 2, 4)) if _may_split(family) else 1,
        context_parallel=draw.choice((1, 2)) if family in {"plain", "latent"} and release >= (0, 10, 2) else 1,
        concurrent_batches=draw.choice((1, 2)),
        hybrid_manager=draw.choice((True, True, True, False)) or card.has_states,
        states=StateSettings(
            mode=mode,
            state_bits=draw.choice((None, 32)),
            speculative_tokens=draw.randint(1, 4) if speculates else 0,
            checkpoints=mode is StateMode.ALIGN and family in {"mamba", "only_states"} and release >= (0, 32, 0),
            chunk=draw.choice((128, 256)) if mode is StateMode.ALL else None,
        ),
        kernel_block=kv_defaults.kernel_block(now, size),
        blocks_override=draw.randint(100, 100_000) if not draw.randrange(10) else None,
        is_v0=release < (0, 8, 0),
    )
    return Drawn(family, card, settings, stated, tuple(_asked(draw) for _ in range(4)))


def _format(family: str, release: Release, draw: random.Random) -> str:
    if family in {"latent", "sparse", "kimi"}:
        packed = family == "sparse" and release >= (0, 11, 1)
        return draw.choice(("bfloat16", "fp8_ds_mla" if packed else "bfloat16" if family == "sparse" else "fp8"))
    plain = family in {"plain", "windows"}
    if family == "indexed":
        return draw.choice(("bfloat16", "fp8"))
    known = [name for name, since in FORMATS if release >= since and (plain or name in {"bfloat16", "fp8"})]
    fits = [name for name in known if family == "plain" or not is_boundary_kept(name)]
    return draw.choice(fits)


def _mode(family: str, release: Release, draw: random.Random) -> StateMode:
    if family not in {"delta", "mamba", "kimi"} or release < (0, 15, 0):
        return StateMode.NONE
    all_kept = family == "mamba" and release < (0, 32, 0)
    return draw.choice((StateMode.NONE, StateMode.ALIGN, *([StateMode.ALL] if all_kept else [])))


def _may_split(family: str) -> bool:
    return family not in {"shared", "only_states"}


def _asked(draw: random.Random) -> tuple[int, int, int]:
    length = draw.choice((1000, 4096, 8192, 32_768, 40_960, 131_072))
    available = draw.choice((draw.randint(1, 4 * GIB), draw.randint(GIB, 140 * GIB)))
    return available, length, draw.choice((512, 2048, 8192, 16_384))


def as_json(case: Drawn) -> str:
    """A case as kv_worker.py reads it."""
    settings, count = case.settings, case.card.num_layers
    remainder = Remainder.ALL_LAST if settings.release < (0, 8, 0) else Remainder.BEFORE_LAST
    spans = stages(count, Layout(pipeline=settings.pipeline_parallel, remainder=remainder))
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
        "skipped": sorted({str(index) for index in skipped}),
        "stages": [list(range(start, end)) for start, end in spans],
    }
    layers = [_layer(layer.mixer) for layer in case.card.layers]
    return json.dumps({"layers": layers, "settings": given, "asked": case.asked})


def _layer(mixer: Mixer | None) -> dict[str, Any]:
    if isinstance(mixer, Attention):
        names = ("kv_heads", "head_dim", "v_head_dim", "window", "chunk", "shares_kv")
        width = mixer.indexer.head_dim if mixer.indexer is not None else 0
        return {"kind": "attention", "index_width": width, **{name: getattr(mixer, name) for name in names}}
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


def compare(version: str, python: Path, tree: Path, count: int, seed: int) -> dict[str, Any]:
    """One release's counts and disagreements."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    draw = random.Random(f"{seed} {version}")  # noqa: S311  # test data
    cases = [drawn((major, minor, patch), draw) for _ in range(count)]
    command = [str(python), str(HERE / "kv_worker.py"), str(tree)]
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
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    versions: Sequence[str] = options.release or sorted(
        (path.name for path in options.vllm.iterdir()), key=lambda name: [int(part) for part in name.split(".")]
    )
    results = {}
    for version in versions:
        results[version] = compare(version, options.python, options.vllm / version, options.cases, options.seed)
        print(version, results[version]["counts"], flush=True)
        for one in results[version]["wrong"][:2]:
            print("   ", json.dumps(one)[:900], flush=True)
    if options.release is None:
        RESULT.write_text(
            json.dumps({"cases": options.cases, "seed": options.seed, "releases": results}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
