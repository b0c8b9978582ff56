"""The GPUs of one replica, from node labels, the spec, or a small catalogue."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Accelerator:
    """GPUs of one replica. What is None is not known.

    Attributes:
        product: Product as the node label nvidia.com/gpu.product has it.
        count: GPUs per replica.
        memory_mib: Memory of one GPU, MiB.
        compute_capability: CUDA compute capability times 10 (H100: 90), None for other vendors.
        source: nodeLabels, spec or catalogue.
    """

    product: str | None = None
    count: int | None = None
    memory_mib: int | None = None
    compute_capability: int | None = None
    source: str = "unknown"


@dataclass(frozen=True)
class _Entry:
    memory_mib: int
    compute_capability: int


_CATALOGUE = {
    # Product (GPU Feature Discovery's spelling) → NVML memory in MiB, compute capability times 10.
    # Sources: NVIDIA datasheets; MiB of H100-80 (81559) and A100-80 (81920) as nvidia-smi prints them.
    "NVIDIA-H100-80GB-HBM3": _Entry(81_559, 90),
    "NVIDIA-H100-PCIe": _Entry(81_559, 90),
    "NVIDIA-H200": _Entry(143_771, 90),
    "NVIDIA-A100-SXM4-80GB": _Entry(81_920, 80),
    "NVIDIA-A100-80GB-PCIe": _Entry(81_920, 80),
    "NVIDIA-A100-SXM4-40GB": _Entry(40_960, 80),
    "NVIDIA-A100-PCIE-40GB": _Entry(40_960, 80),
    "NVIDIA-L4": _Entry(23_034, 89),
    "NVIDIA-L40S": _Entry(46_068, 89),
    "NVIDIA-A10G": _Entry(23_028, 86),
    "NVIDIA-A10": _Entry(23_028, 86),
    "Tesla-T4": _Entry(15_360, 75),
}


def canonical_product(name: str) -> str:
    """Marketing or label spelling → label spelling: "NVIDIA H100 80GB HBM3" → "NVIDIA-H100-80GB-HBM3"."""
    label = name.strip().replace(" ", "-")
    known = {product.lower(): product for product in _CATALOGUE}
    return known.get(label.lower(), label)


def from_catalogue(product: str, count: int | None) -> Accelerator:
    """What the catalogue says of a product; only the product itself where it says nothing."""
    name = canonical_product(product)
    entry = _CATALOGUE.get(name)
    if entry is None:
        return Accelerator(product=name, count=count, source="spec")
    return Accelerator(name, count, entry.memory_mib, entry.compute_capability, "catalogue")


def merge(preferred: Accelerator, fallback: Accelerator) -> Accelerator:
    """Every value of `preferred` that is known, else that of `fallback`; of another product only the count."""
    if (
        preferred.product
        and fallback.product
        and canonical_product(fallback.product) != canonical_product(preferred.product)
    ):
        fallback = Accelerator(count=fallback.count)
    return Accelerator(
        product=preferred.product or fallback.product,
        count=preferred.count or fallback.count,
        memory_mib=preferred.memory_mib or fallback.memory_mib,
        compute_capability=preferred.compute_capability or fallback.compute_capability,
        source=preferred.source if preferred.product or preferred.memory_mib else fallback.source,
    )


UNKNOWN_ACCELERATOR = Accelerator()
"""Nothing is known of the GPUs."""
