"""vLLM's rules for batches, chunked prefill and scheduling. Pure.

vllm/config/scheduler.py (before 0.10.1 vllm/config.py) and vllm/engine/arg_utils.py; each was confirmed by giving the
releases from 0.7.3 to 0.33.0 such a configuration.
"""

from inferplan.dialects.engine_core import EngineCore, engine_core
from inferplan.dialects.rules.case import Case, Rule, Violation, ignored, refused, risky
from inferplan.dialects.situation import at
from inferplan.dialects.vllm_defaults import model_length

_SCHEDULER = "vllm/config/scheduler.py"
_CHUNKS_ANYWAY_UNTIL = at(0, 11, 1)


def tokens_below_sequences(case: Case) -> Violation | None:
    """A step takes at least one token of each sequence."""
    tokens, sequences = case.situation.need("max_num_batched_tokens"), case.situation.need("max_batch_size")
    if tokens >= sequences:
        return None
    why = f"max_num_batched_tokens {tokens} is less than max_batch_size {sequences}; it must be at least that"
    keys = ("max_num_batched_tokens", "max_batch_size")
    return refused(keys, why, f"{_SCHEDULER} verify_max_model_len, 0.6.6 to 0.33.0")


def tokens_below_length(case: Case) -> Violation | None:
    """Without chunked prefill a step must take the longest prompt whole."""
    situation = case.situation
    if situation.get("enable_chunked_prefill") is not False or _chunks_anyway(case):
        return None
    tokens, longest = situation.need("max_num_batched_tokens"), model_length(situation)
    if tokens >= longest:
        return None
    why = (
        f"without chunked prefill max_num_batched_tokens {tokens} must be at least max_model_len {longest}:"
        " a longer prompt would never run"
    )
    keys = ("max_num_batched_tokens", "max_model_len", "enable_chunked_prefill")
    return refused(keys, why, f"{_SCHEDULER} verify_max_model_len: V0 and 0.11.1 to 0.33.0")


def chunking_cannot_be_switched_off(case: Case) -> Violation | None:
    """V1 sets it to true itself up to 0.11.0."""
    if case.situation.get("enable_chunked_prefill") is not False or not _chunks_anyway(case):
        return None
    case.situation.generates()
    why = "enable_chunked_prefill false has no effect: this release's V1 engine always chunks prefills"
    return ignored(("enable_chunked_prefill",), why, "vllm/engine/arg_utils.py _set_default_args_v1, 0.8.5 to 0.11.0")


def _chunks_anyway(case: Case) -> bool:
    return case.situation.release < _CHUNKS_ANYWAY_UNTIL and engine_core(case.situation) is EngineCore.V1


def chunking_off_is_unsupported(case: Case) -> Violation | None:
    """Releases from 0.12.0 on warn of crashes and wrong answers."""
    situation = case.situation
    if situation.release < at(0, 12) or situation.get("enable_chunked_prefill") is not False:
        return None
    situation.generates()
    why = "enable_chunked_prefill false: vLLM warns that it may crash or answer wrongly without chunked prefill"
    source = "vllm/engine/arg_utils.py _set_default_chunked_prefill_and_prefix_caching_args, 0.12.0 to 0.33.0"
    return risky(("enable_chunked_prefill",), why, source)


def long_prefill_above_length(case: Case) -> Violation | None:
    """No prompt can be longer than the model's length; up to 0.11.0 only looked at with partial prefills."""
    situation = case.situation
    threshold = situation.need("long_prefill_token_threshold")
    looked_at = situation.release >= at(0, 27) or situation.count("max_num_partial_prefills") > 1
    longest = model_length(situation)
    if threshold <= longest or not looked_at:
        return None
    why = f"long_prefill_token_threshold {threshold} is greater than max_model_len {longest}"
    keys = ("long_prefill_token_threshold", "max_model_len")
    return refused(keys, why, f"{_SCHEDULER}, 0.27.1 to 0.33.0; before only with max_num_partial_prefills > 1")


