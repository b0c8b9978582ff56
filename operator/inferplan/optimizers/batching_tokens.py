"""The lever on the tokens of a step: max_num_batched_tokens, SGLang's chunked_prefill_size. Pure.

Up where steps are full of prompts, where prompts take several steps, or where the cap on sequences runs into it. Down
where long steps hold up the answers that run beside a prompt. The trade is one of TTFT against ITL.
"""

from inferplan.api.instance import Objective, OptimizerName
from inferplan.api.values import Engine, OptimizationType
from inferplan.diagnose.bottlenecks import Cause
from inferplan.diagnose.limits import STEP_HALF_SHARE
from inferplan.domain.lever import Lever, Option
from inferplan.estimate.extra_memory import profiles_images
from inferplan.estimate.running import fixing_key
from inferplan.optimizers.batching_caps import STEP_MAX, cannot_rise, short
from inferplan.optimizers.batching_look import Look
from inferplan.optimizers.batching_switches import chunks

KEY = "max_num_batched_tokens"

LONG_STEP = 3.0
"""99th percentile of the time between tokens this many times its mean: steps with a prompt stand out. A choice."""

_LEAST = 512
"""Fewer tokens than a GPU needs to be busy with them; a choice."""

_UP = (2, 4)
_DOWN = (2, 4, 8, 16)
_SEEN = (
    *("num_requests_running", "num_requests_waiting"),
    *("tokens_per_step", "prompt_tokens_mean", "prompt_tokens_p99"),
    *("ttft_mean_milliseconds", "itl_mean_milliseconds", "itl_p99_milliseconds"),
)


def tokens_lever(look: Look) -> Lever | None:
    """Places to move the tokens of a step to; None where there is none."""
    tokens = look.config.integer(KEY)
    if tokens is None or look.config.value("max_num_scheduled_tokens") is not None:
        return None  # the scheduler's own limit decides then, not this one
    up, down = _why_up(look, tokens), _why_down(look)
    raised = [short(factor * tokens) for factor in _UP] if up else []
    lowered = _lowered(look, tokens) if down else []
    options = [*(_up(look, up, value) for value in raised), *(_down(look, down, value) for value in lowered)]
    return Lever(OptimizerName.BATCHING, OptimizationType.BATCHING, tuple(options)) if options else None


def _why_up(look: Look, tokens: int) -> str:
    """What speaks for longer steps, empty where nothing does."""
    if fixing_key(look.config) is not None:
        return ""  # what a longer step takes would have to come from memory that nobody measured
    share, prompt = look.signals.step_share, look.number("prompt_tokens_mean")
    if look.queued and share is not None and share >= STEP_HALF_SHARE:
        return f"Steps are {share:.0%} full on average while requests wait"
    if prompt is not None and prompt > tokens and (look.queued or look.missed_starts):
        return f"Prompts have {prompt:.0f} tokens on average, which takes each of them several steps of {tokens}"
    if look.diagnosis.cause in {Cause.PREFILL_BOUND, Cause.OVERLOAD} or look.missed_starts:
        return "; ".join(look.missed_starts) or "Requests wait while steps are full of prompts"
    cap = look.config.integer("max_batch_size")
    if look.queued and look.config.engine is Engine.VLLM and cap is not None and cannot_rise(look) is None:
        return f"vLLM runs no more requests at once than a step has tokens, {tokens}" if tokens < STEP_MAX * cap else ""
    return ""


def _why_down(look: Look) -> str:
    """What speaks for shorter steps, empty where nothing does."""
    if look.missed_steps:
        return "; ".join(look.missed_steps)
    mean, longest = look.number("itl_mean_milliseconds"), look.number("itl_p99_milliseconds")
    if look.policy.objective is Objective.THROUGHPUT or mean is None or longest is None or longest < LONG_STEP * mean:
        return ""
    return f"The time between tokens is {mean:.0f} ms on average and {longest:.0f} ms at its 99th percentile"


def _lowered(look: Look, tokens: int) -> list[int]:
    """Halves, down to what a step must hold: all sequences, and whole prompts where they are not cut."""
    card, config = look.card, look.config
    if card is None or profiles_images(config, card):
        return []  # a step must hold the largest image, whose size is not known
    cap, longest = config.integer("max_batch_size"), config.integer("max_model_len")
    least = _LEAST if cap is None or config.engine is not Engine.VLLM else max(_LEAST, cap)
    if not chunks(look):
        least = max(least, tokens if longest is None else longest)
    values = dict.fromkeys(short(tokens / factor) for factor in _DOWN)
    return [value for value in values if least <= value < tokens]


def _up(look: Look, seen: str, value: int) -> Option:
    tokens = look.config.integer(KEY)
    return Option(
        changes=(
            look.change(KEY, value, f"{seen}; a longer step takes more of a prompt, or more prompts, at once.", *_SEEN),
        ),
        title=f"Raise the tokens of a step from {tokens} to {value}",
        description=(
            f"{seen}. In longer steps prompts are computed sooner, so the first token comes earlier; the answers that"
            " run beside them pause longer, so the highest times between tokens rise."
        ),
        risks=(
            "Steps that carry prompts get longer: the highest times between tokens rise.",
            "Longer steps take more memory for activations, which the KV cache loses.",
        ),
    )


def _down(look: Look, seen: str, value: int) -> Option:
    tokens = look.config.integer(KEY)
    return Option(
        changes=(look.change(KEY, value, f"{seen}; a shorter step takes less of a prompt at once.", *_SEEN),),
        title=f"Lower the tokens of a step from {tokens} to {value}",
        description=(
            f"{seen}. In shorter steps a prompt holds up the answers beside it for less time; the prompt itself takes"
            " more steps, so its first token comes later."
        ),
        risks=("Prompts take more steps: the time to the first token rises, and long prompts cost more in all.",),
    )
