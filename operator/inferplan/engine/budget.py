"""Memory per GPU before and after a set of changes, every term printed; and the gate that rests on it.

The measured KV capacity is the anchor: what arithmetic and measurement differ by is carried over to what would be.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from inferplan.api.plan import MemoryBudget, MemoryState, MemoryTerm
from inferplan.api.values import ConfigChange, Source
from inferplan.dialects.effective import changed
from inferplan.domain.hardware import Accelerator
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, ServingConfig, Setting, SettingValue
from inferplan.estimate.memory_estimate import MemoryEstimate
from inferplan.estimate.memory_observed import Sizes, sizes
from inferplan.estimate.memory_terms import KV_CACHE

_GROWING = frozenset(
    {"max_batch_size", "max_num_batched_tokens", "max_model_len", "max_cudagraph_capture_size", "block_size"}
)
_SHRINKING = frozenset({"gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks_override", "cpu_offload_gb"})
_FORMATS = frozenset({"kv_cache_dtype", "quantization"})
_LAYOUT = frozenset(
    {
        *("dtype", "tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size", "speculative_config"),
        *("enforce_eager", "enable_lora", "max_loras", "max_lora_rank", "enable_expert_parallel"),
    }
)
_ROUNDING = "block_size"
"""With another format of the cache the release may choose other blocks, which round a request's last one up."""

SIZING_KEYS = _GROWING | _SHRINKING | _FORMATS | _LAYOUT
"""Settings that say how much GPU memory anything takes."""


def after_changes(
    config: ServingConfig, changes: Iterable[ConfigChange], accelerator: Accelerator, card: ModelCard | None = None
) -> ServingConfig:
    """The configuration with the recommended values, and the defaults that hold with them.

    Args:
        config: What runs.
        changes: What changes.
        accelerator: GPUs of one replica: defaults depend on them.
        card: The model that would run, on which defaults depend too.
    """
    settings, model = dict[str, Setting | None](), config.model
    for change in changes:
        if change.removes_flag:
            settings[change.parameter] = None
        elif change.recommended_value is not None:
            settings[change.parameter] = Setting(change.recommended_value, Origin.ARGUMENT)
            model = str(change.recommended_value) if change.parameter == "model" else model
    return changed(replace(config, model=model), settings, accelerator, card)


def looked_at(
    observation: Observation, changes: Iterable[ConfigChange], card: ModelCard | None = None
) -> ServingConfig:
    """What would run after changes to what was looked at.

    Args:
        observation: What runs.
        changes: What changes.
        card: The model that would run; by default the one that does.
    """
    own = None if isinstance(observation.model, Missing) else observation.model
    return after_changes(observation.config, changes, observation.accelerator, card or own)


def moves(
    before: ServingConfig, after: ServingConfig
) -> tuple[tuple[str, SettingValue | None, SettingValue | None], ...]:
    """Settings that differ, by key, with both values; None for one that is not known."""
    keys = sorted(before.settings.keys() | after.settings.keys())
    pairs = ((key, before.value(key), after.value(key)) for key in keys)
    return tuple((key, old, new) for key, old, new in pairs if old != new)


def memory_budget(observation: Observation, after: ServingConfig, card: ModelCard | None = None) -> MemoryBudget | None:
    """The budget before and after; None where a term has no basis, or arithmetic and measurement contradict.

    Args:
        observation: What runs.
        after: What would run.
        card: The model that would run; by default the one that does.
    """
    sized = sizes(observation, after, card)
    if isinstance(sized, Missing) or not sized.totals_known:
        return None
    before, then = _state(sized.before, seen=Source.MEASURED_HERE), _state(sized.after, seen=Source.CALIBRATED_HERE)
    return None if before is None or then is None else MemoryBudget(before=before, after=then)


def holds_one_request(
    observation: Observation, after: ServingConfig, card: ModelCard | None = None, *, unsized_passes: bool = False
) -> str | None:
    """Why the KV cache might not hold one request of max_model_len after the change; None when it does.

    The low end of the predicted cache counts. A change that leaves at least as many requests as before passes: what
    fitted before fits again. Where nothing can be sized, no change passes that may take memory.

    Args:
        observation: What runs.
        after: What would run.
        card: The model that would run; by default the one that does.
        unsized_passes: No live workload is at stake, so that what cannot be sized may pass.
    """
    sized = sizes(observation, after, card)
    if isinstance(sized, Missing):
        may_take = not unsized_passes and may_take_memory(observation.config.settings, after.settings)
        return f"it cannot be shown that the change fits into GPU memory: {sized.reason}" if may_take else None
    return _does_not_hold(sized, observation, after)


def may_take_memory(before: Mapping[str, Setting], after: Mapping[str, Setting]) -> bool:
    """Whether a change could leave the KV cache less: anything but limits that fall and a share that grows.

    Formats of weights and cache are only ever made smaller.
    """
    changed = {key for key in before.keys() | after.keys() if _value(before, key) != _value(after, key)}
    return any(_takes(key, _value(before, key), _value(after, key)) for key in changed & (SIZING_KEYS - _FORMATS))


def _takes(key: str, before: SettingValue | None, after: SettingValue | None) -> bool:
    """A number of blocks that is taken out leaves the cache what memory there is: vLLM has the flag to hold it small.

    kv_cache_memory_bytes is no such thing: it wins over gpu_memory_utilization (determine_available_memory,
    vllm/v1/worker/gpu_worker.py, 0.10.2 to 0.33.0) and may be more than that share leaves. vLLM's own log advises such
    a value, "to fully utilize gpu memory".
    """
    if key == "num_gpu_blocks_override" and isinstance(before, int) and after is None:
        return False
    if key == _ROUNDING and None in {before, after}:
        return False
    if not isinstance(before, int | float) or not isinstance(after, int | float):
        return True
    return after > before if key in _GROWING else after < before if key in _SHRINKING else True


def _value(settings: Mapping[str, Setting], key: str) -> SettingValue | None:
    found = settings.get(key)
    return None if found is None else found.value


def _does_not_hold(sized: Sizes, observation: Observation, after: ServingConfig) -> str | None:
    before, then = sized.before.max_concurrency, sized.after.max_concurrency
    if isinstance(before, Missing) or isinstance(then, Missing):
        missing = then if isinstance(then, Missing) else before
        takes = may_take_memory(observation.config.settings, after.settings)
        return f"the KV cache cannot be sized: {missing.reason}" if takes and isinstance(missing, Missing) else None
    if then.low >= 1 and sized.after.surely_fits:
        return None
    if then.expected >= before.expected > 0:
        return None
    tokens = sized.after.kv_cache_tokens
    holds = f"{int(tokens.low):,} tokens at the low end" if not isinstance(tokens, Missing) else "too little"
    return f"the KV cache would hold {holds}, one request of max_model_len may not fit ({then.low:.2f} of it do)"


def _state(estimate: MemoryEstimate, *, seen: Source) -> MemoryState | None:
    """The estimate as a plan prints it; None where the cache's tokens are not known.

    Args:
        estimate: The estimate.
        seen: What the cache's size rests on where the instance's own was measured.
    """
    if isinstance(estimate.kv_cache_tokens, Missing):
        return None
    terms = tuple(
        MemoryTerm(
            name=term.name,
            bytes=term.bytes,
            source=seen if term.name == KV_CACHE and term.source is Source.CALIBRATED_HERE else term.source,
            basis=term.basis,
        )
        for term in estimate.terms
    )
    tokens = int(estimate.kv_cache_tokens.expected)
    return MemoryState(terms=terms, total_bytes=estimate.total_bytes, kv_cache_tokens=tokens)
