"""KV cache: relief for a full cache by a smaller number format.

Table (vLLM 0.33, GPU with fp8 KV kernels, bf16 model): KV-bound → kv_cache_dtype fp8, twice the tokens.
Not KV-bound → abstains. GPU, version, model or format unknown or unfit → abstains.
"""

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effect,
    Effort,
    Engine,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.diagnose.bottlenecks import Diagnosis
from inferplan.dialects.attention import HEAD_DIM_READ, is_shipped, kv_cache_backends
from inferplan.dialects.keys import flag_name
from inferplan.dialects.version_order import version_number
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.estimate.running import running_bits
from inferplan.optimizers.base import cannot_judge

_BITS_HALVED = 16


class KVCache:
    """Proposes a smaller KV cache format when the cache limits the instance."""

    name = OptimizerName.KV_CACHE

    def propose(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Proposal | Abstention:
        """See the module's table."""
        del policy  # nothing here depends on it: memory pressure is relieved the same way for every objective
        blocked = cannot_judge(self.name, observation, diagnosis) or _unfit(self.name, observation, diagnosis)
        if blocked is not None:
            return blocked
        return Proposal(self.name, _fp8_cache(observation))


def _unfit(name: OptimizerName, observation: Observation, diagnosis: Diagnosis) -> Abstention | None:
    config = observation.config
    if not diagnosis.kv_cache_full:
        return Abstention(name, Reason.NOT_KV_BOUND, "the KV cache is not full, or nothing waits for it")
    if config.engine is not Engine.VLLM:
        return Abstention(
            name, Reason.FORMAT_UNSUPPORTED, f"which GPUs run an fp8 KV cache was not read for {config.engine}"
        )
    if config.value("num_gpu_blocks_override") is not None:
        why = "num_gpu_blocks_override fixes the number of blocks: smaller values would not make it more tokens"
        return Abstention(name, Reason.ALREADY_SET, why)
    return _format_unfit(name, observation)


def _format_unfit(name: OptimizerName, observation: Observation) -> Abstention | None:
    config, gpu = observation.config, observation.accelerator
    if config.text("kv_cache_dtype") is None:
        return Abstention(name, Reason.SETTING_UNKNOWN, "the KV cache's number format is not known")
    if config.text("kv_cache_dtype") != "auto":
        return Abstention(name, Reason.ALREADY_SET, f"kv_cache_dtype is {config.text('kv_cache_dtype')} already")
    if version_number(config.version) is None:
        return Abstention(name, Reason.ENGINE_VERSION_UNKNOWN, "the engine's version is not known")
    if gpu.compute_capability is None:
        return Abstention(name, Reason.ACCELERATOR_UNKNOWN, "the GPU's compute capability is not known")
    backends = kv_cache_backends(config.version, gpu.compute_capability, "fp8")
    if backends is None:
        why = f"which kernels read an fp8 KV cache was not read for vLLM {config.version} on {gpu.product}"
        return Abstention(name, Reason.FORMAT_UNSUPPORTED, why)
    if not any(map(is_shipped, backends)):
        why = f"{gpu.product} has no fp8 KV cache kernel that vLLM {config.version} itself ships"
        return Abstention(name, Reason.FORMAT_UNSUPPORTED, why)
    return _model_unfit(name, observation)


def _model_unfit(name: OptimizerName, observation: Observation) -> Abstention | None:
    model = observation.model
    if isinstance(model, Missing):
        return Abstention(name, model.code, model.reason)
    if model.quantization_method is not None:
        why = "the checkpoint is quantized and may carry its own KV format; what auto means is not known"
        return Abstention(name, Reason.SETTING_UNKNOWN, why)
    if running_bits(observation.config, model) != _BITS_HALVED:
        return Abstention(name, Reason.FORMAT_UNSUPPORTED, "the KV cache does not hold 16-bit values today")
    if model.head_dim != HEAD_DIM_READ or not model.is_plain:
        found = f"of {model.head_dim}" if model.is_plain else "of several kinds"
        why = f"fp8 KV kernels were read for full attention with heads of {HEAD_DIM_READ}, the model's are {found}"
        return Abstention(name, Reason.FORMAT_UNSUPPORTED, why)
    return None


def _fp8_cache(observation: Observation) -> Optimization:
    change = ConfigChange(
        parameter="kv_cache_dtype",
        flag=flag_name(observation.config.engine, "kv_cache_dtype"),
        current_value="auto",
        recommended_value="fp8",
        reason="The KV cache is full and takes 2 bytes a value; fp8 takes 1, so twice the tokens fit.",
        evidence=_evidence(observation),
    )
    return Optimization(
        type=OptimizationType.KV_CACHE,
        title="Store the KV cache in fp8",
        description="Requests wait for KV cache memory. In fp8 the same memory holds twice the tokens.",
        config_changes=(change,),
        expected_impact=ImpactLevel.HIGH,
        estimated_improvement=(
            "The KV cache holds twice the tokens; the effect on throughput is not known without a step-time model."
        ),
        effects=_effects(observation),
        confidence=Confidence.MEDIUM,
        source=Source.MEASURED_HERE,
        implementation_effort=Effort.LOW,
        risks=("Answers can get worse; compare on your own evaluation first.",),
        prerequisites=("An evaluation of the model's answers with an fp8 KV cache.",),
        raises_confidence=("The accuracy of this model with an fp8 KV cache on your own evaluation.",),
        accuracy_risk="Keys and values lose precision (fp8 e4m3; scale 1.0 unless the checkpoint has one).",
    )


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    metrics = observation.metrics
    seen = (metrics.kv_cache_usage, metrics.preemptions_per_second, metrics.num_requests_waiting)
    return tuple(value.as_evidence() for value in seen if isinstance(value, Measured))


def _effects(observation: Observation) -> tuple[Effect, ...]:
    tokens = observation.metrics.kv_cache_tokens
    if isinstance(tokens, Missing):
        return ()
    doubled = 2 * tokens.value
    return (
        Effect(
            metric="kv_cache_tokens",
            current=tokens.value,
            low=doubled * 0.99,
            expected=doubled,
            high=doubled,
            unit="tokens",
            source=Source.MEASURED_HERE,
            basis="Measured capacity x 2 bytes / 1 byte; the low end allows for the rounding to whole blocks.",
        ),
    )
