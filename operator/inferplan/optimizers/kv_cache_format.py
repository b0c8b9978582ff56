"""The KV cache's number format: half the bytes a value, where the GPU's kernels and the model bear it. Pure."""

from inferplan.api.reasons import Reason
from inferplan.api.values import Confidence, ConfigChange, Engine, Evidence
from inferplan.dialects.attention import HEAD_DIMS_READ
from inferplan.dialects.keys import flag_name
from inferplan.domain.architecture import Attention, LatentAttention, Mixer
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig
from inferplan.estimate.running import running_bits
from inferplan.optimizers.kv_cache_kernels import ENGINE_NAMES, CacheFormat, reading, usable_format
from inferplan.optimizers.kv_cache_pressure import Pressure

DOUBT_SAME_KERNEL = 0.10
"""Standard deviation of ln(measured speed ratio / the step model's) where the attention kernels stay the same.

Root mean square of the pairs of improvement_pairs.json, category kv_cache_dtype, that benchmarks/results/accuracy.md
counts under "Effect of one change" and that tell of speed: 0.095, of four (three of vLLM 0.6.2 on MI300X, 7 to 9 %
less than forecast; one of TensorRT-LLM on H100, 14 % more). None is of a release or GPU that the format is offered for.
"""

DOUBT_OTHER_KERNEL = 0.20
"""The same where the format takes the engine to other attention kernels (FlashAttention to Triton or FlashInfer). No
public pair shows one: twice the other. A choice."""

_HALF_BITS = 16
_HALVES = frozenset({"auto", "bfloat16", "float16", "bf16"})
_LATENT_WIDTH = (512, 64)
"""kv_lora_rank and qk_rope_head_dim of the one width of latent attention that the selector was asked for: 576."""


def format_option(observation: Observation, pressure: Pressure) -> Option | Missing:
    """A cache of half the bytes; why there is none."""
    present = _present(observation)
    if isinstance(present, Missing):
        return present
    kind = _latent(present)
    if isinstance(kind, Missing):
        return kind
    found = usable_format(observation, latent=kind)
    return found if isinstance(found, Missing) else _option(observation, found, pressure, latent=kind)


def _present(observation: Observation) -> ModelCard | Missing:
    """The model, where its cache surely holds 16-bit values today."""
    config, model = observation.config, observation.model
    unfit = _setting_unfit(config)
    if unfit is not None:
        return unfit
    if isinstance(model, Missing):
        return model
    brought = _brought(model)
    if brought is not None:
        return brought
    if running_bits(config, model) != _HALF_BITS:
        return _unsupported("the KV cache does not hold 16-bit values today")
    return model


_FIXES_TOKENS = {Engine.VLLM: "num_gpu_blocks_override", Engine.SGLANG: "max_total_tokens"}
"""Settings that fix how many tokens there are, whatever bytes they take."""

_CHOOSES_KERNELS = ("attention_config", "prefill_attention_backend", "decode_attention_backend")
"""Settings that choose kernels in a way that was not read."""


def _setting_unfit(config: ServingConfig) -> Missing | None:
    fixes = _FIXES_TOKENS.get(config.engine)
    if fixes is None:
        return _unsupported(f"which GPUs run an fp8 KV cache was not read for {config.engine}")
    if config.value(fixes) is not None:
        why = f"{fixes} fixes the cache's tokens: smaller values would not make it more of them"
        return Missing(Reason.ALREADY_SET, why)
    chooses = next((key for key in _CHOOSES_KERNELS if config.value(key) is not None), None)
    if chooses is not None:
        return _unsupported(f"{chooses} chooses the attention kernels, and what it chooses was not read")
    found = config.text("kv_cache_dtype")
    if found is None:
        return Missing(Reason.SETTING_UNKNOWN, "the KV cache's number format is not known")
    return None if found in _HALVES else Missing(Reason.ALREADY_SET, f"kv_cache_dtype is {found} already")


def _brought(model: ModelCard) -> Missing | None:
    """Why "auto" may be more than the model's own format: the checkpoint has one for the cache, or may have."""
    quantization = model.quantization
    if quantization is not None and quantization.kv_cache is not None:
        why = f"the checkpoint carries its own KV cache format, {quantization.kv_cache}"
        return Missing(Reason.ALREADY_SET, why)
    if not model.quantization_known or (quantization is not None and not model.quantization_stated):
        why = "the checkpoint is quantized, and its config.json does not say whether it carries its own KV format"
        return Missing(Reason.SETTING_UNKNOWN, why)
    return None


def _latent(model: ModelCard) -> bool | Missing:
    """Whether all of it is latent attention; False for full attention with the heads that were read."""
    mixers = {layer.mixer for layer in model.layer_counts if layer.mixer is not None}
    if mixers and all(map(_is_read_latent, mixers)):
        return True
    if mixers and all(map(_is_read_full, mixers)):
        return False
    found = f"of {model.head_dim}" if len(mixers) == 1 and model.head_dim is not None else "of other kinds"
    heads = f"full attention with heads of {', '.join(map(str, HEAD_DIMS_READ))} and latent attention of 576"
    return _unsupported(f"kernels for a smaller KV format were read for {heads}; the model's heads are {found}")


def _is_read_full(mixer: Mixer) -> bool:
    if not isinstance(mixer, Attention) or (mixer.window, mixer.chunk, mixer.indexer) != (None, None, None):
        return False
    return mixer.head_dim == mixer.v_head_dim and mixer.head_dim in HEAD_DIMS_READ


def _is_read_latent(mixer: Mixer) -> bool:
    if not isinstance(mixer, LatentAttention) or mixer.indexer is not None:
        return False
    return (mixer.kv_lora_rank, mixer.qk_rope_head_dim) == _LATENT_WIDTH


def _option(observation: Observation, found: CacheFormat, pressure: Pressure, *, latent: bool) -> Option:
    now, then = (reading(observation, kv_dtype, latent=latent) for kv_dtype in ("auto", found.value))
    same, config = now[0] == then[0], observation.config
    kernel = Evidence(
        formula=f"attention backends of {ENGINE_NAMES[config.engine]} {config.version} for {found.value} here",
        value=", ".join(then),
    )
    change = ConfigChange(
        parameter="kv_cache_dtype",
        flag=flag_name(config.engine, "kv_cache_dtype"),
        current_value=config.text("kv_cache_dtype"),
        recommended_value=found.value,
        reason=f"{pressure.seen}; a value takes 2 bytes, and in {found.called} it takes 1.",
        evidence=(*pressure.evidence, kernel),
    )
    slower = () if same else (f"Attention moves from {now[0]} to {then[0]}, which can make steps longer.",)
    return Option(
        changes=(change,),
        title=f"Store the KV cache in {found.called}",
        description=f"{pressure.seen}. In {found.called} keys and values take half the memory.{found.instead}",
        risks=("Answers can get worse; compare on your own evaluation first.", *slower),
        prerequisites=(f"An evaluation of the model's answers with an {found.called} KV cache.",),
        raises_confidence=(f"The accuracy of this model with an {found.called} KV cache on your own evaluation.",),
        accuracy_risk=f"Keys and values lose precision ({found.loss}).",
        doubt=DOUBT_SAME_KERNEL if same else DOUBT_OTHER_KERNEL,
        confidence_most=Confidence.MEDIUM,
    )


def _unsupported(why: str) -> Missing:
    return Missing(Reason.FORMAT_UNSUPPORTED, why)
