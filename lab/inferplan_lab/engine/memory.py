"""How much of the GPU's memory is left for the KV cache, and how many blocks that makes.

Engine facts, sections 3a (the budget), 3b (blocks) and 3f (measured overheads that the constants here are set
by).
"""

import math
from dataclasses import dataclass

from inferplan_lab.engine.geometry import Geometry
from inferplan_lab.engine.hardware import GIB

NON_TORCH_BYTES = int(0.13 * GIB)
"""CUDA context and libraries: what start-up logs of an H100 tell."""
COLLECTIVES_BYTES = int(0.41 * GIB)
"""NCCL buffers on each GPU of a tensor-parallel engine: the same logs tell 0.54 GiB with two GPUs."""
GRAPH_BYTES = int(0.5 * GIB)
"""Captured graphs: 0.50 GiB in section 3f."""
FIRST_RELEASE_WITH_GRAPHS_IN_BUDGET = (0, 20, 2)
SAMPLER_BYTES = 38.8
"""Bytes of each logit of max_num_seqs rows in the profile run. Fitted to public start-up logs: the peak is 38.6 to
39.3 in the seven (vLLM 0.7 and 0.8) that state max_num_seqs (128 to 320), and 38.4 to 39.2 in seven more (six on an
H100) when the default, 1024 or 256, is assumed; the layers' size does not matter. Seven logs do not fit: four
with unknown limits have 5 to 30, and three of 0.6 have more, two of those with 20000 batched tokens or more."""
ACTIVATION_BYTES = 2

TURBOQUANT_BYTES = {
    "turboquant_k8v4": 196,
    "turboquant_4bit_nc": 134,
    "turboquant_k3v4_nc": 118,
    "turboquant_3bit_nc": 102,
    "octave_k3v4": 118,
    "octave_k3v3": 102,
    "octave_k3v3_compact": 102,
    "ultraquant_4bit": 134,
}
"""Bytes of one token and one head of 128 (section 3b); octave, ultraquant count as the likest turboquant."""
HEAD_OF_THE_TABLE = 128


@dataclass(frozen=True, slots=True)
class Placement:
    """How the engine is spread over GPUs.

    Attributes:
        tensor_parallel: GPUs that share each layer.
        pipeline_parallel: groups of layers.
    """

    tensor_parallel: int = 1
    pipeline_parallel: int = 1


@dataclass(frozen=True, slots=True)
class KvPlan:
    """The KV cache of one engine.

    Attributes:
        blocks: all blocks, with the null block that no request can have.
        block_tokens: tokens in a block.
        size_tokens: as the engine reports it.
        max_concurrency: requests of max_model_len that fit, as the engine reports it.
    """

    blocks: int
    block_tokens: int
    size_tokens: int
    max_concurrency: float


def token_bytes(geometry: Geometry, placement: Placement, kv_dtype: str) -> float:
    """KV bytes of one token in one layer on one GPU.

    Args:
        geometry: the model.
        placement: tensor parallelism divides the heads until one is left; MLA is not divided.
        kv_dtype: the flag --kv-cache-dtype.

    Returns:
        Bytes.
    """
    if geometry.latent:
        return geometry.latent * (1.0 if kv_dtype.startswith("fp8") else 2.0)
    heads = max(1, geometry.kv_heads // placement.tensor_parallel)
    return heads * head_bytes(geometry.head_size, kv_dtype)


def head_bytes(size: int, kv_dtype: str) -> float:
    """KV bytes of one token and one head: key and value.

    Args:
        size: the head's width.
        kv_dtype: the flag --kv-cache-dtype.

    Returns:
        Bytes (section 3b).
    """
    if kv_dtype in TURBOQUANT_BYTES:
        return TURBOQUANT_BYTES[kv_dtype] * size / HEAD_OF_THE_TABLE
    if kv_dtype.endswith("_per_token_head"):
        bits = 4 if kv_dtype.startswith("int4") else 8
        return 2 * (size * bits / 8 + 4)
    if kv_dtype.startswith("nvfp4"):
        return 2 * (size / 2 + size / 16)
    return 2 * size * (1 if kv_dtype.startswith("fp8") else 2)


def block_bytes(geometry: Geometry, placement: Placement, kv_dtype: str, block_tokens: int) -> int:
    """Bytes of one block in all layers of one GPU.

    Args:
        geometry: the model.
        placement: how it is spread.
        kv_dtype: the flag --kv-cache-dtype.
        block_tokens: tokens in a block.

    Returns:
        Bytes on the GPU with the most layers, which decides.
    """
    layers = math.ceil(geometry.layers / placement.pipeline_parallel)
    return int(layers * token_bytes(geometry, placement, kv_dtype) * block_tokens)


def weight_bytes(geometry: Geometry, placement: Placement) -> int:
    """Bytes of the weights on one GPU.

    Args:
        geometry: the model.
        placement: how it is spread.

    Returns:
        Bytes.
    """
    gpus = placement.tensor_parallel * placement.pipeline_parallel
    return int(geometry.weight_bytes() / gpus)


def activation_bytes(geometry: Geometry, placement: Placement, batched_tokens: int, sequences: int) -> int:
    """The peak of the profile run beyond the weights.

    Args:
        geometry: the model.
        placement: layers are shared by tensor parallelism, logits are on every GPU.
        batched_tokens: max_num_batched_tokens.
        sequences: max_num_seqs.

    Returns:
        Bytes on one GPU: the larger of a layer's activations for all tokens, and the sampler's work for one
        row of logits of each request.
    """
    layer = batched_tokens * geometry.widest_activation * ACTIVATION_BYTES // placement.tensor_parallel
    return max(layer, int(min(sequences, batched_tokens) * geometry.vocabulary * SAMPLER_BYTES))


def overhead_bytes(placement: Placement, release: tuple[int, ...], *, eager: bool) -> int:
    """What is taken besides weights, activations and cache.

    Args:
        placement: how the engine is spread.
        release: the numbers of the pretended version.
        eager: no graphs are captured.

    Returns:
        Bytes on one GPU.
    """
    graphs = 0 if eager or release < FIRST_RELEASE_WITH_GRAPHS_IN_BUDGET else GRAPH_BYTES
    return NON_TORCH_BYTES + graphs + (COLLECTIVES_BYTES if placement.tensor_parallel > 1 else 0)


def plan_of(blocks: int, block_tokens: int, max_model_len: int) -> KvPlan:
    """The plan for a given number of blocks.

    Args:
        blocks: all blocks.
        block_tokens: tokens in a block.
        max_model_len: the longest request.

    Returns:
        The plan with the engine's reported size and concurrency.
    """
    concurrency = blocks / math.ceil(max_model_len / block_tokens)
    return KvPlan(blocks, block_tokens, int(concurrency * max_model_len), concurrency)
