"""What no shape tells: the CUDA context, communication buffers, graphs. Few constants, fitted to public start-up logs.

scripts/fit_memory.py prints the fits and their errors on models and GPUs that were left out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import hypot

from inferplan.domain.units import GIB, MIB
from inferplan.estimate.release import Release

Span = tuple[float, float, float]
"""Low, expected and high bytes: 80 % of real values lie between the ends."""

GRAPH_BYTES_PER_LAYER: Span = (110 * 1024, 240 * 1024, 520 * 1024)
"""Per graph and decoder layer. Qwen3-8B's estimate of 0.52 GiB is 86 graphs x 36 layers x 176 KiB (vLLM 0.21,
kv-lmcache-3430); graphs of 0.8 to 0.11 took 241 to 837 KiB (kernels of quantized layers most)."""

COMPRESSED_GRAPH_BYTES_PER_LAYER: Span = (400 * 1024, 1150 * 1024, 2300 * 1024)
"""The same of DeepSeek V4, whose graphs break at each attention and keep what passes the breaks. Public logs of
V4-Flash, 43 layers: 51 graphs took 2.51 GiB, 1,200 KiB (vllm issue 50576, a build for compute capability 8.x); with
240 KiB the cache of eight B200 in vLLM 0.25 (issue 51454) would be 5.5 GiB larger than it is."""

_PER_MULTIPROCESSOR: Span = (0.5 * MIB, 1.01 * MIB, 1.5 * MIB)
"""Local memory of loaded kernels is reserved per multiprocessor: 0.03 to 0.05 GiB on a T4 (40 of them), 0.03 on an RTX
4060 (24), 0.09 and 0.10 on A100s (108), 0.10 on an RTX 3090 (82), 0.13 on an H100 (132)."""
_USUAL_MULTIPROCESSORS = {75: 40, 80: 108, 86: 84, 89: 128, 90: 132, 100: 148, 103: 148, 120: 170}
_UNKNOWN_MULTIPROCESSORS = 100
_MULTICAST: Span = (0.15 * GIB, 0.41 * GIB, 0.75 * GIB)
_RANKS: Span = (0.02 * GIB, 0.10 * GIB, 0.30 * GIB)
_AMD: Span = (0.2 * GIB, 0.9 * GIB, 2.2 * GIB)
_CONTEXT: Span = (0.15 * GIB, 0.28 * GIB, 0.50 * GIB)
_GRAPHS_PROFILED: Span = (0.0, 0.08 * GIB, 0.35 * GIB)
_SINCE_BASELINE: Release = (0, 6, 6)
_V1_WITHOUT_BASELINE: tuple[Release, Release] = ((0, 8, 0), (0, 9, 0))
_GRAPHS_PROFILED_SINCE: Release = (0, 18, 0)
_HOPPER = 90


@dataclass(frozen=True)
class Process:
    """What runs on a GPU, as far as memory beside torch goes.

    Attributes:
        release: vLLM's release.
        legacy: Whether V0 runs.
        graphs: Whether CUDA graphs are captured.
        ranks: GPUs that share the model.
        linked: Whether they talk, or may talk, over NVLink.
        capability: Compute capability times 10, None where it is not known.
        multiprocessors: Of the GPU, None where it is not known.
        amd: Whether it is AMD's.
    """

    release: Release
    legacy: bool
    graphs: bool
    ranks: int
    linked: bool
    capability: int | None
    multiprocessors: int | None
    amd: bool = False


def non_torch_bytes(process: Process) -> Span:
    """Memory of this process that torch does not allocate: kernels loaded while profiling, NCCL's buffers.

    Two H100s take 0.41 GiB more than one (kv-llmd-06, -08; NCCL's NVLink multicast), two A100s 0.03, eight L40S 0.06
    (kv-idx-13). Before 0.6.6, and in V1 before 0.9, the CUDA context counted as well (vllm/v1/worker/gpu_worker.py,
    0.8.5): 0.35 on an RTX 3090 (kv-gh10517-1). From 0.18 on graphs are captured once while profiling, which leaves
    something behind.
    """
    if process.amd:
        return _AMD
    count = usual_multiprocessors(process.multiprocessors, process.capability)
    spans = [(count * _PER_MULTIPROCESSOR[0], count * _PER_MULTIPROCESSOR[1], count * _PER_MULTIPROCESSOR[2])]
    if process.ranks > 1:
        multicast = process.linked and (process.capability is None or process.capability >= _HOPPER)
        spans.append(_MULTICAST if multicast else _RANKS)
    if _counts_context(process):
        spans.append(_CONTEXT)
    if process.graphs and process.release >= _GRAPHS_PROFILED_SINCE:
        spans.append(_GRAPHS_PROFILED)
    return _sum(spans)


def usual_multiprocessors(known: int | None, capability: int | None) -> int:
    """Multiprocessors of a GPU, or those of the usual one of its generation: T4, A100, A10, H100, B200 and so on."""
    if known is not None:
        return known
    return _USUAL_MULTIPROCESSORS.get(capability or 0, _UNKNOWN_MULTIPROCESSORS)


def _counts_context(process: Process) -> bool:
    first, behind = _V1_WITHOUT_BASELINE
    return process.release < _SINCE_BASELINE or (not process.legacy and first <= process.release < behind)


def _sum(spans: Iterable[Span]) -> Span:
    """Independent spans added up: their widths add as squares."""
    known = tuple(spans)
    middle = sum(span[1] for span in known)
    below = hypot(*(span[1] - span[0] for span in known))
    above = hypot(*(span[2] - span[1] for span in known))
    return max(0.0, middle - below), middle, middle + above


def activation_width(peak: float, sampler: float, *, experts: bool, less: float = 0.0) -> tuple[float, float]:
    """How far below and above the computed peak the real one may lie, bytes.

    The sampler's share is exact: in 11 logs of text models the peak is within 0.01 GiB of the computed one. What a
    layer holds depends on what the compiler fuses, and on the experts' kernels.

    Args:
        peak: Computed peak.
        sampler: The sampler's share of it.
        experts: Whether a layer has experts.
        less: What the peak would be lower by with another sampler.
    """
    if sampler >= peak:
        return less + 0.01 * peak + 16 * MIB, 0.02 * peak + 32 * MIB
    below, above = (0.5, 0.6) if experts else (0.3, 0.25)
    return max(0.0, min(below * peak, peak - 0.9 * sampler)), above * peak
