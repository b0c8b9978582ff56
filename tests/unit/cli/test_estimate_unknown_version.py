"""Memory where nobody states the engine's version."""

from typing import Any

from tests.support.build import LLAMA_CONFIG

from inferplan.cli.documents import Document
from inferplan.cli.estimate_answer import Answer, Asked, answer
from inferplan.cli.estimate_load import Flags
from inferplan.domain.measurement import Missing
from inferplan.estimate.memory_estimate import MemoryEstimate, estimate_memory
from inferplan.estimate.speed import StepTimeEstimator


def answered(version: str | None) -> Answer:
    spec: dict[str, Any] = {
        "engine": "vllm",
        "model": {"id": "meta-llama/Llama-3.1-8B", "config": dict(LLAMA_CONFIG)},
        "accelerator": {"product": "NVIDIA-H100-80GB-HBM3", "count": 1},
        "currentConfig": {"max_model_len": 16_000, "gpu_memory_utilization": 0.9, "tensor_parallel_size": 1},
    }
    document = {
        "apiVersion": "inferplan.dev/v1alpha1",
        "kind": "InferenceInstance",
        "metadata": {"name": "llama"},
        "spec": spec if version is None else {**spec, "engineVersion": version},
    }
    return answer(Document("llama", document), [], Asked(Flags(), estimate_memory, StepTimeEstimator()))


def memory(version: str | None) -> MemoryEstimate:
    found = answered(version).memory
    assert not isinstance(found, Missing)
    return found


def test_the_release_that_leaves_least_is_expected_and_all_lie_within() -> None:
    unknown = memory(None)
    releases = [memory(version) for version in ("0.11.2", "0.19.1", "0.33.0")]
    assert unknown.kv_cache_bytes.expected == min(one.kv_cache_bytes.expected for one in releases)
    assert unknown.kv_cache_bytes.low <= min(one.kv_cache_bytes.low for one in releases)
    assert unknown.kv_cache_bytes.high >= max(one.kv_cache_bytes.high for one in releases)


def test_it_is_told() -> None:
    told = answered(None).assumptions
    assert any(
        sentence.endswith("memory is that of the release that leaves least for the KV cache") for sentence in told
    )
