"""The bundled estimator of speed: a step model under a load (performance-model section 2)."""

import re
from dataclasses import dataclass

import numpy as np

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.domain.gpu import GPU
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.cache_values import cache_value_bytes
from inferplan.estimate.calibration import Calibration
from inferplan.estimate.load import Load
from inferplan.estimate.number_formats import served_format
from inferplan.estimate.placement import layout_of
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval, Performance
from inferplan.estimate.service import Flow, Limits, Loads, Service
from inferplan.estimate.speed_constants import SpeedFit, Spread, shipped
from inferplan.estimate.step_building import Deployment, step_shape
from inferplan.estimate.step_shape import StepColumns, StepShape

_SPECULATION = ("speculative_config", "speculative_model", "spec_method", "speculative_algorithm")
_CHUNK = {Engine.VLLM: 2048.0, Engine.SGLANG: 8192.0}
"""Prompt tokens per step where the setting is not known: the smallest default of vLLM's servers, SGLang's most common
one (engine-facts sections 1c and 4f)."""
_PLAIN_UNTIL = {"gptq": (0, 22), "awq": (0, 24)}
_SECOND_ENGINE = (0, 8)
_MILLISECONDS = 1e3
_FITTED_CAPABILITIES = frozenset({90, 100, 103})
"""Compute capabilities of the GPUs that the constants were fitted on: H100, H200, B200, B300."""

_ELSEWHERE_WIDER = 1.5
"""On other GPUs, intervals are widened by this power: the leave-one-GPU-out errors between Hopper and Blackwell are
that much larger than the errors in sample (benchmarks/results/accuracy.md)."""

LENGTHS = "latencies are means; a closed loop is a load test of ten requests per client that all start at once"


@dataclass(frozen=True)
class Question:
    """A deployment, and what bounds it.

    Attributes:
        shape: What a step works on.
        running: max_num_seqs over all data-parallel ranks; infinite where nothing bounds it.
        batched_tokens: Prompt tokens per step.
        prefix_caching: Whether shared prefixes are computed once; None where it is not known.
        unmeasured: Why only a calibrated answer has a basis; None where the model itself has one.
        assumptions: What was assumed, each a sentence.
    """

    shape: StepShape
    running: float
    batched_tokens: float
    prefix_caching: bool | None
    unmeasured: Missing | None = None
    assumptions: tuple[str, ...] = ()


