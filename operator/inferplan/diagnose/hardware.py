"""What the GPU itself is busy with, where DCGM tells. Pure."""

from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Severity
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Code, Shown, finding
from inferplan.domain.measurement import Measured

BUSY_MEMORY_SHARE = 0.6
"""DRAM_ACTIVE from which on memory limits: NVIDIA's DCGM guide gives about 0.8 as the most that can be reached."""

BUSY_TENSOR_SHARE = 0.5
"""PIPE_TENSOR_ACTIVE from which on computing limits. A judgement: tensor cores that work half of the time leave the
other half to attention, norms, sampling and launches, which nothing in a configuration takes away."""


def gpu(case: Case) -> Iterator[Bottleneck]:
    """Bound by memory bandwidth or by computing: what decides which change helps. Neither, or both, says nothing."""
    memory, tensor = case.metrics.gpu_memory_busy_share, case.metrics.gpu_tensor_busy_share
    if not isinstance(memory, Measured) or not isinstance(tensor, Measured) or not case.is_steady:
        return
    reads, computes = memory.value >= BUSY_MEMORY_SHARE, tensor.value >= BUSY_TENSOR_SHARE
    numbers = f"(memory busy {memory.value:.0%} of the time, tensor cores {tensor.value:.0%})"
    if reads and not computes:
        yield finding(
            Code.MEMORY_BANDWIDTH_BOUND,
            Severity.LOW,
            f"The GPUs wait for their memory {numbers}: steps read weights and KV cache.",
            Shown("gpu_memory_busy_share", memory, BUSY_MEMORY_SHARE),
            also=case.metrics.named("gpu_tensor_busy_share"),
            recommendation="What is read less helps: quantized weights, a smaller KV format, larger batches.",
        )
    if computes and not reads:
        yield finding(
            Code.COMPUTE_BOUND,
            Severity.LOW,
            f"The GPUs compute {numbers}: steps are full of prompts, or batches are large.",
            Shown("gpu_tensor_busy_share", tensor, BUSY_TENSOR_SHARE),
            also=case.metrics.named("gpu_memory_busy_share"),
            recommendation="Larger batches bring nothing; fewer operations do (FP8, shared prefixes), or more GPUs.",
        )
