"""An estimator of speed that asks NVIDIA's AIConfigurator (AISimulate's models and measured kernels), where installed.

Not a dependency: nothing is imported before the first question, and without the package every question has a reason
for an answer. Read against aiconfigurator 0.12.0 (Apache-2.0; 0.5 MB, and 82 MB aiconfigurator-core with the
database): aiconfigurator.cli.api.cli_estimate, aiconfigurator.sdk.common.
"""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from types import MappingProxyType
from typing import Any

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.load import Load
from inferplan.estimate.placement import Layout, layout_of
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval, Performance

SYSTEMS = MappingProxyType(
    {
        # Product → AIConfigurator's name of the system (aiconfigurator_core/systems/*.yaml, 0.12.0).
        "NVIDIA-A100-SXM4-80GB": "a100_sxm",
        "NVIDIA-A100-80GB-PCIe": "a100_pcie",
        "NVIDIA-A30": "a30",
        "NVIDIA-L4": "l4",
        "NVIDIA-L40S": "l40s",
        "NVIDIA-H100-80GB-HBM3": "h100_sxm",
        "NVIDIA-H100-PCIe": "h100_pcie",
        "NVIDIA-H200": "h200_sxm",
        "NVIDIA-B200": "b200_sxm",
        "NVIDIA-GB200": "gb200",
        "NVIDIA-B300-SXM6-AC": "b300_sxm",
        "NVIDIA-GB300": "gb300",
        "NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition": "rtx_pro_6000_server",
    }
)
_BACKENDS = MappingProxyType({Engine.VLLM: "vllm", Engine.SGLANG: "sglang"})
_FORMATS = MappingProxyType({NumberFormat.FP8: "fp8", NumberFormat.NVFP4: "nvfp4", NumberFormat.INT4: "int4_wo"})
"""Weight formats under the package's names. Told, because its own reading of a checkpoint with block-wise FP8 scales
("fp8_block") leads to other kernels: MiniMax-M2.5's TPOT with vLLM comes out 1.1 to 1.5 times as long as measured on
H200, 1.4 to 4 times on B300, where "fp8" has no measurement and the package says so."""
_TTFT_SPREAD = (0.85, 4.9)
_ITL_SPREAD = (0.94, 1.31)
"""Measured over told, 10 % and 90 % quantiles of 81 public runs (vLLM and SGLang; H200, B200, B300; 5 models) that
aiconfigurator 0.12.0 answers: NVIDIA's own sample, silicon_sample.csv in the same wheel. TPOT is 13 % off on
average; TTFT leaves queueing and HTTP out, and is 46 % off."""
_LONGEST = 200


@dataclass(frozen=True)
class Package:
    """What is used of the package.

    Attributes:
        estimate: cli_estimate.
        models: Model ids whose config.json it brings; it would download others.
    """

    estimate: Callable[..., Any]
    models: frozenset[str]


def installed() -> Package | Missing:
    """The package, why not where it cannot be imported here."""
    try:
        api = importlib.import_module("aiconfigurator.cli.api")
        common = importlib.import_module("aiconfigurator.sdk.common")
        return Package(api.cli_estimate, frozenset(common.DefaultHFModels))
    except Exception as error:  # noqa: BLE001  whatever another package's import raises
        why = f"aiconfigurator cannot be used here: {_short(error)}"
        return Missing(Reason.SETTING_UNKNOWN, f"{why}; pip install aiconfigurator==0.12.0")


class AiConfiguratorEstimator:
    """Implements inferplan.estimate.port.Estimator."""

    def __init__(self, find: Callable[[], Package | Missing] = installed) -> None:
        self._find = find

    @cached_property
    def _package(self) -> Package | Missing:
        return self._find()

    def performance(self, situation: EstimateInput, load: Load) -> Performance | Missing:
        """How fast the replica serves the load; why not where the package cannot tell. Never raises."""
        package = self._package
        if isinstance(package, Missing):
            return package
        asked = _question(situation, load, package.models)
        if isinstance(asked, Missing):
            return asked
        try:
            answer = package.estimate(**asked)
            return _performance(answer, situation, load)
        except Exception as error:  # noqa: BLE001  whatever the package raises
            code = Reason.DOES_NOT_FIT if str(error).startswith("OOM") else Reason.MODEL_UNSUPPORTED
            return Missing(code, f"aiconfigurator: {_short(error)}")


def _question(situation: EstimateInput, load: Load, models: frozenset[str]) -> Mapping[str, Any] | Missing:
    """Arguments of cli_estimate; why there are none."""
    config, accelerator, card = situation.config, situation.accelerator, situation.model
    system, backend = SYSTEMS.get(accelerator.product or ""), _BACKENDS.get(config.engine)
    if system is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, f"aiconfigurator does not know {accelerator.product or 'the GPU'}")
    if backend is None:
        return Missing(Reason.SETTING_UNKNOWN, f"aiconfigurator does not know the engine {config.engine}")
    if config.model not in models:
        return Missing(Reason.MODEL_UNSUPPORTED, f"aiconfigurator does not bring the model {config.model}")
    if load.concurrency is None:
        return Missing(Reason.LOAD_UNKNOWN, "aiconfigurator needs a concurrency, not a rate of arrival")
    layout = layout_of(config, accelerator.compute_capability)
    formats = _formats(config, card)
    if isinstance(layout, Missing) or isinstance(formats, Missing):
        return layout if isinstance(layout, Missing) else formats
    if _speculates(config):
        return Missing(Reason.SETTING_UNKNOWN, "aiconfigurator needs the accepted draft tokens to speculate")
    return {
        "model_path": config.model,
        "system_name": system,
        "backend_name": backend,
        **_sizes(layout, card, config, load.concurrency),
        **formats,
        "isl": max(1, round(load.input_tokens)),
        "osl": max(2, round(load.output_tokens)),
        "prefix": min(round(load.input_tokens * load.prefix_share), max(0, round(load.input_tokens) - 1)),
    }