class StepTimeEstimator:
    """Implements port.Estimator.

    Args:
        fit: Constants and spreads; the shipped ones by default.
        calibration: What was learned of the instance that is asked about.
    """

    def __init__(self, fit: SpeedFit | None = None, calibration: Calibration | None = None) -> None:
        self._fit = fit or shipped()
        self._calibration = calibration

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        """How fast the replica serves the load; why not where that has no basis. Never raises."""
        asked = question(situation)
        if isinstance(asked, Missing):
            return asked
        if asked.unmeasured is not None and self._calibration is None:
            return asked.unmeasured
        flow = self.flow(asked, situation, load)
        if not np.isfinite(flow.ttft_seconds).all() or not np.isfinite(flow.itl_seconds).all():
            return Missing(Reason.SETTING_UNKNOWN, "the settings and the load together are beyond any real server")
        return self._told(flow, situation, asked, load)

    def flow(self, asked: Question, situation: EstimateInput, load: Load) -> Flow:
        """The expected flow under a load."""
        times = self._calibration.multipliers if self._calibration is not None else None
        cache = situation.cache_tokens if situation.cache_tokens is not None else float("inf")
        limits = Limits(np.array([asked.running]), np.array([asked.batched_tokens]), np.array([cache]))
        computed = load if asked.prefix_caching is not False else load.without_prefixes()
        return Service(StepColumns([asked.shape]), self._fit.constants, times).under(Loads([computed]), limits)

    def _told(self, flow: Flow, situation: EstimateInput, asked: Question, load: Load) -> Performance:
        served = float(flow.requests_per_second[0])
        itl, ttft = self._spread("itl", situation), self._spread("ttft", situation)
        saturated = bool(flow.saturated[0])
        late = Missing(Reason.SATURATED, "more requests arrive than are served: the queue, and latency, have no bound")
        open_loop = load.concurrency is None and not saturated
        flat = Spread(1.0, 1.0)
        speed = flat if open_loop else Spread(1.0 / itl.high, 1.0 / itl.low)
        return Performance(
            ttft_milliseconds=late if saturated else _interval(flow.ttft_seconds[0] * _MILLISECONDS, ttft),
            itl_milliseconds=late if saturated else _interval(flow.itl_seconds[0] * _MILLISECONDS, itl),
            output_tokens_per_second=_interval(served * load.output_tokens, speed),
            requests_per_second=_interval(served, speed),
            source=Source.ROOFLINE if self._calibration is None else Source.CALIBRATED_HERE,
            saturated=saturated,
            assumptions=asked.assumptions,
            notes=(LENGTHS,),
        )

    def _spread(self, what: str, situation: EstimateInput) -> Spread:
        """How far the model may be off, for this engine and what is known of this instance."""
        if self._calibration is not None:
            return self._calibration.spread(self._fit.spreads[f"{situation.config.engine} {what} seen"], what)
        spread = self._fit.spreads[f"{situation.config.engine} {what}"]
        if situation.accelerator.compute_capability in _FITTED_CAPABILITIES:
            return spread
        return Spread(spread.low**_ELSEWHERE_WIDER, spread.high**_ELSEWHERE_WIDER)


def question(situation: EstimateInput) -> Question | Missing:
    """What the estimator needs of a situation; why not where that is not known."""
    engine = situation.config.engine
    if engine not in _CHUNK:
        return Missing(Reason.ENGINE_END_OF_LIFE, f"the speed of {engine} is not modelled")
    deployment = deployment_of(situation)
    if isinstance(deployment, Missing):
        return deployment
    shape = step_shape(deployment)
    if isinstance(shape, Missing):
        return shape
    named = situation.accelerator.gpu
    taken = () if deployment.gpu is named else (f"the GPU's name fits several: {deployment.gpu.name} is assumed",)
    return _limited(situation, shape, deployment.attention_ranks, taken)


def _unmeasured(config: ServingConfig) -> Missing | None:
    """What only this instance's own measurements can tell; a calibration holds it as it was measured."""
    if any(config.value(key) not in {None, "", "none"} for key in _SPECULATION):
        why = "speculative decoding is on, and how many of its tokens are accepted is not known without a measurement"
        return Missing(Reason.SETTING_UNKNOWN, why)
    if config.flag("enforce_eager") or config.flag("disable_cuda_graph"):
        why = "CUDA graphs are off, and what launching every kernel costs is not known without a measurement"
        return Missing(Reason.SETTING_UNKNOWN, why)
    return None


def deployment_of(situation: EstimateInput) -> Deployment | Missing:
    """Model, formats, ranks and GPU of a situation."""
    config, gpu, card = situation.config, situation.accelerator, situation.model
    if gpu.gpu is None:
        named = gpu.product or "it"
        return Missing(
            Reason.ACCELERATOR_UNKNOWN, f"the GPU's bandwidth and peak are not known ({named} is no known GPU)"
        )
    if gpu.shared:
        why = f"{gpu.product} is shared with other pods, and what they leave of its time is not known"
        return Missing(Reason.ACCELERATOR_UNKNOWN, why)
    layout, served = layout_of(config, gpu.compute_capability), served_format(config, card)
    if isinstance(layout, Missing):
        return layout
    if isinstance(served, Missing):
        return served
    value_bytes = cache_value_bytes(config, card, served.bits)
    if isinstance(value_bytes, Missing):
        return value_bytes
    sglang = config.engine is Engine.SGLANG
    first = not sglang and _is_first_engine(config.version)
    return Deployment(
        card=card,
        served=served,
        layout=layout,
        gpu=_usual(gpu.gpu),
        cache_bytes=value_bytes,
        attention_ranks=_attention_ranks(config),
        engine_is_sglang=sglang,
        serial_cpu=first,
        prefill_apart=_prefill_apart(config, sglang=sglang, first=first),
        receive_interval=_stated_interval(config),
        plain_kernels=_plain_kernels(config),
    )


