"""From flags and machine to the KV cache, or to the error that it does not fit (engine facts, section 3)."""

import argparse
import math

from inferplan_lab.engine import memory
from inferplan_lab.engine.flags import StartupError
from inferplan_lab.engine.geometry import Geometry
from inferplan_lab.engine.hardware import GIB
from inferplan_lab.engine.limits import Batching, Machine
from inferplan_lab.engine.memory import KvPlan, Placement

CUDA_BLOCK_TOKENS = 16
CONTEXT_BYTES = int(0.4 * GIB)
"""Taken on the device before the engine looks: the CUDA context."""
DEFAULT_UTILIZATION = 0.92


def utilization(flags: argparse.Namespace) -> float:
    """gpu_memory_utilization, within (0, 1]."""
    share = float(flags.gpu_memory_utilization or DEFAULT_UTILIZATION)
    if not 0 < share <= 1:
        raise StartupError(f"gpu_memory_utilization must be in (0, 1]. Got {share}.")
    return share


def available_bytes(flags: argparse.Namespace, machine: Machine, engine: tuple[Geometry, Placement, Batching]) -> int:
    """Bytes for the KV cache on one GPU (engine facts, section 3a)."""
    geometry, placement, batching = engine
    total = machine.gpu.usable_bytes
    weights = memory.weight_bytes(geometry, placement)
    given: int | None = getattr(flags, "kv_cache_memory_bytes", None)
    if weights + (given or 0) + CONTEXT_BYTES > total:
        raise StartupError(
            f"CUDA out of memory. GPU 0 has a total capacity of {total / GIB:.2f} GiB; "
            f"the weights take {weights / GIB:.2f} GiB.",
        )
    if given is not None:
        return int(given)
    share = utilization(flags)
    requested = math.ceil(total * share)
    if requested > total - CONTEXT_BYTES:
        raise StartupError(
            f"Free memory on device ({(total - CONTEXT_BYTES) / GIB:.2f}/{total / GIB:.2f} GiB) on startup "
            f"is less than desired GPU memory utilization ({share}, {requested / GIB:.2f} GiB).",
        )
    activations = memory.activation_bytes(geometry, placement, batching.max_num_batched_tokens, batching.max_num_seqs)
    overhead = memory.overhead_bytes(placement, machine.release, eager=bool(flags.enforce_eager))
    return requested - weights - activations - overhead


def plan(
    flags: argparse.Namespace,
    engine: tuple[Geometry, Placement],
    available: int,
    max_model_len: int,
) -> tuple[int, KvPlan]:
    """The longest request and the blocks, or the error that there are too few."""
    block_tokens = flags.block_size or CUDA_BLOCK_TOKENS
    override: int | None = flags.num_gpu_blocks_override
    if block_tokens < 1 or (override is not None and override < 1):
        raise StartupError(f"block_size ({block_tokens}) and num_gpu_blocks_override ({override}) must be positive.")
    if available <= 0:
        raise StartupError(
            "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine.",
        )
    one = memory.block_bytes(*engine, flags.kv_cache_dtype or "auto", block_tokens)
    blocks = available // one if override is None else override
    fits = blocks * block_tokens
    if max_model_len < 0:
        max_model_len = min(engine[0].max_length_tokens, fits)
    if max_model_len > fits:
        needed = math.ceil(max_model_len / block_tokens) * one
        raise StartupError(
            f"To serve at least one request with the model's max seq len ({max_model_len}), "
            f"({needed / GIB:.2f} GiB KV cache is needed, which is larger than the available KV cache memory "
            f"({blocks * one / GIB:.2f} GiB). Based on the available memory, the estimated "
            f"maximum model length is {fits}. Try increasing `gpu_memory_utilization` or decreasing "
            "`max_model_len` when initializing the engine.",
        )
    return max_model_len, memory.plan_of(int(blocks), block_tokens, max_model_len)
