"""How long a step takes on the pretended GPU: a roofline of traffic and arithmetic, plus a fixed cost."""

from dataclasses import dataclass

from inferplan_lab.engine.events import BatchShape
from inferplan_lab.engine.memory import token_bytes
from inferplan_lab.engine.settings import EngineSettings

BANDWIDTH_SHARE = 0.8
"""Of the data sheet's bandwidth that a step reaches (engine facts, section 7: aiconfigurator's factor)."""
ARITHMETIC_SHARE = 0.7
"""Of the data sheet's 16-bit peak that large matrix products reach; measured H100 numbers are near 0.8 for
the best shapes (engine facts, section 7), a whole step stays below."""
FIXED_SECONDS = 0.002
"""Scheduling, sampling and launch in each step. An assumption."""
EAGER_SECONDS = 0.006
"""What launching every kernel by itself adds without graphs. An assumption."""
ALL_REDUCE_SECONDS = 0.00002
"""One small all-reduce between GPUs of a node; a layer has two. An assumption."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """What one step costs on each GPU.

    Attributes:
        flops: multiplications and additions.
        read_bytes: weights and KV read.
        write_bytes: KV written.
        seconds: the time at speed 1.
    """

    flops: float
    read_bytes: float
    write_bytes: float
    seconds: float


class StepTimer:
    """The cost of a batch for one engine."""

    def __init__(self, settings: EngineSettings, speed: float = 1.0) -> None:
        geometry, tensor_parallel = settings.geometry, settings.placement.tensor_parallel
        self._experts = geometry.experts
        self._speed = speed
        self._tensor_parallel = tensor_parallel
        self._layers = geometry.layers
        self._weights = geometry.weight_bytes() / tensor_parallel
        self._active = geometry.parameters(active=True)
        self._active_weights = geometry.weight_bytes(active=True) / tensor_parallel
        self._kv_bytes = geometry.layers * token_bytes(geometry, settings.placement, settings.kv_dtype)
        self._fixed = FIXED_SECONDS + (EAGER_SECONDS if settings.eager else 0.0)
        if tensor_parallel > 1:
            self._fixed += 2 * geometry.layers * ALL_REDUCE_SECONDS
        self._bandwidth = settings.machine.gpu.bandwidth_bytes_per_second * BANDWIDTH_SHARE
        self._peak = settings.machine.gpu.peak_flops * ARITHMETIC_SHARE

    def _weights_read(self, tokens: int) -> float:
        """Bytes of weights that a batch touches: all of a dense model, the chosen experts of a sparse one."""
        if not self._experts:
            return self._active_weights
        unused = (1 - self._experts.active / self._experts.count) ** tokens
        return self._active_weights + (self._weights - self._active_weights) * (1 - unused)

    def cost(self, shape: BatchShape) -> StepCost:
        """The cost of one step.

        Args:
            shape: of its batch.

        Returns:
            Arithmetic, traffic and time. Attention's own arithmetic is left out.
        """
        flops = 2.0 * self._active * shape.tokens / self._tensor_parallel
        read = self._weights_read(shape.tokens) + shape.context_tokens * self._kv_bytes
        seconds = max(read / self._bandwidth, flops / self._peak) + self._fixed
        return StepCost(flops, read, shape.tokens * self._kv_bytes, seconds)

    def wall_seconds(self, shape: BatchShape) -> float:
        """The time of one step on the wall clock, sped up.

        Args:
            shape: of its batch.

        Returns:
            Seconds.
        """
        return self.cost(shape).seconds / self._speed
