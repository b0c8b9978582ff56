"""Advice: what no forecast prices, or what is no flag of this workload. Words with what was seen, at most three. Pure.

Table: overload → replicas, and a limit on the queue. Weights fill the GPU and the cache is full, or a target between
tokens is missed by a small batch → more GPUs per replica. Experts cut over data-parallel ranks → expert parallelism.
Long prompts among short ones and a target between tokens missed → a threshold for long prompts. Something switched off
that the release does by itself → what that is. A defect that a later release mends → that release. After these comes
what `scheduling_advice` knows.
"""

from collections.abc import Callable, Iterator
from math import ceil

from inferplan.api.plan import Alternative
from inferplan.api.values import Engine
from inferplan.diagnose.bottlenecks import Cause
from inferplan.diagnose.flags import setting_name
from inferplan.diagnose.version import upgrade_advice
from inferplan.dialects.known_defects import known_defects
from inferplan.domain.gpu import Interconnect
from inferplan.domain.measurement import Missing
from inferplan.domain.owner import keeps_replicas
from inferplan.estimate.memory_observed import sizes
from inferplan.estimate.memory_terms import WEIGHTS
from inferplan.optimizers.batching_look import Look
from inferplan.optimizers.batching_switches import chunks
from inferplan.optimizers.scheduling_advice import scheduling_advice

ADVICE_MAX = 3
"""A plan shows eight alternatives; those of the forecast's frontier come first."""

WEIGHTS_SHARE = 0.6
"""Share of the engine's memory from which on weights crowd out the cache: half of them on another GPU would more than
double what is left. A choice."""

SMALL_BATCH = 8
"""Up to so many requests a step's time is that of reading the weights, which more GPUs share. A choice."""

LONG_PROMPT = 4.0
"""99th percentile of prompts this many times their mean: few long ones among many short ones. A choice."""

OUTGROWN = 1.2
"""Requests that come against those that are served from which on replicas are advised: more than a flag gives where
prompts take the time. A choice."""

_CHUNKING, _ASYNC, _QUEUE = "enable_chunked_prefill", "async_scheduling", "max_num_queued_reqs"
_THRESHOLD = "long_prefill_token_threshold"


def advice(look: Look) -> tuple[Alternative, ...]:
    """What a person could do beside the plan, the weightiest first."""
    found = (rule(look) for rule in _RULES)
    return (*(entry for entry in found if entry is not None), *scheduling_advice(look))[:ADVICE_MAX]


def _replicas(look: Look) -> Alternative | None:
    if look.diagnosis.cause is Cause.OVERLOAD:
        why = "More than one limit is reached, and a flag moves only one."
    elif look.diagnosis.cause is Cause.PREFILL_BOUND and _outgrown(look):
        why = "More prompts come than are computed, and the queue grows."
    else:
        return None
    limits = " ".join(found.description for found in look.diagnosis.bottlenecks)
    text = f"{why} {limits} {_how_many(look)}"
    return Alternative(title="More replicas", description=f"{text}{keeps_replicas(look.observation.owners)}")


def _outgrown(look: Look) -> bool:
    """Whether so many more come than are served that no flag makes up for it."""
    done, come = look.number("requests_per_second"), look.number("arrivals_per_second")
    return done is not None and come is not None and come >= OUTGROWN * done


def _how_many(look: Look) -> str:
    """Replicas for all that comes: what arrives, or what finishes and is refused; a queue alone tells no rate."""
    done, come, how = look.number("requests_per_second"), look.number("arrivals_per_second"), "come"
    refused, replicas = look.number("rejected_requests_per_second") or 0.0, look.observation.replicas
    if refused and done:
        come, how = done + refused, "come, with those that it refuses"
    if not done or not come or come <= done or not replicas:
        return (
            "How many is not known: the rate at which requests come was not measured, only that at which they finish."
        )
    needed = ceil(replicas * come / done)
    return (
        f"A replica finishes {done:.3g} requests per second, and {come:.3g} {how}: {replicas} x {come:.3g} /"
        f" {done:.3g} makes {needed} replicas."
    )


def _queue_limit(look: Look) -> Alternative | None:
    flag = setting_name(look.config, _QUEUE)
    if look.diagnosis.cause is not Cause.OVERLOAD or not flag.startswith("-") or look.config.value(_QUEUE) is not None:
        return None
    return Alternative(
        title=f"A limit on waiting requests ({flag})",
        description=(
            f"{look.signals.waiting or 0:.0f} requests wait, and the queue has no limit. With one the engine refuses at"
            " once what could only wait, and clients can turn elsewhere; those that are let in are served in time."
            " What is refused is not served: it is no cure for too few replicas."
        ),
    )


def _tensor_parallel(look: Look) -> Alternative | None:
    ranks = look.config.integer("tensor_parallel_size")
    why = "" if ranks is None else _crowded(look) or _reads_weights(look)
    heads = look.card.heads if look.card is not None else None
    if ranks is None or not why or heads is None:
        return None
    if heads % (2 * ranks):
        return _pipeline_parallel(look, heads, 2 * ranks)
    gpu = look.observation.accelerator.gpu
    slow = gpu is not None and gpu.interconnect is Interconnect.PCIE
    link = " Without NVLink between them, part of that goes into what they tell each other." if slow else ""
    flag = setting_name(look.config, "tensor_parallel_size")
    return Alternative(
        title=f"Twice the GPUs per replica ({flag} {2 * ranks})",
        description=f"{why} Needs a node with {2 * ranks} free GPUs of this kind.{link}",
    )