def _sizes(layout: Layout, card: ModelCard, config: ServingConfig, concurrency: float) -> Mapping[str, int]:
    """Degrees, and the batch of one data-parallel rank: of 2 ranks with 64 requests 32."""
    ranks = layout.expert_groups * layout.expert_shards
    data = max(1, ranks // layout.tensor) if not card.is_dense else config.integer("data_parallel_size") or 1
    sizes = {
        "tp_size": layout.tensor,
        "pp_size": layout.pipeline,
        "attention_dp_size": data,
        "batch_size": max(1, round(concurrency / data)),
    }
    if card.is_dense:
        return sizes
    return {**sizes, "moe_tp_size": layout.expert_shards, "moe_ep_size": layout.expert_groups}


def _formats(config: ServingConfig, card: ModelCard) -> Mapping[str, str] | Missing:
    """Number formats under the package's names: of the KV cache, and of the weights where it is quantized."""
    kv = (config.text("kv_cache_dtype") or "auto").lower()
    brought = card.quantization.kv_cache if card.quantization is not None else None
    eight = kv.startswith("fp8") or (kv == "auto" and brought is NumberFormat.FP8)
    if not eight and kv not in {"auto", "bfloat16", "float16", "bf16"}:
        return Missing(Reason.SETTING_UNKNOWN, f"aiconfigurator does not know kv_cache_dtype {kv[:_LONGEST]}")
    weights = _weight_format(config, card)
    if isinstance(weights, Missing):
        return weights
    formats = {"kvcache_quant_mode": "fp8" if eight else "bfloat16"}
    if weights is None:
        return formats
    if card.is_dense:
        return {**formats, "gemm_quant_mode": weights}
    scaled = weights == "fp8" and config.engine is Engine.SGLANG and card.quantization is not None
    return {**formats, "gemm_quant_mode": weights, "moe_quant_mode": "fp8_block" if scaled else weights}


def _weight_format(config: ServingConfig, card: ModelCard) -> str | Missing | None:
    """The package's name of the weights' format; None where the package's own reading is as good."""
    if card.quantization is not None:
        return _FORMATS.get(card.quantization.weights)
    online = config.text("quantization")
    if online not in {None, "fp8"}:
        return Missing(Reason.SETTING_UNKNOWN, f"aiconfigurator does not know quantization {str(online)[:_LONGEST]}")
    return online


def _speculates(config: ServingConfig) -> bool:
    keys = ("speculative_config", "speculative_model", "spec_method", "speculative_algorithm")
    return any(config.text(key) for key in keys)


def _performance(answer: Any, situation: EstimateInput, load: Load) -> Performance | Missing:  # noqa: ANN401  its class
    """The package's milliseconds with intervals around them, or why they are none."""
    ttft, itl = float(answer.ttft), float(answer.tpot)
    requests = float(answer.raw["seq/s"])  # of all data-parallel ranks
    values = (ttft, itl, requests)
    if not all(isfinite(value) and value > 0 for value in values):
        return Missing(Reason.MODEL_UNSUPPORTED, f"aiconfigurator gave no usable value: {values}")
    slow, fast = _ITL_SPREAD[1], _ITL_SPREAD[0]
    served = Interval(requests / slow, requests, requests / fast)
    tokens = load.output_tokens
    return Performance(
        ttft_milliseconds=_interval(ttft, _TTFT_SPREAD),
        itl_milliseconds=_interval(itl, _ITL_SPREAD),
        output_tokens_per_second=Interval(served.low * tokens, served.expected * tokens, served.high * tokens),
        requests_per_second=served,
        source=Source.MEASURED_ELSEWHERE,
        assumptions=tuple(_assumptions(answer, situation.config, situation.accelerator)),
    )


def _assumptions(answer: Any, config: ServingConfig, accelerator: Accelerator) -> Iterator[str]:  # noqa: ANN401  its class
    measured = str(answer.backend_version)[:_LONGEST]
    if measured != config.version:
        yield f"kernels were measured with {config.engine} {measured}, the instance runs {config.version or 'another'}"
    warning = getattr(answer, "kv_cache_warning", None)
    if warning:
        yield "aiconfigurator thinks that the KV cache is too small for all of the requests, and leaves waiting out"
    if accelerator.shared:
        yield "the GPUs are shared with other containers, which is left out"


def _interval(milliseconds: float, spread: tuple[float, float]) -> Interval:
    return Interval(milliseconds * spread[0], milliseconds, milliseconds * spread[1])


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_LONGEST]
