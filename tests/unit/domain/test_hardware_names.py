"""GPUs by any spelling, with the memory that the owner states, and MIG slices."""

from collections import Counter

import pytest

from inferplan.domain.gpus import by_name
from inferplan.domain.gpus_choice import candidates, identify
from inferplan.domain.gpus_names import read_name
from inferplan.domain.hardware import Accelerator, canonical_product, from_catalogue, merge

H100, A100 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB"


@pytest.mark.parametrize(
    ("spelling", "product"),
    [
        *((name, H100) for name in ("NVIDIA H100 80GB HBM3", "H100 SXM5", "h100_sxm", "H100SXM", "HGX H100 80GB")),
        *((name, "NVIDIA-H100-PCIe") for name in ("H100 PCIe", "NVIDIA H100 80GB PCIe", "h100-pcie")),
        *((name, "NVIDIA-H100-NVL") for name in ("H100NVL", "NVIDIA H100 NVL 94GB", "H100 94GB")),
        *((name, "NVIDIA-H200") for name in ("h200_sxm", "NVIDIA H200", "H200 141GB", "8x H200", "H200 SXM 141 GB")),
        ("H200 NVL", "NVIDIA-H200-NVL"),
        *((name, "NVIDIA-B200") for name in ("b200", "b200_sxm", "NVIDIA B200 180GB", "B200-192GB")),
        *((name, "NVIDIA-B300-SXM6-AC") for name in ("b300_sxm", "NVIDIA B300", "NVIDIA B300 SXM6 AC", "B300 288GB")),
        *((name, "NVIDIA-GB200") for name in ("gb200", "GB200 NVL72", "NVIDIA GB200")),
        *((name, "NVIDIA-GB10") for name in ("NVIDIA GB10 (DGX Spark, unified memory)", "DGX Spark", "gb10")),
        *((name, A100) for name in ("NVIDIA A100-SXM4-80GB", "a100-sxm4-80gb", "A100 SXM 80 GB", "DGX A100 80GB")),
        *((name, "NVIDIA-A100-SXM4-40GB") for name in ("A100-SXM4-40GB", "A100 40GB SXM4", "A100_SXM_40G")),
        *((name, "Tesla-T4") for name in ("T4", "Tesla T4", "NVIDIA T4", "nvidia-tesla-t4", "Tesla T4 16GB")),
        *((name, "NVIDIA-L40S") for name in ("L40S", "l40s", "NVIDIA L40S 48GB", "NVIDIA-L40S-SHARED")),
        *((name, "NVIDIA-L4") for name in ("L4", 'NVIDIA L4 (page: "A10G or L4")', "nvidia-l4", "2x L4")),
        ("A10", "NVIDIA-A10"),
        ("A10G", "NVIDIA-A10G"),
        ("NVIDIA H20 96GB", "NVIDIA-H20"),
        ("NVIDIA H20-3e", "NVIDIA-H20-3e"),
        ("Tesla V100S-PCIE-32GB", "Tesla-V100S-PCIE-32GB"),
        *(
            (name, "NVIDIA-GeForce-RTX-3090")
            for name in ("NVIDIA GeForce RTX 3090", "RTX 3090", "rtx3090", "3090 24GB")
        ),
        ("RTX 3090 Ti", "NVIDIA-GeForce-RTX-3090-Ti"),
        *((name, "NVIDIA-GeForce-RTX-4090") for name in ("RTX 4090", "RTX_4090", "GeForce RTX4090", "4090")),
        ("RTX4070Ti Super", "NVIDIA-GeForce-RTX-4070-Ti-SUPER"),
        ("NVIDIA GeForce RTX 4060 8GB", "NVIDIA-GeForce-RTX-4060"),
        *((name, "NVIDIA-RTX-A6000") for name in ("A6000", "RTX A6000", "NVIDIA RTX A6000", "2xA6000")),
        *(
            (name, "NVIDIA-RTX-6000-Ada-Generation")
            for name in ("RTX 6000 Ada", "A6000 Ada", "RTX 6000 Ada Generation")
        ),
        ("RTX PRO 6000 Max-Q", "NVIDIA-RTX-PRO-6000-Blackwell-Max-Q-Workstation-Edition"),
        ("rtx_pro_6000_server", "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition"),
        *((name, "AMD-Instinct-MI300X") for name in ("MI300X", "AMD Instinct MI300X", "AMD_Instinct_MI300X_OAM")),
        ("amd-instinct-mi355x", "AMD-Instinct-MI355X"),
    ],
)
def test_a_gpu_is_known_by_any_spelling(spelling: str, product: str) -> None:
    assert [gpu.name for gpu in by_name(spelling)] == [product]
    assert canonical_product(spelling) == product


