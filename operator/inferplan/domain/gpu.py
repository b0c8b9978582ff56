"""What one GPU can do: memory, bandwidth, peaks, links. Where several GPUs are meant, what they have in common."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from operator import attrgetter, methodcaller
from typing import TypeVar

from inferplan.domain.units import MIB_PER_GIB

_T = TypeVar("_T")
_SAME_SPEED = 0.06
"""Of speeds that differ by less the lower one is taken for both GPUs: A100-80's 1935 (PCIe) and 2039 GB/s (SXM)."""
_SAME_MEMORY = 0.015
"""The same of memory, where drivers make up to 1 % of difference."""


class Vendor(StrEnum):
    """Who makes the GPU."""

    NVIDIA = "nvidia"
    AMD = "amd"


class Precision(StrEnum):
    """Number formats that tensor cores multiply."""

    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    FP4 = "fp4"


class Interconnect(StrEnum):
    """What connects the GPUs of one node."""

    NVLINK = "nvlink"
    PCIE = "pcie"
    XGMI = "xgmi"


@dataclass(frozen=True)
class GPU:
    """One GPU, or the slice of it that one container has. None and absent mean: not known.

    Attributes:
        name: As the node label has it; "" where only the memory is known.
        vendor: Who makes it; None where only the memory is known.
        memory_mib: What NVML (or AMD's data sheet) calls its memory.
        usable_mib: What the engine sees as total: cudaMemGetInfo, torch.cuda.mem_get_info. A driver's version moves
            it by up to 1 % (A100-80: 79.14 to 79.33 GiB in public logs).
        usable_is_measured: Whether usable_mib comes from logs; else usable_of() gives it.
        bandwidth_gb_per_second: Of its memory, 10^9 bytes.
        tflops: Dense peak per precision with 32-bit accumulation, 10^12 operations per second.
        compute_capability: CUDA's, times 10 (H100: 90).
        gfx: AMD's instruction set (gfx942).
        interconnect: To the other GPUs of the node.
        interconnect_gb_per_second: Per GPU, one way.
        multiprocessors: Streaming multiprocessors; AMD: compute units.
        share: Share of the memory and its bandwidth that a MIG slice has; 1 for a whole GPU.
        variants: Where the name fits several GPUs: all of them; the other fields then say what they have in common.
    """

    name: str
    vendor: Vendor | None
    memory_mib: int
    usable_mib: int
    usable_is_measured: bool = False
    bandwidth_gb_per_second: float | None = None
    tflops: Mapping[Precision, float] = field(default_factory=dict)
    compute_capability: int | None = None
    gfx: str | None = None
    interconnect: Interconnect | None = None
    interconnect_gb_per_second: float | None = None
    multiprocessors: int | None = None
    share: float = 1.0
    variants: tuple["GPU", ...] = ()

    def peak(self, precision: Precision) -> float | None:
        """Dense peak, 10^12 operations per second; None where it is not known, or not native."""
        return self.tflops.get(precision)


def usable_of(memory_mib: int) -> int:
    """What CUDA offers of NVML's memory, MiB, where no log of the GPU was found.

    Driver and ECC keep back about 0.39 GiB + 0.18 %: fitted by eye on T4, L4, RTX 3090, 4090 and 5090, RTX A6000,
    H100, H200, B200 and GB200, on all measured NVIDIA GPUs of the catalogue 0.1 GiB off on average, GH200 0.5.
    B300, not among them: 275040 MiB = 268.59 GiB, less 0.39 + 0.48 = 267.72; its logs say 267.69.
    """
    gib = memory_mib / MIB_PER_GIB
    return max(1, round((gib - 0.39 - 0.0018 * gib) * MIB_PER_GIB))


def only_memory(usable_mib: int) -> GPU:
    """A GPU of which no more is known than the memory that an engine sees."""
    return GPU("", None, usable_mib, usable_mib, usable_is_measured=True)


def without_speed(gpu: GPU, memory_mib: int) -> GPU:
    """The GPU with another amount of memory, and nothing said about speed, which goes with the amount."""
    return replace(
        gpu,
        memory_mib=memory_mib,
        usable_mib=memory_mib,
        usable_is_measured=True,
        bandwidth_gb_per_second=None,
        tflops={},
        multiprocessors=None,
        variants=(),
    )


def in_common(gpus: Sequence[GPU], name: str) -> GPU | None:
    """What several GPUs have in common, the GPU itself where it is one; None where not even the memory is.

    Args:
        gpus: At least one.
        name: What all of them are called.
    """
    first = gpus[0]
    if len(gpus) == 1:
        return first
    memory = _lowest(gpus, attrgetter("memory_mib"), _SAME_MEMORY)
    usable = _lowest(gpus, attrgetter("usable_mib"), _SAME_MEMORY)
    if memory is None or usable is None:
        return None
    return GPU(
        name=name,
        vendor=_agreed(gpus, attrgetter("vendor")),
        memory_mib=round(memory),
        usable_mib=round(usable),
        usable_is_measured=all(gpu.usable_is_measured for gpu in gpus),
        bandwidth_gb_per_second=_lowest(gpus, attrgetter("bandwidth_gb_per_second")),
        tflops=_common_peaks(gpus),
        compute_capability=_agreed(gpus, attrgetter("compute_capability")),
        gfx=_agreed(gpus, attrgetter("gfx")),
        interconnect=_agreed(gpus, attrgetter("interconnect")),
        interconnect_gb_per_second=_lowest(gpus, attrgetter("interconnect_gb_per_second")),
        multiprocessors=_agreed(gpus, attrgetter("multiprocessors")),
        variants=tuple(gpus),
    )


def _common_peaks(gpus: Sequence[GPU]) -> Mapping[Precision, float]:
    peaks: dict[Precision, float] = {}
    for precision in Precision:
        lowest = _lowest(gpus, methodcaller("peak", precision))
        if lowest is not None:
            peaks[precision] = lowest
    return peaks


def _agreed(gpus: Iterable[GPU], value: Callable[[GPU], _T]) -> _T | None:
    values = [value(gpu) for gpu in gpus]
    return values[0] if all(each == values[0] for each in values) else None


def _lowest(gpus: Iterable[GPU], value: Callable[[GPU], float | None], tolerance: float = _SAME_SPEED) -> float | None:
    values = [value(gpu) for gpu in gpus]
    known = [each for each in values if each is not None]
    if len(known) < len(values) or max(known) > (1 + tolerance) * min(known):
        return None
    return min(known)
