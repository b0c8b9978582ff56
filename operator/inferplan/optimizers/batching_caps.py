"""The lever on how many requests run at once: max_num_seqs, max_running_requests. Pure.

Up where requests wait and more of them are there than may run: alone where only the cap is in the way, with other
changes where memory or steps are. Down where requests lose their places in the cache, or a target between tokens is
missed. How far, the planner decides by the forecast.
"""

from collections.abc import Iterator
from math import floor

from inferplan.api.instance import OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, Engine, OptimizationType
from inferplan.diagnose.bottlenecks import Cause
from inferplan.diagnose.limits import AT_CAP_SHARE
from inferplan.domain.lever import Lever, Option
from inferplan.domain.measurement import Missing
from inferplan.estimate.running import fixing_key
from inferplan.optimizers.batching_look import Look

KEY = "max_batch_size"

STEP_MAX = 2
"""A plan raises the cap to twice at most; the next plan looks again at what then happens."""

STEP_MIN = 1.10
"""Below a tenth more there is nothing worth a restart."""

_UP = (STEP_MAX, 1.5, 1.75, 1.25)
_DOWN = (0.75, 0.5, 0.25)
_GRAPHS_MOST = 512
"""The largest batch that vLLM captures by itself (vllm/config/vllm.py, 0.11.1 to 0.33.0; 1024 on SM100)."""

_GRAPH_LIMITS = ("max_cudagraph_capture_size", "cuda_graph_max_bs_decode")
"""vLLM from 0.11.1 on; SGLang (--cuda-graph-max-bs up to 0.5.18)."""

_GRAPH_LISTS = ("cudagraph_capture_sizes", "cuda_graph_sizes", "cuda_graph_bs_decode")
_LEADING_BITS = 3
_SEEN = (
    *("num_requests_running", "num_requests_waiting", "kv_cache_usage", "preemptions_per_second"),
    *("itl_mean_milliseconds", "itl_p99_milliseconds"),
)


def caps_lever(look: Look) -> Lever | None:
    """Places to move the cap to; None where there is none."""
    cap = look.config.integer(KEY)
    if cap is None:
        return None
    raised = _raised(cap) if _may_rise(look) else []
    options = [
        *(_up(look, cap, value) for value in raised),
        *(_down(look, cap, value) for value in _lowered(look, cap)),
    ]
    return Lever(OptimizerName.BATCHING, OptimizationType.BATCHING, tuple(options)) if options else None


def cannot_rise(look: Look) -> Missing | None:
    """What is to be known, or must not be set, before the cap rises; None where nothing hinders."""
    config, tokens = look.config, look.config.integer("max_num_batched_tokens")
    if config.integer(KEY) is None or (config.engine is Engine.VLLM and tokens is None):
        return Missing(Reason.SETTING_UNKNOWN, "max_batch_size or max_num_batched_tokens is unknown")
    active = config.integer("max_num_active_seqs")
    if active is not None:
        return Missing(Reason.ALREADY_SET, f"max_num_active_seqs admits {active} requests, whatever the cap is")
    fixed = fixing_key(config)
    if fixed is None:
        return None
    why = f"{fixed} fixes the KV cache: what a larger batch needs would have to come from memory that nobody measured"
    return Missing(Reason.MEMORY_UNPROVEN, why)


def tokens_bound(look: Look) -> str | None:
    """How the tokens of a step hold the cap where it is (vLLM starts with no fewer than sequences); None: they do not.

    Moving both together helps.
    """
    cap, tokens = look.config.integer(KEY), look.config.integer("max_num_batched_tokens")
    if look.config.engine is not Engine.VLLM or cap is None or tokens is None or tokens >= STEP_MIN * cap:
        return None
    return f"max_batch_size is {cap}, and vLLM takes no more than max_num_batched_tokens, {tokens}"


def _may_rise(look: Look) -> bool:
    """Whether more requests are there than may run; else no cap is in the way, whatever else is changed."""
    signals = look.signals
    there, most = (signals.running or 0.0) + (signals.waiting or 0.0), signals.cap or 0
    crowded = look.diagnosis.cause is Cause.SCHEDULER_CAPPED or there >= AT_CAP_SHARE * most
    return look.queued and crowded and cannot_rise(look) is None


