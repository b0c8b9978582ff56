"""What vLLM's CUDA graphs take: how many there are, and their size per layer. Pure."""

from dataclasses import dataclass

import numpy as np

from inferplan.estimate.memory_limits import Bytes, Counts
from inferplan.estimate.release import Release

COUNTED_SINCE: Release = (0, 20, 2)
"""VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS is on from here on (vllm/envs.py); before, graphs lie beyond the share."""

_FULL_SINCE: Release = (0, 11, 0)
_WIDE_STEPS_SINCE: Release = (0, 11, 1)
_MORE_ON_SM100_SINCE: Release = (0, 28, 0)
_LIMIT = 512
_LIMIT_SM100 = 1024
_FIRST = (1, 2, 4)


@dataclass(frozen=True)
class GraphMemory:
    """CUDA graphs of one rank.

    Attributes:
        sizes: Batch sizes that are captured unless max_num_seqs is too small for them, ascending.
        layers: Decoder layers on the rank.
        bytes_per_layer: Per graph and layer: low, expected and high.
        full: Whether decode steps have whole graphs beside the piecewise ones.
    """

    sizes: tuple[int, ...]
    layers: int
    bytes_per_layer: tuple[float, float, float]
    full: bool

    def count(self, sequences: Counts, tokens: Counts) -> Counts:
        """Graphs that are captured: sizes up to 2 x max_num_seqs, and whole ones up to max_num_seqs.

        vllm/config/vllm.py, _set_cudagraph_sizes (0.11.1 to 0.33.0). 256 sequences: 51 and 35.
        """
        piecewise = np.searchsorted(self.sizes, np.minimum(np.multiply(sequences, 2), tokens), side="right")
        whole = np.searchsorted(self.sizes, np.minimum(sequences, tokens), side="right")
        return np.asarray(piecewise + whole if self.full else piecewise)

    def size_bytes(self, sequences: Counts, tokens: Counts) -> Bytes:
        """Bytes of all graphs. Qwen3-8B, 256 sequences: 86 graphs x 36 layers x 240 KiB = 0.71 GiB."""
        return np.asarray(self.count(sequences, tokens) * (self.layers * self.bytes_per_layer[1]))


def capture_sizes(release: Release, capability: int | None, largest: int | None = None) -> tuple[int, ...]:
    """Batch sizes that are captured where nothing lists them.

    1, 2, 4, every 8 to 256 and every 16 above (0.11.1 to 0.33.0: 51 up to 512), before every 8 throughout (67).

    Args:
        release: vLLM's release.
        capability: Compute capability times 10: sizes go up to 1024 on SM100 from 0.28.0 on.
        largest: max_cudagraph_capture_size, None where it is not set.
    """
    blackwell = capability is not None and capability // 10 == 10  # noqa: PLR2004  compute capability 10.x
    most = _LIMIT_SM100 if blackwell and release >= _MORE_ON_SM100_SINCE else _LIMIT
    limit = most if largest is None else largest
    upper = range(256, limit + 1, 16) if release >= _WIDE_STEPS_SINCE else range(256, limit + 1, 8)
    return tuple(size for size in (*_FIRST, *range(8, 256, 8), *upper) if size <= limit)


def has_full_graphs(release: Release) -> bool:
    """FULL_AND_PIECEWISE is V1's default from 0.11.0 on (vllm/config/__init__.py)."""
    return release >= _FULL_SINCE
