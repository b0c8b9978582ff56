"""Levers, forecasts and observations for tests of the planner: Llama-3.1-8B on an H100, measured in full."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from tests.support.build import a, an

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, Evidence, OptimizationType, Source
from inferplan.dialects.effective import effective
from inferplan.domain.architecture import DenseMLP, Layer, LinearAttention
from inferplan.domain.hardware import from_catalogue
from inferplan.domain.lever import Lever, LimitKey, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import SettingValue
from inferplan.estimate.forecast import Moves, Outlook, Place, Ratios, Span

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
STILL = Span(1.0, 1.0, 1.0)
NO_FORECAST = Missing(Reason.MODEL_UNSUPPORTED, "there is no price for it")
Moved = tuple[str, SettingValue]
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


def without_a_sized_cache(**changes: Any) -> Observation:
    """Recurrent states on a release whose planner for them is not known; changes as in `an.observation`."""
    card = a.model(layers=(Layer(LinearAttention(16, 32, 128, 128, 4), DenseMLP(14_336)),) * 32)
    config = effective(a.config(version="0.9.2", max_batch_size=32, max_model_len=8192), H100)
    return an.observation(config=config, model=card, **changes)


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


class Priced:
    """A forecast by a price list: throughput is multiplied by what each setting's value brings, latencies stay.

    Args:
        brings: Factor by setting and value; what is not named brings nothing, and None has no forecast.
        low: What the lower end of every interval is multiplied by.
        itl: Span of the time between tokens and its percentiles.
    """

    source, basis, windows = Source.CALIBRATED_HERE, "A price list.", 3

    def __init__(self, brings: Mapping[Moved, float | None], low: float = 1.0, itl: Span = STILL) -> None:
        self._brings, self._low, self._itl = brings, low, itl

    def outlook(self, place: Place, moves: Moves) -> Outlook | Missing:
        """Every candidate's product."""
        size = max((len(values) for values in moves.values()), default=1)
        found = [self._factor(place, {key: values[at] for key, values in moves.items()}) for at in range(size)]
        known = np.array([factor for factor in found if factor is not None])
        if len(known) < size:
            return NO_FORECAST
        one, none, never = np.ones(size), np.zeros(size), np.zeros(size, dtype=bool)
        return Outlook(~never, one, known, one, one, one, never, none, none, none)

    def ratios(self, before: Place, after: Place, percentiles: Sequence[int] = ()) -> Ratios | Missing:
        """One product over the other."""
        first, second = self._factor(before, {}), self._factor(after, {})
        if first is None or second is None:
            return NO_FORECAST
        ratio = second / first
        span = Span(ratio * (self._low if ratio != 1 else 1.0), ratio, ratio * 1.1)
        return Ratios(span, self._itl, STILL, dict.fromkeys(percentiles, self._itl))

    def _factor(self, place: Place, moved: Mapping[LimitKey, float]) -> float | None:
        values = {key: setting.value for key, setting in place.config.items()} | moved
        factors = [factor for (key, value), factor in self._brings.items() if values.get(key) == value]
        return None if None in factors else prod(factor for factor in factors if factor is not None)
