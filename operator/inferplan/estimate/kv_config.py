"""The cache's settings out of what an engine is told to do, with the release's defaults filled in. Pure."""

import re
from dataclasses import dataclass, replace

from inferplan.api.reasons import Reason
from inferplan.domain.architecture import (
    Attention,
    LatentAttention,
    Layer,
    LinearAttention,
    Mamba,
)
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.quantization import NumberFormat
from inferplan.domain.serving import ServingConfig
from inferplan.estimate import kv_defaults
from inferplan.estimate.kv_compressed import COMPRESSED_FORMAT
from inferplan.estimate.kv_compressed_config import (
    has_narrow_index,
    is_compressed,
    prediction_layer,
    refuse_compressed,
)
from inferplan.estimate.kv_settings import CacheSettings, StateMode, StateSettings
from inferplan.estimate.memory_setting import Speculation, read_ranks, read_speculation
from inferplan.estimate.release import Release, is_legacy, release_of

_SHORT = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "float": "float32", "fp32": "float32"}
_BROUGHT = {NumberFormat.FP8: ("fp8", (0, 14, 0)), NumberFormat.NVFP4: ("nvfp4", (0, 20, 0))}
"""Format that a checkpoint brings → its name, and the first release that heeds it under "auto"."""

_SCHEME_SINCE = (0, 17, 0)
"""First release that heeds compressed-tensors' kv_cache_scheme (Attention.__init__, 0.17.1)."""

_BITS = {"float32": 32, "bfloat16": 16, "float16": 16}
_UNSET = frozenset({None, "", "{}"})
_WIDE_STATES = ("NemotronH", "Qwen3_5")
_WIDE_STATE_NAMES = re.compile(r"qwen-?3\.[5-9]", re.IGNORECASE)
_BLACKWELL = 10
_CONSUMER_BLACKWELL = 12


@dataclass(frozen=True)
class _Reading:
    """What is read from."""

    config: ServingConfig
    card: ModelCard
    release: Release
    capability: int | None
    speculation: Speculation


def cache_settings(config: ServingConfig, card: ModelCard, accelerator: Accelerator) -> CacheSettings | Missing:
    """The settings that vLLM's planner would see; what of them is not known, where it cannot be assumed."""
    release, ranks, speculation = release_of(config.version), read_ranks(config), read_speculation(config)
    if release is None:
        return _unknown(f"vLLM's version {config.version} is not known: how it sizes the cache is not, either")
    if isinstance(ranks, Missing):
        return ranks
    if isinstance(speculation, Missing):
        return speculation
    if config.text("kv_cache_dtype_skip_layers") not in {None, "", "[]"}:
        return _unknown("kv_cache_dtype_skip_layers: layers with a cache format of their own are not sized")
    reading = _Reading(config, card, release, accelerator.compute_capability, speculation)
    drafts, refusal = _drafts(reading), _refused(reading)
    if refusal is not None:
        return refusal
    if isinstance(drafts, Missing):
        return drafts
    kv_format, model_format = _kv_format(reading), _model_format(config)
    now = kv_defaults.Situation(release, card, kv_format, accelerator.compute_capability)
    size = kv_defaults.block_size(now, config.integer("block_size"))
    settings = CacheSettings(
        release=release,
        kv_format=kv_format,
        model_format=model_format,
        block_size=size,
        tensor_parallel=ranks.tensor,
        pipeline_parallel=ranks.pipeline,
        context_parallel=config.integer("decode_context_parallel_size") or 1,
        hybrid_manager=_has_hybrid_manager(reading),
        states=_states(reading, now),
        drafts=drafts,
        kernel_block=kv_defaults.kernel_block(now, size),
        narrow_index=is_compressed(card) and has_narrow_index(config),
        blocks_override=config.integer("num_gpu_blocks_override"),
        is_v0=is_legacy(release, reading.capability),
    )
    batches, assumed = _batches(reading, settings)
    return replace(settings, concurrent_batches=batches, assumptions=assumed + _draft_assumptions(reading))


