"""The ordered chain that every change passes after the optimizers: what the owner forbids, then what is safe.

Guards of one option alone come first; those of a whole combination see how its changes act on one another.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from inferplan.api.instance import OPTIMIZER_SPELLINGS, OptimizerName
from inferplan.api.reasons import Reason
from inferplan.api.values import ConfigChange, OptimizationType
from inferplan.diagnose.limits import ever_full
from inferplan.diagnose.signals import Signals
from inferplan.dialects.constraints import Severity, Violation, violations
from inferplan.dialects.keys import neutral_key, spelling_of
from inferplan.dialects.registry import basis, proposable
from inferplan.domain.measurement import Missing
from inferplan.domain.model_card import ModelCard
from inferplan.domain.observation import Observation
from inferplan.domain.proposal import Policy, Undone
from inferplan.domain.serving import Origin, ServingConfig, SettingValue
from inferplan.engine.budget import SIZING_KEYS, holds_one_request, looked_at, moves
from inferplan.estimate.memory_observed import sizes


@dataclass(frozen=True)
class Objection:
    """Why something may not be done."""

    code: Reason
    reason: str


@dataclass(frozen=True)
class Deed:
    """What would be done, and at whose instance.

    Attributes:
        changes: Settings that change.
        ideas: The optimizers behind it, and the kinds of their changes.
        card: The model that would run, where it is another one.
    """

    changes: tuple[ConfigChange, ...]
    ideas: frozenset[OptimizerName | OptimizationType] = frozenset()
    card: ModelCard | None = None


Guard = Callable[[Deed, Observation, Policy], Objection | None]


def forbidden(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """The owner forbids the optimizer, a key or a flag that would be touched."""
    names = {_canonical(observation.config, name) for name in policy.forbid}
    touched = {change.parameter for change in deed.changes}
    hits = sorted(names & (touched | set(deed.ideas)))
    return Objection(Reason.FORBIDDEN, f"spec.constraints.forbid names {', '.join(hits)}") if hits else None


def shortens_context(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """max_model_len may not fall below what the owner needs."""
    del observation
    floor = policy.min_max_model_len
    lengths = [change for change in deed.changes if change.parameter == "max_model_len"]
    below = [change for change in lengths if floor is not None and _below(change, floor)]
    return Objection(Reason.FORBIDDEN, f"max_model_len would fall below minMaxModelLen {floor}") if below else None


STEP_MOST = {"max_batch_size": 2.0, "max_num_batched_tokens": 4.0}
"""By how much one plan multiplies a limit at most: the next plan looks again at what then happens. A choice."""


def step_size(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """What was measured speaks of today's neighbourhood: a limit is moved by so much at most, the next plan goes on."""
    del observation, policy
    for change in deed.changes:
        most, before, after = STEP_MOST.get(change.parameter), change.current_value, change.recommended_value
        if most is None or not isinstance(before, int) or not isinstance(after, int):
            continue
        if after > most * before:
            why = f"{change.parameter} would go from {before} to {after}, a plan multiplies it by {most:.0f} at most"
            return Objection(Reason.STEP_TOO_LARGE, why)
    return None


