"""Optimizers asked by a load that is declared, where none was measured. Pure.

They see the numbers that the step model expects under that load in the place of measured ones, and the cause that
follows. All that they then say beyond what they say without is marked as estimated; the diagnosis stays as it is.
"""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from inferplan.api.base import TEXT_MAX
from inferplan.api.plan import Alternative
from inferplan.api.values import ConfigChange, Evidence
from inferplan.diagnose.bottlenecks import Cause, Diagnosis, diagnose
from inferplan.domain.lever import Answer, Lever, Option
from inferplan.domain.measurement import Measured, Missing
from inferplan.domain.observation import NOT_MEASURED, Metrics, Observation
from inferplan.domain.owner import keeps_replicas
from inferplan.domain.proposal import Abstention, Policy, Proposal
from inferplan.domain.units import significant
from inferplan.estimate.expected_load import ExpectedLoad, expected_load
from inferplan.optimizers.base import Optimizer

ESTIMATED = "Estimated for the declared load, not measured"
"""Stands before every sentence that rests on the declared load."""

_MODEL = "estimated by the step model for the declared load"
_DECLARED = "declared in spec.workload"
_EVIDENCE_MAX = 8  # what a change holds
_BESIDE = frozenset(
    {
        *("kv_cache_tokens", "data_parallel_ranks", "uptime_seconds", "restarts"),
        *("gpu_memory_busy_share", "gpu_tensor_busy_share"),
    }
)
"""Measurements that say nothing of the load."""

_MEASURE = "Metrics of the running instance: nothing of its load was measured."
_RESTS = "This rests on an estimate for the declared load, not on measurements."
_REPLICAS = "More replicas"


@dataclass(frozen=True)
class DeclaredLook:
    """What is expected under the declared load.

    Attributes:
        observation: The look, with expected numbers in the place of measured ones.
        diagnosis: What would limit the instance.
        expected: The numbers.
    """

    observation: Observation
    diagnosis: Diagnosis
    expected: ExpectedLoad

    @property
    def evidence(self) -> Evidence:
        """The load, as the owner states it."""
        return Evidence(formula="spec.workload", value=self.expected.seen.basis)


def declared_look(observation: Observation, diagnosis: Diagnosis) -> DeclaredLook | Missing | None:
    """What is expected under the declared load.

    Returns:
        None where no load is declared, or where anything of the load was measured; why not where the step model, or
        the declaration, is not enough for it.
    """
    seen = observation.metrics
    known = seen.measured().keys() - _BESIDE or seen.contradictory()
    if observation.declared is None or known or diagnosis.cause is not Cause.UNKNOWN:
        return None
    expected = expected_load(observation)
    if isinstance(expected, Missing):
        return expected
    would = replace(observation, metrics=_expected_metrics(seen, expected))
    return DeclaredLook(would, diagnose(would), expected)


def ask(
    optimizer: Optimizer,
    seen: tuple[Observation, Diagnosis],
    policy: Policy,
    declared: DeclaredLook | Missing | None,
) -> Answer:
    """What an optimizer answers.

    Args:
        optimizer: The optimizer.
        seen: What was seen, and what limits the instance by that.
        policy: What the owner wants.
        declared: What is expected under the declared load, or why nothing is.
    """
    observation, diagnosis = seen
    if isinstance(declared, Missing):
        diagnosis = replace(diagnosis, missing=tuple(_in_vain(one, declared) for one in diagnosis.missing))
    plain = optimizer.answer(observation, diagnosis, policy)
    if not isinstance(declared, DeclaredLook):
        return plain
    return _marked(optimizer.answer(declared.observation, declared.diagnosis, policy), plain, declared.evidence)


def declared_advice(
    declared: DeclaredLook | Missing | None, advice: tuple[Alternative, ...]
) -> tuple[Alternative, ...]:
    """The optimizers' advice, with replicas for a declared rate that is more than one replica serves."""
    if not isinstance(declared, DeclaredLook) or not declared.expected.saturated:
        return advice
    rate, served = declared.expected.seen.load.requests_per_second or 0.0, declared.expected.requests_per_second
    replicas = declared.observation.replicas or 1
    text = (
        f"{ESTIMATED}: {rate:.3g} requests per second are declared for a replica, and with its present arguments it is"
        f" taken to serve {served:.3g}. {replicas} x {rate:.3g} / {served:.3g} makes {ceil(replicas * rate / served)}"
        f" replicas; fewer where the plan's changes let each serve more.{keeps_replicas(declared.observation.owners)}"
    )
    others = (entry for entry in advice if entry.title != _REPLICAS)
    return (Alternative(title=_REPLICAS, description=text), *others)


