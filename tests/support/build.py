"""Builders of test objects with sane defaults: Llama-3.1-8B on one H100-80 with vLLM 0.33.0.

`a.instance(...)`, `a.model(...)`, `a.container(...)`; `an.observation(...)`, `an.slo(...)`. Metrics and settings
are given by name; a metric of None is missing.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import Any

from inferplan.api.instance import SLO, InstanceSpec, SLOMetric
from inferplan.api.values import Engine
from inferplan.dialects.container import Container
from inferplan.dialects.effective import effective
from inferplan.domain.architecture import Attention, DenseMLP, Layer
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import NOT_MEASURED, Metrics, Observation
from inferplan.domain.quantization_scheme import NumberFormat, Quantization, Scheme
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue, Surroundings

LLAMA_CONFIG: Mapping[str, Any] = MappingProxyType(
    {
        # the fields of meta-llama/Llama-3.1-8B's config.json that decide sizes
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "max_position_embeddings": 131_072,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "rope_scaling": {"factor": 8.0, "rope_type": "llama3"},
        "tie_word_embeddings": False,
        "torch_dtype": "bfloat16",
        "vocab_size": 128_256,
    }
)
LLAMA = ModelCard(
    architecture="LlamaForCausalLM",
    hidden_size=4096,
    vocab_size=128_256,
    tied_embeddings=False,
    layers=(Layer(Attention(heads=32, kv_heads=8, head_dim=128, v_head_dim=128), DenseMLP(14_336)),) * 32,
    weight_bits=16,
    max_position_embeddings=131_072,
)
H100 = Accelerator("NVIDIA-H100-80GB-HBM3", 1, 81_559, 90, "nodeLabels")
UNITS = {"num_requests_running": "requests", "num_requests_waiting": "requests", "kv_cache_tokens": "tokens"}
QUIET = MappingProxyType(
    {
        # a queue behind a cap of 32, the KV cache at 30 %, nothing preempted
        "num_requests_running": 32.0,
        "num_requests_waiting": 12.0,
        "kv_cache_usage": 0.30,
        "preemptions_per_second": 0.0,
        "kv_cache_tokens": 400_000.0,
    }
)

SERVING = MappingProxyType(
    {
        # nothing waits: 14 run at once (2/s x 7 s), 30 % of the prompts' tokens come from the prefix cache
        "num_requests_running": 14.0,
        "num_requests_running_peak": 20.0,
        "num_requests_waiting": 0.0,
        "num_requests_waiting_peak": 0.0,
        "kv_cache_usage": 0.30,
        "kv_cache_usage_mean": 0.25,
        "kv_cache_usage_p99": 0.30,
        "preemptions_per_second": 0.0,
        "kv_cache_tokens": 400_000.0,
        "requests_per_second": 2.0,
        "rejected_requests_per_second": 0.0,
        "failed_requests_share": 0.0,
        "prompt_tokens_per_second": 1000.0,
        "generation_tokens_per_second": 400.0,
        "prompt_tokens_mean": 500.0,
        "prompt_tokens_p99": 3000.0,
        "generation_tokens_mean": 200.0,
        "generation_tokens_p99": 1000.0,
        "prefix_cache_hit_share": 0.3,
        "tokens_per_step": 100.0,
        "queue_time_mean_milliseconds": 10.0,
        "prefill_time_mean_milliseconds": 100.0,
        "ttft_mean_milliseconds": 120.0,
        "itl_mean_milliseconds": 35.0,
        "e2e_mean_milliseconds": 7000.0,
        "uptime_seconds": 86_400.0,
        "restarts": 0.0,
    }
)


PEAKS = (
    ("num_requests_running", "num_requests_running_peak"),
    ("num_requests_waiting", "num_requests_waiting_peak"),
    ("kv_cache_usage_mean", "kv_cache_usage"),
    ("kv_cache_usage_p99", "kv_cache_usage"),
)


def measured(name: str, value: float | None) -> Measurement:
    """A measurement of that name; None gives the missing one."""
    return NOT_MEASURED if value is None else Measured(float(value), UNITS.get(name, "1"), f"vllm:{name}", 900)


def metrics(**values: float | None) -> Metrics:
    """Metrics by name; those not named are missing."""
    known = {entry.name for entry in fields(Metrics)}
    assert set(values) <= known, sorted(set(values) - known)
    named: dict[str, Any] = {name: measured(name, value) for name, value in values.items()}
    return Metrics(**named)


class _A:
    """Things with the article a."""

    def instance(self, **fields_of_spec: Any) -> InstanceSpec:
        """An instance that runs vLLM in a Deployment; fields by name override."""
        base: dict[str, Any] = {"engine": "vllm", "target_ref": {"name": "llama"}}
        return InstanceSpec.model_validate(base | fields_of_spec)

    def model(self, **changes: Any) -> ModelCard:
        """Llama-3.1-8B, with changes: fields of the card, num_layers, heads, kv_heads, head_dim, intermediate_size,
        quantization_method (4-bit weights of that name)."""
        mixer = Attention(32, changes.pop("kv_heads", 8), 128, 128)
        width = changes.pop("head_dim", 128)
        mixer = replace(mixer, heads=changes.pop("heads", 32), head_dim=width, v_head_dim=width)
        layer = Layer(mixer, DenseMLP(changes.pop("intermediate_size", 14_336)))
        method = changes.pop("quantization_method", None)
        quantization = Quantization(method, Scheme(NumberFormat.INT4)) if method is not None else None
        made = replace(LLAMA, layers=(layer,) * changes.pop("num_layers", 32), quantization=quantization)
        return replace(made, **changes)

    def container(self, *args: str, **changes: Any) -> Container:
        """A container that starts vLLM with these arguments behind `vllm serve`."""
        base: dict[str, Any] = {"name": "vllm", "image": "vllm/vllm-openai:v0.33.0", "command": ("vllm", "serve")}
        return Container(**{**base, "args": args, **changes})

    def config(
        self, engine: Engine = Engine.VLLM, version: str | None = "0.33.0", **settings: SettingValue | None
    ) -> ServingConfig:
        """Explicit settings only; None leaves one out."""
        explicit = {key: Setting(value, Origin.ARGUMENT) for key, value in settings.items() if value is not None}
        return ServingConfig(engine, version, "meta-llama/Llama-3.1-8B", MappingProxyType(explicit))


class _An:
    """Things with the article an."""

    def observation(
        self,
        *,
        config: ServingConfig | None = None,
        load: Mapping[str, float | None] | None = None,
        settings: Mapping[str, SettingValue] | None = None,
        drop: tuple[str, ...] = (),
        **changes: Any,
    ) -> Observation:
        """Llama-3.1-8B on an H100 behind a cap of 32, with a queue and a KV cache at 30 %.

        Args:
            config: What runs, instead of the defaults of vLLM 0.33.0 with max_batch_size 32, max_model_len 8192.
            load: Metrics over those of QUIET; None makes one missing.
            settings: Settings over the configuration's.
            drop: Settings that are not known.
            changes: Fields of the observation: accelerator, model, metrics, replicas.
        """
        accelerator, model = changes.pop("accelerator", H100), changes.pop("model", LLAMA)
        card = None if isinstance(model, Missing) else model
        stated = a.config(max_batch_size=32, max_model_len=8192)
        base = config or effective(stated, accelerator, frozenset(drop), model=card)
        extra = {key: Setting(value, Origin.ARGUMENT) for key, value in (settings or {}).items()}
        kept = {key: value for key, value in base.with_settings(extra).settings.items() if key not in drop}
        around = None if base.surroundings is None else Surroundings(frozenset(drop))
        seen = changes.pop("metrics", None) or metrics(**{**QUIET, **(load or {})})
        return Observation(
            config=replace(base, settings=MappingProxyType(kept), surroundings=around),
            accelerator=accelerator,
            model=model,
            metrics=seen,
            **changes,
        )

    def serving(self, load: Mapping[str, float | None] | None = None, **changes: Any) -> Observation:
        """The same engine serving a load with ease (SERVING), everything measured; changes as in `observation`.

        A peak that is not given is at least its mean.
        """
        given = load or {}
        seen = {**SERVING, **given}
        for mean, peak in PEAKS:
            low, high = seen[mean], seen[peak]
            if peak not in given and low is not None and high is not None:
                seen[peak] = max(low, high)
        return self.observation(load=seen, **changes)

    def slo(self, metric: SLOMetric = SLOMetric.ITL, percentile: int = 95, target_milliseconds: int = 100) -> SLO:
        """A latency target."""
        return SLO(metric=metric, percentile=percentile, target_milliseconds=target_milliseconds)


a = _A()
an = _An()
