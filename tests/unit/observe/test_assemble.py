"""What was read, put together."""

from types import MappingProxyType
from typing import Any

import pytest
from tests.support.build import LLAMA, LLAMA_CONFIG, a

from inferplan.api.instance import AcceleratorSpec, Objective, OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin
from inferplan.observe.assemble import Sources, SpecError, assemble, check_keys, policy_of, settings_of

LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}


def sources(container: Container | None = None, **changes: Any) -> Sources:
    spec = a.instance(**changes.pop("spec", {}))
    return Sources(spec=spec, container=container or a.container("M", "--max-num-seqs=32"), **changes)


def values(result: Sources) -> dict[str, tuple[object, Origin]]:
    return {key: (setting.value, setting.origin) for key, setting in assemble(result).observation.config.items()}


def test_spec_overrides_workload_and_workload_overrides_defaults() -> None:
    container = a.container("M", "--max-num-seqs=32", "--max-model-len=8k")
    seen = values(sources(container, spec={"current_config": {"maxModelLen": "4K"}}, node_labels=LABELS))
    assert seen["max_model_len"] == (4096, Origin.SPEC)
    assert seen["max_batch_size"] == (32, Origin.ARGUMENT)
    assert seen["max_num_batched_tokens"] == (8192, Origin.VERSION_DEFAULT)
    assert seen["gpu_memory_utilization"] == (0.92, Origin.VERSION_DEFAULT)


def test_without_a_workload_the_spec_stands_alone() -> None:
    spec = a.instance(target_ref=None, engine_version="0.33.0", current_config={"max_batch_size": 32})
    result = assemble(Sources(spec))
    assert result.observation.config.integer("max_batch_size") == 32
    assert result.observation.config.fraction("gpu_memory_utilization") == 0.92
    assert result.unreadable == ()


@pytest.mark.parametrize(
    ("image", "running", "stated", "version"),
    [
        ("vllm/vllm-openai:v0.33.0", None, None, "0.33.0"),
        ("vllm/vllm-openai:v0.33.0", "0.32.0", None, "0.32.0"),
        ("vllm/vllm-openai:v0.33.0", "0.32.0", "0.31.0", "0.31.0"),
        ("lmsysorg/sglang:v0.5.6", None, None, None),  # another engine's tag says nothing
        ("mirror/vllm:v0.33.0", None, None, None),
    ],
)
def test_the_version_is_stated_or_runs_or_stands_in_a_release_tag(
    image: str, running: str | None, stated: str | None, version: str | None
) -> None:
    result = sources(a.container("M", image=image), spec={"engine_version": stated}, running_version=running)
    assert assemble(result).observation.config.version == version


def test_an_unreadable_setting_has_no_default() -> None:
    result = assemble(sources(a.container("M", "--max-num-seqs=$(SEQS)"), node_labels=LABELS))
    assert "max_batch_size" not in result.observation.config.settings
    assert "max_num_batched_tokens" not in result.observation.config.settings  # one limit bounds the other
    assert result.observation.config.text("kv_cache_dtype") == "auto"
    assert [entry.key for entry in result.unreadable] == ["max_batch_size"]


def test_the_spec_mends_an_unreadable_setting() -> None:
    container = a.container("M", "--max-num-seqs=$(SEQS)")
    seen = values(sources(container, spec={"current_config": {"max_batch_size": 16}}, node_labels=LABELS))
    assert seen["max_batch_size"] == (16, Origin.SPEC)
    assert seen["max_num_batched_tokens"] == (8192, Origin.VERSION_DEFAULT)


@pytest.mark.parametrize(
    "container",
    [
        a.container("M", "--config", "f.yaml", "--max-num-seqs=32"),
        a.container(command=("sh", "/start.sh")),
    ],
)
def test_where_flags_may_hide_no_default_holds(container: Container) -> None:
    result = assemble(sources(container, node_labels=LABELS))
    assert all(setting.origin is Origin.ARGUMENT for _, setting in result.observation.config.items())
    assert len(result.unreadable) == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"maxBatchSiz": 1}, 'spec.currentConfig: unknown config key "maxBatchSiz" for vllm'),
        ({"maxBatchSize": "many"}, "spec.currentConfig.maxBatchSize: 'many' is not allowed; it must be a whole number"),
        ({"maxBatchSize": True}, "True is not allowed"),
        ({"gpuMemoryUtilization": 90}, "90 is not allowed; it must be a number above 0 and up to 1"),
        ({"quantization": False}, "False is not allowed; it must be a text"),
        ({"maxBatchSize": 1, "--max-num-seqs": 2}, 'spec.currentConfig: "--max-num-seqs" sets max_batch_size, which'),
        ({"maxBatchSize": "x" * 9999}, "is not allowed"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError) as refusal:
        settings_of(Engine.VLLM, config)
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 300