def _refused(reading: _Reading) -> Missing | None:
    if not is_compressed(reading.card):
        return None
    kv_format = _short(reading.config.text("kv_cache_dtype"))
    return refuse_compressed(reading.config, reading.release, reading.capability, kv_format)


def _model_format(config: ServingConfig) -> str:
    """The format that the model runs in: of 16 bits, unless --dtype asks for 32 (a float32 checkpoint runs in 16)."""
    return "float32" if _short(config.text("dtype")) == "float32" else "bfloat16"


def _short(text: str | None) -> str:
    """A format's whole name: people write "bf16", and "auto (bf16)"."""
    word = ((text or "").lower().split() or ["auto"])[0]
    return _SHORT.get(word, word)


def _kv_format(reading: _Reading) -> str:
    """The cache's format: the one that is set, the checkpoint's own, or the model's; packed for sparse MLA."""
    if is_compressed(reading.card):
        return COMPRESSED_FORMAT
    name = _short(reading.config.text("kv_cache_dtype"))
    found = _own_format(reading) if name == "auto" else name
    return _packed(reading, found, is_auto=name == "auto")


def _own_format(reading: _Reading) -> str:
    """What "auto" is: resolve_kv_cache_dtype_string, vllm/utils/torch_utils.py (0.14.1 to 0.33.0)."""
    quantization = reading.card.quantization
    brought = None if quantization is None or quantization.kv_cache is None else _BROUGHT.get(quantization.kv_cache)
    if brought is None or quantization is None:
        return _model_format(reading.config)
    name, since = brought
    first = since if quantization.method.startswith("modelopt") else max(since, _SCHEME_SINCE)
    return name if reading.release >= first else _model_format(reading.config)


def _packed(reading: _Reading, name: str, *, is_auto: bool) -> str:
    """Sparse MLA packs FP8 its own way: always to 0.19, in 0.11.0 unasked; then where FlashMLA computes it.

    DeepseekV32ForCausalLM, vllm/model_executor/models/config.py (0.11.0 to 0.19.1); MLAAttention.__init__ and
    _canonicalize_sparse_mla_kv_cache_dtype (0.20.2 to 0.33.0): on Blackwell FlashInfer takes plain FP8.
    """
    mixers = (layer.mixer for layer in reading.card.layer_counts)
    sparse = any(isinstance(mixer, LatentAttention) and mixer.indexer is not None for mixer in mixers)
    family = None if reading.capability is None else reading.capability // 10
    if not sparse:
        return name
    if is_auto and (reading.release < (0, 11, 1) or (family == _CONSUMER_BLACKWELL and reading.release >= (0, 25, 0))):
        return "fp8_ds_mla"
    plain = reading.release >= (0, 20, 0) and family == _BLACKWELL
    return "fp8_ds_mla" if name.startswith("fp8") and not plain else name


def _has_hybrid_manager(reading: _Reading) -> bool:
    """Whether layers of different kinds get groups of their own (VllmConfig.__post_init__, 0.9.2 to 0.33.0).

    Off with chunked local attention from 0.10.2, where events are published to 0.19, and with connectors to 0.23.
    """
    config, release = reading.config, reading.release
    if config.flag("disable_hybrid_kv_cache_manager") is True:
        return False
    mixers = (layer.mixer for layer in reading.card.layer_counts)
    chunked = any(isinstance(mixer, Attention) and mixer.chunk is not None for mixer in mixers)
    if chunked and release >= (0, 10, 2):
        return False
    connected = config.text("kv_transfer_config") not in _UNSET and release < (0, 24, 0)
    published = config.text("kv_events_config") not in _UNSET and release < (0, 20, 0)
    return not connected and not published


def _states(reading: _Reading, now: kv_defaults.Situation) -> StateSettings:
    config, card = reading.config, reading.card
    if not card.has_states:
        return StateSettings()
    mode = _state_mode(reading)
    conv = _BITS.get(config.text("mamba_cache_dtype") or "", _BITS[_model_format(config)])
    return StateSettings(
        mode=mode,
        conv_bits=conv,
        state_bits=_state_bits(reading),
        speculative_tokens=reading.speculation.tokens,
        checkpoints=kv_defaults.writes_checkpoints(now, mode),
        alignment=kv_defaults.state_alignment(now, mode),
        chunk=config.integer("mamba_block_size"),
    )


