"""What an instance shows of its memory: model less truth, carried over to every candidate. Pure."""

from dataclasses import dataclass

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.estimate.memory_limits import Limits
from inferplan.estimate.memory_model import MemoryModel, in_gib


@dataclass(frozen=True)
class MeasuredOverhead:
    """What the model left for the cache and the engine did not give it; negative where it gave more.

    Attributes:
        size_bytes: Per GPU.
        kv_bytes: The cache that was seen, bytes per GPU.
        peak_bytes: The model's peak of activations under the settings that were seen, bytes per GPU.
    """

    size_bytes: float
    kv_bytes: float
    peak_bytes: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What an engine says of its cache; the first that is given counts.

    Attributes:
        blocks: num_gpu_blocks of vllm:cache_config_info.
        kv_bytes: "Available KV cache memory", bytes per GPU.
        tokens: kv_cache_size_tokens, "GPU KV cache size"; SGLang's max_total_num_tokens.
        concurrency: "Maximum concurrency", requests of max_model_len.
    """

    blocks: float | None = None
    kv_bytes: float | None = None
    tokens: float | None = None
    concurrency: float | None = None


_MOST_GIVEN = 0.1
"""Share of the GPU's memory by which a cache may be larger than the arithmetic leaves it. Beyond, the model is another
one, or the metric is of something else: nothing is learned. A smaller cache may be, whatever holds the rest."""


def measured_overhead(model: MemoryModel, limits: Limits, seen: Seen) -> MeasuredOverhead | Missing:
    """What is to be taken off the model's cache so that it comes out as was seen."""
    kv_bytes = _seen_bytes(model, limits, seen)
    if isinstance(kv_bytes, Missing):
        return kv_bytes
    expected = float(model.kv_bytes(limits))
    difference = expected - kv_bytes
    if kv_bytes <= 0 or difference < -_MOST_GIVEN * model.usable.size_bytes:
        why = f"the cache holds {in_gib(kv_bytes)}, the arithmetic leaves it {in_gib(expected)}: they contradict"
        return Missing(Reason.MEMORY_UNPROVEN, why)
    return MeasuredOverhead(difference, kv_bytes, float(model.peak_bytes(limits)))


def _seen_bytes(model: MemoryModel, limits: Limits, seen: Seen) -> float | Missing:
    """Bytes per GPU of what was seen. Tokens and concurrency grow with bytes, so the model's own give the ratio."""
    if seen.kv_bytes is not None:
        return seen.kv_bytes
    plans = model.plans(limits)
    if isinstance(plans, Missing) or isinstance(model.cache, Missing):
        return plans if isinstance(plans, Missing) else Missing(Reason.MODEL_UNSUPPORTED, "the cache is not sized")
    if seen.blocks is not None:
        return (seen.blocks + 0.5) * model.cache.block_bytes
    told, own = seen.concurrency, float(plans.max_concurrency)
    if seen.tokens is not None:
        told, own = seen.tokens, float(plans.tokens)
    if told is None:
        return Missing(Reason.METRICS_MISSING, "nothing was seen of the cache")
    if own <= 0 or told <= 0:
        return Missing(Reason.MEMORY_UNPROVEN, "there is no cache to compare, by arithmetic or by measurement")
    return (told / own * float(plans.num_blocks) + 0.5) * model.cache.block_bytes  # what is left of a block is not told
