"""Quantization of weights: less memory for weights, more for the KV cache, and faster steps.

Table: weights quantized already, or published so → abstains. Memory full or nearly, a target missed, or steps that
limit where the objective is not balanced → the 8-bit format that the engine makes at load, and the checkpoints that
the owner lists, one of them or none. Nothing limits → abstains. Neither model nor load known, and rules of thumb asked
for → int8 weights, marked as such.
"""

from collections.abc import Iterator

from inferplan.api.base import SHORT_TEXT_MAX
from inferplan.api.instance import Objective, OptimizerName
from inferplan.api.plan import Alternative
from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
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
from inferplan.diagnose.slo import slo_states
from inferplan.dialects.checkpoints import twins_of
from inferplan.dialects.weight_formats import online_format
from inferplan.domain.lever import Answer, Lever, Option
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.domain.quantization import NumberFormat
from inferplan.domain.serving import Origin
from inferplan.estimate.number_formats import served_format
from inferplan.estimate.running import fixing_key
from inferplan.estimate.tensor import is_family
from inferplan.optimizers.base import KV_NEARLY_FULL, cannot_judge, highest_use, load_is_measured
from inferplan.optimizers.quantization_options import Need, checkpoint_option, online_option

_HALF_BITS = 16
_SEEN_MAX = 2000  # of the 4096 letters of api.base.Sentence
_QUANTIZED_LOADS = frozenset({"gguf", "bitsandbytes"})
_NATIVE = (
    # Families whose original checkpoint is the quantized one, and its format (their config.json).
    ("gptoss", NumberFormat.MXFP4),
    ("deepseekv3", NumberFormat.FP8),
    ("deepseekv4", NumberFormat.FP8),
    ("minimaxm2", NumberFormat.FP8),
)
_STEPS = {
    Cause.SCHEDULER_CAPPED: "Requests wait at the cap on running requests",
    Cause.PREFILL_BOUND: "Requests wait because steps are full of prompts",
    Cause.OVERLOAD: "Requests wait, and more than one limit is reached",
}
_UNKNOWN_THINGS = (
    "the model (spec.model.config, the config.json)",
    "the accelerator (product and count)",
    "metrics of the running instance",
)


