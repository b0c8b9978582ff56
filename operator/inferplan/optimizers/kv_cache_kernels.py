"""Which smaller number format of the KV cache the running engine's own kernels read. Pure.

Told only for a release, a GPU and a kind of attention that were read (dialects/attention.py), and for what surely runs
today: a change that the engine answers with another engine core is none, and other kernels are told.
"""

from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.dialects.attention import SELECTOR_SINCE, V0, is_shipped, kv_cache_backends, sglang_backends
from inferplan.dialects.engine_core import V1_ONLY, EngineCore, engine_core
from inferplan.dialects.situation import NotKnownError, Situation
from inferplan.dialects.version_order import VersionNumber, version_number
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import ServingConfig


@dataclass(frozen=True)
class CacheFormat:
    """A number format that may be offered.

    Attributes:
        engine: Who takes it.
        value: As its --kv-cache-dtype does.
        called: What people call it.
        loss: What becomes of keys and values.
        instead: Why it is offered instead of fp8, a sentence; empty for fp8 itself.
    """

    engine: Engine
    value: str
    called: str
    loss: str
    instead: str = ""


_E4M3 = "fp8 e4m3; scale 1.0 unless the checkpoint has one"
_FORMATS = (
    CacheFormat(Engine.VLLM, "fp8", "fp8", _E4M3),
    CacheFormat(Engine.SGLANG, "fp8_e4m3", "fp8", _E4M3),
    CacheFormat(
        Engine.VLLM,
        "int8_per_token_head",
        "int8",
        "int8, with a scale for each token and head",
        " The GPU has no fp8 kernel for it that vLLM ships, and reads int8 by Triton's.",
    ),
)
"""In the order in which they are tried: fp8 has kernels that multiply it as it is, int8 is widened by Triton's."""


ENGINE_NAMES = {Engine.VLLM: "vLLM", Engine.SGLANG: "SGLang"}


def usable_format(observation: Observation, *, latent: bool) -> CacheFormat | Missing:
    """The first format that a kernel of the engine's own reads on this GPU; why there is none.

    Args:
        observation: What runs.
        latent: Whether the model's attention is latent.
    """
    config, gpu = observation.config, observation.accelerator
    number = version_number(config.version)
    if number is None:
        return Missing(Reason.ENGINE_VERSION_UNKNOWN, "the engine's version is not known")
    if gpu.compute_capability is None:
        return Missing(Reason.ACCELERATOR_UNKNOWN, "the GPU's compute capability is not known")
    where = f"{ENGINE_NAMES[config.engine]} {config.version} on {gpu.product}"
    unread = _unread(observation, number, where, latent=latent)
    return unread or _read_format(observation, where, latent=latent)


def _read_format(observation: Observation, where: str, *, latent: bool) -> CacheFormat | Missing:
    config = observation.config
    read = [(one, _backends(observation, one.value, latent=latent)) for one in _FORMATS if one.engine is config.engine]
    known = [(one, backends) for one, backends in read if backends is not None]
    if len(known) < len(read) or not _backends(observation, "auto", latent=latent):
        return _unsupported(f"which kernels read a smaller KV cache was not read for {where}")
    fits = (one for one, backends in known if any(_runs(config, name) for name in backends))
    return next(fits, None) or _unsupported(_why_none(config, known[0][1], where))


def reading(observation: Observation, kv_dtype: str, *, latent: bool) -> tuple[str, ...]:
    """Backends that read a format, the one that runs first; empty where that is not known.

    Args:
        observation: What runs.
        kv_dtype: The format, "auto" for the model's own.
        latent: Whether the model's attention is latent.
    """
    chosen = _chosen(observation.config)
    return (_backends(observation, kv_dtype, latent=latent) or ()) if chosen is None else (chosen,)


def _unread(observation: Observation, number: VersionNumber, where: str, *, latent: bool) -> Missing | None:
    """Why what was read does not tell what runs today."""
    config = observation.config
    if config.engine is Engine.SGLANG:
        return _unsupported(f"which kernels read a smaller latent cache was not read for {where}") if latent else None
    if latent and config.value("decode_context_parallel_size") not in {None, 1}:
        return _unsupported("the smaller latent cache was not read with decode_context_parallel_size; vLLM refused it")
    if config.is_stated("block_size") or (number < SELECTOR_SINCE and _chosen(config) is not None):
        return _unsupported(f"the kernels of {where} were read for block sizes and backends of its own choice")
    if number >= V1_ONLY or _runs_on_v1(observation, number):
        return None
    return _unsupported(f"the kernels of {where} were read for its V1 engine, which may not be what runs")


def _runs_on_v1(observation: Observation, number: VersionNumber) -> bool:
    try:
        return engine_core(Situation(number, observation.config, observation.accelerator)) is EngineCore.V1
    except NotKnownError:
        return False


def _chosen(config: ServingConfig) -> str | None:
    """The attention backend that is set."""
    found = config.text("attention_backend")
    if found is None or found == "auto":
        return None
    return found.upper() if config.engine is Engine.VLLM else found


def _runs(config: ServingConfig, backend: str) -> bool:
    """Whether a backend that reads the format surely runs: the one that is set, else one that needs no other package.

    SGLang needs each of those that were read for it.
    """
    chosen = _chosen(config)
    if chosen is not None:
        return backend == chosen
    return config.engine is Engine.SGLANG or is_shipped(backend)


def _why_none(config: ServingConfig, backends: tuple[str, ...], where: str) -> str:
    chosen = _chosen(config)
    if chosen is not None:
        return f"attention_backend is {chosen}, which reads no smaller KV cache of this model with {where}"
    if V0 in backends:
        return f"with a smaller KV cache, {where} falls back to its old V0 engine"
    return f"{where} has no kernel for a smaller KV cache of this model that the engine itself ships"


def _backends(observation: Observation, kv_dtype: str, *, latent: bool) -> tuple[str, ...] | None:
    config, gpu = observation.config, observation.accelerator
    if config.engine is Engine.SGLANG:
        return sglang_backends(config.version, gpu.compute_capability)
    return kv_cache_backends(config.version, gpu.compute_capability, kv_dtype, mla=latent)


def _unsupported(why: str) -> Missing:
    return Missing(Reason.FORMAT_UNSUPPORTED, why)
