"""Quantization of weights: less memory for weights, more for the KV cache.

Table: already quantized → abstains. Measured and not KV-bound → abstains. KV-bound, bf16 model of known
geometry, vLLM from 0.20, GPU with fp8 compute (8.9 and later) → online fp8 of the linear layers.
Neither model nor load known, and rules of thumb asked for → int8 weights, marked as such.
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
    QuantizationMethod,
    Source,
)
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.dialects.keys import flag_name
from inferplan.dialects.version_order import VersionNumber, version_number
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.domain.serving import Origin, Setting
from inferplan.domain.units import in_gib
from inferplan.estimate.memory_estimate import MemoryEstimate
from inferplan.estimate.memory_observed import Sizes, sizes
from inferplan.estimate.memory_terms import WEIGHTS
from inferplan.estimate.result import Interval
from inferplan.estimate.running import fixing_key, is_single_engine, running_bits
from inferplan.optimizers.base import cannot_judge, load_is_measured

ONLINE_FP8_SINCE = VersionNumber((0, 20, 2))
"""First read release with the online shorthand fp8_per_tensor (engine-facts section 2a)."""

_ONLINE_FP8 = "fp8_per_tensor"

FP8_COMPUTE_SINCE = 89
"""Compute capability times 10 from which on fp8 W8A8 runs natively (Ada; engine-facts section 2c)."""

_UNKNOWN_THINGS = (
    "the model (spec.model.config, the config.json)",
    "the accelerator (product and count)",
    "metrics of the running instance",
)


class Quantization:
    """Proposes smaller weights when memory limits the instance."""

    name = OptimizerName.QUANTIZATION

    def propose(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Proposal | Abstention:
        """See the module's table."""
        current = observation.config.text("quantization")
        if current not in {None, "none"}:
            return Abstention(self.name, Reason.ALREADY_SET, f"the weights are quantized already ({current})")
        if policy.rules_of_thumb and _nothing_known(observation, diagnosis):
            return _rule_of_thumb(self.name, observation)
        blocked = cannot_judge(self.name, observation, diagnosis)
        return blocked if blocked is not None else _online_fp8(self.name, observation, diagnosis)


def _nothing_known(observation: Observation, diagnosis: Diagnosis) -> bool:
    unmeasured = diagnosis.cause is Cause.UNKNOWN and not load_is_measured(observation)
    known = not unmeasured or not isinstance(observation.model, Missing)
    return not known and observation.config.engine is not Engine.TGI


def _rule_of_thumb(name: OptimizerName, observation: Observation) -> Proposal | Abstention:
    stated = observation.config.settings.get("quantization")
    if stated is None or stated.origin is Origin.VERSION_DEFAULT:  # the checkpoint may be quantized without a flag
        return Abstention(name, Reason.SETTING_UNKNOWN, "whether the weights are quantized is not known")
    change = ConfigChange(
        parameter="quantization",
        current_value=stated.value,
        recommended_value=QuantizationMethod.INT8,
        reason="8-bit weights take half the memory of 16-bit ones and are read in half the time.",
        evidence=(Evidence(formula="8 bits / 16 bits = 0.5 of the weight bytes", value=0.5, unit="ratio"),),
    )
    optimization = Optimization(
        type=OptimizationType.QUANTIZATION,
        title="Quantize the weights to 8 bits",
        description="Neither model nor load is known. As a rule, smaller weights leave the KV cache more memory.",
        config_changes=(change,),
        expected_impact=ImpactLevel.HIGH,
        estimated_improvement=(
            "Weights take about half the memory; what that brings here is not known: nothing was measured."
        ),
        confidence=Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.HIGH,
        risks=("Answers can get worse; compare on your own evaluation first.",),
        prerequisites=(
            "A checkpoint of the model with int8 weights, which the engine loads without a flag.",
            "No flag does it: vLLM and SGLang have no int8 weight-only format for every model at load time.",
        ),
        raises_confidence=_UNKNOWN_THINGS,
        accuracy_risk="Weights lose precision.",
    )
    return Proposal(name, optimization)


def _online_fp8(name: OptimizerName, observation: Observation, diagnosis: Diagnosis) -> Proposal | Abstention:
    if not diagnosis.kv_cache_full:
        return Abstention(
            name, Reason.NOT_KV_BOUND, "memory does not limit the instance; smaller weights are not needed"
        )
    unfit = _platform_unfit(name, observation)
    if unfit is not None:
        return unfit
    model, tokens = observation.model, observation.metrics.kv_cache_tokens
    if isinstance(model, Missing):
        return Abstention(name, model.code, model.reason)
    bits = (model.weight_bits, running_bits(observation.config, model))
    if model.quantization_method is not None or bits != (16, 16):
        return Abstention(name, Reason.ALREADY_SET, "the checkpoint is not plain 16 bit; nothing is added to it")
    if isinstance(tokens, Missing):
        return Abstention(name, tokens.code, f"the KV cache's capacity is needed: {tokens.reason}")
    return _fp8_proposal(name, observation, tokens)


