"""POST /api/v1/optimize without its HTTP part: request → plan → answer. Pure; knows no framework."""

from dataclasses import replace
from datetime import datetime

from inferplan.api.exchange import Observed, OptimizeRequest, OptimizeResponse
from inferplan.api.plan import Decision
from inferplan.domain.units import timestamp
from inferplan.engine.planner import plan
from inferplan.observe.assemble import policy_of
from inferplan.web.measured import any_given, stated_metrics
from inferplan.web.memory import Remembered, Sighting, aged
from inferplan.web.requests import observation_of, spec_of, with_model


def optimize(request: OptimizeRequest, now: datetime, seen: Remembered | None = None) -> OptimizeResponse:
    """The plan for what the request says. Nothing is fetched: `instance_id` is a name.

    Args:
        request: The request.
        now: Present time.
        seen: What an earlier analysis saw of the instance; used where the request has no measurements.

    Raises:
        UnknownEngineError: `instance_type` is no engine.
        InvalidRequestError: Fields contradict one another, or a setting is unknown or out of range.
    """
    used = None if any_given(request.metrics) else seen
    stated = spec_of(request)  # what cannot be used is said before anything is made of it
    sighting = _sighting(request, now, used)
    spec = with_model(stated, sighting.model)
    observation = observation_of(spec, sighting)
    outcome = plan(observation, policy_of(spec, rules_of_thumb=True))
    decided = {name: getattr(outcome.decision, name) for name in Decision.model_fields}
    observed = None if used is None else _observed(used, now, observation.config.version, observation.config.model)
    stamp = {
        "instance_id": request.instance_id,
        "instance_type": request.instance_type,
        "timestamp": timestamp(now),
        "observed": observed,
    }
    return OptimizeResponse.model_validate(decided | stamp)


def _sighting(request: OptimizeRequest, now: datetime, seen: Remembered | None) -> Sighting:
    """What an earlier analysis saw, as old as it is by now; else what the request states."""
    if seen is None:
        return Sighting("metrics of the request", stated_metrics(request.metrics))
    return replace(seen.sighting, metrics=aged(seen.sighting.metrics, seen.seconds(now)))


def _observed(seen: Remembered, now: datetime, version: str | None, model: str | None) -> Observed:
    seconds = seen.seconds(now)
    return Observed(
        source=f"{seen.sighting.source}, seen by analyze {seconds:.0f} s ago",
        observed_at=timestamp(seen.sighting.observed_at or seen.since),
        age_seconds=seconds,
        engine_version=version,
        model=model,
        notes=seen.sighting.notes,
    )
