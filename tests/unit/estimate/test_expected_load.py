"""What an instance that nobody measured would show under a declared load, by the step model."""

from typing import Any

import pytest
from tests.support.build import a, an, metrics

from inferplan.api.instance import WorkloadSpec
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.dialects.effective import effective
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.serving import SettingValue
from inferplan.estimate.expected_load import ExpectedLoad, expected_load

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)


def observation(engine: Engine = Engine.VLLM, version: str = "0.33.0", **parts: Any) -> Observation:
    settings: dict[str, SettingValue] = {
        "max_batch_size": 32,
        "max_model_len": 8192,
        "tensor_parallel_size": 1,
        **parts.pop("settings", {}),
    }
    traffic = {"input_tokens": 1000, "output_tokens": 300} | parts.pop("workload", {"concurrency": 96})
    gpu = parts.pop("accelerator", H100)
    config = effective(a.config(engine, version, **settings), gpu)
    return an.observation(config=config, accelerator=gpu, metrics=metrics(), declared=WorkloadSpec(**traffic), **parts)


def expected(**parts: Any) -> ExpectedLoad:
    found = expected_load(observation(**parts))
    assert isinstance(found, ExpectedLoad), found
    return found


def refused(**parts: Any) -> Missing:
    found = expected_load(observation(**parts))
    assert isinstance(found, Missing), found
    return found


def test_what_is_above_the_cap_waits() -> None:
    found = expected()
    assert (found.running, found.waiting, found.saturated) == (32.0, 64.0, False)
    assert found.step_tokens == pytest.approx(32 * (1 + 1000 / 300))
    assert 0.05 < found.kv_cache_usage < 0.1  # 32 x 1,150 tokens of 465,000


def test_what_the_cache_does_not_hold_waits() -> None:
    found = expected(settings={"max_batch_size": 1024}, workload={"concurrency": 1000})
    assert found.kv_cache_usage == 1.0
    assert found.running < 500
    assert found.waiting == pytest.approx(1000 - found.running)


def test_what_steps_do_not_take_waits() -> None:
    found = expected(settings={"max_batch_size": 256, "max_num_batched_tokens": 512}, workload={"concurrency": 200})
    assert found.step_tokens == pytest.approx(512)
    assert found.running == pytest.approx(512 / (1 + 1000 / 300))


def test_a_rate_that_can_be_served_is_and_next_to_none_wait() -> None:
    found = expected(workload={"requests_per_second": 3.0})
    assert (found.requests_per_second, found.saturated) == (3.0, False)
    assert found.waiting < 0.01


def test_a_rate_above_what_can_be_served_saturates() -> None:
    found = expected(workload={"requests_per_second": 30.0})
    assert found.saturated
    assert (found.running, found.requests_per_second < 12) == (32.0, True)
    assert found.waiting > 1


def test_a_tiny_engine_that_is_saturated_has_a_queue_of_one_at_least() -> None:
    found = expected(settings={"max_batch_size": 1}, workload={"requests_per_second": 30.0})
    assert found.waiting >= 1.0


def test_prefixes_count_where_they_are_cached() -> None:
    shared = {"concurrency": 96, "prefix_share": 0.8}
    on, off = (
        expected(workload=shared, settings={"max_batch_size": 96, "enable_prefix_caching": cached})
        for cached in (True, False)
    )
    assert on.kv_cache_usage < off.kv_cache_usage
    assert (on.step_tokens, off.step_tokens) == (pytest.approx(96 * (1 + 200 / 300)), pytest.approx(96 * (13 / 3)))


def test_sglang_has_no_steps_that_prompts_share() -> None:
    assert expected(engine=Engine.SGLANG, version="0.5.23").step_tokens is None


@pytest.mark.parametrize(
    ("parts", "code", "told"),
    [
        ({"workload": {}}, Reason.LOAD_UNKNOWN, "spec.workload lacks concurrency or requestsPerSecond"),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING, "no config.json"),
        ({"accelerator": from_catalogue("Foo-GPU", 1)}, Reason.ACCELERATOR_UNKNOWN, "the memory of the GPU"),
        ({"settings": {"quantization": "foo"}}, Reason.SETTING_UNKNOWN, "foo"),
        ({"settings": {"max_model_len": 131_072, "gpu_memory_utilization": 0.25}}, Reason.DOES_NOT_FIT, "not start"),
        ({"settings": {"speculative_config": "{}"}}, Reason.SETTING_UNKNOWN, "speculative decoding is on"),
    ],
)
def test_what_lacks_is_told(parts: dict[str, Any], code: Reason, told: str) -> None:
    found = refused(**parts)
    assert (found.code, told in found.reason) == (code, True), found