def _pipeline_parallel(look: Look, heads: int, ranks: int) -> Alternative | None:
    """Stages of layers where heads cannot be split: they make room, and no step shorter."""
    why, stages = _crowded(look), 2 * (look.config.integer("pipeline_parallel_size") or 1)
    flag = setting_name(look.config, "pipeline_parallel_size")
    if not why or not flag.startswith("-"):
        return None
    return Alternative(
        title=f"Twice the GPUs per replica ({flag} {stages})",
        description=(
            f"{why} Its {heads} heads cannot be split over {ranks} GPUs, but its layers can be put on several in turn:"
            " a token passes one stage after the other, so that steps get no shorter."
        ),
    )


def _crowded(look: Look) -> str:
    """How weights leave the cache too little, empty where they do not."""
    if not look.diagnosis.kv_cache_full:
        return ""
    sized = sizes(look.observation, look.config)
    if isinstance(sized, Missing) or not sized.totals_known:
        return ""
    before = sized.before
    share = sum(term.bytes for term in before.terms if term.name == WEIGHTS) / before.total_bytes
    if share < WEIGHTS_SHARE:
        return ""
    return (
        f"Requests wait for KV cache memory, and the weights take {share:.0%} of what the engine may use of a GPU. On"
        " twice the GPUs each holds half of the weights, and the cache gets the rest."
    )


def _reads_weights(look: Look) -> str:
    """How a small batch misses a target between tokens, empty where none does."""
    running = look.signals.running or 0.0
    if not look.missed_steps or look.queued or running > SMALL_BATCH:
        return ""
    return (
        f"{'; '.join(look.missed_steps)}, with {running:.0f} requests running at once: a step then takes as long as"
        " reading the weights, which twice the GPUs share."
    )


def _expert_parallel(look: Look) -> Alternative | None:
    card, ranks = look.card, look.config.integer("data_parallel_size") or 1
    flag = setting_name(look.config, "enable_expert_parallel")
    spread = (
        look.config.flag("enable_expert_parallel") is not False or ranks == 1 or look.config.engine is not Engine.VLLM
    )
    if card is None or card.is_dense or spread or not look.queued or not flag.startswith("-"):
        return None
    return Alternative(
        title=f"Whole experts on each rank ({flag})",
        description=(
            f"Requests wait, and every expert is cut over the {ranks} data-parallel ranks. With {flag} each rank holds"
            " whole experts and multiplies larger matrices; ranks that get more of the tokens then hold up the others."
            " Which is faster depends on the links between the GPUs: try it beside the present layout."
        ),
    )


def _long_prompts(look: Look) -> Alternative | None:
    mean, longest = look.number("prompt_tokens_mean"), look.number("prompt_tokens_p99")
    flag = setting_name(look.config, _THRESHOLD)
    if not look.missed_steps or mean is None or longest is None or longest < LONG_PROMPT * mean:
        return None
    if not flag.startswith("-") or look.config.value(_THRESHOLD) not in {None, 0} or not chunks(look):
        return None
    return Alternative(
        title=f"Smaller chunks of long prompts ({flag})",
        description=(
            f"{'; '.join(look.missed_steps)}. Prompts have {mean:.0f} tokens on average and {longest:.0f} at the 99th"
            " percentile: each step that carries a long one holds up all answers. The flag bounds what a step takes of"
            " a long prompt and leaves short ones whole; the long ones get their first token later."
        ),
    )


def _switched_off(look: Look) -> Alternative | None:
    """What the release would do by itself, and no forecast prices."""
    off = list(_off(look))
    if not off:
        return None
    return Alternative(
        title="Switches against the release's own way",
        description=f"{' '.join(off)} Find out why it was set before it is taken out: it may work around a fault.",
    )


def _off(look: Look) -> Iterator[str]:
    config = look.config
    sglang = config.engine is Engine.SGLANG
    if look.switched_off(_ASYNC) or (sglang and config.flag(_ASYNC) is False):
        flag = setting_name(config, _ASYNC)
        yield f"The next step is not scheduled while one runs ({flag}): the GPU waits for the CPU between steps."
    if sglang and config.flag(_CHUNKING) is False:
        flag = setting_name(config, _CHUNKING)
        yield f"Prompts are not cut into chunks ({flag}): a long one holds up every answer for one long step."


def _newer_release(look: Look) -> Alternative | None:
    """Where the running release has a defect that this configuration meets."""
    found = known_defects(look.config, look.observation.accelerator, look.card)
    if not found.present:
        return None
    return Alternative(
        title=f"A newer release ({look.config.engine} {found.upgrade} or later)",
        description=f"{upgrade_advice(look.config.engine, found)} It is a change of its own: plan again after it.",
    )


_RULES: tuple[Callable[[Look], Alternative | None], ...] = (
    _replicas,
    _queue_limit,
    _tensor_parallel,
    _expert_parallel,
    _long_prompts,
    _switched_off,
    _newer_release,
)
