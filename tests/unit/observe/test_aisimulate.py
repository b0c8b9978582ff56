"""The estimator that asks AIConfigurator: what it asks, what it makes of the answer, and why it has none."""

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from tests.support.build import LLAMA, LLAMA_CONFIG

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine, Source
from inferplan.domain.gpus import catalogue
from inferplan.domain.hardware import Accelerator, from_catalogue
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.model_config import read_model_config
from inferplan.domain.serving import Origin, ServingConfig, Setting
from inferplan.estimate.load import Load
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.result import Interval, Performance
from inferplan.observe.aisimulate import SYSTEMS, AiConfiguratorEstimator, Package, installed

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
LOAD = Load(concurrency=64, requests_per_second=None, input_tokens=1000, output_tokens=500, prefix_share=0.25)
H200 = from_catalogue("h200_sxm", 8)


def _situation(
    engine: Engine = Engine.VLLM, gpu: Accelerator = H200, card: ModelCard = LLAMA, **settings: Any
) -> EstimateInput:
    model = settings.pop("model", MODEL)
    known = {key: Setting(value, Origin.SPEC) for key, value in settings.items()}
    return EstimateInput(ServingConfig(engine, "0.24.0", model, known), gpu, card)


class _Fake:
    """Stands for cli_estimate; keeps what it was asked."""

    def __init__(self, ttft: float = 100.0, tpot: float = 10.0, raw: dict[str, Any] | None = None) -> None:
        self.asked: dict[str, Any] = {}
        self._answer = SimpleNamespace(
            ttft=ttft, tpot=tpot, raw={"seq/s": 6.0, **(raw or {})}, backend_version="0.24.0"
        )

    def __call__(self, **asked: Any) -> Any:
        self.asked = asked
        return self._answer

    @property
    def estimator(self) -> AiConfiguratorEstimator:
        return AiConfiguratorEstimator(lambda: Package(self, frozenset({MODEL})))


def test_the_answer_becomes_values_with_intervals() -> None:
    told = _Fake().estimator.performance(_situation(tensor_parallel_size=2), LOAD)
    assert isinstance(told, Performance)
    assert isinstance(told.ttft_milliseconds, Interval)
    assert isinstance(told.itl_milliseconds, Interval)
    assert isinstance(told.output_tokens_per_second, Interval)
    assert (told.ttft_milliseconds.expected, told.itl_milliseconds.expected) == (100.0, 10.0)
    assert told.output_tokens_per_second.expected == 3000  # 6 requests/s x 500 tokens
    assert told.itl_milliseconds.low < 10 < told.itl_milliseconds.high
    assert (told.source, told.assumptions, told.saturated) == (Source.MEASURED_ELSEWHERE, (), False)


@pytest.mark.parametrize(
    ("engine", "settings", "asked"),
    [
        (Engine.VLLM, {}, {"tp_size": 1, "attention_dp_size": 1, "batch_size": 64, "kvcache_quant_mode": "bfloat16"}),
        (Engine.VLLM, {"tensor_parallel_size": 4, "pipeline_parallel_size": 2}, {"tp_size": 4, "pp_size": 2}),
        (Engine.VLLM, {"data_parallel_size": 4}, {"attention_dp_size": 4, "batch_size": 16}),
        (Engine.VLLM, {"kv_cache_dtype": "fp8_e4m3"}, {"kvcache_quant_mode": "fp8"}),
        (Engine.VLLM, {"quantization": "fp8"}, {"gemm_quant_mode": "fp8"}),
        (Engine.SGLANG, {"tensor_parallel_size": 2}, {"backend_name": "sglang", "tp_size": 2}),
    ],
)
def test_settings_become_arguments(engine: Engine, settings: dict[str, Any], asked: dict[str, Any]) -> None:
    fake = _Fake()
    assert isinstance(fake.estimator.performance(_situation(engine, **settings), LOAD), Performance)
    common = {"model_path": MODEL, "system_name": "h200_sxm", "isl": 1000, "osl": 500, "prefix": 250}
    assert asked.items() <= fake.asked.items()
    assert common.items() <= fake.asked.items()
    assert "moe_tp_size" not in fake.asked  # the model is dense


