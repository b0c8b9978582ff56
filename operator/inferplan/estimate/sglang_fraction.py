"""SGLang's mem_fraction_static where nothing sets it: weights and KV cache over the memory of a GPU. Pure.

sglang/srt/server_args.py (0.4.6.post5, 0.4.9.post3, 0.5.2, 0.5.5.post3 to 0.5.18), arg_groups/memory_hook.py (0.5.20,
0.5.23).
"""

from dataclasses import dataclass

from inferplan.estimate.release import Release

_MIB_PER_GIB = 1024
_SINCE_TIERS: Release = (0, 4, 8)
_SINCE_SUM: Release = (0, 5, 4)
_SINCE_MORE_FOR_SPECULATION: Release = (0, 5, 10)
_PREFILL_GRAPHS_SINCE: Release = (0, 5, 10)
_MANY = 4
_BIG_GRAPHS = 300


@dataclass(frozen=True)
class FractionInput:
    """What the default depends on.

    Attributes:
        release: SGLang's release.
        memory_mib: Memory of one GPU as nvidia-smi says it.
        tensor: tp_size.
        pipeline: pp_size.
        chunk: chunked_prefill_size, tokens.
        largest_graph: cuda_graph_max_bs_decode (cuda_graph_max_bs up to 0.5.12), None where not set; 0 without graphs.
        attention_groups: dp_size with enable_dp_attention, 1 without.
        speculates: Whether a draft model runs.
        latent: Whether the model has latent attention.
    """

    release: Release
    memory_mib: float
    tensor: int
    pipeline: int
    chunk: int
    largest_graph: int | None
    attention_groups: int
    speculates: bool
    latent: bool


def default_fraction(asked: FractionInput) -> float:
    """The share. H100, TP 1, 0.5.8: (81,559 - 512 - 8192 x 1.5 - 256 x 2 - 128) / 81,559 = 0.835."""
    if asked.release < _SINCE_TIERS:
        return _by_ranks(asked)
    reserved = _by_tier(asked) if asked.release < _SINCE_SUM else _by_sum(asked)
    return min(0.999, max(0.05, round((asked.memory_mib - reserved) / asked.memory_mib, 3)))


def _by_ranks(asked: FractionInput) -> float:
    """0.4.6: by tp x pp up to 80 GiB, 0.88 elsewhere, and more above 96 GiB."""
    ranks = asked.tensor * asked.pipeline
    steps = ((16, 0.79), (8, 0.81), (4, 0.85), (2, 0.87))
    small = next((share for least, share in steps if ranks >= least), 0.88)
    share = small if asked.memory_mib <= 80 * _MIB_PER_GIB else 0.88
    if asked.memory_mib <= 96 * _MIB_PER_GIB:
        return share
    more = share + 48 * _MIB_PER_GIB * (1 - share) / asked.memory_mib
    return min(more, (asked.memory_mib - 18 * _MIB_PER_GIB) / asked.memory_mib)


def _by_tier(asked: FractionInput) -> float:
    """0.4.9 to 0.5.2: MiB that are kept free, by the size of the GPU."""
    ranks, gib = asked.tensor * asked.pipeline, asked.memory_mib / _MIB_PER_GIB
    tiers = ((35, 2.8 + ranks / 10), (90, 9.5 + ranks / 2), (160, 12 + ranks / 2), (float("inf"), 32.0))
    reserved = next(size for below, size in tiers if gib < below)
    reserved += (2 if asked.speculates else 0) + (4 if asked.attention_groups > 1 else 0)
    return reserved * _MIB_PER_GIB


def _by_sum(asked: FractionInput) -> float:
    """0.5.5 and later: 512 MiB, 1.5 per token of a chunk, 2 per captured batch, 128 per rank; 10 GiB from 60 GiB on."""
    graph = _largest_graph(asked)
    reserved = 512 + max(asked.chunk, 2048) * 1.5 + graph * 2 + asked.tensor * asked.pipeline / 8 * _MIB_PER_GIB
    if asked.attention_groups > 1:
        reserved += graph * asked.attention_groups * (4.5 if graph > _BIG_GRAPHS else 3)
    if graph and asked.release >= _PREFILL_GRAPHS_SINCE:
        reserved += 1.5 * _MIB_PER_GIB if asked.latent else 8 * _prefill_graphs(asked.chunk)
    if asked.memory_mib > 60 * _MIB_PER_GIB:
        reserved = max(reserved, 10 * _MIB_PER_GIB)
    if asked.speculates:
        reserved += (4 if asked.release >= _SINCE_MORE_FOR_SPECULATION else 2) * _MIB_PER_GIB
    return reserved


def _largest_graph(asked: FractionInput) -> int:
    if asked.largest_graph is not None:
        return asked.largest_graph
    gib, many = asked.memory_mib / _MIB_PER_GIB, asked.tensor >= _MANY
    newer = asked.release >= (0, 5, 20)
    tiers = (
        (20, 8, 8),
        (35, 48 if newer else 24, 160 if newer else 80),
        (60, 32, 160),
        (160, 256, 512),
        (float("inf"), 512, 512),
    )
    few, more = next((few, more) for below, few, more in tiers if gib < below)
    return more if many else few


def _prefill_graphs(chunk: int) -> int:
    """Sizes of prefill graphs up to a chunk: 57 up to 8192."""
    steps = ((4, 32, 4), (48, 256, 16), (288, 512, 32), (640, 1024, 64), (1280, 4096, 256), (4608, chunk, 512))
    return sum(len(range(first, min(last, chunk) + 1, step)) for first, last, step in steps)
