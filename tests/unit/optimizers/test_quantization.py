"""The table of the quantization optimizer."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
from tests.support.build import H100, LLAMA, a, an

from inferplan.api.instance import Checkpoint, Objective, SLOMetric
from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, Effort, Engine, Optimization, QuantizationMethod, Source
from inferplan.diagnose.bottlenecks import diagnose
from inferplan.dialects.editing import edit
from inferplan.dialects.effective import effective
from inferplan.dialects.weight_formats import Kernel
from inferplan.domain.architecture import Attention, Layer, MixtureOfExperts
from inferplan.domain.hardware import Accelerator, from_catalogue
from inferplan.domain.lever import Answer, Option
from inferplan.domain.measurement import Measured
from inferplan.domain.model_lookup import model_card
from inferplan.domain.observation import NO_MODEL_CONFIG, Observation
from inferplan.domain.proposal import Abstention, Policy
from inferplan.domain.serving import Origin, Setting
from inferplan.estimate.number_formats import WeightFormat, served_format
from inferplan.optimizers.quantization import Quantization
from inferplan.optimizers.quantization_options import DOUBT, DOUBT_FP8_ELSEWHERE

FULL = {"kv_cache_usage": 0.99, "num_requests_running": 20.0}
THUMB = Policy(rules_of_thumb=True)
A100 = Accelerator("NVIDIA-A100-SXM4-80GB", 1, 81_920, 80)
MIXTURE = replace(LLAMA, layers=(Layer(Attention(32, 8, 128, 128), MixtureOfExperts(8, 2, 14_336)),) * 4)
AWQ = Checkpoint(method=QuantizationMethod.AWQ, id="org/Llama-3.1-8B-AWQ")


def answered(observation: Observation, policy: Policy | None = None) -> Answer:
    return Quantization().answer(observation, diagnose(observation), policy or Policy())


def options(observation: Observation, policy: Policy | None = None) -> tuple[Option, ...]:
    answer = answered(observation, policy)
    assert answer.levers, answer
    (lever,) = answer.levers
    return lever.options


def refused(observation: Observation, policy: Policy | None = None) -> Abstention:
    answer = answered(observation, policy)
    assert (answer.levers, answer.proposals) == ((), ())
    (abstention,) = answer.abstentions
    return abstention


def proposed(observation: Observation, policy: Policy | None = None) -> Optimization:
    answer = answered(observation, policy)
    (proposal,) = answer.proposals
    return proposal.optimization


def listed(*checkpoints: Checkpoint) -> Policy:
    return Policy(checkpoints=checkpoints)


def on(accelerator: Accelerator, version: str = "0.33.0", **changes: Any) -> Observation:
    """Full memory on that GPU."""
    config = effective(a.config(version=version, max_batch_size=32, max_model_len=8192), accelerator)
    return an.observation(config=config, accelerator=accelerator, load=FULL, **changes)


def test_a_full_cache_may_get_the_memory_of_smaller_weights() -> None:
    (option,) = options(an.observation(load=FULL))
    (change,) = option.changes
    assert (change.parameter, change.flag) == ("quantization", "--quantization")
    assert (change.current_value, change.recommended_value) == ("none", "fp8_per_tensor")
    assert [entry.query for entry in change.evidence if entry.query == "vllm:kv_cache_usage"]
    assert option.title == "Load the linear layers in fp8"
    assert option.description == (
        "Requests wait for KV cache memory, or are preempted. Weights and activations of the linear layers are in fp8:"
        " they take less memory, and are read and multiplied faster. Embeddings, lm_head and the KV cache keep their"
        " formats."
    )
    assert option.accuracy_risk == "Weights and activations of the linear layers lose precision (fp8 e4m3)."
    assert (option.effort, option.confidence_most) == (Effort.MEDIUM, Confidence.MEDIUM)
    assert (option.doubt, option.card) == (DOUBT[Kernel.FP8], None)


def test_beside_levers_stands_what_holds_if_they_stay_where_they_are() -> None:
    (abstention,) = answered(an.observation(load=FULL)).abstentions
    assert abstention.code is Reason.GAIN_TOO_SMALL


@pytest.mark.parametrize(
    ("version", "accelerator", "card", "value", "kernel"),
    [
        ("0.19.1", H100, LLAMA, "fp8", Kernel.FP8),
        ("0.33.0", A100, LLAMA, "fp8_per_tensor", Kernel.FP8_WEIGHT_ONLY),
        ("0.33.0", A100, MIXTURE, "int8_per_channel_weight_only", Kernel.INT8_WEIGHT_ONLY),
    ],
)
def test_the_format_is_one_that_gpu_and_release_have(
    version: str, accelerator: Accelerator, card: Any, value: str, kernel: Kernel
) -> None:
    (option,) = options(on(accelerator, version, model=card))
    assert option.changes[0].recommended_value == value
    assert option.doubt == DOUBT[kernel]
    assert any("can get slower" in risk for risk in option.risks) is kernel.is_weight_only
    assert ("activations stay in 16 bit" in option.description) is kernel.is_weight_only


def test_experts_are_named_where_only_they_are_quantized() -> None:
    (option,) = options(on(A100, model=MIXTURE))
    assert option.title == "Load the experts in int8"
    assert option.accuracy_risk == "Weights of the experts lose precision (int8, per channel)."


def test_fp8_of_sglang_and_on_amd_is_less_sure() -> None:
    (option,) = options(an.observation(config=a.config(Engine.SGLANG, "0.5.23", quantization="none"), load=FULL))
    assert (option.changes[0].recommended_value, option.doubt) == ("fp8", DOUBT_FP8_ELSEWHERE)
    (option,) = options(an.observation(accelerator=from_catalogue("AMD-Instinct-MI300X", 1), load=FULL))
    assert option.doubt == DOUBT_FP8_ELSEWHERE


def test_a_nearly_full_cache_is_reason_enough() -> None:
    (option,) = options(
        an.observation(load={"num_requests_waiting": 0.0, "kv_cache_usage_p99": 0.82, "kv_cache_usage": 0.82})
    )
    assert option.description.startswith("The KV cache was up to 82% full. ")
    (option,) = options(an.observation(load={"num_requests_waiting": 0.0, "kv_cache_usage": 0.75}))
    assert option.description.startswith("The KV cache was up to 75% full. ")


def test_a_missed_target_is_reason_enough() -> None:
    slo = an.slo(SLOMetric.ITL, 95, 30)
    slow = Measured(45.0, "milliseconds", "vllm:itl", 900, low=44.0, high=46.0)
    observation = an.serving()
    observation = replace(observation, metrics=replace(observation.metrics, slo_milliseconds=(("itl p95", slow),)))
    (option,) = options(observation, Policy(slo=(slo,)))
    assert option.description.startswith("itl p95 is 45 ms, target 30 ms. ")


@pytest.mark.parametrize("objective", [Objective.THROUGHPUT, Objective.LATENCY])
def test_steps_that_limit_are_reason_enough_where_the_objective_says_so(objective: Objective) -> None:
    (option,) = options(an.observation(), Policy(objective=objective))
    assert option.description.startswith(
        f"Requests wait at the cap on running requests; the objective is {objective}. "
    )


def test_accuracy_is_not_traded_for_speed_where_nobody_asked() -> None:
    abstention = refused(an.observation())
    assert abstention.code is Reason.NOT_LIMITED
    assert "neither the objective nor a missed target" in abstention.reason


def test_where_nothing_limits_it_abstains() -> None:
    abstention = refused(an.serving())
    assert abstention.code is Reason.NOT_LIMITED
    assert abstention.reason == "neither memory nor steps limit the instance; smaller weights are not needed"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {"kv_cache_usage": None, "num_requests_running": 20.0}}, Reason.METRICS_MISSING),
        ({"load": {"num_requests_waiting": 0.0, "kv_cache_usage": None}}, Reason.NOT_LIMITED),
        ({"settings": {"quantization": "awq"}}, Reason.ALREADY_SET),
        ({"settings": {"load_format": "bitsandbytes"}}, Reason.ALREADY_SET),
        ({"settings": {"kv_cache_memory_bytes": 10**10}}, Reason.ALREADY_SET),
        ({"settings": {"num_gpu_blocks_override": 10}}, Reason.ALREADY_SET),
        ({"settings": {"dtype": "float32"}}, Reason.FORMAT_UNSUPPORTED),
        ({"settings": {"dtype": "float8"}}, Reason.SETTING_UNKNOWN),
        ({"model": NO_MODEL_CONFIG}, Reason.MODEL_CONFIG_MISSING),
        ({"model": a.model(quantization_method="awq")}, Reason.ALREADY_SET),
        ({"accelerator": replace(H100, compute_capability=None)}, Reason.ACCELERATOR_UNKNOWN),
        ({"config": a.config(version=None)}, Reason.ENGINE_VERSION_UNKNOWN),
        ({"config": a.config(Engine.TGI)}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_without_need_or_knowledge_it_abstains(changes: dict[str, Any], code: Reason) -> None:
    assert refused(an.observation(**{"load": FULL, **changes})).code is code


def test_a_cache_that_is_fixed_does_not_keep_a_missed_target_from_counting() -> None:
    policy = Policy(objective=Objective.THROUGHPUT)
    (option,) = options(an.observation(settings={"num_gpu_blocks_override": 30_000}), policy)
    assert option.description.startswith("Requests wait at the cap")


def test_a_file_of_quantized_weights_is_recognized() -> None:
    config = replace(a.config(), model="/models/llama-Q4_K_M.GGUF")
    abstention = refused(an.observation(config=config, load=FULL))
    assert (abstention.code, abstention.reason) == (
        Reason.ALREADY_SET,
        "the weights are quantized already, in the files that are loaded",
    )


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("openai/gpt-oss-20b", "the model is published in mxfp4, there is no original of more bits"),
        ("deepseek-ai/DeepSeek-V3", "the model is published in fp8, there is no original of more bits"),
        ("Qwen/Qwen3-8B-FP8", "the checkpoint is quantized already (fp8, fp8)"),
    ],
)
def test_models_that_are_published_quantized_are_recognized(model: str, says: str) -> None:
    card = model_card(None, model)
    observation = an.observation(config=replace(a.config(), model=model), model=card, load=FULL)
    abstention = refused(observation, listed(AWQ))
    assert abstention.code is Reason.ALREADY_SET
    assert abstention.reason == f"{says}; nothing is added to it"


def test_gpt_oss_is_recognized_though_its_config_is_silent() -> None:
    silent = replace(MIXTURE, architecture="GptOssForCausalLM")
    assert refused(an.observation(model=silent, load=FULL)).reason.startswith("the model is published in mxfp4")


def test_the_owners_checkpoint_stands_beside_what_the_engine_makes() -> None:
    stated = AWQ.model_copy(update={"accuracy_recovery": "0.995"})
    online, twin = options(an.observation(load=FULL), listed(stated))
    assert online.changes[0].parameter == "quantization"
    (change,) = twin.changes
    assert (change.parameter, change.flag) == ("model", "--model")
    assert (change.current_value, change.recommended_value) == ("meta-llama/Llama-3.1-8B", stated.id)
    assert "takes 4.16 bits a weight instead of 16" in change.reason
    assert twin.accuracy_risk == "Recovered 99.5 % by the owner's statement. Your own tasks can differ."
    assert (twin.effort, twin.confidence_most) == (Effort.HIGH, Confidence.HIGH)
    assert "Assumed, since its config.json was not read: int4 in groups of 128" in twin.description
    assert any("time to the first token" in risk for risk in twin.risks)
    assert twin.doubt == DOUBT[Kernel.INT4_WEIGHT_ONLY]


def test_the_card_of_a_checkpoint_is_what_would_run() -> None:
    _, twin = options(an.observation(load=FULL), listed(AWQ))
    assert twin.card is not None
    served = served_format(replace(a.config(quantization="none"), model=AWQ.id), twin.card)
    assert isinstance(served, WeightFormat)
    assert served.quantization is twin.card.quantization
    assert twin.card.quantization is not None
    assert twin.card.quantization.method == "awq"
    assert replace(twin.card, quantization=None) == LLAMA


@pytest.mark.parametrize(
    ("method", "name", "bits", "weight_only"),
    [
        (QuantizationMethod.INT8, "org/L-quantized.w8a8", "8.01", False),
        (QuantizationMethod.INT8, "org/L-int8", "8.01", True),
        (QuantizationMethod.FP8, "org/L-FP8-dynamic", "8.01", False),
        (QuantizationMethod.FP8, "org/L-AWQ", "8", False),  # the owner's word goes before the name's
        (QuantizationMethod.GPTQ, "org/L-GPTQ-Int8", "8.19", True),
        (QuantizationMethod.INT4, "/models/l", "4.16", True),
        (QuantizationMethod.NVFP4, "org/L-NVFP4", "4.5", True),  # a Hopper GPU has no fp4
    ],
)
def test_a_checkpoint_is_what_its_method_and_name_say(
    method: QuantizationMethod, name: str, bits: str, *, weight_only: bool
) -> None:
    _, twin = options(an.observation(load=FULL), listed(Checkpoint(method=method, id=name)))
    assert f"takes {bits} bits a weight" in twin.changes[0].reason
    assert ("activations stay in 16 bit" in twin.description) is weight_only
    assert twin.confidence_most is Confidence.MEDIUM
    assert twin.accuracy_risk == f"Weights lose precision; what {name} recovers is stated nowhere."


def test_a_model_card_speaks_where_the_owner_does_not() -> None:
    known = Checkpoint(method=QuantizationMethod.INT8, id="RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8")
    _, twin = options(an.observation(load=FULL), listed(known))
    assert twin.accuracy_risk == (
        "Recovered 100.3 % of the original's OpenLLM v1 score by its model card,"
        f" https://huggingface.co/{known.id}. Your own tasks can differ."
    )
    assert twin.confidence_most is Confidence.HIGH


def test_what_a_checkpoint_needs_is_said() -> None:
    awkward = Checkpoint(method=QuantizationMethod.AWQ, id="my models/awq")
    _, twin = options(an.observation(load=FULL), listed(awkward))
    assert len(twin.prerequisites) == 4
    assert "--served-model-name" in twin.prerequisites[2]
    assert twin.prerequisites[3].startswith("By hand: ")
    _, twin = options(an.observation(load=FULL, settings={"served_model_name": "llama"}), listed(AWQ))
    assert len(twin.prerequisites) == 2


@pytest.mark.parametrize("arguments", [("meta-llama/Llama-3.1-8B",), ("--model", "meta-llama/Llama-3.1-8B")])
def test_the_change_of_model_can_be_written(arguments: tuple[str, ...]) -> None:
    _, twin = options(an.observation(load=FULL), listed(AWQ))
    container = a.container(*arguments)
    changed = edit(container, {change.parameter: AWQ.id for change in twin.changes}, "0.33.0")
    assert changed == replace(container, args=(*arguments[:-1], AWQ.id))


def test_the_model_that_runs_is_no_checkpoint_to_move_to() -> None:
    same = Checkpoint(method=QuantizationMethod.AWQ, id="meta-llama/Llama-3.1-8B")
    assert len(options(an.observation(load=FULL), listed(same))) == 1


def test_what_runs_nowhere_here_is_named_with_its_reason() -> None:
    old = Accelerator("Tesla-V100-SXM2-16GB", 1, 16_160, 70)
    abstention = refused(on(old), listed(AWQ))
    assert abstention.code is Reason.FORMAT_UNSUPPORTED
    assert abstention.reason.count("on Tesla-V100-SXM2-16GB: the format needs compute capability 7.5") == 2


def test_a_checkpoint_may_be_all_there_is() -> None:
    config = a.config(Engine.SGLANG, "0.5.23", quantization="none")
    (twin,) = options(an.observation(config=config, accelerator=A100, load=FULL), listed(AWQ))
    assert (twin.changes[0].parameter, twin.changes[0].flag) == ("model", "--model-path")


def test_published_checkpoints_are_named_and_not_proposed() -> None:
    config = replace(a.config(), model="meta-llama/Llama-3.1-8B-Instruct")
    answer = answered(an.observation(config=config, load=FULL))
    (advice,) = answer.advice
    assert advice.title == "A verified quantized checkpoint of meta-llama/Llama-3.1-8B-Instruct exists"
    assert "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8 (int8, 100.3 % of the original's" in advice.description
    assert "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16 (int4, 98.9 % of the original's" in advice.description
    assert "spec.model.checkpoints" in advice.description
    assert [option.changes[0].parameter for option in answer.levers[0].options] == ["quantization"]


def test_of_published_checkpoints_those_are_named_that_run_here_and_are_not_listed() -> None:
    config = replace(a.config(), model="meta-llama/Llama-3.1-8B-Instruct")
    b200 = Accelerator("NVIDIA-B200", 1, 183_359, 100)  # int8 is not promised there
    (advice,) = answered(an.observation(config=config, accelerator=b200, load=FULL)).advice
    assert "w4a16" in advice.description
    assert "w8a8" not in advice.description
    w4a16 = Checkpoint(method=QuantizationMethod.INT4, id="RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w4a16")
    assert answered(an.observation(config=config, accelerator=b200, load=FULL), listed(w4a16)).advice == ()
    old = Accelerator("Tesla-V100-SXM2-16GB", 1, 16_160, 70)
    assert answered(an.observation(config=config, accelerator=old, load=FULL)).advice == ()


def test_a_checkpoint_without_a_method_cannot_be_sized() -> None:
    plain = Checkpoint(method=QuantizationMethod.NONE, id="org/L")
    config = a.config(Engine.SGLANG, "0.5.23", quantization="none")
    abstention = refused(an.observation(config=config, accelerator=A100, load=FULL), listed(plain))
    assert "org/L is listed with method none" in abstention.reason


def test_a_rule_of_thumb_speaks_when_nothing_is_known() -> None:
    optimization = proposed(Observation(a.config(version=None, quantization="none")), THUMB)
    (change,) = optimization.config_changes
    assert (change.flag, change.current_value, change.recommended_value) == (None, "none", "int8")
    assert (optimization.source, optimization.confidence) == (Source.RULE_OF_THUMB, Confidence.LOW)
    assert optimization.implementation_effort is Effort.HIGH
    assert len(optimization.raises_confidence) == 3


def test_a_rule_of_thumb_must_be_asked_for() -> None:
    assert refused(Observation(a.config(version=None, quantization="none"))).code is Reason.METRICS_MISSING


def test_a_checkpoint_may_be_quantized_without_a_flag() -> None:
    defaulted = effective(a.config(), H100)  # quantization none by default, and nobody has seen the model
    assert refused(Observation(defaulted), THUMB).code is Reason.SETTING_UNKNOWN
    assert refused(Observation(a.config(version=None)), THUMB).code is Reason.SETTING_UNKNOWN


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"load": {"num_requests_running": None}}, Reason.METRICS_MISSING),  # the rest is measured
        ({"load": {"num_requests_running": None}, "model": a.model()}, Reason.METRICS_MISSING),
        ({"config": a.config(Engine.TGI, quantization="none")}, Reason.ENGINE_END_OF_LIFE),
    ],
)
def test_no_rule_of_thumb_where_something_is_known(changes: dict[str, Any], code: Reason) -> None:
    stated = {"quantization": Setting("none", Origin.SPEC)}
    observation = an.observation(**{"model": NO_MODEL_CONFIG, **changes})
    config = replace(observation.config, settings=MappingProxyType({**observation.config.settings, **stated}))
    assert refused(replace(observation, config=config), THUMB).code is code
    unmeasured = Observation(a.config(Engine.TGI, quantization="none"))
    assert refused(unmeasured, THUMB).code is Reason.ENGINE_END_OF_LIFE
    with_model = Observation(a.config(version=None, quantization="none"), model=a.model())
    assert refused(with_model, THUMB).code is Reason.METRICS_MISSING
