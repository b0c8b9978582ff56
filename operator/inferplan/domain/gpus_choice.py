"""Which GPU is meant: by name, by memory, by compute capability, together."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from inferplan.domain.gpu import GPU, in_common, only_memory, usable_of, without_speed
from inferplan.domain.gpus import by_name, catalogue, gigabytes_of
from inferplan.domain.gpus_mig import slices_of
from inferplan.domain.gpus_names import read_name
from inferplan.domain.units import MIB_PER_GIB

_NEAR = 0.08
"""A stated size within this share of what the GPU offers is that GPU's: 39.56 of 40, 22.2 of an L4's 22.03."""
_SAME_NVML = 0.005
_NVML = 0.9993
"""From this share of NVML's total on, a stated size is NVML's or the market's word: H100 79.65, and "80"."""


def candidates(name: str) -> tuple[GPU, ...]:
    """Every GPU, or MIG slice, that the name fits; empty where none is known. Never raises."""
    gpus, profile = by_name(name), read_name(name).mig
    return slices_of(gpus, profile) if profile is not None else gpus


def identify(name: str, gpus: Sequence[GPU], memory_gib: float | None = None) -> GPU | None:
    """The GPU that is meant, or what is common to all that may be meant; None where nothing is known.

    Args:
        name: What the GPUs are called, "" where nobody says.
        gpus: What the name fits.
        memory_gib: What the owner says of its memory. Near what a GPU offers to the engine, or a size that the market
            names, it chooses that GPU, and is what its engine sees; else it is taken at face value. Less memory than
            the GPU has means a part of it, of which the speed is not known; more means a card with other chips.
    """
    if memory_gib is None:
        return in_common(gpus, name) if gpus else None
    size = round(memory_gib * MIB_PER_GIB)
    near = [_stated(gpu, memory_gib) for gpu in gpus if _is_near(gpu, memory_gib)]
    if near:
        return in_common(near, name)
    if not gpus:
        return only_memory(size)
    resized = [_larger(gpu, size) if size > gpu.memory_mib else without_speed(gpu, size) for gpu in gpus]
    return in_common(resized, name)


def of_nvml(name: str, gpus: Sequence[GPU], memory_mib: int, compute_capability: int | None) -> GPU | None:
    """The GPU of a node whose labels say NVML's memory, MiB (GPU Feature Discovery's nvidia.com/gpu.memory).

    Args:
        name: Its product, "" where no label says it.
        gpus: What the product fits.
        memory_mib: At least 1. A slice's memory is what the engine sees; of a whole GPU the driver keeps some back.
        compute_capability: Times 10.
    """
    known = gpus or tuple(entry.gpu for entry in catalogue() if entry.gpu.compute_capability == compute_capability)
    near = [gpu for gpu in known if abs(gpu.memory_mib - memory_mib) <= _SAME_NVML * memory_mib]
    if near:
        return in_common(near, name)
    if gpus and gpus[0].share < 1:
        return in_common([_larger(gpu, memory_mib) for gpu in gpus], name)
    usable = usable_of(memory_mib)
    if not gpus:
        return replace(only_memory(usable), memory_mib=memory_mib, compute_capability=compute_capability)
    change: Callable[[GPU, int], GPU] = _larger if memory_mib > gpus[0].memory_mib else without_speed
    found = in_common([change(gpu, memory_mib) for gpu in gpus], name)
    return None if found is None else replace(found, usable_mib=usable, usable_is_measured=False)


def _is_near(gpu: GPU, memory_gib: float) -> bool:
    offered = gpu.usable_mib / MIB_PER_GIB
    return memory_gib in gigabytes_of(gpu) or abs(memory_gib - offered) <= _NEAR * offered


def _stated(gpu: GPU, memory_gib: float) -> GPU:
    """The GPU, offering what is stated, unless that is the size that NVML or the market names."""
    size = round(memory_gib * MIB_PER_GIB)
    if memory_gib in gigabytes_of(gpu) or size >= _NVML * gpu.memory_mib:
        return gpu
    return replace(gpu, usable_mib=size, usable_is_measured=True)


def _larger(gpu: GPU, memory_mib: int) -> GPU:
    return replace(gpu, memory_mib=memory_mib, usable_mib=memory_mib, usable_is_measured=True)
