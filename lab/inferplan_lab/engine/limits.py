"""What the engine runs on, and the limits that its scheduler keeps."""

from dataclasses import dataclass

from inferplan_lab.engine.flags import Release, release_of
from inferplan_lab.engine.hardware import Gpu


@dataclass(frozen=True, slots=True)
class Machine:
    """What the engine finds around it.

    Attributes:
        version: the pretended release.
        gpu: the pretended GPU.
        gpu_count: GPUs in the container.
        allow_long: VLLM_ALLOW_LONG_MAX_MODEL_LEN=1 is set.
    """

    version: str
    gpu: Gpu
    gpu_count: int = 1
    allow_long: bool = False

    @property
    def release(self) -> Release:
        """The numbers of the version."""
        return release_of(self.version)


@dataclass(frozen=True, slots=True)
class Batching:
    """The scheduler's limits.

    Attributes:
        max_num_seqs: requests that run at once.
        max_num_batched_tokens: tokens in a step.
        chunked_prefill: a prompt may be cut over steps.
        long_prefill_tokens: most prompt tokens of one request in a step, 0 for no such limit.
        reserve_full_prompt: a request is admitted only when its whole prompt fits.
        watermark: share of the blocks that admission leaves free.
    """

    max_num_seqs: int
    max_num_batched_tokens: int
    chunked_prefill: bool = True
    long_prefill_tokens: int = 0
    reserve_full_prompt: bool = True
    watermark: float = 0.0
