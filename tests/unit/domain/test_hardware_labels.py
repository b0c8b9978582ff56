"""What node labels and resource names say of GPUs."""

import pytest

from inferplan.domain.gpus_labels import from_labels, requested, with_profile
from inferplan.domain.hardware import Accelerator

A100, H100 = "NVIDIA-A100-SXM4-80GB", "NVIDIA-H100-80GB-HBM3"


@pytest.mark.parametrize(
    ("labels", "product"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-GeForce-RTX-3090"}, "NVIDIA-GeForce-RTX-3090"),
        ({"nvidia.com/gpu.product": "A100-SXM4-40GB"}, "NVIDIA-A100-SXM4-40GB"),
        ({"nvidia.com/gpu.product": f"{A100}-MIG-1g.10gb"}, f"{A100}-MIG-1g.10gb"),
        ({"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}, "NVIDIA-A100-SXM4-40GB"),
        ({"cloud.google.com/gke-accelerator": "nvidia-h100-mega-80gb"}, H100),
        ({"cloud.google.com/gke-accelerator": "nvidia-l4"}, "NVIDIA-L4"),
        (
            {
                "cloud.google.com/gke-accelerator": "nvidia-tesla-a100",
                "cloud.google.com/gke-gpu-partition-size": "1g.5gb",
            },
            "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
        ),
        ({"karpenter.k8s.aws/instance-gpu-name": "l40s"}, "NVIDIA-L40S"),
        ({"eks.amazonaws.com/instance-gpu-name": "a10g"}, "NVIDIA-A10G"),
        ({"karpenter.azure.com/sku-gpu-name": "T4"}, "Tesla-T4"),
        ({"k8s.amazonaws.com/accelerator": "nvidia-tesla-t4"}, "Tesla-T4"),
        ({"node.kubernetes.io/instance-type": "p4de.24xlarge"}, A100),
        ({"node.kubernetes.io/instance-type": "p5en.48xlarge"}, "NVIDIA-H200"),
        ({"node.kubernetes.io/instance-type": "p5.48xlarge"}, H100),
        ({"node.kubernetes.io/instance-type": "g6e.12xlarge"}, "NVIDIA-L40S"),
        ({"node.kubernetes.io/instance-type": "gr6.4xlarge"}, "NVIDIA-L4"),
        ({"beta.kubernetes.io/instance-type": "Standard_NC48ads_A100_v4"}, "NVIDIA-A100-80GB-PCIe"),
        ({"node.kubernetes.io/instance-type": "a3-ultragpu-8g"}, "NVIDIA-H200"),
        ({"amd.com/gpu.device-id": "74a1", "amd.com/gpu.product-name": "odd"}, "AMD-Instinct-MI300X"),
        ({"beta.amd.com/gpu.device-id.75a3": "8"}, "AMD-Instinct-MI355X"),
        ({"amd.com/gpu.product-name": "Instinct_MI210", "amd.com/gpu.vram": "64G"}, "AMD-Instinct-MI210"),
        ({"beta.amd.com/gpu.product-name.AMD_Instinct_MI325X": "8"}, "AMD-Instinct-MI325X"),
    ],
)
def test_labels_name_the_gpu(labels: dict[str, str], product: str) -> None:
    found = from_labels(labels)
    assert (found.product, found.source) == (product, "nodeLabels")
    assert found.gpu is not None
    assert found.memory_mib == found.gpu.memory_mib


@pytest.mark.parametrize(
    "labels",
    [
        *({}, {"disk": "ssd"}, {"nvidia.com/gpu.memory": "0"}, {"nvidia.com/gpu.memory": "much"}),
        *({"node.kubernetes.io/instance-type": "g6f.large"}, {"node.kubernetes.io/instance-type": "m7i.large"}),
        *({"amd.com/gpu.device-id": "ffff"}, {"nvidia.com/gpu.compute.major": "9", "nvidia.com/gpu.compute.minor": ""}),
        *({"nvidia.com/gpu.product": ""}, {"cloud.google.com/gke-accelerator": ""}, {"amd.com/gpu.vram": "64G"}),
    ],
)
def test_labels_without_a_gpu_say_nothing(labels: dict[str, str]) -> None:
    assert from_labels(labels) == Accelerator()


def _discovered(product: str, memory: int, capability: int) -> dict[str, str]:
    major, minor = divmod(capability, 10)
    found = {"nvidia.com/gpu.memory": str(memory), "nvidia.com/gpu.compute.major": str(major)}
    return (
        found | {"nvidia.com/gpu.compute.minor": str(minor)} | ({"nvidia.com/gpu.product": product} if product else {})
    )


@pytest.mark.parametrize(
    ("product", "memory_mib", "capability", "usable_mib", "bandwidth"),
    [
        (H100, 81_559, 90, 81_080, 3350),
        ("", 81_559, 90, 81_080, None),  # SXM, PCIe, or one of the H800s
        (
            "",
            143_771,
            90,
            143_113,
            4800,
        ),  # H200, H200 NVL or H20-3e: the lower usable, 140.401 - 0.39 - 0.253 = 139.758 GiB
        ("NVIDIA-X100", 81_559, 110, 81_013, None),  # 79.647 - 0.39 - 0.143 = 79.114 GiB
        ("NVIDIA-GeForce-RTX-4090", 49_140, 89, 48_652, 1008),  # more memory soldered on: 47.988 - 0.476
        ("NVIDIA-A10", 11_514, 86, 11_094, None),  # half of one, as a vGPU: 11.244 - 0.39 - 0.020 = 10.834 GiB
        (f"{A100}-MIG-3g.40gb", 40_192, 80, 40_192, 1019.5),  # a slice offers what its label says
    ],
)
def test_discovered_memory_is_nvmls(
    product: str, memory_mib: int, capability: int, usable_mib: int, bandwidth: float | None
) -> None:
    found = from_labels(_discovered(product, memory_mib, capability))
    assert (found.memory_mib, found.compute_capability) == (memory_mib, capability)
    assert found.usable_mib == pytest.approx(usable_mib, abs=2)
    assert found.gpu is not None
    assert found.gpu.bandwidth_gb_per_second == bandwidth


def test_a_slice_of_a_node_with_several_kinds_is_what_the_container_asks_for() -> None:
    labels = _discovered(A100, 81_920, 80) | {"nvidia.com/mig-3g.40gb.memory": "40192"}
    found = from_labels(labels, "mig-3g.40gb")
    assert (found.product, found.memory_mib, found.usable_mib) == (f"{A100}-MIG-3g.40gb", 40_192, 40_192)
    assert with_profile(f"{A100}-MIG-1g.10gb", "mig-3g.40gb") == f"{A100}-MIG-1g.10gb"
    assert with_profile("", "mig-3g.40gb") == ""


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"nvidia.com/gpu": "8", "cpu": "4"}, Accelerator(count=8)),
        ({"amd.com/gpu": "2"}, Accelerator(count=2)),
        ({"nvidia.com/gpu.shared": "1"}, Accelerator(count=1, shared=True)),
        ({"nvidia.com/mig-3g.40gb": "2"}, Accelerator("mig-3g.40gb", 2)),
        ({"nvidia.com/mig-1g.10gb.shared": "1"}, Accelerator("mig-1g.10gb", 1, shared=True)),
        *(({"nvidia.com/gpu": odd}, Accelerator()) for odd in ("", "many", "-1", "\u00b2", "9" * 5000)),
        ({"nvidia.com/mig-9g.40gb": "2"}, Accelerator()),
        ({}, Accelerator()),
    ],
)
def test_resources_give_number_and_slice(limits: dict[str, str], found: Accelerator) -> None:
    assert requested(limits) == found


@pytest.mark.parametrize(
    ("labels", "shared"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}, True),
        ({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.replicas": "4"}, True),
        ({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.sharing-strategy": "mps"}, True),
        ({"cloud.google.com/gke-accelerator": "nvidia-l4", "cloud.google.com/gke-gpu-sharing-strategy": "mps"}, True),
        (
            {
                "nvidia.com/gpu.product": "NVIDIA-L4",
                "nvidia.com/gpu.replicas": "1",
                "nvidia.com/gpu.sharing-strategy": "none",
            },
            False,
        ),
    ],
)
def test_a_gpu_that_others_use_too_is_told(labels: dict[str, str], shared: bool) -> None:
    found = from_labels(labels)
    assert (found.product, found.shared) == ("NVIDIA-L4", shared)
