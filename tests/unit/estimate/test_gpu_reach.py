"""What a GPU reaches of its datasheet."""

import pytest

from inferplan.domain.gpu import GPU
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.quantization import NumberFormat
from inferplan.estimate.gpu_reach import (
    block_kernels,
    bytes_per_second,
    gemm_share,
    is_fp4,
    launch_share,
    older,
    peak,
    vector_flops,
)


def gpu(product: str) -> GPU:
    found = from_catalogue(product, 1).gpu
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("product", "number_format", "teraflops"),
    [
        ("NVIDIA-H100-80GB-HBM3", NumberFormat.BF16, 989.0),
        ("NVIDIA-H100-80GB-HBM3", NumberFormat.FP32, 989.0 / 2),
        ("NVIDIA-A100-SXM4-80GB", NumberFormat.FP8, 312.0),  # no units for it: in 16 bit
        ("Tesla-V100-SXM2-16GB", NumberFormat.BF16, 125.0),
        ("NVIDIA-GeForce-RTX-4090", NumberFormat.BF16, 165.2 * 1.2),  # half rate, which it reaches
        ("NVIDIA-GeForce-RTX-4090", NumberFormat.INT8, 660.6),
        ("NVIDIA-L40", NumberFormat.FP8, 362.0 * 1.2),
        ("NVIDIA-L40S", NumberFormat.FP8, 733.0),
    ],
)
def test_peaks_by_format(product: str, number_format: NumberFormat, teraflops: float) -> None:
    assert peak(gpu(product), number_format) == pytest.approx(teraflops * 1e12, rel=0.01)


def test_only_some_amd_gpus_stay_below_their_bandwidth() -> None:
    assert bytes_per_second(gpu("AMD-Instinct-MI300X")) == pytest.approx(0.7 * 5.3e12)
    assert bytes_per_second(gpu("AMD-Instinct-MI325X")) == pytest.approx(0.7 * 6.0e12)
    assert bytes_per_second(gpu("AMD-Instinct-MI355X")) == pytest.approx(8.0e12)
    assert bytes_per_second(gpu("NVIDIA-H200")) == pytest.approx(4.8e12)
    assert bytes_per_second(gpu("NVIDIA-GB10")) == pytest.approx(0.92 * 273e9)
    assert bytes_per_second(gpu("AMD-Instinct-MI308X")) is None  # AMD publishes none


def test_block_scaled_products_are_slow_on_the_same() -> None:
    assert [block_kernels(gpu(f"AMD-Instinct-{name}")) for name in ("MI300X", "MI325X", "MI355X")] == [25, 25, 0]
    assert block_kernels(gpu("NVIDIA-H200")) == 0


def test_vendors_and_power_limits_bound_large_products() -> None:
    shares = [gemm_share(gpu(name)) for name in ("NVIDIA-H200", "AMD-Instinct-MI355X", "Tesla-T4")]
    assert shares == [1.0, 0.64, 0.46]


@pytest.mark.parametrize(
    ("product", "behind"),
    [
        ("NVIDIA-H100-80GB-HBM3", 0.0),
        ("NVIDIA-H100-PCIe", 1.0),  # HBM2e
        ("NVIDIA-A100-SXM4-80GB", 1.0),
        ("NVIDIA-L40S", 0.5),
        ("Tesla-T4", 1.0),
        ("AMD-Instinct-MI355X", 1.0),
        ("NVIDIA-B200", 0.0),
    ],
)
def test_older_memory_is_behind(product: str, behind: float) -> None:
    assert older(gpu(product)) == behind


def test_small_kernels_start_sooner_on_fast_clocks() -> None:
    assert [launch_share(gpu(name)) for name in ("NVIDIA-GeForce-RTX-5090", "NVIDIA-H200")] == [0.76, 1.0]


def test_kernels_without_tensor_cores() -> None:
    assert vector_flops(gpu("Tesla-T4"), "") == float("inf")
    assert vector_flops(gpu("Tesla-T4"), "gptq") == pytest.approx(40 * 256 * 1.59e9 * 0.66)


def test_fp4() -> None:
    assert [is_fp4(each) for each in (NumberFormat.NVFP4, NumberFormat.MXFP4, NumberFormat.FP8)] == [True, True, False]