def _in_vain(missing: Missing, why: Missing) -> Missing:
    return replace(missing, reason=f"{missing.reason}; nor can it be estimated for the declared load: {why.reason}")


def _expected_metrics(seen: Metrics, expected: ExpectedLoad) -> Metrics:
    """The expected numbers as measurements that name the model as their source.

    Latencies are left out: an uncalibrated model's interval is too wide to be compared with anything.
    """
    load = expected.seen.load
    found = (
        ("num_requests_running", expected.running, "requests", _MODEL),
        ("num_requests_waiting", expected.waiting, "requests", _MODEL),
        ("kv_cache_usage", expected.kv_cache_usage, "share", _MODEL),
        ("kv_cache_usage_mean", expected.kv_cache_usage, "share", _MODEL),
        ("requests_per_second", expected.requests_per_second, "requests/s", _MODEL),
        ("tokens_per_step", expected.step_tokens, "tokens", _MODEL),
        ("prompt_tokens_mean", load.input_tokens, "tokens", _DECLARED),
        ("generation_tokens_mean", load.output_tokens, "tokens", _DECLARED),
    )
    made: dict[str, Any] = {
        name: Measured(significant(value), unit, f"{name}, {source}")
        for name, value, unit, source in found
        if value is not None
    }
    return replace(seen, uptime_seconds=NOT_MEASURED, restarts=NOT_MEASURED, **made)  # a start is no part of a load


def _marked(answer: Answer, plain: Answer, evidence: Evidence) -> Answer:
    """The answer; what the optimizer says without the declared load as well stays as it is."""
    return Answer(
        levers=tuple(_lever(one, evidence) if one not in plain.levers else one for one in answer.levers),
        proposals=tuple(_proposal(one, evidence) if one not in plain.proposals else one for one in answer.proposals),
        abstentions=tuple(_abstention(one) if one not in plain.abstentions else one for one in answer.abstentions),
        advice=tuple(_advice(one) if one not in plain.advice else one for one in answer.advice),
    )


def _lever(lever: Lever, evidence: Evidence) -> Lever:
    return replace(lever, options=tuple(_option(option, evidence) for option in lever.options))


def _option(option: Option, evidence: Evidence) -> Option:
    return replace(
        option,
        changes=tuple(_change(change, evidence) for change in option.changes),
        description=_told(option.description),
        raises_confidence=(*option.raises_confidence, _MEASURE),
    )


def _proposal(proposal: Proposal, evidence: Evidence) -> Proposal:
    made = proposal.optimization
    update = {
        "config_changes": tuple(_change(change, evidence) for change in made.config_changes),
        "description": _told(made.description),
        "raises_confidence": (*made.raises_confidence, _MEASURE)[:_EVIDENCE_MAX],
    }
    return replace(proposal, optimization=made.model_copy(update=update))


def _change(change: ConfigChange, evidence: Evidence) -> ConfigChange:
    """The change with the load first, and the model's numbers as what they are: no query gave them."""
    shown = (evidence, *(_computed(entry) for entry in change.evidence))[:_EVIDENCE_MAX]
    return change.model_copy(update={"reason": _told(change.reason), "evidence": shown})


def _computed(entry: Evidence) -> Evidence:
    estimated = entry.query is not None and entry.query.endswith((_MODEL, _DECLARED))
    return Evidence(formula=entry.query, value=entry.value, unit=entry.unit) if estimated else entry


def _abstention(abstention: Abstention) -> Abstention:
    return replace(abstention, reason=_told(abstention.reason))


def _advice(entry: Alternative) -> Alternative:
    return entry.model_copy(update={"description": f"{entry.description} {_RESTS}"[:TEXT_MAX]})


def _told(text: str) -> str:
    return f"{ESTIMATED}: {text}"[:TEXT_MAX]
