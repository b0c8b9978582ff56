"""The ordered chain that every proposal passes after the optimizers: what the owner forbids, then what is safe."""

from collections.abc import Callable

from inferplan.api.instance import OPTIMIZER_SPELLINGS
from inferplan.api.plan import Rejected
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange
from inferplan.dialects.constraints import Severity, Violation, violations
from inferplan.dialects.keys import neutral_key, spelling_of
from inferplan.dialects.registry import basis, proposable
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy, Proposal
from inferplan.domain.serving import Origin, ServingConfig
from inferplan.engine.budget import SIZING_KEYS, after_changes, holds_one_request

_GAINS = frozenset({"output_tokens_per_second", "kv_cache_tokens"})
"""Metrics that are better when higher; a longer latency is no gain."""

Guard = Callable[[Proposal, Observation, Policy], Rejected | None]


def _rejected(proposal: Proposal, code: Reason, reason: str) -> Rejected:
    return Rejected(option=proposal.optimization.title, code=code, reason=reason)


def forbidden(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """The owner forbids the optimizer, a key or a flag that the proposal touches."""
    names = {_canonical(observation.config, name) for name in policy.forbid}
    touched = {change.parameter for change in proposal.optimization.config_changes}
    hits = sorted(names & (touched | {proposal.optimizer, proposal.optimization.type}))
    if not hits:
        return None
    return _rejected(proposal, Reason.FORBIDDEN, f"spec.constraints.forbid names {', '.join(hits)}")


def shortens_context(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """max_model_len may not fall below what the owner needs."""
    del observation
    floor = policy.min_max_model_len
    lengths = [change for change in proposal.optimization.config_changes if change.parameter == "max_model_len"]
    below = [change for change in lengths if floor is not None and _below(change, floor)]
    if not below:
        return None
    return _rejected(proposal, Reason.FORBIDDEN, f"max_model_len would fall below minMaxModelLen {floor}")


def flag_exists(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """The running version must be known to have every flag, and to take its value."""
    problems = (
        _unsupported(observation.config, change, live=not policy.rules_of_thumb)
        for change in proposal.optimization.config_changes
        if change.flag is not None and not change.removes_flag
    )
    problem = next((text for text in problems if text is not None), None)
    return None if problem is None else _rejected(proposal, Reason.FLAG_UNSUPPORTED, problem)


def _unsupported(config: ServingConfig, change: ConfigChange, *, live: bool) -> str | None:
    """Why it is not certain that the engine takes the change; None where it is.

    Without a known version a live workload gets new values of flags that it has, and no new flags.
    """
    known, spelling = basis(config.engine, config.version), spelling_of(config.engine, change.parameter)
    if known is None:
        setting = config.settings.get(change.parameter)
        given = setting is not None and setting.origin in {Origin.ARGUMENT, Origin.CONFIG_FILE}
        return f"the engine's version is not known, and {change.flag} is not given" if live and not given else None
    flag = proposable(known, spelling.dest) if spelling is not None else None
    if flag is None:
        return f"{config.engine} {config.version} is not known to have {change.flag}"
    taken, value = flag.choices or flag.late_choices, change.recommended_value
    if taken and isinstance(value, str) and value not in taken:
        return f"{config.engine} {config.version} is not known to take {value} for {change.flag}"
    return None


def engine_accepts(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """With the change, the running version must not refuse to start for a reason that is not there today.

    A change without a flag (another checkpoint) is none of the engine's arguments.
    """
    del policy
    written = [change for change in proposal.optimization.config_changes if change.flag is not None]
    before = {violation.keys for violation in _refusals(observation, observation.config)}
    after = after_changes(observation.config, written)
    new = next((entry for entry in _refusals(observation, after) if entry.keys not in before), None)
    return None if new is None else _rejected(proposal, Reason.ENGINE_REFUSES, new.reason)


def _refusals(observation: Observation, config: ServingConfig) -> tuple[Violation, ...]:
    model = None if isinstance(observation.model, Missing) else observation.model
    found = violations(config, observation.accelerator, model)
    return tuple(violation for violation in found if violation.severity is Severity.REFUSED)


def memory_holds(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """With the change, the KV cache must still hold one request of max_model_len, at the low end of what is predicted.

    Where no model is known, rules of thumb are all that is asked for, and no live workload is changed.
    """
    if not SIZING_KEYS & {change.parameter for change in proposal.optimization.config_changes}:
        return None
    after = after_changes(observation.config, proposal.optimization.config_changes)
    problem = holds_one_request(observation, after, unsized_passes=policy.rules_of_thumb)
    return None if problem is None else _rejected(proposal, Reason.MEMORY_UNPROVEN, problem)


def gains_enough(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """Even the high end of every effect stays below the minimum gain."""
    del observation
    gains = [
        100 * (effect.high / effect.current - 1)
        for effect in proposal.optimization.effects
        if effect.current and effect.metric in _GAINS
    ]
    if not gains or max(gains) >= policy.minimum_gain_percent:
        return None
    why = f"gains at most {max(gains):.0f} %, minimumGainPercent is {policy.minimum_gain_percent}"
    return _rejected(proposal, Reason.GAIN_TOO_SMALL, why)


GUARDS: tuple[Guard, ...] = (
    forbidden,  # what the owner does not want is not even looked at
    flag_exists,  # an engine that is given a flag that it does not have does not start
    engine_accepts,  # nor does one whose settings contradict each other
    shortens_context,  # a shorter context refuses requests that were served before
    memory_holds,  # an engine that cannot hold one request does not start
    gains_enough,  # a restart for nothing is harm
)


def guard(proposal: Proposal, observation: Observation, policy: Policy) -> Rejected | None:
    """The first objection, None when there is none."""
    return next((no for check in GUARDS if (no := check(proposal, observation, policy)) is not None), None)


def _canonical(config: ServingConfig, name: str) -> str:
    if name in OPTIMIZER_SPELLINGS:
        return name
    try:
        return neutral_key(config.engine, name, negations=True)
    except ValueError:
        return name


def _below(change: ConfigChange, floor: int) -> bool:
    return isinstance(change.recommended_value, int) and change.recommended_value < floor
