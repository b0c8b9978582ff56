"""The pretended GPU: memory, bandwidth, arithmetic, and the batch limits that vLLM derives from them."""

from dataclasses import dataclass

MIB = 2**20
GIB = 2**30

USABLE_SHARE = 0.994
"""Of the memory that NVML reports, what CUDA hands out: 79.19 of 79.65 GiB on an H100, 79.28 of 80 on an A100
(engine facts, sections 3a and 3f)."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of GPU.

    Attributes:
        product: the label nvidia.com/gpu.product.
        memory_mib: the label nvidia.com/gpu.memory.
        bandwidth_bytes_per_second: of the device memory, by the data sheet.
        peak_flops: dense 16-bit, by the data sheet.
    """

    product: str
    memory_mib: int
    bandwidth_bytes_per_second: float
    peak_flops: float

    @property
    def usable_bytes(self) -> int:
        """What the engine sees as total memory."""
        return int(self.memory_mib * MIB * USABLE_SHARE)


# (part of the product label, MiB, TB/s, dense 16-bit TFLOP/s): engine facts, section 7. The first match
# counts.
KNOWN = (
    ("H100-NVL", 95830, 3.9, 835.0),
    ("H100-PCIe", 81559, 2.0, 756.0),
    ("H100", 81559, 3.35, 989.0),
    ("H200", 143771, 4.8, 989.0),
    ("GB200", 189471, 8.0, 2500.0),
    ("B200", 183359, 7.7, 2250.0),
    ("B300", 275040, 7.75, 2250.0),
    ("A100-SXM4-40GB", 40960, 1.555, 312.0),
    ("A100-PCIE-40GB", 40960, 1.555, 312.0),
    ("A100", 81920, 2.039, 312.0),
    ("A10", 23028, 0.6, 125.0),
    ("L40S", 46068, 0.864, 362.0),
    ("L4", 23034, 0.3, 121.0),
    ("RTX-PRO-6000", 97887, 1.792, 468.0),
    ("T4", 15360, 0.32, 65.0),
    ("V100-SXM2-32GB", 32768, 0.9, 125.0),
    ("V100", 16384, 0.9, 125.0),
    ("MI300X", 196592, 5.3, 1307.0),
    ("MI325X", 262128, 6.0, 1300.0),
    ("MI355X", 294896, 8.0, 2500.0),
)
UNKNOWN = ("", 24576, 0.6, 125.0)
"""A GPU that the table does not know is taken for a card of the A10's size and speed."""


def gpu_of(product: str, memory_mib: int | None = None) -> Gpu:
    """The GPU behind a product label.

    Args:
        product: the label nvidia.com/gpu.product.
        memory_mib: the label nvidia.com/gpu.memory, or None for the table's.

    Returns:
        The table's numbers with the label's memory.
    """
    _, mib, terabytes, teraflops = next((row for row in KNOWN if row[0].lower() in product.lower()), UNKNOWN)
    return Gpu(product, memory_mib or mib, terabytes * 1e12, teraflops * 1e12)


def default_batch_limits(gpu: Gpu, release: tuple[int, ...]) -> tuple[int, int]:
    """The defaults of max_num_batched_tokens and max_num_seqs in the server (engine facts, section 1c).

    Args:
        gpu: the GPU that the engine runs on.
        release: the numbers of the pretended version.

    Returns:
        Tokens in a step, requests in a step.
    """
    gib = gpu.memory_mib * MIB / GIB
    if gib >= 160 and release >= (0, 29):  # noqa: PLR2004 - the tiers are vLLM's own
        return 16384, 1024
    small_anyway = "a100" in gpu.product.lower() and release >= (0, 9)
    if gib >= 70 and not small_anyway:  # noqa: PLR2004 - the tiers are vLLM's own
        return 8192, 1024
    return 2048, 256
