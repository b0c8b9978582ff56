"""POST /api/v1/optimize without its HTTP part: request → plan → answer. Pure; knows no framework."""

from datetime import UTC, datetime

from inferplan.api.exchange import Observed, OptimizeRequest, OptimizeResponse
from inferplan.api.plan import Decision
from inferplan.engine.planner import plan
from inferplan.observe.assemble import Sources, SpecError, assemble, policy_of
from inferplan.web.measured import any_given, stated_metrics
from inferplan.web.memory import Remembered, aged
from inferplan.web.problems import Problem
from inferplan.web.requests import InvalidRequestError, spec_of, with_model


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
    sources = _sources(request, now, used)
    try:
        observation = assemble(sources).observation
    except SpecError as error:
        raise InvalidRequestError(Problem("", str(error))) from None
    outcome = plan(observation, policy_of(sources.spec, rules_of_thumb=True))
    decided = {name: getattr(outcome.decision, name) for name in Decision.model_fields}
    observed = None if used is None else _observed(used, now, observation.config.version, observation.config.model)
    stamp = {
        "instance_id": request.instance_id,
        "instance_type": request.instance_type,
        "timestamp": timestamp(now),
        "observed": observed,
    }
    return OptimizeResponse.model_validate(decided | stamp)


def timestamp(moment: datetime) -> str:
    """RFC 3339: 2026-03-01T12:00:00Z."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _sources(request: OptimizeRequest, now: datetime, seen: Remembered | None) -> Sources:
    spec = spec_of(request)
    if seen is None:
        return Sources(spec, metrics=stated_metrics(request.metrics))
    sighting = seen.sighting
    return Sources(
        with_model(spec, sighting.model),
        running_version=sighting.version,
        metrics=aged(sighting.metrics, seen.seconds(now)),
        replica_metrics=sighting.replica_metrics,
        replicas=sighting.replicas,
    )


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
