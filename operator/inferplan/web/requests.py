"""Bodies → requests → what the owner says of the instance. Pure; knows no framework."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from inferplan.api.exchange import InstanceQuestion, OptimizeRequest
from inferplan.api.instance import InstanceSpec, ModelSpec
from inferplan.api.values import Engine
from inferplan.domain.observation import Observation
from inferplan.observe.assemble import Sources, SpecError, assemble
from inferplan.web.checks import Fields, cross_field_problems, settings_problems
from inferplan.web.measured import metric_problems
from inferplan.web.memory import Sighting
from inferplan.web.problems import Problem, Spelling, problems_of

_FIELDS = Fields(
    current_config="current_config",
    forbid="constraints.forbid",
    model="model",
    slo="slo_targets",
    workload="workload",
    optimizers="constraints.optimizers",
)

_Request = TypeVar("_Request", bound=BaseModel)


class UnknownEngineError(ValueError):
    """The request names an engine that InferPlan does not know."""


class InvalidRequestError(ValueError):
    """The body is no request that can be answered.

    Attributes:
        problems: What is wrong with it, at least one.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(problem.line for problem in problems))
        self.problems = problems


def read_request(body: bytes, model: type[_Request]) -> _Request:
    """Reads a body.

    Raises:
        InvalidRequestError: It is no JSON, or fields are missing, unknown or out of range.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidRequestError(*problems_of(error, model, Spelling.HTTP)) from None


def spec_of(request: InstanceQuestion) -> InstanceSpec:
    """What the request says of the instance, as an InferenceInstance would.

    Raises:
        UnknownEngineError: `instance_type` is no engine.
        InvalidRequestError: Fields contradict one another, or a setting is unknown or out of range.
    """
    engine = _engine(request.instance_type)
    problems = (
        *settings_problems(engine, request.current_config, _FIELDS.current_config),
        *_without_cluster(request),
        *metric_problems(request.metrics),
    )
    if problems:
        raise InvalidRequestError(*problems)
    spec = _spec(request, engine)
    broken = cross_field_problems(spec, _FIELDS)
    if broken:
        raise InvalidRequestError(*broken)
    return spec


def allowed_engines() -> tuple[str, ...]:
    """What `instance_type` may be."""
    return tuple(Engine)


def _engine(name: str) -> Engine:
    try:
        return Engine(name)
    except ValueError:
        raise UnknownEngineError(name) from None


def _spec(request: InstanceQuestion, engine: Engine) -> InstanceSpec:
    spec: dict[str, object] = {
        "engine": engine,
        "engine_version": request.engine_version,
        "model": request.model,
        "accelerator": request.accelerator,
        "current_config": request.current_config,
        "slo": request.slo_targets,
    }
    if isinstance(request, OptimizeRequest):
        spec |= {
            "workload": request.workload,
            "objective": request.objective,
            "constraints": request.constraints,
        }
    try:
        return InstanceSpec.model_validate(spec)
    except ValidationError as error:
        raise InvalidRequestError(*problems_of(error, InstanceSpec, Spelling.HTTP)) from None


def _without_cluster(request: InstanceQuestion) -> tuple[Problem, ...]:
    if request.model is None or request.model.config_map_ref is None:
        return ()
    return (Problem("model.config_map_ref", "no cluster is asked here; give the config.json in model.config"),)


def observation_of(spec: InstanceSpec, sighting: Sighting) -> Observation:
    """What the request says and what was seen, together.

    Raises:
        InvalidRequestError: A setting cannot be used.
    """
    sources = Sources(
        spec,
        running_version=sighting.version,
        metrics=sighting.metrics,
        replica_metrics=sighting.replica_metrics,
        replicas=sighting.replicas,
    )
    try:
        return assemble(sources).observation
    except SpecError as error:
        raise InvalidRequestError(Problem("", str(error))) from None


def with_model(spec: InstanceSpec, served_name: str | None) -> InstanceSpec:
    """The spec with the name under which the engine serves its model, where it names none itself."""
    if served_name is None or (spec.model is not None and spec.model.id is not None):
        return spec
    model = spec.model.model_copy(update={"id": served_name}) if spec.model is not None else ModelSpec(id=served_name)
    return spec.model_copy(update={"model": model})