def _usual(gpu: GPU) -> GPU:
    """The GPU; of a name that fits several whose speeds differ, the most usual one."""
    told = gpu.bandwidth_gb_per_second is not None and gpu.interconnect_gb_per_second is not None
    return gpu if told or not gpu.variants else gpu.variants[0]


def _attention_ranks(config: ServingConfig) -> int:
    """Copies of the attention that share the requests: vLLM's data-parallel ranks, SGLang's with its DP attention."""
    ranks = config.integer("data_parallel_size") or 1
    return ranks if config.engine is Engine.VLLM or config.flag("enable_dp_attention") else 1


def _is_first_engine(version: str | None) -> bool:
    """V0 was vLLM's default up to 0.7 (engine-facts section 1d)."""
    release = _release(version)
    return release is not None and release < _SECOND_ENGINE


def _prefill_apart(config: ServingConfig, *, sglang: bool, first: bool) -> bool:
    """SGLang prefills in steps of their own unless told to mix; V0 does without chunked prefill."""
    if sglang:
        return not config.flag("enable_mixed_chunk")
    return first and not config.flag("enable_chunked_prefill")


def _plain_kernels(config: ServingConfig) -> bool:
    """Whether the flag forces AWQ's or GPTQ's own kernels, which without it are replaced by Marlin's.

    override_quantization_method in gptq_marlin.py (vLLM 0.6.6 to 0.21.0) and awq_marlin.py (to 0.23.0); later releases
    have one class for both.
    """
    last = _PLAIN_UNTIL.get(config.text("quantization") or "")
    release = _release(config.version)
    return config.engine is Engine.VLLM and last is not None and release is not None and release < last


def _release(version: str | None) -> tuple[int, int] | None:
    found = re.match(r"\D*(\d+)\.(\d+)", version or "")
    return None if found is None else (int(found[1]), int(found[2]))


def _stated_interval(config: ServingConfig) -> int | None:
    return config.integer("scheduler_recv_interval") if config.engine is Engine.SGLANG else None


def _limited(situation: EstimateInput, shape: StepShape, ranks: int, taken: tuple[str, ...]) -> Question:
    config, assumptions = situation.config, list[str](taken)
    sequences, tokens = config.integer("max_batch_size"), config.integer("max_num_batched_tokens")
    if tokens is None or tokens <= 0:
        tokens_known = _CHUNK[config.engine]
        assumptions.append(f"prompt tokens per step are not known: {tokens_known:,.0f} are assumed")
    else:
        tokens_known = float(tokens)
    if sequences is None and config.engine is Engine.VLLM:
        assumptions.append("max_num_seqs is not known: nothing but the KV cache is taken to bound running requests")
    if situation.cache_tokens is None:
        assumptions.append("the KV cache's size is not known: it is taken to hold all running requests")
    running = float(sequences) * ranks if sequences is not None and sequences > 0 else float("inf")
    caching = config.flag("enable_prefix_caching") if config.engine is Engine.VLLM else None
    unmeasured = _unmeasured(config)
    if unmeasured is not None:
        assumptions.append("speculation and launches are taken to stay as they were measured")
    return Question(shape, running, tokens_known, caching, unmeasured, tuple(assumptions))


def _interval(value: float, spread: Spread) -> Interval:
    expected = float(value)
    return Interval(min(expected, expected * spread.low), expected, max(expected, expected * spread.high))