def test_any_flag_of_the_engine_may_be_a_setting() -> None:
    settings = settings_of(Engine.VLLM, {"swapSpace": 4, "--long-prefill-token-threshold": 512})
    assert {key: setting.value for key, setting in settings.items()} == {
        "swap_space": 4,
        "long_prefill_token_threshold": 512,
    }


def test_null_says_nothing() -> None:
    assert settings_of(Engine.VLLM, {"maxBatchSize": None}) == MappingProxyType({})


@pytest.mark.parametrize(
    "name",
    [
        *("kvCache", "kv_cache", "batching", "version", "maxBatchSize", "--max-num-seqs"),
        *("--no-enable-prefix-caching", "--swap-space", "swapSpace", "--no-enable-log-requests"),
    ],
)
def test_optimizers_keys_and_flags_may_be_forbidden(name: str) -> None:
    check_keys(Engine.VLLM, a.instance(constraints={"forbid": [name]}).constraints)


def test_an_unknown_name_cannot_be_forbidden() -> None:
    result = sources(spec={"constraints": {"forbid": ["kvcach"]}})
    with pytest.raises(SpecError, match=r'spec.constraints.forbid: unknown config key "kvcach" for vllm'):
        assemble(result)


def test_labels_and_limits_name_the_gpus() -> None:
    container = a.container("M", limits={"nvidia.com/gpu": "4"})
    seen = assemble(sources(container, node_labels=LABELS)).observation.accelerator
    assert seen == Accelerator("NVIDIA-H100-80GB-HBM3", 4, 81_559, 90, "nodeLabels")


@pytest.mark.parametrize(
    ("spec", "labels", "gpu"),
    [
        (None, {}, Accelerator()),
        (None, {"nvidia.com/gpu.product": "NVIDIA-L4"}, Accelerator("NVIDIA-L4", None, 23_034, 89, "nodeLabels")),
        (None, {"nvidia.com/gpu.memory": "²", "nvidia.com/gpu.compute.major": "²"}, Accelerator()),
        ({"product": "NVIDIA H200", "count": 2}, LABELS, Accelerator("NVIDIA-H200", 2, 143_771, 90, "catalogue")),
        ({"product": "b300_sxm"}, LABELS, Accelerator("NVIDIA-B300-SXM6-AC", None, 275_040, 103, "catalogue")),
        ({"product": "NVIDIA-X100"}, LABELS, Accelerator("NVIDIA-X100", None, None, None, "spec")),
        ({"count": 2}, LABELS, Accelerator("NVIDIA-H100-80GB-HBM3", 2, 81_559, 90, "nodeLabels")),
        ({"memory_gib": 40}, LABELS, Accelerator("NVIDIA-H100-80GB-HBM3", None, 40_960, 90, "spec")),
        # as a log prints it: 39.56 x 1024 = 40,509.4
        ({"memory_gib": 39.56}, LABELS, Accelerator("NVIDIA-H100-80GB-HBM3", None, 40_509, 90, "spec")),
    ],
)
def test_the_spec_overrides_labels(spec: dict[str, Any] | None, labels: dict[str, str], gpu: Accelerator) -> None:
    stated = AcceleratorSpec(**spec) if spec is not None else None
    seen = assemble(sources(a.container("M"), spec={"accelerator": stated}, node_labels=labels))
    assert seen.observation.accelerator == gpu


@pytest.mark.parametrize("limit", ["²", "many", ""])
def test_an_odd_limit_is_no_count(limit: str) -> None:
    seen = assemble(sources(a.container("M", limits={"nvidia.com/gpu": limit})))
    assert seen.observation.accelerator.count is None


def test_the_models_config_comes_from_either_place() -> None:
    assert assemble(sources(model_config=LLAMA_CONFIG)).observation.model == LLAMA
    inline = sources(spec={"model": {"config": dict(LLAMA_CONFIG)}})
    assert assemble(inline).observation.model == LLAMA
    nothings: tuple[dict[str, Any], ...] = ({}, {"model": {"config": {}}})
    for nothing in nothings:
        card = assemble(sources(spec=nothing)).observation.model
        assert isinstance(card, Missing)
        assert card.code is Reason.MODEL_CONFIG_MISSING


def test_the_model_is_stated_or_read() -> None:
    assert assemble(sources()).observation.config.model == "M"
    assert assemble(sources(spec={"model": {"id": "N"}})).observation.config.model == "N"


def test_the_policy_is_the_owners_word() -> None:
    checkpoints = [{"method": "fp8", "id": "org/fp8"}]
    spec = a.instance(
        objective="latency",
        model={"checkpoints": checkpoints},
        constraints={"optimizers": ["batching"], "minMaxModelLen": 8192},
    )
    policy = policy_of(spec)
    assert policy.objective is Objective.LATENCY
    assert (policy.optimizers, policy.min_max_model_len) == ((OptimizerName.BATCHING,), 8192)
    assert policy.checkpoints[0].id == "org/fp8"
    assert not policy.rules_of_thumb
    assert policy_of(a.instance(), rules_of_thumb=True).rules_of_thumb
