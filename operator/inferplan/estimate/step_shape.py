"""What one engine step works on, per GPU: bytes and operations of every group of equal layers. Pure data.

A step of `d` decoding sequences and `p` prompt tokens multiplies these numbers; step_time.py does it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


KERNELS = ("plain", "attention", "latent", "indexed", "state", "expert", "fused_expert", "quantize")
"""Kinds of work that a layer launches kernels for. A plain one is one kernel; how many the others are is fitted
(SpeedConstants.attention_kernels …)."""


@dataclass(frozen=True)
class LayerGroup:
    """Layers of one kind. All values are per layer and per GPU.

    Attributes:
        count: Layers of this kind.
        linear_bytes: Weights that a step reads whatever its tokens: projections, dense MLP, shared experts, router.
        linear_flops: Operations of these matrices per token.
        linear_flops_per_second: Peak of the GPU at the precision they are multiplied in.
        linear_widened: Share of these operations on weights that are widened first: weight-only formats.
        vector_flops_per_second: What kernels without tensor cores reach of them with few tokens; infinite elsewhere.
        wide_bytes: With more tokens these weights are written out in 16 bit, and read again: one of both; 0 elsewhere.
        expert_bytes: All routed experts that a GPU holds; 0 without experts.
        experts: Routed experts of the layer over all GPUs; 0 without experts.
        top_k: Experts that a token passes.
        expert_flops: Operations of the routed experts per token.
        expert_flops_per_second: Peak at the experts' precision.
        expert_widened: As linear_widened.
        cache_bytes: Keys and values that a decoding sequence reads per token of its context.
        window: Tokens of context that the layer looks at, at most; infinite for full attention.
        near: Tokens that are looked at in full beside these, which then are compressed ones.
        near_bytes: As cache_bytes, of those.
        near_flops: As attention_flops, of those.
        index_bytes: A sparse attention's indexer reads this per token of context, whatever the window.
        state_bytes: A linear attention's state that a decoding sequence reads and writes.
        attention_flops: Operations of one prompt token with one token of its context.
        index_flops: The indexer's, which sees the whole context.
        state_flops: A linear attention's operations per prompt token, beside its projections.
        kernels: Kernels that the layer launches, by kind: see KERNELS.
        reductions: Collectives over the tensor-parallel group.
    """

    count: int
    linear_bytes: float = 0.0
    linear_flops: float = 0.0
    linear_flops_per_second: float = 1.0
    linear_widened: float = 0.0
    vector_flops_per_second: float = float("inf")
    wide_bytes: float = 0.0
    expert_bytes: float = 0.0
    experts: int = 0
    top_k: int = 0
    expert_flops: float = 0.0
    expert_flops_per_second: float = 1.0
    expert_widened: float = 0.0
    cache_bytes: float = 0.0
    window: float = float("inf")
    near: float = 0.0
    near_bytes: float = 0.0
    near_flops: float = 0.0
    index_bytes: float = 0.0
    state_bytes: float = 0.0
    attention_flops: float = 0.0
    index_flops: float = 0.0
    state_flops: float = 0.0
    kernels: tuple[float, ...] = (0.0,) * len(KERNELS)
    reductions: int = 0


@dataclass(frozen=True)
class StepShape:
    """A deployment as a step sees it.

    Attributes:
        groups: Its layers by kind.
        head_bytes: The output head, per GPU.
        hidden_bytes: A token's activations in a collective.
        bytes_per_second: Memory bandwidth of the GPU.
        link_bytes_per_second: One way to the other GPUs; infinite with one GPU.
        ranks: GPUs that exchange data after each part of a layer.
        hops: Copies that a message takes over PCIe: 2 where GPUs cannot reach each other's memory.
        fast_link: Whether the GPUs have a link of their own (NVLink, xGMI) and need not go over PCIe.
        attention_flops_per_second: Peak of the GPU in 16 bits, in which attention multiplies.
        older: How far the GPU's memory is behind Hopper's: the power of SpeedConstants.older_bandwidth.
        launch: Time of a small kernel in a CUDA graph against an H100's.
        expert_parallel: Whole experts lie on a GPU, and some get more tokens than others.
        attention_ranks: Data-parallel copies of the attention that share the sequences; 1 without.
        stages: Pipeline stages.
        gemm_share: Share of the peak that large matrix products of this vendor reach, against NVIDIA's.
        sglang: The engine is SGLang.
        serial_cpu: The engine schedules on the CPU while the GPU waits (vLLM's first engine, V0): 1, more where it
            also hashes prompts, 0 elsewhere. Its CUDA graphs are those of steps without prompts.
        vector_tokens: Tokens in a step up to which kernels without tensor cores take the weights as they are.
        eager: CUDA graphs are off: the CPU launches every kernel of every step.
        prefill_apart: Prompts are processed in steps of their own while decoding waits (SGLang), not mixed in.
        receive_interval: Decode steps between two looks for new requests (SGLang); None where it is not stated.
    """

    groups: tuple[LayerGroup, ...]
    head_bytes: float
    hidden_bytes: float
    bytes_per_second: float
    link_bytes_per_second: float
    attention_flops_per_second: float
    ranks: int = 1
    hops: int = 1
    fast_link: bool = True
    older: float = 0.0
    launch: float = 1.0
    expert_parallel: bool = False
    attention_ranks: int = 1
    stages: int = 1
    gemm_share: float = 1.0
    sglang: bool = False
    serial_cpu: float = 0.0
    vector_tokens: int = 0
    eager: bool = False
    prefill_apart: bool = False
    receive_interval: int | None = None


class StepColumns:
    """The numbers of one shape or of several, as arrays whose first axis are the shapes.

    Args:
        shapes: At least one; one row each. Groups that a shape does not have count as no layers.
    """

    def __init__(self, shapes: Sequence[StepShape]) -> None:
        width = max(len(shape.groups) for shape in shapes)
        padded = [(*shape.groups, *(_NOTHING,) * (width - len(shape.groups))) for shape in shapes]
        self._groups = {
            name: np.array([[getattr(group, name) for group in groups] for groups in padded], dtype=np.float64)
            for name in (entry.name for entry in fields(LayerGroup))
        }
        self._shapes = {
            entry.name: np.array([_number(getattr(shape, entry.name)) for shape in shapes], dtype=np.float64)
            for entry in fields(StepShape)
            if entry.name != "groups"
        }

    def group(self, name: str) -> Floats:
        """An attribute of LayerGroup: (shapes, groups), kernels with a third axis for their kinds."""
        return self._groups[name]

    def of(self, name: str) -> Floats:
        """An attribute of StepShape: (shapes,). Yes and no are 1 and 0, what is not stated is NaN."""
        return self._shapes[name]

    def beside(self, name: str) -> Floats:
        """The same with an axis for the groups: (shapes, 1)."""
        return self._shapes[name][:, None]


_NOTHING = LayerGroup(count=0)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
