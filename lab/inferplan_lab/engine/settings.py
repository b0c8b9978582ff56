"""From flags, machine and model to the engine's settings, or to the error that the engine stops with."""

import argparse
from dataclasses import dataclass

from inferplan_lab.engine import kv_budget
from inferplan_lab.engine.flags import StartupError, release_flags
from inferplan_lab.engine.geometry import Geometry
from inferplan_lab.engine.hardware import default_batch_limits
from inferplan_lab.engine.limits import Batching, Machine
from inferplan_lab.engine.memory import KvPlan, Placement


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Everything that the running engine goes by.

    Attributes:
        machine: version and GPU.
        model_names: names that requests may use; metrics carry the first.
        geometry: the model.
        placement: how it is spread.
        max_model_len: the longest request in tokens.
        batching: the scheduler's limits.
        prefix_caching: blocks are shared between requests with the same beginning.
        kv_dtype: as given.
        kv: the blocks.
        kv_available_bytes: for the cache on one GPU.
        utilization: gpu_memory_utilization.
        eager: no graphs.
        log_stats: metrics are kept.
        mfu_metrics: estimates of arithmetic and traffic are exposed.
        kv_memory_bytes: the flag --kv-cache-memory-bytes.
        blocks_override: the flag --num-gpu-blocks-override.
    """

    machine: Machine
    model_names: tuple[str, ...]
    geometry: Geometry
    placement: Placement
    max_model_len: int
    batching: Batching
    prefix_caching: bool
    kv_dtype: str
    kv: KvPlan
    kv_available_bytes: int
    utilization: float
    eager: bool = False
    log_stats: bool = True
    mfu_metrics: bool = False
    kv_memory_bytes: int | None = None
    blocks_override: int | None = None


def resolve(flags: argparse.Namespace, machine: Machine, geometry: Geometry) -> EngineSettings:
    """Check the flags against model and machine, and fill in the defaults, as the engine does at start.

    Args:
        flags: from :func:`inferplan_lab.engine.flags.parse`.
        machine: version and GPU.
        geometry: the model.

    Returns:
        The settings.

    Raises:
        StartupError: the engine would not start; the text is its last line.
    """
    _check_kv_dtype(flags, machine)
    longest = _max_model_len(flags, machine, geometry)
    placement = _placement(flags, machine, geometry)
    batching = _batching(flags, machine, min(longest, geometry.max_length_tokens) if longest < 0 else longest)
    available = kv_budget.available_bytes(flags, machine, (geometry, placement, batching))
    longest, kv = kv_budget.plan(flags, (geometry, placement), available, longest)
    caching = getattr(flags, "enable_prefix_caching", None)
    return EngineSettings(
        machine=machine,
        model_names=tuple(_names(flags)),
        geometry=geometry,
        placement=placement,
        max_model_len=longest,
        batching=batching,
        prefix_caching=True if caching is None else bool(caching),
        kv_dtype=flags.kv_cache_dtype or "auto",
        kv=kv,
        kv_available_bytes=available,
        utilization=kv_budget.utilization(flags),
        eager=bool(flags.enforce_eager),
        log_stats=not flags.disable_log_stats,
        mfu_metrics=bool(getattr(flags, "enable_mfu_metrics", False)),
        kv_memory_bytes=getattr(flags, "kv_cache_memory_bytes", None),
        blocks_override=flags.num_gpu_blocks_override,
    )


def _names(flags: argparse.Namespace) -> list[str]:
    """The names that the model is served under."""
    names = flags.served_model_name
    return ([names] if isinstance(names, str) else names) or [flags.model]


def _check_kv_dtype(flags: argparse.Namespace, machine: Machine) -> None:
    """Refuse a KV dtype that the parser let through."""
    wanted = flags.kv_cache_dtype or "auto"
    known: list[str] = next(
        (flag.get("late_choices", []) for flag in release_flags(machine.version) if flag["dest"] == "kv_cache_dtype"),
        [],
    )
    if known and wanted not in known:
        allowed = ", ".join(repr(name) for name in known)
        raise StartupError(f"1 validation error for CacheConfig\ncache_dtype\n  Input should be {allowed}: {wanted!r}")


def _max_model_len(flags: argparse.Namespace, machine: Machine, geometry: Geometry) -> int:
    """The longest request, or -1 for "as long as fits"."""
    wanted = flags.max_model_len
    derived = geometry.max_length_tokens
    if wanted is None or wanted == -1:
        return derived if wanted is None else -1
    if wanted > derived and not machine.allow_long:
        raise StartupError(
            f"User-specified max_model_len ({wanted}) is greater than the derived max_model_len "
            f"(max_position_embeddings={derived} in the model's config.json)",
        )
    return int(wanted)


def _placement(flags: argparse.Namespace, machine: Machine, geometry: Geometry) -> Placement:
    """The GPUs in use, checked against those that are there."""
    placement = Placement(flags.tensor_parallel_size or 1, flags.pipeline_parallel_size or 1)
    world = placement.tensor_parallel * placement.pipeline_parallel
    if getattr(flags, "data_parallel_size", 1) not in {1, None}:
        raise StartupError("the engine simulator does not simulate data parallelism: run one engine for each rank")
    if geometry.heads % placement.tensor_parallel:
        raise StartupError(
            f"Total number of attention heads ({geometry.heads}) must be divisible by tensor parallel size "
            f"({placement.tensor_parallel}).",
        )
    if world > machine.gpu_count:
        raise StartupError(
            f"World size ({world}) is larger than the number of available GPUs ({machine.gpu_count}).",
        )
    return placement


def _batching(flags: argparse.Namespace, machine: Machine, max_model_len: int) -> Batching:
    """The scheduler's limits: the given ones, or the machine's defaults, checked against each other."""
    chunked = flags.enable_chunked_prefill is not False
    tokens, sequences = _batch_defaults(flags, machine, max_model_len, chunked)
    if tokens < sequences:
        raise _scheduler_error(
            f"max_num_batched_tokens ({tokens}) must be greater than or equal to max_num_seqs ({sequences}).",
        )
    if not chunked and tokens < max_model_len:
        raise _scheduler_error(
            f"max_num_batched_tokens ({tokens}) is smaller than max_model_len ({max_model_len}) and chunked "
            "prefill is off. Please increase max_num_batched_tokens or decrease max_model_len.",
        )
    threshold = getattr(flags, "long_prefill_token_threshold", 0) or 0
    if threshold > max_model_len > 0:
        raise _scheduler_error(
            f"long_prefill_token_threshold ({threshold}) cannot be greater than the max_model_len ({max_model_len}).",
        )
    return Batching(
        max_num_seqs=_active_sequences(flags, sequences),
        max_num_batched_tokens=getattr(flags, "max_num_scheduled_tokens", None) or tokens,
        chunked_prefill=chunked,
        long_prefill_tokens=threshold if chunked else 0,
        reserve_full_prompt=bool(getattr(flags, "scheduler_reserve_full_isl", False)),
        watermark=float(getattr(flags, "watermark", 0.0) or 0.0),
    )


def _scheduler_error(text: str) -> StartupError:
    """The error in the form that the engine's config validation gives it."""
    return StartupError(f"1 validation error for SchedulerConfig\n  Value error, {text}")


