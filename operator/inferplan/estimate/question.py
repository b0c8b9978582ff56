"""What the estimator of speed needs of a situation: the deployment's shape, its limits, what was assumed. Pure."""

from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.architecture import Attention, CompressedAttention
from inferplan.domain.gpu import GPU, Vendor
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.cache_values import cache_value_bytes
from inferplan.estimate.number_formats import WeightFormat, served_format
from inferplan.estimate.placement import layout_for
from inferplan.estimate.port import EstimateInput
from inferplan.estimate.release import Release, is_legacy, release_of
from inferplan.estimate.step_building import Deployment, step_shape
from inferplan.estimate.step_shape import StepShape

_UNKNOWN_INTERVAL = (
    "scheduler_recv_interval is not known: requests are taken to wait as long as in public load tests, some of which "
    "set it, and longer than with SGLang's own 1"
)
_UNFITTED = (
    "the speed of this kind of attention follows from its shapes and the kernels in the engine's source: no "
    "measurement of it was at hand"
)
_SPECULATION = ("speculative_config", "speculative_model", "spec_method", "speculative_algorithm")
_CHUNK = {Engine.VLLM: 2048.0, Engine.SGLANG: 8192.0}
"""Prompt tokens per step where the setting is not known: the smallest default of vLLM's servers, SGLang's most common
one (engine-facts sections 1c and 4f)."""
_FORCED_UNTIL: dict[str, Release] = {"gptq": (0, 22, 0), "awq": (0, 24, 0)}
_AMPERE, _TURING = 80, 75
_MARLIN_ON_TURING: Release = (0, 14, 0)


@dataclass(frozen=True)
class Question:
    """A deployment, and what bounds it.

    Attributes:
        shape: What a step works on.
        running: max_num_seqs over all data-parallel ranks; infinite where nothing bounds it.
        batched_tokens: Prompt tokens per step.
        prefix_caching: Whether shared prefixes are computed once; None where it is not known.
        gpu: Name of the GPU that is meant.
        unfitted: No measurement of the model's kind of attention was fitted to.
        served: What was measured elsewhere is looked up by: model's shape, GPU, engine, format of the weights.
        unmeasured: Why only a calibrated answer has a basis; None where the model itself has one.
        assumptions: What was assumed, each a sentence.
    """

    shape: StepShape
    running: float
    batched_tokens: float
    prefix_caching: bool | None
    gpu: str = ""
    unfitted: bool = False
    served: tuple[str, ...] = ()
    unmeasured: Missing | None = None
    assumptions: tuple[str, ...] = ()


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
    return _limited(situation, shape, deployment, taken)


def _served(situation: EstimateInput, deployment: Deployment) -> tuple[str, ...]:
    """What decides whether somebody else's measurements are of the same thing."""
    card, quantization = deployment.card, deployment.served.quantization
    shape = f"{card.hidden_size}x{card.num_layers}x{card.vocab_size}"
    weights = str(quantization.weights) if quantization is not None else f"{deployment.served.bits} bit"
    return shape, deployment.gpu.name, str(situation.config.engine), weights


def _is_unfitted(card: ModelCard) -> bool:
    """DeepSeek V4's compressed attention, and MiniMax M3's choice of blocks."""
    mixers = [layer.mixer for layer in card.layer_counts]
    chosen = any(isinstance(mixer, Attention) and mixer.indexer is not None for mixer in mixers)
    return chosen or any(isinstance(mixer, CompressedAttention) for mixer in mixers)


def _unmeasured(config: ServingConfig) -> Missing | None:
    """What only this instance's own measurements can tell; a calibration holds it as it was measured."""
    if any(config.value(key) not in {None, "", "none"} for key in _SPECULATION):
        why = "speculative decoding is on, and how many of its tokens are accepted is not known without a measurement"
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
    layout, served = layout_for(config, gpu.compute_capability, card), served_format(config, card)
    if isinstance(layout, Missing):
        return layout
    if isinstance(served, Missing):
        return served
    value_bytes = cache_value_bytes(config, card, served.bits)
    if isinstance(value_bytes, Missing):
        return value_bytes
    sglang = config.engine is Engine.SGLANG
    release = release_of(config.version)
    first = not sglang and release is not None and is_legacy(release, gpu.compute_capability)
    own = _plain_kernels(config, served, gpu.gpu, release)
    return Deployment(
        card=card,
        served=served,
        layout=layout,
        gpu=_usual(gpu.gpu),
        cache_bytes=value_bytes,
        attention_ranks=attention_ranks(config),
        engine_is_sglang=sglang,
        first_engine=first,
        hashes_prompts=config.flag("enable_prefix_caching") is True,
        eager=bool(config.flag("enforce_eager") or config.flag("disable_cuda_graph")),
        prefill_apart=_prefill_apart(config, sglang=sglang, first=first),
        receive_interval=_interval(config),
        attention_by_head=first and _is_old(gpu.compute_capability),
        plain_kernels=own,
    )


