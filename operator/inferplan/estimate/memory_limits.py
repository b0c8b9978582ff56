"""The settings that decide how a GPU's memory is shared, one point or thousands of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = int | NDArray[np.int64]
Shares = float | NDArray[np.float64]
Bytes = float | NDArray[np.float64]


@dataclass(frozen=True)
class Limits:
    """Scheduler limits and the engine's share; each a number, or an array with one entry per candidate.

    Attributes:
        utilization: gpu_memory_utilization (vLLM) or mem_fraction_static (SGLang), above 0, up to 1.
        sequences: max_num_seqs.
        tokens: max_num_batched_tokens.
        context: max_model_len, tokens.
    """

    utilization: Shares
    sequences: Counts
    tokens: Counts
    context: Counts
