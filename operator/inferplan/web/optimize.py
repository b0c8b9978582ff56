"""POST /api/v1/optimize without its HTTP part: bytes → request → plan → answer. Pure; knows no framework."""

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import BaseModel, ValidationError

from inferplan.api.exchange import MeasuredMetrics, OptimizeRequest, OptimizeResponse
from inferplan.api.instance import InstanceSpec
from inferplan.api.plan import Decision
from inferplan.api.reasons import Reason
from inferplan.api.values import Engine
from inferplan.domain.measurement import Measured, Measurement, Missing
from inferplan.domain.observation import Metrics
from inferplan.engine.planner import plan
from inferplan.observe.assemble import Sources, SpecError, assemble, policy_of
from inferplan.web.checks import Fields, cross_field_problems, settings_problems
from inferplan.web.problems import Problem, Spelling, problems_of, shown

_METRIC_MAX = 1e12  # above anything an engine counts; keeps arithmetic finite

_FIELDS = Fields(
    current_config="current_config",
    forbid="constraints.forbid",
    model="model",
    slo="slo_targets",
    workload="workload",
    optimizers="constraints.optimizers",
)
_UNITS: Mapping[str, str] = {
    "num_requests_running": "requests",
    "num_requests_waiting": "requests",
    "kv_cache_usage": "share",
    "preemptions_per_second": "preemptions/s",
    "kv_cache_tokens": "tokens",
    "itl_mean_milliseconds": "ms",
    "itl_p99_milliseconds": "ms",
    "requests_per_second": "requests/s",
}


class UnknownEngineError(ValueError):
    """The request names an engine that InferPlan does not know."""


class InvalidRequestError(ValueError):
    """The body is no request that can be answered.

    Attributes:
        problems: What is wrong with it, at least one.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(problem.line for problem in problems))
        self.problems = problems


def read_request(body: bytes) -> OptimizeRequest:
    """Reads a body.

    Raises:
        InvalidRequestError: It is no JSON, or fields are missing, unknown or out of range.
    """
    try:
        return OptimizeRequest.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequestError(problems_of(error, OptimizeRequest, Spelling.HTTP)) from None


def optimize(request: OptimizeRequest, now: datetime) -> OptimizeResponse:
    """The plan for what the request says. Nothing is fetched: `instance_id` is a name.

    Raises:
        UnknownEngineError: `instance_type` is no engine.
        InvalidRequestError: Fields contradict one another, or a setting is unknown or out of range.
    """
    spec = _spec(request, _engine(request.instance_type))
    sources = Sources(spec, metrics=_metrics(request.metrics))
    try:
        observation = assemble(sources).observation
    except SpecError as error:
        raise InvalidRequestError((Problem("", str(error)),)) from None
    outcome = plan(observation, policy_of(spec, rules_of_thumb=True))
    decided = {name: getattr(outcome.decision, name) for name in Decision.model_fields}
    stamp = {
        "instance_id": request.instance_id,
        "instance_type": request.instance_type,
        "timestamp": now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }
    return OptimizeResponse.model_validate(decided | stamp)


def _engine(name: str) -> Engine:
    try:
        return Engine(name)
    except ValueError:
        raise UnknownEngineError(name) from None


def _spec(request: OptimizeRequest, engine: Engine) -> InstanceSpec:
    problems = (
        *settings_problems(engine, request.current_config, _FIELDS.current_config),
        *_without_cluster(request),
        *_metric_problems(request.metrics),
    )
    if problems:
        raise InvalidRequestError(problems)
    try:
        spec = InstanceSpec(
            engine=engine,
            engine_version=request.engine_version,
            model=request.model,
            accelerator=request.accelerator,
            current_config=request.current_config,
            workload=request.workload,
            slo=request.slo_targets,
            objective=request.objective,
            constraints=request.constraints,
        )
    except ValidationError as error:
        raise InvalidRequestError(problems_of(error, InstanceSpec, Spelling.HTTP)) from None
    broken = cross_field_problems(spec, _FIELDS)
    if broken:
        raise InvalidRequestError(broken)
    return spec


def _without_cluster(request: OptimizeRequest) -> tuple[Problem, ...]:
    if request.model is None or request.model.config_map_ref is None:
        return ()
    return (Problem("model.config_map_ref", "no cluster is asked here; give the config.json in model.config"),)


def _metric_problems(metrics: MeasuredMetrics | None) -> tuple[Problem, ...]:
    return tuple(
        Problem(f"metrics.{name}", f"{shown(value)} must be at most {_METRIC_MAX:g}")
        for name, value in _given(metrics).items()
        if value > _METRIC_MAX
    )


def _metrics(given: MeasuredMetrics | None) -> Metrics:
    window = given.window_seconds if given is not None else None
    values = _given(given)
    return Metrics(
        num_requests_running=_measurement("num_requests_running", values, window),
        num_requests_waiting=_measurement("num_requests_waiting", values, window),
        kv_cache_usage=_measurement("kv_cache_usage", values, window),
        preemptions_per_second=_measurement("preemptions_per_second", values, window),
        kv_cache_tokens=_measurement("kv_cache_tokens", values, None),
        requests_per_second=_measurement("requests_per_second", values, window),
        itl_mean_milliseconds=_measurement("itl_mean_milliseconds", values, window),
        itl_p99_milliseconds=_measurement("itl_p99_milliseconds", values, window),
    )


def _measurement(name: str, values: Mapping[str, int | float], window_seconds: int | None) -> Measurement:
    if name not in values:
        return Missing(Reason.METRICS_MISSING, f"metrics.{name} is not in the request")
    return Measured(float(values[name]), _UNITS[name], f"metrics.{name} of the request", window_seconds)


def _given(metrics: BaseModel | None) -> dict[str, int | float]:
    if metrics is None:
        return {}
    return {name: value for name in _UNITS if (value := getattr(metrics, name)) is not None}


def allowed_engines() -> tuple[str, ...]:
    """What `instance_type` may be."""
    return tuple(Engine)