def _usual(gpu: GPU) -> GPU:
    """The GPU; of a name that fits several whose speeds differ, the most usual one."""
    told = gpu.bandwidth_gb_per_second is not None and gpu.interconnect_gb_per_second is not None
    return gpu if told or not gpu.variants else gpu.variants[0]


def attention_ranks(config: ServingConfig) -> int:
    """Copies of the attention that share the requests: vLLM's data-parallel ranks, SGLang's with its DP attention."""
    ranks = config.integer("data_parallel_size") or 1
    return ranks if config.engine is Engine.VLLM or config.flag("enable_dp_attention") else 1


def _is_old(capability: int | None) -> bool:
    """FlashAttention, and at first Marlin, are written for Ampere and later (engine-facts section 2)."""
    return capability is not None and capability < _AMPERE


def _prefill_apart(config: ServingConfig, *, sglang: bool, first: bool) -> bool:
    """SGLang prefills in steps of their own unless told to mix; V0 does without chunked prefill."""
    if sglang:
        return not config.flag("enable_mixed_chunk")
    return first and not config.flag("enable_chunked_prefill")


def _plain_kernels(config: ServingConfig, served: WeightFormat, gpu: GPU, release: Release | None) -> str:
    """The method of GPTQ's or AWQ's weights where its own kernels multiply them; elsewhere Marlin's do.

    The flag forces them in vLLM (override_quantization_method in gptq_marlin.py, 0.6.6 to 0.21.0, and awq_marlin.py, to
    0.23.0; later releases have one class for both). Marlin is written for NVIDIA's GPUs from Ampere on, from 0.14 on
    from Turing on (vllm-project/vllm pull request 29901).
    """
    if config.engine is not Engine.VLLM or release is None or served.quantization is None:
        return ""
    method = served.quantization.method.lower().removesuffix("_marlin")
    if method not in _FORCED_UNTIL:
        return ""
    forced = config.text("quantization") == method and release < _FORCED_UNTIL[method]
    least = _TURING if release >= _MARLIN_ON_TURING else _AMPERE
    too_old = gpu.compute_capability is not None and gpu.compute_capability < least
    return method if forced or too_old or gpu.vendor is Vendor.AMD else ""


def _interval(config: ServingConfig) -> int | None:
    """SGLang looks for new requests in every step, unless told to do so less often; load tests often are."""
    if config.engine is not Engine.SGLANG:
        return None
    return config.integer("scheduler_recv_interval") or (1 if config.complete else None)


def _limited(situation: EstimateInput, shape: StepShape, deployment: Deployment, taken: tuple[str, ...]) -> Question:
    config, assumptions = situation.config, list[str](taken)
    sequences, tokens = config.integer("max_batch_size"), config.integer("max_num_batched_tokens")
    if tokens is None or tokens <= 0:
        tokens_known = _CHUNK[config.engine]
        assumptions.append(f"prompt tokens per step are not known: {tokens_known:,.0f} are assumed")
    else:
        tokens_known = float(tokens)
    if sequences is None and config.engine is Engine.VLLM:
        assumptions.append("max_num_seqs is not known: nothing but the KV cache is taken to bound running requests")
    if config.engine is Engine.SGLANG and _interval(config) is None:
        assumptions.append(_UNKNOWN_INTERVAL)
    if situation.cache_tokens is None:
        assumptions.append("the KV cache's size is not known: it is taken to hold all running requests")
    running = float(sequences) * deployment.attention_ranks if sequences is not None and sequences > 0 else float("inf")
    caching = config.flag("enable_prefix_caching") if config.engine is Engine.VLLM else None
    unmeasured = _unmeasured(config)
    if unmeasured is not None:
        assumptions.append("speculation is taken to accept as many tokens as it was measured with")
    served, unfitted = _served(situation, deployment), _is_unfitted(deployment.card)
    if unfitted:
        assumptions.append(_UNFITTED)
    return Question(
        shape, running, tokens_known, caching, deployment.gpu.name, unfitted, served, unmeasured, tuple(assumptions)
    )