def _raised(cap: int) -> list[int]:
    """Higher caps in quarters of today's, so that noise does not give another plan each time; 32: 64, 48, 56, 40."""
    step = max(1, cap // 4)
    values = (cap + (floor(factor * cap) - cap) // step * step for factor in _UP)
    return [value for value in dict.fromkeys(values) if value >= STEP_MIN * cap]


def _lowered(look: Look, cap: int) -> list[int]:
    """Lower caps, of what runs today where that is below the cap: only then do they hold anything back."""
    if not (look.preempting or look.missed_steps):
        return []
    ranks = max(1, look.config.integer("data_parallel_size") or 1)
    running = (look.signals.running or 0.0) / ranks
    at_cap = running >= AT_CAP_SHARE * cap
    values = (short(factor * (cap if at_cap else running)) for factor in (_DOWN if at_cap else (1.0, *_DOWN)))
    return [value for value in dict.fromkeys(values) if 1 <= value < cap]


def short(value: float) -> int:
    """Down to three leading bits, so that noise does not give another number each time: 38 → 32, 5000 → 4096."""
    whole = int(value)
    unit = 1 << max(0, whole.bit_length() - _LEADING_BITS)
    return whole // unit * unit


def _up(look: Look, cap: int, value: int) -> Option:
    running, waiting = look.signals.running or 0.0, look.signals.waiting or 0.0
    alone = look.diagnosis.cause is Cause.SCHEDULER_CAPPED
    why = "the cap holds them back" if alone else "the cap would hold them back once memory and steps have room"
    seen = f"{running:.0f} requests run under a cap of {cap} and {waiting:.0f} wait"
    return Option(
        changes=(look.change(KEY, value, f"{seen}: {why}.", *_SEEN), *_graphs(look, value)),
        title=f"Raise the running requests from {cap} to {value}",
        description=(
            f"{seen}. A larger batch reads the weights once for more of them. Waiting requests get their first token"
            " sooner; every step gets longer, and with it the time between tokens."
        ),
        risks=(
            "Every step gets longer: time between tokens rises, at most in proportion to the batch.",
            "Longer requests than those seen could fill the KV cache; the engine then preempts and recomputes.",
        ),
        prerequisites=tuple(_by_hand(look)),
    )


def _down(look: Look, cap: int, value: int) -> Option:
    seen = "; ".join(_reasons_to_lower(look))
    return Option(
        changes=(
            look.change(
                KEY, value, f"{seen}: fewer requests at once take shorter steps and less of the cache.", *_SEEN
            ),
        ),
        title=f"Lower the running requests from {cap} to {value}",
        description=(
            f"{seen}. With fewer requests at once steps are shorter and none has to give up its place in the cache;"
            " what does not run waits longer for its first token."
        ),
        risks=("Where more requests come than may run, they wait: the time to the first token rises.",),
    )


def _reasons_to_lower(look: Look) -> Iterator[str]:
    if look.preempting:
        yield f"{look.signals.preemptions or 0.0:.2g} requests per second lose their places in the KV cache"
    yield from look.missed_steps


def _graphs(look: Look, cap: int) -> Iterator[ConfigChange]:
    """A largest captured batch that somebody set below the new cap: what is larger runs without CUDA graphs."""
    if look.config.flag("enforce_eager") is True:
        return
    wanted = min(cap, _GRAPHS_MOST)
    for key in _GRAPH_LIMITS:
        captured = look.config.integer(key)
        if captured is not None and captured < wanted:
            why = f"CUDA graphs are captured up to {captured} requests; a larger batch would run without them."
            yield look.change(key, wanted, why, "num_requests_running", "num_requests_waiting")


def _by_hand(look: Look) -> Iterator[str]:
    given = [key for key in _GRAPH_LISTS if look.config.value(key) not in {None, "", "[]"}]
    if given and look.config.flag("enforce_eager") is not True:
        names = ", ".join(given)
        yield f"By hand: the new batch among {names}; what is larger than all of them runs without CUDA graphs."