class Quantization:
    """Offers smaller weights where memory or the steps' time limits the instance."""

    name = OptimizerName.QUANTIZATION

    def answer(self, observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Answer:
        """See the module's table."""
        why = _quantized_already(observation)
        if why is not None:
            return _abstains(self.name, Reason.ALREADY_SET, why)
        if policy.rules_of_thumb and _nothing_known(observation, diagnosis):
            return _rule_of_thumb(self.name, observation)
        blocked = cannot_judge(self.name, observation, diagnosis)
        if blocked is not None:
            return Answer(abstentions=(blocked,))
        need = _need(observation, diagnosis, policy)
        if isinstance(need, Missing):
            return _abstains(self.name, need.code, need.reason)
        model = _plain(observation)
        if isinstance(model, Missing):
            return _abstains(self.name, model.code, model.reason)
        return _offer(self.name, observation, model, policy, need)


def _abstains(name: OptimizerName, code: Reason, why: str) -> Answer:
    return Answer(abstentions=(Abstention(name, code, why),))


def _quantized_already(observation: Observation) -> str | None:
    """Why nothing is added to these weights; None for a plain model, and where that is not known."""
    config, model = observation.config, observation.model
    flag = config.text("quantization")
    if flag not in {None, "none"}:
        return f"the weights are quantized already ({flag})"
    if config.text("load_format") in _QUANTIZED_LOADS or "gguf" in (config.model or "").lower():
        return "the weights are quantized already, in the files that are loaded"
    served = model if isinstance(model, Missing) else served_format(config, model)
    if isinstance(model, Missing) or isinstance(served, Missing) or served.quantization is None:
        return None
    weights = served.quantization.weights
    if any(is_family(model.architecture, family) and weights is own for family, own in _NATIVE):
        return f"the model is published in {weights}, there is no original of more bits; nothing is added to it"
    return f"the checkpoint is quantized already ({served.quantization.method}, {weights}); nothing is added to it"


def _plain(observation: Observation) -> ModelCard | Missing:
    """The model, where it is known and runs in 16 bit."""
    model = observation.model
    served = model if isinstance(model, Missing) else served_format(observation.config, model)
    if isinstance(model, Missing):
        return model
    if isinstance(served, Missing):
        return served
    if served.bits != _HALF_BITS:
        why = f"the model runs in {served.bits} bit; what a smaller format brings was read for 16 bit"
        return Missing(Reason.FORMAT_UNSUPPORTED, why)
    return model


def _need(observation: Observation, diagnosis: Diagnosis, policy: Policy) -> Need | Missing:
    """What speaks for smaller weights; why nothing does."""
    missed = [state.sentence for state in slo_states(policy.slo, observation.metrics) if state.met is False]
    memory, fixed = _memory(observation, diagnosis), fixing_key(observation.config)
    steps = _STEPS.get(diagnosis.cause)
    seen = [*([memory] if memory and fixed is None else []), *missed]
    if steps is not None and policy.objective is not Objective.BALANCED:
        seen.append(f"{steps}; the objective is {policy.objective}")
    elif diagnosis.cause is Cause.NONE and policy.objective is Objective.LATENCY:
        seen.append("the objective is latency, and every step reads all weights")
    if seen:
        return Need("; ".join(seen)[:_SEEN_MAX], _evidence(observation))
    if memory and fixed is not None:
        return Missing(Reason.ALREADY_SET, f"{fixed} fixes the KV cache: smaller weights would not enlarge it")
    if steps is not None:
        why = "steps limit the instance, and neither the objective nor a missed target weighs speed against accuracy"
        return Missing(Reason.NOT_LIMITED, why)
    return Missing(Reason.NOT_LIMITED, "neither memory nor steps limit the instance; smaller weights are not needed")


def _memory(observation: Observation, diagnosis: Diagnosis) -> str:
    """How memory limits or is about to, empty where it does not."""
    if diagnosis.kv_cache_full:
        return "Requests wait for KV cache memory, or are preempted"
    usage = highest_use(observation.metrics)
    return "" if usage is None or usage < KV_NEARLY_FULL else f"The KV cache was up to {usage:.0%} full"


def _evidence(observation: Observation) -> tuple[Evidence, ...]:
    return observation.metrics.evidence(
        "kv_cache_usage_p99",
        "kv_cache_usage",
        "preemptions_per_second",
        "num_requests_waiting",
        "num_requests_running",
    )


def _offer(name: OptimizerName, observation: Observation, model: ModelCard, policy: Policy, need: Need) -> Answer:
    found = list(_options(observation, model, policy, need))
    options = tuple(entry for entry in found if isinstance(entry, Option))
    advice = _advice(observation, model, policy, need)
    if not options:
        lacking = [entry for entry in found if isinstance(entry, Missing)]
        why = "; ".join(entry.reason for entry in lacking)[:_SEEN_MAX]
        return Answer(abstentions=(Abstention(name, lacking[0].code, why),), advice=advice)
    left = "smaller weights were weighed together with the other changes; the plan does without them"
    return Answer(
        levers=(Lever(name, OptimizationType.QUANTIZATION, options),),
        abstentions=(Abstention(name, Reason.GAIN_TOO_SMALL, left),),
        advice=advice,
    )


def _options(observation: Observation, model: ModelCard, policy: Policy, need: Need) -> Iterator[Option | Missing]:
    """Formats to choose from, and why others are none."""
    online = online_format(observation.config, observation.accelerator, model)
    yield online if isinstance(online, Missing) else online_option(observation, online, need)
    for checkpoint in policy.checkpoints:
        if checkpoint.id != observation.config.model:
            yield checkpoint_option(observation, model, checkpoint, need)


def _advice(observation: Observation, model: ModelCard, policy: Policy, need: Need) -> tuple[Alternative, ...]:
    """Published twins that run here and that the owner does not list: they are named, and never proposed unasked."""
    listed = {checkpoint.id for checkpoint in policy.checkpoints}
    twins = [twin for twin in twins_of(observation.config.model) if twin.id not in listed]
    runs = [twin for twin in twins if isinstance(checkpoint_option(observation, model, twin.checkpoint, need), Option)]
    if not runs:
        return ()
    told = "; ".join(f"{twin.id} ({twin.method}, {twin.recovery})" for twin in runs)
    description = f"{told}. List one under spec.model.checkpoints, and it is weighed with the other changes."
    title = f"A verified quantized checkpoint of {observation.config.model} exists"
    return (Alternative(title=title[:SHORT_TEXT_MAX], description=description),)


def _nothing_known(observation: Observation, diagnosis: Diagnosis) -> bool:
    unmeasured = diagnosis.cause is Cause.UNKNOWN and not load_is_measured(observation)
    known = not unmeasured or not isinstance(observation.model, Missing)
    return not known and observation.config.engine is not Engine.TGI


def _rule_of_thumb(name: OptimizerName, observation: Observation) -> Answer:
    stated = observation.config.settings.get("quantization")
    if stated is None or stated.origin is Origin.VERSION_DEFAULT:  # the checkpoint may be quantized without a flag
        return _abstains(name, Reason.SETTING_UNKNOWN, "whether the weights are quantized is not known")
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
    return Answer(proposals=(Proposal(name, optimization),))
