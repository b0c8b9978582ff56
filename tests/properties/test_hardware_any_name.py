"""Whatever stands where a GPU's name, memory or label belongs, reading it never raises."""

from hypothesis import given
from hypothesis import strategies as st

from inferplan.domain.gpu import GPU
from inferplan.domain.gpus import catalogue
from inferplan.domain.gpus_labels import from_labels, requested
from inferplan.domain.hardware import canonical_product, from_catalogue, merge

_WORDS = st.sampled_from(
    (
        *(
            "nvidia",
            "H100",
            "A100",
            "80GB",
            "sxm",
            "PCIe",
            "MIG-1g.10gb",
            "mig-3g.40gb",
            "-SHARED",
            "(",
            ")",
            "8x",
            "RTX",
        ),
        *(
            "4090",
            "Ti",
            "super",
            "max-q",
            "mi300x",
            "L4",
            "g",
            "gb",
            "999gb",
            "0gb",
            "1g.0gb",
            "7g.999gb",
            "\u00b2",
            "_",
        ),
    )
)
_NAMES = st.text(max_size=40) | st.lists(_WORDS, max_size=6).map(" ".join) | st.lists(_WORDS, max_size=6).map("".join)
_KEYS = st.sampled_from(
    (
        *("nvidia.com/gpu.product", "nvidia.com/gpu.memory", "nvidia.com/gpu.compute.major", "nvidia.com/gpu.replicas"),
        *("nvidia.com/gpu.compute.minor", "amd.com/gpu.vram", "amd.com/gpu.device-id", "beta.amd.com/gpu.device-id.x"),
        *(
            "cloud.google.com/gke-accelerator",
            "node.kubernetes.io/instance-type",
            "nvidia.com/gpu",
            "nvidia.com/mig-1g.5gb",
        ),
    )
)


def _is_sane(gpu: GPU) -> bool:
    speeds = (gpu.bandwidth_gb_per_second, gpu.interconnect_gb_per_second, *gpu.tflops.values())
    return gpu.memory_mib > 0 and gpu.usable_mib > 0 and 0 < gpu.share <= 1 and all(v is None or v > 0 for v in speeds)


@given(_NAMES, st.none() | st.floats(1, 4096))
def test_any_name_and_memory_give_a_gpu_or_none(name: str, memory_gib: float | None) -> None:
    found = from_catalogue(name, 1, memory_gib)
    assert found.gpu is None or _is_sane(found.gpu)
    assert found.memory_mib == (found.gpu.memory_mib if found.gpu is not None else None)
    assert canonical_product(canonical_product(name)) == canonical_product(name)


@given(st.dictionaries(_KEYS, _NAMES | st.integers(0, 10**12).map(str), max_size=6))
def test_any_labels_give_a_gpu_or_none(labels: dict[str, str]) -> None:
    found = from_labels(labels, requested(labels).product)
    assert found.gpu is None or _is_sane(found.gpu)


@given(_NAMES, _NAMES)
def test_merging_any_two_keeps_what_the_first_says(one: str, other: str) -> None:
    first, second = from_catalogue(one, 2), from_catalogue(other, 4)
    merged = merge(first, second)
    assert merged.count == 2
    assert merged == merge(merged, second)


@given(st.sampled_from(catalogue()), st.floats(0.1, 3))
def test_a_stated_size_near_the_gpus_keeps_its_speed(entry: object, factor: float) -> None:
    gpu = entry.gpu  # type: ignore[attr-defined]
    found = from_catalogue(gpu.name, 1, gpu.usable_mib / 1024 * factor)
    if 0.95 < factor < 1.05:
        assert found.gpu is not None
        assert found.gpu.bandwidth_gb_per_second is not None