@pytest.mark.parametrize(
    ("spelling", "names"),
    [
        ("H100", [H100, "NVIDIA-H100-PCIe", "NVIDIA-H100-NVL"]),
        ("NVIDIA H100 80GB", [H100, "NVIDIA-H100-PCIe"]),
        ("A100-80GB", [A100, "NVIDIA-A100-80GB-PCIe"]),
        ("A100 PCIe", ["NVIDIA-A100-PCIE-40GB", "NVIDIA-A100-80GB-PCIe"]),
        ("GH200", ["NVIDIA-GH200-480GB", "NVIDIA-GH200-144G-HBM3e"]),
        ("AMD Instinct MI250X / MI250", ["AMD-Instinct-MI250", "AMD-Instinct-MI250X"]),
        ("RTX 3080", ["NVIDIA-GeForce-RTX-3080"] * 2),
    ],
)
def test_an_unclear_name_fits_several_gpus(spelling: str, names: list[str]) -> None:
    assert Counter(gpu.name for gpu in by_name(spelling)) == Counter(names)


@pytest.mark.parametrize(
    "spelling",
    [
        *("", "gpu", "NVIDIA", "RTX", "80GB", "RTX 6000", "RTX 3050", "H1000", "AH100", "gfx942", "(((", "-MIG-1g.5gb"),
        *(
            "RTX 4090 Laptop GPU",
            "RTX 4090 D",
            "RTX 4080 Ti",
            "RTX 4090 48GB",
            "RTX 3090 Max-Q",
            "A40-24Q",
            "GRID A100",
        ),
        *("24GB NVIDIA GPU (23.57 GiB; RTX 3090/4090 class)", "16GB NVIDIA GPU under WSL2 (15.99 GiB)"),
    ],
)
def test_another_chip_or_no_name_fits_none(spelling: str) -> None:
    assert by_name(spelling) == ()


@pytest.mark.parametrize(
    ("product", "stated_gib", "memory_mib", "usable_mib", "bandwidth"),
    [
        ("RTX 3090", 23.58, 24_576, 24_146, 936),  # 23.58 x 1024 = 24,145.9: what the log says
        ("RTX 3090", 23.69, 24_576, 24_259, 936),
        ("NVIDIA L4", 24, 23_034, 22_559, 300),  # the market's word: 22.03 x 1024 = 22,558.7
        ("NVIDIA L4", 22.49, 23_034, 22_559, 300),  # NVML's: 23034 / 1024 = 22.494
        ("NVIDIA L40S", 44.42, 46_068, 45_486, 864),
        ("A100", 39.56, 40_960, 40_509, 1555),
        ("A100", 40, 40_960, 40_335, 1555),  # SXM 39.50, PCIe 39.39 GiB: the lower, x 1024 = 40,335.4
        ("A100", 79.25, 81_920, 81_152, 1935),
        ("H100", 94, 95_830, 95_334, 3900),
        ("H100", 79.18, 81_559, 81_080, None),  # SXM or PCIe
        ("RTX 4060 Ti", 16, 16_380, 15_951, 288),  # 15.996 - 0.39 - 0.029 = 15.577 GiB
        ("RTX 4090 48GB", 47.5, 48_640, 48_640, None),  # not in the catalogue: only its memory is known
        ("RTX 4090", 47.5, 48_640, 48_640, 1008),  # the same chip with more memory
        (H100, 40, 40_960, 40_960, None),  # a part of it
        ("no such GPU", 15.99, 16_374, 16_374, None),
    ],
)
def test_stated_memory_chooses_or_is_taken_at_face_value(
    product: str, stated_gib: float, memory_mib: int, usable_mib: int, bandwidth: float | None
) -> None:
    found = from_catalogue(product, 1, stated_gib)
    assert found.gpu is not None
    assert (found.memory_mib, found.usable_mib) == (memory_mib, usable_mib)
    assert found.gpu.bandwidth_gb_per_second == bandwidth


