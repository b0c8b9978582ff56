"""Everything that is said of one instance: cause, findings, targets, score. Pure."""

from collections.abc import Iterable, Sequence

from inferplan.api.analysis import (
    BOTTLENECKS_MAX,
    UNKNOWNS_MAX,
    Analysis,
    Bottleneck,
    Recommendation,
    Severity,
    Unknown,
)
from inferplan.api.instance import SLO, SLOMetric
from inferplan.diagnose.arguments import arguments
from inferplan.diagnose.bottlenecks import Diagnosis, diagnose
from inferplan.diagnose.caching import prefix_cache, speculation
from inferplan.diagnose.case import Case, Detector
from inferplan.diagnose.finding import SEVERITY_RANK, Cause, Code
from inferplan.diagnose.flags import setting_name
from inferplan.diagnose.hardware import gpu
from inferplan.diagnose.health import health_score
from inferplan.diagnose.memory import context_over_provisioned, memory_waste
from inferplan.diagnose.quality import above_last_bucket, cause_unknown, contradictory, not_measured, unknown
from inferplan.diagnose.replicas import bad_replica, unbalanced_load
from inferplan.diagnose.requests import deferred, failed, rejected
from inferplan.diagnose.signals import Signals
from inferplan.diagnose.slo import SLOState, slo_name, slo_states, slo_status
from inferplan.diagnose.start import restarts
from inferplan.diagnose.version import version_with_known_fix
from inferplan.domain.measurement import Missing
from inferplan.domain.observation import Observation

DETECTORS: tuple[Detector, ...] = (
    lambda case: iter(case.diagnosis.bottlenecks),  # what makes requests wait
    arguments,  # what the next start refuses
    failed,
    rejected,
    deferred,
    bad_replica,
    unbalanced_load,
    lambda case: restarts(case.signals),
    cause_unknown,
    contradictory,
    speculation,
    prefix_cache,
    version_with_known_fix,
    gpu,
    memory_waste,
    context_over_provisioned,
    above_last_bucket,
    not_measured,
)
"""In the order in which findings of equal severity are listed."""


def analyze(observation: Observation, slos: tuple[SLO, ...], diagnosis: Diagnosis | None = None) -> Analysis:
    """What limits the instance, what else is wrong with it, and whether its targets hold.

    The same observation gives the same analysis. Findings beyond what a status holds are left out, the mildest first.

    Args:
        observation: What was seen.
        slos: Targets to judge.
        diagnosis: The observation's, where it was made already, as for a plan.
    """
    case = Case(Signals(observation), diagnosis or diagnose(observation))
    seen = [entry for detector in DETECTORS for entry in detector(case)]
    found = _worst_first([entry for entry in seen if isinstance(entry, Bottleneck)])
    states = slo_states(slos, observation.metrics)
    unknowns = dict.fromkeys((*(entry for entry in seen if isinstance(entry, Unknown)), *_unknown_targets(states)))
    return Analysis(
        cause=case.diagnosis.cause,
        bottlenecks=found,
        slo_statuses=tuple(slo_status(state) for state in states),
        health=health_score(case.diagnosis, found, states),
        recommendations=_recommendations(case, found, states),
        unknowns=tuple(unknowns)[:UNKNOWNS_MAX],
    )


def _worst_first(found: Sequence[Bottleneck]) -> tuple[Bottleneck, ...]:
    return tuple(sorted(found, key=lambda entry: SEVERITY_RANK[entry.severity])[:BOTTLENECKS_MAX])


def _recommendations(case: Case, found: Iterable[Bottleneck], states: Iterable[SLOState]) -> tuple[Recommendation, ...]:
    """Each sentence once, most urgent first; a missed target is as urgent as a finding of high severity."""
    advice = [
        (SEVERITY_RANK[entry.severity], Recommendation(code=entry.type, text=entry.recommendation))
        for entry in found
        if entry.recommendation is not None
    ]
    advice += [(SEVERITY_RANK[Severity.HIGH], _mend(case, state)) for state in states if state.met is False]
    by_text: dict[str, Recommendation] = {}
    for _, entry in sorted(advice, key=lambda pair: pair[0]):
        by_text.setdefault(entry.text, entry)
    return tuple(by_text.values())


_OF_A_STEP = frozenset({SLOMetric.ITL, SLOMetric.TPOT})


def _mend(case: Case, state: SLOState) -> Recommendation:
    """What shortens a latency: steps for tokens, the queue's cause for the first token and the whole request."""
    if state.slo.metric in _OF_A_STEP:
        cap, budget = (setting_name(case.config, key) for key in ("max_batch_size", "max_num_batched_tokens"))
        how = f"shorter steps: a lower {budget} where prompts interrupt answers, a lower {cap}, or smaller weights"
    elif case.diagnosis.bottlenecks:
        how = f"mend what makes requests wait first ({_told_cause(case.diagnosis)})"
    else:
        how = "no queue explains it: shorter or shared prompts, faster or more GPUs"
    return Recommendation(code=Code.SLO_MISSED, text=f"{slo_name(state.slo)} is missed: {how}.")


def _told_cause(diagnosis: Diagnosis) -> str:
    return diagnosis.bottlenecks[0].type if diagnosis.cause is Cause.UNKNOWN else diagnosis.cause


def _unknown_targets(states: Iterable[SLOState]) -> Iterable[Unknown]:
    for state in states:
        if isinstance(state.measured, Missing) and state.met is None:
            yield unknown(state.measured, slo_name(state.slo))
        elif state.met is None:
            yield Unknown(
                code=Cause.UNKNOWN,
                reason=f"{slo_name(state.slo)}: {state.undecided}.",
                needs="A target at one of the histogram's bounds, or narrower buckets in the engine.",
            )