def partial_prefills(case: Case) -> Violation | None:
    """Several prompts prefilled at once: a feature of V0 that needs chunked prefill; refused from 0.11.1 on."""
    situation = case.situation
    number = situation.count("max_num_partial_prefills")
    if number <= 1:
        return None
    keys = ("max_num_partial_prefills", "enable_chunked_prefill")
    if situation.release >= at(0, 11, 1):
        why = f"max_num_partial_prefills {number}: this release has no concurrent partial prefills, only 1 is accepted"
        return refused(keys[:1], why, "vllm/engine/arg_utils.py _check_feature_supported, 0.11.1 to 0.26.0")
    if situation.release >= at(0, 11) or situation.get("enable_chunked_prefill") is True:
        return None
    if situation.get("enable_chunked_prefill") is None:
        return None  # V0 may chunk by default
    why = f"max_num_partial_prefills {number} needs enable_chunked_prefill"
    return refused(keys, why, "vllm/config.py SchedulerConfig._verify_args, 0.7.3 to 0.10.2")


def active_above_sequences(case: Case) -> Violation | None:
    """Admission can only be lowered."""
    active, sequences = case.situation.need("max_num_active_seqs"), case.situation.need("max_batch_size")
    if active <= sequences:
        return None
    why = f"max_num_active_seqs {active} is greater than max_batch_size {sequences}"
    return refused(("max_num_active_seqs", "max_batch_size"), why, f"{_SCHEDULER}, 0.31.0 to 0.33.0")


def tokens_above_all_sequences(case: Case) -> Violation | None:
    """More tokens than all sequences at full length have."""
    situation = case.situation
    if situation.release < at(0, 9, 2):
        return None
    tokens, most = situation.need("max_num_batched_tokens"), situation.need("max_batch_size") * model_length(situation)
    if tokens <= most:
        return None
    why = f"max_num_batched_tokens {tokens} exceeds max_batch_size x max_model_len = {most}; vLLM warns of it"
    keys = ("max_num_batched_tokens", "max_batch_size", "max_model_len")
    return risky(keys, why, f"{_SCHEDULER} verify_max_model_len, 0.9.2 to 0.33.0")


def watermark_range(case: Case) -> Violation | None:
    """A share of the blocks that stays free."""
    share = case.situation.get("watermark")
    if not isinstance(share, int | float) or 0 <= share < 1:
        return None
    return refused(("watermark",), f"watermark {share} must be from 0 to below 1", f"{_SCHEDULER}, 0.24.0 to 0.33.0")


def async_with_pipeline(case: Case) -> Violation | None:
    """Asynchronous scheduling is asked for where stages cannot do it."""
    situation = case.situation
    stages = situation.count("pipeline_parallel_size")
    asked = situation.get("async_scheduling") is True and case.explicit("async_scheduling")
    if not asked or stages <= 1 or situation.release >= at(0, 15):
        return None
    why = f"async_scheduling does not work with pipeline_parallel_size {stages} in this release"
    return refused(("async_scheduling", "pipeline_parallel_size"), why, "vllm/config/vllm.py, 0.10.0 to 0.14.1")


def async_with_ngram(case: Case) -> Violation | None:
    """Drafts out of the prompt need the last step's tokens."""
    situation = case.situation
    if not at(0, 10) <= situation.release < at(0, 33) or situation.speculative_method() != "ngram":
        return None
    keys, source = ("async_scheduling", "speculative_config"), "vllm/config/vllm.py, {} to 0.32.0"
    if situation.get("async_scheduling") is True and case.explicit("async_scheduling"):
        why = "async_scheduling does not work with ngram speculation in this release"
        return refused(keys, why, source.format("0.10.0"))
    if situation.release < at(0, 14) or case.explicit("async_scheduling"):
        return None
    why = "ngram speculation switches asynchronous scheduling off, which is on by default"
    return risky(tuple(reversed(keys)), why, source.format("0.14.1"))


def performance_mode_without_effect(case: Case) -> Violation | None:
    """Mode throughput doubles the two limits where they are not set, and does nothing else."""
    limits = ("max_num_batched_tokens", "max_batch_size")
    if case.situation.get("performance_mode") != "throughput" or not all(map(case.explicit, limits)):
        return None
    why = "performance_mode throughput only doubles max_num_batched_tokens and max_batch_size, and both are set"
    source = "vllm/engine/arg_utils.py _set_default_max_num_seqs_and_batched_tokens_args, 0.17.1 to 0.33.0"
    return ignored(("performance_mode", *limits), why, source)


SCHEDULING_RULES: tuple[Rule, ...] = (
    tokens_below_sequences,
    tokens_below_length,
    chunking_cannot_be_switched_off,
    chunking_off_is_unsupported,
    long_prefill_above_length,
    partial_prefills,
    active_above_sequences,
    tokens_above_all_sequences,
    watermark_range,
    async_with_pipeline,
    async_with_ngram,
    performance_mode_without_effect,
)