def flag_exists(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """The running version must be known to have every flag, and to take its value."""
    problems = (
        _unsupported(observation.config, change, live=not policy.rules_of_thumb)
        for change in deed.changes
        if change.flag is not None and not change.removes_flag
    )
    problem = next((text for text in problems if text is not None), None)
    return None if problem is None else Objection(Reason.FLAG_UNSUPPORTED, problem)


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


def engine_accepts(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """With the change, the running version must not refuse to start for a reason that is not there today.

    A change without a flag (another checkpoint) is none of the engine's arguments.
    """
    del policy
    written = [change for change in deed.changes if change.flag is not None]
    before = {violation.keys for violation in _refusals(observation, observation.config)}
    after = looked_at(observation, written, deed.card)
    new = next((entry for entry in _refusals(observation, after) if entry.keys not in before), None)
    return None if new is None else Objection(Reason.ENGINE_REFUSES, new.reason)


def _refusals(observation: Observation, config: ServingConfig) -> tuple[Violation, ...]:
    model = None if isinstance(observation.model, Missing) else observation.model
    found = violations(config, observation.accelerator, model)
    return tuple(violation for violation in found if violation.severity is Severity.REFUSED)


def memory_holds(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """With the change, the KV cache must still hold one request of max_model_len, at the low end of what is predicted.

    Where no model is known, rules of thumb are all that is asked for, and no live workload is changed.
    """
    after = looked_at(observation, deed.changes, deed.card)
    moved = {key for key, _, _ in moves(observation.config, after)}
    if not SIZING_KEYS & (moved | {change.parameter for change in deed.changes}):
        return None
    problem = holds_one_request(observation, after, deed.card, unsized_passes=policy.rules_of_thumb)
    return None if problem is None else Objection(Reason.MEMORY_UNPROVEN, problem)


ROOM_LEAST = 0.95
"""Of the room that more requests need, in proportion to today's, a cache that was full must have at least this: CUDA
graphs of a larger batch take a little of what a change frees. A choice."""


def has_room(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """A KV cache that was full at some moment is asked to hold only as many more requests as it becomes larger.

    A forecast counts on means; what a moment's peak takes beside them, the full cache has shown.
    """
    del policy
    after = looked_at(observation, deed.changes, deed.card)
    more = _growth(observation.config.value("max_batch_size"), after.value("max_batch_size"))
    if more <= 1 or not ever_full(Signals(observation)):
        return None
    larger = _cache_growth(observation, after, deed.card)
    if isinstance(larger, Missing):
        return Objection(Reason.KV_BOUND, f"the KV cache was full, and its size cannot be told: {larger.reason}")
    if larger >= ROOM_LEAST * more:
        return None
    why = f"the KV cache was full: {larger:.2f} times its tokens are too few for {more:.2f} times the requests"
    return Objection(Reason.KV_BOUND, why)


def _growth(before: SettingValue | None, after: SettingValue | None) -> float:
    """How many times today's value; 1 where that is not known."""
    return after / before if isinstance(before, int) and isinstance(after, int) and before > 0 else 1.0


def _cache_growth(observation: Observation, after: ServingConfig, card: ModelCard | None) -> float | Missing:
    """The KV cache's tokens against today's."""
    sized = sizes(observation, after, card)
    if isinstance(sized, Missing):
        return sized
    held, holds = sized.before.kv_cache_tokens, sized.after.kv_cache_tokens
    if isinstance(held, Missing):
        return held
    return holds if isinstance(holds, Missing) else holds.expected / max(held.expected, 1.0)


def one_value_each(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """No setting is moved twice."""
    del observation, policy
    counted = Counter(change.parameter for change in deed.changes)
    twice = next((name for name, times in counted.items() if times > 1), None)
    return None if twice is None else Objection(Reason.SETTING_TAKEN, f"another change of the plan moves {twice} too")


def failed_before(deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """A change of a plan that had to be undone here: which of several did the harm is not known; none is repeated.

    Nor is half of it tried, or more: whoever saw a limit raised from 32 to 64 do harm does not want 48, then 56, then
    40. Up to 32 is another matter: that ran before.
    """
    del observation
    undone = [item for failed in policy.failed for item in failed.items()]
    hits = ((change, moved) for change in deed.changes for key, moved in undone if key == change.parameter)
    hit = next(((change, moved.after) for change, moved in hits if _same_way(change, moved)), None)
    if hit is None:
        return None
    change, value = hit
    told = f"{change.parameter} {'taken out' if value is None else value}"
    why = f"{told} was in a plan that was undone here, on the same image, model and GPUs"
    return Objection(Reason.FAILED_BEFORE, why)


def _same_way(change: ConfigChange, undone: Undone) -> bool:
    """Whether it moves the setting to where the failed change moved it, or in that direction beyond what ran before."""
    before, after, failed, ran = change.current_value, change.recommended_value, undone.after, undone.before
    if after == failed:
        return True
    if not (_is_number(before) and _is_number(after) and _is_number(failed)) or failed == before:
        return False
    up = failed > before
    if (after > before) is not up:
        return False
    return not _is_number(ran) or (after > ran if up else after < ran)


def _is_number(value: SettingValue | None) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


ALONE: tuple[Guard, ...] = (
    forbidden,  # what the owner does not want is not even looked at
    flag_exists,  # an engine that is given a flag that it does not have does not start
    shortens_context,  # a shorter context refuses requests that were served before
    step_size,  # a forecast is good near what was measured
    failed_before,  # what had to be undone is not tried again until something that matters is another
)
TOGETHER: tuple[Guard, ...] = (
    one_value_each,  # a flag that is written twice is read once
    engine_accepts,  # an engine whose settings contradict each other does not start
    memory_holds,  # nor does one that cannot hold one request
    has_room,  # requests that a full cache admits lose their places, or others do
)


def objection(guards: tuple[Guard, ...], deed: Deed, observation: Observation, policy: Policy) -> Objection | None:
    """The first objection, None when there is none."""
    return next((no for check in guards if (no := check(deed, observation, policy)) is not None), None)


def _canonical(config: ServingConfig, name: str) -> str:
    if name in OPTIMIZER_SPELLINGS:
        return name
    try:
        return neutral_key(config.engine, name, negations=True)
    except ValueError:
        return name


def _below(change: ConfigChange, floor: int) -> bool:
    return isinstance(change.recommended_value, int) and change.recommended_value < floor