def _batch_defaults(
    flags: argparse.Namespace,
    machine: Machine,
    max_model_len: int,
    chunked: bool,
) -> tuple[int, int]:
    """max_num_batched_tokens and max_num_seqs, given or by default (engine facts, section 1c)."""
    tokens, sequences = default_batch_limits(machine.gpu, machine.release)
    if getattr(flags, "performance_mode", None) == "throughput":
        tokens, sequences = 2 * tokens, 2 * sequences
    wanted_sequences: int | None = flags.max_num_seqs
    if flags.max_num_batched_tokens is not None:
        tokens = int(flags.max_num_batched_tokens)
    else:
        tokens = tokens if chunked else max(tokens, max_model_len)
        tokens = min(tokens, (wanted_sequences or sequences) * max_model_len) if max_model_len > 0 else tokens
    return tokens, min(sequences, tokens) if wanted_sequences is None else wanted_sequences


def _active_sequences(flags: argparse.Namespace, sequences: int) -> int:
    """max_num_seqs, lowered by --max-num-active-seqs."""
    active: int | None = getattr(flags, "max_num_active_seqs", None)
    if sequences < 1 or (active is not None and not 1 <= active <= sequences):
        raise _scheduler_error(
            f"max_num_seqs ({sequences}) and max_num_active_seqs ({active}) must be 1 or more, in order."
        )
    return active or sequences
