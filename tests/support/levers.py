"""Levers, forecasts and observations for tests of the planner: Llama-3.1-8B on an H100, measured in full."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.support.build import an

from inferplan.api.instance import OptimizerName
from inferplan.api.values import ConfigChange, Evidence, OptimizationType
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.lever import Lever, Option
from inferplan.domain.observation import Observation
from inferplan.domain.serving import SettingValue

H100 = from_catalogue("NVIDIA-H100-80GB-HBM3", 1)
KINDS = {
    OptimizerName.KV_CACHE: OptimizationType.KV_CACHE,
    OptimizerName.QUANTIZATION: OptimizationType.QUANTIZATION,
    OptimizerName.BATCHING: OptimizationType.BATCHING,
}
FLAGS = {
    "max_batch_size": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
    "max_model_len": "--max-model-len",
    "gpu_memory_utilization": "--gpu-memory-utilization",
    "kv_cache_dtype": "--kv-cache-dtype",
    "quantization": "--quantization",
    "enforce_eager": "--enforce-eager",
}
CAPPED: Mapping[str, float | None] = {
    # the cap of 32 is reached, 20 wait; 12 a second, each 200 tokens long
    "num_requests_running": 32.0,
    "num_requests_running_peak": 32.0,
    "num_requests_waiting": 20.0,
    "num_requests_waiting_peak": 25.0,
    "kv_cache_usage": 0.10,
    "kv_cache_usage_mean": 0.08,
    "kv_cache_usage_p99": 0.10,
    "requests_per_second": 12.0,
    "generation_tokens_per_second": 2900.0,
    "itl_mean_milliseconds": 11.0,
    "ttft_mean_milliseconds": 2500.0,
    "queue_time_mean_milliseconds": 2000.0,
}


def capped(load: Mapping[str, float | None] | None = None, **changes: Any) -> Observation:
    """An engine whose cap holds it back, with all of its load measured; changes as in `an.observation`."""
    return an.serving({**CAPPED, **(load or {})}, **{"accelerator": H100, **changes})


def option(key: str, current: SettingValue | None, value: SettingValue | None, **fields: Any) -> Option:
    """One change of one setting; no value takes the flag out."""
    change = ConfigChange(
        parameter=key,
        flag=FLAGS[key],
        current_value=current,
        recommended_value=value,
        removes_flag=value is None,
        reason=f"{key} was seen to be in the way.",
        evidence=(Evidence(formula="1 + 1", value=2),),
    )
    return Option((change,), f"{key} from {current} to {value}", f"{key} is changed.", **fields)


def lever(name: OptimizerName, key: str, current: SettingValue | None, *values: SettingValue | None) -> Lever:
    """A lever on one setting."""
    return Lever(name, KINDS[name], tuple(option(key, current, value) for value in values))


def caps(*values: int) -> Lever:
    """The scheduler's cap, from 32."""
    return lever(OptimizerName.BATCHING, "max_batch_size", 32, *values)


def risky(one: Lever, **fields: Any) -> Lever:
    """The lever with other fields in all of its options."""
    return replace(one, options=tuple(replace(each, **fields) for each in one.options))
