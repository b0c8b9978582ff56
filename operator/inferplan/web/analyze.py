"""POST /api/v1/analyze without its I/O: what was seen → analysis → answer. Pure; knows no framework."""

from datetime import datetime

from inferplan.api.analysis import Analysis
from inferplan.api.exchange import (
    AnalyzedBottleneck,
    AnalyzeRequest,
    AnalyzeResponse,
    Observed,
)
from inferplan.api.instance import InstanceSpec
from inferplan.diagnose.analyze import analyze
from inferplan.domain.observation import Metrics, Observation
from inferplan.domain.seen import SeenInstance
from inferplan.domain.units import timestamp
from inferplan.web.memory import Sighting
from inferplan.web.requests import observation_of, with_model

_LAST_LOOK = "the operator's last look at the instance"


def answer_of_sighting(
    request: AnalyzeRequest, spec: InstanceSpec, sighting: Sighting, now: datetime
) -> AnalyzeResponse:
    """The answer that rests on a look of the service's own, or on the request alone.

    Raises:
        InvalidRequestError: A setting cannot be used.
    """
    observation = observation_of(with_model(spec, sighting.model), sighting)
    observed = Observed(
        source=sighting.source,
        observed_at=None if sighting.observed_at is None else timestamp(sighting.observed_at),
        age_seconds=None if sighting.observed_at is None else _age(sighting.observed_at, now),
        engine_version=observation.config.version,
        model=observation.config.model,
        notes=sighting.notes,
    )
    return _response(request, analyze(observation, spec.slo), observed, observation, now)


def answer_of_operator(request: AnalyzeRequest, seen: SeenInstance, now: datetime) -> AnalyzeResponse:
    """The answer that rests on the operator's last look: for the request's targets, where it has some."""
    observation = seen.observation
    again = observation is not None and bool(request.slo_targets)
    analysis = analyze(observation, request.slo_targets) if again and observation is not None else seen.analysis
    observed = Observed(
        source=_LAST_LOOK,
        observed_at=timestamp(seen.observed_at),
        age_seconds=_age(seen.observed_at, now),
        engine_version=observation.config.version if observation is not None else None,
        model=observation.config.model if observation is not None else None,
        notes=_notes(observation, request),
    )
    return _response(request, analysis, observed, observation, now)


def sighting_of_operator(seen: SeenInstance) -> Sighting | None:
    """The operator's last look, for `optimize`; None where only its outcome is stored."""
    observation = seen.observation
    if observation is None:
        return None
    return Sighting(
        source=_LAST_LOOK,
        metrics=observation.metrics,
        observed_at=seen.observed_at,
        replica_metrics=observation.replica_metrics,
        replicas=observation.replicas,
        version=observation.config.version,
        model=observation.config.model,
    )


def _notes(observation: Observation | None, request: AnalyzeRequest) -> tuple[str, ...]:
    if observation is not None:
        return ()
    told = "the operator has not looked again since its start: this is what the instance's status holds"
    ignored = ("slo_targets are those of the instance's spec, not the request's",) if request.slo_targets else ()
    return (told, *ignored)


def _age(observed_at: datetime, now: datetime) -> float:
    return max(0.0, (now - observed_at).total_seconds())


def _response(
    request: AnalyzeRequest, analysis: Analysis, observed: Observed, observation: Observation | None, now: datetime
) -> AnalyzeResponse:
    metrics = observation.metrics if observation is not None else Metrics()
    return AnalyzeResponse(
        instance_id=request.instance_id,
        instance_type=request.instance_type,
        timestamp=timestamp(now),
        cause=analysis.cause,
        bottlenecks=tuple(map(AnalyzedBottleneck.of, analysis.bottlenecks)),
        slo_statuses=analysis.slo_statuses,
        overall_health_score=analysis.health.score,
        health=analysis.health,
        recommendations=tuple(entry.text for entry in analysis.recommendations),
        recommendation_codes=tuple(entry.code for entry in analysis.recommendations),
        unknowns=analysis.unknowns,
        observed=observed,
        metrics={name: value.as_value() for name, value in metrics.measured().items()},
        replicas=() if observation is None else observation.side_by_side(),
    )
