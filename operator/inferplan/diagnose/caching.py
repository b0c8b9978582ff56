"""The prefix cache and speculation: whether they do anything. Pure."""

import json
from collections.abc import Iterator

from inferplan.api.analysis import Bottleneck, Counts, Severity, Unknown
from inferplan.diagnose.case import Case
from inferplan.diagnose.finding import Cause, Code, Shown, finding
from inferplan.diagnose.flags import setting_name
from inferplan.diagnose.limits import ever_full
from inferplan.dialects.known_defects import EAGLE_LOSES_HITS
from inferplan.domain.measurement import Measured
from inferplan.domain.serving import ServingConfig

USELESS_SHARE = 0.01
"""A prefix cache in which less than one token of a hundred is found saves nothing that could be measured."""

REQUESTS_FOR_HITS = 50
"""Requests of a replica below which prompts may share prefixes and not have met yet."""

EXTRA_TOKENS_MIN = 0.4
"""Speculation that gives fewer tokens more per step than this hardly pays for itself: drafting takes time, and a step
that checks drafts takes longer. A judgement on the careful side: at 1.4 tokens per step something is still gained where
few requests run."""

ACCEPTED_SHARE_MIN = 0.1
"""Where nine of ten speculated tokens are thrown away, drafting is work for nothing, however many are drafted."""

DRAFT_TOKENS = "num_speculative_tokens"


def prefix_cache(case: Case) -> Iterator[Bottleneck | Unknown]:
    """Off: whether it would help cannot be seen. On: whether it finds anything."""
    if not case.is_steady:
        return
    if case.config.flag("enable_prefix_caching") is False:
        yield Unknown(
            code=Code.PREFIX_CACHE_OFF,
            reason="The prefix cache is off: whether prompts share their starts cannot be seen without it.",
            needs=f"Switch it on ({setting_name(case.config, 'enable_prefix_caching')}) and look at its hits; it costs"
            " next to nothing where none are found.",
        )
        return
    if EAGLE_LOSES_HITS in case.known_defects.present:
        return  # not the prompts: diagnose.version says it
    hits = case.metrics.prefix_cache_hit_share
    if isinstance(hits, Measured) and hits.value < USELESS_SHARE and case.enough_requests(REQUESTS_FOR_HITS):
        yield _useless(case, hits) if not ever_full(case.signals) else _evicted(hits)


def _useless(case: Case, hits: Measured) -> Bottleneck:
    return finding(
        Code.PREFIX_CACHE_USELESS,
        Severity.LOW,
        f"The prefix cache finds {hits.value:.1%} of the prompts' tokens: prompts share no starts.",
        Shown("prefix_cache_hit_share", hits, USELESS_SHARE, Counts.BELOW),
        also=case.metrics.named("prompt_tokens_mean", "requests_per_second", "kv_cache_usage"),
        recommendation=(
            "Put what prompts have in common at their start, and send what shares it to the same replica; where"
            " nothing is in common, leave it: an unused prefix cache costs next to nothing."
        ),
    )


def _evicted(hits: Measured) -> Unknown:
    """What running requests need takes the blocks of what was kept: a full cache has no hits, whatever is shared."""
    return Unknown(
        code=Cause.UNKNOWN,
        reason=(
            f"The prefix cache finds {hits.value:.1%} of the prompts' tokens while the KV cache is full: whether"
            " prompts share no starts, or what they share is thrown out, cannot be told."
        ),
        needs="The same look while the KV cache has room.",
    )


def speculation(case: Case) -> Iterator[Bottleneck]:
    """Speculated tokens that hardly ever hold."""
    accepted = case.metrics.speculation_accepted_share
    if not isinstance(accepted, Measured) or not case.is_steady or not case.enough_requests():
        return
    drafted = _drafted(case.config)
    least = max(ACCEPTED_SHARE_MIN, EXTRA_TOKENS_MIN / drafted if drafted is not None else 0.0)
    if accepted.value >= least:
        return
    gain = f", {1 + accepted.value * drafted:.2f} tokens per step" if drafted is not None else ""
    yield finding(
        Code.LOW_ACCEPTANCE,
        Severity.MEDIUM,
        f"{accepted.value:.0%} of the speculated tokens hold{gain}: drafting costs more than it gives.",
        Shown("speculation_accepted_share", accepted, least, Counts.BELOW),
        also=case.metrics.named("itl_mean_milliseconds", "num_requests_running"),
        recommendation=(
            "Try fewer speculated tokens, another drafter, or none"
            f" ({setting_name(case.config, 'speculative_config')}); speculation pays least where many requests run."
        ),
    )


def _drafted(config: ServingConfig) -> int | None:
    """Tokens that are speculated per step; None where the configuration does not say."""
    try:
        document = json.loads(config.text("speculative_config") or "null")
    except (ValueError, RecursionError):  # the second: thousands of brackets
        return None
    count = document.get(DRAFT_TOKENS) if isinstance(document, dict) else None
    return count if type(count) is int and count > 0 else None
