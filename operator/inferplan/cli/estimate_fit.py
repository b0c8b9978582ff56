"""Whether speed has a meaning: the server must start, and take requests of that length. Pure."""

from inferplan.api.reasons import Reason
from inferplan.domain.measurement import Missing
from inferplan.domain.serving import Origin, ServingConfig
from inferplan.estimate.load import Load
from inferplan.estimate.memory_estimate import MemoryEstimate


def no_speed(config: ServingConfig, memory: MemoryEstimate | Missing, load: Load) -> Missing | None:
    """Why the server would not serve the load at all; None where it does, or may."""
    return _too_long(config, load) or _does_not_start(config, memory, load)


def doubt(memory: MemoryEstimate | Missing) -> tuple[str, ...]:
    """What to say beside a speed of a server that may not start."""
    if isinstance(memory, Missing) or memory.surely_fits:
        return ()
    if memory.fits:
        return ("memory is tight: at the low end of its interval the engine would not start",)
    why = memory.why_not or "the engine would not start"
    return (f"as it stands the engine may not start ({why}); the speed is that of one which does",)


def _too_long(config: ServingConfig, load: Load) -> Missing | None:
    """An engine refuses requests longer than the max_model_len that somebody set."""
    length, longest = load.input_tokens + load.output_tokens, config.integer("max_model_len")
    if longest is None or not _is_stated(config) or length <= longest:
        return None
    why = f"a request of {load.input_tokens:,.0f} + {load.output_tokens:,.0f} tokens is longer than max_model_len"
    return Missing(Reason.DOES_NOT_FIT, f"{why} {longest:,}, so the engine refuses it")


def _does_not_start(config: ServingConfig, memory: MemoryEstimate | Missing, load: Load) -> Missing | None:
    """Nothing starts that does not fit at the favourable end of the interval either.

    A max_model_len that nobody stated is the model's own, and too long for many GPUs: what is started in earnest
    has a shorter one, so that the load's own length has to fit.
    """
    if isinstance(memory, Missing) or memory.fits:
        return None
    tokens, requests = memory.kv_cache_tokens, memory.max_concurrency
    if _is_stated(config):
        may_start = not isinstance(requests, Missing) and requests.high >= 1
    else:
        may_start = not isinstance(tokens, Missing) and tokens.high >= load.input_tokens + load.output_tokens
    return None if may_start else Missing(Reason.DOES_NOT_FIT, memory.why_not or "the engine would not start")


def _is_stated(config: ServingConfig) -> bool:
    setting = config.settings.get("max_model_len")
    return setting is not None and setting.origin is not Origin.VERSION_DEFAULT
