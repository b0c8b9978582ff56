"""The catalogue of GPUs: what every row must have, what single rows say, how usable memory is derived."""

from collections import Counter

import pytest

from inferplan.domain.gpu import GPU, Interconnect, Precision, Vendor, in_common, usable_of
from inferplan.domain.gpus import Entry, by_device_id, by_name, catalogue

ENTRIES = catalogue()


def _one(name: str) -> GPU:
    (gpu,) = by_name(name)
    return gpu


def _label(entry: Entry) -> str:
    return f"{entry.gpu.name} {entry.gpu.memory_mib}"


@pytest.mark.parametrize("entry", ENTRIES, ids=_label)
def test_every_gpu_has_sane_memory_bandwidth_and_architecture(entry: Entry) -> None:
    gpu = entry.gpu
    assert 0.93 * gpu.memory_mib < gpu.usable_mib <= gpu.memory_mib
    assert any(0.9 * size * 1000**3 < gpu.memory_mib * 1024**2 < 1.12 * size * 1000**3 for size in entry.gigabytes)
    if gpu.name == "AMD-Instinct-MI308X":  # AMD publishes neither its bandwidth nor its peaks
        assert gpu.bandwidth_gb_per_second is None
        assert not gpu.tflops
    else:
        assert gpu.bandwidth_gb_per_second is not None
        assert 150 < gpu.bandwidth_gb_per_second <= 8000
    assert (gpu.compute_capability is None) == (gpu.vendor is Vendor.AMD) == (gpu.gfx is not None)
    assert (gpu.interconnect is None) == (gpu.interconnect_gb_per_second is None)


@pytest.mark.parametrize("entry", ENTRIES, ids=_label)
def test_peaks_double_where_bits_halve(entry: Entry) -> None:
    peaks = entry.gpu.tflops
    if Precision.BF16 in peaks:
        assert peaks[Precision.BF16] == peaks[Precision.FP16]
    if Precision.FP8 in peaks and Precision.FP16 in peaks:
        assert peaks[Precision.FP8] == pytest.approx(2 * peaks[Precision.FP16], rel=0.02)
    if Precision.FP4 in peaks and Precision.FP8 in peaks:
        # GeForce and Blackwell Ultra have more: 4 and 3 times FP8
        assert 1.9 < peaks[Precision.FP4] / peaks[Precision.FP8] < 4.1


def test_a_tensor_core_of_its_generation_has_its_formats() -> None:
    for entry in ENTRIES:
        capability, peaks = entry.gpu.compute_capability, entry.gpu.tflops
        if capability is not None and peaks.keys() - {Precision.FP4}:
            assert (Precision.BF16 in peaks) == (capability >= 80)
            assert (Precision.FP8 in peaks) == (capability >= 89)
            assert (Precision.FP4 in peaks) == (capability >= 100)
            assert (Precision.INT8 in peaks) == (capability >= 75)


@pytest.mark.parametrize("entry", ENTRIES, ids=_label)
def test_every_gpu_is_found_by_its_own_name_and_device_id(entry: Entry) -> None:
    assert entry.gpu in by_name(entry.gpu.name)
    assert entry.gpu in by_name(entry.gpu.name.replace("-", " ").upper())
    for device_id in entry.device_ids:
        assert by_device_id(f"0x{device_id.upper()}") == (entry.gpu,)


def test_names_and_device_ids_are_not_given_twice() -> None:
    keys = Counter((entry.gpu.name, entry.gpu.memory_mib) for entry in ENTRIES)
    ids = Counter(device_id for entry in ENTRIES for device_id in entry.device_ids)
    assert (max(keys.values()), max(ids.values())) == (1, 1)


@pytest.mark.parametrize(
    ("name", "usable_gib", "bandwidth", "bf16", "link", "one_way"),
    [
        ("NVIDIA-H100-80GB-HBM3", 79.18, 3350, 989, Interconnect.NVLINK, 450),
        ("NVIDIA-A100-SXM4-40GB", 39.50, 1555, 312, Interconnect.NVLINK, 300),
        ("NVIDIA-H200", 139.80, 4800, 989, Interconnect.NVLINK, 450),
        ("NVIDIA-B200", 178.35, 7700, 2250, Interconnect.NVLINK, 900),
        ("NVIDIA-L4", 22.03, 300, 121, Interconnect.PCIE, 32),
        ("NVIDIA-GeForce-RTX-4090", 23.55, 1008, 165.2, Interconnect.PCIE, 32),
        ("Tesla-T4", 14.56, 320, None, Interconnect.PCIE, 16),
        ("AMD-Instinct-MI300X", 191.98, 5300, 1307.4, Interconnect.XGMI, 448),
    ],
)
def test_what_some_gpus_can_do(
    name: str, usable_gib: float, bandwidth: int, bf16: float | None, link: Interconnect, one_way: int
) -> None:
    gpu = _one(name)
    assert gpu.usable_is_measured
    assert round(gpu.usable_mib / 1024, 2) == usable_gib
    assert (gpu.bandwidth_gb_per_second, gpu.peak(Precision.BF16)) == (bandwidth, bf16)
    assert (gpu.interconnect, gpu.interconnect_gb_per_second) == (link, one_way)


def test_usable_memory_without_a_log_is_near_what_logs_of_others_say() -> None:
    assert usable_of(275_040) / 1024 == pytest.approx(267.69, abs=0.05)  # B300: 268.59 - 0.39 - 0.48 = 267.72
    errors = [
        abs(usable_of(gpu.memory_mib) - gpu.usable_mib) / 1024
        for gpu in (entry.gpu for entry in ENTRIES)
        if gpu.usable_is_measured and gpu.compute_capability is not None and gpu.name != "NVIDIA-GB10"
    ]
    assert sum(errors) / len(errors) < 0.15
    assert max(errors) < 0.6
    assert usable_of(1) == 1


def test_of_several_gpus_only_what_they_share_is_known() -> None:
    sxm, pcie = by_name("H100 80GB")
    both = in_common((sxm, pcie), "H100")
    assert both is not None
    # 79.18 and 79.19 GiB: the lower; 3350 and 2000 GB/s are 67 % apart, 989 and 756 TFLOPS 31 %
    assert (both.memory_mib, both.usable_mib) == (81_559, sxm.usable_mib)
    assert (both.bandwidth_gb_per_second, both.tflops, both.interconnect) == (None, {}, None)
    assert (both.compute_capability, both.vendor, both.variants) == (90, Vendor.NVIDIA, (sxm, pcie))


def test_of_speeds_that_hardly_differ_the_lower_one_is_taken() -> None:
    gpus = by_name("A100 80GB")
    both = in_common(gpus, "A100 80GB")
    assert both is not None
    assert both.bandwidth_gb_per_second == 1935  # of 1935 and 2039, 5.4 % apart
    assert both.peak(Precision.FP16) == 312
    assert in_common(by_name("A100"), "A100") is None  # 40 or 80 GB
