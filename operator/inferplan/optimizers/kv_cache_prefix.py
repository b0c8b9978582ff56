"""Prefix caching that somebody switched off. Pure.

Nothing measures what it would bring while it is off: vLLM counts no lookups then, SGLang no cached tokens. Where the
owner says what share of the prompts repeats, and the step model speaks of the instance, it is a lever that is forecast:
so much less of each prompt is computed, and held by each request. Else it stands by itself, without a number.
"""

from inferplan.api.reasons import Reason
from inferplan.api.values import (
    Confidence,
    ConfigChange,
    Effect,
    Effort,
    Engine,
    Evidence,
    ImpactLevel,
    Optimization,
    OptimizationType,
    Source,
)
from inferplan.diagnose.bottlenecks import Cause, Diagnosis
from inferplan.dialects.effective import effective
from inferplan.dialects.keys import flag_name, spelling_of
from inferplan.domain.lever import Option
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import Observation
from inferplan.domain.serving import Origin, ServingConfig
from inferplan.estimate.forecast_steps import StepForecast
from inferplan.estimate.forecasting import forecast_of

KEY = "enable_prefix_caching"

_TITLE = "Switch prefix caching on again"
_RISKS = (
    "If it was switched off so that one client cannot tell by its latency what others asked, that is lost.",
    "Where prompts share nothing, hashing them is work for nothing.",
)
_FIRST = ("Nobody switched it off for a reason that still holds.",)
_BETWEEN = (
    "What the cache finds of it is between nothing and all: it drops what running requests need room for, and each"
    " replica has its own."
)

_UNSTEADY = frozenset({Cause.IDLE, Cause.COLD_START})
_COSTS = {
    Engine.VLLM: "It costs a hash for each block of a prompt; what is kept takes only blocks that nobody needs.",
    Engine.SGLANG: "It costs a walk through a tree for each prompt; what is kept takes only memory that nobody needs.",
}


def prefix_caching_on(observation: Observation, diagnosis: Diagnosis) -> Option | Optimization | Missing | None:
    """Prefix caching switched on again.

    Returns:
        An option to forecast where the share of prompts that repeat is declared and the step model can price it, else a
        change that stands by itself; why neither; None where it is on, where nobody switched it off, or where nothing
        runs.
    """
    config = observation.config
    switched = config.value(KEY) is False and config.is_stated(KEY)
    share = None if observation.declared is None else observation.declared.prefix_share
    blind = diagnosis.cause is Cause.UNKNOWN and not share
    if not switched or config.engine not in _COSTS or diagnosis.cause in _UNSTEADY or blind:
        return None
    if share == 0:
        return Missing(Reason.NOT_LIMITED, "prefix caching is off, and spec.workload says that prompts share nothing")
    if not _is_default(observation):
        why = f"prefix caching is off, and it is not known that {config.engine} {config.version} has it on by default"
        return Missing(Reason.SETTING_UNKNOWN, f"{why} here")
    if share is not None and _is_priced(observation, diagnosis):
        return _option(observation, share)
    return _optimization(observation, share)


def _is_priced(observation: Observation, diagnosis: Diagnosis) -> bool:
    """Whether the forecast knows the share, and what computing a prompt takes."""
    if diagnosis.cause is Cause.UNKNOWN:
        return False
    forecast = forecast_of(observation, queued=diagnosis.queued)
    return isinstance(forecast, StepForecast) and forecast.seen.share_declared


def _is_default(observation: Observation) -> bool:
    """Whether this release, on this GPU and with this model, would cache prefixes unasked."""
    config = observation.config
    set_by_hand = {
        key: setting for key, setting in config.items() if setting.origin is not Origin.VERSION_DEFAULT and key != KEY
    }
    bare = ServingConfig(config.engine, config.version, config.model, complete=config.complete)
    model = None if isinstance(observation.model, Missing) else observation.model
    found = effective(bare.with_settings(set_by_hand), observation.accelerator, model=model)
    return found.flag(KEY) is True


def _option(observation: Observation, share: float) -> Option:
    return Option(
        changes=(_change(observation, share),),
        title=_TITLE,
        description=f"{_described(observation, share)} {_BETWEEN}",
        risks=_RISKS,
        prerequisites=_FIRST,
        raises_confidence=("A look with prefix caching on: then it is measured what the cache finds.",),
        confidence_most=Confidence.MEDIUM,
    )


def _optimization(observation: Observation, share: float | None) -> Optimization:
    known = share is not None
    return Optimization(
        type=OptimizationType.KV_CACHE,
        title=_TITLE,
        description=_described(observation, share),
        config_changes=(_change(observation, share),),
        expected_impact=ImpactLevel.MEDIUM,
        estimated_improvement=(
            "Prompts that share their starts are computed once; how much that is cannot be measured while it is off."
            + ("" if not known else " The declared share bounds it.")
        ),
        effects=() if share is None else (_effect(share),),
        confidence=Confidence.MEDIUM if known else Confidence.LOW,
        source=Source.RULE_OF_THUMB,
        implementation_effort=Effort.LOW,
        risks=_RISKS,
        prerequisites=_FIRST,
        raises_confidence=() if known else ("spec.workload.prefixShare: what share of the prompts' tokens repeat.",),
    )


def _described(observation: Observation, share: float | None) -> str:
    engine = observation.config.engine
    declared = (
        "" if share is None else f" The owner declares that {share:.0%} of the prompts' tokens repeat an earlier start."
    )
    return (
        f"An argument switches off what {engine} does by default: keeping the keys and values of prompts, so that a"
        f" prompt that starts like an earlier one is not computed again. {_COSTS[engine]}{declared}"
    )


def _change(observation: Observation, share: float | None) -> ConfigChange:
    """SGLang has no flag that switches it on: the one that switches it off is taken out."""
    config, prompt = observation.config, observation.metrics.prompt_tokens_mean
    spelling = spelling_of(config.engine, KEY)
    removes = spelling is not None and spelling.inverted
    default = f"default of {config.engine} {config.version} on this GPU, without the argument"
    seen = (prompt.as_evidence(),) if isinstance(prompt, Measured) else ()
    told = () if share is None else (Evidence(formula="spec.workload.prefixShare", value=share, unit="share"),)
    return ConfigChange(
        parameter=KEY,
        flag=flag_name(config.engine, KEY),
        current_value=False,
        recommended_value=None if removes else True,
        removes_flag=removes,
        reason=f"It is off by an argument, and on by default in {config.engine}.",
        evidence=(Evidence(formula=default, value=True), *seen, *told),
    )


def _effect(share: float) -> Effect:
    return Effect(
        metric="computed_prompt_tokens",
        current=1.0,
        low=round(1 - share, 4),
        high=1.0,
        unit="times today's",
        source=Source.RULE_OF_THUMB,
        basis=f"spec.workload.prefixShare says that {share:.0%} of them repeat; between none and all of that is found.",
    )
