"""In which configurations a defect of an engine bites, as far as settings, GPUs and model can tell. Pure.

A condition holds only by what is known: where it would need something else, it raises NotKnownError.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from inferplan.dialects.situation import NotKnownError, Situation, at
from inferplan.domain.architecture import Attention, LatentAttention
from inferplan.domain.serving import Origin

_GRAPHS = ("compilation_config", "optimization_level")
_ATTENTION = ("attention_backend", "attention_config")
_CONNECTORS = ("kv_transfer_config", "kv_offloading_size", "kv_offloading_backend")
_NATIVE_BY_DEFAULT = at(0, 14)
_HOPPER = 90  # compute capability 9.0, times 10
_FULL_AND_WINDOWED = 2  # one kind of layer that sees all tokens, one with a window


@dataclass(frozen=True)
class Condition:
    """One thing that has to hold for a defect to bite.

    Attributes:
        words: What holds, as it stands in a sentence behind "with" or "and".
        holds: Whether it does; raises NotKnownError where that is not known.
    """

    words: str
    holds: Callable[[Situation], bool]

    def is_met(self, situation: Situation) -> bool:
        """Whether it surely holds."""
        try:
            return self.holds(situation)
        except NotKnownError:
            return False


def _has_full_attention(situation: Situation) -> bool:
    mixers = [layer.mixer for layer in situation.card.layer_counts]
    return any(isinstance(mixer, Attention) and mixer.window is None and mixer.chunk is None for mixer in mixers)


def _has_full_and_windowed(situation: Situation) -> bool:
    """Two groups in vllm/v1/core/kv_cache_coordinator.py: full attention, and one kind of sliding window."""
    mixers = [layer.mixer for layer in situation.card.layer_counts]
    if not all(isinstance(mixer, Attention) and mixer.chunk is None for mixer in mixers):
        return False
    windows = {mixer.window for mixer in mixers if isinstance(mixer, Attention)}
    return None in windows and len(windows) == _FULL_AND_WINDOWED


def _has_dense_latent_attention(situation: Situation) -> bool:
    mixers = [layer.mixer for layer in situation.card.layer_counts]
    return any(isinstance(mixer, LatentAttention) and mixer.indexer is None for mixer in mixers)


def _drafts_with_the_model(situation: Situation) -> bool:
    """vllm/config/speculative.py use_eagle: the names that end in _mtp are read as mtp."""
    method = situation.speculative_method()
    return method is not None and (method in {"eagle", "eagle3", "mtp"} or method.endswith("_mtp"))


def _groups_are_kept_apart(situation: Situation) -> bool:
    """vllm/config/vllm.py: a KV connector and KV events turn the hybrid KV cache manager off."""
    apart = situation.config.flag("disable_hybrid_kv_cache_manager") is False
    return apart or _untouched(situation, "disable_hybrid_kv_cache_manager", "kv_events_config", *_CONNECTORS)


def _captures_full_graphs(situation: Situation) -> bool:
    return situation.config.flag("enforce_eager") is False and _untouched(situation, *_GRAPHS)


def _untouched(situation: Situation, *keys: str) -> bool:
    """Whether all of these are at their defaults.

    Raises:
        NotKnownError: One is not there, and not everything that is set is known.
    """
    settings = [situation.config.settings.get(key) for key in keys]
    if None in settings and not situation.config.complete:
        raise NotKnownError(keys[0])
    return all(setting is None or setting.origin is Origin.VERSION_DEFAULT for setting in settings)


def _offloads(situation: Situation) -> bool:
    """The native offload, by its own flags (the backend native is the default from 0.14.0 on) or its connector."""
    config = situation.config
    if not config.fraction("kv_offloading_size"):
        return _connector(situation).get("kv_connector") == "OffloadingConnector"
    if config.text("kv_offloading_backend") == "native":
        return True
    return situation.release >= _NATIVE_BY_DEFAULT and _untouched(situation, "kv_offloading_backend")


def _consumes(situation: Situation) -> bool:
    """vllm/config/kv_transfer.py is_kv_consumer; either backend of the offload has the role kv_both."""
    offloads = bool(situation.config.fraction("kv_offloading_size"))
    return offloads or _connector(situation).get("kv_role") in {"kv_both", "kv_consumer"}


def _connector(situation: Situation) -> dict[str, Any]:
    """kv_transfer_config; empty where it is not given, or is no JSON object."""
    try:
        loaded = json.loads(situation.config.text("kv_transfer_config") or "{}")
    except (ValueError, RecursionError):  # the second: thousands of brackets
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _says(key: str, *values: str) -> Callable[[Situation], bool]:
    return lambda situation: situation.config.text(key) in values


def _is_on(key: str) -> Callable[[Situation], bool]:
    return lambda situation: situation.config.flag(key) is True


PREFIX_CACHE_ON = Condition("the prefix cache on", _is_on("enable_prefix_caching"))
HICACHE_ON = Condition("the hierarchical cache on", _is_on("enable_hierarchical_cache"))
ASYNC_SCHEDULING = Condition("asynchronous scheduling on", _is_on("async_scheduling"))
FCFS = Condition("requests in the order of their arrival", _says("scheduling_policy", "fcfs"))
FP8_CACHE = Condition("an fp8 KV cache", _says("kv_cache_dtype", "fp8", "fp8_e4m3"))
DEFAULT_CACHE = Condition("kv_cache_dtype auto", _says("kv_cache_dtype", "auto"))
FULL_GRAPHS = Condition("the default CUDA graphs", _captures_full_graphs)
HOPPER = Condition("a Hopper GPU", lambda situation: situation.capability == _HOPPER)
DEFAULT_ATTENTION = Condition("the default attention backend", lambda situation: _untouched(situation, *_ATTENTION))
TAKES_MEDIA = Condition("a multimodal model", lambda situation: bool(situation.card.towers))
FULL_ATTENTION = Condition("layers of full attention", _has_full_attention)
NO_STATES = Condition("no layers that keep a state", lambda situation: not situation.card.has_states)
FULL_AND_WINDOWED = Condition("layers of full and of sliding-window attention", _has_full_and_windowed)
DENSE_MLA = Condition("a model with dense MLA", _has_dense_latent_attention)
DEEPSEEK_V32 = Condition("DeepSeek V3.2", lambda situation: situation.card.architecture == "DeepseekV32ForCausalLM")
EAGLE_OR_MTP = Condition("EAGLE or MTP speculation", _drafts_with_the_model)
HYBRID_KV_CACHE = Condition("the hybrid KV cache manager on", _groups_are_kept_apart)
NATIVE_OFFLOAD = Condition("the KV cache offloaded by vLLM's own connector", _offloads)
KV_CONSUMER = Condition("a KV connector that loads", _consumes)
