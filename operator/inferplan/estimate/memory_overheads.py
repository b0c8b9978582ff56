"""What no shape tells: the CUDA context, communication buffers, graphs. Few constants, fitted to public start-up logs.

scripts/fit_memory.py prints the fits and their errors on models and GPUs that were left out.
"""

from dataclasses import dataclass

from inferplan.domain.units import GIB, MIB
from inferplan.estimate.release import Release

Span = tuple[float, float, float]
"""Low, expected and high bytes: 80 % of real values lie between the ends."""

GRAPH_BYTES_PER_LAYER: Span = (110 * 1024, 240 * 1024, 520 * 1024)
"""Per graph and decoder layer. Qwen3-8B's estimate of 0.52 GiB is 86 graphs x 36 layers x 176 KiB (vLLM 0.21,
kv-lmcache-3430); graphs of 0.8 to 0.11 took 241 to 837 KiB (kernels of quantized layers most)."""

_ONE_GPU: Span = (0.03 * GIB, 0.11 * GIB, 0.18 * GIB)
_LINKED: Span = (0.15 * GIB, 0.45 * GIB, 0.80 * GIB)
_UNLINKED: Span = (0.12 * GIB, 0.25 * GIB, 0.50 * GIB)
_CONTEXT: Span = (0.15 * GIB, 0.28 * GIB, 0.50 * GIB)
_SINCE_BASELINE: Release = (0, 6, 6)
_V1_WITHOUT_BASELINE: tuple[Release, Release] = ((0, 8, 0), (0, 9, 0))


@dataclass(frozen=True)
class Link:
    """How GPUs of one replica are connected.

    Attributes:
        ranks: GPUs that share the model.
        fast: Whether they talk over NVLink or xGMI.
    """

    ranks: int
    fast: bool


def non_torch_bytes(release: Release, link: Link, *, legacy: bool) -> Span:
    """Memory of this process that torch does not allocate: kernels loaded while profiling, NCCL's buffers.

    0.13 GiB on one H100, 0.54 on two (kv-llmd-06, -08), 0.21 on eight L40S without NVLink (kv-idx-13), 0.03 on a T4.
    Before 0.6.6, and in V1 before 0.9, the CUDA context counted as well (vllm/v1/worker/gpu_worker.py, 0.8.5): 0.35
    on an RTX 3090 (kv-gh10517-1).
    """
    base = _ONE_GPU if link.ranks == 1 else _LINKED if link.fast else _UNLINKED
    first, behind = _V1_WITHOUT_BASELINE
    counted = release < _SINCE_BASELINE or (not legacy and first <= release < behind)
    return _plus(base, _CONTEXT) if counted else base


def activation_width(peak: float, sampler: float, *, experts: bool) -> tuple[float, float]:
    """How far below and above the computed peak the real one may lie, bytes.

    The sampler's share is exact: in 11 logs of text models the peak is within 0.01 GiB of the computed one. What a
    layer holds depends on what the compiler fuses, and on the experts' kernels.
    """
    if sampler >= peak:
        return 0.01 * peak + 16 * MIB, 0.02 * peak + 32 * MIB
    below, above = (0.5, 0.6) if experts else (0.3, 0.25)
    return max(0.0, min(below * peak, peak - 0.9 * sampler)), above * peak


def _plus(one: Span, other: Span) -> Span:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]
