"""Models of every kind with settings, memory and lengths, drawn for kv_planner.py."""

import random
from dataclasses import dataclass

from inferplan.domain.architecture import (
    Attention,
    CompressedAttention,
    Indexer,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
    Mixer,
)
from inferplan.domain.model_card import ModelCard
from inferplan.estimate import kv_defaults
from inferplan.estimate.kv_compressed import COMPRESSED_FORMAT
from inferplan.estimate.kv_compressed_config import prediction_layer
from inferplan.estimate.kv_formats import is_boundary_kept
from inferplan.estimate.kv_settings import CacheSettings, StateMode, StateSettings
from inferplan.estimate.release import Release

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
    ("compressed", (0, 20, 0)),
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
    if family == "compressed":
        return compressed(draw)
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


def compressed(draw: random.Random) -> list[Mixer]:
    """DeepSeek V4: a few layers with a window only, then ratios 4 and 128 in turn, or as they come."""
    window = draw.choice((128, 128, 512, 1024))
    ratios = [1] * draw.randint(0, 3) + draw.choice(
        (
            [4, 128] * draw.randint(2, 31) + [4] * draw.randint(0, 1),
            [128, 128] + [4, 128] * draw.randint(2, 29) + [4] * draw.randint(0, 1),
            [4] + [draw.choice((1, 4, 4, 128)) for _ in range(draw.randint(3, 60))],
        )
    )
    indexer = Indexer(64, 128, 512)
    return [CompressedAttention(64, 512, 64, 1024, 8, 1024, window, n, indexer if n == 4 else None) for n in ratios]  # noqa: PLR2004  the ratio


def drawn(release: Release, draw: random.Random, only: str | None = None) -> Drawn:
    """One case for a release, of the family that is asked for where one is."""
    family = only or draw.choice([name for name, since in FAMILIES if release >= since])
    layers = tuple(Layer(mixer, None) for mixer in mixers(family, draw))
    card = ModelCard("Qwen3NextForCausalLM", 4096, 32_000, False, layers, 16)
    kv_format = _format(family, release, draw)
    mode = _mode(family, release, draw)
    stated = draw.choice((None, None, 16, 32, 64)) if family not in {"latent", "sparse", "kimi"} else 64
    stated = {"indexed": 128, "compressed": draw.choice((None, 256))}.get(family, stated)
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
        pipeline_parallel=draw.choice((1, 1, 1, 2, 4)) if _may_split(family, release) else 1,
        context_parallel=draw.choice((1, 2)) if family in {"plain", "latent"} and release >= (0, 10, 2) else 1,
        concurrent_batches=draw.choice((1, 2)),
        hybrid_manager=draw.choice((True, True, True, False)) or card.has_states or family == "compressed",
        states=StateSettings(
            mode=mode,
            state_bits=draw.choice((None, 32)),
            speculative_tokens=draw.randint(1, 4) if speculates else 0,
            checkpoints=mode is StateMode.ALIGN and family in {"mamba", "only_states"} and release >= (0, 32, 0),
            chunk=draw.choice((128, 256)) if mode is StateMode.ALL else None,
        ),
        kernel_block=kv_defaults.kernel_block(now, size),
        drafts=_drafts(card, draw) if family == "compressed" else (),
        narrow_index=family == "compressed" and draw.choice((True, False)),
        blocks_override=draw.randint(100, 100_000) if not draw.randrange(10) else None,
        is_v0=release < (0, 8, 0),
    )
    return Drawn(family, card, settings, stated, tuple(_asked(draw) for _ in range(4)))


def _format(family: str, release: Release, draw: random.Random) -> str:
    if family == "compressed":
        return COMPRESSED_FORMAT
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


def _drafts(card: ModelCard, draw: random.Random) -> tuple[Layer, ...]:
    return (prediction_layer(card),) if draw.choice((True, False)) else ()


def _may_split(family: str, release: Release) -> bool:
    return family not in {"shared", "only_states"} and (family != "compressed" or release >= (0, 27, 0))


def _asked(draw: random.Random) -> tuple[int, int, int]:
    length = draw.choice((1000, 4096, 8192, 32_768, 40_960, 131_072))
    available = draw.choice((draw.randint(1, 4 * GIB), draw.randint(GIB, 140 * GIB)))
    return available, length, draw.choice((512, 2048, 8192, 16_384))