def _platform_unfit(name: OptimizerName, observation: Observation) -> Abstention | None:
    config, gpu = observation.config, observation.accelerator
    version = version_number(config.version)
    if version is None:
        return Abstention(name, Reason.ENGINE_VERSION_UNKNOWN, "the engine's version is not known")
    if config.engine is not Engine.VLLM or version < ONLINE_FP8_SINCE:
        why = f"{config.engine} {config.version}: only vLLM from 0.20.2 has the online format fp8_per_tensor"
        return Abstention(name, Reason.FORMAT_UNSUPPORTED, why)
    if gpu.compute_capability is None:
        return Abstention(name, Reason.ACCELERATOR_UNKNOWN, "the GPU's compute capability is not known")
    if gpu.compute_capability < FP8_COMPUTE_SINCE:
        return Abstention(name, Reason.FORMAT_UNSUPPORTED, f"{gpu.product} does not compute in fp8")
    return None


def _fp8_proposal(name: OptimizerName, observation: Observation, tokens: Measured) -> Proposal | Abstention:
    config = observation.config
    fixed = fixing_key(config)
    if fixed is not None:
        return Abstention(name, Reason.ALREADY_SET, f"{fixed} fixes the KV cache: smaller weights would not enlarge it")
    if not is_single_engine(config) or config.text("kv_cache_dtype") is None:
        return Abstention(name, Reason.SETTING_UNKNOWN, "the parallel layout or the KV format is unknown, or not sized")
    sized = sizes(observation, config.with_settings({"quantization": Setting(_ONLINE_FP8, Origin.ARGUMENT)}))
    freed = _freed(sized)
    if isinstance(freed, Missing):
        return Abstention(name, freed.code, f"what smaller weights free is not known: {freed.reason}")
    saved, gained = freed
    change = ConfigChange(
        parameter="quantization",
        flag=flag_name(config.engine, "quantization"),
        current_value="none",
        recommended_value=_ONLINE_FP8,
        reason=f"The KV cache is full; fp8 linear layers free {in_gib(saved)} per GPU for it.",
        evidence=(
            tokens.as_evidence(),
            Evidence(
                formula="bytes of weights per GPU in 16 bit - with linear layers in fp8", value=saved, unit="bytes"
            ),
        ),
    )
    return Proposal(name, _fp8_optimization(change, tokens, gained))


def _freed(sized: Sizes | Missing) -> tuple[int, Interval] | Missing:
    """Bytes of weights that are saved per GPU, and the tokens that the cache then holds."""
    if isinstance(sized, Missing):
        return sized
    tokens = sized.after.kv_cache_tokens
    return tokens if isinstance(tokens, Missing) else (_weights(sized.before) - _weights(sized.after), tokens)


def _weights(estimate: MemoryEstimate) -> int:
    return next(term.bytes for term in estimate.terms if term.name == WEIGHTS)


def _fp8_optimization(change: ConfigChange, tokens: Measured, gained: Interval) -> Optimization:
    more_tokens = int(gained.expected - tokens.value)
    return Optimization(
        type=OptimizationType.QUANTIZATION,
        title="Load the linear layers in fp8",
        description="Requests wait for KV cache memory. Linear layers in fp8 take half; the cache gets the rest.",
        config_changes=(change,),
        expected_impact=ImpactLevel.HIGH,
        estimated_improvement=(
            f"The KV cache holds about {more_tokens:,} more tokens; the effect on speed is not known without a"
            " step-time model."
        ),
        effects=(
            Effect(
                metric="kv_cache_tokens",
                current=tokens.value,
                low=gained.low,
                expected=gained.expected,
                high=gained.high,
                unit="tokens",
                source=Source.MEASURED_HERE,
                basis="The memory budget with linear layers in fp8, calibrated by the measured capacity.",
            ),
        ),
        confidence=Confidence.MEDIUM,
        source=Source.MEASURED_HERE,
        implementation_effort=Effort.MEDIUM,
        risks=("Answers can get worse; compare on your own evaluation first.",),
        prerequisites=("An evaluation of the model's answers in fp8.",),
        raises_confidence=("The accuracy of this model in fp8 on your own evaluation.",),
        accuracy_risk="Weights and activations of the linear layers lose precision (fp8 e4m3, per tensor).",
    )
