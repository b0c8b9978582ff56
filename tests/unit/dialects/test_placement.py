"""Which GPUs a pod asks for."""

from typing import Any

import pytest

from inferplan.dialects.placement import accelerator_of
from inferplan.domain.hardware import Accelerator


def _affinity(*terms: list[dict[str, Any]]) -> dict[str, Any]:
    wanted = {"nodeSelectorTerms": [{"matchExpressions": term} for term in terms]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": wanted}}}


def _in(*values: str) -> dict[str, Any]:
    return {"key": "cloud.google.com/gke-accelerator", "operator": "In", "values": list(values)}


@pytest.mark.parametrize(
    ("pod_spec", "product", "memory_mib"),
    [
        ({"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L40S"}}, "NVIDIA-L40S", 46_068),
        ({"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb"}}, "NVIDIA-H100-80GB-HBM3", 81_559),
        ({"nodeSelector": {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}}, "NVIDIA-A100-SXM4-40GB", 40_960),
        ({"nodeSelector": {"amd.com/gpu.device-id": "74a1"}}, "AMD-Instinct-MI300X", 196_608),
        ({"nodeSelector": {"amd.com/gpu.product-name": "AMD_Instinct_MI325X_OAM"}}, "AMD-Instinct-MI325X", 262_144),
        ({"nodeSelector": {"nvidia.com/gpu.product": "Made-Up"}}, "Made-Up", None),
        (_affinity([_in("nvidia-l4")]), "NVIDIA-L4", 23_034),
        (_affinity([_in("nvidia-l4", "nvidia-h100-80gb")]), None, None),
        (_affinity([_in("nvidia-l4")], [_in("nvidia-h100-80gb")]), None, None),
        ({"nodeSelector": {"disk": "ssd"}, "affinity": 5}, None, None),
    ],
)
def test_the_product_is_what_every_fitting_node_has(
    pod_spec: dict[str, Any], product: str | None, memory_mib: int | None
) -> None:
    found = accelerator_of(pod_spec, {})
    assert (found.product, found.memory_mib, found.count) == (product, memory_mib, None)


def test_limits_give_the_number_and_a_name_wins_over_labels() -> None:
    labelled = {"nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"}}
    assert accelerator_of({}, {"nvidia.com/gpu": "8"}) == Accelerator(count=8)
    assert accelerator_of(labelled, {"nvidia.com/gpu": "2"}, "NVIDIA H200").product == "NVIDIA-H200"
    assert accelerator_of(labelled, {"amd.com/gpu": "4"}, "MI300X") == Accelerator(
        "AMD-Instinct-MI300X", 4, 196_608, None, "catalogue"
    )
