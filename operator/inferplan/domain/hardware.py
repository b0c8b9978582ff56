"""The GPUs of one replica, from node labels, the spec, or the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from inferplan.domain.gpu import GPU, usable_of
from inferplan.domain.gpus import by_name
from inferplan.domain.gpus_choice import candidates, identify
from inferplan.domain.gpus_names import read_name
from inferplan.domain.units import MIB_PER_GIB


@dataclass(frozen=True)
class Accelerator:
    """GPUs of one replica. What is None is not known.

    Attributes:
        product: Product as the node label nvidia.com/gpu.product has it.
        count: GPUs per replica.
        memory_mib: Memory of one GPU as NVML says it, MiB.
        compute_capability: CUDA compute capability times 10 (H100: 90), None for other vendors.
        source: nodeLabels, spec or catalogue.
        gpu: What one GPU, or the MIG slice, can do; follows from the others, and is not compared.
        shared: Whether other containers use the same GPUs (time slicing, MPS): their memory is then not the
            replica's alone, nor is their time.
    """

    product: str | None = None
    count: int | None = None
    memory_mib: int | None = None
    compute_capability: int | None = None
    source: str = "unknown"
    gpu: GPU | None = field(default=None, compare=False, repr=False)
    shared: bool = False

    @property
    def usable_mib(self) -> int | None:
        """Memory of one GPU that the engine sees as total, MiB: less than NVML says."""
        if self.gpu is not None:
            return self.gpu.usable_mib
        return usable_of(self.memory_mib) if self.memory_mib is not None else None


def canonical_product(name: str) -> str:
    """Any spelling → label spelling: "NVIDIA H100 80GB HBM3" → "NVIDIA-H100-80GB-HBM3"; unclear names stay."""
    found = {gpu.name for gpu in candidates(name)}
    return found.pop() if len(found) == 1 else name.strip().replace(" ", "-")


def from_catalogue(product: str, count: int | None, memory_gib: float | None = None) -> Accelerator:
    """What the catalogue says of a product; only the product itself where it says nothing.

    Args:
        product: Any spelling: label, data sheet, "h100_sxm", "RTX 4090".
        count: GPUs per replica.
        memory_gib: What the owner says of its memory; chooses between GPUs of one name, see identify().
    """
    gpus, name = candidates(product), canonical_product(product)
    found = accelerator_with(identify(name, gpus, memory_gib), name, gpus)
    shared = read_name(product).is_shared
    return replace(found, count=count, source="catalogue" if gpus else "spec", shared=shared)


def accelerator_with(gpu: GPU | None, name: str | None, gpus: Sequence[GPU] = ()) -> Accelerator:
    """The accelerator with one GPU, of which `gpus` are all that may be meant."""
    capabilities = {each.compute_capability for each in gpus or (gpu,) if each is not None}
    return Accelerator(
        product=gpu.name if gpu is not None and gpu.name and not gpu.variants else name,
        memory_mib=gpu.memory_mib if gpu is not None else None,
        compute_capability=capabilities.pop() if len(capabilities) == 1 else None,
        gpu=gpu,
    )


def merge(preferred: Accelerator, fallback: Accelerator) -> Accelerator:
    """Every value of `preferred` that is known, else that of `fallback`; of another product only the count.

    Where the preferred product fits several GPUs ("A100"), or is a whole one of which the fallback is a MIG slice,
    the fallback says which.
    """
    if preferred.product and fallback.product and not _may_be_the_same(preferred.product, fallback.product):
        fallback = Accelerator(count=fallback.count)
    gpu = _merged(preferred, fallback)
    named = fallback if fallback.product and _says_more(fallback, preferred) else preferred
    return Accelerator(
        product=named.product or fallback.product,
        count=preferred.count or fallback.count,
        memory_mib=gpu.memory_mib if gpu is not None else preferred.memory_mib or fallback.memory_mib,
        compute_capability=named.compute_capability or fallback.compute_capability,
        source=preferred.source if preferred.product or preferred.memory_mib else fallback.source,
        gpu=gpu,
        shared=preferred.shared or fallback.shared,
    )


def _merged(preferred: Accelerator, fallback: Accelerator) -> GPU | None:
    """The preferred GPU, or the fallback's with the memory that was stated."""
    stated, found = preferred.gpu, fallback.gpu
    if stated is None or found is None:
        return stated if found is None else found
    if stated.name and not _says_more(fallback, preferred):
        return stated
    return identify(
        found.name, found.variants or (found,), stated.usable_mib / MIB_PER_GIB if not stated.name else None
    )


def _says_more(one: Accelerator, other: Accelerator) -> bool:
    """Whether the first product is one GPU where the second may be several, or a slice where that is a whole one."""
    if one.product is None or other.product is None:
        return False
    first, second = candidates(one.product), candidates(other.product)
    if len(first) == 1 == len(second):
        return first[0].share < second[0].share
    return len(first) == 1


def _may_be_the_same(one: str, other: str) -> bool:
    names = {gpu.name for gpu in by_name(one)} & {gpu.name for gpu in by_name(other)}
    return bool(names) or canonical_product(one) == canonical_product(other)


UNKNOWN_ACCELERATOR = Accelerator()
"""Nothing is known of the GPUs."""