def test_experts_are_split_or_whole() -> None:
    config = {**LLAMA_CONFIG, "architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "num_experts_per_tok": 2}
    card = read_model_config(config)
    assert isinstance(card, ModelCard)
    fake = _Fake()
    fake.estimator.performance(_situation(card=card, tensor_parallel_size=8, quantization="fp8"), LOAD)
    assert (fake.asked["moe_tp_size"], fake.asked["moe_ep_size"], fake.asked["moe_quant_mode"]) == (8, 1, "fp8")
    fake.estimator.performance(
        _situation(card=card, tensor_parallel_size=4, data_parallel_size=2, enable_expert_parallel=True), LOAD
    )
    assert (fake.asked["moe_tp_size"], fake.asked["moe_ep_size"], fake.asked["attention_dp_size"]) == (1, 8, 2)


@pytest.mark.parametrize(
    ("engine", "quantization", "gemm", "moe"),
    [
        (Engine.VLLM, {"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8"),
        (Engine.SGLANG, {"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", "fp8_block"),
        (Engine.VLLM, {"quant_method": "awq", "bits": 4, "group_size": 128}, "int4_wo", "int4_wo"),
        (Engine.VLLM, {"quant_method": "mxfp4"}, None, None),
    ],
)
def test_the_checkpoints_format_is_told(
    engine: Engine, quantization: dict[str, Any], gemm: str | None, moe: str | None
) -> None:
    config = {**LLAMA_CONFIG, "architectures": ["MixtralForCausalLM"], "num_local_experts": 8, "num_experts_per_tok": 2}
    card = read_model_config({**config, "quantization_config": quantization})
    assert isinstance(card, ModelCard)
    fake = _Fake()
    assert isinstance(fake.estimator.performance(_situation(engine, card=card), LOAD), Performance)
    assert (fake.asked.get("gemm_quant_mode"), fake.asked.get("moe_quant_mode")) == (gemm, moe)


@pytest.mark.parametrize(
    ("situation", "load", "code"),
    [
        (_situation(gpu=from_catalogue("RTX 4090", 1)), LOAD, Reason.ACCELERATOR_UNKNOWN),
        (_situation(gpu=from_catalogue("H100 80GB", 1)), LOAD, Reason.ACCELERATOR_UNKNOWN),
        (_situation(gpu=Accelerator()), LOAD, Reason.ACCELERATOR_UNKNOWN),
        (_situation(Engine.TGI), LOAD, Reason.SETTING_UNKNOWN),
        (_situation(model="some/Model"), LOAD, Reason.MODEL_UNSUPPORTED),
        (_situation(model=None), LOAD, Reason.MODEL_UNSUPPORTED),
        (_situation(), Load(None, 2.0, 100, 100), Reason.LOAD_UNKNOWN),
        (_situation(tensor_parallel_size=0), LOAD, Reason.SETTING_UNKNOWN),
        (_situation(kv_cache_dtype="int4_odd"), LOAD, Reason.SETTING_UNKNOWN),
        (_situation(quantization="odd"), LOAD, Reason.SETTING_UNKNOWN),
        (_situation(speculative_config='{"method": "ngram"}'), LOAD, Reason.SETTING_UNKNOWN),
    ],
)
def test_what_the_package_cannot_tell_has_a_reason_and_is_not_asked(
    situation: EstimateInput, load: Load, code: Reason
) -> None:
    fake = _Fake()
    told = fake.estimator.performance(situation, load)
    assert isinstance(told, Missing)
    assert (told.code, fake.asked) == (code, {})


@pytest.mark.parametrize("fake", [_Fake(ttft=float("nan")), _Fake(tpot=-1.0), _Fake(raw={"seq/s": float("inf")})])
def test_a_value_that_is_no_time_is_refused(fake: _Fake) -> None:
    assert isinstance(fake.estimator.performance(_situation(), LOAD), Missing)


@pytest.mark.parametrize(
    ("message", "code"),
    [("OOM: the model does not fit", Reason.DOES_NOT_FIT), ("no such table", Reason.MODEL_UNSUPPORTED)],
)
def test_an_error_of_the_package_becomes_the_reason(message: str, code: Reason) -> None:
    def fails(**_: Any) -> Any:
        raise RuntimeError(message)

    told = AiConfiguratorEstimator(lambda: Package(fails, frozenset({MODEL}))).performance(_situation(), LOAD)
    assert told == Missing(code, f"aiconfigurator: RuntimeError: {message}")


def test_without_the_package_there_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiconfigurator", None)  # what import says of a package that is not there
    told = AiConfiguratorEstimator().performance(_situation(), LOAD)
    assert isinstance(told, Missing)
    assert told.reason.startswith("aiconfigurator cannot be used here: ")


def test_the_package_is_found_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _Fake()
    names = (
        "aiconfigurator",
        "aiconfigurator.cli",
        "aiconfigurator.cli.api",
        "aiconfigurator.sdk",
        "aiconfigurator.sdk.common",
    )
    modules = {name: ModuleType(name) for name in names}
    vars(modules["aiconfigurator.cli.api"])["cli_estimate"] = fake
    vars(modules["aiconfigurator.sdk.common"])["DefaultHFModels"] = {MODEL}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    assert installed() == Package(fake, frozenset({MODEL}))
    assert isinstance(AiConfiguratorEstimator().performance(_situation(), LOAD), Performance)


def test_another_version_and_a_full_cache_are_told() -> None:
    answer = SimpleNamespace(
        ttft=1.0, tpot=1.0, raw={"seq/s": 1.0}, backend_version="0.22.0", kv_cache_warning="too many"
    )
    estimator = AiConfiguratorEstimator(lambda: Package(lambda **_: answer, frozenset({MODEL})))
    told = estimator.performance(_situation(gpu=from_catalogue("NVIDIA-H200-SHARED", 1)), LOAD)
    assert isinstance(told, Performance)
    assert len(told.assumptions) == 3


def test_every_system_is_a_gpu_of_the_catalogue() -> None:
    assert SYSTEMS.keys() <= {entry.gpu.name for entry in catalogue()}
