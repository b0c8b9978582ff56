"""Advice on scheduling and on what the prefix cache keeps: flags whose gain no measurement and no model tells. Pure.

Table: objective latency and a small batch → CUDA graphs of every size. A mode for throughput where latency counts →
without it. SGLang: a queue, and prompts that share their starts → those whose start is cached go first. Layers that
keep a window or a state, and fewer hits than the owner says prompts share → more of it kept. Blocks so large that the
requests' last ones take a part of a full cache → the engine's own block size.
"""

from collections.abc import Callable, Iterator

from inferplan.api.instance import Objective
from inferplan.api.plan import Alternative
from inferplan.api.values import Engine
from inferplan.diagnose.flags import setting_name
from inferplan.domain.architecture import Attention
from inferplan.domain.model_card import ModelCard
from inferplan.optimizers.batching_look import Look

INTERACTIVE_BATCH = 32
"""--performance-mode interactivity captures graphs of 1, 2, 3 … up to so many requests (vllm/config/vllm.py
_set_cudagraph_sizes, 0.32.0), where else a batch of 17 runs as one of 24."""

SORTED_QUEUE_MAX = 128
"""A longer queue SGLang takes first come, first served, whatever the policy (srt/managers/schedule_policy.py
_determine_active_policy, 0.4.6 to 0.5.23)."""

SHARED_MIN = 0.2
"""Share of the prompts' tokens from which on the order of a queue, or what is kept, is worth a thought. A choice."""

WASTE_MIN = 0.05
"""Share of a full cache in half-empty last blocks from which on another block size is worth a restart. A choice."""

_MODE, _POLICY, _RETENTION, _BLOCK = (
    "performance_mode",
    "scheduling_policy",
    "prefix_cache_retention_interval",
    "block_size",
)
_DOUBLED = ("max_batch_size", "max_num_batched_tokens")
"""What --performance-mode throughput doubles where it is not given (vllm/engine/arg_utils.py, 0.17 to 0.32.0)."""


def scheduling_advice(look: Look) -> Iterator[Alternative]:
    """What a person could try, the weightiest first."""
    found = (rule(look) for rule in _RULES)
    return (entry for entry in found if entry is not None)


def _latency_counts(look: Look) -> bool:
    return look.policy.objective is Objective.LATENCY or bool(look.missed_steps)


def _graphs_of_every_size(look: Look) -> Alternative | None:
    flag, running = setting_name(look.config, _MODE), look.signals.running
    small = running is not None and 1 < running <= INTERACTIVE_BATCH and not look.queued
    if not flag.startswith("-") or not small or not _latency_counts(look):
        return None
    if look.config.value(_MODE) not in {None, "balanced"} or look.config.flag("enforce_eager") is True:
        return None
    return Alternative(
        title=f"CUDA graphs for every small batch ({flag} interactivity)",
        description=(
            f"{running:.0f} requests run at once, and latency counts. The engine pads a batch to the next size that it"
            f" captured (1, 2, 4, 8, 16, 24, 32 …); in this mode it captures every size up to {INTERACTIVE_BATCH}, and"
            " starts and fills memory with more graphs. Where reading the weights takes the step's time, padding costs"
            " next to nothing, so the gain may be too small to see."
        ),
    )


def _mode_for_throughput(look: Look) -> Alternative | None:
    flag = setting_name(look.config, _MODE)
    if look.config.value(_MODE) != "throughput" or not flag.startswith("-") or not _latency_counts(look):
        return None
    doubled = [setting_name(look.config, key) for key in _DOUBLED if not look.config.is_stated(key)]
    what = f" It doubles what the release takes for {' and '.join(doubled)}." if doubled else ""
    return Alternative(
        title=f"Without the mode for throughput ({flag} throughput)",
        description=(
            f"Latency counts, and the engine runs in its mode for throughput.{what} Larger batches and longer steps"
            " make every token later."
        ),
    )


def _cached_first(look: Look) -> Alternative | None:
    flag, hits = setting_name(look.config, _POLICY), look.number("prefix_cache_hit_share")
    waiting = look.signals.waiting or 0.0
    sglang = look.config.engine is Engine.SGLANG and look.config.value(_POLICY) == "fcfs"
    caches = look.config.flag("enable_prefix_caching") is True
    if not sglang or not caches or not flag.startswith("-") or not look.queued or hits is None or hits < SHARED_MIN:
        return None
    longest = f" A queue of more than {SORTED_QUEUE_MAX} is taken in the order of its arrival all the same."
    return Alternative(
        title=f"Requests whose start is cached go first ({flag} lpm)",
        description=(
            f"{waiting:.0f} requests wait, and {hits:.0%} of the prompts' tokens are found in the prefix cache. In the"
            " order of the longest cached start, what is cached is used before it is dropped; requests that share"
            f" nothing wait longer, without a bound.{longest if waiting > SORTED_QUEUE_MAX else ''}"
        ),
    )


def _kept_more_densely(look: Look) -> Alternative | None:
    flag, hits = setting_name(look.config, _RETENTION), look.number("prefix_cache_hit_share")
    declared = look.observation.declared
    share = declared.prefix_share if declared is not None else None
    if not flag.startswith("-") or hits is None or share is None or float(share) - hits < SHARED_MIN:
        return None
    if look.config.flag("enable_prefix_caching") is not True or look.card is None or not _keeps_little(look.card):
        return None
    if look.config.value(_RETENTION) not in {None, 0}:
        return None
    return Alternative(
        title=f"More points at which a prompt can be resumed ({flag})",
        description=(
            f"spec.workload says that prompts share {float(share):.0%} of their tokens, and {hits:.0%} are found."
            " Layers that keep a window or a state are resumed only where the cache kept them: by itself the engine"
            " keeps the end of each prompt, and what it sees is shared. With an interval (a multiple of the block size)"
            " it keeps one each so many tokens, which takes KV cache from running requests."
        ),
    )


def _keeps_little(card: ModelCard) -> bool:
    """Whether some layers keep a sliding window, or a state, instead of all tokens."""
    windows = (isinstance(layer.mixer, Attention) and layer.mixer.window is not None for layer in card.layer_counts)
    return card.has_states or any(windows)


def _smaller_blocks(look: Look) -> Alternative | None:
    config, running, tokens = look.config, look.signals.running, look.number("kv_cache_tokens")
    flag, size = setting_name(config, _BLOCK), config.integer(_BLOCK)
    if size is None or not config.is_stated(_BLOCK) or not look.diagnosis.kv_cache_full or not running or not tokens:
        return None
    waste = running * size / 2 / tokens  # 64 requests, blocks of 256, 100,000 tokens: 64 x 128 / 100,000 = 8.2 %
    if waste < WASTE_MIN:
        return None
    return Alternative(
        title=f"The engine's own block size (without {flag} {size})",
        description=(
            f"The KV cache is full, and the last block of each of {running:.0f} requests is half empty on average:"
            f" {running:.0f} x {size} / 2 of {tokens:.0f} tokens are {waste:.0%} of it. The engine takes the block size"
            " that its attention backend likes best; find out why another one was set."
        ),
    )


_RULES: tuple[Callable[[Look], Alternative | None], ...] = (
    _smaller_blocks,
    _mode_for_throughput,
    _cached_first,
    _kept_more_densely,
    _graphs_of_every_size,
)