def _state_bits(reading: _Reading) -> int | None:
    """The state's bits that a flag asks for, and 32 where a config is silent whose family's are.

    Nemotron-H from 0.20 (DEFAULT_MAMBA_SSM_CACHE_DTYPE, vllm/model_executor/models/config.py); Qwen3.5 and 3.6, whose
    published configs all ask for float32 (mamba_ssm_dtype), which a shortened one may have left out.
    """
    asked = _BITS.get(reading.config.text("mamba_ssm_cache_dtype") or "")
    if asked is not None:
        return asked
    mixers = [layer.mixer for layer in reading.card.layer_counts]
    silent = not any(isinstance(mixer, Mamba | LinearAttention) and mixer.state_bits for mixer in mixers)
    named = reading.card.architecture.startswith(_WIDE_STATES) or _WIDE_STATE_NAMES.search(reading.config.model or "")
    return _BITS["float32"] if silent and named and reading.release >= (0, 20, 0) else None


def _state_mode(reading: _Reading) -> StateMode:
    """The mode that is set where prefixes are cached, else the release's."""
    config, release, card = reading.config, reading.release, reading.card
    is_set = config.is_stated("enable_prefix_caching")
    caches = config.flag("enable_prefix_caching") is True if is_set else kv_defaults.caches_prefixes(release, card)
    usual = kv_defaults.state_mode(release, card, caches=caches)
    asked = config.text("mamba_cache_mode")
    if not caches or asked not in {StateMode.ALIGN, StateMode.ALL}:
        return usual
    return StateMode.ALIGN if asked == StateMode.ALL and usual is not StateMode.ALL else StateMode(asked)


def _batches(reading: _Reading, settings: CacheSettings) -> tuple[int, tuple[str, ...]]:
    """Batches in flight (VllmConfig.max_concurrent_batches, 0.23.0 to 0.33.0), and what was assumed for it."""
    stages = settings.pipeline_parallel
    windowed = any(
        isinstance(layer.mixer, Attention) and (layer.mixer.window or layer.mixer.chunk)
        for layer in reading.card.layer_counts
    ) or is_compressed(reading.card)
    stated = reading.config.flag("async_scheduling")
    is_async = stated if stated is not None else reading.release >= (0, 14, 0)
    if not windowed:
        return 1, ()
    said = () if stated is not None else ("async_scheduling is not known; the release's default assumed",)
    if stages == 1:
        return 2 if is_async else 1, said
    newer = reading.release >= (0, 31, 0)
    runner = f"vLLM's {'second' if newer else 'first'} model runner assumed"
    return stages + 1 if is_async and newer else stages, (*said, runner)


def _drafts(reading: _Reading) -> tuple[Layer, ...] | Missing:
    """Layers that speculation adds: the model's own prediction layers, or EAGLE's one."""
    speculation = reading.speculation
    if not speculation.predicts and not speculation.has_draft:
        return ()
    if speculation.predicts and is_compressed(reading.card) and reading.card.mtp_layers <= 1:
        return (prediction_layer(reading.card),)
    attending = [layer for layer in reading.card.layers if isinstance(layer.mixer, Attention | LatentAttention)]
    if not attending or (speculation.has_draft and not speculation.method.startswith("eagle")):
        return _unknown(f"speculation with {speculation.method}: the draft model's layers are not known")
    count = max(1, reading.card.mtp_layers) if speculation.predicts else 1
    return (attending[-1],) * count


def _draft_assumptions(reading: _Reading) -> tuple[str, ...]:
    if not reading.speculation.has_draft:
        return ()
    return ("the draft's one layer caches what the model's last attention layer does",)


def _unknown(why: str) -> Missing:
    return Missing(Reason.SETTING_UNKNOWN, why)