def test_without_memory_an_unclear_product_is_known_in_part() -> None:
    assert from_catalogue("A100", 8) == Accelerator("A100", 8, None, 80, "catalogue")
    assert from_catalogue("A100", 8).gpu is None
    h100 = from_catalogue("NVIDIA H100 80GB", 8)
    assert h100 == Accelerator("NVIDIA-H100-80GB", 8, 81_559, 90, "catalogue")
    assert h100.gpu is not None
    assert [gpu.bandwidth_gb_per_second for gpu in h100.gpu.variants] == [3350, 2000]
    assert identify("", ()) is None


@pytest.mark.parametrize(
    ("product", "usable_gib", "bandwidth", "fp16", "units"),
    [
        # memory share x usable - 0.25, bandwidth share, units / all of them x peak
        ("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 4.69, 194.375, 312 * 14 / 108, 14),  # 39.50 / 8 - 0.25, 1555 / 8
        ("A100-SXM4-40GB-MIG-3g.20gb", 19.50, 777.5, 312 * 42 / 108, 42),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.20gb", 19.54, 509.75, 312 * 14 / 108, 14),  # 79.15 / 4 - 0.25, 2039 / 4
        ("NVIDIA-A30-MIG-2g.12gb", 11.51, 466.5, 165 * 28 / 56, 28),  # quarters: 23.53 / 2 - 0.25
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb.me", 9.65, 418.75, 989 * 16 / 132, 16),
        ("NVIDIA-H200-MIG-1g.18gb", 16.0, 600, 989 * 16 / 132, 16),  # as nvidia-smi lists it
        ("NVIDIA-B200-MIG-2g.45gb", 44.34, 1925, 2250 * 2 / 7, None),  # 178.35 / 4 - 0.25, 7700 / 4
    ],
)
def test_a_mig_slice_has_its_share(
    product: str, usable_gib: float, bandwidth: float, fp16: float, units: int | None
) -> None:
    gpu = from_catalogue(product, 1).gpu
    assert gpu is not None
    assert gpu.usable_mib / 1024 == pytest.approx(usable_gib, abs=0.01)
    assert gpu.bandwidth_gb_per_second == bandwidth
    assert gpu.tflops["fp16"] == pytest.approx(fp16)  # type: ignore[index]  # a StrEnum's key
    assert (gpu.multiprocessors, gpu.interconnect) == (units, None)


@pytest.mark.parametrize(
    "product",
    [
        "Tesla-T4-MIG-1g.2gb",
        "NVIDIA-A100-SXM4-40GB-MIG-1g.8gb",
        "A30-MIG-5g.12gb",
        "A40-MIG-1g.6gb",
        "MI300X-MIG-1g.24gb",
    ],
)
def test_a_profile_that_the_gpu_does_not_have_is_no_gpu(product: str) -> None:
    assert candidates(product) == ()
    assert from_catalogue(product, 1).memory_mib is None


def test_a_shared_gpu_is_told() -> None:
    assert read_name("NVIDIA-L4-SHARED").is_shared
    shared = from_catalogue("NVIDIA-L4-SHARED", 1)
    assert (shared.product, shared.shared, shared.memory_mib) == ("NVIDIA-L4", True, 23_034)


def test_usable_memory_is_derived_where_only_nvmls_is_known() -> None:
    assert Accelerator().usable_mib is None
    assert Accelerator(memory_mib=46_068).usable_mib == 45_586  # 44.988 - 0.39 - 0.081 = 44.517 GiB


@pytest.mark.parametrize(
    ("preferred", "fallback", "product", "usable_mib"),
    [
        (from_catalogue("A100", 8), from_catalogue(A100, None), A100, 81_050),  # 79.15 x 1024 = 81,049.6
        (from_catalogue(A100, 8), from_catalogue("A100", None), A100, 81_050),
        (from_catalogue(A100, 8), from_catalogue(f"{A100}-MIG-1g.10gb", None), f"{A100}-MIG-1g.10gb", 9_875),
        (from_catalogue(A100, 8), from_catalogue(H100, None), A100, 81_050),
        (from_catalogue("A100", 8, 79.25), from_catalogue(H100, None), "A100", 81_152),
        (from_catalogue(A100, 8, 79.25), from_catalogue(A100, None), A100, 81_152),
    ],
)
def test_the_more_exact_of_two_fitting_products_wins(
    preferred: Accelerator, fallback: Accelerator, product: str, usable_mib: int
) -> None:
    merged = merge(preferred, fallback)
    assert (merged.product, merged.usable_mib, merged.count) == (product, usable_mib, 8)
