"""Slices of an NVIDIA GPU (MIG), from the profile's name: 3g.40gb has 3 compute and so many memory slices."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from inferplan.domain.gpu import GPU
from inferplan.domain.units import MIB_PER_GIB

_UNITS_PER_SLICE: Mapping[int, int] = MappingProxyType({80: 14, 90: 16})
"""Multiprocessors of one compute slice: nvidia-smi mig -lgip on A100, A30 (14), H100 and H200 (16)."""
_QUARTERED = frozenset((56, 188))
"""Multiprocessors of the GPUs that have 4 slices of everything: A30, RTX PRO 6000 Blackwell (MIG user guide)."""
_CAPABLE = frozenset((80, 90, 100, 103))
"""Compute capabilities of the GPUs that can be sliced; of 12.0 it is the RTX PRO 6000."""
_KEPT_BACK_GIB = 0.25
"""A slice offers about this much less than its share: A100-40 3g.20gb 39.50 / 2 - 0.25 = 19.50, as listed there."""
_TOLERANCE = 0.15
_LISTED_GIB = MappingProxyType(
    {("NVIDIA-H200", 1, 18): 16.0, ("NVIDIA-H200", 1, 35): 32.5, ("NVIDIA-H200", 2, 35): 32.5}
)
"""Where nvidia-smi mig -lgip lists far less than the share."""


def slices_of(gpus: Iterable[GPU], profile: tuple[int, int]) -> tuple[GPU, ...]:
    """The slice of every GPU that has such a profile; empty where none has, or MIG at all.

    Fractions of memory and of multiprocessors: NVIDIA MIG user guide, "Supported MIG Profiles" (memory in eighths,
    compute in sevenths; A30 and RTX PRO 6000 in quarters). Memory slices follow from the profile's gigabytes:
    1g.20gb on an A100-80: 8 x 20 / 80 = 2 slices. Bandwidth goes with memory. Slices do not talk to each other.
    """
    found = (_slice(gpu, *profile) for gpu in gpus)
    return tuple(gpu for gpu in found if gpu is not None)


def _slice(gpu: GPU, compute: int, gigabytes: int) -> GPU | None:
    if gpu.compute_capability is None or gpu.multiprocessors is None:
        return None
    if gpu.compute_capability not in _CAPABLE and gpu.multiprocessors not in _QUARTERED:
        return None
    memory_slices, compute_slices = (4, 4) if gpu.multiprocessors in _QUARTERED else (8, 7)
    wanted = memory_slices * gigabytes / (gpu.memory_mib / MIB_PER_GIB)
    if compute > compute_slices or not 1 <= round(wanted) <= memory_slices or abs(wanted - round(wanted)) > _TOLERANCE:
        return None
    share = round(wanted) / memory_slices
    units = min(gpu.multiprocessors, compute * _UNITS_PER_SLICE.get(gpu.compute_capability, 0))
    speed = units / gpu.multiprocessors if units else compute / compute_slices
    bandwidth = gpu.bandwidth_gb_per_second
    return replace(
        gpu,
        name=f"{gpu.name}-MIG-{compute}g.{gigabytes}gb",
        memory_mib=round(gpu.memory_mib * share),
        usable_mib=round(_usable_gib(gpu, share, compute, gigabytes) * MIB_PER_GIB),
        usable_is_measured=False,
        bandwidth_gb_per_second=bandwidth * share if bandwidth is not None else None,
        tflops={precision: peak * speed for precision, peak in gpu.tflops.items()},
        multiprocessors=units or None,
        interconnect=None,
        interconnect_gb_per_second=None,
        share=share,
    )


def _usable_gib(gpu: GPU, share: float, compute: int, gigabytes: int) -> float:
    listed = _LISTED_GIB.get((gpu.name, compute, gigabytes))
    return listed if listed is not None else gpu.usable_mib / MIB_PER_GIB * share - _KEPT_BACK_GIB
